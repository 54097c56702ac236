"""Agents and online learners, made by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if not __name__.startswith("rlopt."):
    raise ImportError(
        "import rlopt.agents, not agents: the root link would make a second copy of every class"
    )

from rlopt.agents.registry import make, names

if TYPE_CHECKING:
    from rlopt.agents.core import Agent, LearnerAgent, OnlineLearner

__all__ = ["Agent", "LearnerAgent", "OnlineLearner", "make", "names"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rlopt.agents import core

    return getattr(core, name)
