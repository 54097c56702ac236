"""Tasks on the rows of a table, and ways to play them, for the tests of these."""

from collections.abc import Callable
from typing import Any

import numpy as np

from rlopt.envs.gym import FuncGymEnv
from rlopt.envs.sea.data import BreastCancer, Diabetes, Digits
from rlopt.envs.sea.portfolio import Portfolio
from rlopt.envs.sea.rows import Rows

TASKS: dict[str, Rows] = {
    "diabetes": Diabetes(),
    "diabetes-R2": Diabetes(R=2.0, order="iid"),
    "breast-cancer": BreastCancer(order="dataset", horizon=600),
    "digits": Digits(horizon=300),
    "portfolio": Portfolio(),
    "portfolio-random": Portfolio(order="random", horizon=8),
}
RELATIVES = 1.0 + 0.05 * np.sin(1.1 * np.arange(1, 1001)[:, None] * np.arange(1, 4))
RELATIVES = RELATIVES + 0.001 * np.arange(1, 4)


def played(task: Rows, act: Callable[[np.ndarray], np.ndarray], seed: int = 0) -> Any:
    """One episode; observations, infos with the samples, and the return."""
    env = FuncGymEnv(task)
    observation, _ = env.reset(seed=seed)
    seen, infos, total = [observation], [], 0.0
    for _ in range(task.horizon):
        observation, reward, _, _, info = env.step(act(observation))
        seen.append(observation)
        infos.append({**info, "z": env.batch.state.z[0], "reward": reward})
        total += reward
    return np.array(seen), infos, total


def still(task: Rows) -> Callable[[np.ndarray], np.ndarray]:
    return lambda observation: task.start


def points(task: Rows, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    d = task.space.dimension
    return task.space.project(2.0 * rng.standard_normal((n, d)) * d**-0.5)
