"""The harvest of one stock as a decision problem, and its transition law on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import optimize

from rlopt.theory.grid import Nodes

TINY = 1e-12  # share of the largest stock that is next to nothing
LONGEST = 20_000  # years of backward induction for an endless task whose penalty fades


@dataclass(frozen=True)
class HarvestProblem:
    """One stock, its noise and the manager's objective sum_t gamma^t (catch_t - penalty_t).

    Attributes:
        growth: escapement (n,) -> median next stock (n,), with `reference_points(gamma)`.
        noise: of the kind in `noise.py`.
        gamma: discount in (0, 1]; below 1 where the horizon is None.
        horizon: number of harvests, or None.
        top: largest stock of interest; what exceeds it is accounted for by its mean.
        extinct_below: the stock is lost (value 0 from then on) when x' <= extinct_below.
        extinction_penalty: subtracted, divided by t + 1, in the year t in which that happens.
        implementation: noise eta of the catch min(x, eta * quota), or None.
    """

    growth: Any
    noise: Any
    gamma: float
    horizon: int | None
    top: float
    extinct_below: float = 0.0
    extinction_penalty: float = 0.0
    implementation: Any = None

    def years(self) -> int:
        """Years of backward induction; 0 where one stationary solution serves for all."""
        if self.horizon is not None:
            return self.horizon
        if not self.extinction_penalty:
            return 0
        fading = self.gamma ** np.arange(LONGEST) * self.extinction_penalty
        fading /= np.arange(1, LONGEST + 1)
        return int(np.count_nonzero(fading >= 1e-10))

    @cached_property
    def rate_at_zero(self) -> float:
        """f(s) / s of next to nothing: the growth factor of a stock that has room."""
        small = np.full(1, 1e-9 * self.top)
        return float((self.growth(small) / small)[0])

    @cached_property
    def exponent(self) -> float:
        """V(x) ~ x^exponent of an endless task as x goes to 0.

        Next to nothing grows in proportion, x' = A x with random A. If gamma E[A] > 1 it pays to
        wait, and V(x) = gamma E[V(A x)] asks for gamma E[A^exponent] = 1; else all is landed.
        """
        raw, weights = _quadrature(self.noise.kind)
        one = np.ones_like(raw)
        factor = self.noise.apply(self.rate_at_zero * one, one, raw)

        def gain(exponent: float) -> float:
            return float(self.gamma * weights @ factor**exponent - 1.0)

        if gain(1.0) <= 0.0:
            return 1.0
        return float(optimize.brentq(gain, 1e-6, 1.0)) if gain(1e-6) < 0.0 else 1e-6

    @property
    def finest(self) -> float:
        """Share of `top` down to which the value of a stock is not yet simple.

        Below it, V is a power in an endless task, and linear where the horizon is too near for a
        recovery.
        """
        if self.horizon is None:
            return 1.0 if self.exponent == 1.0 else TINY
        rate = self.rate_at_zero
        return 1.0 if rate <= 1.0 else max(rate**-self.horizon, TINY)

    @property
    def knee(self) -> float:
        """Stock that only luck exceeds: twice the best that growth gives on average."""
        return min(self.top, 2.0 * float(self.growth.peak[1]))


@dataclass(frozen=True, eq=False)
class Kernel:
    """The transition law on a grid: all that a backup needs.

    Attributes:
        problem: what is solved.
        grid: of stocks and escapements.
        exponent: V(x) ~ x^exponent in the first cell of a grid without a cut, in the expectation
            by its tangent at the lowest positive node; 1: linear there, as everywhere else.
    """

    problem: HarvestProblem
    grid: Nodes
    exponent: float = 1.0

    def __getstate__(self) -> dict[str, Any]:
        """Matrices are made again where they are needed."""
        return {"problem": self.problem, "grid": self.grid, "exponent": self.exponent}

    @cached_property
    def _weights_and_excess(self) -> tuple[np.ndarray, np.ndarray]:
        return self.rows(self.grid.nodes)

    @property
    def weights(self) -> np.ndarray:
        """E[V(x') 1{x' > extinct_below} | s] = weights @ V, (nodes, nodes)."""
        return self._weights_and_excess[0]

    @property
    def excess(self) -> np.ndarray:
        """E[(x' - top)^+ | s], (nodes,)."""
        return self._weights_and_excess[1]

    @cached_property
    def loss(self) -> np.ndarray:
        """P(x' <= extinct_below | s), (nodes,)."""
        return self.loss_at(self.grid.nodes)

    def loss_at(self, s: np.ndarray) -> np.ndarray:
        """P(x' <= extinct_below | s) at any escapements (n,)."""
        problem = self.problem
        return problem.noise.cdf(problem.growth(s), s, problem.extinct_below)

    def rows(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights (n, nodes) and excess (n,) at any escapements (n,)."""
        problem, median = self.problem, self.problem.growth(s)

        def call(strike: np.ndarray) -> np.ndarray:
            return problem.noise.call_price(median[:, None], s[:, None], strike)

        def put(strike: np.ndarray) -> np.ndarray:
            return problem.noise.put_price(median[:, None], s[:, None], strike)

        weights, excess = self.grid.expectation(call, put, self.loss_at(s), self.grid.first)
        if not self.grid.cut:
            weights[:, 1] += (1.0 - self.exponent) * weights[:, 0]
        return weights, excess

    def worth(self, value: np.ndarray, slope: float = 1.0) -> np.ndarray:
        """q = gamma E[V(x') | s] - s at the nodes, for V at the nodes and its slope above."""
        future = self.weights @ value + slope * self.excess
        return self.problem.gamma * future - self.grid.nodes

    def penalty(self, year: int) -> np.ndarray | float:
        """Expected extinction penalty of a year, at the nodes."""
        if not self.problem.extinction_penalty:
            return 0.0
        return self.problem.extinction_penalty / (year + 1) * self.loss


def _quadrature(kind: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights (they sum to 1) for the raw draws of a noise."""
    if kind == "normal":
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    elif kind == "uniform":
        nodes, weights = np.polynomial.legendre.leggauss(80)
        nodes = (nodes + 1.0) / 2.0
    else:
        nodes, weights = np.zeros(1), np.ones(1)
    return nodes, weights / weights.sum()
