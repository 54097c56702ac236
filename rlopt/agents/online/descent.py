"""Online gradient descent (Zinkevich 2003; Hazan, Agarwal and Kale 2007)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rlopt.agents.online import steps
from rlopt.agents.online.base import Answer, Learner, checked, diameter, required
from rlopt.spaces import ConvexSet
from rlopt.theory.checks import known

SCHEDULES = ("sqrt_T", "sqrt_t", "strongly_convex")


class OGD(Learner):
    """x_{t+1} = Proj(x_t - eta_t g_t).

    Args:
        space: the convex action set, of diameter D.
        runs: see `online.make`.
        schedule: "sqrt_T": D / (G sqrt T), needs G and T; "sqrt_t": D / (G sqrt t), needs G;
            "strongly_convex": 1 / (lam t), needs lam.
        eta: a step size of one's own, > 0, or a function of t = 1, 2, ...; wins over `schedule`.
        G: the largest norm of a gradient.
        T: the number of rounds.
        lam: strong convexity of the losses.
    """

    name: ClassVar[str] = "ogd"

    def __init__(
        self,
        space: ConvexSet,
        *,
        runs: int | None = None,
        schedule: str = "sqrt_t",
        eta: float | Callable[[int], float] | None = None,
        G: float | None = None,
        T: int | None = None,
        lam: float | None = None,
    ) -> None:
        super().__init__(space, runs)
        known(self.name, "schedule", schedule, SCHEDULES)
        G, T, lam = checked(self.name, G=G, T=T, lam=lam)
        if eta is not None:
            self._schedule = steps.chosen(self.name, eta)
        elif schedule == "strongly_convex":
            self._schedule = steps.StronglyConvex(required(self.name, "lam", lam))
        else:
            D, G = diameter(self.name, space), required(self.name, "G", G)
            if schedule == "sqrt_t":
                self._schedule = steps.SqrtClock(D, G)
            else:
                self._schedule = steps.sqrt_T(D, G, required(self.name, "T", T))

    def _learn(self, answer: Answer) -> None:
        eta = self._schedule(self.t + 1, 0.0)
        self.x = self.space.project(answer.x - eta[..., None] * answer.gradient)
