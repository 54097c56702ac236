"""Networks: their values, their representations, and what they refuse."""

import json

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from lipschitz_nets import formula, formula_net, weights

from rlopt.theory.lipschitz import Certificate, Network, repair
from rlopt.theory.lipschitz.activations import FUNCTIONS, Activation
from rlopt.theory.lipschitz.regions import box, operator_norm
from rlopt.theory.lipschitz.stored import network_from, network_to

EXACT = 1e-12
SCALAR = (*FUNCTIONS, "leaky_relu(0.1)", "leaky_relu(-0.5)", "elu(2)", "softplus(3)")
GROUPED = ("maxmin", "groupsort(3)", "groupsort(4)", "householder(2,1)", "householder(1,-2,.5)")
WIDTHS = {"groupsort(3)": 6, "householder(1,-2,.5)": 6, "groupsort(4)": 8}
SEEDS = st.integers(0, 2**32 - 1)


def net_of(activation: str, **changes) -> Network:
    h = WIDTHS.get(activation, 4)
    return formula_net((2, h, h, 2), activation, **changes)


def all_nets() -> dict[str, Network]:
    nets = {name: net_of(name) for name in (*SCALAR, *GROUPED)}
    for name in ("relu", "maxmin", "groupsort(4)"):
        W = [formula(8, 3, k) for k in range(2)]
        G = [0.5 * formula(3, 8, k + 5) for k in range(2)]
        nets[f"residual {name}"] = Network.residual(
            W, G, activation=name, biases=[formula(8, 1, 7)[:, 0]] * 2
        )
    U, C = formula(3, 2, 1), formula(2, 3, 2)
    for name in ("relu", "tanh", "sigmoid"):
        nets[f"implicit {name}"] = Network.implicit(
            0.3 * formula(3, 3, 3), U, C, [0.1, 0.2, 0.3], name
        )
    nets["linear"] = Network.from_weights([formula(2, 3, 0)])
    mixed = [formula(4, 2, 0), formula(6, 4, 1), formula(1, 6, 2)]
    nets["mixed"] = Network.from_weights(mixed, None, ["tanh", "maxmin"])
    return nets


NETS = all_nets()


@pytest.mark.parametrize("name", NETS)
def test_the_scalar_form_is_the_same_function(name):
    net = NETS[name]
    x = np.random.default_rng(0).normal(size=(200, net.inputs)) * 2.0
    np.testing.assert_allclose(net.scalar(x), net(x), rtol=1e-12, atol=1e-12)
    assert not net.scalar.grouped


@pytest.mark.parametrize("name", NETS)
def test_jacobians_are_the_differences_of_values(name):
    net = NETS[name]
    x = np.random.default_rng(1).normal(size=(50, net.inputs))
    step = 1e-6
    columns = [(net(x + step * e) - net(x - step * e)) / (2 * step) for e in np.eye(net.inputs)]
    differences = np.stack(columns, axis=-1)
    off = np.abs(differences - net.jacobian(x)).max(axis=(1, 2))
    assert np.sort(off)[-3] < 1e-7  # a kink may lie within a step of a point or two


@pytest.mark.parametrize("name", NETS)
def test_the_representation_holds_on_increments(name):
    """v = A [x; w], y = Y [x; w] and every neuron's slope condition, for pairs of points."""
    net = NETS[name]
    rng = np.random.default_rng(2)
    x, other = rng.normal(size=(2, 300, net.inputs)) * 2.0
    lfr = net.lfr()
    found = []
    for point in (x, other):
        v, w = [], []
        for layer in net.scalar.layers:
            before, after = layer.fixed_point(point)
            v.append(before)
            w.append(after)
            new = after @ layer.G.T + layer.c
            point = new if layer.H is None else new + point @ layer.H.T
        found.append((np.hstack(v), np.hstack(w), point))
    dv, dw, dy = (a - b for a, b in zip(*found, strict=True))
    stacked = np.hstack([x - other, dw])
    np.testing.assert_allclose(stacked @ lfr.A.value.T, dv, atol=1e-11)
    np.testing.assert_allclose(stacked @ lfr.Y.value.T, dy, atol=1e-11)
    assert ((dw - lfr.alpha * dv) * (lfr.beta * dv - dw) >= -1e-11).all()


@pytest.mark.parametrize("name", GROUPED)
def test_groups_obey_their_quadratic_constraints(name):
    """The increments' form with every multiplier is >= 0, and 0 for those of equalities."""
    net = net_of(name)
    rng = np.random.default_rng(3)
    x, other = rng.normal(size=(2, 200, 2)) * 2.0
    lfr = net.lfr(coupling="full")
    states = []
    for point in (x, other):
        w = []
        for layer in net.layers:
            after = layer.fixed_point(point)[1]
            w.append(after)
            point = after @ layer.G.T + (0.0 if layer.H is None else point @ layer.H.T)
        states.append(np.hstack([np.zeros((200, 2)), *w]))
    z = states[0] - states[1]
    z[:, :2] = x - other
    G = len(lfr.groups)
    for k in range(4 * G):
        t = np.zeros(4 * G)
        t[k] = 1.0
        form = np.einsum("bi,ij,bj->b", z, lfr.constraints(t).value, z)
        assert (form <= 1e-10).all()
        if k >= G:
            np.testing.assert_allclose(form, 0.0, atol=1e-10)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(SCALAR), SEEDS)
def test_slopes_on_an_interval_hold_and_are_attained(name, seed):
    rng = np.random.default_rng(seed)
    low, high = np.sort(rng.normal(size=2) * 10.0 ** rng.uniform(-2, 1))
    activation = Activation.parse(name)
    lower, upper = activation.slopes_between(np.array(low), np.array(high))
    points = np.linspace(low, high, 2001)
    inner = activation.function.slope(points[:-1])
    assert lower <= inner.min() and inner.max() <= upper
    assert inner.min() - lower <= 0.05 and upper - inner.max() <= 0.05
    chords = np.diff(activation.value(points)) / np.diff(points)
    assert lower <= chords.min() + 1e-9 and chords.max() - 1e-9 <= upper


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("tanh", lambda x: mpmath.sech(x) ** 2),
        ("sigmoid", lambda x: 1 / (2 + mpmath.exp(x) + mpmath.exp(-x))),
        ("softplus", lambda x: 1 / (1 + mpmath.exp(-x))),
        ("silu", lambda x: (1 + mpmath.exp(-x) + x * mpmath.exp(-x)) / (1 + mpmath.exp(-x)) ** 2),
        ("gelu", lambda x: mpmath.ncdf(x) + x * mpmath.npdf(x)),
    ],
)
def test_slopes_at_a_point_enclose_forty_digits(name, slope):
    activation = Activation.parse(name)
    with mpmath.workdps(40):
        for point in np.linspace(-8, 8, 161):
            lower, upper = activation.slopes_between(np.array(point), np.array(point))
            assert lower <= slope(mpmath.mpf(float(point))) <= upper
            assert upper - lower < 1e-14


def test_known_limits():
    limits = {name: Activation.parse(name).slopes for name in SCALAR}
    assert limits["relu"] == limits["tanh"] == limits["softplus(3)"] == limits["elu"] == (0.0, 1.0)
    assert limits["sigmoid"] == (0.0, 0.25)
    assert limits["leaky_relu(0.1)"] == (0.1, 1.0)
    assert limits["leaky_relu(-0.5)"] == (-0.5, 1.0)
    assert limits["elu(2)"] == (0.0, 2.0)
    assert limits["silu"] == pytest.approx((-0.0998394, 1.0998394), abs=1e-7)
    assert limits["gelu"] == pytest.approx((-0.128905, 1.128905), abs=1e-6)


def test_group_activations():
    x = np.array([1.0, 3.0, 2.0, -1.0])
    for name in ("maxmin", "groupsort(2)", "householder(1,-1)"):
        np.testing.assert_allclose(Activation.parse(name).value(x), [3.0, 1.0, 2.0, -1.0])
    np.testing.assert_allclose(Activation.parse("groupsort(4)").value(x), [3.0, 2.0, 1.0, -1.0])


@pytest.mark.parametrize("name", ["relu", "leaky_relu(0.1)", "abs", "sigmoid", "silu"])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_shift_keeps_every_increment(name, share):
    """w = alpha v + (beta - alpha) z, checked by putting any [x; z] through both forms."""
    rng = np.random.default_rng(4)
    lfr = net_of(name).lfr()
    chosen = rng.uniform(size=lfr.neurons) < share
    new, order = lfr.shifted(chosen)
    n0, N = lfr.inputs, lfr.neurons
    z = rng.normal(size=(20, n0 + N))
    v = z @ new.A.value.T
    w = np.where(chosen[order], 0.0, 1.0) * z[:, n0:]
    w += chosen[order] * (lfr.alpha[order] * v + (lfr.beta - lfr.alpha)[order] * z[:, n0:])
    old = np.hstack([z[:, :n0], w[:, np.argsort(order)]])
    np.testing.assert_allclose(old @ lfr.A.value[order].T, v, atol=1e-11)
    np.testing.assert_allclose(old @ lfr.Y.value.T, z @ new.Y.value.T, atol=1e-11)
    assert (new.alpha[chosen[order]] == 0.0).all() and (new.beta[chosen[order]] == 1.0).all()
    t = rng.uniform(size=N)
    moved = (t * np.where(chosen, (lfr.beta - lfr.alpha) ** 2, 1.0))[order]
    forms = [
        np.einsum("bi,ij,bj->b", points, form.value, points)
        for points, form in ((old, lfr.constraints(t)), (z, new.constraints(moved)))
    ]
    np.testing.assert_allclose(forms[0], forms[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NETS)
def test_networks_survive_as_data(name):
    net = NETS[name]
    again = network_from(json.loads(json.dumps(network_to(net))))
    x = np.random.default_rng(5).normal(size=(10, net.inputs))
    assert np.array_equal(again(x), net(x))


def test_rows_and_scaling():
    net = net_of("maxmin")
    x = np.random.default_rng(6).normal(size=(10, 2))
    difference = np.array([[1.0, -1.0]])
    np.testing.assert_allclose(net.rows(difference)(x), net(x) @ difference.T, rtol=EXACT)
    wide = np.array([[0.3, -2.0], [1.0, 4.0], [0.0, 1.0]])
    np.testing.assert_allclose(net.rows(wide)(x), net(x) @ wide.T, rtol=1e-10)
    scale, shift = np.array([0.5, 3.0]), np.array([-1.0, 2.0])
    for each in (net, NETS["residual relu"].rows(np.eye(3))):
        s, b = np.resize(scale, each.inputs), np.resize(shift, each.inputs)
        points = np.resize(x, (10, each.inputs))
        np.testing.assert_allclose(each.scaled(s, b)(points), each(s * points + b), rtol=1e-10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Network.from_weights([]), "weights must be a list"),
        (lambda: Network.from_weights([[1.0, 2.0]]), r"weights\[0\] must be a matrix"),
        (lambda: Network.from_weights([np.eye(2), np.eye(3)]), r"weights\[1\] must take the 2"),
        (lambda: Network.from_weights([[[np.nan]]]), r"weights\[0\] must be finite"),
        (lambda: Network.from_weights([np.eye(2)] * 3, [[0.0]]), "biases must be 3 vectors"),
        (lambda: Network.from_weights([np.eye(2)] * 2, [[0.0]] * 2), r"biases\[0\] must have"),
        (lambda: Network.from_weights([np.eye(2)] * 2, None, "rellu"), "did you mean 'relu'"),
        (lambda: Network.from_weights([np.eye(2)] * 2, None, ["relu"] * 2), "must be 1 names"),
        (lambda: Network.from_weights([np.eye(3)] * 2, None, "maxmin"), "multiple of 2, got 3"),
        (lambda: Network.from_weights([np.eye(2)] * 2, None, "groupsort"), "one group size"),
        (lambda: Network.from_weights([np.eye(2)] * 2, None, "elu(-1)"), "a number > 0"),
        (lambda: Network.from_weights([np.eye(2)] * 2, None, "tanh(3)"), "no arguments"),
        (lambda: Network.from_weights([np.eye(2)] * 2, None, "leaky_relu(x)"), "numbers in its"),
        (lambda: Network.from_weights([np.eye(2)] * 2, None, "householder(0,0)"), "not 0"),
        (lambda: Network.residual([np.eye(2)], [np.eye(3)]), "shapes that do not fit"),
        (lambda: Network.residual([np.eye(2)], []), "G must be a list"),
        (lambda: Network.implicit(np.eye(2), np.eye(3), np.eye(2)), "do not fit"),
        (lambda: Network.implicit(np.eye(2), np.eye(2), np.eye(2), None, "maxmin"), "single"),
    ],
)
def test_bad_networks_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (3.0, "must be a pair"),
        (([0.0], [1.0]), r"low must have shape \(2,\)"),
        (([0.0, 2.0], [1.0, 1.0]), "low must be <= high, got 2.0 > 1.0 in coordinate 1"),
        ((0.0, np.inf), "high must be finite"),
        (([0.0, np.nan], 1.0), "low must be finite"),
    ],
)
def test_bad_regions_are_refused_by_name(region, message):
    with pytest.raises(ValueError, match=message):
        box(2, region)


def test_operator_norms():
    J = np.array([[1.0, -2.0], [3.0, 4.0]])
    assert operator_norm(J, "l2") == pytest.approx(np.linalg.norm(J, 2))
    assert operator_norm(J, "linf") == 7.0
    assert operator_norm(J, "linf_l1") == max(np.abs(J @ s).sum() for s in ([1, 1], [1, -1]))
    with pytest.raises(ValueError, match="up to 12 outputs"):
        operator_norm(np.ones((13, 2)), "linf_l1")


def test_repair_refuses_what_proves_nothing():
    net = formula_net((2, 3, 1))
    good = np.array([2.0, 2.0, 2.0])
    assert repair(net, 10 * good).verify()
    for bad, message in [
        ([1.0, 1.0], "3 numbers in one row"),
        (-good, "must be >= 0"),
        (np.zeros(3), "prove no bound"),
        ([1.0, np.nan, 1.0], "must be finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            repair(net, bad)
    with pytest.raises(ValueError, match="norm must be one of"):
        repair(net, good, norm="l3")
    with pytest.raises(ValueError, match="networks of MaxMin"):
        repair(net, good, coupling="chain")


def test_a_garbled_certificate_is_refused():
    text = repair(formula_net((2, 3, 1)), [20.0] * 3).to_json()
    changes: list[dict[str, object]] = [
        {"upper": None},
        {"norm": "l7"},
        {"lfr": {}},
        {"rigorous": "sure"},
    ]
    for change in changes:
        with pytest.raises(ValueError, match="Certificate"):
            Certificate.from_json(json.dumps(json.loads(text) | change))
    with pytest.raises(ValueError):
        Certificate.from_json("{")
    with pytest.raises(ValueError, match="lacks"):
        Certificate.from_json('{"upper": 1}')


def test_one_hidden_neuron_by_hand():
    """y = c relu(a x): L = |a c|, with t = c^2."""
    net = Network.from_weights([[[3.0]], [[2.0]]])
    certificate = repair(net, [4.0])
    assert certificate.upper == pytest.approx(6.0, rel=1e-9)
    assert certificate.upper >= 6.0
    assert weights((1, 1, 1))[0].shape == (1, 1)
