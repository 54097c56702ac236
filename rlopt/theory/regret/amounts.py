"""The constants of the bounds: floats, or arrays (one entry a run) that broadcast."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlopt.theory.checks import numbers


def at_least_zero(owner: str, **values: Any) -> list[Any]:
    """The values, each a float or an array of floats >= 0, in the order given.

    Raises:
        ValueError: one is not a number, not finite, or negative.
    """
    return [_amount(owner, name, value, strict=False) for name, value in values.items()]


def above_zero(owner: str, **values: Any) -> list[Any]:
    """The same for values > 0."""
    return [_amount(owner, name, value, strict=True) for name, value in values.items()]


def _amount(owner: str, name: str, value: Any, *, strict: bool) -> Any:
    array = numbers(owner, name, value)
    fine = np.isfinite(array) & ((array > 0.0) if strict else (array >= 0.0))
    if not fine.all():
        wrong = array[~fine][0] if array.ndim else value
        raise ValueError(
            f"{owner}: {name} must be finite and {'>' if strict else '>='} 0, got {wrong}"
        )
    return array if array.ndim else float(array)
