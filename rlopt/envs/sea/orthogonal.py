"""The adversary against whom every algorithm has the same regret."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from rlopt.envs.core import Array, Oracle, OracleResult, cached, policy
from rlopt.envs.sea.linear import Adaptive
from rlopt.envs.sea.models import orthogonal
from rlopt.envs.sea.rounds import SEAState
from rlopt.spaces import Ball
from rlopt.theory.checks import whole


@dataclass(frozen=True, kw_only=True)
class Orthogonal(Adaptive):
    """Linear losses that nobody profits from: g_t is orthogonal to x_t and to all g_s so far.

    Adaptive: g_t, of length 1, is orthogonal to the point played and to S = g_1 + ... + g_{t-1}.
    So the losses are 0, |S_T| = sqrt T, and the best fixed point in hindsight earns sqrt T on the
    unit ball: every policy has regret exactly sqrt T.

    Info:
        sigma = 0. Sigma_sq_t is that of the gradients shown; it depends on the actions, and only
        2 <= Sigma_sq <= 4 (T - 1) is known beforehand (`exact` is False). regret_static is the
        realised sqrt t; regret_pseudo is to the centre of the ball.

    Oracle:
        A bracket: every policy earns 0; the upper end is what the best fixed point in hindsight
        earns. Regret of round t is sqrt t - sqrt(t - 1), whatever is played.

    Args:
        d: dimension, >= 3.
    """

    d: int = 3

    G: ClassVar[float] = 1.0
    foreseen: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "d", whole("Orthogonal", "d", self.d, 3))

    @cached_property
    def space(self) -> Ball:
        """The unit ball."""
        return Ball(self.d)

    @property
    def Sigma_sq_bounds(self) -> tuple[float, float]:
        """The second gradient is orthogonal to the first."""
        return (2.0 if self.horizon > 1 else 0.0), self.Sigma_sq

    @cached_property
    def best_fixed(self) -> np.ndarray:
        """The centre; no point is good against an adversary who sees it."""
        return np.zeros(self.d)

    def draw(self, state: SEAState, x: Array, t: Array, noise: Array) -> Array:
        """A unit vector orthogonal to x and to the gradients so far."""
        return orthogonal(x, state.statistic, self.G)

    def regret(self, state: SEAState, action: Array, next_state: SEAState) -> Array:
        """sqrt t - sqrt(t - 1), and the penalty if there is one."""
        return self.cost(next_state) + np.sqrt(next_state.t) - np.sqrt(state.t)

    @cached
    def oracle(self) -> Oracle:
        """See the class."""
        value = OracleResult.bracket(
            0.0,
            self.horizon**0.5,
            method="best fixed point in hindsight, closed form",
            tolerance=4.0 * float(np.spacing(self.horizon**0.5)),
            note="regret is to the best point in hindsight: sqrt T for every policy",
        )
        return Oracle(value, policy(self.idle_action), self.regret)
