"""Bounds on the regret of online gradient descent (A0)."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlopt.theory.checks import whole
from rlopt.theory.registry import bound
from rlopt.theory.regret.amounts import above_zero


@bound(source="Zinkevich 2003, Theorem 1", holds="pathwise", tight=True)
def ogd_constant_step(*, D: Any, G: Any, T: int, eta: Any = None) -> Any:
    """R <= D^2 / (2 eta) + eta G^2 T / 2, which is D G sqrt(T) at eta = D / (G sqrt T).

    Args:
        D: diameter of the set, > 0.
        G: largest length of a gradient, > 0.
        T: rounds, >= 1.
        eta: the step, > 0; None is D / (G sqrt T).

    Assumptions: convex losses; any comparator in the set.
    Tight: at the default step orthogonal gradients G e_t attain it, on X = [-D/sqrt(T), 0]^T from
    x_1 = 0; `rlopt.theory.pep.worst_case("ogd", ...)` finds nothing worse.

    >>> float(ogd_constant_step(D=2.0, G=1.0, T=100))
    20.0
    """
    D, G = above_zero("ogd_constant_step", D=D, G=G)
    T = whole("ogd_constant_step", "T", T, 1)
    (eta,) = above_zero("ogd_constant_step", eta=D / (G * np.sqrt(T)) if eta is None else eta)
    return D**2 / (2.0 * eta) + eta * G**2 * T / 2.0


@bound(source="Hazan 2016, Theorem 3.1", holds="pathwise")
def ogd_sqrt_t(*, D: Any, G: Any, T: int) -> Any:
    """R <= 1.5 D G sqrt(T) for eta_t = D / (G sqrt t).

    Args and assumptions as for `ogd_constant_step`. Not tight: sum 1/sqrt(t) < 2 sqrt(T).
    """
    D, G = above_zero("ogd_sqrt_t", D=D, G=G)
    return 1.5 * D * G * np.sqrt(whole("ogd_sqrt_t", "T", T, 1))


@bound(source="Hazan, Agarwal and Kale 2007, Theorem 1", holds="pathwise")
def ogd_strongly_convex(*, G: Any, lam: Any, T: int) -> Any:
    """R <= G^2 (1 + ln T) / (2 lam) for eta_t = 1 / (lam t).

    Args:
        G: largest length of a gradient, > 0.
        lam: every f_t is lam-strongly convex, > 0. With only the means strongly convex, the bound
            is one of the expected pseudo-regret.
        T: rounds, >= 1.

    Not tight: sum 1/t < 1 + ln T.
    """
    G, lam = above_zero("ogd_strongly_convex", G=G, lam=lam)
    return G**2 * (1.0 + np.log(whole("ogd_strongly_convex", "T", T, 1))) / (2.0 * lam)
