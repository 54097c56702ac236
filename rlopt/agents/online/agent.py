"""Online learners as agents of the leaderboard: constants and answers come from the task."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from rlopt.agents import online
from rlopt.agents.core import LearnerAgent, func_env


class OnlineAgent(LearnerAgent):
    """An online learner that takes its constants from the task and learns while it acts.

    Args:
        env: an online convex task, see `func_env`: its FuncEnv has a convex `space`, `constants`
            by name, and `answers(observations)`, what the last points cost.
        learner: one of `online.names()`.
        **hyperparameters: of the learner; they win over the task's constants. A learner with
            presets gets constants="practical", which asks for fewer of them.

    Raises:
        ValueError: another kind of task, or a constant that neither task nor caller gives.
        TypeError: a hyperparameter that the learner does not take.
    """

    def __init__(self, env: Any, learner: str, **hyperparameters: Any) -> None:
        func: Any = func_env(env)
        if not hasattr(func, "answers") or not hasattr(func, "constants"):
            raise ValueError(
                f"{learner} is for online convex tasks (rlopt/SEA...-v0), got {func!r}"
            )
        self.func, self.learner = func, learner
        taken = inspect.signature(online.learner(learner)).parameters
        offered = {"constants": "practical", **func.constants}
        self.hyperparameters = {key: offered[key] for key in offered if key in taken}
        self.hyperparameters |= hyperparameters
        super().__init__(self._fresh, func.answers)
        self._fresh(1)  # what is wrong with the constants is said now

    def _fresh(self, runs: int) -> Any:
        return online.make(self.learner, self.func.space, runs=runs, **self.hyperparameters)

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.hyperparameters.items())
        return f"OnlineAgent({self.learner!r}, {settings})"


def __getattr__(name: str) -> Any:
    """Each learner's factory (env, **hyperparameters) -> OnlineAgent, by the learner's name."""
    if name not in online.names():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return partial(OnlineAgent, learner=name)
