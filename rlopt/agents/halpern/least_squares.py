"""Least squares as a finite sum of cocoercive operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlopt.agents.halpern.problems import Problem, matrix
from rlopt.spaces import ConvexSet
from rlopt.theory.checks import numbers


class LeastSquares(Problem):
    """The minimum of |Au - b|^2 / (2 n), n the number of rows; F_i(u) = a_i (a_i.u - b_i).

    L = |A|_2^2 / n. The components are 1/L_average-cocoercive on average, L_average <= max |a_i|^2
    being the largest eigenvalue of U' diag(|a_i|^2) U, where U are A's left singular vectors.

    Args:
        A: (n, d), finite, not 0.
        b: (n,), finite.
        space: X, of dimension d; None for R^d.

    Raises:
        ValueError: other shapes, or not finite.

    >>> LeastSquares([[1.0, 0.0], [1.0, 2.0]], [1.0, 1.0]).operator([0.0, 0.0]).tolist()
    [-1.0, -1.0]
    """

    def __init__(self, A: Any, b: Any, space: ConvexSet | None = None) -> None:
        self.A = matrix("LeastSquares", A)
        n, d = self.A.shape
        self.b = np.array(numbers("LeastSquares", "b", b))
        if self.b.shape != (n,) or not np.isfinite(self.b).all():
            raise ValueError(f"LeastSquares: b must be finite and of shape ({n},), got {b!r}")
        if space is not None and getattr(space, "dimension", None) != d:
            raise ValueError(
                f"LeastSquares: space must be one of rlopt.spaces with dimension {d}, got {space!r}"
            )
        sizes = (self.A**2).sum(axis=1)
        left, stretch, _ = np.linalg.svd(self.A, full_matrices=False)
        left = left[:, stretch > stretch[0] * max(n, d) * np.finfo(float).eps]
        super().__init__(
            d,
            n,
            space=space,
            L=stretch[0] ** 2 / n,
            L_average=np.linalg.eigvalsh(left.T @ (sizes[:, None] * left))[-1],
            L_importance=sizes.mean(),
            cocoercive=True,
        )

    def start(self) -> np.ndarray:
        """The point of X nearest to 0."""
        return self.project(np.zeros(self.dimension))

    def _operator(self, u: np.ndarray) -> np.ndarray:
        return self.A.T @ (self.A @ u - self.b) / self.components

    def _mean(self, u: np.ndarray, indices: np.ndarray) -> np.ndarray:
        rows = self.A[indices]
        return rows.T @ (rows @ u - self.b[indices]) / len(indices)

    def __repr__(self) -> str:
        return f"LeastSquares({self.components} x {self.dimension})"
