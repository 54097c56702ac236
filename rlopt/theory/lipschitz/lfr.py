"""Linear fractional representations: a network as linear maps around its nonlinearities.

For increments between two inputs, x (n0), activation outputs w (N), pre-activations
v = A [x; w] and outputs y = Y [x; w]. Each neuron obeys (w - alpha v)(beta v - w) >= 0, or each
group of neurons the quadratic constraints of MaxMin, GroupSort and Householder (Pauli et al. 2024,
arXiv:2401.14033). Multipliers weigh these constraints; |y| <= sqrt(rho) |x| follows from

    M(rho, t) = rho E0 + sum_i t_i A_i - Y^T Y  positive semidefinite,  t >= 0,

    A_i = 2 alpha beta a_i a_i^T - (alpha + beta)(a_i b_i^T + b_i a_i^T) + 2 b_i b_i^T,

a_i row i of A, b_i the unit vector of w_i, E0 the identity on x (LipSDP, Fazlyab et al. 2019,
arXiv:1906.04893, in the form that also holds residual and implicit networks).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import block_diag, solve_triangular

from rlopt.theory.certificate import TINIEST, UNIT, Enclosed, exactly, gamma_n, plus, times

NARROW = 0.1  # slope intervals below this are shifted before a matrix is formed with them


@dataclass(frozen=True, eq=False)
class LFR:
    """The representation, with bounds on the rounding in it.

    Attributes:
        A: v = A [x; w], (N, n0 + N).
        Y: y = Y [x; w], (m, n0 + N).
        alpha: smallest slope of each neuron, (N,); unused where there are groups.
        beta: largest slope, (N,).
        layer: the layer of each neuron, from 0, (N,).
        groups: J of each group of neighbouring neurons, (g, g): 1 1^T for MaxMin and GroupSort,
            I - v v^T for Householder. Empty: every neuron stands alone, with its slopes.
    """

    A: Enclosed
    Y: Enclosed
    alpha: np.ndarray
    beta: np.ndarray
    layer: np.ndarray
    groups: tuple[np.ndarray, ...] = ()

    @property
    def neurons(self) -> int:
        """N."""
        return len(self.alpha)

    @property
    def inputs(self) -> int:
        """n0."""
        return self.A.value.shape[1] - self.neurons

    @property
    def outputs(self) -> int:
        """The number of rows of Y."""
        return len(self.Y.value)

    @property
    def multipliers(self) -> int:
        """How many multipliers there are: N, or 4 (lambda, gamma, nu, tau) a group."""
        return 4 * len(self.groups) or self.neurons

    def row(self, i: int) -> LFR:
        """The representation of output i alone."""
        return replace(self, Y=Enclosed(self.Y.value[i : i + 1], self.Y.error[i : i + 1]))

    def constraints(self, t: np.ndarray) -> Enclosed:
        """sum_i t_i A_i with the error of forming it, (n0 + N, n0 + N).

        Args:
            t: multipliers, one a neuron; or lambda, gamma, nu, tau, one a group, one after another.
        """
        if self.groups:
            return self._group_constraints(t)
        # [a; b]^T [[p, q], [q, 2t]] [a; b] with diagonal p and q
        p, q = 2.0 * self.alpha * self.beta * t, -(self.alpha + self.beta) * t
        aa, ab, bb = (_computed(x, np.abs(x)) for x in (p, q, np.diag(2.0 * t)))
        aa.error[(self.alpha == 0.0) | (self.beta == 0.0)] = 0.0
        return self._form(aa, ab, bb)

    def _group_constraints(self, t: np.ndarray) -> Enclosed:
        """- [a; b]^T [[T - 2S, P + S], [P + S, -T - 2P]] [a; b], T = lambda I + gamma J."""
        lam, gamma, nu, tau = t.reshape(4, -1)

        def spread(weights: np.ndarray, size: float = 0.0) -> np.ndarray:
            return block_diag(*(w * (J + size) for w, J in zip(weights, self.groups, strict=True)))

        own = np.diag(np.repeat(lam, [len(J) for J in self.groups]))
        T, S, P = own + spread(gamma), spread(nu), spread(tau)
        # terms may cancel, and entries of J, at most 1, are rounded themselves
        size = own + spread(np.abs(gamma) + 2.0 * np.abs(nu) + 2.0 * np.abs(tau), size=1.0)
        return self._form(
            *(_computed(x, np.abs(size)) for x in (2.0 * S - T, -(P + S), T + 2.0 * P))
        )

    def _form(self, aa: Enclosed, ab: Enclosed, bb: Enclosed) -> Enclosed:
        """A^T aa A + A^T ab B + B^T ab A + B^T bb B, where B [x; w] = w.

        aa and ab are symmetric matrices, or vectors for diagonal ones.
        """
        n0 = self.inputs
        if np.any(aa.value) or np.any(aa.error):
            total = times(Enclosed(self.A.value.T, self.A.error.T), _weighted(aa, self.A))
        else:
            total = exactly(np.zeros((n0 + self.neurons,) * 2))
        cross = _weighted(ab, self.A)
        wide = exactly(np.zeros_like(total.value))
        for got, put in zip(cross, wide, strict=True):
            put[:, n0:] += got.T
            put[n0:] += got
        wide.value[n0:, n0:] += bb.value
        wide.error[n0:, n0:] += bb.error
        wide.error[n0:, n0:] += 16.0 * UNIT * (np.abs(bb.value) + np.abs(wide.value[n0:, n0:]))
        return plus(total, wide)

    def shifted(self, chosen: np.ndarray) -> tuple[LFR, np.ndarray]:
        """The same network with w = alpha v + (beta - alpha) z for the chosen neurons.

        The new neurons z have slopes [0, 1] and come after the others; where beta = alpha there is
        none. A multiplier t of such a neuron becomes t (beta - alpha)^2.

        Args:
            chosen: (N,) booleans.

        Returns:
            The new representation and the indices of its neurons in the old one.

        Raises:
            ValueError: chosen neurons feed each other so that v = A [x; alpha v] may have no
                unique solution.
        """
        n0, alpha, width = self.inputs, self.alpha[chosen], (self.beta - self.alpha)[chosen]
        stay, moved = np.flatnonzero(~chosen), np.flatnonzero(chosen)
        kept = width > 0.0
        columns = [np.arange(n0), n0 + stay]
        free = _columns(self.A, np.concatenate(columns))
        inner = _columns(self.A, n0 + moved)
        scale = np.diag(width)[:, kept]
        spread = Enclosed(scale, 2.0 * UNIT * np.abs(scale))
        right = _beside(_rows(free, moved), times(_rows(inner, moved), spread))
        v = _solve(Enclosed(inner.value[moved] * alpha, inner.error[moved] * np.abs(alpha)), right)
        # w of the chosen neurons in the new variables
        old = len(columns[0]) + len(stay)
        w = Enclosed(alpha[:, None] * v.value, np.abs(alpha)[:, None] * v.error)
        w.error[:] += 2.0 * UNIT * np.abs(w.value)
        w.value[:, old:] += scale
        w.error[:, old:] += 4.0 * UNIT * (np.abs(scale) + np.abs(w.value[:, old:]))

        def through(given: Enclosed) -> Enclosed:
            direct = _columns(given, np.concatenate(columns))
            padding = exactly(np.zeros((len(direct.value), int(kept.sum()))))
            return plus(_beside(direct, padding), times(_columns(given, n0 + moved), w))

        A = through(_rows(self.A, stay))
        both = Enclosed(*(np.vstack([a, b[kept]]) for a, b in zip(A, v, strict=True)))
        order = np.concatenate([stay, moved[kept]])
        zeros, ones = np.zeros(int(kept.sum())), np.ones(int(kept.sum()))
        new = LFR(
            both,
            through(self.Y),
            np.concatenate([self.alpha[stay], zeros]),
            np.concatenate([self.beta[stay], ones]),
            self.layer[order],
        )
        return new, order

    def provable(self, t: np.ndarray) -> tuple[LFR, np.ndarray]:
        """Representation and multipliers in which rounding does least harm to a proof.

        Neurons with a narrow slope interval have huge multipliers; they are shifted.
        """
        width = self.beta - self.alpha
        chosen = width <= NARROW
        if self.groups or not chosen.any():
            return self, t
        new, order = self.shifted(chosen)
        factor = np.where(chosen, width**2, 1.0)
        return new, (t * factor)[order]


def _computed(value: np.ndarray, size: np.ndarray) -> Enclosed:
    """Sums and products of a few numbers, the absolute values of whose terms add up to `size`."""
    return Enclosed(value, 8.0 * UNIT * size + 8.0 * TINIEST)


def _weighted(weights: Enclosed, matrix: Enclosed) -> Enclosed:
    """The product with weights; a vector stands for a diagonal matrix."""
    if weights.value.ndim == 2:
        return times(weights, matrix)
    value, size = weights.value[:, None] * matrix.value, np.abs(matrix.value) + matrix.error
    error = np.abs(weights.value)[:, None] * matrix.error + weights.error[:, None] * size
    return Enclosed(value, error * (1.0 + 1e-12) + 4.0 * UNIT * np.abs(value) + 8.0 * TINIEST)


def _columns(matrix: Enclosed, index: np.ndarray) -> Enclosed:
    return Enclosed(matrix.value[:, index], matrix.error[:, index])


def _rows(matrix: Enclosed, index: np.ndarray) -> Enclosed:
    return Enclosed(matrix.value[index], matrix.error[index])


def _beside(a: Enclosed, b: Enclosed) -> Enclosed:
    return Enclosed(np.hstack([a.value, b.value]), np.hstack([a.error, b.error]))


def _solve(L: Enclosed, right: Enclosed) -> Enclosed:
    """(I - L)^-1 R with its error; L is strictly lower triangular unless neurons feed back.

    Raises:
        ValueError: I - L was not proved to be invertible.
    """
    if not (np.any(L.value) or np.any(L.error)):
        return right
    forwards = not (np.any(np.triu(L.value)) or np.any(np.triu(L.error)))
    eye = np.eye(len(L.value))
    if forwards:
        solution = solve_triangular(eye - L.value, right.value, lower=True, unit_diagonal=True)
    else:
        solution = np.linalg.solve(eye - L.value, right.value)
    size = np.abs(solution)
    doubt = gamma_n(2 * len(eye) + 4) * ((eye + np.abs(L.value)) @ size)
    doubt += right.error + L.error @ size
    error = _spread(L, np.abs(right.value - (solution - L.value @ solution)) + 2.0 * doubt)
    if forwards:
        # |(I - L)^-1| <= (I - |L|)^-1, all of whose entries are sums of products
        bound = np.abs(L.value) + L.error
        sums = np.abs(solve_triangular(eye - bound, doubt, lower=True, unit_diagonal=True))
        error = np.minimum(error, sums * (1.0 + 1e-9))
    if not np.isfinite(error).all():
        raise ValueError("LFR: neurons that feed back were not proved to have a unique solution")
    return Enclosed(solution, error)


def _spread(L: Enclosed, residual: np.ndarray) -> np.ndarray:
    """|(I - L)^-1| times a residual, bounded by an approximate inverse C; inf where C is none.

    (I - L)^-1 = (C (I - L))^-1 C, and |(C (I - L))^-1 - I| <= d / (1 - d), d = |I - C (I - L)|.
    """
    eye = np.eye(len(L.value))
    C = np.linalg.inv(eye - L.value)
    system = Enclosed(eye - L.value, L.error + UNIT * (eye + np.abs(L.value)))
    product = times(exactly(C), system)
    d = (np.abs(eye - product.value) + product.error).sum(axis=1).max() * (1.0 + 1e-9)
    if not d < 1.0:
        return np.full_like(residual, np.inf)
    moved = np.abs(C) @ residual
    return (moved + d / (1.0 - d) * moved.max(axis=0)) * (1.0 + 1e-9)
