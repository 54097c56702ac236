"""How the figures of the experiments look: panels, inks, direct labels."""

from __future__ import annotations

from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from tables import RESULTS

INK, MUTED, LINE, DANGER = "#14181F", "#58616E", "#DCE0E6", "#B3261E"
SLOTS = ("#2B38A0", "#EC831A", "#31B7A1", "#7D184A", "#2C7B9A", "#B57AFB", "#7B6600")
MARKS = ("o", "s", "^", "D", "P", "v", "X")
plt.rcParams.update(
    {
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "text.color": INK,
        "savefig.dpi": 110,
    }
)


def panels(rows: int, columns: int, *, width: float, height: float, **more: Any) -> Any:
    """A figure and its axes (rows, columns), in inches a panel."""
    return plt.subplots(
        rows,
        columns,
        figsize=(width * columns, height * rows),
        layout="constrained",
        squeeze=False,
        **more,
    )


def probability_ticks(axis: Any, least: float) -> None:
    """Ticks of a logarithmic axis of probabilities in (least, 1], without e-notation."""
    if least > 1e-3:
        ticks = [tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if tick > least]
        labels = [f"{tick:g}".removeprefix("0") for tick in ticks]
    else:
        powers = [power for power in range(-20, 1, 2) if 10.0**power > least]
        ticks = [10.0**power for power in powers]
        labels = [f"$10^{{{power}}}$" if power else "1" for power in powers]
    axis.set_ticks(ticks, labels)
    axis.set_ticks([], minor=True)


def save(figure: Any, name: str) -> None:
    """Write the figure beside the tables."""
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / f"{name}.png")
    plt.close(figure)


def short(value: float) -> str:
    """Two significant digits, and no zero before the point."""
    text = f"{value:.2g}"
    return text.removeprefix("0") if 0.0 < value < 1.0 else text
