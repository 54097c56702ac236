"""LipSDP by conic solvers: slope-restricted neurons and coupled groups, every value proved."""

from dataclasses import replace
from time import perf_counter
from typing import Any

import cvxpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lipschitz_nets import formula, formula_net, gaussian, weights
from scipy.linalg import block_diag

from rlopt.theory.lipschitz import Certificate, Network, lmi, proof, sdp
from rlopt.theory.lipschitz.certificate import proved
from rlopt.theory.lipschitz.norms import product_bound
from rlopt.theory.pep import SolverFailed

cp: Any = cvxpy  # its types do not say what it exports
TABLE = 1e-5  # relative, as the reference values
FULL = 2e-4  # values found with T, S and P carry the solver's noise
SMALL, MIDDLE, WIDE = (2, 4, 1), (2, 4, 4, 2), (3, 6, 6, 2)


def certified(net: Network, coupling: str = "abs", norm: str = "l2", **more: str) -> Certificate:
    began = perf_counter()
    lfr = net.lfr(coupling=coupling)
    plain = coupling == "abs"
    found = sdp.solve(lfr, norm, **more) if plain else sdp.coupled(net, norm, coupling)
    candidates = [[multipliers] for multipliers in found]
    return proved(net, lfr, candidates, norm, f"lipsdp-{coupling}", None, began)


def residual(n: int, layers: int) -> Network:
    """x + maxmin(W x), `layers` times."""
    matrices = [0.5 * formula(n, n, k) for k in range(layers)]
    return Network.residual(matrices, [np.eye(n)] * layers, activation="maxmin")


GROUPS = [
    (formula_net(SMALL, "maxmin"), 1.9590521, 1.4185810, 1.3029296, 1.3029296),
    (formula_net(MIDDLE, "maxmin"), 4.6313871, 3.2220998, 2.9757125, 2.9757125),
    (formula_net(WIDE, "maxmin"), 9.4767598, 6.7677728, 6.7100195, 6.7100195),
    (formula_net(SMALL, "householder(1,0.5)"), None, 1.2930455, 1.2930455, 1.2930455),
    (formula_net(MIDDLE, "householder(1,0.5)"), None, 3.7177810, 3.6289464, 3.6289464),
    (formula_net(WIDE, "householder(1,0.5)"), None, 8.2307102, 6.8824263, 6.8824263),
    (residual(2, 2), None, 2.559332, 1.677486, 1.6774860),
    (residual(4, 2), None, 3.607730, 3.329793, 3.3297930),
    (residual(4, 3), None, 6.802318, 3.888497, 3.8884973),
    (formula_net(WIDE, "groupsort(3)"), 9.5637208, 9.4577817, 9.367303, 9.283211),
]


@pytest.mark.parametrize(("net", "lam", "chain", "full", "scalar"), GROUPS)
def test_groups_have_the_tables_values(net, lam, chain, full, scalar):
    wanted = {"lambda": lam, "chain": chain, "full": full, "abs": scalar}
    for coupling, value in wanted.items():
        if value is not None:
            found = certified(net, coupling)
            assert found.rigorous == "rump"
            assert found.upper == pytest.approx(value, rel=FULL if coupling == "full" else TABLE)


@pytest.mark.parametrize(
    ("dims", "chain", "scalar"),
    [(SMALL, 1.8694725, 1.781824), (MIDDLE, 4.5021952, 3.508341), (WIDE, 10.4172834, 10.261754)],
)
def test_maxmin_in_l_inf(dims, chain, scalar):
    net = formula_net(dims, "maxmin").rows(np.eye(dims[-1])[:1])
    assert certified(net, "chain", "linf").upper == pytest.approx(chain, rel=TABLE)
    assert certified(net, "abs", "linf").upper == pytest.approx(scalar, rel=TABLE)
    full = certified(net, "full", "linf").upper
    assert scalar * (1.0 - TABLE) <= full <= scalar * (1.0 + FULL)


def test_every_output_row_has_its_multipliers():
    net = formula_net(MIDDLE, "maxmin")
    both = certified(net, "chain", "linf")
    each = [certified(net.rows(row[None]), "chain", "linf").upper for row in np.eye(2)]
    assert both.upper == pytest.approx(max(each), rel=1e-6)
    assert both.rho == pytest.approx(each, rel=1e-6)
    together = certified(net, "chain", "linf_l1")
    assert max(each) < together.upper < sum(each)
    assert together.verify() and both.verify()


def test_t_s_and_p_together_do_no_better():
    # the programme as the paper states it, in full, on the unscaled matrices
    net = formula_net(MIDDLE, "maxmin")
    lfr = net.lfr(coupling="full")
    A, Y, N = lfr.A.value, lfr.Y.value, lfr.neurons
    lam, gamma, nu, tau = (cp.Variable(N // 2) for _ in range(4))
    J = [block_diag(*([np.zeros((2, 2))] * g), np.ones((2, 2)), np.zeros((N - 2 * g - 2,) * 2))
         for g in range(N // 2)]  # fmt: skip
    J = [part[:N, :N] for part in J]
    T = cp.diag(np.kron(np.eye(N // 2), np.ones((2, 1))) @ lam)
    T = T + sum(gamma[g] * J[g] for g in range(N // 2))
    S, P = (sum(v[g] * J[g] for g in range(N // 2)) for v in (nu, tau))
    Q = cp.bmat([[T - 2 * S, P + S], [P + S, -T - 2 * P]])
    rho = cp.Variable()
    both = np.vstack([A, np.eye(N, lfr.inputs + N, lfr.inputs)])
    E0 = np.diag(np.r_[np.ones(lfr.inputs), np.zeros(N)])
    M = rho * E0 - Y.T @ Y - both.T @ Q @ both
    # the optimum is not attained: the multipliers are kept from growing for ever
    limits = [
        (M + M.T) / 2 >> 0,
        lam >= 0,
        cp.abs(gamma) <= 1e4,
        cp.abs(nu) <= 1e4,
        cp.abs(tau) <= 1e4,
    ]
    cp.Problem(cp.Minimize(rho), limits).solve(solver=cp.CLARABEL)
    assert certified(net, "full").upper == pytest.approx(np.sqrt(rho.value), rel=FULL)


def test_maxmin_is_a_reflection():
    for coupling in ("lambda", "chain", "full", "abs"):
        one = certified(formula_net(MIDDLE, "maxmin"), coupling)
        other = certified(formula_net(MIDDLE, "householder(1,-1)"), coupling)
        assert one.upper == pytest.approx(other.upper, rel=FULL if coupling == "full" else 1e-6)


def rotated(dims: tuple[int, ...]) -> Network:
    """Weights in the coordinates (a + b, a - b)/sqrt 2 of the pairs, slopes in [-1, 1].

    There T = lambda I + gamma J is diagonal, so that the chain form of MaxMin is LipSDP-Neuron.
    """
    matrices = gaussian(dims)
    pair = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2.0)
    turns = [np.eye(dims[0]), *(np.kron(np.eye(n // 2), pair) for n in dims[1:-1])]
    turns.append(np.eye(dims[-1]))
    turned = [b @ W @ a.T for W, a, b in zip(matrices, turns, turns[1:], strict=False)]
    return Network.from_weights(turned, activation="abs")


@pytest.mark.parametrize("dims", [(8, 6, 4, 6, 3), (2, *[4] * 12, 2), (5, 2, 1)])
def test_chain_of_maxmin_is_lipsdp_in_rotated_coordinates(dims):
    net = Network.from_weights(gaussian(dims), activation="maxmin")
    chain = certified(net, "chain")
    assert chain.upper == pytest.approx(certified(rotated(dims)).upper, rel=TABLE)
    assert chain.rigorous == "rump" and chain.verify()


def test_deep_chains_are_lifted_rather_than_lost(monkeypatch):
    # a solver's point is infeasible by more than a proof can make up for; the value is the solver's
    dims = (2, *[4] * 12, 2)
    net = Network.from_weights(gaussian(dims), activation="maxmin")
    lfr = net.lfr(coupling="chain")
    (found,) = sdp.coupled(net, "l2", "chain")
    assert proof.prove(lfr, "l2", [found]).rho == pytest.approx(19.652386**2, rel=TABLE)
    wrong = found * np.random.default_rng(0).uniform(0.999, 1.001, size=found.size)
    groups = wrong.reshape(4, -1)
    sdp._lift(lfr, "l2", groups, np.zeros(0))
    lifted = proof.prove(lfr, "l2", [groups.ravel()])
    assert lifted.rigorous == "rump" and lifted.rho == pytest.approx(19.652386**2, rel=0.1)


def test_units_follow_the_multipliers(monkeypatch):
    # every layer halves what it gets on average: multipliers differ by four a layer
    matrices = [0.5 * np.eye(2)] * 9
    net = Network.from_weights([*matrices, np.ones((1, 2))], activation="maxmin")
    monkeypatch.setattr(sdp, "SPREAD", 1.0)
    refined = [certified(net, coupling).upper for coupling in ("chain", "abs")]
    monkeypatch.setattr(sdp, "SPREAD", np.inf)
    plain = [certified(net, coupling).upper for coupling in ("chain", "abs")]
    assert refined == pytest.approx(plain, rel=TABLE)
    assert refined == pytest.approx([np.sqrt(2.0) / 512.0] * 2, rel=TABLE)
    rows = certified(net, "chain", "linf")
    monkeypatch.setattr(sdp, "SPREAD", 1.0)
    assert certified(net, "chain", "linf").upper == pytest.approx(rows.upper, rel=TABLE)
    assert certified(net, "abs", "linf").upper <= rows.upper * (1.0 + TABLE)


def test_cliques_of_two_layers_lose_nothing(monkeypatch):
    net = Network.from_weights(gaussian((4, 4, 4, 4, 2)), activation="maxmin")
    split = certified(net, "full").upper
    plain = Network.from_weights(gaussian((3, 3, 3, 3, 3, 2)))
    split_plain = certified(plain).upper
    sizes = []
    cliques = sdp._cliques

    def whole(unit, layer, border, crossing):
        sizes.append(len(cliques(unit, layer, border, crossing)))
        return [np.arange(unit.A.shape[1] + len(border))]

    monkeypatch.setattr(sdp, "_cliques", whole)
    assert certified(net, "full").upper == pytest.approx(split, rel=FULL)
    assert certified(plain).upper == pytest.approx(split_plain, rel=TABLE)
    assert sizes == [3, 4]


@given(
    st.integers(0, 10**6),
    st.sampled_from(["maxmin", "householder(1,0.5)"]),
    st.lists(st.sampled_from([2, 4, 6]), min_size=1, max_size=3),
)
@settings(max_examples=12, deadline=None)
def test_less_coupling_is_never_better(seed, activation, hidden):
    net = Network.from_weights(gaussian((3, *hidden, 2), seed), activation=activation)
    scalar, full, chain, lam = (certified(net, c).upper for c in ("abs", "full", "chain", "lambda"))
    slack = 1.0 + TABLE
    assert scalar <= full * slack
    assert full <= chain * (1.0 + FULL)
    assert chain <= lam * slack
    assert lam <= product_bound(net).upper * slack
    slopes = np.linalg.norm(
        net.jacobian(np.random.default_rng(seed).normal(size=(200, 3))), 2, (1, 2)
    )
    assert slopes.max() <= scalar


@pytest.mark.parametrize("coupling", ["lambda", "chain", "full"])
@pytest.mark.parametrize("activation", ["maxmin", "groupsort(3)", "householder(2,1)"])
def test_certificates_of_groups_survive_json_and_not_tampering(coupling, activation):
    made = certified(formula_net(WIDE, activation), coupling)
    read = Certificate.from_json(made.to_json())
    assert read.verify() and read.upper == made.upper
    assert read.rho is not None and read.lfr is not None and read.multipliers is not None
    lower = replace(read, rho=read.rho * (1.0 - 1e-4))
    assert not lower.verify()
    halved = read.multipliers.copy()
    halved[np.argmax(halved[: len(read.lfr.groups)])] *= 0.5
    assert not replace(read, multipliers=halved).verify()


NEURONS = [
    ((2, 3, 1), 1.5670112, 1.5123479, 2.061488, 2.061488),
    ((2, 4, 3, 2), 3.0271323, 2.9386479, 3.555568, 5.303531),
    ((3, 5, 5, 2), 4.3846508, 3.9700485, 6.263552, 9.654871),
    ((2, 6, 6, 1), 4.5934285, 3.5261823, 4.974222, 4.974222),
]


@pytest.mark.parametrize(("dims", "layer", "neuron", "rows", "l1"), NEURONS)
def test_slope_restricted_neurons(dims, layer, neuron, rows, l1):
    net = formula_net(dims)
    assert certified(net, structure="layer").upper == pytest.approx(layer, rel=TABLE)
    assert certified(net).upper == pytest.approx(neuron, rel=TABLE)
    assert certified(net, norm="linf").upper == pytest.approx(rows, rel=TABLE)
    assert certified(net, norm="linf_l1").upper == pytest.approx(l1, rel=TABLE)


def test_second_rows_in_l_inf():
    for dims, value in (((2, 4, 3, 2), 2.352195), ((3, 5, 5, 2), 5.672534)):
        found = certified(formula_net(dims), norm="linf").rho
        assert found is not None and np.ravel(found)[1] == pytest.approx(value, rel=TABLE)


@pytest.mark.parametrize(
    ("n", "h", "layers", "value"),
    [(2, 3, 1, 1.56681272), (2, 3, 2, 2.12421713), (3, 4, 3, 6.16498208)],
)
def test_residual_networks(n, h, layers, value):
    W = [formula(h, n, k) for k in range(layers)]
    G = [0.5 * formula(n, h, k + 5) for k in range(layers)]
    assert certified(Network.residual(W, G)).upper == pytest.approx(value, rel=TABLE)


@pytest.mark.parametrize(("n", "h", "m", "value"), [(2, 3, 1, 1.88411581), (2, 4, 2, 3.39397158)])
def test_implicit_networks(n, h, m, value):
    matrices = 0.3 * formula(h, h, 3), formula(h, n, 1), formula(m, h, 2)
    assert certified(Network.implicit(*matrices)).upper == pytest.approx(value, rel=TABLE)
    # |.| feeds back: no shift to slopes [0, 1] in advance
    backward = Network.implicit(*matrices, activation="abs")
    assert certified(backward).upper >= value


def test_scaling_does_not_matter():
    matrices = weights((2, 4, 3, 2))
    scaled = [1e3 * matrices[0], 1e-4 * matrices[1], 1e2 * matrices[2]]
    value = 10.0 * certified(Network.from_weights(matrices)).upper
    assert certified(Network.from_weights(scaled)).upper == pytest.approx(value, rel=TABLE)
    chain = (
        10.0 * certified(Network.from_weights(matrices[:1] + matrices[1:]), structure="layer").upper
    )
    found = certified(Network.from_weights(scaled), structure="layer").upper
    assert found == pytest.approx(chain, rel=TABLE)


def test_slopes_other_than_zero_and_one():
    # sigmoid'(0) = 1/4 everywhere is a linear network
    net = formula_net((2, 4, 3, 2), "sigmoid")
    quarter = [W if k == 0 else W / 4.0 for k, W in enumerate(weights((2, 4, 3, 2)))]
    relu = certified(Network.from_weights(quarter)).upper
    assert certified(net).upper == pytest.approx(relu, rel=TABLE)
    lazy = certified(formula_net((2, 4, 3, 2), "leaky_relu(0.1)")).upper
    assert lazy <= certified(formula_net((2, 4, 3, 2))).upper
    linear = certified(formula_net((2, 4, 3, 2), "identity")).upper
    W = weights((2, 4, 3, 2))
    assert linear == pytest.approx(np.linalg.norm(W[2] @ W[1] @ W[0], 2), rel=TABLE)


def test_what_cannot_be_solved_is_said():
    with pytest.raises(ValueError, match="structure"):
        sdp.solve(formula_net(SMALL).lfr(), "l2", "network")
    with pytest.raises(ValueError, match="coupling"):
        sdp.coupled(formula_net(SMALL, "maxmin"), "l2", "abs")
    with pytest.raises(ValueError, match="MaxMin"):
        sdp.coupled(formula_net(SMALL), "l2", "chain")
    with pytest.raises(ValueError, match="norm"):
        sdp.coupled(formula_net(SMALL, "maxmin"), "l3")


def test_a_solver_that_fails_is_named(monkeypatch):
    programme = lmi.Programme([1])
    (v,) = programme.variables(1, cost=1.0)
    programme.add(0, np.arange(1), -np.ones((1, 1)), int(v))
    programme.add(0, np.arange(1), -np.ones((1, 1)), None)  # -v - 1 >= 0 and v >= 0
    with pytest.raises(SolverFailed, match="CLARABEL ended with status 'infeasible'"):
        programme.minimise("lipsdp")

    def broken(*_, **__):
        raise cp.SolverError("no")

    monkeypatch.setattr(cp.Problem, "solve", broken)
    with pytest.raises(SolverFailed, match="lipsdp: CLARABEL failed on matrices of order"):
        certified(formula_net(SMALL, "maxmin"), "chain")


def test_large_cones_go_to_the_splitting_solver(monkeypatch):
    monkeypatch.setattr(lmi, "LARGEST", 2)
    assert certified(formula_net(WIDE, "maxmin"), "chain").upper == pytest.approx(
        6.7677728, rel=1e-4
    )
