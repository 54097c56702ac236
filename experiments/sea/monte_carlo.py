"""Published regrets of random tasks, replayed with more seeds.

Run with `python experiments/sea/monte_carlo.py`; ten seconds on one core. Where no standard error
was published, it is that of 64 seeds, as the others' were.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from tables import described, write
from tqdm import tqdm

from rlopt.agents import online
from rlopt.envs.sea.play import play
from rlopt.spaces import Ball
from rlopt.theory import regret

RUNS, NOISE_RUNS = 4096, 512
CENTRE, S = np.full(5, 0.6 / np.sqrt(5.0)), 0.3
LEARNERS: dict[str, tuple[str, dict[str, float]]] = {
    "A1": ("optimistic_omd", {"G": 1.6, "delta": 200.0}),
    "A2": ("optimistic_omd_sc", {"lam": 1.0}),
    "A5": ("oftrl", {"nu": 2.6}),
}
PUBLISHED: dict[tuple[str, int], tuple[float, float | None]] = {
    ("A1", 1000): (4.29, 0.02),
    ("A1", 4000): (10.76, 0.03),
    ("A2", 1000): (1.107, None),
    ("A2", 4000): (1.194, None),
    ("A5", 1000): (1.976, 0.007),
    ("A5", 4000): (3.262, 0.008),
}
NOISE_ALONE = [(250, 14.44, 0.33), (1000, 29.0, 0.7), (4000, 57.0, 1.2)]


def main() -> None:
    """Replay and write the table."""
    described(__doc__)
    rows = around_one_centre() + [noise_alone(*case) for case in tqdm(NOISE_ALONE)]
    print(write(pd.DataFrame(rows), "monte_carlo", {"T": 0, "seeds": 0, "bound": 1, "apart": 1}))


def around_one_centre() -> list[dict[str, Any]]:
    """Pseudo-regret of |x - theta - xi_t|^2 / 2, |theta| = .6, |xi| = .3, d = 5; paired."""
    players = {
        label: online.make(name, Ball(5), runs=RUNS, **constants)
        for label, (name, constants) in LEARNERS.items()
    }
    sums, found = {label: np.zeros(RUNS) for label in players}, {}
    rng = np.random.default_rng(9)
    for t in tqdm(range(1, 4001)):
        target = CENTRE + S * signs(rng, RUNS, 5)
        for label, player in players.items():
            x = player.ask()
            sums[label] = sums[label] + 0.5 * ((x - CENTRE) ** 2).sum(axis=-1)
            player.tell(x, gradient=x - target)
            found[label, t] = sums[label]
    task = "targets around one centre: pseudo"
    return [
        record(task, label, T, found[label, T], published, error, bound(label, T))
        for (label, T), (published, error) in PUBLISHED.items()
    ]


def bound(label: str, T: int) -> float:
    """The theorem on a learner around one centre."""
    known = {"L": 1.0, "G": 1.9, "sigma_sq": T * S**2, "Sigma_sq": 0.0}
    if label == "A1":
        return float(regret.omd_sea_convex(D=2.0, delta=200.0, **known))
    if label == "A5":
        return float(regret.oftrl_sea_convex(D=1.0, nu=2.6, **known))
    peaks = {"sigma_max_sq": S**2, "Sigma_max_sq": 0.0}
    return float(regret.omd_sea_strongly_convex(D=2.0, lam=1.0, **known, **peaks))


def noise_alone(T: int, published: float, error: float) -> dict[str, Any]:
    """Realised regret of linear losses <xi_t, x>, |xi| = 1, d = 3."""
    g = signs(np.random.default_rng(T), T, NOISE_RUNS, 3)
    learner = online.make("optimistic_omd", Ball(3), runs=NOISE_RUNS, G=1.0, delta=1.0)
    trace = play(learner, g)
    value = trace.loss.sum(axis=0) + np.linalg.norm(g.sum(axis=0), axis=-1)
    return record("linear noise: realised", "A1", T, value, published, error, np.nan)


def signs(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Rademacher noise of length 1."""
    return (2.0 * rng.integers(0, 2, shape) - 1.0) / np.sqrt(shape[-1])


def record(
    task: str,
    label: str,
    T: int,
    value: np.ndarray,
    published: float,
    error: float | None,
    limit: float,
) -> dict[str, Any]:
    """A line of the table."""
    spread = value.std(ddof=1)
    own, theirs = spread / np.sqrt(len(value)), spread / 8.0 if error is None else error
    return {
        "task": task,
        "learner": label,
        "T": T,
        "seeds": len(value),
        "regret": value.mean(),
        "s.e.": own,
        "published": published,
        "its s.e.": theirs,
        "apart": abs(value.mean() - published) / np.hypot(own, theirs),
        "bound": limit,
    }


if __name__ == "__main__":
    main()
