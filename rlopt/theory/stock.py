"""Growth maps of fished stocks; next stock = noise applied to f(escapement).

Sources: Boettiger et al. 2015 (Proc. R. Soc. B 282:20141631, arXiv 1412.8081) for Ricker, Allen
and Myers; gym_fishing 0.1.0 for logistic, Beverton-Holt and May; the default parameters are
those of these packages. Closed-form reference points: set gamma f'(S) = 1.

Differences from the paper: Allen's exponent is divided by K. Equation 2.1 of the paper prints
s exp(r (1 - s/K)(s - C)); its code and its data follow the form below.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log10, sqrt
from typing import ClassVar

from scipy.special import lambertw

from rlopt.theory.arrays import Array, at_least, clamp, namespace, power
from rlopt.theory.growth import Growth, ReferencePoints, roots, search_grid
from rlopt.theory.noise import (
    Deterministic,
    LognormalNoise,
    MultiplicativeNoise,
    Noise,
    NormalNoise,
    UniformNoise,
)

__all__ = [
    "Allen",
    "BevertonHolt",
    "Deterministic",
    "Growth",
    "Logistic",
    "LognormalNoise",
    "May",
    "MultiplicativeNoise",
    "Myers",
    "Noise",
    "NormalNoise",
    "ReferencePoints",
    "Ricker",
    "UniformNoise",
]

# The kernels clamp s to [0, cap], where cap is a stock at which f has reached its limit (0 or
# saturation) to the last bit: no square or power of a huge s can then overflow into NaN.


class _SingleEquilibrium(Growth):
    """A map with f(K) = K > 0 as its only positive fixed point."""

    K: float  # not a dataclass here, or K would come before r

    def _crossings(self) -> list[tuple[float, bool]]:
        return [(self.K, False)]


@dataclass(frozen=True)
class Logistic(_SingleEquilibrium):
    """Schaefer's map: f(s) = s + r s (1 - s/K), clipped at 0 above s = K (1 + 1/r).

    Args:
        r: growth rate, > 0.
        K: carrying capacity, > 0 [biomass].
    """

    r: float = 0.3
    K: float = 1.0

    varying: ClassVar[tuple[str, ...]] = ("r", "K")

    def __call__(self, s: Array) -> Array:
        """(r/K) s (s0 - s), with the zero s0 = K (1 + 1/r): never negative, even by rounding."""
        zero = self.K * (1.0 + 1.0 / self.r)
        s = clamp(s, 0.0, zero)
        return (zero - s) * s * (self.r / self.K)

    def derivative(self, s: Array) -> Array:
        """1 + r (1 - 2 s/K)."""
        return (1.0 + self.r) - (2.0 * self.r / self.K) * s

    @property
    def peak(self) -> tuple[float, float]:
        """At K (1 + r) / (2 r)."""
        s = self.K * (1.0 + self.r) / (2.0 * self.r)
        return s, s * (1.0 + self.r) / 2.0

    def _best_escapement(self, gamma: float) -> float:
        return self.K / 2.0 * (1.0 - (1.0 / gamma - 1.0) / self.r)


@dataclass(frozen=True)
class BevertonHolt(_SingleEquilibrium):
    """f(s) = A s / (1 + s/B), A = 1 + r, B = K/r: saturates at A B, f(K) = K.

    Args:
        r: growth rate, > 0.
        K: carrying capacity, > 0 [biomass].
    """

    r: float = 0.3
    K: float = 1.0

    varying: ClassVar[tuple[str, ...]] = ("r", "K")

    def __call__(self, s: Array) -> Array:
        """A B s / (s + B)."""
        half = self.K / self.r
        s = clamp(s, 0.0, 1e20 * half)
        return s / (s + half) * ((1.0 + self.r) * half)

    def derivative(self, s: Array) -> Array:
        """A / (1 + s/B)^2."""
        return (1.0 + self.r) / (1.0 + s * (self.r / self.K)) ** 2

    @property
    def peak(self) -> tuple[float, float]:
        """(inf, A B)."""
        return inf, (1.0 + self.r) * self.K / self.r

    def _best_escapement(self, gamma: float) -> float:
        return self.K / self.r * (sqrt(gamma * (1.0 + self.r)) - 1.0)


@dataclass(frozen=True)
class Ricker(_SingleEquilibrium):
    """f(s) = s exp(r (1 - s/K)).

    Args:
        r: growth rate, > 0.
        K: carrying capacity, > 0 [biomass].
    """

    r: float = 0.3
    K: float = 1.0

    varying: ClassVar[tuple[str, ...]] = ("r", "K")

    def __call__(self, s: Array) -> Array:
        """As written; above the cap the exponential underflows to 0."""
        s = clamp(s, 0.0, 1e3 * self.K * (1.0 + 1.0 / self.r))
        return namespace(s).exp((self.K - s) * (self.r / self.K)) * s

    def derivative(self, s: Array) -> Array:
        """exp(r (1 - s/K)) (1 - r s/K)."""
        rate = self.r / self.K
        return namespace(s).exp((self.K - s) * rate) * (1.0 - rate * s)

    @property
    def peak(self) -> tuple[float, float]:
        """At K/r."""
        s = self.K / self.r
        return s, s * exp(self.r - 1.0)

    def _best_escapement(self, gamma: float) -> float:
        # With y = 1 - r s/K the condition reads y e^y = e^{1 - r} / gamma: Lambert's W0.
        w = float(lambertw(exp(1.0 - self.r) / gamma).real)
        return self.K / self.r * (1.0 - w)


@dataclass(frozen=True)
class Myers(Growth):
    """f(s) = A s^theta / (1 + s^theta / M): saturates at A M; for theta > 1 it may tip.

    For theta > 1, f'(0) = 0: small stocks die out. (The paper asks for theta > 2; for theta = 2
    there are two positive fixed points as soon as A > 2 / sqrt(M).)

    Args:
        A: growth factor, > 0 [biomass^(1 - theta)].
        theta: depensation exponent, > 0.
        M: saturation, > 0 [biomass^theta].
    """

    A: float = 2.0
    theta: float = 3.0
    M: float = 1.0

    def __call__(self, s: Array) -> Array:
        """A M t / (M + t), t = s^theta."""
        # From t = 1e18 M on, the ratio is 1 to the last bit. A small theta would ask for a cap
        # beyond 1e200, where s^theta is still far from overflow.
        decades = (18.0 + log10(self.M)) / self.theta
        t = power(clamp(s, 0.0, 10.0 ** min(max(decades, 0.0), 200.0)), self.theta)
        return t / (t + self.M) * (self.A * self.M)

    def derivative(self, s: Array) -> Array:
        """A theta s^(theta - 1) / (1 + s^theta / M)^2."""
        t = power(s, self.theta)
        return self.A * self.theta * (t / s) / (1.0 + t / self.M) ** 2

    @property
    def peak(self) -> tuple[float, float]:
        """(inf, A M)."""
        return inf, self.A * self.M


@dataclass(frozen=True)
class Allen(Growth):
    """f(s) = s exp(r (1 - s/K) (s - C) / K): below C the stock dies out.

    Args:
        r: growth rate, > 0.
        K: carrying capacity, > 0 [biomass].
        C: tipping point, 0 < C < K [biomass].
    """

    r: float = 2.0
    K: float = 8.0
    C: float = 5.0

    varying: ClassVar[tuple[str, ...]] = ("r", "K", "C")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.C < self.K:
            raise ValueError(
                f"Allen: C (tipping point) must be < K (capacity), got C={self.C}, K={self.K}"
            )

    def __call__(self, s: Array) -> Array:
        """As written, with exact fixed points; above the cap the exponential underflows to 0."""
        K = self.K
        s = clamp(s, 0.0, K * (1.0 + (1e3 / self.r) ** 0.5))
        return namespace(s).exp((K - s) * (s - self.C) * (self.r / (K * K))) * s

    def derivative(self, s: Array) -> Array:
        """exp(g) (1 + s g'), g = (r/K^2)(K - s)(s - C)."""
        rate = self.r / (self.K * self.K)
        slope = (self.K + self.C - 2.0 * s) * rate
        return namespace(s).exp((self.K - s) * (s - self.C) * rate) * (1.0 + s * slope)

    @property
    def peak(self) -> tuple[float, float]:
        """At the positive root of 2 s^2 - (K + C) s - K^2 / r = 0."""
        both = self.K + self.C
        s = (both + sqrt(both * both + 8.0 * self.K * self.K / self.r)) / 4.0
        return s, float(self(s))

    def _crossings(self) -> list[tuple[float, bool]]:
        return [(self.C, True), (self.K, False)]


@dataclass(frozen=True)
class May(Growth):
    """f(s) = s + r s (1 - s/K) - a s^q / (s^q + b^q), clipped at 0: a grazed resource.

    As a grows it passes two folds, between which a low and a high stock are both stable.

    Args:
        r: growth rate, > 0.
        K: carrying capacity without grazing, > 0 [biomass].
        a: largest amount grazed each year, >= 0 [biomass].
        q: steepness of grazing, > 0.
        b: stock at which half of a is grazed, > 0 [biomass].
    """

    r: float = 0.7
    K: float = 1.5
    a: float = 0.2
    q: float = 3.0
    b: float = 0.15

    _may_be_zero: ClassVar[tuple[str, ...]] = ("a",)
    varying: ClassVar[tuple[str, ...]] = ("a",)

    def __call__(self, s: Array) -> Array:
        """(r/K) s (s0 - s) - a t / (1 + t), t = (s/b)^q, s0 = K (1 + 1/r)."""
        zero = self.K * (1.0 + 1.0 / self.r)
        s = clamp(s, 0.0, zero)
        t = self._grazing(s)
        return at_least((zero - s) * s * (self.r / self.K) - t / (t + 1.0) * self.a, 0.0)

    def derivative(self, s: Array) -> Array:
        """1 + r (1 - 2 s/K) - a (q/s) t / (1 + t)^2."""
        t = self._grazing(s)
        grazed = (self.a * self.q) * (t / (t + 1.0)) / (t + 1.0) / s
        return (1.0 + self.r) - (2.0 * self.r / self.K) * s - grazed

    def _grazing(self, s: Array) -> Array:
        """The ratio t = (s/b)^q, held below 1e200: t / (1 + t) is 1 there, and its slope 0."""
        scaled = s * (1.0 / self.b)
        if self.q * log10(self.K * (1.0 + 1.0 / self.r) / self.b) > 200.0:
            scaled = clamp(scaled, 0.0, 10.0 ** (200.0 / self.q))
        return power(scaled, self.q)

    @property
    def peak(self) -> tuple[float, float]:
        """The highest of the stationary points, by search."""
        # Grazing only lowers the slope, so f falls from the peak of the logistic part onwards;
        # the margin keeps that peak itself inside, which it is for a = 0.
        top = 1.001 * Logistic(self.r, self.K).peak[0]
        points = roots(self.derivative, search_grid(top)) or [0.0]
        stock, s = max((float(self(point)), point) for point in points)
        return (s, stock) if stock > 0.0 else (0.0, 0.0)

    def folds(self) -> tuple[tuple[float, float], ...]:
        """(a, x) at which two equilibria merge, ascending; () where there is no fold.

        Equilibria x > 0 obey a = r (1 - x/K) (x^q + b^q) / x^(q-1); folds are the extrema of
        this curve over 0 < x < K. They do not depend on the field a.
        """

        def slope(x: Array) -> Array:  # of a(x), times a positive factor
            t = self._grazing(x)
            return (self.K - x) * ((t + (1.0 - self.q)) / (t + 1.0)) - x

        points = roots(slope, search_grid(self.K))
        return tuple(sorted((self._equilibrium_a(x), x) for x in points))

    def _equilibrium_a(self, x: float) -> float:
        return float(self.r * (1.0 - x / self.K) * x * (1.0 + (self.b / x) ** self.q))
