"""Expectations of smooth functions of a random stock: cubic splines in its logarithm.

A stock that is lost below a cut has a value that jumps there and is smooth above. A cubic spline
in log x on some forty nodes then errs by 1e-4 where a piecewise linear function would need some
thousand (`grid.py` is exact for those, and the right tool for one stock alone).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from scipy.interpolate import BSpline, make_interp_spline

REACH = 6.0  # standard deviations on either side of the mean that a quadrature covers
POINTS = 24  # Gauss-Legendre points there


@dataclass(frozen=True, eq=False)
class LogCubic:
    """Functions g on (cut, inf): cubic in log x between the nodes, constant above the last.

    Args:
        cut: the lowest node, > 0; at or below it the stock is lost and counts as 0.
        top: the highest node.
        count: number of nodes, >= 4.
    """

    cut: float
    top: float
    count: int

    @cached_property
    def nodes(self) -> np.ndarray:
        """(count,) ascending, geometric."""
        return np.geomspace(self.cut, self.top, self.count)

    @cached_property
    def _knots(self) -> np.ndarray:
        """Of the cubic B-splines in log x, without knots next to the ends."""
        knots: np.ndarray = make_interp_spline(np.log(self.nodes), np.zeros(self.count)).t
        return knots

    @cached_property
    def to_coefficients(self) -> np.ndarray:
        """(count, count): values at the nodes -> coefficients of the B-splines."""
        return np.linalg.inv(self.basis(self.nodes).toarray())

    def basis(self, x: np.ndarray) -> Any:
        """The B-splines at stocks x (n,), held within the nodes: sparse (n, count)."""
        low, high = np.log(self.nodes[[0, -1]])
        inside = np.clip(np.log(np.maximum(x, self.cut)), low, high)
        return sparse.csr_array(BSpline.design_matrix(inside, self._knots, 3))

    def interpolation(self, x: np.ndarray) -> np.ndarray:
        """(n, count): values at the nodes -> values at stocks x (n,)."""
        matrix: np.ndarray = self.basis(x) @ self.to_coefficients
        return matrix

    def expectation(self, noise: Any, median: np.ndarray, s: np.ndarray) -> Any:
        """Coefficients -> E[g(x') 1{x' > cut}], sparse (n, count).

        By Gauss-Legendre quadrature over the normal density above the cut, scaled so that the
        probability of being above it is exact.

        Args:
            noise: a `NormalNoise`: x' = max(0, median + sigma s e).
            median: (n,) next stocks without noise.
            s: (n,) escapements.
        """
        points, shares = np.polynomial.legendre.leggauss(POINTS)
        sd = np.maximum(noise.sigma * s, 1e-12)
        low = np.clip((self.cut - median) / sd, -REACH, REACH)
        half = 0.5 * (REACH - low)
        e = (low + half)[:, None] + half[:, None] * points
        weights = shares * np.exp(-0.5 * e * e)
        survival = 1.0 - noise.cdf(median, s, self.cut)
        weights *= (survival / weights.sum(axis=1))[:, None]
        basis = self.basis((median[:, None] + sd[:, None] * e).ravel())
        n = len(median)
        ends = np.arange(0, n * POINTS + 1, POINTS)
        mean = sparse.csr_array(
            (weights.ravel(), np.arange(n * POINTS), ends), shape=(n, n * POINTS)
        )
        return mean @ basis
