"""The growth maps that are fitted to data, each with what a fit needs to know of it.

All three are linear in one number once their shape is known, in units of the largest stock:

    Ricker   log y = log x + r (1 - x/K)                               shape: log K
    Allen    log y = log x + r (1 - x/K) (x - C) / K                   shape: log K, C/K
    Myers    log y = theta log x - log(1 + (x/H)^theta) + log A        shape: log theta, log H

with H = M^(1/theta), the stock at which Myers' map has reached half of its limit. Ricker and Allen
are besides linear in coefficients b of log(y/x) = b_0 + b_1 x (+ b_2 x^2) (fisheries notes, 5):
Ricker b = (r, -r/K), Allen b = (-r C/K, (r/K)(1 + C/K), -r/K^2).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import exp, inf, log
from typing import Any, ClassVar

import numpy as np

from rlopt.theory.stock import Allen, Growth, Myers, Ricker

REACH = 100.0  # K and H are sought within this factor of the largest stock seen, either way
LEAST_RATE = 1e-4  # of r; 0 would be a stock that never changes


class Family(ABC):
    """One growth map as a statistical model.

    Attributes:
        growth: the map.
        names: of its parameters.
        low, high: box of the shape, in units of the largest stock.
        shape_names: the parameter that each coordinate of the shape decides.
        level_name: the parameter that the linear coefficient decides.
        least: lower limit of that coefficient.
        columns: number of coefficients of log(y/x), 0 where it is not linear in any.
    """

    growth: ClassVar[type[Growth]]
    names: ClassVar[tuple[str, ...]]
    low: ClassVar[tuple[float, ...]]
    high: ClassVar[tuple[float, ...]]
    shape_names: ClassVar[tuple[str, ...]]
    level_name: ClassVar[str]
    least: ClassVar[float] = LEAST_RATE
    columns: ClassVar[int] = 0

    @abstractmethod
    def parts(self, shape: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Offset and slope of log y = offset + level * slope.

        Args:
            shape: (..., d), d coordinates.
            x: escapements (n,).

        Returns:
            Both (..., n).
        """

    @abstractmethod
    def natural(self, shape: Any, level: float, unit: float) -> tuple[float, ...]:
        """Shape (d,) and coefficient, fitted in a unit of biomass -> the map's parameters."""

    @abstractmethod
    def gradient(self, growth: Any, x: np.ndarray) -> np.ndarray:
        """Derivatives of log f(x) by the parameters, (p, n)."""

    def admissible(self, b: np.ndarray) -> np.ndarray:
        """Which coefficients (..., p), in units of the largest stock, are those of a map."""
        raise NotImplementedError(f"{type(self).__name__} is not linear in coefficients")

    def from_coefficients(self, b: Any, unit: float) -> tuple[float, ...]:
        """Admissible coefficients (p,) -> the map's parameters."""
        raise NotImplementedError(f"{type(self).__name__} is not linear in coefficients")

    def coefficients(self, level: Any, shape: Any) -> tuple[np.ndarray, np.ndarray]:
        """Level (...) and shape (..., d) -> coefficients (..., p), log |d b / d(log level, shape)|.

        All in units of the largest stock.
        """
        raise NotImplementedError(f"{type(self).__name__} is not linear in coefficients")


class RickerFamily(Family):
    """f(s) = s exp(r (1 - s/K))."""

    growth = Ricker
    names = ("r", "K")
    low, high = (-log(REACH),), (log(REACH),)
    shape_names = ("K",)
    level_name = "r"
    columns = 2

    def parts(self, shape: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log x, 1 - x/K."""
        slope = 1.0 - x / np.exp(np.asarray(shape)[..., 0])[..., None]
        return np.broadcast_to(np.log(x), slope.shape), slope

    def natural(self, shape: Any, level: float, unit: float) -> tuple[float, ...]:
        """(r, K)."""
        return level, exp(shape[0]) * unit

    def gradient(self, growth: Ricker, x: np.ndarray) -> np.ndarray:
        """By r: 1 - x/K; by K: r x / K^2."""
        return np.stack([1.0 - x / growth.K, growth.r * x / growth.K**2])

    def admissible(self, b: np.ndarray) -> np.ndarray:
        """r >= LEAST_RATE and K within REACH."""
        r, decline = b[..., 0], -b[..., 1]
        return (r >= LEAST_RATE) & (decline * REACH >= r) & (decline <= r * REACH)

    def from_coefficients(self, b: Any, unit: float) -> tuple[float, ...]:
        """(b_0, -b_0 / b_1)."""
        return float(b[0]), -float(b[0] / b[1]) * unit

    def coefficients(self, level: Any, shape: Any) -> tuple[np.ndarray, np.ndarray]:
        """(r, -r/K); the Jacobian is r^2 / K."""
        log_k = shape[..., 0]
        b = np.stack([level, -level * np.exp(-log_k)], axis=-1)
        return b, 2.0 * np.log(level) - log_k


class AllenFamily(Family):
    """f(s) = s exp(r (1 - s/K) (s - C) / K)."""

    growth = Allen
    names = ("r", "K", "C")
    low, high = (-log(REACH), 1e-3), (log(REACH), 1.0 - 1e-3)
    shape_names = ("K", "C")
    level_name = "r"
    columns = 3

    def parts(self, shape: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log x, (1 - x/K) (x/K - C/K)."""
        shape = np.asarray(shape)
        share = x / np.exp(shape[..., 0])[..., None]
        slope = (1.0 - share) * (share - shape[..., 1, None])
        return np.broadcast_to(np.log(x), slope.shape), slope

    def natural(self, shape: Any, level: float, unit: float) -> tuple[float, ...]:
        """(r, K, C)."""
        K = exp(shape[0]) * unit
        return level, K, K * float(shape[1])

    def gradient(self, growth: Allen, x: np.ndarray) -> np.ndarray:
        """Of g = (r/K^2) (K - x) (x - C): g/r, (r/K^2) (x - C) - 2 g/K, -(r/K^2) (K - x)."""
        rate = growth.r / growth.K**2
        g = rate * (growth.K - x) * (x - growth.C)
        by_K = rate * (x - growth.C) - 2.0 * g / growth.K
        return np.stack([g / growth.r, by_K, -rate * (growth.K - x)])

    def admissible(self, b: np.ndarray) -> np.ndarray:
        """Two real roots C < K of b_0 + b_1 x + b_2 x^2, positive, and b_2 < 0; in the box."""
        b_0, b_1, b_2 = b[..., 0], b[..., 1], b[..., 2]
        real = (b_0 < 0.0) & (b_1 > 0.0) & (b_2 < 0.0) & (b_1 * b_1 > 4.0 * b_0 * b_2)
        safe = np.where(real[..., None], b, (-1.0, 3.0, -1.0))
        K, ratio = _roots(safe)
        r = -safe[..., 2] * K * K
        inside = (ratio >= self.low[1]) & (ratio <= self.high[1]) & (r >= LEAST_RATE)
        return real & inside & (K >= 1.0 / REACH) & (K <= REACH)

    def from_coefficients(self, b: Any, unit: float) -> tuple[float, ...]:
        """(-b_2 K^2, K, C), K and C the roots."""
        K, ratio = _roots(np.asarray(b))
        return float(-b[2] * K * K), float(K) * unit, float(K * ratio) * unit

    def coefficients(self, level: Any, shape: Any) -> tuple[np.ndarray, np.ndarray]:
        """(-r c, (r/K)(1 + c), -r/K^2), c = C/K; the Jacobian is r^3 (1 - c) / K^3."""
        log_k, c = shape[..., 0], shape[..., 1]
        over_k = np.exp(-log_k)
        b = np.stack([-level * c, level * over_k * (1.0 + c), -level * over_k**2], axis=-1)
        return b, 3.0 * np.log(level) + np.log1p(-c) - 3.0 * log_k


class MyersFamily(Family):
    """f(s) = A s^theta / (1 + s^theta / M)."""

    growth = Myers
    names = ("A", "theta", "M")
    low = (log(0.1), -log(REACH))
    high = (log(10.0), log(REACH))  # theta <= 10 as in the paper's prior
    shape_names = ("theta", "M")
    level_name = "A"
    least = -inf

    def parts(self, shape: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Theta log x - log(1 + (x/H)^theta), 1."""
        shape = np.asarray(shape)
        theta, log_h = np.exp(shape[..., 0])[..., None], shape[..., 1, None]
        powers = theta * np.log(x)
        offset = powers - np.logaddexp(0.0, powers - theta * log_h)
        return offset, np.ones_like(offset)

    def natural(self, shape: Any, level: float, unit: float) -> tuple[float, ...]:
        """(A, theta, M): A has the unit biomass^(1 - theta), M biomass^theta."""
        theta = exp(shape[0])
        return exp(level + (1.0 - theta) * log(unit)), theta, exp(theta * (shape[1] + log(unit)))

    def gradient(self, growth: Myers, x: np.ndarray) -> np.ndarray:
        """1/A, (1 - w) log x and w/M, with the saturation w = x^theta / (M + x^theta)."""
        log_x = np.log(x)
        w = 1.0 / (1.0 + np.exp(log(growth.M) - growth.theta * log_x))
        return np.stack([np.full_like(x, 1.0 / growth.A), (1.0 - w) * log_x, w / growth.M])


def _roots(b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Larger root K of b_0 + b_1 x + b_2 x^2 and the ratio of the smaller to it.

    Without the difference of two large numbers in the smaller root.
    """
    b_0, b_1, b_2 = b[..., 0], b[..., 1], b[..., 2]
    q = -0.5 * (b_1 + np.sqrt(b_1 * b_1 - 4.0 * b_0 * b_2))
    K = q / b_2
    return K, b_0 / q / K


FAMILIES: dict[str, Family] = {
    "ricker": RickerFamily(),
    "allen": AllenFamily(),
    "myers": MyersFamily(),
}
