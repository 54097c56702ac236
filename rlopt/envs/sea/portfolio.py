"""Growing wealth: -ln <r_t, x> on the simplex, against the best constant-rebalanced portfolio."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from rlopt.envs.core import Array
from rlopt.envs.sea import comparators
from rlopt.envs.sea.comparators import Best
from rlopt.envs.sea.moments import Bracket
from rlopt.envs.sea.rows import Rows
from rlopt.envs.sea.spread import variance_bound
from rlopt.spaces import Simplex
from rlopt.theory.checks import numbers

SCENARIOS = ((1.0, 1.3, 1.25), (1.0, 1.3, 0.85), (1.0, 0.8, 1.25), (1.0, 0.8, 0.85))


@dataclass(frozen=True, kw_only=True)
class Portfolio(Rows):
    """Divide wealth among assets every round; the loss is minus the log of its growth.

    x holds the shares of wealth, r_t the price relatives (price after the round over price
    before). Rebalancing to fixed shares can grow where no asset does. The losses are 1-exp-concave.
    See `Rows` for spaces, info and orders; sigma_sq and Sigma_sq are brackets.

    Args:
        order: "iid", scenarios equally likely, with replacement; "random"; or "dataset", the
            relatives as a sequence.
        relatives: r, (N, d), > 0, N >= 1: scenarios or a sequence. By default cash and two
            independent assets that win or lose.
    """

    order: str = "iid"
    relatives: Any = SCENARIOS

    alpha: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        table = numbers("Portfolio", "relatives", self.relatives)
        if table.ndim != 2 or not table.size or not ((table > 0.0) & np.isfinite(table)).all():
            raise ValueError(
                "Portfolio: relatives must be of shape (N, d), positive and finite, "
                f"got {self.relatives!r}"
            )
        object.__setattr__(self, "relatives", tuple(map(tuple, table.tolist())))
        super().__post_init__()

    @cached_property
    def rows(self) -> np.ndarray:
        """The price relatives."""
        return np.array(self.relatives)

    @cached_property
    def targets(self) -> np.ndarray:
        """None: zeros."""
        return np.zeros(len(self.rows))

    @cached_property
    def space(self) -> Simplex:
        """Shares of wealth."""
        return Simplex(self.rows.shape[1])

    def phi(self, margin: Array, target: Array) -> Array:
        """-ln growth."""
        return -np.log(margin)

    def slope(self, margin: Array, target: Array) -> Array:
        """-1 / growth."""
        return -1.0 / margin

    @property
    def ideal(self) -> np.ndarray:
        """All growth that there is."""
        return np.full(len(self.rows), np.inf)

    @property
    def curvature(self) -> float:
        """1 / (least growth)^2."""
        return 1.0 / float(self.rows.min()) ** 2

    def fitted(self, weights: np.ndarray) -> Best:
        """The best constant-rebalanced portfolio."""
        return comparators.log_wealth(self.rows, weights)

    @cached_property
    def variance(self) -> Bracket:
        """The lower end looks at single assets, equal shares and the best portfolio."""
        d, law = self.space.dimension, np.full(len(self.rows), 1.0 / len(self.rows))
        points = np.vstack([np.eye(d), np.full(d, 1.0 / d), self.best_fixed])
        slopes = -1.0 / (points @ self.rows.T)
        gradients = slopes[..., None] * self.rows
        off = gradients - gradients.mean(axis=1, keepdims=True)
        lower = float((off**2).sum(axis=-1).mean(axis=1).max())
        low, high = self._slopes
        middles = np.vstack([slopes, (low + high) / 2.0])
        return Bracket(lower, max(lower, variance_bound(self.rows, law, low, high, middles)), False)
