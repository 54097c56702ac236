"""What safety costs: the largest catch for each probability of a collapse within 50 years.

Writes results/safety.{csv,md,png} and results/safety_rules.{csv,md}; half a minute on one core.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from look import (
    DANGER,
    INK,
    LINE,
    MARKS,
    SLOTS,
    panels,
    probability_ticks,
    save,
    save_table,
    short,
)
from tqdm import tqdm

from rlopt.agents import make
from rlopt.envs.fishery import allen_fishery, may_fishery, myers_fishery
from rlopt.theory.dp import collapse_probability
from rlopt.theory.safety import TradeOff, safe_harvest, trade_off

YEARS = 50
EPS = (0.2, 0.1, 0.05, 0.01, 0.001, 0.00001)
may = partial(may_fishery, a=0.23)
FISHERIES = {
    "Allen, σ .05": allen_fishery(sigma=0.05),
    "Allen, σ .08": allen_fishery(sigma=0.08),
    "Allen, σ .10": allen_fishery(sigma=0.10),
    "Allen, σ .15": allen_fishery(sigma=0.15),
    "Allen, σ .20": allen_fishery(sigma=0.20),
    "Myers, σ .05": myers_fishery(sigma=0.05),
    "Myers, σ .08": myers_fishery(sigma=0.08),
    "May, σ .05": may(sigma=0.05),
    "May, σ .10": may(sigma=0.10),
}
SHOWN = (
    *("Allen, σ .05", "Allen, σ .08", "Allen, σ .10"),
    *("Allen, σ .15", "Myers, σ .08", "May, σ .10"),
)
RULES = {
    "constant_escapement": "escapement S_MSY",
    "40-10": "40-10",
    "constant_fraction": "fraction u_MSY",
}


def promises(name: str, fishery: Any, curve: TradeOff) -> list[dict[str, Any]]:
    """One row an eps: what the best policy that keeps it is worth."""
    rows = []
    for eps in EPS:
        row: dict[str, Any] = {"fishery": name, "eps": eps}
        row |= {"P, optimum": curve.probability[0], "P, least": curve.probability[-1]}
        if eps >= curve.probability[-1]:
            found = safe_harvest(
                fishery.problem,
                fishery.x0,
                threshold=fishery.collapse_level,
                years=YEARS,
                eps=eps,
            )
            early, late = (
                found.escapement(np.array([fishery.x_max]), year)[0] for year in (0, YEARS // 2)
            )
            row |= {
                "P": found.probability,
                "value": found.value,
                "lost, %": 100.0 * (1.0 - found.value / curve.value[0]),
                "gap": found.dual_bound - found.value,
                "multiplier": found.multiplier,
                "S, year 0": early,
                "S, year 25": late,
            }
        rows.append(row)
    return rows


def rules(name: str, fishery: Any, curve: TradeOff) -> list[dict[str, Any]]:
    """One row a rule: exact value and probability of a collapse."""
    oracle = fishery.oracle()
    optimum = {"value": oracle.value.value, "lost, %": 0.0, "P": curve.probability[0]}
    rows: list[dict[str, Any]] = [{"fishery": name, "rule": "optimum"} | optimum]
    for rule, label in RULES.items():
        agent = make(rule, fishery)
        value = oracle.policy_value(agent)
        risk = collapse_probability(
            fishery, agent, fishery.x0, YEARS, fishery.collapse_level, ever=True
        )
        lost = 100.0 * (1.0 - value / oracle.value.value)
        rows.append({"fishery": name, "rule": label, "value": value, "lost, %": lost, "P": risk})
    return rows


def draw(curves: dict[str, TradeOff], of_rules: pd.DataFrame) -> None:
    """Value lost against the probability of a collapse, one panel a fishery."""
    figure, axes = panels(2, 3, width=3.4, height=2.9, sharey=True)
    for axis, name in zip(axes.flat, SHOWN, strict=True):
        curve, marks = curves[name], of_rules[of_rules.fishery == name].set_index("rule")
        lost = 100.0 * (1.0 - curve.value / curve.value[0])
        left, least = 0.6 * curve.probability[-1], curve.probability[-1]
        axis.set(xscale="log", xlim=(left, 1.6), ylim=(-3, 88))
        axis.grid(axis="y", color=LINE, linewidth=0.6)
        axis.axvspan(left, least, facecolor="none", edgecolor=DANGER, hatch="////", linewidth=0)
        axis.plot(curve.probability, lost, color=INK, linewidth=1.8)
        axis.plot(curve.probability[0], 0.0, "o", color=INK, markersize=5)
        half, title = 0.5 * curve.probability[0], f"{name}: half the risk is out of reach"
        if half > least:
            cost = float(np.interp(half, curve.probability[::-1], lost[::-1]))
            axis.plot(half, cost, "o", color=INK, markersize=5, markerfacecolor="white")
            title = f"{name}: half the risk costs {short(cost)} %"
        axis.set_title(title)
        for k, label in enumerate(RULES.values()):
            at = marks.loc[label, "P"], marks.loc[label, "lost, %"]
            axis.plot(*at, MARKS[k + 1], color=SLOTS[k], markersize=6)
        probability_ticks(axis.xaxis, left)
    _label(axes, curves, of_rules)
    for axis in axes[-1]:
        axis.set_xlabel(f"probability of a collapse within {YEARS} years")
    for axis in axes[:, 0]:
        axis.set_ylabel("value lost, % of the optimum")
    save(figure, "safety")


def _label(axes: Any, curves: dict[str, TradeOff], of_rules: pd.DataFrame) -> None:
    """Names of what every panel shows, each once, where there is room."""
    point = {"textcoords": "offset points", "va": "center"}
    first, middle, last = axes[0, 0], axes[1, 1], axes[1, 2]
    risk = curves[SHOWN[4]].probability
    middle.annotate("optimum", (risk[0], 0.0), xytext=(9, 2), **point)
    middle.annotate("half its risk", (0.5 * risk[0], 4.0), xytext=(6, 9), **point)
    risk = curves[SHOWN[0]].probability
    first.annotate("best for its risk", (risk[-1], 26.0), xytext=(10, 4), **point)
    first.annotate("no policy", (risk[-1], 70.0), xytext=(4, 0), color=DANGER, **point)
    marks = of_rules[of_rules.fishery == SHOWN[-1]].set_index("rule")
    for rule, offset, side in (
        ("escapement S_MSY", (8, 0), "left"),
        ("40-10", (-8, 3), "right"),
        ("fraction u_MSY", (-8, -3), "right"),
    ):
        at = (marks.loc[rule, "P"], marks.loc[rule, "lost, %"])
        last.annotate(rule, at, xytext=offset, ha=side, **point)


def main() -> None:
    """Solve, tabulate and draw."""
    rows, of_rules, curves = [], [], {}
    for name, fishery in tqdm(FISHERIES.items()):
        curves[name] = trade_off(
            fishery.problem, fishery.x0, threshold=fishery.collapse_level, years=YEARS
        )
        rows += promises(name, fishery, curves[name])
        of_rules += rules(name, fishery, curves[name])
    decimals = {"eps": -1, "P": -1, "P, optimum": -1, "P, least": -1, "gap": -1, "multiplier": 1}
    save_table(pd.DataFrame(rows), "safety", decimals | {"value": 3})
    save_table(pd.DataFrame(of_rules), "safety_rules", decimals | {"value": 3})
    draw(curves, pd.DataFrame(of_rules))


if __name__ == "__main__":
    main()
