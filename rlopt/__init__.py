"""rlopt: every task is an environment with an oracle, every method an agent, every score regret."""

from importlib import import_module
from typing import Any

from rlopt.envs.registry import register_all as _register_all

__version__ = "0.1.0"
__all__ = ["agents", "bench", "data", "envs", "theory"]

_register_all()


def __getattr__(name: str) -> Any:
    """The rooms, imported at first use: `rlopt.agents.make` works after `import rlopt`."""
    if name in __all__:
        return import_module(f"rlopt.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
