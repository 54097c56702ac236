"""Lipschitz bounds on values, against gradients of simulated values."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlopt.theory.lipschitz.contraction import Contraction, contraction
from rlopt.theory.lipschitz.value import (
    value_lipschitz,
    value_lipschitz_closed_loop,
    value_lipschitz_k_step,
    value_lipschitz_safe,
)
from rlopt.theory.registry import bounds

GAMMA = 0.99
# the linearised pendulum under its linear-quadratic regulator
PENDULUM = np.array([[1.0375, 0.05], [0.75, 1.0]])
TORQUE = np.array([[0.0075], [0.15]])
GAIN = np.array([[19.263753, 5.244728]])
LOOP = PENDULUM - TORQUE @ GAIN


def published(
    delta: float, gamma: float, A: float, B: float, T: int | None = None, of: str = "Q"
) -> float:
    with pytest.warns(UserWarning, match="published bound is false"):
        return value_lipschitz(delta, gamma, A, B, T, kind="published", of=of)


def norm(matrix: np.ndarray) -> float:
    return float(np.linalg.norm(matrix, 2))


def worst(F: np.ndarray, K: np.ndarray, gamma: float, T: int) -> tuple[float, float]:
    """Lip(Q), Lip(V) for f = F z, mu = K s and the worst linear reward with delta = 1."""
    n, d = F.shape
    lift = np.vstack([np.eye(n), K])
    total, path = np.eye(d), np.eye(d)
    for _ in range(T - 1):
        path = gamma * lift @ F @ path
        total = total + path
    return norm(total), norm(total @ lift)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("T", [1, 2, 7, 60])
def test_linear_systems_stay_below_every_sound_bound(seed: int, T: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 4, 2)
    F = rng.normal(size=(n, n + m)) * rng.uniform(0.1, 0.6)
    K = rng.normal(size=(m, n)) * rng.uniform(0.0, 1.5)
    gamma, loop = rng.uniform(0.5, 1.0), F[:, :n] + F[:, n:] @ K
    known: dict[str, Any] = {"delta": 1.0, "gamma": gamma, "A": norm(F), "B": norm(K), "T": T}
    for of, measured in zip(("Q", "V"), worst(F, K, gamma, T), strict=True):
        limits = [
            value_lipschitz(**known, of=of),
            value_lipschitz(**known, kind="closed_loop", closed_loop=norm(loop), of=of),
        ]
        if gamma * np.abs(np.linalg.eigvals(loop)).max() < 0.99:
            found = contraction(loop, gamma)
            limits.append(value_lipschitz_k_step(**known, c=found.c, lam=found.lam, of=of))
        assert measured <= min(limits) * (1.0 + 1e-9)
        assert limits[1] <= limits[0] * (1.0 + 1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_nonlinear_systems_stay_below_the_safe_bound(seed: int) -> None:
    """Gradients of simulated values by automatic differentiation."""
    gen = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=gen, dtype=torch.float64)

    n, m, T, gamma, delta = 3, 2, 30, 0.95, 1.7
    F, K, R = draw(n, n + m), draw(m, n), draw(4, n + m)
    A, B = rng.uniform(0.3, 0.9), rng.uniform(0.1, 1.0)
    F, K = F * A / torch.linalg.matrix_norm(F, 2), K * B / torch.linalg.matrix_norm(K, 2)
    R = R / torch.linalg.matrix_norm(R, 2)

    def mean(z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z @ R.T).sum(-1) / 2.0  # |(1, 1, 1, 1)| = 2, so it is 1-Lipschitz

    def ahead(z: torch.Tensor) -> torch.Tensor:
        total, discount = torch.zeros(len(z), dtype=torch.float64), 1.0
        for _ in range(T):
            total = total + discount * delta * mean(z)
            s = torch.sin(z @ F.T)
            z, discount = torch.cat([s, torch.tanh(s @ K.T)], -1), discount * gamma
        return total

    z = (0.3 * draw(200, n + m)).requires_grad_()
    (slope,) = torch.autograd.grad(ahead(z).sum(), z)
    limit = value_lipschitz(delta, gamma, A, B, T)
    assert limit <= value_lipschitz(delta, gamma, A, B) or gamma * A * np.sqrt(1 + B * B) >= 1.0
    assert float(slope.norm(dim=-1).max()) <= limit


# --- (a) f = s, mu = 0, r = delta s; (b) f = A (s + B a)/c, mu = B s, r = delta (s + B a)/c ---


def example_b(A: float, B: float) -> tuple[np.ndarray, np.ndarray]:
    return A * np.array([[1.0, B]]) / np.sqrt(1.0 + B * B), np.array([[B]])


@given(
    A=st.floats(0.0, 1.2), B=st.floats(0.0, 2.0), gamma=st.floats(0.0, 1.0), T=st.integers(1, 30)
)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_the_safe_bounds_are_attained(A: float, B: float, gamma: float, T: int) -> None:
    F, K = example_b(A, B)
    reward = np.array([[1.0, B]]) / np.sqrt(1.0 + B * B)
    lift = np.vstack([np.eye(1), K])
    slope, path = np.zeros((1, 2)), np.eye(2)
    for _ in range(T):
        slope, path = slope + reward @ path, gamma * lift @ F @ path
    loop = A * np.sqrt(1.0 + B * B)
    for of, measured in (("Q", norm(slope)), ("V", norm(slope @ lift))):
        assert value_lipschitz(1.0, gamma, A, B, T, of=of) == pytest.approx(measured, rel=1e-11)
        closed = value_lipschitz(1.0, gamma, A, B, T, "closed_loop", loop, of)
        assert closed == pytest.approx(measured, rel=1e-11)


def test_reference_values() -> None:
    assert value_lipschitz(1.0, 0.9, 1.0, 0.0) == pytest.approx(10.0, rel=1e-14)
    assert value_lipschitz(1.0, 0.9, 0.6, 1.0) == pytest.approx(4.23147, abs=5e-6)
    assert value_lipschitz(3.0, 0.9, 0.6, 1.0) == pytest.approx(3 * 4.23147, abs=2e-5)
    assert worst(*example_b(0.6, 1.0), 0.9, 400)[0] == pytest.approx(4.23147, abs=5e-6)
    assert published(1.0, 0.9, 1.0, 0.0) == pytest.approx(2.294, abs=5e-4)
    assert published(1.0, 0.9, 0.6, 1.0) == pytest.approx(1.18812, abs=5e-6)


def test_the_published_bound_is_violated_by_both_examples() -> None:
    for gamma in (0.9, 0.95, 0.99):
        true = 1.0 / (1.0 - gamma)
        ratio = true / published(1.0, gamma, 1.0, 0.0)
        assert ratio == pytest.approx(np.sqrt((1.0 + gamma) / (1.0 - gamma)), rel=1e-12)
        assert value_lipschitz(1.0, gamma, 1.0, 0.0) == pytest.approx(true, rel=1e-12)
    assert worst(*example_b(0.6, 1.0), 0.9, 400)[0] > 3.5 * published(1.0, 0.9, 0.6, 1.0)
    assert worst(np.array([[1.0, 0.0]]), np.zeros((1, 1)), 0.9, 5)[0] > 2 * published(
        1.0, 0.9, 1.0, 0.0, 5
    )


@given(
    gamma=st.floats(0.0, 1.0), A=st.floats(0.0, 1.5), B=st.floats(0.0, 2.0),
    loop=st.floats(0.0, 1.5), T=st.integers(1, 40), c=st.floats(1.0, 5.0),
)  # fmt: skip
@settings(max_examples=200, derandomize=True, deadline=None)
def test_finite_horizons_are_the_sums_they_stand_for(
    gamma: float, A: float, B: float, loop: float, T: int, c: float
) -> None:
    spread, delta, q = np.sqrt(1.0 + B * B), 0.7, gamma * loop
    powers = q ** np.arange(T)
    stretched = np.concatenate([[1.0], c * powers[1:]])
    rho, C = gamma * A * spread, A**2 * max(1.0, B * B)
    known: dict[str, Any] = {"delta": delta, "gamma": gamma, "A": A, "B": B, "T": T}
    close: dict[str, Any] = {"rel": 1e-10, "abs": 1e-290}
    first = gamma * A * spread
    assert value_lipschitz(**known) == pytest.approx(delta * (rho ** np.arange(T)).sum(), **close)
    assert published(**known) == pytest.approx(
        delta * np.sqrt(((gamma**2 * C) ** np.arange(T)).sum()), **close
    )
    for steps, bound in (
        (powers, value_lipschitz_closed_loop(**known, closed_loop=loop)),
        (stretched, value_lipschitz_k_step(**known, c=c, lam=loop)),
    ):
        expected = delta * (1.0 + first * steps[: T - 1].sum())
        assert bound == pytest.approx(expected, **close)
    for steps, bound in (
        (powers, value_lipschitz(**known, kind="closed_loop", closed_loop=loop, of="V")),
        (stretched, value_lipschitz_k_step(**known, c=c, lam=loop, of="V")),
    ):
        assert bound == pytest.approx(delta * spread * steps.sum(), **close)


def test_v_is_q_seen_through_the_policy() -> None:
    known: dict[str, Any] = {"delta": 0.7, "gamma": 0.9, "A": 0.5, "B": 0.75}
    for T in (None, 1, 9):
        ratio = value_lipschitz(**known, T=T, of="V") / value_lipschitz(**known, T=T)
        assert ratio == pytest.approx(1.25, rel=1e-14)
        ratio = published(**known, T=T, of="V") / published(**known, T=T)
        assert ratio == pytest.approx(1.25, rel=1e-14)
    assert value_lipschitz(**known, kind="closed_loop", closed_loop=0.5, of="V") == pytest.approx(
        0.7 * 1.25 / (1.0 - 0.45), rel=1e-14
    )


def test_sums_that_do_not_end() -> None:
    assert value_lipschitz(1.0, 1.0, 1.0, 0.0) == np.inf
    assert value_lipschitz(1.0, 0.9, 2.0, 1.0) == np.inf
    assert value_lipschitz(1.0, 1.0, 1.0, 0.0, 12) == 12.0
    assert value_lipschitz(1.0, 1.0, 1.0 + 1e-12, 0.0, 10**6) == pytest.approx(1e6, rel=1e-5)
    assert value_lipschitz(1.0, 0.9, 2.0, 1.0, 10**5) == np.inf  # beyond the largest float
    assert value_lipschitz(1.0, 0.9, 0.5, 0.0, None, "closed_loop", 1.2) == np.inf
    assert value_lipschitz(1.0, 0.9, 0.5, 0.0, 3, "closed_loop", 1.0 / 0.9) == pytest.approx(1.9)
    assert published(1.0, 1.0, 1.0, 1.0) == np.inf
    assert published(1.0, 1.0, 1.0, 1.0, 9) == 3.0
    # what is multiplied by 0 stays 0
    assert value_lipschitz(0.0, 0.9, 2.0, 1.0) == 0.0
    assert value_lipschitz(1.0, 0.9, 0.0, 1.0, None, "closed_loop", 5.0) == 1.0
    assert value_lipschitz(1.0, 0.0, 3.0, 1.0) == 1.0


GOOD: dict[str, Any] = {"delta": 1.0, "gamma": 0.9, "A": 0.5, "B": 0.5}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"delta": -1.0}, "delta must be >= 0, got -1.0"),
        ({"delta": np.nan}, "delta must be finite"),
        ({"gamma": 1.01}, r"gamma must be in \[0, 1\], got 1.01"),
        ({"A": -0.1}, "A must be >= 0"),
        ({"B": np.inf}, "B must be finite"),
        ({"T": 0}, "T must be a whole number >= 1, got 0"),
        ({"T": 2.5}, "T must be a whole number >= 1, got 2.5"),
        ({"kind": "save"}, "did you mean 'safe'"),
        ({"of": "A"}, "of must be one of"),
        ({"kind": "closed_loop"}, "closed_loop must be given"),
        ({"closed_loop": 0.5}, "for no other kind"),
        ({"kind": "closed_loop", "closed_loop": -0.5}, "closed_loop must be >= 0"),
    ],
)
def test_bad_arguments_are_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        value_lipschitz(**GOOD | changed)


def test_arguments_that_are_no_numbers() -> None:
    with pytest.raises(TypeError, match="gamma must be a real number"):
        value_lipschitz(**GOOD | {"gamma": "0.9"})
    with pytest.raises(ValueError, match="c must be >= 1"):
        value_lipschitz_k_step(**GOOD, c=0.5, lam=0.5)


def test_the_sound_bounds_are_registered_and_the_published_one_is_not() -> None:
    ours = {name: r.tight for name, r in bounds().items() if name.startswith("value_lipschitz")}
    assert ours == {
        "value_lipschitz_safe": True,
        "value_lipschitz_closed_loop": True,
        "value_lipschitz_k_step": False,
    }
    assert value_lipschitz_safe(**GOOD) == value_lipschitz(**GOOD)


# --- contraction over several steps ---


def powers(loop: np.ndarray, steps: int) -> np.ndarray:
    return np.array([norm(np.linalg.matrix_power(loop, k)) for k in range(steps)])


def test_the_pendulum_contracts_after_several_steps_only() -> None:
    assert norm(LOOP) == pytest.approx(2.3265, abs=5e-5)
    assert np.sort(np.abs(np.linalg.eigvals(LOOP))) == pytest.approx([0.24870, 0.85761], abs=5e-6)
    F, K = np.hstack([PENDULUM, TORQUE]), -GAIN
    known: dict[str, Any] = {"delta": 1.0, "gamma": GAMMA, "A": norm(F), "B": norm(K)}
    found = contraction(LOOP, GAMMA)
    assert found.verify()
    assert (powers(LOOP, 200) <= found.c * found.lam ** np.arange(200)).all()
    for of, exact in zip(("Q", "V"), worst(F, K, GAMMA, 500), strict=True):
        assert value_lipschitz(**known, of=of) == np.inf
        one_step = value_lipschitz(**known, kind="closed_loop", closed_loop=norm(LOOP), of=of)
        assert one_step == np.inf
        several = value_lipschitz_k_step(**known, c=found.c, lam=found.lam, of=of)
        assert exact <= several < 30.0 * exact
    # the same value from the closed form of the sum
    lift = np.vstack([np.eye(2), K])
    limit = np.eye(3) + GAMMA * lift @ np.linalg.solve(np.eye(2) - GAMMA * LOOP, F)
    assert worst(F, K, GAMMA, 500)[0] == pytest.approx(norm(limit), rel=1e-9)


def test_no_other_rate_gives_a_shorter_sum() -> None:
    """The Lyapunov equation at each of many rates, in place of the programme."""
    from scipy.linalg import solve_discrete_lyapunov

    found = contraction(LOOP, GAMMA)
    shortest = found.c * found.lam / (1.0 - GAMMA * found.lam)
    for lam in np.linspace(0.86, 1.0, 40):
        P = solve_discrete_lyapunov(LOOP.T / lam, np.eye(2))
        c = np.sqrt(np.linalg.cond(P))
        assert shortest <= (1.0 + 1e-6) * c * lam / (1.0 - GAMMA * lam)
    assert shortest < 40.0


@pytest.mark.parametrize("seed", range(10))
def test_every_power_is_bounded(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    loop = rng.normal(size=(n, n))
    loop *= rng.uniform(0.2, 0.95) / np.abs(np.linalg.eigvals(loop)).max()
    found = contraction(loop)
    assert found.verify()
    assert (powers(loop, 60) <= found.c * found.lam ** np.arange(60) * (1.0 + 1e-12)).all()
    assert found.c * found.lam / (1.0 - found.lam) <= max(
        norm(loop) / (1.0 - norm(loop)) * (1.0 + 1e-9) if norm(loop) < 1.0 else np.inf, 0.0
    )


@pytest.mark.parametrize(
    "loop", [np.zeros((2, 2)), [[0.0, 1.0], [0.0, 0.0]], [[0.9, 5.0], [0.0, 0.9]], [[-0.5]]]
)
def test_loops_at_the_edge(loop: Any) -> None:
    found = contraction(loop, GAMMA)
    assert found.verify()
    ahead = np.array(loop)
    assert (powers(ahead, 90) <= found.c * found.lam ** np.arange(90) * (1.0 + 1e-12)).all()


def test_claims_that_do_not_hold_are_refused() -> None:
    found = contraction(LOOP, GAMMA)
    for lam, c, P in (
        (found.lam * 0.999, found.c, found.P),
        (found.lam, found.c * 0.999, found.P),
        (found.lam, found.c, np.eye(2)),
        (found.lam, found.c, found.P + np.array([[0.0, 1e-6], [0.0, 0.0]])),
    ):
        assert not Contraction(lam, c, P, found.A_cl).verify()


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        (np.eye(2), "spectral radius of A_cl must be < 1"),
        (np.ones((2, 3)), "square matrix"),
        ([[np.nan]], "A_cl must be finite"),
    ],
)
def test_loops_without_a_contraction(loop: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        contraction(loop)
