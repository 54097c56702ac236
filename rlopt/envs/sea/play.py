"""Rounds of online convex optimisation without the Gymnasium layer: a learner against losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlopt.theory.checks import whole

Losses = Callable[[int, np.ndarray], Any]


@dataclass(frozen=True)
class Trace:
    """What happened; the rounds are the leading axis, the runs (if several) the second.

    Attributes:
        x: points played, (T, *batch, d).
        gradient: gradients told, (T, *batch, d).
        loss: what the points cost, (T, *batch).
        losses: t, x -> f_t(x), t = 1..T; None for linear losses <g_t, x>.
    """

    x: np.ndarray
    gradient: np.ndarray
    loss: np.ndarray
    losses: Losses | None

    def regret(self, u: Any) -> Any:
        """Sum of f_t(x_t) - f_t(u), a float, or (runs,).

        Args:
            u: a fixed point, (d,), or one a round, (T, d).
        """
        points = np.broadcast_to(np.asarray(u, dtype=np.float64), (len(self.x), self.x.shape[-1]))
        if self.losses is None:
            against = np.einsum("t...d,td->t...", self.gradient, points)
        else:
            shape = self.x.shape[1:]
            against = np.array(
                [self.losses(t, np.broadcast_to(p, shape)) for t, p in enumerate(points, 1)]
            )
        total = (self.loss - against).sum(axis=0)
        return float(total) if total.ndim == 0 else total


def play(
    learner: Any,
    gradients: Any,
    losses: Losses | None = None,
    T: int | None = None,
    prox: Callable[[int, np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Trace:
    """Let a learner play T rounds.

    Args:
        learner: with `ask` and `tell`, see `rlopt.agents.online`.
        gradients: (T, d) or (T, runs, d) gradients of linear losses; or a function t, x -> gradient
            of f_t at x, t = 1..T.
        losses: t, x -> f_t(x), batched as x is; by default <g_t, x>.
        T: rounds; by default the number of gradients.
        prox: t, z, step -> argmin over the set of f_t(y) + |y - z|^2 / (2 step), where the learner
            needs it.

    Raises:
        ValueError: no T for gradients that are a function, or more rounds than gradients.
    """
    if callable(gradients):
        if T is None:
            raise ValueError("play: T is needed where gradients are a function of t and x")
        gradient_of: Losses = gradients
    else:
        table = np.asarray(gradients, dtype=np.float64)
        T = len(table) if T is None else T
        if len(table) < T:
            raise ValueError(f"play: T must be at most {len(table)}, the gradients given, got {T}")

        def gradient_of(t: int, x: np.ndarray) -> Any:
            return np.broadcast_to(table[t - 1], x.shape)

    points, told, costs = [], [], []
    for t in range(1, whole("play", "T", T, 1) + 1):
        x = learner.ask()
        gradient = np.asarray(gradient_of(t, x), dtype=np.float64)
        loss = (gradient * x).sum(axis=-1) if losses is None else losses(t, x)
        answers = {} if prox is None else {"prox": lambda z, step, t=t: prox(t, z, step)}
        learner.tell(x, loss, gradient=gradient, **answers)
        points.append(x)
        told.append(gradient)
        costs.append(loss)
    return Trace(np.array(points), np.array(told), np.array(costs, dtype=np.float64), losses)
