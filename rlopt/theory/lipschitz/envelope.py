"""How the certified bound moves with the weights: a differentiable certificate.

LipSDP's optimum is a saddle point over multipliers t and second moments X of [x; w]. By the
envelope theorem only the Lagrangian's own dependence on the weights counts,

    d rho = tr(X d(Y^T Y)) - sum_i t_i tr(X dA_i),    d L = d rho / (2 L).

Where the optimum has several multipliers or moments the bound has a kink, and this is one of its
generalised gradients.
"""

from __future__ import annotations

import numpy as np

from rlopt.theory.lipschitz import ipm
from rlopt.theory.lipschitz.layers import Layer, comparators
from rlopt.theory.lipschitz.lfr import LFR
from rlopt.theory.lipschitz.network import Network, checked

GAP = 1e-9  # relative: no proof is asked for here


def gradient(net: Network) -> list[np.ndarray]:
    """dL/dW of the l2 bound of `lipsdp`, one matrix a layer.

    As a regulariser of a torch model with linear layers and a global bound:

        net = Network.from_torch(model)
        for layer, slope in zip(linear_layers, gradient(net), strict=True):
            layer.weight.grad += weight * torch.as_tensor(slope, dtype=layer.weight.dtype)

    >>> net = Network.from_weights([[[1.0], [-1.0]], [[1.0, 2.0]]])
    >>> [np.abs(slope).round(4).tolist() for slope in gradient(net)]  # L = 2: the steeper side
    [[[0.0], [2.0]], [[0.0, 1.0]]]

    Args:
        net: any network; the bound is LipSDP-Neuron's on all of R^n0.

    Returns:
        For a network of weights W_1, ..., W_L the gradients in their order. In general, for each
        layer x' = H x + G phi(W x + D z + b), that for W; for a layer without neurons that for H.

    Raises:
        ValueError: no feasible multipliers.
    """
    lfr = checked(net).lfr()
    solution = ipm.solve(lfr, "l2", gap=GAP)
    if solution.primal <= 0.0:  # a constant network
        return [np.zeros_like(layer.W if layer.neurons else layer.H) for layer in net.layers]
    dA, dY = _representation(lfr, solution)
    scalar = iter(_layers(net.scalar, dA, dY))
    slopes = []
    for layer in net.layers:
        if layer.activation.group == 1:
            dW, dH = next(scalar)
            slopes.append(dW if layer.neurons else dH)
        else:  # the first of its steps is x -> [W; I] x
            slopes.append(next(scalar)[1][: layer.neurons])
            for _ in comparators(layer)[1:]:
                next(scalar)
    return slopes


def _representation(lfr: LFR, solution: ipm.Solution) -> tuple[np.ndarray, np.ndarray]:
    """dL/dA and dL/dY."""
    A, Y, n0 = lfr.A.value, lfr.Y.value, lfr.inputs
    X, t = solution.X, solution.candidates[0]
    p, q = 2.0 * lfr.alpha * lfr.beta, -(lfr.alpha + lfr.beta)
    dA = -2.0 * t[:, None] * (p[:, None] * (A @ X) + q[:, None] * X[n0:])
    stable = np.flatnonzero(lfr.beta == lfr.alpha)
    if stable.size:
        # w = alpha v has a multiplier y, a row of numbers: M X + (B - alpha A)^T y = 0
        M = lfr.constraints(t).value - Y.T @ Y
        M[:n0, :n0] += solution.primal * np.eye(n0)
        tied = (np.eye(lfr.neurons, n0 + lfr.neurons, n0) - lfr.alpha[:, None] * A)[stable]
        y = np.linalg.lstsq(tied.T, -M @ X, rcond=None)[0]
        dA[stable] = 2.0 * lfr.alpha[stable, None] * y
    scale = 0.5 / np.sqrt(solution.primal)
    return scale * dA, scale * 2.0 * (Y @ X)


def _layers(net: Network, dA: np.ndarray, dY: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """dL/dW and dL/dH of each layer: back through `Network.lfr`."""
    n0, total = net.inputs, net.inputs + net.neurons
    states, columns, start = [np.eye(n0, total)], list[slice](), n0
    for layer in net.layers:
        columns.append(slice(start, start := start + layer.neurons))
        states.append(_through(layer, states[-1]))
        states[-1][:, columns[-1]] += layer.G
    slopes = []
    for layer, state, here in zip(net.layers[::-1], states[-2::-1], columns[::-1], strict=True):
        rows = dA[here.start - n0 : here.stop - n0]
        slopes.append((rows @ state.T, dY @ state.T))
        dY = layer.W.T @ rows + (0.0 if layer.H is None else layer.H.T @ dY)
    return slopes[::-1]


def _through(layer: Layer, state: np.ndarray) -> np.ndarray:
    """H X, 0 where there is no H."""
    return np.zeros((layer.outputs, state.shape[1])) if layer.H is None else layer.H @ state
