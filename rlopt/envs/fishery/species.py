"""Two competing preys and their predator, of which one or two are fished (fisheries notes, 2.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from gymnasium.spaces import Box

from rlopt.envs.core import Array, FuncEnv, Info, NoiseSpec, cached
from rlopt.envs.fishery.env import NEVER, Fishery
from rlopt.theory.arrays import at_least, clamp, namespace
from rlopt.theory.checks import nonnegative, only_known, positive
from rlopt.theory.stock import Deterministic, May, Noise, NormalNoise

if TYPE_CHECKING:
    from rlopt.envs.fishery.species_oracle import SpeciesOracle

MODELS = (1, 2, 3, 4)
NAMES = ("X", "Y", "Z")
SEEN = 4.0  # largest stock that an observation shows [biomass], as published
START = np.array([0.5, 0.5, 0.7])  # biomass
START_SD = 0.02  # biomass
SLOWEST = 0.5  # model 4: growth of X falls to this share
FALL = 200.0  # years in which it would fall to nothing
SETTLING = 5_000  # years after which the unfished stocks are those of the equilibrium

# Model 1, "one species" of the published code; its sets with beta .23 are keyword arguments.
ONE_SPECIES = {"rx": 1.0, "Kx": 1.0, "beta": 0.25, "c": 0.1, "sigma": 0.05, "horizon": 200}
ONE_SPECIES |= {"extinct_below": 0.05, "extinction_penalty": 100.0}
ONE_START = 0.7  # biomass

# Constants of the published rules, by model; tuned on the 100 episodes that the paper reports.
PUBLISHED = {
    "constant_mortality": {2: (0.29,), 3: (0.30, 0.25), 4: (0.13, 0.27)},
    "constant_escapements": {2: (0.22,), 3: (0.38, 0.52), 4: (0.52, 0.38)},
}


class SpeciesState(NamedTuple):
    """The stocks at the start of a year, and what was caught in the year before."""

    stock: Array  # (n, 3): X, Y, Z [biomass]
    year: Array  # (n,), 0-based
    catch: Array  # (n, 3) [biomass]


@dataclass(frozen=True, kw_only=True)
class ThreeSpecies(FuncEnv):
    """Choose each year's catch from competing preys whose predator nobody fishes.

    Description:
        Fractions u of the stocks N = (X, Y, Z) are caught; what escapes, S = (1 - u) N, becomes
            X' = X + rx X (1 - X/Kx) - beta Z X^2 / (c^2 + X^2) - cxy X Y + sigma X e1
            Y' = Y + ry Y (1 - Y/Ky) - D beta Z Y^2 / (c^2 + Y^2) - cxy X Y + sigma Y e2
            Z' = Z + Z (b (X + D Y) - d) + sigma Z e3
        with the escapements on the right, e ~ N(0, 1), and no stock below 0. Models 2-4 of "Pretty
        darn good control": 2 fishes X; 3 fishes X and Y; in 4 moreover rx falls with the year t, by
        max(1 - t/200, 1/2).
        Model 1 has one species: `ThreeSpecies(model=1)` makes a `Fishery` with May's growth map
        (r = rx, K = Kx, a = beta, q = 2, b = c) from the stock .7, solved exactly; it takes
        rx, Kx, beta, c, sigma, horizon, extinct_below and extinction_penalty.

    Action space:
        Box(-1, 1, (1 or 2,), float32): the fraction u = (a + 1) / 2 of X (and of Y), clipped.

    Observation space:
        Box(-1, 1, (4,), float64): X, Y, Z as N / 2 - 1, clipped above (`info["obs_clipped"]`), and
        the time, 2 t / T - 1.

    Reward:
        The catch [biomass]; minus extinction_penalty / (t + 1) in the year t of near-extinction.

    Starting state:
        (.5, .5, .7) + .02 N(0, 1) each [biomass], in year 0.

    Episode end:
        Terminates when a stock is at or below `extinct_below`, after growth. Truncates after
        `horizon` harvests.

    Info (each step, of the year whose reward is returned):
        For each species biomass_X, escapement_X and depletion_X (relative to the unfished
        equilibrium of the model without noise), for those that are fished catch_X and u_X; catch
        (their sum), near_extinct (a stock fell to `extinct_below`). Of the state that the
        observation shows, also after a reset: stock_X, stock_Y, stock_Z, obs_clipped.

    Oracle:
        A bracket. Upper end: the exact optimum where fish may also be bought, at the price at
        which they are sold, a dynamic programme over the species that nobody fishes. Lower end:
        the policy of that programme, simulated. See `species_oracle`.

    Differences from the published code:
        Episodes truncate here (its callers stop at 200). Time is observed. sigma is .1, as in the
        shipped episodes and the code (the paper says variance .05); the penalty has t + 1 for the
        0-based year, as in the code (the paper prints t). Populations are clipped at 0.

    References:
        Montealegre-Mora, Lapeyrolerie, Chapman, Keller and Boettiger 2023 (arXiv 2308.13654).

    Args:
        model: 2, 3 or 4; 1 gives a Fishery.
        rx, ry: growth rates of the preys, > 0.
        Kx, Ky: their capacities, > 0 [biomass].
        beta: largest rate of predation, >= 0.
        c: prey at which it is half of that, > 0 [biomass].
        cxy: competition, >= 0 [1 / biomass].
        b: what the predator gains from prey, >= 0 [1 / biomass].
        D: relative weight of Y as prey, >= 0.
        d: the predator's mortality, in [0, 1).
        sigma: standard deviation of the noise relative to the escapement, >= 0.
        horizon: number of harvests.
        extinct_below: stock [biomass] at or below which the episode terminates.
        extinction_penalty: see Reward [biomass].

    Raises:
        ValueError, TypeError: naming the parameter, its value and what is allowed.
    """

    model: int = 3
    rx: float = 1.0
    ry: float = 1.0
    Kx: float = 1.0
    Ky: float = 1.0
    beta: float = 0.3
    c: float = 0.3
    cxy: float = 0.1
    b: float = 0.1
    D: float = 1.1
    d: float = 0.1
    sigma: float = 0.1
    horizon: int = 200
    extinct_below: float = 0.05
    extinction_penalty: float = 100.0

    unit = "biomass"
    render_modes: ClassVar[tuple[str, ...]] = ("rgb_array", "ansi")
    takes_single: ClassVar[bool] = True
    observation_space = Box(-1.0, 1.0, (4,), np.float64)
    noise_spec = NoiseSpec(initial=("normal", 3), step=("normal", 3))

    def __new__(cls, *, model: int = 3, **parameters: Any) -> Any:
        """A ThreeSpecies, or the Fishery that is model 1."""
        return one_species(**parameters) if _model(model) == 1 else super().__new__(cls)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", _model(self.model))
        object.__setattr__(self, "horizon", _horizon(self.horizon))
        for name in ("rx", "ry", "Kx", "Ky", "c"):
            object.__setattr__(self, name, positive("ThreeSpecies", name, getattr(self, name)))
        for name in ("beta", "cxy", "b", "D", "d", "sigma", "extinct_below", "extinction_penalty"):
            object.__setattr__(self, name, nonnegative("ThreeSpecies", name, getattr(self, name)))
        if not self.d < 1.0:
            raise ValueError(f"ThreeSpecies: d must be in [0, 1), got {self.d}")
        lowest = float(START.min())
        if not 0.0 < self.extinct_below < lowest - 5.0 * START_SD:
            raise ValueError(
                "ThreeSpecies: extinct_below must be > 0 and below what the stocks start at, "
                f"{lowest - 5.0 * START_SD:.2f}, got {self.extinct_below}"
            )
        for name in ("Kx", "Ky"):
            if not self.extinct_below < getattr(self, name):
                raise ValueError(
                    f"ThreeSpecies: {name} must be above extinct_below = {self.extinct_below}, "
                    f"got {getattr(self, name)}"
                )

    def __getstate__(self) -> dict[str, Any]:
        """Parameters only: derived constants are made again where they are needed."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def fished(self) -> int:
        """How many species are fished: X, or X and Y."""
        return 1 if self.model == 2 else 2

    def published(self, rule: str) -> tuple[float, ...]:
        """The published constants of "constant_mortality" or "constant_escapements", by species."""
        return PUBLISHED[rule][self.model]

    @cached_property
    def action_space(self) -> Box:  # type: ignore[override]  # derived, not declared
        """One fraction for each species that is fished."""
        return Box(-1.0, 1.0, (self.fished,), np.float32)

    @cached_property
    def noise(self) -> Noise:
        """Of each species' growth."""
        return NormalNoise(self.sigma)

    @cached_property
    def unfished(self) -> np.ndarray:
        """Where the stocks settle without harvest and noise, (3,) [biomass]."""
        stock = START
        for _ in range(SETTLING):
            stock = np.maximum(self.grown(stock, float(self.horizon)), 0.0)
        return stock

    # Dynamics ------------------------------------------------------------------------------------

    def initial(self, noise: Array) -> SpeciesState:
        """(n, 3) -> n states in year 0."""
        start = namespace(noise).asarray(START, dtype=noise.dtype, device=noise.device)
        stock = at_least(noise * START_SD + start, 0.0)
        return SpeciesState(stock, noise[..., 0] * 0.0, noise * 0.0)

    def grown(self, escapement: Array, year: Array) -> Array:
        """Escapements (..., 3) in a year, like (...) -> next stocks without noise, (..., 3).

        Not clipped: where little is left, predation may exceed it.
        """
        x, y, z = escapement[..., 0], escapement[..., 1], escapement[..., 2]
        hunt, half = z * self.beta, self.c * self.c
        rivalry = x * y * self.cxy
        rx = self.rx * at_least(1.0 - year / FALL, SLOWEST) if self.model == 4 else self.rx
        eaten_x, eaten_y = x * x / (x * x + half), y * y / (y * y + half)
        next_x = x + rx * x * (1.0 - x / self.Kx) - hunt * eaten_x - rivalry
        next_y = y + self.ry * y * (1.0 - y / self.Ky) - self.D * hunt * eaten_y - rivalry
        next_z = z + z * ((x + y * self.D) * self.b - self.d)
        return namespace(escapement).stack([next_x, next_y, next_z], axis=-1)

    def transition(self, state: SpeciesState, action: Array, noise: Array) -> SpeciesState:
        """Harvest, then growth: n states, (n, 1 or 2) actions, (n, 3) noise -> a year later."""
        xp, stock = namespace(state.stock), state.stock
        unit = clamp((action + 1.0) * 0.5, 0.0, 1.0)
        caught = [stock[..., k] * unit[..., k] for k in range(self.fished)]
        nothing = stock[..., 2] * 0.0
        catch = xp.stack([*caught, *[nothing] * (3 - self.fished)], axis=-1)
        escapement = stock - catch
        after = self.noise.apply(self.grown(escapement, state.year), escapement, noise)
        return SpeciesState(at_least(after, 0.0), state.year + 1.0, catch)

    def observation(self, state: SpeciesState, noise: Array) -> Array:
        """(n, 4) in [-1, 1]: the stocks and the time."""
        xp = namespace(state.stock)
        stocks = clamp(state.stock * (2.0 / SEEN) - 1.0, -1.0, 1.0)
        time = state.year * (2.0 / self.horizon) - 1.0
        return xp.stack([*(stocks[..., k] for k in range(3)), time], axis=-1)

    def stocks_and_year(self, observation: Array) -> tuple[np.ndarray, np.ndarray]:
        """Observations (n, 4) -> stocks (n, 3) [biomass] and years (n,)."""
        observation = np.asarray(observation, dtype=np.float64)
        year = np.rint((observation[:, 3] + 1.0) * (0.5 * self.horizon))
        return (observation[:, :3] + 1.0) * (0.5 * SEEN), year

    def action_for(self, stocks: Array, escapements: Array) -> np.ndarray:
        """Stocks (n, 3) and the escapements (n, fished) wanted of them -> float32 actions."""
        fished = np.maximum(stocks[:, : self.fished], NEVER)
        unit = np.clip(1.0 - escapements / fished, 0.0, 1.0)
        return (2.0 * unit - 1.0).astype(np.float32)

    def reward(self, state: SpeciesState, action: Array, next_state: SpeciesState) -> Array:
        """(n,) catch [biomass], less the penalty in the year of near-extinction."""
        lost = self.terminal(next_state)
        return next_state.catch.sum(-1) - lost * (self.extinction_penalty / (state.year + 1.0))

    def terminal(self, state: SpeciesState) -> Array:
        """(n,) booleans: some species is nearly extinct."""
        return (state.stock <= self.extinct_below).any(-1)

    def state_info(self, state: SpeciesState) -> Info:
        """The true stocks, and whether the observation had to be clipped."""
        by_species = state.stock.T  # whose entries are numbers where there is no batch axis
        shown = {f"stock_{name}": by_species[k] for k, name in enumerate(NAMES)}
        return {**shown, "obs_clipped": (state.stock > SEEN).any(-1)}

    def transition_info(self, state: SpeciesState, action: Array, next_state: SpeciesState) -> Info:
        """The year by species; see the class."""
        stock, catch = state.stock.T, next_state.catch.T
        info: Info = {}
        for k, name in enumerate(NAMES):
            info[f"biomass_{name}"] = stock[k]
            info[f"escapement_{name}"] = stock[k] - catch[k]
            info[f"depletion_{name}"] = stock[k] / max(self.unfished[k], NEVER)
            if k < self.fished:
                info[f"catch_{name}"], info[f"u_{name}"] = catch[k], catch[k] / (stock[k] + NEVER)
        return {**info, "catch": catch.sum(0), "near_extinct": self.terminal(next_state)}

    # Oracle and pictures -------------------------------------------------------------------------

    @cached
    def oracle(self) -> SpeciesOracle:
        """The bracket: see `SpeciesOracle`."""
        from rlopt.envs.fishery.species_oracle import solve

        return solve(self)

    def idle_action(self, observation: Array) -> np.ndarray:
        """No harvest."""
        return np.full((len(observation), self.fished), -1.0, np.float32)

    def text(self, history: Sequence[Mapping[str, Any]]) -> str:
        """One line: year, stocks, catch so far."""
        from rlopt.envs.fishery.species_picture import line

        return line(self, history)

    def picture(self, history: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Stocks and catch by year, (420, 640, 3) uint8."""
        from rlopt.envs.fishery.species_picture import draw

        return draw(self, history)


def one_species(**parameters: Any) -> Fishery:
    """Model 1 as a Fishery; keyword arguments as in `ONE_SPECIES`.

    Raises:
        TypeError: a parameter that one species does not have.
        ValueError: naming the parameter, its value and what is allowed.
    """
    only_known("ThreeSpecies: model 1", parameters, ONE_SPECIES)
    given: dict[str, Any] = ONE_SPECIES | parameters
    for name in ("rx", "Kx", "c"):
        given[name] = positive("ThreeSpecies", name, given[name])
    for name in ("beta", "sigma", "extinct_below", "extinction_penalty"):
        given[name] = nonnegative("ThreeSpecies", name, given[name])
    if not given["extinct_below"] < ONE_START:
        raise ValueError(
            f"ThreeSpecies: extinct_below must be below what the stock starts at, {ONE_START}, "
            f"got {given['extinct_below']}"
        )
    sigma = given["sigma"]
    return Fishery(
        growth=May(r=given["rx"], K=given["Kx"], a=given["beta"], q=2.0, b=given["c"]),
        noise=NormalNoise(sigma) if sigma else Deterministic(),
        x0=ONE_START,
        gamma=1.0,
        horizon=_horizon(given["horizon"]),
        extinct_below=given["extinct_below"],
        extinction_penalty=given["extinction_penalty"],
    )


def _model(model: Any) -> int:
    if not _whole(model) or model not in MODELS:
        raise ValueError(f"ThreeSpecies: model must be one of {MODELS}, got {model!r}")
    return int(model)


def _horizon(horizon: Any) -> int:
    if not _whole(horizon) or horizon < 1:
        raise ValueError(
            f"ThreeSpecies: horizon must be a whole number of harvests >= 1, got {horizon!r}"
        )
    return int(horizon)


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
