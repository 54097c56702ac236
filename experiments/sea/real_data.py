"""Learners on the data sets that scikit-learn ships: in the file's order and in random ones.

Diabetes is half the squared error on the unit ball; breast cancer and digits (even or odd) are
logistic losses on the ball of radius 5. Takes about two minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit
from tables import described, write
from tqdm import tqdm

from rlopt import data
from rlopt.agents import online
from rlopt.envs.sea import comparators, play
from rlopt.spaces import Ball

ORDERS = 30  # random ones
LEARNERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gradient descent, D/(G sqrt t)": ("ogd", {"schedule": "sqrt_t"}),
    "optimistic OMD, theory": ("optimistic_omd", {}),
    "optimistic OMD, practical": ("optimistic_omd", {"constants": "practical"}),
    "optimistic Newton, theory": ("optimistic_omd_exp", {}),
    "optimistic Newton, practical": ("optimistic_omd_exp", {"constants": "practical"}),
    "OFTRL, theory": ("oftrl", {}),
    "OFTRL, practical": ("oftrl", {"constants": "practical"}),
    "OFTRL, parameter-free": ("oftrl_parameter_free", {}),
    "ensemble": ("ensemble", {}),
}
TAKES = {
    "ogd": ("G",),
    "optimistic_omd": ("G", "L"),
    "optimistic_omd_exp": ("G", "alpha"),
    "oftrl": ("G", "L"),
}


class Task(NamedTuple):
    """phi(<a_i, x>, b_i) over the rows of a table."""

    table: data.Table
    space: Ball
    phi: Callable[[Any, Any], Any]
    slope: Callable[[Any, Any], Any]
    best: float
    constants: dict[str, float]


def squared_error(table: data.Table) -> Task:
    """1/2 (<a, x> - b)^2 on the unit ball."""
    space = Ball(table.rows.shape[1])
    best = comparators.least_squares(table.rows, table.targets, space)
    smooth = float(np.linalg.eigvalsh(table.rows.T @ table.rows / len(table.rows))[-1])
    constants = {"G": 2.0, "L": smooth, "alpha": 0.25}
    return Task(
        table,
        space,
        lambda margin, b: 0.5 * (margin - b) ** 2,
        lambda margin, b: margin - b,
        best.value,
        constants,
    )


def logistic(table: data.Table) -> Task:
    """ln(1 + exp(-b <a, x>)) on the ball of radius 5."""
    space = Ball(table.rows.shape[1], radius=5.0)
    best = comparators.logistic(table.rows, table.targets, space)
    smooth = float(np.linalg.eigvalsh(table.rows.T @ table.rows / len(table.rows))[-1]) / 4.0
    constants = {"G": 1.0, "L": smooth, "alpha": float(np.exp(-5.0))}
    return Task(
        table,
        space,
        lambda margin, b: np.logaddexp(0.0, -b * margin),
        lambda margin, b: -b * expit(-b * margin),
        best.value,
        constants,
    )


def total(task: Task, name: str, settings: dict[str, Any], orders: np.ndarray) -> np.ndarray:
    """Cumulative loss of a learner in each order, (n,), from row numbers (n, T)."""
    given = {key: task.constants[key] for key in TAKES.get(name, ()) if key not in settings}
    learner = online.make(name, task.space, runs=len(orders), **given, **settings)

    def at(t: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        a, b = task.table.rows[orders[:, t - 1]], task.table.targets[orders[:, t - 1]]
        return a, b, np.einsum("nd,nd->n", a, x)

    def gradient(t: int, x: np.ndarray) -> np.ndarray:
        a, b, margin = at(t, x)
        return task.slope(margin, b)[:, None] * a

    def loss(t: int, x: np.ndarray) -> np.ndarray:
        _, b, margin = at(t, x)
        return task.phi(margin, b)

    return play(learner, gradient, loss, T=orders.shape[1]).loss.sum(axis=0)


def main() -> None:
    """Every learner on every data set."""
    described(__doc__)
    tasks = {
        "diabetes": squared_error(data.diabetes()),
        "breast cancer": logistic(data.breast_cancer()),
        "digits": logistic(data.digits()),
    }
    rows = []
    bar = tqdm([(where, who) for where in tasks for who in LEARNERS])
    for where, who in bar:
        bar.set_description(f"{where}, {who}")
        task, (name, settings) = tasks[where], LEARNERS[who]
        count = len(task.table.rows)
        rng = np.random.default_rng(0)
        shuffled = np.array([rng.permutation(count) for _ in range(ORDERS)])
        filed = total(task, name, settings, np.arange(count)[None])[0]
        drawn = total(task, name, settings, shuffled)
        rows.append(
            {
                "data": where,
                "learner": who,
                "loss, file's order": filed,
                "regret": filed - task.best,
                "regret, random order": drawn.mean() - task.best,
                "s.e.": drawn.std(ddof=1) / ORDERS**0.5,
                "best fixed": task.best,
            }
        )
    digits = {"loss, file's order": 4, "regret": 2, "regret, random order": 2, "best fixed": 4}
    print(write(pd.DataFrame(rows), "real_data", digits))


if __name__ == "__main__":
    main()
