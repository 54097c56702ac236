"""Convex action sets: Gymnasium Boxes that know how to project onto the set inside them.

Projections are batched over leading axes, Euclidean, or in the metric of a positive definite H:

    project(y, metric=H) = argmin over x in X of (x - y)' H (x - y).

The Box is the smallest one around the set; actions are float64, since float32 costs 1e-7 a step.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from rlopt.theory.checks import numbers, positive, whole

TOLERANCE = 1e-9  # relative; how far outside a point may lie and still be contained
ROUNDING = 1e-14  # relative; where iterations stop
NEWTON_STEPS = 60
GRADIENT_STEPS = 20_000


class ConvexSet(Box):
    """Base of the sets; subclasses define `diameter`, `largest_norm`, `_euclidean`, `_uniform`.

    Args:
        low: smallest coordinates, (d,).
        high: largest coordinates, (d,).
        seed: of `sample`.
    """

    def __init__(self, low: np.ndarray, high: np.ndarray, seed: int | None = None) -> None:
        super().__init__(low, high, dtype=np.float64, seed=seed)

    @property
    def dimension(self) -> int:
        """Number of coordinates, d."""
        return int(self.low.size)

    @property
    @abstractmethod
    def diameter(self) -> float:
        """Largest distance between two points of the set."""

    @property
    @abstractmethod
    def largest_norm(self) -> float:
        """Largest distance of a point of the set from 0, sup |x|."""

    @abstractmethod
    def _euclidean(self, y: np.ndarray) -> np.ndarray:
        """The nearest points, (..., d) -> (..., d)."""

    @abstractmethod
    def _uniform(self, rng: np.random.Generator) -> np.ndarray:
        """A uniform point, (d,)."""

    def sample(self, mask: Any = None, probability: Any = None) -> np.ndarray:
        """A uniform point of the set, (d,)."""
        if mask is not None or probability is not None:
            raise ValueError("sample takes no mask and no probability here")
        return self._uniform(self.np_random)

    def project(self, x: Any, metric: Any = None) -> np.ndarray:
        """The nearest points of the set.

        Args:
            x: (..., d) points, finite.
            metric: None (Euclidean), or H, (d, d) or (..., d, d), symmetric positive definite.

        Returns:
            (..., d) points of the set.

        Raises:
            ValueError: points that are not finite or of another dimension, or a metric that is not
                symmetric positive definite.
        """
        try:
            y = np.asarray(x, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"{self}: points must be real numbers, got {x!r}") from None
        if y.shape[-1:] != self.shape:
            raise ValueError(
                f"{self}: points must be of shape (..., {self.dimension}), got {y.shape}"
            )
        if not np.isfinite(y).all():
            raise ValueError(f"{self}: points must be finite, got {y[~np.isfinite(y)][0]}")
        if metric is None:
            return self._euclidean(y)
        return self._mahalanobis(y, *_spectrum(metric, self.dimension, y.shape[:-1]))

    def holds(self, x: np.ndarray) -> np.ndarray:
        """Which of the points (..., d) belong to the set, up to a relative 1e-9; (...) booleans."""
        off = np.abs(x - self._euclidean(x)).max(axis=-1)
        return np.asarray(off <= TOLERANCE * (1.0 + np.abs(x).max(axis=-1)))

    def _mahalanobis(self, y: np.ndarray, scales: np.ndarray, axes: np.ndarray) -> np.ndarray:
        """Accelerated projected gradient with restarts, batched (O'Donoghue and Candes 2015).

        Args:
            y: (..., d) points.
            scales: (..., d) eigenvalues of H, ascending.
            axes: (..., d, d), its eigenvectors as columns.
        """
        matrix = (axes * scales[..., None, :]) @ np.swapaxes(axes, -1, -2)
        step = 1.0 / scales[..., -1:]
        x = ahead = self._euclidean(y)
        momentum = np.ones((*y.shape[:-1], 1))
        size = 1.0 + np.abs(y).max()
        for _ in range(GRADIENT_STEPS):
            gradient = np.einsum("...ij,...j->...i", matrix, ahead - y)
            new = self._euclidean(ahead - step * gradient)
            if np.abs(new - ahead).max() <= ROUNDING * size:
                return new
            back = ((ahead - new) * (new - x)).sum(axis=-1, keepdims=True) > 0.0
            following = np.where(back, 1.0, 0.5 + np.sqrt(0.25 + momentum**2))
            pull = np.where(back, 0.0, (momentum - 1.0) / following)
            x, ahead, momentum = new, new + pull * (new - x), following
        raise ArithmeticError(
            f"{self}: projection did not converge in {GRADIENT_STEPS} steps: the metric's "
            f"condition number is {(scales[..., -1] / scales[..., 0]).max():.3g}"
        )

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and repr(self) == repr(other)

    __hash__ = None  # type: ignore[assignment]  # as Box


class Ball(ConvexSet):
    """{x in R^d: |x| <= radius}.

    Args:
        d: dimension, >= 1.
        radius: > 0.
        seed: of `sample`.

    >>> Ball(2).project([3.0, 4.0]).round(12).tolist()
    [0.6, 0.8]
    """

    def __init__(self, d: int, radius: float = 1.0, seed: int | None = None) -> None:
        d, self.radius = whole("Ball", "d", d, 1), positive("Ball", "radius", radius)
        edge = np.full(d, self.radius)
        super().__init__(-edge, edge, seed)

    @property
    def diameter(self) -> float:
        """Twice the radius."""
        return 2.0 * self.radius

    @property
    def largest_norm(self) -> float:
        """The radius."""
        return self.radius

    def _euclidean(self, y: np.ndarray) -> np.ndarray:
        norm = np.sqrt(np.einsum("...i,...i->...", y, y))[..., None]  # linalg.norm takes 3x longer
        if not np.isfinite(norm).all():  # squares overflow: shrink the point before they do
            y = y * np.where(np.isfinite(norm), 1.0, 1e-160)
            return self._euclidean(y)
        return y * np.minimum(1.0, self.radius / np.maximum(norm, 1e-300))

    def _mahalanobis(self, y: np.ndarray, scales: np.ndarray, axes: np.ndarray) -> np.ndarray:
        """The secular equation: in the eigenbasis x_i = w_i y_i / (w_i + mu) with |x| = radius.

        Newton's method for 1 / |x(mu)| = 1 / radius rises to the root from mu = 0.
        """
        there = np.einsum("...ji,...j->...i", axes, y)
        mu = np.zeros((*y.shape[:-1], 1))
        for _ in range(NEWTON_STEPS):
            x = there * scales / (scales + mu)
            squared = (x * x).sum(axis=-1, keepdims=True)
            excess = np.sqrt(squared) / self.radius - 1.0
            if excess.max() <= ROUNDING:
                break
            slope = (x * x / (scales + mu)).sum(axis=-1, keepdims=True)
            left = np.where(excess > ROUNDING, excess, 0.0)  # who is there rests: rows stay apart
            mu = mu + left * squared / np.maximum(slope, 1e-300)
        inside = np.einsum("...ij,...j->...i", axes, x)
        outside = np.linalg.norm(y, axis=-1, keepdims=True) > self.radius
        return np.where(outside, self._euclidean(inside), y)

    def _uniform(self, rng: np.random.Generator) -> np.ndarray:
        direction = rng.standard_normal(self.shape)
        length = self.radius * rng.random() ** (1.0 / self.dimension)
        return direction * (length / np.linalg.norm(direction))

    def contains(self, x: Any) -> bool:
        """Whether x is a point of the ball, up to a relative 1e-9."""
        return super().contains(x) and bool(np.linalg.norm(x) <= self.radius * (1.0 + TOLERANCE))

    def __repr__(self) -> str:
        return f"Ball({self.dimension}, radius={self.radius!r})"


class Ellipsoid(ConvexSet):
    """{x in R^d: x' A x <= 1}: the unit ball, stretched.

    Args:
        A: (d, d), symmetric positive definite; the semi-axes are its eigenvalues ** -.5.
        seed: of `sample`.

    Raises:
        ValueError: a matrix that is not symmetric positive definite.

    >>> Ellipsoid([[0.25, 0.0], [0.0, 1.0]]).project([3.0, 0.0]).round(12).tolist()
    [2.0, 0.0]
    """

    def __init__(self, A: Any, seed: int | None = None) -> None:
        matrix = numbers("Ellipsoid", "A", A)
        d = max(matrix.shape[-1:], default=1)
        scales, axes = _spectrum(matrix, d, (), "Ellipsoid: A")
        self.A, self.semi_axes = matrix, scales**-0.5
        self._ball = Ball(len(scales))
        self._stretch = (axes * self.semi_axes) @ axes.T  # x = stretch z with |z| <= 1
        self._shrink = (axes / self.semi_axes) @ axes.T
        edge = np.linalg.norm(self._stretch, axis=-1)
        super().__init__(-edge, edge, seed)

    @property
    def diameter(self) -> float:
        """Twice the longest semi-axis."""
        return 2.0 * float(self.semi_axes.max())

    @property
    def largest_norm(self) -> float:
        """The longest semi-axis."""
        return float(self.semi_axes.max())

    def _euclidean(self, y: np.ndarray) -> np.ndarray:
        return self._in_metric(y, np.eye(self.dimension))

    def _mahalanobis(self, y: np.ndarray, scales: np.ndarray, axes: np.ndarray) -> np.ndarray:
        return self._in_metric(y, (axes * scales[..., None, :]) @ np.swapaxes(axes, -1, -2))

    def _in_metric(self, y: np.ndarray, metric: np.ndarray) -> np.ndarray:
        """In z = stretch^-1 x the set is the unit ball, and the metric stretch H stretch."""
        ball_metric = self._stretch @ metric @ self._stretch
        symmetric = (ball_metric + np.swapaxes(ball_metric, -1, -2)) / 2.0
        there = np.einsum("ij,...j->...i", self._shrink, y)  # by row, so that batches agree
        inside = self._ball.project(there, metric=symmetric)
        outside = np.linalg.norm(there, axis=-1, keepdims=True) > 1.0
        return np.where(outside, np.einsum("ij,...j->...i", self._stretch, inside), y)

    def _uniform(self, rng: np.random.Generator) -> np.ndarray:
        return self._stretch @ self._ball._uniform(rng)

    def contains(self, x: Any) -> bool:
        """Whether x is a point of the ellipsoid, up to a relative 1e-9."""
        return super().contains(x) and bool(np.linalg.norm(self._shrink @ x) <= 1.0 + TOLERANCE)

    def __repr__(self) -> str:
        return f"Ellipsoid({self.A.tolist()})"


class Simplex(ConvexSet):
    """{x in R^d: x >= 0, sum x = 1}.

    Args:
        d: dimension, >= 1.
        seed: of `sample`.

    >>> Simplex(3).project([0.5, -0.2, 0.9]).round(12).tolist()
    [0.3, 0.0, 0.7]
    """

    def __init__(self, d: int, seed: int | None = None) -> None:
        d = whole("Simplex", "d", d, 1)
        super().__init__(np.zeros(d), np.ones(d), seed)

    @property
    def diameter(self) -> float:
        """The distance of two corners; 0 for a single point."""
        return float(np.sqrt(2.0)) if self.dimension > 1 else 0.0

    @property
    def largest_norm(self) -> float:
        """1, at the corners."""
        return 1.0

    def _euclidean(self, y: np.ndarray) -> np.ndarray:
        """Sorting gives the threshold t of max(y - t, 0) (Held, Wolfe and Crowder 1974)."""
        shifted = y - y.max(axis=-1, keepdims=True)  # huge entries would cost the digits of sums
        descending = -np.sort(-shifted, axis=-1)
        threshold = (np.cumsum(descending, axis=-1) - 1.0) / np.arange(1, self.dimension + 1)
        last = (descending > threshold).sum(axis=-1, keepdims=True) - 1
        return np.maximum(shifted - np.take_along_axis(threshold, last, axis=-1), 0.0)

    def _uniform(self, rng: np.random.Generator) -> np.ndarray:
        return rng.dirichlet(np.ones(self.dimension))

    def contains(self, x: Any) -> bool:
        """Whether x is a point of the simplex, its sum up to 1e-9."""
        return super().contains(x) and bool(abs(np.sum(x) - 1.0) <= TOLERANCE)

    def __repr__(self) -> str:
        return f"Simplex({self.dimension})"


class BoxSet(ConvexSet):
    """{x in R^d: low <= x <= high}.

    Args:
        low: (d,), finite.
        high: (d,), finite, >= low.
        seed: of `sample`.

    Raises:
        ValueError: bounds that are not finite, not ordered or not of one shape (d,).
    """

    def __init__(self, low: Any, high: Any, seed: int | None = None) -> None:
        least, most = (numbers("BoxSet", name, b) for name, b in (("low", low), ("high", high)))
        if least.ndim != 1 or least.shape != most.shape or not least.size:
            raise ValueError(f"BoxSet: low and high must be of one shape (d,), got {low}, {high}")
        if not (np.isfinite([least, most]).all() and (least <= most).all()):
            raise ValueError(f"BoxSet: needs finite low <= high, got {low}, {high}")
        super().__init__(least, most, seed)

    @property
    def diameter(self) -> float:
        """The length of the diagonal."""
        return float(np.linalg.norm(self.high - self.low))

    @property
    def largest_norm(self) -> float:
        """That of the farthest corner."""
        return float(np.linalg.norm(np.maximum(np.abs(self.low), np.abs(self.high))))

    def _euclidean(self, y: np.ndarray) -> np.ndarray:
        return np.clip(y, self.low, self.high)

    def _uniform(self, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.low, self.high)

    def __repr__(self) -> str:
        return f"BoxSet({self.low.tolist()}, {self.high.tolist()})"


class Product(ConvexSet):
    """The Cartesian product of sets: points are the parts' points laid side by side.

    Args:
        *parts: one or more sets.
        seed: of `sample`.

    >>> Product(Simplex(2), Ball(1)).project([2.0, 1.0, -3.0]).tolist()
    [1.0, 0.0, -1.0]
    """

    def __init__(self, *parts: ConvexSet, seed: int | None = None) -> None:
        if not parts or not all(isinstance(part, ConvexSet) for part in parts):
            raise ValueError(f"Product: needs one or more convex sets, got {parts}")
        self.parts = parts
        self._cuts = np.cumsum([part.dimension for part in parts])[:-1]
        low = np.concatenate([part.low for part in parts])
        super().__init__(low, np.concatenate([part.high for part in parts]), seed)

    def split(self, x: np.ndarray) -> list[np.ndarray]:
        """The parts' coordinates of points (..., d), in order."""
        return np.split(x, self._cuts, axis=-1)

    @property
    def diameter(self) -> float:
        """Square root of the parts' summed squared diameters."""
        return float(np.linalg.norm([part.diameter for part in self.parts]))

    @property
    def largest_norm(self) -> float:
        """Square root of the parts' summed squared largest norms."""
        return float(np.linalg.norm([part.largest_norm for part in self.parts]))

    def _euclidean(self, y: np.ndarray) -> np.ndarray:
        blocks = zip(self.parts, self.split(y), strict=True)
        return np.concatenate([part._euclidean(block) for part, block in blocks], axis=-1)

    def _uniform(self, rng: np.random.Generator) -> np.ndarray:
        return np.concatenate([part._uniform(rng) for part in self.parts])

    def contains(self, x: Any) -> bool:
        """Whether every part holds its coordinates."""
        return super().contains(x) and bool(self.holds(np.asarray(x)))

    def __repr__(self) -> str:
        return f"Product({', '.join(map(repr, self.parts))})"


def _spectrum(
    metric: Any, d: int, batch: tuple[int, ...], name: str = "metric"
) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (..., d) and eigenvectors (..., d, d) of a metric."""
    matrix = np.asarray(metric, dtype=np.float64)
    try:
        if matrix.shape[-2:] != (d, d):
            raise ValueError
        matrix = np.broadcast_to(matrix, (*batch, d, d))
    except ValueError:
        raise ValueError(
            f"{name} must be of shape ({d}, {d}) or {(*batch, d, d)}, got {matrix.shape}"
        ) from None
    size = np.abs(matrix).max(initial=0.0)
    if not np.isfinite(size) or np.abs(matrix - np.swapaxes(matrix, -1, -2)).max() > 1e-9 * size:
        raise ValueError(f"{name} must be finite and symmetric")
    scales, axes = np.linalg.eigh(matrix)
    if not scales.min() > 0.0:
        raise ValueError(f"{name} must be positive definite, got an eigenvalue {scales.min():.3g}")
    return scales, axes
