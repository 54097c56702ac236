"""Harvest control rules: what managers use, each from reference points of the stock.

They act in any environment whose FuncEnv has `growth` (with reference points and a capacity),
`stock_and_year(observation)` and `action_for(stock, escapement)`. Biomass of a rule is the stock
before harvest, B_MSY = f(S_MSY), and B_0 is the unfished equilibrium.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import optimize

from rlopt.agents.core import Rule

TRIALS = 31  # values of the constant that are tried before the best is polished


class HarvestRule(Rule):
    """A rule stock -> escapement.

    Args:
        env: its fishery.

    Raises:
        ValueError: the environment is no fishery.
    """

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        if not hasattr(self.func, "growth"):
            raise ValueError(f"{self.name} is a rule for fisheries, got {self.func!r}")

    def escapement(self, stock: np.ndarray) -> np.ndarray:
        """Stocks (n,) -> intended escapements (n,) [biomass]."""
        raise NotImplementedError(f"{type(self).__name__} must define escapement(stock)")

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Observations -> float32 actions (n, 1)."""
        stock, _ = self.func.stock_and_year(observation)
        action: np.ndarray = self.func.action_for(stock, self.escapement(stock))
        return action

    def _set(self, name: str, value: float | None, default: float) -> float:
        number = float(default if value is None else value)
        if not (np.isfinite(number) and number >= 0.0):
            raise ValueError(f"{self.name}: {name} must be finite and >= 0, got {value!r}")
        self.parameters[name] = number
        return number


class ConstantQuota(HarvestRule):
    """The same catch every year, MSY by default.

    Args:
        env: its fishery.
        quota: catch a year [biomass].
    """

    name = "constant_quota"

    def __init__(self, env: Any, *, quota: float | None = None) -> None:
        super().__init__(env)
        self.quota = self._set("quota", quota, self.func.growth.reference_points().msy)

    def escapement(self, stock: np.ndarray) -> np.ndarray:
        """What the quota leaves."""
        return np.maximum(stock - self.quota, 0.0)


class ConstantFraction(HarvestRule):
    """The same fraction of the stock every year, u_MSY by default.

    Args:
        env: its fishery.
        fraction: exploitation fraction u in [0, 1].
    """

    name = "constant_fraction"

    def __init__(self, env: Any, *, fraction: float | None = None) -> None:
        super().__init__(env)
        self.fraction = self._set("fraction", fraction, self.func.growth.reference_points().u_msy)
        if self.fraction > 1.0:
            raise ValueError(f"constant_fraction: fraction must be in [0, 1], got {fraction!r}")

    def escapement(self, stock: np.ndarray) -> np.ndarray:
        """(1 - u) of the stock."""
        return stock * (1.0 - self.fraction)


class ConstantEscapement(HarvestRule):
    """Catch all above one stock size, S_MSY by default (Reed 1979).

    Args:
        env: its fishery.
        escapement: stock left [biomass].
    """

    name = "constant_escapement"

    def __init__(self, env: Any, *, escapement: float | None = None) -> None:
        super().__init__(env)
        self.target = self._set("escapement", escapement, self.func.growth.reference_points().S_msy)

    def escapement(self, stock: np.ndarray) -> np.ndarray:
        """The target, or all of a smaller stock."""
        return np.minimum(stock, self.target)


class Ramp(HarvestRule):
    """No harvest below a limit, a full fraction above a trigger, linear between.

    Subclasses give limit and trigger as multiples of B_0 or B_MSY; the full fraction is u_MSY.

    Args:
        env: its fishery.
        limit: stock [biomass] up to which nothing is caught.
        trigger: stock [biomass] from which the full fraction is caught.
        fraction: the full exploitation fraction.
    """

    multiples: tuple[float, float]
    of_b_msy = False

    def __init__(
        self,
        env: Any,
        *,
        limit: float | None = None,
        trigger: float | None = None,
        fraction: float | None = None,
    ) -> None:
        super().__init__(env)
        reference = self.func.growth.reference_points()
        unit = reference.B_msy if self.of_b_msy else self.func.growth.capacity
        self.limit = self._set("limit", limit, self.multiples[0] * unit)
        self.trigger = self._set("trigger", trigger, self.multiples[1] * unit)
        self.fraction = self._set("fraction", fraction, reference.u_msy)
        if self.limit > self.trigger or self.fraction > 1.0:
            raise ValueError(f"{self.name}: needs limit <= trigger and fraction <= 1, got {self!r}")

    def escapement(self, stock: np.ndarray) -> np.ndarray:
        """Linear interpolation of the fraction between limit and trigger."""
        height = (stock - self.limit) / max(self.trigger - self.limit, 1e-300)
        return stock * (1.0 - self.fraction * np.clip(height, 0.0, 1.0))


class FortyTen(Ramp):
    """The US Pacific 40-10 rule: limit .1 B_0, trigger .4 B_0."""

    name = "40-10"
    multiples = (0.1, 0.4)


class SixtyTwenty(Ramp):
    """The 60-20 rule: limit .2 B_0, trigger .6 B_0."""

    name = "60-20"
    multiples = (0.2, 0.6)


class DfoRamp(Ramp):
    """Canada's precautionary rule (DFO): limit .4 B_MSY, trigger .8 B_MSY."""

    name = "dfo_ramp"
    multiples = (0.4, 0.8)
    of_b_msy = True


def constant_quota_tuned(env: Any) -> ConstantQuota:
    """The constant quota of the largest exact value from the start."""
    rule = ConstantQuota(env)
    return ConstantQuota(env, quota=_tuned(rule, "quota", 2.0 * rule.quota))


def constant_fraction_tuned(env: Any) -> ConstantFraction:
    """The constant fraction of the largest exact value from the start."""
    return ConstantFraction(env, fraction=_tuned(ConstantFraction(env), "fraction", 1.0))


def constant_escapement_tuned(env: Any) -> ConstantEscapement:
    """The constant escapement of the largest exact value from the start."""
    rule = ConstantEscapement(env)
    return ConstantEscapement(env, escapement=_tuned(rule, "escapement", rule.func.x_max))


def _tuned(rule: HarvestRule, name: str, most: float) -> float:
    """The best constant in [0, most] by exact evaluation (of the fully observed fishery).

    Raises:
        ValueError: the environment has no exact values of policies.
    """
    fishery = rule.func
    if getattr(fishery, "observation_noise", None) is not None:
        fishery = replace(fishery, observation_noise=None)
    if not hasattr(fishery.oracle(), "evaluate"):
        raise ValueError(
            f"{rule.name}_tuned needs an environment with exact values, got {rule.func!r}; "
            f"give {rule.name} its {name} instead"
        )
    start, evaluate = np.array([fishery.x0]), fishery.oracle().evaluate
    make: Callable[..., HarvestRule] = type(rule)

    def loss(constant: float) -> float:
        return -float(evaluate(make(fishery, **{name: constant}).escapement, start)[0])

    tried = np.linspace(0.0, most, TRIALS)
    best = int(np.argmin([loss(constant) for constant in tried]))
    bounds = tried[max(best - 1, 0)], tried[min(best + 1, TRIALS - 1)]
    polished = optimize.minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(polished.x if polished.fun < loss(tried[best]) else tried[best])
