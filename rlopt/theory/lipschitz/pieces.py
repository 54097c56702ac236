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
from typing import Any

import numpy as np
from scipy.optimize import linprog

from rlopt.theory.checks import known
from rlopt.theory.lipschitz.layers import Layer
from rlopt.theory.lipschitz.network import Network
from rlopt.theory.lipschitz.regions import NORMS, box, operator_norm

MARGIN = 1e-9  # a cell counts if a ball of this radius fits into it
FLAT = 1e-12  # relative; below it a pre-activation counts as constant, or as 0
NEURONS = 40
REGIONS = 20_000
PATTERNS = 16  # neurons of which `formal_global` tries all patterns


def exact(net: Network, region: Any = None, norm: str = "l2") -> float:
    """The Lipschitz constant itself: the largest norm of the Jacobian over all linear pieces.

    On a box with an interior it is the least L with |f(x) - f(y)| <= L |x - y| for all x and y in
    the box. Where some coordinates are fixed (low = high) it is the largest norm of the whole
    Jacobian, fixed coordinates included, over the points of the box where f is differentiable;
    where a neuron is at its kink all over such a box, both of its slopes are tried.

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

    Raises:
        ValueError: as for `exact`.
    """
    layers = _piecewise_linear(net)
    first = _whole_space(net.inputs) if region is None else _box_cell(*box(net.inputs, region))
    found = 0
    # depth first, so that memory stays small
    stack = [(layers, (np.eye(net.inputs), first.origin, first))]
    while stack:
        remaining, (J, offset, cell) = stack.pop()
        if not remaining:
            found += 1
            if found > REGIONS:
                raise ValueError(f"exact: the network has more than {REGIONS} linear pieces")
            yield J
            continue
        layer = remaining[0]
        for slope, smaller in _splits(layer, J, offset, cell):
            P, p = layer.W @ J, layer.W @ offset + layer.b
            new, moved = layer.G @ (slope[:, None] * P), layer.G @ (slope * p) + layer.c
            if layer.H is not None:
                new, moved = new + layer.H @ J, moved + layer.H @ offset
            stack.append((remaining[1:], (new, moved, smaller)))


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


@dataclass(frozen=True, eq=False)
class Cell:
    """The points origin + E z with rows z + offsets > 0.

    Attributes:
        origin: a point of the affine space of the cell, (n0,).
        E: its directions, (n0, d).
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
        if row @ inside + offset <= MARGIN:
            d = len(row)
            # the centre of the largest ball, at most of radius 1
            result = linprog(
                np.r_[np.zeros(d), -1.0],
                A_ub=np.hstack([-rows, np.ones((len(rows), 1))]),
                b_ub=offsets,
                bounds=[(None, None)] * d + [(None, 1.0)],
                method="highs",
            )
            if result.status != 0 or not result.x[-1] > MARGIN:
                return None
            inside = result.x[:-1]
        return Cell(self.origin, self.E, rows, offsets, inside)


def _whole_space(n0: int) -> Cell:
    return Cell(np.zeros(n0), np.eye(n0), np.zeros((0, n0)), np.zeros(0), np.zeros(n0))


def _box_cell(low: np.ndarray, high: np.ndarray) -> Cell:
    """The box around its centre, without the coordinates that are fixed."""
    free = low < high
    centre, radius = 0.5 * (low + high), 0.5 * (high - low)[free]
    E, d = np.eye(len(low))[:, free], int(free.sum())
    rows = np.vstack([np.eye(d), -np.eye(d)])
    return Cell(centre, E, rows, np.concatenate([radius, radius]), np.zeros(d))


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


def _splits(
    layer: Layer, J: np.ndarray, offset: np.ndarray, cell: Cell
) -> list[tuple[np.ndarray, Cell]]:
    """The cell cut by the kinks of a layer: slopes (h,) of its neurons on each part."""
    slopes = layer.activation.function.slope(np.array([-1.0, 1.0]))
    parts: list[tuple[list[float], Cell]] = [([], cell)]
    for gradient, bias in zip(layer.W @ J, layer.W @ offset + layer.b, strict=True):
        parts = [
            ([*before, slopes[side]], smaller)
            for before, part in parts
            for side, smaller in _sides(gradient, bias, part, slopes)
        ]
    return [(np.array(chosen), part) for chosen, part in parts]


def _sides(
    gradient: np.ndarray, bias: float, cell: Cell, slopes: np.ndarray
) -> list[tuple[int, Cell]]:
    """Which sides (0 below, 1 above) of one neuron's kink the cell has a part on.

    The pre-activation is gradient (x - origin) + bias.
    """
    if slopes[0] == slopes[1]:
        return [(1, cell)]
    along = gradient @ cell.E
    length = float(np.linalg.norm(along))
    if length <= FLAT * (1.0 + np.linalg.norm(gradient)):
        if abs(bias) > FLAT:
            return [(int(bias > 0.0), cell)]
        # 0 all over the cell: only across a fixed coordinate does the side matter
        return [(side, cell) for side in ((0, 1) if np.any(gradient) else (1,))]
    found = []
    for side, sign in ((0, -1.0), (1, 1.0)):
        part = cell.half(sign * along / length, sign * bias / length)
        if part is not None:
            found.append((side, part))
    return found
