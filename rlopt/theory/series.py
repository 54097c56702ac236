"""Series of (escapement, next stock) pairs: the door through which data come in."""

from __future__ import annotations

from typing import Any

import numpy as np

FEWEST = 5  # pairs from which anything can be learnt
COLLAPSED = 0.01  # of the largest next stock: at or below it the series tells of a dead stock


def checked_pairs(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Escapements and the stocks that grew from them, as float64 arrays (n,).

    Args:
        x: escapements (n,) [biomass], > 0.
        y: next stocks (n,) [biomass], >= 0.

    Raises:
        ValueError: naming the row (0-based) and the reason: NaN, infinite or negative values,
            fewer than 5 rows, lengths that differ, a constant series, a collapsed one (a next
            stock below 1 % of the largest), or growth from an escapement of 0.
    """
    x, y = _column("x (escapements)", x), _column("y (next stocks)", y)
    if len(x) != len(y):
        raise ValueError(f"x and y must have one row a pair, got {len(x)} and {len(y)} rows")
    if len(x) < FEWEST:
        raise ValueError(f"at least {FEWEST} rows are needed, got {len(x)}")
    for name, values in (("x (escapements)", x), ("y (next stocks)", y)):
        if (values == values[0]).all():
            raise ValueError(
                f"{name} is constant: all {len(values)} rows are {values[0]:g}, "
                "which says nothing of growth"
            )
    row = int(np.argmin(y))
    if y[row] < COLLAPSED * y.max():
        raise ValueError(
            f"the series has collapsed: the next stock {y[row]:g} in row {row} is below "
            f"{COLLAPSED:.0%} of the largest, {y.max():g}; end the series before that"
        )
    row = int(np.argmin(x))
    if x[row] == 0.0:
        raise ValueError(
            f"nothing grows from an escapement of 0, but row {row} has the next stock {y[row]:g}; "
            "leave such rows out"
        )
    return x, y


def _column(name: str, given: Any) -> np.ndarray:
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers, got {given!r}") from error
    if values.ndim != 1:
        raise ValueError(f"{name} must be of shape (n,), got shape {values.shape}")
    for wrong, reason in ((~np.isfinite(values), "not finite"), (values < 0.0, "negative")):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"{name} is {reason} in row {row}: {values[row]}")
    return values
