"""Running a method on a problem: who may run where, for how long, and what is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlopt.agents.halpern import deterministic, variance_reduced
from rlopt.agents.halpern.problems import Oracle, Problem
from rlopt.theory.checks import known, positive, whole

DETERMINISTIC = {
    "halpern": deterministic.halpern,
    "eg": deterministic.extragradient,
    "eag": deterministic.anchored,
    "feg": deterministic.fast,
    "ogda": deterministic.optimistic,
}
VARIANCE_REDUCED = {
    "vr_halpern": variance_reduced.lipschitz,
    "vr_halpern_cocoercive": variance_reduced.cocoercive,
}
NEED_COCOERCIVE = ("halpern", "vr_halpern_cocoercive")
PRESETS = ("theory", "practical")
SPACING = 1.02  # of the recorded iterations, from the first that are all recorded


@dataclass(frozen=True)
class Solution:
    """Where a method arrived, and the way there.

    Attributes:
        x: the last point, (d,).
        residual: |x - Proj(x - F(x))|, the regret of x; measured outside the count of calls.
        calls: evaluations of components that led to x; F is n of them.
        iterations: the iterations that led to x.
        history: the way, at iteration 0, at all early ones, at 2 % apart later, and at the last.
    """

    x: np.ndarray
    residual: float
    calls: int
    iterations: int
    history: History


@dataclass(frozen=True)
class History:
    """What was recorded, one entry each a recorded iteration, (m,).

    Attributes:
        iteration: 0 first.
        calls: evaluations of components until then.
        residual: of the point then.
    """

    iteration: np.ndarray
    calls: np.ndarray
    residual: np.ndarray

    def calls_until(self, residual: float) -> float:
        """Calls at the recorded iteration from which the residual stays at most this; else inf."""
        above = np.flatnonzero(~(self.residual <= residual))
        first = above[-1] + 1 if above.size else 0
        return float(self.calls[first]) if first < len(self.calls) else float("inf")


def names() -> list[str]:
    """Every method's name."""
    return sorted({*DETERMINISTIC, *VARIANCE_REDUCED})


def solve(
    method: str,
    problem: Problem,
    *,
    iterations: int | None = None,
    calls: int | None = None,
    x0: Any = None,
    step: float | None = None,
    seed: int | np.random.Generator = 0,
    constants: str | None = None,
) -> Solution:
    """Run a method on a monotone problem.

    Args:
        method: one of `names()`. "halpern" and "vr_halpern_cocoercive" need a cocoercive problem.
        problem: `Bilinear`, `MatrixGame`, `LeastSquares`, or another `Problem`.
        iterations: how many, >= 0; this or calls.
        calls: evaluations of components to spend, >= 0; the result is the last point reached
            with at most so many.
        x0: the start, a point of the problem's set, (d,); by default the problem's own.
        step: by default that of the theory, or of the preset; see each method.
        seed: of the random indices of the variance-reduced methods, >= 0, or a Generator; by
            default 0, so that the same call gives the same numbers.
        constants: of the variance-reduced methods; the others have the theory's only.
            "practical", their default: bold steps and short inner loops, which beat the
            deterministic methods in calls where there are many components, without a guarantee
            (measured to converge on random games and least squares, up to heavy tails).
            "theory": steps with a proof, and loops long enough for its errors; slow.

    Raises:
        ValueError: an unknown method (the closest is offered), a problem that is not cocoercive for
            a method that needs it, both or neither of iterations and calls, a start that is not
            finite, of another shape or outside the set, a step that is not positive, a seed that
            is negative or no whole number, or a preset that the method does not have.
        ArithmeticError: the points diverge, since the step is too large.
    """
    known("halpern.solve", "method", method, tuple(names()))
    if not isinstance(problem, Problem):
        raise ValueError(f"halpern.solve: problem must be a halpern.Problem, got {problem!r}")
    if method in NEED_COCOERCIVE and not problem.cocoercive:
        raise ValueError(
            f"{method} needs a cocoercive problem, and {problem} is monotone only: "
            "use 'feg', 'eag', 'eg', 'ogda' or 'vr_halpern'"
        )
    if (iterations is None) == (calls is None):
        raise ValueError(
            "halpern.solve: give one of iterations and calls, "
            f"got iterations={iterations!r}, calls={calls!r}"
        )
    name = "calls" if iterations is None else "iterations"
    budget = whole("halpern.solve", name, calls if iterations is None else iterations, 0)
    start = problem.start() if x0 is None else _start(problem, x0)
    step = None if step is None else positive("halpern.solve", "step", step)
    oracle = Oracle(problem)
    rng = _generator(seed)
    points = _points(method, oracle, start, step, constants, rng)
    with np.errstate(over="ignore", invalid="ignore"):  # `_follow` says when points diverge
        return _follow(method, points, oracle, start, name, budget)


def _start(problem: Problem, x0: Any) -> np.ndarray:
    """A given start, checked."""
    start = problem.point("x0", x0)
    if problem.space is not None and not problem.space.holds(start):
        far = np.linalg.norm(start - problem.project(start))
        raise ValueError(f"{problem}: x0 must be in {problem.space}, got a point {far:.3g} outside")
    return start


def _generator(seed: int | np.random.Generator) -> np.random.Generator:
    """The generator of a given seed, checked."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(whole("halpern.solve", "seed", seed, 0))


def _points(
    method: str,
    oracle: Oracle,
    start: np.ndarray,
    step: float | None,
    constants: str | None,
    rng: np.random.Generator,
) -> Iterator[np.ndarray]:
    """The method's points u_1, u_2, ..."""
    if constants is not None:
        known(method, "constants", constants, PRESETS)
    if method in VARIANCE_REDUCED:
        return VARIANCE_REDUCED[method](oracle, start, step, constants == "theory", rng)
    if constants == "practical":
        raise ValueError(f"{method} has no practical constants: give step= instead")
    return DETERMINISTIC[method](oracle, start, step)


def _follow(
    method: str,
    points: Iterator[np.ndarray],
    oracle: Oracle,
    start: np.ndarray,
    unit: str,
    budget: int,
) -> Solution:
    """Take points until the budget of iterations or calls is spent."""
    problem = oracle.problem
    x, spent, k = start, 0, 0
    record = [(0, 0, problem.residual(start))]
    following = 1
    while (k if unit == "iterations" else spent) < budget:
        point = next(points)
        if unit == "calls" and oracle.calls > budget:
            break
        if not np.isfinite(point @ point):
            raise ArithmeticError(
                f"{method}: the points diverge, iteration {k + 1} overflows on {problem} "
                f"(L = {problem.L:.6g}): use a smaller step"
            )
        x, spent, k = point, oracle.calls, k + 1
        if k == following:
            following = max(k + 1, int(SPACING * k))
            record.append((k, spent, problem.residual(x)))
    if record[-1][0] != k:
        record.append((k, spent, problem.residual(x)))
    history = History(*(np.array(column) for column in zip(*record, strict=True)))
    return Solution(x, record[-1][2], spent, k, history)
