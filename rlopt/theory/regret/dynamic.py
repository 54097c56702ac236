"""The bound on the dynamic regret of the two-layer method (A8)."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlopt.theory.checks import whole
from rlopt.theory.registry import bound
from rlopt.theory.regret.amounts import above_zero, at_least_zero


@bound(
    source="after Chen et al. 2024 and Zhao et al. 2024; our derivation (T10)",
    holds="expectation",
)
def dynamic_omd_sea(
    *,
    D: Any,
    L: Any,
    G: Any,
    N: int,
    path: Any,
    sigma_sq: Any,
    Sigma_sq: Any,
    eps: Any = None,
) -> Any:
    """A8: E R(u_1..u_T) <= ln N/eps + eps D^2 A + 3 sqrt(C A) + 24 L C.

    C = (D^2 + 2 D path)/2 and A = G^2 + 8 sigma_sq + 4 Sigma_sq. With the best
    eps = min(1/(8 D^2 L), sqrt(ln N/(D^2 A))) the first two are at most
    2 D sqrt(A ln N) + 8 D^2 L ln N, which is what eps=None gives.

    The meta layer's penalty lambda = 2 L pays for the movement of the base learners
    (eta_i <= 1/(8 L)), and eps <= 1/(8 D^2 L) for that of the weights.

    Args:
        D: diameter of the set, > 0; also at least sup |x|.
        L: smoothness of the means, > 0.
        G: largest length of a gradient, > 0.
        N: base learners, >= 1.
        path: sum_{t=2..T} |u_t - u_{t-1}| of the comparators, >= 0.
        sigma_sq: see `omd_sea_convex`.
        Sigma_sq: see `omd_sea_convex`.
        eps: the meta layer's step, in (0, 1/(8 D^2 L)]; None as above.

    Assumptions: convex means, hints M_t = g_{t-1}, comparators that do not look at the noise.
    Not tight: the step of the pool nearest to sqrt(C/A) would need 8 L C only.

    Raises:
        ValueError: a constant outside its range.
    """
    name = "dynamic_omd_sea"
    D, L, G = above_zero(name, D=D, L=L, G=G)
    path, sigma_sq, Sigma_sq = at_least_zero(name, path=path, sigma_sq=sigma_sq, Sigma_sq=Sigma_sq)
    entropy = np.log(whole(name, "N", N, 1))
    A = G**2 + 8.0 * sigma_sq + 4.0 * Sigma_sq
    C = (D**2 + 2.0 * D * path) / 2.0
    if eps is None:
        meta = 2.0 * D * np.sqrt(A * entropy) + 8.0 * D**2 * L * entropy
    else:
        (eps,) = above_zero(name, eps=eps)
        most = 1.0 / (8.0 * D**2 * L)
        if np.any(eps > most * (1.0 + 1e-12)):
            raise ValueError(f"{name}: eps must be at most 1/(8 D^2 L) = {most}, got {eps}")
        meta = entropy / eps + eps * D**2 * A
    return meta + 3.0 * np.sqrt(C * A) + 24.0 * L * C
