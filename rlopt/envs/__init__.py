"""Environments with exact oracles, and the three adapters that run them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if not __name__.startswith("rlopt."):
    raise ImportError(
        "import rlopt.envs, not envs: the root link would make a second copy of every class"
    )

if TYPE_CHECKING:
    from rlopt.envs.core import FuncEnv, NoiseSpec, Oracle, OracleResult, policy
    from rlopt.envs.gym import FuncGymEnv
    from rlopt.envs.sb3 import FuncSB3VecEnv
    from rlopt.envs.vector import FuncVectorEnv

__all__ = [
    "FuncEnv",
    "FuncGymEnv",
    "FuncSB3VecEnv",
    "FuncVectorEnv",
    "NoiseSpec",
    "Oracle",
    "OracleResult",
    "policy",
]

# Imported at first use: FuncSB3VecEnv needs torch, and `import rlopt` must stay fast.
_HOMES = {name: "rlopt.envs.core" for name in __all__} | {
    "FuncGymEnv": "rlopt.envs.gym",
    "FuncSB3VecEnv": "rlopt.envs.sb3",
    "FuncVectorEnv": "rlopt.envs.vector",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
