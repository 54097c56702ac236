"""sigma and Sigma: fixed numbers, enumerations, dense samples; models in closed form."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from zoo import agrees, params

from rlopt.agents import online
from rlopt.envs import sea
from rlopt.envs.sea.models import orthogonal
from rlopt.envs.sea.moments import margins
from rlopt.envs.sea.spread import mean_pair_bound, neighbour_bounds
from rlopt.spaces import Ball, BoxSet, ConvexSet, Ellipsoid, Product, Simplex

ROW, COLUMN = np.arange(1, 7)[:, None], np.arange(1, 4)
A, B = np.cos(ROW * COLUMN + 1.0), np.sin(2.0 * ROW[:, 0])
LABELS = np.where(B > 0.0, 1.0, -1.0)
BOX = BoxSet(-np.ones(3), np.ones(3))
SETS: dict[str, ConvexSet] = {
    "ball": Ball(3),
    "large-ball": Ball(3, radius=4.0),
    "box": BoxSet([-1.0, 0.0, -0.5], [2.0, 0.0, 0.5]),
    "simplex": Simplex(3),
    "ellipsoid": Ellipsoid(np.diag([0.3, 1.0, 4.0])),
}
LAW = np.array([0.3, 0.1, 0.05, 0.25, 0.2, 0.1])


def sampled(space: ConvexSet, n: int = 4000) -> np.ndarray:
    """Points all over the set, and many on its boundary."""
    rng = np.random.default_rng(0)
    inside = np.array([space.sample() for _ in range(n)])
    return np.vstack([inside, space.project(50.0 * rng.standard_normal((n, 3)))])


def squares_gradient(x: np.ndarray, rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(points, n, d)."""
    return (x @ rows.T - targets)[..., None] * rows


def logistic_gradient(x: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    margin = labels * (x @ rows.T)
    return -(labels / (1.0 + np.exp(margin)))[..., None] * rows


def variance(gradients: np.ndarray, law: np.ndarray) -> np.ndarray:
    mean = np.einsum("i,...ij->...j", law, gradients)
    return ((gradients - mean[..., None, :]) ** 2).sum(-1) @ law


# --- least squares ---


@pytest.mark.parametrize(
    ("space", "expected"),
    [(Ball(3), 2.567676973), (BOX, 4.677272270), (Simplex(3), 2.502621913)],
)
def test_variance_of_the_reference(space: ConvexSet, expected: float) -> None:
    assert sea.least_squares_variance(A, B, space) == pytest.approx(expected, rel=1e-9)


def test_variation_of_the_reference() -> None:
    rolled = np.roll(A, 1, axis=1)
    for pair in ((A, rolled), (rolled, A)):
        found = sea.least_squares_variation(pair[0], B, pair[1], B, Ball(3))
        assert found == pytest.approx(0.566067133, rel=1e-9)


@pytest.mark.parametrize("space", params(SETS))
@pytest.mark.parametrize("law", [None, LAW], ids=["uniform", "weighted"])
def test_no_point_has_a_larger_variance(space: ConvexSet, law: Any) -> None:
    points = sampled(space)
    seen = variance(squares_gradient(points, A, B), np.full(6, 1 / 6) if law is None else law)
    found = sea.least_squares_variance(A, B, space, weights=law)
    assert seen.max() <= found * (1 + 1e-12) and seen.max() >= 0.99 * found


@pytest.mark.parametrize("space", params(SETS))
def test_no_point_has_a_larger_drift(space: ConvexSet) -> None:
    before, b_before = np.sin(A[:4] * 3.0), B[:4] + 0.3
    points = sampled(space)
    means = [squares_gradient(points, *part).mean(-2) for part in ((A, B), (before, b_before))]
    seen = ((means[0] - means[1]) ** 2).sum(-1)
    found = sea.least_squares_variation(A, B, before, b_before, space)
    assert seen.max() <= found * (1 + 1e-12) and seen.max() >= 0.99 * found


def test_equal_rows_have_no_variance_and_no_drift() -> None:
    rows, targets = np.tile(A[:1], (3, 1)), np.tile(B[:1], 3)
    assert sea.least_squares_variance(rows, targets, Ball(3)) == pytest.approx(0.0, abs=1e-15)
    assert sea.least_squares_variation(A, B, A, B, Ball(3)) == 0.0


def test_large_boxes_have_brackets_only() -> None:
    rng = np.random.default_rng(0)
    rows, targets = rng.standard_normal((30, 17)) / 4.0, rng.standard_normal(30)
    box = BoxSet(-np.ones(17), np.ones(17))
    for name, values in (
        ("least_squares_variance", (rows, targets, box)),
        ("least_squares_variation", (rows, targets, rows[:9], targets[:9], box)),
    ):
        with pytest.raises(ValueError, match=f"{name}: .*{name}_bracket gives"):
            getattr(sea, name)(*values)
        bracket = getattr(sea, f"{name}_bracket")(*values)
        assert 0.0 < bracket.lower < bracket.upper < 10.0 * bracket.lower and not bracket.exact
    small = sea.least_squares_variance_bracket(A, B, BOX)
    assert small == (sea.least_squares_variance(A, B, BOX),) * 2 + (True,)


@pytest.mark.parametrize("space", params(SETS | {"product": Product(Simplex(2), Ball(1))}))
def test_lipschitz_constants_are_attained_and_never_passed(space: ConvexSet) -> None:
    points = sampled(space)
    for found, gradients in (
        (sea.least_squares_lipschitz(A, B, space), squares_gradient(points, A, B)),
        (sea.logistic_lipschitz(A, LABELS, space), logistic_gradient(points, A, LABELS)),
    ):
        seen = np.linalg.norm(gradients, axis=-1).max()
        assert seen <= found * (1 + 1e-12) and seen >= 0.98 * found


def test_smoothness_is_the_curvature_of_the_mean() -> None:
    top = np.linalg.eigvalsh(A.T @ (LAW[:, None] * A))[-1]
    assert sea.least_squares_smoothness(A, LAW) == pytest.approx(top, rel=1e-12)
    assert sea.logistic_smoothness(A, LAW) == pytest.approx(top / 4.0, rel=1e-12)
    x, y = sampled(Ball(3), 200)[:200], sampled(Ball(3), 200)[200:]
    change = [logistic_gradient(p, A, LABELS).mean(-2) for p in (x, y)]
    ratio = np.linalg.norm(change[0] - change[1], axis=1) / np.linalg.norm(x - y, axis=1)
    assert 0.5 * sea.logistic_smoothness(A) <= ratio.max() <= sea.logistic_smoothness(A)


# --- logistic ---


@pytest.mark.parametrize("space", params(SETS | {"product": Product(Simplex(2), Ball(1))}))
def test_logistic_brackets_hold_and_are_not_empty_talk(space: ConvexSet) -> None:
    points = sampled(space)
    seen = variance(logistic_gradient(points, A, LABELS), LAW).max()
    found = sea.logistic_variance(A, LABELS, space, weights=LAW)
    assert not found.exact
    assert seen <= found.lower * (1 + 1e-6) and found.lower <= found.upper <= 2.5 * found.lower
    before = np.sin(A[:4] * 3.0)
    means = [
        logistic_gradient(points, *part).mean(-2) for part in ((A, LABELS), (before, LABELS[:4]))
    ]
    drift = ((means[0] - means[1]) ** 2).sum(-1).max()
    found = sea.logistic_variation(A, LABELS, before, LABELS[:4], space)
    assert drift <= found.lower * (1 + 1e-6) and found.lower <= found.upper <= 10.0 * found.lower


def test_logistic_lower_end_is_attained() -> None:
    """One dimension: the variance of a fine grid is the truth."""
    rows, labels = np.array([[1.0], [2.0], [0.5]]), np.array([1.0, -1.0, 1.0])
    grid = np.linspace(-3.0, 3.0, 60001)[:, None]
    truth = variance(logistic_gradient(grid, rows, labels), np.full(3, 1 / 3)).max()
    found = sea.logistic_variance(rows, labels, Ball(1, radius=3.0))
    assert found.lower == pytest.approx(truth, rel=1e-8) and found.upper >= truth


@pytest.mark.parametrize("space", params(SETS))
def test_upper_ends_cover_every_choice_of_slopes(space: ConvexSet) -> None:
    """They let each gradient's factor move on its own: all 2^n choices of ends are below."""
    signed = LABELS[:, None] * A
    least, most = margins(signed, space)
    low, high = -expit(-least), -expit(-most)
    choices = np.where(np.arange(64)[:, None] >> np.arange(6) & 1, low, high)
    seen = variance(choices[..., None] * signed, LAW).max()
    assert seen <= sea.logistic_variance(A, LABELS, space, weights=LAW).upper
    change = np.repeat([1.0 / 3.0, -1.0 / 3.0], 3)
    drift = (((choices * change) @ signed) ** 2).sum(1).max()
    found = sea.logistic_variation(A[:3], LABELS[:3], A[3:], LABELS[3:], space)
    assert drift <= found.upper * (1 + 1e-12)
    apart = np.array(
        [((c[:, None, None] * signed[:, None] - c[:, None] * signed) ** 2).sum(-1) for c in choices]
    ).max(axis=0)
    np.testing.assert_allclose(neighbour_bounds(signed, low, high), np.diag(apart, 1), rtol=1e-12)
    mean = apart.sum() / 30.0
    assert mean_pair_bound(signed, low, high) == pytest.approx(mean, rel=1e-12)


# --- bad input ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"A": A[:, :2]}, "A must be of shape"),
        ({"A": A[0]}, "A must be of shape"),
        ({"A": np.zeros((0, 3)), "b": np.zeros(0)}, "A must be of shape"),
        ({"A": np.where(A.max() == A, np.nan, A)}, "must be finite"),
        ({"b": B[:5]}, "must be of shape"),
        ({"b": np.full(6, np.inf)}, "must be finite"),
        ({"weights": np.full(6, 0.2)}, "sum to 1"),
        ({"weights": np.array([1.5, -0.5, 0.0, 0.0, 0.0, 0.0])}, "sum to 1"),
        ({"weights": np.full(5, 0.2)}, "must be of shape"),
        ({"weights": np.full(6, np.nan)}, "sum to 1"),
        ({"space": Product(Ball(3))}, "exact variances need"),
        ({"A": "rows"}, "real numbers"),
    ],
)
def test_bad_samples_are_refused(change: dict[str, Any], message: str) -> None:
    given = {"A": A, "b": B, "space": Ball(3)} | change
    with pytest.raises(ValueError, match=message):
        sea.least_squares_variance(**given)


def test_labels_are_signs() -> None:
    for call in (sea.logistic_variance, sea.logistic_lipschitz):
        with pytest.raises(ValueError, match="labels must be -1 or 1"):
            call(A, B, Ball(3))


# --- random order ---


def losses(n: int, d: int = 3) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, d)) + 5.0


def naive(z: np.ndarray, order: Any) -> tuple[float, float]:
    """Both sums from their definitions."""
    left = [z[list(order[t:])] for t in range(len(z))]
    means = [part.mean(0) for part in left]
    spread = [((part - m) ** 2).sum(1).mean() for part, m in zip(left, means, strict=True)]
    steps = [((m - k) ** 2).sum() for m, k in zip(means[1:], means[:-1], strict=True)]
    return sum(spread), sum(steps)


@pytest.mark.parametrize("n", [2, 3, 6])
def test_random_order_by_enumeration(n: int) -> None:
    model = sea.RandomOrder(losses(n))
    orders = np.array(list(permutations(range(n))))
    found = model.path(orders)
    assert found.sigma_sq.mean() == pytest.approx(model.sigma_sq, rel=1e-12)
    assert found.Sigma_sq.mean() == pytest.approx(model.Sigma_sq, rel=1e-12)
    for order in orders[:: max(1, len(orders) // 7)]:
        path = model.path(order)
        assert path == pytest.approx(naive(model.z, order), rel=1e-10)
        assert isinstance(path.sigma_sq, float)


def test_random_order_by_simulation() -> None:
    model, rng = sea.RandomOrder(losses(12)), np.random.default_rng(5)
    found = model.path(rng.permuted(np.tile(np.arange(12), (4000, 1)), axis=1))
    assert agrees(found.sigma_sq, model.sigma_sq) and agrees(found.Sigma_sq, model.Sigma_sq)
    assert found.sigma_sq.std() / 4000**0.5 < 0.01 * model.sigma_sq
    assert model.sigma_sq / model.Sigma_sq == pytest.approx(14.2909 / 1.47244, rel=1e-5)


def test_random_order_survives_large_means() -> None:
    z = losses(8)
    far = sea.RandomOrder(z + 1e7).path(np.arange(8))
    assert far == pytest.approx(sea.RandomOrder(z).path(np.arange(8)), rel=1e-6)


def test_random_order_refuses() -> None:
    for z, message in (
        (np.ones((1, 2)), "n >= 2"),
        (np.ones(3), "n >= 2"),
        (np.full((3, 2), np.nan), "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            sea.RandomOrder(z)
    model = sea.RandomOrder(losses(3))
    for order in ([0, 1], [0, 1, 1], [1, 2, 3], [0.0, 1.0, 1.5], [0.0, 1.0, np.nan]):
        with pytest.raises(ValueError, match="permutations"):
            model.path(order)


# --- coordinate losses ---


@pytest.mark.parametrize("d", [2, 3, 10])
def test_coordinate_losses_by_their_definition(d: int) -> None:
    model = sea.CoordinateLosses(d)
    rng = np.random.default_rng(d)
    x = np.vstack([np.eye(d), Ball(d).project(9.0 * rng.standard_normal((500, d)))])
    gradients = np.stack([model.gradient(x, i) for i in range(d)], axis=1)
    off = ((gradients - x[:, None] / d) ** 2).sum(-1)
    assert off.mean(1).max() == pytest.approx(model.sigma_sq, rel=1e-12)
    assert off.max(0).mean() == pytest.approx(model.sigma_tilde_sq, rel=1e-12)
    assert model.sigma_tilde_sq / model.sigma_sq == pytest.approx(d - 1)
    rows = np.eye(d)
    exact = sea.least_squares_variance(rows, np.zeros(d), Ball(d))
    assert exact == pytest.approx(model.sigma_sq, rel=1e-12)


# --- orthogonal adversary ---


@pytest.mark.parametrize("runs", [None, 1, 5])
def test_every_learner_regrets_the_same(runs: int | None) -> None:
    adversary = sea.OrthogonalAdversary(4, radius=2.0, G=0.5)
    learner = online.make("ogd", Ball(4, radius=2.0), runs=runs, schedule="sqrt_t", G=0.5)
    trace = sea.play(learner, lambda t, x: adversary.gradient(x), T=400)
    assert np.abs(trace.loss).max() <= 1e-12
    assert adversary.S is not None and adversary.t == 400
    best = -2.0 * adversary.S / np.linalg.norm(adversary.S, axis=-1, keepdims=True)
    regret = trace.loss.sum(0) - (adversary.S * best).sum(-1)
    np.testing.assert_allclose(regret, 20.0, rtol=1e-12)
    assert adversary.regret == pytest.approx(20.0, rel=1e-15)


def test_runs_do_not_meet() -> None:
    x = sampled(Ball(3), 40)[:40].reshape(8, 5, 3)
    together = sea.OrthogonalAdversary(3)
    apart = [sea.OrthogonalAdversary(3) for _ in range(5)]
    for points in x:
        rows = together.gradient(points)
        alone = [one.gradient(p) for one, p in zip(apart, points, strict=True)]
        np.testing.assert_array_equal(rows, alone)


@given(seed=st.integers(0, 2**20), d=st.integers(3, 9), kind=st.integers(0, 5))
def test_orthogonal_to_both(seed: int, d: int, kind: int) -> None:
    rng = np.random.default_rng(seed)
    x, S = rng.standard_normal((2, 6, d))
    if kind == 1:
        x = -3.0 * S
    elif kind == 2:
        x = np.zeros_like(x)
    elif kind == 3:
        S = np.zeros_like(S)
    elif kind == 4:
        x = S + 10.0 ** -rng.uniform(5, 17) * x
    elif kind == 5:
        x = 1e-100 * np.eye(d)[rng.integers(0, d, 6)]
    g = orthogonal(x, S, 2.0)
    np.testing.assert_allclose(np.linalg.norm(g, axis=-1), 2.0, rtol=1e-14)
    for v in (x, S):
        assert (np.abs((g * v).sum(-1)) <= 1e-13 * np.linalg.norm(v, axis=-1)).all()


def test_adversary_refuses() -> None:
    with pytest.raises(ValueError, match="d must be a whole number >= 3"):
        sea.OrthogonalAdversary(2)
    with pytest.raises(ValueError, match="G must be > 0"):
        sea.OrthogonalAdversary(3, G=0.0)
    adversary = sea.OrthogonalAdversary(3)
    for x, message in (
        ([0.0, 0.0], "shape"),
        ([0.0, 0.0, 1.1], "ball of radius 1"),
        ([0.0, 0.0, np.nan], "ball of radius 1"),
    ):
        with pytest.raises(ValueError, match=message):
            adversary.gradient(x)
    assert adversary.t == 0 and adversary.S is None
    adversary.gradient(np.zeros(3))
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        adversary.gradient(np.zeros((2, 3)))
