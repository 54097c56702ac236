"""Leaders, hedges and layered learners as learners: batches, states, restarts, bad answers."""

from typing import Any

import numpy as np
import pytest

from rlopt.agents import online
from rlopt.agents.core import LearnerAgent, OnlineLearner
from rlopt.spaces import Ball, BoxSet, ConvexSet, Simplex

D = 3
SIMPLEX, BOX = Simplex(D), BoxSet([-1.0, 0.0, 0.5], [1.0, 2.0, 0.7])
LEARNERS: dict[str, tuple[str, ConvexSet, dict[str, Any]]] = {
    "oftrl": ("oftrl", Ball(D), {"nu": 0.5}),
    "oftrl-mean": ("oftrl", BOX, {"nu": 0.5, "hint": "mean"}),
    "oftrl_parameter_free": ("oftrl_parameter_free", Ball(D), {}),
    "oftl": ("oftl", BOX, {"lam": 0.5}),
    "hedge": ("hedge", SIMPLEX, {"eta": 0.5}),
    "optimistic_hedge": ("optimistic_hedge", SIMPLEX, {"T": 30}),
    "dynamic_omd": ("dynamic_omd", Ball(D), {"G": 1.0, "L": 0.1, "T": 30}),
    "dynamic_omd-practical": (
        "dynamic_omd",
        SIMPLEX,
        {"G": 1.0, "L": 0.01, "T": 30, "constants": "practical"},
    ),
    "ensemble": ("ensemble", Ball(D), {}),
    "ensemble-box": ("ensemble", BOX, {}),
}
EACH = pytest.mark.parametrize(("name", "space", "constants"), LEARNERS.values(), ids=LEARNERS)


def gradients(rounds: int, runs: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rounds, runs, D))


def played(learner: Any, told: np.ndarray) -> np.ndarray:
    points = []
    for gradient in told:
        points.append(learner.ask())
        learner.tell(points[-1], gradient=gradient)
    return np.array([*points, learner.ask()])


@EACH
def test_runs_of_a_batch_are_runs(name, space, constants):
    g = gradients(30, 4)
    batch = played(online.make(name, space, runs=4, **constants), g)
    assert batch.shape == (31, 4, D) and space.holds(batch).all()
    for run in range(4):
        single = played(online.make(name, space, **constants), g[:, run])
        np.testing.assert_allclose(batch[:, run], single, rtol=0, atol=1e-12)


@EACH
@pytest.mark.parametrize("runs", [None, 3])
def test_a_state_goes_on_as_if_nothing_had_happened(name, space, constants, runs):
    g = gradients(20, 3) if runs else gradients(20, 1)[:, 0]
    learner, other = (online.make(name, space, runs=runs, **constants) for _ in range(2))
    played(learner, g[:10])
    state = learner.state_dict()
    rest = played(learner, g[10:])
    played(other, g[3:8])
    other.load_state_dict(state)
    np.testing.assert_array_equal(played(other, g[10:]), rest)
    assert isinstance(learner, OnlineLearner)
    assert all(value.shape[:1] == (runs,) for value in state.values()) or runs is None


@EACH
def test_rows_restart_alone(name, space, constants):
    """Through an agent: a row whose episode starts anew plays what a fresh learner would."""
    g = gradients(16, 2)

    def make(runs):
        return online.make(name, space, runs=runs, **constants)

    agent, state, points = LearnerAgent(make, lambda seen: {"gradient": seen}), None, []
    for t, seen in enumerate(g):  # the observation holds the last round's gradient
        x, state = agent.predict(seen, state, episode_start=np.array([t == 0, t in (0, 7)]))
        points.append(x)
    told = g[1:]
    whole = played(online.make(name, space, **constants), told[:, 0])
    first = played(online.make(name, space, **constants), told[:6, 1])
    second = played(online.make(name, space, **constants), told[7:, 1])
    np.testing.assert_allclose(np.array(points)[:, 0], whole, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.array(points)[:, 1], [*first, *second], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "space", "constants"),
    [row for row in LEARNERS.values() if row[2].get("hint", "last") == "last"],
)
def test_a_hint_told_is_that_of_the_next_round_only(name, space, constants):
    """Hedge has no use for it; what the others are told equals what they would have guessed."""
    g = gradients(6, 1)[:, 0]
    by_itself, told, misled = (online.make(name, space, **constants) for _ in range(3))
    for gradient in g:
        for learner, hint in ((by_itself, None), (told, gradient), (misled, [9.0, -9.0, 9.0])):
            learner.tell(learner.ask(), gradient=gradient, hint=hint)
        np.testing.assert_array_equal(told.ask(), by_itself.ask())
        assert (np.abs(misled.ask() - by_itself.ask()).max() > 1e-6) != (name == "hedge")


@EACH
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"x": np.full(D, 9.0)}, "x must be a point of"),
        ({"gradient": [0.0, np.nan, 0.0]}, "gradient must be finite, got nan"),
        ({"gradient": [1.0, 2.0]}, r"gradient must be of shape \(3,\), got \(2,\)"),
        ({"gradient": None}, "tell needs gradient"),
        ({"hint": [0.0, 0.0, -np.inf]}, "hint must be finite, got -inf"),
    ],
)
def test_bad_answers_leave_the_learner_as_it_was(name, space, constants, bad, message):
    learner = online.make(name, space, **constants)
    played(learner, gradients(3, 1)[:, 0])
    before = learner.state_dict()
    with pytest.raises(ValueError, match=message):
        learner.tell(**{"x": learner.ask(), "gradient": np.zeros(D), **bad})
    after = learner.state_dict()
    assert all((before[key] == after[key]).all() for key in before)
    with pytest.raises(ValueError, match="runs must be a whole number >= 1"):
        online.make(name, space, runs=0, **constants)


@pytest.mark.parametrize("name", sorted({name for name, _, _ in LEARNERS.values()}))
def test_other_mistakes(name):
    ball: Any = "ball"
    constants = next(values for known, _, values in LEARNERS.values() if known == name)
    with pytest.raises(ValueError, match=f"{name}: space must be"):
        online.make(name, ball, **constants)
    with pytest.raises(TypeError, match=f"{name} has no parameter 'gamma'"):
        online.make(name, SIMPLEX, gamma=1.0)
