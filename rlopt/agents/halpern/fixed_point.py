"""Halpern's iteration of a nonexpansive map (Halpern 1967; rate by Lieder 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import numpy as np

from rlopt.theory.checks import numbers, whole

Map = Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class Path:
    """What an iteration of a map visited.

    Attributes:
        x: the points x_0..x_n, (n + 1, ...).
    """

    x: np.ndarray


def halpern(T: Map, x0: Any, n: int) -> Path:
    """x_{k+1} = x_0 / (k+2) + (k+1)/(k+2) T(x_k), n times.

    For a nonexpansive T, |x_k - T(x_k)| <= 2 |x_0 - x*| / (k+1) for every fixed point x* of it,
    which is tight (Lieder 2021, Theorem 2.1).

    Args:
        T: a map of points shaped as x0 is.
        x0: the start, which is also the anchor.
        n: iterations, >= 0.

    Raises:
        ValueError: x0, or a point that T returns, is not finite or of another shape.

    >>> halpern(lambda x: -x, [1.0], 3).x.ravel().round(12).tolist()
    [1.0, 0.0, 0.333333333333, 0.0]
    """
    start = np.array(numbers("halpern", "x0", x0))
    if not np.isfinite(start).all():
        raise ValueError(f"halpern: x0 must be finite, got {x0!r}")

    def checked(x: np.ndarray) -> np.ndarray:
        image = numbers("halpern", "T(x)", T(x))
        if image.shape != start.shape or not np.isfinite(image).all():
            raise ValueError(
                f"halpern: T(x) must be finite and of shape {start.shape}, got {image!r}"
            )
        return image

    steps = whole("halpern", "n", n, 0)
    return Path(np.array([start, *islice(iterates(checked, start), steps)]))


def iterates(T: Map, start: np.ndarray) -> Iterator[np.ndarray]:
    """x_1, x_2, ... of Halpern's iteration, without end."""
    x = start
    for k in count():
        x = (start + (k + 1) * T(x)) / (k + 2)
        yield x
