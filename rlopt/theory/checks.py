"""Validation of parameters: every error names the parameter, its value and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from math import isfinite
from numbers import Real


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


def known(owner: str, given: Iterable[str], allowed: Iterable[str]) -> None:
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
