"""Exact dynamic programming for the harvest of one stock.

Each year the manager leaves the escapement s <= x and lands x - s; the stock grows to
x' ~ growth(s) with noise. Since x' depends on s alone (fisheries notes, section 2.10),

    V(x) = x + max_{0 <= s <= x} q(s),    q(s) = gamma E[V(x') | s] - s,

so one backup is a matrix product and a running maximum, and the best escapement never decreases
with the stock. V is linear between nodes and expectations are exact (`grid.py`). q is linear
between nodes too, for the optimum and for every evaluated policy alike: therefore no evaluated
policy ever exceeds the optimum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import linalg, optimize, sparse

from rlopt.theory.checks import finite, whole
from rlopt.theory.grid import Grid, Nodes
from rlopt.theory.harvest import HarvestProblem, Kernel
from rlopt.theory.played import Escapement, Move, Plan, Played

__all__ = [
    "HarvestProblem",
    "HarvestSolution",
    "Kernel",
    "collapse_probability",
    "solve_harvest",
    "solve_on_grid",
]

NODES = 751  # equally spaced ones of the finest grid, unless told otherwise


@dataclass(frozen=True, eq=False)
class HarvestSolution:
    """The optimum on one grid.

    Attributes:
        kernel: the transition law.
        q: (years, nodes), gamma E[V(x') | s] - s and the expected penalty; one row if stationary.
        residual: what one more backup would change, summed over the future.
    """

    kernel: Kernel
    q: np.ndarray
    residual: float

    @property
    def grid(self) -> Nodes:
        """The grid of stocks and escapements."""
        return self.kernel.grid

    @cached_property
    def best(self) -> np.ndarray:
        """(years, nodes): max of q up to each node."""
        return np.maximum.accumulate(self.q, axis=1)

    @cached_property
    def best_node(self) -> np.ndarray:
        """(years, nodes): where that maximum is attained; of equals the last."""
        places = np.where(self.q == self.best, np.arange(self.q.shape[1]), 0)
        return np.maximum.accumulate(places, axis=1)

    @cached_property
    def exponent(self) -> np.ndarray:
        """(years,): V(x) ~ x^exponent below the lowest positive node.

        Known for an endless task; with a finite horizon taken from the two lowest nodes, since it
        changes from year to year, down to the last, which lands all.
        """
        problem = self.kernel.problem
        if problem.horizon is None:
            return np.full(len(self.q), problem.exponent)
        low, high = self.grid.nodes[1:3]
        values = self.grid.nodes[1:3] + self.best[:, 1:3]
        slope = np.log(values[:, 1] / values[:, 0]) / np.log(high / low)
        return np.clip(slope, 1e-6, 1.0)

    @cached_property
    def _plain(self) -> Kernel:
        """For policies other than the optimum, whose value near 0 is no power: linear there."""
        kernel = self.kernel
        return kernel if kernel.exponent == 1.0 else replace(kernel, exponent=1.0)

    def _look_up(self, x: np.ndarray, year: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flat index into (years, nodes) of the cell that holds x, and q(x), like x.

        Years beyond the table repeat its last row.
        """
        cell, fraction = self.grid.cell(x)
        index = cell
        if len(self.q) > 1:
            row = np.minimum(np.asarray(year).astype(np.intp), len(self.q) - 1)
            index = cell + row * self.q.shape[1]
        low = self.q.take(index)
        q = low + fraction * (self.q.take(index + 1) - low)
        if self._bends:
            tiny = cell == 0
            if tiny.any():
                q[tiny] = self._near_zero(fraction[tiny], index[tiny])
        return index, q

    @cached_property
    def _bends(self) -> bool:
        """Whether V is more than a line below the lowest positive node."""
        return not self.grid.cut and bool((self.exponent < 1.0).any())

    def _near_zero(self, fraction: np.ndarray, index: np.ndarray) -> np.ndarray:
        """q(x) from V(x) = V(x_1) (x / x_1)^exponent, fraction = x / x_1."""
        first = self.grid.nodes[1]
        value = first + self.q.take(index + 1)
        power = fraction ** self.exponent.take(index // self.q.shape[1])
        return value * power * (fraction > 0.0) - first * fraction

    def worth(self, s: np.ndarray, year: int | np.ndarray = 0) -> np.ndarray:
        """q(s), like s: what leaving it is worth later, less what it is worth now."""
        return self._look_up(s, year)[1]

    def value_at(self, x: np.ndarray, year: int | np.ndarray = 0) -> np.ndarray:
        """V(x) = x + max_{s <= x} q(s), (n,): optimal expected discounted catch from stock x on."""
        index, q = self._look_up(x, year)
        return x + np.maximum(self.best.take(index), q)

    def escapement(self, x: np.ndarray, year: int | np.ndarray = 0) -> np.ndarray:
        """The best escapement, (n,): x itself where waiting is best, else a node."""
        index, q = self._look_up(x, year)
        wait = q >= self.best.take(index)
        return np.where(wait, x, self.grid.nodes.take(self.best_node.take(index)))

    def regret(self, x: np.ndarray, s: np.ndarray, year: int | np.ndarray = 0) -> np.ndarray:
        """The optimality gap max_{s' <= x} q(s') - q(s) of leaving s of x, >= 0 (notes, T4)."""
        # One look-up for both, since its fixed cost is what a single stock pays.
        index, (at_stock, at_escapement) = self._look_up(np.array([x, s]), year)
        return np.maximum(self.best.take(index[0]), at_stock) - at_escapement

    def evaluate(self, escapement: Escapement, x: np.ndarray) -> np.ndarray:
        """Exact value of a memoryless policy from the stocks x, (n,) (notes, T5).

        Args:
            escapement: (stocks, year) -> intended escapements; see `Played`. On an endless task a
                policy that changes with the years must be a `Plan`, which says how long it does.
            x: (n,) stocks; the policy acts once exactly there, then on the grid.
        """
        problem, nodes = self.kernel.problem, self.grid.nodes
        years = problem.years()
        if problem.horizon is None and isinstance(escapement, Plan):
            years = max(years, escapement.years)
        played = Played(self.grid, problem.implementation, escapement, nodes)
        q = self._stationary(played.in_year(years)) if problem.horizon is None else -nodes
        for year in range(years - 1, -1, -1):
            kernel = self._kernel_in(year)
            if year < years - 1 or problem.horizon is None:
                move = played.in_year(year + 1)
                q = kernel.worth(nodes + move.mix @ q, move.slope)
            q = q - kernel.penalty(year)
        first = Played(self.grid, problem.implementation, escapement, x).in_year(0)
        return x + first.mix @ q

    def _kernel_in(self, year: int) -> Kernel:
        """The transition law of a year, for policies other than the optimum."""
        return self._plain

    def _stationary(self, move: Move) -> np.ndarray:
        """The worth q of a policy that is the same every year, penalty-free: one linear system.

        V = x + A q and q = gamma (W V + slope excess) - s, where only the escapements that A uses
        are unknown: a policy that leaves little, or always the same, makes a small system.
        """
        kernel, nodes, gamma = self._plain, self.grid.nodes, self.kernel.problem.gamma
        mix = sparse.csc_array(move.mix)
        used = np.flatnonzero(np.diff(mix.indptr))
        mix, rows = mix[:, used], kernel.weights[used]
        system = -gamma * (mix.T @ rows.T).T
        np.fill_diagonal(system, system.diagonal() + 1.0)
        constant = gamma * (rows @ nodes + move.slope * kernel.excess[used]) - nodes[used]
        solved = linalg.solve(system, constant, check_finite=False)
        return kernel.worth(nodes + mix @ solved, move.slope)


def solve_harvest(problem: HarvestProblem, nodes: int = NODES) -> tuple[HarvestSolution, ...]:
    """The optimum on about `nodes` nodes, on half and on a quarter as many, for the grid error.

    Each grid has a node at the best escapement of the coarser one, polished on the continuum (the
    coarsest at the deterministic optimum).
    """
    best = problem.growth.reference_points(problem.gamma * _mean_factor(problem)).S_msy
    solutions = []
    for share in (4, 2, 1):
        grid = Grid.through(
            top=problem.top,
            nodes=nodes // share,
            cut=problem.extinct_below,
            hit=best,
            finest=problem.finest,
            knee=problem.knee,
        )
        solutions.append(solve_on_grid(problem, grid))
        best = polished_escapement(solutions[-1])
    return tuple(reversed(solutions))


def _mean_factor(problem: HarvestProblem) -> float:
    """E[x'] / f(s) where one unit of escapement is left: exact for multiplicative noises."""
    one = np.ones(1)
    return float(problem.noise.mean(one, one)[0])


def polished_escapement(solution: HarvestSolution) -> float:
    """The escapement of a large stock in the first year, optimised between nodes too."""
    grid, kernel = solution.grid, solution.kernel
    node = int(solution.best_node[0, -1])
    value = grid.nodes + solution.best[min(1, len(solution.best) - 1)]
    if kernel.problem.horizon == 1:
        value = np.zeros_like(value)

    def loss(s: float) -> float:
        weights, excess = kernel.rows(np.array([s]))
        penalty = kernel.problem.extinction_penalty * kernel.loss_at(np.array([s]))
        future = kernel.problem.gamma * (weights @ value + excess)
        return float((s - future + penalty)[0])

    bounds = grid.nodes[max(node - 1, 0)], grid.nodes[min(node + 1, len(grid.nodes) - 1)]
    found = optimize.minimize_scalar(
        loss, bounds=bounds, method="bounded", options={"xatol": 1e-10}
    )
    return float(found.x) if found.fun < loss(float(grid.nodes[node])) else float(grid.nodes[node])


def solve_on_grid(problem: HarvestProblem, grid: Nodes) -> HarvestSolution:
    """Policy iteration for an endless task, then backward induction where the years differ."""
    exponent = problem.exponent if problem.horizon is None else 1.0
    kernel, years = Kernel(problem, grid, exponent), problem.years()
    if problem.horizon is None:
        q, residual = _policy_iteration(kernel)
    else:
        q, residual = -grid.nodes, 0.0
    if not years:
        return HarvestSolution(kernel, q[None], residual)
    table = np.empty((years, len(q)))
    for year in range(years - 1, -1, -1):
        if year < years - 1 or problem.horizon is None:
            q = kernel.worth(grid.nodes + np.maximum.accumulate(q))
        q = q - kernel.penalty(year)
        table[year] = q
    return HarvestSolution(kernel, table, residual)


def _policy_iteration(
    kernel: Kernel, sweeps: int = 30, most: int = 200
) -> tuple[np.ndarray, float]:
    """The penalty-free stationary optimum's q, and the error bound |TV - V| / (1 - gamma).

    A few sweeps of value iteration give the first policy. A policy is a non-decreasing map from
    nodes to nodes, so that only the escapements that it uses are unknowns: linear systems stay
    small, since one escapement serves all large stocks.
    """
    gamma, nodes = kernel.problem.gamma, kernel.grid.nodes
    q = kernel.worth(nodes)
    for _ in range(sweeps):
        q = kernel.worth(nodes + np.maximum.accumulate(q))
    for _ in range(most):
        used, first = _policy_nodes(q)
        rows = kernel.weights[used]
        # V = x + q[policy(x)]: columns with the same escapement act as one.
        system = np.eye(len(used)) - gamma * np.add.reduceat(rows, first, axis=1)
        constant = gamma * (rows @ nodes + kernel.excess[used]) - nodes[used]
        solved = np.linalg.solve(system, constant)
        value = nodes + np.repeat(solved, np.diff(np.append(first, len(nodes))))
        q = kernel.worth(value)
        residual = float(np.abs(np.maximum.accumulate(q) + nodes - value).max())
        if residual <= 1e-12 * (1.0 + float(np.abs(value).max())):
            return q, residual / (1.0 - gamma)
    raise ArithmeticError(
        f"policy iteration did not converge in {most} steps (residual {residual:.3g}): "
        "the growth map or the noise gave inconsistent expectations"
    )


def _policy_nodes(q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct greedy escapements (node indices) and the first stock that uses each."""
    best = np.maximum.accumulate(q)
    choice = np.maximum.accumulate(np.where(q == best, np.arange(len(q)), 0))
    return np.unique(choice, return_index=True)


def collapse_probability(
    fishery: Any,
    policy: Any,
    x0: Any,
    years: int,
    threshold: float,
    *,
    ever: bool = False,
    nodes: int = 2 * NODES,
) -> Any:
    """Exact P(stock <= threshold at the end of year `years`) under a memoryless policy.

    Args:
        fishery: with a HarvestProblem `problem` and `memoryless(policy)`, which gives the policy's
            escapements; a stock that its `extinct_below` declares lost stays lost.
        policy: an Agent, or a function stock (n,) -> escapement (n,).
        x0: stock at the start [biomass], a number or (n,).
        years: harvests until then, >= 0.
        threshold: stock [biomass], >= 0.
        ever: at the end of any year until then, instead of the last.
        nodes: of the grid.

    Returns:
        A probability like x0, a number or (n,).

    Raises:
        TypeError, ValueError: a bad argument, or a fishery with observation error.
    """
    start = np.atleast_1d(np.asarray(x0, dtype=np.float64))
    if not (np.isfinite(start) & (start >= 0.0)).all() or start.ndim != 1:
        raise ValueError(f"x0 must be finite stocks >= 0, a number or (n,), got {x0!r}")
    owner = "collapse_probability"
    years, nodes = whole(owner, "years", years, 0), whole(owner, "nodes", nodes, 3)
    threshold = finite(owner, "threshold", threshold)
    if not 0.0 <= threshold < fishery.problem.top:
        raise ValueError(
            f"{owner}: threshold must be in [0, {fishery.problem.top}), got {threshold!r}"
        )
    escapement, lost = fishery.memoryless(policy), fishery.problem.extinct_below
    lost = max(threshold, lost) if ever or threshold <= lost else lost
    problem = replace(fishery.problem, extinct_below=lost)
    kernel = Kernel(
        problem, Grid.through(top=problem.top, nodes=nodes, cut=lost, knee=problem.knee)
    )
    s = kernel.grid.nodes.copy()
    # An empty sea stays empty, next to nothing may recover: node 0 stands for the latter.
    s[0] = 1e-6 * s[1]
    weights, loss = kernel.rows(s)[0], kernel.loss_at(s)
    collapsed = (start <= max(threshold, lost)).astype(float)
    later = problem.noise.cdf(problem.growth(s), s, max(threshold, lost))  # of the last year
    played = Played(kernel.grid, problem.implementation, escapement, s)
    for year in range(years - 1, 0, -1):
        later = loss + weights @ _before(played.in_year(year), later)
    if years:
        first = Played(kernel.grid, problem.implementation, escapement, start).in_year(0)
        probability = _before(first, later)
    else:
        probability = collapsed
    if ever:
        probability = np.maximum(probability, collapsed)
    return float(probability[0]) if np.ndim(x0) == 0 else probability


def _before(move: Move, later: np.ndarray) -> np.ndarray:
    """Collapse probabilities at stocks, from those at the escapements; an empty sea stays empty."""
    return np.clip(move.mix @ later + move.emptied * (1.0 - later[0]), 0.0, 1.0)
