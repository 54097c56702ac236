"""Rigour in floating point: when a computed inequality is a theorem.

A solver stops near an optimum, and near is not proof. What proves is a Cholesky factorisation
that runs to its end on a matrix from which more has been taken than rounding can have added
(Rump 2006, *Verification of positive definiteness*). Everything here is linear algebra in float64
with stated error bounds; nothing needs the solver that found the numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

UNIT = 2.0**-53  # unit roundoff of float64
TINIEST = 2.0**-1074  # what a product may lose where it underflows


def gamma_n(n: int) -> float:
    """n u / (1 - n u): the relative error of a sum of n products, in any order of summation."""
    return n * UNIT / (1.0 - n * UNIT)


def up(value: float, steps: int = 4) -> float:
    """The value, a few floats larger: covers the rounding of as many operations."""
    for _ in range(steps):
        value = np.nextafter(value, np.inf)
    return float(value)


class Enclosed(NamedTuple):
    """A matrix known up to rounding.

    Attributes:
        value: the computed matrix.
        error: entrywise bound on its distance from the exact one, same shape.
    """

    value: np.ndarray
    error: np.ndarray


def exactly(matrix: np.ndarray) -> Enclosed:
    """A matrix whose entries are what they are."""
    return Enclosed(matrix, np.zeros_like(matrix))


def times(a: Enclosed, b: Enclosed) -> Enclosed:
    """The product with the error that its factors and its own rounding can make."""
    size, other = np.abs(a.value), np.abs(b.value)
    rounding = gamma_n(a.value.shape[1] + 4) * (size @ other)
    inherited = size @ b.error + a.error @ (other + b.error)
    underflow = 8.0 * TINIEST * (_filled(a) @ _filled(b))
    return Enclosed(a.value @ b.value, rounding + inherited * (1.0 + 1e-12) + underflow)


def _filled(a: Enclosed) -> np.ndarray:
    """1 where an entry may differ from 0."""
    return ((a.value != 0.0) | (a.error > 0.0)).astype(np.float64)


def plus(a: Enclosed, b: Enclosed) -> Enclosed:
    """The sum with its error."""
    value = a.value + b.value
    return Enclosed(value, a.error + b.error + 2.0 * UNIT * np.abs(value))


def positive_definite(matrix: np.ndarray, error: np.ndarray | float = 0.0) -> bool:
    """Whether every symmetric matrix within `error` of the given one is positive definite.

    True is a proof, False is none. The matrix is scaled by powers of two, which is exact, to a
    diagonal near 1; then Cholesky must succeed after 2 g tr(M) + |error| has been taken from the
    diagonal, g = (n + 2) u / (1 - (n + 2) u). The criterion is Rump's, its constant doubled.

    >>> positive_definite(np.array([[1.0, 1.0], [1.0, 1.0 + 1e-12]]))
    True
    >>> positive_definite(np.ones((2, 2)))  # singular
    False

    Args:
        matrix: (n, n); only its lower triangle is read.
        error: entrywise bound on what rounding did to the matrix: (n, n) or a number.
    """
    diagonal = np.diag(matrix)
    error = np.asarray(error)
    if not (np.isfinite(matrix).all() and np.isfinite(error).all() and (error >= 0.0).all()):
        return False
    if diagonal.min() <= 0.0:
        return False
    scale = np.ldexp(1.0, -np.round(0.5 * np.log2(diagonal)).astype(int))
    scaled = matrix * scale[:, None] * scale
    doubt = np.broadcast_to(error, matrix.shape) * scale[:, None] * scale
    n = len(matrix)
    margin = 2.0 * gamma_n(n + 2) * np.trace(scaled) + 1.01 * doubt.sum(axis=1).max()
    scaled[np.diag_indices(n)] -= margin
    return bool(lapack.dpotrf(scaled, lower=1, overwrite_a=1)[1] == 0)


def spectral_norm(matrix: np.ndarray) -> float:
    """A proved upper bound on the largest singular value, a few units in the 13th digit above it.

    Args:
        matrix: (m, n), finite; the 0 of an empty matrix.
    """
    if 0 in matrix.shape or not np.any(matrix):
        return 0.0
    scale = float(np.ldexp(1.0, int(np.floor(np.log2(np.abs(matrix).max())))))
    short = (matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T) / scale
    gram = times(exactly(short), exactly(short.T))
    eye = np.eye(len(short))
    largest = float(np.linalg.norm(short, 2)) ** 2
    for slack in 10.0 ** np.arange(-13.0, -5.0):
        bound = largest * (1.0 + slack)
        difference = plus(exactly(bound * eye), Enclosed(-gram.value, gram.error))
        if positive_definite(*difference):
            return up(np.sqrt(bound) * scale)
    size = np.abs(short)
    return up(np.sqrt(size.sum(axis=0).max() * size.sum(axis=1).max()) * scale, 2 * len(short[0]))
