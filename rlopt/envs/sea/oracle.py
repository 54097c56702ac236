"""Whom the regret of an online convex task is measured against, as an oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rlopt.envs.core import Oracle, OracleResult, policy

if TYPE_CHECKING:
    from rlopt.envs.sea.task import SEATask

AGREE = 1e-12  # relative difference of the two totals below which they are the same


def comparator(task: SEATask) -> Oracle:
    """The oracle of a task: its comparator's value, points and step regrets."""

    def act(seen: np.ndarray) -> np.ndarray:
        points = task.target(task.round_of(np.atleast_2d(seen)))
        return points if np.ndim(seen) > 1 else points[0]

    return Oracle(_value(task), policy(act), task.regret)


def _value(task: SEATask) -> OracleResult:
    """The comparator's expected return.

    Each round's minimiser is the optimum of all policies. The best fixed point is attained, but a
    policy may do better where the mean losses change: regret against it can be negative.
    """
    moving = 0.0 - task.dynamic_total
    rounding = 4.0 * task.horizon * float(np.spacing(max(abs(moving), 1.0)))
    if task.comparator == "dynamic":
        method = "each round's minimiser of the mean loss"
        return OracleResult(moving, moving, moving, method, rounding, True)
    fixed = 0.0 - task.static_total
    method = "best fixed point of the summed mean losses"
    if moving - fixed <= AGREE * max(abs(moving), 1.0):
        return OracleResult(fixed, fixed, fixed, method, rounding, True)
    note = "regret is to the best fixed point and may be negative; the upper end moves every round"
    return OracleResult(fixed, fixed, moving, method, rounding, False, note)
