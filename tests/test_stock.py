"""Growth maps against published tables, torch and brute force."""

import pickle
import warnings
from collections.abc import Callable
from dataclasses import fields
from math import inf, log, nan
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlopt.theory.arrays import namespace
from rlopt.theory.stock import (
    Allen,
    BevertonHolt,
    Deterministic,
    Growth,
    Logistic,
    LognormalNoise,
    May,
    Myers,
    NormalNoise,
    Ricker,
    UniformNoise,
)

EXACT = 1e-12
TABLE = 1e-5  # digits printed in the table of reference points
MAPS: list[Growth] = [
    Logistic(),
    Logistic(1.2, 3.0),
    BevertonHolt(),
    BevertonHolt(2.0, 5.0),
    Ricker(),
    Ricker(2.5, 4.0),
    Myers(),
    Myers(3.0, 2.0, 1.0),
    Myers(2.0, 1.5, 2.0),
    Myers(1.5, 0.8, 1.0),
    Allen(),
    Allen(0.7, 3.0, 0.5),
    May(),
    May(0.7, 1.2, 0.19, 3.0, 0.15),
    May(1.0, 1.0, 0.25, 2.0, 0.1),
    May(1.0, 1.0, 0.4, 4.0, 0.1),
    May(0.7, 1.5, 0.1, 1.0, 0.1),
    May(0.7, 1.5, 0.0),
]
GAMMAS = [0.8, 0.95, 0.99, 1.0, 1.05]


def scale(growth: Growth) -> float:
    """A stock beyond everything of interest."""
    return 3.0 * (growth.capacity or 1.0)


# reference points, fixed points, folds ---------------------------------------------------------


@pytest.mark.parametrize(
    ("growth", "S", "msy", "u"),
    [
        (Logistic(0.3, 1.0), 0.5, 0.075, 0.130435),
        (BevertonHolt(0.3, 1.0), 0.467251, 0.0654972, 0.122942),
        (Ricker(0.3, 1.0), 0.480792, 0.0810368, 0.144238),
        (Myers(2.0, 3.0, 1.0), 1.295132, 0.0744328, 0.054348),
        (May(0.7, 1.5, 0.2, 3.0, 0.15), 0.742996, 0.0641093, 0.079431),
        (May(0.7, 1.2, 0.19, 3.0, 0.15), 0.065890, 0.0287446, 0.303742),
        (Allen(2.0, 8.0, 5.0), 6.661266, 0.4794235, 0.067140),
        # An exact tie with S = .020871: the larger escapement wins.
        (May(1.0, 1.0, 0.25, 2.0, 0.1), 0.479129, 0.0100, 0.0204445),
    ],
    ids=str,
)
def test_the_table_of_reference_points(growth: Growth, S: Any, msy: Any, u: Any) -> None:
    points = growth.reference_points()
    np.testing.assert_allclose([points.S_msy, points.msy, points.u_msy], [S, msy, u], atol=TABLE)
    assert points.F_msy == pytest.approx(-log(1.0 - points.u_msy), abs=EXACT)
    assert points.B_msy == pytest.approx(growth(points.S_msy), abs=EXACT)


def test_the_tie_is_a_tie() -> None:
    """(25 -+ sqrt(...)) in closed form: both maxima of the surplus are .01 up to rounding."""
    growth = May(1.0, 1.0, 0.25, 2.0, 0.1)
    low, high = 0.0208712152522079963, 0.4791287847477920037
    surplus = growth(np.array([low, high])) - np.array([low, high])
    np.testing.assert_allclose(surplus, 0.01, atol=1e-15)
    assert growth.reference_points().S_msy == pytest.approx(high, abs=1e-10)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("growth", MAPS, ids=str)
def test_reference_points_are_stationary_and_beat_a_dense_grid(
    growth: Growth, gamma: float
) -> None:
    points = growth.reference_points(gamma)
    S = points.S_msy
    grid = np.concatenate(
        [np.linspace(0.0, scale(growth), 200_001), np.geomspace(1e-9, 1.0, 9_999)]
    )
    best = gamma * float(growth(S)) - S
    assert np.max(gamma * growth(grid) - grid) <= best + EXACT
    if S == 0.0:
        assert points == (0.0, 0.0, 0.0, 0.0, 0.0)
        return
    h = 1e-6 * S
    slope = (growth(S + h) - growth(S - h)) / (2.0 * h)
    assert gamma * slope == pytest.approx(1.0, abs=1e-6)
    assert gamma * growth.derivative(S) == pytest.approx(1.0, abs=1e-10)
    assert points.msy == pytest.approx(growth(S) - S, abs=EXACT)


@pytest.mark.parametrize(
    "growth", [Allen(1.0, 8.0, 7.9), Myers(1.0, 3.0, 1.0), BevertonHolt(0.1, 1.0)]
)
def test_nothing_is_kept_where_no_stock_pays(growth: Growth) -> None:
    assert growth.reference_points(0.5) == (0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("gamma", [0.0, -1.0, nan, inf])
def test_gamma_must_be_positive_and_finite(gamma: float) -> None:
    with pytest.raises(ValueError, match=f"gamma must be .*got {gamma}"):
        Allen().reference_points(gamma)


@pytest.mark.parametrize("growth", MAPS, ids=str)
def test_fixed_points_are_fixed_and_complete(growth: Growth) -> None:
    points = np.array(growth.fixed_points())
    assert points[0] == 0.0
    assert np.all(np.diff(points) > 0.0)
    np.testing.assert_allclose(growth(points), points, rtol=EXACT)
    assert growth.capacity == points[-1]
    grid = np.geomspace(1e-12, scale(growth), 100_003)
    surplus = np.sign(growth(grid) - grid)
    assert np.count_nonzero(np.diff(surplus)) == len(points) - 1


def test_known_fixed_points() -> None:
    assert Allen(2.0, 8.0, 5.0).fixed_points() == (0.0, 5.0, 8.0)
    golden = (1.0 + 5.0**0.5) / 2.0
    np.testing.assert_allclose(Myers(2.0, 3.0, 1.0).fixed_points(), [0.0, 1.0, golden], atol=EXACT)
    # theta = 2: (A M -+ sqrt((A M)^2 - 4 M)) / 2, which exist iff A > 2 / sqrt(M).
    np.testing.assert_allclose(
        Myers(3.0, 2.0, 1.0).fixed_points(),
        [0.0, (3.0 - 5.0**0.5) / 2, (3.0 + 5.0**0.5) / 2],
        atol=EXACT,
    )
    for M in (0.3, 1.0, 3.0, 7.0):  # at A = 2 / sqrt(M) they merge in sqrt(M)
        double = Myers(2.0 / M**0.5, 2.0, M)
        np.testing.assert_allclose(double.fixed_points(), [0.0, M**0.5], rtol=1e-7)
        assert double.tipping_point == double.capacity
    assert Myers(1.9, 2.0, 1.0).fixed_points() == (0.0,)
    assert Myers(1.9, 2.0, 1.0).capacity == 0.0
    assert len(May(0.7, 1.2, 0.19, 3.0, 0.15).fixed_points()) == 4


@pytest.mark.parametrize(
    "growth",
    [Myers(1.0, 1.0, 1.0), Myers(1.0 / 3.0, 1.0, 3.0), May(1.0, 1.0, 1.0, 1.0, 1.0)],
    ids=str,
)
def test_neutral_growth_at_zero_leaves_no_rounding_roots(growth: Growth) -> None:
    """f'(0) = 1 exactly and f(s) < s beyond: every tiny s looks fixed in floating point."""
    assert growth.fixed_points() == (0.0,)
    assert growth.capacity == growth.reference_points().S_msy == 0.0


def test_fixed_points_of_may_are_the_roots_of_a_polynomial() -> None:
    """r (1 - x/K)(x^q + b^q) = a x^(q-1) for 300 random parameter sets, by companion matrix."""
    rng = np.random.default_rng(0)
    for q in rng.integers(1, 5, size=300):
        r, K, a, b = 10.0 ** rng.uniform([-1.0, -1.0, -3.0, -2.0], [0.5, 1.0, 0.5, 0.0])
        power = np.eye(q + 1)  # row i: x^(q - i)
        polynomial = np.polymul([-r / K, r], power[0] + b**q * power[-1])
        found = np.roots(np.polysub(polynomial, a * power[1]))
        expected = np.sort(found[(np.abs(found.imag) < 1e-9) & (found.real > 0.0)].real)
        points = May(r, K, a, float(q), b).fixed_points()[1:]
        np.testing.assert_allclose(points, expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("growth", "tips"),
    [
        (Logistic(), None),
        (BevertonHolt(), None),
        (Ricker(), None),
        (Allen(), 5.0),
        (Myers(), 1.0),
        (Myers(3.0, 1.0, 1.0), None),
        (Myers(1.9, 2.0, 1.0), None),
        (May(0.7, 1.2, 0.1, 3.0, 0.15), None),
        (May(0.7, 1.2, 0.25, 3.0, 0.15), None),
        # q = 1 with a / b > r: dies out below the smaller root of r (1 - x/K)(x + b) = a.
        (May(0.7, 1.5, 0.12, 1.0, 0.1), 0.7 - (0.49 - 1.5 * (0.12 / 0.7 - 0.1)) ** 0.5),
    ],
    ids=str,
)
def test_tipping_points(growth: Growth, tips: Any) -> None:
    assert growth.tipping_point == (None if tips is None else pytest.approx(tips, abs=1e-4))


@pytest.mark.parametrize("growth", [g for g in MAPS if g.tipping_point], ids=str)
def test_trajectories_part_at_the_tipping_point(growth: Growth) -> None:
    """Noiseless stocks a little below and above end at different fixed points."""
    s = growth.tipping_point * np.array([1.0 - 1e-6, 1.0 + 1e-6])
    for _ in range(5_000):
        s = growth(s)
    points = growth.fixed_points()
    i = points.index(growth.tipping_point)
    np.testing.assert_allclose(s, [points[i - 1], points[i + 1]], atol=1e-9)


def test_folds_of_may() -> None:
    folds = May(0.7, 1.2, 0.19, 3.0, 0.15).folds()
    np.testing.assert_allclose(folds, [(0.16546, 0.2119), (0.21341, 0.5847)], atol=5e-5)
    for (a, _), inside in zip(folds, (1.0 + 1e-6, 1.0 - 1e-6), strict=True):
        counts = {
            len(May(0.7, 1.2, a * f, 3.0, 0.15).fixed_points()) for f in (inside, 2.0 - inside)
        }
        assert counts == {2, 4}  # two equilibria appear within the folds
    assert May(0.7, 0.2, 0.19, 3.0, 0.15).folds() == ()
    ((a, x),) = May(0.7, 1.5, 0.19, 1.0, 0.15).folds()  # q = 1: r (1 - x/K)(x + b) is a parabola
    assert (a, x) == pytest.approx((0.317625, 0.675), abs=EXACT)


@pytest.mark.parametrize("growth", MAPS, ids=str)
def test_the_peak_is_the_supremum(growth: Growth) -> None:
    s, top = growth.peak
    wide = np.concatenate(
        [np.linspace(0.0, 5.0 * scale(growth), 100_001), np.geomspace(1.0, 1e30, 99)]
    )
    assert np.max(growth(wide)) <= top * (1.0 + EXACT)
    assert float(growth(1e60 if s == inf else s)) == pytest.approx(top, rel=EXACT)


# the maps themselves ---------------------------------------------------------------------------

FORMULAS: dict[type, Callable[[Any, Any], Any]] = {
    Logistic: lambda g, s: s + g.r * s * (1 - s / g.K),
    BevertonHolt: lambda g, s: (1 + g.r) * s / (1 + s * g.r / g.K),
    Ricker: lambda g, s: s * np.exp(g.r * (1 - s / g.K)),
    Myers: lambda g, s: g.A * s**g.theta / (1 + s**g.theta / g.M),
    Allen: lambda g, s: s * np.exp(g.r * (1 - s / g.K) * (s - g.C) / g.K),
    May: lambda g, s: s + g.r * s * (1 - s / g.K) - g.a * s**g.q / (s**g.q + g.b**g.q),
}


@pytest.mark.parametrize("growth", MAPS, ids=str)
def test_the_kernel_is_the_formula(growth: Growth) -> None:
    s = np.linspace(0.0, scale(growth), 4_001)
    expected = np.maximum(FORMULAS[type(growth)](growth, s), 0.0)
    np.testing.assert_allclose(growth(s), expected, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("growth", MAPS, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (0,)])
def test_numpy_torch_and_floats_agree(growth: Growth, shape: Any) -> None:
    s = np.random.default_rng(1).random(shape) * scale(growth)
    ours, theirs = growth(s), growth(torch.from_numpy(np.asarray(s)))
    assert theirs.dtype == torch.float64
    assert np.shape(ours) == theirs.shape == shape
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0.0, atol=EXACT)
    for x, y in zip(np.ravel(s), np.ravel(ours), strict=True):
        alone = growth(float(x))
        assert isinstance(alone, float)
        assert alone == pytest.approx(y, abs=EXACT)


@pytest.mark.parametrize("growth", MAPS, ids=str)
def test_gradients_flow(growth: Growth) -> None:
    """Autograd against central differences and against the closed derivative."""
    s = np.linspace(0.03, 0.9, 40) * scale(growth) / 2.0
    s = s[growth(s) > 1e-3]  # the clipped part has slope 0, the formula has not
    x = torch.tensor(s, requires_grad=True)
    (gradient,) = torch.autograd.grad(growth(x).sum(), x)
    h = 1e-6
    differences = (growth(s + h) - growth(s - h)) / (2.0 * h)
    np.testing.assert_allclose(gradient.numpy(), differences, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradient.numpy(), growth.derivative(s), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("growth", [Logistic(), BevertonHolt(), Ricker(), Allen(), May()], ids=str)
def test_the_gradient_at_zero_is_whole(growth: Growth) -> None:
    """Clipping must not halve or cut the slope at s = 0: 1 + r, ..., e^{-r C / K}."""
    x = torch.zeros((), dtype=torch.float64, requires_grad=True)
    growth(x).backward()
    assert x.grad is not None
    assert float(x.grad) == pytest.approx((growth(1e-9) - 0.0) / 1e-9, rel=1e-6)


@pytest.mark.parametrize(
    "growth", [*MAPS, May(1.0, 1e3, 0.2, 90.0, 1e-3), Myers(2.0, 40.0, 1e-9)], ids=str
)
def test_extremes_are_quiet(growth: Growth) -> None:
    """No warning, NaN or negative stock at 0, at subnormal or at huge s, nor on bad signs."""
    s = np.array([0.0, 5e-324, 1e-300, 1e-20, 1e20, 1e155, 1e300, -1e-17])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f = growth(s)
        tensor = growth(torch.from_numpy(s)).numpy()
        assert growth(0.0) == 0.0
    assert f[0] == tensor[0] == 0.0
    for values in (f, tensor):
        assert np.all(np.isfinite(values))
        assert np.all(values >= 0.0)


@settings(derandomize=True, deadline=None)
@given(st.floats(0.01, 20.0), st.floats(0.01, 20.0), st.floats(0.001, 0.999), st.floats(0.0, 1e6))
def test_f_is_never_negative_and_zero_at_zero(r: Any, K: Any, share: Any, s: Any) -> None:
    maps = (
        Logistic(r, K),
        BevertonHolt(r, K),
        Ricker(r, K),
        Myers(r, K, share),
        Allen(r, K, share * K),
        May(r, K, share, 3.0, share * K),
    )
    for growth in maps:
        value = float(growth(s))
        assert np.isfinite(value)
        assert value >= 0.0
        assert growth(0.0) == 0.0


def test_a_list_is_not_an_array() -> None:
    with pytest.raises(TypeError):
        namespace([1.0])


# parameters ------------------------------------------------------------------------------------

CASES: list[tuple[type, str]] = [
    (type(g), f.name)
    for g in (Logistic(), BevertonHolt(), Ricker(), Myers(), Allen(), May())
    for f in fields(g)
]
CASES += [(LognormalNoise, "sigma"), (NormalNoise, "sigma"), (UniformNoise, "d")]


@pytest.mark.parametrize(("kind", "name"), CASES)
@pytest.mark.parametrize("value", [-1.0, nan, inf, True, "0.3", None, np.array([1.0])])
def test_bad_parameters_are_named_with_their_value(kind: Any, name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=f"{kind.__name__}: {name} must be") as error:
        kind(**{name: value})
    assert repr(value) in str(error.value)


@pytest.mark.parametrize(("kind", "name"), [c for c in CASES if c[1] not in ("a", "sigma", "d")])
def test_zero_is_refused_where_it_means_nothing(kind: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be > 0, got 0.0"):
        kind(**{name: 0.0})


@pytest.mark.parametrize("C", [8.0, 9.0])
def test_allen_needs_its_threshold_below_capacity(C: float) -> None:
    with pytest.raises(ValueError, match=f"C .*must be < K .*got C={C}, K=8.0"):
        Allen(2.0, 8.0, C)


def test_uniform_noise_needs_d_up_to_one() -> None:
    with pytest.raises(ValueError, match=r"d must be in \[0, 1\], got 1.5"):
        UniformNoise(1.5)


def test_mean_one_is_a_switch() -> None:
    with pytest.raises(TypeError, match=r"mean_one must be True or False, got 0\.05"):
        LognormalNoise(0.1, 0.05)  # type: ignore[arg-type]  # the error is the point


@pytest.mark.parametrize(
    "thing",
    [*MAPS, Deterministic(), LognormalNoise(0.1, True), NormalNoise(0.1), UniformNoise(0.2)],
    ids=str,
)
def test_records_are_values(thing: Any) -> None:
    """Pickles, hashes and compares by value, whether or not results are cached; is frozen."""
    again = pickle.loads(pickle.dumps(thing))
    if hasattr(thing, "capacity"):
        assert thing.capacity == again.capacity
        again = pickle.loads(pickle.dumps(thing))
    assert again == thing
    assert hash(again) == hash(thing)
    for field in fields(thing):
        with pytest.raises(AttributeError):
            setattr(thing, field.name, 1.0)


def test_numbers_of_any_kind_become_floats() -> None:
    numbers: list[Any] = [np.float32(2.0), np.int64(8), 5]
    growth = Allen(*numbers)
    assert growth == Allen(2.0, 8.0, 5.0)
    assert all(type(getattr(growth, f.name)) is float for f in fields(growth))
    assert len({Logistic(), BevertonHolt(), Logistic()}) == 2  # equal fields, different maps
