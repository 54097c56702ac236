"""What safety costs: the largest catch for each probability of a collapse within 50 years.

Writes results/safety.{csv,md,png} and results/safety_{promises,rules}.{csv,md}; some 15 seconds.
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
    short,
)
from tables import described, write
from tqdm import tqdm

from rlopt.agents import make
from rlopt.envs.fishery import allen_fishery, may_fishery, myers_fishery
from rlopt.theory.dp import collapse_probability
from rlopt.theory.safety import SafeHarvest, TradeOff, safe_harvest, trade_off

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


def costs(name: str, fishery: Any, curve: TradeOff) -> dict[str, Any]:
    """Value lost in % for each eps: 0 where the optimum keeps it, a dash where no policy does."""
    most, least = curve.probability[[0, -1]]
    row: dict[str, Any] = {"fishery": name, "optimum": curve.value[0]}
    row |= {"P of the optimum": f"{most:.3g}", "least P": f"{least:.3g}"}
    for eps in EPS:
        cost = "0" if eps >= most else "–"
        if least <= eps < most:
            cost = f"{lost(promise(fishery, eps).value, curve):.2g}"
        row[f"P ≤ {eps:g}"] = cost
    return row


def promises(name: str, fishery: Any, curve: TradeOff) -> list[dict[str, Any]]:
    """One row for each eps that costs something, and for half the risk of the optimum."""
    rows = []
    for eps in sorted({*EPS, 0.5 * curve.probability[0]}, reverse=True):
        if not curve.probability[-1] <= eps < curve.probability[0]:
            continue
        found = promise(fishery, eps)
        early, late = (found.escapement(np.array([fishery.x_max]), year)[0] for year in (0, 25))
        row = {"fishery": name, "eps": f"{eps:.3g}", "P": f"{found.probability:.4g}"}
        row |= {"value": found.value, "lost, %": lost(found.value, curve)}
        row |= {"gap, %": f"{100.0 * (found.dual_bound / found.value - 1.0):.2g}"}
        row |= {"price of a collapse": f"{found.multiplier:.3g}"}
        rows.append(row | {"S, year 0": early, "S, year 25": late})
    return rows


def promise(fishery: Any, eps: float) -> SafeHarvest:
    """The best policy with at most that probability of a collapse."""
    return safe_harvest(
        fishery.problem, fishery.x0, threshold=fishery.collapse_level, years=YEARS, eps=eps
    )


def lost(value: Any, curve: TradeOff) -> Any:
    """Per cent of the optimum on the same grid."""
    return 100.0 * (1.0 - value / curve.value[0])


def rules(name: str, fishery: Any, curve: TradeOff) -> list[dict[str, Any]]:
    """One row a rule: exact value and probability of a collapse."""
    oracle, rows = fishery.oracle(), []
    for rule, label in RULES.items():
        agent = make(rule, fishery)
        value = oracle.policy_value(agent)
        risk = collapse_probability(
            fishery, agent, fishery.x0, YEARS, fishery.collapse_level, ever=True
        )
        rows.append(
            {"fishery": name, "rule": label, "value": value, "lost, %": lost(value, curve)}
            | {"P": f"{risk:.3g}"}
        )
    return rows


def draw(curves: dict[str, TradeOff], of_rules: pd.DataFrame) -> None:
    """Value lost against the probability of a collapse, one panel a fishery."""
    figure, axes = panels(2, 3, width=3.4, height=2.9, sharey=True)
    for axis, name in zip(axes.flat, SHOWN, strict=True):
        curve, marks = curves[name], of_rules[of_rules.fishery == name].set_index("rule")
        given_up = lost(curve.value, curve)
        left, least = 0.6 * curve.probability[-1], curve.probability[-1]
        axis.set(xscale="log", xlim=(left, 1.6), ylim=(-3, 88))
        axis.grid(axis="y", color=LINE, linewidth=0.6)
        axis.axvspan(left, least, facecolor="none", edgecolor=DANGER, hatch="////", linewidth=0)
        axis.plot(curve.probability, given_up, color=INK, linewidth=1.8)
        axis.plot(curve.probability[0], 0.0, "o", color=INK, markersize=5)
        half, title = 0.5 * curve.probability[0], f"{name}: half the risk is out of reach"
        if half > least:
            cost = lost(promise(FISHERIES[name], half).value, curve)
            axis.plot(half, cost, "o", color=INK, markersize=5, markerfacecolor="white")
            title = f"{name}: half the risk costs {short(cost)} %"
        axis.set_title(title)
        for k, label in enumerate(RULES.values()):
            at = float(marks.loc[label, "P"]), marks.loc[label, "lost, %"]
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
        at = (float(marks.loc[rule, "P"]), marks.loc[rule, "lost, %"])
        last.annotate(rule, at, xytext=offset, ha=side, **point)


def main() -> None:
    """Solve, tabulate and draw."""
    described(__doc__)
    summary, details, of_rules, curves = [], [], [], {}
    for name, fishery in tqdm(FISHERIES.items()):
        curve = curves[name] = trade_off(
            fishery.problem, fishery.x0, threshold=fishery.collapse_level, years=YEARS
        )
        summary.append(costs(name, fishery, curve))
        details += promises(name, fishery, curve)
        of_rules += rules(name, fishery, curve)
    write(pd.DataFrame(summary), "safety", {})
    write(pd.DataFrame(details), "safety_promises", {"lost, %": 2, "S, year 0": 2, "S, year 25": 2})
    write(pd.DataFrame(of_rules), "safety_rules", {"lost, %": 1})
    draw(curves, pd.DataFrame(of_rules))


if __name__ == "__main__":
    main()
