"""Networks with known constants: weights by formula, random nets of every kind."""

import itertools

import numpy as np

from rlopt.theory.lipschitz import Network


def formula(h: int, n: int, k: int) -> np.ndarray:
    """W[i, j] = sin(1 + .7 i + 1.3 j + 2.1 k + .37 i j), (h, n)."""
    i, j = np.ogrid[:h, :n]
    return np.sin(1.0 + 0.7 * i + 1.3 * j + 2.1 * k + 0.37 * i * j)


def weights(dims: tuple[int, ...]) -> list[np.ndarray]:
    """Matrices of a net n0-...-m."""
    return [formula(h, n, k) for k, (n, h) in enumerate(itertools.pairwise(dims))]


def biases(dims: tuple[int, ...]) -> list[np.ndarray]:
    """b_k[i] = .5 cos(.3 + 1.1 i + .9 k)."""
    return [0.5 * np.cos(0.3 + 1.1 * np.arange(h) + 0.9 * k) for k, h in enumerate(dims[1:])]


def formula_net(dims: tuple[int, ...], activation: str = "relu") -> Network:
    """The net with both."""
    return Network.from_weights(weights(dims), biases(dims), activation)


def gaussian(dims: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    """W_k with entries N(0, 1/fan-in), layer by layer from one generator."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(h, n)) / np.sqrt(n) for n, h in itertools.pairwise(dims)]


EVERY = [
    formula_net((2, 4, 4, 2)),
    formula_net((2, 4, 4, 2), "sigmoid"),
    formula_net((2, 4, 4, 2), "leaky_relu(0.1)"),
    formula_net((2, 4, 4, 2), "gelu"),
    formula_net((2, 4, 4, 2), "maxmin"),
    formula_net((2, 4, 4, 2), "householder(2,1)"),
    Network.residual([formula(4, 3, 0)], [0.5 * formula(3, 4, 5)], activation="tanh"),
    Network.implicit(0.3 * formula(4, 4, 3), formula(4, 2, 1), formula(2, 4, 2)),
]
