"""The picture of a fishery episode, as a stock assessor would lay it out, and its one text line.

Left: stock and escapement over the years with the oracle's escapement and the tipping point, and
the catch below. Right: the Kobe plot, stock and fishing pressure relative to their values at the
maximum sustainable yield. Black is the oracle, red with hatching is danger, and every mark is
named where it stands, so there is no legend.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlopt.envs.drawing import (
    DANGER,
    HEIGHT,
    INK,
    MARKED,
    MUTED,
    SMALL,
    WIDTH,
    Axes,
    Canvas,
    axes_at,
    canvas_of,
    decimals_of,
    margin_labels,
    name_axes,
    number,
    pixels,
    ticks,
    weight,
    words,
)
from rlopt.envs.fishery.kobe import draw_kobe

Floats = NDArray[np.float64]

STOCK, ESCAPEMENT, CATCH = "#2B38A0", "#EC831A", "#31B7A1"
ESCAPEMENT_TEXT, CATCH_TEXT = "#A85A0B", "#157F6E"  # dark enough to read on white
BARRED_YEARS = 110  # above this many, a bar is narrower than two pixels


@dataclass(frozen=True)
class Episode:
    """What has happened so far in one fishery.

    Attributes:
        title: The task's name.
        horizon: Years that the task lasts, None if it is endless.
        years: The year of each of the n states, increasing.
        stock: (n,) biomass before the harvest of each year.
        escapement: (n,) biomass left by it; NaN where nothing has been decided yet.
        catch: (n,) biomass caught; NaN likewise.
        regret: Loss against the oracle so far [biomass], None if it is not counted.
        S_oracle: The oracle's escapement, None if it has no single one.
        tipping_point: Biomass below which the stock dies out, None if there is no such point.
        msy: Maximum sustainable yield [biomass per year].
        B_msy: Biomass before harvest at that yield; 0 if no yield is sustainable.
        F_msy: Fishing mortality at that yield [per year].
        F: (n,) fishing mortality, -log(1 - catch / stock); infinite where all was caught. NaN
            (nothing to catch) is drawn as no fishing.
        unit: Name of the unit of biomass; "biomass" means that there is none.
    """

    title: str
    horizon: int | None
    years: Sequence[int]
    stock: Floats
    escapement: Floats
    catch: Floats
    regret: float | None
    S_oracle: float | None
    tipping_point: float | None
    msy: float
    B_msy: float
    F_msy: float
    F: Floats
    unit: str = "biomass"

    def __post_init__(self) -> None:
        n = len(self.years)
        if n == 0:
            raise ValueError("years is empty: an episode has at least its first state")
        for name in ("stock", "escapement", "catch", "F"):
            shape = np.shape(getattr(self, name))
            if shape != (n,):
                raise ValueError(f"{name} has shape {shape}; years asks for ({n},)")


def line(episode: Episode) -> str:
    """The state of an episode as one line of text, for terminals."""
    year = f"year {episode.years[-1]}"
    if episode.horizon is not None:
        year += f"/{episode.horizon}"
    return "  ".join([year, *_state(episode)])


def draw(episode: Episode) -> NDArray[np.uint8]:
    """The episode as an RGB picture of shape (420, 640, 3)."""
    canvas = canvas_of()
    _header(canvas, episode)
    _draw_stock(axes_at(canvas, 52, 147, 214, 202), episode)
    _draw_catch(axes_at(canvas, 52, 46, 214, 80), episode)
    draw_kobe(axes_at(canvas, 434, 46, 192, 303), episode)
    return pixels(canvas)


def _state(episode: Episode) -> list[str]:
    """The four numbers that every picture and text line opens with."""
    unit = "" if episode.unit == "biomass" else f" {episode.unit}"
    scale = float(np.max(episode.stock)) / 2  # the size of a stock in the middle of its range
    decimals = min(decimals_of(scale), 5)
    done = np.flatnonzero(np.isfinite(episode.catch))
    last = int(done[-1]) if done.size else -1
    # between two harvests the newest stock is known, and the newest catch is last year's
    when = "last " if done.size and last < len(episode.years) - 1 else ""

    def shown(value: float, digits: int) -> str:
        # below a millionth of the stock there is only rounding
        return number(value if not abs(value) < 1e-6 * scale else 0.0, digits) + unit

    parts = [
        f"{name} {shown(float(values[t]), decimals)}"
        for name, values, t in (
            ("stock", episode.stock, -1),
            (f"{when}escapement", episode.escapement, last),
            (f"{when}catch", episode.catch, last),
        )
    ]
    if episode.regret is not None:
        digits = min(decimals_of(abs(episode.regret)), 5)
        noise = abs(episode.regret) < 1e-6 * scale
        parts.append(f"regret so far {shown(episode.regret, 2 if noise else digits)}")
    return parts


def _header(canvas: Canvas, episode: Episode) -> None:
    """Title, year and the state line."""
    figure = canvas.figure
    title = figure.text(
        10 / WIDTH, 396 / HEIGHT, episode.title, **words(12, fontweight="bold"), parse_math=False
    )
    renderer = canvas.get_renderer()
    width, room = title.get_window_extent(renderer).width, 460
    if width > room:
        title.set_text(episode.title[: int(len(episode.title) * room / width) - 1] + "…")
    right = title.get_window_extent(renderer).x1
    year = f"year {episode.years[-1]}"
    if episode.horizon is not None:
        year += f" of {episode.horizon}"
    figure.text((right + 14) / WIDTH, 396 / HEIGHT, year, **words(9, MUTED))
    figure.text(10 / WIDTH, 371 / HEIGHT, "    ".join(_state(episode)), **words(8.5))


def _year_axis(axes: Axes, episode: Episode) -> None:
    """The same window for stock and catch: all years so far, six at least."""
    first, last = episode.years[0], episode.years[-1]
    axes.set_xlim(first - 0.5, max(last, first + 5) + 0.5)
    ticks(axes.xaxis, 5, integer=True)


def _draw_stock(axes: Axes, episode: Episode) -> None:
    """Stock and escapement by year, the oracle's escapement, and the zone of no return."""
    tip, oracle = episode.tipping_point, episode.S_oracle
    drawn = np.concatenate(
        [
            episode.stock,
            episode.escapement,
            [value for value in (tip, oracle) if value is not None],
        ]
    )
    drawn = drawn[np.isfinite(drawn)]
    low, high = (float(drawn.min()), float(drawn.max())) if drawn.size else (0.0, 1.0)
    room = (high - low) or high or 1.0
    floor = low - room * (0.22 if tip is not None else 0.1)
    # biomass has a natural zero: show it when it is near
    axes.set_ylim(0.0 if floor < 0.25 * high else floor, high + 0.12 * room)
    _year_axis(axes, episode)
    axes.tick_params(labelbottom=False)
    ticks(axes.yaxis, 5)
    name_axes(axes, "", _quantity("biomass", episode))

    edge = axes.get_xlim()[1]
    labels = []
    if tip is not None:
        axes.axhspan(
            axes.get_ylim()[0],
            tip,
            facecolor="none",
            edgecolor="#E3A7A2",
            hatch="////",
            hatch_linewidth=0.6,
            lw=0,
            zorder=0.5,
        )
        axes.axhline(tip, color=DANGER, lw=1.4, ls="-", marker="", zorder=1)
        labels.append(("tipping point", edge, tip, DANGER, DANGER))
        _name_zone(axes, episode, tip)
    if oracle is not None and math.isfinite(oracle):
        axes.axhline(oracle, color=INK, lw=2.2, ls="-", marker="", zorder=1.5)
        labels.append(("oracle escapement", edge, oracle, INK, INK))
    for name, values, color, text, mark in (
        ("escapement", episode.escapement, ESCAPEMENT, ESCAPEMENT_TEXT, "s"),
        ("stock", episode.stock, STOCK, STOCK, "o"),
    ):
        many = len(values) > MARKED
        axes.plot(
            episode.years,
            values,
            color=color,
            lw=weight(len(values)),
            ls="-",
            marker="" if many else mark,
            ms=3.2 if len(values) > 2 else 5,
            mew=0,
            solid_joinstyle="round",
            clip_on=False,  # a stock at zero lies on the frame
            zorder=2,
        )
        known = np.flatnonzero(np.isfinite(values))
        if known.size:
            last = known[-1]
            labels.append((name, float(episode.years[last]), float(values[last]), color, text))
    margin_labels(axes, labels)


def _name_zone(axes: Axes, episode: Episode, tip: float) -> None:
    """Say what the hatching means, where there is room and no data beneath."""
    bottom, top = axes.transData.transform([(0, axes.get_ylim()[0]), (0, tip)])[:, 1]
    lowest = np.nanmin([np.min(episode.stock), *episode.escapement])
    if top - bottom < 17 or lowest < tip:
        return
    axes.text(
        0.5,
        (axes.get_ylim()[0] + tip) / 2,
        "below it the stock dies out",
        transform=axes.get_yaxis_transform(),
        ha="center",
        va="center_baseline",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        **words(SMALL, DANGER),
    )


def _draw_catch(axes: Axes, episode: Episode) -> None:
    """Catch by year and the maximum sustainable yield."""
    catch = np.nan_to_num(episode.catch, nan=0.0)
    top = max(float(catch.max()), episode.msy)
    axes.set_ylim(0.0, 1.15 * top if top > 0 else 1.0)
    _year_axis(axes, episode)
    ticks(axes.yaxis, 3)
    name_axes(axes, "year", _quantity("catch", episode))
    years = np.asarray(episode.years, dtype=float)
    if len(years) > BARRED_YEARS:
        axes.fill_between(years, catch, step="mid", color=CATCH, lw=0)
    else:
        axes.bar(years, catch, width=0.8, color=CATCH, edgecolor="none", linewidth=0)
    axes.axhline(episode.msy, color=MUTED, lw=1.2, ls=(0, (2, 2)), marker="")
    labels = [("MSY (dotted)", axes.get_xlim()[1], episode.msy, MUTED, MUTED)]
    done = np.flatnonzero(np.isfinite(episode.catch))
    if done.size:
        last = done[-1]
        labels.append(("catch", years[last] + 0.4, float(catch[last]), CATCH, CATCH_TEXT))
    margin_labels(axes, labels)


def _quantity(name: str, episode: Episode) -> str:
    return name if episode.unit == "biomass" else f"{name}, {episode.unit}"
