"""A fishery whose growth drifts, by a rate that the manager may not know (notes, 2.3-2.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from gymnasium.spaces import Box
from scipy.special import ndtri

from rlopt.envs.core import Agent, Array, FuncEnv, Info, NoiseSpec, PolicyPicture, cached
from rlopt.envs.fishery.env import Fishery
from rlopt.envs.fishery.ids import beverton_holt_fishery, logistic_fishery, may_fishery
from rlopt.theory.arrays import clamp, namespace
from rlopt.theory.checks import finite, known, nonnegative
from rlopt.theory.stock import Growth, May

if TYPE_CHECKING:
    from rlopt.envs.fishery.drifting_oracle import DriftingOracle

UNCERTAIN = ("rate", "start")


class DriftingState(NamedTuple):
    """A fishery's state (see `StockState`) and which scenario it is in; each (n,)."""

    stock: Array
    seen: Array
    year: Array
    escapement: Array
    catch: Array
    clipped: Array
    scenario: Array  # index, as a float


@dataclass(frozen=True, kw_only=True)
class Drifting(FuncEnv):
    """Choose each year's catch from one fish stock whose growth changes under way.

    Description:
        A `Fishery` in which one parameter of the growth map is start + rate t in year t. With
        spread > 0 the rate (or the start) is a secret, drawn anew for each episode from equally
        likely scenarios: the middles of as many equally likely parts of a normal law with that
        standard deviation.

    Action space, Reward, Episode end:
        Those of the fishery (action "fraction" or "escapement").

    Observation space:
        Box(-1, 1, (2,), float64): stock and time as in `Fishery`; neither parameter nor scenario.

    Starting state:
        The fishery's x0 in year 0.

    Info (each step):
        That of the fishery, where references (B_MSY, F_MSY, B_0) are those of year 0 and `tipped`
        compares with the tipping point of that year's growth; parameter: its true value in that
        year; scenario: its index; to_fold: by how much it may still grow until May's high stock is
        lost (negative when it is; only where May's `a` drifts).

    Oracle:
        spread = 0: exact, a dynamic programme with another growth each year. Else a bracket: above,
        the mean over scenarios of the optimum that knows the scenario; below, the policy that is
        best for the mean scenario, evaluated exactly. Regret is relative to the former:
        what is not known costs some; its discounted sum over an episode has the gap as its mean.

    References:
        Lapeyrolerie, Chapman, Norman and Boettiger 2022 (arXiv 2106.08272) and its package
        gym_conservation for May's map with a rising `a`; gym_fishing 0.1.0 for Beverton-Holt with
        falling r (v10) and for parameters drawn at each reset (v4; there K and r at once).

    Args:
        fishery: of year 0 in the mean scenario, with a finite horizon and no errors of observation
            or implementation.
        parameter: of its growth map, one of `growth.varying`.
        rate: change of the parameter a year, in the mean scenario.
        spread: standard deviation of what is uncertain, >= 0.
        uncertain: "rate" or "start" (the parameter's value in year 0).
        scenarios: number of them, if spread > 0.

    Raises:
        ValueError, TypeError: naming the parameter, its value and what is allowed; also where the
            parameter would leave its range before the horizon.
    """

    fishery: Fishery
    parameter: str
    rate: float
    spread: float = 0.0
    uncertain: str = "rate"
    scenarios: int = 5

    unit = "biomass"
    render_modes: ClassVar[tuple[str, ...]] = ("rgb_array", "ansi")
    takes_single: ClassVar[bool] = True
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def __post_init__(self) -> None:
        _check_fishery(self.fishery)
        known("Drifting", "parameter", self.parameter, self.fishery.growth.varying)
        object.__setattr__(self, "rate", finite("Drifting", "rate", self.rate))
        object.__setattr__(self, "spread", nonnegative("Drifting", "spread", self.spread))
        if self.uncertain not in UNCERTAIN:
            raise ValueError(
                f"Drifting: uncertain must be one of {UNCERTAIN}, got {self.uncertain!r}"
            )
        count = self.scenarios
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(f"Drifting: scenarios must be a whole number >= 1, got {count!r}")
        for year in (0, self.horizon - 1):  # a straight line leaves by its ends
            for value in self.values[:, year]:
                self._check_value(float(value), year)

    def __getstate__(self) -> dict[str, Any]:
        """Parameters only: derived constants are made again where they are needed."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    # Derived constants -------------------------------------------------------------------------

    @property
    def gamma(self) -> float:  # type: ignore[override]  # derived, not declared
        """The fishery's."""
        return self.fishery.gamma

    @property
    def horizon(self) -> int:  # type: ignore[override]  # derived, not declared
        """The fishery's."""
        assert self.fishery.horizon is not None, "checked at the door"
        return self.fishery.horizon

    @property
    def growth(self) -> Growth:
        """Of year 0 in the mean scenario: what rules take their reference points from."""
        return self.fishery.growth

    @property
    def x0(self) -> float:
        """Initial stock [biomass]."""
        return self.fishery.x0

    @property
    def x_max(self) -> float:
        """Largest stock that an observation can show [biomass]."""
        return self.fishery.x_max

    @property
    def observation_space(self) -> Box:  # type: ignore[override]  # derived, not declared
        """The fishery's."""
        return self.fishery.observation_space

    @cached_property
    def noise_spec(self) -> NoiseSpec:  # type: ignore[override]  # derived, not declared
        """The fishery's, and a draw of the scenario."""
        drawn = ("uniform", 1) if len(self.values) > 1 else None
        return NoiseSpec(initial=drawn, step=self.fishery.noise_spec.step)  # type: ignore[arg-type]  # literal

    @cached_property
    def mean_values(self) -> np.ndarray:
        """(horizon,): the parameter by year in the mean scenario."""
        values: np.ndarray = self._start + self.rate * np.arange(self.horizon)
        return values

    @cached_property
    def values(self) -> np.ndarray:
        """(scenarios, horizon): the parameter by year; one row where nothing is uncertain."""
        if self.spread == 0.0:
            return self.mean_values[None]
        shares = (np.arange(self.scenarios) + 0.5) / self.scenarios
        off = self.spread * ndtri(shares)
        if self.uncertain == "rate":
            return self.mean_values + np.outer(off, np.arange(self.horizon))
        return self.mean_values + off[:, None]

    @property
    def _start(self) -> float:
        return float(getattr(self.fishery.growth, self.parameter))

    @cached_property
    def _tips(self) -> np.ndarray:
        """(scenarios, horizon): the tipping point by year, 0 where there is none."""
        tips = [self._growth(float(value)).tipping_point or 0.0 for value in self.values.ravel()]
        return np.reshape(tips, self.values.shape)

    def _growth(self, value: float) -> Growth:
        return replace(self.fishery.growth, **{self.parameter: value})

    def _check_value(self, value: float, year: int) -> None:
        try:
            self._growth(value)
        except ValueError as error:
            _, _, reason = str(error).partition(f": {self.parameter} must be ")
            limit = f"it must stay {reason.partition(', got')[0]}" if reason else str(error)
            raise ValueError(
                f"Drifting: {self.parameter} would be {value:g} in year {year} "
                f"(rate {self.rate:g}, spread {self.spread:g}); {limit}"
            ) from error

    def in_year(self, value: float) -> Fishery:
        """The fishery with that value of the parameter."""
        return replace(self.fishery, growth=self._growth(value))

    # Dynamics ------------------------------------------------------------------------------------

    def initial(self, noise: Array) -> DriftingState:
        """(n, 0 or 1) -> n stocks of x0 in year 0, each in its scenario."""
        xp = namespace(noise)
        zero = xp.zeros(noise.shape[:-1], dtype=noise.dtype, device=noise.device)
        drawn = len(self.values) > 1
        scenario = xp.floor(noise[..., 0] * float(len(self.values))) if drawn else zero
        stock = zero + self.fishery.x0
        return DriftingState(stock, stock, zero, zero, zero, zero > 0.0, scenario)

    def _look_up(self, table: np.ndarray, state: DriftingState) -> Array:
        """The entry of a (scenarios, horizon) table for each state; years go on at the last."""
        xp = namespace(state.year)
        place = state.scenario * float(self.horizon) + clamp(state.year, 0.0, self.horizon - 1.0)
        entries = xp.asarray(table.ravel(), dtype=state.year.dtype, device=state.year.device)
        return entries[xp.asarray(place, dtype=xp.int64)]

    def transition(self, state: DriftingState, action: Array, noise: Array) -> DriftingState:
        """Harvest, then growth: n stocks, (n, 1) actions, (n, d) noise -> n stocks a year later."""
        xp, fishery, stock = namespace(state.stock), self.fishery, state.stock
        quota = fishery.requested(stock, stock, action)
        catch = xp.minimum(quota, stock)
        escapement = stock - catch
        growth = fishery.growth.at(**{self.parameter: self._look_up(self.values, state)})
        draw = noise[..., 0] if noise.shape[-1] else noise
        grown = fishery.noise.apply(growth(escapement), escapement, draw)
        year = state.year + 1.0
        return DriftingState(grown, grown, year, escapement, catch, quota > stock, state.scenario)

    def observation(self, state: DriftingState, noise: Array) -> Array:
        """(n, 2) in [-1, 1]: stock and time."""
        return self.fishery.observation(state, noise)  # type: ignore[arg-type]  # has all that it reads

    def reward(self, state: DriftingState, action: Array, next_state: DriftingState) -> Array:
        """(n,) catch [biomass], less the penalty in the year of extinction."""
        return self.fishery.reward(state, action, next_state)  # type: ignore[arg-type]

    def terminal(self, state: DriftingState) -> Array:
        """(n,) booleans: the stock is lost."""
        return self.fishery.terminal(state)  # type: ignore[arg-type]

    def state_info(self, state: DriftingState) -> Info:
        """The true stock, and whether the observation had to be clipped."""
        return self.fishery.state_info(state)  # type: ignore[arg-type]

    def transition_info(
        self, state: DriftingState, action: Array, next_state: DriftingState
    ) -> Info:
        """The year in the terms of the field; see the class."""
        info = self.fishery.transition_info(state, action, next_state)  # type: ignore[arg-type]
        value = self._look_up(self.values, state)
        info["tipped"] = next_state.escapement < self._look_up(self._tips, state)
        info |= {"parameter": value, "scenario": state.scenario * 1.0}  # infos share no arrays
        if self._fold is not None:
            info["to_fold"] = self._fold - value
        return info

    @cached_property
    def _fold(self) -> float | None:
        """The value of May's `a` at which the high stock is lost."""
        growth = self.fishery.growth
        folds = growth.folds() if isinstance(growth, May) and self.parameter == "a" else ()
        return folds[-1][0] if folds else None

    # What rules and exact evaluation ask for -----------------------------------------------------

    def stock_and_year(self, observation: Array) -> tuple[np.ndarray, np.ndarray]:
        """As of the fishery."""
        return self.fishery.stock_and_year(observation)

    def action_for(self, stock: Array, escapement: Array) -> np.ndarray:
        """As of the fishery."""
        return self.fishery.action_for(stock, escapement)

    def idle_action(self, observation: Array) -> np.ndarray:
        """No harvest."""
        return self.fishery.idle_action(observation)

    # Oracle and pictures -------------------------------------------------------------------------

    @cached
    def oracle(self) -> DriftingOracle:
        """The optimum or its bracket: see `DriftingOracle`."""
        from rlopt.envs.fishery.drifting_oracle import solve

        return solve(self)

    def text(self, history: Sequence[Mapping[str, Any]]) -> str:
        """One line: year, stock, escapement, catch, regret so far."""
        from rlopt.envs.fishery.picture import line

        return line(self._episode(history))

    def picture(self, history: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """As of the fishery, (420, 640, 3) uint8, with this year's tipping point and escapement."""
        from rlopt.envs.fishery.picture import draw

        return draw(self._episode(history))

    def _episode(self, history: Sequence[Mapping[str, Any]]) -> Any:
        from rlopt.envs.fishery.episode import episode_of

        episode = episode_of(self.fishery, history)
        year = min(len(history) - 1, self.horizon - 1)
        scenario = int(history[-1].get("scenario", 0))
        tip = float(self._tips[scenario, year])
        return replace(
            episode,
            title=f"Drifting{episode.title}",
            S_oracle=float(self.oracle().escapement([self.x_max], year)[0]),
            tipping_point=tip or None,
        )

    def policy_picture(self, agent: Agent) -> PolicyPicture:
        """Escapement against stock, in the first year."""
        picture = self.fishery.policy_picture(agent)
        best = self.oracle().escapement(np.array(picture.x))
        return replace(picture, oracle=best.tolist())


PRESETS: dict[str, tuple[Any, dict[str, Any], str, float]] = {
    # model: fishery, its defaults, the parameter that drifts and its rate a year
    "may": (may_fishery, {"K": 1.2, "a": 0.15, "x0": 0.8, "sigma": 0.2}, "a", 0.001),
    "beverton_holt": (beverton_holt_fishery, {"r": 0.8, "sigma": 0.1}, "r", -0.007),
    "logistic": (logistic_fishery, {"noise": "normal", "sigma": 0.1}, "K", 0.0),
}


def drifting_fishery(
    *,
    model: str = "may",
    parameter: str | None = None,
    rate: float | None = None,
    spread: float = 0.0,
    uncertain: str = "rate",
    scenarios: int = 5,
    horizon: int = 100,
    **fishery: Any,
) -> Drifting:
    """A Drifting fishery from flat keyword arguments, as its id takes them.

    Args:
        model: "may": grazing a rises from .15 by .001 a year and passes the fold at .2134 in year
            64 (the paper starts at .19, where for the catch the low branch is already better);
            "beverton_holt": r falls from .8 by .007 a year; "logistic": nothing drifts, for
            uncertain="start" (K or r drawn at each reset).
        parameter: see `Drifting`; None for the model's, named above.
        rate: see `Drifting`; None for the model's.
        spread: see `Drifting`.
        uncertain: see `Drifting`.
        scenarios: see `Drifting`.
        horizon: number of harvests.
        **fishery: of the model's own id (`may_fishery`, ...), in year 0.

    Raises:
        ValueError: an unknown model, or as `Drifting`.
        TypeError: an argument that the model's fishery does not have.
    """
    make, defaults, drifts, drift = PRESETS[known("Drifting", "model", model, tuple(PRESETS))]
    return Drifting(
        fishery=make(**(defaults | {"horizon": horizon} | fishery)),
        parameter=drifts if parameter is None else parameter,
        rate=drift if rate is None else rate,
        spread=spread,
        uncertain=uncertain,
        scenarios=scenarios,
    )


def _check_fishery(fishery: Any) -> None:
    if not isinstance(fishery, Fishery):
        raise TypeError(f"Drifting: fishery must be a Fishery, got {fishery!r}")
    if fishery.horizon is None:
        raise ValueError("Drifting: the fishery needs a finite horizon, got None")
    if fishery.action == "quota":
        raise ValueError('Drifting: action must be "fraction" or "escapement", got "quota"')
    for name in ("observation_noise", "implementation_noise"):
        if getattr(fishery, name) is not None:
            raise ValueError(f"Drifting: {name} must be None, got {getattr(fishery, name)}")
