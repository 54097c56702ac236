"""What regret is measured against: the best fixed point, the best moving ones, in hindsight.

Best points come with a certificate: `value - gap` is below the minimum, where `gap` is the
Frank-Wolfe gap, max over u in X of <grad f(x), x - u>, which is exact on these sets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rlopt.spaces import Ball, BoxSet, ConvexSet, Ellipsoid, Product, Simplex
from rlopt.theory.checks import nonnegative, numbers, whole
from rlopt.theory.paths import Region, nearest_path

GAP = 1e-13  # relative; where Newton's method stops
ALLOWED_GAP = 1e-8  # relative; beyond it there is no oracle
NEWTON_STEPS = 500
PATIENCE = 20  # steps without half the gap: what is left is the rounding of the projections
RIDGE = 1e-4  # of the largest curvature: keeps the metric of the projection well conditioned


class Best(NamedTuple):
    """A best fixed point in hindsight.

    Attributes:
        x: the point, (d,).
        value: summed loss there (weighted, if weights were given).
        gap: no point of the set loses less than value - gap.
    """

    x: np.ndarray
    value: float
    gap: float


Curve = Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]


def fixed_linear(S: Any, space: ConvexSet) -> np.ndarray:
    """The points that minimise <S, x>; of ties the first corner, or the centre of a ball.

    Args:
        S: (..., d), finite.
        space: Ball, Ellipsoid, Simplex, BoxSet, or a Product of them.

    Returns:
        (..., d) points of the set.

    Raises:
        ValueError: another dimension, numbers that are not finite, or a set of another kind.
    """
    slope = _rows("fixed_linear", "S", S, space)
    if isinstance(space, Ball):
        length = np.linalg.norm(slope, axis=-1, keepdims=True)
        return -space.radius * slope / np.where(length > 0.0, length, 1.0)
    if isinstance(space, Ellipsoid):
        inverse = np.linalg.solve(space.A, slope[..., None])[..., 0]
        length = np.sqrt((slope * inverse).sum(axis=-1, keepdims=True))
        return -inverse / np.where(length > 0.0, length, 1.0)
    if isinstance(space, Simplex):
        return np.eye(space.dimension)[slope.argmin(axis=-1)]
    if isinstance(space, BoxSet):
        return np.where(slope > 0.0, space.low, space.high)
    if isinstance(space, Product):
        blocks = zip(space.parts, space.split(slope), strict=True)
        return np.concatenate([fixed_linear(block, part) for part, block in blocks], axis=-1)
    raise ValueError(f"fixed_linear: space must be one of rlopt.spaces, got {space!r}")


def fixed_quadratic(c: Any, space: ConvexSet) -> Best:
    """Best fixed point for the losses 1/2 |x - c_t|^2: the projection of the mean.

    Args:
        c: (T, d), finite.
        space: any convex set.

    Raises:
        ValueError: shapes that do not fit, or numbers that are not finite.
    """
    targets = _table("fixed_quadratic", c, space)
    x = space.project(targets.mean(axis=0))
    return Best(x, 0.5 * float(((x - targets) ** 2).sum()), 0.0)


def per_round(c: Any, space: ConvexSet) -> float:
    """Least total of 1/2 |u_t - c_t|^2 with a point of its own every round; else `pieces`."""
    targets = _table("per_round", c, space)
    return 0.5 * float(((space.project(targets) - targets) ** 2).sum())


def path_budget(c: Any, space: ConvexSet, P: float) -> float:
    """Least total of 1/2 |u_t - c_t|^2 over u_t in X with sum_{t >= 2} |u_t - u_{t-1}| <= P.

    A second-order cone programme, good to about 1e-7; the value is that of a feasible path, so
    never too low. Exact at P = 0, and where the nearest points are no longer than P.

    Args:
        c: (T, d), finite.
        space: Ball, Simplex, BoxSet, or a Product of them.
        P: >= 0.

    Raises:
        ValueError: shapes that do not fit, numbers that are not finite, or P < 0.
    """
    targets = _table("path_budget", c, space)
    budget = nonnegative("path_budget", "P", P)
    if budget == 0.0:
        return fixed_quadratic(targets, space).value
    if _length(space.project(targets)) <= budget:
        return per_round(targets, space)
    path = space.project(nearest_path(targets, budget, region(space)))
    shrink = min(1.0, budget / max(_length(path), 1e-300))  # onto its mean: stays in the set
    path = path.mean(axis=0) + shrink * (path - path.mean(axis=0))
    return 0.5 * float(((path - targets) ** 2).sum())


def pieces(c: Any, space: ConvexSet, K: int) -> float:
    """Least total of 1/2 |u_t - c_t|^2 over u_t in X that take at most K values in a row.

    Dynamic programming over the last switch, O(K T^2); a segment costs its spread about its mean
    and the mean's distance from X.

    Args:
        c: (T, d), finite.
        space: any convex set.
        K: pieces, 1 <= K <= T.

    Raises:
        ValueError: shapes that do not fit, numbers that are not finite, or K out of range.
    """
    targets = _table("pieces", c, space)
    T = len(targets)
    pieces = whole("pieces", "K", K, 1)
    if pieces > T:
        raise ValueError(f"pieces: K must be at most the {T} rounds, got {K!r}")
    cost = _segments(targets, space)
    least = cost[0]  # least[t]: of rounds 0..t, in just as many pieces as so far
    for _ in range(pieces - 1):
        split = least[:-1, None] + cost[1:]  # (last round before the switch, t)
        least = split.min(axis=0)  # another piece never costs more
    return float(least[-1])


def _segments(targets: np.ndarray, space: ConvexSet) -> np.ndarray:
    """Cost of a single point in rounds s..t, (T, T); infinite where t < s."""
    T = len(targets)
    centre = targets.mean(axis=0)
    sums = np.cumsum(np.vstack([np.zeros_like(centre), targets - centre]), axis=0)
    squares = np.append(0.0, np.cumsum(((targets - centre) ** 2).sum(axis=1)))
    cost = np.full((T, T), np.inf)
    for s in range(T):
        length = np.arange(1, T - s + 1)
        mean = (sums[s + 1 :] - sums[s]) / length[:, None]
        spread = squares[s + 1 :] - squares[s] - length * (mean**2).sum(axis=1)
        off = ((space.project(mean + centre) - mean - centre) ** 2).sum(axis=1)
        cost[s, s:] = 0.5 * (np.maximum(spread, 0.0) + length * off)
    return cost


def least_squares(A: Any, b: Any, space: ConvexSet, weights: Any = None) -> Best:
    """Best fixed point for the losses 1/2 (<a_i, x> - b_i)^2.

    Args:
        A: (n, d), finite.
        b: (n,), finite.
        space: Ball, Ellipsoid, Simplex, BoxSet, or a Product of them.
        weights: (n,), >= 0; by default 1 each, a sum over the rows.

    Raises:
        ValueError: shapes that do not fit or numbers that are not finite.
        ArithmeticError: the minimum could not be certified to 1e-8.
    """
    rows, targets, w = _sample("least_squares", A, b, space, weights)

    def curve(x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        off = rows @ x - targets
        return 0.5 * float(w @ off**2), rows.T @ (w * off), (rows.T * w) @ rows

    return newton(curve, space)


def logistic(A: Any, y: Any, space: ConvexSet, weights: Any = None) -> Best:
    """Best fixed point for the losses ln(1 + exp(-y_i <a_i, x>)).

    Args:
        A: (n, d), finite.
        y: (n,), each -1 or 1.
        space: as in `least_squares`.
        weights: likewise.

    Raises:
        ValueError: as `least_squares`, or labels other than -1 and 1.
        ArithmeticError: as `least_squares`.
    """
    from scipy.special import expit

    rows, labels, w = _sample("logistic", A, y, space, weights)
    if not (np.abs(labels) == 1.0).all():
        raise ValueError("logistic: labels y must be -1 or 1")
    signed = rows * labels[:, None]

    def curve(x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        margin = signed @ x
        off = expit(-margin)
        hessian = (signed.T * (w * off * (1.0 - off))) @ signed
        return float(w @ np.logaddexp(0.0, -margin)), -signed.T @ (w * off), hessian

    return newton(curve, space)


def log_wealth(r: Any, weights: Any = None) -> Best:
    """Best constant-rebalanced portfolio: the losses are -ln <r_i, x> on the simplex.

    Args:
        r: (n, d) price relatives, > 0.
        weights: (n,), >= 0; by default 1 each.

    Raises:
        ValueError: shapes that do not fit, or price relatives that are not positive and finite.
        ArithmeticError: as `least_squares`.
    """
    table = numbers("log_wealth", "r", r)
    if table.ndim != 2 or not table.size or not ((table > 0.0) & np.isfinite(table)).all():
        raise ValueError(f"log_wealth: r must be (n, d), positive and finite, got {r!r}")
    space = Simplex(table.shape[1])
    rows, _, w = _sample("log_wealth", table, np.zeros(len(table)), space, weights)
    along = rows - rows.mean(axis=1, keepdims=True)  # steps within the simplex sum to 0

    def curve(x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        growth = rows @ x
        hessian = (along.T * (w / growth**2)) @ along
        return -float(w @ np.log(growth)), -along.T @ (w / growth), hessian

    return newton(curve, space)


def newton(curve: Curve, space: ConvexSet) -> Best:
    """Minimise a smooth convex function by projected Newton steps with halving.

    Each step minimises the quadratic model over the set, which is a projection in the metric of
    the Hessian, and then halves until the decrease is a quarter of what the model's slope says.

    Args:
        curve: x -> value, gradient (d,), Hessian (d, d).
        space: Ball, Ellipsoid, Simplex, BoxSet, or a Product of them.

    Raises:
        ArithmeticError: the gap stayed above 1e-8 relative.
    """
    x = space.project(np.zeros(space.dimension))
    best, halved, waited = Best(x, np.inf, np.inf), np.inf, 0
    value, slope, hessian = curve(x)
    for _ in range(NEWTON_STEPS):
        gap = max(float(slope @ (x - fixed_linear(slope, space))), 0.0)
        if gap < best.gap:
            best = Best(x, value, gap)
        waited += 1
        if gap <= 0.5 * halved:
            halved, waited = gap, 0
        if gap <= GAP * (1.0 + abs(value)) or waited > PATIENCE:
            break
        metric = hessian + RIDGE * np.linalg.norm(hessian, 2) * np.eye(len(x))
        step = space.project(x - np.linalg.solve(metric, slope), metric=metric) - x
        for halvings in range(40):
            new = x + step * 0.5**halvings
            trial = curve(new)
            if trial[0] <= value + 0.25 * 0.5**halvings * float(slope @ step):
                break
        else:
            break  # rounding: no decrease is left to find
        x, (value, slope, hessian) = new, trial
    if not best.gap <= ALLOWED_GAP * (1.0 + abs(best.value)):
        raise ArithmeticError(f"best fixed point: the gap is still {best.gap:.3g}")
    return best


def region(space: ConvexSet) -> Region:
    """The set in plain numbers."""
    balls: list[tuple[slice, float]] = []
    simplexes: list[slice] = []
    start = 0
    for part in _leaves(space):
        where = slice(start, start + part.dimension)
        start += part.dimension
        if isinstance(part, Ball):
            balls.append((where, part.radius))
        elif isinstance(part, Simplex):
            simplexes.append(where)
        elif not isinstance(part, BoxSet):
            raise ValueError(
                f"path_budget: space must be made of Ball, Simplex and BoxSet, got {space!r}"
            )
    return Region(space.low, space.high, tuple(balls), tuple(simplexes))


def _leaves(space: ConvexSet) -> list[ConvexSet]:
    if isinstance(space, Product):
        return [leaf for part in space.parts for leaf in _leaves(part)]
    return [space]


def _length(path: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())


def _rows(owner: str, name: str, value: Any, space: ConvexSet) -> np.ndarray:
    """Finite numbers of shape (..., d)."""
    array = numbers(owner, name, value)
    if array.shape[-1:] != space.shape:
        raise ValueError(
            f"{owner}: {name} must be of shape (..., {space.dimension}) for {space}, "
            f"got {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{owner}: {name} must be finite, got {array[~np.isfinite(array)][0]}")
    return array


def _table(owner: str, c: Any, space: ConvexSet) -> np.ndarray:
    targets = _rows(owner, "c", c, space)
    if targets.ndim != 2 or not len(targets):
        raise ValueError(f"{owner}: c must be of shape (T, {space.dimension}), got {targets.shape}")
    return targets


def _sample(
    owner: str, A: Any, b: Any, space: ConvexSet, weights: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (n, d), targets (n,) and weights (n,), checked."""
    rows = _rows(owner, "A", A, space)
    targets = numbers(owner, "targets", b)
    w = np.ones(len(rows)) if weights is None else numbers(owner, "weights", weights)
    if rows.ndim != 2 or not len(rows) or targets.shape != (len(rows),) or w.shape != (len(rows),):
        raise ValueError(
            f"{owner}: needs rows (n, {space.dimension}), targets (n,) and weights (n,), "
            f"got {rows.shape}, {targets.shape}, {w.shape}"
        )
    if not np.isfinite(targets).all():
        raise ValueError(f"{owner}: targets must be finite")
    if not (np.isfinite(w).all() and (w >= 0.0).all() and w.any()):
        raise ValueError(f"{owner}: weights must be finite, >= 0 and not all 0")
    return rows, targets, w
