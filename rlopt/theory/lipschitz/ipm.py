"""LipSDP by a primal-dual interior-point method that forms no constraint matrix.

In the normal form each constraint is A_i = b_i g_i^T + g_i b_i^T, g_i = b_i - a_i, so that the
Schur matrix of the HKM direction, tr(A_i X A_j P) with P = M^-1, is a sum of Hadamard products of
Gram matrices: O(n^3) an iteration instead of O(n^4). The primal iterates are strictly feasible,
each a sound bound; the dual ones become feasible on the way (Helmberg et al. 1996; Mehrotra 1992
for the corrector).

    primal  min c . theta   s.t.  M = sum_j theta_j E_j - C > 0,  theta > 0
    dual    max tr(C X)     s.t.  tr(E_j X) + s_j = c_j,  X > 0,  s > 0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigvalsh, lapack

from rlopt.theory.lipschitz import proof
from rlopt.theory.lipschitz.lfr import LFR
from rlopt.theory.lipschitz.normal import Normal, moved_by_inputs

ITERATIONS = 150
BOUNDARY = 0.95  # share of the way to the boundary
BACK = 0.8
SMALLEST = 1e-8  # a step below it is a standstill
RESIDUAL = 1e-8  # of the dual equations, largest entry
FINE, COARSE, SWITCH = 1e-6, 1e-5, 200  # relative gap up to that order of the matrix, and beyond
CENTRED = (1e-6, 1.0)  # smallest and largest sigma
EXTREME = 1e-100
RIDGE = 1e-14
START, COMFORT, DOUBLINGS = 2.25, 0.25, 100


class Solution(NamedTuple):
    """What the method found, for the representation as it was given.

    Attributes:
        candidates: multipliers as `proof.prove` takes them, the best first.
        X: dual matrix of [x; w], for l_inf of [x; w; y]: its second moments.
        primal: value of the programme: L^2 for l2, L for l_inf.
        dual: tr(C X), below the programme's optimum.
        iterations: how many.
    """

    candidates: list[np.ndarray]
    X: np.ndarray
    primal: float
    dual: float
    iterations: int


def solve(lfr: LFR, norm: str, structure: str = "neuron", gap: float | None = None) -> Solution:
    """Minimise over the multipliers.

    Args:
        lfr: slope-restricted, one of `proof.rows`.
        norm: "l2", "linf" or "linf_l1".
        structure: "neuron", or "layer" for one multiplier a layer.
        gap: relative; None: 1e-6 up to order 200, else 1e-5, so that a proof in float64 succeeds.

    Raises:
        ValueError: no strictly feasible multipliers were found.
    """
    moved = moved_by_inputs(lfr)
    if not lfr.Y.value[:, np.append(np.ones(lfr.inputs, bool), moved)].any():
        return _constant(lfr, norm, moved)
    normal = Normal.of(lfr, norm)
    programme = _programme(normal, norm, structure)
    if norm != "l2" and lfr.outputs == 1 and not len(normal.kept):
        found, X, values = _closed(normal.Y[0])
    else:
        start = _start(programme, normal)
        if gap is None:
            gap = FINE if len(programme.C) <= SWITCH else COARSE
        found, X, values = _iterate(programme, start, gap)
    pieces = [np.split(programme.spread(theta), [len(programme.outer)]) for theta in found[::-1]]
    candidates = [normal.multipliers(d[: d.size * (norm != "l2")], t) for d, t in pieces]
    primal, dual = (normal.size * value for value in values)
    return Solution(candidates, normal.moments(X), primal, dual, len(found) - 1)


def _constant(lfr: LFR, norm: str, moved: np.ndarray) -> Solution:
    """A constant output: small multipliers of what moves, large ones of what reaches the output."""
    n = lfr.inputs + lfr.neurons + (0 if norm == "l2" else lfr.outputs)
    tail = np.zeros(0 if norm == "l2" else lfr.inputs + lfr.outputs)
    t = proof.interior(lfr) * np.where(moved, EXTREME, 1.0 / EXTREME)
    return Solution([np.concatenate([t, tail])], np.zeros((n, n)), 0.0, 0.0, 0)


@dataclass(frozen=True, eq=False)
class _Programme:
    """The programme over theta; each diagonal entry and each constraint belongs to one theta_j.

    Attributes:
        g: (N, n): A_i = b_i g_i^T + g_i b_i^T.
        inner: where the b_i are.
        outer: the other coordinates, whose diagonal entries are variables.
        C: (n, n).
        first: where each variable's run of outer coordinates or neurons begins, (p,).
        runs: how long each run is, (p,).
        weight: of each in its variable, (len(outer) + N,).
        cost: (p,).
    """

    g: np.ndarray
    inner: slice
    outer: np.ndarray
    C: np.ndarray
    first: np.ndarray
    runs: np.ndarray
    weight: np.ndarray
    cost: np.ndarray

    def spread(self, theta: np.ndarray) -> np.ndarray:
        """Diagonal entries, then multipliers of the neurons."""
        return self.weight * np.repeat(theta, self.runs)

    def gathered(self, each: np.ndarray) -> np.ndarray:
        """The adjoint of `spread`."""
        return np.add.reduceat(self.weight * each, self.first)

    def matrix(self, theta: np.ndarray) -> np.ndarray:
        """sum_j theta_j E_j, (n, n)."""
        diagonal, t = np.split(self.spread(theta), [len(self.outer)])
        M = np.zeros_like(self.C)
        M[self.inner] = t[:, None] * self.g
        M[:, self.inner] += M[self.inner].T.copy()
        M[self.outer, self.outer] += diagonal
        return M

    def traces(self, Z: np.ndarray) -> np.ndarray:
        """tr(E_j Z), (p,), for symmetric Z."""
        cross = 2.0 * np.einsum("ij,ij->i", Z[self.inner], self.g)
        return self.gathered(np.concatenate([np.diag(Z)[self.outer], cross]))

    def schur(self, X: np.ndarray, P: np.ndarray) -> np.ndarray:
        """tr(E_i X E_j P), (p, p)."""
        inner, outer = self.inner, self.outer
        gX, gP = self.g @ X, self.g @ P
        Xgb, Pgb = gX[:, inner], gP[:, inner]
        mixed = Xgb * Pgb.T
        H = mixed + mixed.T
        H += (gX @ self.g.T) * P[inner, inner]
        H += (gP @ self.g.T) * X[inner, inner]
        side = X[outer, inner] * gP[:, outer].T + P[outer, inner] * gX[:, outer].T
        corner = X[np.ix_(outer, outer)] * P[np.ix_(outer, outer)]
        whole = np.block([[corner, side], [side.T, H]]) * self.weight[:, None] * self.weight
        if len(self.first) == len(whole):
            return whole
        return np.add.reduceat(np.add.reduceat(whole, self.first, axis=0), self.first, axis=1)


def _programme(normal: Normal, norm: str, structure: str) -> _Programme:
    """l2: C = Y^T Y and rho on all inputs; l_inf: C has Y off the diagonal, tau and mu."""
    N, n = normal.A.shape
    m, n0 = len(normal.Y), n - N
    inner = slice(n0, n)
    if norm == "l2":
        C, outer, runs = normal.Y.T @ normal.Y, np.arange(n0), [n0]
        cost = [1.0]
    else:
        C = np.zeros((n + m, n + m))
        C[n:, :n], C[:n, n:] = normal.Y, normal.Y.T
        outer, runs = np.r_[0:n0, n : n + m], [1] * (n0 + m)
        cost = [0.5] * (n0 + m)
    g = np.zeros((N, len(C)))
    g[:, :n] = np.eye(N, n, n0) - normal.A
    weight = np.ones(N)
    if structure == "layer":
        weight = normal.even
        runs += np.bincount(normal.layer).tolist()
    else:
        runs += [1] * N
    return _Programme(
        g,
        inner,
        outer,
        C,
        np.cumsum([0, *runs[:-1]]),
        np.array(runs),
        np.concatenate([np.ones(len(outer)), weight]),
        np.array(cost + [0.0] * (len(runs) - len(cost))),
    )


def _start(programme: _Programme, normal: Normal) -> np.ndarray:
    """Strictly feasible theta: t = c growth^(depth - layer), then rho, or tau and mu, doubled.

    Raises:
        ValueError: none was found.
    """
    inner, priced = programme.inner, programme.cost > 0.0
    each = programme.first[~priced] - len(programme.outer)
    levels = (normal.layer.max(initial=0) - normal.layer)[each]
    theta = np.where(priced, 1.5, 1.0)
    if np.triu(normal.A[:, inner]).any():  # neurons feed back: well-posed for even multipliers
        theta[~priced] = (normal.even / programme.weight[len(programme.outer) :])[each]
    shape = theta[~priced]
    for growth in 2.0 ** np.arange(0.0, 31.0):
        theta[~priced] = shape * growth**levels
        D = programme.matrix(theta)[inner, inner]
        if _factor(D - COMFORT * np.diag(np.diag(D))) is not None:
            break
    theta *= START
    for part in (~priced, priced):
        block = slice(None) if part is priced else inner
        for _ in range(DOUBLINGS):
            if _factor((programme.matrix(theta) - programme.C)[block, block]) is not None:
                break
            theta[part] *= 2.0
        else:
            raise ValueError("lipsdp: no multipliers were found to start from: well-posed?")
    return theta


def _closed(
    y: np.ndarray,
) -> tuple[list[np.ndarray], np.ndarray, tuple[float, float]]:
    """l_inf of one output without nonlinearities: |y|_1, attained at the signs of y."""
    length = float(np.abs(y).sum())
    corner = np.append(np.sign(y), 1.0)
    return [np.append(np.abs(y), length)], 0.5 * np.outer(corner, corner), (length, length)


def _iterate(
    programme: _Programme, theta: np.ndarray, gap: float
) -> tuple[list[np.ndarray], np.ndarray, tuple[float, float]]:
    """From a strictly feasible theta until the gap is small or no step can be made.

    Returns:
        All theta, the last X, and the last primal and dual values.
    """
    priced = programme.cost > 0.0
    level = float((programme.cost / programme.runs)[priced].min())
    X, s = level * np.eye(len(programme.C)), np.full(len(theta), level)
    M = programme.matrix(theta) - programme.C
    L = _factor(M)
    assert L is not None
    point, found = _Point(programme, theta, M, L, X, np.sqrt(X), s), [theta]
    while len(found) <= ITERATIONS and not point.solved(gap):
        later = _step(point)
        if later is None:
            break
        point = later
        found.append(point.theta)
    return found, point.X, point.values


class _Direction(NamedTuple):
    """Of a primal and a dual point."""

    theta: np.ndarray
    M: np.ndarray
    X: np.ndarray
    s: np.ndarray


@dataclass(frozen=True, eq=False)
class _Point:
    """A strictly feasible primal point and a positive dual one.

    Attributes:
        programme: what they are points of.
        theta: (p,).
        M: (n, n).
        L: its Cholesky factor.
        X: (n, n).
        K: its Cholesky factor.
        s: (p,).
    """

    programme: _Programme
    theta: np.ndarray
    M: np.ndarray
    L: np.ndarray
    X: np.ndarray
    K: np.ndarray
    s: np.ndarray

    @property
    def values(self) -> tuple[float, float]:
        """Primal and dual."""
        return float(self.programme.cost @ self.theta), float(np.vdot(self.programme.C, self.X))

    def solved(self, gap: float) -> bool:
        """Whether the relative gap and the dual residual are small."""
        primal, dual = self.values
        residual = self.programme.cost - self.programme.traces(self.X) - self.s
        return primal - dual <= gap * primal and bool(np.abs(residual).max() <= RESIDUAL)

    def gap(self, toward: _Direction | None = None, a: float = 0.0, b: float = 0.0) -> float:
        """tr(M X) + theta . s, at the point or after steps a (primal) and b (dual)."""
        M, X, theta, s = self.M, self.X, self.theta, self.s
        if toward is not None:
            M, theta = M + a * toward.M, theta + a * toward.theta
            X, s = X + b * toward.X, s + b * toward.s
        return float(np.vdot(M, X) + theta @ s)

    def reaches(self, toward: _Direction) -> tuple[float, float]:
        """Steps up to BOUNDARY of the way, at most 1."""
        primal = min(_reach(self.L, toward.M), _inside(self.theta, toward.theta))
        dual = min(_reach(self.K, toward.X), _inside(self.s, toward.s))
        return min(1.0, BOUNDARY * primal), min(1.0, BOUNDARY * dual)


def _step(point: _Point) -> _Point | None:
    """One iteration of Mehrotra's predictor and corrector; None where it comes to a standstill."""
    programme, theta, s, X = point.programme, point.theta, point.s, point.X
    P = _inverse(point.L)
    H = programme.schur(X, P)
    H[np.diag_indices(len(H))] += s / theta
    solver = _Schur.of(H)
    if solver is None:
        return None
    pull = programme.traces(P) + 1.0 / theta

    def direction(mu: float, E: np.ndarray | float, e: np.ndarray | float) -> _Direction:
        right = mu * pull - programme.cost - e
        if isinstance(E, np.ndarray):
            right = right - programme.traces(E)
        dtheta = solver.solve(right)
        dM = programme.matrix(dtheta)
        dX = mu * P - X - _symmetric(X @ dM @ P) - E
        return _Direction(dtheta, dM, dX, mu / theta - s - s * dtheta / theta - e)

    mu = point.gap() / (len(X) + len(theta))
    affine = direction(0.0, 0.0, 0.0)
    a, b = point.reaches(affine)
    ratio, shorter = point.gap(affine, a, b) / (mu * (len(X) + len(theta))), min(a, b)
    sigma = ratio ** (3 if shorter >= 0.5 else 2)
    sigma = float(np.clip(max(sigma, 0.5) if shorter < 0.1 else sigma, *CENTRED))
    E = _symmetric(affine.X @ affine.M @ P)
    return _moved(point, direction(sigma * mu, E, affine.theta * affine.s / theta))


def _moved(point: _Point, toward: _Direction) -> _Point | None:
    """As far as both matrices stay positive definite, judged by Cholesky of the new ones."""
    a, b = point.reaches(toward)
    while True:
        theta = point.theta + a * toward.theta
        M = point.programme.matrix(theta) - point.programme.C
        L = _factor(M)
        if L is not None or not a > SMALLEST:
            break
        a *= BACK
    while True:
        X = point.X + b * toward.X
        K = _factor(X)
        if K is not None or not b > SMALLEST:
            break
        b *= BACK
    if L is None or K is None or max(a, b) <= SMALLEST:
        return None
    return _Point(point.programme, theta, M, L, X, K, point.s + b * toward.s)


class _Schur(NamedTuple):
    """The factorised Schur matrix, scaled to a diagonal of ones."""

    H: np.ndarray
    scale: np.ndarray
    factor: tuple[np.ndarray, bool]

    @classmethod
    def of(cls, H: np.ndarray) -> _Schur | None:
        """None where it is not positive definite."""
        scale = 1.0 / np.sqrt(np.diag(H))
        H = H * scale[:, None] * scale
        try:
            return cls(H, scale, cho_factor(H + RIDGE * np.eye(len(H)), lower=True))
        except (LinAlgError, ValueError):
            return None

    def solve(self, right: np.ndarray) -> np.ndarray:
        """With one refinement."""
        right = self.scale * right
        x = cho_solve(self.factor, right)
        x += cho_solve(self.factor, right - self.H @ x)
        return self.scale * x


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return 0.5 * (matrix + matrix.T)


def _factor(matrix: np.ndarray) -> np.ndarray | None:
    """Lower Cholesky factor, or None."""
    if matrix.size == 0:
        return matrix
    factor, info = lapack.dpotrf(matrix, lower=1)
    return factor if info == 0 else None


def _inverse(factor: np.ndarray) -> np.ndarray:
    """Of L L^T, symmetric."""
    inverse = np.tril(lapack.dpotri(factor, lower=1)[0])
    return inverse + np.tril(inverse, -1).T


def _reach(factor: np.ndarray, direction: np.ndarray) -> float:
    """How far the direction may be followed until L L^T + a D is singular."""
    reduced = lapack.dsygst(direction, factor, lower=1)[0]
    least = float(eigvalsh(reduced, subset_by_index=[0, 0], check_finite=False)[0])
    return np.inf if least >= 0.0 else -1.0 / least


def _inside(values: np.ndarray, direction: np.ndarray) -> float:
    """The same for positive numbers."""
    down = direction < 0.0
    return float(np.min(-values[down] / direction[down], initial=np.inf))
