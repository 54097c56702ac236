"""The bracket of the age-structured fishery: linear prices above, the best of some rules below."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from rlopt.envs.core import FixedAgent, Oracle, OracleResult
from rlopt.envs.fishery.age import (
    LEAST_START,
    MOST_START,
    RISK_AVERSION,
    TROPHY_AGES,
    AgeState,
    AgeStructured,
)
from rlopt.envs.rollout import draw_noise
from rlopt.theory.age_bound import price_bound

TRIED = 32  # episodes in which each rule is tried, the same ones for all
TRIED_YEARS = 300  # at most
JUDGED = 1024  # fresh episodes that give the lower end of the bracket
DOUBT = 4.0  # standard errors below the mean
SEED = 20241  # of these simulations: the same bracket every time

# (limit, trigger, fraction, least mean weight), from experiments/fisheries/age_structured.py:
# for UM1, UM2 and UM3 in turn, then those that see biomass alone.
TUNED = (
    (0.4776, 1.113, 0.5985, 0.41),
    (0.0, 0.8007, 0.1241, 0.0),
    (0.3676, 0.9006, 0.8111, 0.7637),
    (0.4305, 1.757, 0.6073, 0.0),
    (0.1482, 0.5683, 0.07567, 0.0),
)
TRIGGERS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # multiples of B_MSY at the mean deviation
FRACTIONS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
WEIGHTS = (0.0, 0.6, 0.75)  # least mean weight of surveyed fish


class WeightedRamp(NamedTuple):
    """A ramp on surveyed biomass that rests while the surveyed fish are light.

    u = fraction clip((biomass - limit) / (trigger - limit), 0, 1) where the mean weight is at least
    `weight`, else 0. Numbers, or arrays (n,) of a rule for each copy.
    """

    limit: Any
    trigger: Any
    fraction: Any
    weight: Any

    def __call__(self, biomass: np.ndarray, mean_weight: np.ndarray) -> np.ndarray:
        """Surveyed biomass and mean weight, (n,) each -> fractions (n,)."""
        width = np.maximum(self.trigger - self.limit, 1e-300)
        height = np.clip((biomass - self.limit) / width, 0.0, 1.0)
        return self.fraction * height * (mean_weight >= self.weight)


class RulePolicy(FixedAgent):
    """Plays a ramp until the last year, when all is caught: nothing is lost by it."""

    def __init__(self, env: AgeStructured, ramp: WeightedRamp) -> None:
        self.env, self.ramp = env, ramp

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Observations (n, *obs) -> actions (n, 1), or one observation -> one action (1,)."""
        batch = np.atleast_2d(observation)
        stock, year = self.env.stock_and_year(batch)
        u = self.ramp(stock, self.env.mean_weight(batch))
        action = self.env.action_of(np.where(year >= self.env.horizon - 1, 1.0, u))
        return (action if np.ndim(observation) == 2 else action[0]), state

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v:.4g}" for k, v in self.ramp._asdict().items())
        return f"RulePolicy({settings})"


def simulated(
    env: AgeStructured, ramps: Sequence[WeightedRamp], episodes: int, years: int, seed: int
) -> np.ndarray:
    """Returns of rules over the first years of the same episodes, (rules, episodes).

    All rules meet the same starts, recruitment and survey errors.
    """
    rng, spec, rules = np.random.default_rng(seed), env.noise_spec, len(ramps)

    def draw(component: str) -> np.ndarray:
        return np.tile(draw_noise(spec, component, episodes, rng), (rules, 1))

    rows = WeightedRamp(*np.repeat(np.array(ramps, dtype=np.float64), episodes, axis=0).T)
    policy, total = RulePolicy(env, rows), np.zeros(rules * episodes)
    state: AgeState = env.initial(draw("initial"))
    for _ in range(years):
        observation = env.observation(state, draw("observation"))
        action = policy.predict(observation)[0].astype(np.float64)
        after = env.transition(state, action, draw("step"))
        total += env.reward(state, action, after)
        state = after
    return total.reshape(rules, episodes)


def candidates(env: AgeStructured) -> list[WeightedRamp]:
    """The tuned rules and a coarse grid around the equilibrium's reference points."""
    unit = env.reference_points(env.mean_deviation).B_msy
    weights = WEIGHTS if env.observations == 2 else WEIGHTS[:1]
    grid = product(TRIGGERS, FRACTIONS, weights)
    ramps = [WeightedRamp(0.2 * unit * x, unit * x, u, w) for x, u, w in grid]
    steady = [WeightedRamp(-1.0, 0.0, u, 0.0) for u in FRACTIONS]  # the same fraction always
    return [WeightedRamp(*rule) for rule in TUNED] + ramps + steady


def bracket(env: AgeStructured) -> Oracle:
    """[the best rule's simulated value less four standard errors, the bound by linear prices]."""
    ramps = candidates(env)
    tried = simulated(env, ramps, TRIED, min(env.horizon, TRIED_YEARS), SEED)
    best = ramps[int(tried.mean(axis=1).argmax())]
    returns = simulated(env, [best], JUDGED, env.horizon, SEED + 1)[0]
    lower = returns.mean() - DOUBT * returns.std(ddof=1) / np.sqrt(JUDGED)
    life = env.life
    upper = price_bound(
        life=life,
        law=env.law,
        numbers=(LEAST_START + MOST_START) / 2.0 * life.unfished,
        worth=(life.age > life.ages - TROPHY_AGES) * 1.0 if env.utility == "UM3" else life.weight,
        T=env.horizon,
        power=RISK_AVERSION if env.utility == "UM2" else 1.0,
    )
    value = OracleResult.bracket(
        float(lower),
        upper,
        method="linear prices above, the best of some rules below",
        tolerance=1e-9 * upper,
        note="upper bracket, each age harvested on its own",
    )
    return Oracle(value, RulePolicy(env, best))
