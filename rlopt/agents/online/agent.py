"""Online learners as agents of the leaderboard: constants and answers come from the task."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, ClassVar

import numpy as np

from rlopt.agents import online
from rlopt.agents.core import LearnerAgent, func_env


class OnlineAgent(LearnerAgent):
    """An online learner that takes its constants from the task and learns while it acts.

    Args:
        env: an online convex task, see `func_env`: its FuncEnv has a convex `space`, `constants`
            by name, and `answers(observations)`, what the last points cost.
        **hyperparameters: of the learner; they win over the task's constants. A learner with
            presets gets constants="practical", which asks for fewer of them.

    Raises:
        ValueError: another kind of task, one that tells no gradients (feedback="loss_only"), or a
            constant that neither task nor caller gives.
        TypeError: a hyperparameter that the learner does not take.
    """

    name: ClassVar[str]  # one of `online.names()`, set by `agent_class`

    def __init__(self, env: Any, **hyperparameters: Any) -> None:
        func: Any = func_env(env)
        if not hasattr(func, "answers") or not hasattr(func, "constants"):
            raise ValueError(
                f"{self.name} is for online convex tasks (rlopt/SEA...-v0), got {func!r}"
            )
        if getattr(func, "feedback", None) == "loss_only":
            raise ValueError(
                f"{self.name} learns from gradients: feedback must be what tells them, as the "
                f"task's default does, got feedback='loss_only' of {func!r}"
            )
        self.func = func
        taken = inspect.signature(online.learner(self.name)).parameters
        offered = {"constants": "practical", **func.constants}
        self.hyperparameters = {key: offered[key] for key in offered if key in taken}
        self.hyperparameters |= hyperparameters
        super().__init__(self._fresh, func.answers)
        self._fresh(1)  # what is wrong with the constants is said now

    def _fresh(self, runs: int) -> Any:
        return online.make(self.name, self.func.space, runs=runs, **self.hyperparameters)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """As `LearnerAgent.predict`; of a single observation the single point, (d,)."""
        observation = np.asarray(observation)
        if observation.shape != self.func.observation_space.shape:
            return super().predict(observation, state, episode_start, deterministic)
        start = None if episode_start is None else np.atleast_1d(episode_start)
        x, state = super().predict(observation[None], state, start, deterministic)
        return x[0], state

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.hyperparameters.items())
        return f"{self.name}({settings})"


@cache
def agent_class(learner: str) -> type[OnlineAgent]:
    """The agents that play by one of `online.names()`; they are described as the learner is."""
    about = {"name": learner, "__doc__": online.learner(learner).__doc__}
    return type(learner, (OnlineAgent,), about)


def __getattr__(name: str) -> Any:
    """Each learner's agents, by the learner's name."""
    if name not in online.names():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return agent_class(name)
