"""What a certificate proves, and what nobody can make it say."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from lipschitz_nets import formula, formula_net

from rlopt.theory import lipschitz
from rlopt.theory.certificate import Enclosed
from rlopt.theory.lipschitz import Certificate, Network
from rlopt.theory.lipschitz.layers import Layer
from rlopt.theory.lipschitz.lfr import LFR

Matrix = list[list[Fraction]]


def rational(matrix: np.ndarray) -> Matrix:
    return [[Fraction(float(x)) for x in row] for row in matrix]


def product(a: Matrix, b: Matrix) -> Matrix:
    columns = list(zip(*b, strict=True))
    return [
        [sum((x * y for x, y in zip(r, c, strict=True)), Fraction(0)) for c in columns] for r in a
    ]


def total(a: Matrix, b: Matrix) -> Matrix:
    return [[x + y for x, y in zip(*rows, strict=True)] for rows in zip(a, b, strict=True)]


def misses(exact: Matrix, enclosed: Enclosed) -> np.ndarray:
    """|value - exact| / error, entrywise; 0 where both are 0."""
    found = np.zeros(enclosed.value.shape)
    for i, row in enumerate(exact):
        for j, x in enumerate(row):
            off = abs(x - Fraction(float(enclosed.value[i, j])))
            error = Fraction(float(enclosed.error[i, j]))
            found[i, j] = 0.0 if off == 0 else float(off / error) if error else np.inf
    return found


def exact_representation(net: Network) -> tuple[Matrix, Matrix]:
    """A and Y in rationals, for layers whose entries are the floats that they are."""
    N, n0 = net.neurons, net.inputs
    state = rational(np.eye(n0, n0 + N))
    rows: Matrix = []
    for layer in net.layers:
        here = np.zeros((layer.neurons, n0 + N))
        here[:, n0 + len(rows) : n0 + len(rows) + layer.neurons] = np.eye(layer.neurons)
        new = product(rational(layer.G), rational(here)) if layer.neurons else None
        A = product(rational(layer.W), state) if layer.neurons else []
        if layer.H is not None:
            through = product(rational(layer.H), state)
            new = through if new is None else total(through, new)
        assert new is not None
        rows, state = rows + A, new
    return rows, state


def residual(seed: int, activation: str = "leaky_relu(0.3)") -> Network:
    rng = np.random.default_rng(seed)
    W, G = ([rng.normal(size=(3, 3)) for _ in range(4)] for _ in range(2))
    return Network.residual(
        W, G, [rng.normal(size=(3, 3)) for _ in range(4)], activation=activation
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_representation_is_known_to_its_error(seed):
    net = residual(seed)
    lfr = net.lfr()
    for exact, enclosed in zip(exact_representation(net), (lfr.A, lfr.Y), strict=True):
        ratio = misses(exact, enclosed)
        assert 0.0 < ratio.max() <= 1.0  # rounding happened, and no more than is said


@pytest.mark.parametrize("given", [0.0, 1e-9])
@pytest.mark.parametrize("seed", range(5))
def test_a_shift_is_known_to_its_error(seed, given):
    """All neurons shifted: v = (I - A_w alpha)^-1 [A_x, A_w d], by substitution in rationals."""
    lfr = residual(seed).lfr()
    n0, N = lfr.inputs, lfr.neurons
    # errors given from outside must be carried along: exact data at the edge of what is known
    doubt = given * np.abs(np.random.default_rng(seed).normal(size=lfr.A.value.shape))
    doubt *= lfr.A.value != 0.0
    known, exact = Enclosed(lfr.A.value, 1.001 * doubt), Enclosed(lfr.Y.value, 0.0 * lfr.Y.value)
    new, _ = replace(lfr, A=known, Y=exact).shifted(np.ones(N, bool))
    A, Y = rational(lfr.A.value + doubt), rational(lfr.Y.value)
    alpha = [Fraction(float(a)) for a in lfr.alpha]
    width = [Fraction(float(b)) - a for a, b in zip(alpha, lfr.beta, strict=True)]
    v: Matrix = []
    w: Matrix = []
    for i in range(N):
        row = A[i][:n0] + [x * d for x, d in zip(A[i][n0:], width, strict=True)]
        for j, x in enumerate(A[i][n0 : n0 + i]):
            row = [r + x * alpha[j] * u for r, u in zip(row, v[j], strict=True)]
        v.append(row)
        own = [Fraction(0)] * (n0 + N)
        own[n0 + i] = width[i]
        w.append([alpha[i] * r + o for r, o in zip(row, own, strict=True)])
    first = [y[:n0] + [Fraction(0)] * N for y in Y]
    y = total(first, product([row[n0:] for row in Y], w))
    assert (0.1 if given else 0.0) < misses(v, new.A).max() <= 1.0
    assert misses(y, new.Y).max() <= 1.0


def test_what_cancels_to_0_keeps_its_error():
    """An entry of A that is 0 only after rounding: the slope through it is 1, not .001."""
    H = np.array([[0.0], [0.0], [0.0], [1.0]])
    G = np.array([[1.0], [1.0], [1.0], [0.0]])
    W = [[[1.0]], [[2.0**53, 1.0, -(2.0**53), 0.0]]]
    skips = [H, np.array([[0, 0, 0, 1e-3]])]
    net = Network.residual(W, [G, [[1.0]]], skips, [[10.0], [1e6]])
    found = lipschitz.lipsdp(net, region=([-1.0], [1.0]))
    assert found.upper >= 1.001 or found.rigorous == "none"


def test_group_multipliers_that_cancel_prove_nothing():
    net = Network.from_weights([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.99]]], None, "householder(2,1)")
    try:
        found = lipschitz.repair(
            net, [0.5169491525423728, 2.0**53, 2.0**52, -(2.0**52)], coupling="full"
        )
    except ValueError:
        return
    assert found.rigorous == "none" or found.upper >= 0.792


def tampered(certificate: Certificate, **changes) -> Certificate:
    """The certificate with changes in its JSON; "lfr.alpha" is a field of a field."""
    data = json.loads(certificate.to_json())
    for name, value in changes.items():
        owner, _, key = name.rpartition("__")
        (data[owner] if owner else data)[key] = value
    return Certificate.from_json(json.dumps(data))


NET = Network.from_weights([[[1.0, 2.0], [3.0, 4.0]], [[1.0, -1.0]]], [[1.0, -2.0]])
SMALL = ([-0.1] * 2, [0.1] * 2)


def test_a_claim_on_a_region_is_none_everywhere():
    local = lipschitz.lipsdp(NET, region=SMALL)
    assert local.upper == pytest.approx(5**0.5)
    assert lipschitz.exact(NET) == pytest.approx(5.0)
    assert local.verify() and tampered(local).verify()
    assert not tampered(local, region=None).verify()
    assert not tampered(local, region=[[-5.0] * 2, [5.0] * 2]).verify()


@pytest.mark.parametrize(
    "changes",
    [
        {"lfr__A_error": [[-1e3] * 4] * 2, "rho": 1e-8, "upper": 1e-3},
        {"lfr__alpha": [0.0] * 2, "lfr__beta": [0.0] * 2, "rho": 1e-8, "upper": 1e-3},
        {"lfr__alpha": [1.0] * 2, "rho": 8.1, "upper": 2.85},
        {"lfr__A": [[0.0] * 4] * 2, "rho": 1e-8, "upper": 1e-3},
        {"lfr__Y": [[0.0] * 4], "rho": 1e-8, "upper": 1e-3},
        {"rho": 1e-8, "upper": 1e-3},
        {"upper": float("nan")},
        {"rho": float("nan")},
        {"multipliers": None},
        {"rho": None},
        {"lfr": None},
        {"rigorous": "outward"},
        {"rigorous": "none"},
        {"norm": "linf"},
    ],
)
def test_no_change_of_the_text_proves_more(changes):
    good = lipschitz.lipsdp(NET)
    assert tampered(good).verify()
    assert not tampered(good, **changes).verify()


def test_a_certificate_of_another_net_proves_nothing():
    """Sigmoid's slopes are a quarter of ReLU's."""
    weak, strong = (formula_net((2, 6, 6, 1), name) for name in ("sigmoid", "relu"))
    stolen = json.loads(lipschitz.lipsdp(weak).to_json())
    stolen["network"] = json.loads(lipschitz.lipsdp(strong).to_json())["network"]
    assert not Certificate.from_json(json.dumps(stolen)).verify()


def test_slopes_of_saturated_neurons_cannot_be_dropped():
    net = Network.from_weights([[[1.0]], [[1e12]]], [[14.6], [0.0]], "tanh")
    good = lipschitz.lipsdp(net, region=([0.0], [0.4]))
    assert good.verify() and good.upper > 0.8
    nothing = {"lfr__alpha": [0.0], "lfr__beta": [0.0], "multipliers": [1.0], "rho": 1e-200}
    assert not tampered(good, upper=1.1e-100, **nothing).verify()


def test_group_multipliers_are_no_multipliers_of_neurons():
    net = Network.from_weights([np.diag([1.0, 0, 0, 0]), [[0, 0, 0, 1.0]]], None, "groupsort(4)")
    good = lipschitz.lipsdp(net, coupling="chain")
    assert good.verify()
    false = {"multipliers": [1e-20] * 3 + [10.0], "rho": 1e-8, "upper": 1.1e-4}
    assert not tampered(good, rigorous="arb", **false).verify()
    ones = [[[0.0] * 4] * 4]
    assert not tampered(good, lfr__groups=ones, **false).verify()


def test_bounds_without_multipliers_are_computed_again():
    good = lipschitz.product_bound(NET)
    assert good.verify() and tampered(good).verify()
    for changes in (
        {"upper": good.upper * (1.0 - 1e-9)},
        {"method": "nope"},
        {"rigorous": "rump"},
        {"region": [[0.0, 0.0], [1.0, 1.0]]},
        {"options": {"cells": 3}},
    ):
        assert not tampered(good, **changes).verify(), changes


def test_rounding_below_0_is_refused():
    data = json.loads(lipschitz.product_bound(NET).to_json())
    data["network"][0]["rounding"] = -0.5
    with pytest.raises(ValueError, match="rounding"):
        Certificate.from_json(json.dumps(data))


def test_half_a_sum_is_rounded_up():
    """l_inf: rho is at least the exact half sum of tau and mu."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        net = Network.from_weights([rng.normal(size=(4, 3)), rng.normal(size=(1, 4))])
        found = lipschitz.lipsdp(net, "linf")
        assert found.multipliers is not None and found.rho is not None
        half = sum((Fraction(float(x)) for x in found.multipliers[4:]), Fraction(0)) / 2
        assert half <= Fraction(float(found.rho))
        assert not replace(found, rho=float(np.nextafter(float(half), 0.0))).verify()


@pytest.mark.parametrize("norm", ["l2", "linf", "linf_l1"])
@pytest.mark.parametrize("structure", ["neuron", "layer"])
def test_every_halved_multiplier_is_rejected(norm, structure):
    good = lipschitz.lipsdp(formula_net((3, 5, 5, 2)), norm, structure)
    assert good.multipliers is not None and good.verify()
    for i, multiplier in enumerate(good.multipliers):
        if multiplier > 0.0:
            halved = good.multipliers.copy()
            halved[i] *= 0.5
            assert not replace(good, multipliers=halved).verify(), i


def test_interval_slopes_are_an_option():
    """LipSDP as others localise it: tanh, 2-6-6-1, +-.2."""
    net = formula_net((2, 6, 6, 1), "tanh")
    box = np.full(2, -0.2), np.full(2, 0.2)
    wide = lipschitz.lipsdp(net, region=box, slopes="interval")
    assert wide.upper == pytest.approx(2.2550441, rel=1e-5) and wide.verify()
    assert lipschitz.lipsdp(net, region=box).upper < 0.8 * wide.upper
    with pytest.raises(ValueError, match="slopes must be one of"):
        lipschitz.lipsdp(net, region=box, slopes="ibp")


def test_mirrors_are_rounded_relative_to_each_entry():
    """I - v v^T / |v|^2 with a tiny entry of v, where 1 - v^2/|v|^2 would cancel."""
    net = Network.from_weights([formula(4, 2, 0), formula(1, 4, 1)], None, "householder(1,1e-6)")
    v = [Fraction(1), Fraction(1e-6)]
    (mirror,) = [layer for layer in net.scalar.layers if layer.neurons]
    assert isinstance(mirror, Layer) and mirror.H is not None
    for i in range(4):
        for j in range(4):
            same = i // 2 == j // 2
            outer = v[i % 2] * v[j % 2] / sum(x * x for x in v) if same else Fraction(0)
            exact = (i == j) - outer
            off = abs(Fraction(float(mirror.H[i, j])) - exact)
            assert off <= Fraction(mirror.rounding) * abs(exact)


@pytest.mark.parametrize("wrong", [None, "net", [np.eye(2)], 3])
def test_what_is_no_network_is_refused(wrong):
    for function in (
        lipschitz.certify,
        lipschitz.eclipse,
        lipschitz.exact,
        lipschitz.gradient,
        lipschitz.interval_jacobian,
        lipschitz.jacobian_propagation,
        lipschitz.lipsdp,
        lipschitz.lower_bound,
        lipschitz.mixing,
        lipschitz.penalty,
        lipschitz.product_bound,
    ):
        with pytest.raises(TypeError, match=r"Network\.from_weights"):
            function(wrong)


def test_representations_of_other_sizes_do_not_fit():
    good = lipschitz.lipsdp(NET)
    assert good.lfr is not None
    other = lipschitz.lipsdp(formula_net((2, 3, 1))).lfr
    assert isinstance(other, LFR)
    assert not replace(good, lfr=other).verify()
