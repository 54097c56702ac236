"""The GPDP paper's policies, ours, and the optimum: catch, collapse and exact value.

    python experiments/fisheries/gpdp_table.py

writes gpdp_table.csv, gpdp_table.md and gpdp_policies.png to `results/` (20 seconds).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from look import DANGER, INK, LINE, MUTED, SLOTS, panels, save
from protocol import COLLAPSED, GRID, GROWTH, HARVESTS, SIGMA, START, resimulate
from tables import described, write
from tqdm import tqdm

from rlopt.agents.gpdp import GPDP, paper_dp
from rlopt.agents.gpdp_paper import paper_escapement
from rlopt.data import gpdp_training_series
from rlopt.envs.fishery import Fishery, LognormalNoise
from rlopt.theory.dp import collapse_probability, solve_harvest

GAMMA = 0.99
REPLICATES = 20_000
NODES = 3001  # of the exact values: a policy that snaps to 50 nodes is a saw on them
DIGITS = {
    "states as archived": 0,
    "published catch": 2,
    "catch": 2,
    "s.e.": 3,
    "V(10)": 2,
    "collapsed": 4,
    "collapsed (exact)": 5,
    "V / V*": 4,
}
NODE = np.arange(len(GRID))
# The archived policies (figure 4 of the repository's data at commit c9bbc84), as escapements.
ARCHIVED_TRUE = GRID[np.where(NODE < 15, 0, np.minimum(NODE, 22))]
ARCHIVED_GP = GRID[np.where(NODE < 20, 0, np.where(NODE < 28, np.minimum(NODE, 21), 22))]

Escapement = Callable[[np.ndarray], np.ndarray]


class Policy(NamedTuple):
    """A row of the table.

    Attributes:
        escapement: stocks (n,) -> escapements (n,) [biomass].
        catch: published mean of 100 replicates [biomass], if there is one.
        archived: the published escapements at the nodes, if there are any.
    """

    escapement: Escapement
    catch: float = np.nan
    archived: np.ndarray | None = None


def policies(fishery: Fishery) -> dict[str, Policy]:
    """The table's rows: the paper's two, ours corrected, and the optimum."""
    series = gpdp_training_series()
    x, y = series[:-1], series[1:]
    known = paper_dp(GROWTH, SIGMA, GRID)
    published = GPDP.fit(x, y, mode="paper", grid=GRID, seed=0)
    table = {
        "True model, paper mode": Policy(
            lambda stock: paper_escapement(stock, GRID, known), 26.53, ARCHIVED_TRUE
        ),
        "GPDP, paper mode": Policy(published.escapement, 24.91, ARCHIVED_GP),
    }
    for name, grid in (("50 nodes", GRID), ("601 nodes", np.linspace(0.0, 15.0, 601))):
        corrected = GPDP.fit(x, y, mode="corrected", grid=grid, gamma=GAMMA, seed=0)
        table[f"GPDP, corrected, {name}"] = Policy(corrected.escapement)
    table["optimum (exact)"] = Policy(fishery.oracle().escapement)
    return table


def measure(table: dict[str, Policy], fishery: Fishery) -> pd.DataFrame:
    """One row a policy."""
    solution = solve_harvest(fishery.problem, NODES)[0]
    start = np.array([START])
    optimum = float(solution.value_at(start)[0])
    rows = []
    for name, policy in tqdm(table.items(), desc="policies"):
        controls = resimulate(GROWTH, SIGMA, policy.escapement, REPLICATES, seed=0)
        value = float(solution.evaluate(fishery.memoryless(policy.escapement), start)[0])
        same = np.nan
        if policy.archived is not None:
            same = np.isclose(policy.escapement(GRID), policy.archived, atol=1e-9).sum()
        rows.append(
            {
                "policy": name,
                "states as archived": same,
                "published catch": policy.catch,
                "catch": controls.catch.mean(),
                "s.e.": controls.error,
                "collapsed": controls.collapsed,
                "collapsed (exact)": collapse_probability(
                    fishery, policy.escapement, START, HARVESTS, COLLAPSED, nodes=NODES
                ),
                "V(10)": value,
                "V / V*": value / optimum,
            }
        )
    return pd.DataFrame(rows)


def draw(table: dict[str, Policy]) -> None:
    """Escapement against stock, with the tipping point."""
    stock = np.linspace(0.0, 12.0, 2401)
    figure, ((axes,),) = panels(1, 1, width=7.0, height=4.2)
    axes.plot(stock, stock, color=LINE, lw=1)
    axes.axvline(GROWTH.C, color=DANGER, ls=":", lw=1)
    styles = {
        "optimum (exact)": {"color": INK, "lw": 5.0, "alpha": 0.25},
        "GPDP, corrected, 601 nodes": {"color": SLOTS[0], "lw": 1.6},
        "True model, paper mode": {"color": SLOTS[2], "lw": 1.2},
        "GPDP, paper mode": {"color": SLOTS[1], "lw": 1.2},
    }
    for name, style in styles.items():
        axes.plot(stock, table[name].escapement(stock), label=name, **style)
    axes.text(8.4, 8.75, "no harvest", color=MUTED, ha="right")
    axes.text(GROWTH.C - 0.1, 8.0, "tipping point", color=DANGER, ha="right")
    axes.text(6.1, 2.6, "published GPDP: all is\nlanded below 6", color=SLOTS[1])
    axes.set(xlabel="stock, biomass", ylabel="escapement, biomass", xlim=(0, 12), ylim=(0, 9))
    axes.legend(loc="lower right", frameon=False)
    save(figure, "gpdp_policies")


def main() -> None:
    """Measure, write and print."""
    described(__doc__)
    fishery = Fishery(growth=GROWTH, noise=LognormalNoise(SIGMA), x0=START, gamma=GAMMA)
    table = policies(fishery)
    frame = measure(table, fishery)
    print(write(frame, "gpdp_table", DIGITS))
    draw(table)


if __name__ == "__main__":
    main()
