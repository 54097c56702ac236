"""The big charts for the screen, as plotly figures in plain JSON.

Colours are written as "var(--name)" or "var(--name)/0.13" (with opacity); the page looks them up
in its style sheet and does so again when the theme changes. Plotly renders a subset of HTML in
every text, so names are escaped here.
"""

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlopt.bench import format as fmt
from rlopt.bench.curves import BREAK, RAIL, Line, RegretChart, spaced
from rlopt.bench.stats import Floats

Figure = dict[str, Any]

SYMBOLS = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "x")
HEIGHT = 440
TOP, BOTTOM, SIDE = 30, 44, 46
LABELS = 148
INK, MUTED, GRID, CARD = "var(--ink)", "var(--mu)", "var(--grid)", "var(--card)"


def safe(name: str, most: int | None = None) -> str:
    """A name that plotly shows as it is written."""
    return html.escape(fmt.visible(name, most), quote=False)


def _list(x: Floats) -> list[float | None]:
    """Four significant digits, null for nan (JSON has none)."""
    return [float(f"{v:.4g}") if math.isfinite(v) else None for v in x.tolist()]


def _colour(slot: int | None) -> str:
    return MUTED if slot is None else f"var(--c{slot})"


def _band(line: Line, shape: str) -> list[Figure]:
    """The band as one closed outline per unbroken piece; grey agents have none."""
    if line.slot is None:
        return []
    out = []
    good = np.isfinite(line.low) & np.isfinite(line.high)
    pieces = np.split(np.arange(len(good)), np.flatnonzero(np.diff(good.astype(int))) + 1)
    for piece in pieces:
        if len(piece) < 2 or not good[piece[0]]:
            continue
        x = np.concatenate([line.x[piece], line.x[piece][::-1]])
        y = np.concatenate([line.high[piece], line.low[piece][::-1]])
        out.append(
            {
                "type": "scatter",
                "x": _list(x),
                "y": _list(y),
                "mode": "lines",
                "fill": "toself",
                "fillcolor": _colour(line.slot) + "/0.13",
                "line": {"width": 0, "shape": shape},
                "hoverinfo": "skip",
            }
        )
    return out


def _stroke(line: Line, /, **more: Any) -> Figure:
    """The look that every line of this agent shares."""
    coloured = line.slot is not None
    trace: Figure = {
        "type": "scatter",
        "name": safe(line.name, 60),
        "mode": "lines",
        "line": {"color": _colour(line.slot), "width": 2.1 if coloured else 1.2},
        "marker": {
            "color": _colour(line.slot),
            "symbol": SYMBOLS[line.slot % 7] if line.slot is not None else "circle-open",
            "size": 8 if coloured else 5,
            "line": {"color": CARD, "width": 1 if coloured else 0},
        },
        "hoverlabel": {"namelength": 60},
    }
    return {**trace, **more}


def _layout(label: str, **more: Any) -> Figure:
    layout: Figure = {
        "height": HEIGHT,
        "margin": {"l": SIDE, "r": 14, "t": TOP, "b": BOTTOM},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "inherit", "size": 12, "color": MUTED},
        "hoverlabel": {
            "bgcolor": CARD,
            "bordercolor": "var(--line)",
            "font": {"color": INK, "family": "inherit", "size": 12.5},
        },
        "hovermode": "closest",
        "showlegend": False,
        "dragmode": False,
        "annotations": [_note(0, 1, label, xanchor="left", yanchor="bottom", yshift=8, xshift=-40)],
    }
    return {**layout, **more}


def _note(x: float, y: float, text: str, **more: Any) -> Figure:
    return {
        "x": x,
        "y": y,
        "xref": "paper",
        "yref": "paper",
        "text": text,
        "showarrow": False,
        "font": {"color": MUTED, "size": 12},
        **more,
    }


def _axis(**more: Any) -> Figure:
    return {
        "gridcolor": GRID,
        "zeroline": False,
        "fixedrange": True,
        "ticks": "",
        "tickfont": {"color": MUTED, "size": 12},
        **more,
    }


def _shape(x0: float, x1: float, y0: float, y1: float, **more: Any) -> Figure:
    return {"type": "line", "xref": "paper", "yref": "paper"} | {
        "x0": x0,
        "x1": x1,
        "y0": y0,
        "y1": y1,
        "layer": "below",
        **more,
    }


def decades(low: float, high: float) -> list[float]:
    """Powers of ten from low to high."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**k for k in range(first, last + 1)]


def levels(low: float, high: float) -> list[float]:
    """Ticks for regret: decades, with 2 and 5 between them where the range is short."""
    whole = decades(low, high)
    if math.log10(high / low) > 2.5:
        return whole
    return [d * k for d in whole for k in (1, 2, 5) if d * k <= high]


def ten(x: float) -> str:
    """A decade as a step: '10³'."""
    return "10" + fmt.power(x * 1.0000001)


def level(x: float) -> str:
    """A decade of regret: '0.1', '100', '10⁻⁵'."""
    return fmt.regret(x, 1)


def profile(lines: Sequence[Line]) -> Figure:
    """Share of runs that score more than tau."""
    data: list[Figure] = []
    for line in lines:
        data += _band(line, "linear")
    # the best agent last, on top
    for line in reversed(lines):
        trace = _stroke(line, x=_list(line.x), y=_list(line.y), mode="lines+markers")
        trace["marker"]["maxdisplayed"] = 7
        trace["hovertemplate"] = "%{y:.0%} of runs score more than %{x:.2f}"
        data.append(trace)
    x = _axis(
        range=[-0.5, 1.02],
        tickvals=[-0.5, 0, 0.5, 1],
        ticktext=["−0.5", "0<br>do nothing", "0.5", "1<br>oracle"],
        ticklabeloverflow="allow",
    )
    y = _axis(
        range=[-0.01, 1.03],
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        ticktext=["0", "25 %", "50 %", "75 %", "100 %"],
    )
    dotted = {"color": MUTED, "width": 1.2, "dash": "dot"}
    shapes = [
        _shape(0, 0, 0, 1, xref="x", line=dotted),
        _shape(1, 1, 0, 1, xref="x", line={"color": INK, "width": 1.4}),
    ]
    label = "↑ share of runs that score more than τ"
    layout = _layout(label, xaxis=x, yaxis=y, shapes=shapes, height=400)
    layout["margin"] = {**layout["margin"], "r": 24}
    return {"data": data, "layout": layout}


def _learning(chart: RegretChart, line: Line) -> list[Figure]:
    """One agent: band, line while learning, fine dots where its policy is held, rail marks."""
    out = []
    held = {
        "color": _colour(line.slot),
        "width": 1.4 if line.slot is not None else 1,
        "dash": "1px,4px",
    }
    template = f"regret %{{y:.3~g}} {safe(chart.unit, 30)} at step %{{x:,}}"
    if line.until is not None:
        trace = _stroke(line, x=_list(line.x), y=_list(line.y), mode="lines+markers")
        trace["hovertemplate"] = template
        trace["marker"]["maxdisplayed"] = 6
        out.append(trace)
    begin = chart.start if line.until is None else line.until
    if math.isfinite(line.end) and begin < chart.stop:
        ends = [begin, chart.stop]
        mode = "lines+markers" if line.until is None else "lines"
        trace = _stroke(line, x=ends, y=[float(f"{line.end:.4g}")] * 2, mode=mode, line=held)
        if line.until is None:  # the mark of a rule stands at the right end only
            trace["marker"]["size"] = [0, trace["marker"]["size"]]
        trace["hovertemplate"] = template + ", held"
        out.append(trace)
    if line.rail.size:
        marks = _stroke(
            line, x=_list(line.rail), y=[0] * line.rail.size, mode="markers", yaxis="y2"
        )
        marks["hovertemplate"] = f"regret below {level(chart.bottom)} at step %{{x:,}}"
        out.append(marks)
    return out


def _labels(chart: RegretChart) -> list[Figure]:
    """Names at the right end, apart from each other, tied to their lines by a leader."""
    names = [
        (safe(line.label), line.end, INK if line.slot is not None else MUTED)
        for line in chart.lines
    ]
    if math.isfinite(chart.nothing) and chart.nothing > 0:
        names.append(("do nothing", chart.nothing, MUTED))
    names.append(("<b>oracle = 0</b>", 0.0, INK))
    targets = [chart.height(y) for _, y, _ in names]
    inner = HEIGHT - TOP - BOTTOM
    places = spaced(targets, 14.5 / inner)
    return [
        _note(
            1,
            target,
            text,
            showarrow=True,
            arrowhead=0,
            arrowwidth=0.8,
            arrowcolor=MUTED,
            standoff=3,
            ax=14,
            ay=-(place - target) * inner,
            xanchor="left",
            font={"color": colour, "size": 12},
        )
        for (text, _, colour), target, place in zip(names, targets, places, strict=True)
    ]


def regret(chart: RegretChart) -> Figure:
    """Regret against experience: log-log, the oracle on a rail of its own under the break."""
    data: list[Figure] = []
    for line in chart.lines:
        data += _band(line, "linear")
    for line in reversed(chart.lines):
        data += _learning(chart, line)
    if math.isfinite(chart.nothing) and chart.nothing > 0:
        data.append(
            {
                "type": "scatter",
                "x": [chart.start, chart.stop],
                "y": [chart.nothing] * 2,
                "mode": "lines",
                "line": {"color": MUTED, "width": 1.6, "dash": "2px,3px"},
                "hoverinfo": "skip",
            }
        )
    # plotly draws an axis only if something is on it
    rail: Figure = {"type": "scatter", "x": [chart.start, chart.stop], "y": [0, 0], "yaxis": "y2"}
    rail |= {"mode": "lines", "line": {"color": INK, "width": 2.6}, "hoverinfo": "skip"}
    data.insert(0, rail)
    ticks = decades(chart.start, chart.stop)
    x = _axis(
        type="log",
        range=[math.log10(chart.start), math.log10(chart.stop)],
        tickvals=ticks,
        ticktext=[ten(t) for t in ticks],
        anchor="y2",
        title={"text": "env steps (log)", "font": {"size": 12, "color": MUTED}, "standoff": 6},
    )
    marks = levels(chart.bottom, chart.top)
    y = _axis(
        type="log",
        range=[math.log10(chart.bottom), math.log10(chart.top)],
        domain=[BREAK, 1],
        tickvals=marks,
        ticktext=[level(v) for v in marks],
    )
    y2 = _axis(range=[-1, 1], domain=[0, RAIL], tickvals=[0], ticktext=["<b>0</b>"], showgrid=False)
    break_ = _shape(0, 1, RAIL, BREAK, type="rect", fillcolor="var(--grid)/0.55", line={"width": 0})
    label = f"↑ regret, {safe(chart.unit, 30)} (log)"
    layout = _layout(label, xaxis=x, yaxis=y, yaxis2=y2, shapes=[break_])
    layout["margin"] = {**layout["margin"], "r": LABELS}
    ends = _note(0, (RAIL + BREAK) / 2, "log axis ends here", xanchor="left", xshift=6)
    layout["annotations"] += [ends, *_labels(chart)]
    return {"data": data, "layout": layout}
