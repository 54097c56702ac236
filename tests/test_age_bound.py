"""The bracket of the age-structured fishery: no policy above it, and brute force near it."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from zoo import MC_ERRORS, made, simulated

from rlopt.envs.fishery import AgeStructured
from rlopt.envs.fishery.age_oracle import RulePolicy, WeightedRamp
from rlopt.theory.age import SPASMODIC, LifeHistory, Recruitment
from rlopt.theory.age_bound import price_bound

LIFE = LifeHistory()
UTILITIES = ("UM1", "UM2", "UM3")


@pytest.mark.parametrize(
    "kwargs",
    [
        *({"utility": utility} for utility in UTILITIES),
        {"recruitment": "v2", "timing": "consistent"},
        {"utility": "UM3", "observations": 1, "obs_noise": 0.0, "horizon": 60},
        {"utility": "UM2", "horizon": 2},
        {"horizon": 1},
    ],
)
def test_no_policy_is_worth_more_than_the_bound(kwargs: Any) -> None:
    env = AgeStructured(**kwargs)
    oracle = env.oracle()
    value = oracle.value
    assert oracle.regret is None and not value.exact
    assert 0.0 < value.lower <= value.upper == value.value
    for name in ("oracle", "random", "constant_fraction", "40-10"):
        total = simulated(env, made(name, env), 100, seed=2).reward
        assert total.mean() - MC_ERRORS * total.std() / 10.0 <= value.upper
        if name == "oracle":
            assert total.mean() + MC_ERRORS * total.std() / 10.0 >= value.lower


@pytest.mark.parametrize(("utility", "share"), [("UM1", 0.8), ("UM2", 0.72), ("UM3", 0.43)])
def test_the_bracket_is_not_vacuous(utility: str, share: float) -> None:
    value = AgeStructured(utility=utility).oracle().value
    assert value.lower >= share * value.upper


def test_the_trophy_rule_beats_the_published_agents() -> None:
    """Waiting for heavy fish: 67 against 61.66 of the best PPO and 36 of a ramp on biomass."""
    assert AgeStructured(utility="UM3").oracle().value.lower > 61.66


def test_last_year_everything_is_caught() -> None:
    env = AgeStructured(horizon=10)
    policy = RulePolicy(env, WeightedRamp(0.5, 1.0, 0.6, 0.4))
    light, heavy = LIFE.weight[0], LIFE.weight[-1]
    seen = np.array([[0.75 / 25.0 - 1.0, 1.0, t / 5.0 - 1.0] for t in range(10)])
    u = (policy.predict(seen)[0][:, 0] + 1.0) / 2.0
    np.testing.assert_allclose(u, [0.3] * 9 + [1.0], atol=1e-6)
    seen[:, 1] = 2.0 * (0.39 - light) / (heavy - light) - 1.0
    assert (policy.predict(seen)[0][:9] == -1.0).all()
    assert policy.predict(seen[9])[0] == pytest.approx(1.0)


def test_a_policy_by_age_stays_below_the_bound_and_comes_near() -> None:
    """Only old fish are caught, and spawners spared: out of reach of the real fishery."""
    rng, n, T = np.random.default_rng(3), 200, 200
    worth, start = LIFE.weight, 0.55 * LIFE.unfished
    bound = price_bound(life=LIFE, law=SPASMODIC, numbers=start, worth=worth, T=T)
    fish, total = np.tile(start, (n, 1)), np.zeros(n)
    for t in range(T):
        spared = np.clip(0.6 / (fish @ LIFE.mature_weight), 0.0, 1.0)[:, None]
        share = 0.8 * (1.0 - spared) * (LIFE.age >= 8) if t < T - 1 else 1.0
        caught = fish * LIFE.vulnerability * share
        total += caught @ worth
        left = LIFE.survival * (fish - caught)
        ssb = left @ LIFE.mature_weight
        draws = np.stack([rng.random(n), rng.standard_normal(n)], axis=1)
        born = LIFE.alpha * ssb / (1.0 + LIFE.beta * ssb) * SPASMODIC.deviation(draws)
        left[:, -2] += left[:, -1]
        fish = np.concatenate([born[:, None], left[:, :-1]], axis=1)
    assert total.mean() - MC_ERRORS * total.std() / n**0.5 <= bound
    assert total.mean() >= 0.9 * bound


SMALL = LifeHistory(ages=2, growth_rate=0.8, vulnerable_at=1.2, mature_at=1.0)


def _year(fish: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(..., 2) fish and fractions -> yield, next year's fish at deviation 0, recruits at 1."""
    caught = fish * u * SMALL.vulnerability
    left = SMALL.survival * (fish - caught)
    ssb = left @ SMALL.mature_weight
    older = np.stack([0.0 * ssb, left.sum(-1)], axis=-1)
    return caught @ SMALL.weight, older, SMALL.alpha * ssb / (1.0 + SMALL.beta * ssb)


@pytest.mark.parametrize("power", [1.0, 0.6])
@pytest.mark.parametrize("chance", [0.0, 0.3])
def test_three_years_of_two_ages_by_brute_force(power: float, chance: float) -> None:
    """The best of all plans, with a fraction for each age, on a grid; the last year takes all.

    With a strong year class in 3 years of 10, the second year's plan may depend on it. The bound is
    above the optimum by what its tangents lose, which are shared by all ordinary years.
    """
    law = Recruitment(chance, 4.0, 4.0, 0.7, 0.0)
    outcomes = [(1.0, 0.7)] if not chance else [(chance, 4.0), (1.0 - chance, 0.7)]
    start = np.array([1.0, 0.6])
    grid = np.array(list(product(np.linspace(0.0, 1.0, 21), repeat=2)))
    first, older, born = _year(start, grid)
    best = first**power
    for weight, dev in outcomes:
        fish = older + np.stack([dev * born, 0.0 * born], axis=-1)
        second, oldest, young = _year(fish[:, None, :], grid[None])
        third = 0.0
        for chance_2, dev_2 in outcomes:
            last = oldest + np.stack([dev_2 * young, 0.0 * young], axis=-1)
            third = third + chance_2 * (last @ (SMALL.vulnerability * SMALL.weight)) ** power
        best = best + weight * (second**power + third).max(axis=1)
    bound = price_bound(life=SMALL, law=law, numbers=start, worth=SMALL.weight, T=3, power=power)
    optimum = float(best.max())
    assert bound >= optimum - 1e-9
    assert bound <= optimum * (1.005 if power == 1.0 and not chance else 1.05)


def test_one_year_is_worth_what_can_be_caught() -> None:
    kwargs: Any = {"life": LIFE, "law": SPASMODIC, "numbers": LIFE.unfished, "T": 1}
    catch = float(LIFE.unfished @ (LIFE.vulnerability * LIFE.weight))
    assert price_bound(worth=LIFE.weight, **kwargs) == pytest.approx(catch, rel=1e-9)
    assert price_bound(worth=LIFE.weight, power=0.6, **kwargs) == pytest.approx(
        catch**0.6, rel=1e-3
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"T": 0}, "T must be a whole number >= 1, got 0"),
        ({"power": 1.5}, r"power must be in \(0, 1\], got 1.5"),
        ({"numbers": np.ones(3)}, "numbers must be 20 numbers >= 0"),
        ({"worth": np.full(20, np.nan)}, "worth must be 20 numbers >= 0"),
    ],
)
def test_bad_arguments_of_the_bound(change: Any, message: str) -> None:
    good: Any = {"life": LIFE, "law": SPASMODIC, "numbers": LIFE.unfished, "T": 3}
    with pytest.raises(ValueError, match=message):
        price_bound(**(good | {"worth": LIFE.weight} | change))
