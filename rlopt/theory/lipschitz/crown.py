"""Bounds on pre-activations by linear relaxation, backwards through the layers (CROWN).

A linear function of a layer's output is bounded by a linear function of its input, layer after
layer, with a straight line above or below every activation; at the input box it takes its largest
value at a corner (Zhang et al. 2018, arXiv:1811.00866; through residual layers as well). The
result is cut with interval bounds.

Rounding: coefficients are taken as the floats they are. The distance between each computed
coefficient and the exact one times a bound on what it multiplies goes into the constant, which
costs one product of a matrix and a vector a layer. So does what underflow may take from each.

All arrays have a leading axis of boxes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rlopt.theory.certificate import gamma_n
from rlopt.theory.lipschitz.interval import (
    TINY,
    Interval,
    added,
    common,
    magnitude,
    times_matrix,
)
from rlopt.theory.lipschitz.layers import Layer
from rlopt.theory.lipschitz.network import Network
from rlopt.theory.lipschitz.relax import Lines, image, lines

DESCENTS = 20  # steps of the descent on slopes
RATE, SHRINKING = 0.5, 0.7  # its first step, as a share of what slopes can be; and the next ones


class Linear(NamedTuple):
    """Functions coef x + const of the input, coef (B, r, n0), const (B, r)."""

    coef: np.ndarray
    const: np.ndarray

    def most(self, box: Interval) -> np.ndarray:
        """Their largest values on boxes (B, n0), rounded upwards, (B, r)."""
        low, high = box[0][:, None], box[1][:, None]
        terms = np.maximum(self.coef * low, self.coef * high)
        size = np.abs(terms).sum(axis=-1) + np.abs(self.const)
        error = 2.0 * gamma_n(low.shape[-1] + 4) * size + (low.shape[-1] + 4) * TINY
        largest = terms.sum(axis=-1) + self.const + error
        return np.where(np.isnan(largest), np.inf, largest)


class Passed(NamedTuple):
    """A layer whose pre-activations are bounded.

    Attributes:
        layer: the layer.
        low: smallest pre-activations, (B, h); above `high` where no input is left.
        high: largest pre-activations, (B, h).
        above: upper linear bounds of v, then of -v, (B, 2 h) of them.
        lines: relaxation of the activation.
        given: bound on |x| of the layer's input, (B, n).
        taken: bound on |phi(v)|, (B, h).
    """

    layer: Layer
    low: np.ndarray
    high: np.ndarray
    above: Linear
    lines: Lines
    given: np.ndarray
    taken: np.ndarray


def bounded(
    net: Network,
    box: Interval,
    limits: Interval | None = None,
    relaxed: bool = True,
    descents: int = DESCENTS,
) -> list[Passed]:
    """Bounds for the layers up to the first that is implicit or overflows.

    Args:
        net: of single neurons, `Network.scalar`.
        box: inputs, (B, n0) each.
        limits: pre-activations to which the inputs are restricted, or known to be, (B, N) each.
        relaxed: False for interval bounds alone; `Passed.above` is of no use then.
        descents: steps by which slopes through kinks are improved for each bound.
    """
    passed: list[Passed] = []
    state, start = box, 0
    with np.errstate(over="ignore", invalid="ignore"):
        for layer in net.layers:
            here = slice(start, start + layer.neurons)
            start = here.stop
            if layer.D is not None:
                break
            v = added(times_matrix(state, layer.W.T, layer.rounding), layer.b)
            rows = len(box[0]), 2 * layer.neurons
            above = Linear(np.zeros((*rows, net.inputs)), np.zeros(rows))
            if relaxed and layer.neurons:
                above = improved(passed, layer, magnitude(state), box, descents)
                most = above.most(box)
                v = common(v, (-most[:, layer.neurons :], most[:, : layer.neurons]))
            if limits is not None:
                v = common(v, (limits[0][:, here], limits[1][:, here]))
            if not np.isfinite(v).all():
                break
            # an empty interval says that no input is left; then any line will do
            ends = np.minimum(*v), np.maximum(*v)
            z = image(layer.activation, *ends)
            new = added(times_matrix(z, layer.G.T, layer.rounding), layer.c)
            if layer.H is not None:
                new = added(new, times_matrix(state, layer.H.T, layer.rounding))
            if not np.isfinite(new).all():
                break
            line = lines(layer.activation, *ends)
            passed.append(Passed(layer, *v, above, line, magnitude(state), magnitude(z)))
            state = new
    return passed


class Step(NamedTuple):
    """How a layer was passed backwards, (B, r, h) each: phi(v) was taken as slope v + offset."""

    on_z: np.ndarray
    slope: np.ndarray
    offset: np.ndarray


def pulled(
    passed: list[Passed], layer: Layer, given: np.ndarray, free: list[np.ndarray] | None = None
) -> tuple[Linear, list[Step]]:
    """Upper linear bounds of W x + b, then of its negative, as functions of the network's input.

    Args:
        passed: the layers before.
        layer: whose pre-activations are wanted.
        given: bound on |x|, (B, n).
        free: for each layer before the slopes through the kink, (B, r, h); None for `Lines`.

    Returns:
        The bounds, and how the layers before were passed, the first layer first.
    """
    batch, rows = len(given), 2 * layer.neurons
    coef = np.broadcast_to(np.vstack([layer.W, -layer.W]), (batch, rows, layer.inputs))
    const = np.broadcast_to(np.concatenate([layer.b, -layer.b]), (batch, rows))
    size = _against(coef, given) + np.abs(const)
    # what the coefficients multiply, each of which may have lost to underflow
    exposed = np.ones(batch)
    steps: list[Step] = []
    for k, done in reversed(list(enumerate(passed))):
        inner, line = done.layer, done.lines
        on_z = coef if inner.plain else coef @ inner.G
        positive = on_z >= 0.0
        slope = np.where(positive, line.above_slope[:, None], line.below_slope[:, None])
        if free is not None:
            slope = np.where(line.free[:, None] & (positive == line.above_free), free[k], slope)
        offset = np.where(positive, line.above_offset[:, None], line.below_offset[:, None])
        steps.append(Step(on_z, slope, offset))
        on_v, shift = on_z * slope, on_z * offset
        const = const + coef @ inner.c + shift.sum(axis=-1) + on_v @ inner.b
        state = np.abs(inner.c) + done.taken @ np.abs(inner.G.T)
        if inner.H is not None:
            state = state + done.given @ np.abs(inner.H.T)
        size = size + _against(coef, state) + np.abs(shift).sum(axis=-1)
        v = done.given @ np.abs(inner.W.T) + np.abs(inner.b)
        size = size + _against(on_v, v)
        exposed = exposed + 1.0 + (done.taken + v).sum(axis=1) + done.given.sum(axis=1)
        new = on_v @ inner.W
        coef = new if inner.H is None else new + coef @ inner.H
    layers = [*(done.layer for done in passed), layer]
    error = doubt(layers) * size + underflow(layers) * exposed[:, None]
    return Linear(coef, const + error), steps[::-1]


def improved(
    passed: list[Passed], layer: Layer, given: np.ndarray, box: Interval, descents: int
) -> Linear:
    """As `pulled`, with slopes through kinks chosen for each bound by descent (alpha-CROWN).

    The derivative of a bound by such a slope is the coefficient of phi(v) times the value that v
    has, in the relaxed network, at the corner where the bound is attained; only signs are used,
    with shrinking steps. Every iterate is a bound; the best one is kept.
    """
    best, steps = pulled(passed, layer, given)
    if not any(done.lines.free.any() for done in passed):
        return best
    value = best.most(box)
    now, free = best, [step.slope for step in steps]
    rate = RATE
    for _ in range(descents):
        x = np.where(now.coef > 0.0, box[1][:, None], box[0][:, None])
        for k, (done, step) in enumerate(zip(passed, steps, strict=True)):
            inner = done.layer
            v = x @ inner.W.T + inner.b
            least, most = inner.activation.slopes
            change = rate * (most - least) * np.sign(step.on_z * v)
            free[k] = np.clip(free[k] - change, least, most)
            z = step.slope * v + step.offset
            new = z if inner.plain else z @ inner.G.T + inner.c
            x = new if inner.H is None else new + x @ inner.H.T
        now, steps = pulled(passed, layer, given, free)
        fresh = now.most(box)
        better = fresh < value
        value = np.where(better, fresh, value)
        best = Linear(
            np.where(better[..., None], now.coef, best.coef),
            np.where(better, now.const, best.const),
        )
        rate *= SHRINKING
    return best


def doubt(layers: list[Layer]) -> float:
    """Relative error of a chain of products through the layers, against their absolute values."""
    return 2.0 * gamma_n(_products(layers)) + 1.01 * max(layer.rounding for layer in layers)


def underflow(layers: list[Layer]) -> float:
    """Absolute error of a coefficient in such a chain by underflow."""
    return 4.0 * _products(layers) * TINY


def _products(layers: list[Layer]) -> int:
    """More than the products summed in one step, and the operations on the way."""
    longest = max(max(layer.inputs, layer.neurons, layer.outputs) for layer in layers)
    return 2 * longest + 8 * len(layers) + 32


def _against(coef: np.ndarray, size: np.ndarray) -> np.ndarray:
    """|coef| @ size for coef (B, r, n) and size (B, n)."""
    return (np.abs(coef) @ size[..., None])[..., 0]
