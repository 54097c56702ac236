"""Exact Lipschitz constants of tiny networks, by going through all their linear pieces.

A network of ReLU, leaky ReLU, |.| and identity is linear on polyhedra, one for each pattern of
signs of its pre-activations that some input attains. The patterns are found neuron by neuron: a
linear programme says whether the half-space of a neuron still meets the cell of those before it.
MaxMin, GroupSort and Householder are handled through their comparators. The number of pieces
grows like neurons^inputs for each layer, so this is for tests and for small policies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linprog

from rlopt.theory.checks import known
from rlopt.theory.lipschitz.interval import TINY
from rlopt.theory.lipschitz.layers import Layer
from rlopt.theory.lipschitz.network import Network, checked
from rlopt.theory.lipschitz.regions import NORMS, box, operator_norm

MARGIN = 1e-9  # relative; a cell counts if a ball of this radius fits into it
FLAT = 1e-12  # of the sum of absolute terms; below it a pre-activation counts as constant, or 0
NEURONS = 40
REGIONS = 20_000
PATTERNS = 16  # neurons of which `formal_global` tries all patterns


def exact(net: Network, region: Any = None, norm: str = "l2") -> float:
    """The Lipschitz constant itself: the largest norm of the Jacobian over all linear pieces.

    It is the least L with |f(x) - f(y)| <= L |x - y| for all x and y, or for all in the box. Where
    some coordinates of the box are fixed (low = high) the whole Jacobian still counts, as on a box
    a little wider; at a kink all over such a box, with the slopes of both sides.

    Lengths are relative: to the box, or, without one, to the distances of the kinks. Pieces
    thinner than 1e-9 of these are not seen.

    >>> net = Network.from_weights([[[1.0], [-1.0]], [[1.0, 1.0]]])  # |x|
    >>> exact(net)
    1.0

    Args:
        net: up to 40 neurons with kinks, comparators included.
        region: a box (low, high); None: all of R^n0.
        norm: "l2", "linf" or "linf_l1".

    Returns:
        The constant in floating point: neither rounded up nor down.

    Raises:
        ValueError: a smooth activation, an implicit layer, too many neurons or pieces.
    """
    checked(net)
    known("exact", "norm", norm, NORMS)
    return max(float(operator_norm(J, norm)) for J in pieces(net, region))


def linear_regions(net: Network, region: Any = None) -> int:
    """How many patterns of signs the pre-activations attain on sets with an interior.

    Raises:
        ValueError: as for `exact`.
    """
    return sum(1 for _ in pieces(net, region))


def pieces(net: Network, region: Any = None) -> Iterator[np.ndarray]:
    """The Jacobians (m, n0) of all linear pieces, each once for each of its cells.

    Columns of coordinates that the region fixes are 0.

    Raises:
        ValueError: as for `exact`.
    """
    layers = _piecewise_linear(net)
    first = _whole_space(net.inputs) if region is None else _box_cell(*box(net.inputs, region))
    found = 0
    # depth first, so that memory stays small
    stack = [(layers, _start(first), first)]
    while stack:
        remaining, state, cell = stack.pop()
        if not remaining:
            found += 1
            if found > REGIONS:
                raise ValueError(f"exact: the network has more than {REGIONS} linear pieces")
            yield state.J
            continue
        layer = remaining[0]
        inner = state.through(layer.W, layer.b)
        for slope, smaller in _splits(layer, inner, cell):
            new = inner.times(slope).through(layer.G, layer.c)
            if layer.H is not None:
                new = new.plus(state.through(layer.H, np.zeros(layer.outputs)))
            stack.append((remaining[1:], new, smaller))


def formal_global(net: Network, norm: str = "l2") -> float:
    """The formal constant: the largest Jacobian norm over all patterns, attained or not.

    It lies between the true constant and LipSDP's bound (Latorre et al. 2020, Wang et al. 2022,
    arXiv:2203.01212: for one hidden layer and one output LipSDP is at most sqrt(pi/2) times it).

    Args:
        net: up to 16 neurons, comparators included.
        norm: "l2", "linf" or "linf_l1".

    Raises:
        ValueError: too many neurons.
    """
    scalar = net.scalar
    if scalar.neurons > PATTERNS:
        raise ValueError(
            f"formal_global: 2^neurons patterns are tried, for up to {PATTERNS} neurons, "
            f"got {scalar.neurons}"
        )
    J = np.eye(net.inputs)[None]
    for layer in scalar.layers:
        choices = np.array(list(product(layer.activation.slopes, repeat=layer.neurons)))
        slope = choices.reshape(len(choices), 1, layer.neurons, 1)
        moved = slope * (layer.W @ J)
        if layer.D is not None:
            moved = np.linalg.solve(np.eye(layer.neurons) - slope * layer.D, moved)
        moved = layer.G @ moved
        if layer.H is not None:
            moved = moved + layer.H @ J
        J = moved.reshape(-1, layer.outputs, net.inputs)
    return float(operator_norm(J, norm).max())


class State(NamedTuple):
    """A layer's values on a cell, J (x - origin) + offset, and what cancelled on the way.

    Attributes:
        J: (n, n0).
        along: J E, by the coordinates of the cell, (n, d).
        offset: (n,).
        reach: sums of absolute terms behind `along`, (n,).
        size: sums of absolute terms behind `offset`, (n,).
    """

    J: np.ndarray
    along: np.ndarray
    offset: np.ndarray
    reach: np.ndarray
    size: np.ndarray

    def through(self, matrix: np.ndarray, shift: np.ndarray) -> State:
        """matrix v + shift."""
        J, along, offset, reach, size = self
        whole = np.abs(matrix)
        sizes = whole @ reach, whole @ size + np.abs(shift)
        return State(matrix @ J, matrix @ along, matrix @ offset + shift, *sizes)

    def times(self, slope: np.ndarray) -> State:
        """slope * v."""
        steep, column = np.abs(slope), slope[:, None]
        values = column * self.J, column * self.along, slope * self.offset
        return State(*values, steep * self.reach, steep * self.size)

    def plus(self, other: State) -> State:
        """The sum."""
        return State(*(ours + theirs for ours, theirs in zip(self, other, strict=True)))


@dataclass(frozen=True, eq=False)
class Cell:
    """The points origin + E z with rows z + offsets > 0.

    Attributes:
        origin: a point of the affine space of the cell, (n0,).
        E: its directions, (n0, d); of a box each as long as half its side.
        rows: (constraints, d), of length 1.
        offsets: (constraints,).
        inside: z of a point well inside, (d,).
    """

    origin: np.ndarray
    E: np.ndarray
    rows: np.ndarray
    offsets: np.ndarray
    inside: np.ndarray

    def half(self, row: np.ndarray, offset: float) -> Cell | None:
        """The part with row z + offset > 0, None if it has no interior; row is of length 1."""
        rows, offsets = np.vstack([self.rows, row]), np.append(self.offsets, offset)
        inside = self.inside
        # the median distance of what bounds the cell; one kink far away or close by does not count
        apart = np.abs(offsets[offsets != 0.0])
        unit = float(np.median(apart)) if len(apart) else 1.0
        if row @ inside + offset <= MARGIN * unit:
            d = len(row)
            # the centre of the largest ball, at most of radius 1, in units of that distance
            result = linprog(
                np.r_[np.zeros(d), -1.0],
                A_ub=np.hstack([-rows, np.ones((len(rows), 1))]),
                b_ub=offsets / unit,
                bounds=[(None, None)] * d + [(None, 1.0)],
                method="highs",
            )
            if result.status != 0 or not result.x[-1] > MARGIN:
                return None
            inside = unit * result.x[:-1]
        return Cell(self.origin, self.E, rows, offsets, inside)


def _whole_space(n0: int) -> Cell:
    return Cell(np.zeros(n0), np.eye(n0), np.zeros((0, n0)), np.zeros(0), np.zeros(n0))


def _start(cell: Cell) -> State:
    """The input itself."""
    reach = np.abs(cell.E).sum(axis=1)
    return State(np.eye(len(reach)), cell.E, cell.origin, reach, np.abs(cell.origin))


def _box_cell(low: np.ndarray, high: np.ndarray) -> Cell:
    """The box as [-1, 1]^d, without the coordinates that are fixed."""
    free = low < high
    # half of the least floats' distance would be 0
    radius = np.where(free, np.maximum(0.5 * (high - low), TINY), 0.0)
    centre, d = 0.5 * (low + high), int(free.sum())
    rows = np.vstack([np.eye(d), -np.eye(d)])
    return Cell(centre, np.diag(radius)[:, free], rows, np.ones(2 * d), np.zeros(d))


def _piecewise_linear(net: Network) -> list[Layer]:
    """The layers of the scalar network, refused where `exact` cannot serve them."""
    layers = list(net.scalar.layers)
    for layer in layers:
        if layer.neurons and not layer.activation.function.exact:
            raise ValueError(
                "exact: only piecewise linear activations (relu, leaky_relu, abs, identity, "
                f"maxmin, groupsort, householder) have finitely many Jacobians, got "
                f"{layer.activation}"
            )
    if net.implicit_layers:
        raise ValueError("exact: implicit layers are not supported; use lower_bound and lipsdp")
    kinked = sum(layer.neurons for layer in layers if layer.activation.name != "identity")
    if kinked > NEURONS:
        raise ValueError(f"exact: at most {NEURONS} neurons with kinks are allowed, got {kinked}")
    return layers


def _splits(layer: Layer, state: State, cell: Cell) -> list[tuple[np.ndarray, Cell]]:
    """The cell cut by the kinks of a layer: slopes (h,) of its neurons on each part.

    `state` holds the pre-activations.
    """
    slopes = layer.activation.function.slope(np.array([-1.0, 1.0]))
    parts: list[tuple[list[float], Cell]] = [([], cell)]
    _, along, offset, reach, size = state
    # what rounding may have left counts as 0
    flat = np.abs(along).max(axis=1, initial=0.0) <= FLAT * reach
    bias = np.where(np.abs(offset) <= FLAT * size, 0.0, offset)
    thin = cell.E.shape[1] < len(cell.E)  # a kink may lie all along the box
    for k in range(layer.neurons):
        both = thin and flat[k] and bias[k] == 0.0 and bool(state.J[k].any())
        row = None if flat[k] else along[k]
        parts = [
            ([*before, slopes[side]], smaller)
            for before, part in parts
            for side, smaller in (
                [(0, part), (1, part)] if both else _sides(row, bias[k], part, slopes)
            )
        ]
    return [(np.array(chosen), part) for chosen, part in parts]


def _sides(
    row: np.ndarray | None, bias: float, cell: Cell, slopes: np.ndarray
) -> list[tuple[int, Cell]]:
    """Which sides (0 below, 1 above) of one neuron's kink the cell has a part on.

    The pre-activation is row z + bias; None for a row of 0.
    """
    if slopes[0] == slopes[1]:
        return [(1, cell)]
    if row is None:
        return [(int(bias >= 0.0), cell)]
    largest = np.abs(row).max()  # so that no square underflows
    length = float(np.linalg.norm(row / largest)) * largest
    found = []
    for side, sign in ((0, -1.0), (1, 1.0)):
        part = cell.half(sign * row / length, sign * bias / length)
        if part is not None:
            found.append((side, part))
    # a cell that is just large enough itself is on the side of its middle
    return found or [(int(row @ cell.inside + bias >= 0.0), cell)]
