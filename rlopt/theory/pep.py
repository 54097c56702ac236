"""Exact worst cases of online algorithms over few rounds, by semidefinite programming.

Performance estimation (Drori and Teboulle 2014; Taylor, Hendrickx and Glineur 2017) for linear
losses f_t(x) = <g_t, x>: the largest sum <g_t, x_t - u> over **all** convex sets X of any
dimension, all gradients with |g_t| <= M and all u in X is a semidefinite programme in the Gram
matrix of the points and the gradients. A projection p of y is a free point with
<y - p, z - p> <= 0 for every other point z; then X can be the hull of the points, so that nothing
is relaxed.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from rlopt.theory.checks import known, positive, whole

ALGORITHMS = ("ogd", "optimistic_omd", "oftrl")

TOLERANCE = 1e-7  # of the solver: these programmes are too degenerate for its own, 1e-8
Vector = np.ndarray  # coefficients of a point or a gradient in the basis of the Gram matrix


class SolverFailed(ArithmeticError):
    """The semidefinite programme was not solved."""


def worst_case(algorithm: str, *, n: int, eta: float, M: float = 1.0, D: float = 1.0) -> float:
    """The largest regret after n rounds with the constant step eta.

    * "ogd": x_{t+1} = Proj(x_t - eta g_t); X has diameter D.
    * "optimistic_omd": x_t = Proj(x_hat_t - eta g_{t-1}), x_hat_{t+1} = Proj(x_hat_t - eta g_t),
      from x_1 = x_hat_1; X has diameter D.
    * "oftrl": x_t = Proj(-(eta/2)(g_1 + ... + g_{t-1} + g_{t-1})), from x_1 = 0 in X; **|x| <= D on
      X**, as in the theorem of Sachs et al. 2022.

    >>> round(worst_case("ogd", n=2, eta=0.5**0.5), 6)  # D M sqrt(n) at eta = D/(M sqrt n)
    1.414214

    Args:
        algorithm: one of the three.
        n: rounds, >= 1; a tenth of a second at n = 6.
        eta: the step, > 0.
        M: largest length of a gradient, > 0.
        D: see above, > 0.

    Returns:
        An upper bound that the multipliers found prove, to about 1e-6 M D the least.

    Raises:
        ValueError: an argument outside its range.
        SolverFailed: (an ArithmeticError) the solver gave no optimal value.
    """
    known("worst_case", "algorithm", algorithm, ALGORITHMS)
    n = whole("worst_case", "n", n, 1)
    eta, M = positive("worst_case", "eta", eta), positive("worst_case", "M", M)
    D = positive("worst_case", "D", D)
    return _solve(_Model(algorithm, n, eta * M / D)) * M * D  # the units of x and g are free


def best_step(algorithm: str, *, n: int, M: float = 1.0, D: float = 1.0) -> tuple[float, float]:
    """The constant step with the least worst case, and that worst case.

    The worst case is a maximum of functions that fall and then rise in eta; it is searched
    between a tenth of and ten times D/(M sqrt n), to 1e-4 relative.

    Args:
        algorithm: as for `worst_case`.
        n: rounds, >= 2; in a single one no step is taken.
        M: largest length of a gradient, > 0.
        D: as for `worst_case`, > 0.

    Returns:
        eta and `worst_case(algorithm, n=n, eta=eta, M=M, D=D)`.

    Raises:
        ValueError: an argument outside its range.
        SolverFailed: as for `worst_case`.
    """
    n = whole("best_step", "n", n, 2)
    M, D = positive("best_step", "M", M), positive("best_step", "D", D)
    usual = np.log(D / (M * np.sqrt(n)))
    found = minimize_scalar(
        lambda log_eta: worst_case(algorithm, n=n, eta=float(np.exp(log_eta)), M=M, D=D),
        bounds=(usual - np.log(10.0), usual + np.log(10.0)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(np.exp(found.x)), float(found.fun)


class _Model:
    """The points, gradients and projections of an algorithm, in units with M = D = 1.

    Attributes:
        gradients: g_1..g_n.
        played: x_1..x_n.
        points: all points of X, u the last.
        projections: pairs (y, p), p the projection of y.
        centred: |x| <= 1 on X rather than all distances <= 1.
    """

    def __init__(self, algorithm: str, n: int, eta: float) -> None:
        free = (2 if algorithm == "optimistic_omd" else 1) * (n - 1)  # the start is the origin
        self.size = n + 1 + free
        basis = np.eye(self.size)
        self.gradients, u, left = list(basis[:n]), basis[n], list(basis[n + 1 :])
        start = np.zeros(self.size)
        self.played, inner = [start], [start]
        self.projections: list[tuple[Vector, Vector]] = []

        def project(y: Vector) -> Vector:
            self.projections.append((y, left.pop()))
            return self.projections[-1][1]

        for t in range(1, n):
            last = self.gradients[t - 1]
            if algorithm == "ogd":
                self.played.append(project(self.played[-1] - eta * last))
            elif algorithm == "optimistic_omd":
                inner.append(project(inner[-1] - eta * last))
                self.played.append(project(inner[-1] - eta * last))
            else:
                seen = np.sum(self.gradients[:t], axis=0)
                self.played.append(project(-eta / 2.0 * (seen + last)))
        self.points = [*self.played, *inner[1:], u]
        self.centred = algorithm == "oftrl"


def _solve(model: _Model) -> float:
    """The dual programme: the least sum of multipliers that proves a bound on the regret.

    The primal one over the Gram matrix stalls before the solver's tolerance for n >= 5. Multipliers
    that are off by rounding still prove a bound, since the Gram matrix has at most trace `size`.
    """
    import cvxpy  # half a second

    cp: Any = cvxpy  # its types do not say what it exports

    unit = [_form(g, g) for g in model.gradients]
    start, *others = model.points
    pairs = [(start, z) for z in others] if model.centred else combinations(model.points, 2)
    unit += [_form(a - b, a - b) for a, b in pairs]
    variational = [
        _form(y - p, z - p) for y, p in model.projections for z in model.points if z is not p
    ]
    regret = sum(
        _form(g, x - model.points[-1]) for g, x in zip(model.gradients, model.played, strict=True)
    )
    shape = (model.size, model.size)
    forms = np.array([*unit, *variational]).reshape(-1, model.size**2).T
    weights = cp.Variable(forms.shape[1], nonneg=True)
    slack = cp.reshape(forms @ weights - np.ravel(regret), shape, order="C")
    problem = cp.Problem(cp.Minimize(cp.sum(weights[: len(unit)])), [(slack + slack.T) / 2.0 >> 0])
    try:
        problem.solve(
            solver=cp.CLARABEL, tol_gap_abs=TOLERANCE, tol_gap_rel=TOLERANCE, tol_feas=TOLERANCE
        )
    except cp.SolverError as error:
        raise SolverFailed(f"worst_case: CLARABEL failed on {shape} matrices") from error
    if problem.status != cp.OPTIMAL:
        raise SolverFailed(f"worst_case: CLARABEL ended with status {problem.status!r}")
    proof = np.maximum(weights.value, 0.0)
    least = np.linalg.eigvalsh((forms @ proof - np.ravel(regret)).reshape(shape))[0]
    return float(proof[: len(unit)].sum() + model.size * max(-least, 0.0))


def _form(a: Vector, b: Vector) -> np.ndarray:
    """The matrix whose product with the Gram matrix is <a, b>."""
    return (np.outer(a, b) + np.outer(b, a)) / 2.0
