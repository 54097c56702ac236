"""Regret a step adds up to the gap in value, and exact values are what simulations average to."""

from dataclasses import replace
from typing import Any

import pytest
from zoo import (
    ALLEN,
    ERRANT,
    FISHERIES,
    FISHERY_IDS,
    FRAGILE,
    MC_ERRORS,
    POLICIES,
    SEEN,
    Policy,
    acting,
    agrees,
    made,
    params,
    simulated,
)

from rlopt.agents import make
from rlopt.envs import FuncVectorEnv
from rlopt.envs import policy as agent
from rlopt.envs.fishery import Allen, Fishery, Logistic, LognormalNoise, NormalNoise
from rlopt.envs.registry import ENVIRONMENTS as REGISTERED
from rlopt.envs.registry import make_func

STOCKS = 20_000
KINKED = {name: POLICIES[name] for name in ("half", "above-one", "torn")}
GAPS: dict[str, Fishery] = {
    "allen": ALLEN,
    "allen-quota": FISHERIES["allen-quota"],
    "horizon": FISHERIES["logistic-6-years"],
    "fragile": FRAGILE,
    "fragile-4-years": FISHERIES["fragile-4-years"],
    "errant": ERRANT,
}


def check_gap(fishery: Fishery, player: Any, stocks: int = STOCKS) -> float:
    """T4: E sum gamma^t regret_t = V* - V^pi, and the returns agree with V^pi itself."""
    oracle = fishery.oracle()
    exact = float(oracle.evaluate(player, [fishery.x0])[0])
    optimum = float(oracle.value_at([fishery.x0])[0])
    totals = simulated(fishery, player, stocks)
    assert agrees(totals.regret, optimum - exact)
    assert agrees(totals.reward, exact)
    assert totals.least_regret >= -1e-9
    return optimum - exact


@pytest.mark.parametrize("name", ["random", "dfo_ramp"])
@pytest.mark.parametrize("fishery", params(GAPS))
def test_regret_adds_up_to_the_gap(fishery: Fishery, name: str) -> None:
    assert check_gap(fishery, made(name, fishery)) > 0.0


@pytest.mark.parametrize(
    "changes",
    [
        {"gamma": 0.95},
        {"gamma": 1.0, "horizon": 30},
        {"gamma": 0.95, "noise": NormalNoise(0.1)},
        {"gamma": 0.95, "noise": LognormalNoise(0.3)},
    ],
    ids=["endless", "30-years", "normal", "wild"],
)
def test_regret_of_a_nearly_empty_sea_that_recovers_adds_up(changes: dict[str, Any]) -> None:
    """Without a tipping point the value of a tiny stock is steep: V ~ x^.04 for the default r."""
    fishery = replace(FISHERIES["LogisticFishery-v0"], **changes)
    check_gap(fishery, made("random", fishery), 5_000)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["random", "dfo_ramp", "ppo"])
def test_regret_adds_up_over_a_long_time(name: str) -> None:
    """The default Allen fishery, discounted by .99 a year."""
    fishery = make_func(REGISTERED["rlopt/AllenFishery-v0"])
    player: Any = make(name, fishery, seed=0)
    player.learn(4096)
    check_gap(fishery, _deterministic(player) if name == "ppo" else player)  # type: ignore[arg-type]  # a fishery


def _deterministic(learner: Any) -> Any:
    return agent(lambda observation: learner.predict(observation, deterministic=True)[0])


@pytest.mark.parametrize("policy", params(KINKED))
@pytest.mark.parametrize("fishery", [ERRANT, FRAGILE], ids=["errant", "fragile"])
def test_exact_values_are_averages(fishery: Fishery, policy: Policy) -> None:
    """Implementation error, extinction and its penalty, by simulation."""
    exact = float(fishery.oracle().evaluate(policy, [fishery.x0])[0])
    totals = simulated(fishery, acting(fishery, policy), STOCKS, seed=3)
    assert agrees(totals.reward, exact, 2e-3 * abs(exact))


def test_the_oracle_counts_the_years_of_a_fading_penalty() -> None:
    """Its best escapement depends on the year, which an endless task does not show."""
    totals = simulated(FRAGILE, FRAGILE.oracle().policy, STOCKS)
    assert agrees(totals.reward, FRAGILE.oracle().value.value, 1e-3)
    assert totals.most_regret < 1e-6
    year = [float(FRAGILE.oracle().escapement([1.5], t)[0]) for t in (0, 1, 50)]
    assert year[0] > year[1] > year[2]


@pytest.mark.parametrize("action", ["fraction", "quota", "escapement"])
@pytest.mark.parametrize("env_id", FISHERY_IDS)
def test_the_oracle_has_no_regret(env_id: str, action: str) -> None:
    """Through the environment with its float32 actions, 0 to 2e-9."""
    for horizon in (None, 20):
        fishery = make_func(REGISTERED[env_id], action=action, horizon=horizon)
        env = FuncVectorEnv(fishery, num_envs=500)
        observation, _ = env.reset(seed=0)
        best: Any = fishery.oracle().policy  # type: ignore[union-attr]  # there is one
        for _ in range(60):
            observation, _, _, _, info = env.step(best.predict(observation)[0])
            assert info["regret"].min() >= -1e-12
            assert info["regret"].max() <= 2e-9


@pytest.mark.parametrize("fishery", params(SEEN))
def test_the_oracle_attains_its_value(fishery: Fishery) -> None:
    oracle = fishery.oracle()
    attained = oracle.policy_value(oracle.policy)
    assert attained is not None
    if fishery.horizon is not None:  # as any agent: by its actions, for all years at once
        by_actions = oracle.policy_value(agent(lambda seen: oracle.policy.predict(seen)[0]))
        assert by_actions == pytest.approx(attained, abs=1e-6)
    if fishery.implementation_noise is None:
        assert abs(attained - oracle.value.value) <= 1e-9 * (1.0 + abs(attained))
    else:
        assert "perfect implementation" in oracle.value.note and not oracle.value.exact
        assert oracle.value.lower == pytest.approx(attained) and attained < oracle.value.value


def test_blurred_regret_is_a_bound() -> None:
    """With observation error regret is to full observation: still V* - V^pi on average."""
    fishery = FISHERIES["blurred"]
    totals = simulated(fishery, made("constant_escapement", fishery), STOCKS)
    full = replace(fishery, observation_noise=None).oracle().value
    assert totals.least_regret >= -1e-9
    assert agrees(totals.reward + totals.regret, full.value, 2.0 * full.tolerance)


def test_taking_the_survey_for_the_stock_attains_the_lower_end() -> None:
    fishery = FISHERIES["blurred"]
    value = fishery.oracle().value
    earned = simulated(fishery, fishery.oracle().policy, STOCKS, seed=7).reward
    assert value.lower <= earned.mean() + MC_ERRORS * earned.std() / STOCKS**0.5
    assert value.lower > 1.4 * fishery.x0  # harvesting all at once would earn x0


LIMITS: Any = [
    ({"action": "escapement", "x0": 1.0, "observation_noise": LognormalNoise(0.3)}, 0.8996),
    ({"action": "quota", "x0": 5.0, "observation_noise": LognormalNoise(0.3)}, 2.0),
    ({"action": "quota", "x0": 5.0, "implementation_noise": LognormalNoise(0.1)}, 2.0100),
    ({"action": "quota", "x0": 5.0}, 2.0),
]


@pytest.mark.parametrize(("kwargs", "best"), LIMITS)
def test_no_lower_end_exceeds_what_actions_can_do(kwargs: Any, best: float) -> None:
    """One harvest of a logistic stock, K = 1: at most 2 K eta, or the survey's E min(1, eta)."""
    fishery = Fishery(growth=Logistic(), noise=LognormalNoise(0.05), gamma=1.0, horizon=1, **kwargs)
    value = fishery.oracle().value
    assert not value.exact
    assert 0.97 * best <= value.lower <= best + 1e-4
    assert value.upper == pytest.approx(fishery.x0)


def test_starts_at_every_stock() -> None:
    """value_at(x) is the value of a fishery that starts at x."""
    for x0 in (1.0, 4.5, 7.0, 12.0):
        fishery = Fishery(growth=Allen(), noise=LognormalNoise(0.05), x0=x0, gamma=0.9)
        assert fishery.oracle().value.value == pytest.approx(
            float(ALLEN.oracle().value_at([x0])[0]), abs=1e-3
        )
