"""Local Lipschitz bounds over the radius of the box, method by method.

Nets 2-6-6-1 with weights sin(1 + .7 i + 1.3 j + 2.1 k + .37 i j) and biases
.5 cos(.3 + 1.1 i + .9 k), once with ReLU and once with tanh, on boxes +-r around 0. The exact
constant of the ReLU net is found by enumerating its linear regions; for tanh the best attained
Jacobian stands in its place.

    python experiments/lipschitz/local.py

writes results/local.csv, local.md and local.png (some four minutes on one core).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from time import perf_counter

import numpy as np
import pandas as pd
from anytime import formula
from look import INK, MARKS, SLOTS, panels, save
from tables import described, write
from tqdm import tqdm

from rlopt.theory.lipschitz import (
    Network,
    certify,
    exact,
    interval_jacobian,
    ipm,
    jacobian_propagation,
    lipsdp,
    lower_bound,
    proof,
)
from rlopt.theory.lipschitz.regions import Region
from rlopt.theory.lipschitz.slopes import slopes

DIMS = (2, 6, 6, 1)
RADII = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
SECONDS = 10.0  # of the portfolio
CELLS = 50
ATTAINED = "exact or attained"
METHODS = {
    "interval Jacobian": lambda net, box, norm: interval_jacobian(net, box, norm).upper,
    "propagation": lambda net, box, norm: jacobian_propagation(net, box, norm).upper,
    f"propagation, {CELLS} cells": lambda net, box, norm: (
        jacobian_propagation(net, box, norm, CELLS).upper
    ),
    "LipSDP, interval slopes": lambda net, box, norm: with_interval_slopes(net, box, norm),
    "LipSDP, CROWN slopes": lambda net, box, norm: lipsdp(net, norm, region=box).upper,
    "portfolio": lambda net, box, norm: certify(net, box, norm, SECONDS).upper,
}


def with_interval_slopes(net: Network, box: Region, norm: str) -> float:
    """LipSDP as it is usually localised: slopes from interval bounds alone."""
    alpha, beta = slopes(net, box, relaxed=False)
    lfr = replace(net.lfr(), alpha=alpha, beta=beta)
    values = [
        proof.prove(row, norm, ipm.solve(row, norm).candidates).rho for row in proof.rows(lfr, norm)
    ]
    return max(proof.lipschitz(norm, rho) for rho in values)


def table() -> pd.DataFrame:
    """One row a net, norm and radius."""
    rows = []
    cases = list(product(("relu", "tanh"), ("l2", "linf"), RADII))
    for activation, norm, radius in tqdm(cases):
        net = formula(DIMS, activation)
        box = np.full(2, -radius), np.full(2, radius)
        truth = (
            exact(net, box, norm) if activation == "relu" else lower_bound(net, box, norm=norm)[0]
        )
        row = {"net": activation, "norm": norm, "radius": radius, ATTAINED: truth}
        for name, method in METHODS.items():
            began = perf_counter()
            row[name] = method(net, box, norm)
            row[f"seconds {name}"] = perf_counter() - began
        rows.append(row)
    return pd.DataFrame(rows)


def figure(frame: pd.DataFrame) -> None:
    """Bound over radius, one panel a net and norm."""
    picture, axes = panels(2, 2, width=4.2, height=2.9, sharex=True)
    groups = list(frame.groupby(["net", "norm"]))
    for axis, ((net, norm), part) in zip(axes.flat, groups, strict=True):
        for name, color, mark in zip(METHODS, SLOTS, MARKS, strict=False):
            axis.plot(part["radius"], part[name], color=color, marker=mark, ms=3, lw=1, label=name)
        truth = "exact" if net == "relu" else "attained"
        axis.plot(part["radius"], part[ATTAINED], color=INK, lw=2, label="exact, or attained")
        axis.set_xscale("log")
        axis.set_ylim(bottom=0.0)
        axis.set_title(f"{net}, {norm} ({truth} in black)")
    for axis in axes[1]:
        axis.set_xlabel("radius of the box")
    for axis in axes[:, 0]:
        axis.set_ylabel("bound")
    axes[0, 0].legend(frameon=False, fontsize=6.5)
    save(picture, "local")


def main() -> None:
    """Write the table and the figure."""
    described(__doc__)
    frame = table()
    shown = [name for name in frame if not str(name).startswith("seconds")]
    print(write(frame[shown], "local", dict.fromkeys((ATTAINED, *METHODS), 6)))
    seconds = frame.groupby("net")[[f"seconds {name}" for name in METHODS]].max()
    print(seconds.T.to_string(float_format="%.3f"))
    figure(frame)


if __name__ == "__main__":
    main()
