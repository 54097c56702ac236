"""ECLipsE: multipliers layer by layer, for feed-forward nets of any depth.

Xu and Sivaranjani 2024, arXiv:2404.04375. With m = (alpha + beta)/2, p = alpha beta, X_0 = I,
K_k = W_k X_{k-1}^-1 W_k^T and diagonal Lambda_k,

    X_k = Lambda_k - m^2 Lambda_k (K_k^-1 + p Lambda_k)^-1 Lambda_k,
    L^2 = largest eigenvalue of W_L X_{L-1}^-1 W_L^T.

ECLipsE takes the Lambda_k with the largest c such that X_k >= c W_{k+1}^T W_{k+1}, one small
semidefinite programme a layer; ECLipsE-Fast takes the multiple of the identity with the largest
least eigenvalue of X_k, Lambda_k = 2 / (s (beta - alpha) lmax(K_k)), s = max(|alpha|, |beta|), and
is never above the product of the norms. The Lambdas are multipliers of LipSDP, t = L^2 Lambda / 2,
and are proved as such; in deep nets the least rho for these t is well below L^2.

Differences from the paper: it drops p, which costs bound where p > 0 and is unsound where p < 0;
without it the closed form can exceed the product. Weights are scaled to unit norm first.
"""

from __future__ import annotations

from itertools import pairwise
from time import perf_counter
from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from rlopt.theory.checks import boolean
from rlopt.theory.lipschitz.certificate import Certificate, proved
from rlopt.theory.lipschitz.lfr import LFR
from rlopt.theory.lipschitz.lmi import Programme
from rlopt.theory.lipschitz.network import Network, checked
from rlopt.theory.lipschitz.norms import refuse_extreme

SHARES = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)  # of the closed form, so that X is not singular
NARROW = 1e-6  # slope intervals are widened to this, relative; linear neurons have no best Lambda
LEAST = 1e-26  # of squared norms; a layer below it is constant


def eclipse(net: Network, fast: bool = False) -> Certificate:
    """A bound in l2 for feed-forward networks, in time linear in the depth.

    A layer's programme has a variable a neuron and is handed to a general solver: layers of about
    100 neurons take minutes. The closed form takes as long as a few products of matrices.

    Args:
        net: layers x -> phi(W x + b), phi of single neurons, then a linear one.
        fast: the closed form (ECLipsE-Fast) instead of a semidefinite programme a layer.

    Returns:
        A certificate with method "eclipse" or "eclipse-fast"; a little above 0 for a constant.

    Raises:
        ValueError: a residual or implicit network, or groups (which are residual in the form with
            one |.| a pair); norms of layers whose product is neither 0 nor between 1e-120 and
            1e120.
        SolverFailed: (an ArithmeticError) a layer's programme was not solved.
    """
    began = perf_counter()
    fast = boolean("eclipse", "fast", fast)
    refuse_extreme("eclipse", checked(net))
    lfr = net.lfr()
    multipliers = _multipliers(_chain(lfr), fast)
    method = "eclipse-fast" if fast else "eclipse"
    return proved(net, lfr, [[multipliers]], "l2", method, None, began)


class _Layer(NamedTuple):
    """W of a layer, and the slopes of the neurons behind it (those of the last have no meaning)."""

    W: np.ndarray
    alpha: float
    beta: float


def _chain(lfr: LFR) -> list[_Layer]:
    """The layers of a feed-forward network, the linear one last."""
    n0 = lfr.inputs
    blocks = [np.arange(n0), *(n0 + np.flatnonzero(lfr.layer == k) for k in np.unique(lfr.layer))]
    readers = [*(lfr.A.value[block - n0] for block in blocks[1:]), lfr.Y.value]
    slopes = [(lfr.alpha[block[0] - n0], lfr.beta[block[0] - n0]) for block in blocks[1:]]
    layers = []
    for block, reader, pair in zip(blocks, readers, [*slopes, (0.0, 0.0)], strict=True):
        if np.any(np.delete(reader, block, axis=1)):
            raise ValueError(
                "eclipse: net must be feed-forward, each layer reading only the one before; use "
                "lipsdp for residual and implicit networks and for groups"
            )
        layers.append(_Layer(reader[:, block], float(pair[0]), float(pair[1])))
    return layers


def _multipliers(layers: list[_Layer], fast: bool) -> np.ndarray:
    """t of LipSDP for the weights as given."""
    # unit norms: the recursion neither grows nor shrinks with the depth
    norms = [float(np.linalg.norm(layer.W, 2)) or 1.0 for layer in layers]
    layers = [layer._replace(W=layer.W / size) for layer, size in zip(layers, norms, strict=True)]
    factor, found = np.eye(layers[0].W.shape[1]), []
    for layer, after in pairwise(layers):
        root = _behind(layer.W, factor)
        closed = _closed(root, layer)
        chosen = np.full(len(layer.W), closed)
        if fast or not (np.any(after.W) and np.any(root)):
            factor = _step(root, layer, chosen)
        else:
            best = _largest(root, layer, after.W, closed)
            chosen, factor = _mixed(root, layer, best, chosen)
        found.append(chosen)
    value = max(float(np.linalg.norm(_behind(layers[-1].W, factor), 2)) ** 2, LEAST)
    # w of the weights as given is larger by the norms up to its layer, y by all norms
    later = np.cumprod(norms[::-1])[::-1][1:]
    return np.concatenate(
        [value / 2.0 * size**2 * chosen for size, chosen in zip(later, found, strict=True)]
        or [np.zeros(0)]
    )


def _closed(root: np.ndarray, layer: _Layer) -> float:
    """Lambda of the closed form: the largest least eigenvalue of X."""
    steepest = max(abs(layer.alpha), abs(layer.beta))
    width = max(layer.beta - layer.alpha, NARROW * steepest)
    largest = max(float(np.linalg.norm(root, 2)) ** 2, LEAST)
    return 2.0 / (steepest * width * largest) * (1.0 - SHARES[0])


def _behind(W: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """R with R R^T = W X^-1 W^T, X = factor factor^T, and no more columns than rows."""
    root = solve_triangular(factor, W.T, lower=True).T
    if root.shape[1] > len(root):
        root = np.linalg.qr(root.T)[1].T
    return root


def _step(root: np.ndarray, layer: _Layer, chosen: np.ndarray) -> np.ndarray:
    """The Cholesky factor of X, for K = R R^T."""
    inner = np.eye(root.shape[1])
    inner += layer.alpha * layer.beta * root.T @ (chosen[:, None] * root)
    middle = (layer.alpha + layer.beta) / 2.0
    scaled = middle * chosen[:, None] * root
    scaled = solve_triangular(np.linalg.cholesky(inner), scaled.T, lower=True)
    return np.linalg.cholesky(np.diag(chosen) - scaled.T @ scaled)


def _mixed(
    root: np.ndarray, layer: _Layer, best: np.ndarray, closed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The best Lambda with as little of the closed form as makes X positive definite, and X."""
    for share in SHARES:
        chosen = share * closed + (1.0 - share) * best
        try:
            return chosen, _step(root, layer, chosen)
        except np.linalg.LinAlgError:
            continue
    return closed, _step(root, layer, closed)


def _largest(root: np.ndarray, layer: _Layer, after: np.ndarray, unit: float) -> np.ndarray:
    """Lambda with the largest c such that X >= c W^T W.

    Args:
        root: R with K = R R^T, (n, r).
        layer: the slopes.
        after: W of the next layer, (n', n).
        unit: the size of Lambda to expect.
    """
    n, r = root.shape
    programme = Programme([n + r])
    columns = np.arange(n, n + r)
    diagonal = programme.variables(n)
    (c,) = programme.variables(1, cost=-1.0, signed=False)
    programme.add(0, columns, np.eye(r), None)
    # c and Lambda divided by unit, so that they are near 1
    programme.add(0, np.arange(n), -after.T @ after, int(c))
    root = np.sqrt(unit) * root
    for i, name in enumerate(diagonal):
        arrow = layer.alpha * layer.beta * np.outer(*[np.append(0.0, root[i])] * 2)
        arrow[0, 0] = 1.0
        arrow[0, 1:] = arrow[1:, 0] = (layer.alpha + layer.beta) / 2.0 * root[i]
        programme.add(0, np.append(i, columns), arrow, int(name))
    return unit * programme.minimise("eclipse")[diagonal]
