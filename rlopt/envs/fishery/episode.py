"""An episode of a fishery from its infos: for pictures and for the measures of the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rlopt.envs.fishery.env import Fishery

if TYPE_CHECKING:
    from rlopt.envs.fishery.picture import Episode

History = Sequence[Mapping[str, Any]]  # the reset info, then the step infos in order


def episode_of(fishery: Fishery, history: History) -> Episode:
    """The episode so far, the current stock included (nothing has been decided there yet)."""
    from rlopt.envs.fishery.picture import Episode

    if not history:
        raise ValueError("there is nothing to draw before reset()")
    steps, now = history[1:], float(history[-1]["stock"])

    def series(name: str, last: float = np.nan) -> np.ndarray:
        return np.array([float(step[name]) for step in steps] + [last])

    regrets = [float(step["regret"]) for step in steps if "regret" in step]
    reference = fishery.reference
    return Episode(
        title=f"{type(fishery.growth).__name__}Fishery",
        horizon=fishery.horizon,
        years=range(len(history)),
        stock=series("biomass", now),
        escapement=series("escapement"),
        catch=series("catch"),
        F=series("F"),
        regret=sum(regrets) if len(regrets) == len(steps) else None,
        S_oracle=float(fishery.oracle().escapement([fishery.x_max])[0]),
        tipping_point=fishery.growth.tipping_point,
        msy=reference.msy,
        B_msy=reference.B_msy,
        F_msy=reference.F_msy,
        unit=fishery.unit,
    )


def episode_summary(fishery: Fishery, history: History) -> dict[str, float]:
    """The measures that managers ask for (notes, sections 5 and 6), of one episode.

    Args:
        fishery: gives the reference points, the discount and the extinction threshold.
        history: the reset info, then the infos of each step.

    Returns:
        npv: discounted catch [biomass]; total_catch [biomass]; P10, P50, P100: fraction of years
        with B above .1, .5, 1 B_MSY; PNOF: with F below F_MSY; PGK: in the green quadrant;
        AAVY: sum |C_t - C_{t-1}| / sum C_t; years_closed: without catch; collapsed: 1 if the stock
        was lost; final_biomass [biomass].
    """
    steps = history[1:]
    if not steps:
        raise ValueError("an episode summary needs at least one step")
    catch = np.array([step["catch"] for step in steps], float)
    b = np.array([step["B_over_Bmsy"] for step in steps], float)
    f = np.array([step["F_over_Fmsy"] for step in steps], float)
    final = float(history[-1]["stock"])
    total = float(catch.sum())
    return {
        "npv": float(catch @ fishery.gamma ** np.arange(len(catch))),
        "total_catch": total,
        "P10": float(np.mean(b > 0.1)),
        "P50": float(np.mean(b > 0.5)),
        "P100": float(np.mean(b > 1.0)),
        "PNOF": float(np.mean(f < 1.0)),
        "PGK": float(np.mean((b >= 1.0) & (f <= 1.0))),
        "AAVY": float(np.abs(np.diff(catch)).sum() / total) if total > 0.0 else 0.0,
        "years_closed": float(np.sum(catch == 0.0)),
        "collapsed": float(final <= fishery.extinct_below),
        "final_biomass": final,
    }
