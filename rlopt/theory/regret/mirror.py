"""Bounds on the regret of optimistic online mirror descent (A1-A4).

All rest on one inequality, which holds for every round and every u in X with M_t the hint,
H_t = I / eta_t (A1, A2, A4) or the metric of A3:

    <g_t, x_t - u> <= <g_t - M_t, x_t - x_hat_{t+1}> + (|u - x_hat_t|_H^2 - |u - x_hat_{t+1}|_H^2
                      - |x_hat_{t+1} - x_t|_H^2 - |x_t - x_hat_t|_H^2) / 2,

and on |x_t - x_hat_{t+1}|_H <= |g_t - M_t|_{H^-1}. In the SEA model M_t = g_{t-1} gives

    E V_T <= G^2 + 8 sigma^2 + 4 Sigma^2 + 4 L^2 E S_T,   S_T = sum_{t>=2} |x_t - x_{t-1}|^2,

and the negative terms, at least S_T / (4 eta_1), absorb the last summand.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlopt.theory.registry import bound
from rlopt.theory.regret.amounts import above_zero, at_least_zero

SOURCE = "after Chen, Zhang, Tu, Zhao and Zhang 2024"


@bound(source="Chiang et al. 2012; our derivation", holds="pathwise")
def omd_constant_step(*, distance_sq: Any, eta: Any, V_T: Any, movement_sq: Any = 0.0) -> Any:
    """R(u) <= |u - x_1|^2 / (2 eta) + eta V_T - S_T / (4 eta).

    With a constant step and the negative term this bound notices a dropped, flipped or doubled
    hint, a wrong step and a one-sequence update; those with adaptive steps do not.

    Args:
        distance_sq: |u - x_1|^2 of the comparator.
        eta: the step, > 0.
        V_T: sum_{t<=T} |g_t - M_t|^2.
        movement_sq: S_T = sum_{t=2..T} |x_t - x_{t-1}|^2; 0 leaves the negative term out.

    Assumptions: convex losses; any hints. Not tight.
    """
    name = "omd_constant_step"
    (eta,) = above_zero(name, eta=eta)
    distance_sq, V_T, movement_sq = at_least_zero(
        name, distance_sq=distance_sq, V_T=V_T, movement_sq=movement_sq
    )
    return distance_sq / (2.0 * eta) + eta * V_T - movement_sq / (4.0 * eta)


@bound(source=f"{SOURCE}; our derivation (T1)", holds="pathwise")
def omd_convex_pathwise(*, D: Any, G: Any, V_T: Any, delta: Any, movement_sq: Any = 0.0) -> Any:
    """A1: R <= (5/2) D sqrt(V_T) + (D/2) sqrt(delta) + D G - sqrt(delta + 4 G^2) S_T / (4 D).

    Args:
        D: diameter of the set, > 0.
        G: largest length of a gradient, > 0.
        V_T: sum_{t<=T} |g_t - M_t|^2, with |g_1|^2 as its first summand.
        delta: of the step D / sqrt(delta + 4 G^2 + V_{t-1}), > 0.
        movement_sq: S_T = sum_{t=2..T} |x_t - x_{t-1}|^2; 0 leaves the negative term out.

    Assumptions: convex losses, |M_t| <= G. Any comparator in the set. Not tight: the step pays
    twice for what it learns late.

    >>> float(omd_convex_pathwise(D=2.0, G=1.0, V_T=4.0, delta=1.0))
    13.0
    """
    name = "omd_convex_pathwise"
    D, G, delta = above_zero(name, D=D, G=G, delta=delta)
    V_T, movement_sq = at_least_zero(name, V_T=V_T, movement_sq=movement_sq)
    return (
        2.5 * D * np.sqrt(V_T)
        + D / 2.0 * np.sqrt(delta)
        + D * G
        - np.sqrt(delta + 4.0 * G**2) / (4.0 * D) * movement_sq
    )


@bound(source=f"{SOURCE}; our derivation (T2)", holds="expectation")
def omd_sea_convex(*, D: Any, L: Any, G: Any, sigma_sq: Any, Sigma_sq: Any, delta: Any) -> Any:
    """A1: E R <= 5 D (sqrt2 sigma + Sigma) + 3.5 D G + (D/2) sqrt(delta) + 25 D^3 L^2/sqrt(delta).

    At delta = 50 D^2 L^2 the last two sum to their least, 5 sqrt2 D^2 L. (The delta = 10 D^2 L^2
    that is quoted for the paper does not minimise them.)

    Args:
        D: diameter of the set, > 0.
        L: smoothness of the means F_t, >= 0.
        G: largest length of a gradient, > 0.
        sigma_sq: sum_{t<=T} of the variances of the gradients, the largest over the set.
        Sigma_sq: sum_{t=2..T} of the squared changes of the mean's gradient, likewise.
        delta: of the learner's step, > 0.

    Assumptions: convex means, hints M_t = g_{t-1}; pseudo-regret against a fixed point. Not tight.

    >>> most = omd_sea_convex(D=2.0, L=1.0, G=1.9, sigma_sq=90.0, Sigma_sq=0.0, delta=200.0)
    >>> round(float(most), 1)
    175.7
    """
    name = "omd_sea_convex"
    D, G, delta = above_zero(name, D=D, G=G, delta=delta)
    L, sigma_sq, Sigma_sq = at_least_zero(name, L=L, sigma_sq=sigma_sq, Sigma_sq=Sigma_sq)
    return (
        5.0 * D * (np.sqrt(2.0 * sigma_sq) + np.sqrt(Sigma_sq))
        + 3.5 * D * G
        + D / 2.0 * np.sqrt(delta)
        + 25.0 * D**3 * L**2 / np.sqrt(delta)
    )


@bound(source=f"{SOURCE}; our derivation (T3)", holds="expectation")
def omd_sea_strongly_convex(
    *,
    D: Any,
    L: Any,
    G: Any,
    lam: Any,
    sigma_sq: Any,
    Sigma_sq: Any,
    sigma_max_sq: Any,
    Sigma_max_sq: Any,
) -> Any:
    """A2: E R <= (16/lam) (a + a ln(1 + A/a) + L^2 D^2 ln(1 + 8 sqrt2 L/lam) + G^2/4) + lam D^2/4.

    Here A = 2 sigma_sq + Sigma_sq and a = 2 sigma_max_sq + Sigma_max_sq; at a = 0 the first
    summand is 0. The statement in the journal has 4 / lam more, as quoted.

    Args:
        D: diameter of the set, > 0.
        L: smoothness of the means, >= 0.
        G: largest length of a gradient, > 0.
        lam: strong convexity of the means, > 0.
        sigma_sq: see `omd_sea_convex`.
        Sigma_sq: see `omd_sea_convex`.
        sigma_max_sq: the largest summand of sigma_sq.
        Sigma_max_sq: the largest summand of Sigma_sq.

    Assumptions: hints M_t = g_{t-1}; pseudo-regret against a fixed point. Not tight.
    """
    name = "omd_sea_strongly_convex"
    D, G, lam = above_zero(name, D=D, G=G, lam=lam)
    L, sigma_sq, Sigma_sq = at_least_zero(name, L=L, sigma_sq=sigma_sq, Sigma_sq=Sigma_sq)
    sigma_max_sq, Sigma_max_sq = at_least_zero(
        name, sigma_max_sq=sigma_max_sq, Sigma_max_sq=Sigma_max_sq
    )
    total, most = 2.0 * sigma_sq + Sigma_sq, 2.0 * sigma_max_sq + Sigma_max_sq
    if np.any((total > 0.0) & (most == 0.0)):
        raise ValueError(
            f"{name}: sigma_max_sq and Sigma_max_sq, the largest summands, must not be 0 where "
            f"sigma_sq or Sigma_sq is not, got {sigma_max_sq}, {Sigma_max_sq} and {sigma_sq}, "
            f"{Sigma_sq}"
        )
    share = total / np.where(np.equal(most, 0.0), 1.0, most)
    return (
        16.0 * most / lam * (1.0 + np.log1p(share))
        + 16.0 * L**2 * D**2 / lam * np.log1p(8.0 * np.sqrt(2.0) * L / lam)
        + 4.0 * G**2 / lam
        + lam * D**2 / 4.0
    )


@bound(source=f"{SOURCE}; our derivation (T4)", holds="pathwise")
def omd_exp_pathwise(*, D: Any, G: Any, d: Any, beta: Any, V_T: Any, movement_sq: Any = 0.0) -> Any:
    """A3: R <= (16 d/beta) ln(1 + beta V_T/(8 d)) + (D^2/2)(1 + beta G^2/2) - S_T/4.

    Args:
        D: diameter of the set, > 0.
        G: largest length of a gradient, > 0.
        d: dimension, > 0.
        beta: of the learner's metric, > 0, at most min(1/(4 G D), alpha)/2 for alpha-exp-concave
            losses.
        V_T: sum_{t<=T} |g_t - g_{t-1}|^2 with g_0 = 0.
        movement_sq: S_T = sum_{t=2..T} |x_t - x_{t-1}|^2; 0 leaves the negative term out.

    Assumptions: every f_t is alpha-exp-concave; hints M_t = g_{t-1}. Not tight.
    """
    name = "omd_exp_pathwise"
    D, G, d, beta = above_zero(name, D=D, G=G, d=d, beta=beta)
    V_T, movement_sq = at_least_zero(name, V_T=V_T, movement_sq=movement_sq)
    learnt = 16.0 * d / beta * np.log1p(beta * V_T / (8.0 * d))
    return learnt + D**2 / 2.0 * (1.0 + beta * G**2 / 2.0) - movement_sq / 4.0


@bound(source=f"{SOURCE}; our derivation (T4)", holds="expectation")
def omd_exp_sea(*, D: Any, L: Any, G: Any, d: Any, beta: Any, sigma_sq: Any, Sigma_sq: Any) -> Any:
    """A3: E R <= the bound of `omd_exp_pathwise` at E V + (16 d/beta) ln(1 + 32 L^2).

    Here E V = G^2 + 8 sigma_sq + 4 Sigma_sq; the logarithm pays for what the movement adds to it.

    Args:
        D: diameter of the set, > 0.
        L: smoothness of the means, >= 0.
        G: largest length of a gradient, > 0.
        d: dimension, > 0.
        beta: see `omd_exp_pathwise`.
        sigma_sq: see `omd_sea_convex`.
        Sigma_sq: see `omd_sea_convex`.

    Assumptions: every f_t (not only the means) is exp-concave; a fixed comparator. Not tight.
    """
    name = "omd_exp_sea"
    L, sigma_sq, Sigma_sq = at_least_zero(name, L=L, sigma_sq=sigma_sq, Sigma_sq=Sigma_sq)
    D, G, d, beta = above_zero(name, D=D, G=G, d=d, beta=beta)
    still = omd_exp_pathwise(D=D, G=G, d=d, beta=beta, V_T=G**2 + 8.0 * sigma_sq + 4.0 * Sigma_sq)
    return still + 16.0 * d / beta * np.log1p(32.0 * L**2)


@bound(source=f"{SOURCE}; our derivation (T5)", holds="expectation")
def omd_implicit_sea(*, D: Any, G: Any, sigma_tilde_sq: Any, Sigma_sq: Any, delta: Any) -> Any:
    """A4: E R <= (5/2) D (G + sqrt6 sigma_tilde + sqrt3 Sigma) + (D/2) sqrt(delta) + D G.

    Pathwise it is `omd_convex_pathwise` with V'_T = sum |g_s - M_s|^2 of the hints
    M_s = grad f_{s-1}(x_s), which add nothing where the losses repeat.

    Args:
        D: diameter of the set, > 0.
        G: largest length of a gradient, > 0.
        sigma_tilde_sq: sum_{t<=T} E sup_x |grad f_t - grad F_t|^2, the sup inside: x_t knows
            f_{t-1}.
        Sigma_sq: see `omd_sea_convex`.
        delta: of the learner's step, > 0.

    Assumptions: convex losses, smooth or not; a fixed comparator. Where the prox step ends on the
    boundary of the set, (x_hat_s - x_s) / eta_s is M_s plus a normal vector; V' must not count
    that vector, or the bound can fail. Not tight.
    """
    name = "omd_implicit_sea"
    D, G, delta = above_zero(name, D=D, G=G, delta=delta)
    sigma_tilde_sq, Sigma_sq = at_least_zero(name, sigma_tilde_sq=sigma_tilde_sq, Sigma_sq=Sigma_sq)
    noise = np.sqrt(6.0 * sigma_tilde_sq) + np.sqrt(3.0 * Sigma_sq)
    return omd_convex_pathwise(D=D, G=G, V_T=(G + noise) ** 2, delta=delta)


@bound(source="our derivation, as T1", holds="pathwise")
def omd_envelope(*, D: Any, G: Any, V_T: Any, delta: Any) -> Any:
    """A1 with tuned steps and hints: R <= 2 D sqrt(delta + 4 G^2 + V_T) + 2 D sqrt(V_T).

    The steps may be any that do not increase and lie in [eta_t/4, eta_t] around A1's own
    eta_t = D / sqrt(delta + 4 G^2 + V_{t-1}); the hints any w_t g_{t-1} with w_t in [0, 1]. So a
    policy that tunes both can win without losing the guarantee.

    Args:
        D: diameter of the set, > 0.
        G: largest length of a gradient, > 0.
        V_T: sum_{t<=T} |g_t - M_t|^2 of the hints used.
        delta: > 0.

    Assumptions: convex losses. Not tight.
    """
    D, G, delta = above_zero("omd_envelope", D=D, G=G, delta=delta)
    (V_T,) = at_least_zero("omd_envelope", V_T=V_T)
    return 2.0 * D * (np.sqrt(delta + 4.0 * G**2 + V_T) + np.sqrt(V_T))
