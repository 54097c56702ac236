"""Variance-reduced Halpern iteration (Cai, Alacaoglu and Diakonikolas, ICLR 2024).

Both methods are generators of the points u_1, u_2, ...; n is the number of components.

Differences from the authors' published code (zephyr-cai/Finite-Sum-Halpern-Iteration): the inner
loop's snapshot moves to the current point, not back to its input; the full evaluation that opens
every inner loop is counted; points already on the simplex are projected too; games need not be
square.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from math import log, sqrt

import numpy as np

from rlopt.agents.halpern.problems import Oracle

Points = Iterator[np.ndarray]

FEW = 50  # components, below which the practical constants are those of the theory
BOLD = 2.5  # the practical gamma over the provable one, on sets


def cocoercive(
    oracle: Oracle, start: np.ndarray, step: float | None, theory: bool, rng: np.random.Generator
) -> Points:
    """Algorithm 1: u_{k+1} = Proj(lam_k u_0 + (1 - lam_k) u_k - eta F~_k), lam_k = 2/(k+4).

    F~_k is the PAGE estimator with batches of floor(sqrt n). The step eta is 1/(4 L_average) in
    theory. In practice it is min(1/L, 2/sqrt(L L_average)), ours and without a guarantee: the
    second is twice the inverse of the components' root mean square constant, and bites where
    L_average > 4 L; 1/L alone diverges on many a random problem there.
    """
    problem = oracle.problem
    n, batch = problem.components, int(sqrt(problem.components))
    if step is not None:
        eta = step
    elif theory:
        eta = 1.0 / (4.0 * problem.L_average)
    else:
        eta = min(1.0 / problem.L, 2.0 / sqrt(problem.L * problem.L_average))
    u = last = start
    estimate = np.zeros_like(start)
    for k in count():
        if rng.random() < refresh(k, n):
            estimate = oracle.operator(u)
        else:
            indices = rng.choice(n, batch, replace=False)
            estimate = page(oracle, estimate, u, last, indices)
        lam = 2.0 / (k + 4)
        u, last = oracle.project(lam * start + (1.0 - lam) * u - eta * estimate), u
        yield u


def refresh(k: int, n: int) -> float:
    """p_k, the probability of a full evaluation in iteration k."""
    if k <= 1:
        return 1.0
    return 4.0 / (k + 4) if k - 1 <= sqrt(n) else 4.0 / (sqrt(n) + 5)


def page(
    oracle: Oracle, estimate: np.ndarray, u: np.ndarray, last: np.ndarray, indices: np.ndarray
) -> np.ndarray:
    """The estimate of F(last) moved to u by the mean of F_i(u) - F_i(last) over a batch.

    Two calls an index; its expectation over the batch is estimate + F(u) - F(last).
    """
    return estimate + oracle.mean(u, indices) - oracle.mean(last, indices)


def lipschitz(
    oracle: Oracle, start: np.ndarray, step: float | None, theory: bool, rng: np.random.Generator
) -> Points:
    """Algorithm 2: u_{k+1} = lam_k u_0 + (1 - lam_k) J~(u_k), lam_k = 1/(k+2).

    J~ is the resolvent of c (F + G), up to what M_k steps of `resolvent` leave. The step is gamma,
    that of the inner loop, whose operator is (c L_average + 1)-Lipschitz on average; up to
    gamma_0 = sqrt(p (1-p)) / (c L_average + 1), p = 1/n, the inner loop provably converges.

    Theory: c = sqrt(n)/L_average, gamma = gamma_0, and M_k = 4 (n + sqrt n) ln(k+2) (ours: the
    squared error then falls like exp(-.8 M / (n + sqrt n)) as measured, so that the resolvents'
    errors have a finite sum).

    Practice, without a guarantee: c = sqrt(n)/L_importance and M_k = .05 n ln(k+2) as in the
    published code, but gamma = 2.5 gamma_0 on sets and gamma_0 on R^d (ours): from 4 gamma_0, and
    so at the published 5 sqrt(p (1-p)) / (sqrt n + 1), random games do not converge, and on R^d
    some bilinear problems do not at 2.5 gamma_0. Below 50 components loops so short are one or a
    few draws, which do not converge either: there, it is as in theory.
    """
    problem = oracle.problem
    n = problem.components
    theory = theory or n < FEW
    scale = sqrt(n) / (problem.L_average if theory else problem.L_importance)
    gamma = _inner_step(n, scale * problem.L_average) if step is None else step
    if step is None and not theory and problem.space is not None:
        gamma *= BOLD
    length = 4.0 * (n + sqrt(n)) if theory else 0.05 * n
    u = start
    for k in count():
        inner = max(1, int(length * log(k + 2)))
        lam = 1.0 / (k + 2)
        u = lam * start + (1.0 - lam) * resolvent(oracle, u, scale, gamma, inner, rng)
        yield u


def _inner_step(n: int, L: float) -> float:
    """gamma_0 for components L-Lipschitz on average; with one alone some step, as p = 1 gives 0."""
    p = 1.0 / n
    return (sqrt(p * (1.0 - p)) if n > 1 else 0.5) / (L + 1.0)


def resolvent(
    oracle: Oracle, u: np.ndarray, scale: float, gamma: float, steps: int, rng: np.random.Generator
) -> np.ndarray:
    """The solution v of the problem with Phi(v) = scale F(v) + v - u, by VR-FoRB from u.

    v <- Proj(alpha v + (1-alpha) w - gamma (Phi(w) + Phi_i(v) - Phi_i(w_before))), i uniform,
    alpha = 1 - p, p = 1/n; then the snapshot w moves to v with probability p (Alacaoglu, Malitsky
    and Cevher 2021). n calls, two a step, and n a move of the snapshot.
    """
    n = oracle.problem.components
    p = 1.0 / n
    v = w = before = u
    full = scale * oracle.operator(w)  # Phi(w), as u = w
    indices, moves = rng.integers(n, size=(steps, 1)), rng.random(steps) < p
    for index, move in zip(indices, moves, strict=True):
        change = scale * (oracle.mean(v, index) - oracle.mean(before, index)) + v - before
        v = oracle.project((1.0 - p) * v + p * w - gamma * (full + change))
        before = w
        if move:
            w = v
            full = scale * oracle.operator(w) + w - u
    return v
