"""Stable-Baselines3's algorithms as they are, on fast environments, with sensible discounts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from gymnasium.wrappers import DiscretizeAction
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from rlopt.agents.core import func_env
from rlopt.envs.gym import FuncGymEnv
from rlopt.envs.sb3 import FuncSB3VecEnv

TRAINING_EPISODE = 200  # steps at which an endless task is cut (and bootstrapped) in training
BINS = 21  # actions that dqn chooses from


def _factory(
    algorithm: str, module: str = "stable_baselines3", *, copies: int = 1, **defaults: Any
) -> Callable[..., Any]:
    """(env, *, seed, num_envs, **hyperparameters) -> a model of that algorithm.

    gamma is the environment's unless given. Where the horizon is part of the task, its end is an
    end: nothing is bootstrapped there.
    """

    def build(
        env: Any, *, seed: int | None = None, num_envs: int = copies, **hyperparameters: Any
    ) -> Any:
        from importlib import import_module

        try:
            model = getattr(import_module(module), algorithm)
        except ImportError as error:
            raise ImportError(
                f"{algorithm.lower()} needs {module}: pip install 'rlopt[contrib]'"
            ) from error
        func = func_env(env)
        training = env if isinstance(env, VecEnv) else _training_env(func, num_envs)
        settings = {"policy": "MlpPolicy", "device": "cpu", "gamma": func.gamma, **defaults}
        return model(env=training, seed=seed, **settings | hyperparameters)

    build.__name__ = algorithm.lower()
    build.__doc__ = f"{algorithm} of {module}; see its documentation for the hyperparameters."
    return build


def _training_env(func: Any, num_envs: int) -> FuncSB3VecEnv:
    endless = func.horizon is None
    return FuncSB3VecEnv(
        func,
        num_envs,
        max_episode_steps=TRAINING_EPISODE if endless else None,
        bootstrap_at_horizon=endless,
    )


# Eight copies fill a rollout of 1,024 steps; one batch a quarter of it (ours: fast on one core).
ppo = _factory("PPO", copies=8, n_steps=128, batch_size=256)
a2c = _factory("A2C", copies=8)
sac = _factory("SAC")
td3 = _factory("TD3")
tqc = _factory("TQC", "sb3_contrib")
trpo = _factory("TRPO", "sb3_contrib", copies=8, n_steps=128, batch_size=256)


class DiscretizedAgent:
    """A DQN that acts through gymnasium's DiscretizeAction: bins inside, the Box outside.

    Attributes:
        model: the DQN of Stable-Baselines3, on bins.
        actions: (bins, 1), what each bin does.
    """

    learns = True

    def __init__(self, model: DQN, wrapper: Any) -> None:
        self.model = model
        bins = range(int(wrapper.action_space.n))
        self.actions = np.stack([np.atleast_1d(wrapper.action(k)) for k in bins])

    def learn(
        self, total_timesteps: int, callback: Any = None, *, progress_bar: bool = False
    ) -> Self:
        """Learn for that many steps."""
        self.model.learn(total_timesteps, callback, progress_bar=progress_bar)
        return self

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Observations (n, *obs) -> actions (n, 1) of the Box."""
        chosen, state = self.model.predict(observation, state, episode_start, deterministic)
        return self.actions[chosen], state

    def save(self, path: str | Path) -> None:
        """As Stable-Baselines3 does."""
        self.model.save(path)

    @classmethod
    def load(cls, path: str | Path, env: Any = None) -> Self:
        """The agent again, for the environment that it was made for."""
        if env is None:
            raise ValueError("DiscretizedAgent.load needs env: the bins divide its action space")
        wrapper = _discretized(func_env(env))
        return cls(DQN.load(path, env=wrapper), wrapper)


def dqn(env: Any, *, seed: int | None = None, **hyperparameters: Any) -> DiscretizedAgent:
    """DQN of stable_baselines3 on 21 bins of a one-dimensional action."""
    func = func_env(env)
    wrapper = _discretized(func)
    settings = {"policy": "MlpPolicy", "device": "cpu", "gamma": func.gamma, **hyperparameters}
    if func.horizon is not None:  # the end of the task is an end: nothing is bootstrapped there
        settings.setdefault("replay_buffer_kwargs", {"handle_timeout_termination": False})
    return DiscretizedAgent(DQN(env=wrapper, seed=seed, **settings), wrapper)


def _discretized(func: Any) -> DiscretizeAction:
    limit = TRAINING_EPISODE if func.horizon is None else None
    return DiscretizeAction(FuncGymEnv(func, max_episode_steps=limit), bins=BINS)


class RegretCallback(BaseCallback):
    """Logs the regret of what an algorithm does while it learns.

    Attributes:
        total: sum of `info["regret"]` over all steps so far.
        steps: number of steps that it sums.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total, self.steps = 0.0, 0

    @property
    def mean(self) -> float:
        """Mean regret a step; NaN before the first."""
        return self.total / self.steps if self.steps else float("nan")

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "regret" in info:
                self.total += info["regret"]
                self.steps += 1
        return True

    def _on_rollout_end(self) -> None:
        self.logger.record("rollout/regret_mean", self.mean)
