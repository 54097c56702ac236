"""ECLipsE: multipliers layer by layer, for feed-forward nets of any depth.

Xu and Sivaranjani 2024, arXiv:2404.04375. With m = (alpha + beta)/2, X_0 = I and diagonal Lambda_k,

    K_k = m^2 W_k X_{k-1}^-1 W_k^T,  X_k = Lambda_k - Lambda_k K_k Lambda_k,
    L^2 = largest eigenvalue of W_L X_{L-1}^-1 W_L^T.

ECLipsE takes the Lambda_k with the largest c such that X_k >= c W_{k+1}^T W_{k+1}, one small
semidefinite programme a layer; ECLipsE-Fast takes Lambda_k = I / (2 lmax(K_k)), in closed form,
and is never above the product of the norms. The Lambdas are multipliers of LipSDP, t = L^2
Lambda / 2, and are proved as such. 2 alpha beta t a a^T >= 0 is left out in choosing them, which is
sound only where alpha beta >= 0; the proof has it.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np
from scipy.linalg import solve_triangular

from rlopt.theory.checks import boolean
from rlopt.theory.lipschitz.certificate import Certificate, proved
from rlopt.theory.lipschitz.lfr import LFR
from rlopt.theory.lipschitz.lmi import Programme
from rlopt.theory.lipschitz.network import Network

SHARES = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)  # of the closed form, so that X is not singular
MARGIN = 1e-7  # relative, of all multipliers, so that M is not singular
LEAST = 1e-26  # of squared norms; a layer below it is constant


def eclipse(net: Network, fast: bool = False) -> Certificate:
    """A bound in l2 for feed-forward networks, in time linear in the depth.

    Args:
        net: layers x -> phi(W x + b), then a linear one; slopes with alpha beta >= 0, such as
            relu, tanh, leaky_relu.
        fast: the closed form (ECLipsE-Fast) instead of a semidefinite programme a layer.

    Returns:
        A certificate with method "eclipse" or "eclipse-fast".

    Raises:
        ValueError: a residual or implicit network, groups (which are residual in the form with
            |.|), or slopes of both signs.
        SolverFailed: (an ArithmeticError) a layer's programme was not solved.
    """
    began = perf_counter()
    fast = boolean("eclipse", "fast", fast)
    lfr = net.lfr()
    weights, middle = _chain(lfr)
    multipliers = _multipliers(weights, middle, fast)
    method = "eclipse-fast" if fast else "eclipse"
    # the point of the recursion is singular: see `proof._Nearby`
    candidates = [[multipliers * (1.0 + MARGIN)]]
    return proved(net, lfr, candidates, "l2", method, None, began)


def _chain(lfr: LFR) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """W_1..W_L, and (alpha + beta)/2 of each hidden layer's neurons."""
    n0 = lfr.inputs
    blocks = [np.arange(n0), *(n0 + np.flatnonzero(lfr.layer == k) for k in np.unique(lfr.layer))]
    readers = [*(lfr.A.value[block - n0] for block in blocks[1:]), lfr.Y.value]
    for block, reader in zip(blocks, readers, strict=True):
        if np.any(np.delete(reader, block, axis=1)):
            raise ValueError(
                "eclipse: net must be feed-forward, each layer reading only the one before; use "
                "lipsdp for residual and implicit networks and for groups"
            )
    if (lfr.alpha * lfr.beta < 0.0).any():
        i = int(np.argmax(lfr.alpha * lfr.beta < 0.0))
        slopes = f"[{lfr.alpha[i]:g}, {lfr.beta[i]:g}]"
        raise ValueError(f"eclipse: net must have slopes of one sign, got {slopes}; use lipsdp")
    middle = (lfr.alpha + lfr.beta) / 2.0
    return (
        [reader[:, block] for block, reader in zip(blocks, readers, strict=True)],
        [middle[block - n0] for block in blocks[1:]],
    )


def _multipliers(weights: list[np.ndarray], middle: list[np.ndarray], fast: bool) -> np.ndarray:
    """t of LipSDP for the weights as given."""
    # unit norms: the recursion neither grows nor shrinks with the depth
    norms = [float(np.linalg.norm(W, 2)) or 1.0 for W in weights]
    weights = [W / size for W, size in zip(weights, norms, strict=True)]
    factor, found = np.eye(weights[0].shape[1]), []
    for W, m, after in zip(weights, middle, weights[1:], strict=False):
        root = _behind(m[:, None] * W, factor)
        closed = 0.5 / max(float(np.linalg.norm(root, 2)) ** 2, LEAST)
        chosen = np.full(len(W), closed)
        if fast:
            factor = _step(root, chosen)
        else:
            chosen, factor = _mixed(root, _largest(root, after, closed), chosen)
        found.append(chosen)
    value = max(float(np.linalg.norm(_behind(weights[-1], factor), 2)) ** 2, LEAST)
    # w of the weights as given is larger by the norms up to its layer, y by all norms
    later = np.cumprod(norms[::-1])[::-1][1:]
    return np.concatenate(
        [value / 2.0 * size**2 * chosen for size, chosen in zip(later, found, strict=True)]
        or [np.zeros(0)]
    )


def _behind(W: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """R with R R^T = W X^-1 W^T, X = factor factor^T, and no more columns than rows."""
    root = solve_triangular(factor, W.T, lower=True).T
    if root.shape[1] > len(root):
        upper: np.ndarray = np.linalg.qr(root.T, mode="r")
        root = upper.T
    return root


def _step(root: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The Cholesky factor of X = Lambda - Lambda K Lambda."""
    scaled = chosen[:, None] * root
    return np.linalg.cholesky(np.diag(chosen) - scaled @ scaled.T)


def _mixed(root: np.ndarray, best: np.ndarray, closed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best Lambda with as little of the closed form as makes X positive definite, and X."""
    for share in SHARES:
        chosen = share * closed + (1.0 - share) * best
        try:
            return chosen, _step(root, chosen)
        except np.linalg.LinAlgError:
            continue
    return closed, _step(root, closed)


def _largest(root: np.ndarray, after: np.ndarray, unit: float) -> np.ndarray:
    """Lambda with the largest c such that Lambda - Lambda K Lambda >= c W^T W.

    Args:
        root: R with K = R R^T, (n, r).
        after: W of the next layer, (n', n).
        unit: the size of Lambda to expect.
    """
    n, r = root.shape
    programme = Programme([n + r])
    rows, columns = np.arange(n), np.arange(n, n + r)
    diagonal = programme.variables(n)
    (c,) = programme.variables(1, cost=-1.0, signed=False)
    programme.add(0, columns, np.eye(r), None)
    # both sides divided by unit, so that c and Lambda are near 1
    programme.add(0, rows, -after.T @ after, int(c))
    for i, name in enumerate(diagonal):
        places = np.concatenate([[i], columns])
        arrow = np.zeros((r + 1, r + 1))
        arrow[0, 0], arrow[0, 1:], arrow[1:, 0] = 1.0, *[np.sqrt(unit) * root[i]] * 2
        programme.add(0, places, arrow, int(name))
    return unit * programme.minimise("eclipse")[diagonal]
