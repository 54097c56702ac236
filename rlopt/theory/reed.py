"""Reed's bound on the value of a fishery, for any growth map (after Reed 1979).

Write x_t for the stock, h_t for the catch and s_t = x_t - h_t for the escapement. Then
sum_t gamma^t h_t = x_0 + sum_{t <= T-2} gamma^t (gamma x_{t+1} - s_t) - gamma^{T-1} s_{T-1},
and E[gamma x_{t+1} - s_t | s_t] <= G* := max_{s >= 0} gamma E[x' | s] - s for every policy.
Concavity of f, which Reed assumes, is not needed.
"""

from __future__ import annotations

from math import expm1, log, pi, sqrt
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from rlopt.theory.checks import nonnegative, positive
from rlopt.theory.growth import TIE, Growth, search_grid
from rlopt.theory.noise import MultiplicativeNoise, Noise
from rlopt.theory.registry import bound


class ReedGain(NamedTuple):
    """The largest expected gain of one year at sea.

    Attributes:
        G: max over s >= 0 of gamma E[x' | s] - s, >= 0 [biomass].
        S: the s >= 0 that attains it, the larger one of ties [biomass].
    """

    G: float
    S: float


@bound(source="Reed 1979, here without concavity", holds="expectation", tight=True)
def reed_value(*, x0: float, G: float, gamma: float, T: int | None = None) -> float:
    """Value of the best policy, E sum_t gamma^t h_t, from the stock x0.

    T harvests:  V*(x0) <= x0 + G (1 - gamma^{T-1}) / (1 - gamma), for gamma = 1 x0 + (T - 1) G.
    Endless:     V*(x0) <= x0 + G / (1 - gamma).

    >>> reed_value(x0=0.75, G=0.075, gamma=1.0, T=11)  # logistic r=.3 K=1: r K / 4 a year
    1.5

    Args:
        x0: first stock, before harvest, >= 0 [biomass].
        G: `reed_gain(...).G`, >= 0 [biomass].
        gamma: discount a year, in (0, 1].
        T: number of harvests, >= 1; None is endless.

    Returns:
        The bound [biomass].

    Assumptions: reward = catch, 0 <= h_t <= x_t; any policy, also history dependent or on noisy
    observations.
    Tight: x0 >= S and P(x' >= S | S) = 1; then the constant escapement S (and 0 in the last of T
    harvests) attains it.

    Raises:
        TypeError: an argument is not a number, or T is not an integer.
        ValueError: an argument is outside its range, or gamma = 1 without a horizon.
    """
    x0 = nonnegative("reed_value", "x0", x0)
    G = nonnegative("reed_value", "G", G)
    gamma = _discount("reed_value", gamma)
    if T is None:
        if gamma == 1.0:
            raise ValueError(
                "reed_value: gamma = 1 has no finite endless value; give T or gamma < 1"
            )
        return x0 + G / (1.0 - gamma)
    if isinstance(T, bool) or not isinstance(T, (int, np.integer)):
        raise TypeError(f"reed_value: T must be an integer >= 1 or None, got {T!r}")
    if T < 1:
        raise ValueError(f"reed_value: T must be an integer >= 1 or None, got {T!r}")
    if gamma == 1.0:
        return x0 + (T - 1) * G
    return x0 - G * expm1((T - 1) * log(gamma)) / (1.0 - gamma)  # no cancellation near gamma = 1


def reed_gain(growth: Growth, noise: Noise, gamma: float) -> ReedGain:
    """G* = max over s >= 0 of gamma E[x' | s] - s, and its argmax.

    For multiplicative noise with mean m this is the reference point of f for gamma m; for other
    noise a global search, with an error in G* of the order of rounding (in S: 1e-8 relative,
    since the maximum is flat).

    Args:
        growth: the map f.
        noise: the law of x' given f(s) and s.
        gamma: discount a year, in (0, 1].

    Raises:
        TypeError: gamma is not a number.
        ValueError: gamma is outside (0, 1], or the noise is so large (NormalNoise with
            gamma sigma >= sqrt(2 pi)) that the gain is unbounded.
    """
    gamma = _discount("reed_gain", gamma)
    if isinstance(noise, MultiplicativeNoise):
        weight = gamma * noise.mean_factor
        s = growth.reference_points(weight).S_msy
        return ReedGain(max(weight * float(growth(s)) - s, 0.0), s)

    def gain(s: np.ndarray) -> np.ndarray:
        return np.asarray(gamma * noise.mean(growth(s), s) - s)

    # Clipping at 0 adds at most E (sigma s eps)^+ = sigma s / sqrt(2 pi) to f(s).
    share = 1.0 - gamma * float(getattr(noise, "sigma", 0.0)) / sqrt(2.0 * pi)
    if share <= 0.0:
        raise ValueError(
            f"reed_gain: the gain is unbounded for {noise} and gamma={gamma}: "
            f"gamma sigma must be < sqrt(2 pi) = {sqrt(2.0 * pi):.4f}"
        )
    top = gamma * growth.peak[1] / share
    if not top > 0.0:
        return ReedGain(0.0, 0.0)
    grid = np.append(0.0, search_grid(top))
    values = gain(grid)
    peaks = 1 + np.flatnonzero((values[1:-1] >= values[:-2]) & (values[1:-1] >= values[2:]))
    best = ReedGain(0.0, 0.0)
    # Only peaks that could win after polishing; neighbours on the grid differ far less than 10 %.
    for i in (i for i in peaks if values[i] > 0.9 * values.max()):
        found = minimize_scalar(
            lambda s: -float(gain(np.asarray(s))),
            bounds=(grid[i - 1], grid[i + 1]),
            method="bounded",
            options={"xatol": 1e-12 * top},
        )
        value, s = max((-float(found.fun), float(found.x)), (float(values[i]), float(grid[i])))
        if value > best.G * (1.0 - TIE):
            best = ReedGain(value, s)
    return best


def _discount(owner: str, gamma: object) -> float:
    number = positive(owner, "gamma", gamma)
    if number > 1.0:
        raise ValueError(f"{owner}: gamma must be in (0, 1], got {gamma!r}")
    return number
