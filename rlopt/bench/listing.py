"""The tables of `rlopt envs` and `rlopt agents`."""

from __future__ import annotations

from math import ceil, floor, log10

import gymnasium
from rich.table import Table
from rich.text import Text

from rlopt.agents.registry import factory, names
from rlopt.bench import format as fmt
from rlopt.bench.trial import make_env
from rlopt.envs.core import OracleResult
from rlopt.envs.registry import ENVIRONMENTS


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(columns[0], no_wrap=True)  # a name is for copying
    for column in columns[1:]:
        table.add_column(column, overflow="fold")
    return table


def environments() -> Table:
    """Every id with its spaces, horizon and oracle."""
    table = _table(
        "id", "observation", "action", "horizon", "oracle", "tolerance", "how it is known"
    )
    for env_id in ENVIRONMENTS:
        func = make_env(env_id, {})
        oracle = func.oracle()
        assert oracle is not None, "no environment is registered without an oracle"
        value = oracle.value
        table.add_row(
            env_id,
            _space(func.observation_space),
            _space(func.action_space),
            "endless" if func.horizon is None else str(func.horizon),
            f"{_known(value)} {func.unit}",
            fmt.tolerance(value.tolerance) if value.exact else "bracket",
            value.note or value.method,
        )
    return table


def _known(value: OracleResult) -> str:
    """A value to its tolerance, or a bracket's ends to two digits of its width, outwards."""
    if value.exact:
        return fmt.to_tolerance(value.value, value.tolerance)
    digits = max(0, 1 - floor(log10(max(value.upper - value.lower, 1e-9))))
    unit = 10.0**-digits
    ends = floor(value.lower / unit) * unit, ceil(value.upper / unit) * unit
    return " to ".join(f"{end:.{digits}f}" for end in ends)


def _space(space: gymnasium.Space[object]) -> str:
    if isinstance(space, gymnasium.spaces.Box):
        return f"Box{space.shape} {space.dtype}"
    return str(space)


def agents() -> Table:
    """Every agent with one line about it, or what to install for it."""
    table = _table("name", "what it is")
    for name in names():
        made = factory(name)
        about = (made.__doc__ or "").strip().partition("\n")[0]
        table.add_row(name, Text(about))
    return table
