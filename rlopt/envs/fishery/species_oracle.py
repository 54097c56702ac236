"""What the three-species fishery can be worth: a bracket by a programme that may also buy fish.

Let F be the fished species, U the others, and V_t(N) the optimum from the stocks N in year t:

    V_t(N) <= sum_F N + g_t(N_U),
    g_t(N_U) = max over S_F >= 0 of E[ 1{all live} (sum_F N' + g_{t+1}(N_U')) ]
               - sum_F S_F - penalty_t P(not all live),

where N' grows from the escapements (S_F, N_U), all live if no N' is at or below `extinct_below`,
and in the last year the first term is 0. Proof by induction, backwards: the catch is
sum_F (N - S), nothing is earned after near-extinction, and the best S <= N is not better than the
best S >= 0. So the right side is the exact optimum where S > N is allowed too, where fish may be
bought at the price at which they are sold. Since the price of a fished stock is 1, whatever it is,
only the unfished stocks are a state: one (models 3 and 4), or two (model 2).

The policy of that programme, with S held below N, is feasible, and so are constants: what the best
of them earns in a simulation is the lower end.

Numbers: g_t is a cubic spline in log N_U (`theory.cubic`), S runs over a grid. In the last year
nothing is sold afterwards: the best S lies beside a cliff where the penalty begins, and S runs over
a denser grid there. Since w(S') <= w(S) + S - S' while who leaves more loses fewer, no finer grid
gains more than these steps. `tolerance` is they and the change from half as many nodes and choices.
It is an estimate, checked against finer grids for the default parameters, short horizons and some
others, and not a proof; `note` says where it is large. Left out is what lies beyond the grids:
escapements above `MOST` and unfished stocks above `TOP` times the capacities, or above `SEEN`,
count as at the edge. With the default parameters these are rare; with capacities above 2 they need
not be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Protocol

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from rlopt.envs.core import FixedAgent, Oracle, OracleResult
from rlopt.envs.fishery.oracle import ERRORS
from rlopt.envs.fishery.species import SEEN, START, START_SD, ThreeSpecies
from rlopt.envs.rollout import rollout
from rlopt.theory.cubic import LogCubic

MOST = 1.2  # largest escapement, of the capacity
TOP = 1.6  # largest unfished prey, of the capacity
SIZES = {1: (48, 41), 2: (32, 31)}  # unfished species -> nodes of each, choices for each other
CLIFF, LAST = 2.0, 80  # the last year's extra choices: up to `extinct_below` times, how many
SHARES = (0.2, 0.4, 0.6, 0.8)  # of the capacities: constant escapements that are tried
TRIED = 200  # episodes in which each policy is tried, the same ones for all
LEAST, MOST_EPISODES = 4_000, 40_000  # fresh ones that give the lower end
YEARS = 800_000  # played in them, within these limits
SEED = 20230801  # of these simulations: the same bracket every time
LARGE = 0.05  # relative tolerance from which the note says so


@dataclass(frozen=True, eq=False, kw_only=True)
class SpeciesOracle(Oracle):
    """A bracket of the optimum.

    Attributes:
        value: the upper end; `lower` is what `policy` earned in a simulation, less four standard
            errors.
        policy: leaves what would be best if fish could be bought, or constants where they earn
            more.
        regret: None: the gap of a single year is not known.
    """


class Rule(Protocol):
    """What is left of the fished species."""

    def __call__(self, stocks: np.ndarray, year: np.ndarray) -> np.ndarray:
        """Stocks (n, 3) and years (n,) -> intended escapements (n, fished) [biomass]."""


@dataclass(frozen=True)
class Constant:
    """A share of each fished stock, or all of a smaller stock than some limit.

    Attributes:
        share: of each stock, (fished,).
        most: left of each stock at most, (fished,) [biomass].
    """

    share: tuple[float, ...]
    most: tuple[float, ...]

    def __call__(self, stocks: np.ndarray, year: np.ndarray) -> np.ndarray:
        """As `Rule`."""
        left: np.ndarray = np.minimum(stocks[:, : len(self.share)] * self.share, self.most)
        return left


@dataclass(frozen=True, eq=False)
class Relaxed:
    """The solution of the programme in which fish may be bought.

    Attributes:
        value: optimum from the start.
        best: (years, *nodes of the unfished, fished), the best S_F.
        axes: nodes of each unfished species.
    """

    value: float
    best: np.ndarray
    axes: tuple[np.ndarray, ...]

    @cached_property
    def _interpolator(self) -> RegularGridInterpolator:
        years = np.arange(len(self.best) + 1)
        # one more, since the observation after the last harvest is asked about too
        table = np.concatenate([self.best, self.best[-1:]])
        return RegularGridInterpolator((years, *(np.log(axis) for axis in self.axes)), table)

    def __call__(self, stocks: np.ndarray, year: np.ndarray) -> np.ndarray:
        """As `Rule`."""
        unfished = stocks.T[3 - len(self.axes) :]
        inside = [np.clip(x, a[0], a[-1]) for x, a in zip(unfished, self.axes, strict=True)]
        left: np.ndarray = self._interpolator(np.stack([year, *np.log(inside)], axis=-1))
        return left

    def __repr__(self) -> str:
        return f"Relaxed(value={self.value:.6g}, {len(self.best)} years)"


class SpeciesPolicy(FixedAgent):
    """Leaves what a rule wants of the fished species, or all of a smaller stock."""

    def __init__(self, species: ThreeSpecies, rule: Rule) -> None:
        self.species, self.rule = species, rule

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Observations (n, 4) -> actions (n, fished); one observation (4,) -> (fished,)."""
        stocks, year = self.species.stocks_and_year(np.atleast_2d(observation))
        action = self.species.action_for(stocks, self.rule(stocks, year))
        return (action if np.ndim(observation) == 2 else action[0]), state

    def __repr__(self) -> str:
        return f"SpeciesPolicy({self.rule!r})"


def solve(species: ThreeSpecies) -> SpeciesOracle:
    """The bracket of a three-species fishery."""
    nodes, choices = SIZES[3 - species.fished]
    fine = relaxed_optimum(species, nodes, choices)
    half = relaxed_optimum(species, nodes // 2, choices // 2 + 1, LAST // 2)
    step = CLIFF * species.extinct_below / LAST
    tolerance = abs(fine.value - half.value) + species.fished * step
    policy = best_policy(species, fine)
    episodes = min(max(YEARS // species.horizon, LEAST), MOST_EPISODES)
    attained = rollout(species, policy, episodes, SEED + 1).total
    upper = fine.value + tolerance
    note = "upper bracket, fish may be bought"
    if tolerance > LARGE * abs(upper):
        note += f"; large numerical error, {tolerance:.2g}"
    return SpeciesOracle(
        value=OracleResult.bracket(
            float(attained.mean() - ERRORS * attained.std(ddof=1) / np.sqrt(episodes)),
            upper,
            method="dynamic programme in which fish may be bought; the best of some policies",
            tolerance=tolerance,
            note=note,
        ),
        policy=policy,
    )


def best_policy(species: ThreeSpecies, relaxed: Relaxed) -> SpeciesPolicy:
    """The programme's, nothing, or constants: what earns most in the same episodes."""
    fished = species.fished
    unlimited, all_of_it = (np.inf,) * fished, (1.0,) * fished
    capacities = (species.Kx, species.Ky)[:fished]
    limits = [species.published("constant_escapements")]
    limits += product(*([share * K for share in SHARES] for K in capacities))
    shares = tuple(1.0 - u for u in species.published("constant_mortality"))
    rules: list[Rule] = [relaxed, Constant(all_of_it, unlimited), Constant(shares, unlimited)]
    rules += [Constant(all_of_it, limit) for limit in limits]
    policies = [SpeciesPolicy(species, rule) for rule in rules]
    return max(policies, key=lambda p: rollout(species, p, TRIED, SEED).total.mean())


def relaxed_optimum(species: ThreeSpecies, nodes: int, choices: int, last: int = LAST) -> Relaxed:
    """Backward induction over the unfished species.

    Args:
        species: what is solved.
        nodes: of each unfished species.
        choices: escapements of each fished species.
        last: as many more in the last year, beside the cliff.
    """
    cut, fished = species.extinct_below, species.fished
    tops = (TOP * species.Kx, TOP * species.Ky, SEEN)[fished:]
    splines = [LogCubic(cut, top, nodes) for top in tops]
    grids = [np.linspace(0.0, MOST * k, choices) for k in (species.Kx, species.Ky)[:fished]]
    cliff = np.linspace(0.0, CLIFF * cut, last + 1)
    year = _Year(species, splines, grids)
    end = _Year(species, splines, [np.union1d(grid, cliff) for grid in grids])
    g = np.zeros((nodes,) * (3 - fished))
    best = np.empty((species.horizon, *g.shape, fished))
    for t in range(species.horizon - 1, -1, -1):
        final = t == species.horizon - 1
        best[t], g = end.best(t, None) if final else year.best(t, g)
    at_start = float(START[:fished].sum()) + _at_start(splines, g, START[fished:])
    return Relaxed(at_start, best, tuple(spline.nodes for spline in splines))


class _Year:
    """One step of the induction for all pairs of escapements and unfished stocks.

    Args:
        species, splines: what is solved, and the functions of the unfished stocks.
        grids: escapements of each fished species.
    """

    def __init__(
        self, species: ThreeSpecies, splines: list[LogCubic], grids: Sequence[np.ndarray]
    ) -> None:
        self.species, self.splines = species, splines
        self.choices = np.array(list(product(*grids)))
        axes = (*grids, *(spline.nodes for spline in splines))
        self.tried = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=-1)
        self.cost = self.tried[:, : species.fished].sum(axis=1)
        # Growth of the unfished species does not depend on the year: only X's may.
        self.median, noise = species.grown(self.tried, 0.0), species.noise
        survival = [
            1.0 - noise.cdf(self.median[:, k], self.tried[:, k], species.extinct_below)
            for k in range(species.fished, 3)
        ]
        self.survival = np.prod(survival, axis=0)
        self._drawn: tuple[float, np.ndarray, np.ndarray] | None = None

    @cached_property
    def means(self) -> list[Any]:
        """For each unfished species: coefficients -> expectation, (n, nodes)."""
        means = [
            spline.expectation(self.species.noise, self.median[:, k], self.tried[:, k])
            for k, spline in zip(range(self.species.fished, 3), self.splines, strict=True)
        ]
        if len(means) == 2:
            means[0] = means[0].toarray()
        return means

    def best(self, t: int, later: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The best S_F in year t, (*nodes, fished), and g_t, (*nodes)."""
        worth = self.worth(t, later)
        worth = worth.reshape(len(self.choices), *(len(s.nodes) for s in self.splines))
        return self.choices[worth.argmax(axis=0)], worth.max(axis=0)

    def worth(self, t: int, later: np.ndarray | None) -> np.ndarray:
        """What is maximised in year t, (n,); `later` is g_{t+1}, None in the last year."""
        landed, live = self._fished(t)
        penalty = self.species.extinction_penalty / (t + 1)
        worth = -self.cost - penalty * (1.0 - live * self.survival)
        if later is not None:
            worth += landed * self.survival + live * self._future(later)
        return worth

    def _fished(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the fished species: E[sum N' 1{they live}] and P(they live), (n,)."""
        median = self.species.grown(self.tried, float(t))
        key = float(median[-1, 0])  # the growth of X, and nothing else, may change with the year
        if self._drawn is None or self._drawn[0] != key:
            noise, cut = self.species.noise, self.species.extinct_below
            live, means = [], []
            for k in range(self.species.fished):
                m, s = median[:, k], self.tried[:, k]
                live.append(1.0 - noise.cdf(m, s, cut))
                means.append(noise.call_price(m, s, cut) + cut * live[-1])
            both = np.prod(live, axis=0)
            landed = means[0] if len(live) == 1 else means[0] * live[1] + means[1] * live[0]
            self._drawn = key, landed, both
        return self._drawn[1:]

    def _future(self, later: np.ndarray) -> np.ndarray:
        """E[g(N_U') 1{they live}], (n,)."""
        first = self.splines[0].to_coefficients
        if len(self.means) == 1:
            future: np.ndarray = self.means[0] @ (first @ later)
            return future
        coefficients = first @ later @ self.splines[1].to_coefficients.T
        return np.einsum("nj,nj->n", self.means[0], self.means[1] @ coefficients.T)


def _at_start(splines: list[LogCubic], g: np.ndarray, start: np.ndarray) -> float:
    """E g_0 over the random start of the unfished species."""
    points, weights = np.polynomial.hermite_e.hermegauss(9)
    weights = weights / weights.sum()
    for spline, x in zip(splines, start, strict=True):
        g = np.tensordot(weights @ spline.interpolation(x + START_SD * points), g, axes=1)
    return float(g)
