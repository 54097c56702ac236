"""Maxima of convex quadratics: against many starts of a general solver and every corner."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from rlopt.theory.quadratic import largest_on_ball, largest_on_box, largest_on_points


def convex(rng: np.random.Generator, d: int, rank: int) -> np.ndarray:
    half = rng.standard_normal((d, rank))
    return half @ half.T


def value(Q: np.ndarray, linear: np.ndarray, x: np.ndarray) -> Any:
    return np.einsum("...i,ij,...j->...", x, Q, x) - 2.0 * x @ linear


def searched(Q: np.ndarray, linear: np.ndarray, radius: float) -> float:
    """The ball's maximum by SLSQP from many points of the sphere."""
    rng = np.random.default_rng(3)
    found = []
    for start in rng.standard_normal((30, len(linear))):
        result = minimize(
            lambda x: -value(Q, linear, x),
            radius * start / np.linalg.norm(start),
            jac=lambda x: -2.0 * (Q @ x - linear),
            constraints={"type": "ineq", "fun": lambda x: radius**2 - x @ x},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 300},
        )
        x = result.x * min(1.0, radius / np.linalg.norm(result.x))
        found.append(value(Q, linear, x))
    return float(max(found))


@pytest.mark.parametrize("seed", range(12))
def test_ball_against_a_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = 2 + seed % 4
    Q, linear = convex(rng, d, 1 + seed % d), 10.0 ** rng.uniform(-3, 1) * rng.standard_normal(d)
    radius = float(rng.uniform(0.2, 3.0))
    top = largest_on_ball(Q, linear, radius)
    assert top.exact and np.linalg.norm(top.x) <= radius * (1 + 1e-12)
    assert top.lower == top.upper == pytest.approx(value(Q, linear, top.x), rel=1e-12)
    assert top.lower == pytest.approx(searched(Q, linear, radius), rel=1e-7)


@given(
    seed=st.integers(0, 2**20),
    d=st.integers(1, 7),
    rank=st.integers(0, 7),
    size=st.floats(-8.0, 3.0),
    radius=st.floats(0.05, 20.0),
)
def test_ball_has_a_certificate(seed: int, d: int, rank: int, size: float, radius: float) -> None:
    """Weak duality: mu r^2 + l'(mu - Q)^-1 l is an upper bound for every mu above max q."""
    rng = np.random.default_rng(seed)
    Q, linear = convex(rng, d, rank), 10.0**size * rng.standard_normal(d)
    top = largest_on_ball(Q, linear, radius)
    assert np.linalg.norm(top.x) <= radius * (1 + 1e-12)
    mu = top.x @ (Q @ top.x - linear) / radius**2  # Qx - l = mu x at the maximum
    mu *= 1.0 + 1e-9
    bound = mu * radius**2 + linear @ np.linalg.solve(mu * np.eye(d) - Q, linear)
    assert np.linalg.eigvalsh(mu * np.eye(d) - Q)[0] >= 0.0
    assert value(Q, linear, top.x) == pytest.approx(top.lower, rel=1e-9, abs=1e-12)
    assert bound - top.lower <= 1e-6 * (abs(bound) + np.linalg.norm(linear) * radius)


def test_hard_case_in_closed_form() -> None:
    """q = (3, 1), l = (0, 1): x_2 = -l / (3 - 1), the top axis makes up the length."""
    top = largest_on_ball(np.diag([3.0, 1.0]), [0.0, 1.0], 2.0)
    assert top.lower == pytest.approx(3.0 * (4.0 - 0.25) + 0.25 + 1.0, rel=1e-14)
    assert abs(top.x[0]) == pytest.approx(np.sqrt(3.75)) and top.x[1] == pytest.approx(-0.5)


def test_nearly_hard_cases_join_the_hard_one() -> None:
    hard = largest_on_ball(np.diag([3.0, 1.0]), [0.0, 1.0], 2.0).lower
    for tiny in (1e-3, 1e-8, 1e-12, 1e-13, 1e-15, 1e-30):
        near = largest_on_ball(np.diag([3.0, 1.0]), [tiny, 1.0], 2.0).lower
        assert near == pytest.approx(hard + 2.0 * tiny * np.sqrt(3.75), abs=tiny**2 + 1e-11)


def test_no_part_at_the_top_but_too_long_without_it() -> None:
    """l = (0, 20): mu lies strictly above the top, x = (0, -2)."""
    top = largest_on_ball(np.diag([3.0, 1.0]), [0.0, 20.0], 2.0)
    assert top.lower == pytest.approx(4.0 + 80.0) and top.x == pytest.approx([0.0, -2.0])


def test_too_long_without_the_top_in_three_dimensions() -> None:
    Q, linear = np.diag([3.0, 1.0, 0.0]), np.array([0.0, 20.0, 25.0])
    assert largest_on_ball(Q, linear, 2.0).lower == pytest.approx(
        searched(Q, linear, 2.0), rel=1e-9
    )


def test_ball_without_curvature_or_slope() -> None:
    assert largest_on_ball(np.zeros((2, 2)), [3.0, 4.0], 2.0).lower == pytest.approx(20.0)
    assert largest_on_ball(np.zeros((2, 2)), [0.0, 0.0], 2.0).lower == 0.0
    assert largest_on_ball(2.0 * np.eye(3), [0.0, 0.0, 3.0], 1.0).lower == pytest.approx(8.0)
    assert largest_on_ball(np.eye(3), np.zeros(3), 2.0).lower == pytest.approx(4.0)


@pytest.mark.parametrize("d", [1, 3, 13])
def test_box_against_every_corner(d: int) -> None:
    rng = np.random.default_rng(d)
    Q, linear = convex(rng, d, d), rng.standard_normal(d)
    low = rng.uniform(-2.0, 0.0, d)
    high = low + rng.uniform(0.0, 2.0, d)
    corners = np.array(list(product(*zip(low, high, strict=True))))
    top = largest_on_box(Q, linear, low, high)
    assert top.exact and top.lower == pytest.approx(value(Q, linear, corners).max(), rel=1e-12)
    assert value(Q, linear, top.x) == pytest.approx(top.lower, rel=1e-12)


def test_box_without_width_counts_no_side() -> None:
    low = np.ones(20)
    assert largest_on_box(np.eye(20), np.zeros(20), low, low).lower == 20.0


def test_large_box_is_an_honest_bracket() -> None:
    rng = np.random.default_rng(0)
    d = 18
    Q, linear = convex(rng, d, d), rng.standard_normal(d)
    low, high = -rng.uniform(0.5, 1.0, d), rng.uniform(0.5, 1.0, d)
    top = largest_on_box(Q, linear, low, high)
    number = np.arange(2**d)
    best = -np.inf
    for part in np.array_split(number, 64):
        corners = np.where(part[:, None] >> np.arange(d) & 1, high, low)
        best = max(best, value(Q, linear, corners).max())
    assert not top.exact
    assert top.lower <= best * (1 + 1e-12) and best <= top.upper
    assert top.lower >= 0.99 * best and top.upper <= 1.5 * best


def test_points() -> None:
    rng = np.random.default_rng(1)
    Q, linear, points = convex(rng, 4, 4), rng.standard_normal(4), rng.standard_normal((9, 4))
    inside = rng.dirichlet(np.ones(9), 2000) @ points
    top = largest_on_points(Q, linear, points)
    assert top.exact and top.lower == pytest.approx(value(Q, linear, points).max(), rel=1e-14)
    assert top.lower == pytest.approx(value(Q, linear, top.x), rel=1e-14)
    assert value(Q, linear, inside).max() <= top.lower


@pytest.mark.parametrize(
    ("Q", "linear", "message"),
    [
        ([[1.0, 0.0], [0.0, -1.0]], [0.0, 0.0], "convex"),
        ([[1.0, 0.5], [0.0, 1.0]], [0.0, 0.0], "symmetric"),
        ([[1.0, 0.0], [0.0, np.nan]], [0.0, 0.0], "finite"),
        ([[1.0, 0.0], [0.0, 1.0]], [0.0, np.inf], "finite"),
        ([[1.0, 0.0], [0.0, 1.0]], [0.0], "shapes"),
        ([1.0], [0.0], "shapes"),
        ([["a"]], [0.0], "real numbers"),
    ],
)
def test_bad_quadratics_are_refused(Q: Any, linear: Any, message: str) -> None:
    d = len(linear)
    for call in (
        lambda: largest_on_ball(Q, linear, 1.0),
        lambda: largest_on_points(Q, linear, np.eye(d)),
        lambda: largest_on_box(Q, linear, -np.ones(d), np.ones(d)),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_bad_sets_are_refused() -> None:
    Q, linear = np.eye(2), np.zeros(2)
    with pytest.raises(ValueError, match="radius must be > 0"):
        largest_on_ball(Q, linear, 0.0)
    with pytest.raises(ValueError, match="points must be of shape"):
        largest_on_points(Q, linear, np.eye(3))
    with pytest.raises(ValueError, match="points must be finite"):
        largest_on_points(Q, linear, [[0.0, np.nan]])
    with pytest.raises(ValueError, match="low <= high"):
        largest_on_box(Q, linear, [1.0, 1.0], [0.0, 2.0])
    with pytest.raises(ValueError, match="must be of shape"):
        largest_on_box(Q, linear, [1.0], [2.0])
