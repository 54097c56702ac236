"""Monotone problems that are finite sums, and the oracle that counts what a method asks of them.

A problem is: find u in X with <F(u), v - u> >= 0 for all v in X, where F = (1/n) sum F_i is
monotone and X is convex, or all of R^d, where it reads F(u) = 0. How far a point is from solving
it is its residual, |u - Proj(u - F(u))|, which is |F(u)| on R^d. The least residual is 0, so it is
the regret of a point.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from rlopt.spaces import ConvexSet
from rlopt.theory.checks import numbers


class Problem(ABC):
    """A finite sum of operators, pure: it counts nothing and draws nothing.

    Subclasses define `_operator`, `_mean` and `start`, and hand the facts to the constructor.

    Args:
        dimension: d, of the points.
        components: n, of the sum.
        space: X; None for R^d.
        L: |F(u) - F(v)| <= L |u - v|; where cocoercive, F is 1/L-cocoercive.
        L_average: the components' constant on average, for an index drawn uniformly:
            mean_i |F_i(u) - F_i(v)|^2 <= L_average^2 |u - v|^2; where cocoercive,
            <= L_average <F(u) - F(v), u - v>. The least such constant.
        L_importance: what L_average would be if indices were drawn in proportion to the components'
            sizes; the constant of published experiments.
        cocoercive: whether <F(u) - F(v), u - v> >= |F(u) - F(v)|^2 / L.
    """

    def __init__(
        self,
        dimension: int,
        components: int,
        *,
        space: ConvexSet | None,
        L: float,
        L_average: float,
        L_importance: float,
        cocoercive: bool,
    ) -> None:
        self.dimension, self.components, self.space = dimension, components, space
        self.L, self.L_average, self.L_importance = float(L), float(L_average), float(L_importance)
        self.cocoercive = cocoercive

    @abstractmethod
    def start(self) -> np.ndarray:
        """Where methods start by default, (d,)."""

    @abstractmethod
    def _operator(self, u: np.ndarray) -> np.ndarray:
        """F(u), (d,)."""

    @abstractmethod
    def _mean(self, u: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """The mean of F_i(u) over the indices (b,), (d,)."""

    def operator(self, u: Any) -> np.ndarray:
        """F(u) of a point (d,)."""
        return self._operator(self.point("u", u))

    def component(self, i: int, u: Any) -> np.ndarray:
        """F_i(u) of a point (d,); i = 0..n-1.

        Raises:
            ValueError: no such component, or not a finite point of shape (d,).
        """
        if i not in range(self.components):
            raise ValueError(f"{self}: i must be in 0..{self.components - 1}, got {i!r}")
        return self._mean(self.point("u", u), np.array([i]))

    def project(self, u: np.ndarray) -> np.ndarray:
        """The nearest point of X."""
        return u if self.space is None else self.space.project(u)

    def residual(self, u: Any) -> float:
        """|u - Proj(u - F(u))|, >= 0, and 0 exactly at the solutions."""
        point = self.point("u", u)
        return float(np.linalg.norm(point - self.project(point - self._operator(point))))

    def point(self, name: str, u: Any) -> np.ndarray:
        """A point as float64, (d,).

        Raises:
            ValueError: another shape, or not finite.
        """
        array = numbers(str(self), name, u)
        if array.shape != (self.dimension,):
            raise ValueError(
                f"{self}: {name} must be of shape ({self.dimension},), got {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{self}: {name} must be finite, got {array[~np.isfinite(array)][0]}")
        return array


class Oracle:
    """What a method sees of a problem; every component it evaluates is counted.

    Attributes:
        problem: the problem itself, for its constants and its projection, which are free.
        calls: evaluations of components so far; F is n of them.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, self.calls = problem, 0

    def operator(self, u: np.ndarray) -> np.ndarray:
        """F(u), (d,); n calls."""
        self.calls += self.problem.components
        return self.problem._operator(u)

    def mean(self, u: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """The mean of F_i(u) over the indices (b,), (d,); b calls."""
        self.calls += len(indices)
        return self.problem._mean(u, indices)

    def project(self, u: np.ndarray) -> np.ndarray:
        """The nearest point of X."""
        return self.problem.project(u)


def matrix(owner: str, value: Any) -> np.ndarray:
    """A finite matrix that is not 0, as a read-only copy.

    Raises:
        ValueError: it is not.
    """
    array = np.array(numbers(owner, "A", value))
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{owner}: A must be a matrix, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{owner}: A must be finite, got {array[~np.isfinite(array)][0]}")
    if not array.any():
        raise ValueError(f"{owner}: A must not be 0: every point would be a solution")
    array.setflags(write=False)
    return array
