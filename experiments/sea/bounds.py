"""What learners did on random tasks, as a share of what the theorems allow.

Run with `python experiments/sea/bounds.py`; half a minute on one core. The measurements are those
of the tests.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from look import DANGER, INK, LINE, MUTED, SLOTS, panels, save
from matplotlib.axes import Axes
from tables import described, write

sys.path.append(str(Path(__file__).parents[2] / "tests"))

from bound_zoo import Measured, measurements  # the tests' own

THEOREMS = {
    "ogd_constant_step": "T0",
    "ogd_sqrt_t": "T0",
    "ogd_strongly_convex": "T0",
    "omd_constant_step": "T1, constant step",
    "omd_convex_pathwise": "T1",
    "omd_envelope": "T1, tuned within limits",
    "omd_sea_convex": "T2",
    "omd_sea_strongly_convex": "T3",
    "omd_exp_pathwise": "T4",
    "omd_exp_sea": "T4",
    "omd_implicit_sea": "T5",
    "oftrl_pathwise": "T6",
    "oftrl_sea_convex": "T6",
    "oftl_sea_strongly_convex": "T7",
    "hedge": "T9",
    "optimistic_hedge": "T9",
    "game_gap": "self-play",
    "dynamic_omd_sea": "T10",
    "corrupted_Sigma_sq": "T11",
    "random_order_Sigma_sq": "T11",
    "random_order_sigma_sq": "T11",
}


def main() -> None:
    """Measure, write the table, draw the figure."""
    described(__doc__)
    order = list(THEOREMS)
    rows = sorted(measurements(), key=lambda row: order.index(row.bound))
    print(write(pd.DataFrame([record(row) for row in rows]), "bounds", {"compared": 0, "share": 2}))
    figure, axes = panels(1, 1, width=7.5, height=6.2)
    draw(axes[0, 0], rows)
    save(figure, "bounds")


def record(row: Measured) -> dict[str, object]:
    """A line of the table."""
    return {
        "theorem": THEOREMS[row.bound],
        "function": f"`{row.bound}`",
        "learner": row.learner,
        "compared": len(row.value),
        "max measured/bound": row.ratio.max(),
        "median": float(np.median(row.ratio)),
        "says more than GDT": row.says_something.mean(),
        "holds": "yes" if row.holds.all() else f"{row.holds.mean():.2%}",
    }


def draw(axis: Axes, rows: list[Measured]) -> None:
    """A line from the median to the largest ratio of each bound and learner."""
    for place, row in enumerate(reversed(rows)):
        median, most = max(float(np.median(row.ratio)), 1e-3), row.ratio.max()
        axis.plot([median, most], [place, place], color=LINE, lw=3, zorder=1)
        axis.plot(median, place, "o", color=MUTED, ms=3.5)
        axis.plot(most, place, "D", color=SLOTS[0], ms=4.5)
    axis.axvline(1.0, color=DANGER, lw=1)
    axis.set_xscale("log")
    axis.set_xticks([0.001, 0.01, 0.1, 1.0], ["≤ .001", ".01", ".1", "1"])
    labels = [f"{row.bound}  ({row.learner})" for row in reversed(rows)]
    axis.set_yticks(range(len(rows)), labels, fontsize=7, color=INK)
    axis.set_title("measured / bound: median (dot) and largest (diamond) of the tasks")


if __name__ == "__main__":
    main()
