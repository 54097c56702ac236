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


def cocoercive(
    oracle: Oracle, start: np.ndarray, step: float | None, theory: bool, rng: np.random.Generator
) -> Points:
    """Algorithm 1: u_{k+1} = Proj(lam_k u_0 + (1 - lam_k) u_k - eta F~_k), lam_k = 2/(k+4).

    F~_k is the PAGE estimator with batches of floor(sqrt n). The step eta is 1/(4 L_average) in
    theory, and 1/L in practice (ours: at 1.5/L some problems of 100 components diverge).
    """
    problem = oracle.problem
    n, batch = problem.components, int(sqrt(problem.components))
    default = 1.0 / (4.0 * problem.L_average) if theory else 1.0 / problem.L
    eta = default if step is None else step
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

    J~ is the resolvent of c (F + G), c = sqrt(n)/L, up to what M_k steps of `resolvent` leave. The
    step is gamma, that of the inner loop, whose operator is (sqrt(n) + 1)-Lipschitz on average.

    Theory: L = L_average, gamma = sqrt(p (1-p)) / (sqrt(n) + 1), and M_k = 4 (n + sqrt(n)) ln(k+2)
    (ours: the squared error then falls like exp(-.8 M / (n + sqrt n)) as measured, so that the
    resolvents' errors have a finite sum). Practice: L = L_importance, five times that gamma but at
    most 1 / (2 (sqrt(n) + 1)), a limit that bites below 100 components, and
    M_k = .05 n ln(k+2), as in the published code.
    """
    problem = oracle.problem
    n = problem.components
    scale = sqrt(n) / (problem.L_average if theory else problem.L_importance)
    gamma = _inner_step(n, theory) if step is None else step
    u = start
    for k in count():
        length = 4.0 * (n + sqrt(n)) if theory else 0.05 * n
        inner = max(1, int(length * log(k + 2)))
        lam = 1.0 / (k + 2)
        u = lam * start + (1.0 - lam) * resolvent(oracle, u, scale, gamma, inner, rng)
        yield u


def _inner_step(n: int, theory: bool) -> float:
    """Gamma for n components; a single one needs no snapshots, but some step."""
    p = 1.0 / n
    largest = 0.5 / (sqrt(n) + 1.0)
    gamma = sqrt(p * (1.0 - p)) / (sqrt(n) + 1.0) if n > 1 else largest
    return gamma if theory else min(5.0 * gamma, largest)


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
