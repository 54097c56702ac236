"""Theorems on regret, as functions of named constants.

Symbols: g_t the gradient told, M_t the hint (0 at t = 1), V_T = sum |g_t - M_t|^2,
S_T = sum_{t>=2} |x_t - x_{t-1}|^2; sigma_sq sums the variances of the gradients over t = 1..T and
Sigma_sq the squared changes of their means over t = 2..T, each the largest over the set. Every
constant may be an array, one entry a run.

A bound that is "pathwise" holds for sum <g_t, x_t - u> on every sequence, hence for the regret of
convex losses; one "in expectation" for the pseudo-regret sum F_t(x_t) - F_t(u) against a fixed u.

No algorithm does better (T8; Sachs et al. 2022, Theorems 6 and 8): some instance forces a regret
of order D (sigma + Sigma) on convex losses, and of order (sigma_max_sq + Sigma_max_sq) ln(T)/lam
on strongly convex ones. Their constants are not explicit, so there is no function for them.

>>> from rlopt.theory import regret
>>> float(regret.ogd_constant_step(D=2.0, G=1.0, T=400))
40.0
"""

from __future__ import annotations

from rlopt.theory.regret.descent import ogd_constant_step, ogd_sqrt_t, ogd_strongly_convex
from rlopt.theory.regret.dynamic import dynamic_omd_sea
from rlopt.theory.regret.experts import game_gap, hedge, optimistic_hedge
from rlopt.theory.regret.leader import (
    oftl_sea_strongly_convex,
    oftrl_pathwise,
    oftrl_sea_convex,
)
from rlopt.theory.regret.mirror import (
    omd_constant_step,
    omd_convex_pathwise,
    omd_envelope,
    omd_exp_pathwise,
    omd_exp_sea,
    omd_implicit_sea,
    omd_sea_convex,
    omd_sea_strongly_convex,
)
from rlopt.theory.regret.special import (
    corrupted_Sigma_sq,
    random_order_Sigma_sq,
    random_order_sigma_sq,
)

__all__ = [
    "corrupted_Sigma_sq",
    "dynamic_omd_sea",
    "game_gap",
    "hedge",
    "oftl_sea_strongly_convex",
    "oftrl_pathwise",
    "oftrl_sea_convex",
    "ogd_constant_step",
    "ogd_sqrt_t",
    "ogd_strongly_convex",
    "omd_constant_step",
    "omd_convex_pathwise",
    "omd_envelope",
    "omd_exp_pathwise",
    "omd_exp_sea",
    "omd_implicit_sea",
    "omd_sea_convex",
    "omd_sea_strongly_convex",
    "optimistic_hedge",
    "random_order_Sigma_sq",
    "random_order_sigma_sq",
]
