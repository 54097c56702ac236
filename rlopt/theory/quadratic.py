"""The largest value of a convex quadratic x'Qx - 2 l'x over a ball, over points, over a box.

A convex function is largest at an extreme point: on the sphere for a ball, where the secular
equation finds it (More and Sorensen 1983), among the corners for polytopes.
"""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from rlopt.theory.checks import numbers, positive

EXACT_SIDES = 16  # a box with more sides than that has too many corners to look at each
ROWS = 4096  # corners looked at together
STARTS = 32  # of the search among the corners of larger boxes
ROUNDING = 1e-12  # relative to the largest eigenvalue


class Maximum(NamedTuple):
    """A maximum, or a bracket around it.

    Attributes:
        lower: attained at x.
        upper: no point of the set does better.
        x: a point of the set, (d,).
        exact: whether lower and upper differ by rounding only.
    """

    lower: float
    upper: float
    x: np.ndarray
    exact: bool


def largest_on_ball(Q: Any, linear: Any, radius: float) -> Maximum:
    """Maximum of x'Qx - 2 l'x over |x| <= radius.

    With Q = sum q_i v_i v_i' and l_i = <v_i, l> the maximum is the minimum over mu >= max q of
    mu radius^2 + sum l_i^2 / (mu - q_i), and x_i = -l_i / (mu - q_i) has length radius there.
    In the hard case (l has no part along the top eigenvectors) mu may be max q itself, and a top
    eigenvector makes up the length.

    Args:
        Q: (d, d), symmetric positive semidefinite.
        linear: l, (d,).
        radius: > 0.

    Raises:
        ValueError: numbers that are not finite, shapes that do not fit, or a Q that is not
            symmetric or not convex.
    """
    radius = positive("largest_on_ball", "radius", radius)
    matrix, vector = _checked("largest_on_ball", Q, linear)
    scales, axes = np.linalg.eigh(matrix)
    part = axes.T @ vector
    below = scales[-1] - scales
    below[below <= ROUNDING * abs(scales[-1])] = 0.0
    above = _secular(below, part, radius)
    safe = np.where(above + below > 0.0, above + below, 1.0)
    there = np.where(above + below > 0.0, -part / safe, 0.0)
    missing = radius**2 - float(there @ there)
    if above == 0.0 and missing > 0.0:
        there[-1] += sqrt(missing)
    x = axes @ (there * (radius / max(float(np.linalg.norm(there)), 1e-300)))
    value = float(x @ matrix @ x - 2.0 * vector @ x)
    return Maximum(value, value, x, True)


def _secular(below: np.ndarray, part: np.ndarray, radius: float) -> float:
    """How far mu lies above the largest eigenvalue.

    Args:
        below: (d,) distances of the eigenvalues from the largest, with zeros.
        part: (d,) the linear term along the eigenvectors.
        radius: of the ball.
    """
    top = float(np.linalg.norm(part[below == 0.0]))

    def excess(above: float) -> float:
        return 1.0 / radius - 1.0 / float(np.linalg.norm(part / (below + above)))

    if top <= ROUNDING * float(np.linalg.norm(part)):
        rest = part[below > 0.0] / below[below > 0.0]
        if np.linalg.norm(rest) <= radius:
            return 0.0
    least, most = top / radius, float(np.linalg.norm(part)) / radius
    least = max(least, 1e-14 * most)
    if excess(least) <= 0.0 or excess(most) >= 0.0:  # one eigenvalue: both ends are the root
        return least if abs(excess(least)) <= abs(excess(most)) else most
    return float(brentq(excess, least, most, xtol=1e-300, rtol=8.9e-16, maxiter=500))


def largest_on_points(Q: Any, linear: Any, points: Any) -> Maximum:
    """Maximum of x'Qx - 2 l'x over the convex hull of points.

    Args:
        Q: (d, d), symmetric positive semidefinite.
        linear: l, (d,).
        points: (n, d).

    Raises:
        ValueError: as `largest_on_ball`.
    """
    matrix, vector = _checked("largest_on_points", Q, linear)
    corners = numbers("largest_on_points", "points", points)
    if corners.ndim != 2 or corners.shape[1:] != vector.shape or not len(corners):
        raise ValueError(
            f"largest_on_points: points must be of shape (n, {len(vector)}), got {corners.shape}"
        )
    if not np.isfinite(corners).all():
        raise ValueError("largest_on_points: points must be finite")
    values = _values(matrix, vector, corners)
    best = int(values.argmax())
    value = float(values[best])
    return Maximum(value, value, corners[best].copy(), True)


def largest_on_box(Q: Any, linear: Any, low: Any, high: Any) -> Maximum:
    """Maximum of x'Qx - 2 l'x over low <= x <= high.

    Up to 16 sides every corner is looked at. Beyond that `lower` is the best corner of a search
    by single flips, and `upper` the smaller of two relaxations around the centre: the ball
    through the corners, and the sum of the absolute coefficients.

    Args:
        Q: (d, d), symmetric positive semidefinite.
        linear: l, (d,).
        low: (d,).
        high: (d,), >= low.

    Raises:
        ValueError: as `largest_on_ball`, or bounds that are not ordered.
    """
    matrix, vector = _checked("largest_on_box", Q, linear)
    least, most = (numbers("largest_on_box", "bounds", bound) for bound in (low, high))
    if least.shape != vector.shape or most.shape != vector.shape:
        raise ValueError(
            f"largest_on_box: low and high must be of shape {vector.shape}, "
            f"got {least.shape}, {most.shape}"
        )
    if not (np.isfinite([least, most]).all() and (least <= most).all()):
        raise ValueError(f"largest_on_box: needs finite low <= high, got {low}, {high}")
    centre, half = (least + most) / 2.0, (most - least) / 2.0
    wide = np.flatnonzero(half > 0.0)
    # in signs s of the wide sides: constant + 2 slope's + s'Ms
    constant = float(centre @ matrix @ centre - 2.0 * vector @ centre)
    slope = (half * (matrix @ centre - vector))[wide]
    M = (half[:, None] * matrix * half)[np.ix_(wide, wide)]
    few = len(wide) <= EXACT_SIDES
    signs = _best_corner(M, -slope) if few else _found_corner(M, -slope)
    x = centre.copy()
    x[wide] += half[wide] * signs
    x = np.clip(x, least, most)
    lower = float(x @ matrix @ x - 2.0 * vector @ x)
    if few:
        return Maximum(lower, lower, x, True)
    around = largest_on_ball(M, -slope, sqrt(len(wide))).upper
    apart = 2.0 * np.abs(slope).sum() + np.abs(M).sum()
    return Maximum(lower, max(lower, constant + float(min(around, apart))), x, False)


def _best_corner(M: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """The signs that maximise s'Ms - 2 l's, every one looked at."""
    d = len(linear)
    best, signs = -np.inf, np.ones(d)
    for start in range(0, 2**d, ROWS):
        number = np.arange(start, min(start + ROWS, 2**d))
        corners = 2.0 * (number[:, None] >> np.arange(d) & 1) - 1.0
        values = _values(M, linear, corners)
        if values.max() > best:
            best, signs = float(values.max()), corners[values.argmax()]
    return signs


def _found_corner(M: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """Good signs for s'Ms - 2 l's: the best single flip until none helps, from many starts."""
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], (STARTS, len(linear)))
    signs[0] = np.where(linear > 0.0, -1.0, 1.0)
    rows = np.arange(STARTS)
    while True:
        gain = -4.0 * signs * (signs @ M - linear) + 4.0 * np.diag(M)
        flip = gain.argmax(axis=1)
        better = gain[rows, flip] > ROUNDING * (1.0 + np.abs(M).sum())
        if not better.any():
            return signs[_values(M, linear, signs).argmax()]
        signs[rows[better], flip[better]] *= -1.0


def _values(matrix: np.ndarray, vector: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.asarray(((points @ matrix) * points).sum(axis=1) - 2.0 * points @ vector)


def _checked(owner: str, Q: Any, linear: Any) -> tuple[np.ndarray, np.ndarray]:
    """Q symmetric and convex, and l, finite and of shapes that fit."""
    matrix, vector = numbers(owner, "Q", Q), numbers(owner, "linear", linear)
    if vector.ndim != 1 or not len(vector) or matrix.shape != (len(vector), len(vector)):
        raise ValueError(
            f"{owner}: Q and linear must be of shapes (d, d) and (d,), "
            f"got {matrix.shape} and {vector.shape}"
        )
    if not (np.isfinite(matrix).all() and np.isfinite(vector).all()):
        raise ValueError(f"{owner}: Q and linear must be finite")
    size = float(np.abs(matrix).max())
    if np.abs(matrix - matrix.T).max() > 1e-9 * size:
        raise ValueError(f"{owner}: Q must be symmetric")
    matrix = (matrix + matrix.T) / 2.0
    lowest = float(np.linalg.eigvalsh(matrix)[0])
    if lowest < -1e-9 * size:
        raise ValueError(f"{owner}: Q must be convex, got an eigenvalue {lowest:.3g}")
    return matrix, vector
