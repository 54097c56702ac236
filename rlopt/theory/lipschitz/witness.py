"""Whether a Jacobian's norm is attained: the point is no kink, whatever rounding did."""

from __future__ import annotations

import numpy as np

from rlopt.theory.certificate import gamma_n
from rlopt.theory.lipschitz.layers import Layer
from rlopt.theory.lipschitz.network import Network
from rlopt.theory.lipschitz.regions import operator_norm

CLEAR = 1e-12  # relative distance from a kink below which nobody looks


def attained(net: Network, witness: np.ndarray, norm: str) -> float:
    """The norm of the Jacobian less what rounding may have added, 0 at a kink.

    Errors are followed through the layers by the norm of what each does to small changes; bounds
    on every path through the network would grow with the norms of |W|, in deep networks without
    end. Derivatives of smooth activations are taken as computed, and in implicit layers of these
    an error's first order.

    Args:
        net: of single neurons.
        witness: the point (n0,).
        norm: "l2", "linf" or "linf_l1".
    """
    x, J = witness, np.eye(net.inputs)
    drift = doubt = 0.0  # bounds on the errors of x and, in Frobenius norm, of J
    free = np.ones(net.inputs, dtype=bool)
    for layer in net.layers:
        v, z = layer.fixed_point(x)
        slope = layer.activation.function.slope(v)
        moves, free = reached(layer, slope, free)
        unit = 4.0 * gamma_n(layer.inputs + layer.neurons + 8) + layer.rounding
        fresh = unit * size(layer, x, z)
        W, paths = layer.W, np.abs(layer.W) @ np.abs(J)
        if layer.D is not None:
            # dv = W dx + D phi'(v) dv; Newton's method leaves a rest
            rest = 1e-13 * (1.0 + np.abs(z).max(initial=0.0))
            system = np.eye(layer.neurons) - layer.D * slope
            inverse = np.linalg.inv(system)
            spread = np.abs(inverse)
            fresh = spread @ (fresh + rest * (1.0 + np.abs(layer.D).sum(axis=1)))
            W, paths = inverse @ W, spread @ (np.abs(system) @ (spread @ paths))
        if (near(layer, v, np.linalg.norm(W, axis=1) * drift + fresh) & moves).any():
            return 0.0
        sizes, steep = np.abs(layer.G), np.abs(slope)
        T, x_new = layer.G @ (slope[:, None] * W), z @ layer.G.T + layer.c
        new = np.linalg.norm(sizes @ (steep * (fresh + unit * np.abs(v)) + unit * np.abs(z)))
        paths = sizes @ (steep[:, None] * paths)
        if layer.H is not None:
            T, x_new, sizes = T + layer.H, x_new + layer.H @ x, np.abs(layer.H)
            new += unit * np.linalg.norm(sizes @ np.abs(x))
            paths += sizes @ np.abs(J)
        growth = float(np.linalg.norm(T, 2)) * (1.0 + 1e-9)
        doubt = growth * doubt + unit * float(np.linalg.norm(paths))
        drift = _growth(layer, growth) * drift + float(new + unit * np.linalg.norm(layer.c))
        x, J = x_new, T @ J
    # the norms of a matrix over its Frobenius norm
    share = {"l2": 1.0, "linf": net.inputs**0.5, "linf_l1": (net.inputs * net.outputs) ** 0.5}
    value = float(operator_norm(net.jacobian(witness), norm))
    value *= 1.0 - gamma_n(10 * (net.inputs + net.outputs))
    return max(value - 2.0 * share[norm] * doubt, 0.0)


def _growth(layer: Layer, here: float) -> float:
    """What a layer multiplies changes of its input by: as at the point, unless slopes change."""
    if layer.activation.function.exact:
        return here
    whole = float(np.linalg.norm(layer.G, 2) * np.linalg.norm(layer.W, 2))
    whole *= float(np.abs(layer.activation.slopes).max())
    skip = 0.0 if layer.H is None else float(np.linalg.norm(layer.H, 2))
    return max(here, (skip + whole) * (1.0 + 1e-9))


def size(layer: Layer, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """|W| |x| + |D| |z| + |b|."""
    size = np.abs(x) @ np.abs(layer.W).T + np.abs(layer.b)
    return size if layer.D is None else size + np.abs(z) @ np.abs(layer.D).T


def near(layer: Layer, v: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Which pre-activations may be at a kink, when they are known up to an error, (B, h)."""
    f, close = layer.activation.function, np.zeros(v.shape, dtype=bool)
    for kink in {point for point, _ in f.turning}:
        if f.exact or f.slope(np.array(kink)) != f.left(np.array(kink)):
            close |= np.abs(v - kink) <= error + CLEAR * abs(kink)
    return close


def reached(layer: Layer, slope: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which pre-activations (..., h) and outputs (..., p) change with the inputs around a point.

    Those to which no path of nonzero weights and slopes leads are constant there; it does no harm
    if their constant is a kink.

    Args:
        layer: of single neurons.
        slope: derivatives of the activation, (..., h).
        free: which of the layer's inputs change, (..., n).
    """
    moves = _any(layer.W, free)
    if layer.D is not None:
        moves |= moves.any(axis=-1, keepdims=True)
    new = _any(layer.G, moves & (slope != 0.0))
    return moves, new if layer.H is None else new | _any(layer.H, free)


def _any(matrix: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Which rows have a nonzero entry in one of the columns (..., n)."""
    return free.astype(float) @ (matrix != 0.0).T.astype(float) > 0.0
