"""Mirror descent: reference runs, step sizes, hints, and what a learner refuses."""

from functools import partial
from math import log, sqrt
from typing import Any

import numpy as np
import pytest

from rlopt.agents import online
from rlopt.agents.online.implicit import ImplicitOMD
from rlopt.agents.online.newton import OptimisticNewton
from rlopt.agents.online.omd import OptimisticOMD, StronglyConvexOMD
from rlopt.envs.sea import play
from rlopt.spaces import Ball, BoxSet, Simplex

CLOSE = 1e-9  # relative; the digits that the reference runs are given to


def alternating() -> np.ndarray:
    """(-1)^t on [-1, 1]: the last gradient is the worst hint."""
    return (-1.0) ** np.arange(1, 1001)[:, None]


def turning() -> np.ndarray:
    """Three coordinates of a slow wave, 1,000 rounds: the last gradient is an excellent hint."""
    t, j = np.arange(1, 1001)[:, None], np.arange(1, 4)
    return np.cos(2 * np.pi * t / 500 + j) / sqrt(3)


S1 = {
    "ogd-sqrt_T": ("ogd", {"schedule": "sqrt_T", "T": 1000}, 31.6227766017),
    "ogd-sqrt_t": ("ogd", {"schedule": "sqrt_t"}, 61.3900999732),
    "last": ("optimistic_omd", {"delta": 1.0}, 91.4617043485),
    "zero": ("optimistic_omd", {"delta": 1.0, "hint": "zero"}, 59.3617642867),
}
S2 = {
    "ogd-sqrt_T": ("ogd", {"schedule": "sqrt_T", "T": 1000}, -669.0052444148),
    "ogd-sqrt_t": ("ogd", {"schedule": "sqrt_t"}, -690.8068466301),
    "last": ("optimistic_omd", {"delta": 1.0}, -706.0426713279),
    "zero": ("optimistic_omd", {"delta": 1.0, "hint": "zero"}, -697.7050018270),
}
S3 = {
    "ogd-sqrt_T": ("ogd", {"schedule": "sqrt_T", "T": 1000, "G": 3.0}, 8.6535898846, CLOSE),
    "ogd-1/t": ("ogd", {"schedule": "strongly_convex", "lam": 1.0}, 2.9196403866, CLOSE),
    "theory": ("optimistic_omd", {"G": 3.0, "L": 1.0}, 26.0531876282, CLOSE),
    "practical": ("optimistic_omd", {"G": 3.0, "constants": "practical"}, 31.9371605006, CLOSE),
    "sc": ("optimistic_omd_sc", {"lam": 1.0}, 6.7143700441, CLOSE),
    "exp": ("optimistic_omd_exp", {"G": 3.0, "beta": 1 / 48}, 137.2277436723, 1e-7),
    "exp-alpha": ("optimistic_omd_exp", {"G": 3.0, "alpha": 1.0}, 137.2277436723, 1e-7),
}


@pytest.mark.parametrize(("name", "constants", "regret"), S1.values(), ids=S1)
def test_an_anti_hint(name, constants, regret):
    learner = online.make(name, BoxSet([-1.0], [1.0]), G=1.0, **constants)
    assert play(learner, alternating()).regret([0.0]) == pytest.approx(regret, rel=CLOSE)


@pytest.mark.parametrize(("name", "constants", "regret"), S2.values(), ids=S2)
def test_a_good_hint(name, constants, regret):
    learner = online.make(name, Ball(3), G=1.0, **constants)
    assert play(learner, turning()).regret(np.zeros(3)) == pytest.approx(regret, rel=CLOSE)


def test_the_hints_errors_add_up():
    learner = OptimisticOMD(Ball(3), G=1.0, delta=1.0)
    play(learner, turning())
    assert float(learner.V) == pytest.approx(0.5611413266, rel=CLOSE)


@pytest.mark.parametrize(("name", "constants", "regret", "rel"), S3.values(), ids=S3)
def test_curved_losses(name, constants, regret, rel):
    t, j = np.arange(1, 1001)[:, None], np.arange(1, 6)
    c = 0.3 * np.cos(j) + 0.5 * np.sin(1.7 * t * j)
    trace = play(
        online.make(name, Ball(5), **constants),
        lambda t, x: x - c[t - 1],
        lambda t, x: 0.5 * ((x - c[t - 1]) ** 2).sum(-1),
        T=1000,
    )
    best = c.mean(axis=0)  # of norm below 1
    assert trace.regret(best) == pytest.approx(regret, rel=rel)
    assert trace.loss.sum() - trace.regret(best) == pytest.approx(312.5872136366, rel=CLOSE)


@pytest.mark.parametrize("T", [100, 1000, 10_000])
def test_regret_stops_growing_where_neither_noise_nor_drift_is(T):
    theta = np.full(5, 0.6 / sqrt(5))
    trace = play(
        online.make("optimistic_omd", Ball(5), G=1.6, L=1.0),
        lambda t, x: x - theta,
        lambda t, x: 0.5 * ((x - theta) ** 2).sum(-1),
        T=T,
    )
    assert trace.regret(theta) == pytest.approx(0.62370527719, rel=CLOSE)


def test_descent_among_experts():
    t, i = np.arange(1, 1001)[:, None], np.arange(1, 9)
    losses = 0.5 + 0.5 * np.sin(t * i / 7)
    learner = online.make("ogd", Simplex(8), eta=sqrt(2) / sqrt(8 * 1000))
    regret = play(learner, losses).regret(np.eye(8)[7])
    assert regret == pytest.approx(8.1734385200, rel=CLOSE)


def test_exponentiated_gradients_on_a_portfolio():
    t, i = np.arange(1, 1001)[:, None], np.arange(1, 4)
    r = 1 + 0.05 * np.sin(1.1 * t * i) + 0.001 * i
    learner = online.make("optimistic_omd", Simplex(3), mirror="entropy", hint="zero", eta=0.05)
    trace = play(
        learner,
        lambda t, x: -r[t - 1] / (r[t - 1] @ x),
        lambda t, x: -log(r[t - 1] @ x),
        T=1000,
    )
    assert -trace.loss.sum() == pytest.approx(1.8060217877, rel=CLOSE)


def soft(z, step):
    """Prox of |x - .3| on [-1, 1]."""
    return np.clip(z - np.clip(z - 0.3, -step, step), -1.0, 1.0)


@pytest.mark.parametrize(
    ("T", "explicit"), [(100, 26.5763107326), (1000, 91.3728742523), (10_000, 296.5692798922)]
)
def test_only_the_implicit_hint_rests_at_a_kink(T, explicit):
    def run(name, **answers):
        learner = online.make(name, BoxSet([-1.0], [1.0]), G=1.0, delta=1.0)
        return play(
            learner, lambda t, x: np.sign(x - 0.3), lambda t, x: abs(x[0] - 0.3), T=T, **answers
        ).loss.sum()

    assert run("optimistic_omd") == pytest.approx(explicit, rel=CLOSE)
    implicit = run("optimistic_omd_implicit", prox=lambda t, z, step: soft(z, step))
    assert implicit == pytest.approx(0.3, rel=CLOSE)


def test_the_first_five_steps():
    """eta_t = D / sqrt(delta + 4 G^2 + V_{t-1}): known before the round's gradient is seen."""
    g = np.array([[0.6, 0.0], [0.6, 0.8], [-0.6, 0.8], [-0.6, 0.0]])
    learner, seen = OptimisticOMD(Ball(2), G=1.5, delta=0.25), []
    for gradient in g:
        seen.append(float(learner.eta))
        learner.tell(learner.ask(), gradient=gradient)
    seen.append(float(learner.eta))
    V = [0.0, 0.36, 0.36 + 0.64, 0.36 + 0.64 + 1.44, 0.36 + 0.64 + 1.44 + 0.64]
    assert seen == pytest.approx([2.0 / sqrt(0.25 + 9.0 + v) for v in V], rel=1e-15)
    sc = StronglyConvexOMD(Ball(2), lam=0.5)
    for t in range(1, 6):
        assert float(sc.eta) == pytest.approx(4.0 / t, rel=1e-15)
        sc.tell(sc.ask(), gradient=[0.1, 0.1])


def test_the_implicit_rounds_of_linear_losses():
    """There the implicit hint is the last gradient."""
    learner = ImplicitOMD(BoxSet([-50.0], [50.0]), G=20.0, delta=9.0)
    x_hat, hint, V = 0.0, 0.0, 0.0
    for a in (2.0, -1.0, -1.0, 0.5):
        eta = 100.0 / sqrt(9.0 + 1600.0 + V)
        x = learner.ask()
        assert float(learner.eta) == pytest.approx(eta, rel=1e-15)
        assert float(learner.V) == pytest.approx(V)
        assert learner.x_hat == pytest.approx([x_hat])
        assert pytest.approx([hint]) == learner.M
        assert x == pytest.approx([x_hat - eta * hint])
        learner.tell(x, gradient=[a], prox=partial(linear_prox, a))
        V, x_hat, hint = V + (a - hint) ** 2, x_hat - eta * a, a


def linear_prox(a, z, step):
    return np.clip(z - step * a, -50.0, 50.0)


def test_a_round_at_a_kink_adds_nothing_to_the_errors():
    learner = ImplicitOMD(BoxSet([-1.0], [1.0]), G=1.0, delta=1.0)
    learner.tell(learner.ask(), gradient=[-1.0], prox=soft)
    for side in (-1.0, 1.0, 1.0):  # any subgradient there
        x = learner.ask()
        assert x == pytest.approx([0.3], rel=1e-14)
        learner.tell(x, gradient=[side], prox=soft)
        assert learner.x_hat == pytest.approx([0.3], rel=1e-14)
        assert float(learner.V) == 1.0


def test_presets_and_explicit_constants():
    def eta(**constants):
        return float(OptimisticOMD(Ball(2, 3.0), **constants).eta)

    assert eta(G=2.0, L=0.5) == pytest.approx(6.0 / sqrt(50.0 * 36.0 * 0.25 + 16.0), rel=1e-15)
    assert eta(G=2.0, constants="practical") == pytest.approx(6.0 / sqrt(17.0), rel=1e-15)
    assert eta(G=2.0, constants="practical", delta=9.0) == pytest.approx(6.0 / 5.0, rel=1e-15)
    assert eta(G=2.0, L=0.5, delta=9.0) == pytest.approx(6.0 / 5.0, rel=1e-15)
    assert eta(eta=0.3, G=2.0) == 0.3
    G = 2.0
    assert OptimisticNewton(Ball(1), G=G, constants="practical").beta == 0.5
    assert OptimisticNewton(Ball(1), G=G, alpha=1.0).beta == pytest.approx(1 / 32)
    assert OptimisticNewton(Ball(1), G=G, alpha=0.01).beta == 0.005
    assert OptimisticNewton(Ball(1), G=G, alpha=0.01, beta=0.7).beta == 0.7
    assert float(ImplicitOMD(Ball(1), G=G).eta) == pytest.approx(2 / sqrt(20), rel=1e-15)
    practical = ImplicitOMD(Ball(1), G=G, constants="practical")
    assert float(practical.eta) == pytest.approx(2 / sqrt(17), rel=1e-15)


@pytest.mark.parametrize(
    ("hint", "want"),
    [("last", [0.2, 0.4, -0.3]), ("zero", [0.0, 0.0, 0.0]), ("mean", [0.2, 0.3, 0.1])],
)
def test_hints(hint, want):
    learner = OptimisticOMD(Ball(1), hint=hint, eta=0.1)
    assert learner.M == [0.0]
    for g, M in zip([0.2, 0.4, -0.3], want, strict=True):
        learner.tell(learner.ask(), gradient=[g])
        assert pytest.approx([M]) == learner.M
        assert learner.x == pytest.approx(learner.x_hat - 0.1 * learner.M)


@pytest.mark.parametrize("hint", ["last", "zero", "mean"])
def test_a_forecast_replaces_the_next_hint_and_no_other(hint):
    learner, plain = (OptimisticOMD(Ball(1), hint=hint, eta=0.1) for _ in range(2))
    for step, forecast in enumerate([None, [0.5], None]):
        g = [0.1 * step - 0.2]
        learner.tell(learner.ask(), gradient=g, hint=forecast)
        plain.tell(plain.ask(), gradient=g)
        assert pytest.approx(plain.M if forecast is None else forecast) == learner.M
        assert learner.x_hat == pytest.approx(plain.x_hat)


def sequences(d, T):
    """Uniform, constant, cycling and switching gradients, (T, 4, d), of norm at most 1."""
    rng, t = np.random.default_rng(d * T), np.arange(T)
    e = np.eye(d)
    losses = [rng.random((T, d)), e[0 * t], e[t % d], e[(t >= T // 2).astype(int)]]
    return (2.0 * np.stack(losses, axis=1) - 1.0) / sqrt(d)


@pytest.mark.parametrize("eta", [0.01, 0.05, 0.2, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("radius", [1.0, 100.0])
def test_the_bound_of_a_constant_step(radius, eta):
    """sum <g, x - u> <= |u|^2 / (2 eta) + eta V_T - sum |x_t - x_{t-1}|^2 / (4 eta), any u in X.

    From x_1 = 0. Unlike a bound with adaptive steps it has no slack to hide an error in.
    """
    for d in (2, 3, 5):
        for T in (4, 20, 100):
            space, g = Ball(d, radius), sequences(d, T)
            learner = OptimisticOMD(space, runs=4, eta=eta)
            trace = play(learner, g)
            V = (np.diff(g, axis=0, prepend=0.0) ** 2).sum(axis=(0, 2))  # hints are last gradients
            assert (np.linalg.norm(trace.x, axis=-1) <= radius * (1.0 + 1e-12)).all()
            moved = (np.diff(trace.x, axis=0) ** 2).sum(axis=(0, 2))
            S = g.sum(axis=0)
            farthest = -radius * S / np.maximum(np.linalg.norm(S, axis=-1, keepdims=True), 1e-12)
            for u in (space.project(-eta * S), farthest):
                left = trace.loss.sum(axis=0) - (S * u).sum(axis=-1)
                start = (u * u).sum(axis=-1) / (2.0 * eta)
                right = start + eta * V - moved / (4.0 * eta)
                assert (left <= right + 1e-12 * (start + eta * V)).all()


@pytest.mark.parametrize(
    "name", ["ogd", "optimistic_omd", "optimistic_omd_sc", "optimistic_omd_exp"]
)
@pytest.mark.parametrize(
    "space", [Ball(3, 0.5), Simplex(3), BoxSet([-0.1, 0.2, 0.0], [0.3, 0.4, 0.05])], ids=str
)
def test_points_stay_in_the_set(name, space):
    bold: dict[str, dict[str, Any]] = {
        "ogd": {"eta": 3.0},
        "optimistic_omd": {"eta": 3.0},
        "optimistic_omd_sc": {"lam": 0.01},
        "optimistic_omd_exp": {"G": 1e-3, "beta": 1e-3},
    }
    g = np.random.default_rng(0).standard_normal((60, 3))
    trace = play(online.make(name, space, **bold[name]), g)
    assert space.holds(trace.x).all()
    assert np.ptp(trace.x, axis=0).max() > 0.1  # it does move, and far beyond if let
