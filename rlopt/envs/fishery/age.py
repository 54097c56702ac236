"""An age-structured walleye fishery: the pure dynamics (fisheries notes, section 2.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from gymnasium.spaces import Box

from rlopt.envs.core import Agent, Array, FuncEnv, Info, NoiseSpec, PolicyPicture, cached
from rlopt.theory.age import (
    LOGNORMAL,
    SPASMODIC,
    TIMINGS,
    AgeReferencePoints,
    LifeHistory,
    Recruitment,
)
from rlopt.theory.arrays import clamp, namespace, power
from rlopt.theory.checks import known, nonnegative

if TYPE_CHECKING:
    from rlopt.envs.core import Oracle

UNITS = {"UM1": "biomass", "UM2": "utility", "UM3": "trophies"}
LAWS = {"spasmodic": SPASMODIC, "v2": LOGNORMAL}
RISK_AVERSION = 0.6  # exponent of UM2
TROPHY_AGES = 10  # the oldest classes, which UM3 counts
LEAST_START, MOST_START = 0.1, 1.0  # of the unfished numbers, at the start
SURVEY_TOP = 50.0  # surveyed biomass at the top of the observation
NEVER = 1e-300  # keeps a ratio to a zero finite


class AgeState(NamedTuple):
    """The fish at the start of a year, what the survey finds, and the year before; each (n,).

    Attributes:
        numbers: (n, ages) fish of each age, before this year's harvest.
        stock: surveyed biomass, without the survey's error; in the published timing half a year
            old, except in the first year.
        mean_weight: of a surveyed fish, at the same time.
        year: 0-based.
        ssb: last year's spawning biomass, after harvest and natural mortality.
        catch: last year's yield [biomass].
        counted: what the utility counts of it: the yield, or the number of trophies.
        deviation: last year's recruitment deviation.
    """

    numbers: Array
    stock: Array
    mean_weight: Array
    year: Array
    ssb: Array
    catch: Array
    counted: Array
    deviation: Array


class Schedules(NamedTuple):
    """What a fish of each age counts in the sums of a year, each (ages,)."""

    vulnerability: Array
    caught_weight: Array
    counted: Array
    mature_weight: Array
    surveyed_weight: Array
    surveyed: Array


@dataclass(frozen=True, kw_only=True)
class AgeStructured(FuncEnv):
    """Choose each year's exploitation fraction of a walleye stock with twenty age classes.

    Description:
        Fish grow, mature and become vulnerable with age. Each year the fraction u of what the gear
        can catch is caught, a share s = .86 of the rest survives, the survivors spawn, and all grow
        a year older; recruits join by Beverton-Holt times a deviation that is now and then, in one
        year of twenty, eighty times its usual size. The manager sees a survey, not the fish.

    Action space:
        Box(-1, 1, (1,), float32), mapped linearly and clipped: u = (a + 1) / 2.

    Observation space:
        Box(-1, 1, (observations + 1,), float64): surveyed biomass / 25 - 1; with observations=2 the
        mean weight of surveyed fish, from the youngest's to the oldest's; then the time,
        2 t / T - 1 (not in the published task: without it the last years' best harvest cannot be
        told apart). Biomass and weight carry independent errors, times 1 + obs_noise N(0, 1), and
        are clipped.

    Reward:
        "UM1": the yield [biomass]; "UM2": yield^.6, which prefers steady years; "UM3": the number
        of fish caught of the ten oldest classes.

    Starting state:
        The unfished numbers at age times one U(.1, 1) for all ages.

    Episode end:
        Truncates after `horizon` years (the published code terminates); never terminates.

    Info (each step, of the year whose reward is returned):
        biomass (surveyed, without error), ssb (after harvest and natural mortality), catch (yield),
        u, F = -log(1 - u), mean_weight, deviation (of recruitment), depletion (biomass / B_0),
        B_over_Bmsy, F_over_Fmsy. Of the state that the observation shows, also after a reset:
        stock (surveyed biomass without error), numbers (ages,).

    Oracle:
        A bracket. Above: linear prices, `rlopt.theory.age_bound`. Below: the simulated value of the
        best of some rules, less four standard errors. There is no regret of single steps.

    Differences from the published code: see Episode end and Observation space; the unfished numbers
    are exact, where the code has them to 8 digits; float64 throughout; actions and errors are
    clipped alike.

    References:
        Montealegre-Mora, Boettiger, Walters and Cahill 2024 (arXiv 2412.12400), rl4fisheries.

    Args:
        utility: "UM1", "UM2" or "UM3", see Reward.
        obs_noise: standard deviation of the survey's relative error, >= 0.
        horizon: number of years.
        observations: 2, or 1 for biomass alone.
        recruitment: "spasmodic" (strong year classes, mean deviation 1.2128) or "v2", the
            lognormal exp(.3 N(0, 1)).
        timing: "published" or "consistent": whether the survey is half a year old, and how spawners
            per recruit are counted; see `rlopt.theory.age`.

    Raises:
        ValueError, TypeError: naming the parameter, its value and what is allowed.
    """

    utility: str = "UM1"
    obs_noise: float = 0.1
    horizon: int = 1000
    observations: int = 2
    recruitment: str = "spasmodic"
    timing: str = "published"

    render_modes: ClassVar[tuple[str, ...]] = ("rgb_array", "ansi")
    takes_single: ClassVar[bool] = True
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def __post_init__(self) -> None:
        choices = {"utility": tuple(UNITS), "recruitment": tuple(LAWS), "timing": TIMINGS}
        for name, allowed in choices.items():
            known("AgeStructured", name, getattr(self, name), allowed)
        noise = nonnegative("AgeStructured", "obs_noise", self.obs_noise)
        object.__setattr__(self, "obs_noise", noise)
        for name, most in (("horizon", np.inf), ("observations", 2)):
            value = getattr(self, name)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole or not 1 <= value <= most:
                limits = ">= 1" if most == np.inf else "1 or 2"
                raise ValueError(
                    f"AgeStructured: {name} must be a whole number {limits}, got {value!r}"
                )
            object.__setattr__(self, name, int(value))

    def __getstate__(self) -> dict[str, Any]:
        """Parameters only: derived constants are made again where they are needed."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    # Derived constants -------------------------------------------------------------------------

    @cached_property
    def life(self) -> LifeHistory:
        """Life history: schedules at age, recruitment, equilibrium."""
        return LifeHistory(timing=self.timing)

    @property
    def growth(self) -> LifeHistory:
        """What harvest rules read their reference points from."""
        return self.life

    @property
    def law(self) -> Recruitment:
        """Of the recruitment deviation."""
        return LAWS[self.recruitment]

    @property
    def mean_deviation(self) -> float:
        """Mean of the recruitment deviation: 1.2128125, or e^.045 for "v2"."""
        return self.law.mean

    @property
    def sbro(self) -> float:
        """Spawning biomass per recruit of the unfished stock."""
        return self.life.sbro

    @property
    def alpha(self) -> float:
        """Beverton-Holt: recruits per spawning biomass of a nearly empty stock."""
        return self.life.alpha

    @property
    def beta(self) -> float:
        """Beverton-Holt: crowding [per spawning biomass]."""
        return self.life.beta

    @cached_property
    def reference(self) -> AgeReferencePoints:
        """Of maximum sustainable yield, at recruitment deviation 1."""
        return self.life.reference_points()

    def reference_points(self, deviation: float = 1.0) -> AgeReferencePoints:
        """Of maximum sustainable yield at any recruitment deviation > 0."""
        return self.life.reference_points(deviation)

    @property
    def unit(self) -> str:  # type: ignore[override]  # derived, not declared
        """Of the return."""
        return UNITS[self.utility]

    @cached_property
    def observation_space(self) -> Box:  # type: ignore[override]  # derived, not declared
        """Biomass, mean weight if it is seen, and the time."""
        return Box(-1.0, 1.0, (self.observations + 1,), np.float64)

    @cached_property
    def noise_spec(self) -> NoiseSpec:  # type: ignore[override]  # derived, not declared
        """The start's size, recruitment, and the survey's errors."""
        seen = ("normal", self.observations) if self.obs_noise else None
        return NoiseSpec(("uniform", 1), self.law.draws, seen)  # type: ignore[arg-type]  # kinds

    @cached_property
    def _schedules(self) -> Schedules:
        life, v = self.life, self.life.vulnerability
        trophies = v * (life.age > life.ages - TROPHY_AGES)
        return Schedules(
            vulnerability=v,
            caught_weight=v * life.weight,
            counted=trophies if self.utility == "UM3" else v * life.weight,
            mature_weight=life.mature_weight,
            surveyed_weight=life.survey_vulnerability * life.weight,
            surveyed=life.survey_vulnerability,
        )

    def _like(self, numbers: Array) -> Schedules:
        """The schedules as arrays of the same kind."""
        xp = namespace(numbers)
        if xp is np:
            return self._schedules
        kind = {"dtype": numbers.dtype, "device": numbers.device}
        return Schedules(*(xp.asarray(values, **kind) for values in self._schedules))

    # Dynamics ------------------------------------------------------------------------------------

    def initial(self, noise: Array) -> AgeState:
        """(n, 1) uniform -> n stocks, each the unfished one at a size between .1 and 1."""
        xp = namespace(noise)
        unfished = xp.asarray(self.life.unfished, dtype=noise.dtype, device=noise.device)
        numbers = (LEAST_START + (MOST_START - LEAST_START) * noise) * unfished
        stock, mean_weight = self._survey(numbers)
        zero = stock * 0.0
        return AgeState(numbers, stock, mean_weight, zero, zero, zero, zero, zero)

    def _survey(self, numbers: Array) -> tuple[Array, Array]:
        """Biomass and mean weight of what the survey counts, (n,) each."""
        xp, at = namespace(numbers), self._like(numbers)
        biomass = xp.vecdot(numbers, at.surveyed_weight)
        return biomass, biomass / (xp.vecdot(numbers, at.surveyed) + NEVER)

    def fraction(self, action: Array) -> Array:
        """Actions (n, 1) in [-1, 1], clipped there -> exploitation fractions u, (n,)."""
        return clamp((action[..., 0] + 1.0) * 0.5, 0.0, 1.0)

    def transition(self, state: AgeState, action: Array, noise: Array) -> AgeState:
        """Harvest, mortality, spawning, ageing: (n, 1) actions, (n, d) noise -> a year later."""
        xp, life, numbers = namespace(state.numbers), self.life, state.numbers
        at, u = self._like(numbers), self.fraction(action)
        catch = u * xp.vecdot(numbers, at.caught_weight)
        counted = u * xp.vecdot(numbers, at.counted) if self.utility == "UM3" else catch
        # numpy reuses the product's memory in this order, which saves two large arrays
        left = ((u * -life.survival)[..., None] * at.vulnerability + life.survival) * numbers
        ssb = xp.vecdot(left, at.mature_weight)
        deviation = self.law.deviation(noise)
        recruits = life.alpha * ssb / (1.0 + life.beta * ssb) * deviation
        oldest = left[..., -2:-1] + left[..., -1:]
        grown = xp.concat([recruits[..., None], left[..., :-2], oldest], axis=-1)
        stock, mean_weight = self._survey(left if self.timing == "published" else grown)
        year = state.year + 1.0
        return AgeState(grown, stock, mean_weight, year, ssb, catch, counted, deviation)

    def observation(self, state: AgeState, noise: Array) -> Array:
        """(n, 2 or 3) in [-1, 1]: biomass, mean weight if it is seen, time."""
        light, heavy = float(self.life.weight[0]), float(self.life.weight[-1])
        seen = [(state.stock, 0.0, SURVEY_TOP), (state.mean_weight, light, heavy)]
        shown = []
        for column, (value, low, high) in enumerate(seen[: self.observations]):
            if self.obs_noise:
                value = value * (1.0 + self.obs_noise * noise[..., column])
            shown.append(clamp((value - low) * (2.0 / (high - low)) - 1.0, -1.0, 1.0))
        time = state.year * (2.0 / self.horizon) - 1.0
        return namespace(state.stock).stack([*shown, time], axis=-1)

    def reward(self, state: AgeState, action: Array, next_state: AgeState) -> Array:
        """(n,) utility of the year's catch."""
        if self.utility == "UM2":
            return power(next_state.counted, RISK_AVERSION)
        return next_state.counted

    def terminal(self, state: AgeState) -> Array:
        """(n,) False: only the horizon ends an episode."""
        return state.stock < 0.0

    def state_info(self, state: AgeState) -> Info:
        """Surveyed biomass without error, and the fish of each age."""
        return {"stock": state.stock, "numbers": state.numbers}

    def transition_info(self, state: AgeState, action: Array, next_state: AgeState) -> Info:
        """The year in the terms of the field; see the class. For numpy only, as adapters are."""
        reference, u = self.reference, self.fraction(action)
        with np.errstate(divide="ignore"):
            mortality = -np.log(1.0 - u)
        return {
            "biomass": state.stock,
            "ssb": next_state.ssb,
            "catch": next_state.catch,
            "u": u,
            "F": mortality,
            "mean_weight": state.mean_weight,
            "deviation": next_state.deviation,
            "depletion": state.stock * (1.0 / reference.B_0),
            "B_over_Bmsy": state.stock * (1.0 / reference.B_msy),
            "F_over_Fmsy": mortality * (1.0 / reference.F_msy),
        }

    # Oracle, rules and pictures ------------------------------------------------------------------

    @cached
    def oracle(self) -> Oracle:
        """The bracket; see the class."""
        from rlopt.envs.fishery.age_oracle import bracket

        return bracket(self)

    def stock_and_year(self, observation: Array) -> tuple[np.ndarray, np.ndarray]:
        """Observations (n, 2 or 3) -> surveyed biomass and year, (n,) each."""
        observation = np.asarray(observation, dtype=np.float64)
        biomass = (observation[:, 0] + 1.0) * (0.5 * SURVEY_TOP)
        return biomass, np.rint((observation[:, -1] + 1.0) * (0.5 * self.horizon))

    def mean_weight(self, observation: Array) -> np.ndarray:
        """Observations (n, 3) -> mean weight of surveyed fish, (n,); infinite where unseen."""
        observation = np.asarray(observation, dtype=np.float64)
        if self.observations == 1:
            return np.full(len(observation), np.inf)
        light, heavy = float(self.life.weight[0]), float(self.life.weight[-1])
        return light + (observation[:, 1] + 1.0) * (0.5 * (heavy - light))

    def action_of(self, u: Array) -> np.ndarray:
        """Exploitation fractions (n,) -> float32 actions (n, 1)."""
        return (2.0 * np.clip(u, 0.0, 1.0) - 1.0).astype(np.float32)[:, None]

    def action_for(self, stock: Array, escapement: Array) -> np.ndarray:
        """The float32 actions (n, 1) that take of surveyed stocks all but these escapements."""
        return self.action_of(np.maximum(stock - escapement, 0.0) / np.maximum(stock, NEVER))

    def idle_action(self, observation: Array) -> np.ndarray:
        """No harvest."""
        return self.action_of(np.zeros(len(observation)))

    def text(self, history: Sequence[Mapping[str, Any]]) -> str:
        """One line: year, biomass, last catch, return so far."""
        from rlopt.envs.fishery.age_picture import line

        return line(self, history)

    def picture(self, history: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Biomass and catch by year beside the age pyramid, (420, 640, 3) uint8."""
        from rlopt.envs.fishery.age_picture import draw

        return draw(self, history)

    def policy_picture(self, agent: Agent) -> PolicyPicture:
        """Fraction against surveyed biomass, half-way through, at the unfished mean weight."""
        biomass = np.linspace(0.0, 5.0 * self.reference.B_0, 101)
        mean_weight = float(self._survey(self.life.unfished)[1])
        zero = np.zeros_like(biomass)
        weight, year = zero + mean_weight, zero + self.horizon // 2
        numbers = np.zeros((len(zero), self.life.ages))
        state = AgeState(numbers, biomass, weight, year, zero, zero, zero, zero)
        seen = self.observation(state, np.zeros((len(zero), self.observations)))
        played = [
            self.fraction(np.asarray(who.predict(seen, deterministic=True)[0], dtype=np.float64))
            for who in (agent, self.oracle().policy)
        ]
        return PolicyPicture(
            title="Exploitation fraction against surveyed biomass",
            x_label="surveyed biomass",
            y_label="fraction u",
            x=biomass.tolist(),
            agent=played[0].tolist(),
            oracle=played[1].tolist(),
        )
