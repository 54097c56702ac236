"""Intervals of arrays, rounded outwards: what holds of the bounds holds of the exact numbers.

Every function takes and gives pairs (low, high) of arrays; leading axes are a batch. Products may
underflow, each by up to half of `TINY`; what is 0 because a factor is 0 stays 0.
"""

from __future__ import annotations

import numpy as np

from rlopt.theory.certificate import UNIT, gamma_n

Interval = tuple[np.ndarray, np.ndarray]
TINY = 2.0**-1074  # the least positive float
SMALL = 2.0**-900  # sums of absolute products above it dwarf what underflow takes


def widened(low: np.ndarray, high: np.ndarray, error: np.ndarray) -> Interval:
    """Both ends moved outwards by an error bound and by one rounding of the result.

    Sums never underflow, so `error` alone has to cover the products before.
    """
    return (
        low - error - 2.0 * UNIT * (np.abs(low) + error),
        high + error + 2.0 * UNIT * (np.abs(high) + error),
    )


def times_matrix(factor: Interval, matrix: np.ndarray, rounding: float = 0.0) -> Interval:
    """factor @ matrix for an interval (..., n) and a matrix (n, p) known to a relative error."""
    low, high = factor
    mid = 0.5 * low + 0.5 * high
    rad = np.maximum(high - mid, mid - low) * (1.0 + 4.0 * UNIT)
    size, center = np.abs(matrix), mid @ matrix
    reach = np.abs(mid) + rad
    whole = reach @ size
    doubt = 2.0 * gamma_n(len(matrix) + 8) + 1.01 * rounding
    spread = rad @ size + doubt * whole
    if (whole < SMALL).any():
        touched = (reach > 0.0).astype(float) @ (size > 0.0).astype(float)
        spread = spread + (2 * len(matrix) + 8) * TINY * (touched > 0.0)
    return widened(center, center, spread)


def added(first: Interval, second: Interval | np.ndarray) -> Interval:
    """The sum of two intervals, or of an interval and an array."""
    low, high = second if isinstance(second, tuple) else (second, second)
    return widened(first[0] + low, first[1] + high, np.zeros_like(first[0]))


def scaled(factor: Interval, slope: Interval) -> Interval:
    """The entrywise product of two intervals."""
    products = np.stack([a * b for a in factor for b in slope])
    touched = (magnitude(factor) > 0.0) & (magnitude(slope) > 0.0)
    return widened(products.min(axis=0), products.max(axis=0), TINY * touched)


def magnitude(interval: Interval) -> np.ndarray:
    """The largest absolute value."""
    return np.maximum(np.abs(interval[0]), np.abs(interval[1]))


def common(first: Interval, second: Interval) -> Interval:
    """What lies in both; an interval with low > high holds nothing."""
    return np.maximum(first[0], second[0]), np.minimum(first[1], second[1])
