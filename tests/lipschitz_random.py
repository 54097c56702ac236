"""Random networks of every kind and boxes of every size, for properties that all must have."""

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlopt.theory.lipschitz import Network
from rlopt.theory.lipschitz.regions import Region

SCALARS = (
    "relu", "tanh", "sigmoid", "leaky_relu(0.1)", "leaky_relu(-0.3)", "leaky_relu(2)", "elu",
    "elu(2)", "softplus", "softplus(3)", "silu", "gelu", "abs", "identity",
)  # fmt: skip
GROUPED = ("maxmin", "groupsort(3)", "groupsort(4)", "householder(2,1)", "householder(1,-1)")
PIECES = ("relu", "abs", "leaky_relu(0.1)", "maxmin", "householder(2,1)")  # piecewise linear
KINDS = ("feed", "pieces", "mixed", "groups", "residual", "implicit", "linear", "hidden")
SPOILT = (None, "dead", "zero", "off", "large", "small", "twins", "kinks")
RADII = (0.0, 1e-9, 1e-3, 0.05, 0.3, 1.0, 10.0)


@dataclass(frozen=True, eq=False)
class Case:
    """A network, where it is looked at, and in which norm.

    Attributes:
        kind: one of KINDS.
        net: the network.
        region: None, or a box; some coordinates may be fixed.
        norm: "l2", "linf" or "linf_l1".
    """

    kind: str
    net: Network
    region: Region | None
    norm: str

    def points(self, count: int, seed: int = 0) -> np.ndarray:
        """Inputs of the region, or of any size, (count, n0)."""
        rng = np.random.default_rng(seed)
        if self.region is None:
            size = 10.0 ** rng.uniform(-2.0, 2.0, (count, 1))
            return size * rng.normal(size=(count, self.net.inputs))
        low, high = self.region
        return low + (high - low) * rng.random((count, self.net.inputs))


def _width(activation: str, rng: np.random.Generator) -> int:
    """A multiple of the group."""
    group = {"g": 2, "m": 2, "h": 2}.get(activation[0], 1) if activation in GROUPED else 1
    if activation.startswith("groupsort"):
        group = int(activation[10])
    return group * int(rng.integers(1, max(2, 5 // group + 1)))


def _spoil(how: str | None, W: list[np.ndarray], b: list[np.ndarray]) -> None:
    """Dead neurons, zero matrices, no biases, extreme sizes, equal neurons, in place."""
    if how == "dead":
        W[0][0], b[0][0] = 0.0, -1.0
        b[0][-1] = -100.0
    elif how == "zero":
        W[-1][:] = 0.0
    elif how == "off":
        b[0][:] = -50.0
    elif how in ("large", "small"):
        W[0] *= 300.0 if how == "large" else 1e-3
    elif how == "twins":
        W[0][-1], b[0][-1] = W[0][0], b[0][0]
    elif how == "kinks":
        for offset in b:
            offset[:] = 0.0


def _network(kind: str, spoilt: str | None, rng: np.random.Generator) -> Network:
    n0, m = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    depth = 1 if kind in ("implicit", "hidden") else int(rng.integers(1, 3))
    names = {
        "pieces": PIECES, "groups": GROUPED, "mixed": SCALARS + GROUPED,
        "residual": SCALARS + GROUPED,
    }.get(kind, SCALARS)  # fmt: skip
    activations = [str(rng.choice(names)) for _ in range(depth)]
    widths = [_width(activation, rng) for activation in activations]

    def matrix(h: int, n: int) -> np.ndarray:
        return rng.normal(size=(h, n)) * rng.choice([0.5, 1.0, 2.0]) / np.sqrt(n)

    if kind == "hidden":  # one hidden layer, one output: what the mixing method serves
        m = 1
    if kind == "residual":
        dims = [n0, *([n0] if rng.random() < 0.5 else [m]) * depth]
        W = [matrix(h, n) for h, n in zip(widths, dims, strict=False)]
        G = [matrix(n, h) for h, n in zip(widths, dims[1:], strict=True)]
        H = None if dims[-1] == n0 else [matrix(k, n) for n, k in itertools.pairwise(dims)]
        b = [rng.normal(size=h) for h in widths]
        _spoil(spoilt, W, b)
        return Network.residual(W, G, H, b, activations)
    if kind == "implicit":
        feedback = matrix(widths[0], widths[0])
        slope = max(abs(limit) for limit in _slopes(activations[0]))
        feedback *= rng.uniform(0.1, 0.9) / (slope * np.linalg.norm(feedback, 2))
        W, b = [matrix(widths[0], n0), matrix(m, widths[0])], [rng.normal(size=widths[0])]
        _spoil(spoilt, W, b)
        return Network.implicit(feedback, W[0], W[1], b[0], activations[0])
    if kind == "linear":
        return Network.from_weights([matrix(m, n0)], [rng.normal(size=m)])
    dims = [n0, *widths, m]
    W = [matrix(h, n) for n, h in itertools.pairwise(dims)]
    b = [rng.normal(size=h) for h in dims[1:]]
    _spoil(spoilt, W, b)
    return Network.from_weights(W, b, activations)


def _slopes(activation: str) -> tuple[float, float]:
    from rlopt.theory.lipschitz.activations import Activation

    return Activation.parse(activation).slopes


def _box(radius: float | None, fixed: bool, n0: int, rng: np.random.Generator) -> Region | None:
    if radius is None:
        return None
    centre = rng.normal(size=n0) if rng.random() < 0.7 else np.zeros(n0)
    reach = np.full(n0, radius)
    if fixed:
        reach[0] = 0.0
    return centre - reach, centre + reach


@st.composite
def cases(draw: Any, kinds: tuple[str, ...] = KINDS) -> Case:
    """A random case; the entries come from a generator that hypothesis seeds."""
    kind = draw(st.sampled_from(kinds))
    spoilt = draw(st.sampled_from(SPOILT))
    radius = draw(st.sampled_from((None, *RADII)))
    fixed = draw(st.integers(0, 7)) == 0
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    net = _network(kind, spoilt, rng)
    region = _box(radius, fixed, net.inputs, rng)
    norm = draw(st.sampled_from(("l2", "linf", "linf_l1")))
    return Case(kind, net, region, norm)


def globally(case: Case) -> Case:
    """The same without its box."""
    return replace(case, region=None)
