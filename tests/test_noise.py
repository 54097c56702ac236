"""The noises: closed integrals against quadrature, simulation and each other."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from rlopt.theory.stock import (
    Allen,
    Deterministic,
    LognormalNoise,
    Noise,
    NormalNoise,
    UniformNoise,
)

EXACT = 1e-12
MC_ERRORS = 4.0  # standard errors; a false alarm in 6e-5 of the checks, but the seeds are fixed
NOISES: list[Noise] = [
    Deterministic(),
    LognormalNoise(0.0),
    LognormalNoise(0.0, mean_one=True),
    LognormalNoise(0.05),
    LognormalNoise(0.5),
    LognormalNoise(0.5, mean_one=True),
    UniformNoise(0.0),
    UniformNoise(0.05),
    UniformNoise(1.0),
    NormalNoise(0.0),
    NormalNoise(0.05),
    NormalNoise(0.7),
]
SILENT = [n for n in NOISES if n.largest_factor == 1.0]
RANDOM = [n for n in NOISES if n.largest_factor > 1.0]
ANY_NOISE = st.sampled_from(NOISES)
BIOMASS = st.one_of(st.just(0.0), st.floats(1e-6, 20.0))


def quantiles(noise: Noise, n: int) -> Any:
    """Raw draws at the n midpoints of (0, 1), in place of random ones."""
    p = (np.arange(n) + 0.5) / n
    return ndtri(p) if noise.kind == "normal" else p


@settings(derandomize=True, deadline=None, max_examples=200)
@given(ANY_NOISE, BIOMASS, BIOMASS)
def test_prices_are_convex_decreasing_and_start_at_the_mean(
    noise: Noise, median: Any, s: Any
) -> None:
    k = np.linspace(0.0, 30.0, 301)
    price = noise.call_price(median, s, k)
    assert np.all(np.isfinite(price))
    assert np.all(price >= 0.0)
    assert np.all(np.diff(price) <= EXACT)
    assert np.all(np.diff(price) >= -0.1 - EXACT)  # slope -P(x' > k) >= -1
    assert np.all(np.diff(price, 2) >= -EXACT)
    assert price[0] == pytest.approx(float(noise.mean(median, s)), abs=EXACT)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(ANY_NOISE, BIOMASS, st.floats(1e-3, 20.0))
def test_prices_and_cdf_equal_quadrature(noise: Noise, median: Any, s: Any) -> None:
    """Averages over 200,000 quantiles of `apply` itself, independent of the closed forms."""
    raw = quantiles(noise, 200_000)
    stock = noise.apply(np.full(raw.shape, median), np.full(raw.shape, s), raw)
    spread = float(np.ptp(stock))
    for k in (0.0, 0.5 * median, median, 1.2 * median + 0.1 * s, 25.0):
        price = float(noise.call_price(median, s, k))
        assert price == pytest.approx(np.maximum(stock - k, 0.0).mean(), abs=1e-5 * spread + EXACT)
        # A jump of the cdf at k may be split by rounding; elsewhere 1 / n bounds the error.
        below, upto = np.mean(stock < k - 1e-9), np.mean(stock <= k + 1e-9)
        assert below - 1e-4 <= float(noise.cdf(median, s, k)) <= upto + 1e-4


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.sampled_from(RANDOM), st.floats(0.1, 20.0), st.floats(0.1, 20.0), st.floats(0.05, 25.0))
def test_the_cdf_is_one_plus_the_slope_of_the_price(
    noise: Noise, median: Any, s: Any, k: Any
) -> None:
    h = 1e-5
    up, down = noise.call_price(median, s, k + h), noise.call_price(median, s, k - h)
    slope = float(up - down) / (2.0 * h)
    edges = np.array(
        [median * (1.0 - getattr(noise, "d", 0.0)), median * (1.0 + getattr(noise, "d", 0.0))]
    )
    if isinstance(noise, UniformNoise) and np.min(np.abs(edges - k)) < 1e-3:
        return  # kinks of the cdf
    assert float(noise.cdf(median, s, k)) == pytest.approx(1.0 + slope, abs=1e-6)


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_sampling_agrees_with_prices_and_cdf(noise: Noise) -> None:
    """400,000 draws, seed 3, 4 standard errors."""
    n = 400_000
    median, s = 7.1, 6.6
    stock = noise.sample(np.random.default_rng(3), np.full(n, median), s)
    assert stock.shape == (n,)
    for k in (0.0, 5.0, 7.0, 8.0, 12.0):
        gains = np.maximum(stock - k, 0.0)
        error = MC_ERRORS * gains.std() / n**0.5 + EXACT
        assert abs(gains.mean() - float(noise.call_price(median, s, k))) <= error
        p = float(noise.cdf(median, s, k))
        error = MC_ERRORS * (p * (1.0 - p) / n) ** 0.5 + 20.0 / n
        assert abs(np.mean(stock <= k) - p) <= error


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_corners_of_prices_and_cdf(noise: Noise) -> None:
    """No stock stays no stock; strike 0 buys the mean; far strikes are worthless."""
    median, k = np.array([[0.0], [0.0], [5.0]]), np.array([0.0, 1.0, 1e6])
    s = np.array([[0.0], [0.0], [4.0]])
    mean = float(noise.mean(5.0, 4.0))
    price = noise.call_price(median, s, k)
    np.testing.assert_array_equal(price[:2], 0.0)
    assert price[2, 0] == pytest.approx(mean, abs=EXACT)
    assert mean - 1.0 - EXACT <= price[2, 1] < mean
    assert price[2, 2] < 1e-100
    cdf = noise.cdf(median, s, k)
    np.testing.assert_array_equal(cdf[:2], 1.0)
    assert cdf[2, 2] == 1.0
    assert np.all((cdf >= 0.0) & (cdf <= 1.0))
    dies = 5.0 / (4.0 * noise.sigma) if isinstance(noise, NormalNoise) and noise.sigma else np.inf
    assert cdf[2, 0] == pytest.approx(ndtr(-dies), abs=EXACT)


@pytest.mark.parametrize("noise", SILENT, ids=str)
def test_noise_of_size_zero_is_no_noise(noise: Noise) -> None:
    certain, rng = Deterministic(), np.random.default_rng(0)
    m, s, k = rng.random((9, 1)), rng.random((9, 1)), np.append(rng.random(8), 0.0)
    m[0] = s[0] = 0.0
    m[1] = k[1]
    np.testing.assert_array_equal(noise.call_price(m, s, k), certain.call_price(m, s, k))
    np.testing.assert_array_equal(noise.cdf(m, s, k), certain.cdf(m, s, k))
    raw = rng.random((9, 1))
    np.testing.assert_array_equal(noise.apply(m, s, raw), m)
    np.testing.assert_array_equal(noise.mean(m, s), m)


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_apply_agrees_between_numpy_and_torch(noise: Noise) -> None:
    rng = np.random.default_rng(5)
    s = rng.random((6, 2)) * 9.0
    raw = quantiles(noise, 12).reshape(6, 2)
    ours = noise.apply(Allen()(s), s, raw)
    tensor = torch.tensor(s, requires_grad=True)
    theirs = noise.apply(Allen()(tensor), tensor, torch.from_numpy(raw))
    assert ours.shape == theirs.shape == (6, 2)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0.0, atol=EXACT)
    (gradient,) = torch.autograd.grad(theirs.sum(), tensor)
    h = 1e-6
    up, down = (noise.apply(Allen()(x), x, raw) for x in (s + h, s - h))
    kink = np.minimum(up, down) == 0.0  # clipped at 0
    difference = (up - down) / (2.0 * h)
    np.testing.assert_allclose(gradient.numpy()[~kink], difference[~kink], atol=1e-6, rtol=1e-6)


def test_kinds_means_and_largest_factors() -> None:
    assert [
        (n.kind, n.dim)
        for n in (Deterministic(), LognormalNoise(0.1), UniformNoise(0.1), NormalNoise(0.1))
    ] == [
        (None, 0),
        ("normal", 1),
        ("uniform", 1),
        ("normal", 1),
    ]
    assert LognormalNoise(0.3).mean_factor == pytest.approx(np.exp(0.045), rel=EXACT)
    assert LognormalNoise(0.3, mean_one=True).mean_factor == 1.0
    assert UniformNoise(0.3).mean_factor == Deterministic().mean_factor == 1.0
    assert LognormalNoise(0.3).largest_factor == NormalNoise(0.3).largest_factor == np.exp(1.5)
    assert UniformNoise(0.3).largest_factor == pytest.approx(1.3)
    assert not hasattr(NormalNoise(0.3), "mean_factor")


def test_clipping_lifts_the_mean_of_normal_noise() -> None:
    assert float(NormalNoise(0.7).mean(1.0, 2.0)) > 1.0
    assert float(NormalNoise(0.7).mean(0.0, 2.0)) == pytest.approx(
        1.4 / (2.0 * np.pi) ** 0.5, rel=EXACT
    )


@pytest.mark.parametrize("noise", NOISES, ids=repr)
def test_puts_and_calls_are_at_parity(noise: Noise) -> None:
    """C(k) - P(k) = E x' - k; and for tiny strikes P is the integral of the cdf."""
    median, k = np.array([[1e-6], [0.4], [1.3]]), np.linspace(0.0, 3.0, 31)
    gap = noise.call_price(median, median, k) - noise.put_price(median, median, k)
    np.testing.assert_allclose(gap, noise.mean(median, median) - k, atol=1e-12)
    tiny = np.array([0.9e-6, 1e-6, 1.1e-6, 1e-9])
    rise = noise.put_price(median, median, tiny * 1.05) - noise.put_price(median, median, tiny)
    middle = noise.cdf(median, median, tiny * 1.025)
    np.testing.assert_allclose(rise[1:] / (0.05 * tiny), middle[1:], rtol=1e-4, atol=1e-12)
