"""Small multiples: each agent's policy over one state variable, the oracle's behind it.

Only geometry happens here (shared scales, points of lines); the page draws it as inline SVG.
"""

from dataclasses import dataclass

import numpy as np

from rlopt.bench import format as fmt
from rlopt.bench.leaderboard import DO_NOTHING, ORACLE, Leaderboard, Row, TaskScore
from rlopt.bench.results import PolicyInfo, Result, number
from rlopt.bench.stats import Floats

# the plot's frame inside a picture of 260 x 176
LEFT, RIGHT, TOP, BOTTOM = 34.0, 250.0, 22.0, 140.0


@dataclass(frozen=True)
class Panel:
    """One agent's picture: `line` is the median over seeds, `band` 10-90 %, both SVG points."""

    row: Row
    task: TaskScore
    line: str
    band: str


@dataclass(frozen=True)
class Panels:
    """All pictures of one environment, with the scale that they share.

    Attributes:
        title: what is drawn
        x_label: state variable with unit
        y_label: action with unit
        oracle: SVG points of the oracle's policy
        x_ticks: (position, text) along the bottom
        y_ticks: (position, text) along the left
        hazard: top of the hatched zone, None where there is none
        hazard_label: what the zone is
        panels: one per agent, best first
        without: agents that have no policy to draw here
    """

    title: str
    x_label: str
    y_label: str
    oracle: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    hazard: float | None
    hazard_label: str
    panels: tuple[Panel, ...]
    without: tuple[str, ...]


@dataclass(frozen=True)
class _Scale:
    """From data to the frame."""

    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: float) -> float:
        return LEFT + (RIGHT - LEFT) * (value - self.x0) / (self.x1 - self.x0)

    def y(self, value: float) -> float:
        inside = min(max(value, self.y0), self.y1)
        return BOTTOM - (BOTTOM - TOP) * (inside - self.y0) / (self.y1 - self.y0)

    def points(self, x: Floats, y: Floats) -> str:
        pairs = [(a, b) for a, b in zip(x, y, strict=True) if np.isfinite(a) and np.isfinite(b)]
        return " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in pairs)


def _ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Round numbers inside [low, high] and how they are written."""
    from matplotlib.ticker import MaxNLocator

    values = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * (high - low)
    inside = [float(v) for v in values if low - slack <= v <= high + slack]
    return [(v, fmt.regret(float(f"{v:.6g}")) if v else "0") for v in inside]


def _plain(ticks: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Without zeros that say nothing: 5.00 -> 5 where all ticks are whole."""
    out = []
    for value, text in ticks:
        trimmed = text.rstrip("0").rstrip(".") if "." in text and "×" not in text else text
        out.append((value, trimmed))
    return out


def _curve(policy: PolicyInfo, key: str, grid: Floats) -> Floats | None:
    """A policy on the common grid; None where the lists do not fit together."""
    try:
        x = np.array([number(v) for v in policy["x"]])
        y = np.array([number(v) for v in policy[key]])  # type: ignore[literal-required]  # two keys
    except (KeyError, TypeError):
        return None
    if x.size != y.size or x.size < 2:
        return None
    if x.size == grid.size and np.allclose(x, grid):
        return y
    return np.asarray(np.interp(grid, x, y))


def _quantiles(policies: list[PolicyInfo], grid: Floats) -> Floats | None:
    """Median, 10 % and 90 % of seeds, shape (3, len(grid))."""
    curves = [c for p in policies if (c := _curve(p, "agent", grid)) is not None]
    if not curves:
        return None
    rows = np.array(curves)
    if not np.isfinite(rows).all(axis=0).any():
        return None
    return np.asarray(np.quantile(rows, [0.5, 0.1, 0.9], axis=0))


def _scale(grid: Floats, curves: list[Floats], hazard: float) -> _Scale:
    """The range that all pictures share."""
    values = np.concatenate([c.ravel() for c in curves])
    values = values[np.isfinite(values)]
    if np.isfinite(hazard):
        values = np.append(values, hazard)
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    if 0 < low < 0.3 * high:
        low = 0.0
    margin = 0.04 * (high - low)
    bottom = low if low == 0 else low - margin
    return _Scale(float(grid[0]), float(grid[-1]), bottom, high + margin)


def build(records: list[Result], board: Leaderboard, task: str) -> Panels | None:
    """The small multiples of a task, None where no agent left a policy to draw.

    Args:
        records: finished trials of this task
        board: for order, colours and regrets
        task: name of the environment
    """
    by_agent: dict[str, list[PolicyInfo]] = {}
    for record in records:
        policy = record.get("policy")
        if policy and len(policy.get("x") or []) > 1:
            by_agent.setdefault(record["trial"]["agent"]["name"], []).append(policy)
    shown = {a: p for a, p in by_agent.items() if a not in (ORACLE, DO_NOTHING)}
    if not shown:
        return None
    first = next(iter(shown.values()))[0]
    grid = np.array([number(v) for v in first["x"]])
    oracle = _curve(first, "oracle", grid)
    if oracle is None or not np.isfinite(grid).all() or grid[-1] <= grid[0]:
        return None
    quantiles = {a: q for a, p in shown.items() if (q := _quantiles(p, grid)) is not None}
    hazard = number(first.get("hazard"))
    scale = _scale(grid, [oracle, *quantiles.values()], hazard)
    panels = []
    for row in board.rows:
        q = quantiles.get(row.agent)
        if q is None:
            continue
        band = (
            ""
            if np.ptp(q[1:], axis=0).max() < 1e-12
            else scale.points(
                np.concatenate([grid, grid[::-1]]), np.concatenate([q[2], q[1][::-1]])
            )
        )
        here = next(t for t in row.tasks if t.task == task)
        panels.append(Panel(row, here, scale.points(grid, q[0]), band))
    x_ticks = _plain(_ticks(scale.x0, scale.x1, 4))
    y_ticks = _plain(_ticks(scale.y0, scale.y1, 4))
    return Panels(
        title=str(first.get("title") or "Policy"),
        x_label=str(first.get("x_label") or "state"),
        y_label=str(first.get("y_label") or "action"),
        oracle=scale.points(grid, oracle),
        x_ticks=tuple((round(scale.x(v), 1), t) for v, t in x_ticks),
        y_ticks=tuple((round(scale.y(v), 1), t) for v, t in y_ticks),
        hazard=round(scale.y(hazard), 1) if np.isfinite(hazard) else None,
        hazard_label=str(first.get("hazard_label") or "danger"),
        panels=tuple(panels),
        without=tuple(r.agent for r in board.rows if r.agent not in quantiles),
    )
