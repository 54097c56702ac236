"""One fish stock under harvest: the pure dynamics (fisheries notes, sections 2.1-2.3 and 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from gymnasium.spaces import Box

from rlopt.envs.core import Agent, Array, FuncEnv, Info, NoiseSpec, PolicyPicture, cached
from rlopt.theory.arrays import clamp, namespace
from rlopt.theory.checks import known, nonnegative, positive
from rlopt.theory.stock import Growth, Noise, ReferencePoints

if TYPE_CHECKING:
    from rlopt.envs.fishery.oracle import HarvestOracle
    from rlopt.theory.dp import HarvestProblem
    from rlopt.theory.played import Escapement

ACTIONS = ("fraction", "quota", "escapement")
KOBE = np.array(["green", "orange", "yellow", "red"])  # 2 * overfished + overfishing
COLLAPSE_YEARS = 50  # by which reports ask whether the stock has collapsed
NEVER = 1e-300  # keeps a ratio to a zero reference finite


class StockState(NamedTuple):
    """The stock at the start of a year, and what was done in the year before; each (n,)."""

    stock: Array  # biomass
    seen: Array  # biomass that the survey reports: the stock itself without observation error
    year: Array  # 0-based
    escapement: Array  # biomass left last year
    catch: Array  # biomass landed last year
    clipped: Array  # whether last year's quota exceeded the stock


@dataclass(frozen=True, kw_only=True)
class Fishery(FuncEnv):
    """Choose each year's catch from one fish stock, which may have a tipping point.

    Description:
        The manager sees the stock x_t [biomass], sets a quota, and lands the catch
        h_t = min(x_t, quota) (times the implementation error); the escapement s_t = x_t - h_t grows
        into x_{t+1} = f(s_t) with noise. Nothing grows from an empty sea.

    Action space:
        Box(-1, 1, (1,), float32), mapped linearly and clipped, by `action`:
        "fraction": the fraction u = (a + 1) / 2 of the true stock is caught (effort control);
        "quota": K (a + 1) biomass, at most the stock (K: carrying capacity);
        "escapement": what the survey sees above x_max (a + 1) / 2 is the quota.

    Observation space:
        Box(-1, 1, (1,), float64): 2 x / x_max - 1, clipped above (`info["obs_clipped"]`). With a
        finite horizon a second entry, 2 t / T - 1. x_max covers f_max exp(5 sigma) and x0.

    Reward:
        The catch h_t [biomass]; minus extinction_penalty / (t + 1) in the year t of extinction.

    Starting state:
        The stock x0 in year 0.

    Episode end:
        Terminates when x_{t+1} <= extinct_below, after growth (the value is 0 from then on).
        Truncates after `horizon` harvests, if that is not None.

    Info (each step, of the year whose reward is returned):
        biomass x_t, escapement s_t, catch h_t, u = h_t / x_t, F = -log(1 - u) (infinite where all
        was caught), B_over_Bmsy and F_over_Fmsy (B_MSY is the biomass *before* harvest, f(S_MSY)),
        depletion x_t / B_0, kobe ("green", "orange": overfishing, "yellow": overfished, "red":
        both), tipped (s_t below the tipping point), quota_clipped, regret. Of the state that the
        observation shows, also after a reset: stock (true), obs_clipped.

    Oracle:
        Exact dynamic programming. On an endless task with a penalty, which fades, the best policy
        depends on the year: the oracle's agent counts the years in its `state`. With observation
        error an upper bracket (full observation; below, what taking the survey for the stock earns
        in a simulation), with implementation error an upper bracket (perfect implementation).

    References:
        Boettiger, Mangel and Munch 2015 (arXiv 1412.8081); Reed 1979.

    Args:
        growth: the map f, from `rlopt.theory.stock`.
        noise: of growth, from there too.
        x0: initial stock [biomass], > 0.
        gamma: discount a year, in (0, 1]; below 1 if the horizon is None.
        horizon: number of harvests, or None for an endless task.
        action: "fraction", "quota" or "escapement".
        extinct_below: stock [biomass] at or below which the episode terminates.
        extinction_penalty: see Reward [biomass].
        implementation_noise: multiplies the quota; None for perfect implementation.
        observation_noise: multiplies the stock that is observed; None for full observation.

    Raises:
        ValueError, TypeError: naming the parameter, its value and what is allowed.
    """

    growth: Growth
    noise: Noise
    x0: float
    gamma: float = 0.99
    horizon: int | None = None
    action: str = "fraction"
    extinct_below: float = 0.0
    extinction_penalty: float = 0.0
    implementation_noise: Noise | None = None
    observation_noise: Noise | None = None

    unit = "biomass"
    render_modes: ClassVar[tuple[str, ...]] = ("rgb_array", "ansi")
    takes_single: ClassVar[bool] = True
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def __post_init__(self) -> None:
        for name, kind in (("growth", Growth), ("noise", Noise)):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(
                    f"Fishery: {name} must be a {kind.__name__}, got {getattr(self, name)!r}"
                )
        for name in ("implementation_noise", "observation_noise"):
            if not isinstance(getattr(self, name), Noise | None):
                raise TypeError(
                    f"Fishery: {name} must be a Noise or None, got {getattr(self, name)!r}"
                )
        for name in ("x0", "gamma"):
            object.__setattr__(self, name, positive("Fishery", name, getattr(self, name)))
        for name in ("extinct_below", "extinction_penalty"):
            object.__setattr__(self, name, nonnegative("Fishery", name, getattr(self, name)))
        if self.gamma > 1.0:
            raise ValueError(f"Fishery: gamma must be in (0, 1], got {self.gamma}")
        if self.horizon is None and self.gamma == 1.0:
            raise ValueError(
                "Fishery: gamma must be below 1 for an endless task (horizon=None), got 1; "
                "give a finite horizon"
            )
        _check_horizon(self.horizon)
        known("Fishery", "action", self.action, ACTIONS)
        if not self.extinct_below < self.x0:
            raise ValueError(
                f"Fishery: extinct_below must be below x0 = {self.x0}, got {self.extinct_below}"
            )

    @classmethod
    def from_dataframe(cls, df: Any, *, model: str = "aic", **kwargs: Any) -> Fishery:
        """The fishery of a fitted table with columns year, biomass, catch; see `data.fit_series`.

        Args:
            df: a pandas DataFrame, or a dict of arrays; biomass is that before harvest.
            model: "ricker", "allen", "myers", or "aic" or "bic" for what that criterion prefers.
            **kwargs: of `Fishery`; x0 is the last biomass otherwise.
        """
        from rlopt.envs.fishery.data import fit_series

        return fit_series(df).fishery(model, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        """Parameters only: derived constants are made again where they are needed."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    # Derived constants -------------------------------------------------------------------------

    @cached_property
    def observation_space(self) -> Box:  # type: ignore[override]  # derived, not declared
        """One entry for the stock and, with a finite horizon, one for the time."""
        return Box(-1.0, 1.0, (1 if self.horizon is None else 2,), np.float64)

    @cached_property
    def x_max(self) -> float:
        """Largest stock that an observation can show [biomass]."""
        return max(self.growth.peak[1] * self.noise.largest_factor, self.x0)

    @cached_property
    def top(self) -> float:
        """Largest stock that a run of 5-sigma years reaches from x0 without harvest [biomass].

        Far below x_max where growth saturates, since nothing takes the stock to its plateau.
        """
        best, highest = self.growth.peak
        stock = self.x_max
        for _ in range(100):
            grown = highest if best <= stock else float(self.growth(stock))
            stock = max(grown * self.noise.largest_factor, self.x0)
        return stock

    @cached_property
    def quota_scale(self) -> float:
        """K of the "quota" action [biomass]: the carrying capacity."""
        return float(getattr(self.growth, "K", self.growth.capacity))

    @cached_property
    def reference(self) -> ReferencePoints:
        """Reference points of maximum sustainable yield (no discount, no noise)."""
        return self.growth.reference_points()

    @cached_property
    def collapse_level(self) -> float:
        """The stock below which reports speak of a collapse [biomass].

        The tipping point, or .1 B_MSY where there is none.
        """
        tip = self.growth.tipping_point
        return 0.1 * self.reference.B_msy if tip is None else tip

    @cached_property
    def _yardsticks(self) -> tuple[float, float, float, float]:
        """1 / B_MSY, 1 / F_MSY, 1 / B_0 and the tipping point, for the infos."""
        tip = self.growth.tipping_point
        scales = self.reference.B_msy, self.reference.F_msy, self.growth.capacity
        inverses = (1.0 / max(scale, NEVER) for scale in scales)
        return *inverses, 0.0 if tip is None else tip  # type: ignore[return-value]

    @cached_property
    def _errors(self) -> tuple[Noise | None, ...]:
        """Of growth, implementation and survey, in the order of the step noise's columns."""
        return self.noise, self.implementation_noise, self.observation_noise

    @cached_property
    def _columns(self) -> tuple[Any, ...]:
        """The step-noise column of each error; an empty slice for one that draws nothing."""
        drawn = [error is not None and error.kind is not None for error in self._errors]
        return tuple(sum(drawn[:k]) if drawn[k] else slice(0, 0) for k in range(len(drawn)))

    @cached_property
    def noise_spec(self) -> NoiseSpec:  # type: ignore[override]  # derived, not declared
        """The survey's error belongs to the state (a quota depends on it), so to its noise."""
        parts = [(error.kind, 1) for error in self._errors if error is not None and error.kind]
        survey = self.observation_noise
        initial = parts[-1:] if survey is not None and survey.kind else []
        return NoiseSpec(initial=tuple(initial) or None, step=tuple(parts) or None)

    # Dynamics ------------------------------------------------------------------------------------

    def initial(self, noise: Array) -> StockState:
        """(n, 0 or 1) -> n stocks of x0 in year 0."""
        xp = namespace(noise)
        zero = xp.zeros(noise.shape[:-1], dtype=noise.dtype)
        stock = zero + self.x0
        seen = self._survey(stock, noise, 0 if noise.shape[-1] else slice(0, 0))
        return StockState(stock, seen, zero, zero, zero, zero > 0.0)

    def requested(self, stock: Array, seen: Array, action: Array) -> Array:
        """The quota asked for, (n,) [biomass], before implementation error.

        Args:
            stock: (n,) true stock.
            seen: (n,) surveyed stock.
            action: (n, 1), in [-1, 1]; clipped there.
        """
        unit = clamp((action[..., 0] + 1.0) * 0.5, 0.0, 1.0)
        if self.action == "fraction":
            return unit * stock
        if self.action == "quota":
            return unit * (2.0 * self.quota_scale)
        return clamp(seen - unit * self.x_max, 0.0, float("inf"))

    def action_for(self, stock: Array, escapement: Array) -> np.ndarray:
        """The float32 actions (n, 1) that leave these escapements of these stocks, each (n,)."""
        catch = np.maximum(stock - escapement, 0.0)
        if self.action == "fraction":
            unit = catch / np.maximum(stock, NEVER)
        elif self.action == "quota":
            unit = catch / (2.0 * self.quota_scale)
        else:
            unit = np.where(catch > 0.0, escapement / self.x_max, 1.0)
        action = (2.0 * np.clip(unit, 0.0, 1.0) - 1.0).astype(np.float32)
        if self.action == "quota":  # rounded up where all is wanted, or 1e-8 of it is left behind
            up = np.minimum(np.nextafter(action, np.float32(2.0)), np.float32(1.0))
            action = np.where(escapement > 0.0, action, up)
        return action[:, None]

    def transition(self, state: StockState, action: Array, noise: Array) -> StockState:
        """Harvest, then growth: n stocks, (n, 1) actions, (n, d) noise -> n stocks a year later."""
        xp, stock = namespace(noise), state.stock
        growth_column, implementation_column, survey_column = self._columns
        quota = self.requested(stock, state.seen, action)
        if self.implementation_noise is not None:
            draw = noise[..., implementation_column]
            quota = self.implementation_noise.apply(quota, quota, draw)
        catch = xp.minimum(quota, stock)
        escapement = stock - catch
        draw = noise[..., growth_column]
        grown = self.noise.apply(self.growth(escapement), escapement, draw)
        seen = self._survey(grown, noise, survey_column)
        return StockState(grown, seen, state.year + 1.0, escapement, catch, quota > stock)

    def _survey(self, stock: Array, noise: Array, column: Any) -> Array:
        survey = self.observation_noise
        return stock if survey is None else survey.apply(stock, stock, noise[..., column])

    def observation(self, state: StockState, noise: Array) -> Array:
        """(n, 1), or (n, 2) with the time, in [-1, 1]."""
        shown = clamp(state.seen * (2.0 / self.x_max) - 1.0, -1.0, 1.0)
        if self.horizon is None:
            return shown[..., None]
        time = state.year * (2.0 / self.horizon) - 1.0
        return namespace(shown).stack([shown, time], axis=-1)

    def reward(self, state: StockState, action: Array, next_state: StockState) -> Array:
        """(n,) catch [biomass], less the penalty in the year of extinction."""
        if not self.extinction_penalty:
            return next_state.catch
        lost = self.terminal(next_state)
        return next_state.catch - lost * (self.extinction_penalty / (state.year + 1.0))

    def terminal(self, state: StockState) -> Array:
        """(n,) booleans: the stock is lost."""
        return state.stock <= self.extinct_below

    def state_info(self, state: StockState) -> Info:
        """The true stock, and whether the observation had to be clipped."""
        return {"stock": state.stock, "obs_clipped": state.seen > self.x_max}

    def transition_info(self, state: StockState, action: Array, next_state: StockState) -> Info:
        """The year in the terms of the field; see the class. For numpy only, as adapters are."""
        stock, escapement, catch = state.stock, next_state.escapement, next_state.catch
        per_b, per_f, per_b0, tip = self._yardsticks
        u = catch / (stock + NEVER)
        with np.errstate(divide="ignore"):
            mortality = -np.log(1.0 - u)
        b, f = stock * per_b, mortality * per_f
        return {
            "biomass": stock,
            "escapement": escapement,
            "catch": catch,
            "u": u,
            "F": mortality,
            "B_over_Bmsy": b,
            "F_over_Fmsy": f,
            "depletion": stock * per_b0,
            "kobe": KOBE.take(2 * (b < 1.0) + (f > 1.0)),
            "tipped": escapement < tip,
            "quota_clipped": next_state.clipped,
        }

    # Oracle and pictures -------------------------------------------------------------------------

    @cached
    def oracle(self) -> HarvestOracle:
        """The optimum: see `HarvestOracle`."""
        from rlopt.envs.fishery.oracle import solve

        return solve(self)

    @property
    def problem(self) -> HarvestProblem:
        """What dynamic programming needs to know."""
        from rlopt.theory.dp import HarvestProblem

        return HarvestProblem(
            growth=self.growth,
            noise=self.noise,
            gamma=self.gamma,
            horizon=self.horizon,
            top=self.top,
            extinct_below=self.extinct_below,
            extinction_penalty=self.extinction_penalty,
            implementation=self.implementation_noise,
        )

    def escapement_of(self, policy: Any) -> Escapement:
        """A policy, an Agent or a function of the stock, as (stocks, year) -> escapements."""
        from rlopt.envs.fishery.oracle import escapement_of

        return escapement_of(self, policy)

    def memoryless(self, policy: Any) -> Escapement:
        """As `escapement_of`, where a policy is a function of the stock.

        Raises:
            ValueError: with observation error it is not.
        """
        if self.observation_noise is not None:
            raise ValueError(
                "evaluate and collapse_probability are exact only under full observation: with "
                "observation_noise a policy sees the survey, not the stock; simulate it instead"
            )
        return self.escapement_of(policy)

    def stock_and_year(self, observation: Array) -> tuple[np.ndarray, np.ndarray]:
        """Observations (n, 1 or 2) -> stock seen [biomass] and year (0 on endless tasks), (n,)."""
        observation = np.asarray(observation, dtype=np.float64)
        stock = (observation[:, 0] + 1.0) * (0.5 * self.x_max)
        if self.horizon is None:
            return stock, np.zeros(len(stock))
        return stock, np.rint((observation[:, 1] + 1.0) * (0.5 * self.horizon))

    def idle_action(self, observation: Array) -> np.ndarray:
        """No harvest."""
        everything = np.full(len(observation), self.x_max)
        return self.action_for(everything, everything)

    def text(self, history: Sequence[Mapping[str, Any]]) -> str:
        """One line: year, stock, escapement, catch, regret so far."""
        from rlopt.envs.fishery.episode import episode_of
        from rlopt.envs.fishery.picture import line

        return line(episode_of(self, history))

    def picture(self, history: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Stock, escapement and catch by year beside a Kobe plot, (420, 640, 3) uint8."""
        from rlopt.envs.fishery.episode import episode_of
        from rlopt.envs.fishery.picture import draw

        return draw(episode_of(self, history))

    def measures(self, agent: Agent) -> dict[str, float]:
        """Exact P(collapse), of the stock below its `collapse_level`.

        At the end of year 50, or before the last harvest of a shorter task; nothing where a policy
        is no function of the stock.
        """
        if self.observation_noise is not None:
            return {}
        from rlopt.theory.dp import NODES, collapse_probability

        last = COLLAPSE_YEARS if self.horizon is None else self.horizon - 1
        years = min(last, COLLAPSE_YEARS)
        risk = collapse_probability(self, agent, self.x0, years, self.collapse_level, nodes=NODES)
        return {f"P(collapse) in {years} years": risk}

    def policy_picture(self, agent: Agent) -> PolicyPicture:
        """Escapement against stock, in the first year."""
        stock = np.linspace(0.0, self.x_max, 101)
        oracle = self.oracle()
        left = np.clip(self.escapement_of(agent)(stock, 0), 0.0, stock)
        tip = self.growth.tipping_point
        return PolicyPicture(
            title="Escapement against stock",
            x_label="stock, biomass",
            y_label="escapement, biomass",
            x=stock.tolist(),
            agent=np.atleast_2d(left).mean(axis=0).tolist(),
            oracle=oracle.escapement(stock).tolist(),
            hazard=tip,
            hazard_label="" if tip is None else "tipping point",
        )


def _check_horizon(horizon: Any) -> None:
    if horizon is None:
        return
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise ValueError(
            f"Fishery: horizon must be a whole number of harvests >= 1, or None, got {horizon!r}"
        )
