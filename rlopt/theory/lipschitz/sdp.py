"""LipSDP by general conic solvers: the reference, and the only way for coupled groups.

Slope-restricted neurons: LipSDP-Neuron and -Layer (Fazlyab et al. 2019, arXiv:1906.04893). Groups:
MaxMin, GroupSort and Householder with the quadratic constraints of Pauli et al. 2024
(arXiv:2401.14033). Weights are scaled to unit norm layer by layer first, without which solvers fail
on deep nets, then by the multipliers found, where these differ much, and solved again; inputs that
do not matter are rotated away. Where neurons see only the layer
before them, M(rho, t) is block tridiagonal and splits into cones of two neighbouring layers; with
S = P = 0 even of single layers.

Differences from the paper: T, S and P in full are not solved for. With a = J dv and b = J dw,
gamma, nu and tau weigh (a - b)^T (a + b), -2 (a - b)^T a and 2 (a - b)^T b. All vanish where a = b,
and gamma = nu = mu, tau = 0 give -mu |a - b|^2 (J's norm). So the least rho is that of lambda alone
on the subspace a = b, approached as mu grows (Finsler's lemma), and not attained: solvers fail on
the programme as it stands. For MaxMin and Householder this is LipSDP with one |.| a group.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rlopt.theory.checks import known
from rlopt.theory.lipschitz import proof
from rlopt.theory.lipschitz.lfr import LFR
from rlopt.theory.lipschitz.lmi import LARGEST, Programme
from rlopt.theory.lipschitz.network import Network
from rlopt.theory.lipschitz.regions import NORMS

STRUCTURES = ("neuron", "layer")
GROUPED = ("lambda", "chain", "full")
LARGEST_OF_CHAIN = 50  # order of cones: beyond it SCS is faster, and `_lift` makes up for it
SPREAD = 1e3  # of the sizes of multipliers, beyond which the units are changed
LIFT = 1e-9  # least eigenvalue of each block for a proof, relative to its multipliers
PENALTIES = (1e4, 1e5, 1e6)  # mu of Finsler's lemma, relative to the largest lambda of a layer


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
    """v = A [x; w] and y = Y [x; w] in other units.

    Attributes:
        A: (N, n + N), with n <= n0 where inputs were rotated away.
        Y: (m, n + N).
        neurons: r of v_i = r_i v_i', w_i = r_i w_i', (N,).
        outputs: s of y = s y'.
        value: what rho (for l_inf tau and mu) is divided by, apart from s.
    """

    A: np.ndarray
    Y: np.ndarray
    neurons: np.ndarray
    outputs: float
    value: float = 1.0

    def factors(self, norm: str) -> np.ndarray:
        """What a multiplier of each neuron has to be multiplied by for the weights as given."""
        return self.outputs ** (2.0 if norm == "l2" else 1.0) / self.neurons**2

    def rescaled(self, norm: str, sizes: np.ndarray, value: float) -> _Normalised:
        """Units in which multipliers of these sizes, and rho, tau and mu of this one, are 1."""
        neurons = 1.0 / np.sqrt(sizes)
        inputs = np.full(self.A.shape[1] - len(neurons), 1.0 / np.sqrt(value))
        columns = np.concatenate([inputs, neurons])
        A, Y = self.A * columns / neurons[:, None], self.Y * columns
        Y = Y if norm == "l2" else Y / np.sqrt(value)
        return _Normalised(A, Y, self.neurons * neurons, self.outputs, self.value * value)


def _normalised(lfr: LFR, norm: str) -> _Normalised:
    """Layers of unit norm."""
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


class _Point(NamedTuple):
    """A solver's point.

    Attributes:
        multipliers: in the units of the programme.
        sizes: of the multipliers that concern each neuron, (N,).
        value: the programme's.
        diagonal: tau and mu for the weights as given; empty for l2.
    """

    multipliers: np.ndarray
    sizes: np.ndarray
    value: float
    diagonal: np.ndarray


def _refined(
    lfr: LFR, norm: str, attempt: Callable[[_Normalised], _Point]
) -> tuple[_Normalised, _Point]:
    """Solve, and solve again in better units where the multipliers differ too much."""
    unit = _normalised(lfr, norm)
    point = attempt(unit)
    layers = np.unique(lfr.layer, return_inverse=True)[1]
    sizes = (np.bincount(layers, point.sizes) / np.maximum(np.bincount(layers), 1))[layers]
    spread = np.append(sizes, point.value)
    if spread.min() > 0.0 and spread.max() > SPREAD * spread.min():
        unit = unit.rescaled(norm, sizes, point.value)
        point = attempt(unit)
    return unit, point


def _solve_row(lfr: LFR, norm: str, structure: str) -> np.ndarray:
    # shifted |.| would let the entries of A grow with the depth
    chosen = lfr.alpha * lfr.beta >= 0.0
    try:
        slim, order = lfr.shifted(chosen)
    except ValueError:  # an implicit layer
        chosen = lfr.alpha == 0.0
        slim, order = lfr.shifted(chosen)
    width = np.where(chosen, lfr.beta - lfr.alpha, 1.0)[order]
    names, weights = np.arange(slim.neurons), np.ones(slim.neurons)
    if structure == "layer":
        # one multiplier t of the layer's neurons as given is t (beta - alpha)^2 after the shift
        names, weights = np.unique(slim.layer, return_inverse=True)[1], width**2
    unit, point = _refined(slim, norm, lambda unit: _neurons(slim, unit, norm, names, weights))
    multipliers = np.zeros(lfr.neurons)
    multipliers[order] = point.multipliers * unit.factors(norm) / width**2
    return np.concatenate([multipliers, point.diagonal])


def _neurons(
    lfr: LFR, unit: _Normalised, norm: str, names: np.ndarray, weights: np.ndarray
) -> _Point:
    """The programme of slope-restricted neurons, t_i = weights[i] times a variable of its name."""
    form = _Form(unit, lfr.layer, norm, crossing=bool(np.any(lfr.alpha + lfr.beta)))
    t = form.programme.variables(int(names.max(initial=-1)) + 1)
    n = unit.A.shape[1] - lfr.neurons
    for i, name in enumerate(names):
        a, alpha, beta = unit.A[i], lfr.alpha[i], lfr.beta[i]
        support = np.union1d(np.flatnonzero(a), [n + i])
        a, b = a[support], (support == n + i).astype(float)
        p, q = 2.0 * alpha * beta, -(alpha + beta)
        cross = np.outer(a, b)
        matrix = p * np.outer(a, a) + q * (cross + cross.T) + 2.0 * np.outer(b, b)
        form.add(support, weights[i] * matrix, int(t[name]))
    v, value, diagonal = form.minimise()
    found = v[t][names] * weights
    return _Point(found, found, value, diagonal)


def _coupled_row(lfr: LFR, norm: str, coupling: str) -> np.ndarray:
    firsts = np.cumsum([0, *(len(J) for J in lfr.groups[:-1])])
    unit, point = _refined(lfr, norm, lambda unit: _groups(lfr, unit, norm, coupling))
    multipliers = point.multipliers * unit.factors(norm)[firsts]
    if coupling == "full":
        return _penalised(lfr, norm, multipliers, point.diagonal)
    _lift(lfr, norm, multipliers, point.diagonal)
    return np.concatenate([multipliers.ravel(), point.diagonal])


def _penalised(lfr: LFR, norm: str, multipliers: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
    """With gamma = nu = mu: more of it loses less bound, and more to rounding."""
    firsts = np.cumsum([0, *(len(J) for J in lfr.groups[:-1])])
    layers, found = lfr.layer[firsts], []
    for penalty in PENALTIES:
        for k in np.unique(layers):
            multipliers[1:3, layers == k] = penalty * multipliers[0, layers == k].max()
        candidate = np.concatenate([multipliers.ravel(), diagonal])
        proved = proof.prove(lfr, norm, [candidate])
        found.append((proved.rigorous == "none", proved.rho, candidate))
    return min(found, key=lambda item: item[:2])[2]


def _lift(lfr: LFR, norm: str, multipliers: np.ndarray, diagonal: np.ndarray) -> None:
    """Raise lambda until T_{k-1} >= W_k^T T_k W_k, from the last layer to the first, in place.

    A solver's point fails these by its tolerance, in deep nets by more than a proof can make up
    for. In residual nets the blocks are not all there is to M, but must be positive too.
    """
    owner = np.repeat(np.arange(len(lfr.groups)), [len(J) for J in lfr.groups])
    Y = lfr.Y.value
    mu = np.maximum(diagonal[lfr.inputs :], proof.TINY)
    weights = np.ones(len(Y)) if norm == "l2" else 1.0 / mu
    outputs = Y.T @ (weights[:, None] * Y)
    for k in np.unique(lfr.layer)[::-1]:
        columns = lfr.inputs + np.flatnonzero(lfr.layer == k)
        groups = np.unique(owner[lfr.layer == k])
        M = lfr.constraints(multipliers.ravel()).value - outputs
        least = float(np.linalg.eigvalsh(M[np.ix_(columns, columns)])[0])
        size = float(np.abs(multipliers[:2, groups]).sum(axis=0).max())
        multipliers[0, groups] += max(0.0, LIFT * size - least)


def _groups(lfr: LFR, unit: _Normalised, norm: str, coupling: str) -> _Point:
    """The programme of coupled groups; multipliers are rows lambda, gamma, nu, tau."""
    full, count, widths = coupling == "full", len(lfr.groups), [len(J) for J in lfr.groups]
    form = _Form(unit, lfr.layer, norm, crossing=full, groups=lfr.groups if full else ())
    lam = form.programme.variables(count)
    gamma = form.programme.variables(count if coupling == "chain" else 0, signed=False)
    columns = np.split(np.arange(lfr.neurons), np.cumsum(widths)[:-1])
    n = unit.A.shape[1] - lfr.neurons
    for g, (J, here) in enumerate(zip(lfr.groups, columns, strict=True)):
        a = unit.A[here]
        support = np.union1d(np.flatnonzero(np.any(a, axis=0)), n + here)
        a, b = a[:, support], (n + here[:, None] == support).astype(float)
        form.add(support, b.T @ b - a.T @ a, int(lam[g]))
        if len(gamma):
            form.add(support, b.T @ J @ b - a.T @ J @ a, int(gamma[g]))
    v, value, diagonal = form.minimise()
    multipliers = np.zeros((4, count))
    multipliers[0] = v[lam]
    multipliers[1, : len(gamma)] = v[gamma]
    sizes = np.repeat(np.abs(multipliers).sum(axis=0), widths)
    return _Point(multipliers, sizes, value, diagonal)


class _Form:
    """The programme min rho subject to M(rho, t) >= 0, its matrix split where it is sparse.

    With groups given, only on the subspace on which each of them preserves what it preserves.
    """

    def __init__(
        self,
        unit: _Normalised,
        layer: np.ndarray,
        norm: str,
        crossing: bool,
        groups: tuple[np.ndarray, ...] = (),
    ) -> None:
        n, total = unit.A.shape[1] - len(unit.A), unit.A.shape[1]
        outputs = len(unit.Y)
        border = np.arange(total, total + (0 if norm == "l2" else outputs))
        self.cliques = _cliques(unit, layer, border, crossing)
        shared = [np.intersect1d(one, other) for one, other in pairwise(self.cliques)]
        leads = [np.arange(n), *shared]
        self.bases = [
            _subspace(unit, groups, clique, lead) if groups else np.eye(len(clique))
            for clique, lead in zip(self.cliques, leads, strict=True)
        ]
        self.programme = Programme([basis.shape[1] for basis in self.bases])
        self.scale = unit.outputs * unit.value
        self.norm, self.crossing = norm, crossing
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
        for k in range(len(shared)):
            self._share(k)

    def add(self, support: np.ndarray, matrix: np.ndarray, variable: int | None) -> None:
        """Add a matrix on some columns of M, each entry to the first clique that has room."""
        rest = matrix.copy()
        for k, clique in enumerate(self.cliques):
            _, here, there = np.intersect1d(support, clique, return_indices=True)
            block = np.ix_(here, here)
            if np.any(rest[block]):
                self._place(k, there, rest[block], variable)
                rest[block] = 0.0

    def _place(self, k: int, places: np.ndarray, matrix: np.ndarray, name: int | None) -> None:
        """Add a matrix on some columns of a clique, seen through its basis."""
        basis = self.bases[k][places]
        seen = np.flatnonzero(np.any(basis, axis=0))
        basis = basis[:, seen]
        self.programme.add(k, seen, basis.T @ matrix @ basis, name)

    def _share(self, k: int) -> None:
        """What clique k has more than it needs on shared columns, the next one may use."""
        one, other = self.cliques[k : k + 2]
        columns, at, there = np.intersect1d(one, other, return_indices=True)
        rows, others = np.triu_indices(len(columns))
        names = self.programme.variables(len(rows), signed=False)
        for i, j, name in zip(rows, others, names, strict=True):
            pair = [i] if i == j else [i, j]
            unit = np.ones((1, 1)) if i == j else np.array([[0.0, 1.0], [1.0, 0.0]])
            self._place(k, at[pair], unit, int(name))
            self._place(k + 1, there[pair], -unit, int(name))

    def minimise(self) -> tuple[np.ndarray, float, np.ndarray]:
        """All variables, the value, and tau and mu for the weights as given (none for l2)."""
        v = self.programme.minimise("lipsdp", LARGEST if self.crossing else LARGEST_OF_CHAIN)
        values = v[self.values]
        if self.norm == "l2":
            return v, float(values[0]), np.zeros(0)
        return v, float(values.sum() / 2.0), values * self.scale


def _subspace(
    unit: _Normalised, groups: tuple[np.ndarray, ...], clique: np.ndarray, lead: np.ndarray
) -> np.ndarray:
    """A basis of the columns of a clique in which J w = J v for all its groups but the lead's.

    Args:
        unit: the network.
        groups: J of each group.
        clique: columns of M, in ascending order.
        lead: those that are free, before all others.
    """
    total = unit.A.shape[1]
    n = total - len(unit.A)
    width = len(lead) + int((clique >= total).sum())
    basis = np.zeros((total + len(unit.Y), len(clique)))
    basis[lead, np.arange(len(lead))] = 1.0
    border = clique[clique >= total]
    basis[border, np.arange(len(lead), width)] = 1.0
    start = 0
    for J in groups:
        here = np.arange(start, start + len(J))
        start += len(J)
        if n + here[0] not in clique or n + here[0] in lead:
            continue
        kept, vectors = np.linalg.eigh(J)
        preserved, free = vectors[:, kept > 0.5], vectors[:, kept <= 0.5]
        basis[n + here] = preserved @ (preserved.T @ (unit.A[here] @ basis[:total]))
        basis[n + here, width : width + free.shape[1]] += free
        width += free.shape[1]
    return basis[clique, :width]


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
