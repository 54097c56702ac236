"""The laws of next year's stock: one definition for the simulator and for the exact solver.

Each noise turns the median next stock m = f(s) and raw draws into x' (`apply`), and gives the
exact integrals that the solver needs: the call price E[(x' - k)^+] and the cdf P(x' <= k).
Sources: noise models as in Boettiger et al. 2015 (Proc. R. Soc. B 282:20141631; lognormal) and
gym_fishing 0.1.0 (normal, proportional to s); the integrals are the Black-Scholes and Bachelier
formulas with a known law and no discounting.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import exp, pi, sqrt
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from rlopt.theory.arrays import Array, at_least, namespace
from rlopt.theory.checks import fraction, nonnegative

Floats: TypeAlias = NDArray[np.float64]

# Stand-ins for log(0): far below every float's logarithm (-745), finite (no inf - inf), and
# ordered so that a dead stock (m = 0) counts as <= the strike 0. They decide every comparison
# with certainty for sigma < 37, beyond which E Z itself overflows.
_LOG_OF_NO_STOCK = -2e4
_LOG_OF_NO_STRIKE = -1e4


class Noise(ABC):
    """A law of the next stock x' given its median m = f(s) >= 0 and the escapement s >= 0.

    Attributes:
        kind: the raw draws that `apply` expects: "normal" N(0, 1), "uniform" U(0, 1), None.
        dim: how many raw draws a stock needs each year, 0 or 1.
    """

    kind: ClassVar[Literal["normal", "uniform"] | None]
    dim: ClassVar[int]

    @property
    @abstractmethod
    def largest_factor(self) -> float:
        """A factor that x' / f(s) exceeds with probability < 3e-7 (0 for bounded noise).

        It sizes grids; nothing exact rests on it.
        """

    @abstractmethod
    def apply(self, median: Array, s: Array, raw: Array) -> Array:
        """Next stock.

        Args:
            median: f(s), any shape [biomass], numpy or torch.
            s: escapement, same shape [biomass].
            raw: draws of `kind`, same shape; ignored where `dim` is 0.

        Returns:
            x' >= 0, same shape [biomass].
        """

    @abstractmethod
    def mean(self, median: Array, s: Array) -> Array:
        """E x' [biomass], exact; shape of median."""

    @abstractmethod
    def call_price(self, median: Any, s: Any, k: Any) -> Floats:
        """E[(x' - k)^+] [biomass], exact.

        Args:
            median: f(s) >= 0, numpy, broadcastable with k, e.g. (n, 1).
            s: escapement >= 0, shaped like median.
            k: strike >= 0 [biomass], e.g. (m,).

        Returns:
            Values >= 0 of the broadcast shape, e.g. (n, m).
        """

    @abstractmethod
    def put_price(self, median: Any, s: Any, k: Any) -> Floats:
        """E[(k - x')^+] [biomass], exact; arguments and shape as in `call_price`.

        For small strikes: there, differences of call prices are differences of large numbers.
        """

    @abstractmethod
    def cdf(self, median: Any, s: Any, k: Any) -> Floats:
        """P(x' <= k) in [0, 1], exact; arguments and shape as in `call_price`."""

    def sample(self, rng: np.random.Generator, median: Any, s: Any) -> Floats:
        """Random next stocks, of the broadcast shape of median and s [biomass]."""
        median, s = np.broadcast_arrays(np.asarray(median, float), np.asarray(s, float))
        raw: Floats | None = None
        if self.kind == "normal":
            raw = rng.standard_normal(median.shape)
        elif self.kind == "uniform":
            raw = rng.random(median.shape)
        return np.asarray(self.apply(median, s, raw))


class MultiplicativeNoise(Noise):
    """x' = Z f(s), with Z independent of s."""

    @property
    @abstractmethod
    def mean_factor(self) -> float:
        """E Z."""

    def mean(self, median: Array, s: Array) -> Array:
        """E x' = E[Z] f(s)."""
        return median * self.mean_factor


@dataclass(frozen=True)
class Deterministic(MultiplicativeNoise):
    """x' = f(s)."""

    kind: ClassVar[Literal["normal", "uniform"] | None] = None
    dim: ClassVar[int] = 0

    @property
    def mean_factor(self) -> float:
        """1."""
        return 1.0

    @property
    def largest_factor(self) -> float:
        """1."""
        return 1.0

    def apply(self, median: Array, s: Array, raw: Array = None) -> Array:
        """The median itself."""
        return median

    def call_price(self, median: Any, s: Any, k: Any) -> Floats:
        """(f(s) - k)^+."""
        return np.asarray(np.maximum(np.subtract(median, k), 0.0))

    def put_price(self, median: Any, s: Any, k: Any) -> Floats:
        """(k - f(s))^+."""
        return np.asarray(np.maximum(np.subtract(k, median), 0.0))

    def cdf(self, median: Any, s: Any, k: Any) -> Floats:
        """1 where f(s) <= k, else 0."""
        return np.asarray(np.less_equal(median, k), float)


_CERTAIN = Deterministic()


@dataclass(frozen=True)
class LognormalNoise(MultiplicativeNoise):
    """x' = f(s) exp(sigma eps + mu), eps ~ N(0, 1).

    Args:
        sigma: standard deviation of log Z, >= 0.
        mean_one: False (default, as in all peers): mu = 0, f(s) is the median and
            E Z = exp(sigma^2 / 2) > 1. True: mu = -sigma^2 / 2, so E Z = 1.

    Raises:
        TypeError: sigma is not a number or mean_one not a bool.
        ValueError: sigma is negative or not finite.
    """

    sigma: float
    mean_one: bool = False
    kind: ClassVar[Literal["normal", "uniform"] | None] = "normal"
    dim: ClassVar[int] = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", nonnegative("LognormalNoise", "sigma", self.sigma))
        if not isinstance(self.mean_one, bool):
            raise TypeError(
                f"LognormalNoise: mean_one must be True or False, got {self.mean_one!r}"
            )

    @property
    def mu(self) -> float:
        """E log Z."""
        return -0.5 * self.sigma**2 if self.mean_one else 0.0

    @property
    def mean_factor(self) -> float:
        """E Z: 1 or exp(sigma^2 / 2)."""
        return 1.0 if self.mean_one else exp(0.5 * self.sigma**2)

    @property
    def largest_factor(self) -> float:
        """exp(5 sigma)."""
        return exp(5.0 * self.sigma)

    def apply(self, median: Array, s: Array, raw: Array) -> Array:
        """Median times exp(sigma raw + mu)."""
        if self.sigma == 0.0:
            return median
        exponent = raw * self.sigma
        if self.mean_one:
            exponent = exponent + self.mu
        return namespace(median).exp(exponent) * median

    def call_price(self, median: Any, s: Any, k: Any) -> Floats:
        """E[Z] m Phi(d + sigma) - k Phi(d), with d = (log(m / k) + mu) / sigma."""
        if self.sigma == 0.0:
            return _CERTAIN.call_price(median, s, k)
        median, k = np.asarray(median, float), np.asarray(k, float)
        # The logs and their scaling stay on the small shapes: only three passes over the full one.
        from_m = (_log(median, _LOG_OF_NO_STOCK) + self.mu) / self.sigma
        from_k = _log(k, _LOG_OF_NO_STRIKE) / self.sigma
        price = np.asarray(ndtr((from_m + self.sigma) - from_k))
        price *= median * self.mean_factor
        exercised = np.asarray(ndtr(from_m - from_k))
        exercised *= k
        price -= exercised
        # Far out of the money the difference of two equal terms may end at -1e-17.
        np.maximum(price, 0.0, out=price)
        return price

    def put_price(self, median: Any, s: Any, k: Any) -> Floats:
        """K Phi(-d) - E[Z] m Phi(-d - sigma), with d as in `call_price`."""
        if self.sigma == 0.0:
            return _CERTAIN.put_price(median, s, k)
        median, k = np.asarray(median, float), np.asarray(k, float)
        d = (_log(median, _LOG_OF_NO_STOCK) + self.mu) / self.sigma
        d = d - _log(k, _LOG_OF_NO_STRIKE) / self.sigma
        price = k * ndtr(-d) - median * self.mean_factor * ndtr(-d - self.sigma)
        return np.maximum(price, 0.0)

    def cdf(self, median: Any, s: Any, k: Any) -> Floats:
        """Phi((log(k / m) - mu) / sigma)."""
        if self.sigma == 0.0:
            return _CERTAIN.cdf(median, s, k)
        from_m = (_log(np.asarray(median, float), _LOG_OF_NO_STOCK) + self.mu) / self.sigma
        from_k = _log(np.asarray(k, float), _LOG_OF_NO_STRIKE) / self.sigma
        return np.asarray(ndtr(from_k - from_m))


@dataclass(frozen=True)
class UniformNoise(MultiplicativeNoise):
    """x' = Z f(s), Z ~ U(1 - d, 1 + d): bounded, so that a constant escapement can be safe.

    Args:
        d: half-width, in [0, 1].

    Raises:
        TypeError: d is not a number.
        ValueError: d is outside [0, 1] or not finite.
    """

    d: float
    kind: ClassVar[Literal["normal", "uniform"] | None] = "uniform"
    dim: ClassVar[int] = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "d", fraction("UniformNoise", "d", self.d))

    @property
    def mean_factor(self) -> float:
        """1."""
        return 1.0

    @property
    def largest_factor(self) -> float:
        """1 + d, never exceeded."""
        return 1.0 + self.d

    def apply(self, median: Array, s: Array, raw: Array) -> Array:
        """Median times (1 - d + 2 d raw)."""
        return (raw * (2.0 * self.d) + (1.0 - self.d)) * median

    def call_price(self, median: Any, s: Any, k: Any) -> Floats:
        """(hi - t)^2 / (2 (hi - lo)) + (lo - k)^+, t = k clipped to [lo, hi] = m (1 -+ d)."""
        if self.d == 0.0:
            return _CERTAIN.call_price(median, s, k)
        median, k = np.asarray(median, float), np.asarray(k, float)
        low, high = median * (1.0 - self.d), median * (1.0 + self.d)
        width = np.where(high > low, high - low, 1.0)  # no stock, no spread: the square is 0
        price = np.asarray(high - np.clip(k, low, high))
        price *= price
        price /= 2.0 * width
        price += np.maximum(low - k, 0.0)
        return price

    def put_price(self, median: Any, s: Any, k: Any) -> Floats:
        """(t - lo)^2 / (2 (hi - lo)) + (k - hi)^+, with t, lo and hi as in `call_price`."""
        if self.d == 0.0:
            return _CERTAIN.put_price(median, s, k)
        median, k = np.asarray(median, float), np.asarray(k, float)
        low, high = median * (1.0 - self.d), median * (1.0 + self.d)
        width = np.where(high > low, high - low, 1.0)
        inside = np.clip(k, low, high) - low
        return inside * inside / (2.0 * width) + np.maximum(k - high, 0.0)

    def cdf(self, median: Any, s: Any, k: Any) -> Floats:
        """(k - lo) / (hi - lo) clipped to [0, 1]."""
        if self.d == 0.0:
            return _CERTAIN.cdf(median, s, k)
        median, k = np.asarray(median, float), np.asarray(k, float)
        low, high = median * (1.0 - self.d), median * (1.0 + self.d)
        spread = high > low
        inside = np.clip((k - low) / np.where(spread, high - low, 1.0), 0.0, 1.0)
        return np.where(spread, inside, _CERTAIN.cdf(median, s, k))


class ClippedNormal(ABC):
    """The integrals of x' = max(0, m + sd eps), eps ~ N(0, 1), with an sd that depends on s."""

    @abstractmethod
    def deviation(self, s: Any) -> Floats:
        """The sd before clipping, shaped like s [biomass]."""

    def mean(self, median: Any, s: Any) -> Floats:
        """E max(0, y) = m Phi(m / sd) + sd phi(m / sd), y ~ N(m, sd); numpy only."""
        return self.call_price(median, s, 0.0)

    def call_price(self, median: Any, s: Any, k: Any) -> Floats:
        """(m - k) Phi(z) + sd phi(z), z = (m - k) / sd; for k >= 0 clipping at 0 is no matter."""
        gap, sd, z = self._standardise(median, s, k)
        price = np.asarray(ndtr(z))
        price *= gap
        price += np.exp(-0.5 * z * z) * (sd / sqrt(2.0 * pi))
        np.maximum(price, 0.0, out=price)
        return price

    def put_price(self, median: Any, s: Any, k: Any) -> Floats:
        """Integral of the cdf from 0 to k: P(k) - P(0), P(k) = (k - m) Phi(-z) + sd phi(z).

        Where k is far below sd that difference would be lost in rounding: there its expansion,
        k Phi(-m / sd) + k^2 phi(m / sd) / (2 sd).
        """
        gap, sd, z = self._standardise(median, s, k)
        level, _, z_0 = self._standardise(median, s, 0.0)
        at_0 = np.exp(-0.5 * z_0 * z_0) / sqrt(2.0 * pi)
        price = np.exp(-0.5 * z * z) * (sd / sqrt(2.0 * pi)) - gap * ndtr(-z)
        price -= sd * at_0 - level * ndtr(-z_0)
        k = np.asarray(k, float)
        near = k * ndtr(-z_0) + k * k * at_0 / np.maximum(2.0 * sd, 1e-200)
        return np.maximum(np.where(k < 1e-4 * sd, near, price), 0.0)

    def cdf(self, median: Any, s: Any, k: Any) -> Floats:
        """Phi((k - m) / sd); where sd = 0, 1 if m <= k, else 0."""
        gap, sd, z = self._standardise(median, s, k)
        return np.where(sd > 0.0, ndtr(-z), (gap <= 0.0).astype(float))

    def _standardise(self, median: Any, s: Any, k: Any) -> tuple[Floats, Floats, Floats]:
        """Gap m - k, sd, and z = (m - k) / sd held within +-40: phi is 0 and Phi 0 or 1 there."""
        gap = np.asarray(np.subtract(median, k), float)
        sd = np.asarray(self.deviation(s), float)
        z = np.clip(gap / np.maximum(sd, 1e-200), -40.0, 40.0)
        return gap, sd, z


@dataclass(frozen=True)
class NormalNoise(ClippedNormal, Noise):
    """x' = max(0, f(s) + sigma s eps), eps ~ N(0, 1): the sd is proportional to the escapement.

    Not multiplicative in f(s): there is no `mean_factor`, use `mean(median, s)`, which lies
    slightly above f(s) because of the clipping.

    Args:
        sigma: standard deviation relative to the escapement s, >= 0.

    Raises:
        TypeError: sigma is not a number.
        ValueError: sigma is negative or not finite.
    """

    sigma: float
    kind: ClassVar[Literal["normal", "uniform"] | None] = "normal"
    dim: ClassVar[int] = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", nonnegative("NormalNoise", "sigma", self.sigma))

    @property
    def largest_factor(self) -> float:
        """exp(5 sigma) >= 1 + 5 sigma, a bound wherever f(s) >= s."""
        return exp(5.0 * self.sigma)

    def apply(self, median: Array, s: Array, raw: Array) -> Array:
        """max(0, median + sigma s raw)."""
        if self.sigma == 0.0:
            return median
        return at_least(raw * self.sigma * s + median, 0.0)

    def deviation(self, s: Any) -> Floats:
        """Sigma s."""
        return np.multiply(s, self.sigma)


def _log(x: Floats, at_zero: float) -> Floats:
    """Log x for x >= 0, with a finite stand-in for log 0."""
    return np.where(x > 0.0, np.log(np.where(x > 0.0, x, 1.0)), at_zero)
