"""How often do AIC and BIC choose the wrong growth map? The model-selection claim, measured.

The GPDP paper warns that a map without a tipping point may win the model selection although the
truth (Allen, r = 2, K = 8, C = 5, sigma = .05) has one. Here 2000 training sets are simulated as
the paper made its one: 40 stocks from 5.5 on, unharvested. Sets that collapse (a stock below 1 % of
the largest) are counted and left out. All three maps are fitted by maximum likelihood.

Run from the root of the repository: python experiments/fisheries/model_selection.py
Takes 30 s on one core; writes results/model_selection.csv and .md.
"""

from collections import Counter

import pandas as pd
from protocol import training_set
from scipy.stats import binomtest
from tables import described, write
from tqdm import tqdm

from rlopt.theory.fit import CRITERIA, MODELS, best_of, fit_all
from rlopt.theory.series import COLLAPSED

SETS = 2000


def counted() -> tuple[Counter[str], int]:
    """Events over all sets, and how many sets collapsed."""
    events: Counter[str] = Counter()
    collapsed = 0
    for seed in tqdm(range(SETS)):
        stocks = training_set(seed)
        if stocks[1:].min() < COLLAPSED * stocks[1:].max():
            collapsed += 1
            continue
        fits = fit_all(stocks[:-1], stocks[1:])
        two = {model: fits[model] for model in ("ricker", "allen")}
        for criterion in CRITERIA:
            best = best_of(fits, criterion)
            name = criterion.upper()
            events[f"{name} prefers {best.model.capitalize()}"] += 1
            events[f"{name} prefers a map without tipping point"] += (
                best.growth.tipping_point is None
            )
            events[f"{name} prefers Ricker to Allen"] += best_of(two, criterion).model == "ricker"
        events["Allen estimate at the edge of what is allowed"] += bool(fits["allen"].edges)
    return events, collapsed


def row(event: str, count: int, n: int) -> dict[str, object]:
    """A share with its 95 % interval (Wilson)."""
    interval = binomtest(count, n).proportion_ci(0.95, method="wilson")
    return {
        "event": event,
        "count": count,
        "of": n,
        "share": count / n,
        "low": interval.low,
        "high": interval.high,
    }


def main() -> None:
    """Simulate, fit, count, write."""
    described(__doc__)
    events, collapsed = counted()
    kept = SETS - collapsed
    names = [
        f"{criterion.upper()} prefers {what}"
        for criterion in CRITERIA
        for what in (
            *(model.capitalize() for model in MODELS),
            "Ricker to Allen",
            "a map without tipping point",
        )
    ]
    names.append("Allen estimate at the edge of what is allowed")
    rows = [row("collapsed in training (left out)", collapsed, SETS)]
    rows += [row(name, events[name], kept) for name in names]
    print(write(pd.DataFrame(rows), "model_selection", {"count": 0, "of": 0}))


if __name__ == "__main__":
    main()
