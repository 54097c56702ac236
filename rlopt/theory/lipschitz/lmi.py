"""Linear programmes over cones of positive semidefinite matrices, solved through cvxpy.

The reference for everything that has a faster way. What comes back is a solver's point: near the
optimum, perhaps outside the cones. Nothing here is proof; see `rlopt.theory.lipschitz.proof`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy import sparse

from rlopt.theory.pep import SolverFailed

LARGEST = 100  # order of a cone beyond which Clarabel's dense blocks are too large
SPLITTING = {"eps_abs": 1e-7, "eps_rel": 1e-7, "max_iters": 50_000}  # for SCS


class Programme:
    """min c^T v subject to F_k(v) positive semidefinite for each cone k, some v_i >= 0.

    Attributes:
        orders: the order of each cone's matrix.
    """

    def __init__(self, orders: list[int]) -> None:
        self.orders = orders
        self._costs: list[float] = []
        self._signed: list[bool] = []
        self._entries: list[list[tuple[np.ndarray, np.ndarray, int]]] = [[] for _ in orders]
        self._constant = [np.zeros((order, order)) for order in orders]

    def variables(self, count: int, cost: float = 0.0, signed: bool = True) -> np.ndarray:
        """The indices of new variables.

        Args:
            count: how many.
            cost: their coefficient in the objective.
            signed: whether they must be >= 0.
        """
        first = len(self._costs)
        self._costs += [cost] * count
        self._signed += [signed] * count
        return np.arange(first, first + count)

    def add(self, cone: int, places: np.ndarray, matrix: np.ndarray, variable: int | None) -> None:
        """Add a symmetric matrix times a variable (or times 1) to rows and columns of a cone."""
        if variable is None:
            self._constant[cone][np.ix_(places, places)] += matrix
            return
        rows, columns = np.nonzero(matrix)
        flat = places[rows] * self.orders[cone] + places[columns]
        self._entries[cone].append((flat, matrix[rows, columns], variable))

    def minimise(self, owner: str, largest: int = LARGEST) -> np.ndarray:
        """The solver's v; Clarabel's, or SCS's where a cone is larger than `largest`.

        Raises:
            SolverFailed: (an ArithmeticError) the solver gave no point to go on with.
        """
        import cvxpy  # half a second

        cp: Any = cvxpy  # its types do not say what it exports
        v = cp.Variable(len(self._costs))
        signed = np.flatnonzero(self._signed)
        limits = [v[signed] >= 0.0] if len(signed) else []
        for cone, order in enumerate(self.orders):
            linear = self._coefficients(cone) @ v + self._constant[cone].ravel()
            matrix = cp.reshape(linear, (order, order), order="C")
            limits.append((matrix + matrix.T) / 2.0 >> 0)
        problem = cp.Problem(cp.Minimize(np.array(self._costs) @ v), limits)
        order = max(self.orders)
        solver = cp.CLARABEL if order <= largest else cp.SCS
        try:
            with warnings.catch_warnings():
                # an inaccurate point is repaired like any other
                warnings.simplefilter("ignore", UserWarning)
                problem.solve(solver=solver, **({} if solver == cp.CLARABEL else SPLITTING))
        except cp.SolverError as error:
            raise SolverFailed(f"{owner}: {solver} failed on matrices of order {order}") from error
        if problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE) or v.value is None:
            raise SolverFailed(f"{owner}: {solver} ended with status {problem.status!r}")
        return np.where(self._signed, np.maximum(v.value, 0.0), v.value)

    def _coefficients(self, cone: int) -> sparse.csr_array:
        shape = self.orders[cone] ** 2, len(self._costs)
        entries = self._entries[cone]
        if not entries:
            return sparse.csr_array(shape)
        flat = np.concatenate([where for where, _, _ in entries])
        numbers = np.concatenate([values for _, values, _ in entries])
        owners = np.repeat(
            [variable for _, _, variable in entries], [len(w) for w, _, _ in entries]
        )
        return sparse.csr_array((numbers, (flat, owners)), shape=shape)
