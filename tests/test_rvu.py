"""The identity behind every regret bound of optimistic mirror descent, round by round.

With B the divergence of the map (of H_t for the Newton step, with eta = 1) and x_hat' the second
sequence after the round, for every u in X

    <g, x - u> <= <g - M, x - x_hat'> + [B(u, x_hat) - B(u, x_hat') - B(x_hat', x) - B(x, x_hat)]
    / eta,

with equality where no inequality of X acts: on R^d, and inside the simplex for the maps that are
infinitely steep at its boundary. One step taken from the wrong point or of another length breaks it
by .1 to 1. Each case plays 1,000 rounds.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlopt.agents import online
from rlopt.agents.online.mirror import Mahalanobis
from rlopt.spaces import Ball, BoxSet, Simplex

ROUNDS, EXAMPLES = 20, 50
ROUNDING = 1e-12  # relative to the largest of the terms
D = 4
METRIC = Mahalanobis(np.diag([1.0, 2.0, 0.5, 3.0]) + 0.2)
EVERYWHERE, WIDE = Ball(D, 1e6), BoxSet([-1e6] * D, [1e6] * D)
BOX = BoxSet([-0.5, -1.0, 0.1, -0.2], [0.5, 0.3, 0.4, 1.0])
A1, A3, A4 = "optimistic_omd", "optimistic_omd_exp", "optimistic_omd_implicit"
ON_SETS = {
    "A1": (A1, Ball(D), {"G": 1.0, "delta": 1.0}),
    "A1-constant": (A1, BOX, {"eta": 0.7}),
    "A1-mean": (A1, Simplex(D), {"G": 1.0, "delta": 0.1, "hint": "mean"}),
    "A2": ("optimistic_omd_sc", Ball(D), {"lam": 0.5}),
    "A3": (A3, Ball(D), {"G": 1.0, "constants": "practical"}),
    "A3-box": (A3, BOX, {"G": 1.0, "beta": 3.0}),
    "A4": (A4, Ball(D), {"G": 1.0, "delta": 1.0}),
    "mahalanobis": (A1, Ball(D), {"mirror": METRIC, "eta": 0.7}),
    "p_norm-box": (A1, BOX, {"mirror": "p_norm", "eta": 0.7}),
    "p_norm-simplex": (A1, Simplex(D), {"mirror": "p_norm", "eta": 0.7}),
}
EXACT = {
    "A1": (A1, EVERYWHERE, {"G": 1e6, "delta": 1.0}),  # G as large as D: steps of order 1
    "A1-constant": (A1, EVERYWHERE, {"eta": 0.7}),
    "A2": ("optimistic_omd_sc", EVERYWHERE, {"lam": 0.5}),
    "A3": (A3, EVERYWHERE, {"G": 1.0, "constants": "practical"}),
    "A4": (A4, EVERYWHERE, {"G": 1e6, "delta": 1.0}),
    "mahalanobis": (A1, EVERYWHERE, {"mirror": METRIC, "eta": 0.7}),
    "p_norm": (A1, WIDE, {"mirror": "p_norm", "eta": 0.7}),
    "entropy": (A1, Simplex(D), {"mirror": "entropy", "eta": 0.7}),
    "log_barrier": (A1, Simplex(D), {"mirror": "log_barrier", "eta": 0.7}),
}


def line_prox(space, a, y):
    """Prox of |a.x - y| on a ball: where the ball acts, its multiplier solves a 1-D equation."""

    def prox(z, step):
        from scipy.optimize import brentq

        def free(scale):  # of the loss plus (scale - 1) |x|^2 / (2 step)
            centre, length = z / scale, step / scale
            return centre - np.clip((a @ centre - y) / (a @ a), -length, length) * a

        def excess(scale):
            return np.linalg.norm(free(scale)) - space.radius

        if excess(1.0) <= 0.0:
            return free(1.0)
        return free(brentq(excess, 1.0, 1e3, xtol=1e-15, rtol=1e-15))

    return prox


def divergence(learner):
    """B of this round's geometry, and its step."""
    if hasattr(learner, "metric"):
        H = learner.metric.copy()
        return lambda u, x: 0.5 * (u - x) @ H @ (u - x), 1.0
    if hasattr(learner, "mirror"):
        return learner.mirror.divergence, float(learner.eta)
    return lambda u, x: 0.5 * ((u - x) ** 2).sum(), float(learner.eta)


def gaps(name, space, constants, seed):
    """Left minus right side, relative to the largest term; round by round, for a random u."""
    rng = np.random.default_rng(seed)
    space.seed(seed)
    scale = 10.0 ** rng.uniform(-1, 1)
    large = space in (EVERYWHERE, WIDE)
    learner: Any = online.make(name, space, **constants)
    for _ in range(ROUNDS):
        x = learner.ask()
        u = rng.standard_normal(D) if large else space.sample()
        a = rng.standard_normal(D) * scale
        answers = {"gradient": a}
        if name == A4:
            y = float(rng.choice([rng.standard_normal(), a @ x]))
            answers = {"gradient": a * np.sign(a @ x - y), "prox": line_prox(space, a, y)}
        elif rng.random() < 0.2:
            answers["hint"] = rng.standard_normal(D)
        (B, eta), x_hat, M = divergence(learner), learner.x_hat, learner.M
        learner.tell(x, **answers)
        g, after = getattr(learner, "g", answers["gradient"]), learner.x_hat
        terms = np.array([B(u, x_hat), -B(u, after), -B(after, x), -B(x, x_hat)]) / eta
        left, right = g @ (x - u), (g - M) @ (x - after)
        size = max(1.0, abs(left), abs(right), *np.abs(terms))
        yield (left - right - terms.sum()) / size


@pytest.mark.parametrize(("name", "space", "constants"), ON_SETS.values(), ids=ON_SETS)
@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_at_most_on_sets(name, space, constants, seed):
    assert max(gaps(name, space, constants, seed)) <= ROUNDING


@pytest.mark.parametrize(("name", "space", "constants"), EXACT.values(), ids=EXACT)
@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_equal_where_the_set_does_not_act(name, space, constants, seed):
    assert np.abs(list(gaps(name, space, constants, seed))).max() <= ROUNDING
