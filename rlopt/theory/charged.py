"""The harvest of a stock with a charge for its collapse, for many charges at once.

The charge depends on the escapement alone, as next year's stock does, so that a backup is still a
matrix product and a running maximum. After a collapse, and after the T years of the charge, the
unconstrained optimum is worth W. With V and P of the policy carried side by side,

    v_t(s) = gamma (E[V_{t+1}(x') 1{x' > threshold}] + E[W_{t+1}(x') 1{x' <= threshold}]) - s,
    p_t(s) = P(x' <= threshold | s) + E[P_{t+1}(x') 1{x' > threshold}],

year t maximises v_t(s) - lam gamma^-t p_t(s) over s <= x: probabilities are not discounted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from rlopt.theory.dp import HarvestSolution


class Policies(NamedTuple):
    """What a sweep finds for m multipliers.

    Attributes:
        worth: (years, nodes, m), v_t - lam gamma^-t p_t.
        best: (m,), value from x0 of the policy that is free for ever after a collapse.
        value: (m,), value from x0 of the one that remembers nothing.
        probability: (m,), of a collapse.
    """

    worth: np.ndarray
    best: np.ndarray
    value: np.ndarray
    probability: np.ndarray

    def column(self, k: int) -> Policies:
        """Those of one multiplier."""
        return Policies(*(part[..., k : k + 1] for part in self))


@dataclass(frozen=True, eq=False)
class ChargedProgramme:
    """A problem whose first years are split at the threshold.

    Attributes:
        free: the unconstrained optimum.
        x0: stock at the start [biomass], above the threshold.
        threshold: stock [biomass] at or below which it has collapsed.
        edge: index of the node at the threshold.
        years: T >= 1, at most the horizon.
    """

    free: HarvestSolution
    x0: float
    threshold: float
    edge: int
    years: int

    @cached_property
    def falls(self) -> np.ndarray:
        """P(x' <= threshold | s), (nodes,)."""
        problem, s = self.free.kernel.problem, self.free.grid.nodes
        return problem.noise.cdf(problem.growth(s), s, self.threshold)

    @cached_property
    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights of V below, (nodes, edge + 1), and above the threshold, (nodes, nodes - edge).

        They part the weight of the node at the threshold, since those above it sum to P(x' above).
        """
        weights = self.free.kernel.weights
        above = weights[:, self.edge :].copy()
        above[:, 0] = 1.0 - self.falls - above[:, 1:].sum(axis=1)
        below = weights[:, : self.edge + 1].copy()
        below[:, -1] -= above[:, 0]
        return below, above

    def sweep(self, prices: np.ndarray) -> Policies:
        """Backward induction for m prices lam >= 0 [biomass], some of which may be infinite."""
        gamma, shape = self.free.kernel.problem.gamma, (len(self.free.grid.nodes), len(prices))
        worth = np.empty((self.years, *shape))
        final = self.free.q[min(self.years, len(self.free.q)) - 1]
        columns = np.stack([np.broadcast_to(c[:, None], shape) for c in (final, final, self.falls)])
        for year in range(self.years - 1, -1, -1):
            worth[year] = _less_charge(columns[0], columns[2], prices * gamma**-year)
            choice = _running_argmax(worth[year])
            if year:
                columns = self._before(columns, choice, year - 1)
        best, value, risk = (self._start(worth[0], choice, column) for column in columns)
        return Policies(worth, self.x0 + best, self.x0 + value, np.clip(risk, 0.0, 1.0))

    def _before(self, columns: np.ndarray, choice: np.ndarray, year: int) -> np.ndarray:
        """At the escapements of a year, from the year after it.

        Args:
            columns: (3, nodes, m): v with the memory of a collapse, v without, and p, at the
                escapements of next year.
            choice: (nodes, m), which of them next year's stocks above the threshold leave.
            year: 0-based.
        """
        kernel, nodes, edge = self.free.kernel, self.free.grid.nodes, self.edge
        below, above = self.split
        row = min(year + 1, len(self.free.q) - 1)
        stocks = nodes[: edge + 1, None]
        after = np.take_along_axis(columns, choice[None], axis=1)[:, edge:]
        after[:2] += nodes[edge:, None]
        grown = above @ after
        grown[0] += below @ (stocks + self.free.best[row, : edge + 1, None])
        grown[1] += below @ (stocks + columns[1, self.free.best_node[row, : edge + 1]])
        grown[:2] *= kernel.problem.gamma
        grown[:2] += (kernel.problem.gamma * kernel.excess - nodes - kernel.penalty(year))[:, None]
        grown[2] += self.falls[:, None]
        return grown

    def _start(self, worth: np.ndarray, choice: np.ndarray, column: np.ndarray) -> np.ndarray:
        """What columns (nodes, m) are at the escapements of x0, (m,)."""
        cell, part = (a[0] for a in self.free.grid.cell(np.array([self.x0])))

        def wait(table: np.ndarray) -> np.ndarray:
            return table[cell] + part * (table[cell + 1] - table[cell])

        best = choice[cell][None]
        harvested, waits = (np.take_along_axis(table, best, 0)[0] for table in (column, worth))
        return np.where(wait(worth) >= waits, wait(column), harvested)


def _less_charge(value: np.ndarray, risk: np.ndarray, price: np.ndarray) -> np.ndarray:
    """Value less price times risk, (nodes, m); of an infinite price the risk alone counts."""
    known = np.isfinite(price)
    return np.where(known, value - np.where(known, price, 0.0) * risk, -risk)


def _running_argmax(table: np.ndarray) -> np.ndarray:
    """(nodes, m): where the columns attain their maximum up to each node; of equals the last."""
    best = np.maximum.accumulate(table, axis=0)
    places = np.where(table == best, np.arange(len(table))[:, None], 0)
    return np.maximum.accumulate(places, axis=0)
