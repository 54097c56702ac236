"""Rounds of online convex optimisation without the Gymnasium layer: a learner against losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlopt.theory.checks import finite_array, whole

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

        Raises:
            ValueError: u is of another shape or not finite.
        """
        T, d = len(self.x), self.x.shape[-1]
        point = finite_array("regret", "u", u)
        if point.shape not in ((d,), (T, d)):
            raise ValueError(f"regret: u must be of shape ({d},) or ({T}, {d}), got {point.shape}")
        points = np.broadcast_to(point, (T, d))
        if self.losses is None:
            against = np.einsum("t...d,td->t...", self.gradient, points)
        else:
            shape = self.x.shape[1:]
            costs = (
                _cost(self.losses(t, np.broadcast_to(p, shape)), shape[:-1])
                for t, p in enumerate(points, 1)
            )
            against = np.array(list(costs))
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
        ValueError: no T for gradients that are a function, more rounds than gradients, or gradients
            or losses of another shape or not finite.
    """
    shape = np.shape(learner.ask())
    gradient_of, T = _gradients(gradients, shape, T)
    points, told, costs = [], [], []
    for t in range(1, T + 1):
        x = learner.ask()
        gradient = np.asarray(gradient_of(t, x), dtype=np.float64)
        loss = (gradient * x).sum(axis=-1) if losses is None else _cost(losses(t, x), shape[:-1])
        answers = {} if prox is None else {"prox": lambda z, step, t=t: prox(t, z, step)}
        learner.tell(x, loss, gradient=gradient, **answers)
        points.append(x)
        told.append(gradient)
        costs.append(loss)
    return Trace(np.array(points), np.array(told), np.array(costs, dtype=np.float64), losses)


def _gradients(gradients: Any, shape: tuple[int, ...], T: int | None) -> tuple[Losses, int]:
    """Gradients as a function of t and x, and the number of rounds."""
    if callable(gradients):
        if T is None:
            raise ValueError("play: T is needed where gradients are a function of t and x")
        return gradients, whole("play", "T", T, 1)
    table = finite_array("play", "gradients", gradients)
    allowed = {shape, shape[-1:]}
    if table.ndim < 2 or table.shape[1:] not in allowed:
        wanted = " or ".join(str(("T", *one)).replace("'", "") for one in sorted(allowed, key=len))
        raise ValueError(f"play: gradients must be of shape {wanted}, got {table.shape}")
    T = whole("play", "T", len(table) if T is None else T, 1)
    if len(table) < T:
        raise ValueError(f"play: T must be at most {len(table)}, the gradients given, got {T}")
    return (lambda t, x: np.broadcast_to(table[t - 1], x.shape)), T


def _cost(loss: Any, batch: tuple[int, ...]) -> np.ndarray:
    """What a round cost, one finite number a run."""
    cost = finite_array("play", "losses(t, x)", loss)
    if cost.size != np.prod(batch, dtype=int):
        raise ValueError(
            f"play: losses(t, x) must be one number a run, of shape {batch}, got {cost.shape}"
        )
    return cost.reshape(batch)
