"""Optimistic online Newton step (Chen, Zhang, Tu, Zhao and Zhang 2024, for exp-concave losses)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rlopt.agents.online.base import Answer, Learner, checked, diameter, preset, required
from rlopt.agents.online.hints import hint_named
from rlopt.agents.online.mirror import metric_step
from rlopt.spaces import ConvexSet


class OptimisticNewton(Learner):
    """Optimistic mirror descent in a metric that learns where the gradients point.

    H_t = (1 + beta G^2 / 2) I + (beta / 2) sum_{s<t} g_s g_s'. Both steps of a round are projected
    in the metric H_t: a Euclidean projection after a Newton step would void the bound.

    Args:
        space: the convex action set, of diameter D.
        runs: see `online.make`.
        hint: "last" gradient, "zero" or "mean" of all gradients; a hint told replaces the next.
        G: the largest norm of a gradient.
        alpha: exp-concavity of the losses (1 / B^2 for half squared errors up to B, exp(-R) for
            logistic losses with margins up to R, 1 for log-wealth); only for beta.
        beta: > 0; by default min(1 / (4 G D), alpha) / 2, or 1/2 with practical constants.
        constants: "theory" or "practical".

    Attributes:
        x_hat: the point that both steps of this round start from, (*batch, d).
        M: the hint with which x was found, (*batch, d).
        metric: H of this round, (*batch, d, d); the inequality of `omd` holds with
            B(u, x) = (u - x)' H (u - x) / 2 and eta = 1.
        total: sum of the gradients so far, (*batch, d).
    """

    name: ClassVar[str] = "optimistic_omd_exp"
    memory: ClassVar[tuple[str, ...]] = ("x_hat", "M", "metric", "total")

    def __init__(
        self,
        space: ConvexSet,
        *,
        runs: int | None = None,
        hint: str = "last",
        G: float | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        constants: str = "theory",
    ) -> None:
        super().__init__(space, runs)
        self._guess = hint_named(self.name, hint)
        theory = preset(self.name, constants)
        G, alpha, beta = checked(self.name, G=G, alpha=alpha, beta=beta)
        G = required(self.name, "G", G)
        if beta is None and theory:
            alpha = required(self.name, "alpha", alpha)
            beta = 0.5 * min(1.0 / (4.0 * G * diameter(self.name, space)), alpha)
        self.beta = 0.5 if beta is None else beta
        self.x_hat, self.M, self.total = self.x, np.zeros_like(self.x), np.zeros_like(self.x)
        start = (1.0 + 0.5 * self.beta * G * G) * np.eye(space.dimension)
        self.metric = np.broadcast_to(start, (*self.batch, *start.shape))

    def _learn(self, answer: Answer) -> None:
        g = answer.gradient
        x_hat = metric_step(self.x_hat, g, self.metric, self.space)
        metric = self.metric + 0.5 * self.beta * g[..., :, None] * g[..., None, :]
        total = self.total + g
        M = self._guess(g, total, self.t + 1) if answer.hint is None else answer.hint
        self.x = metric_step(x_hat, M, metric, self.space)
        self.x_hat, self.M, self.metric, self.total = x_hat, M, metric, total
