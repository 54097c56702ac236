"""The normal form of a representation, in which LipSDP is solved.

Every neuron has slopes [0, 1] and a row of norm about 1; stable neurons are gone; the inputs are
reduced to the row space of what acts on them, and the outputs have norm 1. The optimum is the
same, its multipliers are neither huge nor tiny.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import block_diag, solve_triangular

from rlopt.theory.lipschitz.lfr import LFR


class Normal(NamedTuple):
    """The representation in scaled variables [x; z], where w = alpha v + (beta - alpha) z.

    Attributes:
        A: v = A [x; z] of the neurons that are not stable, (N', n).
        Y: y = Y [x; z], (m, n), of norm 1.
        layer: layer of each of these neurons, from 0 without gaps, (N',).
        kept: their indices in the representation as given, (N',).
        neurons: N of the representation as given.
        factor: multipliers here = factor * those there, for outputs of the same size, (N',).
        size: value of the programme there over its value here.
        back: [x; w] there from [x; z] here; for l_inf [x; w; y] from [x; z; y].
    """

    A: np.ndarray
    Y: np.ndarray
    layer: np.ndarray
    kept: np.ndarray
    neurons: int
    factor: np.ndarray
    size: float
    back: np.ndarray

    @classmethod
    def of(cls, lfr: LFR, norm: str) -> Normal:
        """The normal form, in floating point."""
        n0, width = lfr.inputs, lfr.beta - lfr.alpha
        A, Y = lfr.A.value, lfr.Y.value
        kept = np.flatnonzero(width > 0.0)
        # w = alpha v + width z: v, w and y in terms of [x; z]
        right = np.hstack([A[:, :n0], (A[:, n0:] * width)[:, kept]])
        V = right
        if lfr.alpha.any():
            V = _solve(A[:, n0:] * lfr.alpha, right)
        W = lfr.alpha[:, None] * V
        W[kept, n0 + np.arange(len(kept))] += width[kept]
        back = np.vstack([np.eye(n0, V.shape[1]), W])
        V, out = V[kept], Y @ back
        ranks = np.unique(lfr.layer[kept], return_inverse=True)[1]
        if norm == "l2":
            # only the part of x in the row space of what acts on it matters
            Q = _row_space(np.vstack([V[:, :n0], out[:, :n0]]))
            V, out, back = (np.hstack([m[:, :n0] @ Q, m[:, n0:]]) for m in (V, out, back))
            n0 = Q.shape[1]
        scale = np.ones(V.shape[1])
        for k in range(ranks.max(initial=-1) + 1):
            rows = np.flatnonzero(ranks == k)
            scale[n0 + rows] = _row_scale(V[rows] * scale)
        V = V * scale / scale[n0:, None]
        out, back = out * scale, back * scale
        size = float(np.linalg.norm(out, 2)) or 1.0
        out = out / size
        factor = (width[kept] * scale[n0:]) ** 2
        if norm == "l2":
            size *= size
        else:
            back = block_diag(back, np.eye(lfr.outputs))
        return cls(V, out, ranks, kept, lfr.neurons, factor, size, back)

    @property
    def even(self) -> np.ndarray:
        """t here of multipliers that are the same all over a layer there, at most 1, (N',)."""
        largest = np.zeros(self.layer.max(initial=-1) + 1)
        np.maximum.at(largest, self.layer, self.factor)
        return self.factor / largest[self.layer]

    def multipliers(self, outer: np.ndarray, t: np.ndarray) -> np.ndarray:
        """As `proof.prove` takes them, from tau and mu (nothing for l2) and t of this form."""
        there = np.zeros(self.neurons)
        there[self.kept] = self.size * t / self.factor
        return np.concatenate([there, self.size * outer])

    def moments(self, X: np.ndarray) -> np.ndarray:
        """The dual matrix of the representation as given."""
        return self.back @ X @ self.back.T


def _solve(L: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(I - L)^-1 R; without fill where no neuron feeds back."""
    system = np.eye(len(L)) - L
    if np.triu(L).any():
        return np.linalg.solve(system, right)
    return solve_triangular(system, right, lower=True, unit_diagonal=True)


def _row_space(matrix: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span the rows; the identity where that reduces nothing."""
    n = matrix.shape[1]
    if len(matrix) >= n:
        return np.eye(n)
    return np.linalg.qr(matrix.T)[0]


def _row_scale(block: np.ndarray) -> np.ndarray:
    """What to divide the rows of a layer by, to make it a matrix of norm 1 with even rows."""
    norms = np.linalg.norm(block, axis=1)
    norms[norms == 0.0] = 1.0
    whole = np.linalg.norm(block / norms[:, None], 2)
    return norms * (whole if whole > 0.0 else 1.0)


def moved_by_inputs(lfr: LFR) -> np.ndarray:
    """Which neurons some path of nonzero weights joins to an input, (N,)."""
    links = (lfr.A.value != 0.0) & np.append(
        np.ones(lfr.inputs, bool), (lfr.alpha != 0.0) | (lfr.beta != 0.0)
    )
    moved = links[:, : lfr.inputs].any(axis=1)
    for _ in range(lfr.neurons):
        further = moved | links[:, lfr.inputs :][:, moved].any(axis=1)
        if (further == moved).all():
            break
        moved = further
    return moved
