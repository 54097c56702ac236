"""LipSDP by general conic solvers: the reference, and the only way for coupled groups.

Slope-restricted neurons: LipSDP-Neuron and -Layer (Fazlyab et al. 2019, arXiv:1906.04893). Groups:
MaxMin, GroupSort and Householder with the quadratic constraints of Pauli et al. 2024
(arXiv:2401.14033). Weights are scaled to unit norm layer by layer first, without which solvers fail
on deep nets, and inputs that do not matter are rotated away. Where neurons see only the layer
before them, M(rho, t) is block tridiagonal and splits into cones of two neighbouring layers; with
S = P = 0 even of single layers.

Differences from the paper: of T, S and P one is redundant. With a = J dv and b = J dw they weigh
(a - b)^T (a + b), -2 (a - b)^T a and 2 (a - b)^T b, so that P = 0 loses nothing, and the programme
has fewer flat directions.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rlopt.theory.checks import known
from rlopt.theory.lipschitz import proof
from rlopt.theory.lipschitz.lfr import LFR
from rlopt.theory.lipschitz.lmi import Programme
from rlopt.theory.lipschitz.network import Network
from rlopt.theory.lipschitz.regions import NORMS

STRUCTURES = ("neuron", "layer")
GROUPED = ("lambda", "chain", "full")


def solve(lfr: LFR, norm: str = "l2", structure: str = "neuron") -> list[np.ndarray]:
    """Multipliers of LipSDP for slope-restricted neurons.

    Args:
        lfr: the network's representation, without groups.
        norm: "l2", "linf" or "linf_l1".
        structure: "neuron": a multiplier each; "layer": one for all neurons of a layer.

    Returns:
        For each of `proof.rows` its multipliers, for the weights as given, in the order of
        `Certificate.multipliers`. Those of neurons without freedom (alpha = beta) are 0.

    Raises:
        ValueError: an unknown norm or structure.
        SolverFailed: (an ArithmeticError) the solver gave no point.
    """
    known("sdp.solve", "norm", norm, NORMS)
    known("sdp.solve", "structure", structure, STRUCTURES)
    return [_solve_row(row, norm, structure) for row in proof.rows(lfr, norm)]


def coupled(net: Network, norm: str = "l2", coupling: str = "chain") -> list[np.ndarray]:
    """Multipliers for a network of MaxMin, GroupSort or Householder layers.

    Args:
        net: the network.
        norm: "l2", "linf" or "linf_l1".
        coupling: "lambda": T = lambda I; "chain": T = lambda I + gamma J, S = P = 0, as in the
            paper's experiments; "full": S too.

    Returns:
        For each of `proof.rows` its multipliers lambda, gamma, nu, tau, one a group, one after
        another, for the weights as given; for l_inf then tau and mu.

    Raises:
        ValueError: an unknown norm or coupling, or a network with other activations.
        SolverFailed: (an ArithmeticError) the solver gave no point.
    """
    known("sdp.coupled", "norm", norm, NORMS)
    known("sdp.coupled", "coupling", coupling, GROUPED)
    lfr = net.lfr(coupling=coupling)
    return [_coupled_row(row, norm, coupling) for row in proof.rows(lfr, norm)]


class _Normalised(NamedTuple):
    """v = A [x; w] and y = Y [x; w] with layers of unit norm.

    Attributes:
        A: (N, n + N), with n <= n0 where inputs were rotated away.
        Y: (m, n + N).
        neurons: r of v_i = r_i v_i', w_i = r_i w_i', (N,).
        outputs: s of y = s y'.
    """

    A: np.ndarray
    Y: np.ndarray
    neurons: np.ndarray
    outputs: float

    def factors(self, norm: str) -> np.ndarray:
        """What a multiplier of each neuron has to be multiplied by for the weights as given."""
        return self.outputs ** (2.0 if norm == "l2" else 1.0) / self.neurons**2


def _normalised(lfr: LFR, norm: str) -> _Normalised:
    n0, A, Y = lfr.inputs, lfr.A.value, lfr.Y.value
    if norm == "l2":
        used = np.vstack([A[:, :n0], Y[:, :n0]])
        used = used[np.any(used, axis=1)]
        if 0 < len(used) < n0:
            rotation = np.linalg.qr(used.T)[0]
            A, Y = (np.hstack([part[:, :n0] @ rotation, part[:, n0:]]) for part in (A, Y))
            n0 = rotation.shape[1]
    columns = np.ones(A.shape[1])
    for k in np.unique(lfr.layer):
        here = np.flatnonzero(lfr.layer == k)
        columns[n0 + here] = np.linalg.norm(A[here] * columns, 2) or 1.0
    neurons = columns[n0:]
    outputs = float(np.linalg.norm(Y * columns, 2)) or 1.0
    return _Normalised(A * columns / neurons[:, None], Y * columns / outputs, neurons, outputs)


def _solve_row(lfr: LFR, norm: str, structure: str) -> np.ndarray:
    every = np.ones(lfr.neurons, bool)
    try:
        slim, order = lfr.shifted(every)
        chosen = every
    except ValueError:  # an implicit layer
        chosen = lfr.alpha == 0.0
        slim, order = lfr.shifted(chosen)
    width = np.where(chosen, lfr.beta - lfr.alpha, 1.0)[order]
    unit = _normalised(slim, norm)
    form = _Form(unit, slim.layer, norm, crossing=True)
    names = np.arange(slim.neurons)
    weights = np.ones(slim.neurons)
    if structure == "layer":
        # one multiplier t of the layer's neurons as given is t (beta - alpha)^2 after the shift
        names, weights = np.unique(slim.layer, return_inverse=True)[1], width**2
    t = form.programme.variables(int(names.max(initial=-1)) + 1)
    n = unit.A.shape[1] - slim.neurons
    for i, name in enumerate(names):
        a, alpha, beta = unit.A[i], slim.alpha[i], slim.beta[i]
        support = np.union1d(np.flatnonzero(a), [n + i])
        a, b = a[support], (support == n + i).astype(float)
        p, q = 2.0 * alpha * beta, -(alpha + beta)
        cross = np.outer(a, b)
        matrix = p * np.outer(a, a) + q * (cross + cross.T) + 2.0 * np.outer(b, b)
        form.add(support, weights[i] * matrix, int(t[name]))
    v, diagonal = form.minimise("lipsdp")
    multipliers = np.zeros(lfr.neurons)
    multipliers[order] = v[t][names] * weights * unit.factors(norm) / width**2
    return np.concatenate([multipliers, diagonal])


def _coupled_row(lfr: LFR, norm: str, coupling: str) -> np.ndarray:
    unit = _normalised(lfr, norm)
    form = _Form(unit, lfr.layer, norm, crossing=coupling == "full")
    count = len(lfr.groups)
    lam = form.programme.variables(count)
    gamma = form.programme.variables(count if coupling != "lambda" else 0, signed=False)
    nu = form.programme.variables(count if coupling == "full" else 0, signed=False)
    n, start = unit.A.shape[1] - lfr.neurons, 0
    factors = np.zeros(count)
    for g, J in enumerate(lfr.groups):
        here = np.arange(start, start + len(J))
        start, factors[g] = here[-1] + 1, unit.factors(norm)[here[0]]
        a = unit.A[here]
        support = np.union1d(np.flatnonzero(np.any(a, axis=0)), n + here)
        a, b = a[:, support], (n + here[:, None] == support).astype(float)
        form.add(support, b.T @ b - a.T @ a, int(lam[g]))
        if len(gamma):
            form.add(support, b.T @ J @ b - a.T @ J @ a, int(gamma[g]))
        if len(nu):
            cross = a.T @ J @ b
            form.add(support, 2.0 * a.T @ J @ a - cross - cross.T, int(nu[g]))
    v, diagonal = form.minimise("lipsdp")
    multipliers = np.zeros((4, count))
    for row, names in zip(multipliers, (lam, gamma, nu), strict=False):
        row[: len(names)] = v[names] * factors[: len(names)]
    return np.concatenate([multipliers.ravel(), diagonal])


class _Form:
    """The programme min rho subject to M(rho, t) >= 0, its matrix split where it is sparse."""

    def __init__(self, unit: _Normalised, layer: np.ndarray, norm: str, crossing: bool) -> None:
        n, total = unit.A.shape[1] - len(unit.A), unit.A.shape[1]
        outputs = len(unit.Y)
        border = np.arange(total, total + (0 if norm == "l2" else outputs))
        self.cliques = _cliques(unit, layer, border, crossing)
        self.programme = Programme([len(clique) for clique in self.cliques])
        self.scale = unit.outputs
        inputs = np.arange(n)
        if norm == "l2":
            self.values = self.programme.variables(1, cost=1.0)
            self.add(inputs, np.eye(n), int(self.values[0]))
            self.add(np.arange(total), -unit.Y.T @ unit.Y, None)
        else:
            self.values = self.programme.variables(n + outputs, cost=0.5)
            for place, name in zip([*inputs, *border], self.values, strict=True):
                self.add(np.array([place]), np.ones((1, 1)), int(name))
            joint = np.zeros((total + outputs,) * 2)
            joint[total:, :total], joint[:total, total:] = -unit.Y, -unit.Y.T
            self.add(np.arange(total + outputs), joint, None)
        self.norm = norm
        for k, (one, other) in enumerate(pairwise(self.cliques)):
            _, at, there = np.intersect1d(one, other, return_indices=True)
            self.programme.free_matrix(k, at, k + 1, there)

    def add(self, support: np.ndarray, matrix: np.ndarray, variable: int | None) -> None:
        """Add a matrix on some columns of M, each entry to the first clique that has room."""
        rest = matrix.copy()
        for k, clique in enumerate(self.cliques):
            _, here, there = np.intersect1d(support, clique, return_indices=True)
            block = np.ix_(here, here)
            if np.any(rest[block]):
                self.programme.add(k, there, rest[block], variable)
                rest[block] = 0.0

    def minimise(self, owner: str) -> tuple[np.ndarray, np.ndarray]:
        """All variables, and tau and mu for the weights as given (none for l2)."""
        v = self.programme.minimise(owner)
        return v, np.zeros(0) if self.norm == "l2" else v[self.values] * self.scale


def _cliques(
    unit: _Normalised, layer: np.ndarray, border: np.ndarray, crossing: bool
) -> list[np.ndarray]:
    """Sets of columns of M whose diagonal blocks hold all its entries; one set if it is dense.

    Args:
        unit: the network.
        layer: of each neuron, (N,).
        border: the columns of y.
        crossing: whether constraints couple a layer with the one before.
    """
    total = unit.A.shape[1]
    n = total - len(layer)
    blocks = [np.arange(n), *(n + np.flatnonzero(layer == k) for k in np.unique(layer))]
    readers = [*(unit.A[block - n] for block in blocks[1:]), unit.Y]
    everything = np.arange(total + len(border))
    for block, reader in zip(blocks, readers, strict=True):
        if np.any(np.delete(reader, block, axis=1)):
            return [everything]
    blocks[-1] = np.concatenate([blocks[-1], border])
    if not crossing:
        return blocks
    pairs = [np.concatenate(pair) for pair in pairwise(blocks)]
    small = bool(pairs) and 2 * max(len(pair) for pair in pairs) <= len(everything)
    return pairs if small else [everything]
