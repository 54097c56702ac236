"""The gradient of the certified bound against finite differences of it."""

import numpy as np
import pytest
import torch
from lipschitz_nets import formula, weights

from rlopt.theory.lipschitz import Network, ipm
from rlopt.theory.lipschitz.envelope import gradient
from rlopt.theory.lipschitz.semidefinite import lipsdp

STEP = 1e-5
CLOSE = 1e-4  # of differences and gradient


def chain(activation):
    return lambda given: Network.from_weights(given, activation=activation)


def residual(given):
    outer = [0.5 * formula(3, 4, k + 5) for k in range(len(given))]
    return Network.residual(given, outer)


def residual_maxmin(given):
    outer = [0.5 * formula(3, 4, k + 5) for k in range(len(given))]
    return Network.residual(given, outer, activation="maxmin")


def implicit(given):
    return Network.implicit(0.3 * formula(3, 3, 3), given[0], formula(2, 3, 2))


def bound(net):
    return np.sqrt(ipm.solve(net.lfr(), "l2", gap=1e-9).primal)


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (chain("relu"), weights((2, 3, 1))),
        (chain("tanh"), weights((3, 5, 5, 2))),
        (chain("sigmoid"), weights((2, 4, 3, 2))),
        (chain("leaky_relu(0.1)"), weights((2, 6, 6, 1))),
        (chain("silu"), weights((4, 8, 8, 8, 2))),
        (chain("maxmin"), weights((3, 6, 6, 2))),
        (chain("householder(1,2,3)"), weights((3, 6, 6, 2))),
        (chain("groupsort(4)"), weights((2, 4, 4, 2))),
        (chain("identity"), weights((3, 5, 5, 2))),
        (chain(["relu", "identity", "tanh"]), weights((3, 5, 4, 5, 2))),
        (residual, [formula(4, 3, k) for k in range(3)]),
        (residual_maxmin, [formula(4, 3, k) for k in range(2)]),
        (implicit, [formula(3, 2, 1)]),
    ],
)
def test_gradient_is_the_limit_of_differences(make, given):
    rng = np.random.default_rng(0)
    slopes = gradient(make(given))[: len(given)]
    assert [slope.shape for slope in slopes] == [W.shape for W in given]
    for k, slope in enumerate(slopes):
        way = rng.normal(size=slope.shape)
        sides = [
            bound(make([*given[:k], given[k] + signed * way, *given[k + 1 :]]))
            for signed in (STEP, -STEP)
        ]
        difference = (sides[0] - sides[1]) / (2.0 * STEP)
        assert np.vdot(slope, way) == pytest.approx(difference, rel=CLOSE, abs=CLOSE)


def test_gradient_of_the_certified_number_itself():
    given, way = weights((2, 4, 3, 2)), np.random.default_rng(1).normal(size=(3, 4))
    step = 1e-3  # the certified number is good to 1e-6
    up, down = (
        lipsdp(Network.from_weights([given[0], given[1] + sign * step * way, given[2]])).upper
        for sign in (1.0, -1.0)
    )
    slope = gradient(Network.from_weights(given))[1]
    assert np.vdot(slope, way) == pytest.approx((up - down) / (2.0 * step), rel=3e-3)


def test_a_layer_is_worth_the_bound():
    """L is homogeneous of degree 1 in each matrix: Euler's <dL/dW, W> = L."""
    for activation in ("relu", "maxmin", "gelu"):
        net = Network.from_weights(weights((3, 6, 6, 2)), activation=activation)
        value = bound(net)
        for slope, W in zip(gradient(net), weights((3, 6, 6, 2)), strict=True):
            assert np.vdot(slope, W) == pytest.approx(value, rel=1e-5)


def test_a_linear_map_has_its_top_singular_pair():
    W = formula(3, 4, 1)
    left, _, right = np.linalg.svd(W)
    (slope,) = gradient(Network.from_weights([W]))
    assert slope == pytest.approx(np.outer(left[:, 0], right[0]), abs=1e-6)


def test_a_constant_net_has_none():
    net = Network.from_weights([np.zeros((3, 2)), np.ones((1, 3))])
    assert all(not slope.any() for slope in gradient(net))


def test_it_regularises_a_torch_model():
    torch.manual_seed(0)
    layers = [torch.nn.Linear(3, 8), torch.nn.Linear(8, 1)]
    model = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1])

    def network():
        return Network.from_weights([layer.weight.detach().double() for layer in layers])

    before = lipsdp(network()).upper
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(5):
        for layer, slope in zip(layers, gradient(network()), strict=True):
            layer.weight.grad = torch.as_tensor(slope, dtype=layer.weight.dtype)
        optimiser.step()
    assert lipsdp(network()).upper < 0.8 * before
