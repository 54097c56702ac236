"""Optimistic mirror descent whose hint is the whole last loss, for losses with kinks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from rlopt.agents.core import needed
from rlopt.agents.online import steps
from rlopt.agents.online.base import Answer, Learner, checked, diameter, preset, required
from rlopt.spaces import ConvexSet

SAME = 1e-12  # two prox steps that agree to this are the same


class ImplicitOMD(Learner):
    """x_t = argmin over X of f_{t-1}(x) + |x - x_hat_t|^2 / (2 eta_t), no smoothness needed.

    x_hat_{t+1} = Proj(x_hat_t - eta_t g_t) and eta_t = D / sqrt(delta + 4 G^2 + V_{t-1}) as in
    `omd`. The hint is the subgradient that the prox step found, M_t = (x_hat_t - x_t) / eta_t.
    Where the new loss has the same prox point, M_t is a subgradient of it too and is taken instead
    of the one told: at a kink both are right, and only M_t leaves the learner at rest.

    `tell` needs the prox of the round's loss: prox(z, step), z of shape (*batch, d) and step a
    number for one run, (runs, 1) for several; exact on the set, which a prox on R^d that is
    projected afterwards is not.

    Args:
        space: the convex action set, of diameter D.
        runs: see `online.make`.
        G: the largest norm of a subgradient.
        delta: > 0; by default G^2, or 1 with practical constants. The bound holds for any.
        constants: "theory" or "practical".

    Attributes:
        x_hat: the point that both steps of this round start from, (*batch, d).
        M: the implicit hint with which x was found, (*batch, d).
        eta: this round's step size, (*batch,).
        V: sum of |g_s - M_s|^2 over the rounds so far, (*batch,).
        g: the subgradient that the last round was learnt from, (*batch, d).
    """

    name: ClassVar[str] = "optimistic_omd_implicit"
    memory: ClassVar[tuple[str, ...]] = ("x_hat", "M", "eta", "V")

    def __init__(
        self,
        space: ConvexSet,
        *,
        runs: int | None = None,
        G: float | None = None,
        delta: float | None = None,
        constants: str = "theory",
    ) -> None:
        super().__init__(space, runs)
        theory = preset(self.name, constants)
        G, delta = checked(self.name, G=G, delta=delta)
        G = required(self.name, "G", G)
        if delta is None:
            delta = G * G if theory else 1.0
        self._schedule = steps.Adaptive(diameter(self.name, space), G, delta)
        self.x_hat, self.M, self.g = self.x, np.zeros_like(self.x), np.zeros_like(self.x)
        self.V = np.zeros(self.batch)
        self.eta = self._schedule(self.t + 1, self.V)

    def _learn(self, answer: Answer) -> None:
        needed(self.name, prox=answer.prox)
        again = self._prox(answer.prox, self.x_hat, self.eta)
        same = np.abs(again - self.x).max(axis=-1, keepdims=True) <= SAME
        g = np.where(same, self.M, answer.gradient)
        x_hat = self.space.project(self.x_hat - self.eta[..., None] * g)
        V = self.V + ((g - self.M) ** 2).sum(axis=-1)
        eta = self._schedule(self.t + 2, V)
        self.x = self._prox(answer.prox, x_hat, eta)
        self.M = (x_hat - self.x) / eta[..., None]
        self.x_hat, self.eta, self.V, self.g = x_hat, eta, V, g

    def _prox(self, prox: Callable[..., Any] | None, z: np.ndarray, eta: Any) -> np.ndarray:
        """The told prox at z; ValueError if it gives no point of the set."""
        assert prox is not None
        point = self._vector("prox(z, step)", prox(z.copy(), eta[..., None] if self.batch else eta))
        if not self.space.holds(point).all():
            raise ValueError(f"{self.name}: prox(z, step) must be a point of {self.space}")
        return point
