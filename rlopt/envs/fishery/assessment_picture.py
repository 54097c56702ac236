"""The picture of a stock assessment: the series, and what was learnt from it, with its doubt.

Left: biomass over the years, with the catch as bars. Right: next stock against escapement, one map
with a 90 % band of its posterior and the other two as thin lines, down to stocks that nobody has
seen, where they part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlopt.envs.drawing import INK, MUTED, axes_at, canvas_of, name_axes, ticks, words
from rlopt.envs.fishery.picture import CATCH, CATCH_TEXT, ESCAPEMENT_TEXT, STOCK

if TYPE_CHECKING:
    from rlopt.envs.fishery.data import StockAssessment

OTHERS = ESCAPEMENT_TEXT, CATCH_TEXT  # colours of the other two maps
BAND = 200  # draws of the posterior behind the band
POINTS = 201  # of the curve
BEYOND = 1.1  # the axes end at so many times the largest stock


def draw(assessment: StockAssessment, model: str, seed: int) -> Any:
    """The Figure, 640 x 420 pixels, two axes."""
    canvas = canvas_of()
    largest = BEYOND * float(assessment.biomass.max())
    _series(axes_at(canvas, 52, 46, 250, 330), assessment, largest)
    _growth(axes_at(canvas, 364, 46, 262, 330), assessment, largest, model, seed)
    return canvas.figure


def _series(axes: Any, assessment: StockAssessment, largest: float) -> None:
    year = assessment.year
    axes.bar(year, assessment.catch, width=0.8, color=CATCH, linewidth=0.0)
    # A line through each run of successive years: none across a gap.
    for run in np.split(np.arange(len(year)), np.flatnonzero(np.diff(year) > 1) + 1):
        axes.plot(
            year[run], assessment.biomass[run], color=STOCK, lw=1.6, ls="-", marker="o", ms=2.5
        )
    axes.set(xlim=(year[0] - 0.7, year[-1] + 0.7), ylim=(0.0, largest))
    ticks(axes.xaxis, 5, integer=True)
    ticks(axes.yaxis, 5)
    name_axes(axes, "year", "biomass")
    _name(axes, 0.0, 1.02, "stock before harvest", STOCK)
    _name(axes, 1.0, 1.02, "catch", CATCH_TEXT)


def _growth(axes: Any, assessment: StockAssessment, largest: float, model: str, seed: int) -> None:
    fit = assessment.fit(model)
    s = np.linspace(0.0, largest, POINTS)
    curves = [drawn.growth(s) for drawn in assessment.draws(model, BAND, seed=seed)]
    low, high = np.quantile(curves, [0.05, 0.95], axis=0)
    axes.fill_between(s, low, high, color=STOCK, alpha=0.18, linewidth=0.0)
    axes.plot([0.0, largest], [0.0, largest], color=MUTED, lw=0.8, ls="--")
    others = [other for other in assessment.fits.values() if other is not fit]
    for place, (other, color) in enumerate(zip(others, OTHERS, strict=True)):
        axes.plot(s, other.growth(s), color=color, lw=1.0, ls="-")
        name = type(other.growth).__name__
        _name(axes, 0.98, 0.03 + 0.05 * place, name, color)
    axes.plot(s, fit.growth(s), color=STOCK, lw=1.6, ls="-")
    axes.plot(
        assessment.escapement, assessment.next_stock, color=INK, ls="", marker="o", ms=3.0, mew=0.0
    )
    top = BEYOND * max(largest / BEYOND, float(high.max()))
    axes.set(xlim=(0.0, largest), ylim=(0.0, min(top, 1.5 * largest)))
    ticks(axes.xaxis, 5)
    ticks(axes.yaxis, 5)
    name_axes(axes, "escapement", "stock of the next year")
    _name(axes, 0.0, 1.02, f"{type(fit.growth).__name__} fit, 90 % band", STOCK)
    _name(axes, 1.0, 1.02, "no change", MUTED)


def _name(axes: Any, x: float, y: float, text: str, color: str) -> None:
    """A name in the colour of what it names, at a place in shares of the axes."""
    axes.text(
        x,
        y,
        text,
        transform=axes.transAxes,
        ha="left" if x == 0.0 else "right",
        va="bottom",
        **words(color=color),
    )
