"""A harvest policy as a matrix on a grid: what it makes of values at the escapements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from rlopt.theory.grid import Nodes

Escapement = Callable[[np.ndarray, int], np.ndarray]  # stocks (n,), year -> (n,) or (m, n)


@dataclass(frozen=True, eq=False)
class Plan:
    """An escapement that is the same in every year from some year on, though the task is endless.

    Attributes:
        escapement: see `Escapement`.
        years: the first year from which on it no longer depends on the year.
    """

    escapement: Escapement
    years: int

    def __call__(self, x: np.ndarray, year: int) -> np.ndarray:
        """Stocks (n,) in a year -> intended escapements."""
        return self.escapement(x, year)


class Move(NamedTuple):
    """One year of a policy at n stocks.

    Attributes:
        mix: (n, nodes), with mix @ q = E[q(s)] for a q that is linear between nodes.
        slope: of the value above the top of the grid: 1 where the escapement no longer depends on
            the stock, so that all that exceeds the grid is landed, else (cautiously) 0.
        emptied: (n,), P(s = 0).
    """

    mix: sparse.csr_array | np.ndarray
    slope: float
    emptied: np.ndarray


class Played:
    """A memoryless policy at fixed stocks; its matrix is made anew only when its answers change.

    Args:
        grid: nodes of the escapements.
        implementation: noise eta of the catch min(x, eta * quota), or None.
        escapement: (stocks, year) -> intended escapements, (n,), or (m, n) for a random policy
            given by m equally likely answers. Above the stock: no harvest; below 0: a quota above
            the stock, which matters only with implementation noise.
        x: (n,) stocks.
    """

    def __init__(
        self, grid: Nodes, implementation: Any, escapement: Escapement, x: np.ndarray
    ) -> None:
        self.grid, self.implementation = grid, implementation
        self.escapement, self.x = escapement, x
        self._answers: Any = None
        self._move: Move | None = None

    def in_year(self, year: int) -> Move:
        """What the policy does in a year, 0-based.

        Raises:
            ValueError: its answers are not finite, or not one a stock.
        """
        answers = self.escapement(self.x, year)
        if self._move is None or answers is not self._answers:
            self._answers, self._move = answers, self._matrix(answers)
        return self._move

    def _matrix(self, answers: np.ndarray) -> Move:
        x, noise = self.x, self.implementation
        s = np.atleast_2d(np.asarray(answers, dtype=np.float64))
        if s.shape[1:] != x.shape:
            raise ValueError(
                f"a policy must give one escapement a stock: {len(x)} stocks, got shape {s.shape}"
            )
        if not np.isfinite(s).all():
            raise ValueError(f"a policy must give finite escapements, got {s[~np.isfinite(s)][0]}")
        slope = float(len(x) > 1 and bool((s[:, -1] == s[:, -2]).all()))
        if noise is None:
            mix = self.grid.interpolation(np.clip(s, 0.0, x))
            return Move(mix, slope, (s <= 0.0).mean(axis=0))
        quotas = np.maximum(x - s, 0.0)
        noisy = np.mean([self._noisy(quota) for quota in quotas], axis=0)
        # Just below x, so that a catch of exactly x counts as all of it.
        caught = noise.cdf(quotas, quotas, x * (1.0 - 1e-15))
        return Move(noisy, slope, 1.0 - caught.mean(axis=0))

    def _noisy(self, quota: np.ndarray) -> np.ndarray:
        """Weights of s = max(0, x - eta quota).

        The call price of s is a put price of the catch, (s - k)^+ = (x - k - eta quota)^+, and
        (k - s)^+ = (k - x + eta quota)^+ - (eta quota - x)^+ for k <= x.
        """
        x, noise = self.x[:, None], self.implementation
        mean = noise.mean(quota, quota)[:, None]

        def caught(strike: np.ndarray) -> np.ndarray:
            return noise.call_price(quota[:, None], quota[:, None], strike)

        def call(strike: np.ndarray) -> np.ndarray:
            left = np.maximum(x - strike, 0.0)
            return np.maximum(left - mean + caught(left), 0.0)

        def put(strike: np.ndarray) -> np.ndarray:
            return np.maximum(strike - x, 0.0) + caught(np.maximum(x - strike, 0.0)) - caught(x)

        return self.grid.expectation(call, put, np.zeros(len(quota)), 0)[0]
