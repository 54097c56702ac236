"""Learning with a record: regret of the policy held at log-spaced steps, and while learning."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from rlopt.agents.sb3 import DiscretizedAgent, RegretCallback
from rlopt.bench.config import TrialSpec
from rlopt.bench.evaluation import Evaluation, evaluate
from rlopt.bench.trial import Reporter, checkpoints
from rlopt.envs.core import FuncEnv, Oracle

PATIENCE = 0.5  # seconds between two reports of progress


class Checkpoints(RegretCallback):
    """Adds up regret, evaluates the policy at the steps given, and reports progress.

    A policy that has not been updated since the last checkpoint is not evaluated again.

    Attributes:
        curve: (step, evaluation), from the untrained policy at step 0 on.
    """

    def __init__(self, marks: list[int], judge: Callable[[], Evaluation], report: Reporter) -> None:
        super().__init__()
        self.marks, self.judge, self.report = list(marks), judge, report
        self.curve = [(0, judge())]
        self._updates, self._reported = 0, 0.0

    def _on_step(self) -> bool:
        super()._on_step()
        if self.marks and self.num_timesteps >= self.marks[0]:
            updates = getattr(self.model, "_n_updates", 0)
            held = self.curve[-1][1] if updates == self._updates else self.judge()
            self._updates = updates
            while self.marks and self.num_timesteps >= self.marks[0]:
                self.curve.append((self.marks.pop(0), held))
        now = time.monotonic()
        if now - self._reported > PATIENCE:
            self._reported = now
            self.report(self.num_timesteps)
        return True


def learn(
    agent: Any,
    spec: TrialSpec,
    func: FuncEnv,
    oracle: Oracle,
    curve: list[tuple[int, Evaluation]],
    report: Reporter,
) -> tuple[float | None, int]:
    """Let an agent learn for the trial's budget.

    Args:
        agent: with Stable-Baselines3's callbacks it is judged on the way, otherwise only before.
        spec: gives the budget and the seed.
        func: where it acts.
        oracle: to judge it by.
        curve: receives (step, evaluation) before the last step.
        report: called with the environment steps so far.

    Returns:
        Mean regret a step while learning, None where the agent does not tell; and the steps
        taken: an algorithm that learns from whole rollouts ends the one it has begun, and an agent
        that needs fewer says so in `num_timesteps`.
    """

    def judge() -> Evaluation:
        return evaluate(func, oracle, agent, spec.seed)

    if not isinstance(agent, BaseAlgorithm | DiscretizedAgent):
        curve.append((0, judge()))
        agent.learn(spec.steps)
        return None, getattr(agent, "num_timesteps", spec.steps)
    record = Checkpoints(checkpoints(spec.steps)[:-1], judge, report)
    agent.learn(spec.steps, callback=record)
    curve.extend(record.curve)
    return (record.mean if record.steps else None), record.num_timesteps
