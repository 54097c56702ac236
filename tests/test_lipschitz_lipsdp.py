"""LipSDP's published values, conic solvers on the same programmes, and what is refused."""

from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import cvxpy
import numpy as np
import pytest
from lipschitz_nets import EVERY, biases, formula, formula_net, gaussian, weights

from rlopt.theory.lipschitz import Certificate, Network, ipm, proof
from rlopt.theory.lipschitz.semidefinite import lipsdp

cp: Any = cvxpy  # it does not export its names
REFERENCE = 1e-5  # relative; the published digits
SOLVER = 2e-6  # two solvers on the same programme


def residual(n, h, K, activation="relu", size=1.0):
    inner = [size * formula(h, n, k) for k in range(K)]
    outer = [0.5 * formula(n, h, k + 5) for k in range(K)]
    return Network.residual(inner, outer, activation=activation)


def deq(n0, h, m):
    return Network.implicit(0.3 * formula(h, h, 3), formula(h, n0, 1), formula(m, h, 2))


@cache
def certificate(dims, norm="l2", structure="neuron", activation="relu"):
    return lipsdp(formula_net(dims, activation), norm, structure)


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
    assert np.ravel(found.rho) == pytest.approx(rows, rel=REFERENCE)
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
    assert np.ravel(found.rho)[0] == pytest.approx(expected, rel=REFERENCE)


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


@pytest.mark.parametrize("activation", ["leaky_relu(0.1)", "silu"])
def test_feedback_with_slopes_below_zero(activation):
    W, U, C = 0.3 * formula(4, 4, 3), formula(4, 2, 1), formula(2, 4, 2)
    net = Network.implicit(W, U, C, activation=activation)
    assert lipsdp(net).upper == pytest.approx(by_cvxpy(net, "l2", "neuron"), rel=SOLVER)


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
