"""Models between chance and malice whose sigma and Sigma have closed forms."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rlopt.theory.checks import numbers, positive, whole


class Moments(NamedTuple):
    """Summed variance of the gradients, and summed squared drift of their means."""

    sigma_sq: Any
    Sigma_sq: Any


class RandomOrder:
    """Linear losses <z_i, x>, each seen once, in random order (Sachs et al. 2022, section 4).

    In round t nature draws among the n - t + 1 losses that are left. With s_1 = (1/n) sum
    |z_i - mean|^2 and H_n = 1 + 1/2 + ... + 1/n,

        E sum_t sigma_t^2 = s_1 n (n - H_n) / (n - 1),   E sum_{t >= 2} Sigma_t^2 = s_1.

    (What is left with m losses has expected variance s_1 n (m - 1) / (m (n - 1)), and sampling
    without replacement moves the mean by s_1 n / (m (m + 1) (n - 1)) when m are left.)

    Args:
        z: (n, d) gradients, n >= 2, finite.

    Raises:
        ValueError: another shape, or numbers that are not finite.
    """

    def __init__(self, z: Any) -> None:
        table = numbers("RandomOrder", "z", z)
        if table.ndim != 2 or len(table) < 2 or not table.shape[1]:
            raise ValueError(f"RandomOrder: z must be of shape (n >= 2, d), got {table.shape}")
        if not np.isfinite(table).all():
            raise ValueError("RandomOrder: z must be finite")
        self.z = table.copy()
        self._centred = table - table.mean(axis=0)

    @property
    def first(self) -> float:
        """s_1, the variance of the first round."""
        return float((self._centred**2).sum(axis=1).mean())

    @property
    def unbiased(self) -> float:
        """s_1 n / (n - 1)."""
        return self.first * len(self.z) / (len(self.z) - 1)

    @property
    def left(self) -> np.ndarray:
        """Losses left before each draw, (n,): n .. 1."""
        return np.arange(len(self.z), 0, -1.0)

    @property
    def sigma_sq_t(self) -> np.ndarray:
        """E sigma_t^2 of each round, (n,)."""
        return self.unbiased * (1.0 - 1.0 / self.left)

    @property
    def Sigma_sq_t(self) -> np.ndarray:
        """E Sigma_t^2 of each round, (n,), 0 at t = 1."""
        moves = self.unbiased / (self.left * (self.left + 1.0))
        return np.append(0.0, moves[1:])

    @property
    def mean_sq_t(self) -> np.ndarray:
        """E |mean of what is left|^2 before each draw, (n,)."""
        centre = self.z.mean(axis=0)
        return centre @ centre + self.unbiased * (1.0 / self.left - 1.0 / len(self.z))

    @property
    def sigma_sq(self) -> float:
        """E sum_t sigma_t^2."""
        return float(self.sigma_sq_t.sum())

    @property
    def Sigma_sq(self) -> float:
        """E sum_{t >= 2} Sigma_t^2."""
        return self.first

    def path(self, order: Any) -> Moments:
        """The two sums of a drawn order.

        Args:
            order: (..., n) permutations of 0..n-1.

        Returns:
            Floats, or arrays (...); the last round has variance 0.

        Raises:
            ValueError: not permutations.
        """
        n = len(self.z)
        rows = numbers("RandomOrder", "order", order)
        if rows.shape[-1:] != (n,) or not (np.sort(rows, axis=-1) == np.arange(n)).all():
            raise ValueError(f"RandomOrder: order must be permutations of 0..{n - 1}, got {order}")
        drawn = self._centred[rows.astype(int)]
        left = np.arange(n, 0, -1)
        mean = np.flip(np.flip(drawn, -2).cumsum(axis=-2), -2) / left[:, None]
        squares = (drawn**2).sum(axis=-1)
        spread = np.flip(np.flip(squares, -1).cumsum(axis=-1), -1) / left - (mean**2).sum(axis=-1)
        sigma_sq = np.maximum(spread[..., :-1], 0.0).sum(axis=-1)
        Sigma_sq = (np.diff(mean, axis=-2) ** 2).sum(axis=(-1, -2))
        if rows.ndim == 1:
            return Moments(float(sigma_sq), float(Sigma_sq))
        return Moments(sigma_sq, Sigma_sq)


class CoordinateLosses:
    """f(x, i) = x_i^2 / 2 with a uniform coordinate i, on the unit ball (Sachs et al., Lemma 14).

    Taking the supremum over x inside the expectation costs a factor d - 1.

    Args:
        d: dimension, >= 2.
    """

    def __init__(self, d: int) -> None:
        self.d = whole("CoordinateLosses", "d", d, 2)

    @property
    def sigma_sq(self) -> float:
        """sup_x E |grad f - grad F|^2 of one round, (d - 1) / d^2."""
        return (self.d - 1) / self.d**2

    @property
    def sigma_tilde_sq(self) -> float:
        """E sup_x |grad f - grad F|^2 of one round, (1 - 1/d)^2."""
        return (1.0 - 1.0 / self.d) ** 2

    def gradient(self, x: Any, i: int) -> np.ndarray:
        """x_i e_i of points (..., d)."""
        points = np.asarray(x, dtype=np.float64)
        return points * (np.arange(self.d) == i)


class OrthogonalAdversary:
    """Linear losses that no learner profits from (d >= 3): <g_t, x_t> = 0 and |S_t| = G sqrt t.

    g_t of length G is orthogonal to the point played and to S_{t-1}, the gradients so far: after
    T rounds on the ball every learner has lost 0, the best point -radius G sqrt T.

    Args:
        d: dimension, >= 3.
        radius: of the ball, > 0.
        G: length of the gradients, > 0.

    Attributes:
        S: sum of the gradients so far, shaped like x; None at the start.
        t: rounds so far.

    >>> adversary = OrthogonalAdversary(3)
    >>> [adversary.gradient([0.0, 0.6, 0.0]).tolist() for _ in range(2)]
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """

    def __init__(self, d: int, radius: float = 1.0, G: float = 1.0) -> None:
        self.d = whole("OrthogonalAdversary", "d", d, 3)
        self.radius = positive("OrthogonalAdversary", "radius", radius)
        self.G = positive("OrthogonalAdversary", "G", G)
        self.S: np.ndarray | None = None
        self.t = 0

    def gradient(self, x: Any) -> np.ndarray:
        """The next gradient, for points played (d,) or (runs, d); advances the clock.

        Raises:
            ValueError: another shape than in the rounds before, or a point outside the ball.
        """
        points = numbers("OrthogonalAdversary", "x", x)
        wanted = f"(d,) or (runs, d) with d = {self.d}" if self.S is None else f"{self.S.shape}"
        fits = points.ndim in (1, 2) and points.shape[-1] == self.d
        if not fits or (self.S is not None and points.shape != self.S.shape):
            raise ValueError(
                f"OrthogonalAdversary: x must be of shape {wanted}, got {points.shape}"
            )
        length = np.linalg.norm(points, axis=-1).max()
        if not length <= self.radius * (1.0 + 1e-9):
            raise ValueError(
                f"OrthogonalAdversary: x must lie in the ball of radius {self.radius}, "
                f"got length {length}"
            )
        S = np.zeros_like(points) if self.S is None else self.S
        drawn = orthogonal(points, S, self.G)
        self.S = S + drawn
        self.t += 1
        return drawn

    @property
    def regret(self) -> float:
        """Of every learner so far, radius G sqrt t."""
        return self.radius * self.G * float(np.sqrt(self.t))


def orthogonal(x: np.ndarray, S: np.ndarray, G: float) -> np.ndarray:
    """Vectors of length G orthogonal to x and to S, batched, d >= 3.

    The axis with the largest part outside their span, less the part inside.

    Args:
        x: (..., d).
        S: (..., d).
        G: length.

    Returns:
        (..., d).
    """
    first = _unit(S, S)
    second = _unit(_less(_less(x, first), first), x)
    outside = 1.0 - first**2 - second**2
    axis = np.eye(x.shape[-1])[outside.argmax(axis=-1)]
    axis = _less(_less(axis, first), second)  # of length >= sqrt(1 - 2/d): no digits are lost
    return G * axis / np.linalg.norm(axis, axis=-1, keepdims=True)


def _less(v: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """The rest of v without its part along a unit vector."""
    return v - (v * unit).sum(axis=-1, keepdims=True) * unit


def _unit(v: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Vectors of length 1; 0 where v is rounding beside `scale`."""
    length = np.linalg.norm(v, axis=-1, keepdims=True)
    real = length > 1e-14 * np.linalg.norm(scale, axis=-1, keepdims=True)
    return np.where(real, v / np.where(real, length, 1.0), 0.0)
