"""The picture of an age-structured episode: biomass and catch by year, and the age pyramid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlopt.envs.drawing import (
    HEIGHT,
    MUTED,
    SMALL,
    WIDTH,
    Axes,
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
from rlopt.envs.fishery.picture import CATCH, CATCH_TEXT, STOCK

if TYPE_CHECKING:
    from rlopt.envs.fishery.age import AgeStructured

History = Sequence[Mapping[str, Any]]  # the reset info, then the step infos in order
YOUNG = "#C9CDEB"  # fish that the gear does not reach


def _state(env: AgeStructured, history: History) -> list[str]:
    """The numbers that picture and text line open with."""
    if not history:
        raise ValueError("there is nothing to draw before reset()")
    now, steps = history[-1], history[1:]
    shown = {"surveyed biomass": float(now["stock"])}
    if steps:
        shown["last catch"] = float(now["catch"])
        shown["return so far"] = sum(float(step["reward"]) for step in steps)
    return [f"{name} {number(x, min(decimals_of(abs(x)), 4))}" for name, x in shown.items()]


def line(env: AgeStructured, history: History) -> str:
    """The state of an episode as one line of text, for terminals."""
    state = _state(env, history)
    return "  ".join([f"year {len(history) - 1}/{env.horizon}", *state])


def draw(env: AgeStructured, history: History) -> NDArray[np.uint8]:
    """The episode as an RGB picture of shape (420, 640, 3)."""
    state, canvas = _state(env, history), canvas_of()
    figure = canvas.figure
    title = f"AgeStructuredFishery, {env.utility}"
    figure.text(10 / WIDTH, 396 / HEIGHT, title, **words(12, fontweight="bold"))
    year = f"year {len(history) - 1} of {env.horizon}"
    figure.text(280 / WIDTH, 396 / HEIGHT, year, **words(9, MUTED))
    figure.text(10 / WIDTH, 371 / HEIGHT, "    ".join(state), **words(8.5))
    years = np.arange(len(history), dtype=float)
    _draw_biomass(axes_at(canvas, 52, 162, 226, 187), env, years, history)
    _draw_catch(axes_at(canvas, 52, 46, 226, 90), env, years, history)
    _draw_pyramid(axes_at(canvas, 440, 46, 186, 303), env, np.asarray(history[-1]["numbers"]))
    return pixels(canvas)


def _year_axis(axes: Axes, years: NDArray[np.float64]) -> None:
    """The same window for biomass and catch: all years so far, six at least."""
    axes.set_xlim(-0.5, max(years[-1], 5.0) + 0.5)
    ticks(axes.xaxis, 5, integer=True)


def _draw_biomass(
    axes: Axes, env: AgeStructured, years: NDArray[np.float64], history: History
) -> None:
    """Surveyed biomass by year beside B_MSY and B_0."""
    biomass = np.array([float(row["stock"]) for row in history])
    reference = env.reference
    axes.set_ylim(0.0, 1.12 * max(float(biomass.max()), reference.B_0))
    _year_axis(axes, years)
    axes.tick_params(labelbottom=False)
    ticks(axes.yaxis, 5)
    name_axes(axes, "", "surveyed biomass")
    edge, labels = axes.get_xlim()[1], []
    for name, level in (("B_MSY (dotted)", reference.B_msy), ("B_0 (dotted)", reference.B_0)):
        axes.axhline(level, color=MUTED, lw=1.2, ls=(0, (2, 2)), marker="")
        labels.append((name, edge, level, MUTED, MUTED))
    marks = {"marker": "o", "ms": 3.2, "mew": 0} if len(years) <= 60 else {"marker": ""}
    axes.plot(years, biomass, color=STOCK, lw=weight(len(years)), ls="-", clip_on=False, **marks)
    labels.append(("biomass", float(years[-1]), float(biomass[-1]), STOCK, STOCK))
    margin_labels(axes, labels)


def _draw_catch(
    axes: Axes, env: AgeStructured, years: NDArray[np.float64], history: History
) -> None:
    """Yield by year beside the maximum sustainable yield."""
    catch = np.array([float(row["catch"]) for row in history[1:]] + [0.0])
    msy = env.reference.msy
    axes.set_ylim(0.0, 1.15 * max(float(catch.max()), msy))
    _year_axis(axes, years)
    ticks(axes.yaxis, 3)
    name_axes(axes, "year", "yield")
    axes.fill_between(years, catch, step="post", color=CATCH, lw=0)
    axes.axhline(msy, color=MUTED, lw=1.2, ls=(0, (2, 2)), marker="")
    last = max(len(years) - 2, 0)
    labels = [
        ("MSY (dotted)", axes.get_xlim()[1], msy, MUTED, MUTED),
        ("yield", float(last + 1), float(catch[last]), CATCH, CATCH_TEXT),
    ]
    margin_labels(axes, labels)


def _draw_pyramid(axes: Axes, env: AgeStructured, numbers: NDArray[np.float64]) -> None:
    """Fish by age; those that the gear reaches in full colour; a line for the unfished stock."""
    life = env.life
    reached = numbers * life.vulnerability
    axes.barh(life.age, numbers, height=0.8, color=YOUNG, linewidth=0)
    axes.barh(life.age, reached, height=0.8, color=STOCK, linewidth=0)
    axes.plot(life.unfished, life.age, color=MUTED, lw=1.2, ls=(0, (2, 2)), marker="")
    axes.set_xlim(0.0, 1.08 * max(float(numbers.max()), float(life.unfished.max())))
    axes.set_ylim(0.3, life.ages + 0.7)
    ticks(axes.xaxis, 4)
    ticks(axes.yaxis, 5, integer=True)
    name_axes(axes, "fish (dark: catchable)", "age, years")
    axes.text(
        1.0,
        1.02,
        f"dotted: unfished     oldest: {life.ages} and more",
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        **words(SMALL, MUTED),
    )
