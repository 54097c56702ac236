"""Convex action sets: projections by their optimality condition and by other solvers."""

import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium.vector.utils import batch_space
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, lsq_linear
from zoo import params

from rlopt.spaces import Ball, BoxSet, ConvexSet, Ellipsoid, Product, Simplex

SETS: dict[str, ConvexSet] = {
    "ball": Ball(4, radius=0.7),
    "interval": Ball(1),
    "simplex": Simplex(5),
    "point": Simplex(1),
    "box": BoxSet([-1.0, 0.0, 2.0], [1.0, 0.0, 5.0]),
    "ellipsoid": Ellipsoid([[2.0, 0.5, 0.0], [0.5, 1.0, 0.1], [0.0, 0.1, 4.0]]),
    "product": Product(Simplex(3), Ball(2), BoxSet([-1.0], [2.0])),
}
FLOOR = 1e-9


def metrics(d: int, seed: int, spread: float) -> np.ndarray:
    """A random positive definite matrix with eigenvalues from 10^-spread to 1."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return (axes * 10.0 ** (-spread * rng.random(d))) @ axes.T


def least(space: ConvexSet, direction: np.ndarray) -> float:
    """The minimum of <direction, x> over the set, in closed form."""
    if isinstance(space, Ball):
        return -space.radius * float(np.linalg.norm(direction))
    if isinstance(space, Ellipsoid):
        return -float(np.sqrt(direction @ np.linalg.solve(space.A, direction)))
    if isinstance(space, Simplex):
        return float(direction.min())
    if isinstance(space, Product):
        blocks = zip(space.parts, space.split(direction), strict=True)
        return sum(least(part, block) for part, block in blocks)
    return float(np.minimum(direction * space.low, direction * space.high).sum())


@pytest.mark.parametrize("space", params(SETS))
@given(seed=st.integers(0, 2**20), size=st.floats(0.0, 30.0), spread=st.floats(0.0, 4.0))
def test_no_point_is_nearer(space: ConvexSet, seed: int, size: float, spread: float) -> None:
    """x is nearest in the metric iff <H (x - y), z - x> >= 0 for every z of the set."""
    rng = np.random.default_rng(seed)
    y = size * rng.standard_normal(space.shape)
    for metric in (None, metrics(space.dimension, seed, spread)):
        x = space.project(y, metric=metric)
        assert space.contains(x)
        slope = (x - y) if metric is None else metric @ (x - y)
        assert slope @ x - least(space, slope) <= FLOOR * (1.0 + size) ** 2
        np.testing.assert_allclose(space.project(x, metric=metric), x, atol=1e-9)


def test_values() -> None:
    np.testing.assert_allclose(Ball(2).project([3.0, 4.0]), [0.6, 0.8], rtol=1e-15)
    np.testing.assert_allclose(Simplex(3).project([0.5, -0.2, 0.9]), [0.3, 0.0, 0.7], atol=1e-15)
    np.testing.assert_allclose(Simplex(2).project([1e16, 1e16]), [0.5, 0.5])
    np.testing.assert_array_equal(Ball(3).project([0.1, 0.2, 0.3]), [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(Ball(2).project([0.0, 0.0]), [0.0, 0.0])
    assert Ball(3, 2.0).diameter == 4.0
    assert Simplex(7).diameter == pytest.approx(2.0**0.5) and Simplex(1).diameter == 0.0
    assert BoxSet([0.0, 0.0], [3.0, 4.0]).diameter == 5.0
    assert BoxSet([-3.0, 1.0], [2.0, 4.0]).largest_norm == 5.0


@pytest.mark.parametrize("space", params(SETS))
def test_the_largest_norm_is_that_of_the_farthest_point(space: ConvexSet) -> None:
    """A convex function is largest at an extreme point, and projecting far points finds those."""
    far = 1e4 * np.random.default_rng(5).standard_normal((4000, space.dimension))
    norms = np.linalg.norm(space.project(far), axis=-1)
    assert norms.max() == pytest.approx(space.largest_norm, rel=1e-3)
    assert norms.max() <= space.largest_norm * (1.0 + 1e-12)


def test_far_points_land_on_the_sphere() -> None:
    """Their squared lengths overflow."""
    for size in (1e150, 1e200, 1e300):
        point = Ball(2, 0.5).project([[0.3 * size, -0.4 * size], [0.3, 0.0]])
        np.testing.assert_allclose(point, [[0.3, -0.4], [0.3, 0.0]], rtol=1e-12)


def test_ball_in_a_metric_against_a_root_finder() -> None:
    rng, H = np.random.default_rng(0), metrics(6, 1, 3.0)
    space = Ball(6, radius=1.5)
    for y in 4.0 * rng.standard_normal((20, 6)):

        def at(mu: float, y: np.ndarray = y) -> np.ndarray:
            return np.linalg.solve(H + mu * np.eye(6), H @ y)

        mu = brentq(lambda m: np.linalg.norm(at(m)) - 1.5, 0.0, 1e3, xtol=1e-15, rtol=1e-14)
        np.testing.assert_allclose(space.project(y, metric=H), at(mu), atol=1e-11)


def test_box_in_a_metric_against_bounded_least_squares() -> None:
    rng, H = np.random.default_rng(2), metrics(5, 3, 3.0)
    space, root = BoxSet(-np.ones(5), np.full(5, 0.5)), np.linalg.cholesky(H).T
    for y in 2.0 * rng.standard_normal((20, 5)):
        exact = lsq_linear(root, root @ y, (space.low, space.high), method="bvls", tol=1e-14).x
        np.testing.assert_allclose(space.project(y, metric=H), exact, atol=1e-9)


@pytest.mark.parametrize("space", params(SETS))
def test_a_batch_is_its_rows(space: ConvexSet) -> None:
    rng, d = np.random.default_rng(4), space.dimension
    y = 3.0 * rng.standard_normal((2, 3, d))
    H = np.stack([metrics(d, k, 2.0) for k in range(6)]).reshape(2, 3, d, d)
    whole, measured = space.project(y), space.project(y, metric=H)
    shared = space.project(y, metric=H[0, 0])
    for k in np.ndindex(2, 3):
        np.testing.assert_array_equal(whole[k], space.project(y[k]))
        np.testing.assert_allclose(measured[k], space.project(y[k], metric=H[k]), atol=1e-11)
        np.testing.assert_allclose(shared[k], space.project(y[k], metric=H[0, 0]), atol=1e-11)


@pytest.mark.parametrize("space", params(SETS))
def test_a_gymnasium_space(space: ConvexSet) -> None:
    space.seed(3)
    points = np.array([space.sample() for _ in range(400)])
    space.seed(3)
    np.testing.assert_array_equal(points[0], space.sample())
    assert all(space.contains(point) for point in points)
    assert points.dtype == np.float64
    assert not space.contains(points[0] + 10.0)
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
    assert gaps.max() <= space.diameter + 1e-12
    assert gaps.max() >= 0.5 * space.diameter
    assert pickle.loads(pickle.dumps(space)) == space
    assert batch_space(space, 3).shape == (3, *space.shape)


def test_equality() -> None:
    assert Ball(3) == Ball(3, 1) and Ball(3) != Ball(3, 2.0) and Ball(2) != Simplex(2)
    assert BoxSet([0.0], [1.0]) == BoxSet([0], [1]) != BoxSet([0.0], [2.0])
    assert repr(Ball(3, 2)) == "Ball(3, radius=2.0)" and repr(Simplex(4)) == "Simplex(4)"


def test_uniform_in_the_ball() -> None:
    """P(|x| <= r) = (r / R)^d: 4 standard errors of 4,000 points."""
    space = Ball(3, 2.0, seed=0)
    inner = np.mean([np.linalg.norm(space.sample()) <= 1.0 for _ in range(4000)])
    assert abs(inner - 0.125) <= 4.0 * (0.125 * 0.875 / 4000) ** 0.5


BAD: Any = [
    (lambda: Ball(0), "d must be a whole number >= 1, got 0"),
    (lambda: Ball(2.5), "d must be a whole number"),  # type: ignore[arg-type]  # refused
    (lambda: Ball(2, radius=0.0), "radius must be"),
    (lambda: Ball(2, radius=np.nan), "radius must be"),
    (lambda: Ellipsoid([[1.0, 2.0], [2.0, 1.0]]), "Ellipsoid: A must be positive definite"),
    (lambda: Ellipsoid([1.0, 2.0]), "A must be of shape"),
    (lambda: Ellipsoid([[1.0, 2.0]]), "A must be of shape"),
    (lambda: Product(Ball(1), 3), "convex sets"),  # type: ignore[arg-type]  # refused
    (lambda: Simplex(-1), "d must be a whole number"),
    (lambda: BoxSet([0.0], [1.0, 2.0]), "of one shape"),
    (lambda: BoxSet([1.0], [0.0]), "low <= high"),
    (lambda: BoxSet([0.0], [np.inf]), "finite"),
    (lambda: Ball(2).project([1.0, 2.0, 3.0]), r"shape \(\.\.\., 2\), got \(3,\)"),
    (lambda: Ball(2).project([1.0, np.nan]), "finite, got nan"),
    (lambda: Ball(2).project("ab"), "real numbers, got 'ab'"),
    (lambda: BoxSet(["a"], [1.0]), "BoxSet: low must be real numbers"),
    (lambda: Ball(2).project([1.0, 2.0], metric=np.eye(3)), "metric must be of shape"),
    (lambda: Ball(2).project([1.0, 2.0], metric=[[1.0, 2.0], [0.0, 1.0]]), "symmetric"),
    (lambda: Ball(2).project([1.0, 2.0], metric=[[1.0, 0.0], [0.0, np.nan]]), "finite"),
    (lambda: Simplex(2).project([1.0, 2.0], metric=-np.eye(2)), "positive definite"),
    (lambda: Ball(2).sample(mask=np.ones(2)), "mask"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
