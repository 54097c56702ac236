"""Mirror descent learners as learners: batches, states, restarts, and what they refuse."""

from typing import Any

import numpy as np
import pytest

from rlopt.agents import online
from rlopt.agents.core import LearnerAgent, OnlineLearner
from rlopt.agents.online.mirror import Mahalanobis
from rlopt.envs.sea import play
from rlopt.spaces import Ball, BoxSet, Simplex

D = 3
IMPLICIT = "optimistic_omd_implicit"
BALL = Ball(D)
LEARNERS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "ogd": ("ogd", BALL, {"G": 1.0}),
    "ogd-lam": ("ogd", BALL, {"schedule": "strongly_convex", "lam": 0.5}),
    "ogd-eta": ("ogd", BALL, {"eta": lambda t: 1.0 / t}),
    "A1": ("optimistic_omd", BALL, {"G": 1.0, "delta": 1.0}),
    "A1-mean": ("optimistic_omd", BALL, {"G": 1.0, "delta": 1.0, "hint": "mean"}),
    "A1-eta": ("optimistic_omd", BALL, {"eta": lambda t: 1.0 / t}),
    "A1-entropy": ("optimistic_omd", Simplex(D), {"eta": 0.3, "mirror": "entropy"}),
    "A1-log_barrier": ("optimistic_omd", Simplex(D), {"eta": 0.3, "mirror": "log_barrier"}),
    "A1-p_norm": ("optimistic_omd", Simplex(D), {"eta": 0.3, "mirror": "p_norm"}),
    "A1-metric": ("optimistic_omd", BALL, {"eta": 0.3, "mirror": Mahalanobis(np.diag([1, 2, 3]))}),
    "A2": ("optimistic_omd_sc", BALL, {"lam": 0.5}),
    "A3": ("optimistic_omd_exp", BALL, {"G": 1.0, "beta": 2.0}),
    "A4": (IMPLICIT, BoxSet([-1.0] * D, [1.0] * D), {"G": 1.0, "delta": 1.0}),
}
EACH = pytest.mark.parametrize(("name", "space", "constants"), LEARNERS.values(), ids=LEARNERS)


def gradients(T, runs, seed=0):
    return np.random.default_rng(seed).standard_normal((T, runs, D)) / D


def answers(name, g):
    """The gradient of <g, x>, and its prox on the box."""
    more = {"prox": lambda z, step: np.clip(z - step * g, -1.0, 1.0)} if name == IMPLICIT else {}
    return {"gradient": g, **more}


def played(learner, name, g):
    points = []
    for gradient in g:
        points.append(learner.ask())
        learner.tell(points[-1], **answers(name, gradient))
    return np.array([*points, learner.ask()])


@EACH
def test_runs_of_a_batch_are_runs(name, space, constants):
    g = gradients(30, 4)
    batch = played(online.make(name, space, runs=4, **constants), name, g)
    assert batch.shape == (31, 4, D)
    for run in range(4):
        single = played(online.make(name, space, **constants), name, g[:, run])
        np.testing.assert_allclose(batch[:, run], single, rtol=0, atol=1e-12)


@EACH
@pytest.mark.parametrize("runs", [None, 3])
def test_a_state_goes_on_as_if_nothing_had_happened(name, space, constants, runs):
    g = gradients(20, 3) if runs else gradients(20, 1)[:, 0]
    learner, other = (online.make(name, space, runs=runs, **constants) for _ in range(2))
    played(learner, name, g[:10])
    state = learner.state_dict()
    rest = played(learner, name, g[10:])
    played(other, name, g[3:8])
    other.load_state_dict(state)
    assert (played(other, name, g[10:]) == rest).all()
    assert (other.recommend() == learner.recommend()).all()
    assert isinstance(learner, OnlineLearner)


@EACH
def test_rows_restart_alone(name, space, constants):
    """Through an agent: a row whose episode starts anew plays what a fresh learner would."""
    g = gradients(16, 2)

    def make(runs):
        return online.make(name, space, runs=runs, **constants)

    agent, state, points = LearnerAgent(make, lambda seen: answers(name, seen)), None, []
    for t, seen in enumerate(g):  # the observation holds the last round's gradient
        x, state = agent.predict(seen, state, episode_start=np.array([t == 0, t in (0, 7)]))
        points.append(x)
    told = g[1:]
    whole = played(online.make(name, space, **constants), name, told[:, 0])
    first = played(online.make(name, space, **constants), name, told[:6, 1])
    second = played(online.make(name, space, **constants), name, told[7:, 1])
    np.testing.assert_allclose(np.array(points)[:, 0], whole, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.array(points)[:, 1], [*first, *second], rtol=0, atol=1e-12)


@EACH
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"x": np.full(D, 2.0)}, "x must be a point of"),
        ({"gradient": [0.0, np.nan, 0.0]}, "gradient must be finite, got nan"),
        ({"gradient": [np.inf, 0.0, 0.0]}, "gradient must be finite, got inf"),
        ({"gradient": [1.0, 2.0]}, r"gradient must be of shape \(3,\), got \(2,\)"),
        ({"gradient": None}, "tell needs gradient"),
        ({"hint": [0.0, 0.0, -np.inf]}, "hint must be finite, got -inf"),
        ({"x": [[0.0] * D]}, r"x must be of shape \(3,\)"),
    ],
)
def test_bad_answers_leave_the_learner_as_it_was(name, space, constants, bad, message):
    learner = online.make(name, space, **constants)
    played(learner, name, gradients(3, 1)[:, 0])
    before = learner.state_dict()
    with pytest.raises(ValueError, match=message):
        learner.tell(**{"x": learner.ask(), **answers(name, np.zeros(D)), **bad})
    after = learner.state_dict()
    assert all((before[key] == after[key]).all() for key in before)


@EACH
def test_tell_comes_after_ask(name, space, constants):
    learner = online.make(name, space, **constants)
    with pytest.raises(RuntimeError, match=f"{name}: tell comes after ask"):
        learner.tell(learner.x, **answers(name, np.zeros(D)))
    learner.tell(learner.ask(), **answers(name, np.zeros(D)))
    with pytest.raises(ValueError, match="tell comes after ask"):
        learner.tell(learner.x, **answers(name, np.zeros(D)))


@pytest.mark.parametrize(
    ("name", "constants", "message"),
    [
        ("ogd", {}, "ogd needs G"),
        ("ogd", {"G": 0.0}, "G must be > 0, got 0.0"),
        ("ogd", {"schedule": "sqrt_T", "G": 1.0}, "ogd needs T"),
        ("ogd", {"schedule": "sqrt_T", "T": 5}, "ogd needs G"),
        ("ogd", {"schedule": "sqrt_T", "T": 0, "G": 1.0}, "T must be a whole number >= 1"),
        ("ogd", {"schedule": "strongly_convex"}, "ogd needs lam"),
        ("ogd", {"schedule": "sqrt"}, "schedule must be one of .* did you mean 'sqrt_"),
        ("ogd", {"eta": -1.0}, "eta must be > 0"),
        ("optimistic_omd", {}, "optimistic_omd needs G"),
        ("optimistic_omd", {"G": 1.0}, "optimistic_omd needs L"),
        ("optimistic_omd", {"G": 1.0, "L": -1.0}, "L must be > 0, got -1.0"),
        ("optimistic_omd", {"G": 1.0, "delta": 0.0}, "delta must be > 0"),
        ("optimistic_omd", {"G": float("nan"), "delta": 1.0}, "G must be finite"),
        ("optimistic_omd", {"G": 1.0, "constants": "practise"}, "did you mean 'practical'"),
        ("optimistic_omd", {"eta": 0.1, "hint": "lats"}, "hint must be one of .* mean 'last'"),
        ("optimistic_omd", {"eta": 0.1, "mirror": "euclid"}, "did you mean 'euclidean'"),
        ("optimistic_omd", {"eta": 0.1, "mirror": "entropy"}, "goes with a Simplex"),
        ("optimistic_omd", {"eta": 0.0}, "eta must be > 0"),
        ("optimistic_omd", {"eta": lambda t: 0.0}, r"eta\(1\) must be > 0"),
        ("optimistic_omd_sc", {}, "optimistic_omd_sc needs lam"),
        ("optimistic_omd_sc", {"lam": 0.0}, "lam must be > 0"),
        ("optimistic_omd_exp", {"beta": 1.0}, "optimistic_omd_exp needs G"),
        ("optimistic_omd_exp", {"G": 1.0}, "optimistic_omd_exp needs alpha"),
        ("optimistic_omd_exp", {"G": 1.0, "alpha": 0.0}, "alpha must be > 0"),
        ("optimistic_omd_exp", {"G": 1.0, "beta": -1.0}, "beta must be > 0"),
        (IMPLICIT, {}, "optimistic_omd_implicit needs G"),
        (IMPLICIT, {"G": 1.0, "delta": -1.0}, "delta must be > 0"),
        ("optimistic_omd", {"eta": 0.1, "runs": 0}, "runs must be a whole number >= 1"),
        ("optimistic_omb", {}, "did you mean 'optimistic_omd'"),
    ],
)
def test_bad_constants(name, constants, message):
    with pytest.raises(ValueError, match=message):
        online.make(name, BALL, **constants)


def test_other_mistakes():
    ball: Any = "ball"
    for name in ("ogd", "optimistic_omd", "optimistic_omd_sc", "optimistic_omd_exp", IMPLICIT):
        with pytest.raises(ValueError, match="space must be one of"):
            online.make(name, ball)
        with pytest.raises(TypeError, match="has no parameter 'gamma'"):
            online.make(name, BALL, gamma=1.0)


@pytest.mark.parametrize(
    ("prox", "message"),
    [
        (None, "tell needs prox"),
        (lambda z, step: z + 3.0, "must be a point of"),
        (lambda z, step: z * np.nan, "must be finite"),
        (lambda z, step: 0.0, "must be of shape"),
    ],
)
def test_a_prox_that_is_none(prox, message):
    learner = online.make(IMPLICIT, BALL, G=1.0)
    before = learner.state_dict()
    with pytest.raises(ValueError, match=message):
        learner.tell(learner.ask(), gradient=np.ones(D), prox=prox)
    assert all(
        (before[key] == value).all()
        for key, value in learner.state_dict().items()
        if key != "_asked"
    )


def test_a_step_that_fails_later_changes_nothing():
    learner = online.make("optimistic_omd", BALL, eta=lambda t: 2.0 - t)
    with pytest.raises(ValueError, match=r"eta\(2\) must be > 0, got 0.0"):
        learner.tell(learner.ask(), gradient=np.ones(D))
    assert (learner.x == 0.0).all() and learner.t == 0


def test_gradients_are_copied():
    learner, other = (online.make("optimistic_omd", BALL, eta=0.1) for _ in range(2))
    buffer = np.zeros(D)
    for g in gradients(5, 1)[:, 0]:
        buffer[:] = g
        learner.tell(learner.ask(), gradient=buffer)
        buffer[:] = 77.0
        other.tell(other.ask(), gradient=g)
    assert (learner.ask() == other.ask()).all()


def test_linear_losses_of_several_runs():
    g = gradients(12, 2)
    learner = online.make("optimistic_omd", BALL, runs=2, eta=0.2)
    trace = play(learner, g)
    assert trace.loss == pytest.approx((g * trace.x).sum(-1))
