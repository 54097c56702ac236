"""What the two big charts show, before any plotting library: lines, bands, labels.

Both the plotly chart on the screen and its static twin for print are drawn from these.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from rlopt.bench import format as fmt
from rlopt.bench import stats
from rlopt.bench.leaderboard import DO_NOTHING, ORACLE, Leaderboard, Row
from rlopt.bench.results import Result, Results, number
from rlopt.bench.stats import Floats

if TYPE_CHECKING:
    import pandas as pd

# share of the chart's height: the oracle's rail, the break above it, and the log axis
RAIL, BREAK = 0.04, 0.11
DECADES = 5
LABEL = 18


@dataclass(frozen=True)
class Line:
    """One agent in a chart; arrays share their length.

    Attributes:
        name: the agent
        slot: colour and mark, None for muted grey
        x: environment steps, or score thresholds
        y: median regret, or share of runs; nan where it is not drawn
        low: lower edge of the band
        high: upper edge of the band
        until: the x at which it stopped learning; None for rules, which never learn
        rail: x where the regret is below the axis, drawn beside the oracle
        end: last y (nan on the rail)
    """

    name: str
    slot: int | None
    x: Floats
    y: Floats
    low: Floats
    high: Floats
    until: float | None = None
    rail: Floats = field(default_factory=lambda: np.empty(0))
    end: float = float("nan")

    @property
    def label(self) -> str:
        """Its name, short enough for the margin of a chart."""
        return fmt.short(self.name, LABEL)


@dataclass(frozen=True)
class RegretChart:
    """Regret against experience on one task, both axes logarithmic.

    Attributes:
        lines: agents that learn and rules, best agent first
        bottom: where the log axis ends (a decade)
        top: upper end of the log axis
        start: left end of the step axis
        stop: right end of the step axis
        nothing: regret of doing nothing, nan where unknown
        unit: of regret
        seeds: largest number of seeds behind a line
    """

    lines: tuple[Line, ...]
    bottom: float
    top: float
    start: float
    stop: float
    nothing: float
    unit: str
    seeds: int

    def height(self, y: float) -> float:
        """Height of a regret in the chart, 0 to 1; below the axis: on the rail."""
        if not y > self.bottom:
            return RAIL / 2
        share = math.log10(min(y, self.top) / self.bottom) / math.log10(self.top / self.bottom)
        return BREAK + (1 - BREAK) * share


def spaced(targets: list[float], gap: float) -> list[float]:
    """Heights for labels near their targets, at least `gap` apart and inside [0, 1].

    Example:
        >>> spaced([0.5, 0.5], 0.1)
        [0.45, 0.55]
    """
    order = sorted(range(len(targets)), key=lambda i: targets[i])
    if gap * (len(order) - 1) > 1:
        gap = 1 / (len(order) - 1)
    # groups of touching labels, each centred on its targets; merged until none overlap
    groups: list[list[int]] = []

    def start(group: list[int]) -> float:
        middle = sum(targets[i] for i in group) / len(group)
        length = gap * (len(group) - 1)
        return min(max(middle - length / 2, 0.0), 1.0 - length)

    for i in order:
        groups.append([i])
        while len(groups) > 1 and start(groups[-2]) + gap * len(groups[-2]) > start(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    out = [0.0] * len(targets)
    for group in groups:
        for k, i in enumerate(group):
            out[i] = round(start(group) + k * gap, 9)
    return out


def _over_seeds(tables: "list[pd.DataFrame]") -> tuple[Floats, Floats]:
    """Steps (n,) and median, 10 % and 90 % quantile of regret (3, n); policies are held."""
    import pandas as pd

    columns = [t.groupby("step")["regret"].last() for t in tables]
    wide = pd.concat(columns, axis=1).sort_index().ffill()
    quantiles = wide.quantile([0.5, 0.1, 0.9], axis=1).to_numpy(dtype=float)
    return wide.index.to_numpy(dtype=float), quantiles


def _decade_below(x: float) -> float:
    return float(10.0 ** math.floor(math.log10(x) + 1e-9))


def _limits(levels: list[float], tolerance: float) -> tuple[float, float]:
    """Ends of the regret axis: down to a decade, five at most, not below the oracle's tolerance."""
    positive = [v for v in levels if np.isfinite(v) and v > 0]
    if not positive:
        return 0.1, 1.0
    top = 1.5 * max(positive)
    lowest = max(min(positive), tolerance, max(positive) * 10.0**-DECADES)
    return _decade_below(min(lowest, top / 10)), top


def _line(row: Row, tables: "list[pd.DataFrame]", bottom: float, stop: float) -> Line:
    x, (y, low, high) = _over_seeds(tables)
    learns = x.size > 1
    if learns:  # a log axis has no place for step 0
        keep = x > 0
        x, y, low, high = x[keep], y[keep], low[keep], high[keep]
    rail = x[y <= bottom] if learns else np.array([stop] if y[-1] <= bottom else [])
    above = y > bottom
    return Line(
        name=row.agent,
        slot=row.slot,
        x=x,
        y=np.where(above, y, np.nan),
        low=np.where(above, np.maximum(low, bottom), np.nan),
        high=np.where(above, high, np.nan),
        until=float(x[-1]) if learns else None,
        rail=rail,
        end=float(y[-1]) if y[-1] > bottom else float("nan"),
    )


def _task_records(results: Results, task: str) -> list[Result]:
    return [r for r in results.records if r["status"] == "ok" and r["trial"]["env"]["name"] == task]


def regret_chart(results: Results, board: Leaderboard, task: str) -> RegretChart | None:
    """Regret against experience on a task; None where nobody learns (nothing grows then)."""
    tables: dict[str, list[pd.DataFrame]] = {}
    records = _task_records(results, task)
    for record in records:
        curve = results.curves.get(record["trial"]["id"])
        name = record["trial"]["agent"]["name"]
        if curve is not None and len(curve.dropna()) and name not in (ORACLE, DO_NOTHING):
            tables.setdefault(name, []).append(curve.dropna())
    steps = [float(t["step"].max()) for group in tables.values() for t in group]
    starts = [float(s) for g in tables.values() for t in g for s in t["step"] if s > 0]
    if not starts:
        return None
    first = records[0]
    nothing = number((first.get("reference") or {}).get("regret"))
    oracle = first.get("oracle") or {}
    levels = [v for group in tables.values() for v in _over_seeds(group)[1][0]]
    tolerance = number(oracle.get("tolerance"))
    bottom, top = _limits([*levels, nothing], tolerance if tolerance > 0 else 0.0)
    start, stop = min(starts), max(steps)
    if stop <= start:
        start = stop / 10
    lines = [_line(r, tables[r.agent], bottom, stop) for r in board.rows if r.agent in tables]
    return RegretChart(
        lines=tuple(lines),
        bottom=bottom,
        top=top,
        start=start,
        stop=stop,
        nothing=nothing,
        unit=str((first.get("task") or {}).get("unit") or "reward"),
        seeds=max(len(group) for group in tables.values()),
    )


def profile_lines(results: Results, board: Leaderboard) -> tuple[Line, ...]:
    """Performance profiles of the ranked agents from tau = −0.5 to 1."""
    tau = np.linspace(-0.5, 1.0, 121)
    lines = []
    for row in board.rows:
        scores: dict[str, list[float]] = {}
        for record in results.records:
            trial = record["trial"]
            if record["status"] == "ok" and trial["agent"]["name"] == row.agent:
                scores.setdefault(trial["env"]["name"], []).append(number(record.get("score")))
        if row.best is None:
            continue
        p = stats.profile(list(scores.values()), tau)
        lines.append(Line(row.agent, row.slot, tau, p.share, p.low, p.high, end=float(p.share[-1])))
    return tuple(lines)
