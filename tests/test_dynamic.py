"""Two layers: reference runs, plain loops, and regret against an optimum that jumps."""

from math import ceil, exp, log, log2, sqrt
from typing import Any

import numpy as np
import pytest
from zoo import params

from rlopt.agents import online
from rlopt.agents.online.dynamic import DynamicOMD
from rlopt.agents.online.ensemble import Ensemble
from rlopt.envs.sea import play
from rlopt.spaces import Ball, BoxSet, Product, Simplex

CLOSE = 1e-9  # relative; the digits that the reference run is given to
SETS = {
    "ball": Ball(3, 0.7),
    "simplex": Simplex(3),
    "box": BoxSet([-0.2, 0.1, -3.0], [0.4, 0.5, 1.0]),
    "product": Product(Simplex(2), Ball(1)),
}
BLOCKS = (1, 4, 20, 100)  # pieces of the drifting optimum
PHASES = (0.0, 1.0, 2.0)  # of the ripple on it
T = 2000


def test_curved_losses():
    t, j = np.arange(1, 1001)[:, None], np.arange(1, 6)
    c = 0.3 * np.cos(j) + 0.5 * np.sin(1.7 * t * j)
    for eps in (1 / 32, None):  # 1 / (8 D^2 L) is the default
        learner = online.make("dynamic_omd", Ball(5), G=3.0, L=1.0, T=1000, eps=eps)
        trace = play(
            learner,
            lambda t, x: x - c[t - 1],
            lambda t, x: 0.5 * ((x - c[t - 1]) ** 2).sum(-1),
            1000,
        )
        assert trace.regret(c.mean(axis=0)) == pytest.approx(13.5247844477, rel=CLOSE)


def softmax(scores):
    raw = [exp(score - max(scores)) for score in scores]
    return [r / sum(raw) for r in raw]


def dynamic_by_loops(space, g, hints, G, L, eps, adaptive):
    """The definition, one base learner after the other; the points played, (T, d)."""
    D, rounds = space.diameter, len(g)
    N = max(0, ceil(0.5 * log2(G**2 * rounds / (8 * L**2 * D**2)))) + 1
    etas = [min(1 / (8 * L), sqrt(D**2 / (8 * G**2 * rounds)) * 2**i) for i in range(N)]
    start = space.project(np.zeros(space.dimension))
    hat, before, paid, wrong, played = [start] * N, [start] * N, [0.0] * N, 0.0, []
    for t in range(rounds):
        M = np.zeros(space.dimension) if t == 0 else hints[t]
        x = [space.project(hat[i] - etas[i] * M) for i in range(N)]
        moved = [2 * L * sum((x[i] - before[i]) ** 2) for i in range(N)]
        rate = min(eps, (1 + wrong) ** -0.5) if adaptive else eps
        p = softmax([-rate * (paid[i] + M @ x[i] + moved[i]) for i in range(N)])
        played.append(sum(p[i] * x[i] for i in range(N)))
        wrong += max((g[t] @ x[i] - M @ x[i]) ** 2 for i in range(N))
        paid = [paid[i] + g[t] @ x[i] + moved[i] for i in range(N)]
        hat = [space.project(hat[i] - etas[i] * g[t]) for i in range(N)]
        before = x
    return np.array(played)


def ensemble_by_loops(space, g, hints):
    """The definition, one base learner after the other; the points played, (T, d)."""
    D, rounds, d = space.diameter, len(g), space.dimension
    base = [(kind, 2.0**-k) for kind in ("last", "zero", "mean") for k in range(1, 11)]
    hat = [space.project(np.zeros(d)) for _ in base]
    x, paid, wrong, G, played = list(hat), [0.0] * 30, 0.0, 0.0, []
    M, p = np.zeros(d), [1 / 30] * 30
    for t in range(rounds):
        played.append(sum(weight * point for weight, point in zip(p, x, strict=True)))
        error = [g[t] @ point - M @ point for point in x]
        wrong += max((e - sum(error) / 30) ** 2 for e in error)
        paid = [cost + g[t] @ point for cost, point in zip(paid, x, strict=True)]
        G = max(G, sqrt(sum(g[s] @ g[s] for s in range(t + 1)) / (t + 1)))
        if t + 1 == rounds:
            break
        M = hints[t + 1]
        guess = {"last": M, "zero": 0 * M, "mean": sum(g[: t + 1]) / (t + 1)}
        steps = [scale * D / G for _, scale in base]
        hat = [space.project(hat[i] - steps[i] * g[t]) for i in range(30)]
        x = [space.project(hat[i] - steps[i] * guess[kind]) for i, (kind, _) in enumerate(base)]
        rate = sqrt(log(30) / ((D * G) ** 2 + wrong))
        p = softmax([-rate * (cost + M @ point) for cost, point in zip(paid, x, strict=True)])
    return np.array(played)


@pytest.mark.parametrize("space", params(SETS))
@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("which", ["theory", "practical", "eps", "flat", "ensemble"])
def test_against_loops(space, told, which):
    rng = np.random.default_rng(4)
    g, forecasts = rng.standard_normal((2, 20, space.dimension))
    hints = forecasts if told else np.roll(g, 1, axis=0)
    L = 5.0 if which == "flat" else 0.01  # many steps, or one
    eps = 1 / (8 * space.diameter**2 * L)
    table: dict[str, dict[str, Any]] = {
        "eps": {"eps": 0.3},
        "practical": {"constants": "practical"},
    }
    own = table.get(which, {})
    learner = Ensemble(space) if which == "ensemble" else DynamicOMD(space, G=2.0, L=L, T=20, **own)
    played = []
    for t, gradient in enumerate(g):
        played.append(learner.ask())
        following = {"hint": hints[t + 1]} if told and t + 1 < len(g) else {}
        learner.tell(played[-1], gradient=gradient, **following)
    if which == "ensemble":
        wanted = ensemble_by_loops(space, g, hints)
    else:
        wanted = dynamic_by_loops(
            space, g, hints, 2.0, L, own.get("eps", eps), which == "practical"
        )
    np.testing.assert_allclose(played, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("constants", "steps"),
    [({"G": 2.0, "L": 1.0, "T": 2000}, 5), ({"G": 1.0, "L": 10.0, "T": 2}, 1)],
)
def test_the_pool_ends_where_the_proof_does(constants, steps):
    learner = DynamicOMD(Ball(5), **constants)
    assert learner.eta.shape == (steps,)
    assert learner.eta[-1] == 1 / (8 * constants["L"])
    assert (np.diff(learner.eta) > 0.0).all()


def drifting(scale=1.0):
    """Targets (T, tasks, 5) that ripple around +-.6, the sign by blocks; the pairs; its centres."""
    t, j = np.arange(1, T + 1)[:, None], np.arange(1, 6)
    tasks = [(blocks, phase) for blocks in BLOCKS for phase in PHASES]
    signs = np.array([(-1.0) ** (np.arange(T) * blocks // T) for blocks, _ in tasks]).T
    centre = np.repeat(signs[..., None] * 0.6 / sqrt(5), 5, axis=-1)
    ripple = np.stack([0.2 * np.sin(2.3 * t * j + phase) for _, phase in tasks], axis=1)
    return scale * (centre + ripple), scale * centre


def drifting_regret(learner, scale=1.0):
    """Regret of every task against the block's centre, (len(BLOCKS), len(PHASES))."""
    c, u = drifting(scale)
    x = play(learner, lambda t, x: x - c[t - 1], lambda t, x: x[..., 0], T).x
    regret = 0.5 * (((x - c) ** 2).sum(-1) - ((u - c) ** 2).sum(-1)).sum(axis=0)
    return regret.reshape(len(BLOCKS), len(PHASES))


RUNS = len(BLOCKS) * len(PHASES)


def test_the_ensemble_is_near_the_best_step_however_the_optimum_drifts():
    """The best of eight constant steps in hindsight; columns are phases that nobody tuned for."""
    best = np.min(
        [
            drifting_regret(online.make("ogd", Ball(5), runs=RUNS, eta=0.01 * 2**i))
            for i in range(8)
        ],
        axis=0,
    )
    np.testing.assert_allclose(best[:, 0], [6.3, 23.3, 56.8, 143.6], rtol=0.005)
    ratio = drifting_regret(online.make("ensemble", Ball(5), runs=RUNS)) / best
    assert (ratio <= np.array([[2.0], [1.15], [1.05], [1.05]])).all()


def test_the_scale_of_losses_and_sets_is_nothing():
    unit = drifting_regret(online.make("ensemble", Ball(5), runs=RUNS))
    large = drifting_regret(online.make("ensemble", Ball(5, 1000.0), runs=RUNS), 1000.0)
    np.testing.assert_allclose(large, 1e6 * unit, rtol=1e-6)
    g = np.random.default_rng(0).standard_normal((100, 5))
    small, huge = (play(online.make("ensemble", Ball(5)), s * g).x for s in (1e-100, 1e100))
    np.testing.assert_allclose(small, huge, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["ensemble", "dynamic_omd"])
def test_silence_then_a_single_point(name):
    constants: dict[str, Any] = {"G": 1.0, "L": 1.0, "T": 10} if name == "dynamic_omd" else {}
    learner = online.make(name, Ball(2), **constants)
    learner.tell(learner.ask(), gradient=[0.0, 0.0])
    learner.tell(learner.ask(), gradient=[0.0, 0.0])
    np.testing.assert_array_equal(learner.ask(), [0.0, 0.0])
    learner.tell(learner.ask(), gradient=[1.0, 0.0])
    assert learner.ask()[0] < 0.0
    alone = play(online.make(name, Simplex(1), **constants), np.ones((5, 1)))
    np.testing.assert_allclose(alone.x, 1.0, rtol=1e-15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"G": None}, "dynamic_omd needs G"),
        ({"L": None}, "dynamic_omd needs L"),
        ({"T": None}, "dynamic_omd needs T"),
        ({"G": 0.0}, "G must be > 0"),
        ({"L": float("nan")}, "L must be finite"),
        ({"T": 0}, "T must be a whole number >= 1"),
        ({"eps": -1.0}, "eps must be > 0"),
        ({"constants": "theoretical"}, "constants must be one of"),
    ],
)
def test_bad_constants(change, message):
    with pytest.raises(ValueError, match=message):
        online.make("dynamic_omd", Ball(2), **({"G": 1.0, "L": 1.0, "T": 9} | change))
