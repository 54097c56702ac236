"""Following the leader: reference runs, plain loops, step sizes, and the largest norm."""

from math import sqrt
from typing import Any

import numpy as np
import pytest
from zoo import params

from rlopt.agents import online
from rlopt.agents.online.leader import OFTRL, ParameterFreeOFTRL
from rlopt.envs.sea import play
from rlopt.spaces import Ball, BoxSet, Product, Simplex

CLOSE = 1e-9  # relative; the digits that the reference runs are given to
T = 1000
ROUNDS = np.arange(1, T + 1)[:, None]
ALTERNATING = (-1.0) ** ROUNDS
TURNING = np.cos(2 * np.pi * ROUNDS / 500 + np.arange(1, 4)) / sqrt(3)
TARGETS = 0.3 * np.cos(np.arange(1, 6)) + 0.5 * np.sin(1.7 * ROUNDS * np.arange(1, 6))
SETS = {
    "ball": Ball(3, 0.7),
    "simplex": Simplex(3),
    "box": BoxSet([-0.2, 0.1, -3.0], [0.4, 0.5, 1.0]),
    "product": Product(Simplex(2), Ball(1)),
}


def target_regret(learner) -> float:
    """Regret on |x - c_t|^2 / 2 against the best fixed point, which is inside the ball."""
    trace = play(
        learner,
        lambda t, x: x - TARGETS[t - 1],
        lambda t, x: 0.5 * ((x - TARGETS[t - 1]) ** 2).sum(-1),
        T,
    )
    return trace.regret(TARGETS.mean(axis=0))


@pytest.mark.parametrize(
    ("name", "constants", "anti", "good"),
    [
        ("oftrl", {"nu": 2.0}, 16.3828696335, -2.7026779573),
        ("oftrl", {"G": 1.0, "L": 1.0}, 16.3828696335, -2.7026779573),  # nu = L D^2 + D G, D = 1
        ("oftrl_parameter_free", {}, 23.5688806790, -2.5061314764),
    ],
)
def test_linear_losses(name, constants, anti, good):
    trace = play(online.make(name, Ball(1), **constants), ALTERNATING)
    assert trace.regret([0.0]) == pytest.approx(anti, rel=CLOSE)
    trace = play(online.make(name, Ball(3), **constants), TURNING)
    assert trace.regret(np.zeros(3)) == pytest.approx(good, rel=CLOSE)


@pytest.mark.parametrize(
    ("name", "constants", "regret"),
    [
        ("oftrl", {"nu": 4.0}, 7.8969507054),
        ("oftrl", {"G": 3.0, "L": 1.0}, 7.8969507054),
        ("oftrl", {"G": 4.0, "constants": "practical"}, 7.8969507054),
        ("oftrl_parameter_free", {}, 10.2185178395),
        ("oftl", {"lam": 1.0}, 3.5851396007),
    ],
)
def test_curved_losses(name, constants, regret):
    assert target_regret(online.make(name, Ball(5), **constants)) == pytest.approx(
        regret, rel=CLOSE
    )


def by_loops(name, space, g, hints, D, nu=0.0, lam=1.0):
    """The learners' definitions, read line by line; the points played, (T, d)."""
    played: list[Any] = []
    etas: list[float] = []
    for t in range(len(g)):
        M = [np.zeros(space.dimension) if s == 0 else hints[s] for s in range(t + 1)]
        S = sum(g[:t], np.zeros(space.dimension))
        if name == "oftl":
            if t == 0:
                played.append(space.project(np.zeros(space.dimension)))
            else:
                played.append(space.project((lam * sum(played) - S - M[t]) / (lam * t)))
            continue
        errors = [float(np.sqrt(sum((g[s] - M[s]) ** 2))) for s in range(t)]
        if name == "oftrl":
            eta = D**2 / (nu + sum(etas[s] * errors[s] ** 2 for s in range(t)))
        else:
            spent = sum(
                min(etas[s] * errors[s] ** 2 / 2, D * errors[s]) for s in range(t) if errors[s] > 0
            )
            eta = D**2 / spent if spent else np.inf
        etas.append(eta)
        push = np.zeros(space.dimension) if t == 0 else -(eta / 2) * (S + M[t])
        played.append(space.project(push))
    return np.array(played)


@pytest.mark.parametrize("space", params(SETS))
@pytest.mark.parametrize("name", ["oftrl", "oftrl_parameter_free", "oftl"])
@pytest.mark.parametrize("told", [False, True])
def test_against_loops(name, space, told):
    rng = np.random.default_rng(3)
    g, forecasts = rng.standard_normal((2, 25, space.dimension))
    hints = forecasts if told else np.roll(g, 1, axis=0)
    table: dict[str, dict[str, Any]] = {"oftrl": {"nu": 0.6}, "oftl": {"lam": 1.3}}
    constants = table.get(name, {})
    learner, played = online.make(name, space, **constants), []
    for t, gradient in enumerate(g):
        played.append(learner.ask())
        following = {"hint": hints[t + 1]} if told and t + 1 < len(g) else {}
        learner.tell(played[-1], gradient=gradient, **following)
    wanted = by_loops(name, space, g, hints, space.largest_norm, nu=0.6, lam=1.3)
    np.testing.assert_allclose(played, wanted, rtol=0, atol=1e-12)


def test_the_step_never_rises():
    learner, etas = OFTRL(Ball(3), nu=0.5), []
    for gradient in np.random.default_rng(0).standard_normal((50, 3)):
        etas.append(float(learner.eta))
        learner.tell(learner.ask(), gradient=gradient)
    assert etas[0] == 2.0
    assert (np.diff(etas) < 0.0).all()


def test_without_a_surprise_the_leader_itself_is_played():
    """eta is infinite until the first error: a hint told in time is followed to the boundary."""
    learner = ParameterFreeOFTRL(Ball(2, 2.0))
    learner.tell(learner.ask(), gradient=[0.0, 0.0], hint=[3.0, 4.0])
    np.testing.assert_allclose(learner.ask(), [-1.2, -1.6], rtol=1e-12)
    learner.tell(learner.ask(), gradient=[3.0, 4.0], hint=[0.0, 0.0])
    np.testing.assert_allclose(learner.ask(), [-1.2, -1.6], rtol=1e-12)
    assert learner.spent == 0.0


@pytest.mark.parametrize("scale", [1e-140, 1e-5, 1e5, 1e110])
def test_without_constants_the_scale_of_losses_is_nothing(scale):
    small, large = (
        play(online.make("oftrl_parameter_free", Ball(3)), factor * TURNING[:50]).x
        for factor in (1.0, scale)
    )
    np.testing.assert_allclose(large, small, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["oftrl_parameter_free", "oftrl"])
def test_a_set_that_is_only_the_origin(name):
    constants: dict[str, Any] = {"nu": 1.0} if name == "oftrl" else {}
    learner = online.make(name, BoxSet([0.0], [0.0]), **constants)
    assert (play(learner, ALTERNATING[:5]).x == 0.0).all()


@pytest.mark.parametrize(
    ("name", "constants", "message"),
    [
        ("oftrl", {}, "oftrl needs G"),
        ("oftrl", {"G": 1.0}, "oftrl needs L"),
        ("oftrl", {"constants": "practical"}, "oftrl needs G"),
        ("oftrl", {"nu": 0.0}, "nu must be > 0"),
        ("oftrl", {"G": -1.0, "L": 1.0}, "G must be > 0"),
        ("oftrl", {"G": 1.0, "L": float("nan")}, "L must be finite"),
        ("oftrl", {"G": 1.0, "constants": "practise"}, "did you mean 'practical'"),
        ("oftrl", {"nu": 1.0, "hint": "lost"}, "did you mean 'last'"),
        ("oftl", {}, "oftl needs lam"),
        ("oftl", {"lam": 0.0}, "lam must be > 0"),
    ],
)
def test_bad_constants(name, constants, message):
    with pytest.raises(ValueError, match=message):
        online.make(name, Ball(2), **constants)
