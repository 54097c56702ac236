"""Validation of parameters: every error names the parameter, its value and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from math import isfinite
from numbers import Integral, Real
from typing import Any

import numpy as np


def finite(owner: str, name: str, value: object) -> float:
    """The value as a Python float.

    Args:
        owner: what the parameter belongs to, for the message ("Allen", "reed_value").
        name: the parameter's name.
        value: a real number; numpy scalars are welcome, bools and strings are not.

    Raises:
        TypeError: value is not a real number.
        ValueError: value is NaN or infinite.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        kind = type(value).__name__
        raise TypeError(f"{owner}: {name} must be a real number, got {value!r} ({kind})")
    number = float(value)
    if not isfinite(number):
        raise ValueError(f"{owner}: {name} must be finite, got {value!r}")
    return number


def positive(owner: str, name: str, value: object) -> float:
    """The value as a float in (0, inf); errors as in `finite`."""
    number = finite(owner, name, value)
    if not number > 0.0:
        raise ValueError(f"{owner}: {name} must be > 0, got {value!r}")
    return number


def nonnegative(owner: str, name: str, value: object) -> float:
    """The value as a float in [0, inf); errors as in `finite`."""
    number = finite(owner, name, value)
    if not number >= 0.0:
        raise ValueError(f"{owner}: {name} must be >= 0, got {value!r}")
    return number


def fraction(owner: str, name: str, value: object) -> float:
    """The value as a float in [0, 1]; errors as in `finite`."""
    number = finite(owner, name, value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{owner}: {name} must be in [0, 1], got {value!r}")
    return number


def whole(owner: str, name: str, value: object, least: int) -> int:
    """The value as an int >= least; 5.0 will do. Errors as in `finite`."""
    real = finite(owner, name, value)
    if not real.is_integer() or real < least:
        raise ValueError(f"{owner}: {name} must be a whole number >= {least}, got {value!r}")
    return int(value) if isinstance(value, Integral) else int(real)  # a float rounds large ones


def boolean(owner: str, name: str, value: object) -> bool:
    """The value as a bool; numpy's are welcome.

    Raises:
        TypeError: anything else, 0 and 1 included.
    """
    if not isinstance(value, bool | np.bool):
        raise TypeError(f"{owner}: {name} must be True or False, got {value!r}")
    return bool(value)


def known(owner: str, name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """The value itself, if it is among those allowed.

    Raises:
        ValueError: it is not; the closest one is offered.
    """
    if not isinstance(value, str) or value not in allowed:
        near = get_close_matches(str(value), allowed, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{owner}: {name} must be one of {allowed}, got {value!r}{hint}")
    return value


def numbers(owner: str, name: str, value: Any) -> np.ndarray:
    """The value as an array of float64, of any shape.

    Raises:
        ValueError: texts, ragged lists, or whatever else holds no real numbers.
    """
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "iufO":
            raise TypeError(given.dtype)
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{owner}: {name} must be real numbers, got {value!r}") from error


def finite_array(owner: str, name: str, value: Any) -> np.ndarray:
    """As `numbers`; ValueError for NaN and infinity too."""
    array = numbers(owner, name, value)
    if not np.isfinite(array).all():
        raise ValueError(f"{owner}: {name} must be finite, got {array[~np.isfinite(array)][0]}")
    return array


def only_known(owner: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    """Refuse keyword arguments that the owner does not take.

    Raises:
        TypeError: naming the first unknown one, the closest that is allowed, and all of these.
    """
    allowed = tuple(allowed)
    for key in given:
        if key not in allowed:
            near = get_close_matches(key, allowed, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(
                f"{owner} has no parameter {key!r}{hint} (allowed: {', '.join(allowed)})"
            )
