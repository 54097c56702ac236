"""Comparators: fixed numbers, brute force, a cone solver, and certificates."""

from itertools import combinations, pairwise
from typing import Any

import cvxpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes
from zoo import params

from rlopt.envs.sea import comparators
from rlopt.spaces import Ball, BoxSet, ConvexSet, Ellipsoid, Product, Simplex

HALF: Any = 1.5
cp: Any = cvxpy  # its types do not say what it exports
SETS: dict[str, ConvexSet] = {
    "ball": Ball(3, radius=0.5),
    "large-ball": Ball(3, radius=50.0),
    "simplex": Simplex(3),
    "box": BoxSet([-0.2, 0.1, -1.0], [0.2, 0.1, 3.0]),
    "product": Product(Simplex(2), Ball(1, radius=0.3)),
    "ellipsoid": Ellipsoid([[2.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 9.0]]),
}
PATHS = {name: SETS[name] for name in SETS if name != "ellipsoid"}
DISC, T = Ball(2), np.arange(1, 121)
C = np.column_stack([np.where((T - 1) // 30 % 2 == 0, 0.8, -0.8), 0.3 * np.sin(0.2 * T)])


def table(seed: int, n: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 3))


def inside(space: ConvexSet, u: Any) -> list[Any]:
    """A set's constraints on the rows of u, written for the cone solver."""
    if isinstance(space, Product):
        cuts = np.cumsum([0, *(part.dimension for part in space.parts)])
        parts = [u[:, a:b] for a, b in pairwise(cuts)]
        pairs = zip(space.parts, parts, strict=True)
        return [c for part, block in pairs for c in inside(part, block)]
    if isinstance(space, Ball):
        return [cp.norm(row) <= space.radius for row in u]
    if isinstance(space, Ellipsoid):
        half = np.linalg.cholesky(space.A)
        return [cp.norm(half.T @ row) <= 1.0 for row in u]
    if isinstance(space, Simplex):
        return [u >= 0.0, cp.sum(u, axis=1) == 1.0]
    n = u.shape[0]
    return [u >= np.tile(space.low, (n, 1)), u <= np.tile(space.high, (n, 1))]


def solved(cost: Any, constraints: list[Any]) -> float:
    return float(cp.Problem(cp.Minimize(cost), constraints).solve(solver=cp.CLARABEL))


# --- fixed points ---


@pytest.mark.parametrize("space", params(SETS))
@given(seed=st.integers(0, 2**20))
def test_linear_has_no_better_point(space: ConvexSet, seed: int) -> None:
    slopes = table(seed, 5)
    best = comparators.fixed_linear(slopes, space)
    assert space.holds(best).all()
    others = np.array([space.sample() for _ in range(50)])
    value = (slopes * best).sum(-1)
    assert (value[:, None] <= slopes @ others.T + 1e-12).all()
    # at a minimiser the projection of a step down stays
    np.testing.assert_allclose(space.project(best - slopes), best, atol=1e-9)


def test_linear_closed_forms() -> None:
    S = [3.0, -4.0]
    assert comparators.fixed_linear(S, Ball(2, radius=2.0)) == pytest.approx([-1.2, 1.6])
    assert comparators.fixed_linear(S, Simplex(2)).tolist() == [0.0, 1.0]
    assert comparators.fixed_linear(S, BoxSet([-1, -2], [5, 6])).tolist() == [-1.0, 6.0]
    assert comparators.fixed_linear(S, Product(Ball(1), Simplex(1))).tolist() == [-1.0, 1.0]
    assert comparators.fixed_linear([0.0, 0.0], Ball(2)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("space", params(SETS))
def test_fixed_quadratic(space: ConvexSet) -> None:
    targets = table(0)
    best = comparators.fixed_quadratic(targets, space)
    u = cp.Variable((1, 3))
    cost = 0.5 * cp.sum_squares(np.ones((20, 1)) @ u - targets)
    assert best.value == pytest.approx(solved(cost, inside(space, u)), rel=1e-6)
    assert space.holds(best.x) and best.gap == 0.0


@pytest.mark.parametrize("space", params(SETS))
@pytest.mark.parametrize("kind", ["full", "flat"])
def test_least_squares(space: ConvexSet, kind: str) -> None:
    """Also where a column is missing, so that the best points are many."""
    A, b = table(1) * ([1.0, 1.0, 0.0] if kind == "flat" else 1.0), table(2)[:, 0]
    w = np.random.default_rng(3).random(20)
    for weights in (None, w):
        best = comparators.least_squares(A, b, space, weights=weights)
        root = np.sqrt(np.ones(20) if weights is None else weights)
        u = cp.Variable((1, 3))
        truth = solved(0.5 * cp.sum_squares(cp.multiply(root, A @ u[0] - b)), inside(space, u))
        assert space.holds(best.x) and best.gap <= 1e-9
        assert best.value == pytest.approx(truth, rel=1e-6)
        assert best.value == pytest.approx(0.5 * (root**2 @ (A @ best.x - b) ** 2), rel=1e-13)


@pytest.mark.parametrize("space", params(SETS))
def test_logistic(space: ConvexSet) -> None:
    A, y = table(1), np.sign(table(2)[:, 0])
    best = comparators.logistic(A, y, space)
    u = cp.Variable((1, 3))
    truth = solved(cp.sum(cp.logistic(-cp.multiply(y, A @ u[0]))), inside(space, u))
    assert space.holds(best.x) and best.gap <= 1e-11
    assert best.value == pytest.approx(truth, rel=1e-6)
    assert best.value == pytest.approx(np.log1p(np.exp(-y * (A @ best.x))).sum(), rel=1e-13)


def test_separable_labels_end_on_the_sphere() -> None:
    A = table(1)
    best = comparators.logistic(A, np.sign(A[:, 0]), Ball(3, radius=20.0))
    assert np.linalg.norm(best.x) == pytest.approx(20.0) and best.gap <= 1e-12


@pytest.mark.parametrize("spread", [0.02, 1.0])
def test_log_wealth(spread: float) -> None:
    r = np.exp(spread * table(4, 60))
    best = comparators.log_wealth(r)
    x = cp.Variable((1, 3))
    truth = solved(-cp.sum(cp.log(r @ x[0])), inside(Simplex(3), x))
    assert best.value == pytest.approx(truth, rel=1e-6, abs=1e-6) and best.gap <= 1e-11
    law = np.random.default_rng(0).dirichlet(np.ones(60))
    weighted = comparators.log_wealth(r, weights=law)
    truth = solved(-law @ cp.log(r @ x[0]), inside(Simplex(3), x))
    assert weighted.value == pytest.approx(truth, rel=1e-6, abs=1e-7)


def test_the_portfolio_of_the_reference() -> None:
    t, i = np.arange(1, 1001)[:, None], np.arange(1, 4)
    best = comparators.log_wealth(1.0 + 0.05 * np.sin(1.1 * t * i) + 0.001 * i)
    assert -best.value == pytest.approx(2.40872607, abs=1e-8)
    assert best.x == pytest.approx([0.0, 0.09836, 0.90164], abs=5e-6) and best.gap <= 1e-12


def test_real_data_of_the_reference() -> None:
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / np.abs(y - y.mean()).max()
    best = comparators.least_squares(X / np.linalg.norm(X, axis=1).max(), y, Ball(10))
    assert best.value == pytest.approx(18.2791030, abs=6e-8) and best.gap <= 1e-11
    assert np.linalg.norm(best.x) == pytest.approx(1.0)
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    X /= np.linalg.norm(X, axis=1).max()
    best = comparators.logistic(X, 2.0 * y - 1.0, Ball(30, radius=5.0))
    assert best.value == pytest.approx(247.868973, abs=5e-7) and best.gap <= 1e-9


# --- moving points ---


def test_the_budgets_of_the_reference() -> None:
    found = [comparators.path_budget(C, DISC, P) for P in (0, 1, 2, 4, 8)]
    expected = [41.158898, 24.418405, 14.518178, 3.678326, 0.031866]
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_pieces_of_the_reference() -> None:
    found = [comparators.pieces(C, DISC, K) for K in (1, 2, 4, 8)]
    expected = [41.1588980281, 28.3583031025, 2.7579867594, 0.6609375493]
    assert found == pytest.approx(expected, rel=1e-9)


def test_targets_outside_the_disc() -> None:
    far = 3.0 * C
    assert comparators.per_round(far, DISC) == pytest.approx(
        0.5 * (np.maximum(np.linalg.norm(far, axis=1) - 1.0, 0.0) ** 2).sum(), rel=1e-12
    )
    assert comparators.path_budget(far, DISC, 1e6) == comparators.per_round(far, DISC)
    assert comparators.pieces(far, DISC, 120) == pytest.approx(comparators.per_round(far, DISC))
    one = comparators.fixed_quadratic(far, DISC).value
    assert comparators.path_budget(far, DISC, 0) == one
    assert comparators.pieces(far, DISC, 1) == pytest.approx(one, rel=1e-12)


@pytest.mark.parametrize("space", params(PATHS))
@pytest.mark.parametrize("budget", [0.05, 0.5, 2.0])
def test_budget_against_a_cone_programme(space: ConvexSet, budget: float) -> None:
    targets = table(5, 8)
    u = cp.Variable((8, 3))
    length = sum(cp.norm(u[t] - u[t - 1]) for t in range(1, 8))
    truth = solved(0.5 * cp.sum_squares(u - targets), [*inside(space, u), length <= budget])
    assert comparators.path_budget(targets, space, budget) == pytest.approx(truth, rel=1e-5)


@given(seed=st.integers(0, 2**20), K=st.integers(1, 6))
def test_pieces_by_enumeration(seed: int, K: int) -> None:
    targets, space = table(seed, 7), Ball(3, radius=0.8)

    def total(cuts: tuple[int, ...]) -> float:
        parts = np.split(targets, cuts)
        return sum(comparators.fixed_quadratic(part, space).value for part in parts)

    truth = min(total(cuts) for cuts in combinations(range(1, 7), K - 1))
    assert comparators.pieces(targets, space, K) == pytest.approx(truth, rel=1e-10)


def test_more_freedom_never_costs() -> None:
    by_budget = [comparators.path_budget(C[:40], DISC, P) for P in (0.0, 0.1, 0.5, 1.0, 3.0)]
    by_pieces = [comparators.pieces(C[:40], DISC, K) for K in range(1, 41)]
    assert (np.diff(by_budget) <= 1e-7).all() and (np.diff(by_pieces) <= 1e-12).all()
    assert by_pieces[-1] == pytest.approx(0.0, abs=1e-12)


def test_pieces_survive_large_means() -> None:
    box = BoxSet([-1e7, -1e7], [1e7, 1e7])
    assert comparators.pieces(C + 1e6, box, 4) == pytest.approx(
        comparators.pieces(C, box, 4), rel=1e-6
    )


# --- bad input ---


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: comparators.path_budget(C, DISC, -1.0), "P must be >= 0"),
        (lambda: comparators.path_budget(C, DISC, np.nan), "P must be finite"),
        (lambda: comparators.path_budget(C, Ball(3), 1.0), r"shape \(..., 3\)"),
        (lambda: comparators.path_budget(C[0], DISC, 1.0), r"shape \(T, 2\)"),
        (lambda: comparators.path_budget(C * np.nan, DISC, 1.0), "c must be finite"),
        (lambda: comparators.path_budget(C, Ellipsoid(np.eye(2)), 1.0), "made of Ball"),
        (lambda: comparators.pieces(C, DISC, 0), "K must be a whole number >= 1"),
        (lambda: comparators.pieces(C, DISC, 121), "K must be at most the 120 rounds"),
        (lambda: comparators.pieces(C, DISC, HALF), "K must be a whole number"),
        (lambda: comparators.fixed_linear([1.0], DISC), r"S must be of shape"),
        (lambda: comparators.fixed_linear([np.inf, 0.0], DISC), "S must be finite"),
        (lambda: comparators.least_squares(C, C[:9, 0], DISC), "targets"),
        (lambda: comparators.least_squares(C, C[:, 0] * np.nan, DISC), "targets must be finite"),
        (lambda: comparators.least_squares(C, C[:, 0], DISC, -np.ones(120)), "weights"),
        (lambda: comparators.least_squares(C, C[:, 0], DISC, np.zeros(120)), "weights"),
        (lambda: comparators.logistic(C, C[:, 0], DISC), "labels y must be -1 or 1"),
        (lambda: comparators.log_wealth(C), "positive and finite"),
        (lambda: comparators.log_wealth([[1.0, np.inf]]), "positive and finite"),
    ],
)
def test_bad_input_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
