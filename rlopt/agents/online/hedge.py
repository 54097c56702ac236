"""Hedge: exponential weights on the simplex, with and without a hint of the next losses.

p_t is proportional to exp(-eta (L_{t-1} + m_t)) with L_{t-1} the sum of the loss vectors so far and
m_t a hint of the next, m_1 = 0 (Freund and Schapire 1997; Rakhlin and Sridharan 2013). The gradient
told is the loss vector. Losses are summed, and exponentiated after subtracting the largest score:
products of weights would underflow to 0 and never come back.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rlopt.agents.online.base import Answer, Learner, checked
from rlopt.agents.online.hints import hint_named
from rlopt.spaces import ConvexSet, Simplex


class OptimisticHedge(Learner):
    """Exponential weights that already count the losses that the hint predicts.

    Args:
        space: a Simplex, one coordinate an expert.
        runs: see `online.make`.
        hint: "last" losses, "zero" or "mean" of all losses; a hint told replaces the next.
        eta: > 0; by default sqrt(8 ln N / T), the best for losses in [0, 1] without a hint.
        T: rounds that will be played; only for eta.

    Attributes:
        M: the hint with which x was found, (*batch, d).
        total: sum of the loss vectors so far, (*batch, d).
        eta: as given or tuned.

    Raises:
        ValueError: another set, or neither eta nor T.
    """

    name: ClassVar[str] = "optimistic_hedge"
    memory: ClassVar[tuple[str, ...]] = ("M", "total")

    def __init__(
        self,
        space: ConvexSet,
        *,
        runs: int | None = None,
        hint: str = "last",
        eta: float | None = None,
        T: int | None = None,
    ) -> None:
        if not isinstance(space, Simplex):
            raise ValueError(f"{self.name}: space must be a Simplex, got {space!r}")
        super().__init__(space, runs)
        self._guess = hint_named(self.name, hint)
        eta, T = checked(self.name, eta=eta, T=T)
        self.eta = self._tuned(T) if eta is None else eta
        self.M, self.total = np.zeros_like(self.x), np.zeros_like(self.x)

    def _tuned(self, T: int | None) -> float:
        if T is None:
            raise ValueError(
                f"{self.name} needs eta or T: online.make({self.name!r}, space, T=...)"
            )
        return float(np.sqrt(8.0 * np.log(self.space.dimension) / T))

    def _learn(self, answer: Answer) -> None:
        g = answer.gradient
        total = self.total + g
        M = self._guess(g, total, self.t + 1) if answer.hint is None else answer.hint
        self.x = weights(-self.eta * (total + M))
        self.total, self.M = total, M


class Hedge(OptimisticHedge):
    """Exponential weights of the losses seen; a hint told is told in vain.

    Args:
        space: a Simplex, one coordinate an expert.
        runs: see `online.make`.
        eta: > 0; by default sqrt(8 ln N / T), the best for losses in [0, 1]: regret is then at most
            sqrt(T ln N / 2).
        T: rounds that will be played; only for eta.
    """

    name: ClassVar[str] = "hedge"

    def __init__(
        self,
        space: ConvexSet,
        *,
        runs: int | None = None,
        eta: float | None = None,
        T: int | None = None,
    ) -> None:
        super().__init__(space, runs=runs, hint="zero", eta=eta, T=T)

    def _learn(self, answer: Answer) -> None:
        super()._learn(answer._replace(hint=None))


def weights(scores: np.ndarray) -> np.ndarray:
    """Probabilities proportional to exp(scores), (..., N) -> (..., N)."""
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(p / p.sum(axis=-1, keepdims=True))
