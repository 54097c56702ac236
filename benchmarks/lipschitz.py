"""LipSDP against its limits, and against general conic solvers on the same weights.

Nets have N(0, 1/fan-in) weights from seed 0; every time includes the proof by Cholesky.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import cvxpy as cp
import numpy as np

from rlopt.theory.lipschitz import Network
from rlopt.theory.lipschitz.semidefinite import lipsdp

PEERS = (2, 32, 32, 1)  # what a general solver manages in seconds


def network(dims: tuple[int, ...]) -> Network:
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(h, n)) / np.sqrt(n) for n, h in pairwise(dims)]
    return Network.from_weights(weights)


@cache
def proved(dims: tuple[int, ...], repeats: int = 1) -> tuple[float, float]:
    """Bound and the shortest time in seconds."""
    net = network(dims)
    found = [lipsdp(net) for _ in range(repeats)]
    if any(certificate.rigorous != "rump" for certificate in found):
        raise RuntimeError(f"the bound of {dims} was not proved")
    return found[0].upper, min(certificate.seconds for certificate in found)


@cache
def peer(solver: str) -> tuple[float, float]:
    """Bound (not proved) and time of a solver through cvxpy, the programme as in the paper."""
    lfr = network(PEERS).lfr()
    n0, N = lfr.inputs, lfr.neurons
    began = time.perf_counter()
    rho, T = cp.Variable(), cp.diag(cp.Variable(N, nonneg=True))
    A, B, Y = lfr.A.value, np.eye(N, n0 + N, n0), lfr.Y.value
    M = rho * np.diag([1.0] * n0 + [0.0] * N) - Y.T @ Y
    M += 2.0 * B.T @ T @ B - A.T @ T @ B - B.T @ T @ A
    value = cp.Problem(cp.Minimize(rho), [M >> 0]).solve(solver=solver)
    return float(np.sqrt(value)), time.perf_counter() - began


def faster(solver: str) -> float:
    """How many times as fast as a peer."""
    return peer(solver)[1] / proved(PEERS, 5)[1]


def apart() -> float:
    """Relative difference from Clarabel's value."""
    return abs(proved(PEERS, 5)[0] / peer("CLARABEL")[0] - 1.0)


def measurements() -> dict[str, tuple[Callable[[], float], str, float, bool]]:
    """Rows for `run.measurements`."""
    return {
        "LipSDP 2-64-64-1, proved": (lambda: proved((2, 64, 64, 1), 5)[1], "s", 1.5, False),
        "LipSDP 11-256-256-3, proved": (lambda: proved((11, 256, 256, 3))[1], "s", 30.0, False),
        "LipSDP 4-400-300-1, proved": (lambda: proved((4, 400, 300, 1))[1], "s", 80.0, False),
        "LipSDP 2-32-32-1, x Clarabel's speed": (lambda: faster("CLARABEL"), "x", 20.0, True),
        "LipSDP 2-32-32-1, x SCS's speed": (lambda: faster("SCS"), "x", 20.0, True),
        "LipSDP 2-32-32-1, off Clarabel's value": (apart, "", 1e-6, False),
    }
