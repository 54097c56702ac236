"""The report: one self-contained page that shows who leads, how surely, and what was learned.

Everything is inside the file (style, script, plotly, static twins for paper), so it opens
without a network. Names and messages are other people's text: jinja escapes them in HTML,
`plots.safe` in charts and `tojson` in scripts.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlopt import __version__
from rlopt.bench import curves, leaderboard, plots, twins, views
from rlopt.bench import format as fmt
from rlopt.bench.files import write_text
from rlopt.bench.leaderboard import Leaderboard, Step
from rlopt.bench.results import Results, number, read
from rlopt.bench.stats import Estimate

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
REPORT = "report.html"
# scores from -0.5 to 1.2 are drawn in the table
LEFT, RIGHT = -0.5, 1.2


@dataclass(frozen=True)
class StepView:
    """Two neighbours and where their difference is drawn, in per cent of the width."""

    step: Step
    value: float | None
    low: float | None
    high: float | None


def _at(x: float) -> str:
    """Where a score lies on the line in the table."""
    return f"{100 * (min(max(x, LEFT), RIGHT) - LEFT) / (RIGHT - LEFT):.2f}%"


def _shade(x: float) -> str:
    """Class of a tile: blue in ten steps from 0 to 1, orange below 0."""
    if not math.isfinite(x):
        return "ex"
    x = round(x, 2)  # as the number inside says: −0.001 is no warning
    if x < 0:
        return "n1" if x >= -0.25 else "n2"
    return f"q{min(9, int(x * 10))}"


def _slot(slot: int | None) -> str:
    return "sx" if slot is None else f"s{slot}"


def _span(e: Estimate, decimals: int = 2) -> str:
    return fmt.interval(e.low, e.high, decimals)


def _words(name: str) -> list[str]:
    """Where a task's name may break: 'AllenFishery' -> ['Allen', 'Fishery']."""
    words = [""]
    for before, c in zip(" " + name, name, strict=False):
        if (c.isupper() and before.islower()) or before in "-_/ ":
            words.append("")
        words[-1] += c
    return words


def _when(started: Any) -> str:
    """A start time as people write it: '2026-01-01 12:00 UTC'."""
    try:
        time = datetime.fromisoformat(str(started))
    except ValueError:
        return fmt.DASH
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _environment() -> "Environment":
    """The templates, with everything escaped and numbers written by `format`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "at": _at,
        "shade": _shade,
        "slot": _slot,
        "span": _span,
        "words": _words,
        "known": fmt.known,
        "number": number,
    }
    for name in ("score", "fine", "plus", "tile", "regret", "steps", "seconds", "long_time"):
        filters[name] = getattr(fmt, name)
    env.filters |= {**filters, "visible": fmt.visible, "short": fmt.short, "count": fmt.count}
    return env


def _step_views(steps: tuple[Step, ...]) -> tuple[list[StepView], list[tuple[float, str]]]:
    """Paired differences on one scale, and its ticks as (per cent, text)."""
    from matplotlib.ticker import MaxNLocator

    shown = [s.difference for s in steps]
    ends = [x for d in shown for x in (d.value, d.low, d.high) if math.isfinite(x)]
    low, high = min([0.0, *ends]), max([0.05, *ends])
    margin = 0.06 * (high - low)
    low, high = low - margin, high + margin

    def at(x: float) -> float | None:
        return round(100 * (x - low) / (high - low), 2) if math.isfinite(x) else None

    ticks = [float(t) for t in MaxNLocator(nbins=3).tick_values(low, high) if low <= t <= high]
    texts = [
        (at(t) or 0.0, fmt.plus(float(f"{t:.2g}"), 2) if abs(t) > 1e-9 else "0") for t in ticks
    ]
    drawn = [
        StepView(s, at(s.difference.value), at(s.difference.low), at(s.difference.high))
        for s in steps
    ]
    return drawn, texts


def _medians(results: Results, board: Leaderboard) -> dict[str, float]:
    """Score of every agent's median run."""
    scores: dict[str, list[float]] = {r.agent: [] for r in board.rows}
    for record in results.records:
        x = number(record.get("score"))
        name = record["trial"]["agent"]["name"]
        if record["status"] == "ok" and math.isfinite(x) and name in scores:
            scores[name].append(x)
    return {a: float(np.median(x)) if x else float("nan") for a, x in scores.items()}


def _context(results: Results, board: Leaderboard) -> dict[str, Any]:
    """Everything that the templates print."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    charts: dict[str, curves.RegretChart] = {}
    for i, task in enumerate(board.tasks):
        chart = curves.regret_chart(results, board, task)
        if chart is not None:
            charts[f"plot-{i}"] = chart
    lines = curves.profile_lines(results, board)
    figures = {"profile": plots.profile(lines)}
    figures |= {name: plots.regret(chart) for name, chart in charts.items()}
    pictures = {"profile": twins.profile(lines)}
    pictures |= {name: twins.regret(chart) for name, chart in charts.items()}
    steps, ticks = _step_views(board.steps)
    # nan would be no JSON, and a script that stops there shows no chart at all
    json.dumps(figures, allow_nan=False)
    return {
        "suite": {"command": "", "commit": None, "seconds": None, "cpu_seconds": None}
        | {"rlopt": None, "machine": None, "hash": None, **board.suite},
        "board": board,
        "envs": [views.env_view(results, board, i) for i in range(len(board.tasks))],
        "strays": [f for f in views.failures(results.records) if f.env not in board.tasks],
        "steps": steps,
        "step_ticks": ticks,
        "medians": _medians(results, board),
        "charts": charts,
        "figures": figures,
        "twins": pictures,
        "when": _when(board.suite.get("started")),
        "version": __version__,
        "css": Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        "js": Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
        "plotlyjs": Markup(get_plotlyjs()),
    }


def render(results: Results, board: Leaderboard) -> str:
    """The whole page as text."""
    return _environment().get_template("report.html.j2").render(_context(results, board))


def write_report(
    runs: str | Path, results: Results | None = None, board: Leaderboard | None = None
) -> Path:
    """Write report.html into a folder of trials and return its path.

    Args:
        runs: folder of one suite, runs/<suite>
        results: what was read from it, if it was read already
        board: its leaderboard, if it was built already
    """
    results = read(runs) if results is None else results
    board = leaderboard.build(results) if board is None else board
    return write_text(Path(runs) / REPORT, render(results, board))
