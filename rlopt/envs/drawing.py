"""The house style of episode pictures: sizes, inks, numbers, axes and direct labels.

Black is the oracle, red with hatching is danger, and every mark is named where it stands, so there
are no legends. Matplotlib is imported when a picture is drawn, and whatever a style sheet could
change is set here: an episode gives the same bytes whatever the caller's settings are.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, DPI = 640, 420, 100
FONT = "DejaVu Sans"  # ships with matplotlib, so a picture looks the same everywhere
SMALL, NORMAL = 7.5, 8.0
INK, MUTED, LINE, DANGER = "#14181F", "#58616E", "#DCE0E6", "#B3261E"

MARKED = 60  # above this many points along a line, their marks would touch

# matplotlib's annotations stop at Axes and say too little of its keyword arguments
Axes = Any
Canvas = Any


def canvas_of(width: int = WIDTH, height: int = HEIGHT) -> Canvas:
    """An empty white canvas of so many pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    figure.set_layout_engine("none")
    return FigureCanvasAgg(figure)


def pixels(canvas: Canvas) -> NDArray[np.uint8]:
    """Draw the canvas; RGB of shape (height, width, 3)."""
    canvas.draw()
    return np.array(np.asarray(canvas.buffer_rgba())[..., :3])


def decimals_of(scale: float, digits: int = 3) -> int:
    """Decimals that give a number of this size so many significant digits."""
    if not (math.isfinite(scale) and scale > 0):
        return 2
    return max(0, digits - 1 - math.floor(math.log10(scale)))


def number(value: float, decimals: int) -> str:
    """Fixed decimals, but never a zero for what is not zero, and no e-notation."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if 0 < abs(value) < 1e-4:
        exponent = math.floor(math.log10(abs(value)))
        raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{value / 10.0**exponent:.2g} × 10{raised}".replace("-", "−")
    if value != 0 and round(value, decimals) == 0:
        decimals = decimals_of(abs(value), digits=1)
    text = f"{value:,.{decimals}f}".replace(",", "\N{THIN SPACE}")
    return text.replace("-", "−")


def tick(value: float, _position: float | None = None) -> str:
    """Axis numbers that stay narrow: 0.25, 8, 20k, 1.5M."""
    for size, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / min(size, 1e3 if name == 'k' else size):g}{name}"
    return f"{value:g}"


def axes_at(canvas: Canvas, left: int, bottom: int, width: int, height: int) -> Axes:
    """Empty axes at a place in pixels, in the house style."""
    axes = canvas.figure.add_axes(
        (left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT), facecolor="white"
    )
    axes.grid(False)
    axes.minorticks_off()
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set(visible=side in ("left", "bottom"), color=MUTED, linewidth=0.8)
    axes.tick_params(
        which="major",
        direction="out",
        length=3,
        width=0.8,
        pad=3,
        color=MUTED,
        labelcolor=MUTED,
        labelsize=SMALL,
        labelfontfamily=FONT,
        bottom=True,
        left=True,
        top=False,
        right=False,
    )
    axes.xaxis.set_major_formatter(tick)
    axes.yaxis.set_major_formatter(tick)
    return axes


def words(size: float = NORMAL, color: str = INK, **more: Any) -> dict[str, Any]:
    """Text properties, complete, so that nothing is left to the caller's settings."""
    return {
        "fontsize": size,
        "color": color,
        "fontfamily": FONT,
        "fontstyle": "normal",
        "fontweight": "normal",
        "usetex": False,
        "math_fontfamily": "dejavusans",
    } | more


def ticks(axis: Any, count: int, integer: bool = False, fine: bool = False) -> None:
    """At most so many steps; quarters (long numbers) only where they fit."""
    from matplotlib.ticker import MaxNLocator

    steps = [1, 2, 2.5, 5, 10] if fine else [1, 2, 5, 10]
    axis.set_major_locator(MaxNLocator(count, integer=integer, steps=steps))


def name_axes(axes: Axes, x: str, y: str) -> None:
    """Axis names; y's stands in a column of its own, clear of the widest numbers."""
    axes.set_ylabel(y, **words(NORMAL, MUTED))
    box = axes.get_window_extent()
    axes.yaxis.set_label_coords(-34 / box.width, 0.5)
    if x:
        axes.set_xlabel(x, labelpad=2, **words(NORMAL, MUTED))


def weight(n: int) -> float:
    """Line width that keeps a long series readable."""
    return 1.6 if n <= MARKED else 1.1 if n <= 150 else 0.7


def dodge(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones, in their order, at least `gap` apart, within the limits."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [min(max(wanted[i], low), high) for i in order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    ceiling = high
    for i in range(len(placed) - 1, -1, -1):
        placed[i] = min(placed[i], ceiling)
        ceiling = placed[i] - gap
    result = [0.0] * len(wanted)
    for i, position in zip(order, placed, strict=True):
        result[i] = position
    return result


def margin_labels(axes: Axes, labels: Sequence[tuple[str, float, float, str, str]]) -> None:
    """Name lines in the right margin, each tied by a thin line to where it ends.

    Args:
        axes: Where the lines are; its limits must be final.
        labels: Text, x and y of the end of the line, colour of the tie, colour of the text.
    """
    box = axes.get_window_extent()
    ends = axes.transData.transform([(x, y) for _, x, y, _, _ in labels])
    heights = dodge([y for _, y in ends], 12.5, box.y0 + 5, box.y1 - 4)
    to_axes = axes.transAxes.inverted()
    for (text, _, _, tie, color), (x, y), height in zip(labels, ends, heights, strict=True):
        route = to_axes.transform([(x, y), (box.x1 + 2, y), (box.x1 + 9, height)])
        axes.plot(
            *route.T, transform=axes.transAxes, clip_on=False, color=tie, lw=0.7, ls="-", marker=""
        )
        axes.text(
            *to_axes.transform((box.x1 + 12, height)),
            text,
            transform=axes.transAxes,
            va="center_baseline",
            **words(NORMAL, color),
        )
