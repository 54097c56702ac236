"""The three-species fishery: its equations, its bracket, and model 1 as an exact fishery."""

import importlib.util
import pickle
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from scipy import integrate, optimize, stats
from zoo import ALLEN, LOGISTIC, MC_ERRORS, Count, agrees, made

from rlopt.agents import make
from rlopt.bench.evaluation import evaluate
from rlopt.envs import policy
from rlopt.envs.fishery import Fishery, May, NormalNoise, ThreeSpecies
from rlopt.envs.fishery.species import SpeciesState
from rlopt.envs.fishery.species_oracle import relaxed_optimum
from rlopt.envs.rollout import rollout
from rlopt.theory.cubic import LogCubic

MODELS = (2, 3, 4)
RULES = ("constant_mortality", "constant_escapements")
EPISODES = 2_000


def by_hand(p: ThreeSpecies, n: Any, u: Any, year: int, e: Any) -> tuple[list[float], float]:
    """Notes, 2.6, with plain numbers."""
    x, y, z = n[0] * (1 - u[0]), n[1] * (1 - u[1]), n[2]
    rx = p.rx * max(1 - year / 200, 0.5) if p.model == 4 else p.rx
    after = [
        x
        + rx * x * (1 - x / p.Kx)
        - p.beta * z * x**2 / (p.c**2 + x**2)
        - p.cxy * x * y
        + p.sigma * x * e[0],
        y
        + p.ry * y * (1 - y / p.Ky)
        - p.D * p.beta * z * y**2 / (p.c**2 + y**2)
        - p.cxy * x * y
        + p.sigma * y * e[1],
        z + z * (p.b * (x + p.D * y) - p.d) + p.sigma * z * e[2],
    ]
    return [max(k, 0.0) for k in after], n[0] * u[0] + n[1] * u[1]


@pytest.mark.parametrize("model", MODELS)
def test_a_year_by_hand(model: int) -> None:
    species = ThreeSpecies(model=model, ry=0.8, Kx=1.3, Ky=0.9, d=0.2, sigma=0.3)
    rng = np.random.default_rng(0)
    stock, year = rng.uniform(0.0, 1.5, (50, 3)), rng.integers(0, 199, 50)
    action, noise = rng.uniform(-1.3, 1.3, (50, species.fished)), rng.standard_normal((50, 3))
    noise[:5] = -9.0  # nothing is left
    state = SpeciesState(stock, year.astype(float), stock * 0.0)
    after = species.transition(state, action, noise)
    reward = species.reward(state, action, after)
    u = np.zeros((50, 2))
    u[:, : species.fished] = np.clip((action + 1.0) / 2.0, 0.0, 1.0)
    info = species.transition_info(state, action, after)
    for k in range(50):
        expected, caught = by_hand(species, stock[k], u[k], year[k], noise[k])
        np.testing.assert_allclose(after.stock[k], expected, rtol=1e-12, atol=1e-12)
        near = min(expected) <= 0.05
        assert species.terminal(after)[k] == near == info["near_extinct"][k]
        paid = caught - near * 100.0 / (year[k] + 1)
        assert reward[k] == pytest.approx(paid, rel=1e-12, abs=1e-12)
        assert info["catch"][k] == pytest.approx(caught, rel=1e-12, abs=1e-12)
        assert info["escapement_X"][k] == pytest.approx(stock[k, 0] * (1 - u[k, 0]), abs=1e-12)
    assert (after.year == year + 1.0).all() and species.terminal(after)[:5].all()
    assert ("catch_Y" in info) == (model > 2) and "catch_Z" not in info


def test_what_is_seen() -> None:
    species = ThreeSpecies()
    start = species.initial(np.array([[0.0, 1.0, -1.0]]))
    np.testing.assert_allclose(start.stock, [[0.5, 0.52, 0.68]], rtol=1e-15)
    seen = species.observation(start, np.empty((1, 0)))
    np.testing.assert_allclose(seen, [[-0.75, -0.74, -0.66, -1.0]], rtol=1e-14)
    stocks, year = species.stocks_and_year(seen)
    np.testing.assert_allclose(stocks, start.stock, rtol=1e-14)
    assert year == 0.0
    late = start._replace(stock=start.stock * 10.0, year=start.year + 200.0)
    np.testing.assert_array_equal(species.observation(late, np.empty((1, 0))), np.ones((1, 4)))
    assert species.state_info(late)["obs_clipped"] == [True]


def test_unfished_stocks_stay_where_they_are() -> None:
    for model in MODELS:
        species = ThreeSpecies(model=model)
        settled = species.unfished
        np.testing.assert_allclose(species.grown(settled, 200.0), settled, rtol=1e-9)
        assert (settled > 0.1).all()


# --- the oracle ---


@pytest.mark.parametrize("model", MODELS)
def test_the_bracket_is_tight_and_holds(model: int) -> None:
    """No policy exceeds the upper end; the oracle's own attains the lower end, within 3 %."""
    species = ThreeSpecies(model=model)
    oracle = species.oracle()
    lower, upper = oracle.value.lower, oracle.value.upper
    assert lower <= oracle.value.value == upper and not oracle.value.exact
    assert upper - lower < 0.03 * upper
    assert oracle.value.tolerance < 0.005 * upper
    own = rollout(species, oracle.policy, EPISODES, 5).total
    error = own.std() / np.sqrt(EPISODES)
    assert lower - MC_ERRORS * error <= own.mean() <= upper + MC_ERRORS * error
    best = oracle.policy

    def greedy(observation: np.ndarray) -> np.ndarray:
        """Takes everything in the last years."""
        actions, _ = best.predict(observation)
        return np.where(observation[:, 3:] > 0.96, 1.0, actions).astype(np.float32)

    for agent in (
        *(make(name, species) for name in RULES),
        *(make("constant_escapements", species, x=x) for x in (0.2, 0.45)),
        *(made(name, species) for name in ("random", "do_nothing")),
        policy(greedy),
    ):
        total = rollout(species, agent, 300, 6).total
        assert total.mean() - MC_ERRORS * total.std() / np.sqrt(300) <= upper


def test_regret_is_to_the_upper_end() -> None:
    species = ThreeSpecies(horizon=20)
    oracle, agent = species.oracle(), make("constant_mortality", species)
    found, played = evaluate(species, oracle, agent, 0), rollout(species, agent, EPISODES, 0)
    assert oracle.regret is None and found.regret == pytest.approx(oracle.value.upper - found.value)
    assert agrees(played.total, found.value, MC_ERRORS * found.error)


def test_the_programme_of_preys_that_never_meet() -> None:
    """Without predation, rivalry and noise each is a logistic stock: x0 + (T - 1) r K / 4 (T2)."""
    apart: Any = {
        "beta": 0.0,
        "cxy": 0.0,
        "b": 0.0,
        "d": 0.0,
        "sigma": 0.0,
        "extinction_penalty": 0.0,
    }
    species = ThreeSpecies(ry=0.6, Ky=0.8, horizon=15, **apart)
    value = 0.5 + 14 * 1.0 * 1.0 / 4 + 0.5 + 14 * 0.6 * 0.8 / 4
    found = relaxed_optimum(species, 40, 25)  # K / 2 is among the choices
    assert found.value == pytest.approx(value, abs=1e-9)
    falling = ThreeSpecies(model=4, horizon=150, **apart)
    rates = np.maximum(1.0 - np.arange(149) / 200.0, 0.5)
    value = 0.5 + rates.sum() / 4 + 0.5 + 149 / 4
    assert relaxed_optimum(falling, 40, 25).value == pytest.approx(value, abs=1e-9)


def test_the_programme_of_two_years() -> None:
    """The first of two years by brute force: buy or sell, then sell what lives, less penalties."""
    species = ThreeSpecies(horizon=2, extinction_penalty=0.4, extinct_below=0.2, sigma=0.4)
    z, sd = 0.7, species.sigma

    def alive(m: float, s: float) -> tuple[float, float]:
        law = stats.norm(m, sd * s)
        mean, _ = integrate.quad(lambda v: v * law.pdf(v), 0.2, m + 8 * sd * s + 0.2, limit=200)
        return mean, float(law.sf(0.2))

    def last(z: float) -> float:
        """In the second year only the penalty matters."""
        options = np.linspace(1e-9, 0.3, 301)
        s = np.array([[x, x, z] for x in options])
        grown = species.grown(s, 1.0)
        live = np.prod([stats.norm.sf(0.2, grown[:, k], sd * s[:, k]) for k in range(3)], axis=0)
        return float((-2.0 * options - 0.2 * (1.0 - live)).max())

    seen = np.linspace(0.2, 3.0, 101)
    table = [last(float(v)) for v in seen]
    shares = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)

    def worth(s: Any) -> float:
        if min(s) <= 0.0:
            return -9.0
        grown = species.grown(np.array([*s, z]), 0.0)
        (mx, px), (my, py), (_, pz) = (
            alive(float(m), float(e)) for m, e in zip(grown, (*s, z), strict=True)
        )
        draws = grown[2] + sd * z * shares
        later = float(np.mean(np.where(draws > 0.2, np.interp(draws, seen, table), 0.0)))
        return float(
            mx * py * pz + my * px * pz + px * py * later - sum(s) - 0.4 * (1 - px * py * pz)
        )

    best = -optimize.minimize(lambda s: -worth(s), [0.45, 0.4], method="Nelder-Mead").fun
    found = relaxed_optimum(species, 24, 49).value
    assert found == pytest.approx(1.0 + best, abs=1e-3)


def test_expectations_of_cubics() -> None:
    spline = LogCubic(0.05, 4.0, 40)
    noise = NormalNoise(0.2)
    median, s = np.array([0.04, 0.06, 0.5, 2.0]), np.array([0.1, 0.1, 0.5, 2.0])
    values = np.sqrt(spline.nodes)
    found = spline.expectation(noise, median, s) @ (spline.to_coefficients @ values)
    for k in range(4):
        law = stats.norm(median[k], 0.2 * s[k])
        edges = [0.05, *np.clip(median[k] + np.array([-2, 0, 2, 8]) * 0.2 * s[k], 0.05, 4.0)]
        pieces = [
            integrate.quad(lambda x, law=law: np.sqrt(x) * law.pdf(x), a, b)[0]
            for a, b in pairwise(edges)
            if b > a
        ]
        above = 2.0 * float(law.sf(4.0))
        assert found[k] == pytest.approx(sum(pieces) + above, rel=1e-5)
    np.testing.assert_allclose(spline.interpolation(spline.nodes) @ values, values, rtol=1e-12)
    mass = spline.expectation(noise, median, s) @ (spline.to_coefficients @ np.ones(40))
    np.testing.assert_allclose(mass, stats.norm.sf(0.05, median, 0.2 * s), rtol=1e-10)


def test_the_oracle_plays_one_or_many() -> None:
    for model in (2, 3):
        species = ThreeSpecies(model=model, horizon=9)
        agent: Any = species.oracle().policy
        batch = np.random.default_rng(0).uniform(-1.0, 1.0, (20, 4))
        actions, _ = agent.predict(batch)
        assert actions.shape == (20, species.fished) and actions.dtype == np.float32
        np.testing.assert_array_equal(agent.predict(batch[3])[0], actions[3])
    assert pickle.loads(pickle.dumps(species)).oracle() is species.oracle()


# --- rules ---


def test_rules_of_several_species() -> None:
    species = ThreeSpecies(model=3)
    seen = species.observation(species.initial(np.zeros((1, 3))), np.empty((1, 0)))
    cases: Any = [
        ("constant_mortality", {"x": 0.4, "y": 0.1}, [0.3, 0.45]),
        ("constant_escapements", {"x": 0.4, "y": 0.9}, [0.4, 0.5]),
    ]
    for name, constants, left in cases:
        rule: Any = make(name, species, **constants)
        action = rule.predict(seen)[0]
        caught = (action[0] + 1.0) / 2.0 * 0.5
        np.testing.assert_allclose(0.5 - caught, left, rtol=1e-6)
    assert make("constant_mortality", species).parameters == {"x": 0.3, "y": 0.25}  # type: ignore[attr-defined]  # a Rule
    assert make("constant_escapements", ThreeSpecies(model=2)).parameters == {"x": 0.22}  # type: ignore[attr-defined]  # a Rule


def test_rules_come_back(tmp_path: Path) -> None:
    species = ThreeSpecies(model=2)
    rule: Any = make("constant_mortality", species, x=0.123)
    rule.save(tmp_path / "rule")
    again = type(rule).load(tmp_path / "rule", species)
    assert again.parameters == {"x": 0.123}


def test_rules_refuse() -> None:
    with pytest.raises(ValueError, match="several species"):
        make("constant_mortality", LOGISTIC)
    with pytest.raises(ValueError, match=r"x must be in \[0, 1\], got 1.5"):
        make("constant_mortality", ThreeSpecies(), x=1.5)
    with pytest.raises(ValueError, match=r"y must be >= 0, got nan"):
        make("constant_escapements", ThreeSpecies(), y=np.nan)
    with pytest.raises(ValueError, match="only X is fished here"):
        make("constant_escapements", ThreeSpecies(model=2), y=0.5)


# --- model 1 and the published metric ---


def experiment() -> Any:
    """The script beside the published tables."""
    path = Path(__file__).parents[1] / "experiments" / "fisheries" / "pretty_darn_good.py"
    spec = importlib.util.spec_from_file_location("pretty_darn_good", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_model_1_is_an_exact_fishery() -> None:
    fishery: Any = ThreeSpecies(model=1)
    assert type(fishery) is Fishery
    assert fishery == Fishery(
        growth=May(1.0, 1.0, 0.25, 2.0, 0.1),
        noise=NormalNoise(0.05),
        x0=0.7,
        gamma=1.0,
        horizon=200,
        extinct_below=0.05,
        extinction_penalty=100.0,
    )
    made_by_id: Any = gymnasium.make("rlopt/ThreeSpeciesFishery-v0", model=1, beta=0.23)
    assert made_by_id.unwrapped.func == ThreeSpecies(model=1, beta=0.23)
    value = fishery.oracle().value
    free = replace(fishery, extinction_penalty=0.0).oracle().value
    assert value.exact and value.tolerance < 0.005
    # the numbers of experiments/fisheries, on a grid of another size
    assert value.value == pytest.approx(2.069, abs=0.005)
    assert free.value == pytest.approx(2.352, abs=0.005)


def test_the_published_metric_of_one_species() -> None:
    """CEsc .51: 1.882 by 40,000 episodes (notes, 4.3), exactly and by simulation."""
    script = experiment()
    fishery: Any = ThreeSpecies(model=1)

    def rule(x: np.ndarray) -> np.ndarray:
        return np.minimum(x, 0.51)

    exact = script.Reported(fishery, 801)
    assert script.over_starts(lambda x: exact.value(rule, x), 0.7) == pytest.approx(1.882, abs=2e-3)
    played = rollout(fishery, script._acting(fishery, rule), EPISODES, 0)
    value = float(exact.value(rule, np.array([0.7]))[0])
    assert agrees(script.reported(played), value)
    best = float(script.Reported(fishery, 301).best(np.array([0.7]))[0])
    assert value < best < float(fishery.oracle().value.value) + 0.3


def test_published_constants_of_three_species() -> None:
    """Means of 100 episodes, which the tuning made optimistic, in the published metric."""
    script = experiment()
    for model, name, published, sd in (
        (2, "constant_mortality", 19.77, 2.0),
        (4, "constant_mortality", 44.52, 5.3),
    ):
        species = ThreeSpecies(model=model)
        found = script.reported(rollout(species, make(name, species), EPISODES, 0))
        assert found.mean() == pytest.approx(published, abs=MC_ERRORS * sd / 10.0)
        assert found.std() == pytest.approx(sd, rel=0.5)


# --- whole episodes ---


def test_rollouts() -> None:
    agent = make("constant_escapement", LOGISTIC)
    played = rollout(LOGISTIC, agent, EPISODES, 1)
    exact = LOGISTIC.oracle().policy_value(agent)
    assert exact is not None and agrees(played.total, exact)
    assert (played.steps == 6).all() and not played.ended.any()
    np.testing.assert_array_equal(rollout(LOGISTIC, agent, EPISODES, 1).total, played.total)
    everything = rollout(LOGISTIC, policy(lambda seen: np.ones((len(seen), 1))), 5, 0)
    assert everything.ended.all() and (everything.steps == 1).all()
    np.testing.assert_array_equal(everything.total, everything.last)
    with pytest.raises(ValueError, match="needs steps for an endless task"):
        rollout(Count(), agent, 1, 0)
    short = rollout(ALLEN, made("do_nothing", ALLEN), 3, 0, steps=4)
    assert (short.steps == 4).all() and not short.ended.any() and not short.total.any()
    half = policy(lambda seen: np.zeros((len(seen), 1)))
    once, twice = (rollout(ALLEN, half, 3, 0, steps=k) for k in (1, 2))
    np.testing.assert_array_equal(once.total, np.full(3, 5.0))
    np.testing.assert_allclose(twice.total, 5.0 + twice.last, rtol=1e-15)


# --- arguments and pictures ---

BAD: Any = [
    ({"model": 5}, ValueError, r"model must be one of \(1, 2, 3, 4\), got 5"),
    ({"model": True}, ValueError, "model must be one of"),
    ({"beta": -0.1}, ValueError, "beta must be >= 0, got -0.1"),
    ({"c": 0.0}, ValueError, "c must be > 0, got 0"),
    ({"rx": np.nan}, ValueError, "rx must be finite"),
    ({"d": 1.0}, ValueError, r"d must be in \[0, 1\), got 1"),
    ({"extinct_below": 0.45}, ValueError, "extinct_below must be > 0 and below"),
    ({"extinct_below": 0.0}, ValueError, "extinct_below must be > 0 and below"),
    ({"Kx": 0.04}, ValueError, "Kx must be above extinct_below"),
    ({"horizon": None}, ValueError, "horizon must be a whole number"),
    ({"horizon": 0}, ValueError, "horizon must be a whole number"),
    ({"sigma": "x"}, TypeError, "sigma must be a real number"),
    ({"model": 1, "D": 1.0}, TypeError, "model 1 has no parameter 'D'"),
    ({"model": 1, "sigmma": 1.0}, TypeError, "did you mean 'sigma'"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD)
def test_bad_arguments(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        ThreeSpecies(**arguments)


@pytest.mark.parametrize("model", [2, 3])
def test_pictures(model: int) -> None:
    env: Any = gymnasium.make(
        "rlopt/ThreeSpeciesFishery-v0", model=model, horizon=9, render_mode="rgb_array"
    )
    env.reset(seed=0)
    pictures = [env.render()]
    for _ in range(2):
        info = env.step(np.zeros(env.action_space.shape, np.float32))[4]
        pictures.append(env.render())
    assert {p.shape for p in pictures} == {(420, 640, 3)}
    assert all((a != b).any() for a, b in pairwise(pictures))
    text = env.unwrapped.func.text(env.unwrapped.history)
    assert text.startswith("year 2/9") and f"{info['stock_X']:.3f}" in text
    assert all(type(value) in (float, bool) for value in info.values())
    with pytest.raises(ValueError, match="nothing to draw"):
        env.unwrapped.func.picture([])
