"""Bayesian fits of growth maps: what the data leave open, as draws of maps with their noise.

The model is that of `fit.py`, log y = log f(x) + sigma eps, in units of the largest stock.

Ricker and Allen are linear in coefficients b of log(y/x), so that a normal-inverse-gamma prior is
conjugate (fisheries notes, section 5):

    prior      sigma^2 ~ IG(a_0, b_0),   b | sigma^2 ~ N(0, sigma^2 T^2 I)
    posterior  V = (X'X + I/T^2)^-1,   m = V X'g,   g = log(y/x),
               a = a_0 + n/2,   b = b_0 + (g'g - m' V^-1 m) / 2,

cut off to the coefficients that belong to a map (r > 0 and, for Allen, 0 < C < K), by rejection.
Where the data contradict the map, so that hardly a draw is accepted, the same density is drawn
from on a lattice of (log r, log K, C/K).

Myers: log theta and log H are uniform over the box of `families.py` a priori, log A is flat, sigma
as above. Given the shape (theta, H) that is again conjugate, and the shape's marginal density
(b_0 + SSR/2)^-(a_0 + (n - 1)/2) is drawn from on a lattice.

The prior, and why: T = 1000 leaves the coefficients to the data and to the cut; a_0 = 1/2 and
b_0 = .1^2 / 2 count as one observation of a noise of 10 %, which keeps sigma from 0 after a lucky
fit to a few years, and is soon outweighed.

Differences from the paper: it puts uniform priors on r, K, C, theta and sigma and samples by JAGS.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import log, sqrt
from typing import Any, NamedTuple

import numpy as np

from rlopt.theory.families import LEAST_RATE, REACH, Family
from rlopt.theory.fit import family_of, profile
from rlopt.theory.noise import LognormalNoise
from rlopt.theory.series import checked_pairs
from rlopt.theory.stock import Growth

WIDTH = 1000.0  # T
PRIOR_SHAPE, PRIOR_RATE = 0.5, 0.5 * 0.1**2  # a_0 and b_0
TRIED = 20_000  # draws by which it is seen whether rejection will do
ACCEPTED = 0.02  # least share of them
CELLS = {1: 400, 2: 60, 3: 30}  # of a lattice in each dimension, by the number of dimensions
ZOOMS = 4
NEGLIGIBLE = 20.0  # below the maximum of a log density
CANDIDATES = 20  # for each draw from a lattice

LogDensity = Callable[[np.ndarray], np.ndarray]  # points (m, d) -> (m,)


class Draw(NamedTuple):
    """One growth map with the standard deviation of its lognormal noise."""

    growth: Growth
    sigma: float

    @property
    def noise(self) -> LognormalNoise:
        """Log-mean 0: f(s) is the median."""
        return LognormalNoise(self.sigma)


class Posterior(ABC):
    """What the data say of one growth map.

    Attributes:
        model: its name.
        unit: biomass in which it is computed: the largest stock.
    """

    def __init__(self, model: str, family: Family, unit: float) -> None:
        self.model, self.unit = model, unit
        self._family = family

    @abstractmethod
    def sample(self, rng: np.random.Generator, n: int) -> list[Draw]:
        """N draws of maps with their noise."""


def posterior(x: Any, y: Any, model: str) -> Posterior:
    """The posterior of one growth map.

    Args:
        x: escapements (n,) [biomass], > 0.
        y: next stocks (n,) [biomass], > 0.
        model: "ricker", "allen" or "myers".

    Raises:
        ValueError: an unknown model, or bad data, naming the row.
    """
    family = family_of(model)
    x, y = checked_pairs(x, y)
    unit = float(max(x.max(), y.max()))
    kind = LinearPosterior if family.columns else ShapePosterior
    return kind(model, family, unit, x / unit, y / unit)


class LinearPosterior(Posterior):
    """Ricker and Allen: normal-inverse-gamma, cut off to what is a map.

    Attributes:
        mean: m, (p,), of the coefficients of log(y/x) on 1, x (and x^2), in `unit`.
        factor: V, (p, p): the coefficients' covariance is sigma^2 V.
        shape, rate: a and b of sigma^2 ~ IG(a, b).
    """

    def __init__(
        self, model: str, family: Family, unit: float, x: np.ndarray, y: np.ndarray
    ) -> None:
        super().__init__(model, family, unit)
        design = x[:, None] ** np.arange(family.columns)
        g = np.log(y / x)
        self._precision = design.T @ design + np.eye(family.columns) / WIDTH**2
        self.factor = np.linalg.inv(self._precision)
        self.mean = self.factor @ (design.T @ g)
        self.shape = PRIOR_SHAPE + 0.5 * len(x)
        # |g - X m|^2 + |m|^2 / T^2 is g'g - m' V^-1 m without the difference of large numbers.
        gap = g - design @ self.mean
        self.rate = PRIOR_RATE + 0.5 * float(gap @ gap + self.mean @ self.mean / WIDTH**2)

    def coefficients(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """N draws (n, p) and sigma^2 (n,) before the cut."""
        variance = self.rate / rng.gamma(self.shape, size=n)
        root = np.linalg.cholesky(self.factor)
        raw = rng.standard_normal((n, len(self.mean)))
        return self.mean + np.sqrt(variance)[:, None] * (raw @ root.T), variance

    def acceptance(self, rng: np.random.Generator) -> float:
        """Share of the posterior that belongs to maps, before the cut, by `TRIED` draws."""
        return float(self._family.admissible(self.coefficients(rng, TRIED)[0]).mean())

    def sample(self, rng: np.random.Generator, n: int) -> list[Draw]:
        """N independent draws by rejection; where few are accepted, from a lattice."""
        b, variance = self.coefficients(rng, max(TRIED, n))
        good = self._family.admissible(b)
        if good.mean() < ACCEPTED:
            b, variance = self._from_lattice(rng, n)
        else:
            kept_b, kept_variance = [b[good]], [variance[good]]
            while sum(map(len, kept_b)) < n:
                b, variance = self.coefficients(rng, max(TRIED, n))
                good = self._family.admissible(b)
                kept_b.append(b[good])
                kept_variance.append(variance[good])
            b, variance = np.concatenate(kept_b)[:n], np.concatenate(kept_variance)[:n]
        family = self._family
        return [
            Draw(family.growth(*family.from_coefficients(row, self.unit)), sqrt(value))
            for row, value in zip(b, variance, strict=True)
        ]

    def _from_lattice(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws (n, p) and sigma^2 (n,), from the density of (log level, shape)."""
        family, a = self._family, self.shape + 0.5 * len(self.mean)

        def squares(b: np.ndarray) -> np.ndarray:
            gap = b - self.mean
            return 0.5 * np.einsum("...i,ij,...j->...", gap, self._precision, gap)

        def density(points: np.ndarray) -> np.ndarray:
            b, jacobian = family.coefficients(np.exp(points[:, 0]), points[:, 1:])
            return jacobian - a * np.log(self.rate + squares(b))

        low = np.array([log(LEAST_RATE), *family.low])
        high = np.array([log(REACH), *family.high])
        points = lattice_draws(density, low, high, rng, n)
        b, _ = family.coefficients(np.exp(points[:, 0]), points[:, 1:])
        return b, (self.rate + squares(b)) / rng.gamma(a, size=n)


class ShapePosterior(Posterior):
    """Myers: the shape from a lattice, level and noise conjugate given the shape."""

    def __init__(
        self, model: str, family: Family, unit: float, x: np.ndarray, y: np.ndarray
    ) -> None:
        super().__init__(model, family, unit)
        self._x, self._target = x, np.log(y)
        self.shape = PRIOR_SHAPE + 0.5 * (len(x) - 1)

    def rate(self, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Best level and b_0 + SSR/2 of shapes (m, d), each (m,)."""
        level, residuals = profile(self._family, shapes, self._x, self._target)
        return level, PRIOR_RATE + 0.5 * (residuals**2).sum(axis=-1)

    def sample(self, rng: np.random.Generator, n: int) -> list[Draw]:
        """N draws of the shape, then of sigma, then of the level."""
        family = self._family
        low, high = np.array(family.low), np.array(family.high)

        def density(points: np.ndarray) -> np.ndarray:
            return -self.shape * np.log(self.rate(points)[1])

        shapes = lattice_draws(density, low, high, rng, n)
        level, rate = self.rate(shapes)
        variance = rate / rng.gamma(self.shape, size=n)
        level = level + np.sqrt(variance / len(self._x)) * rng.standard_normal(n)
        return [
            Draw(family.growth(*family.natural(shape, float(height), self.unit)), sqrt(value))
            for shape, height, value in zip(shapes, level, variance, strict=True)
        ]


def lattice_draws(
    density: LogDensity, low: np.ndarray, high: np.ndarray, rng: np.random.Generator, n: int
) -> np.ndarray:
    """Points drawn from a density on a box, by sampling importance resampling.

    A lattice zooms in on the part of the box that is not negligible. Candidates are uniform within
    its cells, these in proportion to the density at their middles; what a candidate's own density
    differs from that is its weight in the final draw, with replacement.

    Args:
        density: log density up to a constant, points (m, d) -> (m,).
        low: lower corner of the box, (d,).
        high: upper corner, (d,).
        rng: generator.
        n: number of draws.

    Returns:
        (n, d).
    """
    d = len(low)
    count = CELLS[d]
    for _ in range(ZOOMS):
        middles, width = _cells(low, high, count)
        values = density(middles)
        notable = middles[values > values.max() - NEGLIGIBLE]
        low = np.maximum(low, notable.min(axis=0) - 1.5 * width)
        high = np.minimum(high, notable.max(axis=0) + 1.5 * width)
    middles, width = _cells(low, high, count)
    values = density(middles)
    chance = np.exp(values - values.max())
    cells = rng.choice(len(middles), size=CANDIDATES * n, p=chance / chance.sum())
    candidates = middles[cells] + width * (rng.random((len(cells), d)) - 0.5)
    ratio = density(candidates) - values[cells]
    weight = np.exp(ratio - ratio.max())
    return candidates[rng.choice(len(cells), size=n, p=weight / weight.sum())]


def _cells(low: np.ndarray, high: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Middles (count^d, d) and widths (d,) of equal cells."""
    width = (high - low) / count
    axes = [a + w * (np.arange(count) + 0.5) for a, w in zip(low, width, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(low)), width
