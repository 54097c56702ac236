"""A learner against losses, without the Gymnasium layer: sums by hand, and refusals."""

from typing import Any

import numpy as np
import pytest

from rlopt.agents import online
from rlopt.envs.sea import play
from rlopt.spaces import Ball


def learner(d: int = 2, runs: int | None = None) -> Any:
    return online.make("ogd", Ball(d), eta=0.1, runs=runs)


def test_regret_is_the_sum_by_hand() -> None:
    g = np.random.default_rng(0).normal(size=(20, 2))
    trace, u, moving = play(learner(), g), np.array([0.3, -0.2]), 0.1 * g[::-1]
    assert trace.x.shape == (20, 2) and trace.loss.shape == (20,)
    by_hand = sum(float(g[t] @ (trace.x[t] - u)) for t in range(20))
    assert trace.regret(u) == pytest.approx(by_hand, rel=1e-12)
    by_hand = sum(float(g[t] @ (trace.x[t] - moving[t])) for t in range(20))
    assert trace.regret(moving) == pytest.approx(by_hand, rel=1e-12)


def test_functions_see_rounds_from_one_and_batches() -> None:
    c = np.random.default_rng(1).normal(size=(30, 2))
    told: list[int] = []

    def gradient(t: int, x: np.ndarray) -> np.ndarray:
        told.append(t)
        return x - c[t - 1]

    def loss(t: int, x: np.ndarray) -> Any:
        return 0.5 * ((x - c[t - 1]) ** 2).sum(axis=-1)

    single, batch = play(learner(), gradient, loss, T=30), play(learner(runs=3), gradient, loss, 30)
    assert told == [*range(1, 31), *range(1, 31)]
    u = np.zeros(2)
    assert isinstance(single.regret(u), float) and batch.regret(u).shape == (3,)
    np.testing.assert_allclose(batch.regret(u), single.regret(u), rtol=1e-12)
    by_hand = sum(loss(t, single.x[t - 1]) - loss(t, u) for t in range(1, 31))
    assert single.regret(u) == pytest.approx(by_hand, rel=1e-12)


def test_runs_may_have_gradients_of_their_own() -> None:
    g = np.random.default_rng(2).normal(size=(9, 3, 2))
    batch = play(learner(runs=3), g)
    for run in range(3):
        np.testing.assert_allclose(batch.x[:, run], play(learner(), g[:, run]).x, atol=1e-15)


def test_a_loss_of_one_coordinate_is_a_number() -> None:
    trace = play(learner(1), lambda t, x: np.sign(x - 0.3), lambda t, x: abs(x - 0.3), T=4)
    assert isinstance(trace.regret([0.3]), float)


TRACE = play(learner(), np.ones((3, 2)))
BAD: Any = [
    (
        lambda: play(learner(), np.ones((3, 1))),
        r"gradients must be of shape \(T, 2\), got \(3, 1\)",
    ),
    (lambda: play(learner(), [1.0, 2.0]), "gradients must be of shape"),
    (lambda: play(learner(runs=4), np.ones((3, 5, 2))), r"\(T, 2\) or \(T, 4, 2\), got"),
    (lambda: play(learner(), "x"), "gradients must be real numbers"),
    (lambda: play(learner(), None), "gradients must be"),
    (lambda: play(learner(), [[1.0, np.nan]]), "gradients must be finite, got nan"),
    (lambda: play(learner(), np.ones((3, 2)), T=4), "T must be at most 3"),
    (lambda: play(learner(), np.ones((3, 2)), T=0), "T must be a whole number >= 1"),
    (lambda: play(learner(), lambda t, x: x), "T is needed"),
    (lambda: play(learner(), np.ones((3, 2)), lambda t, x: x), "one number a run"),
    (lambda: play(learner(), np.ones((3, 2)), lambda t, x: np.nan), r"losses\(t, x\) must be fin"),
    (lambda: play(learner(), lambda t, x: x * np.nan, T=2), "gradient must be finite"),
    (lambda: TRACE.regret([0.5]), r"u must be of shape \(2,\) or \(3, 2\), got \(1,\)"),
    (lambda: TRACE.regret([np.nan, 0.0]), "u must be finite"),
    (lambda: TRACE.regret(np.zeros((4, 2))), "u must be of shape"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_rounds_that_are_no_number() -> None:
    with pytest.raises(TypeError, match="T must be a real number, got '3'"):
        play(learner(), np.ones((3, 2)), T="3")  # type: ignore[arg-type]  # refused
