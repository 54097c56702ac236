"""Lower bounds: attained where the witness says, and equal to the constant of tiny networks."""

from itertools import pairwise
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lipschitz_nets import biases, formula, formula_net, gaussian, weights

from rlopt.theory.lipschitz import Network
from rlopt.theory.lipschitz import lower as searched
from rlopt.theory.lipschitz.lower import lower_bound
from rlopt.theory.lipschitz.pieces import exact
from rlopt.theory.lipschitz.regions import operator_norm

ROUNDED = 1e-11  # relative: what rounding down may take
DIMS = [(2, 3, 1), (2, 4, 3, 2), (3, 5, 5, 2), (2, 6, 6, 1)]


def nets() -> dict[str, Network]:
    groups = (3, 6, 6, 2)
    return {
        "relu": formula_net((3, 5, 5, 2)),
        "tall": Network.from_weights(gaussian((4, 12, 6))),
        "silu": formula_net((2, 6, 6, 1), "silu"),
        "elu": formula_net((2, 6, 6, 1), "elu"),
        "maxmin": Network.from_weights(weights(groups), biases(groups), "maxmin"),
        "groupsort": Network.from_weights(weights(groups), biases(groups), "groupsort(3)"),
        "householder": Network.from_weights(weights(groups), biases(groups), "householder(2,1)"),
        "residual": Network.residual(
            [formula(3, 2, k) for k in range(2)], [0.5 * formula(2, 3, k + 5) for k in range(2)],
            biases=[0.3 * np.ones(3), -0.1 * np.ones(3)],
        ),
        "implicit": Network.implicit(
            0.3 * formula(4, 4, 3), formula(4, 3, 1), formula(2, 4, 2), 0.2 * np.ones(4)
        ),
        "implicit tanh": Network.implicit(
            0.3 * formula(4, 4, 3), formula(4, 2, 1), formula(3, 4, 2), activation="tanh"
        ),
        "linear": Network.from_weights([formula(3, 2, 0)]),
    }  # fmt: skip


KINDS = sorted(nets())


def region_of(net: Network, r: float | None) -> tuple[np.ndarray, np.ndarray] | None:
    return None if r is None else (np.full(net.inputs, -r), np.full(net.inputs, r))


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("r", [None, 1.0, 0.2])
@pytest.mark.parametrize("norm", ["l2", "linf", "linf_l1"])
def test_the_exact_constant_is_found(dims, r, norm):
    net = formula_net(dims)
    region = region_of(net, r)
    value, constant = lower_bound(net, region, norm)[0], exact(net, region, norm)
    assert value == pytest.approx(constant, rel=1e-6)
    assert value <= constant


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["l2", "linf", "linf_l1"])
def test_the_value_is_attained_at_the_witness(kind, norm):
    net = nets()[kind]
    for region in (None, (np.full(net.inputs, -0.5), np.linspace(-0.4, 0.7, net.inputs))):
        value, witness = lower_bound(net, region, norm, seed=1)
        assert witness.shape == (net.inputs,)
        assert region is None or ((region[0] <= witness) & (witness <= region[1])).all()
        J = net.jacobian(witness)
        assert value == pytest.approx(operator_norm(J, norm), rel=ROUNDED)
        assert value <= operator_norm(J, norm)
        # the derivative from both sides, by differences: no kink is near
        step = 1e-6 * max(np.abs(witness).max(), 0.1)
        for sign in (1.0, -1.0):
            move = sign * step * np.eye(net.inputs)
            difference = (net(witness + move) - net(witness)) / (sign * step)
            np.testing.assert_allclose(difference.T, J, atol=2e-4 * (1.0 + np.abs(J).max()))


def test_smooth_nets_reach_what_dense_samples_reach():
    # sampled on the boxes
    for r, sampled in ((1.0, 1.469388), (0.2, 1.288521)):
        net = formula_net((2, 6, 6, 1), "tanh")
        region = region_of(net, r)
        side = np.linspace(-r, r, 301)
        grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
        dense = np.linalg.norm(net.jacobian(grid), 2, axis=(1, 2)).max()
        value = lower_bound(net, region)[0]
        assert value >= max(dense, sampled) * (1.0 - 1e-12)
        assert value == pytest.approx(dense, rel=1e-3)


def test_known_functions():
    assert lower_bound(Network.from_weights([[[3.0, -4.0]]]))[0] == pytest.approx(5.0, rel=ROUNDED)
    ramp = Network.from_weights([[[1.0], [-1.0]], [[1.0, 3.0]]], [[-1.0, 1.0], [0.0]])
    value, witness = lower_bound(ramp)
    assert value == pytest.approx(3.0, rel=ROUNDED) and witness[0] < 1.0
    assert lower_bound(ramp, (1.5, 2.0))[0] == pytest.approx(1.0, rel=ROUNDED)
    bump = Network.from_weights([[[2.0]], [[0.5]]], [[3.0], [0.0]], "tanh")  # slope 1 at -1.5
    value, witness = lower_bound(bump)
    assert value == pytest.approx(1.0, rel=1e-8) and witness[0] == pytest.approx(-1.5, abs=1e-3)
    assert lower_bound(bump, (-1.0, 0.0))[0] == pytest.approx(1.0 - np.tanh(1.0) ** 2, rel=1e-9)


def test_a_small_piece_far_away_is_found():
    # a spike of slope 100 on [5000, 5001], kinks elsewhere at 0
    net = Network.from_weights(
        [np.ones((3, 1)), [[1.0, 100.0, -100.0]]], [[0.0, -5000.0, -5001.0], [0.0]]
    )
    value, witness = lower_bound(net)
    assert value == pytest.approx(101.0, rel=ROUNDED) and 5000.0 < witness[0] < 5001.0


def test_a_kink_is_no_witness():
    # the one-sided derivative at 0 is 1, but f is 0 to the left and the region is a point
    net = Network.from_weights([[[1.0]], [[1.0]]])
    assert lower_bound(net, (0.0, 0.0))[0] == 0.0
    hinge = Network.from_weights([[[1.0, 1.0]], [[1.0]]])
    along = (np.array([-1.0, 1.0]), np.array([0.0, 1.0]))
    assert lower_bound(hinge, along)[0] == pytest.approx(np.sqrt(2.0), rel=ROUNDED)


def test_constants_have_slope_0():
    for net in (Network.from_weights([[[0.0]], [[1.0]]]), Network.from_weights([[[1.0]], [[0.0]]])):
        assert lower_bound(net)[0] == 0.0


def test_deep_groups_keep_their_norm(monkeypatch):
    # 18 orthogonal layers of MaxMin times 1.5 each: every path in absolute value would be 1e22
    monkeypatch.setattr(searched, "WORK", 1e9)
    rng = np.random.default_rng(0)
    sizes = [64, *[32] * 18, 10]
    drawn = [1.5 * np.linalg.qr(rng.normal(size=(n, h)))[0].T for n, h in pairwise(sizes)]
    net = Network.from_weights(drawn, [0.1 * rng.normal(size=len(W)) for W in drawn], "maxmin")
    value, witness = lower_bound(net)
    assert value == pytest.approx(np.linalg.norm(net.jacobian(witness), 2), rel=1e-9)
    assert value == pytest.approx(1.5**19, rel=1e-9) and value <= 1.5**19


def test_neurons_that_never_move_are_no_kinks():
    # the second neuron, and then one behind it, are 0 everywhere
    net = Network.from_weights([[[3.0, 4.0], [0.0, 0.0]], np.eye(2), [[1.0, 1.0]]])
    assert lower_bound(net)[0] == pytest.approx(5.0, rel=ROUNDED)


@pytest.mark.parametrize("kind", ["relu", "maxmin", "silu"])
def test_a_search_can_be_short(kind):
    net = nets()[kind]
    value, witness = searched.searched(net, None, "l2", 0, 0.0)
    assert 0.0 < value <= lower_bound(net)[0] * (1.0 + 1e-9)
    assert value == pytest.approx(np.linalg.norm(net.jacobian(witness), 2), rel=ROUNDED)


@pytest.mark.parametrize("kind", ["relu", "silu", "groupsort", "implicit"])
def test_the_same_seed_gives_the_same_witness(kind):
    net = nets()[kind]
    first, again = (lower_bound(net, (-1.0, 1.0), seed=5) for _ in range(2))
    assert first[0] == again[0] and np.array_equal(first[1], again[1])


@pytest.mark.parametrize("kind", KINDS)
def test_batched_jacobians_and_gradients(kind):
    net = nets()[kind].scalar
    points = np.random.default_rng(2).normal(size=(7, net.inputs))
    traces = searched._traces(net, points)
    J = searched._jacobians(net, traces)
    np.testing.assert_allclose(J, net.jacobian(points), atol=1e-12)
    for norm in ("l2", "linf"):
        u, v = searched._attaining(J, norm)
        reached = np.einsum("bm,bmn,bn->b", u, J, v)
        np.testing.assert_allclose(reached, operator_norm(J, norm), rtol=1e-12)


@pytest.mark.parametrize("kind", ["silu", "implicit tanh"])
def test_the_ascent_follows_the_gradient(kind):
    net = nets()[kind]
    search = searched._Search(net, "l2", None)
    points = np.random.default_rng(3).normal(size=(4, net.inputs))
    h = 1e-5
    slopes = [
        (search.values(points + h * e) - search.values(points - h * e)) / (2.0 * h)
        for e in np.eye(net.inputs)
    ]
    np.testing.assert_allclose(search._gradients(points, 1.0), np.stack(slopes, 1), atol=1e-5)


@pytest.mark.parametrize("kind", ["relu", "silu"])
def test_the_ascent_never_loses(kind):
    net = nets()[kind]
    search, rng = searched._Search(net, "l2", None), np.random.default_rng(0)
    points = rng.normal(size=(8, net.inputs))
    values, steps = search.values(points), np.full(8, 0.1)
    for turn in range(20):
        points, later, steps = search.ascend(points, values, steps, turn, rng)
        assert (later >= values).all()
        np.testing.assert_allclose(search.values(points), later, rtol=1e-12)
        values = later


def test_flips_cross_kinks():
    # either a kink of layer one is crossed, or f is linear on the way and the move is exact
    dims = (2, 4, 3, 1)
    net = Network.from_weights(weights(dims), biases(dims), "leaky_relu(0.2)")
    search = searched._Search(net, "l2", None)
    points = np.random.default_rng(1).normal(size=(20, 2))
    moves = search._flips(points, np.random.default_rng(0))
    before, after = (
        np.concatenate([trace.v > 0.0 for trace in searched._traces(net, x)], axis=-1)
        for x in (np.tile(points, (len(moves), 1)), (points + moves).reshape(-1, 2))
    )
    assert (before != after).any(axis=-1).all()


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    activation=st.sampled_from(["relu", "leaky_relu(0.2)", "abs", "maxmin"]),
    norm=st.sampled_from(["l2", "linf"]),
    bounded=st.booleans(),
)
def test_never_above_the_exact_constant(seed, activation, norm, bounded):
    rng = np.random.default_rng(seed)
    drawn = gaussian((2, 4, 4, 2), seed)
    net = Network.from_weights(drawn, [rng.normal(size=len(W)) for W in drawn], activation)
    region = (-0.5, 0.5) if bounded else None
    constant, value = exact(net, region, norm), lower_bound(net, region, norm)[0]
    assert value <= constant * (1.0 + 1e-13)
    assert value >= 0.8 * constant


def test_wide_nets_are_fast_and_better_than_samples():
    net = Network.from_weights(gaussian((11, 256, 256, 3)))
    began = perf_counter()
    value, _ = lower_bound(net)
    assert perf_counter() - began < 20.0  # about 1 s on an idle core
    points = np.random.default_rng(0).normal(size=(500, 11))
    assert value > 1.1 * np.linalg.norm(net.jacobian(points), 2, axis=(1, 2)).max()


def test_what_is_refused():
    net = formula_net((2, 3, 1))
    with pytest.raises(ValueError, match="norm must be"):
        lower_bound(net, norm="l1")
    with pytest.raises(ValueError, match="seed"):
        lower_bound(net, seed=-1)
    with pytest.raises(ValueError, match="low must be <= high"):
        lower_bound(net, (1.0, 0.0))
