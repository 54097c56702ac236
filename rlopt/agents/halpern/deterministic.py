"""Methods that evaluate all of F: Halpern, extragradient and its anchored kin, optimism.

Each is a generator of the points u_1, u_2, ...; u_0 is the start, L that of F.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np

from rlopt.agents.halpern.fixed_point import iterates
from rlopt.agents.halpern.problems import Oracle

Points = Iterator[np.ndarray]


def halpern(oracle: Oracle, start: np.ndarray, step: float | None) -> Points:
    """Halpern's iteration of T(u) = Proj(u - step F(u)), nonexpansive for step <= 2/L (default).

    On R^d then |F(u_k)| <= L |u_0 - u*| / (k+1). n calls an iteration.
    """
    eta = 2.0 / oracle.problem.L if step is None else step
    return iterates(lambda u: oracle.project(u - eta * oracle.operator(u)), start)


def extragradient(oracle: Oracle, start: np.ndarray, step: float | None) -> Points:
    """EG (Korpelevich 1976); 2n calls an iteration.

    By default the step is 1/L in games on sets, else 1/(2L): at 1/L the top direction of a bilinear
    problem on R^d only rotates, and that of a symmetric one (least squares) stays where it is.
    """
    problem = oracle.problem
    careful = problem.space is None or problem.cocoercive
    default = 1.0 / (2.0 * problem.L) if careful else 1.0 / problem.L
    eta = default if step is None else step
    u = start
    while True:
        ahead = oracle.project(u - eta * oracle.operator(u))
        u = oracle.project(u - eta * oracle.operator(ahead))
        yield u


def anchored(oracle: Oracle, start: np.ndarray, step: float | None) -> Points:
    """EAG (Yoon and Ryu 2021): EG with (u_0 - u_k)/(k+2) added in each half step.

    By default the step is 1/L, and 1/(2L) on cocoercive problems, for the reason given for EG.
    2n calls an iteration.
    """
    problem = oracle.problem
    default = 1.0 / (2.0 * problem.L) if problem.cocoercive else 1.0 / problem.L
    eta = default if step is None else step
    u = start
    for k in count():
        base = u + (start - u) / (k + 2)
        ahead = oracle.project(base - eta * oracle.operator(u))
        u = oracle.project(base - eta * oracle.operator(ahead))
        yield u


def fast(oracle: Oracle, start: np.ndarray, step: float | None) -> Points:
    """FEG (Lee and Kim 2021): on R^d |F(u_k)| <= 2 L |u_0 - u*| / k at step 1/L (default).

    On a set each half step is projected, which that theorem does not cover. 2n calls an iteration.
    """
    eta = 1.0 / oracle.problem.L if step is None else step
    u = start
    for k in count():
        beta = 1.0 / (k + 1)
        base = u + beta * (start - u)
        ahead = oracle.project(base - (1.0 - beta) * eta * oracle.operator(u))
        u = oracle.project(base - eta * oracle.operator(ahead))
        yield u


def optimistic(oracle: Oracle, start: np.ndarray, step: float | None) -> Points:
    """OGDA (Popov 1980), u_{k+1} = Proj(u_k - step (2 F(u_k) - F(u_{k-1}))), F(u_{-1}) = F(u_0).

    Step 1/(4L) by default; n calls an iteration.
    """
    eta = 1.0 / (4.0 * oracle.problem.L) if step is None else step
    u, previous = start, None
    while True:
        here = oracle.operator(u)
        last = here if previous is None else previous
        u, previous = oracle.project(u - eta * (2.0 * here - last)), here
        yield u
