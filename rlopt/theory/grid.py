"""A grid of stocks with exact expectations of piecewise linear functions on it.

The next stock is random, x' given s, and a function V that is linear between nodes has
E[V(x')] = sum_j w_j V_j with weights that are second differences of the "call prices"
I_k = E[(x' - x_k)^+]: exact, without a quadrature rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

Price = Callable[[np.ndarray], np.ndarray]  # strike (1, m) -> E[(y - strike)^+], (n, m)


@dataclass(frozen=True, eq=False)
class Grid:
    """Nodes from 0 to `top` in one or two pieces of equal spacing, so that a cell is arithmetic.

    Args:
        cut: a node; below it lie `below` equal cells (0: the grid has one piece and cut is 0).
        below: number of cells in [0, cut].
        width: spacing above the cut.
        above: number of cells above the cut.
    """

    cut: float
    below: int
    width: float
    above: int

    @classmethod
    def through(cls, *, top: float, nodes: int, cut: float = 0.0, hit: float | None = None) -> Grid:
        """About `nodes` nodes that cover [0, top], also at `cut` and (not next to it) at `hit`."""
        cells = nodes - 1
        below = 0 if cut == 0.0 else min(max(1, round(cells * cut / top)), cells - 1)
        above = cells - below
        if hit is None or not cut < hit < top:
            return cls(cut, below, (top - cut) / above, above)
        # The smallest spacing that divides (hit - cut) with at most `above` cells to the top.
        steps = int(above * (hit - cut) / (top - cut))
        if not steps:  # within the first cell: a node there would ask for far too many
            return cls(cut, below, (top - cut) / above, above)
        width = (hit - cut) / steps
        return cls(cut, below, width, int(np.ceil((top - cut) / width - 1e-9)))

    @cached_property
    def nodes(self) -> np.ndarray:
        """Ascending, nodes[0] = 0."""
        upper = self.cut + self.width * np.arange(self.above + 1)
        lower = np.linspace(0.0, self.cut, self.below, endpoint=False)
        return np.concatenate([lower, upper])

    @cached_property
    def _inverse_widths(self) -> np.ndarray:
        return 1.0 / np.diff(self.nodes)

    def cell(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Index of the cell that holds x and the fraction of it below x; exactly 0 at a node.

        Above the top the last cell is extended (the fraction exceeds 1).
        """
        # The nudge puts a node, whatever its rounding, into the cell that it begins.
        place = (x - self.cut) * (1.0 / self.width) + (self.below + 1e-9)
        if self.below:
            place = np.where(x < self.cut, x * (self.below / self.cut) + 1e-9, place)
        index = np.minimum(place.astype(np.intp), len(self.nodes) - 2)
        fraction = (x - self.nodes.take(index)) * self._inverse_widths.take(index)
        return index, fraction

    def interpolate(self, values: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Values at nodes -> values at x, linear between nodes."""
        index, fraction = self.cell(x)
        low = values.take(index)
        return low + fraction * (values.take(index + 1) - low)

    def interpolation(self, x: np.ndarray) -> sparse.csr_array:
        """The matrix A with A @ values = interpolate(values, x), for x of shape (n,)."""
        index, fraction = self.cell(x)
        rows = np.arange(len(x)).repeat(2)
        columns = np.stack([index, index + 1], axis=1).ravel()
        weights = np.stack([1.0 - fraction, fraction], axis=1).ravel()
        return sparse.csr_array((weights, (rows, columns)), shape=(len(x), len(self.nodes)))

    def expectation(
        self, price: Price, survival: np.ndarray, first: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights of E[V(y) 1{y > y_0}], y_0 = nodes[first], for a V that is linear between nodes.

        Args:
            price: call prices of y, strikes (1, m) -> (n, m).
            survival: P(y > y_0), (n,).
            first: index of the first node that counts.

        Returns:
            Weights (n, nodes), zero below the first, and the excess E[(y - top)^+], (n,): above
            the top V goes on with some slope, which adds slope * excess.
        """
        nodes = self.nodes[first:]
        prices = price(nodes[None, :])
        slopes = (prices[:, :-1] - prices[:, 1:]) / np.diff(nodes)
        weights = np.zeros((len(prices), len(self.nodes)))
        active = weights[:, first:]
        active[:, 0] = survival - slopes[:, 0]
        active[:, 1:-1] = slopes[:, :-1] - slopes[:, 1:]
        active[:, -1] = slopes[:, -1]
        return weights, prices[:, -1]
