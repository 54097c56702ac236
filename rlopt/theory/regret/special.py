"""What sigma_sq and Sigma_sq are at most under corruption and in random order (T11).

Put into the bounds of the SEA model they give the corollaries: O(D sigma + D sqrt(G C)) for i.i.d.
losses with corruption C, and for a random order a regret in which only the noise grows with T.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlopt.theory.checks import whole
from rlopt.theory.registry import bound
from rlopt.theory.regret.amounts import above_zero, at_least_zero


@bound(source="Sachs et al. 2022, section 5 on corruptions (T11)", holds="pathwise")
def corrupted_Sigma_sq(*, G: Any, C: Any) -> Any:
    """Sigma_sq <= 4 G C for f_t = (an i.i.d. loss) + c_t.

    For |grad F_t - grad F_{t-1}|^2 <= 2 G (|grad c_t| + |grad c_{t-1}|).

    Args:
        G: largest length of a gradient of f_t, > 0.
        C: sum_{t<=T} sup_x |grad c_t(x)|, >= 0.

    Not tight: a c_t that jumps between two opposite vectors of length G, each round, attains it up
    to the last summand.
    """
    (G,), (C,) = above_zero("corrupted_Sigma_sq", G=G), at_least_zero("corrupted_Sigma_sq", C=C)
    return 4.0 * G * C


@bound(source="Sachs et al. 2022, section 5 on random order (T11)", holds="pathwise")
def random_order_Sigma_sq(*, G: Any, passes: int = 1) -> Any:
    """Sigma_sq <= 8 G^2 passes + 4 G^2 (passes - 1) for finitely many losses in random order.

    With m losses left, grad F_t - grad F_{t-1} = (grad F_{t-1} - grad f_{t-1})/m, so that a pass
    adds at most 4 G^2 sum 1/m^2 < 6.6 G^2; between passes F jumps by at most 2 G.

    Args:
        G: largest length of a gradient, > 0.
        passes: over all losses, each in a fresh order, >= 1.

    Not tight: for linear losses the expectation of one pass is exactly the variance of one draw.
    """
    (G,) = above_zero("random_order_Sigma_sq", G=G)
    passes = whole("random_order_Sigma_sq", "passes", passes, 1)
    return G**2 * (8.0 * passes + 4.0 * (passes - 1))


@bound(source="Sachs et al. 2022, section 5 on random order (T11)", holds="expectation")
def random_order_sigma_sq(*, n: int, sigma_sq: Any, sigma_tilde_sq: Any) -> Any:
    """sigma_sq of one pass <= n s ln(2 e^2 s~/s) for s = sigma_sq, s~ = sigma_tilde_sq of one draw.

    With m losses left the variance is at most n s/m, and s~ in expectation.

    Args:
        n: losses, >= 1.
        sigma_sq: of one uniform draw, max over x of the variance, > 0.
        sigma_tilde_sq: the same with the maximum inside the expectation, >= sigma_sq.

    Not tight: for linear losses (s~ = s) it is s n (n - H_n)/(n - 1), below n s.

    Raises:
        ValueError: a constant outside its range, or sigma_tilde_sq < sigma_sq.
    """
    name = "random_order_sigma_sq"
    sigma_sq, sigma_tilde_sq = above_zero(name, sigma_sq=sigma_sq, sigma_tilde_sq=sigma_tilde_sq)
    if np.any(sigma_tilde_sq < sigma_sq * (1.0 - 1e-12)):
        raise ValueError(
            f"{name}: sigma_tilde_sq must be at least sigma_sq = {sigma_sq}, got {sigma_tilde_sq}"
        )
    return whole(name, "n", n, 1) * sigma_sq * (2.0 + np.log(2.0 * sigma_tilde_sq / sigma_sq))
