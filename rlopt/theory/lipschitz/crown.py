"""Bounds on pre-activations by linear relaxation, backwards through the layers (CROWN).

A linear function of a layer's output is bounded by a linear function of its input, layer after
layer, with a straight line above or below every activation; at the input box it takes its largest
value at a corner (Zhang et al. 2018, arXiv:1811.00866; through residual layers as well). The
result is cut with interval bounds.

Rounding: coefficients are taken as the floats they are. The distance between each computed
coefficient and the exact one times a bound on what it multiplies goes into the constant, which
costs one product of a matrix and a vector a layer.

All arrays have a leading axis of boxes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rlopt.theory.certificate import gamma_n
from rlopt.theory.lipschitz.interval import (
    Interval,
    added,
    common,
    magnitude,
    times_matrix,
)
from rlopt.theory.lipschitz.layers import Layer
from rlopt.theory.lipschitz.network import Network
from rlopt.theory.lipschitz.relax import Lines, image, lines


class Linear(NamedTuple):
    """Functions coef x + const of the input, coef (B, r, n0), const (B, r)."""

    coef: np.ndarray
    const: np.ndarray

    def most(self, box: Interval) -> np.ndarray:
        """Their largest values on boxes (B, n0), rounded upwards, (B, r)."""
        low, high = box[0][:, None], box[1][:, None]
        terms = np.maximum(self.coef * low, self.coef * high)
        size = np.abs(terms).sum(axis=-1) + np.abs(self.const)
        return terms.sum(axis=-1) + self.const + 2.0 * gamma_n(low.shape[-1] + 4) * size


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
    net: Network, box: Interval, decided: np.ndarray | None = None, relaxed: bool = True
) -> list[Passed]:
    """Bounds for the layers up to the first that is implicit or overflows.

    Args:
        net: of single neurons, `Network.scalar`.
        box: inputs, (B, n0) each.
        decided: (B, N) signs of pre-activations to which the inputs are restricted, 0 for none.
        relaxed: False for interval bounds alone; `Passed.above` is of no use then.
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
                above = pulled(passed, layer, magnitude(state))
                most = above.most(box)
                v = common(v, (-most[:, layer.neurons :], most[:, : layer.neurons]))
            if decided is not None:
                sign = decided[:, here]
                v = common(v, (np.where(sign > 0, 0.0, -np.inf), np.where(sign < 0, 0.0, np.inf)))
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


def pulled(passed: list[Passed], layer: Layer, given: np.ndarray) -> Linear:
    """Upper linear bounds of W x + b, then of its negative, as functions of the network's input.

    Args:
        passed: the layers before.
        layer: whose pre-activations are wanted.
        given: bound on |x|, (B, n).
    """
    batch, rows = len(given), 2 * layer.neurons
    coef = np.broadcast_to(np.vstack([layer.W, -layer.W]), (batch, rows, layer.inputs))
    const = np.broadcast_to(np.concatenate([layer.b, -layer.b]), (batch, rows))
    size = _against(coef, given) + np.abs(const)
    for step in reversed(passed):
        inner, line = step.layer, step.lines
        on_z = coef @ inner.G
        positive = on_z >= 0.0
        on_v = on_z * np.where(positive, line.above_slope[:, None], line.below_slope[:, None])
        offset = on_z * np.where(positive, line.above_offset[:, None], line.below_offset[:, None])
        const = const + coef @ inner.c + offset.sum(axis=-1) + on_v @ inner.b
        state = np.abs(inner.c) + step.taken @ np.abs(inner.G.T)
        if inner.H is not None:
            state = state + step.given @ np.abs(inner.H.T)
        size = size + _against(coef, state) + np.abs(offset).sum(axis=-1)
        size = size + _against(on_v, step.given @ np.abs(inner.W.T) + np.abs(inner.b))
        new = on_v @ inner.W
        coef = new if inner.H is None else new + coef @ inner.H
    return Linear(coef, const + doubt([*(step.layer for step in passed), layer]) * size)


def doubt(layers: list[Layer]) -> float:
    """Relative error of a chain of products through the layers, against their absolute values."""
    longest = max(max(la.inputs, la.neurons, la.outputs) for la in layers)
    rounding = max(la.rounding for la in layers)
    return 2.0 * gamma_n(2 * longest + 8 * len(layers) + 32) + 1.01 * rounding


def _against(coef: np.ndarray, size: np.ndarray) -> np.ndarray:
    """|coef| @ size for coef (B, r, n) and size (B, n)."""
    return (np.abs(coef) @ size[..., None])[..., 0]
