"""Local Lipschitz bounds by propagation on the Jacobian, with branch and bound.

Slopes of activations come from CROWN bounds on pre-activations, the Jacobian from its linear
relaxation (Shi et al. 2022, arXiv:2210.07394). The worst cell is split again and again: through
the middle of the box, or, once few are left, at a neuron whose kink lies in its range. A segment
between two points of the region passes through cells; the largest of their bounds holds on it.

Differences from the paper: slopes of any activation; also l2 and l_inf -> l_1; inputs are split
too; cells without inputs are dropped by a proof; everything is rounded outwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count
from time import perf_counter
from typing import NamedTuple

import numpy as np

from rlopt.theory.checks import known, whole
from rlopt.theory.lipschitz import cells, jacobian
from rlopt.theory.lipschitz.cells import Cell
from rlopt.theory.lipschitz.certificate import Certificate, outward
from rlopt.theory.lipschitz.chords import Chord, relaxed
from rlopt.theory.lipschitz.crown import Linear, Passed, bounded
from rlopt.theory.lipschitz.interval import Interval, common, magnitude
from rlopt.theory.lipschitz.jacobian import (
    forwards,
    refuse_implicit,
    slopes_or_limits,
)
from rlopt.theory.lipschitz.measure import jacobian_norm
from rlopt.theory.lipschitz.network import Network, checked
from rlopt.theory.lipschitz.regions import NORMS, Region, box, signs
from rlopt.theory.lipschitz.slopes import preactivations, slopes_of

BATCH = 32  # cells split at a time
ENTRIES = 2_000_000  # of the largest array of a batch
SIGNED = 6  # outputs up to which l_inf -> l_1 is bounded for each choice of signs
FEW = 12  # kinks in a cell up to which one of them is split rather than the box


def jacobian_propagation(
    net: Network, region: Region | None = None, norm: str = "l2", branches: int = 1
) -> Certificate:
    """A local Lipschitz bound by bound propagation on the Jacobian and branch and bound.

    It is never above `interval_jacobian`, and never larger with more branches. On a small ReLU
    network it reaches the exact constant.

    >>> net = Network.from_weights([[[1.0], [-1.0]], [[1.0, 1.0]]])  # |x|
    >>> round(jacobian_propagation(net, (np.array([-1.0]), np.array([1.0])), branches=2).upper, 9)
    1.0

    Args:
        net: the network, without implicit layers.
        region: a box (low, high); None: the slopes of the whole line, without branching.
        norm: "l2", "linf" or "linf_l1".
        branches: largest number of cells, 1 for none but the region.

    Raises:
        ValueError: an implicit layer, an unknown norm, branches < 1, a region that is no box.
        ArithmeticError: the bounds on the Jacobian overflow.
    """
    began = perf_counter()
    checked(net)
    known("jacobian_propagation", "norm", norm, NORMS)
    branches = whole("jacobian_propagation", "branches", branches, 1)
    refuse_implicit("jacobian_propagation", net)
    region = None if region is None else box(net.inputs, region)
    upper = jacobian.bounded(net, region, norm)
    scalar, kind = net.scalar, norm
    if norm == "linf_l1" and net.outputs <= SIGNED:
        # the norm is the largest l_inf norm of a signed sum of the outputs
        scalar, kind = scalar.rows(signs(net.outputs)), "linf"
    if region is None:
        upper = min(upper, _global(scalar, kind))
    else:
        task = Task(scalar, kind)
        upper = _search(task, region, upper, branches)
    options = {"branches": branches}
    return outward(upper, net, norm, "jacobian_propagation", region, options, began)


class Task(NamedTuple):
    """What is bounded.

    Attributes:
        net: of single neurons.
        norm: of the Jacobian.
    """

    net: Network
    norm: str


def _search(task: Task, region: Region, upper: float, branches: int) -> float:
    """The largest bound over cells after splitting the worst, `branches` cells at most."""
    net = task.net
    undecided = np.zeros(net.neurons, dtype=np.int8)
    least, most = (np.concatenate(side) for side in zip(*preactivations(net, region), strict=True))
    nothing = Linear(np.zeros((0, net.inputs)), np.zeros(0))
    (root,) = _measured(task, [Cell(*region, undecided, least, most, upper, nothing, -1, -1)])
    order = count()  # among equal bounds the oldest first
    heap = [(-root.bound, next(order), root)]
    total = 1
    while total < branches:
        worst = _worst(heap, min(max(1, len(heap) // 4), BATCH, branches - total))
        if not worst:
            break
        for cell in _split(task, worst):
            heappush(heap, (-cell.bound, next(order), cell))
        total += len(worst)
    while len(heap) > 1 and heap[0][2].empty():
        heappop(heap)
    return -heap[0][0]


def _worst(heap: list[tuple[float, int, Cell]], number: int) -> list[Cell]:
    """Take out cells to split; none if the worst cell cannot be split."""
    taken: list[Cell] = []
    while heap and len(taken) < number:
        cell = heap[0][2]
        if cell.empty() and len(heap) + len(taken) > 1:
            heappop(heap)
        elif cell.neuron < 0 and cell.axis < 0:
            break
        else:
            taken.append(heappop(heap)[2])
    return taken


def _split(task: Task, worst: Sequence[Cell]) -> list[Cell]:
    """The parts of cells that may hold inputs."""
    parts = [part for cell in worst for part in cell.at_neuron() or cell.at_middle()]
    return [cell for cell in _measured(task, parts) if cell.bound > -np.inf]


def _measured(task: Task, parts: list[Cell]) -> list[Cell]:
    """The cells with their boxes tightened and bounds no larger than those that they come with."""
    widest = max(max(layer.neurons, layer.inputs) for layer in task.net.layers)
    size = max(1, ENTRIES // (2 * task.net.outputs * widest**2))
    found: list[Cell] = []
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(parts), size):
            found += _measured_batch(task, parts[start : start + size])
    return found


def _measured_batch(task: Task, parts: list[Cell]) -> list[Cell]:
    net = task.net
    low, high, decided, least, most = (
        np.stack(side) for side in list(zip(*parts, strict=True))[:5]
    )
    passed = bounded(net, (low, high), (least, most), descents=0)
    left = np.ones(len(parts), dtype=bool)
    if decided.any():
        low, high = cells.tightened((low, high), cells.inequalities(passed, decided, net.inputs))
        left &= np.all(low <= high, axis=1)
        low, high = np.minimum(low, high), np.maximum(low, high)
        passed = bounded(net, (low, high), (least, most), descents=0)
    start = 0
    for step in passed:
        here = slice(start, start + step.layer.neurons)
        start = here.stop
        left &= np.all(step.low <= step.high, axis=1)
        least[:, here], most[:, here] = step.low, step.high
    slope = slopes_of(net, passed, len(parts))
    chords, bound = _jacobian(net, task.norm, slope)
    cuts = cells.inequalities(passed, decided, net.inputs)
    neuron, axis = _where_to_split(net, passed, chords, slope, high - low)
    return [
        Cell(
            low[k], high[k], part.decided, least[k], most[k],
            min(float(bound[k]), part.bound) if left[k] else -np.inf,
            Linear(cuts.coef[k][shown], cuts.const[k][shown]), int(neuron[k]), int(axis[k]),
        )
        for k, part in enumerate(parts)
        for shown in [part.decided[: cuts.const.shape[1]] != 0]
    ]  # fmt: skip


def _jacobian(net: Network, norm: str, slope: Interval) -> tuple[list[Chord], np.ndarray]:
    """The relaxation of the Jacobian for slopes (B, N) and bounds on its norm, (B,)."""
    with np.errstate(over="ignore", invalid="ignore"):
        chords, J = relaxed(net, slope)
        bound = jacobian_norm(chords, common(J, forwards(net, slope)), norm)
    return chords, np.where(np.isnan(bound), np.inf, bound)


def _global(net: Network, norm: str) -> float:
    """The bound with the slopes of the whole line."""
    alpha, beta = slopes_or_limits(net, None)
    return float(_jacobian(net, norm, (alpha[None], beta[None]))[1][0])


def _where_to_split(
    net: Network, passed: list[Passed], chords: list[Chord], slope: Interval, width: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Neuron and input that move the Jacobian most, -1 for none, (B,) each.

    A neuron counts by the width of its slope times what it carries to the outputs and from the
    inputs; an input by what it moves those neurons.
    """
    batch, start = len(width), 0
    neurons, axes = np.zeros((batch, net.neurons)), np.zeros((batch, net.inputs))
    for step, chord in zip(passed, reversed(chords), strict=False):
        here = slice(start, start + step.layer.neurons)
        start = here.stop
        carried = (slope[1] - slope[0])[:, here] * magnitude(chord.p).max(axis=1, initial=0.0)
        moved = carried[..., None] * np.abs(step.above.coef[:, : step.layer.neurons])
        axes += moved.sum(axis=1) * width
        kinked = step.layer.activation.function.exact & (step.low < 0.0) & (step.high > 0.0)
        neurons[:, here] = np.where(kinked, moved.sum(axis=-1), 0.0)
    few = (neurons > 0.0).sum(axis=1) <= FEW
    axis = _largest(axes)
    return np.where(few | (axis < 0), _largest(neurons), -1), axis


def _largest(score: np.ndarray) -> np.ndarray:
    if not score.shape[1]:
        return np.full(len(score), -1)
    return np.where(score.max(axis=1) > 0.0, score.argmax(axis=1), -1)
