"""A grid of stocks with exact expectations of piecewise linear functions on it.

The next stock is random, x' given s, and a function V that is linear between nodes has
E[V(x')] = sum_j w_j V_j with weights that are second differences of the "call prices"
I_k = E[(x' - x_k)^+]: exact, without a quadrature rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import Any

import numpy as np
from scipy import sparse

Price = Callable[[np.ndarray], np.ndarray]  # strikes (1, m) -> prices (n, m)


SPAN = 10  # the joint, in widths
RATIO = 1.05  # of neighbours below the joint and above the knee
FINER = 60, 500  # least and largest number of nodes below the joint: to 1 / 19, 3e-11 of it
LOG_RATIO = log(RATIO)
LOW = 0.02  # share of the top below which arbitrary nodes may be close to each other
NUDGE = 1e-9  # cells; puts a node, whatever its rounding, into the cell that it begins


class Nodes:
    """Any ascending nodes from 0 to the top.

    Args:
        nodes: (n,) ascending [biomass], n >= 3, nodes[0] = 0.

    Attributes:
        nodes: the same as float64.
        cut: the stock is lost at or below it; 0 for no such level.
        below: number of cells whose weights come from put prices, since they are small.

    Raises:
        ValueError: other nodes.
    """

    cut: float
    below: int

    def __init__(self, nodes: Any) -> None:
        given = np.array(nodes, dtype=np.float64)
        if given.ndim != 1 or len(given) < 3:
            raise ValueError(f"nodes must be of shape (n,), n >= 3, got shape {given.shape}")
        wrong = np.flatnonzero(~(np.isfinite(given[1:]) & (np.diff(given) > 0.0)))
        if given[0] != 0.0 or len(wrong):
            at = 0 if given[0] != 0.0 else int(wrong[0]) + 1
            raise ValueError(
                f"nodes must be finite and ascend from 0, got nodes[{at}] = {given[at]}"
            )
        self._given = given
        self.cut, self.below = 0.0, int(np.searchsorted(given, LOW * given[-1]))

    @property
    def first(self) -> int:
        """Index of the lowest node of a living stock (of 0 where nothing is lost before)."""
        return 0

    @cached_property
    def nodes(self) -> np.ndarray:
        """Ascending, nodes[0] = 0."""
        return self._given

    @cached_property
    def _inverse_widths(self) -> np.ndarray:
        return 1.0 / np.diff(self.nodes)

    def cell(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Index of the cell that holds x and the fraction of it below x; exactly 0 at a node.

        Above the top the last cell is extended (the fraction exceeds 1).
        """
        index = np.searchsorted(self.nodes, x, side="right") - 1
        index = np.clip(index, 0, len(self.nodes) - 2)
        fraction = (x - self.nodes.take(index)) * self._inverse_widths.take(index)
        return index, fraction

    def interpolate(self, values: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Values at nodes -> values at x, linear between nodes."""
        index, fraction = self.cell(x)
        low = values.take(index)
        return low + fraction * (values.take(index + 1) - low)

    def interpolation(self, x: np.ndarray) -> sparse.csr_array:
        """The matrix A with A @ values = mean over m of interpolate(values, x[m]), x (m, n)."""
        m, n = x.shape
        index, fraction = self.cell(x)
        rows = np.tile(np.arange(n), 2 * m)
        columns = np.stack([index, index + 1]).ravel()
        weights = np.stack([1.0 - fraction, fraction]).ravel() / m
        matrix = sparse.csr_array((weights, (rows, columns)), shape=(n, len(self.nodes)))
        matrix.eliminate_zeros()  # of escapements at nodes
        return matrix

    def expectation(
        self, call: Price, put: Price, loss: np.ndarray, first: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights of E[V(y) 1{y > y_0}], y_0 = nodes[first], for a V that is linear between nodes.

        A weight is the difference of two means of P(y <= k) over neighbouring cells, each a
        difference of prices: of puts below the joint, where they are small like the cells.

        Args:
            call: strikes (1, m) -> E[(y - strike)^+], (n, m).
            put: strikes (1, m) -> E[(strike - y)^+], (n, m).
            loss: P(y <= y_0), (n,).
            first: index of the first node that counts.

        Returns:
            Weights (n, nodes), zero below the first, and the excess E[(y - top)^+], (n,): above
            the top V goes on with some slope, which adds slope * excess.
        """
        low, high = self.nodes[first : self.below + 1], self.nodes[self.below :]
        calls = call(high[None, :])
        below = [np.diff(put(low[None, :]), axis=1) / np.diff(low)] if len(low) > 1 else []
        means = np.concatenate([*below, 1.0 + np.diff(calls, axis=1) / np.diff(high)], axis=1)
        weights = np.zeros((len(calls), len(self.nodes)))
        active = weights[:, first:]
        active[:, 0] = means[:, 0] - loss
        active[:, 1:-1] = np.diff(means, axis=1)
        active[:, -1] = 1.0 - means[:, -1]
        return weights, calls[:, -1]


@dataclass(frozen=True, eq=False)
class Grid(Nodes):
    """Nodes on [0, top], equally spaced between a joint and a knee: finding a cell is arithmetic.

    Below the joint they are geometric, since a stock that grows from next to nothing gains value
    like a power of its size. Where the stock is lost below a cut, that is the joint, and the lost
    part is equally spaced. Above the knee, where only luck leads, they are geometric too.

    Args:
        cut: the stock is lost at or below it; 0 for no such level.
        below: number of cells in [0, joint].
        width: spacing above the joint.
        above: number of cells from the joint to the knee.
        far: number of cells from the knee to the top.
    """

    cut: float
    below: int
    width: float
    above: int
    far: int = 0

    @classmethod
    def through(
        cls,
        *,
        top: float,
        nodes: int,
        cut: float = 0.0,
        hit: float | None = None,
        finest: float = 1.0,
        knee: float = np.inf,
    ) -> Grid:
        """About `nodes` equally spaced nodes up to the knee, with one at `cut` and one at `hit`.

        Where nothing is cut off, finer ones below them, if possible down to `finest` * top.
        """
        end = min(knee, top)
        cells = nodes - 1
        if cut == 0.0:
            width, skipped = end / cells, SPAN
            rungs = log(SPAN * width / top / finest) / LOG_RATIO
            below = int(np.clip(np.ceil(rungs), *FINER)) + 1
        else:
            below = min(max(1, round(cells * cut / end)), cells - 1)
            width, skipped = (end - cut) / (cells - below), 0
        if hit is not None and cut + SPAN * width < hit < end:
            # The largest spacing, not above the one so far, that divides hit - cut.
            width = (hit - cut) / np.ceil((hit - cut) / width - 1e-9)
        above = int(np.ceil((end - cut) / width - 1e-9)) - skipped
        far = max(0, int(np.ceil(log(top / end) / LOG_RATIO - 1e-9)))
        return cls(cut, below, float(width), above, far)

    @cached_property
    def joint(self) -> float:
        """Where the equal spacing begins."""
        return self.cut if self.cut else SPAN * self.width

    @cached_property
    def knee(self) -> float:
        """Where it ends."""
        return self.joint + self.width * self.above

    @property
    def first(self) -> int:
        """Index of the lowest node of a living stock (of 0 where nothing is lost before)."""
        return self.below if self.cut else 0

    @cached_property
    def nodes(self) -> np.ndarray:
        """Ascending, nodes[0] = 0."""
        if self.cut:
            lower = np.linspace(0.0, self.cut, self.below, endpoint=False)
            middle = self.cut + self.width * np.arange(self.above + 1)
        else:
            lower = np.append(0.0, self.joint * RATIO ** np.arange(1.0 - self.below, 0.0))
            middle = self.width * np.arange(SPAN, SPAN + self.above + 1)
        return np.concatenate([lower, middle, self.knee * RATIO ** np.arange(1.0, self.far + 1)])

    def cell(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As for any nodes, by arithmetic."""
        place = (x - self.joint) * (1.0 / self.width) + (self.below + NUDGE)
        low = place < self.below
        if low.any():
            place[low] = self._low_place(x[low])
        if self.far:
            high = place > self.below + self.above + NUDGE
            rungs = np.log(x[high] / self.knee) / LOG_RATIO
            place[high] = self.below + self.above + rungs + NUDGE
        index = np.minimum(place.astype(np.intp), len(self.nodes) - 2)
        fraction = (x - self.nodes.take(index)) * self._inverse_widths.take(index)
        return index, fraction

    def _low_place(self, x: np.ndarray) -> np.ndarray:
        """Cells, counted from 0 with a fraction, of stocks below the joint."""
        if self.cut:
            return x * (self.below / self.cut) + NUDGE
        rungs = np.log(np.maximum(x * (1.0 / self.joint), 1e-300)) * (1.0 / LOG_RATIO)
        return np.maximum(rungs + (self.below + NUDGE), 0.0)
