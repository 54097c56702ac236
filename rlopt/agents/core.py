"""Protocols of agents and online learners, and the bridge between the two."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from rlopt.envs.core import Agent, FixedAgent, FuncEnv, FunctionAgent, as_path, policy

__all__ = [
    "Agent",
    "FixedAgent",
    "FunctionAgent",
    "LearnerAgent",
    "OnlineLearner",
    "Rule",
    "func_env",
    "needed",
    "policy",
    "saved_agent",
]


def func_env(env: Any) -> FuncEnv:
    """The FuncEnv behind an environment, an adapter, a wrapped adapter, or an id.

    Raises:
        ValueError: there is none.
    """
    if isinstance(env, str):
        import gymnasium

        env = gymnasium.make(env)
    if isinstance(env, FuncEnv):
        return env
    func = getattr(getattr(env, "unwrapped", env), "func", None)
    if not isinstance(func, FuncEnv):
        raise ValueError(
            f"env must be a FuncEnv, an adapter that runs one, or an id of rlopt, got {env!r}"
        )
    return func


class Rule(FixedAgent):
    """Base of agents without anything to learn, determined by the environment and parameters.

    Subclasses set `name` and `parameters` (JSON numbers) and define `act`.

    Args:
        env: see `func_env`.
    """

    name: str

    def __init__(self, env: Any) -> None:
        self.func: Any = func_env(env)
        self.parameters: dict[str, float] = {}

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Observations (n, *obs) -> actions (n, *act)."""
        raise NotImplementedError(f"{type(self).__name__} must define act(observation)")

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Actions of a batch of observations, or of a single one."""
        observation = np.asarray(observation)
        single = observation.shape == self.func.observation_space.shape
        action = self.act(observation[None] if single else observation)
        return (action[0] if single else action), state

    def save(self, path: str | Path) -> None:
        """Write name and parameters as JSON in a zip, which opens without running code."""
        content = json.dumps({"agent": self.name, "parameters": self.parameters})
        with zipfile.ZipFile(as_path(path), "w") as archive:
            archive.writestr("agent.json", content)

    @classmethod
    def load(cls, path: str | Path, env: Any = None) -> Self:
        """Make the rule again for an environment, with the saved parameters.

        Raises:
            ValueError: no env, or the file holds another agent.
        """
        if env is None:
            raise ValueError(f"{cls.__name__}.load needs env: the rule reads its environment")
        return cls(env, **saved_agent(cls, path)["parameters"])

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value:.6g}" for key, value in self.parameters.items())
        return f"{type(self).__name__}({settings})"


def saved_agent(cls: type[Rule], path: str | Path) -> Any:
    """What `save` wrote of an agent of this class.

    Raises:
        ValueError: the file holds another agent; the class to load it with is named.
    """
    from rlopt.agents.registry import AGENTS

    with zipfile.ZipFile(as_path(path)) as archive:
        saved = json.loads(archive.read("agent.json"))
    name = saved["agent"]
    if name != cls.name:
        use = f"{AGENTS[name].replace(':', '.')}.load" if name in AGENTS else "its own class"
        raise ValueError(
            f"{cls.__name__}.load: the file holds an agent {name!r}, not {cls.name!r}; use {use}"
        )
    return saved


@runtime_checkable
class OnlineLearner(Protocol):
    """A method that plays points and learns from what they cost; costs are minimised.

    Leading axes are independent runs: points are (d,), or (runs, d).
    """

    def ask(self) -> np.ndarray:
        """The point to play next."""

    def tell(
        self, x: np.ndarray, loss: Any = None, *, gradient: Any = None, hint: Any = None
    ) -> None:
        """Learn from the answers at x; see `needed` for a missing one."""

    def recommend(self) -> np.ndarray:
        """The point to use from now on, if learning ended here."""

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that the future depends on; every array has the runs as leading axis."""

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a `state_dict`."""


def needed(learner: str, **answers: Any) -> None:
    """Check that the answers a learner takes were given.

    Raises:
        ValueError: naming each missing answer.
    """
    missing = [name for name, answer in answers.items() if answer is None]
    if missing:
        raise ValueError(
            f"{learner}.tell needs {' and '.join(missing)}: tell(x, ..., {missing[0]}=...)"
        )


class LearnerAgent(FixedAgent):
    """An online learner as an Agent: its state travels through `predict`'s state.

    Each observation holds the answers to the action before it. Learning happens while acting, so
    that `learn` has nothing to do, and independent episodes never share what they learnt.

    Args:
        make: number of runs -> a fresh OnlineLearner whose arrays are (runs, d).
        answers: observations (n, *obs) -> keyword arguments of `tell` (loss, gradient, hint, ...).
    """

    def __init__(
        self,
        make: Callable[[int], OnlineLearner],
        answers: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    ) -> None:
        self.make, self.answers = make, answers

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Tell the learner what the last actions cost, then ask for the next, (n, d).

        Args:
            observation: (n, *obs).
            state: what the last call returned; None starts every episode anew.
            episode_start: (n,) booleans, the rows that start anew.
            deterministic: no meaning here.
        """
        observation = np.asarray(observation)
        learner = self.make(len(observation))
        if state is not None:
            fresh, played = learner.state_dict(), state["played"]
            learner.load_state_dict(state["learner"])
            learner.tell(played, **self.answers(observation))
            if episode_start is not None and np.any(episode_start):
                told, rows = learner.state_dict(), np.asarray(episode_start, bool)
                learner.load_state_dict({key: _rows(rows, fresh[key], told[key]) for key in told})
        x = learner.ask()
        return x, {"learner": learner.state_dict(), "played": x}


def _rows(rows: np.ndarray, fresh: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Fresh where the row starts anew, else told."""
    return np.where(rows.reshape(-1, *(1,) * (told.ndim - 1)), fresh, told)
