"""The ends of every leaderboard: chance, doing nothing, and the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box

from rlopt.agents.core import Rule, func_env
from rlopt.envs.core import Agent


class RandomAgent(Rule):
    """Plays uniformly at random from a bounded action space.

    Args:
        env: its environment.
        seed: of its own generator.
    """

    name = "random"

    def __init__(self, env: Any, *, seed: int | None = None) -> None:
        super().__init__(env)
        if not isinstance(self.func.action_space, Box):
            raise ValueError(f"random needs a Box of actions, got {self.func.action_space}")
        self.rng = np.random.default_rng(seed)

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Independent uniform actions."""
        shape = self.func.action_space.shape
        return self._scaled(self.rng.random((len(observation), *shape)))

    def action_quantiles(self, observation: np.ndarray, n: int) -> np.ndarray:
        """Equally likely actions (n, batch, 1) that stand for the uniform law.

        Raises:
            ValueError: more than one action coordinate, where quantiles mean nothing.
        """
        if self.func.action_space.shape != (1,):
            raise ValueError(f"quantiles need one action, got shape {self.func.action_space.shape}")
        middles = (np.arange(n) + 0.5) / n
        return np.broadcast_to(self._scaled(middles[:, None, None]), (n, len(observation), 1))

    def _scaled(self, unit: np.ndarray) -> np.ndarray:
        space = self.func.action_space
        return (space.low + unit * (space.high - space.low)).astype(space.dtype)


class DoNothing(Rule):
    """Does nothing, whatever that means in its environment: the reference with score 0."""

    name = "do_nothing"

    def act(self, observation: np.ndarray) -> np.ndarray:
        """The idle action."""
        idle: np.ndarray = self.func.idle_action(observation)
        return idle


def oracle(env: Any) -> Agent:
    """Plays the exact optimum of its environment.

    Raises:
        ValueError: the environment knows no optimum.
    """
    known = func_env(env).oracle()
    if known is None:
        raise ValueError(f"{func_env(env)!r} has no oracle")
    return known.policy
