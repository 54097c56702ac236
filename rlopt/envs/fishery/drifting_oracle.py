"""What a drifting fishery is worth: exact where the drift is known, else a bracket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rlopt.envs.core import Agent, Array, Oracle, OracleResult
from rlopt.envs.fishery.drifting import Drifting, DriftingState
from rlopt.envs.fishery.oracle import HarvestPolicy, PolicyLike
from rlopt.theory.dp import HarvestSolution
from rlopt.theory.grid import Grid
from rlopt.theory.harvest import HarvestProblem
from rlopt.theory.schedule import ScheduleSolution, solve_schedule

NODES = 161  # equally spaced ones of the finest grid
FINEST = 1e-4  # share of the largest stock down to which its nodes are geometric


@dataclass(frozen=True, eq=False, kw_only=True)
class DriftingOracle(Oracle):
    """The optimum of a drifting fishery.

    Attributes:
        value: exact where nothing is uncertain; else its upper end knows the scenario.
        policy: the best where nothing is uncertain; else what is best in the mean scenario.
        regret: of each transition, relative to the optimum that knows the scenario.
        drifting: what was solved.
        mean: the solution of the mean scenario.
        known: the solution of each scenario.
    """

    drifting: Drifting
    mean: ScheduleSolution
    known: tuple[ScheduleSolution, ...]

    def escapement(self, x: Any, t: int = 0) -> np.ndarray:
        """What `policy` leaves of stocks x (n,) in year t, (n,) [biomass]."""
        return self.mean.escapement(np.atleast_1d(np.asarray(x, float)), t)

    def evaluate(self, policy: PolicyLike, x: Any) -> np.ndarray:
        """Exact value of a memoryless policy from stocks x, (n,) -> (n,) [biomass].

        The mean over scenarios, none of which the policy sees.

        Args:
            policy: as in `HarvestOracle.evaluate`.
            x: (n,) stocks.
        """
        escapement = self.drifting.fishery.escapement_of(policy)
        x = np.atleast_1d(np.asarray(x, dtype=np.float64))
        values: np.ndarray = np.mean([one.evaluate(escapement, x) for one in self.known], axis=0)
        return values

    def policy_value(self, agent: Agent) -> float:
        """Exact value of an agent from x0."""
        return float(self.evaluate(agent, [self.drifting.fishery.x0])[0])


@dataclass(frozen=True, eq=False)
class DriftingRegret:
    """The optimality gap of each transition, relative to who knows the scenario (notes, T4).

    Attributes:
        solution: the years of all scenarios, one scenario after the other.
        horizon: years of each.
    """

    solution: HarvestSolution
    horizon: int

    def __call__(
        self, state: DriftingState, action: Array, next_state: DriftingState
    ) -> np.ndarray:
        """Transitions of n stocks -> (n,) [biomass]."""
        row = state.scenario * self.horizon + state.year
        return self.solution.regret(state.stock, next_state.escapement, row)


def solve(drifting: Drifting) -> DriftingOracle:
    """The optimum of each scenario, on a fine grid and on two coarser ones for its error."""
    schedules = [_problems(drifting, values) for values in drifting.values]
    grids = [_grid(drifting, schedules, share) for share in (1, 2, 4)]
    known, *coarser = ([solve_schedule(one, grid) for one in schedules] for grid in grids)
    central = _problems(drifting, drifting.mean_values)
    same = [one for one, problems in zip(known, schedules, strict=True) if problems == central]
    mean = same[0] if same else solve_schedule(central, grids[0])
    stacked = np.concatenate([one.q for one in known])
    oracle = DriftingOracle(
        value=OracleResult.closed_form(0.0),
        policy=HarvestPolicy(drifting.fishery, mean),
        regret=DriftingRegret(HarvestSolution(known[0].kernel, stacked, 0.0), drifting.horizon),
        drifting=drifting,
        mean=mean,
        known=tuple(known),
    )
    values = [_mean_value(drifting, solutions) for solutions in (known, *coarser)]
    return replace(oracle, value=_result(oracle, *values))


def _problems(drifting: Drifting, values: np.ndarray) -> list[HarvestProblem]:
    """One a year."""
    return [drifting.in_year(float(value)).problem for value in values]


def _grid(drifting: Drifting, schedules: Sequence[Sequence[HarvestProblem]], share: int) -> Grid:
    """One for all years of all scenarios, with a node at the best escapement of the first year.

    Coarser by `share` everywhere.
    """
    every = [problem for schedule in schedules for problem in schedule]
    first = drifting.fishery
    mean = float(first.noise.mean(np.ones(1), np.ones(1))[0])
    return Grid.through(
        top=max(problem.top for problem in every),
        nodes=NODES // share,
        cut=first.extinct_below,
        hit=first.growth.reference_points(first.gamma * mean).S_msy,
        finest=FINEST * share**3,
        knee=max(problem.knee for problem in every),
    )


def _mean_value(drifting: Drifting, solutions: Sequence[ScheduleSolution]) -> float:
    """The mean over scenarios of the optimum from x0."""
    start = np.array([drifting.fishery.x0])
    return float(np.mean([solution.value_at(start)[0] for solution in solutions]))


def _result(oracle: DriftingOracle, fine: float, half: float, quarter: float) -> OracleResult:
    """The value with its grid error: twice the change from half the nodes, or half the next."""
    tolerance = max(2.0 * abs(fine - half), 0.5 * abs(half - quarter)) + 1e-10 * abs(fine)
    known = oracle.known
    method = f"dynamic programme by year, {len(known[0].grid.nodes)} points"
    if len(known) == 1:
        return OracleResult(fine, fine - tolerance, fine + tolerance, method, tolerance, True)
    attained = oracle.policy_value(oracle.policy) - tolerance
    upper = fine + tolerance
    note = "upper bracket, known scenario"
    return OracleResult.bracket(attained, upper, method=method, tolerance=tolerance, note=note)
