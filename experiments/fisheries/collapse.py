"""How often a stock collapses: by year and by starting stock, under the rules of the field.

Writes results/collapse.{csv,md,png} and results/collapse_policies.png; some 20 seconds on one core.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from look import DANGER, INK, LINE, MARKS, MUTED, SLOTS, panels, save, short
from tables import described, write
from tqdm import tqdm

from rlopt.agents import make
from rlopt.envs.fishery import Fishery, allen_fishery
from rlopt.theory.dp import collapse_probability

SIGMAS = (0.05, 0.1)
YEARS = (0, 1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 35, 40, 45, 50)
STOCKS = np.linspace(0.1, 12.0, 120)
LEAST = (1e-8, 1e-3)  # where the axis of each noise begins
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
    figure, axes = panels(2, len(SIGMAS), width=5.2, height=3.1)
    for (sigma, name), (by_year, by_stock) in found.items():
        column = SIGMAS.index(sigma)
        _, ink, mark = AGENTS[name]
        style: dict[str, Any] = {"color": ink, "linewidth": 1.8 if name == "oracle" else 1.3}
        style |= {"linestyle": "--" if name == "do_nothing" else "-"}
        axes[0, column].plot(YEARS[1:], by_year[1:], marker=mark, markersize=4, **style)
        axes[1, column].plot(STOCKS, by_stock, **style)
        if (name, column) in PLACES:
            text, shift = PLACES[name, column]
            end(axes[0, column], YEARS[-1], by_year[-1], text, shift)
    tip = allen_fishery().collapse_level
    for column, sigma in enumerate(SIGMAS):
        axes[0, column].set(title=f"Allen, σ {short(sigma)}, from a stock of 10", xlim=(0, 50))
        axes[0, column].set(xlabel="year", yscale="log", ylim=(LEAST[column], 1.0))
        axes[1, column].set(title="after 50 years", xlim=(0, 12), ylim=(0, 1))
        axes[1, column].set_xlabel("first stock, biomass")
        axes[1, column].axvline(tip, color=DANGER, linewidth=1.0, linestyle=":")
    tipping = {"ha": "right", "color": DANGER}
    axes[1, 0].text(tip - 0.1, 0.5, "tipping point", **tipping)
    axes[1, 1].annotate("no harvest: a large stock overshoots", (11.6, 0.45), (6.2, 0.62))
    for axis in axes.flat:
        axis.grid(axis="y", color=LINE, linewidth=0.6)
    for axis in axes[:, 0]:
        axis.set_ylabel("P(stock at or below 5)")
    save(figure, "collapse")


PLACES = {  # (agent, column): label, shift up in points
    ("constant_fraction", 0): ("fraction u_MSY\nand 40-10", 0),
    ("constant_escapement", 0): ("optimum, safe and\nescapement S_MSY", 0),
    ("do_nothing", 0): ("no harvest", 0),
    ("constant_fraction", 1): ("fraction u_MSY\nand 40-10", 2),
    ("constant_escapement", 1): ("escapement S_MSY", 0),
    ("oracle", 1): ("optimum", 0),
    ("safe_harvest", 1): ("safe, P ≤ .1,\nand no harvest", -8),
}


def end(axis: Any, x: float, y: float, text: str, shift: float = 0.0) -> None:
    """Name a line at its right end."""
    axis.annotate(text, (x, y), (6, shift), textcoords="offset points", va="center")


def draw_policies(fishery: Fishery) -> None:
    """Escapement against stock under the rules, and over the years under a promise."""
    figure, axes = panels(1, 2, width=5.2, height=3.6)
    left, right = axes[0]
    x, tip = np.linspace(0.0, 12.0, 601), fishery.collapse_level
    for name in ("constant_fraction", "constant_escapement", "oracle"):
        label, ink, _ = AGENTS[name]
        s = np.clip(fishery.escapement_of(made(name, fishery))(x, 0).reshape(-1), 0.0, x)
        left.plot(x, s, color=ink, linewidth=1.5)
        end(left, x[-1], s[-1], label, {"oracle": 5, "constant_escapement": -5}.get(name, 0))
    left.plot(x, x, color=LINE, linewidth=0.8, zorder=0)
    left.axvline(tip, color=DANGER, linewidth=1.0, linestyle=":")
    left.text(tip + 0.1, 1.0, "tipping point", color=DANGER)
    left.set(xlim=(0, 12), ylim=(0, 12), xlabel="stock, biomass", ylabel="escapement, biomass")
    left.set_title("Allen, σ .1: what is left of a stock")
    years, large = np.arange(60), np.full(60, fishery.x_max)
    for k, eps in enumerate((1.0, *PROMISES)):
        agent: Any = make("safe_harvest", fishery, eps=eps)
        s = agent.escapement(large, years)
        right.plot(years, s, color=(INK, *SLOTS)[k], linewidth=1.5, drawstyle="steps-post")
        start = (0, s[0]) if eps < 1.0 else (50, s[0])
        text = f"P ≤ {short(eps)}" if eps < 1.0 else "optimum, P = .17"
        right.annotate(text, start, (4, 8), textcoords="offset points")
    right.set(xlim=(0, 60), xlabel="year", ylabel="escapement of a large stock, biomass")
    right.set_title("of a large one, for a promise of 50 years")
    save(figure, "collapse_policies")


def main() -> None:
    """Compute, tabulate and draw."""
    described(__doc__)
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
                {"sigma": short(sigma), "policy": AGENTS[name][0]}
                | {f"year {year}": f"{by_year[year]:.3g}" for year in (5, 10, 25, 50)}
                | {"ever in 50 years": f"{ever:.3g}"}
            )
    write(pd.DataFrame(rows), "collapse", {})
    draw_risks(found)
    draw_policies(allen_fishery(sigma=0.1))


if __name__ == "__main__":
    main()
