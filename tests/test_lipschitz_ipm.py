"""The interior-point method: invariances, nets at the edge, and what its proofs withstand."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lipschitz_nets import EVERY, formula, formula_net, gaussian, weights

from rlopt.theory.certificate import exactly
from rlopt.theory.lipschitz import Certificate, Network, ipm, proof
from rlopt.theory.lipschitz.lfr import _solve as lfr_solve
from rlopt.theory.lipschitz.semidefinite import lipsdp

# ---------------------------------------------------------------- properties


@pytest.mark.parametrize("net", EVERY)
@pytest.mark.parametrize("norm", ["l2", "linf_l1"])
def test_the_duality_gap_closes(net, norm):
    found = ipm.solve(net.lfr(), norm)
    assert 0.0 <= found.primal - found.dual <= 1e-6 * found.primal
    n0 = net.inputs
    X = found.X
    assert np.linalg.eigvalsh(X)[0] >= -1e-12
    if norm == "l2":
        assert np.trace(X[:n0, :n0]) == pytest.approx(1.0, abs=1e-6)
        gain = np.trace(net.lfr().Y.value @ X @ net.lfr().Y.value.T)
        assert gain == pytest.approx(found.dual, rel=1e-9)
    else:
        assert (np.diag(X)[:n0] <= 0.5 + 1e-8).all()
        assert np.diag(X)[:n0] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("net", EVERY)
def test_second_moments_obey_the_slopes(net):
    lfr = net.lfr()
    X = ipm.solve(lfr, "l2").X
    A = np.vstack([np.eye(lfr.inputs, A_columns := lfr.A.value.shape[1]), lfr.A.value])
    assert A_columns == len(X)
    v, B = A[lfr.inputs :], np.eye(len(X))[lfr.inputs :]
    low, high = B - lfr.alpha[:, None] * v, lfr.beta[:, None] * v - B
    assert (np.einsum("ij,jk,ik->i", low, X, high) >= -1e-7 * np.diag(v @ X @ v.T)).all()


def test_many_inputs_are_reduced_exactly():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(16, 784)) / 28.0
    narrow = np.linalg.qr(wide.T)[1].T
    rest = gaussian((16, 16, 10), 1)
    full = lipsdp(Network.from_weights([wide, *rest]))
    reduced = lipsdp(Network.from_weights([narrow, *rest]))
    assert full.upper == pytest.approx(reduced.upper, rel=1e-6)
    assert full.seconds < 5.0 and full.rigorous == "rump"


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.01, 100.0))
@settings(max_examples=15, deadline=None)
def test_what_leaves_the_function_alone_leaves_the_bound_alone(seed, scale):
    rng = np.random.default_rng(seed)
    W1, W2, W3 = (rng.normal(size=shape) for shape in ((5, 3), (4, 5), (2, 4)))
    value = lipsdp(Network.from_weights([W1, W2, W3])).upper
    turn_in, turn_out = (np.linalg.qr(rng.normal(size=(k, k)))[0] for k in (3, 2))
    order = rng.permutation(5)
    for same in (
        [W1 @ turn_in, W2, turn_out @ W3],
        [W1 * scale, W2 / scale, W3],
        [W1[order], W2[:, order], W3],
    ):
        assert lipsdp(Network.from_weights(same)).upper == pytest.approx(value, rel=1e-6)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_maxmin_is_a_householder_reflection(seed):
    rng = np.random.default_rng(seed)
    matrices = [rng.normal(size=shape) for shape in ((4, 3), (6, 4), (2, 6))]
    one, other = (
        lipsdp(Network.from_weights(matrices, activation=name)).upper
        for name in ("maxmin", "householder(1,-1)")
    )
    assert one == pytest.approx(other, rel=1e-6)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_wider_slopes_give_larger_bounds(seed):
    rng = np.random.default_rng(seed)
    matrices = [rng.normal(size=shape) for shape in ((5, 3), (4, 5), (2, 4))]
    wide, narrow = (
        lipsdp(Network.from_weights(matrices, activation=name)).upper
        for name in ("relu", "leaky_relu(0.2)")
    )
    assert narrow <= wide * (1.0 + 1e-6)


@pytest.mark.parametrize("net", EVERY)
@pytest.mark.parametrize("norm", ["l2", "linf", "linf_l1"])
def test_one_multiplier_a_layer_never_helps(net, norm):
    assert lipsdp(net, norm).upper <= lipsdp(net, norm, "layer").upper * (1.0 + 1e-6)


def test_layer_multipliers_are_equal_within_layers_of_the_weights_as_given():
    found = lipsdp(formula_net((2, 6, 6, 1)), structure="layer")
    assert found.multipliers is not None
    t = found.multipliers.reshape(2, 6)
    assert np.ptp(t, axis=1) == pytest.approx(0.0, abs=1e-6 * t.max())


def test_the_corrector_saves_iterations():
    lfr = Network.from_weights(gaussian((2, 64, 64, 1))).lfr()
    assert ipm.solve(lfr, "l2").iterations <= 19


# ---------------------------------------------------------------- nets at the edge


def test_linear_nets():
    W = formula(3, 4, 1)
    for net in (Network.from_weights([W]), Network.from_weights([np.eye(4), W], None, "identity")):
        assert lipsdp(net).upper == pytest.approx(np.linalg.norm(W, 2), rel=1e-9)
        assert lipsdp(net, "linf").upper == pytest.approx(np.abs(W).sum(axis=1).max(), rel=1e-9)
        assert lipsdp(net, structure="layer").verify()


@pytest.mark.parametrize("zeroed", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("norm", ["l2", "linf", "linf_l1"])
def test_constant_nets(zeroed, norm):
    matrices = [W * (k not in zeroed) for k, W in enumerate(weights((3, 4, 4, 2)))]
    found = lipsdp(Network.from_weights(matrices), norm)
    assert 0.0 < found.upper < 1e-40
    assert found.verify()


def test_dead_neurons_change_nothing():
    W1, W2, W3 = weights((4, 6, 5, 2))
    W1, alive = W1.copy(), [0, 1, 3, 5]
    W1[[2, 4]] = 0.0
    value = lipsdp(Network.from_weights([W1, W2, W3])).upper
    assert value == pytest.approx(
        lipsdp(Network.from_weights([W1[alive], W2[:, alive], W3])).upper, rel=1e-6
    )


def test_an_implicit_net_that_may_have_no_fixed_point_is_refused():
    with pytest.raises(ValueError, match="well-posed"):
        lipsdp(Network.implicit([[1.5]], [[1.0]], [[1.0]]))


def test_deep_nets_are_proved_at_their_optimum():
    lfr = Network.from_weights(gaussian((8, *[32] * 18, 4)), activation="maxmin").lfr()
    best = ipm.solve(lfr, "l2")
    found = proof.prove(lfr, "l2", best.candidates)
    assert found.rigorous == "rump"
    assert best.dual <= found.rho <= best.dual * (1.0 + 2e-5)


@pytest.mark.parametrize(
    ("layers", "width", "expected"),
    [(5, 20, 0.568873), (10, 20, 0.0276408), (5, 40, 0.017804)],
)
def test_random_nets_of_eclipse(layers, width, expected):
    rng = np.random.RandomState(7 * width + 13 * layers)  # the published draws
    dims, matrices = [4, *[width] * (layers - 1), 1], []
    for n, h in pairwise(dims):
        norm, W = rng.uniform(0.4, 1.8), rng.randn(h, n)
        matrices.append(W * norm / np.linalg.norm(W, 2))
    assert lipsdp(Network.from_weights(matrices)).upper == pytest.approx(expected, rel=2e-5)


# ---------------------------------------------------------------- proofs


@pytest.mark.parametrize("net", EVERY)
@pytest.mark.parametrize("norm", ["l2", "linf", "linf_l1"])
def test_certificates_survive_json_and_tampering_does_not(net, norm):
    found = lipsdp(net, norm)
    read = Certificate.from_json(found.to_json())
    assert read.upper == found.upper
    assert read.verify()
    assert found.rho is not None and found.multipliers is not None
    assert not replace(read, rho=found.rho * (1.0 - 1e-4)).verify()
    assert not replace(read, upper=found.upper * (1.0 - 1e-4)).verify()
    halved = found.multipliers.copy()
    halved[np.argmax(halved)] *= 0.5
    assert not replace(read, multipliers=halved).verify()


def test_every_multiplier_counts():
    found = lipsdp(formula_net((2, 6, 6, 1)))
    assert found.multipliers is not None
    for i in range(12):
        halved = found.multipliers.copy()
        halved[i] *= 0.5
        assert not replace(found, multipliers=halved).verify()


def test_balls_prove_what_floating_point_cannot():
    pytest.importorskip("flint")
    lfr = formula_net((2, 4, 3, 2)).lfr()
    value = proof.value(lfr, "l2", ipm.solve(lfr, "l2").candidates[0])
    assert value is not None
    t, rho = value
    closer = rho * (1.0 + 2e-15)
    assert not proof.holds(lfr, "l2", t, closer, "rump")
    assert proof.holds(lfr, "l2", t, closer, "arb")
    assert not proof.holds(lfr, "l2", t, rho * (1.0 - 1e-12), "arb")
    assert proof.holds(lfr, "l2", t, rho * (1.0 + 1e-12), "rump")


def test_rounding_in_deep_representations_is_bounded_and_small():
    net = Network.from_weights(gaussian((3, *[6] * 12, 2)), activation="maxmin")
    lfr, exact = net.lfr(), np.vectorize(Fraction, otypes=[object])
    total, start, rows = 3 + net.scalar.neurons, 3, []
    state = exact(np.eye(3, total))
    for layer in net.scalar.layers:
        rows.append(exact(layer.W) @ state)
        state = (
            exact(np.zeros((layer.outputs, total))) if layer.H is None else exact(layer.H) @ state
        )
        state[:, start : start + layer.neurons] += exact(layer.G)
        start += layer.neurons
    for found, true in ((lfr.A, np.vstack(rows)), (lfr.Y, state)):
        off = np.abs(exact(found.value) - true)
        assert (off <= exact(found.error)).all()
        assert (found.error <= 1e-10).all() and (off > 0).any()


@pytest.mark.parametrize("feedback", [True, False])
def test_rounding_in_shifted_neurons_is_bounded_and_small(feedback):
    rng = np.random.default_rng(0)
    L = rng.normal(size=(12, 12)) if feedback else np.tril(rng.normal(size=(12, 12)), -1)
    right, exact = rng.normal(size=(12, 3)), np.vectorize(Fraction, otypes=[object])
    found = lfr_solve(exactly(L), exactly(right))
    off = np.abs(exact(found.value) - eliminated(exact(np.eye(12)) - exact(L), exact(right)))
    assert (off <= exact(found.error)).all()
    assert found.error.max() <= 1e-10


def eliminated(system, right):
    """Gauss and Jordan in fractions."""
    whole = np.hstack([system, right])
    for k in range(len(whole)):
        whole[k] = whole[k] / whole[k, k]
        others = np.arange(len(whole)) != k
        whole[others] = whole[others] - np.outer(whole[others, k], whole[k])
    return whole[:, len(whole) :]


@pytest.mark.parametrize("activation", ["relu", "identity", "leaky_relu(0.1)"])
def test_stable_neurons_that_feed_back(activation):
    W, U, C = 0.3 * formula(4, 4, 3), formula(4, 2, 1), formula(2, 4, 2)
    net = Network.implicit(W, U, C, bias=[9.0, 9.0, -9.0, 9.0], activation=activation)
    x = np.array([0.1, 0.2])
    lfr = net.lfr()
    alpha, beta = lfr.alpha.copy(), lfr.beta.copy()
    alpha[[0, 1, 3]] = beta[[0, 1, 3]]  # stable at their larger slope, and the other at its smaller
    beta[2] = alpha[2]
    lfr = replace(lfr, alpha=alpha, beta=beta)
    found = proof.prove(lfr, "l2", ipm.solve(lfr, "l2").candidates)
    assert found.rigorous == "rump"
    expected = np.linalg.norm(net.jacobian(x), 2)
    assert np.sqrt(found.rho) == pytest.approx(expected, rel=1e-6)
