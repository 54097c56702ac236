"""Suites, trials, leaderboards and reports."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlopt.bench.results import load as load

# looked up at first use: pandas and plotly are slow to import, and `rlopt --help` needs neither
_LAZY = {"load": "rlopt.bench.results"}

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
