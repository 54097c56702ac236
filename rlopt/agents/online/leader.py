"""Following the leader with a hint: all past gradients at once instead of one step after another.

With S_t the sum of the gradients g_1..g_t, M_t a hint of g_t and M_1 = 0, the point played is

    x_t = argmin over X of <S_{t-1} + M_t, x> + R_t(x),

with a regulariser around 0, R_t(x) = |x|^2 / eta_t (Sachs, Hadiji, van Erven and Guzman 2022, arXiv
2202.07554), or the curvature of the losses themselves. D here is sup |x| over X, the set's
`largest_norm`, half of what mirror descent calls D on a ball.

Differences from the paper: its text says that eta_t does not decrease; as defined it does not
increase.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rlopt.agents.online.base import Answer, Learner, checked, preset, required
from rlopt.agents.online.hints import hint_named
from rlopt.spaces import ConvexSet

FAR = 1e12  # how many times D "infinitely far" is
TINY = 1e-200


class FollowTheLeader(Learner):
    """What the leaders share; subclasses define `_leader` and, to watch the rounds, `_watch`.

    Args:
        space: the convex action set.
        runs: see `online.make`.
        hint: how M_t is guessed, see `hints.HINTS`; a hint told replaces the next guess.

    Attributes:
        M: the hint with which x was found, (*batch, d).
        total: sum of the gradients so far, (*batch, d).
    """

    memory: ClassVar[tuple[str, ...]] = ("M", "total")

    def __init__(self, space: ConvexSet, runs: int | None, hint: str) -> None:
        super().__init__(space, runs)
        self._guess = hint_named(self.name, hint)
        self.M, self.total = np.zeros_like(self.x), np.zeros_like(self.x)

    def _learn(self, answer: Answer) -> None:
        g = answer.gradient
        self._watch(answer)
        self.total = self.total + g
        guess = self._guess(g, self.total, self.t + 1) if answer.hint is None else answer.hint
        self.M = guess
        self.x = self.space.project(self._leader(self.total + guess, answer))

    def _watch(self, answer: Answer) -> None:
        """Remember of a round what else the future depends on."""

    def _leader(self, push: np.ndarray, answer: Answer) -> np.ndarray:
        """The minimiser on R^d, (*batch, d); `push` is S_{t-1} + M_t of the round to come."""
        raise NotImplementedError(f"{type(self).__name__} must define _leader(push, answer)")


class OFTRL(FollowTheLeader):
    """For convex losses: eta_t = D^2 / (nu + sum_{s<t} eta_s |g_s - M_s|^2) (theorem 5).

    Args:
        space: the convex action set.
        runs: see `online.make`.
        hint: "last" gradient, "zero" or "mean" of all gradients; a hint told replaces the next.
        nu: > 0; by default L D^2 + D G, or D G with practical constants. (The paper prints D G^2,
            which has another dimension.)
        G: the largest norm of a gradient; only for nu.
        L: smoothness of the mean losses; only for nu.
        constants: "theory" or "practical".

    Attributes:
        spent: nu + sum eta_s |g_s - M_s|^2, (*batch,).
    """

    name: ClassVar[str] = "oftrl"
    memory: ClassVar[tuple[str, ...]] = (*FollowTheLeader.memory, "spent")

    def __init__(
        self,
        space: ConvexSet,
        *,
        runs: int | None = None,
        hint: str = "last",
        nu: float | None = None,
        G: float | None = None,
        L: float | None = None,
        constants: str = "theory",
    ) -> None:
        super().__init__(space, runs, hint)
        theory = preset(self.name, constants)
        self._D = _largest_norm(space)
        nu, G, L = checked(self.name, nu=nu, G=G, L=L)
        if nu is None:
            nu = self._D * required(self.name, "G", G)
            if theory:
                nu += required(self.name, "L", L) * self._D**2
        self.spent = np.full(self.batch, nu)

    @property
    def eta(self) -> np.ndarray:
        """The eta_t with which x was found, (*batch,)."""
        return np.asarray(self._D**2 / self.spent)

    def _watch(self, answer: Answer) -> None:
        error = answer.gradient - self.M
        self.spent = self.spent + self.eta * (error * error).sum(axis=-1)

    def _leader(self, push: np.ndarray, answer: Answer) -> np.ndarray:
        return -0.5 * self.eta[..., None] * push


class ParameterFreeOFTRL(FollowTheLeader):
    """For convex losses, without a constant (arXiv 2303.03272).

    eta_t = D^2 / sum_{s<t} min{eta_s |g_s - M_s|^2 / 2, D |g_s - M_s|}; it is infinite, and
    the leader played without a regulariser, until a hint was wrong for the first time.

    Args:
        space: the convex action set.
        runs: see `online.make`.
        hint: as in `OFTRL`.

    Attributes:
        spent: the sum, (*batch,).
    """

    name: ClassVar[str] = "oftrl_parameter_free"
    memory: ClassVar[tuple[str, ...]] = (*FollowTheLeader.memory, "spent")

    def __init__(self, space: ConvexSet, *, runs: int | None = None, hint: str = "last") -> None:
        super().__init__(space, runs, hint)
        self._D = _largest_norm(space)
        self.spent = np.zeros(self.batch)

    def _watch(self, answer: Answer) -> None:
        wrong = self._D * np.linalg.norm(answer.gradient - self.M, axis=-1)
        twice = np.maximum(2.0 * self.spent, wrong)  # min{a^2 / b, a} = a^2 / max{a, b}
        self.spent = self.spent + wrong * np.divide(
            wrong, twice, out=np.zeros(self.batch), where=twice > 0.0
        )

    def _leader(self, push: np.ndarray, answer: Answer) -> np.ndarray:
        size = np.linalg.norm(push, axis=-1)
        least = np.where(size > TINY, self._D * size / (2.0 * FAR), 1.0)
        eta = self._D**2 / np.maximum(self.spent, least)
        return np.asarray(-0.5 * eta[..., None] * push)


class OFTL(FollowTheLeader):
    """For strongly convex losses: no regulariser but lam |x - x_s|^2 / 2 in every past round.

    x_t = Proj((lam sum_{s<t} x_s - S_{t-1} - M_t) / (lam (t-1))) (theorem 7).

    Args:
        space: the convex action set.
        runs: see `online.make`.
        hint: as in `OFTRL`.
        lam: strong convexity of the mean losses (the paper's mu).
    """

    name: ClassVar[str] = "oftl"

    def __init__(
        self,
        space: ConvexSet,
        *,
        runs: int | None = None,
        hint: str = "last",
        lam: float | None = None,
    ) -> None:
        super().__init__(space, runs, hint)
        (lam,) = checked(self.name, lam=lam)
        self.lam = required(self.name, "lam", lam)

    def _leader(self, push: np.ndarray, answer: Answer) -> np.ndarray:
        rounds = self.t[..., None] + 1
        return (self._total + answer.x - push / self.lam) / rounds


def _largest_norm(space: ConvexSet) -> float:
    """sup |x|; where 0 is the only point any number will do."""
    return space.largest_norm or 1.0
