"""Bilinear saddle points, unconstrained and on simplices: min over x, max over y of x'Ay."""

from __future__ import annotations

from functools import cached_property
from math import sqrt
from typing import Any

import numpy as np

from rlopt.agents.halpern.problems import Problem, matrix
from rlopt.spaces import ConvexSet, Product, Simplex
from rlopt.theory.games import equilibrium


class _Saddle(Problem):
    """F(x, y) = (Ay, -A'x), a sum over n = max(rows, columns) components.

    Component i is F_i(x, y) = (n A[:, i] y_i, -n A[i, :] x_i). Where A is not square, the index of
    the shorter side wraps around, and a row or column that belongs to c components carries n / c in
    each of them, so that the mean stays F: with 2 rows and 3 columns, row 0 belongs to components
    0 and 2 with the factor 3 / 2, row 1 to component 1 with the factor 3.
    """

    def __init__(
        self, A: np.ndarray, slopes: np.ndarray, offset: Any, space: ConvexSet | None
    ) -> None:
        """Keep F as offset + slopes.u; `slopes` is A, or what is left of it after centring."""
        self.A, self._slopes, self._offset = A, slopes, offset
        rows, columns = A.shape
        n = max(rows, columns)
        self._row_weight, self._column_weight = _weights(rows, n), _weights(columns, n)
        row_size = self._row_weight * (slopes**2).sum(axis=1)
        column_size = self._column_weight * (slopes**2).sum(axis=0)
        super().__init__(
            rows + columns,
            n,
            space=space,
            L=float(np.linalg.norm(slopes, 2)),
            L_average=sqrt(max(row_size.max(), column_size.max())),
            L_importance=float(np.linalg.norm(slopes)),
            cocoercive=False,
        )

    def split(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The players' parts x and y of a point."""
        rows = len(self.A)
        return u[:rows], u[rows:]

    def _operator(self, u: np.ndarray) -> np.ndarray:
        x, y = self.split(u)
        return np.concatenate([self._slopes @ y, -(self._slopes.T @ x)]) + self._offset

    def _mean(self, u: np.ndarray, indices: np.ndarray) -> np.ndarray:
        x, y = self.split(u)
        rows, columns = indices % len(x), indices % len(y)
        over_x = self._slopes[:, columns] @ (self._column_weight[columns] * y[columns])
        over_y = (self._row_weight[rows] * x[rows]) @ self._slopes[rows]
        return np.concatenate([over_x, -over_y]) / len(indices) + self._offset

    def __repr__(self) -> str:
        rows, columns = self.A.shape
        return f"{type(self).__name__}({rows} x {columns})"


class Bilinear(_Saddle):
    """The unconstrained saddle point of x'Ay, x in R^rows, y in R^columns; monotone only.

    Points are x and y side by side. L = |A|_2; the residual is |F(u)|; 0 is a solution.

    Args:
        A: (rows, columns), finite, not 0.

    Raises:
        ValueError: another A.

    >>> Bilinear([[0.0, 2.0], [1.0, 0.0]]).operator([1.0, 2.0, 3.0, 4.0]).tolist()
    [8.0, 3.0, -2.0, -2.0]
    """

    def __init__(self, A: Any) -> None:
        checked = matrix("Bilinear", A)
        super().__init__(checked, checked, 0.0, None)

    def start(self) -> np.ndarray:
        """The unit vector with equal coordinates: 0 would be the solution itself."""
        return np.full(self.dimension, self.dimension**-0.5)


class MatrixGame(_Saddle):
    """The zero-sum game of x'Ay on simplices: x (rows) minimises, y (columns) maximises.

    Points are the mixed strategies x and y side by side. L = |A|_2, L_importance = |A|_F.

    Args:
        A: (rows, columns) of losses to x, finite, not 0.
        centred: split A = C + r 1' + 1 s' with the row and column means of C equal to 0, and give
            the components the rows and columns of C: F(x, y) = (Cy + r, -C'x - s). It differs from
            (Ay, -A'x) on the simplices only by multiples of the vectors of ones, which projections
            do not see, so the game, the residual and the points of each method at a given step are
            the same. But the constants become those of C, the least for a game on simplices: a
            large L that only such directions cause makes every step needlessly small.

    Raises:
        ValueError: another A; or a centred game with C = 0, in which the players' choices do not
            interact.

    >>> round(MatrixGame([[3.0, -1.0], [-2.0, 1.0]]).value, 12)
    0.142857142857
    """

    def __init__(self, A: Any, centred: bool = False) -> None:
        checked = matrix("MatrixGame", A)
        rows, columns = checked.shape
        space = Product(Simplex(rows), Simplex(columns))
        if not centred:
            super().__init__(checked, checked, 0.0, space)
            return
        r = checked.mean(axis=1)
        s = checked.mean(axis=0) - checked.mean()
        rest = checked - r[:, None] - s
        if np.abs(rest).max() <= 1e-12 * np.abs(checked).max():
            raise ValueError("MatrixGame: A is r 1' + 1 s': nothing is left of it when centred")
        super().__init__(checked, rest, np.concatenate([r, -s]), space)

    def start(self) -> np.ndarray:
        """Uniform strategies."""
        rows, columns = self.A.shape
        return np.concatenate([np.full(rows, 1.0 / rows), np.full(columns, 1.0 / columns)])

    def gap(self, u: Any) -> float:
        """The duality gap max_y x'Ay - min_x x'Ay, a certificate: the value lies within it.

        It is 0 exactly at the solutions, and bounds what either player can gain by deviating.
        """
        x, y = self.split(self.point("u", u))
        return float((self.A.T @ x).max() - (self.A @ y).min())

    @property
    def value(self) -> float:
        """min over x, max over y of x'Ay, by linear programming (HiGHS, errors about 1e-9)."""
        x, y = self.split(self.solution)
        return float(((self.A.T @ x).max() + (self.A @ y).min()) / 2.0)

    @cached_property
    def solution(self) -> np.ndarray:
        """Optimal strategies x and y side by side, (rows + columns,).

        Raises:
            ArithmeticError: the solver failed.
        """
        return equilibrium(self.A)


def _weights(size: int, n: int) -> np.ndarray:
    """n over the number of components 0..n-1 that each index of a side belongs to, (size,)."""
    return n / np.bincount(np.arange(n) % size)
