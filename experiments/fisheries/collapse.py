"""How often a stock collapses: by year and by starting stock, under the rules of the field.

Writes results/collapse.{csv,md,png} and results/collapse_policies.png; some 20 seconds on one core.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from look import DANGER, INK, LINE, MARKS, MUTED, SLOTS, panels, save, save_table, short
from tqdm import tqdm

from rlopt.agents import make
from rlopt.envs.fishery import Fishery, allen_fishery
from rlopt.theory.dp import collapse_probability

SIGMAS = (0.05, 0.1)
YEARS = (0, 1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 35, 40, 45, 50)
STOCKS = np.linspace(0.1, 12.0, 120)
NODES = 801
AGENTS: dict[str, tuple[str, str, str]] = {  # agent: label, ink, mark
    "constant_fraction": ("fraction u_MSY", SLOTS[2], MARKS[3]),
    "40-10": ("40-10", SLOTS[1], MARKS[2]),
    "constant_escapement": ("escapement S_MSY", SLOTS[0], MARKS[1]),
    "oracle": ("optimum", INK, MARKS[0]),
    "safe_harvest": ("safe, P ≤ .1", SLOTS[3], MARKS[4]),
    "do_nothing": ("no harvest", MUTED, ""),
}
PROMISES = (0.15, 0.12, 0.1, 0.09)


def made(name: str, fishery: Fishery) -> Any:
    """The agent, with the promise of its label."""
    return make(name, fishery, **({"eps": 0.1} if name == "safe_harvest" else {}))


def risks(fishery: Fishery, agent: Any) -> tuple[np.ndarray, np.ndarray]:
    """P(stock at or below the tipping point) by year from x0, and after 50 years by first stock."""
    level = fishery.collapse_level
    by_year = [
        collapse_probability(fishery, agent, fishery.x0, year, level, nodes=NODES) for year in YEARS
    ]
    return np.array(by_year), collapse_probability(
        fishery, agent, STOCKS, YEARS[-1], level, nodes=NODES
    )


def draw_risks(found: dict[tuple[float, str], tuple[np.ndarray, np.ndarray]]) -> None:
    """Two rows (by year, by first stock), one column a noise."""
    figure, axes = panels(2, len(SIGMAS), width=4.9, height=3.0, sharey=True)
    tip = allen_fishery().collapse_level
    for (sigma, name), risk in found.items():
        label, ink, mark = AGENTS[name]
        for row, x in enumerate((YEARS, STOCKS)):
            axis = axes[row, SIGMAS.index(sigma)]
            axis.plot(
                x,
                risk[row],
                color=ink,
                linewidth=1.8 if name == "oracle" else 1.3,
                linestyle="--" if name == "do_nothing" else "-",
                marker=mark if row == 0 else "",
                markersize=4,
                markevery=2,
                clip_on=False,
            )
        if (sigma, name) in LABELS:
            row, at, side = LABELS[sigma, name]
            y = np.interp(at[0], (YEARS, STOCKS)[row], risk[row])
            axes[row, SIGMAS.index(sigma)].annotate(
                label, (at[0], y), xytext=at[1:], textcoords="offset points", ha=side, va="center"
            )
    for column, sigma in enumerate(SIGMAS):
        axes[0, column].set(title=f"Allen, σ {short(sigma)}, from x₀ = 10", xlim=(0, 50))
        axes[0, column].set_xlabel("year")
        axes[1, column].set(title="after 50 years", xlim=(0, 12))
        axes[1, column].set_xlabel("first stock, biomass")
        axes[1, column].axvline(tip, color=DANGER, linewidth=1.0, linestyle=":")
    axes[1, 0].annotate(
        "tipping point",
        (tip, 0.5),
        xytext=(-4, 0),
        textcoords="offset points",
        ha="right",
        color=DANGER,
    )
    for axis in axes.flat:
        axis.set_ylim(0.0, 1.0)
        axis.grid(axis="y", color=LINE, linewidth=0.6)
    for axis in axes[:, 0]:
        axis.set_ylabel("P(stock at or below it)")
    save(figure, "collapse")


LABELS = {  # (sigma, agent): row, (x, offset in points), side
    (0.05, "constant_fraction"): (0, (30, -8, 22), "right"),
    (0.1, "constant_escapement"): (0, (45, -2, 10), "right"),
    (0.1, "oracle"): (0, (30, 0, 9), "right"),
    (0.1, "safe_harvest"): (0, (40, 0, -9), "left"),
    (0.1, "do_nothing"): (1, (9, 0, 9), "left"),
}


def draw_policies(fishery: Fishery) -> None:
    """Escapement against stock: the rules, and how safety bends the optimum."""
    figure, axes = panels(1, 2, width=4.9, height=3.6, sharey=True)
    x, tip = np.linspace(0.0, 12.0, 601), fishery.collapse_level
    for name, (_, ink, _) in AGENTS.items():
        if name in ("do_nothing", "safe_harvest"):
            continue
        left = fishery.escapement_of(made(name, fishery))(x, 0)
        axes[0, 0].plot(x, np.clip(left, 0.0, x), color=ink, linewidth=1.5)
    inks = (INK, *SLOTS[3 : 3 + len(PROMISES)])
    for eps, ink in zip((1.0, *PROMISES), inks, strict=True):
        agent: Any = make("safe_harvest", fishery, eps=eps)
        axes[0, 1].plot(x, agent.escapement(x, 0), color=ink, linewidth=1.5)
    for axis in axes.flat:
        axis.plot(x, x, color=LINE, linewidth=0.8, zorder=0)
        axis.axvline(tip, color=DANGER, linewidth=1.0, linestyle=":")
        axis.set(xlim=(0, 12), ylim=(0, 12), xlabel="stock, biomass")
    axes[0, 0].set_ylabel("escapement, biomass")
    save(figure, "collapse_policies")


def main() -> None:
    """Compute, tabulate and draw."""
    found, rows = {}, []
    for sigma in SIGMAS:
        fishery = allen_fishery(sigma=sigma)
        for name in tqdm(AGENTS):
            agent = made(name, fishery)
            found[sigma, name] = risks(fishery, agent)
            by_year = dict(zip(YEARS, found[sigma, name][0], strict=True))
            ever = collapse_probability(
                fishery, agent, fishery.x0, 50, fishery.collapse_level, ever=True, nodes=NODES
            )
            rows.append(
                {"sigma": sigma, "policy": AGENTS[name][0]}
                | {f"year {year}": by_year[year] for year in (5, 10, 25, 50)}
                | {"ever in 50 years": ever}
            )
    table = pd.DataFrame(rows)
    save_table(table, "collapse", dict.fromkeys(table.columns, -1))
    draw_risks(found)
    draw_policies(allen_fishery(sigma=0.1))


if __name__ == "__main__":
    main()
