"""The oldest bound: the product of the layers' norms, rounded outwards."""

from __future__ import annotations

from itertools import product
from time import perf_counter

import numpy as np

from rlopt.theory.certificate import Enclosed, exactly, gamma_n, spectral_norm, times, up
from rlopt.theory.checks import known
from rlopt.theory.lipschitz.activations import Activation
from rlopt.theory.lipschitz.certificate import Certificate, outward
from rlopt.theory.lipschitz.network import Network, checked
from rlopt.theory.lipschitz.regions import NORMS, SIGNED

SIZES = (1e-120, 1e120)  # of a bound whose square floats can hold


def product_bound(net: Network, norm: str = "l2") -> Certificate:
    """The product over layers of |H| + |G| |phi| |W|.

    Linear maps that follow each other are multiplied first. An implicit layer z = phi(W x + D z)
    contributes |phi| |W| / (1 - |phi| |D|), inf if |phi| |D| >= 1. |phi| is the largest absolute
    slope; groups are 1-Lipschitz, but for Householder in l_inf. The last map is measured from
    l_inf to l_1 for "linf_l1", all others from l_inf to l_inf.

    >>> net = Network.from_weights([[[3.0]], [[2.0]]])
    >>> round(product_bound(net).upper, 9)
    6.0

    Args:
        net: the network.
        norm: "l2", "linf" (l_inf to l_inf) or "linf_l1" (l_inf to l_1).

    Returns:
        A certificate without multipliers, valid everywhere, method "product"; 0 where a layer's
        matrix is 0, inf where the product overflows.

    Raises:
        ValueError: an unknown norm.
    """
    began = perf_counter()
    checked(net)
    known("product_bound", "norm", norm, NORMS)
    inner = "linf" if norm == "linf_l1" else norm
    upper = 1.0
    before: Enclosed | None = None  # linear maps that are yet to be measured
    for layer in net.layers:
        rounding = layer.rounding
        if not layer.neurons:
            before = _after(before, layer.H, rounding)
            continue
        slope = _slope(layer.activation, inner)
        gain = _times(slope, _size(_after(before, layer.W, rounding), inner))
        if layer.D is not None:
            gain = _implicit(gain, _times(slope, _size(exactly(layer.D), inner)))
        G = _after(None, layer.G, rounding)
        if layer.H is None:
            upper, before = _times(upper, gain), G
        else:
            outer = norm if layer is net.layers[-1] else inner
            beside = _times(_size(G, outer), gain)
            skip = _size(_after(before, layer.H, rounding), outer)
            upper, before = _times(upper, _raised(skip + beside)), None
    if before is not None:
        upper = _times(upper, _size(before, norm))
    return outward(upper, net, norm, "product", None, {}, began)


def refuse_extreme(owner: str, net: Network) -> None:
    """Raise for weights with which squares of bounds are beyond floats.

    Raises:
        ValueError: the product of the layers' norms is neither 0 nor within `SIZES`.
    """
    size = product_bound(net).upper
    if net.implicit_layers and size == np.inf:  # there is no product
        return
    if size != 0.0 and not SIZES[0] <= size <= SIZES[1]:
        limits = f"{SIZES[0]:.0e} and {SIZES[1]:.0e}"
        raise ValueError(
            f"{owner}: the product of the layers' norms must be 0 or between {limits}, got "
            f"{size:.3g}; scale the weights"
        )


def _after(before: Enclosed | None, matrix: np.ndarray | None, rounding: float) -> Enclosed:
    """A layer's matrix times the linear maps before it."""
    assert matrix is not None  # layers without neurons have H
    given = Enclosed(matrix, rounding * np.abs(matrix))
    with np.errstate(over="ignore", invalid="ignore"):
        return given if before is None else times(given, before)


def _times(a: float, b: float) -> float:
    """a b, rounded up; nothing is left of a zero matrix, whatever the other layers are."""
    return 0.0 if a == 0.0 or b == 0.0 else up(a * b)


def _raised(value: float) -> float:
    """Rounded up, but for a 0, which is exact."""
    return up(value) if value > 0.0 else 0.0


def _implicit(gain: float, feedback: float) -> float:
    """gain / (1 - feedback), rounded up."""
    return _raised(gain / (1.0 - feedback)) if feedback < 1.0 else np.inf


def _slope(activation: Activation, norm: str) -> float:
    """The activation's own Lipschitz constant."""
    if activation.group == 1:
        return float(np.abs(activation.slopes).max())
    if activation.name != "householder" or norm == "l2":
        return 1.0
    v = np.array(activation.arguments)
    mirror = np.eye(len(v)) - 2.0 * np.outer(v, v) / (v @ v)
    error = gamma_n(len(v) + 8) * (np.eye(len(v)) + np.abs(mirror))
    return max(1.0, _size(Enclosed(mirror, error), norm))


def _size(matrix: Enclosed, norm: str) -> float:
    """An upper bound on the operator norm."""
    value, error = matrix
    if not value.any() and not error.any():
        return 0.0
    if not (np.isfinite(value).all() and np.isfinite(error).all()):
        return np.inf
    if norm == "l2":
        return up(spectral_norm(value) + (spectral_norm(error) if error.any() else 0.0))
    size = np.abs(value) + error
    rounding = 1.0 + gamma_n(size.size + 4)
    if norm == "linf":
        return up(float(size.sum(axis=1).max()) * rounding)
    # l_inf to l_1 is the same for the transpose: the signs of the shorter side are tried
    short, rest = (value, error) if len(value) <= value.shape[1] else (value.T, error.T)
    total = float(size.sum())
    if len(short) > SIGNED:
        return up(total * rounding)
    signs = np.array(list(product((1.0, -1.0), repeat=len(short))))
    found = float(np.abs(signs @ short).sum(axis=1).max())
    return up(found + float(rest.sum()) * rounding + total * (rounding - 1.0))
