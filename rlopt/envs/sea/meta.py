"""Tuning optimistic mirror descent as a reinforcement-learning task."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box

from rlopt.envs.core import Array, FuncEnv, Info, NoiseSpec, Oracle, OracleResult, cached, policy
from rlopt.envs.rollout import rollout
from rlopt.envs.sea.linear import Iid, Switching
from rlopt.envs.sea.quadratic import Coordinates, Corrupted, Drift, Piecewise, Target
from rlopt.envs.sea.rounds import SEAState, squared
from rlopt.envs.sea.task import SEATask
from rlopt.theory.checks import known, positive
from rlopt.theory.regret import omd_envelope

TASKS: dict[str, type[SEATask]] = {
    "coordinates": Coordinates,
    "corrupted": Corrupted,
    "drift": Drift,
    "iid": Iid,
    "piecewise": Piecewise,
    "switching": Switching,
    "target": Target,
}
EPISODES, SEED = 256, 0  # of the simulation that gives the oracle's lower end
ERRORS = 4.0  # standard errors by which that end is lowered

OWN = (
    "x_hat",  # (n, d), where both steps start
    "eta",  # (n,), the last step size
    "weight",  # (n,), of the last hint
    "error",  # (n,), sum of |g_s - M_s|^2
    "change",  # (n,), |g - g'| of the last two gradients
    "cosine",  # (n,), of the angle between them
)
fields_of: Any = namedtuple  # computed names are beyond type checkers
MetaState = fields_of("MetaState", (*SEAState._fields, *OWN))
"""The task's episode and what mirror descent remembers."""


@dataclass(frozen=True, kw_only=True)
class Meta(FuncEnv):
    """Tune the step and the hint of optimistic mirror descent, without losing its guarantee.

    Description:
        Optimistic mirror descent plays an online convex task: x_t = Proj(x_hat - eta M),
        x_hat' = Proj(x_hat - eta g_t). The agent chooses the step eta between eta_t / 4 and
        eta_t = D / sqrt(delta + 4 G^2 + V), V = sum |g_s - M_s|^2, never above the step before, and
        the weight w in [0, 1] of the hint M = w g_{t-1}. Whatever it does, the regret to any fixed
        point stays at most 2 D sqrt(delta + 4 G^2 + V_T) + 2 D sqrt(V_T).

    Action space:
        Box(-1, 1, (2,), float64): log step, -1 for eta_t / 4 and 1 for eta_t; hint weight, -1 for
        w = 0 and 1 for w = 1. (1, 1), doing nothing, is the algorithm as published.

    Observation space:
        Box(-1, 1, (8,), float64): |g| / G and |g - g'| / (2 G) of the last two gradients, their
        cosine, V / (4 G^2 t), eta / eta_1, eta over twice the largest step that may come next, w,
        t / T.

    Reward, Starting state, Episode end:
        Those of the task.

    Info (each step):
        That of the task; hint, M; eta; weight, w; bound, the guarantee for the V so far.

    Oracle:
        A bracket. Above: each round's minimiser of the mean loss, which no learner can know; regret
        is to this end. Below: the published algorithm, simulated, less 4 standard errors.

    Args:
        task: "coordinates", "corrupted", "drift", "iid", "piecewise", "switching" or "target", with
            the defaults of `rlopt.envs.sea`.
        horizon: rounds T, >= 1.
        d: dimension, >= 1 (>= 2 for "drift").
        delta: > 0.

    Raises:
        ValueError, TypeError: naming the parameter, its value and what is allowed.
    """

    task: str = "target"
    horizon: int = 500
    d: int = 5
    delta: float = 1.0

    unit = "loss"
    render_modes: ClassVar[tuple[str, ...]] = ("rgb_array", "ansi")

    def __post_init__(self) -> None:
        known("Meta", "task", self.task, tuple(TASKS))
        object.__setattr__(self, "delta", positive("Meta", "delta", self.delta))
        for name in ("horizon", "d"):  # as the task has checked them
            object.__setattr__(self, name, getattr(self.played, name))

    def __getstate__(self) -> dict[str, Any]:
        """Parameters only: derived constants are made again where they are needed."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def action_space(self) -> Box:  # type: ignore[override]  # each task has its own generator
        """See the class."""
        return Box(-1.0, 1.0, (2,), np.float64)

    @cached_property
    def observation_space(self) -> Box:  # type: ignore[override]  # likewise
        """See the class."""
        return Box(-1.0, 1.0, (8,), np.float64)

    @cached_property
    def played(self) -> SEATask:
        """The online convex task."""
        kind: Any = TASKS[self.task]
        made: SEATask = kind(horizon=self.horizon, d=self.d, comparator="dynamic")
        return made

    @property
    def noise_spec(self) -> NoiseSpec:  # type: ignore[override]  # derived, not declared
        """The task's."""
        return self.played.noise_spec

    def largest_step(self, error: Array) -> Array:
        """eta_t from sum |g_s - M_s|^2 over s < t."""
        return self.played.D / np.sqrt(self.delta + 4.0 * self.played.G**2 + error)

    def guarantee(self, error: Array) -> Array:
        """What regret to a fixed point cannot exceed, from sum |g_s - M_s|^2 over s <= T."""
        return omd_envelope(D=self.played.D, G=self.played.G, V_T=error, delta=self.delta)

    def initial(self, noise: Array) -> Any:
        """(n, d) initial noise -> n episodes before their first round."""
        start = self.played.initial(noise)
        zero = start.t
        eta = self.largest_step(zero)
        return MetaState(*start, start.x, eta, zero, zero, zero, zero)

    def transition(self, state: Any, action: Array, noise: Array) -> Any:
        """One round of mirror descent with the steps and weights of (n, 2) actions."""
        task, before = self.played, _episode(state)
        wanted = np.clip(action, -1.0, 1.0)
        shrunk = self.largest_step(state.error) * 4.0 ** (0.5 * (wanted[:, 0] - 1.0))
        eta = np.minimum(shrunk, state.eta)
        weight = 0.5 * (wanted[:, 1] + 1.0)
        hint = weight[:, None] * before.gradient
        x = task.space.project(state.x_hat - eta[:, None] * hint)
        after = task.transition(before, x, noise)
        g, last = after.gradient, before.gradient
        lengths = np.sqrt(squared(g) * squared(last))
        cosine = np.einsum("ni,ni->n", g, last) / np.where(lengths > 0.0, lengths, 1.0)
        return MetaState(
            *after,
            x_hat=task.space.project(state.x_hat - eta[:, None] * g),
            eta=eta,
            weight=weight,
            error=state.error + squared(g - hint),
            change=np.sqrt(squared(g - last)),
            cosine=cosine,
        )

    def observation(self, state: Any, noise: Array) -> Array:
        """See the class."""
        G, first = self.played.G, float(self.largest_step(0.0))
        shown = [
            np.sqrt(squared(state.gradient)) / G,
            state.change / (2.0 * G),
            state.cosine,
            state.error / (4.0 * G**2 * np.maximum(state.t, 1.0)),
            state.eta / first,
            state.eta / (2.0 * self.largest_step(state.error)),
            state.weight,
            state.t / self.horizon,
        ]
        return np.clip(np.stack(shown, axis=-1), -1.0, 1.0)

    def reward(self, state: Any, action: Array, next_state: Any) -> Array:
        """The task's."""
        return self.played.reward(_episode(state), next_state.x, _episode(next_state))

    def regret(self, state: Any, action: Array, next_state: Any) -> Array:
        """The task's, against each round's minimiser."""
        return self.played.regret(_episode(state), next_state.x, _episode(next_state))

    def transition_info(self, state: Any, action: Array, next_state: Any) -> Info:
        """See the class."""
        before, after = _episode(state), _episode(next_state)
        return self.played.transition_info(before, after.x, after) | {
            "eta": next_state.eta,
            "weight": next_state.weight,
            "hint": next_state.weight[:, None] * before.gradient,
            "bound": self.guarantee(next_state.error),
        }

    def idle_action(self, observation: Array) -> Array:
        """Mirror descent as published."""
        return np.ones((len(observation), 2))

    @cached
    def oracle(self) -> Oracle:
        """See the class."""
        above = self.played.oracle().value
        published = policy(self.idle_action)
        earned = rollout(self, published, EPISODES, SEED).total
        below = float(earned.mean() - ERRORS * earned.std(ddof=1) / EPISODES**0.5)
        value = OracleResult.bracket(
            below,
            above.upper,
            method=f"above: {above.method}; below: mirror descent as published, simulated",
            tolerance=above.tolerance,
            note="regret is to each round's minimiser, which no learner can know",
        )
        return Oracle(value, published, self.regret)

    def text(self, history: Sequence[Mapping[str, Any]]) -> str:
        """The task's line."""
        return self.played.text(history)

    def picture(self, history: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """The task's picture."""
        return self.played.picture(history)


def _episode(state: Any) -> SEAState:
    """The task's part of a state."""
    return SEAState(*state[: len(SEAState._fields)])
