"""Bound propagation on the Jacobian with branch and bound; LipSDP on boxes; certificates."""

from dataclasses import replace
from fractions import Fraction
from itertools import product

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from lipschitz_local import SEEDS, activity, around, boxes, nets, off_kinks, samples
from lipschitz_nets import formula, formula_net, gaussian

from rlopt.theory.lipschitz import Certificate, Network, cells, ipm, proof
from rlopt.theory.lipschitz.crown import Linear
from rlopt.theory.lipschitz.jacobian import interval_jacobian
from rlopt.theory.lipschitz.lower import lower_bound
from rlopt.theory.lipschitz.pieces import exact
from rlopt.theory.lipschitz.propagation import jacobian_propagation
from rlopt.theory.lipschitz.regions import NORMS, operator_norm
from rlopt.theory.lipschitz.semidefinite import lipsdp
from rlopt.theory.lipschitz.slopes import preactivations, slopes

ROUNDING = 1e-12  # relative error of sampled values and Jacobians
TABLE = 1e-6  # they have six decimals


# --- propagation ---


@pytest.mark.parametrize(
    ("radius", "l2", "linf"),
    [
        (0.05, 1.039046, 1.367206),
        (0.2, 1.039046, 1.367206),
        (0.5, 1.937648, 2.734660),
        (1.0, 2.061621, 2.734660),
    ],
)
def test_branching_reaches_the_exact_constants(radius, l2, linf):
    net, region = formula_net((2, 6, 6, 1)), around(2, radius)
    for norm, value in (("l2", l2), ("linf", linf)):
        found = jacobian_propagation(net, region, norm, branches=100).upper
        assert found == pytest.approx(value, rel=TABLE)
        assert found == pytest.approx(exact(net, region, norm), rel=1e-11)


@pytest.mark.parametrize("dims", [(2, 3, 1), (2, 4, 3, 2), (3, 5, 5, 2)])
@pytest.mark.parametrize("norm", NORMS)
def test_branching_reaches_the_exact_constants_of_more_outputs(dims, norm):
    net, region = formula_net(dims), around(dims[0], 1.0)
    found = jacobian_propagation(net, region, norm, branches=200).upper
    assert found == pytest.approx(exact(net, region, norm), rel=1e-11)


def test_without_branches_it_is_as_tight_as_published_code():
    # l_inf at radius 1: the value of the authors' implementation, in single precision
    found = jacobian_propagation(formula_net((2, 6, 6, 1)), around(2, 1.0), "linf").upper
    assert found <= 7.084399 * (1.0 + 1e-6)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_propagation_is_between_samples_and_intervals(data):
    net, norm = data.draw(nets()), data.draw(st.sampled_from(NORMS))
    region = data.draw(boxes(net.inputs))
    sampled = net.jacobian(samples(region))[off_kinks(net, samples(region))]
    lower = operator_norm(sampled * (region[0] < region[1]), norm)
    bounds = [interval_jacobian(net, region, norm).upper]
    bounds += [jacobian_propagation(net, region, norm, b).upper for b in (1, 3, 8)]
    assert (np.diff(bounds) <= ROUNDING * bounds[0]).all()
    assert lower.max(initial=0.0) <= bounds[-1] * (1.0 + ROUNDING)
    # increments between two points
    x = samples(region)
    p = np.inf if norm != "l2" else 2
    q = {"l2": 2, "linf": np.inf, "linf_l1": 1}[norm]
    moved = np.linalg.norm(net(x[1:]) - net(x[:-1]), q, axis=1)
    length = np.linalg.norm(x[1:] - x[:-1], p, axis=1)
    assert (moved <= bounds[-1] * length * (1.0 + 1e-9) + 1e-12).all()


@settings(max_examples=8, deadline=None)
@given(SEEDS, st.sampled_from(("relu", "abs", "leaky_relu(0.1)")))
def test_small_piecewise_linear_nets_are_solved(seed, name):
    rng = np.random.default_rng(seed)
    W = gaussian((2, 3, 3, 2), seed)
    net = Network.from_weights(W, [0.5 * rng.normal(size=len(w)) for w in W], name)
    region = around(2, 1.0)
    found = jacobian_propagation(net, region, "l2", branches=200).upper
    assert found == pytest.approx(exact(net, region, "l2"), rel=1e-9)


def test_smooth_nets_converge_to_what_samples_attain():
    net, region = formula_net((2, 6, 6, 1), "tanh"), around(2, 0.2)
    found = [jacobian_propagation(net, region, "l2", branches=b).upper for b in (1, 30, 300)]
    lower = operator_norm(net.jacobian(samples(region, 4000)), "l2").max()
    assert lower <= found[2] < found[1] < found[0]
    assert found[2] <= 1.01 * lower


def test_a_policy_sized_net_on_a_small_box_is_solved():
    rng = np.random.default_rng(1)
    dims = (3, 64, 64, 1)
    biases = [0.5 * rng.normal(size=n) for n in dims[1:]]
    net, region = Network.from_weights(gaussian(dims), biases), around(3, 0.1)
    lower, _ = lower_bound(net, region)
    found = jacobian_propagation(net, region, "l2", branches=100).upper
    assert lower <= found <= lower * (1.0 + 1e-9)


def test_a_net_without_neurons_and_one_without_region():
    linear = Network.from_weights([formula(2, 3, 0)])
    norm = np.linalg.norm(formula(2, 3, 0), 2)
    assert jacobian_propagation(linear, around(3, 1.0), branches=9).upper == pytest.approx(norm)
    net = formula_net((2, 6, 6, 1))
    assert jacobian_propagation(net).upper == pytest.approx(
        jacobian_propagation(net, around(2, 1e6)).upper
    )
    assert jacobian_propagation(net, branches=9).upper < interval_jacobian(net).upper


@pytest.mark.parametrize("norm", NORMS)
def test_small_weights_do_not_vanish(norm):
    # two layers of 1e-81: the product is 1e-162, its square is 0 in floats
    net = Network.from_weights([np.eye(2) * 1e-81, [[1e-81, 1e-81]]])
    value = (2.0**0.5 if norm == "l2" else 2.0) * 1e-162
    for region in (None, around(2, 1.0)):
        for found in (
            interval_jacobian(net, region, norm),
            jacobian_propagation(net, region, norm),
        ):
            assert value * (1.0 - 1e-15) <= found.upper <= value * (1.0 + 1e-11)
    tiny = Network.from_weights([np.full((4, 2), 1e-110)] + [np.full((4, 4), 1e-110)] * 2)
    assert 0.0 < jacobian_propagation(tiny, around(2, 1.0), norm).upper < 1e-300
    dead = Network.from_weights([[[1e-200]], [[1e-200]]], [[-1.0], [0.0]])
    assert jacobian_propagation(dead, around(1, 1.0), norm).upper == 0.0


@pytest.mark.parametrize(("norm", "value"), [("l2", 2.0), ("linf", 4.0), ("linf_l1", 4.0)])
def test_a_kink_that_underflow_hides(norm, value):
    # the pre-activation is positive on the box, and -5e-324 in floats
    centre = 1e-162 * np.array([2.4, 2.4, 2.4, -2.6])
    net, region = (
        Network.from_weights([[[1e-162] * 4], [[1e162]]]),
        (centre - 1e-165, centre + 1e-165),
    )
    assert interval_jacobian(net, region, norm).upper >= value * (1.0 - 1e-12)
    assert jacobian_propagation(net, region, norm, branches=5).upper >= value * (1.0 - 1e-12)


def test_large_numbers_give_bounds_or_say_that_they_overflow():
    rng = np.random.default_rng(0)
    for activation, size in product(("relu", "softplus(3)", "leaky_relu(0.1)"), (100, 103)):
        W = [10.0**size * rng.normal(size=shape) for shape in ((5, 2), (5, 5), (1, 5))]
        net = Network.from_weights(W, activation=activation)
        for method in (interval_jacobian, jacobian_propagation):
            if size == 100:
                assert 1e298 < method(net, around(2, 1e100)).upper < 1e303
                continue
            with pytest.raises(ArithmeticError, match="bounds on the Jacobian overflow"):
                method(net, around(2, 1e100))


# --- cells ---


def test_empty_cells_are_refuted_only_when_they_are():
    # x >= .2 and x <= t on [-1, 1]
    low, high = -np.ones(1), np.ones(1)
    for t, gone in ((0.1, True), (0.3, False), (0.2, False)):
        cuts = Linear(np.array([[1.0], [-1.0]]), np.array([-0.2, t]))
        assert cells.empty(low, high, cuts) is gone
    wrong = Linear(np.array([[1.0], [-1.0]]), np.array([-0.2, 0.3]))
    assert not any(cells.refuted(low, high, wrong, w) for w in np.eye(2))


def test_refutations_cover_their_own_rounding():
    # what is 0 or more in exact arithmetic is never refuted, however close to 0 it is
    rng = np.random.default_rng(0)
    close = 0
    for size in [1.0] * 60 + [1e-161] * 20:
        coef, weights = size * rng.normal(size=(6, 12)), rng.uniform(size=6)
        low = size * rng.normal(size=12)
        high, const, weights[0] = low + size * rng.uniform(size=12), np.zeros(6), 1.0
        exact = np.array([Fraction(w) for w in weights]) @ np.vectorize(Fraction)(coef)
        ends = np.vectorize(Fraction)([low, high])
        largest = np.maximum(exact * ends[0], exact * ends[1]).sum()
        const[0] = -float(largest)
        while largest + Fraction(const[0]) < 0:
            const[0] = np.nextafter(const[0], np.inf)
        close += largest + Fraction(const[0]) < Fraction(float(np.spacing(abs(const[0]))))
        assert not cells.refuted(low, high, Linear(coef, const), weights)
    assert close == 80


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_parts_of_a_cell_cover_it(data):
    net = data.draw(nets(("relu", "abs", "maxmin", "tanh")))
    low, high = data.draw(boxes(net.inputs))
    N, nothing = net.scalar.neurons, Linear(np.zeros((0, net.inputs)), np.zeros(0))
    bounds = preactivations(net, (low, high))
    least, most = (np.concatenate(side) for side in zip(*bounds, strict=True))
    signs = np.zeros(N, dtype=np.int8)
    neuron, axis = data.draw(st.integers(0, N - 1)), data.draw(st.integers(0, net.inputs - 1))
    cell = cells.Cell(low, high, signs, least, most, np.inf, nothing, neuron, axis)
    x = samples((low, high))
    v = np.concatenate(activity(net, x), axis=1)
    slack = ROUNDING * (1.0 + np.abs(v))
    for parts in (cell.at_neuron(), cell.at_middle()):
        held = [
            ((x >= part.low) & (x <= part.high)).all(axis=1)
            & ((v >= part.least - slack) & (v <= part.most + slack)).all(axis=1)
            & (part.decided * v >= -slack).all(axis=1)
            for part in parts
        ]
        assert len(parts) == 2 and np.any(held, axis=0).all()
    assert not cell._replace(neuron=-1).at_neuron() and not cell._replace(axis=-1).at_middle()


def test_a_cell_without_inputs_does_not_count_at_the_end():
    # after 8 cells the worst one is empty, and its bound is 5.034
    found = jacobian_propagation(formula_net((2, 6, 6, 1)), around(2, 1.0), "linf", branches=8)
    assert found.upper < 5.0


def test_tightening_keeps_every_point_of_the_cell():
    rng = np.random.default_rng(0)
    coef, const = rng.normal(size=(40, 3, 2)), 0.5 * rng.normal(size=(40, 3))
    box = -np.ones((40, 2)), np.ones((40, 2))
    low, high = cells.tightened(box, Linear(coef, const))
    x = rng.uniform(-1.0, 1.0, size=(40, 500, 2))
    inside = (np.einsum("bqn,bsn->bsq", coef, x) + const[:, None] >= 0.0).all(axis=-1)
    kept = ((x >= low[:, None]) & (x <= high[:, None])).all(axis=-1)
    assert (kept | ~inside).all()
    assert (~kept).mean() > 0.3
    cut = cells.tightened(
        (-np.ones((1, 1)), np.ones((1, 1))), Linear(np.full((1, 1, 1), 2.0), np.ones((1, 1)))
    )
    np.testing.assert_allclose(cut, [[[-0.5]], [[1.0]]])


# --- LipSDP on a box ---


def with_interval_slopes(net: Network, region) -> float:
    """LipSDP with the slopes of interval bounds alone."""
    alpha, beta = slopes(net, region, relaxed=False)
    lfr = replace(net.lfr(), alpha=alpha, beta=beta)
    return proof.lipschitz("l2", proof.prove(lfr, "l2", ipm.solve(lfr, "l2").candidates).rho)


@pytest.mark.parametrize(
    ("dims", "activation", "radius", "intervals", "crown"),
    [
        ((2, 4, 3, 2), "tanh", 1.0, 2.7005210, 2.7005210),
        ((2, 4, 3, 2), "tanh", 0.2, 2.1855486, 1.8447435),
        ((3, 5, 5, 2), "tanh", 1.0, 3.8926293, 3.8904224),
        ((3, 5, 5, 2), "tanh", 0.2, 3.2877862, 2.8664982),
        ((2, 6, 6, 1), "tanh", 1.0, 3.0864199, 2.9328444),
        ((2, 6, 6, 1), "tanh", 0.2, 2.2550441, 1.7918713),
        ((2, 6, 6, 1), "relu", 0.05, 1.039046, 1.0390459),
        ((2, 6, 6, 1), "relu", 0.2, 2.370497, 1.0390459),
        ((2, 6, 6, 1), "relu", 0.5, 3.323720, 3.1646669),
        ((2, 6, 6, 1), "relu", 1.0, 3.526182, 3.5261823),
    ],
)
def test_lipsdp_on_boxes(dims, activation, radius, intervals, crown):
    net, region = formula_net(dims, activation), around(dims[0], radius)
    found = lipsdp(net, region=region)
    assert found.upper == pytest.approx(crown, rel=1e-5)
    assert with_interval_slopes(net, region) == pytest.approx(intervals, rel=1e-5)
    assert found.upper <= intervals * (1.0 + 1e-5)
    assert found.rigorous == "rump" and found.verify()


# --- certificates and what is refused ---


@pytest.mark.parametrize("norm", NORMS)
def test_certificates_survive_text_and_show_tampering(norm):
    net, region = formula_net((2, 6, 6, 2), "maxmin"), around(2, 0.5)
    for certificate in (
        interval_jacobian(net, region, norm),
        interval_jacobian(net, region, norm, slopes="interval"),
        jacobian_propagation(net, region, norm, branches=7),
        jacobian_propagation(net, None, norm),
    ):
        again = Certificate.from_json(certificate.to_json())
        assert certificate.rigorous == "outward" and certificate.verify() and again.verify()
        assert again.upper == certificate.upper
        assert not replace(again, upper=again.upper * (1.0 - 1e-4)).verify()


@pytest.mark.parametrize("method", [interval_jacobian, jacobian_propagation])
def test_what_is_refused(method):
    implicit = Network.implicit(0.1 * np.eye(2), np.eye(2), np.eye(2))
    with pytest.raises(ValueError, match=f"{method.__name__}: implicit layers"):
        method(implicit, around(2, 1.0))
    net = formula_net((2, 3, 1))
    with pytest.raises(ValueError, match="norm must be one of"):
        method(net, around(2, 1.0), "l1")
    with pytest.raises(ValueError, match="low must be <= high"):
        method(net, (np.ones(2), np.zeros(2)))
    with pytest.raises(ValueError, match="slopes must be one of"):
        interval_jacobian(net, around(2, 1.0), slopes="intervals")


@pytest.mark.parametrize("branches", [0, -1, 2.5, np.nan])
def test_numbers_of_branches_that_are_refused(branches):
    with pytest.raises(ValueError, match="branches must be"):
        jacobian_propagation(formula_net((2, 3, 1)), around(2, 1.0), branches=branches)
