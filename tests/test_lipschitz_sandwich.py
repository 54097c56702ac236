"""Attained lower bound <= exact constant <= every upper bound, on random networks of all kinds."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from lipschitz_random import KINDS, Case, cases

from rlopt.theory.lipschitz import Certificate, lower, portfolio, proof
from rlopt.theory.lipschitz.descent import penalty
from rlopt.theory.lipschitz.jacobian import interval_jacobian
from rlopt.theory.lipschitz.layerwise import eclipse
from rlopt.theory.lipschitz.lower import lower_bound
from rlopt.theory.lipschitz.maxcut import mixing
from rlopt.theory.lipschitz.norms import product_bound
from rlopt.theory.lipschitz.pieces import exact
from rlopt.theory.lipschitz.portfolio import certify
from rlopt.theory.lipschitz.propagation import jacobian_propagation
from rlopt.theory.lipschitz.regions import operator_norm
from rlopt.theory.lipschitz.semidefinite import lipsdp

FLOAT = 1e-9  # relative; of values that are not rounded outwards
SOLVER = 1e-4  # relative; how far a certificate may be above its programme's optimum
NOTHING = 1e-90  # the constant of a constant network, as it is proved


@pytest.fixture(scope="module", autouse=True)
def little_work() -> Iterator[None]:
    """Few samples for lower bounds, few cells, so that hundreds of networks take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower, "FEWEST", 64)
        patch.setattr(lower, "MOST", 400)
        patch.setattr(portfolio, "FINEST", 8)
        yield


def uppers(case: Case) -> list[Certificate]:
    """Everything that serves the case; bounds on all of R^n0 hold on boxes too."""
    net, region, norm = case.net, case.region, case.norm
    found = [product_bound(net, norm)]
    if portfolio._startable(net):
        found.append(lipsdp(net, norm, region=region))
        found.append(lipsdp(net, norm, structure="layer", region=region))
    if portfolio._one_layer(net):
        found.append(mixing(net, norm, region))
    if norm == "l2" and portfolio._feed_forward(net):
        found.append(eclipse(net, fast=True))
    if norm == "l2" and portfolio._startable(net):
        found.append(penalty(net, 3, region))
    if not net.implicit_layers:
        found.append(interval_jacobian(net, region, norm))
        found.append(jacobian_propagation(net, region, norm))
        if region is not None:
            found.append(jacobian_propagation(net, region, norm, branches=6))
    return found


def named(found: list[Certificate], method: str) -> float:
    """The least bound of a method, inf if there is none."""
    return min((one.upper for one in found if one.method == method), default=np.inf)


@given(case=cases())
@settings(max_examples=140, derandomize=True, deadline=None)
def test_lower_and_pairs_of_points_stay_below_every_upper_bound(case: Case) -> None:
    net, region, norm = case.net, case.region, case.norm
    attained, witness = lower_bound(net, region, norm)
    if region is not None:
        assert (region[0] <= witness).all() and (witness <= region[1]).all()
    found = uppers(case)
    least = min(one.upper for one in found)
    assert attained <= least
    assert all(one.verify() for one in found)
    # Jacobians anywhere: at kinks one of the slopes of either side
    jacobians = operator_norm(net.jacobian(case.points(40)), norm)
    assert jacobians.max() <= least * (1.0 + FLOAT) + 1e-200
    x, y = case.points(40, 1), case.points(40, 2)
    out, back = net(x) - net(y), x - y
    sides = {"l2": (2, 2), "linf": (np.inf, np.inf), "linf_l1": (1, np.inf)}[norm]
    moved = np.linalg.norm(out, sides[0], axis=1)
    rounding = 1e-12 * (np.abs(net(x)) + np.abs(net(y))).max(initial=0.0) * net.outputs
    size = 1e-12 * (1.0 + np.abs(x).max()) * least if np.isfinite(least) else np.inf
    assert (moved <= least * np.linalg.norm(back, sides[1], axis=1) + rounding + size).all()


@given(case=cases(("feed", "mixed", "residual", "hidden", "groups")))
@settings(max_examples=30, derandomize=True, deadline=None)
def test_which_bound_is_never_above_which(case: Case) -> None:
    found = uppers(case)
    neuron = named(found, "lipsdp-neuron") / (1.0 + SOLVER) - NOTHING
    assert neuron <= named(found, "lipsdp-layer")
    assert neuron <= named(found, "eclipse-fast")
    if case.kind in ("feed", "hidden") and case.norm == "l2":
        assert neuron <= named(found, "product")
    assert named(found, "jacobian_propagation") <= named(found, "interval_jacobian")
    if case.kind == "hidden":
        assert named(found, "mixing") <= (neuron + 2.0 * NOTHING) * (1.0 + SOLVER) ** 2
    everywhere = uppers(replace(case, region=None))
    for method in ("lipsdp-neuron", "interval_jacobian"):
        assert named(found, method) <= named(everywhere, method) * (1.0 + SOLVER) + NOTHING


@given(case=cases(("pieces",)))
@settings(max_examples=40, derandomize=True, deadline=None)
def test_the_exact_constant_lies_between(case: Case) -> None:
    if case.net.scalar.neurons > 8:
        return
    true = exact(case.net, case.region, case.norm)
    attained, _ = lower_bound(case.net, case.region, case.norm)
    assert attained <= true * (1.0 + FLOAT)
    assert true <= min(one.upper for one in uppers(case)) * (1.0 + FLOAT)


@given(case=cases(("groups",)))
@settings(max_examples=8, derandomize=True, deadline=None)
def test_couplings_of_groups(case: Case) -> None:
    """abs <= full <= chain <= lambda, but for sorting networks, of which nothing is known.

    Constants are left out: the conic solver's point need not be provable there.
    """
    net, norm = case.net, "l2" if case.norm == "linf_l1" else case.norm
    if product_bound(net).upper < NOTHING:
        return
    attained, _ = lower_bound(net, None, norm)
    found = [lipsdp(net, norm, coupling=name) for name in ("full", "chain", "lambda")]
    if not portfolio._sorts(net):
        found = [lipsdp(net, norm), *found]
    assert all(one.verify() for one in found)
    assert attained <= min(one.upper for one in found)
    for better, worse in itertools.pairwise(found):
        assert better.upper <= worse.upper * (1.0 + 1e-3)


@given(case=cases())
@settings(max_examples=40, derandomize=True, deadline=None)
def test_certify_is_at_or_below_every_single_method(case: Case) -> None:
    found = certify(case.net, case.region, case.norm)
    assert found.lower <= found.upper == found.certificate.upper
    if found.gap >= portfolio.CLOSED:  # else it may have stopped before the best method's turn
        assert found.upper <= min(one.upper for one in uppers(case))
    assert found.certificate.verify() and found.certificate.rigorous != "none"
    history = found.history
    assert history[0].method == "product"
    assert all(a.upper >= b.upper for a, b in itertools.pairwise(history))
    assert all(a.lower <= b.lower for a, b in itertools.pairwise(history))
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(history))
    assert (history[-1].upper, history[-1].lower) == (found.upper, found.lower)


@given(case=cases())
@settings(max_examples=20, derandomize=True, deadline=None)
def test_certificates_survive_json(case: Case) -> None:
    for one in uppers(case):
        again = Certificate.from_json(one.to_json())
        assert again.verify()
        assert (again.upper, again.method, again.rigorous) == (one.upper, one.method, one.rigorous)


@given(case=cases(tuple(kind for kind in KINDS if kind != "linear")))
@settings(max_examples=32, derandomize=True, deadline=None)
def test_claims_that_were_tampered_with_are_refused(case: Case) -> None:
    for one in uppers(case):
        if one.upper < NOTHING or not np.isfinite(one.upper):  # a constant, or no claim at all
            continue
        assert not replace(one, upper=one.upper * (1.0 - 1e-4)).verify(), one.method
        if one.rho is None or one.multipliers is None or one.lfr is None:
            continue
        largest = int(np.argmax(one.rho))
        lower_rho = np.array(one.rho)
        lower_rho.flat[largest] *= 1.0 - 1e-4
        shrunk = replace(one, rho=lower_rho, upper=one.upper)
        assert not shrunk.verify(), one.method
        # a halved multiplier may prove as much where its neuron does not matter, never more
        pieces = proof.rows(one.lfr, one.norm)
        chunks = one.multipliers.reshape(len(pieces), -1).copy()
        if not one.lfr.multipliers:
            continue
        chunks[largest, int(np.argmax(chunks[largest, : one.lfr.multipliers]))] *= 0.5
        halved = replace(one, multipliers=chunks.ravel())
        if halved.verify():
            value = proof.value(pieces[largest], one.norm, chunks[largest])
            assert value is not None and value[1] <= np.ravel(one.rho)[largest]
