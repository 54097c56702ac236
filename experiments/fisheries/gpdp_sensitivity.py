"""The GPDP paper's sensitivity study with noise that really varies (there, sigma never did).

    python experiments/fisheries/gpdp_sensitivity.py

Allen's growth with r = 2, K = 8: the tipping point C moves at sigma = .05, and sigma at C = 4.
Each state of nature trains the paper-mode GPDP with SETS series of 40 stocks from 5.5 and compares
its catch with that of the paper-mode policy of the true model. Writes gpdp_sensitivity.csv and
gpdp_sensitivity.md to `results/` (3 minutes).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from protocol import GRID, resimulate
from tables import described, write
from tqdm import tqdm

from rlopt.agents.gpdp_paper import paper_dp, paper_escapement, paper_gpdp
from rlopt.theory.stock import Allen

SETS, REPLICATES = 8, 2_000
# (C, sigma) -> published mean ratio of 3 sets with 100 replicates each
PUBLISHED = {
    (1.0, 0.05): 0.984,
    (2.0, 0.05): 1.001,
    (3.0, 0.05): 0.992,
    (4.0, 0.05): 0.987,
    (5.0, 0.05): 0.959,
    (4.0, 0.01): 0.983,
    (4.0, 0.1): 0.987,
}


def training_series(growth: Allen, sigma: float, seed: int) -> np.ndarray:
    """40 unharvested stocks from 5.5 on, (40,) [biomass]."""
    noise = np.exp(sigma * np.random.default_rng(seed).standard_normal(39))
    series = [5.5]
    for factor in noise:
        series.append(factor * float(growth(series[-1])))
    return np.array(series)


def measure(growth: Allen, sigma: float, seed: int) -> dict[str, float]:
    """One training set: the ratio of catches, averaged over replicates, and the collapses."""
    series = training_series(growth, sigma, seed)
    learnt = paper_gpdp(series[:-1], series[1:], GRID, seed)
    gp, true = (
        resimulate(
            growth, sigma, lambda x, policy=policy: paper_escapement(x, GRID, policy), REPLICATES, 0
        )
        for policy in (learnt, paper_dp(growth, sigma, GRID))
    )
    return {
        "ratio": float((gp.catch / true.catch).mean()),
        "GPDP collapsed": gp.collapsed,
        "True collapsed": true.collapsed,
    }


def main() -> None:
    """Measure, write and print."""
    described(__doc__)
    rows = []
    for (C, sigma), published in tqdm(PUBLISHED.items(), desc="states of nature"):
        sets = pd.DataFrame(measure(Allen(2.0, 8.0, C), sigma, seed) for seed in range(SETS))
        rows.append(
            {
                "C": C,
                "sigma": sigma,
                "published ratio": published,
                "ratio, mean": sets["ratio"].mean(),
                "ratio, min": sets["ratio"].min(),
                "GPDP collapsed": sets["GPDP collapsed"].mean(),
                "True collapsed": sets["True collapsed"].mean(),
            }
        )
    print(write(pd.DataFrame(rows), "gpdp_sensitivity", {"C": 0, "sigma": 2}))


if __name__ == "__main__":
    main()
