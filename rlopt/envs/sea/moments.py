"""sigma^2 and Sigma^2 of one round for regression losses: exact for squares, bracketed for logits.

sigma^2 = sup over X of E |grad f - grad F|^2 and Sigma^2 = sup over X of |grad F - grad F_prev|^2,
where F = E f. For f = 1/2 (<a, x> - b)^2 over a finite law both are maxima of convex quadratics.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from rlopt.envs.sea.comparators import fixed_linear
from rlopt.envs.sea.spread import variance_bound
from rlopt.spaces import Ball, BoxSet, ConvexSet, Ellipsoid, Simplex
from rlopt.theory.checks import numbers
from rlopt.theory.quadratic import Maximum, largest_on_ball, largest_on_box, largest_on_points

ASCENT_STEPS = 200
STARTS = 16  # of the ascents, besides the corners that the losses point at
LAW = 1e-9  # how far from 1 weights may sum


class Bracket(NamedTuple):
    """Two ends around a supremum; `lower` is attained."""

    lower: float
    upper: float
    exact: bool


def least_squares_variance(A: Any, b: Any, space: ConvexSet, weights: Any = None) -> float:
    """Exact sigma^2 of f = 1/2 (<a_i, x> - b_i)^2 where row i is drawn with its weight.

    With S = E aa', c = E ab, Q = E |a|^2 aa' - S^2, l = E |a|^2 b a - Sc, k = E |a|^2 b^2 - |c|^2
    it is k + max over X of x'Qx - 2 l'x.

    Args:
        A: (n, d), finite.
        b: (n,), finite.
        space: Ball, Ellipsoid, Simplex, or a BoxSet of at most 16 sides, whose corners are
            enumerated; `least_squares_variance_bracket` takes larger ones.
        weights: (n,), a law; by default uniform.

    Raises:
        ValueError: shapes that do not fit, numbers that are not finite, weights that are no law,
            or a set without an exact maximum.
    """
    return _exact("least_squares_variance", _variance(A, b, space, weights), space)


def least_squares_variance_bracket(
    A: Any, b: Any, space: ConvexSet, weights: Any = None
) -> Bracket:
    """`least_squares_variance` where the corners of a box are too many: a bracket."""
    return _variance(A, b, space, weights)


def least_squares_variation(A: Any, b: Any, A_prev: Any, b_prev: Any, space: ConvexSet) -> float:
    """Exact Sigma^2 between two uniform finite laws: max over X of |dS x - dc|^2.

    Args:
        A: (n, d), this round's rows.
        b: (n,).
        A_prev: (m, d), those of the round before.
        b_prev: (m,).
        space: as in `least_squares_variance`.

    Raises:
        ValueError: as `least_squares_variance`.
    """
    return _exact("least_squares_variation", _variation(A, b, A_prev, b_prev, space), space)


def least_squares_variation_bracket(
    A: Any, b: Any, A_prev: Any, b_prev: Any, space: ConvexSet
) -> Bracket:
    """`least_squares_variation` where the corners of a box are too many: a bracket."""
    return _variation(A, b, A_prev, b_prev, space)


def least_squares_smoothness(A: Any, weights: Any = None) -> float:
    """L of the mean loss: the largest eigenvalue of E aa'."""
    rows, _, w = law("least_squares_smoothness", A, None, weights)
    return float(np.linalg.eigvalsh((rows.T * w) @ rows)[-1])


def least_squares_lipschitz(A: Any, b: Any, space: ConvexSet) -> float:
    """G, the largest gradient of any of the losses on the set: max_i |a_i| max_X |<a_i, x> - b_i|.

    Args:
        A: (n, d), finite.
        b: (n,), finite.
        space: Ball, Ellipsoid, Simplex, BoxSet, or a Product of them.
    """
    rows, targets, _ = law("least_squares_lipschitz", A, b, None, space)
    least, most = margins(rows, space)
    off = np.maximum(np.abs(least - targets), np.abs(most - targets))
    return float((np.linalg.norm(rows, axis=1) * off).max())


def logistic_variance(A: Any, y: Any, space: ConvexSet, weights: Any = None) -> Bracket:
    """sigma^2 of f = ln(1 + exp(-y_i <a_i, x>)), bracketed.

    `lower` is the best of projected gradient ascents. `upper` rests on E |g - E g|^2 <= E |g - m|^2
    for any m: each gradient -s y a has its s in an interval on the set, and |s y a + m|^2 is
    largest at one of the ends. m is the mean gradient where the ascent ended, or with every s in
    the middle of its interval.

    Args:
        A: (n, d), finite.
        y: (n,), each -1 or 1.
        space: Ball, Ellipsoid, Simplex, BoxSet, or a Product of them.
        weights: (n,), a law; by default uniform.

    Raises:
        ValueError: as `least_squares_variance`, or labels other than -1 and 1.
    """
    rows, labels, w = law("logistic_variance", A, y, weights, space)
    signed = _signed("logistic_variance", rows, labels)
    lower, x = _ascend(signed, w, -w, space)
    low, high = _factors(signed, space)
    upper = variance_bound(signed, w, low, high, np.array([expit(-signed @ x), (low + high) / 2.0]))
    return Bracket(lower, max(lower, upper), False)


def logistic_variation(A: Any, y: Any, A_prev: Any, y_prev: Any, space: ConvexSet) -> Bracket:
    """Sigma^2 between two uniform finite laws of logistic losses, bracketed.

    `lower` is the best of projected gradient ascents. `upper` lets every gradient's factor s move
    on its own in its interval: |sum c_i s_i a_i| <= |m| + sum |c_i| |a_i| (half an interval), with
    m the sum at the middles.

    Args:
        A: (n, d), this round's rows.
        y: (n,), each -1 or 1.
        A_prev: (m, d), those of the round before.
        y_prev: (m,).
        space: as in `logistic_variance`.

    Raises:
        ValueError: as `logistic_variance`.
    """
    now = law("logistic_variation", A, y, None, space)
    before = law("logistic_variation", A_prev, y_prev, None, space)
    signed = np.vstack([_signed("logistic_variation", *part[:2]) for part in (now, before)])
    change = np.concatenate([now[2], -before[2]])
    lower, _ = _ascend(signed, np.zeros(len(signed)), change, space)
    low, high = _factors(signed, space)
    middle = np.linalg.norm((change * (low + high) / 2.0) @ signed)
    play = np.abs(change) * np.linalg.norm(signed, axis=1) * (high - low) / 2.0
    return Bracket(lower, max(lower, float(middle + play.sum()) ** 2), False)


def logistic_smoothness(A: Any, weights: Any = None) -> float:
    """L of the mean loss: a quarter of the largest eigenvalue of E aa', attained at x = 0."""
    return least_squares_smoothness(A, weights) / 4.0


def logistic_lipschitz(A: Any, y: Any, space: ConvexSet) -> float:
    """G, the largest gradient of any of the losses on the set: max_i |a_i| s(max_X -y_i <a_i, x>).

    Args:
        A: (n, d), finite.
        y: (n,), each -1 or 1.
        space: Ball, Ellipsoid, Simplex, BoxSet, or a Product of them.
    """
    rows, labels, _ = law("logistic_lipschitz", A, y, None, space)
    signed = _signed("logistic_lipschitz", rows, labels)
    return float((np.linalg.norm(signed, axis=1) * _factors(signed, space)[1]).max())


def margins(rows: np.ndarray, space: ConvexSet) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest <a_i, x> on the set, each (n,)."""
    least = (rows * fixed_linear(rows, space)).sum(axis=1)
    most = (rows * fixed_linear(-rows, space)).sum(axis=1)
    return least, most


def law(
    owner: str, A: Any, b: Any, weights: Any, space: ConvexSet | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (n, d), targets (n,) (0 where b is None) and a law on them (n,), checked.

    Raises:
        ValueError: shapes that do not fit, numbers that are not finite, or weights that are not
            >= 0 with sum 1.
    """
    rows = numbers(owner, "A", A)
    if rows.ndim != 2 or not rows.size or (space is not None and rows.shape[1:] != space.shape):
        wanted = "(n, d)" if space is None else f"(n, {space.dimension}) for {space}"
        raise ValueError(f"{owner}: A must be of shape {wanted}, got {rows.shape}")
    n = len(rows)
    targets = np.zeros(n) if b is None else numbers(owner, "b", b)
    w = np.full(n, 1.0 / n) if weights is None else numbers(owner, "weights", weights)
    if targets.shape != (n,) or w.shape != (n,):
        raise ValueError(
            f"{owner}: targets and weights must be of shape ({n},), "
            f"got {targets.shape} and {w.shape}"
        )
    if not (np.isfinite(rows).all() and np.isfinite(targets).all()):
        raise ValueError(f"{owner}: rows and targets must be finite")
    if not ((w >= 0.0).all() and abs(w.sum() - 1.0) <= LAW):
        raise ValueError(f"{owner}: weights must be >= 0 and sum to 1, got {weights!r}")
    return rows, targets, w


def _variance(A: Any, b: Any, space: ConvexSet, weights: Any) -> Bracket:
    rows, targets, w = law("least_squares_variance", A, b, weights, space)
    lengths = (rows**2).sum(axis=1)
    S, c = (rows.T * w) @ rows, rows.T @ (w * targets)
    Q = (rows.T * (w * lengths)) @ rows - S @ S
    linear = rows.T @ (w * lengths * targets) - S @ c
    constant = float(w @ (lengths * targets**2) - c @ c)
    return _shifted(constant, _largest(Q, linear, space))


def _variation(A: Any, b: Any, A_prev: Any, b_prev: Any, space: ConvexSet) -> Bracket:
    owner = "least_squares_variation"
    moments = []
    for rows, targets, w in (
        law(owner, A, b, None, space),
        law(owner, A_prev, b_prev, None, space),
    ):
        moments.append(((rows.T * w) @ rows, rows.T @ (w * targets)))
    dS, dc = moments[0][0] - moments[1][0], moments[0][1] - moments[1][1]
    return _shifted(float(dc @ dc), _largest(dS @ dS, dS @ dc, space))


def _shifted(constant: float, top: Maximum) -> Bracket:
    """A constant and a maximum; a sum of squares, so rounding below 0 is 0."""
    return Bracket(max(constant + top.lower, 0.0), max(constant + top.upper, 0.0), top.exact)


def _largest(Q: np.ndarray, linear: np.ndarray, space: ConvexSet) -> Maximum:
    """Maximum of x'Qx - 2 l'x over the set; Q is convex but for the rounding of differences."""
    scales, axes = np.linalg.eigh((Q + Q.T) / 2.0)
    Q = (axes * np.maximum(scales, 0.0)) @ axes.T
    if isinstance(space, Ball):
        return largest_on_ball(Q, linear, space.radius)
    if isinstance(space, Ellipsoid):  # x = C'^-1 z with |z| <= 1, where A = CC'
        C = np.linalg.cholesky(space.A)
        half = np.linalg.solve(C, Q)
        return largest_on_ball(np.linalg.solve(C, half.T), np.linalg.solve(C, linear), 1.0)
    if isinstance(space, Simplex):
        return largest_on_points(Q, linear, np.eye(space.dimension))
    if isinstance(space, BoxSet):
        return largest_on_box(Q, linear, space.low, space.high)
    raise ValueError(
        f"exact variances need a Ball, an Ellipsoid, a Simplex or a BoxSet, got {space!r}"
    )


def _exact(owner: str, found: Bracket, space: ConvexSet) -> float:
    if not found.exact:
        raise ValueError(
            f"{owner}: {space} has too many corners for an exact value; "
            f"{owner}_bracket gives [{found.lower:.6g}, {found.upper:.6g}]"
        )
    return found.lower


def _signed(owner: str, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    if not (np.abs(labels) == 1.0).all():
        raise ValueError(f"{owner}: labels must be -1 or 1")
    return rows * labels[:, None]


def _factors(signed: np.ndarray, space: ConvexSet) -> tuple[np.ndarray, np.ndarray]:
    """The ends of s = 1 / (1 + exp(y <a, x>)) on the set; the gradient is -s y a."""
    least, most = margins(signed, space)
    return expit(-most), expit(-least)


def _ascend(
    signed: np.ndarray, squares: np.ndarray, means: np.ndarray, space: ConvexSet
) -> tuple[float, np.ndarray]:
    """Large values of sum_i p_i |s_i a_i|^2 + k |sum_i q_i s_i a_i|^2 on the set, and where.

    Args:
        signed: rows y_i a_i, (n, d); s_i = 1 / (1 + exp(<y_i a_i, x>)).
        squares: p, (n,); all 0 for the drift of the means (then k = 1, else k = -1).
        means: q, (n,).
        space: the set.
    """
    sign = -1.0 if squares.any() else 1.0
    weighted = squares * (signed**2).sum(axis=1)
    rng = np.random.default_rng(0)
    pull = np.vstack(
        [means @ signed, -means @ signed, rng.standard_normal((STARTS, len(signed[0])))]
    )
    x = fixed_linear(pull, space)

    def value(points: np.ndarray) -> np.ndarray:
        s = expit(-points @ signed.T)
        return np.asarray(s**2 @ weighted + sign * (((s * means) @ signed) ** 2).sum(axis=1))

    size, best = np.full((len(x), 1), space.diameter), value(x)
    for _ in range(ASCENT_STEPS):
        s = expit(-x @ signed.T)
        along = 2.0 * s * weighted + 2.0 * sign * ((s * means) @ signed) @ signed.T * means
        slope = -(along * s * (1.0 - s)) @ signed
        length = np.linalg.norm(slope, axis=1, keepdims=True)
        new = space.project(x + size * slope / np.maximum(length, 1e-300))
        found = value(new)
        better = found > best
        x, best = np.where(better[:, None], new, x), np.where(better, found, best)
        size *= np.where(better, 1.5, 0.5)[:, None]
    return float(best.max()), x[best.argmax()]
