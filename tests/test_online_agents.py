"""Online learners as agents: every learner on every task that it fits, and reference values."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from zoo import ALLEN, IDS, MC_ERRORS, simulated

from rlopt.agents import make, online
from rlopt.envs import FuncVectorEnv, policy
from rlopt.envs.core import FuncEnv
from rlopt.envs.registry import ENVIRONMENTS, make_func
from rlopt.envs.sea.linear import Experts, Iid, Switching
from rlopt.envs.sea.quadratic import Target
from rlopt.spaces import Simplex

AGENTS = [name for name in online.names() if name != "optimistic_omd_implicit"]
TASKS = [i for i in IDS if i.startswith("rlopt/SEA") and i != "rlopt/SEAMeta-v0"]


def misfit(name: str, task: Any) -> str | None:
    """What the agent says of a task that lacks what it needs; None where it fits."""
    if "hedge" in name and not isinstance(task.space, Simplex):
        return "space must be a Simplex"
    if name in ("optimistic_omd_sc", "oftl") and not task.lam:
        return "needs lam"
    if name == "dynamic_omd" and not task.L:
        return "needs L"
    return None


@pytest.mark.parametrize("env_id", TASKS)
@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_plays_every_task_that_it_fits(name: str, env_id: str) -> None:
    """Feasible points (the task would refuse others) and regrets that are numbers."""
    task: Any = make_func(ENVIRONMENTS[env_id], on_infeasible="raise")
    reason = misfit(name, task)
    if reason is not None:
        with pytest.raises(ValueError, match=reason):
            make(name, task)
        return
    agent = make(name, task)
    env = FuncVectorEnv(task, num_envs=3)
    seen, _ = env.reset(seed=0)
    memory = None
    for t in range(12):
        action, memory = agent.predict(seen, memory, np.full(3, t == 0))
        assert task.space.holds(action).all()
        seen, _, _, _, info = env.step(action)
        assert np.isfinite(info["regret"]).all() and not info["projected"].any()


@pytest.mark.parametrize("name", AGENTS)
def test_other_tasks_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} is for online convex tasks \(rlopt/SEA"):
        make(name, ALLEN)
    with pytest.raises(ValueError, match="is for online convex tasks"):
        make(name, "rlopt/SEAMeta-v0")


def final_static_regret(task: FuncEnv, agent: Any, n: int = 1, seed: int = 1) -> np.ndarray:
    """Realised regret of n episodes."""
    env = FuncVectorEnv(task, num_envs=n)
    seen, _ = env.reset(seed=seed)
    memory = None
    assert task.horizon is not None
    for t in range(task.horizon):
        action, memory = agent.predict(seen, memory, np.full(n, t == 0))
        seen, _, _, _, info = env.step(action)
    return np.asarray(info["regret_static"])


SWITCHING: Any = [
    ("ogd", {"schedule": "sqrt_T"}, 31.6227766017),
    ("ogd", {}, 61.3900999732),
    ("optimistic_omd", {}, 91.4617043485),
    ("optimistic_omd", {"hint": "zero"}, 59.3617642867),
    ("oftrl", {"nu": 2.0}, 16.3828696335),
]


@pytest.mark.parametrize(("name", "kwargs", "regret"), SWITCHING)
def test_the_switching_task_through_the_gymnasium_layer(
    name: str, kwargs: Any, regret: float
) -> None:
    """Fixed numbers, with the constants of the task."""
    task = Switching(d=1, horizon=1000)
    found = final_static_regret(task, make(name, task, **kwargs))
    assert found == pytest.approx(regret, rel=1e-9)


@pytest.mark.parametrize("horizon", [100, 1000])
def test_regret_without_noise_does_not_depend_on_T(horizon: int) -> None:
    """L and G of the task, delta = 50 D^2 L^2 = 200 as the theorem says."""
    task = Target(horizon=horizon, s=0.0)
    assert abs(task.G - 1.6) < 1e-12
    agent = make("optimistic_omd", task, constants="theory")
    assert final_static_regret(task, agent) == pytest.approx(0.62370527719, rel=1e-9)


MONTE_CARLO: Any = [
    ("optimistic_omd", {"delta": 200.0}, 4.29, 0.02),
    ("optimistic_omd_sc", {}, 1.107, 0.02),
    ("oftrl", {"nu": 2.6}, 1.976, 0.007),
]


@pytest.mark.parametrize(("name", "kwargs", "mean", "error"), MONTE_CARLO)
def test_the_target_task_on_average(name: str, kwargs: Any, mean: float, error: float) -> None:
    """Pseudo-regret at T = 1000, by the steps' regrets; the numbers are means of 64 seeds."""
    task = Target()
    agent: Any = make(name, task, **kwargs)
    regret = simulated(task, agent, 256).regret
    assert abs(regret.mean() - mean) <= MC_ERRORS * np.hypot(regret.std() / 16.0, error)


def test_constants_come_from_the_task_and_the_caller_wins() -> None:
    task = Target()
    agent: Any = make("optimistic_omd", task)
    assert agent.hyperparameters == {"constants": "practical", "G": task.G, "L": 1.0}
    agent = make("optimistic_omd", task, G=3.0, delta=7.0)
    assert agent.hyperparameters["G"] == 3.0 and "delta=7.0" in repr(agent)
    assert make("ogd", task, schedule="sqrt_T").predict(np.zeros((2, 12)))[0].shape == (2, 5)
    with pytest.raises(TypeError, match="nu"):
        make("ogd", task, nu=1.0)
    with pytest.raises(ValueError, match="needs L"):
        make("optimistic_omd", Iid(), constants="theory")


@pytest.mark.parametrize("name", AGENTS)
def test_a_task_without_gradients_is_refused_at_once(name: str) -> None:
    """Every learner is of first order; the losses alone would end in an error at the first tell."""
    for task in (Target, Experts):
        with pytest.raises(ValueError, match=f"{name} learns from gradients: .*'loss_only'"):
            make(name, task(feedback="loss_only"))


def test_hedges_follow_the_best_expert() -> None:
    """Far better than the mean of the experts, which doing nothing is."""
    task = Experts(switch=1.0, comparator="static")
    lazy = simulated(task, make("do_nothing", task), 50).regret.mean()
    for name in ("hedge", "optimistic_hedge"):
        assert simulated(task, make(name, task), 50).regret.mean() < 0.5 * lazy
    assert lazy == pytest.approx(0.2 * 7 / 8 * 1000, rel=0.05)


def test_learners_forget_between_episodes() -> None:
    """Rows that start anew play the start; their neighbours go on."""
    task = Target(horizon=5)
    agent: Any = make("optimistic_omd", task)
    seen = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 12))
    _, memory = agent.predict(seen)
    action, memory = agent.predict(seen, memory, np.array([False, True, False]))
    assert not action[1].any() and action[0].any() and action[2].any()
    assert memory["learner"]["t"].tolist() == [1, 0, 1]
    assert policy(lambda x: x).learns is agent.learns is False


@pytest.mark.parametrize("name", online.names())
def test_every_learner_takes_a_preset(name: str) -> None:
    given: dict[str, Any] = {
        "dynamic_omd": {"G": 1.0, "L": 1.0, "T": 9},
        "hedge": {"T": 9},
        "oftl": {"lam": 1.0},
        "oftrl": {"G": 1.0, "L": 1.0},
        "ogd": {"G": 1.0},
        "optimistic_hedge": {"T": 9},
        "optimistic_omd": {"G": 1.0, "L": 1.0},
        "optimistic_omd_exp": {"G": 1.0, "alpha": 1.0},
        "optimistic_omd_implicit": {"G": 1.0},
        "optimistic_omd_sc": {"lam": 1.0},
    }
    for constants in ("theory", "practical"):
        made = online.make(name, Simplex(3), constants=constants, **given.get(name, {}))
        assert made.ask().shape == (3,)
    with pytest.raises(ValueError, match="constants must be one of"):
        online.make(name, Simplex(3), constants="best", **given.get(name, {}))


@pytest.mark.parametrize("name", ["ogd", "ensemble", "oracle", "do_nothing"])
def test_a_single_observation_gets_a_single_point(name: str) -> None:
    """Round by round as the batch of one does."""
    env = gymnasium.make("rlopt/SEATarget-v0")
    agent: Any = make(name, env)
    seen, _ = env.reset(seed=0)
    single, batch, start = None, None, True
    for _ in range(5):
        one, single = agent.predict(seen, single, start)
        many, batch = agent.predict(seen[None], batch, np.array([start]))
        assert one.shape == (5,)
        np.testing.assert_array_equal(one, many[0])
        seen, start = env.step(one)[0], False
