"""The constants of the bounds on regret, against their proofs and against published numbers."""

import inspect
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from rlopt.theory import regret

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("name", "constants", "value"),
    [
        ("omd_sea_convex", dict(D=2, L=1, G=1.9, sigma_sq=90, Sigma_sq=0, delta=200), 175.7483502),
        ("omd_sea_convex", dict(D=2, L=1, G=1.9, sigma_sq=360, Sigma_sq=0, delta=200), 309.9124291),
        ("hedge", dict(N=8, T=1000), 32.24472),
        ("omd_convex_pathwise", dict(D=2, G=1, V_T=4, delta=1, movement_sq=8), 13 - 5**0.5),
        ("oftrl_pathwise", dict(D=1, G=1, V_T=2, nu=2, movement_sq=3), 3 + 2 + 3 - 3),
        # by hand: 3 sqrt2 D G sqrt T + 5 D G at nu = 2 D G and V_T = 4 G^2 T
        ("oftrl_pathwise", dict(D=3, G=2, V_T=16 * 50, nu=12), 180 + 30),
        ("omd_exp_pathwise", dict(D=2, G=2, d=1, beta=0.5, V_T=16 * (np.e - 1)), 32 + 4),
        ("optimistic_hedge", dict(N=2, eta=0.5, V_T=4, movement_sq=2), 2 * np.log(2) + 1),
        ("ogd_sqrt_t", dict(D=2, G=3, T=49), 63),
        ("ogd_strongly_convex", dict(G=2, lam=0.5, T=1), 4),
        ("omd_envelope", dict(D=1, G=2, V_T=16, delta=17), 22),
        ("omd_constant_step", dict(distance_sq=2, eta=0.5, V_T=4, movement_sq=1), 3.5),
        (
            "omd_implicit_sea",
            dict(D=2, G=1, sigma_tilde_sq=6, Sigma_sq=3, delta=4),
            5 * (1 + 6 + 3) + 2 + 2,
        ),
        (
            "oftl_sea_strongly_convex",
            dict(D=2, L=0, G=3, lam=1, sigma_max_sq=0.5, Sigma_max_sq=0.25, T=1),
            4 + 1 + 6,
        ),
        (
            "omd_sea_strongly_convex",
            dict(D=2, L=0, G=1, lam=1)
            | dict(sigma_sq=3, Sigma_sq=2, sigma_max_sq=3, Sigma_max_sq=2),
            16 * 8 * (1 + np.log(2)) + 4 + 1,
        ),
        ("corrupted_Sigma_sq", dict(G=2, C=3), 24),
        ("random_order_Sigma_sq", dict(G=2, passes=2), 80),
        ("random_order_sigma_sq", dict(n=4, sigma_sq=1, sigma_tilde_sq=1), 8 + 4 * np.log(2)),
    ],
)
def test_numbers_by_hand(name: str, constants: dict[str, Any], value: float) -> None:
    assert getattr(regret, name)(**constants) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(("K", "value"), [(1, 489), (4, 868), (20, 2307), (100, 8283)])
def test_dynamic_bound_on_blocks_with_a_ripple(K: int, value: float) -> None:
    t = np.arange(1, 2001)
    block = (t - 1) * K // 2000
    centres = np.where(block % 2 == 0, 0.6, -0.6)[:, None] / np.sqrt(5)
    centres = centres + 0.2 * np.sin(2.3 * np.outer(t, np.arange(1, 6)))
    means = np.array([centres[block == k].mean(axis=0) for k in range(K)])
    known: dict[str, Any] = {
        **dict(D=2.0, L=1.0, G=2.0, N=5, sigma_sq=0.0),
        "path": np.linalg.norm(np.diff(means, axis=0), axis=1).sum(),
        "Sigma_sq": (np.diff(centres, axis=0) ** 2).sum(),
    }
    tuned = regret.dynamic_omd_sea(**known)
    assert int(tuned) == value
    best = minimize_scalar(
        lambda eps: regret.dynamic_omd_sea(eps=eps, **known),
        bounds=(1e-5, 1 / 32),
        method="bounded",
    )
    assert best.fun <= tuned


# --- from the pathwise bound to the one in expectation: V_T and the movement ---

PATHWISE: dict[str, tuple[Any, dict[str, float]]] = {
    "omd_sea_convex": (regret.omd_convex_pathwise, {"delta": 7.0}),
    "oftrl_sea_convex": (regret.oftrl_pathwise, {"nu": 3.0}),
    "omd_exp_sea": (regret.omd_exp_pathwise, {"d": 3, "beta": 0.1}),
}


def largest(name: str, D: float, L: float, G: float, sigma_sq: float, Sigma_sq: float) -> float:
    """The pathwise bound at V = G^2 + 8 sigma^2 + 4 Sigma^2 + 4 L^2 S, at its worst movement S."""
    pathwise, own = PATHWISE[name]
    S = np.append(0.0, np.geomspace(1e-6, 1e10, 4001))
    V = G**2 + 8.0 * sigma_sq + 4.0 * Sigma_sq + 4.0 * L**2 * S
    return float(np.max(pathwise(D=D, G=G, V_T=V, movement_sq=S, **own)))


@pytest.mark.parametrize("name", PATHWISE)
def test_expectations_follow_from_paths(name: str) -> None:
    for _ in range(200):
        D, L, G, sigma_sq, Sigma_sq = np.exp(RNG.uniform(-3.0, 3.0, 5)) * RNG.integers(0, 2, 5)
        known = dict(D=D + 0.1, L=L, G=G + 0.1, sigma_sq=sigma_sq, Sigma_sq=Sigma_sq)
        limit = getattr(regret, name)(**known, **PATHWISE[name][1])
        assert largest(name, **known) <= limit * (1.0 + 1e-12)


@pytest.mark.parametrize("name", ["omd_sea_convex", "oftrl_sea_convex"])
@pytest.mark.parametrize("alone", ["sigma_sq", "Sigma_sq", "L"])
def test_nothing_is_lost_where_one_term_rules(name: str, alone: str) -> None:
    known = {"D": 1.0, "L": 0.0, "G": 1e-3, "sigma_sq": 0.0, "Sigma_sq": 0.0}
    known[alone] = 1e3 if alone == "L" else 1e9
    limit = getattr(regret, name)(**known, **PATHWISE[name][1])
    assert largest(name, **known) == pytest.approx(limit, rel=1e-3)


# --- from what the proofs sum up to the pathwise bounds ---


def squares(T: int, G: float) -> np.ndarray:
    """|g_t - M_t|^2 of 50 runs: v_1 <= G^2, then up to 4 G^2, at several scales and shares."""
    v = 4.0 * G**2 * RNG.random((T, 50)) * np.exp(-RNG.uniform(0.0, 8.0, 50))
    v[:, ::2] = 4.0 * G**2 * (RNG.random((T, 25)) < RNG.random(25))
    v[0] = np.minimum(v[0], G**2)
    return v


@pytest.mark.parametrize("T", [1, 30, 3000])
def test_mirror_descent_sums_to_its_bound(T: int) -> None:
    D, G, delta = 1.5, 2.0, 0.3
    v = squares(T, G)
    V = v.cumsum(axis=0)
    steps = D / np.sqrt(delta + 4.0 * G**2 + V - v)
    proved = D**2 / (2.0 * steps[-1]) + (steps * v).sum(axis=0)
    limit = regret.omd_convex_pathwise(D=D, G=G, V_T=V[-1], delta=delta)
    assert (proved <= limit).all()
    assert T < 3000 or (proved / limit).max() > 0.97
    slow = 2.0 * D**2 / steps[-1] + (steps * v).sum(axis=0)  # last step a quarter, others whole
    assert (slow <= regret.omd_envelope(D=D, G=G, V_T=V[-1], delta=delta)).all()


@pytest.mark.parametrize("nu", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("T", [2, 30, 3000])
def test_followed_leaders_sum_to_their_bound(T: int, nu: float) -> None:
    D, G = 1.5, 2.0
    v = squares(T, G)
    v[0, 0], v[1, 0] = G**2, 4.0 * G**2
    paid = np.zeros(50)
    for row in v:
        paid = paid + D**2 / (nu + paid) * row
    proved = nu + 1.5 * paid
    limit = regret.oftrl_pathwise(D=D, G=G, V_T=v.sum(axis=0), nu=nu)
    assert (proved <= limit).all()


def test_the_printed_constant_of_followed_leaders_is_too_small() -> None:
    D, G, nu = 1.0, 1.0, 0.01
    limit = regret.oftrl_pathwise(D=D, G=G, V_T=4.0 * G**2, nu=nu)
    proved = nu + 1.5 * (D**2 / nu * 4.0 * G**2)  # one round in which the hint is all wrong
    assert limit - 2.0 * D**2 * G**2 / nu < proved <= limit


def test_strongly_convex_noise_sums_to_its_share() -> None:
    for _ in range(200):
        T = int(RNG.integers(1, 400))
        variance, jump = RNG.random(T) * np.exp(-RNG.uniform(0.0, 6.0)), RNG.random(T)
        jump[0] = 0.0
        L, D, G, lam = np.exp(RNG.uniform(-2.0, 2.0, 4))
        before = np.append(0.0, variance[:-1])
        rounds = np.arange(1, T + 1)
        v = 4.0 * (variance + before + jump)
        v[0] = G**2
        move = np.full(T, D**2)  # at its largest where it costs, 0 where it pays
        cost = 16.0 * L**2 / (lam * rounds) - lam * (rounds - 1) / 8.0
        proved = lam * D**2 / 4.0 + (4.0 * v / (lam * rounds)).sum()
        proved += (np.maximum(cost, 0.0) * move)[1:].sum()
        known = dict(D=D, L=L, G=G, lam=lam)
        peaks = dict(sigma_max_sq=variance.max(), Sigma_max_sq=jump.max())
        limit = regret.omd_sea_strongly_convex(
            **known, **peaks, sigma_sq=variance.sum(), Sigma_sq=jump.sum()
        )
        assert proved <= limit
        cost = 4.0 * L**2 / (lam * rounds) - lam * (rounds - 1) / 8.0
        proved = G * D + (v / (lam * rounds))[1:].sum() + (np.maximum(cost, 0.0) * move)[1:].sum()
        assert proved <= regret.oftl_sea_strongly_convex(**known, **peaks, T=T)


def test_newton_steps_sum_to_their_bound() -> None:
    d, G, beta, T = 3, 2.0, 0.1, 2000
    for decay in (0.0, 3.0):
        g = RNG.standard_normal((T, d)) * np.exp(-decay * RNG.random((T, 1)))
        g *= G / np.maximum(np.linalg.norm(g, axis=1, keepdims=True), G)
        wrong = np.diff(g, axis=0, prepend=0.0)
        metric = np.eye(d) * (1.0 + beta * G**2 / 2.0)
        paid = 0.0
        for gradient, error in zip(g, wrong, strict=True):
            paid += 2.0 * error @ np.linalg.solve(metric, error)
            metric = metric + beta / 2.0 * np.outer(gradient, gradient)
        limit = regret.omd_exp_pathwise(D=1e-9, G=G, d=d, beta=beta, V_T=(wrong**2).sum())
        assert 0.1 * limit < paid <= limit


def test_delta_that_balances_the_bound() -> None:
    known = dict(D=2.0, L=0.7, G=1.0, sigma_sq=0.0, Sigma_sq=0.0)
    best = minimize_scalar(
        lambda delta: regret.omd_sea_convex(delta=delta, **known), bounds=(1, 1e4), method="bounded"
    )
    assert best.x == pytest.approx(50.0 * (2.0 * 0.7) ** 2, rel=1e-3)
    assert best.fun - 7.0 == pytest.approx(5.0 * 2.0**0.5 * 4.0 * 0.7)


# --- arrays and refusals ---


@pytest.mark.parametrize("name", regret.__all__)
def test_bad_constants_are_named(name: str) -> None:
    good: dict[str, Any] = {
        **dict(D=2.0, L=0.01, G=1.0, V_T=1.0, delta=1.0, d=3, beta=0.1, nu=1.0, lam=1.0, N=4, T=9),
        **dict(sigma_sq=1.0, Sigma_sq=1.0, sigma_tilde_sq=2.0, sigma_max_sq=0.5, n=5, C=1.0),
        **dict(Sigma_max_sq=0.5, distance_sq=1.0, eta=0.1, movement_sq=0.1, path=1.0, eps=0.1),
        **dict(passes=1, regret_x=1.0, regret_y=2.0),
    }
    function = getattr(regret, name)
    known = {key: good[key] for key in inspect.signature(function).parameters}
    assert np.isfinite(function(**known))
    for key in known:
        for wrong in (float("nan"), "much", -1.0):
            if key.startswith("regret_") and wrong == -1.0:
                continue  # a regret may be negative
            with pytest.raises((ValueError, TypeError), match=key):
                function(**{**known, key: wrong})


def test_constants_may_be_arrays() -> None:
    V = np.array([1.0, 4.0])
    both = regret.omd_convex_pathwise(D=2.0, G=1.0, V_T=V, delta=1.0)
    each = [regret.omd_convex_pathwise(D=2.0, G=1.0, V_T=v, delta=1.0) for v in V]
    assert both.tolist() == each
    with pytest.raises(ValueError, match="V_T must be finite and >= 0, got -1"):
        regret.omd_convex_pathwise(D=2.0, G=1.0, V_T=np.array([1.0, -1.0]), delta=1.0)


def test_a_meta_step_beyond_the_theorem_is_refused() -> None:
    with pytest.raises(ValueError, match="eps must be at most"):
        regret.dynamic_omd_sea(
            D=2.0, L=1.0, G=1.0, N=4, path=0.0, sigma_sq=0.0, Sigma_sq=0.0, eps=0.04
        )


def test_the_sup_inside_is_no_smaller() -> None:
    with pytest.raises(ValueError, match="sigma_tilde_sq must be at least sigma_sq"):
        regret.random_order_sigma_sq(n=3, sigma_sq=2.0, sigma_tilde_sq=1.0)
