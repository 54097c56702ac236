"""Local bounds of a small network by method and size of the box, in both norms.

    python experiments/lipschitz/boxes.py        (about ten seconds on one core)

The ReLU net 2-6-6-1 with weights sin(1 + .7 i + 1.3 j + 2.1 k + .37 i j) and biases
.5 cos(.3 + 1.1 i + .9 k), whose exact constants are known by enumeration; then the same with tanh.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from anytime import formula
from tables import described, write
from tqdm import tqdm

from rlopt.theory.lipschitz import (
    certify,
    exact,
    interval_jacobian,
    jacobian_propagation,
    lipsdp,
    lower_bound,
)

DIMS, RADII = (2, 6, 6, 1), (0.05, 0.2, 0.5, 1.0)
SECONDS = 10.0
CELLS = 64


def main() -> None:
    """Run all methods and write the table."""
    described(__doc__)
    rows = []
    for activation in ("relu", "tanh"):
        net = formula(DIMS, activation)
        for norm in tqdm(("l2", "linf"), desc=activation):
            for radius in RADII:
                region = (np.full(2, -radius), np.full(2, radius))
                found = certify(net, region, norm, SECONDS)
                cells = jacobian_propagation(net, region, norm, CELLS)
                rows.append(
                    {
                        "net": activation,
                        "norm": norm,
                        "box": f"±{radius:g}",
                        "exact": exact(net, region, norm) if activation == "relu" else np.nan,
                        "lower": lower_bound(net, region, norm)[0],
                        "portfolio": found.upper,
                        f"propagation, {CELLS} cells": cells.upper,
                        "propagation, 1 cell": jacobian_propagation(net, region, norm).upper,
                        "LipSDP": lipsdp(net, norm, region=region).upper,
                        "interval Jacobian": interval_jacobian(net, region, norm).upper,
                        "LipSDP everywhere": lipsdp(net, norm).upper,
                    }
                )
    frame = pd.DataFrame(rows)
    print(write(frame, "boxes", dict.fromkeys(frame.columns, 6)))


if __name__ == "__main__":
    main()
