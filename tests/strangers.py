"""Another package's module, as a suite's `imports:` finds it: an environment and an agent.

The agent does what agents of other people do: raise, leave, take their process with them.
"""

import errno
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from rlopt.agents.core import Rule
from rlopt.envs.core import Array, FuncEnv, NoiseSpec, Oracle, OracleResult, cached, policy
from rlopt.envs.gym import FuncGymEnv

ENV, AGENT = "strangers/Target-v0", "stranger"


@dataclass(frozen=True)
class Target(FuncEnv):
    """Stay at a target; the squared distance is the cost, so that the optimum is 0.

    Attributes:
        target: where to stay.
        horizon: steps of an episode.
        known: whether there is an oracle.
        deadly: whether the oracle kills its process.
    """

    target: float = 0.5
    horizon: int | None = 4
    known: bool = True
    deadly: bool = False

    observation_space = Box(0.0, 1.0, (1,), np.float64)
    action_space = Box(-1.0, 1.0, (1,), np.float32)
    noise_spec = NoiseSpec(step=("uniform", 1))

    def initial(self, noise: Array) -> Array:
        return np.zeros(len(noise))

    def transition(self, state: Array, action: Array, noise: Array) -> Array:
        return noise[:, 0]

    def observation(self, state: Array, noise: Array) -> Array:
        return state[:, None]

    def reward(self, state: Array, action: Array, next_state: Array) -> Array:
        return -self.cost(action)

    def cost(self, action: Array) -> Array:
        """Squared distance of the actions (n, 1), (n,)."""
        return (action[:, 0].astype(np.float64) - self.target) ** 2

    @cached
    def oracle(self) -> Oracle | None:
        if self.deadly:
            die()
        if not self.known:
            return None
        best = policy(lambda seen: np.full((len(seen), 1), self.target, np.float32))
        return Oracle(
            OracleResult.closed_form(0.0), best, lambda state, action, after: self.cost(action)
        )


def make_target(**kwargs: Any) -> FuncGymEnv:
    return FuncGymEnv(Target(**kwargs))


if ENV not in gymnasium.registry:
    gymnasium.register(ENV, entry_point="strangers:make_target")


def die() -> None:
    """As the kernel does when memory runs out; never in the process of the tests."""
    assert multiprocessing.parent_process() is not None
    os.kill(os.getpid(), signal.SIGKILL)


class Stranger(Rule):
    """Plays zero, after what `does` says.

    Args:
        env: its environment.
        does: nothing, or one of the keys below.
        wait: seconds before that.
        once: a file whose presence makes the agent well-behaved; it writes it first.
    """

    name = AGENT

    def __init__(self, env: Any, *, does: str = "", wait: float = 0.0, once: str = "") -> None:
        super().__init__(env)
        self.does, self.wait, self.once = does, wait, once

    def act(self, observation: np.ndarray) -> np.ndarray:
        time.sleep(self.wait)
        if self.once and Path(self.once).exists():
            return np.zeros((len(observation), 1), np.float32)
        if self.once:
            Path(self.once).touch()
        if self.does == "raise":
            raise RuntimeError("the stranger is angry")
        if self.does == "leave":
            sys.exit(3)
        if self.does == "die":
            die()
        return np.full((len(observation), 1), np.nan if self.does == "nan" else 0.0, np.float32)

    def save(self, path: str | Path) -> None:
        if self.does == "fill":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.does == "half":
            Path(path).write_text("half a model")
            raise TypeError("cannot be saved")
        super().save(path)


def install(folder: Path) -> None:
    """What pip would write, so that the entry points are found once `folder` is on the path."""
    about = folder / "strangers-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[rlopt.agents]\n{AGENT} = strangers:Stranger\n")
