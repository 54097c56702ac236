"""Optimistic mirror descent with two sequences (Chiang et al. 2012; Rakhlin and Sridharan 2013).

With M_t a hint of the gradient g_t, B the divergence of a mirror map and x_hat_1 = x_1, M_1 = 0:

    x_t         = argmin over X of <M_t, x> + B(x, x_hat_t) / eta_t      is played,
    x_hat_{t+1} = argmin over X of <g_t, x> + B(x, x_hat_t) / eta_t      is remembered.

Both steps start at x_hat_t and have the same length. The step sizes are those of Chen, Zhang, Tu,
Zhao and Zhang (2024, arXiv 2302.04552), with the constants for which regret in the SEA model is
proved in `rlopt.theory.regret`.

In every round and for every u in X (equality where no inequality of X acts, as on R^d):

    <g, x - u> <= <g - M, x - x_hat'> + [B(u, x_hat) - B(u, x_hat') - B(x_hat', x) - B(x, x_hat)]
    / eta,

where x_hat' is `x_hat` after the round is told, all else what the attributes were before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from rlopt.agents.online import steps
from rlopt.agents.online.base import Answer, Learner, checked, diameter, preset, required
from rlopt.agents.online.hints import hint_named
from rlopt.agents.online.mirror import MirrorMap, make_map
from rlopt.spaces import ConvexSet


class MirrorDescent(Learner):
    """Mirror map x hint x step size; subclasses choose.

    Args:
        space: the convex action set.
        runs: see `online.make`.
        hint: how M_t is guessed, see `hints.HINTS`; a hint told replaces the next guess.
        mirror: the name of a map, see `mirror.MIRRORS`, or a map.

    Attributes:
        x_hat: the point that both steps of this round start from, (*batch, d).
        M: the hint with which x was found, (*batch, d).
        eta: this round's step size, (*batch,).
        V: sum of |g_s - M_s|^2 over the rounds so far, (*batch,).
        total: sum of the gradients so far, (*batch, d).
        mirror: the mirror map.
    """

    memory: ClassVar[tuple[str, ...]] = ("x_hat", "M", "eta", "V", "total")

    def __init__(
        self,
        space: ConvexSet,
        runs: int | None,
        hint: str,
        mirror: str | MirrorMap,
    ) -> None:
        super().__init__(space, runs)
        self.mirror, self._guess = make_map(self.name, mirror, space), hint_named(self.name, hint)
        self.x_hat, self.M, self.total = self.x, np.zeros_like(self.x), np.zeros_like(self.x)
        self.V = np.zeros(self.batch)

    def _step_by(self, schedule: steps.Schedule) -> None:
        """Take the step sizes from a schedule; to be called once, at the end of making."""
        self._schedule = schedule
        self.eta = schedule(self.t + 1, self.V)

    def _learn(self, answer: Answer) -> None:
        g = answer.gradient
        x_hat = self.mirror.step(self.x_hat, g, self.eta, self.space)
        error = g - self.M
        V = self.V + (error * error).sum(axis=-1)
        eta = self._schedule(self.t + 2, V)
        total = self.total + g
        M = self._guess(g, total, self.t + 1) if answer.hint is None else answer.hint
        self.x = self.mirror.step(x_hat, M, eta, self.space)
        self.x_hat, self.M, self.eta, self.V, self.total = x_hat, M, eta, V, total


class OptimisticOMD(MirrorDescent):
    """For convex losses: eta_t = D / sqrt(delta + 4 G^2 + V_{t-1}), with D the diameter.

    That step is analysed for the Euclidean map; a constant step is for every map.

    Args:
        space: the convex action set.
        runs: see `online.make`.
        hint: "last" gradient, "zero" or "mean" of all gradients; a hint told replaces the next.
        mirror: "euclidean", "entropy" or "log_barrier" (simplex), "p_norm" (box, simplex), or a
            map of `rlopt.agents.online.mirror`.
        eta: a step size of one's own, > 0, or a function of t = 1, 2, ...; no constants then.
        G: the largest norm of a gradient.
        L: smoothness of the mean losses; only for delta.
        delta: > 0; by default 50 D^2 L^2, or 1 with practical constants.
        constants: "theory" or "practical".
    """

    name: ClassVar[str] = "optimistic_omd"

    def __init__(
        self,
        space: ConvexSet,
        *,
        runs: int | None = None,
        hint: str = "last",
        mirror: str | MirrorMap = "euclidean",
        eta: float | Callable[[int], float] | None = None,
        G: float | None = None,
        L: float | None = None,
        delta: float | None = None,
        constants: str = "theory",
    ) -> None:
        super().__init__(space, runs, hint, mirror)
        theory = preset(self.name, constants)
        G, L, delta = checked(self.name, G=G, L=L, delta=delta)
        if eta is not None:
            return self._step_by(steps.chosen(self.name, eta))
        D, G = diameter(self.name, space), required(self.name, "G", G)
        if delta is None:
            delta = 50.0 * (D * required(self.name, "L", L)) ** 2 if theory else 1.0
        self._step_by(steps.Adaptive(D, G, delta))


class StronglyConvexOMD(MirrorDescent):
    """For strongly convex losses: eta_t = 2 / (lam t).

    Args:
        space: the convex action set.
        runs: see `online.make`.
        hint: as in `OptimisticOMD`.
        lam: strong convexity of the mean losses.
    """

    name: ClassVar[str] = "optimistic_omd_sc"

    def __init__(
        self,
        space: ConvexSet,
        *,
        runs: int | None = None,
        hint: str = "last",
        lam: float | None = None,
    ) -> None:
        super().__init__(space, runs, hint, "euclidean")
        (lam,) = checked(self.name, lam=lam)
        self._step_by(steps.StronglyConvex(required(self.name, "lam", lam), 2.0))
