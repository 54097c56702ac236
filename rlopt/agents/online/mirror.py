"""Mirror maps: geometries in which mirror descent measures how far it steps.

A map is a strictly convex psi with the Bregman divergence

    B(u, x) = psi(u) - psi(x) - <grad psi(x), u - x>,

and its step from x along g is argmin over y in X of <g, y> + B(y, x) / eta: solved exactly on X,
never a step on R^d that is projected Euclideanly afterwards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from scipy.special import kl_div

from rlopt.spaces import BoxSet, ConvexSet, Simplex
from rlopt.theory.checks import finite, known, numbers

TINY = 1e-300
ROUNDING = 1e-14  # relative; where roots stop
ROOT_STEPS = 200


class MirrorMap(ABC):
    """Base of the maps.

    Attributes:
        name: as `make_map` knows it.
        sets: the kinds of sets on which the step is solved exactly.
    """

    name: ClassVar[str]
    sets: ClassVar[tuple[type[ConvexSet], ...]]

    def check(self, owner: str, space: ConvexSet) -> None:
        """ValueError unless this map goes with the set."""
        if not isinstance(space, self.sets):
            fits = " or ".join(kind.__name__ for kind in self.sets)
            raise ValueError(f"{owner}: mirror {self.name!r} goes with a {fits}, not with {space}")

    @abstractmethod
    def step(self, x: np.ndarray, g: np.ndarray, eta: Any, space: ConvexSet) -> np.ndarray:
        """argmin over y in the set of <g, y> + B(y, x) / eta.

        Args:
            x: (..., d) points of the set (of its relative interior for entropy and log-barrier).
            g: (..., d) directions.
            eta: (...) or a number, > 0.
            space: the set; one for which `check` is silent.
        """

    @abstractmethod
    def divergence(self, u: np.ndarray, x: np.ndarray) -> np.ndarray:
        """B(u, x) >= 0, (..., d), (..., d) -> (...)."""


class Euclidean(MirrorMap):
    """psi = |x|^2 / 2: projected gradient steps."""

    name = "euclidean"
    sets = (ConvexSet,)

    def step(self, x: np.ndarray, g: np.ndarray, eta: Any, space: ConvexSet) -> np.ndarray:
        """The nearest point of the set to x - eta g."""
        return space.project(x - _column(eta) * g)

    def divergence(self, u: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Half the squared distance."""
        return np.asarray(0.5 * ((u - x) ** 2).sum(axis=-1))


class Mahalanobis(MirrorMap):
    """psi = x' H x / 2.

    Args:
        H: (d, d), symmetric positive definite.
    """

    name = "mahalanobis"
    sets = (ConvexSet,)

    def __init__(self, H: Any) -> None:
        self.H = numbers("Mahalanobis", "H", H)
        if self.H.ndim != 2 or self.H.shape[0] != self.H.shape[1]:
            raise ValueError(f"Mahalanobis: H must be of shape (d, d), got {self.H.shape}")
        if not (np.isfinite(self.H).all() and np.allclose(self.H, self.H.T, 1e-9, 0.0)):
            raise ValueError("Mahalanobis: H must be finite and symmetric")
        if not (least := np.linalg.eigvalsh(self.H).min()) > 0.0:
            raise ValueError(f"Mahalanobis: H must be positive definite, got eigenvalue {least:g}")

    def check(self, owner: str, space: ConvexSet) -> None:
        """ValueError unless H has the dimension of the set."""
        if len(self.H) != space.dimension:
            raise ValueError(
                f"{owner}: H must be {(space.dimension,) * 2} on {space}, got {self.H.shape}"
            )

    def step(self, x: np.ndarray, g: np.ndarray, eta: Any, space: ConvexSet) -> np.ndarray:
        """x - eta H^(-1) g, projected in the metric H."""
        return metric_step(x, _column(eta) * g, self.H, space)

    def divergence(self, u: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Half the squared distance in the metric."""
        return np.asarray(0.5 * np.einsum("...i,ij,...j->...", u - x, self.H, u - x))


class Entropy(MirrorMap):
    """psi = sum x ln x: multiplicative weights.

    Coordinates are kept above 1e-300, so that weights which underflow can come back.
    """

    name = "entropy"
    sets = (Simplex,)

    def step(self, x: np.ndarray, g: np.ndarray, eta: Any, space: ConvexSet) -> np.ndarray:
        """x_i exp(-eta g_i), normalised."""
        score = np.log(x) - _column(eta) * g
        weight = np.maximum(np.exp(score - score.max(axis=-1, keepdims=True)), TINY)
        return np.asarray(weight / weight.sum(axis=-1, keepdims=True))

    def divergence(self, u: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Relative entropy, sum u ln(u / x) for points of the simplex."""
        return np.asarray(kl_div(u, x).sum(axis=-1))


class LogBarrier(MirrorMap):
    """psi = -sum ln x on the simplex: y_i = 1 / (nu + 1/x_i + eta g_i), nu such that they sum to 1.

    Newton's method for the harmonic sum, 1 / sum_i y_i = 1, concave in nu, rises to the root.
    """

    name = "log_barrier"
    sets = (Simplex,)

    def step(self, x: np.ndarray, g: np.ndarray, eta: Any, space: ConvexSet) -> np.ndarray:
        """1 / (nu + 1 / x_i + eta g_i)."""
        inverse = 1.0 / x + _column(eta) * g
        gap = inverse - inverse.min(axis=-1, keepdims=True)
        nu = np.ones((*gap.shape[:-1], 1))  # nu + gap >= 1 at the largest y, which is at most 1
        for _ in range(ROOT_STEPS):
            y = 1.0 / (nu + gap)
            total = y.sum(axis=-1, keepdims=True)
            rise = (total - 1.0) * total / (y * y).sum(axis=-1, keepdims=True)
            rise = np.where(rise > ROUNDING * nu, rise, 0.0)
            if not rise.any():
                break
            nu = nu + rise
        return np.asarray(y / total)

    def divergence(self, u: np.ndarray, x: np.ndarray) -> np.ndarray:
        """sum u / x - ln(u / x) - 1."""
        ratio = u / x
        return np.asarray((ratio - np.log(ratio) - 1.0).sum(axis=-1))


class PNorm(MirrorMap):
    """psi = |x|_p^2 / 2, (p-1)-strongly convex in |.|_p (Grove, Littlestone and Schuurmans 2001).

    Args:
        p: in (1, 2]; by default 2 ln d / (2 ln d - 1), with which regret grows like sqrt(ln d); 2
            for d < 3, where that is no norm between 1 and 2.
    """

    name = "p_norm"
    sets = (BoxSet, Simplex)

    def __init__(self, p: float | None = None) -> None:
        if p is not None and not 1.0 < finite("PNorm", "p", p) <= 2.0:
            raise ValueError(f"PNorm: p must be in (1, 2], got {p!r}")
        self.p = p

    def power(self, d: int) -> float:
        """The p used in d dimensions."""
        if self.p is not None:
            return float(self.p)
        return float(2.0 * np.log(d) / (2.0 * np.log(d) - 1.0)) if d > 2 else 2.0

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """grad psi, (..., d) -> (..., d)."""
        return _norm_gradient(x, self.power(x.shape[-1]))

    def step(self, x: np.ndarray, g: np.ndarray, eta: Any, space: ConvexSet) -> np.ndarray:
        """The point whose gradient is that at x less eta g, up to the set's multipliers."""
        p = self.power(x.shape[-1])
        target = self.gradient(x) - _column(eta) * g
        if isinstance(space, Simplex):
            return _p_simplex(target, p)
        return _p_box(target, p, space.low, space.high)

    def divergence(self, u: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(|u|^2 + |x|^2) / 2 - <grad psi(x), u>."""
        p = self.power(x.shape[-1])
        squares = _norm(u, p) ** 2 + _norm(x, p) ** 2
        return np.asarray(0.5 * squares[..., 0] - (self.gradient(x) * u).sum(axis=-1))


MIRRORS: dict[str, type[MirrorMap]] = {
    kind.name: kind for kind in (Euclidean, Entropy, PNorm, LogBarrier)
}


def make_map(owner: str, mirror: str | MirrorMap, space: ConvexSet) -> MirrorMap:
    """The mirror map of a name, or a map itself, if it goes with the set.

    Raises:
        ValueError: an unknown name (the closest is offered), or a map for other sets.
    """
    if not isinstance(mirror, MirrorMap):
        mirror = MIRRORS[known(owner, "mirror", mirror, tuple(MIRRORS))]()
    mirror.check(owner, space)
    return mirror


def metric_step(x: np.ndarray, g: np.ndarray, metric: np.ndarray, space: ConvexSet) -> np.ndarray:
    """argmin over y in the set of <g, y> + (y - x)' H (y - x) / 2.

    Args:
        x: (..., d) points.
        g: (..., d) directions.
        metric: H, (d, d) or (..., d, d), symmetric positive definite.
        space: the set.
    """
    return space.project(x - np.linalg.solve(metric, g[..., None])[..., 0], metric=metric)


def _column(eta: Any) -> Any:
    """(...) -> (..., 1)."""
    return np.asarray(eta)[..., None]


def _norm(x: np.ndarray, p: float) -> np.ndarray:
    """|x|_p, (..., d) -> (..., 1), without overflow."""
    size = np.maximum(np.abs(x).max(axis=-1, keepdims=True), TINY)
    return np.asarray(size * ((np.abs(x) / size) ** p).sum(axis=-1, keepdims=True) ** (1.0 / p))


def _norm_gradient(x: np.ndarray, p: float) -> np.ndarray:
    """The gradient of |x|_p^2 / 2: sign(x) |x|^(p-1) / |x|_p^(p-2)."""
    norm = np.maximum(_norm(x, p), TINY)
    return np.asarray(np.sign(x) * norm * (np.abs(x) / norm) ** (p - 1.0))


def _p_simplex(target: np.ndarray, p: float) -> np.ndarray:
    """The y of the simplex whose grad psi is target + nu where y > 0, at least that where y = 0.

    Its inverse is grad psi*, with the dual exponent q; that must sum to 1, which rises with nu.
    The largest target + nu lies between d^(-2/q) and 1.
    """
    q = p / (p - 1.0)
    gap = target - target.max(axis=-1, keepdims=True)

    def excess(nu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r = np.maximum(gap + nu, 0.0)
        norm = _norm(r, q)
        w = r / norm
        first = (w ** (q - 1.0)).sum(axis=-1, keepdims=True)
        # w^(q-2) at w = 0 is 1 where q = 2: those coordinates are not in the support
        second = np.where(r > 0.0, w ** (q - 2.0), 0.0).sum(axis=-1, keepdims=True)
        return norm * first - 1.0, (q - 1.0) * second - (q - 2.0) * first**2

    most = np.ones((*gap.shape[:-1], 1))
    nu = _root(excess, gap.shape[-1] ** (-2.0 / q) * most, most, most)
    y = _norm_gradient(np.maximum(gap + nu, 0.0), q)
    return np.asarray(y / y.sum(axis=-1, keepdims=True))


def _p_box(target: np.ndarray, p: float, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Given the norm N of the solution, y_i = (|target_i| N^(p-2))^(1/(p-1)), signed and clipped.

    The norm of that falls as N rises; the root is sought on the scale of logarithms.
    """
    sign, size = np.sign(target), np.log(np.maximum(np.abs(target), TINY))

    def free(s: np.ndarray) -> np.ndarray:
        return np.asarray(sign * np.exp(np.minimum((size - (2.0 - p) * s) / (p - 1.0), 700.0)))

    def excess(s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wanted = free(s)
        y = np.clip(wanted, low, high)
        norm = np.maximum(_norm(y, p), TINY)
        share = np.where(y == wanted, np.abs(y / norm) ** p, 0.0).sum(axis=-1, keepdims=True)
        return s - np.log(norm), 1.0 + (2.0 - p) / (p - 1.0) * share

    shape = (*target.shape[:-1], 1)
    nearest, farthest = np.clip(0.0, low, high), np.maximum(np.abs(low), np.abs(high))
    least, most = (np.log(np.maximum(_norm(point, p), TINY)) for point in (nearest, farthest))
    unclipped = np.log(np.maximum(_norm(target, p / (p - 1.0)), TINY))
    start = np.clip(unclipped, least, most)
    s = _root(excess, np.broadcast_to(least, shape), np.broadcast_to(most, shape), start)
    return np.clip(free(s), low, high)


def _root(
    function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    low: np.ndarray,
    high: np.ndarray,
    start: np.ndarray,
) -> np.ndarray:
    """Root of a rising function, batched: Newton's step while that halves, else bisection.

    Args:
        function: (...) -> value and slope, (...), (...).
        low: (...), where it is <= 0.
        high: (...), where it is >= 0.
        start: (...), between them.
    """
    x, before, done = start, np.asarray(high - low), np.zeros(start.shape, bool)
    for _ in range(ROOT_STEPS):
        value, slope = function(x)
        low, high = np.where(value < 0.0, x, low), np.where(value > 0.0, x, high)
        move, smallest = -value / np.maximum(slope, TINY), ROUNDING * np.maximum(np.abs(x), 1.0)
        inside = (x + move >= low) & (x + move <= high)
        shrinks = np.abs(move) <= np.maximum(0.5 * before, smallest)  # else it may run in circles
        move = np.where(inside & shrinks, move, 0.5 * (low + high) - x)
        x, before = np.where(done, x, x + move), np.abs(move)  # rows of a batch stop alone
        done |= before <= smallest
        if done.all():
            break
    return np.asarray(x)
