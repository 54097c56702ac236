"""LipSDP by the interior-point method: values, proofs, and what is refused."""

from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import pairwise, product
from typing import Any

import cvxpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lipschitz_nets import biases, formula, formula_net, gaussian, weights

from rlopt.theory.certificate import exactly
from rlopt.theory.lipschitz import Certificate, Network, ipm, proof
from rlopt.theory.lipschitz.lfr import _solve as lfr_solve
from rlopt.theory.lipschitz.lipsdp import lipsdp

cp: Any = cvxpy  # it does not export its names
REFERENCE = 1e-5  # relative; the published digits
SOLVER = 2e-6  # two solvers on the same programme
EVERY = [
    formula_net((2, 4, 4, 2)),
    formula_net((2, 4, 4, 2), "sigmoid"),
    formula_net((2, 4, 4, 2), "leaky_relu(0.1)"),
    formula_net((2, 4, 4, 2), "gelu"),
    formula_net((2, 4, 4, 2), "maxmin"),
    formula_net((2, 4, 4, 2), "householder(2,1)"),
    Network.residual([formula(4, 3, 0)], [0.5 * formula(3, 4, 5)], activation="tanh"),
    Network.implicit(0.3 * formula(4, 4, 3), formula(4, 2, 1), formula(2, 4, 2)),
]


def residual(n, h, K, activation="relu", size=1.0):
    inner = [size * formula(h, n, k) for k in range(K)]
    outer = [0.5 * formula(n, h, k + 5) for k in range(K)]
    return Network.residual(inner, outer, activation=activation)


def deq(n0, h, m):
    return Network.implicit(0.3 * formula(h, h, 3), formula(h, n0, 1), formula(m, h, 2))


@cache
def certificate(dims, norm="l2", structure="neuron", activation="relu"):
    return lipsdp(formula_net(dims, activation), norm, structure)


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("dims", "neuron", "layer"),
    [
        ((2, 3, 1), 1.5123479, 1.5670112),
        ((2, 4, 3, 2), 2.9386479, 3.0271323),
        ((3, 5, 5, 2), 3.9700485, 4.3846508),
        ((2, 6, 6, 1), 3.5261823, 4.5934285),
    ],
)
def test_values_of_feedforward_nets(dims, neuron, layer):
    assert certificate(dims).upper == pytest.approx(neuron, rel=REFERENCE)
    assert certificate(dims, structure="layer").upper == pytest.approx(layer, rel=REFERENCE)


@pytest.mark.parametrize(
    ("dims", "rows", "sum_of_outputs"),
    [
        ((2, 3, 1), [2.061488], 2.061488),
        ((2, 6, 6, 1), [4.974222], 4.974222),
        ((2, 4, 3, 2), [3.555568, 2.352195], 5.303531),
        ((3, 5, 5, 2), [6.263552, 5.672534], 9.654871),
    ],
)
def test_values_in_l_inf(dims, rows, sum_of_outputs):
    found = certificate(dims, "linf")
    assert found.rho == pytest.approx(rows, rel=REFERENCE)
    assert found.upper == pytest.approx(max(rows), rel=REFERENCE)
    assert certificate(dims, "linf_l1").upper == pytest.approx(sum_of_outputs, rel=REFERENCE)


@pytest.mark.parametrize(
    ("dims", "activation", "expected"),
    [
        ((2, 4, 1), "maxmin", 1.3029296),
        ((2, 4, 4, 2), "maxmin", 2.9757125),
        ((3, 6, 6, 2), "maxmin", 6.7100195),
        ((2, 4, 1), "householder(1,0.5)", 1.2930455),
        ((2, 4, 4, 2), "householder(1,0.5)", 3.6289464),
        ((3, 6, 6, 2), "householder(1,0.5)", 6.8824263),
        ((3, 6, 6, 2), "groupsort(3)", 9.283211),
    ],
)
def test_values_with_one_abs_a_comparator(dims, activation, expected):
    found = certificate(dims, activation=activation)
    assert found.upper == pytest.approx(expected, rel=REFERENCE)


@pytest.mark.parametrize(
    ("dims", "expected"),
    [((2, 4, 1), 1.781824), ((2, 4, 4, 2), 3.508341), ((3, 6, 6, 2), 10.261754)],
)
def test_values_of_maxmin_in_l_inf(dims, expected):
    found = certificate(dims, "linf", activation="maxmin")
    assert found.rho[0] == pytest.approx(expected, rel=REFERENCE)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((2, 3, 1), 1.56681272), ((2, 3, 2), 2.12421713), ((3, 4, 3), 6.16498208)],
)
def test_values_of_residual_nets(shape, expected):
    assert lipsdp(residual(*shape)).upper == pytest.approx(expected, rel=REFERENCE)


@pytest.mark.parametrize(
    ("n", "K", "expected"), [(2, 2, 1.6774860), (4, 2, 3.3297930), (4, 3, 3.8884973)]
)
def test_values_of_residual_maxmin_nets(n, K, expected):
    inner = [0.5 * formula(n, n, k) for k in range(K)]
    net = Network.residual(inner, [np.eye(n)] * K, activation="maxmin")
    assert lipsdp(net).upper == pytest.approx(expected, rel=REFERENCE)


@pytest.mark.parametrize(("shape", "expected"), [((2, 3, 1), 1.88411581), ((2, 4, 2), 3.39397158)])
def test_values_of_implicit_nets(shape, expected):
    assert lipsdp(deq(*shape)).upper == pytest.approx(expected, rel=REFERENCE)


@pytest.mark.parametrize(
    ("dims", "expected"),
    [
        ((2, 32, 32, 1), 3.0811923),
        ((2, 64, 64, 1), 3.4686931),
        ((17, 64, 64, 6), 2.47390),
        ((3, 64, 64, 64, 1), 4.16227),
        ((8, *[32] * 8, 1), 6.79028),
    ],
)
def test_values_of_policy_sized_nets(dims, expected):
    found = lipsdp(Network.from_weights(gaussian(dims)))
    assert found.upper == pytest.approx(expected, rel=REFERENCE)
    assert found.rigorous == "rump"


def test_the_corrector_saves_iterations():
    lfr = Network.from_weights(gaussian((2, 64, 64, 1))).lfr()
    assert ipm.solve(lfr, "l2").iterations <= 19


def by_cvxpy(net, norm, structure):
    """The programme with its matrices A_i written out."""
    lfr = net.lfr()
    n, m, n0, N = lfr.inputs + lfr.neurons, lfr.outputs, lfr.inputs, lfr.neurons
    t = cp.Variable(N, nonneg=True)
    if structure == "layer":
        of_layer = cp.Variable(lfr.layer.max() + 1, nonneg=True)
        t = of_layer[lfr.layer]
    total = 0
    for i, (a, al, be) in enumerate(zip(lfr.A.value, lfr.alpha, lfr.beta, strict=True)):
        b = np.eye(n)[n0 + i]
        first, second = b - al * a, be * a - b  # (w - alpha v)(beta v - w) >= 0
        total += t[i] * -(np.outer(first, second) + np.outer(second, first))
    if norm == "l2":
        rho = cp.Variable()
        M = rho * np.diag([1.0] * n0 + [0.0] * N) + total - lfr.Y.value.T @ lfr.Y.value
        problem = cp.Problem(cp.Minimize(rho), [M >> 0])
        return np.sqrt(problem.solve(solver="CLARABEL"))
    tau, mu = cp.Variable(n0, nonneg=True), cp.Variable(m, nonneg=True)
    corner = cp.diag(cp.hstack([tau, np.zeros(N)]))
    M = cp.bmat([[corner + total, -lfr.Y.value.T], [-lfr.Y.value, cp.diag(mu)]])
    problem = cp.Problem(cp.Minimize((cp.sum(tau) + cp.sum(mu)) / 2), [M >> 0])
    return problem.solve(solver="CLARABEL")


@pytest.mark.parametrize("net", EVERY)
@pytest.mark.parametrize("structure", ["neuron", "layer"])
@pytest.mark.parametrize("norm", ["l2", "linf_l1"])
def test_agrees_with_cvxpy(net, norm, structure):
    ours = lipsdp(net, norm, structure).upper
    assert ours == pytest.approx(by_cvxpy(net, norm, structure), rel=SOLVER)


def test_agrees_with_cvxpy_on_a_wider_net():
    net = Network.from_weights(gaussian((2, 16, 16, 1)))
    assert lipsdp(net).upper == pytest.approx(by_cvxpy(net, "l2", "neuron"), rel=SOLVER)
    assert lipsdp(net).upper == pytest.approx(2.107820, rel=REFERENCE)


@pytest.mark.parametrize("seed", range(5))
def test_one_hidden_layer_is_within_grothendieck_of_the_formal_constant(seed):
    W1, w2 = gaussian((4, 8, 1), seed)
    patterns = np.array(list(product((0.0, 1.0), repeat=8)))
    formal = np.linalg.norm((patterns * w2) @ W1, axis=1).max()
    ratio = lipsdp(Network.from_weights([W1, w2])).upper / formal
    assert 1.0 <= ratio <= np.sqrt(np.pi / 2.0)


@pytest.mark.parametrize(
    ("dims", "claim", "exact"),
    [
        ((2, 3, 1), 1.4978549, 1.5123479),
        ((3, 5, 5, 2), 2.7934085, 3.6158712),
        ((2, 6, 6, 1), 1.7343953, 2.0616214),
    ],
)
def test_lipsdp_network_claims_less_than_the_truth(dims, claim, exact):
    lfr = formula_net(dims).lfr()
    n0, N = lfr.inputs, lfr.neurons
    rho = cp.Variable()
    T = cp.diag(cp.Variable(N, nonneg=True))
    for i in range(N):
        for j in range(i):
            e = np.eye(N)[i] - np.eye(N)[j]
            T += cp.Variable(nonneg=True) * np.outer(e, e)
    A, B = lfr.A.value, np.eye(N, n0 + N, n0)
    M = rho * np.diag([1.0] * n0 + [0.0] * N) - lfr.Y.value.T @ lfr.Y.value
    M += 2 * B.T @ T @ B - A.T @ T @ B - B.T @ T @ A
    unsound = np.sqrt(cp.Problem(cp.Minimize(rho), [M >> 0]).solve(solver="CLARABEL"))
    assert unsound == pytest.approx(claim, rel=REFERENCE)
    assert unsound < exact <= certificate(dims).upper * (1.0 + 1e-7)


def interval_slopes(dims, activation, r):
    """Smallest and largest slopes on the box of radius r by interval arithmetic."""
    low, high, alpha, beta = -r * np.ones(dims[0]), r * np.ones(dims[0]), [], []
    for W, b in zip(weights(dims)[:-1], biases(dims)[:-1], strict=True):
        middle, radius = W @ (low + high) / 2.0 + b, np.abs(W) @ (high - low) / 2.0
        low, high = middle - radius, middle + radius
        if activation == "relu":
            alpha.append(low >= 0.0)
            beta.append(high > 0.0)
            low, high = np.maximum(low, 0.0), np.maximum(high, 0.0)
        else:
            ends = 1.0 - np.tanh([low, high]) ** 2
            alpha.append(ends.min(axis=0))
            beta.append(np.where((low < 0.0) & (high > 0.0), 1.0, ends.max(axis=0)))
            low, high = np.tanh(low), np.tanh(high)
    return np.concatenate(alpha).astype(float), np.concatenate(beta).astype(float)


@pytest.mark.parametrize(
    ("dims", "activation", "r", "expected"),
    [
        ((2, 4, 3, 2), "tanh", 1.0, 2.7005210),
        ((2, 4, 3, 2), "tanh", 0.2, 2.1855486),
        ((3, 5, 5, 2), "tanh", 1.0, 3.8926293),
        ((3, 5, 5, 2), "tanh", 0.2, 3.2877862),
        ((2, 6, 6, 1), "tanh", 1.0, 3.0864199),
        ((2, 6, 6, 1), "tanh", 0.2, 2.2550441),
        ((2, 6, 6, 1), "relu", 0.05, 1.0390459),
        ((2, 6, 6, 1), "relu", 0.2, 2.370497),
        ((2, 6, 6, 1), "relu", 0.5, 3.323720),
        ((2, 6, 6, 1), "relu", 1.0, 3.526182),
    ],
)
def test_values_on_boxes_with_interval_slopes(dims, activation, r, expected):
    net = formula_net(dims, activation)
    alpha, beta = interval_slopes(dims, activation, r)
    lfr = replace(net.lfr(), alpha=alpha, beta=beta)
    found = proof.prove(lfr, "l2", ipm.solve(lfr, "l2").candidates)
    assert found.rigorous == "rump"
    assert np.sqrt(found.rho) == pytest.approx(expected, rel=REFERENCE)
    ours = lipsdp(net, region=(-r, r))
    assert ours.upper <= expected * (1.0 + REFERENCE)
    assert Certificate.from_json(ours.to_json()).verify()


def test_a_box_of_one_point_leaves_its_jacobian():
    net, x = formula_net((3, 5, 5, 2), "tanh"), np.array([0.3, -0.2, 0.1])
    found = lipsdp(net, region=(x, x))
    assert found.upper == pytest.approx(np.linalg.norm(net.jacobian(x), 2), rel=1e-6)


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
    t = certificate((2, 6, 6, 1), structure="layer").multipliers.reshape(2, 6)
    assert np.ptp(t, axis=1) == pytest.approx(0.0, abs=1e-6 * t.max())


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


@pytest.mark.parametrize("activation", ["leaky_relu(0.1)", "silu"])
def test_feedback_with_slopes_below_zero(activation):
    W, U, C = 0.3 * formula(4, 4, 3), formula(4, 2, 1), formula(2, 4, 2)
    net = Network.implicit(W, U, C, activation=activation)
    assert lipsdp(net).upper == pytest.approx(by_cvxpy(net, "l2", "neuron"), rel=SOLVER)


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
    lower = tuple(rho * (1.0 - 1e-4) for rho in found.rho)
    assert not replace(read, rho=lower, upper=found.upper).verify()
    assert not replace(read, upper=found.upper * (1.0 - 1e-4)).verify()
    halved = found.multipliers.copy()
    halved[np.argmax(halved)] *= 0.5
    assert not replace(read, multipliers=halved).verify()


def test_every_multiplier_counts():
    found = certificate((2, 6, 6, 1))
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


# ---------------------------------------------------------------- the door


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm": "l1"}, "norm must be one of"),
        ({"structure": "neurons"}, "did you mean 'neuron'"),
        ({"structure": "network"}, "1.4978549, below the exact constant 1.5123479"),
        ({"solver": "mosek"}, "solver must be one of"),
        ({"coupling": "none"}, "coupling must be one of"),
        ({"coupling": "chain"}, "MaxMin"),
        ({"coupling": "full", "structure": "layer"}, "no structure 'layer'"),
        ({"region": (1.0, 0.0)}, "low must be <= high"),
        ({"region": (np.zeros(3), np.ones(3))}, "shape"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        lipsdp(Network.from_weights(weights((2, 3, 1)), biases((2, 3, 1))), **arguments)
