"""Exact worst cases over a few rounds: what optimism costs, and the best constant steps.

Run with `python experiments/sea/pep.py`; seconds. Units: M = D = 1. OFTRL has |x| <= D on its set,
the others a diameter D.
"""

from __future__ import annotations

from math import sqrt

import pandas as pd
from look import INK, SLOTS, panels, save
from tables import described, write
from tqdm import tqdm

from rlopt.theory.pep import best_step, worst_case

ROUNDS = range(1, 7)


def main() -> None:
    """Solve, write the table, draw the figure."""
    described(__doc__)
    frame = pd.DataFrame([row(n) for n in tqdm(ROUNDS)])
    digits = {"n": 0} | {name: 5 for name in frame.columns if name != "n"}
    digits |= {name: 4 for name in frame.columns if name.startswith("best eta")}
    print(write(frame, "pep", digits))
    figure, axes = panels(1, 1, width=5.5, height=3.6)
    axis = axes[0, 0]
    lines = {
        "sqrt n": ("√n = gradient descent", INK, "--"),
        "optimistic": ("optimistic, eta = 1/√n", SLOTS[1], "-"),
        "optimistic, eta/2": ("optimistic, eta = 1/(2√n)", SLOTS[0], "-"),
        "OFTRL, best": ("both optimistic methods, best eta", SLOTS[2], ":"),
    }
    for name, (label, ink, style) in lines.items():
        axis.plot(frame["n"], frame[name], style, color=ink, marker="o", ms=3, label=label)
    axis.set_xlabel("rounds n")
    axis.set_title("exact worst-case regret, M = D = 1")
    axis.legend(frameon=False, fontsize=8)
    save(figure, "pep")


def row(n: int) -> dict[str, float]:
    """A line of the table."""
    eta = 1.0 / sqrt(n)
    line = {
        "n": n,
        "OGD": worst_case("ogd", n=n, eta=eta),
        "sqrt n": sqrt(n),
        "optimistic": worst_case("optimistic_omd", n=n, eta=eta),
        "optimistic, eta/2": worst_case("optimistic_omd", n=n, eta=eta / 2.0),
        "OFTRL": worst_case("oftrl", n=n, eta=eta),
    }
    for name, algorithm in (("OGD", "ogd"), ("optimistic", "optimistic_omd"), ("OFTRL", "oftrl")):
        best = best_step(algorithm, n=n) if n > 1 else (float("nan"), 1.0)  # no step is taken
        line[f"best eta sqrt n, {name}"], line[f"{name}, best"] = best[0] * sqrt(n), best[1]
    return line


if __name__ == "__main__":
    main()
