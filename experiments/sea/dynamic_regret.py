"""Regret against an optimum that jumps K - 1 times: every learner beside the best fixed step.

    python experiments/sea/dynamic_regret.py

writes dynamic_regret.csv, .md and .png, dynamic_regret_tasks.csv and .md to `results/` (1 minute).

2,000 rounds of |x - c_t|^2 / 2 on the unit ball in 5 dimensions. c_t is +-.6 (1, ..., 1) / sqrt 5,
the sign by K equal blocks, plus a ripple .2 sin(2.3 t j + phase) in coordinate j = 1..5, or noise.
Regret is against the centres of the blocks. The best fixed step is chosen in hindsight, for every
task on its own, among .01 2^i, i = 0..7, of plain gradient descent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from look import DANGER, INK, LINE, MARKS, MUTED, SLOTS, panels, save
from tables import described, write
from tqdm import tqdm

from rlopt.agents import online
from rlopt.envs.sea import play
from rlopt.spaces import Ball

T, DIMENSION, G, L = 2000, 5, 2.0, 1.0
BLOCKS = (1, 4, 20, 100)
CURVE = (1, 2, 4, 10, 20, 40, 100, 200)
PHASES = (0.0, 1.0, 2.0, 3.0, 4.0)  # the first is that of the table
SEEDS = 5
STEPS = tuple(0.01 * 2**i for i in range(8))
ALLOWED = {1: 2.0, 4: 1.15, 20: 1.05, 100: 1.05}  # times the best fixed step
BEST = "best fixed step"
LEARNERS: dict[str, tuple[str, dict[str, Any]]] = {
    "OGD D/(G sqrt T)": ("ogd", {"schedule": "sqrt_T", "G": G, "T": T}),
    "OGD D/(G sqrt t)": ("ogd", {"schedule": "sqrt_t", "G": G}),
    **{f"OGD {step:g}": ("ogd", {"eta": step}) for step in STEPS},
    "optimistic OGD 1/8": ("optimistic_omd", {"eta": 0.125}),
    "A1 delta=200": ("optimistic_omd", {"G": G, "L": L}),
    "A1 delta=1": ("optimistic_omd", {"G": G, "constants": "practical"}),
    "A1 delta=1, no hint": ("optimistic_omd", {"G": G, "constants": "practical", "hint": "zero"}),
    "A5 OFTRL": ("oftrl", {"G": G, "L": L}),
    "A5b parameter-free": ("oftrl_parameter_free", {}),
    "A8 eps=1/32": ("dynamic_omd", {"G": G, "L": L, "T": T}),
    "A8 adaptive": ("dynamic_omd", {"G": G, "L": L, "T": T, "constants": "practical"}),
    "ensemble": ("ensemble", {}),
}
DRAWN = ("OGD D/(G sqrt T)", "A1 delta=1", "A8 eps=1/32", "ensemble")

Task = tuple[np.ndarray, np.ndarray]  # targets and centres, (T, tasks, d)


def task(blocks: int, wobble: np.ndarray) -> Task:
    """Targets and centres of one task, (T, d)."""
    sign = (-1.0) ** (np.arange(T) * blocks // T)
    centre = np.repeat(sign[:, None], DIMENSION, axis=1) * 0.6 / np.sqrt(DIMENSION)
    return centre + wobble, centre


def ripple(phase: float) -> np.ndarray:
    """A deterministic wobble, (T, d)."""
    t, j = np.arange(1, T + 1)[:, None], np.arange(1, DIMENSION + 1)
    return 0.2 * np.sin(2.3 * t * j + phase)


def noise(seed: int, size: float) -> np.ndarray:
    """Independent signs, of norm `size`, (T, d)."""
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (T, DIMENSION))
    return size * signs / np.sqrt(DIMENSION)


def stack(tasks: list[Task]) -> Task:
    """Tasks side by side, as the runs of one learner."""
    targets, centres = zip(*tasks, strict=True)
    return np.stack(targets, axis=1), np.stack(centres, axis=1)


def regrets(name: str, tasks: Task) -> np.ndarray:
    """A learner's regret on every task, (tasks,)."""
    c, u = tasks
    learner, constants = LEARNERS[name]
    made = online.make(learner, Ball(DIMENSION), runs=c.shape[1], **constants)
    trace = play(made, lambda t, x: x - c[t - 1], lambda t, x: _half(x - c[t - 1]), T)
    return np.asarray(trace.loss.sum(axis=0) - _half(u - c).sum(axis=0))


def _half(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (x * x).sum(axis=-1))


def all_regrets(tasks: Task) -> dict[str, np.ndarray]:
    """Every learner's regrets, and those of the best fixed step."""
    found = {name: regrets(name, tasks) for name in tqdm(LEARNERS)}
    found[BEST] = np.min([found[f"OGD {step:g}"] for step in STEPS], axis=0)
    return found


def main_table() -> str:
    """The first phase: regret and its ratio to the best fixed step, per number of blocks."""
    found = all_regrets(stack([task(blocks, ripple(0.0)) for blocks in BLOCKS]))
    rows = []
    for name in (BEST, *LEARNERS):
        row: dict[str, Any] = {"learner": name}
        row |= {f"K={k}": value for k, value in zip(BLOCKS, found[name], strict=True)}
        ratio = found[name] / found[BEST]
        row |= {f"ratio K={k}": value for k, value in zip(BLOCKS, ratio, strict=True)}
        rows.append(row)
    digits = {f"K={k}": 1 for k in BLOCKS} | {f"ratio K={k}": 2 for k in BLOCKS}
    return write(pd.DataFrame(rows), "dynamic_regret", digits)


def other_tasks() -> str:
    """The ensemble's worst ratio over other phases, and over seeds of noise instead of a ripple."""
    wobbles = {
        f"ripple, {len(PHASES)} phases": [ripple(phase) for phase in PHASES],
        f"noise .3, {SEEDS} seeds": [noise(seed, 0.3) for seed in range(SEEDS)],
        f"noise 1, {SEEDS} seeds": [noise(seed, 1.0) for seed in range(SEEDS)],
        "nothing": [np.zeros((T, DIMENSION))],
    }
    rows = []
    for label, several in wobbles.items():
        pairs = [(blocks, wobble) for blocks in BLOCKS for wobble in several]
        found = all_regrets(stack([task(*pair) for pair in pairs]))
        shape = (len(BLOCKS), len(several))
        best = found[BEST].reshape(shape)
        for name in DRAWN:
            worst = (found[name].reshape(shape) / best).max(axis=1)
            row: dict[str, Any] = {"wobble": label, "learner": name}
            rows.append(row | {f"K={k}": value for k, value in zip(BLOCKS, worst, strict=True)})
    return write(pd.DataFrame(rows), "dynamic_regret_tasks", {f"K={k}": 2 for k in BLOCKS})


def figure() -> None:
    """Regret over K, and what every fixed step costs beside the ensemble."""
    found = all_regrets(stack([task(blocks, ripple(0.0)) for blocks in CURVE]))
    drawing, axes = panels(1, 2, width=4.4, height=3.3)
    left, right = axes[0]
    left.plot(CURVE, found[BEST], color=INK, lw=3, alpha=0.25, label=BEST)
    for name, ink, mark in zip(DRAWN, SLOTS, MARKS, strict=False):
        left.plot(CURVE, found[name], color=ink, marker=mark, ms=4, lw=1.3, label=name)
    left.set(xscale="log", yscale="log", xlabel="blocks K", title="Regret over 2,000 rounds")
    left.legend(frameon=False, fontsize=7.5)
    for step in STEPS:
        ratio = found[f"OGD {step:g}"] / found[BEST]
        right.plot(CURVE, ratio, color=LINE, lw=1.2, zorder=1)
    right.plot([], [], color=LINE, label="fixed steps .01 to 1.28")
    right.plot(
        CURVE, found["ensemble"] / found[BEST], color=SLOTS[3], marker="D", ms=4, label="ensemble"
    )
    right.plot(list(ALLOWED), list(ALLOWED.values()), "_", color=DANGER, ms=12, label="goal")
    right.axhline(1.0, color=MUTED, lw=0.8)
    right.set(xscale="log", xlabel="blocks K", title="Regret / that of the best fixed step")
    right.set_ylim(0.7, 3.0)
    right.legend(frameon=False, fontsize=7.5)
    save(drawing, "dynamic_regret")


if __name__ == "__main__":
    described(__doc__)
    print(main_table())
    print(other_tasks())
    figure()
