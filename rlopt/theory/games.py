"""Zero-sum matrix games: min over x, max over y of x'Ay on simplices."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlopt.theory.checks import numbers


def equilibrium(A: Any) -> np.ndarray:
    """Optimal mixed strategies x (rows) and y (columns) side by side, by linear programming.

    HiGHS, one programme a side; the value of the game is good to about 1e-9 of the largest entry.

    Args:
        A: what x pays y, (rows, columns), finite.

    Returns:
        (rows + columns,): x and y, each >= 0 with sum 1.

    Raises:
        ValueError: another A.
        ArithmeticError: the solver failed.

    >>> equilibrium([[3.0, -1.0], [-2.0, 1.0]]).round(12).tolist()
    [0.428571428571, 0.571428571429, 0.285714285714, 0.714285714286]
    """
    table = numbers("equilibrium", "A", A)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError(f"equilibrium: A must be of shape (rows, columns) and finite, got {A!r}")
    table = table / (np.abs(table).max() or 1.0)
    return np.concatenate([_least_paying(table), _least_paying(-table.T)])


def _least_paying(A: np.ndarray) -> np.ndarray:
    """The mixed strategy x with the least max_j (A'x)_j, (rows,)."""
    from scipy.optimize import linprog

    rows, columns = A.shape
    solved = linprog(
        np.append(np.zeros(rows), 1.0),
        A_ub=np.column_stack([A.T, -np.ones(columns)]),
        b_ub=np.zeros(columns),
        A_eq=np.append(np.ones(rows), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0.0, None)] * rows + [(None, None)],
        method="highs",
    )
    if not solved.success:
        raise ArithmeticError(f"equilibrium: the linear programme failed: {solved.message}")
    x: np.ndarray = np.maximum(solved.x[:rows], 0.0)
    return x / x.sum()
