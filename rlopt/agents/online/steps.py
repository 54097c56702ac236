"""Step sizes: eta_t from the round and from how wrong the hints were so far.

Every schedule is a function t, V -> eta. t, (*batch,), are the rounds about to be played, from 1;
each run has its own clock, since runs may restart alone. V, (*batch,), is the sum of
|g_s - M_s|^2 over the rounds s < t; schedules of the clock alone have no use for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rlopt.theory.checks import positive

Schedule = Callable[[Any, Any], Any]


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
    if not callable(eta):
        step = positive(owner, "eta", eta)
        return lambda t, V: np.full(np.shape(t), step)

    def called(t: Any, V: Any) -> Any:
        rounds, runs = np.unique(t, return_inverse=True)
        steps = [positive(owner, f"eta({n})", eta(n)) for n in rounds.tolist()]
        return np.array(steps)[runs].reshape(np.shape(t))

    return called


def sqrt_T(D: float, G: float, T: int) -> Schedule:
    """D / (G sqrt T): regret at most D G sqrt T (Zinkevich 2003; tight)."""
    return lambda t, V: np.full(np.shape(t), D / (G * np.sqrt(T)))


def sqrt_t(D: float, G: float) -> Schedule:
    """D / (G sqrt t): regret at most 1.5 D G sqrt T for every T."""
    return lambda t, V: D / (G * np.sqrt(t))


def strongly_convex(lam: float, factor: float = 1.0) -> Schedule:
    """factor / (lam t) for lam-strongly convex losses (Hazan, Agarwal and Kale 2007)."""
    return lambda t, V: factor / (lam * t)


def adaptive(D: float, G: float, delta: float) -> Schedule:
    """D / sqrt(delta + 4 G^2 + V_{t-1}): 4 G^2 stands for the round not yet seen."""
    floor = delta + 4.0 * G * G
    return lambda t, V: D / np.sqrt(floor + V)
