"""Monotone problems with known answers, for the tests of Halpern and its rivals."""

import numpy as np

from rlopt.agents import halpern


def bilinear() -> halpern.Bilinear:
    i = np.arange(1, 21)
    return halpern.Bilinear(np.cos(np.outer(i, i)) / 20.0)


def burglar(n: int) -> np.ndarray:
    """What a burglar of house j leaves of house i's wealth w_i to a policeman at j."""
    wealth = np.abs(np.random.RandomState(1).randn(n))  # the published generator
    i = np.arange(n)
    return wealth[:, None] * (1.0 - np.exp(-0.8 * np.abs(i[:, None] - i)))


def rectangular(rows: int, columns: int) -> np.ndarray:
    return np.sin(np.outer(np.arange(1, rows + 1), np.arange(1, columns + 1)) + 1.0)


def regression(n: int, d: int, seed: int = 0, mean: float = 0.0) -> halpern.LeastSquares:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, d)) + mean
    return halpern.LeastSquares(A, A @ rng.standard_normal(d) + 0.5 * rng.standard_normal(n))


PROBLEMS: dict[str, halpern.Problem] = {
    "bilinear": halpern.Bilinear(rectangular(4, 4)),
    "wide bilinear": halpern.Bilinear(rectangular(3, 7)),
    "game": halpern.MatrixGame(rectangular(6, 6)),
    "tall game": halpern.MatrixGame(rectangular(5, 2)),
    "centred game": halpern.MatrixGame(rectangular(4, 5), centred=True),
    "regression": regression(9, 3),
    "short regression": regression(4, 6, mean=1.0),
}
