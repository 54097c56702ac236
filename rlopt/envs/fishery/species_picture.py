"""The picture of a three-species episode, and its one text line: stocks above, catch below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlopt.envs.drawing import (
    DANGER,
    HEIGHT,
    MUTED,
    WIDTH,
    Axes,
    axes_at,
    canvas_of,
    margin_labels,
    name_axes,
    number,
    pixels,
    ticks,
    weight,
    words,
)
from rlopt.envs.fishery.species import NAMES, ThreeSpecies

History = Sequence[Mapping[str, Any]]  # the reset info, then the step infos in order

COLORS = ("#2B38A0", "#EC831A", "#58616E")
TEXTS = ("#2B38A0", "#A85A0B", "#58616E")  # dark enough to read on white
ROLES = ("prey X", "prey Y", "predator Z")


def line(species: ThreeSpecies, history: History) -> str:
    """The state of an episode as one line of text, for terminals."""
    return f"year {_years(history)[-1]}/{species.horizon}  " + "  ".join(_state(history))


def draw(species: ThreeSpecies, history: History) -> np.ndarray:
    """The episode as an RGB picture of shape (420, 640, 3)."""
    canvas, years = canvas_of(), _years(history)
    figure = canvas.figure
    title = f"Three species, model {species.model}"
    figure.text(10 / WIDTH, 396 / HEIGHT, title, **words(12, fontweight="bold"))
    when = f"year {years[-1]} of {species.horizon}"
    figure.text(0.98, 396 / HEIGHT, when, ha="right", **words(9, MUTED))
    figure.text(10 / WIDTH, 371 / HEIGHT, "    ".join(_state(history)), **words(8.5))
    _draw_stocks(axes_at(canvas, 52, 170, 480, 180), species, history)
    _draw_catches(axes_at(canvas, 52, 46, 480, 92), species, history)
    return pixels(canvas)


def _years(history: History) -> range:
    if not history:
        raise ValueError("there is nothing to draw before reset()")
    return range(len(history))


def _state(history: History) -> list[str]:
    """The stocks, and the catch so far."""
    stocks = [f"{name} {number(float(history[-1][f'stock_{name}']), 3)}" for name in NAMES]
    caught = sum(float(step["catch"]) for step in history[1:])
    return [*stocks, f"catch so far {number(caught, 3)}"]


def _window(axes: Axes, years: range) -> None:
    """All years so far, six at least."""
    axes.set_xlim(-0.5, max(years[-1], 5) + 0.5)
    ticks(axes.xaxis, 8, integer=True)


def _draw_stocks(axes: Axes, species: ThreeSpecies, history: History) -> None:
    """The three stocks by year, and the level at which the episode ends."""
    years, low = _years(history), species.extinct_below
    stocks = np.array([[float(row[f"stock_{name}"]) for name in NAMES] for row in history])
    axes.set_ylim(0.0, 1.1 * float(stocks.max()) or 1.0)
    _window(axes, years)
    axes.tick_params(labelbottom=False)
    ticks(axes.yaxis, 5)
    name_axes(axes, "", "biomass")
    axes.axhspan(
        0.0, low, facecolor="none", edgecolor="#E3A7A2", hatch="////", hatch_linewidth=0.6, lw=0
    )
    axes.axhline(low, color=DANGER, lw=1.4, ls="-", marker="", zorder=1)
    labels = [("near-extinction", axes.get_xlim()[1], low, DANGER, DANGER)]
    for k, role in enumerate(ROLES):
        axes.plot(
            years, stocks[:, k], color=COLORS[k], lw=weight(len(years)), ls="-", marker="", zorder=2
        )
        labels.append((role, float(years[-1]), float(stocks[-1, k]), COLORS[k], TEXTS[k]))
    margin_labels(axes, labels)


def _draw_catches(axes: Axes, species: ThreeSpecies, history: History) -> None:
    """The catch of each fished species by year."""
    years = _years(history)[:-1]  # nothing has been decided in the last
    _window(axes, _years(history))
    labels, top = [], 0.0
    for k, name in enumerate(NAMES[: species.fished]):
        catch = np.array([float(step[f"catch_{name}"]) for step in history[1:]])
        axes.plot(
            years,
            catch,
            color=COLORS[k],
            lw=weight(len(catch)),
            ls="-",
            marker="o" if len(catch) == 1 else "",
            ms=3.0,
        )
        if len(catch):
            labels.append((f"catch of {name}", years[-1], catch[-1], COLORS[k], TEXTS[k]))
            top = max(top, float(catch.max()))
    axes.set_ylim(0.0, 1.15 * top or 1.0)
    ticks(axes.yaxis, 3)
    name_axes(axes, "year", "catch, biomass")
    margin_labels(axes, labels)
