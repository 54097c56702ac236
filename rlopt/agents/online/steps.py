"""Step sizes: eta_t from the round and from how wrong the hints were so far.

Every schedule is a callable t, V -> eta, which pickles. t, (*batch,), are the rounds about to be
played, from 1; each run has its own clock, since runs may restart alone. V, (*batch,), is the sum
of |g_s - M_s|^2 over the rounds s < t; schedules of the clock alone have no use for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlopt.theory.checks import positive

Schedule = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Constant:
    """The same step in all rounds."""

    eta: float

    def __call__(self, t: Any, V: Any) -> Any:
        """The steps, shaped as t."""
        return np.full(np.shape(t), self.eta)


@dataclass(frozen=True)
class Chosen:
    """The user's own step size: a function of the round, an int from 1.

    Raises:
        TypeError, ValueError: when called, for a step that is not a number > 0.
    """

    owner: str
    eta: Callable[[int], float]

    def __call__(self, t: Any, V: Any) -> Any:
        """The steps, shaped as t."""
        rounds, runs = np.unique(t, return_inverse=True)
        steps = [positive(self.owner, f"eta({n})", self.eta(n)) for n in rounds.tolist()]
        return np.array(steps)[runs].reshape(np.shape(t))


def chosen(owner: str, eta: float | Callable[[int], float]) -> Schedule:
    """The user's own step size.

    Args:
        owner: the learner's name, for messages.
        eta: > 0, the same in all rounds; or a function of the round, which gets t = 1, 2, ... as
            an int.

    Raises:
        TypeError, ValueError: a step that is not a number > 0; where it is a function, only once
            that round is reached.
    """
    return Chosen(owner, eta) if callable(eta) else Constant(positive(owner, "eta", eta))


def sqrt_T(D: float, G: float, T: int) -> Schedule:
    """D / (G sqrt T): regret at most D G sqrt T (Zinkevich 2003; tight)."""
    return Constant(D / (G * float(np.sqrt(T))))


@dataclass(frozen=True)
class SqrtClock:
    """D / (G sqrt t): regret at most 1.5 D G sqrt T for every T."""

    D: float
    G: float

    def __call__(self, t: Any, V: Any) -> Any:
        """The steps, shaped as t."""
        return self.D / (self.G * np.sqrt(t))


@dataclass(frozen=True)
class StronglyConvex:
    """factor / (lam t) for lam-strongly convex losses (Hazan, Agarwal and Kale 2007)."""

    lam: float
    factor: float = 1.0

    def __call__(self, t: Any, V: Any) -> Any:
        """The steps, shaped as t."""
        return self.factor / (self.lam * t)


@dataclass(frozen=True)
class Adaptive:
    """D / sqrt(delta + 4 G^2 + V_{t-1}): 4 G^2 stands for the round not yet seen."""

    D: float
    G: float
    delta: float

    def __call__(self, t: Any, V: Any) -> Any:
        """The steps, shaped as t."""
        floor = self.delta + 4.0 * self.G * self.G
        return self.D / np.sqrt(floor + V)
