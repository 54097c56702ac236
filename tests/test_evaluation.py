"""What a policy is worth: simulation against exact values; learning in a trial against outside."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from stable_baselines3 import PPO

from rlopt.agents import make
from rlopt.bench import evaluation
from rlopt.bench.config import TrialSpec
from rlopt.bench.evaluation import Evaluation, evaluate, simulate
from rlopt.bench.trial import checkpoints, make_env, run_trial
from rlopt.envs.core import FuncEnv, Oracle

MC = 4.0  # standard errors: fails once in 16,000 seeds; the seeds are fixed
LOGISTIC = "rlopt/LogisticFishery-v0"


def task(**kwargs: float | str | None) -> tuple[FuncEnv, Oracle]:
    func = make_env(LOGISTIC, {"gamma": 0.9, "sigma": 0.2, **kwargs})
    oracle = func.oracle()
    assert oracle is not None
    return func, oracle


@pytest.mark.parametrize("agent", ["random", "constant_quota", "40-10", "oracle", "do_nothing"])
@pytest.mark.parametrize("horizon", [None, 7])
def test_simulation_agrees_with_the_exact_value(agent: str, horizon: int | None) -> None:
    func, oracle = task(horizon=horizon)
    exact = evaluate(func, oracle, make(agent, func, seed=1), seed=0)
    about = simulate(func, oracle, make(agent, func, seed=1), seed=0)
    assert exact.error == 0.0
    assert exact.regret == oracle.value.value - exact.value
    slack = 2 * evaluation.NEGLIGIBLE * oracle.value.value  # what the last step leaves out
    assert abs(about.regret - exact.regret) <= MC * about.error + slack
    assert abs(about.value - exact.value) <= MC * about.error + slack
    if agent == "oracle":
        assert abs(about.regret) <= 1e-6
    elif agent != "do_nothing":  # whose regret hardly varies
        assert 0.0 < about.error < 0.05 * exact.regret


def test_without_regret_of_steps_the_returns_are_averaged() -> None:
    func, oracle = task(horizon=7)
    agent = make("constant_quota", func)
    exact = evaluate(func, oracle, agent, seed=0)
    about = simulate(func, Oracle(oracle.value, oracle.policy), agent, seed=0)
    assert about.regret == pytest.approx(oracle.value.value - about.value)
    assert abs(about.value - exact.value) <= MC * about.error
    # a quota is a sure return: here even with steps' regrets the returns are the better estimate
    assert about == simulate(func, oracle, agent, seed=0)
    best = make("constant_escapement_tuned", func)
    by_steps = simulate(func, oracle, best, seed=0)
    by_return = simulate(func, Oracle(oracle.value, oracle.policy), best, seed=0)
    assert by_steps.error < 0.3 * by_return.error
    assert abs(by_steps.value - by_return.value) <= MC * (by_steps.error + by_return.error)


def test_step_regrets_that_contradict_the_returns_do_not_count() -> None:
    func, oracle = task(horizon=7)
    agent = make("constant_escapement_tuned", func)
    exact = evaluate(func, oracle, agent, seed=0)

    @dataclass(frozen=True)
    class Wrong(FuncEnv):
        """The fishery with an oracle whose step regrets are too large."""

        def __getattribute__(self, name: str) -> Any:
            return wrong if name == "oracle" else getattr(func, name)

    def wrong() -> Oracle:
        regret = oracle.regret
        assert regret is not None
        return Oracle(oracle.value, oracle.policy, lambda s, a, n: regret(s, a, n) + 0.1)

    about = simulate(Wrong(), wrong(), agent, seed=0)
    assert abs(about.regret - exact.regret) <= MC * about.error


def test_observation_noise_is_simulated() -> None:
    func, oracle = task(observation_sigma=0.3)
    assert "upper bracket" in oracle.value.note
    blind = make("constant_escapement", func)
    found = evaluate(func, oracle, blind, seed=0)
    assert found.error > 0.0
    assert found.regret > 0.0
    assert found == evaluate(func, oracle, blind, seed=0)
    # misreading the stock costs something
    clear, clear_oracle = task()
    seeing = evaluate(clear, clear_oracle, make("constant_escapement", clear), seed=0)
    assert found.regret > seeing.regret + MC * found.error


def test_neighbouring_seeds_share_no_episode() -> None:
    seeds = [set(evaluation._seeds(seed)) for seed in range(3)]
    assert all(len(found) == evaluation.EPISODES for found in seeds)
    assert not seeds[0] & seeds[1]
    assert not seeds[1] & seeds[2]
    assert not seeds[0] & set(range(100))  # what training uses


def test_observation_noise_in_a_trial(tmp_path: Path) -> None:
    spec = TrialSpec(
        env={"name": "x", "id": LOGISTIC, "kwargs": {"gamma": 0.9, "observation_sigma": 0.3}},
        agent={"name": "quota", "agent": "constant_quota", "kwargs": {}},
        seed=0,
        steps=10,
    )
    record = run_trial(spec, tmp_path, lambda steps: None)
    assert record["status"] == "ok"
    assert record["regret_error"] > 0.0
    assert not record["oracle"]["exact"]


def test_checkpoints() -> None:
    assert checkpoints(20_000) == [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000]
    assert checkpoints(500) == [100, 200, 500]
    assert checkpoints(1) == [1]


def test_learning_in_a_trial_is_learning_outside(tmp_path: Path) -> None:
    """Evaluating and recording on the way leaves the training as it is, to the bit."""
    settings = {"num_envs": 4, "n_steps": 32, "batch_size": 64, "n_epochs": 2}
    spec = TrialSpec(
        env={"name": "x", "id": LOGISTIC, "kwargs": {"gamma": 0.9}},
        agent={"name": "ppo", "agent": "ppo", "kwargs": settings},
        seed=3,
        steps=600,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        func, oracle = task(sigma=0.05)
        bare = make("ppo", func, seed=3, **settings)
        bare.learn(600)
        record = run_trial(spec, tmp_path, lambda steps: None)
    finally:
        torch.set_num_threads(threads)
    assert record["status"] == "ok"
    trained = PPO.load(tmp_path / spec.id / "model.zip", device="cpu").policy.state_dict()
    assert isinstance(bare, PPO)
    expected = bare.policy.state_dict()
    assert expected.keys() == trained.keys()
    assert all(torch.equal(expected[name], trained[name]) for name in expected)
    value = oracle.policy_value(bare)
    assert (record["value"], record["steps"]) == (value, 640)
    curve = pd.read_parquet(tmp_path / spec.id / "metrics.parquet")
    assert list(curve["step"]) == [0, 100, 200, 500, 640]
    assert curve["value"].iloc[-1] == value
    # at 100 steps nothing was learnt yet: the first rollout takes 128
    assert curve["value"][0] == curve["value"][1] != curve["value"][2]
    assert np.isfinite(record["regret_while_learning"])
    assert record["regret_while_learning"] > 0.0


def test_an_evaluation_is_the_same_whoever_asks() -> None:
    func, oracle = task()
    agent = make("random", func, seed=0)
    first = evaluate(func, oracle, agent, seed=0)
    assert isinstance(first, Evaluation)
    assert first == evaluate(func, oracle, make("random", func, seed=0), seed=5)
