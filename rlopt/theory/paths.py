"""The best moving comparator with a budget of path length, as a second-order cone programme."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rlopt.theory.checks import nonnegative


class Region(NamedTuple):
    """A convex set in plain numbers: bounds on all coordinates, more on slices of them.

    Attributes:
        low: (d,) smallest coordinates.
        high: (d,) largest coordinates.
        balls: slices whose Euclidean length is at most the number beside them.
        simplexes: slices that sum to 1.
    """

    low: np.ndarray
    high: np.ndarray
    balls: tuple[tuple[slice, float], ...] = ()
    simplexes: tuple[slice, ...] = ()


def nearest_path(targets: np.ndarray, budget: float, region: Region) -> np.ndarray:
    """The path in a set that minimises sum |u_t - c_t|^2 with sum_{t >= 2} |u_t - u_{t-1}| <= P.

    Args:
        targets: c, (T, d).
        budget: P >= 0.
        region: the set.

    Returns:
        u, (T, d), as exact as an interior-point method is (about 1e-8).

    Raises:
        ValueError: a negative or infinite budget.
        ArithmeticError: the solver failed.
    """
    import cvxpy

    cp: Any = cvxpy  # its types do not say what it exports

    budget = nonnegative("nearest_path", "budget", budget)
    u = cp.Variable(targets.shape)
    T = len(targets)
    inside = [u >= np.tile(region.low, (T, 1)), u <= np.tile(region.high, (T, 1))]
    inside += [cp.norm(u[:, part], axis=1) <= radius for part, radius in region.balls]
    inside += [cp.sum(u[:, part], axis=1) == 1.0 for part in region.simplexes]
    if T > 1:
        inside.append(cp.sum(cp.norm(u[1:] - u[:-1], axis=1)) <= budget)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(u - targets)), inside)
    problem.solve(solver=cp.CLARABEL)
    if u.value is None:
        raise ArithmeticError(f"nearest_path: the solver stopped with {problem.status!r}")
    return np.asarray(u.value)
