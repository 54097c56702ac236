"""Upper bounds on how gradients differ, where each is r_i a_i with r_i in an interval.

So are those of every loss phi(<a_i, x>, b_i): r_i = phi' at a margin that the set confines. The
bounds let each r_i move on its own; squared distances are convex in them, so largest at the ends.
"""

from __future__ import annotations

from itertools import product

import numpy as np


def variance_bound(
    rows: np.ndarray, law: np.ndarray, low: np.ndarray, high: np.ndarray, middles: np.ndarray
) -> float:
    """At least E |r_i a_i - E r_i a_i|^2, whatever the r_i are.

    The mean minimises E |r_i a_i - m|^2, so that any m gives an upper bound.

    Args:
        rows: a, (n, d).
        law: (n,).
        low: smallest r, (n,).
        high: largest r, (n,).
        middles: (k, n) values of r; m is the mean gradient at each, and the best bound counts.
    """
    bounds = []
    for r in middles:
        mean = (law * r) @ rows
        ends = [((end[:, None] * rows - mean) ** 2).sum(axis=1) for end in (low, high)]
        bounds.append(float(law @ np.maximum(*ends)))
    return min(bounds)


def mean_pair_bound(rows: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """At least the mean over pairs i != j of sup |r_i a_i - r_j a_j|^2."""
    n = len(rows)
    squares = (rows**2).sum(axis=1)
    apart = _apart(
        (squares[:, None], low[:, None], high[:, None]), (squares, low, high), rows @ rows.T
    )
    np.fill_diagonal(apart, 0.0)
    return float(apart.sum() / max(n * (n - 1), 1))


def neighbour_bounds(rows: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """At least sup |r_i a_i - r_{i-1} a_{i-1}|^2 for each i >= 1, (n - 1,)."""
    squares = (rows**2).sum(axis=1)
    inner = (rows[1:] * rows[:-1]).sum(axis=1)
    return _apart((squares[1:], low[1:], high[1:]), (squares[:-1], low[:-1], high[:-1]), inner)


End = tuple[np.ndarray, np.ndarray, np.ndarray]


def _apart(one: End, other: End, inner: np.ndarray) -> np.ndarray:
    """The largest |r a - q b|^2 over the ends of both intervals.

    Args:
        one: |a|^2, smallest r, largest r.
        other: |b|^2, smallest q, largest q.
        inner: <a, b>.
    """
    found = np.zeros_like(inner)
    for r, q in product(one[1:], other[1:]):
        np.maximum(found, r**2 * one[0] + q**2 * other[0] - 2.0 * r * q * inner, out=found)
    return found
