"""An age-structured stock: life history, recruitment, and equilibrium reference points.

The walleye of rl4fisheries (Montealegre-Mora et al. 2024, arXiv 2412.12400): von Bertalanffy
growth, logistic maturity and vulnerability, Beverton-Holt recruitment with rare strong year
classes. Ages run from 1 to A; the last is a plus group, which old fish join and never leave.

One year, with the fraction u of what gear can catch:

    caught_a = u v_a N_a,   left_a = s (N_a - caught_a),   SSB = sum_a mwt_a left_a
    N'_1 = dev R(SSB),      R(S) = alpha S / (1 + beta S)
    N'_{a+1} = left_a,      N'_A = left_{A-1} + left_A

Timing, `timing=`:

- "published": as the published code computes. Spawners per recruit, from which alpha and beta
  follow, are counted before natural mortality, spawners after it, so that the unfished stock
  recruits less than R0; and the survey is taken after harvest and mortality, before the year class
  joins and the others age: managers see a stock that is half a year old.
- "consistent": spawners per recruit are counted after natural mortality too, so that the unfished
  stock recruits R0 exactly; the survey sees the stock that will be fished.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from math import exp, inf, log1p
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from rlopt.theory.arrays import Array, namespace
from rlopt.theory.checks import finite, fraction, nonnegative, positive

TIMINGS = ("published", "consistent")
FRACTIONS = 2001  # exploitation fractions tried before the best is polished


class AgeReferencePoints(NamedTuple):
    """The best sustained yield of a constant exploitation fraction, without noise.

    Biomass is what the survey sees in the timing of the life history.

    Attributes:
        S_msy: what is left of B_msy when the fraction u_msy is taken of it [biomass].
        msy: maximum sustainable yield [weight of fish per year].
        u_msy: exploitation fraction of fully vulnerable fish.
        F_msy: instantaneous rate -log(1 - u_msy).
        B_msy: surveyed biomass at that yield.
        B_0: surveyed biomass without fishing.
    """

    S_msy: float
    msy: float
    u_msy: float
    F_msy: float
    B_msy: float
    B_0: float


class Equilibrium(NamedTuple):
    """A stock under a constant fraction: yield, recruits, spawners and surveyed biomass."""

    catch: float
    recruits: float
    ssb: float
    biomass: float


@dataclass(frozen=True)
class LifeHistory:
    """How fish of each age grow, mature, die and are caught; defaults: Alberta walleye.

    Weights are relative to the largest fish; numbers are relative to R0.

    Args:
        ages: number A of age classes, the last one a plus group; a whole number >= 2.
        growth_rate: von Bertalanffy k, > 0 [per year]; weight = (1 - e^{-k a})^3.
        survival: s, the share that survives a year without fishing, in (0, 1).
        mature_at: age at which half are mature [years].
        maturity_slope: steepness of maturity there, > 0 [per year].
        vulnerable_at: age at which half are vulnerable to harvest [years].
        vulnerability_width: how gradually, > 0 [years].
        survey_scale: largest vulnerability to the survey, > 0.
        survey_power: exponent of (1 - e^{-k a}) in it, >= 0.
        compensation: Goodyear's ratio, recruits per spawner of a nearly empty stock to those of an
            unfished one, > 1.
        R0: recruits of the unfished stock, > 0.
        timing: "published" or "consistent", see the module.

    Raises:
        TypeError, ValueError: naming the parameter, its value and what is allowed.
    """

    ages: int = 20
    growth_rate: float = 0.23
    survival: float = 0.86
    mature_at: float = 6.0
    maturity_slope: float = 0.5
    vulnerable_at: float = 5.0
    vulnerability_width: float = 0.5
    survey_scale: float = 41.08 / 57.57
    survey_power: float = 2.02
    compensation: float = 6.0
    R0: float = 1.0
    timing: str = "published"

    def __post_init__(self) -> None:
        owner = "LifeHistory"
        if isinstance(self.ages, bool) or not isinstance(self.ages, int) or self.ages < 2:
            raise ValueError(f"{owner}: ages must be a whole number >= 2, got {self.ages!r}")
        for name in ("growth_rate", "maturity_slope", "vulnerability_width", "survey_scale", "R0"):
            positive(owner, name, getattr(self, name))
        for name in ("mature_at", "vulnerable_at"):
            finite(owner, name, getattr(self, name))
        nonnegative(owner, "survey_power", self.survey_power)
        if not 0.0 < finite(owner, "survival", self.survival) < 1.0:
            raise ValueError(f"{owner}: survival must be in (0, 1), got {self.survival!r}")
        if not finite(owner, "compensation", self.compensation) > 1.0:
            raise ValueError(f"{owner}: compensation must be > 1, got {self.compensation!r}")
        if self.timing not in TIMINGS:
            raise ValueError(f"{owner}: timing must be one of {TIMINGS}, got {self.timing!r}")

    def __getstate__(self) -> dict[str, Any]:
        """Parameters only: derived constants are made again where they are needed."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    # Schedules at age, each (ages,) --------------------------------------------------------------

    @cached_property
    def age(self) -> np.ndarray:
        """1, ..., A [years]."""
        return np.arange(1.0, self.ages + 1.0)

    @cached_property
    def weight(self) -> np.ndarray:
        """Weight of a fish, in (0, 1)."""
        return self._length**3

    @cached_property
    def _length(self) -> np.ndarray:
        return -np.expm1(-self.growth_rate * self.age)

    @cached_property
    def mature_weight(self) -> np.ndarray:
        """mwt: weight times the share that is mature."""
        mature = 1.0 / (1.0 + np.exp(-self.maturity_slope * (self.age - self.mature_at)))
        return mature * self.weight

    @cached_property
    def vulnerability(self) -> np.ndarray:
        """v: share of the fish that the gear can catch, in (0, 1)."""
        excess = (self.age - self.vulnerable_at) / self.vulnerability_width
        return 1.0 / (1.0 + np.exp(-excess))

    @cached_property
    def survey_vulnerability(self) -> np.ndarray:
        """sv: share of the fish that the survey counts."""
        return self.survey_scale * self._length**self.survey_power

    @cached_property
    def unfished(self) -> np.ndarray:
        """Lo: survivors per recruit without fishing, before this year's natural mortality."""
        return self.survivorship(0.0)

    def survivorship(self, u: float) -> np.ndarray:
        """L: fish of each age per recruit at the start of a year under a constant fraction u."""
        surviving = self.survival * (1.0 - self.vulnerability * fraction("LifeHistory", "u", u))
        per_recruit = np.concatenate([[1.0], np.cumprod(surviving[:-1])])
        per_recruit[-1] /= 1.0 - surviving[-1]
        return per_recruit

    # Recruitment ---------------------------------------------------------------------------------

    @cached_property
    def sbro(self) -> float:
        """Spawning biomass per recruit of the unfished stock, in the timing chosen."""
        at_start = float(self.unfished @ self.mature_weight)
        return at_start if self.timing == "published" else self.survival * at_start

    @property
    def alpha(self) -> float:
        """Recruits per spawning biomass of a nearly empty stock."""
        return self.compensation / self.sbro

    @property
    def beta(self) -> float:
        """Crowding [per spawning biomass]: R saturates at alpha / beta."""
        return (self.compensation - 1.0) / (self.R0 * self.sbro)

    # Equilibrium ---------------------------------------------------------------------------------

    def equilibrium(self, u: float, deviation: float = 1.0) -> Equilibrium:
        """The steady state under a constant fraction, all zero where the stock dies out.

        Args:
            u: exploitation fraction in [0, 1].
            deviation: constant factor on recruitment, > 0.
        """
        deviation = positive("LifeHistory", "deviation", deviation)
        start = self.survivorship(u)
        left = start * self.survival * (1.0 - u * self.vulnerability)
        spawners = float(left @ self.mature_weight)  # per recruit
        gain = deviation * self.alpha * spawners - 1.0
        recruits = gain / (self.beta * spawners) if gain > 0.0 else 0.0
        caught = u * float(start @ (self.vulnerability * self.weight))
        surveyed = left if self.timing == "published" else start
        biomass = float(surveyed @ (self.survey_vulnerability * self.weight))
        return Equilibrium(recruits * caught, recruits, recruits * spawners, recruits * biomass)

    def reference_points(self, deviation: float = 1.0) -> AgeReferencePoints:
        """The constant fraction of the largest sustained yield, and what it yields.

        Args:
            deviation: constant factor on recruitment, > 0.
        """
        tried = np.linspace(0.0, 1.0, FRACTIONS)
        catches = [self.equilibrium(u, deviation).catch for u in tried]
        best = int(np.argmax(catches))
        polished = minimize_scalar(
            lambda u: -self.equilibrium(u, deviation).catch,
            bounds=(tried[max(best - 1, 0)], tried[min(best + 1, FRACTIONS - 1)]),
            method="bounded",
            options={"xatol": 1e-10},
        )
        u = float(polished.x if -polished.fun > catches[best] else tried[best])
        stock = self.equilibrium(u, deviation)
        rate = -log1p(-u) if u < 1.0 else inf
        unfished = self.equilibrium(0.0, deviation).biomass
        return AgeReferencePoints(
            (1.0 - u) * stock.biomass, stock.catch, u, rate, stock.biomass, unfished
        )

    @cached_property
    def capacity(self) -> float:
        """B_0: surveyed biomass of the unfished stock, at recruitment deviation 1."""
        return self.equilibrium(0.0).biomass


@dataclass(frozen=True)
class Recruitment:
    """The law of the recruitment deviation dev: now and then a strong year class, else lognormal.

    dev ~ U(low, high) with the probability `chance`, else median exp(sigma N(0, 1)).

    Args:
        chance: of a strong year class, in [0, 1].
        low, high: range of its deviation, 0 <= low <= high.
        median: of the other years' deviation, > 0.
        sigma: standard deviation of its logarithm, >= 0.
    """

    chance: float
    low: float
    high: float
    median: float
    sigma: float

    def __post_init__(self) -> None:
        fraction("Recruitment", "chance", self.chance)
        low, high = nonnegative("Recruitment", "low", self.low), self.high
        if not low <= finite("Recruitment", "high", high):
            raise ValueError(f"Recruitment: needs low <= high, got {low} and {high}")
        positive("Recruitment", "median", self.median)
        nonnegative("Recruitment", "sigma", self.sigma)

    @property
    def strong_mean(self) -> float:
        """E dev of a strong year class."""
        return (self.low + self.high) / 2.0

    @property
    def ordinary_mean(self) -> float:
        """E dev of the other years."""
        return self.median * exp(self.sigma**2 / 2.0)

    @property
    def mean(self) -> float:
        """E dev."""
        return self.chance * self.strong_mean + (1.0 - self.chance) * self.ordinary_mean

    @property
    def draws(self) -> tuple[tuple[str, int], ...]:
        """The raw noise of a year: its kinds and numbers, in the order of the columns."""
        normal = ("normal", 1)
        return (("uniform", 1), normal) if self.chance else (normal,)

    def deviation(self, noise: Array) -> Array:
        """(..., 2 or 1) raw noise, by `draws` -> (...,) deviations.

        One uniform U serves twice: it is a strong year if U < chance, and then U / chance is again
        uniform and independent, and places the deviation between low and high.
        """
        xp = namespace(noise)
        ordinary = xp.exp(self.sigma * noise[..., -1]) * self.median
        if not self.chance:
            return ordinary
        uniform = noise[..., 0]
        strong = self.low + (self.high - self.low) / self.chance * uniform
        return xp.where(uniform < self.chance, strong, ordinary)[()]  # a number for one


# Binomial(2, .025) == 1 in the published code; two at once count as an ordinary year.
SPASMODIC = Recruitment(2 * 0.025 * 0.975, 10.0, 30.0, exp(-0.045) / 4.0, 0.3)
LOGNORMAL = Recruitment(0.0, 0.0, 0.0, 1.0, 0.3)
