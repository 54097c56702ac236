"""Agents by name: made for any environment, worth what the literature says, and able to learn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import RecordEpisodeStatistics
from zoo import ALLEN, FISHERIES, LOGISTIC, Count, Drift

from rlopt.agents import LearnerAgent, make, names, online
from rlopt.agents.core import needed
from rlopt.agents.sb3 import RegretCallback
from rlopt.envs import FuncGymEnv, FuncSB3VecEnv, FuncVectorEnv, policy
from rlopt.envs.fishery import Fishery, Logistic, NormalNoise

SPECIES = ("constant_mortality", "constant_escapements")  # rules for several stocks
NAMES = [name for name in names() if name not in (*SPECIES, *online.names())]
LEARNING = ("a2c", "dqn", "ppo", "sac", "td3", "tqc", "trpo")
WORLDS: dict[str, Any] = {
    "func": lambda: LOGISTIC,
    "scalar": lambda: FuncGymEnv(LOGISTIC),
    "wrapped": lambda: RecordEpisodeStatistics(gymnasium.make("rlopt/AllenFishery-v0", gamma=0.9)),
    "vector": lambda: FuncVectorEnv(ALLEN, num_envs=2),
    "sb3": lambda: FuncSB3VecEnv(LOGISTIC, 2),
    "id": lambda: "rlopt/LogisticFishery-v0",
}


def test_all_names_are_there() -> None:
    rules = {"random", "oracle", "do_nothing", "40-10", "60-20", "dfo_ramp", "safe_harvest"}
    constants = {
        f"constant_{k}{end}" for k in ("quota", "fraction", "escapement") for end in ("", "_tuned")
    }
    fits = {"gpdp", "parametric_mle", "parametric_bayes"}
    learners = set(online.names()) - {"optimistic_omd_implicit"}  # it needs a prox
    assert set(names()) == rules | constants | fits | set(LEARNING) | set(SPECIES) | learners


@pytest.mark.parametrize("world", sorted(WORLDS))
@pytest.mark.parametrize("name", NAMES)
def test_every_agent_is_made_and_answers(name: str, world: str) -> None:
    """One observation or a batch, in the Box, from any kind of environment."""
    env = WORLDS[world]()
    agent: Any = make(name, env)
    func = agent.func if hasattr(agent, "func") else _func(env)
    space = func.observation_space
    batch = np.random.default_rng(0).uniform(-1.0, 1.0, (7, *space.shape))
    actions, _ = agent.predict(batch, deterministic=True)
    assert actions.shape == (7, 1) and actions.dtype == np.float32
    assert (abs(actions) <= 1.0).all()
    single, _ = agent.predict(batch[3], deterministic=True)
    assert single.shape == (1,)
    if name != "random":
        np.testing.assert_allclose(single, actions[3], atol=1e-6)
    assert hasattr(agent, "learn") and hasattr(agent, "save")


def _func(env: Any) -> Any:
    env = gymnasium.make(env) if isinstance(env, str) else env
    return getattr(getattr(env, "unwrapped", env), "func", env)


SAVED = [name for name in NAMES if name != "oracle" and not name.endswith("_tuned")]


@pytest.mark.parametrize("name", SAVED)
def test_saved_agents_come_back(name: str, tmp_path: Path) -> None:
    kwargs: Any = {"constant_quota": {"quota": 0.031}, "dfo_ramp": {"limit": 0.2}}.get(name, {})
    agent: Any = make(name, LOGISTIC, seed=0, **kwargs)
    agent.save(tmp_path / "agent")
    assert (tmp_path / "agent.zip").exists()
    kwargs = {} if name in LEARNING and name != "dqn" else {"env": LOGISTIC}
    again = type(agent).load(tmp_path / "agent", **kwargs)
    batch = np.random.default_rng(0).uniform(-1.0, 1.0, (9, 2))
    if name == "random":
        assert again.predict(batch)[0].shape == (9, 1)
    else:
        expected, _ = agent.predict(batch, deterministic=True)
        np.testing.assert_array_equal(again.predict(batch, deterministic=True)[0], expected)


def test_what_cannot_be_saved_says_so(tmp_path: Path) -> None:
    agents: list[Any] = [make("oracle", ALLEN), policy(np.sign), _learner_agent()]
    for agent in agents:
        with pytest.raises(TypeError):
            agent.save(tmp_path / "x")
        with pytest.raises(TypeError):
            type(agent).load(tmp_path / "x")
    with pytest.raises(ValueError, match="needs env"):
        type(make("40-10", ALLEN)).load(tmp_path / "x")


def test_bad_names_and_hyperparameters() -> None:
    with pytest.raises(ValueError, match=r"unknown agent 'pppo'; did you mean 'ppo'\? \(known: "):
        make("pppo", ALLEN)
    with pytest.raises(TypeError, match="frction"):
        make("constant_fraction", ALLEN, frction=0.1)
    for bad in (-0.1, 1.5, np.nan):
        with pytest.raises(ValueError, match=f"constant_fraction: fraction must be .*got {bad}"):
            make("constant_fraction", ALLEN, fraction=bad)
    with pytest.raises(ValueError, match="limit <= trigger"):
        make("40-10", ALLEN, limit=3.0, trigger=2.0)
    with pytest.raises(ValueError, match="env must be a FuncEnv"):
        make("random", gymnasium.make("CartPole-v1"))
    with pytest.raises(ValueError, match="has no oracle"):
        make("oracle", Count())


def test_random_and_idle_agents_of_another_task() -> None:
    batch = np.zeros((2000, 2))
    agent: Any = make("random", Drift(), seed=0)
    actions = agent.predict(batch)[0]
    assert actions.shape == (2000, 2) and abs(actions.mean()) < 0.05 and actions.max() > 0.99
    np.testing.assert_array_equal(actions, make("random", Drift(), seed=0).predict(batch)[0])
    assert not make("do_nothing", Drift()).predict(batch)[0].any()
    idle: Any = make("do_nothing", ALLEN)
    assert (idle.predict(np.zeros((3, 1)))[0] == -1.0).all()


# --- what the rules are worth ---

# Deep RL for conservation decisions (arXiv 2106.08272): fishing-v1, exact values of the notes, 4.2.
CONSERVATION = Fishery(
    growth=Logistic(0.3, 1.0), noise=NormalNoise(0.1), x0=0.75, gamma=1.0, horizon=101
)
WORTH: Any = [
    ("oracle", {}, 8.248),
    ("constant_escapement", {"escapement": 0.5}, 7.750),
    ("constant_escapement", {"escapement": 0.48}, 7.756),
    ("constant_fraction", {}, 7.517),
    ("constant_fraction", {"fraction": 0.135}, 7.527),
    ("40-10", {}, 7.523),
    ("60-20", {}, 7.531),
    ("constant_quota", {"quota": 0.075}, 4.40),
]


@pytest.mark.parametrize(("name", "kwargs", "value"), WORTH)
def test_published_values(name: str, kwargs: Any, value: float) -> None:
    agent = make(name, CONSERVATION, **kwargs)
    digits = 0.01 if name == "constant_quota" else 0.0006
    assert CONSERVATION.oracle().policy_value(agent) == pytest.approx(value, abs=digits)


def test_tuned_constants() -> None:
    """The best constants of the notes, by a grid that the tuner has not seen."""
    oracle = CONSERVATION.oracle()
    for name, parameter, best, grid in (
        ("constant_escapement", "escapement", 0.48, np.linspace(0.44, 0.52, 9)),
        ("constant_fraction", "fraction", 0.135, np.linspace(0.12, 0.15, 7)),
    ):
        tuned: Any = make(f"{name}_tuned", CONSERVATION)
        assert tuned.parameters[parameter] == pytest.approx(best, abs=0.006)
        values = [oracle.policy_value(make(name, CONSERVATION, **{parameter: k})) for k in grid]
        best_value = oracle.policy_value(tuned)
        assert best_value is not None
        assert best_value >= max(v for v in values if v is not None) - 1e-4


def test_ramps() -> None:
    """The fraction rises from 0 at the limit to u_MSY at the trigger."""
    reference, x = ALLEN.growth.reference_points(), np.linspace(0.01, 12.0, 50)
    for name, limit, trigger in (
        ("40-10", 0.8, 3.2),
        ("60-20", 1.6, 4.8),
        ("dfo_ramp", 0.4 * reference.B_msy, 0.8 * reference.B_msy),
    ):
        rule: Any = make(name, ALLEN)
        fraction = reference.u_msy * np.interp(x, [limit, trigger], [0.0, 1.0])
        np.testing.assert_allclose(rule.escapement(x), x * (1.0 - fraction), rtol=1e-12)


# --- learning ---


@pytest.mark.parametrize("name", LEARNING)
@pytest.mark.parametrize("world", ["horizon", "endless"])
def test_learning_agents_learn(name: str, world: str) -> None:
    fishery = LOGISTIC if world == "horizon" else ALLEN
    quick: Any = {
        "dqn": {"learning_starts": 50},
        "sac": {"learning_starts": 250},
        "tqc": {"learning_starts": 250},
        "td3": {"learning_starts": 250},
    }
    small: Any = {
        "ppo": {"n_steps": 16, "batch_size": 64},
        "trpo": {"n_steps": 16, "batch_size": 64},
    }
    agent: Any = make(name, fishery, seed=0, **quick.get(name, {}), **small.get(name, {}))
    callback = RegretCallback()
    assert agent.learn(256, callback) is agent
    model = getattr(agent, "model", agent)
    assert model.gamma == fishery.gamma
    assert callback.steps >= 256 and callback.total > 0.0
    value = fishery.oracle().policy_value(agent)
    assert value is not None
    assert value <= fishery.oracle().value.value + 1e-9
    assert make(name, fishery, gamma=0.5).__dict__.get("gamma", 0.5) == 0.5
    training = model.get_env()
    if name == "dqn":
        off = {"handle_timeout_termination": False} if world == "horizon" else {}
        assert model.replay_buffer.handle_timeout_termination == (not off)
    else:
        assert training.bootstrap_at_horizon == (world == "endless")
        assert training.vector.batch.limit == (6 if world == "horizon" else 200)


def test_dqn_acts_through_bins() -> None:
    agent: Any = make("dqn", ALLEN, seed=0)
    assert agent.actions.shape == (21, 1)
    # gymnasium takes the middles of the bins, so neither end of the Box is among them
    middles = np.linspace(-20.0, 20.0, 21) / 21.0
    np.testing.assert_allclose(agent.actions[:, 0], middles, atol=1e-6)
    actions, _ = agent.predict(np.zeros((5, 1)))
    assert np.isin(actions, agent.actions).all()


def test_the_callback_sums_the_regret_of_training() -> None:
    """Against the same training with the infos summed by hand."""
    env = FuncSB3VecEnv(LOGISTIC, 4)
    total, step_wait = 0.0, env.step_wait

    def counted() -> Any:
        nonlocal total
        row = step_wait()
        total += sum(info["regret"] for info in row[3])
        return row

    env.step_wait = counted  # type: ignore[method-assign]  # spied on
    callback = RegretCallback()
    agent: Any = make("ppo", env, seed=0, n_steps=16, batch_size=32)
    agent.learn(128, callback)
    assert callback.steps == 128 and callback.total == pytest.approx(total, rel=1e-12)
    assert callback.mean == callback.total / 128 and np.isnan(RegretCallback().mean)


def test_the_same_seed_learns_the_same() -> None:
    batch = np.random.default_rng(0).uniform(-1, 1, (5, 2))
    answers = []
    for seed in (3, 3, 4):
        agent: Any = make("a2c", LOGISTIC, seed=seed)
        agent.learn(160)
        answers.append(agent.predict(batch, deterministic=True)[0])
    np.testing.assert_array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0], answers[2])


# --- online learners as agents ---


class Descent:
    """Gradient descent on (runs, d) points with a step of its own for each run's age."""

    def __init__(self, runs: int) -> None:
        self.x, self.age = np.ones((runs, 2)), np.zeros(runs)

    def ask(self) -> np.ndarray:
        return self.x.copy()

    def tell(
        self, x: np.ndarray, loss: Any = None, *, gradient: Any = None, hint: Any = None
    ) -> None:
        needed("Descent", gradient=gradient)
        self.age = self.age + 1.0
        self.x = x - 0.5 / self.age[:, None] * gradient

    def recommend(self) -> np.ndarray:
        return self.x

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"x": self.x, "age": self.age}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.x, self.age = state["x"], state["age"]


def _learner_agent(key: str = "gradient") -> LearnerAgent:
    return LearnerAgent(Descent, lambda observation: {key: observation})


def test_learners_act_in_batches_and_restart_alone() -> None:
    agent = _learner_agent()
    gradients = np.random.default_rng(0).normal(size=(6, 3, 2))
    starts = np.zeros((6, 3), bool)
    starts[0], starts[3, 1] = True, True
    state, played = None, []
    for gradient, start in zip(gradients, starts, strict=True):
        actions, state = agent.predict(gradient, state, start)
        played.append(actions)
    for run in range(3):
        x, age = np.ones(2), 0.0
        for t in range(6):
            if starts[t, run]:
                x, age = np.ones(2), 0.0
            else:
                age += 1.0
                x = x - 0.5 / age * gradients[t, run]
            np.testing.assert_allclose(played[t][run], x, atol=1e-15)
    assert agent.learn(10) is agent
    fresh, _ = agent.predict(gradients[0])
    np.testing.assert_array_equal(fresh, np.ones((3, 2)))


def test_a_missing_answer_is_named() -> None:
    agent = _learner_agent("hint")
    _, state = agent.predict(np.zeros((2, 2)))
    with pytest.raises(
        ValueError, match=r"Descent\.tell needs gradient: tell\(x, \.\.\., gradient=\.\.\.\)"
    ):
        agent.predict(np.zeros((2, 2)), state)
    with pytest.raises(ValueError, match="needs loss and hint"):
        needed("X", loss=None, gradient=1, hint=None)


def test_the_oracle_restarts_its_count_of_years() -> None:
    fishery = FISHERIES["fragile"]
    agent: Any = make("oracle", fishery)
    observation = np.zeros((2, 1)) + 0.2
    first, state = agent.predict(observation)
    later, state = agent.predict(observation, state, np.array([False, False]))
    again, _ = agent.predict(observation, state, np.array([True, False]))
    assert (first != later).all() and again[0] == first[0] and again[1] != first[1]
