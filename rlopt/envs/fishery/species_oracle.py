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

The policy of that programme, with S held below N, is feasible: simulated, it is the lower end.

Numbers: g_t is a cubic spline in log N_U (`theory.cubic`), S runs over a grid. `tolerance` is the
change from half as many nodes and choices in each direction, while errors fall at least by four.
Left out is what lies beyond the grids: escapements above `MOST` and unfished stocks above `TOP`
times the capacities, which a stock exceeds with probability below 1e-6 (it then counts as at the
edge).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

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
EPISODES = 4_000  # of the simulation of the lower end
SEED = 20230801  # of its noise


@dataclass(frozen=True, eq=False, kw_only=True)
class SpeciesOracle(Oracle):
    """A bracket of the optimum.

    Attributes:
        value: the upper end; `lower` is what `policy` earned in a simulation, less four standard
            errors.
        policy: leaves what would be best if fish could be bought.
        regret: None: the gap of a single year is not known.
    """


@dataclass(frozen=True, eq=False)
class Relaxed:
    """The solution of the programme in which fish may be bought.

    Attributes:
        value: optimum from the start.
        escapement: (years, *nodes of the unfished, fished), the best S_F.
        axes: nodes of each unfished species.
    """

    value: float
    escapement: np.ndarray
    axes: tuple[np.ndarray, ...]


class SpeciesPolicy(FixedAgent):
    """Leaves of the fished species what the relaxed programme would, or all of a smaller stock."""

    def __init__(self, species: ThreeSpecies, relaxed: Relaxed) -> None:
        self.species, self.axes = species, relaxed.axes
        years = np.arange(len(relaxed.escapement))
        # one more, since the observation after the last harvest is asked about too
        table = np.concatenate([relaxed.escapement, relaxed.escapement[-1:]])
        axes = (np.append(years, len(years)), *(np.log(axis) for axis in relaxed.axes))
        self._escapement = RegularGridInterpolator(axes, table)

    def escapement(self, stocks: np.ndarray, year: np.ndarray) -> np.ndarray:
        """Stocks (n, 3) and years (n,) -> intended escapements (n, fished) [biomass]."""
        unfished = stocks.T[self.species.fished :]
        inside = [np.clip(x, a[0], a[-1]) for x, a in zip(unfished, self.axes, strict=True)]
        wanted: np.ndarray = self._escapement(np.stack([year, *np.log(inside)], axis=-1))
        return wanted

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Observations (n, 4) -> actions (n, fished); one observation (4,) -> (fished,)."""
        stocks, year = self.species.stocks_and_year(np.atleast_2d(observation))
        action = self.species.action_for(stocks, self.escapement(stocks, year))
        return (action if np.ndim(observation) == 2 else action[0]), state


def solve(species: ThreeSpecies) -> SpeciesOracle:
    """The bracket of a three-species fishery."""
    nodes, choices = SIZES[3 - species.fished]
    fine = relaxed_optimum(species, nodes, choices)
    half = relaxed_optimum(species, nodes // 2, choices // 2 + 1)
    tolerance = abs(fine.value - half.value)
    policy = SpeciesPolicy(species, fine)
    total = rollout(species, policy, EPISODES, SEED).total
    attained = float(total.mean() - ERRORS * total.std(ddof=1) / np.sqrt(EPISODES))
    upper = fine.value + tolerance
    return SpeciesOracle(
        value=OracleResult(
            value=upper,
            lower=min(attained, upper),
            upper=upper,
            method="dynamic programme in which fish may be bought; its policy, simulated",
            tolerance=tolerance,
            exact=False,
            note="upper bracket, fish may be bought",
        ),
        policy=policy,
    )


def relaxed_optimum(species: ThreeSpecies, nodes: int, choices: int) -> Relaxed:
    """Backward induction over the unfished species.

    Args:
        species: what is solved.
        nodes: of each unfished species.
        choices: escapements of each fished species.
    """
    cut, fished = species.extinct_below, species.fished
    tops = (TOP * species.Kx, TOP * species.Ky, SEEN)[fished:]
    splines = [LogCubic(cut, top, nodes) for top in tops]
    options = [np.linspace(0.0, MOST * k, choices) for k in (species.Kx, species.Ky)[:fished]]
    axes = (*options, *(spline.nodes for spline in splines))
    shape = tuple(map(len, axes))
    tried = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=-1)
    year = _Year(species, splines, tried)
    g = np.zeros(shape[fished:])
    best = np.empty((species.horizon, *g.shape, fished))
    chosen = np.array(list(product(*options)))
    for t in range(species.horizon - 1, -1, -1):
        worth = year.worth(t, None if t == species.horizon - 1 else g)
        worth = worth.reshape(len(chosen), *g.shape)
        best[t], g = chosen[worth.argmax(axis=0)], worth.max(axis=0)
    at_start = float(START[:fished].sum()) + _at_start(splines, g, START[fished:])
    return Relaxed(at_start, best, tuple(spline.nodes for spline in splines))


class _Year:
    """One step of the induction for all (escapements, unfished stocks) that are tried, (n, 3)."""

    def __init__(self, species: ThreeSpecies, splines: list[LogCubic], tried: np.ndarray) -> None:
        self.species, self.splines, self.tried = species, splines, tried
        self.cost = tried[:, : species.fished].sum(axis=1)
        # Growth of the unfished species does not depend on the year: only X's may.
        median, noise = species.grown(tried, 0.0), species.noise
        unfished = range(species.fished, 3)
        self.means = [
            spline.expectation(noise, median[:, k], tried[:, k])
            for k, spline in zip(unfished, splines, strict=True)
        ]
        if len(self.means) == 2:
            self.means[0] = self.means[0].toarray()
        survival = [1.0 - noise.cdf(median[:, k], tried[:, k], splines[0].cut) for k in unfished]
        self.survival = np.prod(survival, axis=0)
        self._drawn: tuple[float, np.ndarray, np.ndarray] | None = None

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
