"""Reed's bound: its gain is a global maximum, and constant escapement attains it."""

from math import nan
from typing import Any

import numpy as np
import pytest

from rlopt.theory.reed import reed_gain, reed_value
from rlopt.theory.stock import (
    Allen,
    BevertonHolt,
    Deterministic,
    Growth,
    Logistic,
    LognormalNoise,
    May,
    Myers,
    Noise,
    NormalNoise,
    Ricker,
    UniformNoise,
)

EXACT = 1e-12
TABLE = 1e-5
MAPS: list[Growth] = [
    Logistic(),
    BevertonHolt(2.0, 5.0),
    Ricker(2.5, 4.0),
    Myers(),
    Myers(1.5, 0.8, 1.0),
    Allen(),
    Allen(0.7, 3.0, 0.5),
    May(),
    May(0.7, 1.2, 0.19, 3.0, 0.15),
    May(1.0, 1.0, 0.4, 4.0, 0.1),
    May(0.7, 1.5, 0.0),
]


def test_reed_for_allen() -> None:
    """S* = 6.63954965989591478, G* = .408125072079763062 by 30-digit arithmetic (mpmath)."""
    G, S = reed_gain(Allen(2.0, 8.0, 5.0), UniformNoise(0.05), 0.99)
    assert pytest.approx(0.408125072079763062, abs=1e-14) == G
    assert pytest.approx(6.63954965989591478, abs=1e-12) == S
    value = reed_value(x0=10.0, G=G, gamma=0.99)
    assert value == pytest.approx(50.8125072079763, abs=1e-11)


def test_reed_is_attained_by_constant_escapement() -> None:
    """T2: where S* is self-sustaining, E sum gamma^t h_t is the bound, by direct summation."""
    growth, noise, gamma, x0 = Allen(), UniformNoise(0.05), 0.99, 10.0
    G, S = reed_gain(growth, noise, gamma)
    assert (1.0 - noise.d) * growth(S) >= S
    yearly = float(noise.mean(growth(S), S)) - S
    for T in (1, 2, 30):
        total = x0 - S + sum(gamma**t * yearly for t in range(1, T)) + gamma ** (T - 1) * S
        assert reed_value(x0=x0, G=G, gamma=gamma, T=T) == pytest.approx(total, rel=EXACT)


def test_reed_without_discount() -> None:
    """Logistic, gamma = 1: V = x0 + (T - 1) r K / 4."""
    G, S = reed_gain(Logistic(0.3, 1.0), Deterministic(), 1.0)
    np.testing.assert_allclose((G, S), (0.075, 0.5), atol=EXACT)
    assert reed_value(x0=0.75, G=G, gamma=1.0, T=101) == pytest.approx(
        0.75 + 100 * 0.075, abs=1e-11
    )
    limit = reed_value(x0=0.75, G=G, gamma=1.0 - 1e-9, T=101)
    assert limit == pytest.approx(0.75 + 100 * 0.075, abs=1e-5)
    with pytest.raises(ValueError, match="give T or gamma < 1"):
        reed_value(x0=1.0, G=G, gamma=1.0)


NOISES: list[Noise] = [
    Deterministic(),
    LognormalNoise(0.2),
    LognormalNoise(0.2, mean_one=True),
    UniformNoise(0.3),
    NormalNoise(0.0),
    NormalNoise(0.1),
    NormalNoise(0.8),
]


@pytest.mark.parametrize("noise", NOISES, ids=str)
@pytest.mark.parametrize("growth", MAPS, ids=str)
def test_the_gain_is_the_global_maximum(growth: Growth, noise: Noise) -> None:
    G, S = reed_gain(growth, noise, 0.97)
    grid = np.concatenate(
        [np.linspace(0.0, 30.0 * growth.capacity, 100_001), np.geomspace(1e-9, 1.0, 9_999)]
    )
    best = np.max(0.97 * noise.mean(growth(grid), grid) - grid)
    assert max(best, 0.0) <= G + EXACT
    at_S = 0.97 * float(noise.mean(growth(np.asarray(S)), np.asarray(S))) - S
    assert at_S == pytest.approx(G, abs=EXACT)


@pytest.mark.parametrize("noise", [Deterministic(), NormalNoise(0.0), NormalNoise(0.01)], ids=str)
def test_ties_of_the_gain_go_to_the_larger_stock(noise: Noise) -> None:
    gain = reed_gain(May(1.0, 1.0, 0.25, 2.0, 0.1), noise, 1.0)
    np.testing.assert_allclose(gain.S, 0.479129, atol=TABLE)


def test_unbounded_gain_is_refused() -> None:
    with pytest.raises(ValueError, match="unbounded for NormalNoise"):
        reed_gain(Allen(), NormalNoise(2.6), 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x0": -1.0}, "x0 must be >= 0, got -1.0"),
        ({"G": nan}, "G must be finite, got nan"),
        ({"gamma": 1.5}, r"gamma must be in \(0, 1\], got 1.5"),
        ({"gamma": 0.0}, "gamma must be > 0, got 0.0"),
        ({"T": 0}, "T must be an integer >= 1 or None, got 0"),
        ({"T": 2.5}, "T must be an integer >= 1 or None, got 2.5"),
        ({"T": True}, "T must be an integer >= 1 or None, got True"),
    ],
)
def test_reed_names_what_is_wrong(change: Any, message: Any) -> None:
    constants = {"x0": 1.0, "G": 0.1, "gamma": 0.9, "T": 5} | change
    with pytest.raises((TypeError, ValueError), match=message):
        reed_value(**constants)
