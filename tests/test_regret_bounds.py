"""Every bound on regret against random tasks, and against learners that are broken on purpose."""

from typing import Any

import numpy as np
import pytest
from bound_zoo import Measured, errors, measurements, movement

from rlopt.agents import online
from rlopt.envs.sea.play import Trace
from rlopt.spaces import Ball
from rlopt.theory import regret
from rlopt.theory.registry import bounds

# The largest measured/bound must exceed this, or the tasks have become too kind to notice a bound
# that is too small by the factor above it.
REACHED = {
    "corrupted_Sigma_sq": 0.5,
    "dynamic_omd_sea": 0.05,
    "game_gap": 1.0 - 1e-9,
    "hedge": 0.9,
    "oftl_sea_strongly_convex": 0.05,
    "oftrl_pathwise": 0.4,
    "oftrl_sea_convex": 0.15,
    "ogd_constant_step": 1.0 - 1e-9,
    "ogd_sqrt_t": 0.4,
    "ogd_strongly_convex": 0.2,
    "omd_constant_step": 0.95,
    "omd_convex_pathwise": 0.25,
    "omd_envelope": 0.15,
    "omd_exp_pathwise": 0.08,
    "omd_exp_sea": 0.015,
    "omd_implicit_sea": 0.1,
    "omd_sea_convex": 0.1,
    "omd_sea_strongly_convex": 0.025,
    "optimistic_hedge": 0.6,
    "random_order_Sigma_sq": 0.1,
    "random_order_sigma_sq": 0.3,
}
# The share of tasks on which a bound says more than G D T; 0.9 where nothing is said.
INFORMATIVE = {
    "dynamic_omd_sea": 0.5,
    "omd_exp_pathwise": 0.7,
    "omd_exp_sea": 0.2,
    "random_order_Sigma_sq": 0.7,
}


def of(name: str) -> list[Measured]:
    return [row for row in measurements() if row.bound == name]


@pytest.mark.parametrize("name", regret.__all__)
def test_what_is_measured_stays_below_the_bound(name: str) -> None:
    rows = of(name)
    assert rows
    for row in rows:
        assert len(row.value) >= 200
        assert row.holds.all(), (row.learner, row.ratio.max())
        assert row.says_something.mean() >= INFORMATIVE.get(name, 0.9), row.learner
    assert max(row.ratio.max() for row in rows) >= REACHED[name]


def test_every_theorem_of_the_package_is_registered() -> None:
    names = {name for name, record in bounds().items() if ".regret" in record.function.__module__}
    assert names == set(regret.__all__) == set(REACHED)


def test_tight_bounds_are_attained() -> None:
    tight = [name for name in regret.__all__ if bounds()[name].tight]
    assert tight == ["game_gap", "ogd_constant_step"]
    for name in tight:
        assert any((row.ratio > 1.0 - 1e-9).all() for row in of(name))


# --- a constant step, with the negative term: a bound that broken learners break ---

STEPS = (0.01, 0.05, 0.2, 1.0, 3.0, 10.0)


def sequences(d: int, T: int) -> np.ndarray:
    """Uniform, constant, cycling and switching gradients, (T, 4, d), of length <= 1."""
    rng = np.random.default_rng(d * T)
    rounds = np.arange(T)
    axes = np.eye(d)
    constant = np.repeat(axes[:1], T, axis=0)
    switched = axes[(rounds >= T // 2).astype(int)]
    given = np.stack([rng.random((T, d)), constant, axes[rounds % d], switched], axis=1)
    mapped = 2.0 * given - 1.0
    return mapped / np.maximum(np.linalg.norm(mapped, axis=-1, keepdims=True), 1.0)


def excess(hint: float = 1.0, factor: float = 1.0, one_sequence: bool = False) -> float:
    """The largest relative violation by a learner with a scaled hint or step, or x_hat = x."""
    worst = -np.inf
    for d in (2, 3, 5):
        for T in (4, 20, 100):
            g = sequences(d, T)
            for eta in STEPS:
                for radius in (1.0, 100.0):
                    space = Ball(d, radius)
                    learner: Any = online.make("optimistic_omd", space, runs=4, eta=eta * factor)
                    points = []
                    for told in g:
                        points.append(learner.ask())
                        learner.tell(points[-1], gradient=told, hint=hint * told)
                        if one_sequence:
                            learner.x_hat = learner.x
                    trace = Trace(np.array(points), g, np.zeros((T, 4)), None)
                    total = g.sum(axis=0)
                    length = np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-300)
                    for u in (space.project(-eta * total), -radius * total / length):
                        limit = regret.omd_constant_step(
                            distance_sq=(u * u).sum(-1),
                            eta=eta,
                            V_T=errors(trace),
                            movement_sq=movement(trace),
                        )
                        value = (g * (trace.x - u)).sum(axis=(0, -1))
                        worst = max(worst, float(((value - limit) / (1.0 + abs(limit))).max()))
    return worst


def test_the_learner_satisfies_the_bound_with_a_constant_step() -> None:
    assert -0.1 < excess() < 0.0


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"hint": 0.0}, id="no hint"),
        pytest.param({"hint": -1.0}, id="hint flipped"),
        pytest.param({"hint": 2.0}, id="hint doubled"),
        pytest.param({"factor": 2.0}, id="step doubled"),
        pytest.param({"factor": 0.5}, id="step halved"),
        pytest.param({"one_sequence": True}, id="one sequence"),
    ],
)
def test_broken_learners_break_the_bound_with_a_constant_step(fault: dict[str, Any]) -> None:
    assert excess(**fault) > 0.1
