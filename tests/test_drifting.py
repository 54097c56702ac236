"""Fisheries whose growth changes: their dynamics, exact schedules, and what ignorance costs."""

import pickle
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from zoo import POLICIES, RULES, agrees, made, params, simulated

from rlopt.agents import make
from rlopt.envs import FuncVectorEnv
from rlopt.envs.fishery import (
    Allen,
    BevertonHolt,
    Deterministic,
    Drifting,
    Fishery,
    Logistic,
    LognormalNoise,
    May,
    NormalNoise,
    Ricker,
    UniformNoise,
    drifting_fishery,
)
from rlopt.theory.grid import Grid
from rlopt.theory.schedule import solve_schedule

FOLD = drifting_fishery(horizon=12, a=0.18, rate=0.006)  # passes the fold in year 6
SECRET = drifting_fishery(horizon=8, a=0.15, rate=0.004, spread=0.01, scenarios=3)
REDRAWN = Drifting(  # gym_fishing v4, K only
    fishery=Fishery(
        growth=Logistic(), noise=NormalNoise(0.1), x0=0.75, gamma=0.95, horizon=7, extinct_below=0.1
    ),
    parameter="K",
    rate=0.0,
    spread=0.2,
    uncertain="start",
    scenarios=4,
)
CLOSING = Drifting(
    fishery=Fishery(
        growth=Allen(1.0, 4.0, 1.0),
        noise=UniformNoise(0.5),
        x0=3.0,
        horizon=6,
        action="escapement",
        extinct_below=0.5,
        extinction_penalty=2.0,
    ),
    parameter="C",
    rate=0.3,
)
ALL = {"fold": FOLD, "secret": SECRET, "redrawn": REDRAWN, "closing": CLOSING}


# --- dynamics ---


@pytest.mark.parametrize("drifting", params(ALL))
def test_each_year_is_a_fishery_with_that_years_growth(drifting: Drifting) -> None:
    rng, n = np.random.default_rng(0), 60
    state = drifting.initial(rng.random((n, drifting.noise_spec.dim("initial"))))
    for year in range(drifting.horizon):
        action, noise = rng.uniform(-1.0, 1.0, (n, 1)), rng.uniform(0.0, 1.0, (n, 1))
        after = drifting.transition(state, action, noise)
        info = drifting.transition_info(state, action, after)
        for scenario, values in enumerate(drifting.values):
            rows = state.scenario == scenario
            assert rows.any()
            fishery = drifting.in_year(float(values[year]))
            assert getattr(fishery.growth, drifting.parameter) == values[year]
            plain = type(fishery.initial(np.empty((1, 0))))(*(a[rows] for a in state[:6]))
            # the observation of the mean scenario in year 0 sets what an escapement action means
            request = drifting.fishery.requested(plain.stock, plain.stock, action[rows])
            left = plain.stock - np.minimum(request, plain.stock)
            grown = fishery.noise.apply(fishery.growth(left), left, noise[rows, 0])
            np.testing.assert_allclose(after.stock[rows], grown, rtol=1e-12, atol=1e-15)
            np.testing.assert_array_equal(info["parameter"][rows], values[year])
            tip = fishery.growth.tipping_point or 0.0
            np.testing.assert_array_equal(info["tipped"][rows], left < tip)
        state = after


def test_scenarios_are_equally_likely_quantiles() -> None:
    values = SECRET.values
    assert values.shape == (3, 8)
    np.testing.assert_allclose(values[:, 0], 0.15)
    np.testing.assert_allclose(values[1], 0.15 + 0.004 * np.arange(8))
    z = 0.9674215661017014  # of the standard normal's 5/6 quantile
    np.testing.assert_allclose(values[2] - values[1], 0.01 * z * np.arange(8), rtol=1e-12)
    np.testing.assert_allclose(values[0] + values[2], 2.0 * values[1])
    drawn = SECRET.initial(np.linspace(0.0, 1.0, 300, endpoint=False)[:, None]).scenario
    assert np.bincount(drawn.astype(int)).tolist() == [100, 100, 100]
    start = REDRAWN.values
    np.testing.assert_allclose(start, start[:, :1] * np.ones(7))
    assert FOLD.noise_spec.dim("initial") == 0 and FOLD.values.shape == (1, 12)


def test_the_fold_approaches() -> None:
    env: Any = gymnasium.make("rlopt/DriftingFishery-v0", horizon=70)
    env.reset(seed=0)
    infos = [env.step(np.array([-1.0], np.float32))[4] for _ in range(70)]
    gaps = np.array([info["to_fold"] for info in infos])
    np.testing.assert_allclose(gaps, 0.21341 - 0.15 - 0.001 * np.arange(70), atol=5e-6)
    assert np.flatnonzero(gaps < 0.0)[0] == 64
    assert all(type(value) in (float, bool, str) for value in infos[0].values())
    assert "to_fold" not in REDRAWN.transition_info(
        REDRAWN.initial(np.zeros((1, 1))),
        np.zeros((1, 1)),
        REDRAWN.initial(np.zeros((1, 1))),
    )


@pytest.mark.parametrize(
    ("growth", "values"),
    [
        (May(), {"a": (0.0, 0.3)}),
        (Logistic(), {"r": (0.1, 1.0), "K": (0.5, 2.0)}),
        (BevertonHolt(), {"r": (0.1, 1.0), "K": (0.5, 2.0)}),
        (Ricker(), {"r": (0.1, 1.0), "K": (0.5, 2.0)}),
        (Allen(), {"r": (0.5, 2.0), "K": (7.0, 9.0), "C": (3.0, 6.0)}),
    ],
)
def test_growth_with_a_parameter_for_each_stock(growth: Any, values: Any) -> None:
    assert set(values) == set(growth.varying)
    s = np.linspace(0.0, 3.0, 20)
    arrays = {name: np.linspace(low, high, 20) for name, (low, high) in values.items()}
    together = growth.at(**arrays)(s)
    for k in range(20):
        alone = replace(growth, **{name: float(array[k]) for name, array in arrays.items()})
        assert together[k] == pytest.approx(float(alone(s[k])), rel=1e-14, abs=1e-15)


# --- the oracle ---


def test_a_drift_of_zero_is_a_fishery() -> None:
    fishery = Fishery(growth=May(), noise=LognormalNoise(0.2), x0=0.8, gamma=0.97, horizon=9)
    drifting = Drifting(fishery=fishery, parameter="a", rate=0.0)
    ours, theirs = drifting.oracle(), fishery.oracle()
    assert ours.value.exact
    slack = ours.value.tolerance + theirs.value.tolerance
    assert abs(ours.value.value - theirs.value.value) <= slack < 2e-3
    for name in ("constant_fraction", "40-10", "random"):
        agent = made(name, fishery)
        exact = theirs.policy_value(agent)
        assert exact is not None
        assert ours.policy_value(agent) == pytest.approx(exact, abs=2e-3)


def test_a_certain_drift_in_closed_form() -> None:
    """T2 with a logistic capacity that falls: x0 + sum over years of r K_t / 4, gamma = 1."""
    fishery = Fishery(growth=Logistic(0.5, 2.0), noise=Deterministic(), x0=1.5, gamma=1, horizon=6)
    for parameter, rate in (("K", -0.1), ("r", -0.03)):
        drifting = Drifting(fishery=fishery, parameter=parameter, rate=rate)
        values = drifting.mean_values[:-1]
        gains = 0.5 * values / 4.0 if parameter == "K" else values * 2.0 / 4.0
        value = drifting.oracle().value
        assert value.value == pytest.approx(1.5 + gains.sum(), abs=value.tolerance + 1e-9)
        assert value.tolerance < 2e-3


@pytest.mark.parametrize("drifting", params(ALL))
def test_no_policy_beats_the_optimum(drifting: Drifting) -> None:
    oracle = drifting.oracle()
    assert oracle.value.lower <= oracle.value.value <= oracle.value.upper
    assert oracle.value.exact == (len(drifting.values) == 1)
    x = np.array([drifting.fishery.x0])
    best = np.mean([known.value_at(x)[0] for known in oracle.known])
    values = {name: oracle.policy_value(made(name, drifting)) for name in RULES}
    values |= {name: float(oracle.evaluate(p, x)[0]) for name, p in POLICIES.items()}
    assert max(values.values()) <= best + 1e-9
    if oracle.value.exact:
        assert values["oracle"] == pytest.approx(best, abs=1e-9)
        assert best == oracle.value.value
    else:
        assert values["oracle"] < best and values["oracle"] > oracle.value.lower


@pytest.mark.parametrize("name", ["random", "oracle", "constant_fraction"])
@pytest.mark.parametrize("drifting", params(ALL))
def test_exact_values_and_regret_are_averages(drifting: Drifting, name: str) -> None:
    """Simulated returns have the exact mean; regret adds up to the gap to who knows (T4)."""
    oracle, agent = drifting.oracle(), made(name, drifting)
    exact = oracle.policy_value(agent)
    x = np.array([drifting.fishery.x0])
    best = float(np.mean([known.value_at(x)[0] for known in oracle.known]))
    totals = simulated(drifting, agent, 10_000)
    assert totals.least_regret >= -1e-9
    assert agrees(totals.reward, exact, 2e-3)
    assert agrees(totals.regret, best - exact, 2e-3)


def test_the_oracle_has_no_regret_where_all_is_known() -> None:
    for drifting in (FOLD, CLOSING):
        env = FuncVectorEnv(drifting, num_envs=300)
        observation, _ = env.reset(seed=0)
        for _ in range(2 * drifting.horizon):
            action = drifting.oracle().policy.predict(observation)[0]
            observation, _, _, _, info = env.step(action)
            assert info["regret"].min() >= -1e-12 and info["regret"].max() <= 2e-7


def test_knowing_is_worth_something() -> None:
    value = SECRET.oracle().value
    assert value.upper - value.lower > 3.0 * value.tolerance
    assert "known scenario" in value.note and not value.exact
    certain = replace(SECRET, spread=0.0).oracle().value
    assert certain.exact and certain.note == ""


def test_foresight_pays() -> None:
    """The optimum of a stock that will collapse beats that of who thinks that nothing changes."""
    still = replace(FOLD.fishery, gamma=0.99).oracle()
    myopic = FOLD.oracle().evaluate(still.policy, [0.8])[0]
    assert myopic < FOLD.oracle().value.lower


def test_tuned_rules_act_in_drifting_fisheries() -> None:
    oracle = FOLD.oracle()
    plain = oracle.policy_value(make("constant_escapement", FOLD))
    tuned = oracle.policy_value(make("constant_escapement_tuned", FOLD))
    assert plain <= tuned + 1e-9 <= oracle.value.value


def test_schedules_refuse() -> None:
    problem = FOLD.fishery.problem
    with pytest.raises(ValueError, match="one problem for each of its years"):
        solve_schedule([problem] * 3, Grid.through(top=problem.top, nodes=30))


# --- arguments, values and pictures ---

BAD: Any = [
    ({"model": "mai"}, ValueError, "did you mean 'may'"),
    ({"parameter": "b"}, ValueError, r"parameter must be one of \('a',\), got 'b'"),
    ({"rate": np.inf}, ValueError, "rate must be finite"),
    ({"spread": -1.0}, ValueError, "spread must be >= 0"),
    ({"uncertain": "end"}, ValueError, "uncertain must be one of"),
    ({"scenarios": 0}, ValueError, "scenarios must be a whole number >= 1"),
    ({"horizon": None}, ValueError, "finite horizon"),
    ({"action": "quota"}, ValueError, "action must be"),
    ({"observation_sigma": 0.1}, ValueError, "observation_noise must be None"),
    ({"implementation_sigma": 0.1}, ValueError, "implementation_noise must be None"),
    (
        {"rate": -0.1},
        ValueError,
        r"^Drifting: a would be -9.75 in year 99 \(rate -0.1, spread 0\); it must stay >= 0$",
    ),
    (
        {"model": "beverton_holt", "horizon": 200},
        ValueError,
        r"^Drifting: r would be -0.593 in year 199 \(rate -0.007, spread 0\); it must stay > 0$",
    ),
    ({"model": ["may"]}, ValueError, r"model must be one of .*, got \['may'\]"),
    ({"A": 2.0}, TypeError, "no parameter 'A'"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD)
def test_bad_arguments(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        drifting_fishery(**arguments)


def test_limits_between_parameters_are_told_in_full() -> None:
    fishery = replace(CLOSING.fishery, horizon=20)
    with pytest.raises(ValueError, match=r"^Drifting: C would be 6.7 in year 19 .*; Allen: C .* K"):
        replace(CLOSING, fishery=fishery)


def test_a_drifting_fishery_needs_a_fishery() -> None:
    wrong: Any = May()
    with pytest.raises(TypeError, match="fishery must be a Fishery"):
        Drifting(fishery=wrong, parameter="a", rate=0.0)


@pytest.mark.parametrize("drifting", params(ALL))
def test_drifting_fisheries_are_values(drifting: Drifting) -> None:
    again = pickle.loads(pickle.dumps(drifting))
    assert again == drifting and hash(again) == hash(drifting)
    assert again.oracle() is drifting.oracle()
    oracle = pickle.loads(pickle.dumps(drifting.oracle()))
    np.testing.assert_array_equal(
        oracle.escapement([1.0], 2), drifting.oracle().escapement([1.0], 2)
    )


def test_presets() -> None:
    falling = drifting_fishery(model="beverton_holt", horizon=20)
    np.testing.assert_allclose(falling.mean_values, 0.8 - 0.007 * np.arange(20))
    still = drifting_fishery(model="logistic", uncertain="start", spread=0.1, parameter="r")
    assert still.values.shape == (5, 100) and (np.diff(still.values, axis=1) == 0.0).all()


def test_pictures() -> None:
    env: Any = gymnasium.make(
        "rlopt/DriftingFishery-v0", horizon=12, a=0.18, rate=0.006, render_mode="rgb_array"
    )
    env.reset(seed=0)
    pictures = [env.render()]
    for _ in range(12):
        env.step(np.array([-0.8], np.float32))
    pictures.append(env.render())
    assert {p.shape for p in pictures} == {(420, 640, 3)}
    assert (pictures[0] != pictures[1]).any()
    assert env.unwrapped.func.text(env.unwrapped.history).startswith("year 12/12")
    shown = FOLD.policy_picture(FOLD.oracle().policy)
    np.testing.assert_allclose(shown.agent, shown.oracle)
