"""Boxes on which a bound is to hold, and the operator norms in which it is measured."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from rlopt.theory.checks import finite_array, known

Region = tuple[np.ndarray, np.ndarray]
NORMS = ("l2", "linf", "linf_l1")
LARGEST = 1e100  # what a coordinate may be
SIGNED = 12  # outputs up to which l_inf -> l_1 is found by trying all signs


def box(inputs: int, region: Any) -> Region:
    """A region as two new arrays (low, high) of shape (inputs,), float64.

    Args:
        inputs: n0.
        region: a pair (low, high), or anything with `low` and `high`, as gymnasium's Box; numbers
            stand for all coordinates.

    Raises:
        ValueError: no such pair, a wrong shape, numbers beyond 1e100 or not finite, or
            low > high.
    """
    if hasattr(region, "low") and hasattr(region, "high"):
        region = region.low, region.high
    if not isinstance(region, tuple | list) or len(region) != 2:
        raise ValueError(f"region must be a pair (low, high), got {region!r}")
    sides = []
    for name, side in zip(("low", "high"), region, strict=True):
        array = finite_array("region", name, side)
        if array.shape not in ((), (inputs,)):
            raise ValueError(f"region: {name} must have shape ({inputs},), got {array.shape}")
        if (np.abs(array) > LARGEST).any():
            far = float(array[np.abs(array) > LARGEST][0])
            raise ValueError(f"region: {name} must be in [-{LARGEST:g}, {LARGEST:g}], got {far:g}")
        sides.append(np.broadcast_to(array, (inputs,)).copy())
    low, high = sides
    if (low > high).any():
        i = int(np.flatnonzero(low > high)[0])
        raise ValueError(f"region: low must be <= high, got {low[i]} > {high[i]} in coordinate {i}")
    return low, high


def operator_norm(J: np.ndarray, norm: str) -> np.ndarray:
    """The norm of matrices (..., m, n) as maps between the norms' spaces, (...).

    "l2": largest singular value; "linf": l_inf to l_inf, largest absolute row sum; "linf_l1":
    l_inf to l_1, for up to 12 outputs, by trying the signs of the outputs.

    Raises:
        ValueError: an unknown norm, or "linf_l1" of more than 12 outputs.
    """
    known("operator_norm", "norm", norm, NORMS)
    if norm == "l2":
        return np.linalg.norm(J, 2, axis=(-2, -1))
    if norm == "linf":
        return np.abs(J).sum(axis=-1).max(axis=-1)
    m = J.shape[-2]
    if m > SIGNED:
        raise ValueError(f"operator_norm: linf_l1 is for up to {SIGNED} outputs, got {m}")
    return np.abs(signs(m) @ J).sum(axis=-1).max(axis=-1)


def signs(m: int) -> np.ndarray:
    """All vectors of m signs up to a factor -1, as rows, (2^(m-1), m)."""
    rows = [(1.0, *rest) for rest in product((1.0, -1.0), repeat=m - 1)]
    return np.array(rows)
