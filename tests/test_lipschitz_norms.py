"""Products of norms and ECLipsE: cheap bounds, proved."""

from dataclasses import replace
from itertools import pairwise, product
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lipschitz_nets import formula, formula_net, gaussian, weights

from rlopt.theory.lipschitz import Certificate, Network, certify, sdp
from rlopt.theory.lipschitz.certificate import proved
from rlopt.theory.lipschitz.descent import penalty
from rlopt.theory.lipschitz.layerwise import eclipse
from rlopt.theory.lipschitz.maxcut import mixing
from rlopt.theory.lipschitz.norms import product_bound
from rlopt.theory.lipschitz.semidefinite import lipsdp

TABLE = 1e-5  # relative, as the reference values
TIGHT = 1e-9  # what rounding outwards may cost

PLAIN = [
    ((2, 3, 1), 1.644951, 1.569252, 1.512348),
    ((2, 4, 3, 2), 4.279519, 3.218432, 2.953820),
    ((3, 5, 5, 2), 6.618155, 4.859725, 4.270139),
    ((2, 6, 6, 1), 8.538065, 5.381351, 4.201757),
]


def published(layers: int, width: int) -> Network:
    """The random nets of ECLipsE's authors, by their seeds."""
    rng = np.random.RandomState(7 * width + 13 * layers)
    dims = [4, *[width] * (layers - 1), 1]
    matrices = []
    for n, h in pairwise(dims):
        size, W = rng.uniform(0.4, 1.8), rng.randn(h, n)
        matrices.append(W * size / np.linalg.norm(W, 2))
    return Network.from_weights(matrices)


def recursion(matrices: list[np.ndarray]) -> float:
    """ECLipsE-Fast as published for slopes [0, 1], in plain floating point."""
    X = np.eye(matrices[0].shape[1])
    for W in matrices[:-1]:
        K = W @ np.linalg.solve(X, W.T) / 4.0
        size = 0.5 / np.linalg.eigvalsh(K)[-1]
        X = size * np.eye(len(K)) - size**2 * K
    return float(np.sqrt(np.linalg.eigvalsh(matrices[-1] @ np.linalg.solve(X, matrices[-1].T))[-1]))


@pytest.mark.parametrize(("dims", "norms", "fast", "full"), PLAIN)
def test_the_tables_values(dims, norms, fast, full):
    net = formula_net(dims)
    assert product_bound(net).upper == pytest.approx(norms, rel=TABLE)
    for made, value in ((eclipse(net, fast=True), fast), (eclipse(net), full)):
        assert made.upper == pytest.approx(value, rel=TABLE)
        assert made.rigorous == "rump"


@pytest.mark.parametrize(
    ("layers", "width", "fast", "norms"),
    [
        (2, 20, 0.514469, 0.695617),
        (5, 20, 1.44342, 3.91797),
        (10, 20, 0.130171, 0.975340),
        (20, 20, 8.99579e-3, 0.635414),
        (5, 40, 0.0370592, 0.107569),
        (10, 40, 0.253089, 2.38382),
        (5, 80, 0.184074, 0.554617),
    ],
)
def test_random_nets_of_the_authors(layers, width, fast, norms):
    net = published(layers, width)
    assert product_bound(net).upper == pytest.approx(norms, rel=TABLE)
    assert recursion(_matrices(net)) == pytest.approx(fast, rel=TABLE)
    made = eclipse(net, fast=True)
    # the multipliers are enlarged by 1e-7 for the proof, which can only help in deep nets
    assert made.upper <= fast * (1.0 + TABLE)
    assert made.rigorous == "rump" and made.verify()
    if layers <= 5:
        assert made.upper == pytest.approx(fast, rel=1e-4)


def _matrices(net: Network) -> list[np.ndarray]:
    return [np.asarray(layer.W if layer.neurons else layer.H) for layer in net.layers]


@pytest.mark.parametrize(("layers", "value"), [(2, 0.383981), (5, 0.790124)])
def test_a_programme_a_layer_on_the_authors_nets(layers, value):
    made = eclipse(published(layers, 20))
    assert made.upper == pytest.approx(value, rel=TABLE) and made.verify()


def test_the_order_of_the_bounds():
    for dims in ((2, 4, 3, 2), (3, 5, 5, 2), (2, 6, 6, 1)):
        net = formula_net(dims)
        lfr = net.lfr()
        neuron = proved(net, lfr, [sdp.solve(lfr)], "l2", "lipsdp", None, perf_counter()).upper
        assert neuron < eclipse(net).upper < eclipse(net, fast=True).upper
        assert eclipse(net, fast=True).upper < product_bound(net).upper


@given(
    st.integers(0, 10**6),
    st.lists(st.integers(1, 6), min_size=2, max_size=6),
    st.sampled_from(["relu", "sigmoid", "leaky_relu(0.2)", "elu(2)", "silu", "abs", "identity"]),
)
@settings(max_examples=40, deadline=None)
def test_the_closed_form_is_never_above_the_product(seed, dims, activation):
    net = Network.from_weights(gaussian((*dims, 2), seed), activation=activation)
    made = eclipse(net, fast=True)
    assert made.upper <= product_bound(net).upper * (1.0 + TABLE)
    points = np.random.default_rng(seed).normal(size=(50, dims[0]))
    assert np.linalg.norm(net.jacobian(points), 2, (1, 2)).max() <= made.upper
    assert made.rigorous == "rump" and made.verify()


@pytest.mark.parametrize("slope", [-0.5, 0.2, 0.9])
def test_any_slopes(slope):
    # one hidden layer: both forms against LipSDP-Layer and LipSDP-Neuron, which they equal there
    net = formula_net((2, 4, 3), f"leaky_relu({slope})")
    lfr = net.lfr()
    for structure, fast in (("neuron", False), ("layer", True)):
        found = sdp.solve(lfr, "l2", structure)
        wanted = proved(net, lfr, [found], "l2", "lipsdp", None, perf_counter()).upper
        made = eclipse(net, fast=fast).upper
        assert made == pytest.approx(wanted, rel=TABLE) if not fast else made >= wanted


def test_a_programme_a_layer_needs_feed_forward_nets():
    for net in (
        formula_net((2, 4, 2), "maxmin"),
        Network.residual([formula(2, 2, 0)], [np.eye(2)]),
        Network.implicit(0.3 * formula(2, 2, 3), formula(2, 2, 1), formula(1, 2, 2)),
    ):
        with pytest.raises(ValueError, match="feed-forward"):
            eclipse(net)
    with pytest.raises(TypeError, match="fast"):
        eclipse(formula_net((2, 3, 1)), fast="yes")  # type: ignore[arg-type]


def test_layers_that_are_zero_or_linear():
    constant = Network.from_weights([formula(3, 2, 0), np.zeros((2, 3)), formula(1, 2, 1)])
    for made in (eclipse(constant, fast=True), eclipse(constant), product_bound(constant)):
        assert 0.0 <= made.upper < 1e-9
    linear = Network.from_weights([formula(3, 2, 0)])
    assert product_bound(constant).upper == 0.0  # not a float above it
    for made in (eclipse(linear, fast=True), eclipse(linear), product_bound(linear)):
        assert made.upper == pytest.approx(np.linalg.norm(formula(3, 2, 0), 2), rel=TIGHT)
        assert made.upper >= np.linalg.norm(formula(3, 2, 0), 2)


@pytest.mark.parametrize("fast", [True, False])
def test_certificates_survive_json_and_not_tampering(fast):
    made = eclipse(formula_net((3, 5, 5, 2)), fast=fast)
    read = Certificate.from_json(made.to_json())
    assert read.verify() and read.upper == made.upper
    assert read.method == ("eclipse-fast" if fast else "eclipse")
    assert read.rho is not None and read.multipliers is not None
    assert not replace(read, rho=read.rho * (1.0 - 1e-4)).verify()
    halved = read.multipliers.copy()
    halved[np.argmax(halved)] *= 0.5
    assert not replace(read, multipliers=halved).verify()


def test_layers_of_a_policy_in_closed_form():
    net = Network.from_weights(gaussian((2, 400, 300, 1)))
    made = eclipse(net, fast=True)
    assert made.rigorous == "rump"
    assert made.upper <= recursion(gaussian((2, 400, 300, 1))) * (1.0 + TABLE)


def test_a_hundred_layers():
    made = eclipse(published(100, 4), fast=True)
    assert made.rigorous == "rump" and made.verify()
    assert made.upper <= recursion(_matrices(published(100, 4))) * (1.0 + TABLE)


MAXMIN = [((2, 4, 1), 1.9727597), ((2, 4, 4, 2), 4.8377244), ((3, 6, 6, 2), 9.6312922)]


@pytest.mark.parametrize("activation", ["maxmin", "groupsort(2)", "householder(1,0.5)", "abs"])
@pytest.mark.parametrize(("dims", "value"), MAXMIN)
def test_groups_do_not_enlarge_the_product(dims, value, activation):
    assert product_bound(formula_net(dims, activation)).upper == pytest.approx(value, rel=TABLE)


@pytest.mark.parametrize(
    ("n", "layers", "value"), [(2, 2, 2.725286), (4, 2, 3.894821), (4, 3, 7.885373)]
)
def test_product_of_residual_maxmin(n, layers, value):
    W = [0.5 * formula(n, n, k) for k in range(layers)]
    net = Network.residual(W, [np.eye(n)] * layers, activation="maxmin")
    assert product_bound(net).upper == pytest.approx(value, rel=TABLE)


@pytest.mark.parametrize(("h", "layers", "value"), [((2, 3), 2, 4.368002), ((3, 4), 3, 18.195145)])
def test_product_of_residual_relu(h, layers, value):
    n, h = h
    W = [formula(h, n, k) for k in range(layers)]
    G = [0.5 * formula(n, h, k + 5) for k in range(layers)]
    assert product_bound(Network.residual(W, G)).upper == pytest.approx(value, rel=TABLE)


def test_product_of_implicit_networks():
    W, U, C = 0.2 * formula(3, 3, 3), formula(3, 2, 1), formula(1, 3, 2)
    U2, C2, W2 = (float(np.linalg.norm(matrix, 2)) for matrix in (U, C, W))
    made = product_bound(Network.implicit(W, U, C))
    assert made.upper == pytest.approx(C2 * U2 / (1.0 - W2), rel=TIGHT)
    quarter = product_bound(Network.implicit(W, U, C, activation="sigmoid")).upper
    assert quarter == pytest.approx(C2 * U2 / 4.0 / (1.0 - W2 / 4.0), rel=TIGHT)
    assert product_bound(Network.implicit(3.0 * W / W2, U, C)).upper == np.inf


@pytest.mark.parametrize("norm", ["l2", "linf", "linf_l1"])
def test_products_of_zero_and_beyond_floats(norm):
    eye, zero = np.eye(2), np.zeros((2, 2))
    for constant in (
        Network.from_weights([zero]),
        Network.residual([eye, zero], [eye, eye], [zero, zero]),
        Network.implicit(3.0 * eye, eye, zero),
        Network.from_weights([1e100 * eye] * 5 + [zero]),
    ):
        assert product_bound(constant, norm).upper == 0.0
    for steep in (
        Network.from_weights([1e100 * eye] * 5),
        Network.from_weights([1e100 * eye] * 5, activation="identity"),
        Network.residual([1e100 * eye] * 4, [1e100 * eye] * 4),
    ):
        assert product_bound(steep, norm).upper == np.inf
    flat = product_bound(Network.from_weights([1e-100 * eye] * 5), norm)
    assert 0.0 < flat.upper < 1e-300


def test_product_in_l_inf():
    assert product_bound(formula_net((2, 6, 6, 1)), "linf").upper == pytest.approx(
        37.006773, rel=TABLE
    )
    dims = (3, 4, 5, 3)
    W = weights(dims)
    rows = [np.abs(matrix).sum(axis=1).max() for matrix in W]
    for activation, factor in (("relu", 1.0), ("sigmoid", 1.0 / 16.0), ("elu(2)", 4.0)):
        net = formula_net(dims, activation)
        assert product_bound(net, "linf").upper == pytest.approx(factor * np.prod(rows), rel=TIGHT)
    last = max(np.abs(np.array(s) @ W[2]).sum() for s in product((-1.0, 1.0), repeat=3))
    made = product_bound(formula_net(dims), "linf_l1")
    assert made.upper == pytest.approx(rows[0] * rows[1] * last, rel=TIGHT)


def test_a_residual_last_layer_from_l_inf_to_l_1():
    W, G = formula(4, 3, 0), formula(3, 4, 1)
    made = product_bound(Network.residual([W, W], [G, G]), "linf_l1").upper
    rows = [np.abs(matrix).sum(axis=1).max() for matrix in (W, G)]
    last = max(np.abs(G.T @ np.array(s)).sum() for s in product((-1.0, 1.0), repeat=3))
    # |I| from l_inf to l_1 is 3
    assert made == pytest.approx((1.0 + rows[0] * rows[1]) * (3.0 + last * rows[0]), rel=TIGHT)


def test_a_reflection_can_grow_in_l_inf():
    v = np.array([2.0, 1.0])
    mirror = np.eye(2) - 2.0 * np.outer(v, v) / 5.0
    W = weights((2, 4, 2))
    rows = [np.abs(matrix).sum(axis=1).max() for matrix in W]
    made = product_bound(formula_net((2, 4, 2), "householder(2,1)"), "linf")
    growth = np.abs(mirror).sum(axis=1).max()
    assert made.upper == pytest.approx(growth * np.prod(rows), rel=TIGHT)


def test_many_outputs_from_l_inf_to_l_1():
    # 14 outputs and 13 neurons: all entries are added up; 14 and 2: signs of the neurons
    tall, square = formula(14, 2, 1), formula(14, 13, 1)
    few = product_bound(Network.from_weights([tall]), "linf_l1").upper
    best = max(np.abs(tall @ np.array(s)).sum() for s in product((-1.0, 1.0), repeat=2))
    assert few == pytest.approx(best, rel=TIGHT)
    many = product_bound(Network.from_weights([square]), "linf_l1").upper
    assert many == pytest.approx(np.abs(square).sum(), rel=TIGHT)


def test_neighbouring_linear_maps_are_multiplied():
    A, B, C = formula(3, 2, 0), formula(4, 3, 1), formula(2, 4, 2)
    net = Network.from_weights([A, B, C], activation=["identity", "relu"])
    fold = Network.from_weights([A]).layers + Network.from_weights([B, C]).layers
    value = product_bound(Network(fold)).upper
    assert value == pytest.approx(np.linalg.norm(B @ A, 2) * np.linalg.norm(C, 2), rel=TIGHT)
    assert value < product_bound(net).upper
    rows = product_bound(Network.from_weights([A, B]).rows(np.array([[1.0, -1.0, 0.0, 0.0]])))
    assert rows.upper == pytest.approx(
        np.linalg.norm(A, 2) * np.linalg.norm(B[0] - B[1]), rel=TIGHT
    )


@pytest.mark.parametrize("norm", ["l2", "linf", "linf_l1"])
@pytest.mark.parametrize("activation", ["relu", "maxmin", "householder(2,1)", "silu"])
def test_products_are_rounded_outwards_and_checked_again(norm, activation):
    made = product_bound(formula_net((3, 4, 4, 2), activation), norm)
    read = Certificate.from_json(made.to_json())
    assert read.verify() and read.upper == made.upper and made.rigorous == "outward"
    assert not replace(read, upper=read.upper * (1.0 - 1e-4)).verify()
    with pytest.raises(ValueError, match="norm"):
        product_bound(formula_net((2, 3, 1)), "l1")


@pytest.mark.parametrize("size", [1e-60, 1e60, 1e100])
def test_weights_whose_squares_are_beyond_floats_are_refused(size):
    wide, thin = (Network.from_weights([size * np.eye(2)] * 3 + [W]) for W in (np.eye(2), [[1, 1]]))
    for bound in (lipsdp, eclipse, penalty):
        with pytest.raises(ValueError, match="between 1e-120 and 1e"):
            bound(wide)
    with pytest.raises(ValueError, match="product of the layers' norms"):
        mixing(Network.from_weights([size**3 * np.eye(2), [[1.0, 1.0]]]))
    found = certify(thin, budget_seconds=1.0)
    assert [record.method for record in found.history] == ["product"]
    assert found.upper >= size**3
