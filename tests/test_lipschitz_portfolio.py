"""The portfolio: reference values, budgets, regions, and what it skips."""

from time import perf_counter
from typing import Any

import gymnasium
import numpy as np
import pytest
from lipschitz_nets import formula_net, gaussian

from rlopt.theory.lipschitz import Certificate, Network, certify, lipsdp, lower, portfolio
from rlopt.theory.lipschitz.propagation import jacobian_propagation
from rlopt.theory.lipschitz.regions import operator_norm

EXACT = 1e-9
# exact constants of 2-6-6-1 on boxes around 0, by enumeration of its linear pieces: l2, l_inf
BOXES = {
    0.05: (1.0390459, 1.367206),
    0.2: (1.0390459, 1.367206),
    0.5: (1.937648, 2.734660),
    1.0: (2.0616214, 2.734660),
}


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("radius", BOXES)
def test_the_exact_constant_is_reached_on_boxes(radius: float, norm: str) -> None:
    net = formula_net((2, 6, 6, 1))
    found = certify(net, (np.full(2, -radius), np.full(2, radius)), norm, budget_seconds=30.0)
    assert found.upper == pytest.approx(BOXES[radius][norm == "linf"], rel=1e-6)
    assert 0.0 <= found.gap < 1e-6
    assert found.seconds < 20.0  # it stops when the gap is closed
    assert found.certificate.verify()
    *before, last = found.history
    assert last.upper == found.upper
    assert all(record.upper - record.lower > 1e-6 * record.upper for record in before)


@pytest.mark.parametrize(
    ("dims", "norm", "value"),
    [
        ((2, 3, 1), "l2", 1.5123479),
        ((2, 4, 3, 2), "l2", 2.9386479),
        ((3, 5, 5, 2), "l2", 3.9700485),
        ((2, 6, 6, 1), "l2", 3.5261823),
        ((2, 6, 6, 1), "linf", 4.974222),
        ((2, 4, 3, 2), "linf", 3.555568),
        ((2, 4, 3, 2), "linf_l1", 5.303531),
    ],
)
def test_lipsdp_is_reached_everywhere(dims: tuple[int, ...], norm: str, value: float) -> None:
    found = certify(formula_net(dims), norm=norm, budget_seconds=30.0)
    assert found.upper <= value * (1.0 + 1e-5)
    assert found.lower <= found.upper
    assert found.region is None and found.norm == norm
    assert found.lower == pytest.approx(
        float(operator_norm(formula_net(dims).jacobian(found.witness), norm)), rel=EXACT
    )


def test_a_smooth_network_on_a_box_improves_with_every_doubling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(portfolio, "FINEST", 512)
    net = formula_net((2, 6, 6, 1), "tanh")
    seen: list[portfolio.Record] = []
    found = certify(
        net, (np.full(2, -0.2), np.full(2, 0.2)), budget_seconds=60.0, callback=seen.append
    )
    assert tuple(seen) == found.history
    assert found.history[0].method == "product"
    searched = [record for record in seen if record.rigorous == "attained"]
    assert [record.method for record in searched] == ["lower_bound"]
    upper = [record.upper for record in seen]
    assert upper == sorted(upper, reverse=True)
    assert [record.lower for record in seen] == sorted(record.lower for record in seen)
    # LipSDP with interval slopes on this box is 2.2550441, sampled lower bound 1.288521
    assert 1.2885 < found.lower <= found.upper < 1.35
    assert found.best_unverified is None


def test_descent_stands_in_where_lipsdp_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lower, "MOST", 256)
    net = Network.from_weights(gaussian((4, 40, 40, 1)))
    monkeypatch.setattr(portfolio, "SECONDS", 3e5)  # as if the network were 20 times as large
    found = certify(net, budget_seconds=100.0)
    assert found.history[-1].method == "penalty"
    monkeypatch.undo()
    best = certify(net, budget_seconds=100.0)
    assert best.upper <= found.upper <= 1.05 * best.upper


def test_budgets_bind_what_is_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lower, "MOST", 256)
    net = Network.from_weights(gaussian((4, 200, 200, 1)))
    found = certify(net, budget_seconds=0.01)
    assert {record.method for record in found.history} <= {
        "product", "interval_jacobian", "lower_bound"
    }  # fmt: skip
    assert 0.0 < found.lower < found.upper < np.inf
    assert found.certificate.verify()
    assert certify(net, budget_seconds=1.0).upper <= found.upper


@pytest.mark.parametrize("growth", [2.0, 2.5, 2.9])
def test_branch_and_bound_does_not_overshoot(
    monkeypatch: pytest.MonkeyPatch, growth: float
) -> None:
    clock, spans = [0.0], []

    def slow(net: Network, region: Any, norm: str, branches: int = 1) -> Certificate:
        spans.append(0.001 * growth ** np.log2(branches))
        clock[0] += spans[-1]
        return jacobian_propagation(net, region, norm)

    monkeypatch.setattr(portfolio, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(portfolio, "jacobian_propagation", slow)
    found = certify(formula_net((2, 6, 6, 1), "tanh"), (-0.2, 0.2), budget_seconds=20.0)
    assert len(spans) > 5
    assert spans[-1] < found.seconds <= 20.0


@pytest.mark.parametrize("region", [None, (-1.0, 1.0)])
@pytest.mark.parametrize("budget", [0.5, 5.0])
def test_the_search_leaves_time(
    monkeypatch: pytest.MonkeyPatch, region: Any, budget: float
) -> None:
    given: list[float] = []

    def fake(*args: Any) -> tuple[float, np.ndarray]:
        given.append(args[-1])
        return 0.5, np.zeros(args[0].inputs)

    monkeypatch.setattr(portfolio, "searched", fake)
    monkeypatch.setattr(portfolio, "perf_counter", lambda: 0.0)
    monkeypatch.setattr(portfolio, "FINEST", 0)
    certify(Network.from_weights(gaussian((4, 30, 30, 1))), region, budget_seconds=budget)
    # all of it if it comes last
    assert given == [pytest.approx(budget if region is None else budget / 3.0)]


def test_a_short_budget_is_kept() -> None:
    net = Network.from_weights(gaussian((17, 64, 64, 6)))
    found = certify(net, budget_seconds=0.1)
    assert found.seconds < 1.0  # 0.1 on an idle core; a search at leisure takes 1 s
    assert 0.0 < found.lower < found.upper


@pytest.mark.parametrize("region", [None, (0.0, 1.0)])
@pytest.mark.parametrize("strength", [1.0, 5.0])
def test_an_implicit_layer_without_a_fixed_point_is_refused(strength: float, region: Any) -> None:
    net = Network.implicit(strength * np.eye(2), np.ones((2, 1)), np.ones((1, 2)))
    began = perf_counter()
    with pytest.raises(ArithmeticError, match="no fixed point"):
        certify(net, region)
    assert perf_counter() - began < 2.0


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_constants_are_closed(norm: str) -> None:
    for layers in ([np.eye(2), np.zeros((2, 2)), np.eye(2)], [np.zeros((2, 2))]):
        found = certify(Network.from_weights(layers), norm=norm)
        assert found.upper == found.lower == found.gap == 0.0
    # both neurons are off on the box
    off = certify(Network.from_weights([np.eye(2)] * 2, [[-5, -5], [0, 0]]), (-1.0, 1.0), norm)
    assert off.upper < 1e-300 and off.gap == 0.0 and len(off.history) == 2
    point = certify(formula_net((2, 6, 6, 1)), (0.3, 0.3), norm)
    assert point.gap < 1e-6


def test_a_method_that_fails_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*args: Any, **named: Any) -> Certificate:
        raise ArithmeticError("the solver gave up")

    monkeypatch.setattr(portfolio, "lipsdp", failing)
    found = certify(formula_net((2, 3, 1)), budget_seconds=5.0)
    assert "lipsdp-neuron" not in {record.method for record in found.history}
    assert found.upper < np.inf


def test_gymnasium_boxes_are_regions() -> None:
    net = formula_net((2, 6, 6, 1))
    space = gymnasium.spaces.Box(-0.05, 0.05, (2,), np.float64)
    found = certify(net, space)
    assert found.region is not None and found.region[1].tolist() == [0.05, 0.05]
    assert found.upper == certify(net, (-0.05, 0.05)).upper
    assert found.certificate.region is not None


@pytest.mark.parametrize(
    "net",
    [
        Network.from_weights([[[3.0, 4.0]]]),
        Network.from_weights([[[0.0, 0.0]], [[1.0]]], activation="tanh"),
        Network.from_weights([[[1.0], [-1.0]], [[1.0, 1.0]]]),
        Network.from_weights([np.eye(2), np.eye(2)], activation="maxmin"),
        Network.from_weights([np.eye(3), np.eye(3)], activation="groupsort(3)"),
        Network.residual([0.5 * np.eye(2)], [0.5 * np.eye(2)]),
        Network.implicit([[0.5]], [[1.0, 2.0]], [[1.0]]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_small_networks_of_every_kind_are_closed(net: Network, norm: str) -> None:
    found = certify(net, norm=norm, budget_seconds=20.0)
    assert found.gap < 1e-5
    assert found.certificate.verify()


def test_networks_that_nothing_bounds() -> None:
    net = Network.implicit([[3.0]], [[1.0]], [[1.0]], activation="tanh")
    found = certify(net, budget_seconds=5.0)
    assert found.upper == np.inf and found.gap == 1.0
    assert Certificate.from_json(found.certificate.to_json()).upper == np.inf


def test_what_could_not_be_proved_stands_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = lipsdp

    def unproved(*args: Any, **named: Any) -> Certificate:
        from dataclasses import replace

        return replace(honest(*args, **named), rigorous="none")

    monkeypatch.setattr(portfolio, "lipsdp", unproved)
    found = certify(formula_net((2, 6, 6, 1)), budget_seconds=20.0)
    assert found.certificate.rigorous != "none"
    assert found.best_unverified is not None
    assert found.best_unverified.upper < found.upper
    assert found.history[-1].upper == found.upper


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"budget_seconds": 0.0}, ValueError, "budget_seconds must be > 0, got 0.0"),
        ({"budget_seconds": -1}, ValueError, "budget_seconds must be > 0"),
        ({"budget_seconds": "60"}, TypeError, "budget_seconds must be a real number"),
        ({"norm": "l3"}, ValueError, "norm must be one of"),
        ({"region": (1.0, 0.0)}, ValueError, "low must be <= high"),
        ({"region": 3.0}, ValueError, "region must be a pair"),
        ({"seed": -1}, ValueError, "seed must be a whole number >= 0"),
    ],
)
def test_bad_arguments_are_refused_at_the_door(
    changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        certify(formula_net((2, 3, 1)), **changed)
