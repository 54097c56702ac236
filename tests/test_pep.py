"""Worst cases by semidefinite programming, against closed forms, PEPit and played rounds."""

import io
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest
from PEPit import PEP
from PEPit.examples.online_learning import wc_online_gradient_descent
from PEPit.functions import ConvexIndicatorFunction, ConvexLipschitzFunction
from PEPit.primitive_steps import proximal_step
from zoo import SOLVER

from rlopt.agents import online
from rlopt.envs.sea.play import play
from rlopt.spaces import BoxSet
from rlopt.theory import pep, regret

OPTIMISTIC = {
    1.0: (1.0, 1.633316, 2.293241, 2.832591),
    0.5: (1.0, 1.414214, 2.020726, 2.469173),
}


@pytest.mark.parametrize("n", range(1, 7))
def test_gradient_descent_is_as_bad_as_its_bound(n: int) -> None:
    value = pep.worst_case("ogd", n=n, eta=3.0 / (2.0 * n**0.5), M=2.0, D=3.0)
    assert value == pytest.approx(6.0 * n**0.5, rel=1e-5)
    assert value <= regret.ogd_constant_step(D=3.0, G=2.0, T=n) * (1.0 + 1e-5)
    for factor in (0.3, 4.0):
        eta = factor * 3.0 / (2.0 * n**0.5)
        limit = regret.ogd_constant_step(D=3.0, G=2.0, T=n, eta=eta)
        assert pep.worst_case("ogd", n=n, eta=eta, M=2.0, D=3.0) <= limit * (1.0 + 1e-5)


@pytest.mark.parametrize("share", OPTIMISTIC)
@pytest.mark.parametrize("n", range(1, 5))
def test_optimism_costs_in_the_worst_case(n: int, share: float) -> None:
    value = pep.worst_case("optimistic_omd", n=n, eta=share / n**0.5)
    assert value == pytest.approx(OPTIMISTIC[share][n - 1], abs=2e-6)


@pytest.mark.parametrize("n", [2, 3])
def test_pepit_finds_the_same_for_gradient_descent(n: int) -> None:
    with redirect_stdout(io.StringIO()):
        theirs, _ = wc_online_gradient_descent(
            M=1.0, D=0.5, n=n, wrapper="cvxpy", solver="CLARABEL", verbose=-1
        )
    ours = pep.worst_case("ogd", n=n, eta=0.5 / n**0.5, D=0.5)
    assert ours == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("algorithm", ["optimistic_omd", "oftrl"])
@pytest.mark.parametrize("n", [2, 3])
def test_pepit_finds_the_same_for_optimistic_methods(algorithm: str, n: int) -> None:
    eta = 0.8 / n**0.5
    theirs = pepit(algorithm, n, eta)
    assert pep.worst_case(algorithm, n=n, eta=eta) == pytest.approx(theirs, abs=1e-5)


def pepit(algorithm: str, n: int, eta: float) -> float:
    """The same question in PEPit: Lipschitz losses and the indicator of a set."""
    problem = PEP()
    losses = [problem.declare_function(ConvexLipschitzFunction, M=1.0) for _ in range(n)]
    optimistic = algorithm == "optimistic_omd"
    inside = problem.declare_function(ConvexIndicatorFunction, D=1.0 if optimistic else np.inf)

    def project(y: Any) -> Any:
        return proximal_step(y, inside, 1)[0]

    u = project(problem.set_initial_point())
    start = hat = x = project(problem.set_initial_point())  # the origin of the second method
    points, total = [u], 0.0
    gradients: list[Any] = []
    for loss in losses:
        if gradients and optimistic:
            hat = project(hat - eta * gradients[-1])
            x = project(hat - eta * gradients[-1])
        elif gradients:
            seen = sum(gradients[1:], gradients[0]) + gradients[-1]
            x = project(start - eta / 2.0 * seen)
            points.append(x)
        gradients.append(loss.gradient(x))
        total = total + loss(x) - loss(u)
    if not optimistic:
        for point in points:
            problem.set_initial_condition((point - start) ** 2 <= 1.0)
    problem.set_performance_metric(total)
    return float(problem.solve(wrapper="cvxpy", solver="CLARABEL", verbose=0))


@pytest.mark.parametrize("algorithm", pep.ALGORITHMS)
def test_no_play_is_worse_than_the_worst_case(algorithm: str) -> None:
    rng = np.random.default_rng(1)
    n, runs, eta = 4, 2000, 0.6
    space = BoxSet(-rng.uniform(0.0, 1.0, 3), rng.uniform(0.0, 1.0, 3))
    g = rng.standard_normal((n, runs, 3))
    g /= np.linalg.norm(g, axis=-1, keepdims=True)
    if algorithm == "oftrl":
        hints = np.concatenate([np.zeros((1, runs, 3)), g[:-1]])
        x = space.project(-eta / 2.0 * (g.cumsum(axis=0) - g + hints))
        D = float(np.linalg.norm(np.maximum(-space.low, space.high)))
    else:
        x = play(online.make(algorithm, space, runs=runs, eta=eta), g).x
        D = space.diameter
    total = g.sum(axis=0)
    u = np.where(total > 0.0, space.low, space.high)
    value = (g * (x - u)).sum(axis=(0, -1)).max()
    worst = pep.worst_case(algorithm, n=n, eta=eta, D=D)
    assert 0.4 * worst < value < worst


def test_units_scale() -> None:
    one = pep.worst_case("optimistic_omd", n=3, eta=0.4)
    scaled = pep.worst_case("optimistic_omd", n=3, eta=0.4 * 5.0 / 3.0, M=3.0, D=5.0)
    assert scaled == pytest.approx(15.0 * one, rel=SOLVER)


@pytest.mark.parametrize("n", [2, 5])
def test_the_best_step(n: int) -> None:
    eta, value = pep.best_step("ogd", n=n, M=2.0, D=3.0)
    assert eta == pytest.approx(3.0 / (2.0 * n**0.5), rel=1e-3)  # as every textbook has it
    assert value == pytest.approx(6.0 * n**0.5, rel=1e-5)
    eta, value = pep.best_step("optimistic_omd", n=n)
    assert value <= min(
        pep.worst_case("optimistic_omd", n=n, eta=factor * eta) for factor in (0.9, 0.97, 1.03, 1.1)
    )


def test_a_solver_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pep, "TOLERANCE", 1e-16)
    with pytest.warns(UserWarning), pytest.raises(pep.SolverFailed, match="CLARABEL"):
        pep.worst_case("optimistic_omd", n=4, eta=0.5)


@pytest.mark.parametrize(
    ("constants", "match"),
    [
        ({"algorithm": "omd"}, "did you mean 'optimistic_omd'|must be one of"),
        ({"n": 0}, "n must be a whole number >= 1"),
        ({"eta": 0.0}, "eta must be > 0"),
        ({"M": -1.0}, "M must be > 0"),
        ({"D": float("nan")}, "D must be finite"),
    ],
)
def test_bad_constants_are_named(constants: dict[str, Any], match: str) -> None:
    given: dict[str, Any] = {"algorithm": "ogd", "n": 2, "eta": 0.5, **constants}
    with pytest.raises(ValueError, match=match):
        pep.worst_case(given.pop("algorithm"), **given)
    with pytest.raises(ValueError, match="n must be a whole number >= 2"):
        pep.best_step("ogd", n=1)
