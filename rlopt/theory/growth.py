"""What every growth map f shares: fixed points, tipping point and reference points, by search.

All searches rest on one fact: between two neighbouring stationary points of c f(s) - s that
function is monotone. So the roots of c f'(s) = 1, bracketed on a fine grid and polished, give
both the best escapement (c = gamma) and, between them, every fixed point (c = 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from math import log1p
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from rlopt.theory.arrays import Array
from rlopt.theory.checks import nonnegative, positive

TIE = 1e-9
"""Two maxima whose values differ by less than this, relatively, are tied."""

TOUCH = 1e-13
"""An extremum of f(s) - s within this of 0, relative to s, is a (double) fixed point."""


class ReferencePoints(NamedTuple):
    """The best sustained harvest from an escapement S, without noise.

    Attributes:
        S_msy: escapement (stock after harvest) that maximises gamma f(S) - S [biomass].
        msy: catch f(S) - S sustained there each year [biomass]; the maximum sustainable yield
            for gamma = 1.
        u_msy: exploitation fraction msy / f(S), in [0, 1).
        F_msy: instantaneous rate -log(1 - u_msy).
        B_msy: stock before harvest, f(S) [biomass].
    """

    S_msy: float
    msy: float
    u_msy: float
    F_msy: float
    B_msy: float


@dataclass(frozen=True)
class Growth(ABC):
    """A growth map f: escapement s >= 0 -> next stock f(s) >= 0 [biomass], with f(0) = 0.

    Concrete maps are frozen dataclasses of Python floats: hashable, picklable, compared by
    value. Biomass is in any one unit; r, q, theta and A are pure numbers.
    """

    _may_be_zero: ClassVar[tuple[str, ...]] = ()
    varying: ClassVar[tuple[str, ...]] = ()
    """Parameters that `at` takes as arrays."""

    def __post_init__(self) -> None:
        """Every field is a finite number > 0 (some may be 0), kept as a Python float."""
        for field in fields(self):
            check = nonnegative if field.name in self._may_be_zero else positive
            value = check(type(self).__name__, field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)

    @abstractmethod
    def __call__(self, s: Array) -> Array:
        """f(s), elementwise.

        Args:
            s: escapement >= 0 [biomass], any shape: numpy array, torch tensor or float.

        Returns:
            Next stock >= 0, same kind and shape [biomass]; finite for every finite s, and
            differentiable in torch.
        """

    def at(self, **values: Array) -> Self:
        """The map for stocks that differ in a parameter: only good for calling, and unchecked.

        Args:
            **values: parameters among `varying`, arrays of the escapements' shape, or numbers.
        """
        other = object.__new__(type(self))
        for field in fields(self):
            value = values.get(field.name, getattr(self, field.name))
            object.__setattr__(other, field.name, value)
        return other

    @abstractmethod
    def derivative(self, s: Array) -> Array:
        """f'(s) for s > 0, same shape: of the formula, before any clipping of f at 0."""

    @property
    @abstractmethod
    def peak(self) -> tuple[float, float]:
        """(s, f): argmax and supremum of f over s >= 0; (inf, limit) for saturating maps."""

    def fixed_points(self) -> tuple[float, ...]:
        """All s >= 0 with f(s) = s, ascending, 0 included [biomass]."""
        return (0.0, *(point for point, _ in self._crossings()))

    @cached_property
    def tipping_point(self) -> float | None:
        """The threshold below which the stock dies out or falls to a low branch [biomass].

        This is the positive fixed point at which f(s) - s turns from negative to positive (or
        touches 0 from below); None where there is none.
        """
        return next((point for point, rises in self._crossings() if rises), None)

    @cached_property
    def capacity(self) -> float:
        """The largest fixed point: the unfished equilibrium B0, 0 where no stock persists."""
        return self.fixed_points()[-1]

    def reference_points(self, gamma: float = 1.0) -> ReferencePoints:
        """The escapement that maximises gamma f(S) - S over all S >= 0, and what it yields.

        Of tied maxima (relative difference below `TIE`) the larger S is taken: it keeps the
        larger stock for the same catch. Where no S > 0 gains anything, all entries are 0.

        Args:
            gamma: weight of next year's stock, finite and > 0: a discount, or the discount times
                E Z for multiplicative noise (and may then exceed 1).

        Raises:
            TypeError: gamma is not a number.
            ValueError: gamma is not finite and > 0.
        """
        gamma = positive(f"{type(self).__name__}.reference_points", "gamma", gamma)
        return self._references_at(self._best_escapement(gamma))

    def _best_escapement(self, gamma: float) -> float:
        """Argmax of gamma f(S) - S over S >= 0; overridden where there is a closed form."""
        found = [(gamma * float(self(s)) - s, s) for s in self._stationary(gamma)]
        best = max((value for value, _ in found), default=0.0)
        return max(
            (s for value, s in found if value > 0.0 and value >= (1.0 - TIE) * best), default=0.0
        )

    def _references_at(self, s: float) -> ReferencePoints:
        if not s > 0.0:
            return ReferencePoints(0.0, 0.0, 0.0, 0.0, 0.0)
        stock = float(self(s))
        catch = stock - s
        fraction = catch / stock
        return ReferencePoints(s, catch, fraction, -log1p(-fraction), stock)

    def _stationary(self, gamma: float) -> list[float]:
        """Roots of gamma f'(s) = 1 over 0 < s <= gamma sup f, beyond which gamma f(s) < s."""
        top = gamma * self.peak[1]
        if not top > 0.0:
            return []
        return roots(lambda s: gamma * self.derivative(s) - 1.0, search_grid(top), rounding=1e-13)

    def _crossings(self) -> list[tuple[float, bool]]:
        """(fixed point > 0, whether f(s) - s rises to it from below 0), ascending."""

        def surplus(s: float) -> float:
            return float(self(s)) - s

        # No fixed point lies above sup f; the factor keeps one at sup f itself inside.
        top = self.peak[1] * (1.0 + 1e-9)
        if not top > 0.0:  # grazed down to nothing from every s
            return []
        found: list[tuple[float, bool]] = []
        left = before = 0.0
        for right in (*self._stationary(1.0), top):
            after = surplus(right)
            if abs(after) <= TOUCH * right:
                found.append((right, before <= 0.0))
                after = 0.0
            elif before * after < 0.0:
                found.append((polish(surplus, left, right), after > 0.0))
            left, before = right, after
        return found


def search_grid(top: float) -> NDArray[np.float64]:
    """Ascending points over (0, top]: 30 decades below top, and evenly spread near it."""
    return np.union1d(top * np.geomspace(1e-30, 1.0, 9001), np.linspace(0.0, top, 4001)[1:])


def roots(
    function: Callable[[Any], Any], grid: NDArray[np.float64], rounding: float = 0.0
) -> list[float]:
    """Ascending roots of a continuous function that changes sign between grid points.

    Args:
        function: elementwise, on arrays and floats, finite or infinite but not NaN.
        grid: (n,) ascending.
        rounding: values up to this size count as 0.
    """
    values = np.asarray(function(grid))
    # Zeros on the grid drop out, so a root there is bracketed by its neighbours, and a run of
    # zeros without a change of sign gives none: where f'(0) = 1, every tiny s is stationary
    # up to rounding.
    keep = np.flatnonzero(np.abs(values) > rounding)
    signs = np.sign(values[keep])
    edges = np.flatnonzero(signs[:-1] != signs[1:])
    return [polish(function, float(grid[keep[i]]), float(grid[keep[i + 1]])) for i in edges]


def polish(function: Callable[[float], Any], left: float, right: float) -> float:
    """The root of a function with a sign change on [left, right], to the last few bits."""
    eps = float(np.finfo(float).eps)
    return float(brentq(function, left, right, xtol=1e-300, rtol=4.0 * eps, maxiter=500))
