"""Laws learnt from data, the programme under them, and agents that observe before they harvest."""

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from zoo import ALLEN, BLURRED, ERRANT, EXACT, FISHERIES, FRAGILE, LOGISTIC, PLAIN, Drift

from rlopt.agents import learned
from rlopt.agents.learned import LearnedHarvest, explore
from rlopt.envs import FuncGymEnv
from rlopt.envs.fishery import Allen, Fishery, Logistic, LognormalNoise, NormalNoise, Ricker
from rlopt.theory.dp import HarvestProblem, solve_on_grid
from rlopt.theory.grid import Grid, Nodes
from rlopt.theory.learned import LearnedProblem, Mixture, NormalResidual, solve_learned
from rlopt.theory.series import checked_pairs

ODD = [0.0, 0.001, 0.03, 0.5, 0.6, 1.7, 2.0, 3.3]  # nodes


# --- any nodes ---


@pytest.mark.parametrize("cut", [0.0, 0.4])
def test_a_grid_finds_cells_as_any_nodes_do(cut: float) -> None:
    grid = Grid.through(top=5.0, nodes=41, cut=cut, knee=3.0)
    plain = Nodes(grid.nodes)
    x = np.concatenate([grid.nodes, np.random.default_rng(0).uniform(0.0, 6.0, 500)])
    # what is within rounding of a node may fall into either cell, so interpolate
    values = np.sqrt(grid.nodes)
    np.testing.assert_allclose(
        grid.interpolate(values, x), plain.interpolate(values, x), rtol=1e-9, atol=1e-9
    )
    index, fraction = plain.cell(grid.nodes)
    assert (fraction[:-1] == 0.0).all() and fraction[-1] == pytest.approx(1.0)
    assert (index[:-1] == np.arange(len(index) - 1)).all()
    both = [g.interpolation(x[None]) @ values for g in (grid, plain)]
    np.testing.assert_allclose(both[0], both[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("nodes", [np.linspace(0.0, 3.0, 9), ODD, np.r_[0, np.geomspace(1e-6, 9)]])
def test_expectations_on_any_nodes(nodes: Any) -> None:
    """Weights are probabilities with the law's mean, and agree with quadrature."""
    grid, noise = Nodes(nodes), LognormalNoise(0.3)
    s = np.array([0.02, 0.4, 1.1, 2.5])[:, None]
    weights, excess = grid.expectation(
        partial(noise.call_price, s, s), partial(noise.put_price, s, s), np.zeros(4), 0
    )
    assert (weights >= -1e-9).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=EXACT)
    mean = weights @ grid.nodes + excess
    np.testing.assert_allclose(mean, s[:, 0] * np.exp(0.045), rtol=1e-9)
    values = np.cos(grid.nodes)
    for k, median in enumerate(s[:, 0]):
        law = stats.lognorm(0.3, scale=median)

        def integrand(y: float, law: Any = law) -> float:
            return float(np.interp(y, grid.nodes, values) * law.pdf(y))

        inside = [p for p in grid.nodes[1:-1] if law.ppf(1e-9) < p < law.ppf(1 - 1e-9)]
        ends = [law.ppf(1e-9), *inside, law.ppf(1.0 - 1e-9)]
        expected = sum(integrate.quad(integrand, *part)[0] for part in pairwise(ends))
        assert weights[k] @ values == pytest.approx(expected, abs=1e-7)


def test_the_programme_on_any_nodes_is_that_on_the_same_grid() -> None:
    problem = HarvestProblem(Allen(), LognormalNoise(0.05), 0.95, None, 12.0)
    grid = Grid.through(top=12.0, nodes=121)
    solutions = [solve_on_grid(problem, g) for g in (grid, Nodes(grid.nodes))]
    x = np.random.default_rng(0).uniform(0.0, 14.0, 300)
    values = [s.value_at(x) for s in solutions]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-9)
    values = [s.escapement(x) for s in solutions]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-9)
    values = [s.evaluate(lambda x, year: 0.9 * x, x) for s in solutions]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-9)


def test_bad_nodes() -> None:
    for nodes, match in (
        ([0.0, 1.0], "n >= 3"),
        (np.zeros((3, 3)), "n >= 3"),
        ([0.1, 1.0, 2.0], r"nodes\[0\] = 0.1"),
        ([0.0, 2.0, 2.0], r"nodes\[2\] = 2.0"),
        ([0.0, np.nan, 2.0], r"nodes\[1\] = nan"),
        ([0.0, 1.0, np.inf], r"nodes\[2\] = inf"),
    ):
        with pytest.raises(ValueError, match=match):
            Nodes(nodes)


# --- mixtures ---

PARTS: Any = [
    (Ricker(0.8, 2.0), LognormalNoise(0.2)),
    (Logistic(0.5, 3.0), NormalNoise(0.3)),
    (np.sin, NormalResidual(lambda s: 0.1 + 0.2 * np.asarray(s))),
]


def test_a_mixture_is_the_average_of_its_components() -> None:
    weights = np.array([0.5, 0.2, 0.3])
    law, s, k = Mixture(PARTS, weights), np.array([[0.4], [2.0]]), np.linspace(0.0, 4.0, 9)
    for name in ("call_price", "put_price", "cdf"):
        each = [getattr(noise, name)(f(s), s, k) for f, noise in PARTS]
        found = getattr(law, name)(np.full_like(s, np.nan), s, k)  # the median does not count
        np.testing.assert_allclose(found, np.tensordot(weights, each, 1), rtol=EXACT)
        equal = getattr(Mixture(PARTS), name)(None, s, k)
        np.testing.assert_allclose(equal, np.mean(each, axis=0), rtol=EXACT)
    np.testing.assert_allclose(law.mean(None, s), law.call_price(None, s, 0.0), rtol=EXACT)
    means = [np.maximum(f(s), 0.0) for f, _ in PARTS]
    np.testing.assert_allclose(law.growth(s), np.tensordot(weights, means, 1), rtol=EXACT)


def test_nothing_grows_from_an_empty_sea() -> None:
    law = Mixture([(lambda s: np.asarray(s) + 1.0, NormalResidual(np.ones_like))])
    s, k = np.array([[0.0], [1.0]]), np.array([0.0, 0.5, 2.0])
    assert (law.call_price(None, s, k)[0] == 0.0).all()
    np.testing.assert_array_equal(law.put_price(None, s, k)[0], k)
    assert (law.cdf(None, s, k)[0] == 1.0).all() and law.mean(None, s)[0, 0] == 0.0
    assert law.growth(s)[0, 0] == 0.0 and law.growth(s)[1, 0] == 2.0
    problem = LearnedProblem(law.growth, law, 0.9, None, 4.0)
    kernel = solve_on_grid(problem, Nodes(np.linspace(0.0, 4.0, 9))).kernel
    assert not kernel.weights[0].any() and kernel.excess[0] == 0.0 and kernel.loss[0] == 1.0


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.floats(-2.0, 3.0), st.floats(1e-3, 2.0), st.floats(0.0, 4.0))
def test_a_clipped_normal_residual(mean: float, sd: float, strike: float) -> None:
    """Against quadrature, for means below 0 too."""
    noise = NormalResidual(lambda s: np.full_like(s, sd))
    one = np.ones(1)
    law = stats.norm(mean, sd)

    def area(f: Any, low: float, high: float) -> float:
        bends = np.clip(mean + sd * np.array([-8.0, -2.0, 0.0, 2.0, 8.0]), low, high)
        return sum(integrate.quad(f, *part)[0] for part in pairwise([low, *bends, high]))

    call = area(law.sf, strike, max(strike, mean + 10.0 * sd))
    put = area(law.cdf, 0.0, strike)
    found = noise.call_price(mean * one, one, strike)[0]
    assert found == pytest.approx(call, abs=1e-7)
    assert noise.put_price(mean * one, one, strike)[0] == pytest.approx(put, abs=1e-7)
    assert noise.cdf(mean * one, one, strike)[0] == pytest.approx(law.cdf(strike), abs=1e-12)


def test_bad_mixtures() -> None:
    with pytest.raises(ValueError, match="at least one component"):
        Mixture([])
    for weights in ([0.5, 0.5], [0.5, 0.5, 0.5], [1.5, -0.5, 0.0], [np.nan, 0.5, 0.5]):
        with pytest.raises(ValueError, match="3 probabilities"):
            Mixture(PARTS, weights)


# --- the programme under a learnt law ---


@pytest.mark.parametrize("key", ["allen-quota", "logistic-6-years", "fragile-4-years"])
def test_the_truth_as_a_law_gives_the_optimum(key: str) -> None:
    fishery = PLAIN[key]
    problem = fishery.problem
    grid = Grid.through(top=problem.top, nodes=301, cut=problem.extinct_below)
    solution = solve_learned(
        Mixture([(fishery.growth, fishery.noise)]),
        grid,
        gamma=fishery.gamma,
        horizon=fishery.horizon,
        extinct_below=fishery.extinct_below,
        extinction_penalty=fishery.extinction_penalty,
    )
    value = solution.value_at(np.array([fishery.x0]))[0]
    assert value == pytest.approx(fishery.oracle().value.value, rel=2e-3)


def test_without_discount_a_thousand_years_are_solved() -> None:
    """The published True policy on the 50 nodes (notes, 4.1): all to 4.286, wait, 6.735 above."""
    law, nodes = Mixture([(Allen(), LognormalNoise(0.05))]), np.linspace(0.0, 15.0, 50)
    solution = solve_learned(law, Nodes(nodes), gamma=1.0)
    assert len(solution.q) == 1000
    expected = np.where(nodes < 4.4, 0.0, np.minimum(nodes, nodes[22]))
    np.testing.assert_array_equal(solution.escapement(nodes), expected)


def test_bad_programmes() -> None:
    law, grid = Mixture([(Allen(), LognormalNoise(0.05))]), Nodes(ODD)
    for gamma in (0.0, 1.1, np.nan):
        with pytest.raises(ValueError, match="gamma must be"):
            solve_learned(law, grid, gamma=gamma)
    with pytest.raises(ValueError, match=r"grid must be cut at extinct_below = 0\.5"):
        solve_learned(law, grid, gamma=0.9, extinct_below=0.5)


# --- the door of the data ---

GOOD = np.array([1.0, 1.5, 2.0, 1.8, 1.9, 2.1])


@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        ([1, 2, np.nan, 4, 5, 6], GOOD, r"x \(escapements\) is not finite in row 2: nan"),
        (GOOD, [1, np.inf, 2, 3, 4, 5], r"y \(next stocks\) is not finite in row 1: inf"),
        ([1, 2, 3, -0.5, 5, 6], GOOD, r"x \(escapements\) is negative in row 3: -0.5"),
        (GOOD[:4], GOOD[:4], "at least 5 rows are needed, got 4"),
        (GOOD, GOOD[:5], "got 6 and 5 rows"),
        (GOOD, np.full(6, 2.0), r"y \(next stocks\) is constant"),
        (np.full(6, 2.0), GOOD, r"x \(escapements\) is constant"),
        (GOOD, [8, 7, 6, 0.05, 6, 7], "collapsed: the next stock 0.05 in row 3"),
        (GOOD, np.zeros(6), "constant"),
        ([1, 2, 0, 4, 5, 6], GOOD, "escapement of 0, but row 2 has the next stock 2; leave"),
        (GOOD[None], GOOD, r"shape \(1, 6\)"),
        (["a"] * 6, GOOD, "must be numbers"),
    ],
)
def test_bad_data_are_refused(x: Any, y: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        checked_pairs(x, y)


def test_good_data_pass() -> None:
    x, y = checked_pairs(list(GOOD), [8, 7, 6, 0.08, 6, 7])
    assert x.dtype == y.dtype == np.float64 and y[3] == 0.08
    np.testing.assert_array_equal(x, GOOD)


# --- agents ---


class Knowing(LearnedHarvest):
    """Fits nothing: its law is the truth of the fishery that it was told of."""

    name = "knowing"
    truth: Any = ALLEN

    def law(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Mixture:
        self.draw = rng.random()
        return Mixture([(self.truth.growth, self.truth.noise)])


def knowing(fishery: Fishery) -> Any:
    return type("Knowing", (Knowing,), {"truth": fishery})


@pytest.mark.parametrize("key", ["allen-escapement", "logistic-6-years", "fragile-4-years"])
def test_who_learns_the_truth_plays_the_optimum(key: str) -> None:
    fishery = PLAIN[key]
    agent = knowing(fishery)(fishery, seed=0).learn(200)
    value, optimum = fishery.oracle().policy_value(agent), fishery.oracle().value.value
    assert value is not None and value <= optimum + 1e-9
    assert value == pytest.approx(optimum, rel=3e-3)


@pytest.mark.parametrize("fishery", [ALLEN, LOGISTIC, BLURRED, ERRANT, FRAGILE])
def test_observations_are_those_of_the_environment(
    fishery: Fishery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replayed from the steps that the environment saw."""
    rows: list[Any] = []

    class Spied(FuncGymEnv):
        def step(self, action: Any) -> Any:
            found = super().step(action)
            rows.append((found[4]["escapement"], fishery.stock_and_year(found[0][None])[0][0]))
            return found

    monkeypatch.setattr(learned, "FuncGymEnv", Spied)
    x, y, steps = explore(fishery, 60, 40, seed=3)
    assert len(x) == len(y) == 40 and 40 <= len(rows) == steps <= 60
    kept = [row for row in rows if row[1] in set(y)]
    np.testing.assert_array_equal(np.array(kept)[:, 0], x)
    again = explore(fishery, 60, 40, seed=3)
    np.testing.assert_array_equal(again[0], x)
    assert not np.array_equal(explore(fishery, 60, 40, seed=4)[1], y)


def test_the_exploratory_rule_spares_the_stock() -> None:
    """First nothing is caught, then a little, and never below .75 of what was seen."""
    x, y, _ = explore(ALLEN, 100, 40, seed=0)
    assert x[0] == 10.0
    np.testing.assert_allclose(x[1:16], y[:15], rtol=1e-6)
    reference = np.median(np.r_[10.0, y][8:16])
    left = x[16:] / y[15:-1]
    assert (left < 1.0 - 1e-3).mean() > 0.5 and (left > 0.8 - 1e-6).all()
    below = x[16:] < learned.KEEP * reference * (1.0 - 1e-6)
    np.testing.assert_allclose(left[below], 1.0, rtol=1e-6)
    # the share of collapses that the documentation states, within 4 standard errors
    ends = [explore(ALLEN, 40, 40, seed)[1][-1] for seed in range(60)]
    assert np.mean(np.array(ends) < 5.0) <= 0.05


def test_a_collapse_is_no_observation() -> None:
    """Episodes end often here; what follows a collapse is a new start."""
    fishery = Fishery(
        growth=Allen(1.0, 4.0, 1.0), noise=LognormalNoise(0.9), x0=3.0, extinct_below=1.5
    )
    x, y, _ = explore(fishery, 200, 60, seed=0)
    assert len(x) == 60 and (y > 1.5).all()
    starts = np.isclose(x, 3.0, rtol=1e-6)
    assert starts.sum() > 3
    assert len(explore(fishery, 20, 60, seed=0)[0]) < 20
    doomed = Fishery(growth=Allen(), noise=LognormalNoise(0.01), x0=4.0)  # never ends by itself
    x, y, _ = explore(doomed, 200, 150, seed=0)
    assert y.min() >= 0.01 * y.max() and np.isclose(x, 4.0, rtol=1e-6).sum() > 3


def test_learning_tells_how_many_years_it_took() -> None:
    assert Knowing(ALLEN, seed=0, observations=10).learn(1000).num_timesteps == 10


def test_before_learning_all_is_left() -> None:
    agent = Knowing(ALLEN)
    batch = np.linspace(-1.0, 1.0, 9)[:, None]
    assert (agent.predict(batch)[0] == -1.0).all() and agent.learns
    assert agent.predict(batch[3])[0].shape == (1,)
    np.testing.assert_array_equal(agent.escapement([2.0, 3.0]), [2.0, 3.0])
    assert "nothing yet" in repr(agent)


def test_the_policy_of_a_finite_horizon_depends_on_the_year() -> None:
    agent = knowing(LOGISTIC)(LOGISTIC, seed=0).learn(30)
    assert agent.escapement([0.9], 5)[0] == 0.0 < agent.escapement([0.9], 0)[0]
    last = agent.predict(np.array([[0.1, 2.0 / 3.0], [0.1, -1.0]]))[0]
    assert last[0, 0] == 1.0 > last[1, 0]


def test_saved_agents_learn_again(tmp_path: Any) -> None:
    agent = Knowing(ALLEN, seed=5, observations=12).learn(100)
    assert agent.x is not None and len(agent.x) == 12
    agent.save(tmp_path / "agent")
    again = Knowing.load(tmp_path / "agent", ALLEN)
    assert again.draw == agent.draw and again.seed == 5 and again.observations == 12
    np.testing.assert_array_equal(again.x, agent.x)
    x = np.linspace(0.0, 12.0, 50)
    np.testing.assert_array_equal(again.escapement(x), agent.escapement(x))
    with pytest.raises(ValueError, match="needs env"):
        Knowing.load(tmp_path / "agent")
    table = Knowing(ALLEN, seed=5).fit(agent.x, agent.y)
    np.testing.assert_array_equal(table.escapement(x), agent.escapement(x))


def test_bad_agents() -> None:
    with pytest.raises(ValueError, match="knowing is an agent for fisheries of one stock"):
        Knowing(Drift())
    for bad in (4, 5.5, True, np.nan, np.inf, None, "a"):
        with pytest.raises((TypeError, ValueError), match="knowing: observations must be"):
            Knowing(ALLEN, observations=bad)  # type: ignore[arg-type]  # on purpose
    for bad in (-1, 1.5, True, np.nan, "a"):
        with pytest.raises((TypeError, ValueError), match="knowing: seed must be"):
            Knowing(ALLEN, seed=bad)  # type: ignore[arg-type]  # on purpose
    assert Knowing(ALLEN, seed=2**63 + 1).seed == 2**63 + 1
    assert Knowing(ALLEN).seed != Knowing(ALLEN).seed
    with pytest.raises(ValueError, match="at least 5 rows"):
        Knowing(ALLEN, seed=0).learn(4)
    with pytest.raises(NotImplementedError, match="must define law"):
        LearnedHarvest.law(Knowing(ALLEN), GOOD, GOOD, np.random.default_rng(0))
    assert Knowing(FISHERIES["blurred"]).func is BLURRED
