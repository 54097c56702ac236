"""Linear relaxation of the Jacobian: bounds on linear functions of its entries.

From the outputs backwards, J_k = J_{k+1} H + q W with q = s * p, p = J_{k+1} G and slopes s in
[alpha, beta]. With p in [l, u], l < 0 < u, the product lies between chords (Shi et al. 2022,
arXiv:2210.07394, for slopes of ReLU; with s = alpha + (beta - alpha) s' it holds for all):

    alpha p + d l (u - p) / (u - l) <= s p <= alpha p + d u (p - l) / (u - l),  d = beta - alpha.

Bounds on p come from the layers after it, as those on pre-activations in `crown` come from the
layers before. Axes: boxes B, outputs m, then rows of coefficients and entries. Rounding is
accounted for as in `crown`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rlopt.theory.certificate import UNIT
from rlopt.theory.lipschitz.crown import doubt, underflow
from rlopt.theory.lipschitz.interval import (
    TINY,
    Interval,
    added,
    common,
    magnitude,
    scaled,
    times_matrix,
)
from rlopt.theory.lipschitz.layers import Layer
from rlopt.theory.lipschitz.network import Network


class Chord(NamedTuple):
    """A layer whose products q = s p are relaxed; arrays (B, m, h) unless said otherwise.

    Attributes:
        layer: the layer.
        p: bounds on J_{k+1} G.
        below_slope: of the line in p below q.
        below_offset: its value at p = 0.
        above_slope: of the line above.
        above_offset: its value at p = 0.
        given: bound on |J_{k+1}|, (B, m, n_{k+1}).
        taken: bound on |q|.
    """

    layer: Layer
    p: Interval
    below_slope: np.ndarray
    below_offset: np.ndarray
    above_slope: np.ndarray
    above_offset: np.ndarray
    given: np.ndarray
    taken: np.ndarray


def relaxed(net: Network, slope: Interval) -> tuple[list[Chord], Interval]:
    """Chords of all layers, the last first, and bounds on the Jacobian's entries, (B, m, n0).

    Args:
        net: of single neurons, explicit.
        slope: smallest and largest slopes, (B, N).
    """
    batch, m = len(slope[0]), net.outputs
    eye = np.broadcast_to(np.eye(m), (batch, m, m))
    J: Interval = (eye, eye)
    chords: list[Chord] = []
    stop = net.neurons
    for layer in reversed(net.layers):
        here = slice(stop - layer.neurons, stop)
        stop = here.start
        alpha, beta = slope[0][:, None, here], slope[1][:, None, here]
        p = times_matrix(J, layer.G, layer.rounding)
        if layer.neurons and any(chord.layer.neurons for chord in chords):
            p = common(p, _columns(chords, layer.G, layer, magnitude(J)))
        q = scaled(p, (alpha, beta))
        chords.append(Chord(layer, p, *_lines(p, alpha, beta), magnitude(J), magnitude(q)))
        new = times_matrix(q, layer.W, layer.rounding)
        J = new if layer.H is None else added(new, times_matrix(J, layer.H, layer.rounding))
    return chords, common(J, _columns(chords, np.eye(net.inputs), None, magnitude(J)))


def most(
    chords: list[Chord], coef: np.ndarray, given: np.ndarray, last: Layer | None = None
) -> np.ndarray:
    """Upper bounds on sum_j coef_j J_ij for each output i, (B, m, r), rounded upwards.

    Args:
        chords: layers between these entries of the Jacobian and the output, the last layer first.
        coef: (B, m, r, n).
        given: bound on the entries, (B, m, n).
        last: a layer whose matrix the coefficients are, for its rounding.
    """
    const = np.zeros(coef.shape[:3])
    size = _against(coef, given)
    exposed = np.ones(given.shape[:2])
    for chord in reversed(chords):
        layer = chord.layer
        on_q = coef @ layer.W.T
        positive = on_q >= 0.0
        above, below = chord.above_slope[:, :, None], chord.below_slope[:, :, None]
        on_p = on_q * np.where(positive, above, below)
        above, below = chord.above_offset[:, :, None], chord.below_offset[:, :, None]
        offset = on_q * np.where(positive, above, below)
        const = const + offset.sum(axis=-1)
        whole = chord.taken @ np.abs(layer.W)
        if layer.H is not None:
            whole = whole + chord.given @ np.abs(layer.H)
        size = size + _against(coef, whole) + np.abs(offset).sum(axis=-1)
        p = chord.given @ np.abs(layer.G)
        size = size + _against(on_p, p)
        exposed = exposed + 1.0 + (chord.taken + p).sum(axis=-1) + chord.given.sum(axis=-1)
        new = on_p @ layer.G.T
        coef = new if layer.H is None else new + coef @ layer.H.T
    layers = [chord.layer for chord in chords] + ([] if last is None else [last])
    # the entry of output i in row i of the identity
    own = np.einsum("bmrm->bmr", coef)
    error = doubt(layers) * (size + np.abs(own)) + underflow(layers) * exposed[..., None]
    bound = own + const + error
    return np.where(np.isnan(bound), np.inf, bound)


def _columns(
    chords: list[Chord], matrix: np.ndarray, last: Layer | None, given: np.ndarray
) -> Interval:
    """Bounds on J matrix, (B, m, p)."""
    width = matrix.shape[1]
    rows = np.concatenate([matrix.T, -matrix.T])
    coef = np.broadcast_to(rows, (*given.shape[:2], *rows.shape))
    bounds = most(chords, coef, given, last)
    return -bounds[..., width:], bounds[..., :width]


def _lines(
    p: Interval, alpha: np.ndarray, beta: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Slopes and offsets of the lines below and above s p, rounded outwards."""
    low, high = np.minimum(*p), np.maximum(*p)
    mixed = (low < 0.0) & (high > 0.0)
    share = np.divide(high, high - low, out=np.zeros_like(low), where=mixed)
    width = beta - alpha
    # where p keeps its sign one of the two slopes is exact on each side
    above = np.where(mixed, alpha + width * share, np.where(low >= 0.0, beta, alpha))
    below = np.where(mixed, beta - width * share, np.where(low >= 0.0, alpha, beta))
    reach = np.maximum(high, -low)
    slack = 16.0 * UNIT * reach * (np.abs(alpha) + np.abs(beta)) + 16.0 * TINY * (1.0 + reach)
    offset = np.where(mixed, -width * share * low + slack, 0.0)
    # where high - low overflows the share is no share
    offset = np.where(np.isfinite(high - low), offset, np.inf)
    return below, -offset, above, offset


def _against(coef: np.ndarray, size: np.ndarray) -> np.ndarray:
    """|coef| @ size for coef (B, m, r, n) and size (B, m, n)."""
    return (np.abs(coef) @ size[..., None])[..., 0]
