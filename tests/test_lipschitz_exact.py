"""Exact constants of tiny networks: the tables, arrangements of lines, finite differences."""

from importlib import import_module
from math import comb

import numpy as np
import pytest
from lipschitz_nets import biases, formula, formula_net, gaussian, weights

from rlopt.theory.lipschitz import Network
from rlopt.theory.lipschitz.pieces import exact, formal_global, linear_regions, pieces
from rlopt.theory.lipschitz.regions import NORMS, operator_norm

TABLE = 1e-6  # relative; they have 8 digits
SHORT = 1e-5  # where they print 7
DIMS = [(2, 3, 1), (2, 4, 3, 2), (3, 5, 5, 2), (2, 6, 6, 1)]
# dims; constant and regions global, on [-1, 1]^n0, on [-.2, .2]^n0; formal global constant
TABLES = [
    (DIMS[0], (1.5123479, 7), (1.5123479, None), (0.9415156, 2), 1.5123479),
    (DIMS[1], (2.0423829, 23), (1.4530301, 20), (0.9032055, 3), 2.9386479),
    (DIMS[2], (3.6158712, 190), (3.2914622, 87), (1.0802374, 6), 3.9028176),
    (DIMS[3], (2.0616214, 70), (2.0616214, 38), (1.0390459, 5), 3.1657741),
]


def cube(n: int, r: float) -> tuple[np.ndarray, np.ndarray]:
    return -r * np.ones(n), r * np.ones(n)


@pytest.mark.parametrize(("dims", "whole", "unit", "small", "formal"), TABLES)
def test_the_tables_constants_and_regions(dims, whole, unit, small, formal):
    net = formula_net(dims)
    for region, (value, count) in (
        (None, whole),
        (cube(dims[0], 1.0), unit),
        (cube(dims[0], 0.2), small),
    ):
        # what `exact` and `linear_regions` take of the pieces, in one pass
        sizes = [np.linalg.norm(J, 2) for J in pieces(net, region)]
        assert max(sizes) == pytest.approx(value, rel=TABLE)
        assert count in (None, len(sizes))
    found = formal_global(net)
    assert found == pytest.approx(formal, rel=TABLE) and whole[0] <= found * (1.0 + TABLE)


@pytest.mark.parametrize(
    ("r", "l2", "linf"),
    [(0.05, 1.039046, 1.367206), (0.2, 1.039046, 1.367206), (0.5, 1.937648, 2.734660),
     (1.0, 2.061621, 2.734660)],
)  # fmt: skip
def test_the_tables_constants_on_boxes_in_both_norms(r, l2, linf):
    net = formula_net((2, 6, 6, 1))
    found = list(pieces(net, (-r, r)))
    for norm, value in (("l2", l2), ("linf", linf), ("linf_l1", linf)):
        assert operator_norm(np.array(found), norm).max() == pytest.approx(value, rel=SHORT)
    if r < 0.5:  # quick
        assert exact(net, cube(2, r), "linf") == pytest.approx(linf, rel=SHORT)


def test_formal_constants_of_other_layers():
    cases = [
        (Network.from_weights(weights((2, 4, 1)), activation="maxmin"), 1.2930455),
        (Network.from_weights(weights((2, 4, 4, 2)), activation="maxmin"), 2.9663028),
        (Network.from_weights(weights((3, 6, 6, 2)), activation="maxmin"), 6.7100195),
        (Network.from_weights(weights((3, 6, 6, 2)), activation="groupsort(3)"), 8.243815),
        (
            Network.residual(
                [formula(3, 2, k) for k in range(2)], [0.5 * formula(2, 3, k + 5) for k in range(2)]
            ),
            2.11585867,
        ),
        (
            Network.implicit(0.3 * formula(4, 4, 3), formula(4, 2, 1), formula(2, 4, 2)),
            3.39397158,
        ),
    ]
    for net, value in cases:
        assert formal_global(net) == pytest.approx(value, rel=TABLE)
    rows = formula_net((2, 6, 6, 1))
    assert formal_global(rows, "linf") == pytest.approx(4.359677, rel=TABLE)
    assert formal_global(formula_net((2, 3, 1)), "linf") == pytest.approx(2.061488, rel=TABLE)


@pytest.mark.parametrize("lines", [2, 3, 5])
def test_lines_in_general_position_cut_the_plane(lines):
    rng = np.random.default_rng(lines)
    W, b, out = rng.normal(size=(lines, 2)), rng.normal(size=lines), rng.normal(size=(1, lines))
    net = Network.from_weights([W, out], [b, np.zeros(1)])
    assert linear_regions(net) == 1 + lines + comb(lines, 2)
    assert linear_regions(Network.from_weights([W, out])) == 2 * lines  # through one point


@pytest.mark.parametrize("activation", ["relu", "leaky_relu(0.3)", "abs", "identity"])
def test_one_input_against_differences_on_a_grid(activation):
    rng = np.random.default_rng(3)
    drawn = gaussian((1, 6, 5, 2), seed=4)
    net = Network.from_weights(drawn, [rng.normal(size=len(W)) for W in drawn], activation)
    grid = np.linspace(-2.0, 2.0, 40_001)
    steps = np.diff(net(grid[:, None]), axis=0) / np.diff(grid)[:, None]
    assert exact(net, (-2.0, 2.0)) == pytest.approx(np.linalg.norm(steps, axis=1).max(), rel=1e-9)
    assert exact(net, (-2.0, 2.0), "linf") == pytest.approx(np.abs(steps).max(), rel=1e-9)


@pytest.mark.parametrize("activation", ["maxmin", "groupsort(3)", "householder(2,1,1)"])
def test_groups_against_many_jacobians(activation):
    dims = (2, 6, 6, 2)
    net = Network.from_weights(weights(dims), biases(dims), activation)
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (20_000, 2))
    seen = np.linalg.norm(net.jacobian(points), 2, axis=(1, 2)).max()
    assert exact(net, (-1.0, 1.0)) == pytest.approx(seen, rel=1e-12)


def test_known_functions():
    assert exact(Network.from_weights([[[3.0, -4.0]]])) == 5.0
    assert exact(Network.from_weights([[[3.0, -4.0]]]), norm="linf") == 7.0
    slopes = Network.from_weights([[[1.0], [-1.0]], [[1.0, 3.0]]])  # 1 and -3
    assert exact(slopes) == 3.0 and linear_regions(slopes) == 2
    assert exact(slopes, (0.5, 2.0)) == 1.0 and linear_regions(slopes, (0.5, 2.0)) == 1
    twice = Network.residual([[[1.0]]], [[[1.0]]])  # x + relu(x)
    assert exact(twice) == 2.0 and exact(twice, (-2.0, -1.0)) == 1.0


def test_dead_neurons_do_not_double_the_pieces():
    # the second layer sees a constant 0 where the first is off; its bias is 0 too
    net = Network.from_weights([[[1.0]], [[1.0], [2.0]], [[1.0, 1.0]]])
    assert linear_regions(net) == 2 and exact(net) == 3.0


def test_fixed_coordinates_count_as_on_a_wider_box():
    # |x| + y+ + 2 y-
    W = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    net = Network.from_weights([W, [[1.0, 1.0, 1.0, 2.0]]])
    for y, slope in ((1.0, 1.0), (0.0, 2.0), (-1.0, 2.0)):
        along = (np.array([-1.0, y]), np.array([1.0, y]))
        wider = (np.array([-1.0, y - 1e-6]), np.array([1.0, y + 1e-6]))
        for norm in NORMS:
            expected = (1.0 + slope**2) ** 0.5 if norm == "l2" else 1.0 + slope
            assert exact(net, along, norm) == pytest.approx(expected)
            assert exact(net, wider, norm) == pytest.approx(expected)
    point = (np.array([0.3, -0.7]), np.array([0.3, -0.7]))
    assert exact(net, point) == pytest.approx(5.0**0.5)


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e-9, 1.0, 1e50])
def test_small_and_large_scales(size):
    kink = Network.from_weights([[[1.0], [-1.0]], [[1.0, 3.0]]])  # 1 and -3
    assert exact(kink, (-size, size)) == 3.0
    # small weights and biases, with a kink at 100 where both neurons turn
    W, b = 1e-3 * size * np.array([[1.0], [-1.0]]), 0.1 * size * np.array([1.0, -1.0])
    out = 1.0 / (1e-3 * size) * np.array([[1.0, 3.0]])
    assert exact(Network.from_weights([W, out], [b, np.zeros(1)])) == pytest.approx(3.0)
    # all kinks of a net drawn together or apart
    drawn, biases = gaussian((2, 4, 3, 1), 3), [np.array([0.3, -0.5, 0.2, 0.1]), np.ones(3)]
    near, far = (
        Network.from_weights(drawn, [scale * b for b in biases]) for scale in (min(size, 1e50), 1.0)
    )
    assert exact(near) == pytest.approx(exact(far), rel=1e-9)
    assert linear_regions(near) == linear_regions(far)


def test_a_box_narrower_than_rounding_is_one_piece():
    net = Network.from_weights([[[1.0], [-1.0]], [[1.0, 3.0]]])
    assert exact(net, (1.0, np.nextafter(1.0, 2.0))) == 1.0


def test_what_is_refused():
    for net, words in (
        (formula_net((2, 3, 1), "tanh"), "piecewise linear"),
        (Network.implicit([[0.1]], [[1.0]], [[1.0]]), "implicit"),
        (formula_net((2, 41, 1)), "at most 40"),
    ):
        with pytest.raises(ValueError, match=words):
            exact(net)
    with pytest.raises(ValueError, match="norm must be"):
        exact(formula_net((2, 3, 1)), norm="l1")
    with pytest.raises(ValueError, match="up to 16 neurons"):
        formal_global(formula_net((2, 17, 1)))
    with pytest.raises(ValueError, match="low must be <= high"):
        exact(formula_net((2, 3, 1)), region=(1.0, -1.0))


def test_too_many_pieces_are_refused(monkeypatch):
    monkeypatch.setattr(import_module("rlopt.theory.lipschitz.pieces"), "REGIONS", 6)
    with pytest.raises(ValueError, match="more than 6"):
        exact(formula_net((2, 3, 1)))
