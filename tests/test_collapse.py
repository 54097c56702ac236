"""Exact collapse probabilities against simulation, and what must hold whatever the numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rlopt.agents import make
from rlopt.envs import FuncVectorEnv
from rlopt.envs.fishery import Allen, Fishery, Logistic, LognormalNoise, NormalNoise
from rlopt.theory.dp import collapse_probability

STOCKS, YEARS, THRESHOLD = 40_000, 12, 5.0
ALLEN = Fishery(growth=Allen(2.0, 8.0, 5.0), noise=LognormalNoise(0.1), x0=8.0, gamma=0.95)
LOST = replace(ALLEN, extinct_below=4.0)
NOISY = replace(ALLEN, implementation_noise=LognormalNoise(0.3))


def simulated(fishery: Fishery, agent: str) -> tuple[float, float]:
    """Share of stocks at or below the threshold at the end, and at any time."""
    env = FuncVectorEnv(fishery, STOCKS, regret=False, autoreset_mode="next_step")
    policy = make(agent, fishery)
    observation, _ = env.reset(seed=11)
    lost, ever = np.zeros(STOCKS, bool), np.zeros(STOCKS, bool)
    below = lost
    for _ in range(YEARS):
        observation, _, terminated, _, info = env.step(policy.predict(observation)[0])
        below = (info["stock"] <= THRESHOLD) | lost
        ever |= below
        lost |= terminated  # what follows in that row is another stock
    return float((below | lost).mean()), float(ever.mean())


@pytest.mark.parametrize(
    "fishery", [ALLEN, LOST, NOISY], ids=["allen", "extinct_below", "implementation"]
)
@pytest.mark.parametrize("agent", ["constant_fraction", "constant_escapement"])
def test_collapse_agrees_with_simulation(fishery: Fishery, agent: str) -> None:
    """Within 4 standard errors of 40,000 stocks, at the end and at any time."""
    policy = make(agent, fishery)
    for ever, share in zip((False, True), simulated(fishery, agent), strict=True):
        exact = collapse_probability(fishery, policy, 8.0, YEARS, THRESHOLD, ever=ever)
        error = np.sqrt(max(share * (1.0 - share), 1.0 / STOCKS) / STOCKS)
        assert abs(exact - share) < 4.0 * error
        assert 0.01 < exact < 0.99, "a case that tells nothing"


def test_the_published_quota_collapses_as_published() -> None:
    """Notes 4.2: quota MSY, 101 harvests, 84.6 % extinct."""
    fishery = Fishery(
        growth=Logistic(0.3, 1.0), noise=NormalNoise(0.1), x0=0.75, gamma=1.0, horizon=101
    )
    extinct = collapse_probability(fishery, make("constant_quota", fishery), 0.75, 101, 0.0)
    assert extinct == pytest.approx(0.846, abs=0.002)


def test_ever_is_at_least_at_the_end_and_grows_with_the_years() -> None:
    policy, x = make("constant_fraction", ALLEN), np.linspace(4.5, 9.0, 10)
    ever = np.array([collapse_probability(ALLEN, policy, x, n, 5.0, ever=True) for n in range(6)])
    end = np.array([collapse_probability(ALLEN, policy, x, n, 5.0) for n in range(6)])
    assert (np.diff(ever, axis=0) >= -1e-12).all()
    assert (ever >= end - 1e-4).all()  # two grids, each with its error
    assert ((end >= 0.0) & (ever <= 1.0 + 1e-12)).all()
    np.testing.assert_array_equal(end[0], x <= 5.0)


def test_harvesting_everything_ends_a_stock_at_once() -> None:
    assert collapse_probability(ALLEN, lambda x: 0.0 * x, 8.0, 1, 0.0) == pytest.approx(1.0)
    assert collapse_probability(ALLEN, lambda x: x, 8.0, 30, 0.0) < 1e-12


@pytest.mark.parametrize("ever", [False, True])
def test_before_the_first_harvest(ever: bool) -> None:
    """Year 0: what the start itself says, at the threshold included, as a number or an array."""
    x = np.array([0.0, 3.0, 5.0, 5.001, 8.0])
    for threshold, expected in ((5.0, [1, 1, 1, 0, 0]), (0.0, [1, 0, 0, 0, 0])):
        found = collapse_probability(ALLEN, lambda x: x, x, 0, threshold, ever=ever)
        np.testing.assert_array_equal(found, expected)
    # a stock that its fishery declares lost has collapsed, though the threshold is lower
    found = collapse_probability(LOST, lambda x: x, x, 0, 1.0, ever=ever)
    np.testing.assert_array_equal(found, [1, 1, 0, 0, 0])
    alone = collapse_probability(ALLEN, lambda x: x, 5.0, 0, 5.0, ever=ever)
    assert type(alone) is float and alone == 1.0


def test_one_year_is_the_law_of_the_noise() -> None:
    """P(Z f(s) <= level), whoever plays: an agent or a function, one stock or many."""
    x = np.array([5.5, 7.0, 11.0])
    agent = make("constant_escapement", ALLEN, escapement=6.0)
    for threshold in (4.0, 5.0):
        expected = ALLEN.noise.cdf(ALLEN.growth(np.minimum(x, 6.0)), np.minimum(x, 6.0), threshold)
        for ever in (False, True):
            many = collapse_probability(
                ALLEN, lambda x: np.minimum(x, 6.0), x, 1, threshold, ever=ever
            )
            # linear between the nodes of the grid
            np.testing.assert_allclose(many, expected, atol=2e-4)
            played = collapse_probability(ALLEN, agent, x, 1, threshold, ever=ever)
            np.testing.assert_allclose(played, many, atol=1e-6)
            for start, probability in zip(x, many, strict=True):
                one = collapse_probability(
                    ALLEN, lambda x: np.minimum(x, 6.0), float(start), 1, threshold, ever=ever
                )
                assert one == pytest.approx(probability, abs=1e-14)


def test_a_lost_stock_counts_below_its_own_level() -> None:
    """Any threshold up to extinct_below asks the same question, at the end or at any time."""
    policy, x = make("constant_fraction", LOST), np.array([4.5, 6.0, 8.0])
    answers = [
        collapse_probability(LOST, policy, x, 9, threshold, ever=ever)
        for threshold in (0.0, 2.0, 4.0)
        for ever in (False, True)
    ]
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], atol=1e-12)
    higher = collapse_probability(LOST, policy, x, 9, 5.0)
    assert (higher > answers[0]).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((ALLEN, "x0", -1.0, 5, 5.0), "x0 must be"),
        ((ALLEN, "x0", np.nan, 5, 5.0), "x0 must be"),
        ((ALLEN, "years", 8.0, -1, 5.0), "years must be .* got -1"),
        ((ALLEN, "years", 8.0, 1.5, 5.0), "years must be .* got 1.5"),
        ((ALLEN, "years", 8.0, np.nan, 5.0), "years must be finite, got nan"),
        ((ALLEN, "threshold", 8.0, 5, np.nan), "threshold must be .* got nan"),
        ((ALLEN, "threshold", 8.0, 5, 1e9), "threshold must be .* got 1000000000"),
        ((ALLEN, "x0", [[8.0]], 5, 5.0), "x0 must be"),
        ((ALLEN, "threshold", 8.0, 5, -2.0), "threshold must be .* got -2"),
        (
            (replace(ALLEN, observation_noise=LognormalNoise(0.1)), "", 8.0, 5, 5.0),
            "full observation",
        ),
    ],
)
def test_bad_arguments_are_named(
    arguments: tuple[Fishery, str, float, int, float], words: str
) -> None:
    fishery, _, x0, years, threshold = arguments
    with pytest.raises(ValueError, match=words):
        collapse_probability(fishery, lambda x: x, x0, years, threshold)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"years": "3"}, "collapse_probability: years must be a real number, got '3'"),
        ({"years": True}, "years must be a real number, got True"),
        ({"threshold": "a"}, "collapse_probability: threshold must be a real number, got 'a'"),
        ({"threshold": True}, "threshold must be a real number, got True"),
        ({"nodes": "many"}, "nodes must be a real number"),
    ],
)
def test_what_is_no_number_is_named(change: Any, words: str) -> None:
    arguments = {"x0": 8.0, "years": 3, "threshold": 5.0} | change
    with pytest.raises(TypeError, match=words):
        collapse_probability(ALLEN, lambda x: x, **arguments)
