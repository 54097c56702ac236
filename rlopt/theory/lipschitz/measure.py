"""Proved norms of a batch of matrices that are known up to intervals."""

from __future__ import annotations

import numpy as np

from rlopt.theory.certificate import UNIT, gamma_n
from rlopt.theory.lipschitz.chords import Chord, most
from rlopt.theory.lipschitz.interval import TINY, Interval, magnitude


def jacobian_norm(chords: list[Chord], J: Interval, norm: str) -> np.ndarray:
    """Bounds on the norm of the Jacobian in each box, (B,); inf where its bounds overflow.

    Args:
        chords: relaxation of the Jacobian, the last layer first.
        J: bounds on its entries, (B, m, n0).
        norm: "l2", "linf" or "linf_l1".
    """
    largest = magnitude(J)
    finite = np.isfinite(largest).all(axis=(1, 2))
    low, high = (np.where(finite[:, None, None], side, 0.0) for side in J)
    # entries near 1, so that squares of small ones do not vanish
    scale = _power(magnitude((low, high)))
    unit = low / scale[:, None, None], high / scale[:, None, None]
    found = _scaled_norm(chords, unit, largest, scale, norm) * scale + 4.0 * TINY
    found = np.where(largest.any(axis=(1, 2)), found, 0.0)
    return np.where(finite, found, np.inf)


def _scaled_norm(
    chords: list[Chord], unit: Interval, largest: np.ndarray, scale: np.ndarray, norm: str
) -> np.ndarray:
    """Bounds on the norm of J / scale, its entries in `unit`; `largest` bounds those of |J|."""
    sizes = magnitude(unit)
    wide = 1.0 + 2.0 * gamma_n(sizes.shape[1] * sizes.shape[2] + 8)
    if norm != "l2":
        together = _linear(chords, *_absolute(unit), largest, scale)
        rows = np.minimum(sizes.sum(axis=-1), together)
        return (rows.max(axis=1) if norm == "linf" else rows.sum(axis=1)) * wide
    mid = 0.5 * unit[0] + 0.5 * unit[1]
    rad = np.maximum(unit[1] - mid, mid - unit[0])
    apart = spectral_norms(mid) + np.sqrt((rad**2).sum(axis=(1, 2))) * wide
    squares = np.maximum(_linear(chords, *_square(unit), largest, scale), 0.0)
    together = np.sqrt(squares.sum(axis=1)) * wide
    return np.minimum(np.minimum(spectral_norms(sizes), apart * wide), together)


def spectral_norms(A: np.ndarray) -> np.ndarray:
    """Proved bounds on the largest singular values of matrices (B, m, n), (B,).

    With Q from an eigendecomposition of G = A A^T, not trusted: by Gershgorin's circles and
    Ostrowski's theorem, lambda_max(G) <= max_i sum_j |Q^T G Q|_ij / (1 - |Q^T Q - I|_inf).
    """
    if A.shape[1] > A.shape[2]:
        A = A.swapaxes(1, 2)
    m, n = A.shape[1:]
    scale = _power(np.abs(A))
    A = A / scale[:, None, None]
    Q = np.linalg.eigh(A @ A.swapaxes(1, 2))[1]
    turned = Q.swapaxes(1, 2) @ A
    gram = np.abs(turned @ turned.swapaxes(1, 2))
    size = np.abs(Q.swapaxes(1, 2)) @ np.abs(A)
    error = 4.0 * gamma_n(n + 2 * m + 8) * (size @ size.swapaxes(1, 2))
    far = np.abs(Q.swapaxes(1, 2) @ Q - np.eye(m))
    far += 2.0 * gamma_n(m + 4) * (np.abs(Q.swapaxes(1, 2)) @ np.abs(Q) + np.eye(m))
    apart = far.sum(axis=-1).max(axis=-1)
    top = (gram + error).sum(axis=-1).max(axis=-1) * (1.0 + 2.0 * gamma_n(m + 8))
    found = np.sqrt(top / (1.0 - apart)) * scale * (1.0 + 16.0 * UNIT)
    return np.where(top > 0.0, found + 4.0 * TINY, 0.0)


def _power(size: np.ndarray) -> np.ndarray:
    """Powers of two, by which to divide without rounding, that bring |A| (B, m, n) to 1/2 ... 2."""
    return np.ldexp(0.5, np.frexp(size.max(axis=(1, 2), initial=0.0))[1])


def _linear(
    chords: list[Chord],
    slope: np.ndarray,
    offset: np.ndarray,
    largest: np.ndarray,
    scale: np.ndarray,
) -> np.ndarray:
    """Bounds on sum_j slope_ij J_ij / scale + offset_ij, (B, m)."""
    bound = most(chords, slope[:, :, None], largest)[..., 0] / scale[:, None] + TINY
    total = offset.sum(axis=-1)
    size = np.abs(bound) + np.abs(offset).sum(axis=-1)
    return bound + total + 2.0 * gamma_n(offset.shape[-1] + 8) * size


def _absolute(J: Interval) -> tuple[np.ndarray, np.ndarray]:
    """Slope and offset of the chord above |j|."""
    low, high = J
    mixed = (low < 0.0) & (high > 0.0)
    width = np.where(mixed, high - low, 1.0)
    slope = np.where(mixed, (high + low) / width, np.where(low >= 0.0, 1.0, -1.0))
    # the line is above at both ends; so is one shifted by what rounding took
    offset = np.maximum(high - slope * high, -low - slope * low)
    return slope, np.where(mixed, offset + 8.0 * UNIT * magnitude(J), 0.0) + 8.0 * TINY


def _square(J: Interval) -> tuple[np.ndarray, np.ndarray]:
    """Slope and offset of the chord above j^2."""
    low, high = J
    slope = low + high
    offset = np.maximum(high * (high - slope), low * (low - slope))
    return slope, offset + 8.0 * UNIT * magnitude(J) ** 2 + 8.0 * TINY
