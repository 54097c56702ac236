"""The age-structured fishery against plain loops, the published numbers, and brute force."""

import json
import math
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from hypothesis import given
from hypothesis import strategies as st
from zoo import EXACT, MC_ERRORS, made, simulated

from rlopt.agents import make
from rlopt.envs import FuncGymEnv, FuncVectorEnv
from rlopt.envs.fishery import AgeStructured
from rlopt.theory.age import LOGNORMAL, SPASMODIC, LifeHistory, Recruitment

LIFE, CONSISTENT = LifeHistory(), LifeHistory(timing="consistent")
UTILITIES = ("UM1", "UM2", "UM3")
ORDINARY_ONE = (math.log(4.0) + 0.045) / 0.3  # the normal draw that gives deviation 1


# --- the scalar reference: section 2.7 of the notes, one age at a time ---


class Walleye:
    """A stock in plain Python, ages 1..20 at indices 1..20."""

    def __init__(self, scale: float, timing: str = "published") -> None:
        self.timing = timing
        ages = range(1, 21)
        self.wt = {a: (1.0 - math.exp(-0.23 * a)) ** 3 for a in ages}
        mat = {a: 1.0 / (1.0 + math.exp(-0.5 * (a - 6))) for a in ages}
        self.mwt = {a: mat[a] * self.wt[a] for a in ages}
        self.v = {a: 1.0 / (1.0 + math.exp(-(a - 5) / 0.5)) for a in ages}
        self.sv = {a: 41.08 / 57.57 * (1.0 - math.exp(-0.23 * a)) ** 2.02 for a in ages}
        lo = {a: 0.86 ** (a - 1) for a in ages}
        lo[20] = 0.86**19 / (1.0 - 0.86)
        sbro = sum(lo[a] * self.mwt[a] for a in ages)
        if timing == "consistent":
            sbro *= 0.86
        self.alpha, self.beta = 6.0 / sbro, 5.0 / sbro
        self.n = {a: scale * lo[a] for a in ages}
        self.look()

    def look(self) -> None:
        self.biomass = sum(self.sv[a] * self.wt[a] * n for a, n in self.n.items())
        self.mean_weight = self.biomass / sum(self.sv[a] * n for a, n in self.n.items())

    def year(self, u: float, dev: float) -> tuple[float, float, float]:
        """Yield, trophies, spawning biomass."""
        catch = u * sum(self.n[a] * self.v[a] * self.wt[a] for a in self.n)
        trophies = u * sum(self.n[a] * self.v[a] for a in range(11, 21))
        self.n = {a: 0.86 * n * (1.0 - self.v[a] * u) for a, n in self.n.items()}
        if self.timing == "published":
            self.look()
        ssb = sum(self.mwt[a] * n for a, n in self.n.items())
        older = {a + 1: n for a, n in self.n.items() if a < 20}
        older[20] += self.n[20]
        self.n = {1: self.alpha * ssb / (1.0 + self.beta * ssb) * dev} | older
        if self.timing == "consistent":
            self.look()
        return catch, trophies, ssb


@pytest.mark.parametrize("timing", ["published", "consistent"])
@pytest.mark.parametrize("utility", UTILITIES)
def test_every_year_agrees_with_a_plain_loop(utility: str, timing: str) -> None:
    env = AgeStructured(utility=utility, timing=timing)
    rng, n = np.random.default_rng(0), 3
    uniform = rng.random((n, 1))
    state = env.initial(uniform)
    stocks = [Walleye(0.1 + 0.9 * float(z), timing) for z in uniform[:, 0]]
    assert (env.alpha, env.beta) == pytest.approx((stocks[0].alpha, stocks[0].beta), rel=EXACT)
    for t in range(60):
        action = rng.uniform(-1.0, 1.0, (n, 1)) if t % 3 else np.full((n, 1), -1.0)
        draws = np.stack([rng.random(n), rng.standard_normal(n)], axis=1)
        draws[0, 0] = 0.02 if t % 10 == 0 else draws[0, 0]  # strong year classes are seen
        errors = rng.standard_normal((n, 2))
        after = env.transition(state, action, draws)
        reward = env.reward(state, action, after)
        seen = env.observation(after, errors)
        for k, stock in enumerate(stocks):
            u, (z, eps) = (action[k, 0] + 1.0) / 2.0, draws[k]
            strong = z < 2 * 0.025 * 0.975
            dev = 10.0 + 20.0 * z / 0.04875 if strong else math.exp(0.3 * eps - 0.045) / 4.0
            catch, trophies, ssb = stock.year(u, dev)
            expected = {"UM1": catch, "UM2": catch**0.6, "UM3": trophies}[utility]
            got = reward[k], after.catch[k], after.ssb[k], after.deviation[k]
            np.testing.assert_allclose(got, (expected, catch, ssb, dev), rtol=EXACT, atol=EXACT)
            np.testing.assert_allclose(after.numbers[k], list(stock.n.values()), rtol=1e-11)
            biomass = min(max(stock.biomass * (1.0 + 0.1 * errors[k, 0]), 0.0), 50.0)
            weight = stock.mean_weight * (1.0 + 0.1 * errors[k, 1])
            low, high = stock.wt[1], stock.wt[20]
            weight = min(max(2.0 * (weight - low) / (high - low) - 1.0, -1.0), 1.0)
            shown = biomass / 25.0 - 1.0, weight, 2.0 * (t + 1) / 1000.0 - 1.0
            np.testing.assert_allclose(seen[k], shown, rtol=EXACT, atol=EXACT)
        state = after


# --- life history and reference points ---


def test_the_constants_of_the_notes() -> None:
    env = AgeStructured()
    assert (env.sbro, env.alpha, env.beta) == pytest.approx(
        (2.2192375, 2.7036311, 2.2530261), abs=1e-6
    )
    assert LIFE.unfished[[0, 1, 18, 19]] == pytest.approx(
        [1.0, 0.86, 0.0662174, 0.4067642], abs=1e-6
    )
    assert CONSISTENT.sbro == pytest.approx(0.86 * LIFE.sbro, rel=EXACT)


def test_the_unfished_stock_recruits_r0_in_consistent_timing_only() -> None:
    assert CONSISTENT.equilibrium(0.0).recruits == pytest.approx(1.0, rel=EXACT)
    assert LIFE.equilibrium(0.0).recruits == pytest.approx((6.0 * 0.86 - 1.0) / (5.0 * 0.86))


def per_recruit(u: float, dev: float) -> tuple[float, float, float]:
    """Yield, recruits and surveyed biomass by a loop over the ages; T6 of the notes."""
    w = Walleye(1.0)
    survivors, spawners, caught, seen = 1.0, 0.0, 0.0, 0.0
    for a in range(1, 21):
        if a == 20:
            survivors /= 1.0 - 0.86 * (1.0 - w.v[20] * u)
        left = survivors * 0.86 * (1.0 - w.v[a] * u)
        spawners += left * w.mwt[a]
        caught += u * survivors * w.v[a] * w.wt[a]
        seen += left * w.sv[a] * w.wt[a]
        survivors = left
    recruits = max((dev * w.alpha * spawners - 1.0) / (w.beta * spawners), 0.0)
    return recruits * caught, recruits, recruits * seen


@pytest.mark.parametrize("deviation", [1.0, 1.2128125])
def test_reference_points_by_a_loop(deviation: float) -> None:
    found = AgeStructured().reference_points(deviation)
    tried = [(per_recruit(u, deviation)[0], u) for u in np.arange(0.05, 0.2, 1e-4)]
    msy, u = max(tried)
    assert found.msy >= msy and found.msy == pytest.approx(msy, abs=1e-7)
    assert found.u_msy == pytest.approx(u, abs=1e-4)
    assert found.B_msy == pytest.approx(per_recruit(found.u_msy, deviation)[2], rel=EXACT)
    unfished = per_recruit(0.0, deviation)[2]
    assert abs(found.B_0 - unfished) <= EXACT
    assert found.F_msy == pytest.approx(-math.log(1.0 - found.u_msy), rel=EXACT)
    if deviation == 1.0:
        assert found == pytest.approx(
            (0.38499, 0.092454, 0.10134, 0.10685, 0.42841, 1.28804), abs=1e-4
        )


@pytest.mark.parametrize("timing", ["published", "consistent"])
@pytest.mark.parametrize("u", [0.0, 0.1013, 0.5])
def test_the_noiseless_stock_settles_where_the_equilibrium_says(timing: str, u: float) -> None:
    env = AgeStructured(timing=timing)
    state = env.initial(np.array([[0.4]]))
    for _ in range(3000):
        state = env.transition(state, np.array([[2.0 * u - 1.0]]), np.array([[0.5, ORDINARY_ONE]]))
    expected = env.life.equilibrium(u)
    got = state.catch, state.numbers[:, 0], state.ssb, state.stock
    np.testing.assert_allclose(np.ravel(got), expected, rtol=1e-9, atol=1e-9)
    rows = env.life.survivorship(u) * expected.recruits
    np.testing.assert_allclose(state.numbers[0], rows, rtol=1e-9, atol=1e-9)


def test_a_stock_that_cannot_persist_is_zero() -> None:
    # every age fully caught: nobody spawns
    life = LifeHistory(vulnerable_at=-30.0)
    assert life.equilibrium(1.0) == pytest.approx((0.0, 0.0, 0.0, 0.0))
    assert 0.0 < life.reference_points().u_msy < 0.5


# --- recruitment ---


@pytest.mark.parametrize("law", [SPASMODIC, LOGNORMAL], ids=["spasmodic", "v2"])
def test_the_mean_deviation(law: Recruitment) -> None:
    rng, n = np.random.default_rng(0), 400_000
    draws = [rng.random(n)] * bool(law.chance) + [rng.standard_normal(n)]
    sample = law.deviation(np.stack(draws, axis=1))
    assert abs(sample.mean() - law.mean) <= MC_ERRORS * sample.std() / n**0.5
    if law.chance:
        assert law.mean == pytest.approx(0.04875 * 20.0 + 0.95125 / 4.0, rel=EXACT)
        strong = sample[sample > 10.0]
        assert len(strong) == pytest.approx(0.04875 * n, rel=0.02)
        assert (strong.min(), strong.max()) == pytest.approx((10.0, 30.0), abs=0.01)
        assert np.mean(strong < 15.0) == pytest.approx(0.25, abs=0.02)
    else:
        assert law.mean == pytest.approx(math.exp(0.045), rel=EXACT)
    assert AgeStructured().mean_deviation == SPASMODIC.mean
    assert AgeStructured(recruitment="v2").mean_deviation == LOGNORMAL.mean


# --- the published numbers ---

PUBLISHED: Any = [  # rl4fisheries, second generation of results: constant F, DFO, optimised ramp
    ("UM1", 72.55, 84.55, 108.17),
    ("UM2", 174.69, 157.60, 187.99),
    ("UM3", 35.89, 37.33, 36.04),
]
F = {"UM1": 0.071364, "UM2": 0.060391, "UM3": 0.059945}
RAMPS = {"UM1": (0.3684, 1.9252, 0.8), "UM2": (0.0, 3.408, 0.502), "UM3": (0.0, 9.323, 0.549)}


@pytest.mark.parametrize(("utility", "constant", "dfo", "ramp"), PUBLISHED)
def test_the_published_protocol(utility: str, constant: float, dfo: float, ramp: float) -> None:
    """Within 4 %, of 300 episodes; B_MSY = 1.045 in surveyed biomass."""
    env = AgeStructured(utility=utility)
    limit, trigger, fraction = RAMPS[utility]
    rules = {
        constant: make("constant_fraction", env, fraction=F[utility]),
        dfo: make("dfo_ramp", env, limit=0.4 * 1.045, trigger=0.8 * 1.045, fraction=F[utility]),
        ramp: make("dfo_ramp", env, limit=limit, trigger=trigger, fraction=fraction),
    }
    for published, rule in rules.items():
        total = simulated(env, rule, 300, seed=5).reward
        assert total.mean() == pytest.approx(published, rel=0.04)


def test_the_rules_play_their_fractions() -> None:
    env = AgeStructured()
    batch = np.random.default_rng(0).uniform(-1.0, -0.9, (50, 3))
    biomass = 25.0 * (batch[:, 0] + 1.0)
    reference = env.reference_points()
    expected: Any = {
        "constant_fraction": np.full(50, reference.u_msy),
        "dfo_ramp": reference.u_msy * np.interp(biomass / reference.B_msy, [0.4, 0.8], [0.0, 1.0]),
        "40-10": reference.u_msy * np.interp(biomass / reference.B_0, [0.1, 0.4], [0.0, 1.0]),
        "constant_escapement": np.maximum(1.0 - reference.S_msy / biomass, 0.0),
        "constant_quota": np.minimum(reference.msy / biomass, 1.0),
        "do_nothing": np.zeros(50),
    }
    for name, u in expected.items():
        played = made(name, env).predict(batch)[0]
        np.testing.assert_allclose((played[:, 0] + 1.0) / 2.0, u, atol=1e-7)
    with pytest.raises(ValueError, match=r"constant_fraction_tuned needs .* exact values"):
        make("constant_fraction_tuned", env)


# --- the environment ---


def test_the_published_survey_is_half_a_year_old() -> None:
    """The consistent survey sees a strong year class at once, the published one a year later."""
    fresh, stale = (AgeStructured(timing=timing) for timing in ("consistent", "published"))
    draws, idle = np.array([[0.01, 0.0]]), np.array([[-1.0]])
    for env in (fresh, stale):
        state = env.transition(env.initial(np.array([[0.5]])), idle, draws)
        w = LIFE.survey_vulnerability * LIFE.weight
        assert (state.stock[0] == pytest.approx(state.numbers[0] @ w)) == (env is fresh)
    first = stale.initial(np.array([[0.5]]))
    assert first.stock[0] == pytest.approx(first.numbers[0] @ w)


@given(
    u=st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=8),
    draws=st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(-6.0, 6.0)), min_size=8, max_size=8),
    start=st.floats(0.0, 1.0),
    kwargs=st.fixed_dictionaries(
        {"utility": st.sampled_from(UTILITIES), "observations": st.sampled_from([1, 2])}
    ),
)
def test_what_always_holds(u: Any, draws: Any, start: float, kwargs: Any) -> None:
    env = AgeStructured(**kwargs)
    state = env.initial(np.array([[start]]))
    for action, draw in zip(u, draws, strict=False):
        after = env.transition(state, np.array([[action]]), np.array([draw]))
        reward = env.reward(state, action, after)
        there = float(state.numbers[0] @ (LIFE.vulnerability * LIFE.weight))
        assert (after.numbers >= 0.0).all() and np.isfinite(after.numbers).all()
        assert 0.0 <= after.catch[0] <= there * (1.0 + EXACT) and reward[0] >= 0.0
        assert after.numbers[0, 1:].sum() <= 0.86 * state.numbers.sum() * (1.0 + EXACT)
        seen = env.observation(after, np.array([[draw[1], -draw[1]]]))
        assert env.observation_space.contains(seen[0])
        state = after


def test_infos_speak_of_the_year() -> None:
    env = FuncGymEnv(AgeStructured(horizon=5))
    _, info = env.reset(seed=1)
    assert set(info) == {"stock", "numbers"} and info["numbers"].shape == (20,)
    start = info["stock"]
    _, reward, terminated, truncated, info = env.step(np.array([-0.5], np.float32))
    assert not terminated and not truncated and "regret" not in info
    reference = AgeStructured().reference_points()
    assert info["biomass"] == start and info["u"] == 0.25
    assert info["catch"] == reward > 0.0 and info["ssb"] > 0.0 and info["deviation"] > 0.0
    assert info["F"] == pytest.approx(-math.log(0.75))
    assert info["B_over_Bmsy"] == pytest.approx(start / reference.B_msy)
    assert info["F_over_Fmsy"] == pytest.approx(info["F"] / reference.F_msy)
    assert info["depletion"] == pytest.approx(start / reference.B_0)
    assert 0.0 < info["mean_weight"] < 1.0
    for _ in range(4):
        *_, terminated, truncated, info = env.step(np.array([1.0], np.float32))
    assert truncated and not terminated and info["F"] == np.inf


def test_pictures_and_lines() -> None:
    env: Any = gymnasium.make("rlopt/AgeStructuredFishery-v0", horizon=70, render_mode="rgb_array")
    func = env.unwrapped.func
    with pytest.raises(ValueError, match="before reset"):
        func.text([])
    env.reset(seed=0)
    pictures = [env.render()]
    assert func.text(env.unwrapped.history).startswith("year 0/70  surveyed biomass ")
    for _ in range(65):
        env.step(np.array([-0.8], np.float32))
        if len(env.unwrapped.history) in (2, 66):
            pictures.append(env.render())
    assert {picture.shape for picture in pictures} == {(420, 640, 3)}
    assert len({picture.tobytes() for picture in pictures}) == 3
    total = sum(row["reward"] for row in env.unwrapped.history[1:])
    assert f"return so far {total:.2f}" in func.text(env.unwrapped.history)


def test_the_policy_picture_shows_fractions() -> None:
    env = AgeStructured(horizon=50)
    picture = env.policy_picture(made("constant_fraction", env))
    assert picture.agent[1:] == pytest.approx([env.reference.u_msy] * 100, abs=1e-6)
    assert 0.0 <= min(picture.oracle) < max(picture.oracle) <= 1.0


def test_specs_travel() -> None:
    kwargs: Any = {"utility": "UM3", "horizon": 7, "obs_noise": 0.2, "timing": "consistent"}
    env: Any = gymnasium.make("rlopt/AgeStructuredFishery-v0", **kwargs).unwrapped
    again: Any = gymnasium.make(EnvSpec.from_json(env.spec.to_json())).unwrapped
    assert again.func == env.func == AgeStructured(**kwargs)
    assert json.loads(env.spec.to_json())["kwargs"]["utility"] == "UM3"
    assert pickle.loads(pickle.dumps(env.func)) == env.func
    assert pickle.loads(pickle.dumps(env.func.life)) == env.func.life
    vector = FuncVectorEnv(env.func, 2)
    assert vector.reset(seed=0)[0].shape == (2, 3)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"utility": "UM4"}, "utility must be one of .*'UM3'.*, got 'UM4'; did you mean"),
        ({"recruitment": "v1"}, "recruitment must be one of .*, got 'v1'"),
        ({"timing": "late"}, "^AgeStructured: timing must be one of .*, got 'late'"),
        ({"timing": "publishd"}, "did you mean 'published'"),
        ({"utility": ["UM1"]}, r"utility must be one of .*, got \['UM1'\]"),
        ({"obs_noise": -0.1}, "obs_noise must be >= 0, got -0.1"),
        ({"obs_noise": math.nan}, "obs_noise must be finite"),
        ({"horizon": 0}, "horizon must be a whole number >= 1, got 0"),
        ({"horizon": None}, "horizon must be a whole number >= 1, got None"),
        ({"observations": 3}, "observations must be a whole number 1 or 2, got 3"),
    ],
)
def test_bad_parameters_are_named(kwargs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AgeStructured(**kwargs)


def test_numbers_are_kept_as_such() -> None:
    whole: Any = np.int64(2)
    env = AgeStructured(obs_noise=0, horizon=whole, observations=whole)
    assert repr(env) == repr(AgeStructured(obs_noise=0.0, horizon=2))


def test_unknown_arguments_of_the_id() -> None:
    with pytest.raises(TypeError, match=r"'utilty'; did you mean 'utility'\? \(allowed: utility"):
        gymnasium.make("rlopt/AgeStructuredFishery-v0", utilty="UM1")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"ages": 1}, "ages must be a whole number >= 2, got 1"),
        ({"survival": 1.0}, r"survival must be in \(0, 1\), got 1.0"),
        ({"compensation": 1.0}, "compensation must be > 1, got 1.0"),
        ({"growth_rate": 0.0}, "growth_rate must be > 0, got 0.0"),
        ({"mature_at": math.inf}, "mature_at must be finite, got inf"),
    ],
)
def test_bad_life_histories_are_named(kwargs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"LifeHistory: {message}"):
        LifeHistory(**kwargs)


def test_bad_recruitment_is_named() -> None:
    with pytest.raises(ValueError, match="chance must be in"):
        Recruitment(1.5, 1.0, 2.0, 1.0, 0.1)
    with pytest.raises(ValueError, match=r"needs low <= high, got 3\.0 and 2\.0"):
        Recruitment(0.1, 3.0, 2.0, 1.0, 0.1)
