"""The bracket of the three-species fishery: finer grids, closed forms, brute force, rivals."""

import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize, stats
from zoo import MC_ERRORS, agrees, made

from rlopt.agents import make
from rlopt.bench.evaluation import evaluate
from rlopt.envs import policy
from rlopt.envs.core import OracleResult
from rlopt.envs.fishery import NormalNoise, ThreeSpecies
from rlopt.envs.fishery.species_oracle import relaxed_optimum
from rlopt.envs.rollout import rollout
from rlopt.theory.cubic import LogCubic

MODELS = (2, 3, 4)
RULES = ("constant_mortality", "constant_escapements")
EPISODES = 2_000


def test_a_bracket_whose_ends_cross_is_refused() -> None:
    words: Any = {"method": "m", "tolerance": 0.1, "note": "n"}
    expected = OracleResult(2.0, 1.0, 2.0, "m", 0.1, False, "n")
    assert OracleResult.bracket(1.0, 2.0, **words) == expected
    assert OracleResult.bracket(1.0 + 1e-12, 1.0, **words).lower == 1.0
    for lower, upper in ((1.001, 1.0), (np.nan, 1.0), (-1.0, -1.001), (0.0, np.nan)):
        with pytest.raises(ArithmeticError, match=r"the bracket crosses: .* at most .* [(]m[)]"):
            OracleResult.bracket(lower, upper, **words)


SHORT: Any = [
    *({"model": model, "horizon": T} for model, T in ((2, 1), (2, 5), (3, 1), (3, 2), (4, 5))),
    {"model": 2, "horizon": 5, "sigma": 0.0},
    {"model": 3, "horizon": 2, "sigma": 0.0},
    {"model": 3, "horizon": 5, "extinct_below": 0.3},
]
OFF: Any = [  # where the programme's policy is worse than constants
    {"model": 2, "cxy": 1.0, "horizon": 100},
    {"model": 3, "c": 0.01, "horizon": 40},
]


def leaving(species: ThreeSpecies, left: float, at_last: float) -> Any:
    """Constant escapements, and less in the last year."""
    last = 1.0 - 1.0 / species.horizon  # between the time of the year before and the end

    def act(seen: np.ndarray) -> np.ndarray:
        stocks, _ = species.stocks_and_year(seen)
        wanted = np.where((seen[:, 3] + 1.0) / 2.0 > last - 1e-9, at_last, left)
        return species.action_for(stocks, np.repeat(wanted[:, None], species.fished, axis=1))

    return policy(act)


@pytest.mark.parametrize("kwargs", SHORT, ids=str)
def test_a_finer_programme_does_not_exceed_the_upper_end(kwargs: Any) -> None:
    """The penalty begins at a cliff, beside which the last year's best escapement lies."""
    species = ThreeSpecies(**kwargs)
    value = species.oracle().value
    nodes, choices = (16, 161) if species.fished == 1 else (24, 81)
    finer = relaxed_optimum(species, nodes, choices, 300).value
    assert value.lower <= finer + value.tolerance and finer <= value.upper
    if species.extinct_below == 0.05:
        assert value.upper - value.lower < 0.05 * value.upper
    for left, at_last in ((0.6, 0.05), (0.45, 0.05), (0.45, 0.25)):
        total = rollout(species, leaving(species, left, at_last), 300, 6).total
        assert total.mean() - MC_ERRORS * total.std() / np.sqrt(300) <= value.upper


@pytest.mark.parametrize("kwargs", OFF, ids=str)
def test_nothing_simple_is_better_than_the_oracles_policy(kwargs: Any) -> None:
    species = ThreeSpecies(**kwargs)
    oracle = species.oracle()
    own = rollout(species, oracle.policy, EPISODES, 5).total
    error = own.std() / np.sqrt(EPISODES)
    assert abs(oracle.value.lower - own.mean()) <= 2.0 * MC_ERRORS * error
    simple = [
        made("do_nothing", species),
        *(make(name, species) for name in RULES),
        *(leaving(species, k, k) for k in (0.4, 0.6)),
    ]
    for agent in simple:
        ahead = rollout(species, agent, EPISODES, 5).total - own
        assert ahead.mean() <= MC_ERRORS * ahead.std() / np.sqrt(EPISODES)
    assert repr(oracle.policy).startswith("SpeciesPolicy(Constant(share=(")
    assert "SpeciesPolicy(Relaxed(value=" in repr(ThreeSpecies(model=2, horizon=1).oracle().policy)


def test_a_bracket_says_where_its_error_is_large() -> None:
    assert "large" not in ThreeSpecies(model=2, horizon=5).oracle().value.note
    value = ThreeSpecies(model=2, horizon=60, extinct_below=1e-6).oracle().value
    assert value.tolerance > 0.05 * value.upper
    assert value.note.endswith(f"large numerical error, {value.tolerance:.2g}")


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
