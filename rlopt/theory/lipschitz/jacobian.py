"""The interval Jacobian: every entry's range when each slope moves in its interval.

From the outputs backwards, J_k = J_{k+1} H + ([alpha, beta] * (J_{k+1} G)) W, in interval
arithmetic, and the same from the inputs forwards (the idea of Fast-Lip and RecurJac, Zhang et al.
2018, arXiv:1804.09699 and arXiv:1810.11783). Neither direction is always better; what lies in both
is kept. |J|_2 is at most the norm of the matrix of largest absolute values.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np

from rlopt.theory.certificate import UNIT, gamma_n, spectral_norm, up
from rlopt.theory.checks import known
from rlopt.theory.lipschitz.certificate import Certificate, outward
from rlopt.theory.lipschitz.interval import (
    Interval,
    added,
    common,
    magnitude,
    scaled,
    times_matrix,
)
from rlopt.theory.lipschitz.network import SLOPES, Network, checked
from rlopt.theory.lipschitz.regions import NORMS, Region, box
from rlopt.theory.lipschitz.slopes import slopes as slopes_on


def interval_jacobian(
    net: Network, region: Region | None = None, norm: str = "l2", slopes: str = "crown"
) -> Certificate:
    """A Lipschitz bound from the interval Jacobian.

    >>> net = Network.from_weights([[[1.0], [-1.0]], [[1.0, 1.0]]])  # |x|
    >>> interval_jacobian(net, (np.array([1.0]), np.array([2.0]))).upper < 1.0 + 1e-11
    True

    Args:
        net: the network, without implicit layers.
        region: a box (low, high); None: the slopes of the whole line.
        norm: "l2", "linf" or "linf_l1".
        slopes: "crown" for slopes by CROWN and interval bounds; "interval" by the latter alone.

    Raises:
        ValueError: an implicit layer, an unknown norm, or a region that is no box.
        ArithmeticError: the bounds on the Jacobian overflow.
    """
    began = perf_counter()
    checked(net)
    known("interval_jacobian", "norm", norm, NORMS)
    refuse_implicit("interval_jacobian", net)
    known("interval_jacobian", "slopes", slopes, SLOPES)
    region = None if region is None else box(net.inputs, region)
    upper = bounded(net, region, norm, relaxed=slopes == "crown")
    options = {} if slopes == "crown" else {"slopes": slopes}
    return outward(upper, net, norm, "interval_jacobian", region, options, began)


def bounded(net: Network, region: Region | None, norm: str, relaxed: bool = True) -> float:
    """The bound of `interval_jacobian`, which see."""
    alpha, beta = slopes_or_limits(net, region, relaxed)
    with np.errstate(over="ignore", invalid="ignore"):
        J = entries(net.scalar, (alpha[None], beta[None]))
    return norm_of_sizes(magnitude((J[0][0], J[1][0])), norm)


def refuse_implicit(owner: str, net: Network) -> None:
    """Raise for layers whose Jacobian needs an inverse.

    Raises:
        ValueError: the network has an implicit layer.
    """
    if net.implicit_layers:
        raise ValueError(f"{owner}: implicit layers are not supported; use lipsdp")


def slopes_or_limits(net: Network, region: Region | None, relaxed: bool = True) -> Interval:
    """Slopes (alpha, beta) of the neurons of `net.scalar` on a region, or anywhere, (N,) each."""
    if region is not None:
        return slopes_on(net, region, relaxed)
    layers = net.scalar.layers
    widths = [layer.neurons for layer in layers]
    pairs = [layer.activation.slopes for layer in layers]
    alpha, beta = (np.repeat(side, widths) for side in zip(*pairs, strict=True))
    return alpha, beta


def entries(net: Network, slope: Interval) -> Interval:
    """Bounds on the entries of the Jacobian, (B, m, n0): what both directions agree on.

    Args:
        net: of single neurons, explicit.
        slope: smallest and largest slopes, (B, N).
    """
    turned = backwards(net, slope)[0]
    return common(forwards(net, slope), turned)


def backwards(net: Network, slope: Interval) -> list[Interval]:
    """Bounds on d output / d x_k, (B, m, n_k), for the input x_k of each layer and the output."""
    J = _identity(len(slope[0]), net.outputs)
    found, stop = [J], net.neurons
    for layer in reversed(net.layers):
        here = slice(stop - layer.neurons, stop)
        stop = here.start
        maps = layer.G, layer.W, layer.H
        J = _through(J, maps, layer.rounding, (slope[0][:, here], slope[1][:, here]))
        found.append(J)
    return found[::-1]


def forwards(net: Network, slope: Interval) -> Interval:
    """Bounds on the Jacobian from the inputs on, (B, m, n0)."""
    J, start = _identity(len(slope[0]), net.inputs), 0
    for layer in net.layers:
        here = slice(start, start + layer.neurons)
        start = here.stop
        maps = layer.W.T, layer.G.T, None if layer.H is None else layer.H.T
        J = _through(J, maps, layer.rounding, (slope[0][:, here], slope[1][:, here]))
    return J[0].swapaxes(1, 2), J[1].swapaxes(1, 2)


def _identity(batch: int, size: int) -> Interval:
    eye = np.broadcast_to(np.eye(size), (batch, size, size))
    return eye, eye


def _through(
    J: Interval,
    maps: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    rounding: float,
    slope: Interval,
) -> Interval:
    """([alpha, beta] * (J first)) second + J skip."""
    first, second, skip = maps
    inner = times_matrix(J, first, rounding)
    moved = scaled(inner, (slope[0][:, None], slope[1][:, None]))
    new = times_matrix(moved, second, rounding)
    return new if skip is None else added(new, times_matrix(J, skip, rounding))


def norm_of_sizes(largest: np.ndarray, norm: str) -> float:
    """A proved bound on the norm of every matrix with |J| <= largest, (m, n0).

    Raises:
        ArithmeticError: the bounds are not finite.
    """
    if not largest.any():
        return 0.0
    found = np.inf
    with np.errstate(over="ignore"):
        if norm != "l2":
            total = largest.sum(axis=1).max() if norm == "linf" else largest.sum()
            found = up(float(total) * (1.0 + gamma_n(largest.size + 2) + 2.0 * UNIT))
        elif np.isfinite(largest).all():
            found = spectral_norm(largest)
    if not np.isfinite(found):
        raise ArithmeticError("lipschitz: the bounds on the Jacobian overflow")
    return found
