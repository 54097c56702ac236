"""Exact dynamic programming for a stock whose growth changes from year to year, as announced.

The backup of `dp.py` with another transition law each year, all on one grid: q stays linear between
the same nodes for the optimum and for every evaluated policy, so that none exceeds the optimum.
A year's matrix is made when it is needed and then forgotten, since a century of them fills memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlopt.theory.dp import HarvestSolution
from rlopt.theory.grid import Grid
from rlopt.theory.harvest import HarvestProblem, Kernel


@dataclass(frozen=True, eq=False)
class ScheduleSolution(HarvestSolution):
    """The optimum on one grid.

    Attributes:
        problems: one a year; they differ in growth alone.
    """

    problems: tuple[HarvestProblem, ...]

    def _kernel_in(self, year: int) -> Kernel:
        problem = self.problems[year]
        return self._plain if problem == self.kernel.problem else Kernel(problem, self.grid)


def solve_schedule(problems: Sequence[HarvestProblem], grid: Grid) -> ScheduleSolution:
    """Backward induction.

    Args:
        problems: one a year, each with that many years as its horizon.
        grid: of stocks and escapements.

    Raises:
        ValueError: the horizon is not the number of problems.
    """
    years = len(problems)
    if any(problem.horizon != years for problem in problems):
        raise ValueError(
            f"a schedule needs one problem for each of its years, got {years} problems with "
            f"horizons {sorted({problem.horizon for problem in problems}, key=str)}"
        )
    solution = ScheduleSolution(
        kernel=Kernel(problems[0], grid),
        q=np.empty((years, len(grid.nodes))),
        residual=0.0,
        problems=tuple(problems),
    )
    q = -grid.nodes
    for year in range(years - 1, -1, -1):
        kernel = solution._kernel_in(year)
        if year < years - 1:
            q = kernel.worth(grid.nodes + np.maximum.accumulate(q))
        q = q - kernel.penalty(year)
        solution.q[year] = q
    return solution
