"""The largest expected discounted catch that keeps the probability of collapse below eps.

A stock collapses when it is at or below a threshold at the end of one of the first T years. Charge
lam for that (notes, section 6; a Lagrangian over the exact dynamic programme):

    max over policies of  V - lam P,    V = E sum_t gamma^t h_t,    P = P(collapse within T years).

For every lam >= 0, max (V - lam P) + lam eps bounds V of any policy with P <= eps, random or not:
of the stock on the grid, that is, and of the true one up to the error of the grid.
The least such bound is attained by a lottery between two policies, one on either side of eps, whose
Lagrangians agree; `safe_harvest` finds both, by cutting planes, and returns the safer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor, log10
from typing import NamedTuple

import numpy as np

from rlopt.theory.charged import ChargedProgramme, Policies
from rlopt.theory.checks import fraction, nonnegative, positive, whole
from rlopt.theory.dp import NODES, HarvestProblem, HarvestSolution, solve_on_grid
from rlopt.theory.grid import SPAN, Grid

__all__ = ["SafeHarvest", "TradeOff", "safe_harvest", "trade_off"]

CUTS = 100  # most multipliers that a search may try
TIE = 1e-12  # relative difference of two Lagrangians that are equal but for rounding
ROUNDING = 1e-11  # of a probability: the weights of a grid are differences of prices


class _Charged(HarvestSolution):
    """A table of q less the charge, which bends nowhere: nobody asks next to nothing for it."""

    @cached_property
    def exponent(self) -> np.ndarray:
        """(years,): 1."""
        return np.ones(len(self.q))


@dataclass(frozen=True, eq=False)
class SafeHarvest:
    """A policy that keeps a promise, and what the promise costs.

    Below the threshold, and after the last year of the promise, it plays the unconstrained
    optimum; above, the escapement that weighs catch against collapse. It remembers nothing, so
    that a stock which has come back from below is guarded again.

    Attributes:
        free: the unconstrained optimum, on a grid with a node at the threshold.
        charged: q of each year, less the charge of a collapse.
        threshold: stock [biomass] at or below which the stock has collapsed.
        multiplier: price lam of a collapse [biomass], the slope of the trade-off at eps.
        value: expected discounted catch of this policy from x0 [biomass].
        probability: of a collapse within the years of the promise, of this policy from x0.
        dual_bound: no policy with P <= eps is worth more on this grid [biomass]; of the true stock
            it holds up to the error of the grid, and more nodes tighten it.
    """

    free: HarvestSolution
    charged: HarvestSolution
    threshold: float
    multiplier: float
    value: float
    probability: float
    dual_bound: float

    def escapement(self, x: np.ndarray, year: int | np.ndarray = 0) -> np.ndarray:
        """Stocks (n,) in a year (or years (n,)) -> escapements (n,) [biomass].

        A finite horizon makes them depend on the year: to evaluate them exactly there, pass the
        agent `safe_harvest`, which sees the year, not this function.
        """
        free, charged = self.free.escapement(x, year), self.charged.escapement(x, year)
        # At the threshold itself, where nature never stops, the limit from above: what solvers on a
        # grid with a node there (up to rounding) make of a stock that has not collapsed.
        return np.where(x < self.threshold * (1.0 - 1e-12), free, charged)


class TradeOff(NamedTuple):
    """Policies from bold to safe, each (n,).

    Attributes:
        multiplier: price of a collapse [biomass], ascending.
        value: expected discounted catch [biomass].
        probability: of a collapse within the years, falling.
    """

    multiplier: np.ndarray
    value: np.ndarray
    probability: np.ndarray


def safe_harvest(
    problem: HarvestProblem,
    x0: float,
    *,
    threshold: float,
    years: int,
    eps: float,
    nodes: int = NODES,
) -> SafeHarvest:
    """Maximise V = E sum gamma^t h_t subject to P(collapse within `years`) <= eps.

    Args:
        problem: what to solve; with perfect implementation.
        x0: stock at the start [biomass], above the threshold.
        threshold: see `SafeHarvest`; at least `problem.extinct_below`.
        years: T >= 1, at most the horizon.
        eps: in [0, 1]; kept up to rounding, 1e-11.
        nodes: of the grid, about.

    Raises:
        TypeError, ValueError: a bad argument, or an eps that no policy attains (the least
            probability is named).
    """
    eps = fraction("safe_harvest", "eps", eps)
    programme = _programme("safe_harvest", problem, x0, threshold, years, nodes)
    ends = programme.sweep(np.array([0.0, np.inf]))
    bold, least = (ends.column(k) for k in (0, 1))
    if bold.probability[0] <= eps + ROUNDING:
        return _result(programme, bold, 0.0, float(bold.best[0]))
    if least.probability[0] > eps + ROUNDING:
        raise ValueError(
            f"safe_harvest: eps={eps:g} cannot be attained: whatever is caught, the stock falls "
            f"to {threshold:g} or below within {years} years with a probability of at least "
            f"{least.probability[0]:.3g}; take eps >= {_above(least.probability[0])}, fewer years "
            "or a lower threshold"
        )
    return _search(programme, least, bold, eps)


def _above(probability: float) -> str:
    """Three digits, rounded up: an eps that can be attained."""
    step = 10.0 ** (floor(log10(probability)) - 2)
    return f"{min(ceil(probability / step) * step, 1.0):.3g}"


def trade_off(
    problem: HarvestProblem,
    x0: float,
    *,
    threshold: float,
    years: int,
    multipliers: np.ndarray | None = None,
    nodes: int = NODES,
) -> TradeOff:
    """The curve of catch against the probability of collapse.

    Args:
        problem: see `safe_harvest`, as for the others.
        x0: start [biomass].
        threshold: of a collapse [biomass].
        years: T.
        nodes: of the grid, about.
        multipliers: prices of a collapse [biomass], >= 0 (infinity: the least probability); by
            default 0, 48 over nine decades around the unconstrained value, and infinity.

    Raises:
        TypeError, ValueError: a bad argument.
    """
    programme = _programme("trade_off", problem, x0, threshold, years, nodes)
    if multipliers is None:
        value = programme.free.value_at(np.array([programme.x0]))[0]
        multipliers = np.array([0.0, *np.geomspace(1e-3, 1e6, 48) * value, np.inf])
    prices = np.sort(np.asarray(multipliers, dtype=np.float64).ravel())
    if not (prices >= 0.0).all():
        raise ValueError(f"trade_off: multipliers must be >= 0, got {multipliers!r}")
    found = programme.sweep(prices)
    return TradeOff(prices, found.value, found.probability)


def _search(programme: ChargedProgramme, safe: Policies, bold: Policies, eps: float) -> SafeHarvest:
    """Cutting planes for the least dual bound, from policies on either side of eps."""
    for _ in range(CUTS):
        lam = float((bold.best[0] - safe.best[0]) / (bold.probability[0] - safe.probability[0]))
        found = programme.sweep(np.array([lam]))
        total = found.best[0] - lam * found.probability[0]
        gain = total - (safe.best[0] - lam * safe.probability[0])
        if gain <= TIE * (1.0 + abs(total)):
            break
        if found.probability[0] <= eps + ROUNDING:
            safe = found
        else:
            bold = found
    return _result(programme, safe, lam, float(total + lam * eps))


def _result(programme: ChargedProgramme, found: Policies, lam: float, bound: float) -> SafeHarvest:
    """The policy of a sweep of one price, with the free years that follow it."""
    rest = programme.free.q[min(programme.years, len(programme.free.q) - 1) :]
    table = np.concatenate([found.worth[:, :, 0], rest])
    return SafeHarvest(
        free=programme.free,
        charged=_Charged(programme.free.kernel, table, programme.free.residual),
        threshold=programme.threshold,
        multiplier=lam,
        value=float(found.value[0]),
        probability=float(found.probability[0]),
        dual_bound=bound,
    )


def _programme(
    owner: str, problem: HarvestProblem, x0: float, threshold: float, years: int, nodes: int
) -> ChargedProgramme:
    """Check the arguments, and solve without the constraint on a grid that fits them."""
    if problem.implementation is not None:
        raise ValueError(f"{owner}: needs perfect implementation, got {problem.implementation!r}")
    x0 = nonnegative(owner, "x0", x0)
    threshold = positive(owner, "threshold", threshold)
    longest = np.inf if problem.horizon is None else problem.horizon
    years, nodes = whole(owner, "years", years, 1), whole(owner, "nodes", nodes, 3)
    if years > longest:
        raise ValueError(f"{owner}: years must be at most the horizon, {longest}, got {years}")
    cut = problem.extinct_below
    if not cut <= threshold < problem.knee:
        raise ValueError(
            f"{owner}: threshold must be in [{cut:g}, {problem.knee:g}), from extinct_below to "
            f"twice what the stock can grow to, got {threshold!r}"
        )
    if not threshold < x0 <= problem.top:
        raise ValueError(
            f"{owner}: x0 must be above the threshold {threshold:g}, at most {problem.top:g}, "
            f"got {x0!r}"
        )
    hit = None if threshold == cut else threshold
    grid = Grid.through(
        top=problem.top, nodes=nodes, cut=cut, hit=hit, finest=problem.finest, knee=problem.knee
    )
    edge = int(np.abs(grid.nodes - threshold).argmin())
    if abs(grid.nodes[edge] - threshold) > 1e-9 * problem.top:
        raise ValueError(
            f"{owner}: threshold {threshold:g} needs a finer grid, nodes > "
            f"{SPAN * problem.knee / (threshold - cut):.0f}, got {nodes}"
        )
    return ChargedProgramme(solve_on_grid(problem, grid), x0, threshold, edge, years)
