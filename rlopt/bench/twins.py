"""Static twins of the two big charts, for paper and for readers without JavaScript.

Drawn by matplotlib as SVG in the light theme's colours and returned as data: addresses.
"""

import base64
import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from rlopt.bench.curves import BREAK, RAIL, Line, RegretChart, spaced
from rlopt.bench.plots import decades, level, levels, ten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#2B38A0", "#EC831A", "#31B7A1", "#7D184A", "#2C7B9A", "#B57AFB", "#7B6600")
MARKERS = ("o", "s", "^", "D", "P", "v", "X")
INK, MUTED, GRID = "#14181F", "#58616E", "#E9ECF0"
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 8.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "rlopt",
    "text.parse_math": False,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.grid.which": "major",
    "grid.color": GRID,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.labelcolor": MUTED,
}


@contextmanager
def _style() -> Iterator[None]:
    """House style; names in scripts that matplotlib's font lacks are drawn by the browser's."""
    import matplotlib as mpl

    with mpl.rc_context(cast(Any, STYLE)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


def _figure(width: float, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.add_axes((0.11, 0.12, 0.85, 0.8))


def _address(figure: "Figure") -> str:
    """The figure as an address that an <img> can show without any file."""
    out = io.BytesIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def _look(line: Line) -> dict[str, Any]:
    if line.slot is None:
        return {"color": MUTED, "lw": 0.7, "marker": ".", "ms": 3}
    slot = line.slot % 7
    return {"color": COLOURS[slot], "lw": 1.5, "marker": MARKERS[slot], "ms": 4.5, "mec": "white"}


def _plain(axes: "Axes") -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, which="both")
    axes.set_axisbelow(True)


def profile(lines: Sequence[Line]) -> str:
    """Twin of the performance profile."""
    with _style():
        figure, axes = _figure(4.4, 3.6)
        for line in reversed(lines):
            if line.slot is not None:
                band: dict[str, Any] = {"color": COLOURS[line.slot % 7], "alpha": 0.13, "lw": 0}
                axes.fill_between(line.x, line.low, line.high, **band)
            axes.plot(line.x, line.y, markevery=20, **_look(line))
        axes.axvline(0, color=MUTED, lw=1, ls=(0, (2, 3)))
        axes.axvline(1, color=INK, lw=1.2)
        axes.set_xlim(-0.5, 1.02)
        axes.set_ylim(-0.01, 1.03)
        axes.set_xticks([-0.5, 0, 0.5, 1], ["−0.5", "0 do nothing", "0.5", "1 oracle"])
        shares = [0, 0.25, 0.5, 0.75, 1]
        axes.set_yticks(shares, ["0", "25 %", "50 %", "75 %", "100 %"])
        axes.set_title("↑ share of runs that score more than τ", loc="left", size=8.5, color=MUTED)
        _plain(axes)
        return _address(figure)


def _rail(figure: "Figure", chart: RegretChart, box: tuple[float, float, float, float]) -> "Axes":
    """The oracle's rail under the break."""
    x, y, width, height = box
    rail = figure.add_axes((x, y, width, height * RAIL))
    rail.set_xscale("log")
    rail.plot([chart.start, chart.stop], [0, 0], color=INK, lw=2, clip_on=False)
    for line in chart.lines:
        if line.rail.size:
            look = {**_look(line), "lw": 0, "clip_on": False}
            rail.plot(line.rail, [0] * line.rail.size, **look)
    rail.set_xlim(chart.start, chart.stop)
    rail.set_ylim(-1, 1)
    rail.set_yticks([0], ["0"])
    ticks = decades(chart.start, chart.stop)
    rail.set_xticks(ticks, [ten(t) for t in ticks])
    rail.set_xticks([], minor=True)
    rail.grid(False)
    rail.set_xlabel("env steps (log)")
    rail.patch.set_visible(False)
    _plain(rail)
    text: dict[str, Any] = {"transform": rail.transAxes, "size": 8, "color": MUTED, "va": "center"}
    rail.text(0.01, (1 + BREAK / RAIL) / 2, "log axis ends here", **text)
    return rail


def regret(chart: RegretChart) -> str:
    """Twin of the regret curves."""
    with _style():
        figure, axes = _figure(5.6, 4.5)
        box = (0.1, 0.12, 0.64, 0.8)
        height = box[3] * (1 - BREAK)
        axes.set_position((box[0], box[1] + box[3] * BREAK, box[2], height))
        axes.set_xscale("log")
        axes.set_yscale("log")
        for line in reversed(chart.lines):
            _draw(axes, chart, line)
        if math.isfinite(chart.nothing) and chart.nothing > 0:
            axes.axhline(chart.nothing, color=MUTED, lw=1.2, ls=(0, (2, 3)))
        axes.set_xlim(chart.start, chart.stop)
        axes.set_ylim(chart.bottom, chart.top)
        marks = levels(chart.bottom, chart.top)
        axes.set_yticks(marks, [level(v) for v in marks])
        axes.set_yticks([], minor=True)
        axes.set_xticks(decades(chart.start, chart.stop), [])
        axes.set_xticks([], [], minor=True)
        title = f"↑ regret, {chart.unit} (log)"
        axes.set_title(title, loc="left", size=8.5, color=MUTED)
        _plain(axes)
        _rail(figure, chart, box)
        _names(figure, chart, box)
        return _address(figure)


def _draw(axes: "Axes", chart: RegretChart, line: Line) -> None:
    look = _look(line)
    if line.slot is not None:
        band = {"color": look["color"], "alpha": 0.13, "lw": 0}
        axes.fill_between(line.x, line.low, line.high, **band)
    if line.until is not None:
        axes.plot(line.x, line.y, markevery=0.2, **look)
    begin = chart.start if line.until is None else line.until
    if math.isfinite(line.end):
        held = {"color": look["color"], "lw": 1, "ls": (0, (1, 3))}
        axes.plot([begin, chart.stop], [line.end] * 2, **held)


def _names(figure: "Figure", chart: RegretChart, box: tuple[float, float, float, float]) -> None:
    """Names at the right, in the order of the lines' ends."""
    names = [(line.label, line.end, line.slot is not None) for line in chart.lines]
    if math.isfinite(chart.nothing) and chart.nothing > 0:
        names.append(("do nothing", chart.nothing, False))
    names.append(("oracle = 0", 0.0, True))
    targets = [chart.height(y) for _, y, _ in names]
    x, y, width, height = box
    places = spaced(targets, 0.036)
    for (text, _, strong), target, place in zip(names, targets, places, strict=True):
        ends = [y + height * target, y + height * place]
        from matplotlib.lines import Line2D

        leader = Line2D([x + width + 0.005, x + width + 0.025], ends, color=MUTED, lw=0.5)
        figure.add_artist(leader)
        colour = INK if strong else MUTED
        figure.text(x + width + 0.03, ends[1], text, color=colour, va="center", size=8)
