"""Bounds on the regret of (optimistic) Hedge (A7), and from regret to the gap of a game."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlopt.theory.checks import finite, whole
from rlopt.theory.registry import bound
from rlopt.theory.regret.amounts import above_zero, at_least_zero


@bound(source="Cesa-Bianchi and Lugosi 2006, Theorem 2.2", holds="pathwise")
def hedge(*, N: int, T: int, eta: Any = None) -> Any:
    """R <= ln N/eta + eta T/8, which is sqrt(T ln N/2) at eta = sqrt(8 ln N/T).

    Args:
        N: experts, >= 2.
        T: rounds, >= 1.
        eta: the step, > 0; None is sqrt(8 ln N/T).

    Assumptions: losses in [0, 1]; the best expert as comparator. Tight only as T and N grow.

    >>> round(float(hedge(N=8, T=1000)), 4)
    32.2447
    """
    entropy, T = np.log(whole("hedge", "N", N, 2)), whole("hedge", "T", T, 1)
    (eta,) = above_zero("hedge", eta=np.sqrt(8.0 * entropy / T) if eta is None else eta)
    return entropy / eta + eta * T / 8.0


@bound(source="Rakhlin and Sridharan 2013; our derivation (T9)", holds="pathwise")
def optimistic_hedge(*, N: int, eta: Any, V_T: Any, movement_sq: Any = 0.0) -> Any:
    """R <= ln N/eta + eta V_T - S_T/(4 eta).

    The entropy is 1-strongly convex in the 1-norm, so |p_t - q_{t+1}|_1 <= eta |l_t - m_t|_inf for
    q_{t+1} = the weights after l_t; the rest is as for mirror descent.

    Args:
        N: experts, >= 2.
        eta: the constant step, > 0.
        V_T: sum_{t<=T} |l_t - m_t|_inf^2.
        movement_sq: S_T = sum_{t=2..T} |p_t - p_{t-1}|_1^2; 0 leaves the negative term out.

    Assumptions: any losses and hints. Not tight.
    """
    (eta,) = above_zero("optimistic_hedge", eta=eta)
    V_T, movement_sq = at_least_zero("optimistic_hedge", V_T=V_T, movement_sq=movement_sq)
    entropy = np.log(whole("optimistic_hedge", "N", N, 2))
    return entropy / eta + eta * V_T - movement_sq / (4.0 * eta)


@bound(source="Freund and Schapire 1999", holds="pathwise", tight=True)
def game_gap(*, regret_x: float, regret_y: float, T: int) -> float:
    """The duality gap of the averages of self-play is at most (R_x + R_y)/T.

    Args:
        regret_x: regret of the player that minimises.
        regret_y: regret of the player that maximises, in its own losses.
        T: rounds, >= 1.

    Assumptions: a convex-concave game. Tight: an equality where the game is bilinear.

    >>> game_gap(regret_x=3.0, regret_y=1.0, T=8)
    0.5
    """
    total = finite("game_gap", "regret_x", regret_x) + finite("game_gap", "regret_y", regret_y)
    return total / whole("game_gap", "T", T, 1)
