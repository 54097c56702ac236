"""Hints and forecasts: what tasks show of the next gradient, and what it is worth to learners."""

from typing import Any

import numpy as np
import pytest
from zoo import EXACT, SEA

from rlopt.agents import make, online
from rlopt.envs import FuncGymEnv, FuncVectorEnv
from rlopt.envs.sea.linear import Experts, Iid, Switching
from rlopt.envs.sea.meta import Meta
from rlopt.envs.sea.quadratic import Coordinates, Corrupted, Drift, Piecewise, Target
from rlopt.envs.sea.rounds import unseen
from rlopt.envs.sea.task import SEATask

T = 12
FORECAST: Any = {
    kind.__name__: kind(horizon=T, forecast=True)
    for kind in (Coordinates, Corrupted, Drift, Experts, Iid, Piecewise, Switching, Target)
}


def episode(task: SEATask, seed: int = 1) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Observations (T + 1, *obs) and infos of random actions."""
    env = FuncGymEnv(task)
    seen, infos = [env.reset(seed=seed)[0]], []
    rng = np.random.default_rng(seed)
    for _ in range(task.horizon):
        observation, *_, info = env.step(rng.uniform(-1.0, 1.0, task.space.dimension))
        seen.append(observation)
        infos.append(info)
    return np.array(seen), infos


@pytest.mark.parametrize("feedback", ["full_grad", "loss_only"])
def test_the_hint_is_what_was_shown_before_the_action(feedback: str) -> None:
    """The last gradient, 0 at first and where gradients are not shown."""
    task = Target(horizon=T, feedback=feedback)
    _, infos = episode(task)
    gradients = np.array([info["gradient"] for info in infos])
    hints = np.array([info["hint"] for info in infos])
    x = np.array([info["x"] for info in infos])
    assert np.allclose([0.5 * g @ g for g in gradients], [info["loss"] for info in infos])
    assert np.linalg.norm(gradients - x + 0.6 * task.diagonal, axis=1) == pytest.approx(0.3)
    before = np.vstack([np.zeros(5), gradients[:-1]]) * (feedback == "full_grad")
    np.testing.assert_array_equal(hints, before)


def test_tuned_hints_are_weighted() -> None:
    env = FuncGymEnv(Meta(task="iid", horizon=5))
    env.reset(seed=0)
    *_, first = env.step([0.0, 0.5])
    *_, second = env.step([0.0, 0.5])
    assert not first["hint"].any()
    np.testing.assert_array_equal(second["hint"], 0.75 * first["gradient"])


@pytest.mark.parametrize("name", sorted(FORECAST))
def test_forecasts_are_gradients_of_the_next_mean_loss(name: str) -> None:
    """By central differences at the last point; they stand before the last loss."""
    task = FORECAST[name]
    seen, infos = episode(task)
    d = task.space.dimension
    points = [task.start, *(info["x"] for info in infos)]
    for t in range(T):
        at = unseen(np.full(d, t + 1.0))
        steps = 1e-3 * np.eye(d)
        change = task.mean_loss(at, points[t] + steps) - task.mean_loss(at, points[t] - steps)
        np.testing.assert_allclose(seen[t, -2 - d : -2], change / 2e-3, atol=1e-10)
        np.testing.assert_array_equal(infos[t]["hint"], seen[t, -2 - d : -2])
        told = task.answers(seen[t : t + 1])
        np.testing.assert_array_equal(told["hint"][0], seen[t, -2 - d : -2])
        np.testing.assert_array_equal(told["gradient"][0], seen[t, :d])
    assert not seen[T, -2 - d : -2].any()  # nothing comes
    assert all(task.observation_space.contains(row) for row in seen)


@pytest.mark.parametrize("name", sorted(FORECAST))
def test_forecasts_change_nothing_else_and_are_off_by_default(name: str) -> None:
    task = FORECAST[name]
    plain: Any = type(task)(horizon=T)
    d = task.space.dimension
    seen, infos = episode(task)
    base, others = episode(plain)
    np.testing.assert_array_equal(np.delete(seen, np.s_[-2 - d : -2], axis=1), base)
    assert set(plain.answers(base)) == {"loss", "gradient"}
    assert not plain.forecast and base.shape[1] == 2 * d + 2
    for a, b in zip(infos, others, strict=True):
        assert set(a) == set(b)
        for key in set(a) - {"hint"}:
            np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.parametrize("name", sorted(FORECAST))
def test_forecasts_are_the_same_in_batches(name: str) -> None:
    task = FORECAST[name]
    rows, many = episode(task)[0], FuncVectorEnv(task, num_envs=5)
    seen = [many.reset(seed=1)[0]]
    rng = np.random.default_rng(1)
    for _ in range(T - 1):
        action = rng.uniform(-1.0, 1.0, task.space.dimension)
        seen.append(many.step(np.tile(action, (5, 1)))[0])
    np.testing.assert_array_equal(np.array(seen)[:, 0], rows[:-1])


def test_tasks_that_cannot_foretell_refuse() -> None:
    for task in SEA.values():
        if type(task).__name__ not in FORECAST:
            with pytest.raises(ValueError, match=f"{type(task).__name__}: forecast must be False"):
                type(task)(forecast=True)
    with pytest.raises(TypeError, match="Target: forecast must be True or False, got 1"):
        Target(forecast=1)  # type: ignore[arg-type]


def regret_of(task: SEATask, name: str, key: str, **kwargs: Any) -> float:
    """Of one episode, by its last info."""
    env = FuncVectorEnv(task, num_envs=1)
    agent: Any = make(name, task, **kwargs)
    seen, _ = env.reset(seed=0)
    memory = None
    for t in range(task.horizon):
        action, memory = agent.predict(seen, memory, np.full(1, t == 0))
        seen, _, _, _, info = env.step(action)
    return float(info[key][0])


def test_a_forecast_turns_the_worst_hint_into_the_best() -> None:
    """On the switching losses the last gradient is always wrong, the forecast always right."""
    regrets = [
        regret_of(
            Switching(d=1, horizon=1000, forecast=forecast), "optimistic_omd", "regret_static"
        )
        for forecast in (False, True)
    ]
    assert regrets[0] == pytest.approx(91.4617043485, rel=1e-9)
    assert regrets[1] < 0.0  # only the first round is not foreseen; it beats every fixed point


def test_a_forecast_pays_on_a_target_that_moves_far() -> None:
    """A third of a turn a round, no noise. (Where it moves slowly the last gradient is as good.)"""
    for key, share in (("regret_dynamic", 0.55), ("regret_static", 0.0)):
        last, ahead = (
            regret_of(Drift(period=3.0, s=0.0, forecast=forecast), "optimistic_omd", key)
            for forecast in (False, True)
        )
        assert last > 0.0 and ahead < share * last, (key, last, ahead)


LEARNERS = [name for name in online.names() if name != "optimistic_omd_implicit"]


@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_takes_a_forecast(name: str) -> None:
    """Experts for hedges, a target for the others."""
    task = FORECAST["Experts" if "hedge" in name else "Target"]
    env = FuncVectorEnv(task, num_envs=2)
    agent: Any = make(name, task)
    seen, _ = env.reset(seed=0)
    memory = None
    for t in range(T):
        action, memory = agent.predict(seen, memory, np.full(2, t == 0))
        seen, _, _, _, info = env.step(action)
        assert (np.linalg.norm(info["x"] - action, axis=1) <= EXACT).all()
