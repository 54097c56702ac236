"""Self-play of a matrix game: two online learners in one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rlopt.envs.core import Array, Oracle, OracleResult, cached, policy
from rlopt.envs.sea.linear import Adaptive
from rlopt.envs.sea.rounds import SEAState
from rlopt.spaces import Product, Simplex
from rlopt.theory.checks import whole
from rlopt.theory.games import equilibrium


@dataclass(frozen=True, kw_only=True)
class MatrixGame(Adaptive):
    """Find the equilibrium of min_x max_y x'Ay by playing both sides, A_ij = sin(i j + 1).

    The point (x, y) of two simplices meets the linear loss with gradient (A y, -A' x), whose value
    at (x, y) is 0. The duality gap of the mean strategies is the sum of both sides' regrets / T.

    Reward:
        -(t gap_t - (t-1) gap_{t-1}), gap_t the duality gap of the means of x and y up to t: the
        return is -T times the last gap.

    Info:
        As `SEATask`. The losses follow from the actions: F_t = f_t, sigma = 0 and Sigma_sq <=
        4 (T - 1) G^2 (`exact` is False); sigma_sq_t, Sigma_sq_t: 0 and that of the gradients shown.
        regret_static is t gap_t; regret_pseudo is against the equilibrium.

    Oracle:
        Exact: 0, by playing the equilibrium, which linear programming finds. Regret of a round is
        minus its reward.

    Args:
        rows: strategies of x, who pays x'Ay, >= 2.
        columns: strategies of y, who gets it, >= 2.
    """

    rows: int = 4
    columns: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("rows", "columns"):
            object.__setattr__(self, name, whole("MatrixGame", name, getattr(self, name), 2))

    @cached_property
    def space(self) -> Product:
        """Mixed strategies of both."""
        return Product(Simplex(self.rows), Simplex(self.columns))

    @cached_property
    def A(self) -> np.ndarray:
        """What x pays y, (rows, columns)."""
        return np.sin(np.outer(np.arange(1, self.rows + 1), np.arange(1, self.columns + 1)) + 1.0)

    @cached_property
    def G(self) -> float:
        """From the largest column and the largest row."""
        return float(np.hypot(*(np.linalg.norm(self.A, axis=axis).max() for axis in (0, 1))))

    @property
    def Sigma_sq_bounds(self) -> tuple[float, float]:
        """0 where the players rest."""
        return 0.0, self.Sigma_sq

    @property
    def loss_bounds(self) -> tuple[float, float]:
        """0, both."""
        return 0.0, 0.0

    def draw(self, state: SEAState, x: Array, t: Array, noise: Array) -> Array:
        """(A y, -A' x)."""
        mine, theirs = self.space.split(x)
        paid = (self.A * theirs[:, None, :]).sum(axis=2)  # row by row: `@` rounds by batch size
        return np.concatenate([paid, -(self.A * mine[:, :, None]).sum(axis=1)], axis=-1)

    @cached_property
    def best_fixed(self) -> np.ndarray:
        """The equilibrium (x*, y*)."""
        return equilibrium(self.A)

    def reward(self, state: SEAState, action: Array, next_state: SEAState) -> Array:
        """Minus what the round adds to t gap_t, and minus the penalty if there is one."""
        grown = self._gaps(next_state.statistic) - self._gaps(state.statistic)
        return -grown - (self.cost(next_state) - next_state.loss)

    def regret(self, state: SEAState, action: Array, next_state: SEAState) -> Array:
        """Minus the reward."""
        return -self.reward(state, action, next_state)

    def _gaps(self, summed: Array) -> Array:
        """t times the duality gap of the means, from the summed gradients (n, d); (n,)."""
        return -self.best_loss(summed, summed[:, 0])

    @cached
    def oracle(self) -> Oracle:
        """See the class."""
        value = OracleResult(0.0, 0.0, 0.0, "equilibrium by linear programming", 1e-9, True)
        return Oracle(value, policy(lambda seen: self.target(seen[:, -1])), self.regret)
