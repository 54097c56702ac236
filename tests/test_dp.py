"""The harvest programme against a naive one: a loop over actions and quadrature."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo import EXACT, FISHERIES, PLAIN, POLICIES, RULES, SEEN, Policy, made, params

from rlopt.envs.fishery import (
    Allen,
    BevertonHolt,
    Deterministic,
    Fishery,
    Logistic,
    LognormalNoise,
    May,
    Myers,
    NormalNoise,
    Ricker,
    UniformNoise,
)
from rlopt.theory.dp import HarvestProblem, solve_harvest, solve_on_grid
from rlopt.theory.grid import FINER, SPAN, Grid
from rlopt.theory.reed import reed_gain, reed_value

GROWTHS: Any = {
    "logistic": Logistic(0.8, 2.0),
    "beverton-holt": BevertonHolt(1.0, 2.0),
    "ricker": Ricker(1.2, 2.0),
    "myers": Myers(),
    "allen": Allen(1.5, 2.0, 0.8),
    "may": May(1.0, 2.0, 0.3, 3.0, 0.3),
}
NOISES: Any = {
    "certain": Deterministic(),
    "lognormal": LognormalNoise(0.3),
    "mean-one": LognormalNoise(0.3, mean_one=True),
    "uniform": UniformNoise(0.4),
    "normal": NormalNoise(0.25),
}
PAIRS = [
    pytest.param(growth, noise, id=f"{name}-{law}")
    for k, (name, growth) in enumerate(GROWTHS.items())
    for j, (law, noise) in enumerate(NOISES.items())
    if name == "allen" or j in (k % 5, (k + 2) % 5)
]


def points(kind: str | None, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Midpoints of raw noise on [-8.5, 8.5] or [0, 1], and their weights."""
    if kind is None:
        return np.zeros(1), np.ones(1)
    middles = (np.arange(n) + 0.5) / n
    if kind == "uniform":
        return middles, np.full(n, 1.0 / n)
    z = 8.5 * (2.0 * middles - 1.0)
    return z, 17.0 / n * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)


class Naive:
    """The same problem on the same nodes, written without a thought for speed.

    V is linear between nodes, and has slope 1 above the last.
    """

    def __init__(self, problem: HarvestProblem, nodes: np.ndarray) -> None:
        self.problem, self.nodes = problem, nodes
        self.kernel, self.excess, self.lost = self.rows(nodes)

    def rows(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Quadrature: weights of V, E[(x' - top)^+] and P(lost), for escapements s."""
        raw, mass = points(self.problem.noise.kind)
        first = int(np.searchsorted(self.nodes, self.problem.extinct_below))
        kernel = np.zeros((len(s), len(self.nodes)))
        excess, lost = np.zeros(len(s)), np.zeros(len(s))
        for i, left in enumerate(s):
            grown = np.full(len(raw), float(self.problem.growth(left)))
            stock = self.problem.noise.apply(grown, np.full(len(raw), left), raw)
            alive = stock > self.problem.extinct_below
            lost[i] = mass[~alive].sum()
            excess[i] = mass @ np.maximum(stock - self.nodes[-1], 0.0)
            cell = np.searchsorted(self.nodes, stock, side="right") - 1
            cell = np.clip(cell, first, len(self.nodes) - 2)
            part = (stock - self.nodes[cell]) / (self.nodes[cell + 1] - self.nodes[cell])
            part = np.minimum(part, 1.0)
            np.add.at(kernel[i], cell, mass * alive * (1.0 - part))
            np.add.at(kernel[i], cell + 1, mass * alive * part)
        return kernel, excess, lost

    def worth(self, value: np.ndarray, year: int, slope: float = 1.0) -> np.ndarray:
        """Expected reward and future of leaving each node, but for the stock itself."""
        future = self.kernel @ value + slope * self.excess
        penalty = self.problem.extinction_penalty / (year + 1) * self.lost
        return self.problem.gamma * future - self.nodes - penalty

    def backup(self, value: np.ndarray, year: int) -> np.ndarray:
        """Try every escapement for every stock."""
        q = self.worth(value, year)
        best = np.empty(len(self.nodes))
        for i, stock in enumerate(self.nodes):
            best[i] = max(stock + q[j] for j in range(i + 1))
        return best

    def optimum(self, years: int) -> np.ndarray:
        """`years` backups from value 0 (whose slope is 0 in the last year, so no excess)."""
        value = self.nodes - self.problem.extinction_penalty / years * self.lost.min()
        if self.problem.extinction_penalty:
            q = -self.nodes - self.problem.extinction_penalty / years * self.lost
            value = self.nodes + np.maximum.accumulate(q)
        for year in range(years - 2, -1, -1):
            value = self.backup(value, year)
        return value

    def value_of(self, policy: Policy, years: int) -> np.ndarray:
        """A policy's value from `years` backups; q is linear between nodes."""
        s = np.clip(policy(self.nodes), 0.0, self.nodes)
        slope = float(s[-1] == s[-2])
        q = -self.nodes - self.problem.extinction_penalty / years * self.lost
        for year in range(years - 2, -1, -1):
            value = self.nodes + np.interp(s, self.nodes, q)
            q = self.worth(value, year, slope)
        return self.nodes + np.interp(s, self.nodes, q)


def problem_of(fishery: Fishery, **changes: Any) -> HarvestProblem:
    settings = {
        "growth": fishery.growth,
        "noise": fishery.noise,
        "gamma": fishery.gamma,
        "horizon": fishery.horizon,
        "top": fishery.x_max,
        "extinct_below": fishery.extinct_below,
        "extinction_penalty": fishery.extinction_penalty,
        "implementation": fishery.implementation_noise,
    }
    return HarvestProblem(**settings | changes)  # type: ignore[arg-type]  # a dict of them


def small(growth: Any, noise: Any, **changes: Any) -> tuple[HarvestProblem, Grid]:
    # a low top, so that much of the next stock lies above the grid
    top = 0.7 * Fishery(growth=growth, noise=noise, x0=1e-3).x_max
    problem = HarvestProblem(
        **{"growth": growth, "noise": noise, "gamma": 0.75, "horizon": None, "top": top} | changes
    )
    return problem, Grid.through(top=top, nodes=31, cut=problem.extinct_below)


# Quadrature over the kinks of V and of the indicator of extinction: its error, not the solver's.
QUADRATURE = 3e-4


@pytest.mark.parametrize("extinct", [{}, {"extinct_below": 0.35, "extinction_penalty": 2.0}])
@pytest.mark.parametrize("horizon", [None, 1, 4])
@pytest.mark.parametrize(("growth", "noise"), PAIRS)
def test_the_optimum_is_that_of_a_naive_programme(
    growth: Any, noise: Any, horizon: int | None, extinct: Any
) -> None:
    problem, grid = small(growth, noise, horizon=horizon, **extinct)
    solution = solve_on_grid(problem, grid)
    naive = Naive(problem, grid.nodes)
    plain = replace(solution.kernel, exponent=1.0)
    np.testing.assert_allclose(plain.weights, naive.kernel, atol=QUADRATURE)
    if horizon is None and not grid.cut:  # there V is a power in the first cell, by its tangent
        naive.kernel[:, 1] += (1.0 - problem.exponent) * naive.kernel[:, 0]
    np.testing.assert_allclose(solution.kernel.loss, naive.lost, atol=QUADRATURE)
    np.testing.assert_allclose(solution.kernel.excess, naive.excess, atol=QUADRATURE)
    expected = naive.optimum(horizon or 40)
    np.testing.assert_allclose(solution.value_at(grid.nodes), expected, atol=10 * QUADRATURE)
    # and to rounding, from the same kernel
    naive.kernel, naive.excess, naive.lost = (
        solution.kernel.weights,
        solution.kernel.excess,
        solution.kernel.loss,
    )
    expected = naive.optimum(horizon or 120)
    np.testing.assert_allclose(solution.value_at(grid.nodes), expected, atol=1e-11)


@pytest.mark.parametrize("policy", params(POLICIES))
@pytest.mark.parametrize("horizon", [None, 1, 5])
@pytest.mark.parametrize("extinct", [{}, {"extinct_below": 0.35, "extinction_penalty": 2.0}])
@pytest.mark.parametrize("noise", params(NOISES))
def test_a_policy_is_worth_what_a_naive_loop_says(
    noise: Any, extinct: Any, horizon: int | None, policy: Policy
) -> None:
    problem, grid = small(Allen(1.5, 2.0, 0.8), noise, horizon=horizon, **extinct)
    solution = solve_on_grid(problem, grid)
    naive = Naive(problem, grid.nodes)
    naive.kernel, naive.excess, naive.lost = (
        solution.kernel.weights,
        solution.kernel.excess,
        solution.kernel.loss,
    )
    value = solution.evaluate(lambda x, year: policy(x), grid.nodes)
    np.testing.assert_allclose(value, naive.value_of(policy, horizon or 120), atol=1e-11)


# --- values known otherwise ---


def test_reed_value_of_allen() -> None:
    """T2; the value to 13 digits from 30-digit arithmetic."""
    fishery = Fishery(growth=Allen(), noise=UniformNoise(0.05), x0=10.0, gamma=0.99)
    oracle = fishery.oracle()
    assert abs(oracle.value.value - 50.8125072079763) < 1e-8
    assert abs(float(oracle.escapement([10.0])[0]) - 6.63954965989591) < 1e-5


@pytest.mark.parametrize(
    ("d", "value", "digits"), [(0.05, 50.8125, 2e-4), (0.1, 50.715, 2e-3), (0.2, 28.197, 2e-2)]
)
def test_uniform_noise_beyond_reed(d: float, value: float, digits: float) -> None:
    """Where S* is not self-sustaining the value falls below the bound."""
    fishery = Fishery(growth=Allen(), noise=UniformNoise(d), x0=10.0, gamma=0.99)
    assert abs(fishery.oracle().value.value - value) < digits


def test_allen_default() -> None:
    oracle = Fishery(growth=Allen(), noise=LognormalNoise(0.05), x0=10.0).oracle()
    assert abs(oracle.value.value - 51.602) < 5e-3
    assert abs(float(oracle.escapement([10.0])[0]) - 6.66) < 0.02


@pytest.mark.parametrize("horizon", [1, 2, 10, 101])
@pytest.mark.parametrize(
    ("r", "K", "x0"), [(0.3, 1.0, 0.75), (0.3, 1.0, 0.5), (1.0, 4.0, 3.0), (0.05, 0.1, 0.06)]
)
def test_logistic_without_noise(r: float, K: float, x0: float, horizon: int) -> None:
    """V = x0 + (T - 1) r K / 4, and nothing is left in the last year."""
    fishery = Fishery(
        growth=Logistic(r, K), noise=Deterministic(), x0=x0, gamma=1.0, horizon=horizon
    )
    oracle = fishery.oracle()
    assert abs(oracle.value.value - (x0 + (horizon - 1) * r * K / 4.0)) < 1e-9
    assert oracle.escapement([x0], horizon - 1) == 0.0
    if horizon > 1:
        assert oracle.escapement([x0], 0) == pytest.approx(K / 2.0, abs=1e-6)


def test_the_three_pieces_of_allen() -> None:
    """T3: below a threshold harvest all, then wait, then constant escapement."""
    oracle = Fishery(growth=Allen(), noise=LognormalNoise(0.05), x0=10.0).oracle()
    x = np.linspace(0.0, 13.0, 1301)
    s = oracle.escapement(x)
    everything, wait = s == 0.0, (s == x) & (x > 0.0)
    constant = ~(everything | wait)
    assert everything[:390].all() and constant[700:].all() and wait[480:660].all()
    assert len(np.unique(s[constant])) == 1
    assert np.flatnonzero(np.diff(everything.astype(int))).size == 1


# --- structure, over a family of tasks ---

families = st.builds(
    lambda growth, noise, gamma, horizon, extinct: Fishery(
        growth=growth,
        noise=noise,
        x0=1.2,
        gamma=gamma,
        horizon=horizon,
        extinct_below=extinct,
        extinction_penalty=extinct,
    ),
    st.one_of(
        st.builds(Logistic, st.floats(0.05, 2.0), st.floats(0.5, 3.0)),
        st.builds(BevertonHolt, st.floats(0.05, 2.0), st.floats(0.5, 3.0)),
        st.builds(Ricker, st.floats(0.05, 2.0), st.floats(0.5, 3.0)),
        st.builds(Myers, st.floats(1.2, 3.0), st.floats(0.7, 4.0), st.floats(0.5, 2.0)),
        st.builds(Allen, st.floats(0.1, 2.0), st.floats(1.5, 3.0), st.floats(0.1, 1.4)),
        st.builds(May, st.floats(0.1, 1.0), st.floats(1.0, 2.0), st.floats(0.0, 0.5)),
    ),
    st.one_of(
        st.just(Deterministic()),
        st.builds(LognormalNoise, st.floats(0.0, 0.5), st.booleans()),
        st.builds(UniformNoise, st.floats(0.0, 1.0)),
        st.builds(NormalNoise, st.floats(0.0, 0.4)),
    ),
    st.floats(0.3, 0.97),
    st.none() | st.integers(1, 6),
    st.just(0.0) | st.floats(0.02, 0.8),
)
policies = st.builds(
    lambda at, heights: lambda x: x * np.take(heights, np.searchsorted(at, x)),
    st.lists(st.floats(0.0, 3.0), min_size=4, max_size=4).map(sorted),
    st.lists(st.floats(0.0, 1.0), min_size=5, max_size=5),
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(families, policies)
def test_structure(fishery: Fishery, policy: Policy) -> None:
    """T1 and T3, and no policy with jumps beats the optimum."""
    fine, coarse, _ = solve_harvest(problem_of(fishery), nodes=101)
    x = np.linspace(0.0, 1.1 * fishery.x_max, 997)
    x = x[x > fishery.extinct_below]
    for solution in (fine, coarse):
        value, left = solution.value_at(x), solution.escapement(x)
        slack = 1e-9 * (1.0 + abs(value).max())
        assert (np.diff(value - x) >= -slack).all()
        assert (np.diff(left) >= 0.0).all()
        assert ((left >= 0.0) & (left <= x)).all()
        if not fishery.extinction_penalty:
            assert (value >= x - slack).all()
        gain = reed_gain(fishery.growth, fishery.noise, fishery.gamma).G
        for start in (x[0], fishery.x0, x[-1]):
            bound = reed_value(x0=start, G=gain, gamma=fishery.gamma, T=fishery.horizon)
            assert solution.value_at(np.array([start]))[0] <= bound + slack
        for other in (policy, np.zeros_like, lambda x: 1.0 * x, lambda x: np.minimum(x, 0.7)):
            attained = solution.evaluate(lambda x, year, other=other: other(x), x)  # type: ignore[misc]  # bound now
            assert (attained <= value + 1e-9).all()
        assert (solution.regret(x, left) == 0.0).all()
        # Next to nothing, values of policies are linear, which is cautious; the optimum's is not.
        own = solution.evaluate(solution.escapement, x)
        known = x >= solution.grid.nodes[1]
        assert (own <= value + slack).all()
        np.testing.assert_allclose(own[known], value[known], rtol=1e-5, atol=slack)


@pytest.mark.parametrize("fishery", params(SEEN))
def test_no_agent_beats_the_optimum(fishery: Fishery) -> None:
    oracle = fishery.oracle()
    x = np.linspace(fishery.extinct_below + 0.01, 1.05 * fishery.x_max, 331)
    # 101 answers of a random agent each year take seconds; `test_regret.py` asks them once
    slow = bool(fishery.extinction_penalty or fishery.implementation_noise)
    for name in RULES[slow:]:
        value = oracle.evaluate(made(name, fishery), x)
        assert (value <= oracle.value_at(x) + 1e-9).all(), name


@pytest.mark.parametrize("fishery", params(PLAIN))
def test_brackets_hold_the_value_of_a_finer_grid(fishery: Fishery) -> None:
    fine, *_ = solve_harvest(problem_of(fishery), nodes=2401)
    value = fine.value_at(np.array([fishery.x0]))[0]
    result = fishery.oracle().value
    assert result.exact and result.lower <= value <= result.upper
    assert result.tolerance < 1e-3 * abs(result.value)


@pytest.mark.parametrize("fishery", params(FISHERIES))
def test_no_regret_at_the_best_escapement(fishery: Fishery) -> None:
    """Exactly 0 at the oracle's own float64 escapement, for any stock and year."""
    oracle = fishery.oracle()
    x = np.random.default_rng(0).random(20_000) * 1.2 * fishery.x_max
    x[:200] = oracle.solution.grid.nodes[:200]
    for year in {0, 1, (fishery.horizon or 3) - 1, 10_000}:
        regret = oracle.solution.regret(x, oracle.solution.escapement(x, year), year)
        assert (regret == 0.0).all()
        other = oracle.solution.regret(x, x * np.random.default_rng(1).random(len(x)), year)
        assert (other >= 0.0).all() and other.max() > 0.0


# --- refused ---


def test_observation_error_brackets_and_refuses() -> None:
    for key in ("blurred", "errant-and-blurred-quota"):
        oracle = FISHERIES[key].oracle()
        assert "upper bracket, full observation" in oracle.value.note
        assert not oracle.value.exact and oracle.value.lower < oracle.value.upper
        assert oracle.value.value == oracle.value.upper
        with pytest.raises(ValueError, match=r"observation_noise.*simulate"):
            oracle.evaluate(lambda x: 0.5 * x, [1.0])
        assert oracle.policy_value(oracle.policy) is None
    full = replace(FISHERIES["blurred"], observation_noise=None).oracle()
    assert full.value.value == pytest.approx(FISHERIES["blurred"].oracle().value.value, rel=1e-3)


BAD_STOCKS: Any = [[-1.0], [np.nan], [np.inf], [[1.0]]]


@pytest.mark.parametrize("x", BAD_STOCKS, ids=str)
def test_bad_stocks(x: Any) -> None:
    oracle = FISHERIES["logistic-6-years"].oracle()
    ask: list[Callable[[Any], Any]] = [
        oracle.value_at,
        oracle.escapement,
        lambda x: oracle.evaluate(np.zeros_like, x),
    ]
    for call in ask:
        with pytest.raises(ValueError, match="stocks must be finite, >= 0 and of shape"):
            call(x)


BAD_POLICIES: Any = [lambda x: np.full(len(x), np.nan), lambda x: 1.0, lambda x: x[:-1]]


@pytest.mark.parametrize("policy", BAD_POLICIES)
def test_bad_policies(policy: Any) -> None:
    with pytest.raises(ValueError, match="a policy must give"):
        FISHERIES["logistic-6-years"].oracle().evaluate(policy, [1.0, 2.0])


def test_grids_have_their_nodes() -> None:
    for cut, hit, nodes in product((0.0, 0.3, 1.7), (None, 0.9, 1.71, 5.0), (12, 57, 751)):
        grid = Grid.through(top=3.0, nodes=nodes, cut=cut, hit=hit)
        assert grid.nodes[0] == 0.0 and grid.nodes[-1] >= 3.0 - EXACT
        assert cut in grid.nodes and (np.diff(grid.nodes) > 0.0).all()
        if hit is not None and cut + 3.0 * SPAN / nodes < hit < 3.0:
            assert abs(grid.nodes - hit).min() < EXACT
        assert len(grid.nodes) <= 1.1 * nodes + 2 + (FINER[0] if cut == 0.0 else 0)
        index, fraction = grid.cell(grid.nodes)
        assert (np.abs(fraction[:-1]) == 0.0).all() and (
            index[:-1] == np.arange(len(index) - 1)
        ).all()
        x = np.random.default_rng(0).random(500) * grid.nodes[-1]
        values = np.cos(grid.nodes)
        np.testing.assert_allclose(
            grid.interpolate(values, x), np.interp(x, grid.nodes, values), atol=1e-8
        )


@pytest.mark.parametrize(
    ("growth", "fastest"), [(Logistic(0.3, 1.0), 1.3), (Ricker(0.3, 1.0), np.exp(0.3))]
)
def test_a_tiny_stock_gains_value_as_a_power(growth: Any, fastest: float) -> None:
    """Without noise V(x) = gamma V(A x) gives the exponent -log(gamma) / log(A); so with noise."""
    for noise in (Deterministic(), LognormalNoise(0.1)):
        fishery = Fishery(growth=growth, noise=noise, x0=0.75, gamma=0.97)
        oracle = fishery.oracle()
        low, high = oracle.value_at(np.array([1e-9, 1e-7]))
        slope = np.log(high / low) / np.log(100.0)
        expected = -np.log(0.97) / np.log(fastest)
        # V is linear between nodes 5 % apart; noise moves the exponent a little.
        assert slope == pytest.approx(expected, rel=2e-3 if noise == Deterministic() else 0.02)
    landed = Fishery(growth=Allen(2.0, 8.0, 5.0), noise=noise, x0=8.0).oracle()
    np.testing.assert_allclose(landed.value_at(np.array([1e-9, 1e-3])), [1e-9, 1e-3])


WIDE = [
    (Allen(2.0, 8.0, 5.0), LognormalNoise(2.0), 10.0),
    (Allen(2.0, 8.0, 5.0), NormalNoise(2.0), 10.0),
    (Myers(2.0, 3.0, 1.0), LognormalNoise(1.0), 1.5),
    (Logistic(0.3, 1.0), NormalNoise(0.5), 0.75),
    (BevertonHolt(0.3, 1.0), LognormalNoise(0.7), 0.75),
]


@pytest.mark.parametrize(("growth", "noise", "x0"), WIDE)
def test_wild_noise_has_a_bracket_that_holds(growth: Any, noise: Any, x0: float) -> None:
    fishery = Fishery(growth=growth, noise=noise, x0=x0, gamma=0.99)
    oracle = fishery.oracle()
    fine, *_ = solve_harvest(fishery.problem, nodes=1501)
    value = fine.value_at(np.array([x0]))[0]
    assert oracle.value.lower <= value <= oracle.value.upper
    gain = reed_gain(growth, noise, 0.99).G
    assert oracle.value.upper <= reed_value(x0=x0, G=gain, gamma=0.99) * (1.0 + 1e-12)
    # Leave the best for one year, then take all: no optimum is worth less.
    s = np.linspace(0.0, x0, 500)
    assert oracle.value.upper >= (x0 - s + 0.99 * noise.mean(growth(s), s)).max() - 1e-9


@pytest.mark.parametrize("name", ["Logistic", "BevertonHolt", "Ricker", "May", "Allen", "Myers"])
def test_the_oracle_is_worth_its_value_however_small_the_stock(name: str) -> None:
    fishery = FISHERIES[f"{name}Fishery-v0"]
    for noise in (fishery.noise, NormalNoise(0.3)):
        oracle = replace(fishery, noise=noise).oracle()
        x = np.geomspace(1e-6, 1.0, 13) * fishery.x0
        np.testing.assert_allclose(oracle.evaluate(oracle.policy, x), oracle.value_at(x), rtol=1e-5)
        assert (oracle.evaluate(oracle.policy, x) <= oracle.value_at(x) + 1e-9).all()


def test_noise_without_an_optimum_is_refused() -> None:
    fishery = Fishery(growth=Allen(2.0, 8.0, 5.0), noise=NormalNoise(5.0), x0=10.0)
    with pytest.raises(ValueError, match="unbounded for NormalNoise"):
        fishery.oracle()


@pytest.mark.parametrize("year", [-1, 6, 10_000])
def test_years_outside_the_task_are_refused(year: int) -> None:
    oracle = Fishery(growth=Logistic(0.3, 1.0), noise=Deterministic(), x0=0.75, horizon=6).oracle()
    for ask in (oracle.value_at, oracle.escapement):
        with pytest.raises(ValueError, match=f"t must be a year in .0, 6., got {year}"):
            ask([0.5], year)
