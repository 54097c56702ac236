"""LipSDP by a first-order method, for networks whose interior-point method is too slow.

With t = rho theta the bound of given theta is one eigenvalue,

    rho(theta) = lmax(Y M(theta)^-1 Y^T),   M(theta) = E0 + sum_i theta_i A_i positive definite,

and one Cholesky factorisation gives it with all its derivatives. It is minimised over log theta
by L-BFGS. A penalty keeps M positive definite: - mu log det of M scaled to a diagonal of ones, mu
falling; lmax is replaced by a p-norm of the eigenvalues, p rising. Every iterate is feasible, so
that the method can be stopped whenever one likes.

Differences from LipDiff (Wang et al., ICLR 2024), whose place it takes: there lmax of the whole
matrix is penalised instead of inverting it, rho is a variable, and Adam takes the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import eigh, lapack

from rlopt.theory.checks import whole
from rlopt.theory.lipschitz.certificate import Certificate, proved
from rlopt.theory.lipschitz.lfr import LFR
from rlopt.theory.lipschitz.network import Network, checked
from rlopt.theory.lipschitz.norms import refuse_extreme
from rlopt.theory.lipschitz.proof import interior, value
from rlopt.theory.lipschitz.regions import box

PENALTIES = (10.0, 1.0, 0.1, 0.01, 3e-4)  # mu of each stage, times the order of M
POWERS = (8.0, 32.0, 128.0, 512.0, 2048.0)  # p of each stage
TINY = 1e-100
IDLE = 1e6  # multiplier of neurons that never move, over that of the others
MEMORY = 20  # pairs of L-BFGS
DECREASE, BACK, SHORTEST = 1e-4, 0.5, 1e-6  # of the line search


class Value(NamedTuple):
    """The objective at a point.

    Attributes:
        objective: log of the p-norm, and the penalty; inf where M is not positive definite.
        gradient: with respect to log theta.
        rho: lmax(Y M^-1 Y^T).
    """

    objective: float
    gradient: np.ndarray
    rho: float


def penalty(net: Network, iterations: int = 150, region: Any = None) -> Certificate:
    """The l2 bound of LipSDP, nearly: no smaller, and below that of ECLipsE-Fast.

    An iteration costs a Cholesky factorisation and inverse of order n0 + N.

    >>> net = Network.from_weights([[[1.0], [-1.0]], [[1.0, 1.0]]])  # |x|
    >>> round(penalty(net).upper, 4)
    1.0

    Args:
        net: any network.
        iterations: of L-BFGS, over all stages; 0 certifies the start.
        region: a box (low, high) that must hold both points; None: all of R^n0.

    Raises:
        ValueError: negative iterations, no feasible start, a region that is no box, or norms of
            layers whose product is neither 0 nor between 1e-120 and 1e120.
    """
    began = perf_counter()
    checked(net)
    whole("penalty", "iterations", iterations, 0)
    region = None if region is None else box(net.inputs, region)
    refuse_extreme("penalty", net)
    lfr = net.lfr(region)
    chosen = (lfr.alpha != 0.0) | (lfr.beta != 1.0)
    unit, order = lfr.shifted(chosen) if chosen.any() else (lfr, np.arange(lfr.neurons))
    theta, rho = minimise(unit, iterations)
    t = np.zeros(lfr.neurons)
    t[order] = rho * theta
    width = np.where(chosen & (lfr.beta > lfr.alpha), lfr.beta - lfr.alpha, 1.0)
    return proved(net, lfr, [[t / width**2]], "l2", "penalty", region, began)


def minimise(lfr: LFR, iterations: int) -> tuple[np.ndarray, float]:
    """theta (N,) and rho(theta) for slopes [0, 1].

    Raises:
        ValueError: no feasible start.
    """
    theta = start(lfr)
    if not lfr.Y.value.any():
        return theta, TINY
    point, order = np.log(theta), lfr.inputs + lfr.neurons
    problem = _Problem(lfr)
    best = problem.at(point, 0.0, 1.0).rho, point
    allowed = iterations if lfr.neurons else 0
    shares = np.diff(allowed * np.arange(len(PENALTIES) + 1) // len(PENALTIES))
    for steps, mu, p in zip(shares, PENALTIES, POWERS, strict=True):
        point, found = _lbfgs(partial(problem.at, mu=mu / order, p=p), point, int(steps))
        best = min(best, (found.rho, point), key=lambda pair: pair[0])
    return np.exp(best[1]), best[0]


def start(lfr: LFR) -> np.ndarray:
    """theta of ECLipsE-Fast (Xu and Sivaranjani 2024, arXiv:2404.04375), one number a layer.

    Layer by layer the largest eigenvalue of what the earlier ones leave, A_k M^-1 A_k^T; where
    neurons feed back, multipliers from `proof.interior` instead.

    Raises:
        ValueError: none was found.
    """
    n0, A = lfr.inputs, lfr.A.value
    theta = np.zeros(lfr.neurons)
    for k in np.unique(lfr.layer):
        mine = np.flatnonzero(lfr.layer == k)
        before = np.append(np.arange(n0), n0 + np.flatnonzero(lfr.layer < k))
        later = np.flatnonzero(lfr.layer >= k)
        if np.any(A[np.ix_(mine, n0 + later)]):
            t = interior(lfr)
            found = value(lfr, "l2", t)
            assert found is not None
            return t / found[1]
        M = _matrix(lfr, theta)[np.ix_(before, before)]
        factor, _ = lapack.dpotrf(M, lower=1)
        half = lapack.dtrtrs(factor, A[np.ix_(mine, before)].T, lower=1)[0]
        gain = float(np.linalg.norm(half, 2)) ** 2
        # neurons that never move: a large multiplier, but not so large that nothing can be proved
        theta[mine] = 1.0 / gain if gain > TINY else IDLE * max(1.0, float(theta.max()))
    return theta


def _matrix(lfr: LFR, theta: np.ndarray) -> np.ndarray:
    """M(theta) for slopes [0, 1]."""
    n0 = lfr.inputs
    M = np.zeros((n0 + lfr.neurons,) * 2)
    M[n0:] = -theta[:, None] * lfr.A.value
    M[n0:, n0:] += np.diag(theta)
    M += M.T
    M[np.arange(n0), np.arange(n0)] = 1.0
    return M


class _Problem:
    """The objective of a representation with slopes [0, 1]."""

    def __init__(self, lfr: LFR) -> None:
        self.lfr, self.Y = lfr, lfr.Y.value

    def at(self, x: np.ndarray, mu: float, p: float) -> Value:
        """The objective at log theta = x."""
        outside = Value(np.inf, np.zeros(0), np.inf)
        if x.size and np.abs(x).max() > 500.0:
            return outside
        n0, A, theta = self.lfr.inputs, self.lfr.A.value, np.exp(x)
        scale = np.concatenate([np.ones(n0), np.sqrt(0.5 / theta)])
        M = _matrix(self.lfr, theta) * scale[:, None] * scale
        factor, failed = lapack.dpotrf(M.T, lower=1, overwrite_a=1, clean=0)
        if failed:
            return outside
        determinant = 2.0 * np.log(np.diag(factor)).sum()
        Q = lapack.dpotrs(factor, scale[:, None] * self.Y.T, lower=1)[0] * scale[:, None]
        eigenvalues, U = eigh(self.Y @ Q)
        rho = float(eigenvalues[-1])
        if not rho > 0.0:
            return outside
        shares = np.maximum(eigenvalues / rho, 0.0)
        total = (shares**p).sum()
        # d log |eigenvalues|_p = sum of weights times d eigenvalue
        weights = shares ** (p - 1.0) / (total * rho)
        modes = Q @ U
        gradient = np.zeros_like(x)
        moved = modes[n0:] - A @ modes
        gradient -= 2.0 * theta * ((modes[n0:] * moved) @ weights)
        if mu > 0.0:
            P = lapack.dpotri(factor, lower=1, overwrite_c=1)[0]
            gradient -= mu * self._bends(P, scale, theta)
        return Value(np.log(rho) + np.log(total) / p - mu * determinant, gradient, rho)

    def _bends(self, P: np.ndarray, scale: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Derivative of the scaled log det: theta_i tr(M^-1 A_i) - 1."""
        n0, A = self.lfr.inputs, self.lfr.A.value
        P = np.tril(P)
        P += np.tril(P, -1).T
        P *= scale[:, None]
        P *= scale
        inner = np.einsum("ij,ij->i", A, P[n0:])
        return 2.0 * theta * (np.diag(P)[n0:] - inner) - 1.0


def _lbfgs(
    objective: Callable[[np.ndarray], Value], x: np.ndarray, iterations: int
) -> tuple[np.ndarray, Value]:
    """Descend from a feasible point with a backtracking line search."""
    here = objective(x)
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(iterations):
        direction = -_two_loops(here.gradient, pairs)
        slope = float(direction @ here.gradient)
        if not pairs:
            direction /= max(np.abs(direction).max(), 1e-300) / 0.1
            slope = float(direction @ here.gradient)
        step = 1.0
        while step >= SHORTEST:
            there = objective(x + step * direction)
            if there.objective <= here.objective + DECREASE * step * slope:
                break
            step *= BACK
        else:
            if not pairs:
                break
            pairs = []
            continue
        s, y = step * direction, there.gradient - here.gradient
        if s @ y > 1e-10 * np.linalg.norm(s) * np.linalg.norm(y):
            pairs = [*pairs, (s, y)][-MEMORY:]
        x, here = x + s, there
    return x, here


def _two_loops(gradient: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The inverse Hessian that the pairs (step, change of the gradient) suggest, times it."""
    q, weights = gradient.copy(), []
    for s, y in reversed(pairs):
        weight = (s @ q) / (s @ y)
        weights.append(weight)
        q -= weight * y
    if pairs:
        s, y = pairs[-1]
        q *= (s @ y) / (y @ y)
    for (s, y), weight in zip(pairs, reversed(weights), strict=True):
        q += (weight - (y @ q) / (s @ y)) * s
    return q
