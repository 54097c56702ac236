"""Random nets, boxes and samples for the tests of local bounds."""

import hypothesis.strategies as st
import numpy as np
from lipschitz_nets import gaussian

from rlopt.theory.lipschitz import Network
from rlopt.theory.lipschitz.activations import FUNCTIONS

SEEDS = st.integers(0, 2**32 - 1)
SCALAR = (
    *FUNCTIONS,
    "leaky_relu(0.1)",
    "leaky_relu(2)",
    "leaky_relu(-0.5)",
    "elu(2)",
    "softplus(3)",
)
GROUPED = ("maxmin", "groupsort(3)", "householder(2,1,-1)")


def around(inputs: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    return np.full(inputs, -radius), np.full(inputs, radius)


@st.composite
def nets(draw, activations=(*SCALAR, *GROUPED), widest=6):
    """Random nets of all kinds, with biases, residual or not."""
    rng = np.random.default_rng(draw(SEEDS))
    n0, m = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    depth = draw(st.integers(1, 3))
    names = [draw(st.sampled_from(activations)) for _ in range(depth)]
    scale = draw(st.sampled_from((0.5, 1.0, 2.0)))
    if draw(st.booleans()):
        W = [scale * rng.normal(size=(widest, n0)) for _ in range(depth)]
        G = [0.5 * rng.normal(size=(n0, widest)) for _ in range(depth)]
        b = [rng.normal(size=widest) for _ in range(depth)]
        return Network.residual(W, G, biases=b, activation=names)
    dims = (n0, *[widest] * depth, m)
    W = [scale * w for w in gaussian(dims, draw(SEEDS))]
    return Network.from_weights(W, [0.5 * rng.normal(size=len(w)) for w in W], names)


@st.composite
def boxes(draw, inputs: int):
    rng = np.random.default_rng(draw(SEEDS))
    center = rng.normal(size=inputs)
    radius = draw(st.sampled_from((0.0, 1e-3, 0.1, 1.0, 10.0))) * rng.uniform(size=inputs)
    return center - radius, center + radius


def samples(region, number: int = 200) -> np.ndarray:
    """Points of a box, corners among them."""
    rng = np.random.default_rng(0)
    share = rng.uniform(size=(number, len(region[0])))
    share[: number // 4] = np.round(share[: number // 4])
    return np.clip(region[0] + share * (region[1] - region[0]), *region)


def activity(net: Network, x: np.ndarray) -> list[np.ndarray]:
    """Pre-activations of every layer of the scalar form."""
    found = []
    for layer in net.scalar.layers:
        v, z = layer.fixed_point(x)
        found.append(v)
        x = z @ layer.G.T + layer.c + (0.0 if layer.H is None else x @ layer.H.T)
    return found


def off_kinks(net: Network, x: np.ndarray) -> np.ndarray:
    """Which points (n, n0) are so far from all kinks that rounding finds the right side."""
    return (np.abs(np.concatenate(activity(net, x), axis=1)) > 1e-9).all(axis=1)
