"""Self-play of learners on matrix games: the duality gap of the averages against the rounds.

    python experiments/sea/matrix_games.py

writes matrix_games.csv, .md and .png to `results/` (1 minute).

min_x max_y x'Ay over two simplices; both players use the same learner and see the gradient at the
other's strategy. Gradient descent steps by D / (|A| sqrt t), optimistic descent by 1 / (4 |A|) with
|A| the spectral norm, both hedges by .2 (entries are within [-1, 1]). The gap of the averages x_,
y_ of T rounds, max_j (x_' A)_j - min_i (A y_)_i, is at most the sum of both players' regrets / T:
of order 1 / sqrt T for learners whose regret is of order sqrt T, and 1 / T where the last gradient
is a good enough hint. The slope is that of log gap against log T from T = 100 on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from look import LINE, MARKS, MUTED, SLOTS, panels, save
from scipy.optimize import linprog
from tables import described, write
from tqdm import tqdm

from rlopt.agents import online
from rlopt.spaces import Simplex

T = 10_000
SHOWN = (100, 1000, 10_000)
TIMES = np.union1d(np.geomspace(1, T, 60).astype(int), SHOWN)
LEARNERS: dict[str, Callable[[Simplex, float], Any]] = {  # set, |A| -> learner
    "OGD": lambda space, norm: online.make("ogd", space, G=norm),
    "optimistic OGD": lambda space, norm: online.make("optimistic_omd", space, eta=0.25 / norm),
    "Hedge": lambda space, norm: online.make("hedge", space, eta=0.2),
    "optimistic Hedge": lambda space, norm: online.make("optimistic_hedge", space, eta=0.2),
    "ensemble": lambda space, norm: online.make("ensemble", space),
}


def games() -> dict[str, np.ndarray]:
    """Payoffs of the second player, in [-1, 1]."""
    rng = np.random.default_rng(0)
    distance = np.abs(np.subtract.outer(np.arange(20), np.arange(20)))
    burglar = rng.random(20)[:, None] * (1.0 - np.exp(-0.8 * distance))
    return {
        "sin(ij + 1), 4 x 5": np.sin(np.outer(np.arange(1, 5), np.arange(1, 6)) + 1.0),
        "rock paper scissors, weighted": np.array([[0, 0.3, -1], [-0.3, 0, 0.6], [1, -0.6, 0]]),
        "uniform, 20 x 30": rng.uniform(-1.0, 1.0, (20, 30)),
        "policeman and burglar, 20 x 20": burglar.T,
    }


def value(A: np.ndarray) -> float:
    """min_x max_y x'Ay, by linear programming: the least v with x'A <= v in every column."""
    rows, columns = A.shape
    solved = linprog(
        [*np.zeros(rows), 1.0],
        A_ub=np.hstack([A.T, -np.ones((columns, 1))]),
        b_ub=np.zeros(columns),
        A_eq=[[*np.ones(rows), 0.0]],
        b_eq=[1.0],
        bounds=[(0.0, None)] * rows + [(None, None)],
        method="highs",
    )
    return float(solved.fun)


def brackets(name: str, A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds on the value by the averages of the first TIMES rounds."""
    norm = float(np.linalg.norm(A, 2))
    row, column = (LEARNERS[name](Simplex(n), norm) for n in A.shape)
    x_sum, y_sum = np.zeros(A.shape[0]), np.zeros(A.shape[1])
    low, high = [], []
    for t in range(1, T + 1):
        x, y = row.ask(), column.ask()
        row.tell(x, gradient=A @ y)
        column.tell(y, gradient=-A.T @ x)
        x_sum, y_sum = x_sum + x, y_sum + y
        if t in TIMES:
            low.append((A @ y_sum).min() / t)
            high.append((x_sum @ A).max() / t)
    return np.array(low), np.array(high)


def main() -> None:
    """The table and the figure."""
    described(__doc__)
    rows = []
    drawing, axes = panels(1, 4, width=3.0, height=3.0, sharey=True)
    for axis, (label, A) in zip(axes[0], games().items(), strict=True):
        exact = value(A)
        for name, ink, mark in zip(tqdm(LEARNERS, desc=label), SLOTS, MARKS, strict=False):
            low, high = brackets(name, A)
            if not ((low <= exact + 1e-9) & (exact - 1e-9 <= high)).all():
                raise ArithmeticError(f"{label}, {name}: the averages do not bracket the value")
            gap = high - low
            at = {f"T={t}": gap[np.searchsorted(TIMES, t)] for t in SHOWN}
            late = TIMES >= T / 100
            slope = np.polyfit(np.log(TIMES[late]), np.log(gap[late]), 1)[0]
            rows.append({"game": label, "value": exact, "learner": name, **at, "slope": slope})
            axis.plot(TIMES, gap, color=ink, marker=mark, markevery=12, ms=4, lw=1.3, label=name)
        for power, at in ((1.0, 3.0), (0.5, 1.0)):
            axis.plot(TIMES, at * TIMES**-power, color=LINE, lw=1.0, zorder=0)
            axis.annotate(
                "1/T" if power == 1.0 else "1/sqrt T",
                (T, at * T**-power),
                color=MUTED,
                fontsize=7,
                ha="right",
                va="bottom",
            )
        axis.set(xscale="log", yscale="log", xlabel="rounds T", title=f"{label}")
    axes[0, 0].set_ylabel("duality gap of the averages")
    axes[0, 0].legend(frameon=False, fontsize=7)
    save(drawing, "matrix_games")
    digits = {"value": 7, "slope": 2} | {f"T={t}": 5 for t in SHOWN}
    print(write(pd.DataFrame(rows), "matrix_games", digits))


if __name__ == "__main__":
    main()
