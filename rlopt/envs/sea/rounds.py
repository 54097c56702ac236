"""What happens in a round of an online convex task, as arrays (see `rlopt.envs.sea.task`)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rlopt.envs.core import Array


class Round(NamedTuple):
    """What nature has done in a round; the leading axis is the batch (or the rounds)."""

    t: Array  # (n,), 1 .. T
    z: Array  # (n, m), the sample that makes f_t
    secret: Array  # (n, k), what nature drew before the first round (an order, ...)
    past: Array  # (n, j), sum of the statistics of earlier rounds


class SEAState(NamedTuple):
    """An episode so far. Observations show t, x, gradient and loss, and nothing else."""

    t: Array  # (n,), rounds played
    x: Array  # (n, d), the last point played
    gradient: Array  # (n, d), of f_t there
    loss: Array  # (n,), f_t there
    mean: Array  # (n,), F_t there
    z: Array  # (n, m), see Round
    secret: Array  # (n, k), see Round
    outside: Array  # (n,), how far the last action lay outside the set
    V: Array  # (n,), sum of |g_s - g_{s-1}|^2 with g_0 = 0
    path: Array  # (n,), sum of |x_s - x_{s-1}|
    total: Array  # (n,), sum of f_s(x_s)
    statistic: Array  # (n, j), sum of the losses' sufficient statistics
    pseudo: Array  # (n,), sum of F_s(x_s) - F_s(u*)
    dynamic: Array  # (n,), sum of F_s(x_s) - min F_s


def squared(vectors: Array) -> Array:
    """Squared lengths, (..., d) -> (...)."""
    return np.einsum("...i,...i->...", vectors, vectors)


def between(state: SEAState, next_state: SEAState) -> Round:
    """What nature has done between two states."""
    return Round(next_state.t, next_state.z, next_state.secret, state.statistic)


def unseen(t: Array) -> Round:
    """Rounds (n,) of which nothing but the time is known."""
    nothing = np.empty((len(t), 0))
    return Round(t, nothing, nothing, nothing)


def changes(means: Array) -> np.ndarray:
    """|m_t - m_{t-1}|^2 of vectors (T, d), 0 at t = 1; (T,)."""
    return np.concatenate([[0.0], squared(np.diff(means, axis=0))])
