"""Online gradient descent (Zinkevich 2003; Hazan, Agarwal and Kale 2007)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from rlopt.agents.online.base import Answer, Learner, constant
from rlopt.spaces import ConvexSet
from rlopt.theory.checks import known, positive

SCHEDULES = ("sqrt_T", "sqrt_t", "strongly_convex")


class OGD(Learner):
    """x_{t+1} = Proj(x_t - eta_t g_t)."""

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
        self.G = constant(self.name, "G", G, positive)

    def _learn(self, answer: Answer) -> None:
        eta: Any = self.space.diameter / (self.G * np.sqrt(self.t + 1.0))
        self.x = self.space.project(answer.x - eta[..., None] * answer.gradient)
