"""Bounds on a box: pre-activations, slopes, the interval Jacobian, propagation with branching."""

from fractions import Fraction

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from lipschitz_local import SCALAR, SEEDS, activity, around, boxes, nets, off_kinks, samples
from lipschitz_nets import formula, formula_net

from rlopt.theory.lipschitz import Network
from rlopt.theory.lipschitz.activations import Activation
from rlopt.theory.lipschitz.chords import most, relaxed
from rlopt.theory.lipschitz.crown import bounded, pulled
from rlopt.theory.lipschitz.interval import magnitude, scaled, times_matrix
from rlopt.theory.lipschitz.jacobian import backwards, forwards, interval_jacobian
from rlopt.theory.lipschitz.measure import spectral_norms
from rlopt.theory.lipschitz.relax import image, lines
from rlopt.theory.lipschitz.slopes import preactivations, slopes

ROUNDING = 1e-12  # relative error of sampled values and Jacobians
TABLE = 1e-6  # they have six decimals
# --- one activation ---


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SCALAR), st.floats(-30.0, 30.0), st.floats(0.0, 1.0), st.floats(-3.0, 2.0))
def test_lines_and_images_hold_the_function(name, low, share, size):
    activation = Activation.parse(name)
    high = low + share * 10.0**size
    v = np.linspace(low, high, 801).clip(low, high)
    value = activation.value(v)
    ends = np.array([low]), np.array([high])
    line, within = lines(activation, *ends), image(activation, *ends)
    slack = 1e-15 * (1.0 + np.abs(value))  # of the library function
    assert (line.above_slope * v + line.above_offset >= value - 4 * slack).all()
    assert (line.below_slope * v + line.below_offset <= value + 4 * slack).all()
    assert within[0] <= value.min() + slack.min() and within[1] >= value.max() - slack.min()


@pytest.mark.parametrize("name", SCALAR)
def test_lines_are_close_to_the_function(name):
    # the gap at the middle of a short interval is of second order
    activation = Activation.parse(name)
    for low, high in ((0.5, 0.6), (-0.6, -0.5), (1.0, 1.1)):
        line = lines(activation, np.array([low]), np.array([high]))
        middle = 0.5 * (low + high)
        above = line.above_slope * middle + line.above_offset
        below = line.below_slope * middle + line.below_offset
        assert above - below < 2e-3


def test_the_chord_of_relu_and_the_triangle_below():
    relu = Activation.parse("relu")
    low, high = np.array([-1.0, -3.0, 1.0, -2.0]), np.array([3.0, 1.0, 2.0, -1.0])
    line = lines(relu, low, high)
    np.testing.assert_allclose(line.above_slope, [0.75, 0.25, 1.0, 0.0])
    np.testing.assert_allclose(line.above_offset, [0.75, 0.75, 0.0, 0.0], atol=1e-13)
    np.testing.assert_array_equal(line.below_slope, [1.0, 0.0, 1.0, 0.0])
    np.testing.assert_array_equal(line.below_offset, 0.0)


def test_lines_are_bounds_in_exact_arithmetic():
    # tanh at its tangent points, with 50 digits: offsets are rounded outwards
    tanh = Activation.parse("tanh")
    rng = np.random.default_rng(0)
    low = rng.normal(size=60) * 2.0
    high = low + 10.0 ** rng.uniform(-4.0, 0.5, size=60)
    line = lines(tanh, low, high)
    with mpmath.workdps(50):
        for k in range(len(low)):
            for slope, offset, sign in (
                (line.above_slope[k], line.above_offset[k], 1),
                (line.below_slope[k], line.below_offset[k], -1),
            ):
                points = [mpmath.mpf(low[k]), mpmath.mpf(high[k])]
                if 0.0 < slope < 1.0:
                    turn = mpmath.atanh(mpmath.sqrt(1 - mpmath.mpf(slope)))
                    points += [p for p in (turn, -turn) if low[k] <= p <= high[k]]
                gaps = [sign * (slope * p + mpmath.mpf(offset) - mpmath.tanh(p)) for p in points]
                assert min(gaps) >= 0


@pytest.mark.parametrize("name", ["relu", "leaky_relu(0.1)", "leaky_relu(2)", "abs"])
def test_chords_are_bounds_in_exact_arithmetic(name):
    activation = Activation.parse(name)
    rng = np.random.default_rng(0)
    low, high = (
        -(10.0 ** rng.uniform(-6.0, 6.0, size=100)),
        10.0 ** rng.uniform(-6.0, 6.0, size=100),
    )
    line = lines(activation, low, high)
    slope = [mpmath.mpf(activation.function.slope(v).item()) for v in (-np.ones(1), np.ones(1))]
    with mpmath.workdps(50):
        for k in range(len(low)):
            for v, value in (
                (low[k], slope[0] * low[k]),
                (0.0, 0.0),
                (high[k], slope[1] * high[k]),
            ):
                assert mpmath.mpf(line.above_slope[k]) * v + line.above_offset[k] >= value
                assert mpmath.mpf(line.below_slope[k]) * v + line.below_offset[k] <= value


# --- pre-activations and slopes ---


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_sampled_preactivations_and_slopes_lie_in_their_bounds(data):
    net = data.draw(nets())
    region = data.draw(boxes(net.inputs))
    found, wide = preactivations(net, region), preactivations(net, region, relaxed=False)
    values = activity(net, samples(region))
    for (low, high), (lowest, highest), v in zip(found, wide, values, strict=True):
        slack = ROUNDING * (1.0 + np.abs(v))
        assert (v >= low - slack).all() and (v <= high + slack).all()
        assert (low >= lowest).all() and (high <= highest).all()
    alpha, beta = slopes(net, region)
    layers = net.scalar.layers
    slope = np.concatenate(
        [la.activation.function.slope(v) for la, v in zip(layers, values, strict=True)], axis=1
    )
    # a sampled pre-activation within rounding of a kink may show the slope beyond it
    far = np.abs(np.concatenate(values, axis=1)) > 1e-9
    assert ((slope >= alpha - 1e-9) | ~far).all() and ((slope <= beta + 1e-9) | ~far).all()
    np.testing.assert_array_equal(net.lfr(region).alpha, alpha)


def test_preactivations_are_bounds_in_exact_arithmetic():
    # at a point, where nothing hides the rounding
    net = formula_net((3, 5, 5, 5, 2), "tanh")
    x = np.array([0.3, -1.7, 0.9])
    found = preactivations(net, (x, x))
    with mpmath.workdps(50):
        state = [mpmath.mpf(v) for v in x]
        for layer, (low, high) in zip(net.layers[:-1], found, strict=False):
            v = [
                mpmath.fsum(mpmath.mpf(w) * s for w, s in zip(row, state, strict=True)) + float(b)
                for row, b in zip(layer.W, layer.b, strict=True)
            ]
            assert all(lo <= exact_v <= hi for lo, exact_v, hi in zip(low, v, high, strict=True))
            state = [mpmath.tanh(value) for value in v]
    assert max((high - low).max(initial=0.0) for low, high in found) < 1e-11


def test_crown_is_exact_where_all_activations_are_linear():
    net = formula_net((2, 6, 6, 6, 2), "identity")
    region = around(2, 3.0)
    W = [layer.W for layer in net.layers[:-1]]
    for k, (low, high) in enumerate(preactivations(net, region)[:3]):
        product = np.linalg.multi_dot([*W[k::-1], np.eye(2)])
        np.testing.assert_allclose(high - low, 6.0 * np.abs(product).sum(axis=1), rtol=1e-10)


def linear_in_exact_arithmetic(
    net: Network, slope: np.ndarray
) -> tuple[list[mpmath.matrix], mpmath.matrix]:
    """Maps from the input to each layer's pre-activations, and to the output, with 50 digits."""
    state, found, start = mpmath.eye(net.inputs), [], 0
    for layer in net.layers:
        v = mpmath.matrix(layer.W.tolist()) * state if layer.neurons else None
        found.append(v)
        new = 0
        if layer.neurons:
            s = mpmath.diag([mpmath.mpf(x) for x in slope[start : start + layer.neurons]])
            new = mpmath.matrix(layer.G.tolist()) * s * v
            start += layer.neurons
        if layer.H is not None:
            skip = mpmath.matrix(layer.H.tolist()) * state
            new = new + skip if layer.neurons else skip
        state = new
    return found, state


def residual_net() -> Network:
    rng = np.random.default_rng(5)
    W = [rng.normal(size=(8, 3)) for _ in range(3)]
    return Network.residual(W, [rng.normal(size=(3, 8)) for _ in range(3)], activation="identity")


def test_crown_is_a_bound_in_exact_arithmetic():
    # linear activations: the exact range is known, and interval bounds are far wider
    rng = np.random.default_rng(1)
    wide = [rng.normal(size=shape) for shape in ((30, 3), (30, 30), (30, 30), (1, 30))]
    for net in (Network.from_weights(wide, activation="identity"), residual_net()):
        with mpmath.workdps(50):
            found, _ = linear_in_exact_arithmetic(net, np.ones(net.neurons))
            for k, (low, high) in enumerate(preactivations(net, around(3, 1.0))):
                for i in range(len(low)):
                    reach = mpmath.fsum(abs(found[k][i, j]) for j in range(3))
                    assert low[i] <= -reach and high[i] >= reach
                    assert high[i] <= float(reach) * (1.0 + 1e-9)


def test_crown_covers_what_cancellation_leaves():
    # the second matrix maps the range of the first, with the biases, to 0 up to rounding; all
    # neurons are active
    rng = np.random.default_rng(2)
    first, bias = rng.normal(size=(12, 3)), np.full(12, 20.0)
    first[:, 2] = 1.0
    second = np.linalg.svd(first)[0][:, 3:].T
    net = Network.from_weights([first, second, np.ones((1, 9))], [bias, np.zeros(9), [0.0]])
    low, high = preactivations(net, around(3, 1.0))[1]
    with mpmath.workdps(50):
        found, _ = linear_in_exact_arithmetic(net, np.ones(net.neurons))
        middle = mpmath.matrix(second.tolist()) * mpmath.matrix(bias.tolist())
        for i in range(9):
            reach = mpmath.fsum(abs(found[1][i, j]) for j in range(3))
            assert low[i] <= middle[i] - reach and middle[i] + reach <= high[i]
            assert high[i] - low[i] <= 1e-11


def exactly(matrix: np.ndarray) -> np.ndarray:
    """Entries as fractions."""
    return np.array([[Fraction(v) for v in row] for row in matrix.tolist()], dtype=object)


def test_pulled_bounds_cover_their_own_rounding():
    # linear activations, at points: before the cut with intervals nothing hides the rounding; the
    # second size lets products underflow
    rng = np.random.default_rng(3)
    for size in (1.0, 1e-162):
        W = [size * rng.normal(size=shape) for shape in ((8, 3), (8, 8), (8, 8), (1, 8))]
        net = Network.from_weights(W, activation="identity")
        for x in size * rng.normal(size=(4, 3)):
            box = x[None], x[None]
            passed, state = bounded(net, box), exactly(W[0]) @ exactly(x[:, None])
            for k in (1, 2):
                state = exactly(W[k]) @ state
                linear, _ = pulled(passed[:k], net.layers[k], passed[k].given)
                held = exactly(linear.coef[0]) @ exactly(x[:, None])
                held += exactly(linear.const[0][:, None])
                assert (held[:8] >= state).all() and (held[8:] >= -state).all()
                assert (exactly(linear.most(box)[0][:, None]) >= held).all()


def test_slopes_through_kinks_are_improved():
    net = formula_net((2, 6, 6, 1))
    region = around(2, 1.0)
    box = region[0][None], region[1][None]
    plain, better = (bounded(net, box, descents=d)[1] for d in (0, 20))
    assert (better.low >= plain.low).all() and (better.high <= plain.high).all()
    assert (better.high - better.low).mean() < 0.85 * (plain.high - plain.low).mean()


def test_layers_after_an_implicit_one_keep_their_global_slopes():
    first, then = formula_net((2, 3, 2), "tanh"), Network.implicit(
        0.3 * formula(3, 3, 3), formula(3, 2, 1), formula(2, 3, 2), activation="sigmoid"
    )  # fmt: skip
    net = Network((*first.layers, *then.layers, *first.layers))
    low = [bounds[0] for bounds in preactivations(net, around(2, 0.1))]
    finite = [bool(np.isfinite(side).all()) for side in low]
    assert finite[:2] == [True, True] and not any(
        f for f, v in zip(finite[2:], low[2:], strict=True) if len(v)
    )
    alpha, beta = slopes(net, around(2, 0.1))
    assert (alpha[:3] > 0.1).all()
    np.testing.assert_array_equal(alpha[3:], 0.0)
    np.testing.assert_array_equal(beta[3:], [0.25] * 3 + [1.0] * 3)


def test_overflow_leaves_global_slopes():
    W = [np.full((3, 2), 1e200), np.full((3, 3), 1e200), np.full((1, 3), 1e-200)]
    net = Network.from_weights(W, activation="tanh")
    alpha, beta = slopes(net, around(2, 1e100))
    np.testing.assert_array_equal(alpha, 0.0)
    np.testing.assert_array_equal(beta, 1.0)
    with pytest.raises(ArithmeticError, match="overflow"):
        interval_jacobian(net, around(2, 1e100), "l2")
    with pytest.raises(ValueError, match=r"low must be in \[-1e\+100"):
        interval_jacobian(net, around(2, 1e200))


# --- Jacobians ---


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_sampled_jacobians_lie_in_their_bounds(data):
    net = data.draw(nets())
    region = data.draw(boxes(net.inputs))
    alpha, beta = slopes(net, region)
    slope = alpha[None], beta[None]
    chords, J = relaxed(net.scalar, slope)
    sampled = net.jacobian(samples(region))
    sampled = sampled[off_kinks(net, samples(region))]
    for low, high in (J, forwards(net.scalar, slope), backwards(net.scalar, slope)[0]):
        slack = ROUNDING * (1.0 + np.abs(sampled).max(initial=0.0) + magnitude((low, high)).max())
        assert (sampled >= low - slack).all() and (sampled <= high + slack).all()
    # linear functions of the entries, each output its own
    rng = np.random.default_rng(data.draw(SEEDS))
    coef = rng.normal(size=(1, net.outputs, 4, net.inputs))
    bound = most(chords, coef, magnitude(J))[0]
    values = (coef[0] @ sampled[..., None])[..., 0]
    assert (values <= bound + ROUNDING * (1.0 + np.abs(values))).all()


def test_the_relaxed_jacobian_is_a_bound_in_exact_arithmetic():
    # all slopes fixed: the Jacobian is one matrix
    rng = np.random.default_rng(0)
    for net in (formula_net((3, 8, 8, 8, 2), "tanh"), residual_net()):
        slope = rng.uniform(size=net.neurons)
        _, J = relaxed(net, (slope[None], slope[None]))
        with mpmath.workdps(50):
            _, matrix = linear_in_exact_arithmetic(net, slope)
            for i, j in np.ndindex(*J[0][0].shape):
                assert J[0][0, i, j] <= matrix[i, j] <= J[1][0, i, j]
        assert (J[1] - J[0]).max() < 1e-11


def test_linear_functions_of_the_jacobian_cover_their_own_rounding():
    # all slopes fixed, before the cut with intervals; then at a size at which products underflow
    rng = np.random.default_rng(4)
    for size in (1.0, 1e-108):
        W = [size * rng.normal(size=shape) for shape in ((8, 3), (8, 8), (2, 8))]
        net, slope = Network.from_weights(W, activation="tanh"), rng.uniform(size=16)
        chords, J = relaxed(net, (slope[None], slope[None]))
        coef = rng.normal(size=(1, 2, 30, 3))
        bound = most(chords, coef, magnitude(J))[0]
        inner = exactly(slope[:8, None]) * exactly(W[0])
        exact = exactly(W[2]) @ (exactly(slope[8:, None]) * (exactly(W[1]) @ inner))
        for i in range(2):
            value = exactly(coef[0, i]) @ exact[i]
            assert all(Fraction(b) >= v for b, v in zip(bound[i], value, strict=True))
            assert J[0][0, i, 0] <= exact[i, 0] <= J[1][0, i, 0]


def test_the_chords_of_products_are_bounds_in_exact_arithmetic():
    rng = np.random.default_rng(0)
    net = Network.from_weights([np.ones((9, 1)), rng.normal(size=(9, 9)), rng.normal(size=(1, 9))])
    alpha, beta = -rng.uniform(size=(1, 18)), rng.uniform(size=(1, 18))
    chord = relaxed(net, (alpha, beta))[0][-1]
    low, high = chord.p[0][0, 0], chord.p[1][0, 0]
    assert ((low < 0.0) & (high > 0.0)).all()
    with mpmath.workdps(50):
        for k in range(9):
            for p, s in ((p, s) for p in (low[k], high[k]) for s in (alpha[0, k], beta[0, k])):
                q = mpmath.mpf(p) * s
                above = mpmath.mpf(chord.above_slope[0, 0, k]) * p + chord.above_offset[0, 0, k]
                below = mpmath.mpf(chord.below_slope[0, 0, k]) * p + chord.below_offset[0, 0, k]
                assert below <= q <= above


def test_products_are_bounded_for_every_slope_interval():
    # one neuron, s in [alpha, beta], incoming entry p in [l, u] through a first neuron
    net = Network.from_weights([[[1.0]], [[1.0]], [[1.0]]], activation="leaky_relu(-2)")
    for alpha, beta in ((-2.0, 1.0), (-3.0, -1.0), (0.5, 2.0), (0.0, 1.0), (-1.0, 0.0)):
        for low, high in ((-1.0, 2.0), (-2.0, 1.0), (1.0, 2.0), (-2.0, -1.0)):
            slope = np.array([[alpha, low]]), np.array([[beta, high]])
            _, J = relaxed(net, slope)
            products = [s * p for s in (alpha, beta) for p in (low, high)]
            np.testing.assert_allclose(
                [J[0][0, 0, 0], J[1][0, 0, 0]], [min(products), max(products)], atol=1e-13
            )


def test_the_chords_of_a_product():
    net = Network.from_weights([[[1.0]], [[1.0]], [[1.0]]])
    chords, _ = relaxed(net, (np.array([[-1.0, -1.0]]), np.array([[3.0, 1.0]])))
    first = chords[-1]  # s in [-1, 3], p in [-1, 1]: between the lines p - 2 and p + 2
    assert first.p[0].item() == pytest.approx(-1.0) and first.p[1].item() == pytest.approx(1.0)
    found = [first.below_slope, first.below_offset, first.above_slope, first.above_offset]
    np.testing.assert_allclose([part.item() for part in found], [1.0, -2.0, 1.0, 2.0])


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 5), st.integers(1, 5))
def test_norms_of_a_batch_are_proved_and_close(seed, m, n):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(7, m, n))
    A[5], A[6] = 0.0, np.outer(A[6, :, 0], A[6, 0])
    A *= 10.0 ** rng.uniform(-200.0, 200.0, size=(7, 1, 1))
    bound = spectral_norms(A)
    for matrix, value in zip(A, bound, strict=True):
        with mpmath.workdps(40):
            scale = np.abs(matrix).max() or 1.0
            largest = max(mpmath.svd_r(mpmath.matrix((matrix / scale).tolist()), compute_uv=False))
        assert float(largest) * scale * (1.0 - 1e-15) <= value
        assert value <= float(largest) * scale * (1.0 + 1e-12)


@pytest.mark.parametrize("factor", [1.0 - 1e-3, 1.0 + 1e-3])
def test_norms_of_a_batch_do_not_trust_the_eigenvectors(monkeypatch, factor):
    # the largest entry of a diagonal matrix, with "eigenvectors" of another length than 1
    eigh = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda G: (eigh(G)[0], factor * eigh(G)[1]))
    assert (spectral_norms(np.diag([3.0, 1.0])[None]) >= 3.0).all()


def test_what_a_zero_makes_0_stays_0_and_what_underflow_does_is_covered():
    x, matrix = np.array([0.0, 1e-200, 1e-200]), np.array([[1.0, 1.0], [0.0, 1e-200], [0.0, 0.0]])
    low, high = times_matrix((x, x), matrix)
    assert low[0] == high[0] == 0.0 and low[1] < 0.0 < high[1] < 1e-300
    low, high = scaled((x, x), (x, x))
    assert low[0] == high[0] == 0.0 and low[1] < 0.0 < high[1] < 1e-300


def test_interval_products_are_rounded_outwards():
    rng = np.random.default_rng(0)
    x, matrix = rng.normal(size=50), rng.normal(size=(50, 8))
    low, high = times_matrix((x, x), matrix)
    with mpmath.workdps(60):
        for column, lo, hi in zip(matrix.T, low, high, strict=True):
            value = mpmath.fsum(
                mpmath.mpf(a) * mpmath.mpf(b) for a, b in zip(x, column, strict=True)
            )
            assert lo < value < hi
    assert (high - low < 1e-11).all()


@pytest.mark.parametrize(
    ("radius", "value"), [(0.05, 1.5815), (0.2, 2.8925), (0.5, 6.7486), (1.0, 7.4455)]
)
def test_interval_jacobian_with_interval_slopes(radius, value):
    # values with interval bounds on pre-activations, from the inputs forwards only
    net, region = formula_net((2, 6, 6, 1)), around(2, radius)
    alpha, beta = slopes(net, region, relaxed=False)
    J = forwards(net, (alpha[None], beta[None]))
    assert np.linalg.norm(magnitude(J)) == pytest.approx(value, rel=1e-4)
    both = interval_jacobian(net, region, slopes="interval").upper
    assert interval_jacobian(net, region).upper <= both <= value * (1.0 + 1e-4)
