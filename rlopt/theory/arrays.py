"""One kernel for numpy, torch and plain floats: find the namespace once, then compute."""

from __future__ import annotations

from typing import Any, TypeAlias

import array_api_compat
import numpy as np

Array: TypeAlias = Any
"""A numpy array, a torch tensor or a Python float; kernels return the kind that they get."""


def namespace(x: Array) -> Any:
    """The array module of x: plain numpy for ndarrays and numbers, else the array-API one.

    Plain numpy first, since the compatibility wrappers cost more than the arithmetic on a
    one-element array.

    Args:
        x: numpy array, torch tensor (or another array-API array), or a real number.

    Raises:
        TypeError: x is none of these, for example a list.
    """
    if type(x) is np.ndarray or isinstance(x, (int, float, np.generic)):
        return np
    return array_api_compat.array_namespace(x)


def clamp(x: Array, low: float, high: float) -> Array:
    """Limit x to [low, high]: a new array of x's shape.

    The gradient in torch is 1 on the closed interval, so it still flows at x = low.
    """
    if isinstance(x, float):  # numpy's scalars too; ufuncs are slow on them
        return np.float64(min(max(x, low), high))
    xp = namespace(x)
    if xp is np:  # two ufuncs take half the time of np.clip's Python wrapper
        return np.minimum(np.maximum(x, low), high)
    return xp.clip(x, low, high)


def at_least(x: Array, low: float) -> Array:
    """Limit x to [low, infinity): a new array of x's shape; gradient 1 at x = low."""
    if isinstance(x, float):
        return np.float64(max(x, low))
    xp = namespace(x)
    return np.maximum(x, low) if xp is np else xp.clip(x, low, None)


def power(x: Array, exponent: float) -> Array:
    """x**exponent for x >= 0; small whole exponents by multiplication.

    Both numpy and torch spend some 20 ns an element on a general power, ten times the cost of
    a product, and products agree between them to the bit.
    """
    if exponent == 1.0:
        return x
    if exponent == 2.0:
        return x * x
    if exponent == 3.0:
        return x * x * x
    if exponent == 4.0:
        square = x * x
        return square * square
    # The ufunc, since numpy's scalars raise to a power with other code, and other last bits.
    return np.power(x, exponent) if namespace(x) is np else x**exponent
