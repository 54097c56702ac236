"""The proof of `positive_definite` in ball arithmetic of 128 bits, for small networks.

It needs python-flint, the extra `rigour`. M(rho, t) is formed from the representation's floats
without rounding to speak of, so that multipliers too close to the optimum for float64 still prove.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from rlopt.theory.lipschitz.lfr import LFR

BITS = 128
LARGEST = 80  # order of the matrix; LDL^T of this order takes a fifth of a second


@cache
def installed() -> bool:
    """Whether python-flint is there."""
    return find_spec("flint") is not None


def available(lfr: LFR) -> bool:
    """Whether the representation is small enough, scalar, and python-flint installed."""
    size = lfr.inputs + lfr.neurons + lfr.outputs
    return installed() and not lfr.groups and size <= LARGEST


def positive(lfr: LFR, norm: str, t: np.ndarray, d: np.ndarray, rho: float) -> bool:
    """Whether M(rho, t), or its l_inf form with d = (tau, mu), is proved positive definite.

    Args:
        lfr: a representation without groups.
        norm: "l2", "linf" or "linf_l1".
        t: multipliers of the neurons.
        d: tau and mu; empty for l2.
        rho: L^2 for l2.

    Raises:
        ImportError: python-flint is not installed.
    """
    if not installed():
        raise ImportError('this certificate needs python-flint: pip install "rlopt[rigour]"')
    import flint

    before, flint.ctx.prec = flint.ctx.prec, BITS
    try:
        return _factorises(_matrix(flint, lfr, norm, t, d, rho))
    finally:
        flint.ctx.prec = before


def _matrix(
    flint: Any, lfr: LFR, norm: str, t: np.ndarray, d: np.ndarray, rho: float
) -> list[list[Any]]:
    def balls(value: np.ndarray, error: np.ndarray) -> Any:
        return flint.arb_mat(
            [[flint.arb(float(v), float(e)) for v, e in zip(*row, strict=True)]
             for row in zip(value, error, strict=True)]
        )  # fmt: skip

    def diagonal(entries: list[Any]) -> Any:
        n = len(entries)
        return flint.arb_mat([[entries[i] if i == j else 0 for j in range(n)] for i in range(n)])

    n0, N, m = lfr.inputs, lfr.neurons, lfr.outputs
    weights = [flint.arb(float(x)) for x in t]
    low, high = ([flint.arb(float(x)) for x in side] for side in (lfr.alpha, lfr.beta))
    A, Y = balls(*lfr.A), balls(*lfr.Y)
    B = balls(np.eye(N, n0 + N, n0), np.zeros((N, n0 + N)))
    products = [2 * w * a * b for w, a, b in zip(weights, low, high, strict=True)]
    cross = A.transpose() * diagonal([-w * (a + b) for w, a, b in zip(weights, low, high, strict=True)]) * B  # fmt: skip # noqa: E501
    M = A.transpose() * diagonal(products) * A + cross + cross.transpose()
    M += B.transpose() * diagonal([2 * w for w in weights]) * B
    if norm == "l2":
        M -= Y.transpose() * Y
    entries = [[M[i, j] for j in range(n0 + N)] for i in range(n0 + N)]
    for i in range(n0):
        entries[i][i] += flint.arb(float(rho if norm == "l2" else d[i]))
    if norm != "l2":
        for row, line in enumerate(entries):
            line.extend(-Y[k, row] for k in range(m))
        for k in range(m):
            tail = [flint.arb(float(d[n0 + k])) if j == k else flint.arb(0) for j in range(m)]
            entries.append([-Y[k, j] for j in range(n0 + N)] + tail)
    return entries


def _factorises(M: list[list[Any]]) -> bool:
    """LDL^T: every pivot is provably positive."""
    n = len(M)
    for k in range(n):
        if not M[k][k] > 0:
            return False
        for i in range(k + 1, n):
            factor = M[i][k] / M[k][k]
            for j in range(k + 1, i + 1):
                M[i][j] -= factor * M[j][k]
    return True
