"""Monotone finite sums: values, gaps, components and constants."""

from typing import Any

import numpy as np
import pytest
from monotone import PROBLEMS, burglar, rectangular

from rlopt.agents import halpern
from rlopt.spaces import BoxSet

EXACT = 1e-12


def test_the_value_of_games_is_exact() -> None:
    assert halpern.MatrixGame(burglar(100)).value == pytest.approx(0.0126646, abs=5e-8)
    game = halpern.MatrixGame(rectangular(4, 5))
    assert game.value == pytest.approx(-0.0641316192, abs=1e-9)
    x, y = game.split(game.solution)
    assert x == pytest.approx([0.23867785, 0.35336069, 0.29772697, 0.11023449], abs=1e-8)
    assert x @ game.A @ y == pytest.approx(game.value, abs=1e-9)
    assert game.gap(game.solution) == pytest.approx(0.0, abs=1e-9)
    assert game.residual(game.solution) == pytest.approx(0.0, abs=1e-9)


def test_the_gap_is_what_deviating_gains() -> None:
    game = halpern.MatrixGame([[3.0, -1.0], [-2.0, 1.0]])
    assert game.gap([1.0, 0.0, 0.0, 1.0]) == 3.0 - (-1.0)
    assert game.gap([0.5, 0.5, 0.5, 0.5]) == 0.5 - (-0.5)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_components_average_to_the_operator(name: str) -> None:
    problem = PROBLEMS[name]
    u = np.random.default_rng(0).standard_normal(problem.dimension)
    parts = [problem.component(i, u) for i in range(problem.components)]
    assert np.allclose(np.mean(parts, axis=0), problem.operator(u), rtol=0.0, atol=EXACT)


def test_components_of_square_games_are_rows_and_columns() -> None:
    A = rectangular(3, 3)
    u = np.arange(1.0, 7.0)
    part = halpern.Bilinear(A).component(1, u)
    assert np.allclose(part, [*(3.0 * A[:, 1] * u[4]), *(-3.0 * A[1] * u[1])], rtol=EXACT)


def second_moments(problem: halpern.Problem) -> tuple[np.ndarray, np.ndarray]:
    """Q and S with mean |F_i(u) - F_i(v)|^2 = z'Qz and <F(u) - F(v), z> = z'Sz, z = u - v."""
    d = problem.dimension
    zero = np.zeros(d)
    jacobians = [
        np.array([problem.component(i, e) - problem.component(i, zero) for e in np.eye(d)]).T
        for i in range(problem.components)
    ]
    mean = np.mean(jacobians, axis=0)
    return np.mean([J.T @ J for J in jacobians], axis=0), (mean + mean.T) / 2.0


@pytest.mark.parametrize("name", PROBLEMS)
def test_average_constants_are_the_least(name: str) -> None:
    problem = PROBLEMS[name]
    Q, S = second_moments(problem)
    if problem.cocoercive:  # the least L with Q <= L S has a direction in which they are equal
        excess = np.linalg.eigvalsh(problem.L_average * S - Q)
        assert excess[0] == pytest.approx(0.0, abs=1e-10)
        null = np.linalg.eigvalsh(S)[:, None] < 1e-12
        assert (np.abs(excess) < 1e-10).sum() > null.sum()
        assert np.linalg.eigvalsh(S)[-1] == pytest.approx(problem.L, rel=1e-10)
    else:
        assert np.linalg.eigvalsh(Q)[-1] == pytest.approx(problem.L_average**2, rel=1e-10)
        assert np.allclose(S, 0.0, atol=EXACT)
    assert problem.L_average >= problem.L * (1.0 - EXACT)


@pytest.mark.parametrize(
    "A", [[[1.0, np.nan]], [1.0, 2.0], [[]], np.zeros((2, 2)), "game", [["a"]]]
)
def test_bad_matrices_are_named(A: Any) -> None:
    for problem in (halpern.Bilinear, halpern.MatrixGame):
        with pytest.raises(ValueError, match=f"{problem.__name__}: A must"):
            problem(A)
    with pytest.raises(ValueError, match="LeastSquares: A must"):
        halpern.LeastSquares(A, [1.0])


def test_more_bad_problems() -> None:
    with pytest.raises(ValueError, match=r"b must be finite and of shape \(2,\)"):
        halpern.LeastSquares(np.eye(2), [1.0, np.inf])
    with pytest.raises(ValueError, match="with dimension 2"):
        halpern.LeastSquares(np.eye(2), [1.0, 1.0], BoxSet([0.0], [1.0]))
    with pytest.raises(ValueError, match="nothing is left of it when centred"):
        halpern.MatrixGame(np.add.outer([1.0, 2.0], [0.3, 0.1]), centred=True)
    with pytest.raises(ValueError, match=r"i must be in 0\.\.5, got 6"):
        PROBLEMS["game"].component(6, np.zeros(12))
