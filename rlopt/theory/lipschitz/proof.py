"""From multipliers to a proved number: the least rho for given t, checked by Cholesky.

A solver's rho is never used. Given t, eliminating w from M(rho, t) leaves one eigenvalue problem
(Schur complement); the rho that it gives is enlarged, and the multipliers are moved towards an
interior point, by as little as makes the proof of `positive_definite` succeed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigvalsh

from rlopt.theory.certificate import Enclosed, exactly, gamma_n, plus, positive_definite, times, up
from rlopt.theory.lipschitz.lfr import LFR

LARGER = (1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)  # loss, relative to rho
NEARBY = 1e-8  # loss from which on multipliers other than the candidates are tried
TINY = 1e-200  # a constant network has L = 0, which no strict inequality proves


class Proved(NamedTuple):
    """Multipliers and the value of the programme that they prove.

    Attributes:
        multipliers: t; for l_inf followed by tau (n0) and mu (outputs).
        rho: L^2 for l2, L for l_inf.
        rigorous: "rump", "arb" or "none".
    """

    multipliers: np.ndarray
    rho: float
    rigorous: str


def rows(lfr: LFR, norm: str) -> list[LFR]:
    """The representations that need a proof each: one an output for "linf", else the whole."""
    return [lfr.row(i) for i in range(lfr.outputs)] if norm == "linf" else [lfr]


def length(lfr: LFR, norm: str) -> int:
    """How many multipliers the proof of one of `rows` has."""
    return lfr.multipliers + (0 if norm == "l2" else lfr.inputs + lfr.outputs)


def lipschitz(norm: str, rho: float) -> float:
    """L, rounded up, from the programme's value."""
    return up(float(np.sqrt(rho))) if norm == "l2" else up(rho)


def holds(lfr: LFR, norm: str, multipliers: np.ndarray, rho: float, arithmetic: str) -> bool:
    """Whether the multipliers prove the value rho; True is a theorem, False is not.

    Args:
        lfr: the network, one of `rows`.
        norm: one of `regions.NORMS`.
        multipliers: as in `Proved`.
        rho: as in `Proved`.
        arithmetic: "rump" for floating Cholesky, "arb" for balls of 128 bits (python-flint).
    """
    t, d = np.split(multipliers, [lfr.multipliers])
    signed = multipliers[: len(lfr.groups) or None]  # of groups' multipliers only lambda
    if not (np.isfinite(multipliers).all() and np.isfinite(rho)) or (signed < 0.0).any():
        return False
    if norm != "l2" and ((d < 0.0).any() or not d.sum() / 2.0 * (1.0 + gamma_n(len(d) + 2)) <= rho):
        return False
    if arithmetic == "arb":
        if lfr.groups:
            return False
        from rlopt.theory.lipschitz.balls import positive

        return positive(lfr, norm, t, d, rho)
    lfr, t = lfr.provable(t)
    return positive_definite(*_with_value(_without_value(lfr, norm, t), lfr, norm, d, rho))


def value(lfr: LFR, norm: str, multipliers: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The least rho for these t, in floating point, and for l_inf the tau, mu that give it.

    Returns:
        The multipliers, their tau and mu enlarged where needed, and rho; None where t proves
        nothing, because the block of w is not positive definite.
    """
    t, d = np.split(multipliers, [lfr.multipliers])
    slim, small = lfr.provable(t)
    n0, N = slim.inputs, slim.neurons
    M = _without_value(slim, norm, small).value
    inner = slice(n0, n0 + N)
    outer = np.r_[0:n0, n0 + N : len(M)]
    rest = -M[np.ix_(outer, outer)]
    if N:
        try:
            factor = cho_factor(M[inner, inner], lower=True)
        except LinAlgError:
            return None
        rest += M[outer, inner] @ cho_solve(factor, M[inner, outer])
    if not np.isfinite(rest).all():
        return None
    if norm == "l2":
        return multipliers, max(float(eigvalsh(rest)[-1]), TINY)
    short = max(0.0, float(eigvalsh(rest - np.diag(d))[-1]))
    d = d + short
    return np.concatenate([t, d]), max(float(d.sum()) / 2.0, TINY)


def prove(lfr: LFR, norm: str, candidates: Sequence[np.ndarray]) -> Proved:
    """The value of one of several candidates that can be proved, with as little loss as it takes.

    Args:
        lfr: the network, one of `rows`.
        norm: one of `regions.NORMS`.
        candidates: multipliers, the best first; further ones are earlier iterates, safer and worse.

    Returns:
        What was proved; `rigorous` is "none" with the best value in floating point if no proof
        succeeds.

    Raises:
        ValueError: every candidate is infeasible, even close to it.
    """
    found = [pair for given in candidates if (pair := value(lfr, norm, given)) is not None]
    nearby = _Nearby(lfr, norm, candidates[0])
    # without a feasible candidate all that is near is found first, to know what is a good value
    reference = found or [
        pair for share in LARGER if share >= NEARBY for pair in nearby.values(share)
    ]
    if not reference:
        raise ValueError("lipschitz: these multipliers prove no bound: M(rho, t) is never positive")
    least = min(rho for _, rho in reference)
    worse = []
    for slack in LARGER:
        near = nearby.values(slack) if slack >= NEARBY else []
        for multipliers, rho in [*found, *near]:
            if rho > least * (1.0 + slack):
                continue
            larger, enlarged = _enlarged(lfr, norm, multipliers, rho, slack)
            if holds(lfr, norm, larger, enlarged, "rump"):
                return Proved(larger, enlarged, "rump")
        worse += [pair for pair in near if pair[1] > least * (1.0 + slack)]
    for multipliers, rho in sorted([*found, *worse], key=lambda pair: pair[1]):
        larger, enlarged = _enlarged(lfr, norm, multipliers, rho, LARGER[-1])
        if holds(lfr, norm, larger, enlarged, "rump"):
            return Proved(larger, enlarged, "rump")
    return _by_balls(lfr, norm, Proved(*reference[0], "none"))


class _Nearby:
    """Multipliers close to given ones that are easier to prove.

    At the optimum M is singular, often in a direction in which inputs hardly show, so that no rho
    makes up for rounding. Multipliers that grow a little from each layer to the one before it are
    those of a network with slightly larger weights, and leave room everywhere. Moving t towards the
    interior helps where t is infeasible.
    """

    def __init__(self, lfr: LFR, norm: str, given: np.ndarray) -> None:
        self.lfr, self.norm, self.given = lfr, norm, given

    @cached_property
    def safe(self) -> np.ndarray | None:
        """The interior point, where there is one."""
        try:
            return interior(self.lfr)
        except ValueError:
            return None

    def values(self, share: float) -> list[tuple[np.ndarray, float]]:
        """What both ways give for a share, which is about what the first one costs."""
        count, levels = self.lfr.multipliers, _levels(self.lfr)
        grown = self.given * (1.0 + share)
        grown[:count] = self.given[:count] * (1.0 + share * (levels + 1) / (levels.max() + 2))
        moved = [grown]
        if self.safe is not None:
            blend = self.given.copy()
            blend[:count] = (1.0 - share) * blend[:count] + share * self.safe
            moved.append(blend)
        pairs = [value(self.lfr, self.norm, multipliers) for multipliers in moved]
        return [pair for pair in pairs if pair is not None]


def interior(lfr: LFR) -> np.ndarray:
    """Strictly feasible multipliers, c G^(depth - layer), of about the least c and G.

    Raises:
        ValueError: none was found, as for an implicit layer that may have no fixed point.
    """
    inner = slice(lfr.inputs, None)
    outputs = lfr.Y.value[:, inner]
    for growth in 2.0 ** np.arange(0.0, 31.0):
        if np.log2(growth) * lfr.layer.max(initial=0) > 1000.0:
            break  # beyond float64
        t = growth ** _levels(lfr).astype(float)
        if lfr.groups:
            t[len(lfr.groups) :] = 0.0  # of groups only lambda
        block = lfr.constraints(t).value[inner, inner]
        try:
            factor = cho_factor(block, lower=True)
        except LinAlgError:
            continue
        # c block > Y^T Y from the largest eigenvalue of Y block^-1 Y^T
        need = float(eigvalsh(outputs @ cho_solve(factor, outputs.T))[-1])
        return t * max(2.0 * need, TINY)
    raise ValueError("lipschitz: no multipliers were found to start from: is the net well-posed?")


def _levels(lfr: LFR) -> np.ndarray:
    """How many layers follow that of each multiplier."""
    levels = lfr.layer.max(initial=0) - lfr.layer
    if not lfr.groups:
        return levels
    starts = np.cumsum([0, *(len(J) for J in lfr.groups[:-1])])
    return np.tile(levels[starts], 4)


def _enlarged(
    lfr: LFR, norm: str, multipliers: np.ndarray, rho: float, slack: float
) -> tuple[np.ndarray, float]:
    """rho (and tau, mu, of which it is half the sum) a little larger."""
    if norm == "l2":
        return multipliers, rho * (1.0 + slack)
    larger = multipliers.copy()
    larger[lfr.multipliers :] += slack * rho / (lfr.inputs + lfr.outputs)
    total = float(larger[lfr.multipliers :].sum())
    return larger, total / 2.0 * (1.0 + gamma_n(len(larger) + 4))


def _by_balls(lfr: LFR, norm: str, best: Proved) -> Proved:
    """Try arbitrary precision where floating point could not prove; needs python-flint."""
    from rlopt.theory.lipschitz.balls import available

    if available(lfr):
        for slack in LARGER:
            larger, enlarged = _enlarged(lfr, norm, best.multipliers, best.rho, slack)
            if holds(lfr, norm, larger, enlarged, "arb"):
                return Proved(larger, enlarged, "arb")
    return best


def _without_value(lfr: LFR, norm: str, t: np.ndarray) -> Enclosed:
    """M(rho, t) less what depends on rho, tau and mu; [x; w] for l2, [x; w; y] for l_inf."""
    constraints = lfr.constraints(t)
    if norm == "l2":
        gram = times(Enclosed(lfr.Y.value.T, lfr.Y.error.T), lfr.Y)
        return plus(constraints, Enclosed(-gram.value, gram.error))
    size = len(constraints.value)
    whole = exactly(np.zeros((size + lfr.outputs,) * 2))
    for put, inside, border in zip(whole, constraints, (-lfr.Y.value, lfr.Y.error), strict=True):
        put[:size, :size] = inside
        put[size:, :size] = border
        put[:size, size:] = border.T
    return whole


def _with_value(base: Enclosed, lfr: LFR, norm: str, d: np.ndarray, rho: float) -> Enclosed:
    """Add rho E0, or diag(tau) and diag(mu)."""
    diagonal = np.zeros(len(base.value))
    diagonal[: lfr.inputs] = rho if norm == "l2" else d[: lfr.inputs]
    if norm != "l2":
        diagonal[lfr.inputs + lfr.neurons :] = d[lfr.inputs :]
    return plus(base, exactly(np.diag(diagonal)))
