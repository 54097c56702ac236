"""Harvest under a bound on the probability of collapse: the optimum, and the policy as played."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linprog
from zoo import SOLVER, agrees, params

from rlopt.agents import make
from rlopt.envs import FuncVectorEnv
from rlopt.envs.fishery import (
    Allen,
    Deterministic,
    Fishery,
    Logistic,
    LognormalNoise,
    May,
    Myers,
    NormalNoise,
    UniformNoise,
)
from rlopt.theory.charged import ChargedProgramme
from rlopt.theory.dp import collapse_probability
from rlopt.theory.played import Plan
from rlopt.theory.safety import _programme, _search, safe_harvest, trade_off

ALLEN = Fishery(growth=Allen(), noise=LognormalNoise(0.12), x0=8.0, gamma=0.9)
MYERS = Fishery(growth=Myers(), noise=LognormalNoise(0.12), x0=1.5, gamma=0.95)
STOCKS: dict[str, Fishery] = {
    "allen": ALLEN,
    "allen-3-years": replace(ALLEN, horizon=3, gamma=1.0),
    "allen-9-years": replace(ALLEN, horizon=9, noise=NormalNoise(0.2)),
    "myers": MYERS,
    "myers-lost-at-the-threshold": replace(MYERS, extinct_below=1.0, extinction_penalty=1.5),
    "myers-lost-below-it": replace(MYERS, extinct_below=0.4, extinction_penalty=1.5),
    "may": Fishery(growth=May(a=0.23), noise=UniformNoise(0.4), x0=0.9, gamma=0.95),
    "logistic": Fishery(growth=Logistic(0.9, 1.0), noise=UniformNoise(0.5), x0=0.6, gamma=0.9),
}
YEARS = dict.fromkeys(STOCKS, 6) | {"allen-3-years": 3}
LEVEL = {key: fishery.collapse_level for key, fishery in STOCKS.items()} | {"logistic": 0.45}


def programme(key: str, nodes: int = 301) -> ChargedProgramme:
    fishery = STOCKS[key]
    return _programme("", fishery.problem, fishery.x0, LEVEL[key], YEARS[key], nodes)


def between(p: ChargedProgramme, place: float) -> float:
    """An eps that far from the least probability to that of the optimum without a bound."""
    ends = p.sweep(np.array([0.0, np.inf])).probability
    return float(ends[1] + place * (ends[0] - ends[1]))


def coarse(key: str) -> ChargedProgramme:
    """On about the fewest nodes that the threshold allows."""
    problem = STOCKS[key].problem
    width = (LEVEL[key] - problem.extinct_below) or LEVEL[key]
    return programme(key, int(10.5 * problem.knee / width) + 2)


def solved(key: str, eps: float, nodes: int = 301) -> Any:
    fishery = STOCKS[key]
    return safe_harvest(
        fishery.problem,
        fishery.x0,
        threshold=LEVEL[key],
        years=YEARS[key],
        eps=eps,
        nodes=nodes,
    )


# --- the backward induction ---


@pytest.mark.parametrize("key", STOCKS)
def test_the_weights_are_split_at_the_threshold(key: str) -> None:
    """Against 40,000 equally likely years, and V with a jump at the threshold."""
    p = programme(key, 101)
    problem, nodes = p.free.kernel.problem, p.free.grid.nodes
    noise, s = problem.noise, nodes[:: len(nodes) // 12]
    raw = (np.arange(40_000) + 0.5) / 40_000
    if noise.kind == "normal":
        from scipy.special import ndtri

        raw = ndtri(raw)
    one = np.ones_like(raw)
    following = np.array([noise.apply(problem.growth(a * one), a * one, raw) for a in s])
    below, above = p.split
    rows = np.searchsorted(nodes, s)
    high, low = 2.0 + np.sqrt(nodes), 1.0 - nodes
    here = following > p.threshold
    alive = following > problem.extinct_below
    kept = np.where(here, np.interp(following, nodes, high), 0.0).mean(axis=1)
    lost = np.where(~here & alive, np.interp(following, nodes, low), 0.0).mean(axis=1)
    np.testing.assert_allclose((above @ high[p.edge :])[rows], kept, atol=3e-3)
    if p.free.kernel.exponent == 1.0:
        np.testing.assert_allclose((below @ low[: p.edge + 1])[rows], lost, atol=3e-3)
    np.testing.assert_allclose(p.falls[rows], 1.0 - here.mean(axis=1), atol=1e-4)


def constrained_optimum(p: ChargedProgramme, eps: float) -> tuple[float, float]:
    """Occupation measures y_t(x, s) of the stocks that have not collapsed yet: value, P."""
    kernel, nodes, problem = p.free.kernel, p.free.grid.nodes, p.free.kernel.problem
    below, above = p.split
    k, n = p.edge, len(nodes)
    pairs = [(x, s) for x in range(k, n) for s in range(x + 1)]
    x, s = np.array(pairs).T
    into = sparse.csr_array((np.ones(len(x)), (x - k, np.arange(len(x)))), shape=(n - k, len(x)))
    flow = sparse.csr_array(above[s].T)
    blocks: list[list[Any]] = [[None] * p.years for _ in range(p.years)]
    reward, last = [], len(p.free.q) - 1
    for t in range(p.years):
        blocks[t][t] = into
        if t:
            blocks[t][t - 1] = -flow
        catch = nodes[x] - nodes[s] - np.broadcast_to(kernel.penalty(t), n)[s]
        if t + 1 != problem.horizon:
            free = nodes + p.free.best[min(t + 1, last)]
            later = below[s] @ free[: k + 1] + kernel.excess[s]
            if t + 1 == p.years:
                later = later + above[s] @ free[k:]
            catch = catch + problem.gamma * later
        reward.append(problem.gamma**t * catch)
    start = np.zeros(p.years * (n - k))
    start[np.searchsorted(nodes, p.x0) - k] = 1.0
    risk = np.tile(p.falls[s], p.years)[None]
    found = linprog(
        -np.concatenate(reward),
        A_ub=risk,
        b_ub=[eps],
        A_eq=sparse.block_array(blocks, format="csr"),
        b_eq=start,
        method="highs",
    )
    assert found.status == 0
    return -float(found.fun), float(found.x @ risk[0])


@pytest.mark.parametrize("key", STOCKS)
@pytest.mark.parametrize("place", [0.03, 0.3, 0.8])
def test_the_dual_bound_is_the_optimum_of_a_linear_programme(key: str, place: float) -> None:
    """Lotteries between policies that remember everything: none is better, and one attains it."""
    fishery, p = STOCKS[key], coarse(key)
    nodes = p.free.grid.nodes
    x0 = float(nodes[np.searchsorted(nodes, fishery.x0)])
    p = replace(p, x0=x0)
    eps = between(p, place)
    value, probability = constrained_optimum(p, eps)
    found = _search(p, p.sweep(np.array([np.inf])), p.sweep(np.array([0.0])), eps)
    assert found.dual_bound == pytest.approx(value, rel=SOLVER)
    assert probability == pytest.approx(eps, abs=SOLVER)
    assert found.probability <= eps and found.value <= value + SOLVER
    assert found.multiplier > 0.0


@pytest.mark.parametrize("key", STOCKS)
def test_the_value_is_that_of_a_policy_without_memory(key: str) -> None:
    """Stock by stock and year by year, with the escapements that the policy answers."""
    p = coarse(key)
    kernel, nodes, k = p.free.kernel, p.free.grid.nodes, p.edge
    start = int(np.searchsorted(nodes, p.x0))
    p = replace(p, x0=float(nodes[start]))
    found = _search(p, p.sweep(np.array([np.inf])), p.sweep(np.array([0.0])), between(p, 0.4))
    below, above = p.split
    over = p.years == kernel.problem.horizon
    high = low = np.zeros(len(nodes)) if over else p.free.value_at(nodes, p.years)
    for year in range(p.years - 1, -1, -1):
        beyond = 0.0 if over and year == p.years - 1 else kernel.excess
        later = kernel.problem.gamma * (above @ high[k:] + below @ low[: k + 1] + beyond)
        later = later - kernel.penalty(year)
        freely = np.searchsorted(nodes, p.free.escapement(nodes, year))
        safely = np.searchsorted(nodes, found.escapement(nodes, year))
        high, low = (nodes - nodes[left] + later[left] for left in (safely, freely))
    assert found.value == pytest.approx(high[start], rel=1e-10)


@pytest.mark.parametrize("key", STOCKS)
def test_the_ends_of_the_curve(key: str) -> None:
    """Price 0: the optimum without a bound. An infinite one: the least probability, by a loop."""
    p = coarse(key)
    fishery = STOCKS[key]
    ends = p.sweep(np.array([0.0, 1e9, np.inf]))
    optimum = p.free.value_at(np.array([fishery.x0]))[0]
    assert ends.best[0] == pytest.approx(optimum, rel=1e-12)
    assert ends.value[0] == pytest.approx(optimum, rel=1e-12)
    nodes, (_, above), least = p.free.grid.nodes, p.split, p.falls
    for _ in range(p.years - 1):
        best = np.array([least[: x + 1].min() for x in range(p.edge, len(nodes))])
        least = p.falls + above @ best
    cell, part = (a[0] for a in p.free.grid.cell(np.array([fishery.x0])))
    waiting = least[cell] + part * (least[cell + 1] - least[cell])
    smallest = min(least[: cell + 1].min(), waiting)
    assert ends.probability[2] == pytest.approx(smallest, abs=1e-13)
    assert ends.probability[1] == pytest.approx(smallest, abs=1e-7)
    assert (ends.probability >= smallest - 1e-13).all()


@pytest.mark.parametrize("key", STOCKS)
def test_the_curve_falls(key: str) -> None:
    fishery = STOCKS[key]
    curve = trade_off(
        fishery.problem,
        fishery.x0,
        threshold=LEVEL[key],
        years=YEARS[key],
        nodes=201,
    )
    assert len(curve.multiplier) == 50 and np.isinf(curve.multiplier[-1])
    assert (np.diff(curve.multiplier) > 0.0).all()
    assert (np.diff(curve.probability) <= 1e-12).all()
    assert (np.diff(curve.value) <= 1e-9).all()
    assert curve.probability[0] > curve.probability[-1] and curve.value[0] > curve.value[-1]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    st.floats(0.4, 0.7),
    st.floats(0.15, 0.4),
    st.floats(0.5, 1.0),
    st.integers(1, 8),
    st.none() | st.integers(8, 10),
    st.floats(0.02, 0.98),
)
def test_lagrangians_of_any_stock(
    tip: float, sigma: float, gamma: float, years: int, horizon: int | None, place: float
) -> None:
    """No price gives a better bound than the one that was found, and the promise is kept."""
    gamma = gamma if horizon else min(gamma, 0.97)
    fishery = Fishery(
        growth=Allen(1.0, 1.0, tip),
        noise=LognormalNoise(sigma),
        x0=0.9,
        gamma=gamma,
        horizon=horizon,
    )
    p = _programme("", fishery.problem, 0.9, tip, years, 81)
    eps = between(p, place)
    found = safe_harvest(fishery.problem, 0.9, threshold=tip, years=years, eps=eps, nodes=81)
    prices = np.append(0.0, np.geomspace(1e-3, 1e4, 12) * max(found.multiplier, 1e-3))
    sweep = p.sweep(prices)
    bounds = sweep.best - prices * (sweep.probability - eps)
    slack = 1e-9 * (1.0 + prices * eps)
    assert (found.dual_bound <= bounds + slack).all()
    assert found.probability <= eps and found.value <= found.dual_bound + 1e-9
    assert (sweep.value <= sweep.best + 1e-9).all()
    kept = sweep.probability <= eps
    assert (sweep.best[kept] <= found.dual_bound + 1e-9).all()


# --- the policy ---

PLAYED = {
    "allen": (0.3, 0.4),
    "allen-9-years": (0.5,),
    "myers": (0.1, 0.6),
    "myers-lost-at-the-threshold": (0.4,),
    "myers-lost-below-it": (0.4,),
    "may": (0.5,),
}


@pytest.mark.parametrize("key", PLAYED)
def test_value_and_probability_are_those_that_others_find(key: str) -> None:
    """By `HarvestSolution.evaluate` and `collapse_probability`, on grids of their own."""
    fishery, oracle = STOCKS[key], STOCKS[key].oracle()
    for place in PLAYED[key]:
        eps = between(programme(key), place)
        found = solved(key, eps, nodes=751)
        plan = Plan(found.escapement, YEARS[key])
        value = oracle.solution.evaluate(plan, np.array([fishery.x0]))[0]
        assert value == pytest.approx(found.value, rel=5e-4) and value <= oracle.value.upper
        agent: Any = make("safe_harvest", fishery, eps=eps, years=YEARS[key])
        assert oracle.policy_value(agent) == pytest.approx(found.value, rel=5e-4)
        risk = collapse_probability(
            fishery, agent, fishery.x0, YEARS[key], found.threshold, ever=True
        )
        assert risk == pytest.approx(found.probability, rel=5e-3)


@pytest.mark.parametrize("key", ["allen", "allen-9-years", "myers-lost-at-the-threshold"])
def test_played_by_the_agent(key: str) -> None:
    """Value and probability of 20,000 simulated stocks, within 4 standard errors."""
    fishery, n = STOCKS[key], 20_000
    eps = between(programme(key), 0.5)
    agent: Any = make("safe_harvest", fishery, eps=eps, years=6)
    env = FuncVectorEnv(fishery, n, regret=False, autoreset_mode="next_step")
    observation, _ = env.reset(seed=5)
    alive, fallen, total, state = np.ones(n, bool), np.zeros(n, bool), np.zeros(n), None
    for year in range(fishery.horizon or 150):
        action, state = agent.predict(observation, state, ~alive)
        observation, reward, terminated, truncated, info = env.step(action)
        total += fishery.gamma**year * alive * reward
        if year < 6:
            fallen |= alive & (info["stock"] <= agent.solution.threshold)
        alive &= ~(terminated | truncated)
    assert agrees(total, agent.solution.value, bias=1e-3)
    assert agrees(fallen.astype(float), agent.solution.probability, bias=1e-4)
    assert 0.01 < agent.solution.probability <= eps


def test_safety_costs_catch_and_leaves_more_fish() -> None:
    free, safe = (solved("myers", eps) for eps in (1.0, between(programme("myers"), 0.5)))
    x = np.linspace(1.05, 2.2, 50)
    assert free.multiplier == 0.0 and free.value == free.dual_bound
    np.testing.assert_array_equal(free.escapement(x, 2), free.free.escapement(x, 2))
    assert (safe.escapement(x, 2) >= free.escapement(x, 2)).all()
    assert safe.value < free.value and safe.probability < free.probability
    # below the threshold, and when the promise is over, nothing is left to protect
    low = np.linspace(0.0, 0.999, 20)
    np.testing.assert_array_equal(safe.escapement(low, 2), free.escapement(low, 2))
    np.testing.assert_array_equal(safe.escapement(x, 6), free.escapement(x, 6))
    years = np.arange(50) % 7
    each = [safe.escapement(x[i : i + 1], int(years[i]))[0] for i in range(50)]
    np.testing.assert_array_equal(safe.escapement(x, years), each)


def test_nothing_is_risked_where_nothing_need_be() -> None:
    """eps 0 under bounded noise: the stock never falls, at a price."""
    fishery = Fishery(growth=Allen(), noise=UniformNoise(0.1), x0=8.0, gamma=0.5)
    found = safe_harvest(fishery.problem, 8.0, threshold=5.0, years=10, eps=0.0, nodes=301)
    assert found.probability < 1e-11 and 0.0 < found.value < fishery.oracle().value.value
    certain = replace(fishery, noise=Deterministic())
    found = safe_harvest(certain.problem, 8.0, threshold=5.0, years=10, eps=0.0, nodes=301)
    assert found.probability < 1e-11 and found.value > 2.0


# --- the agent ---


def test_the_agent_counts_years_and_restarts() -> None:
    agent: Any = make("safe_harvest", MYERS, eps=between(programme("myers"), 0.5), years=6)
    observation = np.full((2, 1), 0.05)
    first, state = agent.predict(observation)
    seen = [first]
    for _ in range(6):
        action, state = agent.predict(observation, state, np.zeros(2, bool))
        seen.append(action)
    assert (seen[6] > seen[0]).all()  # the promise is over: more is caught
    again, _ = agent.predict(observation, state, np.array([True, False]))
    assert again[0] == seen[0][0] and again[1] == seen[6][1]
    assert agent.plan.years == 6
    stock, _ = MYERS.stock_and_year(observation)
    for year in range(8):
        left = agent.plan(stock, year)
        np.testing.assert_allclose(left, agent.escapement(stock, year), rtol=1e-6)


def test_the_agent_of_a_short_task_promises_until_its_last_harvest() -> None:
    fishery = replace(ALLEN, horizon=5)
    agent: Any = make("safe_harvest", fishery, eps=0.3)
    assert len(agent.solution.charged.q) == 5 and agent.plan is None
    assert agent.parameters == {"eps": 0.3, "years": 50, "threshold": 5.0}
    risk = collapse_probability(fishery, agent, 8.0, 4, 5.0, ever=True)
    assert risk == pytest.approx(agent.solution.probability, rel=2e-2) and risk < 0.3
    last = agent.escapement(np.array([8.0]), 4)
    assert last == 0.0
    one: Any = make("safe_harvest", replace(ALLEN, horizon=1), eps=0.5)
    assert one.solution.probability <= 0.5


def test_default_thresholds() -> None:
    logistic = STOCKS["logistic"]
    agent: Any = make("safe_harvest", logistic, eps=0.5)
    assert agent.parameters["threshold"] == pytest.approx(0.1 * logistic.reference.B_msy)
    lost: Any = make("safe_harvest", replace(MYERS, extinct_below=1.2), eps=0.9)
    assert lost.parameters["threshold"] == 1.2


def test_errors_of_survey_and_implementation_are_not_foreseen() -> None:
    blurred = replace(
        MYERS, implementation_noise=LognormalNoise(0.1), observation_noise=LognormalNoise(0.1)
    )
    agents: list[Any] = [make("safe_harvest", f, eps=0.05, years=5) for f in (blurred, MYERS)]
    assert agents[0].solution.value == agents[1].solution.value


@pytest.mark.parametrize("world", params({"endless": None, "horizon": 8}))
def test_the_agent_is_worth_less_than_the_optimum(world: int | None) -> None:
    fishery = replace(MYERS, horizon=world, action="quota")
    agent = make("safe_harvest", fishery, eps=0.05, years=5)
    value = fishery.oracle().policy_value(agent)
    assert value is not None and value <= fishery.oracle().value.value + 1e-9
    assert value > 0.5 * fishery.oracle().value.value
    assert fishery.measures(agent)


# --- refused ---

BAD: Any = [
    ({"eps": 1.5}, "eps must be in .0, 1., got 1.5"),
    ({"eps": np.nan}, "eps must be finite"),
    ({"years": 0}, "years must be a whole number >= 1, got 0"),
    ({"years": np.nan}, "years must be finite"),
    ({"years": 2.5}, "years must be a whole number.*got 2.5"),
    ({"threshold": 0.0}, "threshold must be > 0"),
    ({"threshold": 99.0}, "threshold must be in"),
    ({"threshold": 0.01}, "needs a finer grid, nodes > "),
    ({"x0": 0.9}, "x0 must be above the threshold 1, at most .*got 0.9"),
    ({"x0": 1e6}, "x0 must be above the threshold 1, at most"),
    ({"nodes": 0}, "nodes must be a whole number >= 3, got 0"),
    ({"eps": 1e-6}, "eps=1e-06 cannot be attained: .* 1 or below within 6 years .*at least 0.0"),
]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_bad_arguments_are_named(change: dict[str, Any], words: str) -> None:
    given = {"x0": 1.5, "threshold": 1.0, "years": 6, "eps": 0.5} | change
    with pytest.raises(ValueError, match=words):
        safe_harvest(MYERS.problem, **given)
    if "eps" not in change:
        given.pop("eps")
        with pytest.raises(ValueError, match=words):
            trade_off(MYERS.problem, **given)


def test_what_cannot_be_attained_comes_with_advice() -> None:
    def solve(eps: float) -> Any:
        return safe_harvest(MYERS.problem, 1.5, threshold=1.0, years=6, eps=eps)

    with pytest.raises(ValueError, match=r"; take eps >= .*, fewer years or a lower") as error:
        solve(1e-6)
    advised = float(str(error.value).split("eps >= ")[1].split(",")[0])
    assert solve(advised).probability <= advised


def test_other_refusals() -> None:
    short = replace(MYERS, horizon=4)
    with pytest.raises(ValueError, match=r"years must be at most the horizon, 4, got 5"):
        safe_harvest(short.problem, 1.5, threshold=1.0, years=5, eps=0.5)
    noisy = replace(MYERS, implementation_noise=LognormalNoise(0.1))
    with pytest.raises(ValueError, match="needs perfect implementation"):
        trade_off(noisy.problem, 1.5, threshold=1.0, years=5)
    with pytest.raises(ValueError, match="multipliers must be >= 0"):
        trade_off(MYERS.problem, 1.5, threshold=1.0, years=5, multipliers=np.array([1.0, -1.0]))
    with pytest.raises(ValueError, match=r"threshold must be in \[1.2, "):
        lost = replace(MYERS, extinct_below=1.2)
        safe_harvest(lost.problem, 1.5, threshold=1.0, years=5, eps=0.5)
    with pytest.raises(ValueError, match="cannot be attained"):
        make("safe_harvest", MYERS, eps=1e-9)
    with pytest.raises(TypeError, match="eps must be a real number"):
        make("safe_harvest", MYERS, eps="small")


# --- plans ---


def test_a_plan_is_evaluated_year_by_year() -> None:
    """No harvest for three years, then the optimum: V = E[V*(x_3)] gamma^3."""
    oracle = MYERS.oracle()
    solution, x = oracle.solution, np.array([0.7, 1.3, 2.0])

    def wait(stocks: np.ndarray, year: int) -> np.ndarray:
        return stocks if year < 3 else solution.escapement(stocks)

    q = solution.q[0]
    for year in range(3):
        q = solution.kernel.worth(
            solution.grid.nodes + (q if year else solution.best[0]), year == 0
        )
    expected = x + solution.grid.interpolate(q, x)
    np.testing.assert_allclose(solution.evaluate(Plan(wait, 3), x), expected, rtol=1e-9)
    same = solution.evaluate(lambda stocks, year: solution.escapement(stocks), x)
    steady = Plan(lambda stocks, year: solution.escapement(stocks), 7)
    np.testing.assert_allclose(solution.evaluate(steady, x), same, rtol=1e-12)
