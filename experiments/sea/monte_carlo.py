"""Published regrets of random tasks, replayed with more seeds.

Run with `python experiments/sea/monte_carlo.py`; a quarter of a minute on one core.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from tables import write
from tqdm import tqdm

from rlopt.agents import online
from rlopt.envs.sea.play import play
from rlopt.spaces import Ball
from rlopt.theory import regret

RUNS = 512
CENTRE, S = np.full(5, 0.6 / np.sqrt(5.0)), 0.3
KNOWN = {"L": 1.0, "G": 1.9, "Sigma_sq": 0.0}
AROUND_ONE_CENTRE: list[tuple[str, str, dict[str, float], int, float, float]] = [
    ("A1", "optimistic_omd", {"G": 1.6, "delta": 200.0}, 1000, 4.29, 0.02),
    ("A1", "optimistic_omd", {"G": 1.6, "delta": 200.0}, 4000, 10.76, 0.03),
    ("A2", "optimistic_omd_sc", {"lam": 1.0}, 1000, 1.107, np.nan),
    ("A2", "optimistic_omd_sc", {"lam": 1.0}, 4000, 1.194, np.nan),
    ("A5", "oftrl", {"nu": 2.6}, 1000, 1.976, 0.007),
    ("A5", "oftrl", {"nu": 2.6}, 4000, 3.262, 0.008),
]
NOISE_ALONE = [(250, 14.44, 0.33), (1000, 29.0, 0.7), (4000, 57.0, 1.2)]


def main() -> None:
    """Replay and write the table."""
    rows = [around_one_centre(*case) for case in tqdm(AROUND_ONE_CENTRE)]
    rows += [noise_alone(*case) for case in tqdm(NOISE_ALONE)]
    print(write(pd.DataFrame(rows), "monte_carlo", {"T": 0, "bound": 1}))


def around_one_centre(
    label: str, name: str, constants: dict[str, float], T: int, published: float, error: float
) -> dict[str, Any]:
    """Pseudo-regret of |x - theta - xi_t|^2 / 2, |theta| = .6, |xi| = .3, d = 5."""
    target = CENTRE + S * signs(T, 5)
    learner = online.make(name, Ball(5), runs=RUNS, **constants)
    trace = play(learner, lambda t, x: x - target[t - 1], T=T)
    known = KNOWN | {"sigma_sq": T * S**2}
    limit = {
        "A1": lambda: regret.omd_sea_convex(D=2.0, delta=200.0, **known),
        "A2": lambda: regret.omd_sea_strongly_convex(
            D=2.0, lam=1.0, sigma_max_sq=S**2, Sigma_max_sq=0.0, **known
        ),
        "A5": lambda: regret.oftrl_sea_convex(D=1.0, nu=2.6, **known),
    }[label]()
    value = 0.5 * ((trace.x - CENTRE) ** 2).sum(axis=(0, -1))
    return record("targets around one centre: pseudo", label, T, value, published, error, limit)


def noise_alone(T: int, published: float, error: float) -> dict[str, Any]:
    """Realised regret of linear losses <xi_t, x>, |xi| = 1, d = 3."""
    g = signs(T, 3)
    trace = play(online.make("optimistic_omd", Ball(3), runs=RUNS, G=1.0, delta=1.0), g)
    value = trace.loss.sum(axis=0) + np.linalg.norm(g.sum(axis=0), axis=-1)
    return record("linear noise: realised", "A1", T, value, published, error, np.nan)


def signs(T: int, d: int) -> np.ndarray:
    """Rademacher noise of length 1, (T, RUNS, d)."""
    drawn = np.random.default_rng(T).integers(0, 2, (T, RUNS, d))
    return (2.0 * drawn - 1.0) / np.sqrt(d)


def record(
    task: str, label: str, T: int, value: np.ndarray, published: float, error: float, limit: float
) -> dict[str, Any]:
    """A line of the table."""
    own = value.std(ddof=1) / np.sqrt(RUNS)
    return {
        "task": task,
        "learner": label,
        "T": T,
        "regret": value.mean(),
        "s.e.": own,
        "published": published,
        "its s.e.": error,
        "standard errors apart": abs(value.mean() - published)
        / np.hypot(own, np.nan_to_num(error)),
        "bound": limit,
    }


if __name__ == "__main__":
    main()
