"""Mirror maps: reference steps, optimality on the set, and which map goes with which set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlopt.agents.online import steps
from rlopt.agents.online.mirror import (
    MIRRORS,
    Entropy,
    Euclidean,
    LogBarrier,
    Mahalanobis,
    PNorm,
    make_map,
)
from rlopt.spaces import Ball, BoxSet, Simplex

H = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 3.0]])
WIDE = BoxSet([-1e6] * 3, [1e6] * 3)
NARROW = BoxSet([-0.3, 0.05, -1.0], [0.3, 0.4, -0.2])
G = np.array([1.0, -2.0, 0.5])
GOLDEN = {
    "p_norm": (PNorm(1.5), WIDE, (0.2, -0.1, 0.4), (0.1156949469, -0.0018166650, 0.3855929105)),
    "log_barrier": (
        LogBarrier(),
        Simplex(3),
        (0.5, 0.3, 0.2),
        (0.4802897962, 0.3209850771, 0.1987251268),
    ),
    "entropy": (Entropy(), Simplex(3), (0.5, 0.3, 0.2), (0.4483453030, 0.3631217137, 0.1885329833)),
}
PAIRS = {
    "euclidean-ball": (Euclidean(), Ball(3)),
    "euclidean-simplex": (Euclidean(), Simplex(3)),
    "mahalanobis-ball": (Mahalanobis(H), Ball(3)),
    "mahalanobis-box": (Mahalanobis(H), NARROW),
    "entropy": (Entropy(), Simplex(3)),
    "log_barrier": (LogBarrier(), Simplex(3)),
    "p_norm-simplex": (PNorm(), Simplex(3)),
    "p_norm-narrow": (PNorm(1.2), NARROW),
    "p_norm-2": (PNorm(2.0), Simplex(3)),
    "p_norm-wide": (PNorm(1.5), WIDE),
}


@pytest.mark.parametrize(("mirror", "space", "x", "y"), GOLDEN.values(), ids=GOLDEN)
def test_reference_steps(mirror, space, x, y):
    assert mirror.step(np.array(x), G, 0.1, space) == pytest.approx(
        y, rel=1e-9, abs=1e-10
    )  # as printed


@pytest.mark.parametrize(("mirror", "space"), PAIRS.values(), ids=PAIRS)
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), eta=st.floats(1e-3, 10.0))
def test_the_step_is_the_minimum_over_the_set(mirror, space, seed, eta):
    """By the definition: no point of the set, near or far, has a smaller <g, y> + B(y, x) / eta."""
    rng = np.random.default_rng(seed)
    space.seed(seed)
    x, g = space.sample(), rng.standard_normal(3)
    x = x if space is not WIDE else rng.standard_normal(3)
    y = mirror.step(x, g, eta, space)
    assert space.holds(y)

    def cost(point):
        return point @ g + mirror.divergence(point, x) / eta

    others = np.array([space.sample() for _ in range(20)])
    share = 10.0 ** rng.uniform(-3, 0, (20, 1))
    near = y + share * (others - y)  # stays in the set, which is convex
    size = 1.0 + np.abs(near @ g) + mirror.divergence(near, x) / eta
    assert (cost(y) <= cost(near) + 1e-11 * size).all()


@pytest.mark.parametrize(("mirror", "space"), PAIRS.values(), ids=PAIRS)
def test_rows_of_a_batch_step_alone(mirror, space):
    rng = np.random.default_rng(0)
    x = np.array([[space.sample() for _ in range(4)] for _ in range(2)])
    g, eta = rng.standard_normal(x.shape), rng.uniform(0.1, 3.0, (2, 4))
    y, far = mirror.step(x, g, eta, space), mirror.divergence(x[:, ::-1], x)
    assert y.shape == x.shape and far.shape == (2, 4)
    for row in np.ndindex(2, 4):
        one = mirror.step(x[row], g[row], eta[row], space)
        np.testing.assert_allclose(y[row], one, rtol=0, atol=1e-12)
        other = mirror.divergence(x[row[0], 3 - row[1]], x[row])
        np.testing.assert_allclose(far[row], other, rtol=1e-12, atol=1e-12)


def test_two_as_exponent_is_the_euclidean_map():
    rng = np.random.default_rng(1)
    for space in (Simplex(6), BoxSet([-0.5] * 6, [0.2] * 6)):
        x, g = np.array([space.sample() for _ in range(50)]), rng.standard_normal((50, 6))
        want = Euclidean().step(x, g, 0.7, space)
        np.testing.assert_allclose(PNorm(2.0).step(x, g, 0.7, space), want, atol=1e-14)
        np.testing.assert_allclose(
            PNorm(2.0).divergence(x, want), Euclidean().divergence(x, want), atol=1e-14
        )


@pytest.mark.parametrize(("d", "p"), [(1, 2.0), (2, 2.0), (3, 1.8353), (20, 1.2003)])
def test_the_usual_exponent(d, p):
    assert PNorm().power(d) == pytest.approx(p, abs=1e-4)


@pytest.mark.parametrize("p", [1.01, 1.3, 1.7])
def test_p_norm_from_the_origin_and_from_afar(p):
    """Starts at 0, where psi has no second derivative, and bounds far beyond its step."""
    y = PNorm(p).step(np.zeros(3), G, 0.1, WIDE)
    assert PNorm(p).gradient(y) == pytest.approx(-0.1 * G, rel=1e-9)
    assert (PNorm(p).step(np.zeros(3), np.zeros(3), 0.1, WIDE) == 0.0).all()


def test_where_newtons_method_would_run_in_circles():
    mirror, x = PNorm(1.2), np.array([0.03150376, 0.13160719, -0.4965682])
    g = np.array([0.4347689, 3.38400713, 0.02609796])
    y = mirror.step(x, g, 2.0, NARROW)
    slope = 2.0 * g + mirror.gradient(y) - mirror.gradient(x)
    assert y[1] == NARROW.low[1] and slope[1] > 0.0
    assert slope[[0, 2]] == pytest.approx([0.0, 0.0], abs=1e-13)


def test_rows_do_not_depend_on_their_neighbours():
    rng, space = np.random.default_rng(3), Simplex(5)
    x, g = np.array([space.sample() for _ in range(64)]), rng.standard_normal((64, 5))
    for mirror in (PNorm(), LogBarrier()):
        together = mirror.step(x, g, 0.5, space)
        alone = np.concatenate([mirror.step(x[[i]], g[[i]], 0.5, space) for i in range(64)])
        assert (together == alone).all()


def test_weights_that_underflow_come_back():
    mirror, space = Entropy(), Simplex(2)
    x = mirror.step(np.array([0.5, 0.5]), np.array([1e4, 0.0]), 1.0, space)
    assert 0.0 < x[0] < 1e-290 and x[1] == 1.0
    back = mirror.step(x, np.array([-1e4, 0.0]), 1.0, space)
    assert back[0] == 1.0


@pytest.mark.parametrize("name", sorted(MIRRORS))
def test_maps_have_names(name):
    space = BoxSet([0.0], [1.0]) if name == "p_norm" else Simplex(2)
    assert make_map("owner", name, space).name == name


@pytest.mark.parametrize(
    ("mirror", "space", "message"),
    [
        ("entropy", Ball(3), "entropy' goes with a Simplex, not with Ball"),
        ("log_barrier", NARROW, "log_barrier' goes with a Simplex"),
        ("p_norm", Ball(3), "goes with a BoxSet or Simplex"),
        ("entropic", Simplex(2), "did you mean 'entropy'"),
        (Mahalanobis(H), Ball(2), r"H must be \(2, 2\)"),
        (7, Simplex(2), "mirror must be one of"),
    ],
)
def test_maps_that_do_not_fit(mirror, space, message):
    with pytest.raises(ValueError, match=message):
        make_map("owner", mirror, space)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PNorm(1.0), r"p must be in \(1, 2\], got 1.0"),
        (lambda: PNorm(2.5), r"p must be in \(1, 2\]"),
        (lambda: PNorm(float("nan")), "p must be finite"),
        (lambda: Mahalanobis(np.ones(3)), r"shape \(d, d\)"),
        (lambda: Mahalanobis(np.ones((2, 3))), r"shape \(d, d\)"),
        (lambda: Mahalanobis([[1.0, 2.0], [0.0, 1.0]]), "symmetric"),
        (lambda: Mahalanobis([[1.0, np.nan], [np.nan, 1.0]]), "finite"),
        (lambda: Mahalanobis(np.diag([1.0, 0.0])), "positive definite"),
        (lambda: Mahalanobis("metric"), "real numbers"),
    ],
)
def test_maps_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("schedule", "eta"),
    [
        (steps.sqrt_T(2.0, 4.0, 25), [0.1] * 5),
        (steps.SqrtClock(2.0, 4.0), [0.5, 0.5 / 2**0.5, 0.5 / 3**0.5, 0.25, 0.5 / 5**0.5]),
        (steps.StronglyConvex(0.5), [2.0, 1.0, 2 / 3, 0.5, 0.4]),
        (steps.StronglyConvex(0.5, 2.0), [4.0, 2.0, 4 / 3, 1.0, 0.8]),
        (steps.chosen("owner", 0.3), [0.3] * 5),
        (steps.chosen("owner", lambda t: 1 / 2**t), [0.5, 0.25, 0.125, 0.0625, 0.03125]),
    ],
)
def test_schedules_of_the_clock(schedule, eta):
    assert [float(schedule(np.int64(t), 0.0)) for t in range(1, 6)] == pytest.approx(eta, rel=1e-15)
    own = np.array([[5, 1], [1, 3]])  # every run has its own clock
    want = [[eta[4], eta[0]], [eta[0], eta[2]]]
    np.testing.assert_allclose(schedule(own, np.zeros((2, 2))), want, rtol=1e-15)


def test_the_round_is_told_as_an_int():
    seen = []

    def eta(t):
        seen.append(t)
        return 1.0

    schedule = steps.chosen("owner", eta)
    schedule(np.array([2, 2, 2]), 0.0)
    schedule(np.array([4, 2, 4]), 0.0)
    assert seen == [2, 2, 4] and all(type(t) is int for t in seen)


@pytest.mark.parametrize("eta", [0.0, -1.0, float("nan"), float("inf")])
def test_steps_are_positive(eta):
    with pytest.raises(ValueError, match="owner: eta must be"):
        steps.chosen("owner", eta)
    schedule = steps.chosen("owner", lambda t: eta)
    with pytest.raises(ValueError, match=r"owner: eta\(3\) must be"):
        schedule(np.int64(3), 0.0)
