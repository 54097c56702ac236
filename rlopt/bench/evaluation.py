"""What a policy is worth: exactly where the oracle can tell, else by simulation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rlopt.envs.core import Agent, FuncEnv, Oracle
from rlopt.envs.vector import FuncVectorEnv

EPISODES = 2_000  # simulated where no exact value is known
NEGLIGIBLE = 1e-4  # discount at which an endless simulation stops
LONGEST = 20_000  # steps of a simulation
DOUBT = 4.0  # standard errors beyond which two estimates contradict each other


class Evaluation(NamedTuple):
    """The value and regret of a fixed policy from the start, and the regret's standard error."""

    value: float
    regret: float
    error: float  # 0 where the value is exact


def evaluate(func: FuncEnv, oracle: Oracle, agent: Agent, seed: int) -> Evaluation:
    """Regret of a policy to the oracle's value.

    Args:
        func: the environment.
        oracle: its oracle; exact where `oracle.policy_value(agent)` is a number.
        agent: asked for its deterministic answer.
        seed: of the simulation, where there is one.
    """
    exact = oracle.policy_value(agent)
    if exact is not None:
        return Evaluation(exact, oracle.value.value - exact, 0.0)
    return simulate(func, oracle, agent, seed)


def _seeds(seed: int) -> list[int]:
    """A seed an episode: two trials share none, and no trial is judged on the noise it learnt on.

    (An environment seeded with s seeds its copies s, s + 1, ...)
    """
    return [int(s) for s in np.random.SeedSequence((seed, EPISODES)).generate_state(EPISODES)]


def simulate(func: FuncEnv, oracle: Oracle, agent: Agent, seed: int) -> Evaluation:
    """Mean discounted regret over episodes, from the steps' regrets or from the returns.

    The sum of the steps' regrets has the same mean as the optimum minus the return, and for good
    policies a far smaller variance. The returns count where theirs is smaller, and where the two
    contradict each other: then the oracle's step regrets are not those of its value.
    """
    env = FuncVectorEnv(func, EPISODES, autoreset_mode="next_step")
    observation, _ = env.reset(seed=_seeds(seed))
    alive, totals = np.ones(EPISODES, bool), np.zeros((2, EPISODES))  # regret, return
    state: Any = None
    start = np.ones(EPISODES, bool)
    discount = 1.0
    for _ in range(LONGEST):
        action, state = agent.predict(observation, state, start, deterministic=True)
        observation, reward, terminated, truncated, info = env.step(action)
        regret = info.get("regret", np.zeros(EPISODES))
        totals += discount * np.where(alive, [regret, reward], 0.0)
        alive &= ~(terminated | truncated)
        start = ~alive
        discount *= func.gamma
        if not alive.any() or discount < NEGLIGIBLE:
            break
    by_steps, by_return = totals[0], oracle.value.value - totals[1]
    spread = np.std([by_steps, by_return, by_steps - by_return], axis=1, ddof=1)
    errors = spread / np.sqrt(EPISODES)
    contradict = abs((by_steps - by_return).mean()) > DOUBT * errors[2]
    returns_count = oracle.regret is None or errors[1] < errors[0] or contradict
    mean, error = (by_return.mean(), errors[1]) if returns_count else (by_steps.mean(), errors[0])
    value = totals[1].mean() if returns_count else oracle.value.value - mean
    return Evaluation(float(value), float(mean), float(error))
