"""Upper and lower bounds against time: what the portfolio knows after how many seconds.

    python experiments/lipschitz/anytime.py        (about a minute on one core)

Three networks: one of a policy's size, everywhere; the same kind on a small box; and a small ReLU
network whose exact constant on its box is known by enumeration.
"""

from __future__ import annotations

import csv
import itertools
from typing import Any, NamedTuple

import numpy as np
from look import INK, LINE, SLOTS, panels, save
from tables import RESULTS, described
from tqdm import tqdm

from rlopt.theory.lipschitz import Network, certify, exact

SECONDS = 20.0
FIRST = 1e-3  # seconds where the axis begins


class Task(NamedTuple):
    """A panel of the figure."""

    name: str
    net: Network
    radius: float | None
    norm: str


def gaussian(dims: tuple[int, ...], activation: str) -> Network:
    """Entries N(0, 1/fan-in), biases N(0, .09)."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(h, n)) / np.sqrt(n) for n, h in itertools.pairwise(dims)]
    return Network.from_weights(weights, [0.3 * rng.normal(size=h) for h in dims[1:]], activation)


def formula(dims: tuple[int, ...], activation: str = "relu") -> Network:
    """W_k[i, j] = sin(1 + .7 i + 1.3 j + 2.1 k + .37 i j), b_k[i] = .5 cos(.3 + 1.1 i + .9 k)."""
    weights, biases = [], []
    for k, (n, h) in enumerate(itertools.pairwise(dims)):
        i, j = np.ogrid[:h, :n]
        weights.append(np.sin(1.0 + 0.7 * i + 1.3 * j + 2.1 * k + 0.37 * i * j))
        biases.append(0.5 * np.cos(0.3 + 1.1 * np.arange(h) + 0.9 * k))
    return Network.from_weights(weights, biases, activation)


TASKS = (
    Task("17-64-64-6 tanh, everywhere", gaussian((17, 64, 64, 6), "tanh"), None, "l2"),
    Task("3-64-64-1 tanh, box ±0.2", gaussian((3, 64, 64, 1), "tanh"), 0.2, "l2"),
    Task("2-6-6-1 ReLU, box ±0.5", formula((2, 6, 6, 1)), 0.5, "l2"),
)


def main() -> None:
    """Run all tasks; write the figure and the table."""
    described(__doc__)
    figure, axes = panels(1, len(TASKS), width=3.6, height=2.9)
    rows = []
    for task, axis in zip(tqdm(TASKS), axes[0], strict=True):
        n0 = task.net.inputs
        region = (
            None if task.radius is None else (np.full(n0, -task.radius), np.full(n0, task.radius))
        )
        found = certify(task.net, region, task.norm, budget_seconds=SECONDS)
        for record in found.history:
            rows.append([task.name, *record])
        draw(axis, task, found.history)
        if task.net.neurons < 20:
            axis.axhline(exact(task.net, region, task.norm), color=INK, lw=0.8, ls=":")
    axes[0, 0].set_ylabel("Lipschitz constant, l2")
    save(figure, "anytime")
    with (RESULTS / "anytime.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["network", "seconds", "upper", "lower", "method", "rigorous"])
        for name, seconds, upper, lower, *kind in rows:
            writer.writerow([name, f"{seconds:.3f}", f"{upper:.7g}", f"{lower:.7g}", *kind])


def draw(axis: Any, task: Task, history: Any) -> None:
    """The bracket as steps up to the end of the budget; the first use of each method is named."""
    seconds = [*(max(record.seconds, FIRST) for record in history), SECONDS]
    for side, color in (("upper", SLOTS[0]), ("lower", SLOTS[1])):
        values = [getattr(record, side) or np.nan for record in history]
        axis.step(seconds, [*values, values[-1]], where="post", color=color, lw=1.5)
        axis.annotate(
            f"{side} {values[-1]:.3f}", (SECONDS, values[-1]), color=color, ha="right", fontsize=8,
            xytext=(0, 22 if side == "upper" else -11), textcoords="offset points",
        )  # fmt: skip
    named: set[str] = set()
    last = np.inf
    for record in history:
        if record.upper < last and record.method not in named:
            axis.annotate(
                record.method, (max(record.seconds, FIRST), record.upper), fontsize=7, color=INK,
                xytext=(3, 3), textcoords="offset points",
            )  # fmt: skip
            named.add(record.method)
        last = record.upper
    axis.set(title=task.name, xlabel="seconds", xscale="log", ylim=(0.0, None))
    axis.set_xticks([0.001, 0.01, 0.1, 1.0, 10.0], ["0.001", "0.01", "0.1", "1", "10"])
    axis.margins(y=0.12)
    axis.grid(True, which="major", color=LINE, lw=0.6)


if __name__ == "__main__":
    main()
