"""LipSDP without an interior-point method: maximum cut for one layer, descent for large nets."""

from dataclasses import replace
from importlib import import_module
from time import perf_counter
from typing import Any

import cvxpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lipschitz_nets import biases, formula, formula_net, gaussian, weights

from rlopt.theory.lipschitz import Certificate, Network
from rlopt.theory.lipschitz.descent import penalty
from rlopt.theory.lipschitz.layerwise import eclipse
from rlopt.theory.lipschitz.lower import lower_bound
from rlopt.theory.lipschitz.maxcut import mixing, relax
from rlopt.theory.lipschitz.norms import product_bound
from rlopt.theory.lipschitz.pieces import exact, formal_global
from rlopt.theory.lipschitz.semidefinite import lipsdp

descent: Any = import_module("rlopt.theory.lipschitz.descent")  # not the function
cp: Any = cvxpy  # its types do not say what it exports
TABLE = 1e-5
SAME = 1e-6  # relative: the duality gaps of two methods


def cut_by_cvxpy(net: Network, norm: str) -> float:
    """The relaxed maximum cut for ReLU: entries of a correlation matrix, straight from W1, w2."""
    H = net.layers[-1].H
    assert H is not None
    W, w = net.layers[0].W, H[0]
    F = 0.5 * np.hstack([W.T * w, (W.T @ w)[:, None]])
    if norm == "l2":
        Z = cp.Variable((F.shape[1],) * 2, PSD=True)
        problem = cp.Problem(cp.Maximize(cp.trace(F.T @ F @ Z)), [cp.diag(Z) == 1])
        return float(np.sqrt(problem.solve(solver="CLARABEL")))
    n0, count = F.shape
    Z = cp.Variable((n0 + count,) * 2, PSD=True)
    problem = cp.Problem(cp.Maximize(cp.sum(cp.multiply(F, Z[:n0, n0:]))), [cp.diag(Z) == 1])
    return float(problem.solve(solver="CLARABEL"))


def one_layer(n0: int, h: int, seed: int, activation: str = "relu") -> Network:
    rng = np.random.default_rng(seed)
    return Network.from_weights(
        [rng.normal(size=(h, n0)), rng.normal(size=(1, h))],
        [rng.normal(size=h), np.zeros(1)],
        activation,
    )


def others() -> list[Network]:
    """Networks with one layer of neurons that are not W2 relu(W1 x)."""
    tail = np.array([[1.0, -0.5, 0.3]])
    return [
        one_layer(4, 9, 0, "leaky_relu(0.2)"),
        one_layer(4, 9, 1, "silu"),
        one_layer(4, 9, 2, "sigmoid"),
        one_layer(4, 9, 3, "abs"),
        one_layer(4, 8, 4, "maxmin"),
        one_layer(4, 8, 5, "householder(2,1)"),
        Network.residual([formula(5, 3, 0)], [formula(3, 5, 1)]).rows(tail),
    ]


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize(("n0", "h"), [(2, 3), (3, 8), (6, 4), (8, 12)])
def test_it_is_the_relaxed_maximum_cut(norm, n0, h):
    net = one_layer(n0, h, n0 * h)
    value = cut_by_cvxpy(net, norm)
    assert relax(net.lfr(), norm).value == pytest.approx(value, rel=SAME)
    assert mixing(net, norm).upper == pytest.approx(value, rel=SAME)


def test_the_tables_values():
    net = formula_net((2, 3, 1))
    assert mixing(net).upper == pytest.approx(1.5123479, rel=TABLE)
    assert mixing(net, "linf").upper == pytest.approx(2.061488, rel=TABLE)
    pairs = Network.from_weights(weights((2, 4, 1)), activation="maxmin")
    assert mixing(pairs).upper == pytest.approx(1.3029296, rel=TABLE)
    assert mixing(pairs, "linf").upper == pytest.approx(1.781824, rel=TABLE)
    residual = Network.residual([formula(3, 2, 0)], [0.5 * formula(2, 3, 5)])
    for row in np.eye(2):
        alone = residual.rows(row[None])
        assert mixing(alone).upper == pytest.approx(lipsdp(alone).upper, rel=SAME)


@pytest.mark.parametrize("norm", ["l2", "linf", "linf_l1"])
def test_it_is_lipsdp_for_every_slope(norm):
    for net in others():
        for region in (None, (-0.1, 0.2)):
            made = mixing(net, norm, region)
            assert made.rigorous == "rump"
            assert made.upper == pytest.approx(lipsdp(net, norm, region=region).upper, rel=2e-6)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 9), st.sampled_from(["l2", "linf"]))
def test_between_the_formal_constant_and_grothendieck(seed, n0, h, norm):
    net = one_layer(n0, h, seed)
    made, formal = mixing(net, norm), formal_global(net, norm)
    assert made.upper >= formal * (1.0 - 1e-12)
    assert made.upper <= (np.sqrt(np.pi / 2.0) if norm == "l2" else 1.783) * formal
    assert made.upper >= lower_bound(net, norm=norm)[0]
    # what is proved is no less than the relaxation's own point, and hardly more
    primal = relax(net.lfr(), norm).value
    assert primal * (1.0 - 1e-12) <= made.upper <= primal * (1.0 + 1e-5)


def test_a_wide_layer():
    net = Network.from_weights(gaussian((17, 256, 1)))
    made = mixing(net)
    assert made.upper == pytest.approx(lipsdp(net).upper, rel=SAME)
    assert made.rigorous == "rump" and made.verify()
    began = perf_counter()
    wide = Network.from_weights(gaussian((17, 1024, 1)))
    value = relax(wide.lfr()).value
    assert perf_counter() - began < 10.0  # .1 s on an idle core
    assert value == pytest.approx(3.5707344, rel=1e-7)


def test_flat_cases():
    assert mixing(Network.from_weights([[[3.0, -4.0]]])).upper == pytest.approx(5.0, rel=1e-9)
    assert mixing(Network.from_weights([[[3.0, -4.0]]]), "linf").upper == pytest.approx(7.0)
    for W1, W2 in (
        ([[1.0, 2.0], [0.0, 0.0]], [[1.0, 2.0]]),
        ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0]]),
    ):
        for norm, value in (("l2", np.sqrt(5.0)), ("linf", 3.0)):
            made = mixing(Network.from_weights([W1, W2]), norm)
            assert made.upper == pytest.approx(value, rel=1e-6)
    constant = mixing(Network.from_weights([[[1.0, 2.0]], [[0.0]]]))
    assert 0.0 <= constant.upper < 1e-40 and constant.verify()
    line = Network.from_weights([[[1.0], [2.0]], [[1.0, 1.0]]], activation="identity")
    assert mixing(line).upper == pytest.approx(3.0, rel=1e-6)


def test_what_mixing_refuses():
    with pytest.raises(ValueError, match="one output"):
        mixing(formula_net((2, 3, 2)))
    with pytest.raises(ValueError, match="2 layers"):
        mixing(formula_net((2, 3, 3, 1)))
    with pytest.raises(ValueError, match="feed each other"):
        mixing(Network.implicit([[0.1]], [[1.0]], [[1.0]]))
    with pytest.raises(ValueError, match="norm must be"):
        mixing(formula_net((2, 3, 1)), "l1")


@pytest.mark.parametrize(
    ("net", "value"),
    [
        (formula_net((2, 3, 1)), 1.5123479),
        (formula_net((2, 4, 3, 2)), 2.9386479),
        (formula_net((3, 5, 5, 2)), 3.9700485),
        (formula_net((2, 6, 6, 1)), 3.5261824),
        (Network.from_weights(weights((2, 4, 4, 2)), activation="maxmin"), 2.9757125),
        (Network.from_weights(weights((3, 6, 6, 2)), activation="groupsort(3)"), 9.283211),
        (Network.implicit(0.3 * formula(4, 4, 3), formula(4, 2, 1), formula(2, 4, 2)), 3.3939716),
        (Network.implicit([[0.9]], [[1.0]], [[1.0]]), 10.0),  # z = relu(.9 z + x)
        (Network.from_weights(gaussian((2, 64, 64, 1))), 3.4686931),
    ],
)
def test_descent_comes_close_to_lipsdp(net, value):
    made = penalty(net)
    assert made.rigorous == "rump"
    assert value * (1.0 - 1e-7) <= made.upper <= value * 1.003


def test_descent_starts_from_eclipse_fast_and_improves():
    for net in (formula_net((3, 5, 5, 2)), Network.from_weights(gaussian((8, *[32] * 8, 1)))):
        fast = eclipse(net, fast=True).upper
        bounds = [penalty(net, iterations).upper for iterations in (0, 20, 60, 200)]
        assert bounds[0] == pytest.approx(fast, rel=0.01)
        assert bounds[-1] < 0.85 * bounds[0]
        assert all(later <= bounds[0] * (1.0 + 1e-6) for later in bounds)
        assert bounds[0] <= product_bound(net).upper


def test_the_gradient_of_the_objective():
    net = formula_net((3, 5, 5, 2))
    problem = descent._Problem(net.lfr())
    x = 0.9 * np.log(descent.start(net.lfr()))
    for mu, p in ((0.0, 1.0), (0.1, 8.0), (1e-3, 64.0)):
        found = problem.at(x, mu, p)
        h = 1e-6
        ends = [
            [problem.at(x + sign * h * e, mu, p).objective for sign in (1, -1)] for e in np.eye(10)
        ]
        slopes = np.array([(a - b) / (2.0 * h) for a, b in ends])
        np.testing.assert_allclose(found.gradient, slopes, atol=1e-7)


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    activation=st.sampled_from(["relu", "leaky_relu(0.2)", "abs", "maxmin"]),
    bounded=st.booleans(),
)
def test_descent_is_sound(seed, activation, bounded):
    rng = np.random.default_rng(seed)
    drawn = gaussian((2, 4, 4, 2), seed)
    net = Network.from_weights(drawn, [rng.normal(size=len(W)) for W in drawn], activation)
    region = (-0.5, 0.5) if bounded else None
    made = penalty(net, 40, region)
    assert made.upper >= exact(net, region) * (1.0 - 1e-12)
    assert made.upper >= lipsdp(net, region=region).upper * (1.0 - 2e-6)
    assert made.upper <= product_bound(net).upper * (1.0 + 1e-6)


def test_descent_on_smooth_and_narrow_slopes():
    for activation in ("tanh", "silu", "sigmoid"):
        net = formula_net((3, 5, 5, 2), activation)
        for region in (None, (-0.2, 0.2)):
            made, best = penalty(net, 200, region), lipsdp(net, region=region).upper
            assert best * (1.0 - 2e-6) <= made.upper <= best * 1.001


def test_flat_cases_of_descent():
    for matrices, value in (([[[3.0, -4.0]]], 5.0), ([[[1.0]], [[0.0]]], 0.0), ([[[0.0]]], 0.0)):
        made = penalty(Network.from_weights(matrices))
        assert made.upper == pytest.approx(value, rel=1e-8, abs=1e-20) and made.verify()
    with pytest.raises(ValueError, match="iterations"):
        penalty(formula_net((2, 3, 1)), -1)


def test_descent_with_a_comparator_that_never_moves():
    # two equal rows under a mirror of their difference
    W = [np.ones((2, 2)), formula(5, 2, 1), formula(2, 5, 2)]
    net = Network.from_weights(W, None, ["householder(1,-1)", "relu"])
    made = penalty(net)
    assert made.verify() and made.upper == pytest.approx(lipsdp(net).upper, rel=1e-3)


def test_descent_on_feedback_with_other_slopes():
    # z = leaky(.5 z + x): slope 2 above 0, .1 / .95 below
    net = Network.implicit([[0.5]], [[1.0]], [[1.0]], activation="leaky_relu(0.1)")
    assert penalty(net).upper == pytest.approx(2.0, rel=1e-3)


def certificates() -> list[Certificate]:
    tall = Network.from_weights(weights((2, 6, 1)), biases((2, 6, 1)), "tanh")
    return [
        mixing(tall), mixing(tall, "linf"), mixing(tall, region=(-0.2, 0.3)),
        penalty(formula_net((3, 5, 5, 2))), penalty(formula_net((3, 5, 5, 2)), region=(-0.5, 0.5)),
    ]  # fmt: skip


def test_certificates_survive_json_and_not_tampering():
    for made in certificates():
        again = Certificate.from_json(made.to_json())
        assert again.verify() and again.upper == made.upper and again.method == made.method
        assert again.multipliers is not None and again.rho is not None
        halved = again.multipliers.copy()
        halved[np.argmax(halved)] /= 2.0
        assert not replace(again, multipliers=halved).verify()
        assert not replace(again, rho=again.rho * (1.0 - 1e-4)).verify()
        assert not replace(again, upper=again.upper * (1.0 - 1e-9)).verify()


def test_the_same_numbers_every_time():
    for first, again in zip(certificates(), certificates(), strict=True):
        assert first.upper == again.upper
        assert first.multipliers is not None and again.multipliers is not None
        assert np.array_equal(first.multipliers, again.multipliers)


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_orthogonal_layers_keep_the_bound_at_1(layers):
    rng = np.random.default_rng(0)
    matrices = [np.linalg.qr(rng.normal(size=(6, 6)))[0] for _ in range(layers)]
    assert penalty(Network.from_weights(matrices)).upper == pytest.approx(1.0, rel=1e-3)
