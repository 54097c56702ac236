"""The Kobe plot: stock against fishing pressure, relative to the maximum sustainable yield.

The four fields carry the colours that assessors use for them, each with its name. The years run
as a path from a square (the first) to a diamond (now).
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlopt.envs.drawing import (
    DANGER,
    INK,
    MARKED,
    MUTED,
    NORMAL,
    SMALL,
    Axes,
    name_axes,
    ticks,
    weight,
    words,
)

if TYPE_CHECKING:
    from rlopt.envs.fishery.picture import Episode

Floats = NDArray[np.float64]

RED, ORANGE, YELLOW, GREEN = "#F3B8B4", "#FAD3A6", "#F6EDB2", "#BFE3C8"
PRESSURE_LIMIT = 5.0  # end of the axis, multiples of F_MSY; catching all is infinite pressure


def draw_kobe(axes: Axes, episode: "Episode") -> None:
    """Stock against fishing pressure, relative to their values at the sustainable maximum."""
    relative = all(math.isfinite(x) and x > 0 for x in (episode.B_msy, episode.F_msy))
    b_unit, f_unit = (episode.B_msy, episode.F_msy) if relative else (1.0, 1.0)
    decided = np.isfinite(episode.catch)
    b = np.asarray(episode.stock, dtype=float) / b_unit
    f = np.nan_to_num(np.asarray(episode.F, dtype=float) / f_unit, nan=0.0, posinf=np.inf)
    tip = None if episode.tipping_point is None else episode.tipping_point / b_unit

    finite = f[np.isfinite(f)]
    highest = float(finite.max()) if finite.size else 0.0
    if relative:
        left = min(float(b.min()), 0.75, 0.75 if tip is None else tip) - 0.1
        right = max(float(b.max()), 1.25)
        axes.set_xlim(0.0 if left < 0.35 else left, right + 0.12 * max(1.0, right / 2))
        axes.set_ylim(0.0, min(max(1.2 * highest, 2.2), PRESSURE_LIMIT))
    else:
        axes.set_xlim(0.0, 1.15 * max(float(b.max()), tip or 0.0) or 1.0)
        axes.set_ylim(0.0, min(1.2 * highest, PRESSURE_LIMIT) or 1.0)
    ticks(axes.xaxis, 4, fine=True)
    ticks(axes.yaxis, 5)
    under = "$_{\\mathrm{MSY}}$" if relative else ""
    over = ("B / B", "F / F") if relative else ("stock B", "fishing mortality F")
    name_axes(axes, over[0] + under, over[1] + under)

    crowded = bool((f > axes.get_ylim()[1]).any())
    names = _quadrants(axes, tip, crowded) if relative else []
    if tip is not None and axes.get_xlim()[0] <= tip <= axes.get_xlim()[1]:
        axes.axvline(tip, color=DANGER, lw=1.4, ls="-", marker="", zorder=1)
        names.append(_name_tip(axes, tip))
    if decided.any():
        _draw_path(axes, b[decided], f[decided], episode.years[0], names)

    notes = [] if relative else ["no $B_{\\mathrm{MSY}}$, so no Kobe fields"]
    if crowded:
        notes.append("▲ off the axis")
    if not decided.any():
        notes.append("no harvest yet")
    axes.text(
        1.0,
        1.025,
        "; ".join(notes),
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        **words(SMALL, MUTED if relative else DANGER),
    )


def _quadrants(axes: Axes, tip: float | None, crowded: bool) -> list[Any]:
    """The field's four colours, each with its name; returns the texts.

    Names keep off the tipping line and, if the upper edge is crowded with years beyond the axis,
    off that edge. A field too narrow for a word across is named upwards.
    """
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    pixels = axes.get_window_extent().width / (x1 - x0)
    texts = []
    for name, color, right, upper in (
        ("overfished,\noverfishing", RED, False, True),
        ("overfishing", ORANGE, True, True),
        ("rebuilding", YELLOW, False, False),
        ("healthy", GREEN, True, False),
    ):
        low, high = (1.0, y1) if upper else (y0, 1.0)
        left, end = (1.0, x1) if right else (x0, 1.0)
        axes.fill_between([left, end], low, high, color=color, lw=0, zorder=0)
        if tip is not None and left < tip < end:  # keep to the wider side of the line
            left, end = (tip, end) if end - tip > tip - left else (left, tip)
        width = (end - left) * pixels
        if width < 14:
            continue
        upright = width < 68
        outward = right and not upright
        texts.append(
            axes.annotate(
                name.replace("\n", " ") if upright else name,
                (end if outward else left, high if upper else low),
                xytext=(-4 if outward else 4, (-14 if crowded else -4) if upper else 4),
                textcoords="offset points",
                ha="right" if outward else "left",
                va="top" if upper else "bottom",
                rotation=90 if upright else 0,
                zorder=4,
                annotation_clip=False,
                **words(SMALL, "#3A424D", fontstyle="italic"),
            )
        )
    axes.axvline(1.0, color="white", lw=2.5, ls="-", marker="", zorder=0.5)
    axes.axhline(1.0, color="white", lw=2.5, ls="-", marker="", zorder=0.5)
    return texts


def _name_tip(axes: Axes, tip: float) -> Any:
    """Name the tipping line along itself, clear of the quadrants' names and borders."""
    (x0, x1), top = axes.get_xlim(), axes.get_ylim()[1]
    # the names stand on the wider side of the line, so this one takes the other if it can
    rightward = (tip - x0) / (x1 - x0) < 0.1
    split = min(1.0 / top, 1.0)
    middle = (1 + split) / 2 if split < 0.5 else split / 2
    return axes.annotate(
        "tipping point",
        (tip, middle),
        xycoords=axes.get_xaxis_transform(),
        xytext=(3 if rightward else -3, 0),
        textcoords="offset points",
        ha="left" if rightward else "right",
        va="center",
        rotation=90,
        zorder=4,
        **words(SMALL, DANGER),
    )


def _draw_path(axes: Axes, b: Floats, f: Floats, first_year: int, names: list[Any]) -> None:
    """The years as a path from square to diamond; what leaves the axis sits on its edge."""
    from matplotlib.transforms import Bbox

    top = axes.get_ylim()[1]
    beyond = f > top
    f = np.minimum(f, top)
    n = len(b)
    places = axes.transData.transform(np.column_stack([b, f]))
    still = math.dist(places[0], places[-1]) < 6
    axes.plot(b, f, color="#3A424D", lw=0.6 * weight(n), ls="-", marker="")
    shown = np.arange(n)[:: -(-n // MARKED)]
    inside, outside = shown[~beyond[shown]], shown[beyond[shown]]
    # early years light, late years dark, so that the direction of time is seen
    grey = [str(round(0.85 - 0.7 * i / max(n - 1, 1), 3)) for i in range(n)]
    edge = {"edgecolors": INK, "linewidths": 0.7, "clip_on": False, "zorder": 3}
    axes.scatter(b[inside], f[inside], s=13, c=[grey[i] for i in inside], marker="o", **edge)
    axes.scatter(b[outside], f[outside], s=26, c=[grey[i] for i in outside], marker="^", **edge)
    ends = edge | {"linewidths": 1.3, "zorder": 5}
    axes.scatter(b[:1], f[:1], s=130 if still else 52, c="white", marker="s", **ends)
    axes.scatter(b[-1:], f[-1:], s=40, c=INK, marker="D", **ends)

    renderer = axes.figure.canvas.get_renderer()
    taken = [text.get_window_extent(renderer) for text in names]
    if still:
        said = [(f"year {first_year} and now" if n > 1 else f"year {first_year}, now", places[-1])]
    else:
        said = [("now", places[-1]), (f"year {first_year}", places[0])]
    # words should hide neither the years nor the lines between them
    steps = np.linspace(0.0, 1.0, 8 if n <= MARKED else 1, endpoint=False)[:, None, None]
    dense = np.concatenate(
        [places[-1:], (places[:-1] + steps * np.diff(places, axis=0)).reshape(-1, 2)]
    )
    marks = [Bbox.from_bounds(x - 7, y - 7, 14, 14) for _, (x, y) in said]
    for i, (text, place) in enumerate(said):
        others = marks[:i] + marks[i + 1 :]
        taken.append(_place(axes, text, place, taken + others, dense))


def _place(axes: Axes, text: str, place: Floats, taken: list[Any], points: Floats) -> Any:
    """Write next to a point where it hides least; returns the box that it takes."""
    from matplotlib.patheffects import withStroke

    label = axes.text(0, 0, text, zorder=6, **words(NORMAL, fontweight="bold"))
    label.set_path_effects([withStroke(linewidth=2, foreground=(1, 1, 1, 0.6))])
    renderer = axes.figure.canvas.get_renderer()
    size = label.get_window_extent(renderer)
    frame = axes.get_window_extent()
    best, least = None, math.inf
    for reach in (10.0, 18.0, 28.0, 40.0):
        for angle in range(0, 360, 30):
            dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            # the box touches a circle around the point with its nearest side or corner
            x0 = place[0] + reach * dx + (dx - 1) / 2 * size.width
            y0 = place[1] + reach * dy + (dy - 1) / 2 * size.height
            x1, y1 = x0 + size.width, y0 + size.height
            outside = max(frame.x0 + 2 - x0, x1 - frame.x1, frame.y0 + 2 - y0, y1 - frame.y1, 0)
            hidden = np.count_nonzero(
                (points[:, 0] > x0 - 5)
                & (points[:, 0] < x1 + 5)
                & (points[:, 1] > y0 - 5)
                & (points[:, 1] < y1 + 5)
            )
            clash = sum(
                box.x0 - 3 < x1 and x0 - 3 < box.x1 and box.y0 - 2 < y1 and y0 - 2 < box.y1
                for box in taken
            )
            cost = 50 * outside + 1000 * clash + 200 * hidden / len(points) + reach
            if cost < least:
                best, least = (x0, y0), cost
    assert best is not None
    label.set_transform(None)  # pixels
    label.set_position(best)
    label.set(verticalalignment="bottom")
    return label.get_window_extent(renderer)
