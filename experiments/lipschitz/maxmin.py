"""MaxMin networks: the bounds of Pauli et al. 2024 and one |.| a pair, by depth and width.

    python experiments/lipschitz/maxmin.py        (some ten minutes on one core)

Classifiers of 8 x 8 digits (scikit-learn's 1797) with k hidden MaxMin layers of the same width,
called kFC-width after the paper, where k probably counts hidden layers too: an enumeration of all
patterns is given for 2FC-16 only, whose 16 pairs allow it.
Orthogonal start, Adam with weight decay, fixed seeds. The columns "authors" belong to the weights
for MNIST that the authors trained: their chain and product as published, and by how much one |.| a
pair is below on those weights by our solver. The weights have no licence and are not shipped:
compare ratios across rows, not values.

Bounds in l2, all proved: "lambda" uses only that pairs keep their norm, "chain" also their sum
(the paper's programme, S = P = 0), "full" has the paper's S and P, "abs" is LipSDP with one |.| a
pair. "full" is left out above 5 layers of 32. "sampled" is the largest norm of Jacobians at 6000
inputs: near digits, and random ones of three sizes.
Writes results/maxmin.csv, .md and .png.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from look import INK, LINE, MARKS, MUTED, SLOTS, panels, save
from sklearn.datasets import load_digits
from tables import RESULTS, described, write
from torch import nn
from tqdm import tqdm

from rlopt.theory.lipschitz import Certificate, Network
from rlopt.theory.lipschitz.norms import product_bound
from rlopt.theory.lipschitz.semidefinite import lipsdp

SIZES = (
    (2, 16), (2, 32), (2, 64), (2, 128), (5, 32), (5, 64), (8, 32), (8, 64), (18, 32),
)  # fmt: skip
FULL = {(2, 16), (2, 32), (2, 64), (5, 32)}
EPOCHS, BATCH, RATE, DECAY = 60, 64, 2e-3, 1e-2
SEED, TEST = 0, 360
SLACK = 1e-5  # relative, what proofs may lose
AUTHORS = {  # on their weights: published chain, one |.| a pair by our solver, published product
    (2, 16): (22.5944, 22.0744, 23.4615),
    (2, 32): (38.5483, 38.0750, 42.4631),
    (2, 64): (73.7730, 72.7677, 83.9875),
    (5, 32): (224.526, 193.180, 298.415),
    (5, 64): (386.807, 360.063, 520.720),
    (8, 32): (401.033, 309.194, 780.044),
    (18, 32): (17431.5, 11063.6, 73403.0),
}
DIGITS = {"s chain": 1, "s abs": 1, "abs below chain %": 1, "authors: abs below chain %": 1}


class MaxMin(nn.Module):
    """(a, b) to (max, min) for each pair of neighbours."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., h) to (..., h)."""
        pairs = x.unflatten(-1, (-1, 2))
        return torch.stack([pairs.amax(-1), pairs.amin(-1)], dim=-1).flatten(-2)


def trained(depth: int, width: int) -> tuple[Network, float]:
    """A classifier of digits and its accuracy on TEST unseen ones."""
    torch.manual_seed(SEED)
    rows, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(rows / 16.0, dtype=torch.float32), torch.tensor(labels)
    order = torch.randperm(len(x))
    test, train = order[:TEST], order[TEST:]
    sizes = [64, *[width] * depth, 10]
    linear = [nn.Linear(n, h) for n, h in pairwise(sizes)]
    for layer in linear:
        nn.init.orthogonal_(layer.weight)
        nn.init.zeros_(layer.bias)
    hidden = [part for layer in linear[:-1] for part in (layer, MaxMin())]
    model = nn.Sequential(*hidden, linear[-1])
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(EPOCHS):
        for batch in train[torch.randperm(len(train))].split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimiser.step()
    with torch.no_grad():
        accuracy = float((model(x[test]).argmax(-1) == y[test]).float().mean())
    weights = [layer.weight.detach().double().numpy() for layer in linear]
    biases = [layer.bias.detach().double().numpy() for layer in linear]
    return Network.from_weights(weights, biases, "maxmin"), accuracy


def bounds(net: Network, full: bool) -> dict[str, Certificate]:
    """Certificates from the best to the worst."""
    couplings = ["abs", *(["full"] if full else []), "chain", "lambda"]
    made = {coupling: lipsdp(net, coupling=coupling) for coupling in couplings}
    made["product"] = product_bound(net)
    values = [certificate.upper for certificate in made.values()]
    if any(a > b * (1.0 + SLACK) for a, b in pairwise(values)):
        raise AssertionError(f"the bounds are out of order: {values}")
    if not all(certificate.verify() for certificate in made.values()):
        raise AssertionError("a certificate does not verify")
    return made


def sampled(net: Network) -> float:
    """The largest norm of a Jacobian at some inputs."""
    rng = np.random.default_rng(SEED)
    digits = load_digits(return_X_y=True)[0][:1500] / 16.0
    near = digits + 0.1 * rng.normal(size=digits.shape)
    far = [size * rng.normal(size=digits.shape) for size in (0.3, 1.0, 3.0)]
    norms = [np.linalg.norm(net.jacobian(x), 2, axis=(1, 2)).max() for x in (near, *far)]
    return float(max(norms))


def row(size: tuple[int, int]) -> dict[str, object]:
    """One line of the table."""
    net, accuracy = trained(*size)
    made = bounds(net, size in FULL)
    best, chain = made["abs"].upper, made["chain"].upper
    authors = AUTHORS.get(size, (np.nan,) * 3)
    return {
        "net": f"{size[0]}FC-{size[1]}",
        "accuracy": accuracy,
        "sampled": sampled(net),
        "abs": best,
        "full": made["full"].upper if "full" in made else np.nan,
        "chain": chain,
        "lambda": made["lambda"].upper,
        "product": made["product"].upper,
        "abs below chain %": 100.0 * (1.0 - best / chain),
        "s chain": made["chain"].seconds,
        "s abs": made["abs"].seconds,
        "authors: chain": authors[0],
        "authors: product": authors[2],
        "authors: abs below chain %": 100.0 * (1.0 - authors[1] / authors[0]),
    }


def figure(frame: pd.DataFrame) -> None:
    """Every bound over the best one, by depth, for width 32."""
    narrow = frame[frame["net"].str.endswith("-32")]
    depth = [int(name.split("FC")[0]) for name in narrow["net"]]
    fig, axes = panels(1, 1, width=5.0, height=3.2)
    ax = axes[0, 0]
    for i, name in enumerate(("chain", "lambda", "product")):
        ratio = (narrow[name] / narrow["abs"]).to_numpy()
        ax.plot(depth, ratio, color=SLOTS[i], marker=MARKS[i], markersize=5)
        ax.annotate(
            name, (depth[-1], ratio[-1]), (6, 0), textcoords="offset points",
            color=SLOTS[i], va="center",
        )  # fmt: skip
    ax.axhline(1.0, color=MUTED, linewidth=0.8)
    ax.set_xticks(depth)
    ax.set_xlim(right=22)
    ax.grid(axis="y", color=LINE)
    ax.set_xlabel("hidden layers of 32", color=INK)
    ax.set_title("bound / bound with one |.| a pair")
    save(fig, "maxmin")


def main() -> None:
    """Train, certify, write."""
    described(__doc__)
    torch.set_num_threads(1)
    frame = pd.DataFrame([row(size) for size in tqdm(SIZES)])
    print(write(frame, "maxmin", DIGITS))
    figure(frame)
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
