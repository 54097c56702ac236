"""Bounds on the regret of optimistic follow-the-(regularised-)leader (A5, A6).

**Here D of A5 is sup |x| over the set**, which the regulariser |x|^2 / eta is centred for; on a
ball around 0 that is half the diameter that mirror descent means.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlopt.theory.checks import whole
from rlopt.theory.registry import bound
from rlopt.theory.regret.amounts import above_zero, at_least_zero


@bound(source="Sachs et al. 2022, Theorem 5, constant corrected (T6)", holds="pathwise")
def oftrl_pathwise(*, D: Any, G: Any, V_T: Any, nu: Any, movement_sq: Any = 0.0) -> Any:
    """A5: R <= (3 sqrt2/2) D sqrt(V_T) + nu + 6 D^2 G^2/nu - nu S_T/(2 D^2).

    With B_T = sum eta_t |g_t - M_t|^2, R <= nu + (3/2) B_T - ... and
    B_T <= sqrt2 D sqrt(V_T) + 4 D^2 G^2/nu.

    Args:
        D: sup |x| over the set, > 0; not the diameter.
        G: largest length of a gradient, > 0.
        V_T: sum_{t<=T} |g_t - M_t|^2, with |g_1|^2 as its first summand.
        nu: of the step D^2 / (nu + B_{t-1}), > 0.
        movement_sq: S_T = sum_{t=2..T} |x_t - x_{t-1}|^2; 0 leaves the negative term out.

    Assumptions: convex losses, |M_t| <= G. Not tight.
    Corrected: 6 for the printed 4, since the proof multiplies 4 D^2 G^2/nu by 3/2. So at
    nu = 2 D G the worst case is 3 sqrt2 D G sqrt(T) + 5 D G, not + 4 D G.

    >>> round(float(oftrl_pathwise(D=1.0, G=1.0, V_T=400.0, nu=2.0)), 4)  # T = 100
    47.4264
    """
    name = "oftrl_pathwise"
    D, G, nu = above_zero(name, D=D, G=G, nu=nu)
    V_T, movement_sq = at_least_zero(name, V_T=V_T, movement_sq=movement_sq)
    learnt = 1.5 * D * np.sqrt(2.0 * V_T)
    return learnt + nu + 6.0 * D**2 * G**2 / nu - nu / (2.0 * D**2) * movement_sq


@bound(source="Sachs et al. 2022, Theorem 5, constant corrected (T6)", holds="expectation")
def oftrl_sea_convex(*, D: Any, L: Any, G: Any, sigma_sq: Any, Sigma_sq: Any, nu: Any) -> Any:
    """A5: E R <= 6 D sigma + 3 sqrt2 D Sigma + (3 sqrt2/2) D G + nu + (6 D^2 G^2 + 9 L^2 D^4)/nu.

    Args:
        D: sup |x| over the set, > 0; not the diameter.
        L: smoothness of the means F_t, >= 0.
        G: largest length of a gradient, > 0.
        sigma_sq: sum_{t<=T} of the variances of the gradients, the largest over the set.
        Sigma_sq: sum_{t=2..T} of the squared changes of the mean's gradient, likewise.
        nu: of the learner's step, > 0; the paper's L D^2 + D G (it prints D G^2).

    Assumptions: convex losses, hints M_t = g_{t-1}; pseudo-regret against a fixed point. Not tight.
    Corrected: 6 for the printed 4, see `oftrl_pathwise`.
    """
    name = "oftrl_sea_convex"
    D, G, nu = above_zero(name, D=D, G=G, nu=nu)
    L, sigma_sq, Sigma_sq = at_least_zero(name, L=L, sigma_sq=sigma_sq, Sigma_sq=Sigma_sq)
    return (
        6.0 * D * np.sqrt(sigma_sq)
        + 3.0 * np.sqrt(2.0) * D * (np.sqrt(Sigma_sq) + G / 2.0)
        + nu
        + (6.0 * D**2 * G**2 + 9.0 * L**2 * D**4) / nu
    )


@bound(source="Sachs et al. 2022, Theorem 7, statement corrected (T7)", holds="expectation")
def oftl_sea_strongly_convex(
    *, D: Any, L: Any, G: Any, lam: Any, sigma_max_sq: Any, Sigma_max_sq: Any, T: int
) -> Any:
    """A6: E R <= (a (1 + ln T) + 4 D^2 L^2 ln(1 + 16 L/lam))/lam + G D.

    Here a = 8 sigma_max_sq + 4 Sigma_max_sq.

    Args:
        D: diameter of the set, > 0.
        L: smoothness of the means, >= 0.
        G: largest length of a gradient, > 0.
        lam: strong convexity of the means, > 0 (the paper's mu).
        sigma_max_sq: the largest summand of sigma_sq.
        Sigma_max_sq: the largest summand of Sigma_sq.
        T: rounds, >= 1.

    Assumptions: hints M_t = g_{t-1}; pseudo-regret against a fixed point. Not tight.
    Corrected: the printed statement lacks G D and does not agree in dimension; this is what its
    proof gives.
    """
    name = "oftl_sea_strongly_convex"
    D, G, lam = above_zero(name, D=D, G=G, lam=lam)
    L, sigma_max_sq, Sigma_max_sq = at_least_zero(
        name, L=L, sigma_max_sq=sigma_max_sq, Sigma_max_sq=Sigma_max_sq
    )
    noise = (8.0 * sigma_max_sq + 4.0 * Sigma_max_sq) * (1.0 + np.log(whole(name, "T", T, 1)))
    smooth = 4.0 * D**2 * L**2 * np.log1p(16.0 * L / lam)
    return (noise + smooth) / lam + G * D
