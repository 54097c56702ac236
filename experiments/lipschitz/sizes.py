"""Bounds and CPU seconds by size of ReLU nets, and on the random nets of ECLipsE's authors.

    OMP_NUM_THREADS=1 python experiments/lipschitz/sizes.py        (some two minutes on one core)

The first table's weights are N(0, 1 / fan-in) of default_rng(0), layer by layer, biases 0; a method
that is not for a size is left out (LipSDP above 800 neurons, mixing but for one hidden layer).
The second table's nets are those of the authors of ECLipsE by their seeds, RandomState(7 width +
13 layers). Writes results/sizes.csv, .md and results/eclipse_nets.csv, .md.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
from tables import described, write
from tqdm import tqdm

from rlopt.theory.lipschitz.descent import penalty
from rlopt.theory.lipschitz.layerwise import eclipse
from rlopt.theory.lipschitz.lower import lower_bound
from rlopt.theory.lipschitz.maxcut import mixing
from rlopt.theory.lipschitz.network import Network
from rlopt.theory.lipschitz.norms import product_bound
from rlopt.theory.lipschitz.semidefinite import lipsdp

SIZES: list[tuple[tuple[int, ...], int]] = [  # dimensions, iterations of the penalty method
    ((2, 64, 64, 1), 500),
    ((17, 64, 64, 6), 500),
    ((3, 64, 64, 64, 1), 500),
    ((4, 128, 128, 1), 500),
    ((11, 256, 256, 3), 300),
    ((8, *[32] * 8, 1), 1000),
    ((4, 400, 300, 1), 200),
    ((17, 256, 1), 300),
    ((17, 1024, 1), 50),
    ((8, 1024, 1024, 2), 60),
]
LIPSDP = 800  # neurons
# (layers, width): reference values of LipSDP and ECLipsE-Fast on these nets
PUBLISHED = {
    (2, 20): (0.383981, 0.514469),
    (5, 20): (0.568873, 1.44342),
    (10, 20): (0.0276408, 0.130171),
    (20, 20): (4.7270e-4, 8.99579e-3),
    (5, 40): (0.017804, 0.0370592),
    (10, 40): (0.0558261, 0.253089),
    (5, 80): (0.0779154, 0.184074),
}


def gaussian(dims: tuple[int, ...]) -> Network:
    """Entries N(0, 1 / fan-in)."""
    rng = np.random.default_rng(0)
    return Network.from_weights([rng.normal(size=(h, n)) / np.sqrt(n) for n, h in pairwise(dims)])


def eclipses(layers: int, width: int) -> Network:
    """The random net of ECLipsE's authors."""
    rng = np.random.RandomState(7 * width + 13 * layers)
    matrices = []
    for n, h in pairwise([4, *[width] * (layers - 1), 1]):
        size, W = rng.uniform(0.4, 1.8), rng.randn(h, n)
        matrices.append(W * size / np.linalg.norm(W, 2))
    return Network.from_weights(matrices)


def timed(name: str, run: Callable[[], Any]) -> dict[str, Any]:
    """A bound and its seconds of CPU; a certificate must verify."""
    began = process_time()
    made = run()
    seconds = process_time() - began
    if isinstance(made, tuple):
        return {name: made[0], f"{name} [s]": seconds}
    if not made.verify():
        raise AssertionError(f"{name}: the certificate does not verify")
    return {name: made.upper, f"{name} [s]": seconds}


def sizes() -> pd.DataFrame:
    """One row a net."""
    rows = []
    for dims, iterations in tqdm(SIZES, desc="sizes"):
        net = gaussian(dims)
        row: dict[str, Any] = {"net": _name(dims)}
        row |= timed("lower", lambda net=net: lower_bound(net))
        if net.neurons <= LIPSDP:
            row |= timed("lipsdp", lambda net=net: lipsdp(net))
        if len(dims) == 3:
            row |= timed("mixing", lambda net=net: mixing(net))
        row |= timed("penalty", lambda net=net, n=iterations: penalty(net, n))
        row |= timed("eclipse-fast", lambda net=net: eclipse(net, fast=True))
        rows.append(row | timed("product", lambda net=net: product_bound(net)))
    names = ["lower", "lipsdp", "mixing", "penalty", "eclipse-fast", "product"]
    return pd.DataFrame(rows)[["net", *(f"{n}{s}" for n in names for s in ("", " [s]"))]]


def eclipse_nets() -> pd.DataFrame:
    """One row a net; reference values beside ours."""
    rows = []
    for (layers, width), (published, fast) in tqdm(PUBLISHED.items(), desc="eclipse"):
        net = eclipses(layers, width)
        row: dict[str, Any] = {"layers, width": f"{layers}, {width}"}
        row |= timed("lower", lambda net=net: lower_bound(net))
        row |= timed("lipsdp", lambda net=net: lipsdp(net)) | {"lipsdp, reference": published}
        row |= timed("penalty", lambda net=net: penalty(net, 500))
        row |= timed("eclipse-fast", lambda net=net: eclipse(net, fast=True))
        row |= {"fast, reference": fast}
        rows.append(row | timed("product", lambda net=net: product_bound(net)))
    return pd.DataFrame(rows)


def _name(dims: tuple[int, ...]) -> str:
    inner = dims[1:-1]
    if len(set(inner)) == 1 and len(inner) > 3:
        return f"{dims[0]}-({inner[0]} x {len(inner)})-{dims[-1]}"
    return "-".join(map(str, dims))


def main() -> None:
    """Both tables."""
    described(__doc__)
    for frame, name, decimals in ((sizes(), "sizes", 5), (eclipse_nets(), "eclipse_nets", 9)):
        digits = {c: 2 if c.endswith("[s]") else decimals for c in frame}
        print(write(frame, name, digits))


if __name__ == "__main__":
    main()
