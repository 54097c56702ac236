"""Straight lines above and below an activation on an interval.

Kinked functions (ReLU, leaky ReLU, |.|) have the chord on one side and any slope between their two
on the other. For smooth ones the line above is the tangent of the concave envelope at the middle
of the interval, found by bisection; what makes it a bound is not the search but its offset, which
comes from rigorous bounds on the slope in each cell of a grid: a line is sound with every slope.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rlopt.theory.lipschitz.activations import ULPS, Activation
from rlopt.theory.lipschitz.interval import TINY, Interval, widened

CELLS = 16  # of the grid on which offsets are bounded
BISECTIONS = 14


class Lines(NamedTuple):
    """below_slope v + below_offset <= phi(v) <= above_slope v + above_offset on an interval.

    Where `free`, the line above (`above_free`) or below goes through the kink of two straight
    pieces, and any slope between theirs will do.
    """

    below_slope: np.ndarray
    below_offset: np.ndarray
    above_slope: np.ndarray
    above_offset: np.ndarray
    free: np.ndarray
    above_free: bool


class _Grid(NamedTuple):
    """A function on cells: points and values (cells + 1, ...), slopes in each cell."""

    points: np.ndarray
    values: np.ndarray
    least: np.ndarray
    most: np.ndarray

    def turned(self) -> _Grid:
        """The same for minus the function."""
        return _Grid(self.points, -self.values, -self.most, -self.least)

    def offset(self, slope: np.ndarray | float) -> np.ndarray:
        """An upper bound on phi(v) - slope v."""
        straight = slope * self.points
        excess = self.values - straight
        excess += ULPS * (1.0 + np.abs(self.values) + np.abs(straight))
        falls, rises = np.maximum(slope - self.least, 0.0), np.maximum(self.most - slope, 0.0)
        steepest = np.maximum(falls + rises, np.finfo(float).tiny)
        # in a cell the function stays below both its steepest rise and its steepest fall
        bump = (self.points[1:] - self.points[:-1]) * (falls / steepest) * rises
        ends = np.maximum(excess[1:], excess[:-1])
        return np.max(ends + bump * (1.0 + ULPS) + ULPS * np.abs(ends), axis=0)

    def above(self) -> tuple[np.ndarray, np.ndarray]:
        """Slope and offset of the line above that is lowest at the middle."""
        middle = 0.5 * self.points[0] + 0.5 * self.points[-1]
        low, high = self.least.min(axis=0), self.most.max(axis=0)
        for _ in range(BISECTIONS):
            slope = 0.5 * (low + high)
            touching = np.argmax(self.values + slope * (middle - self.points), axis=0)
            left = np.take_along_axis(self.points, touching[None], axis=0)[0] < middle
            low, high = np.where(left, low, slope), np.where(left, slope, high)
        slope = 0.5 * (low + high)
        return slope, self.offset(slope)


def lines(activation: Activation, low: np.ndarray, high: np.ndarray) -> Lines:
    """Lines on [low, high], rounded outwards.

    Args:
        activation: of single neurons.
        low: finite, any shape.
        high: same shape, high >= low.
    """
    if activation.function.exact:
        return _kinked(activation, low, high)
    grid = _grid(activation, low, high)
    above, below = grid.above(), grid.turned().above()
    return Lines(-below[0], -below[1], *above, np.zeros(low.shape, dtype=bool), False)


def image(activation: Activation, low: np.ndarray, high: np.ndarray) -> Interval:
    """Bounds on phi over [low, high], rounded outwards."""
    if not activation.function.exact:
        grid = _grid(activation, low, high)
        return -grid.turned().offset(0.0), grid.offset(0.0)
    values = activation.value(_corners(low, high))
    least, most = values.min(axis=0), values.max(axis=0)
    whole = all(abs(slope) in (0.0, 1.0) for slope in activation.slopes)
    return widened(least, most, np.full_like(least, 0.0 if whole else TINY))


def _corners(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The ends, and the kink where it lies between."""
    return np.stack([low, high, np.clip(0.0, low, high)])


def _kinked(activation: Activation, low: np.ndarray, high: np.ndarray) -> Lines:
    left, right = (float(activation.function.slope(np.array(v))) for v in (-1.0, 1.0))
    points = _corners(low, high)
    values = activation.value(points)
    width = high - low
    stable = (low >= 0.0) | (high <= 0.0)
    fixed = np.where(low >= 0.0, right, left)
    chord = np.divide(values[1] - values[0], width, out=fixed.copy(), where=~stable)
    through = np.where(stable, fixed, np.where(high > -low, right, left))
    # the chord is on the side to which the function bends; rounding may have tilted it
    side = 1.0 if right >= left else -1.0
    straight = chord * points
    doubt = ULPS * (np.abs(values) + np.abs(straight)) + 4.0 * TINY
    offset = side * np.max(side * (values - straight) + doubt, axis=0)
    offset, zero = np.where(stable, 0.0, offset), np.zeros_like(low)
    if side > 0.0:
        return Lines(through, zero, chord, offset, ~stable, False)
    return Lines(chord, offset, through, zero, ~stable, True)


def _grid(activation: Activation, low: np.ndarray, high: np.ndarray) -> _Grid:
    share = np.linspace(0.0, 1.0, CELLS + 1).reshape(-1, *([1] * low.ndim))
    points = np.clip((1.0 - share) * low + share * high, low, high)
    points = np.maximum.accumulate(points, axis=0)
    points[0], points[-1] = low, high
    least, most = activation.slopes_between(points[:-1], points[1:])
    return _Grid(points, activation.value(points), least, most)
