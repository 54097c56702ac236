"""Contraction over k steps: |A_cl^k| <= c lam^k, from a quadratic norm that shrinks each step.

If I <= P <= c^2 I and A_cl^T P A_cl <= lam^2 P, then |A_cl^k x| <= sqrt(x^T P x) lam^k
<= c lam^k |x|. For a given lam the least c is a semidefinite programme in P.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import minimize_scalar

from rlopt.theory.certificate import Enclosed, exactly, gamma_n, plus, positive_definite, times, up
from rlopt.theory.checks import finite_array, fraction

MARGINS = 10.0 ** np.arange(-12.0, -2.0)  # relative, by which lam and c are enlarged for a proof
SLOWEST = 1e-3  # of |A_cl|: the least lam tried; a nilpotent loop allows any lam > 0
LEAST = 1e-9  # lam of the loop 0


@dataclass(frozen=True, eq=False)
class Contraction:
    """|A_cl^k|_2 <= c lam^k for every k >= 0, with what proves it.

    Attributes:
        lam: rate of the quadratic norm, > 0.
        c: sqrt(cond P), >= 1.
        P: (n, n), symmetric, I <= P <= c^2 I.
        A_cl: (n, n), the closed loop.
    """

    lam: float
    c: float
    P: np.ndarray
    A_cl: np.ndarray

    def verify(self) -> bool:
        """Whether the three inequalities are proved by Cholesky, without a solver."""
        if not (np.array_equal(self.P, self.P.T) and self.c >= 1.0 and self.lam > 0.0):
            return False
        A, P, eye = exactly(self.A_cl), exactly(self.P), np.eye(len(self.P))
        image = times(exactly(self.A_cl.T), times(P, A))
        large = self.lam**2 * self.P
        shrunk = plus(Enclosed(large, gamma_n(4) * abs(large)), Enclosed(-image.value, image.error))
        ceiling = plus(Enclosed(self.c**2 * eye, gamma_n(2) * self.c**2 * eye), exactly(-self.P))
        return all(
            positive_definite(*inequality)
            for inequality in (shrunk, plus(P, exactly(-eye)), ceiling)
        )


def contraction(A_cl: Any, gamma: float = 1.0) -> Contraction:
    """The rate and factor for which 1 + c sum_{k>=1} (gamma lam)^k is least.

    Args:
        A_cl: (n, n), the closed loop s -> A_cl s.
        gamma: discount factor of the sum, in [0, 1].

    Returns:
        Rate, factor and their proof, for `rlopt.theory.lipschitz.value.value_lipschitz_k_step`.

    Raises:
        ValueError: A_cl is not square or not finite, or gamma times its spectral radius is not
            below 1: then no such sum is finite.
        ArithmeticError: the semidefinite programme's answer could not be proved.
    """
    loop = finite_array("contraction", "A_cl", A_cl)
    gamma = fraction("contraction", "gamma", gamma)
    if loop.ndim != 2 or loop.shape[0] != loop.shape[1] or not loop.size:
        raise ValueError(f"contraction: A_cl must be a square matrix, got shape {loop.shape}")
    radius = float(np.abs(np.linalg.eigvals(loop)).max())
    if gamma * radius >= 1.0:
        raise ValueError(
            f"contraction: gamma times the spectral radius of A_cl must be < 1, "
            f"got {gamma:g} * {radius:.6g}"
        )
    norm = float(np.linalg.norm(loop, 2))
    programme = _Programme(loop)

    def total(lam: float) -> float:
        solved = programme.solve(lam)
        return np.inf if solved is None else solved[0] * lam / (1.0 - gamma * lam)

    # c = 1 from lam = |A_cl| on, and a larger lam only makes the sum longer
    least = max(radius, SLOWEST * norm)
    width = (min(norm, 1.0 / gamma) if gamma else norm) - least
    if width <= 1e-9 * norm:
        return _proved(loop, np.eye(len(loop)), gamma)
    inside = (least + 1e-6 * width, least + (1.0 - 1e-9) * width)
    accuracy = {"xatol": 1e-4 * width}
    best = minimize_scalar(total, bounds=inside, method="bounded", options=accuracy)
    if gamma * norm < 1.0 and norm / (1.0 - gamma * norm) <= best.fun:
        return _proved(loop, np.eye(len(loop)), gamma)
    solved = programme.solve(float(best.x))
    if solved is None:
        raise ArithmeticError(f"contraction: no quadratic norm was found at the rate {best.x:.6g}")
    return _proved(loop, solved[1], gamma)


class _Programme:
    """min kappa subject to I <= P <= kappa I and A^T P A <= lam^2 P, as lam varies."""

    def __init__(self, loop: np.ndarray) -> None:
        import cvxpy as cp

        n = len(loop)
        self.rate: Any = cp.Parameter(nonneg=True)
        self.P: Any = cp.Variable((n, n), symmetric=True)
        self.kappa: Any = cp.Variable()
        limits = [
            self.P >> np.eye(n),
            self.P << self.kappa * np.eye(n),
            self.rate * self.P - loop.T @ self.P @ loop >> 0,
        ]
        self.problem: Any = cp.Problem(cp.Minimize(self.kappa), limits)

    def solve(self, lam: float) -> tuple[float, np.ndarray] | None:
        """c and P, or None where the solver finds none."""
        import cvxpy as cp

        self.rate.value = lam * lam
        try:
            with catch_warnings():
                simplefilter("ignore", UserWarning)  # an inaccurate P is still proved, or refused
                self.problem.solve(solver=cp.CLARABEL)
        except cp.SolverError:
            return None
        if self.P.value is None:
            return None
        return float(np.sqrt(max(self.kappa.value, 1.0))), 0.5 * (self.P.value + self.P.value.T)


def _proved(loop: np.ndarray, P: np.ndarray, gamma: float) -> Contraction:
    """Rate and factor of P itself, enlarged by as little as makes the proof succeed."""
    eigenvalues = np.linalg.eigvalsh(P)
    image = loop.T @ P @ loop
    lam = max(float(np.sqrt(max(eigh(image, P, eigvals_only=True)[-1], 0.0))), LEAST)
    for margin in MARGINS:
        scaled = P * ((1.0 + margin) / eigenvalues[0])
        c = up(float(np.sqrt(eigenvalues[-1] / eigenvalues[0])) * (1.0 + 2.0 * margin))
        found = Contraction(up(lam * (1.0 + margin)), c, scaled, loop)
        if found.verify() and gamma * found.lam < 1.0:
            return found
    raise ArithmeticError("contraction: the quadratic norm of the solver could not be proved")
