"""The fishery: its timing, its infos and its errors, against a year written line by line."""

import math
import pickle
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from zoo import ALLEN, EXACT, FISHERIES, FISHERY_IDS, FRAGILE, FUNCS, TORCHED, params

from rlopt.envs import FuncEnv, FuncGymEnv, FuncVectorEnv
from rlopt.envs.batch import Batch
from rlopt.envs.core import state_map
from rlopt.envs.fishery import (
    Allen,
    Deterministic,
    Fishery,
    Logistic,
    LognormalNoise,
    Myers,
    NormalNoise,
    Ricker,
    UniformNoise,
    allen_fishery,
    episode_summary,
    logistic_fishery,
)


def shocked(noise: Any, grown: float, base: float, draw: float) -> float:
    """One law of the notes, section 2.3, for one number."""
    if isinstance(noise, LognormalNoise):
        mu = -0.5 * noise.sigma**2 if noise.mean_one else 0.0
        return grown * math.exp(mu + noise.sigma * draw)
    if isinstance(noise, UniformNoise):
        return grown * (1.0 - noise.d + 2.0 * noise.d * draw)
    if isinstance(noise, NormalNoise):
        return max(0.0, grown + noise.sigma * base * draw)
    return grown


def year_of(f: Fishery, x: float, seen: float, t: int, a: float, draws: list[float]) -> Any:
    """Notes 2.1: observe, request, harvest, reward, grow: (x', catch, left, reward, seen')."""
    if f.action == "fraction":
        wanted = (a + 1.0) / 2.0 * x
    elif f.action == "quota":
        wanted = float(getattr(f.growth, "K", f.growth.capacity)) * (a + 1.0)
    else:
        wanted = max(0.0, seen - f.x_max * (a + 1.0) / 2.0)
    draws = list(draws)
    growth_draw = draws.pop(0) if f.noise.dim else 0.0
    if f.implementation_noise is not None:
        wanted = shocked(f.implementation_noise, wanted, wanted, draws.pop(0))
    catch = min(x, max(wanted, 0.0))
    left = x - catch
    grown = shocked(f.noise, float(f.growth(left)), left, growth_draw)
    reward = catch - (f.extinction_penalty / (t + 1) if grown <= f.extinct_below else 0.0)
    shown = grown
    if f.observation_noise is not None:
        shown = shocked(f.observation_noise, grown, grown, draws.pop(0))
    return grown, catch, left, reward, shown


@pytest.mark.parametrize("fishery", params(FISHERIES))
def test_a_year_line_by_line(fishery: Fishery) -> None:
    rng = np.random.default_rng(0)
    batch = Batch(fishery, 4, regret=False)
    for row in range(4):
        batch.seed(row, row)
    batch.restart()
    dim = fishery.noise_spec.dim("step")
    for t in range(5):
        before = batch.state
        actions = rng.uniform(-1.2, 0.2, (4, 1))
        noise = rng.uniform(0.0, 1.0, (4, dim))
        after = fishery.transition(before, actions, noise)
        reward = fishery.reward(before, actions, after)
        for k in range(4):
            expected = year_of(
                fishery,
                float(before.stock[k]),
                float(before.seen[k]),
                t,
                max(-1.0, float(actions[k, 0])),
                noise[k].tolist(),
            )
            got = after.stock[k], after.catch[k], after.escapement[k], reward[k], after.seen[k]
            np.testing.assert_allclose(got, expected, rtol=EXACT, atol=EXACT)
            shown = fishery.observation(after, np.empty((4, 0)))[k]
            assert shown[0] == pytest.approx(min(2.0 * expected[4] / fishery.x_max - 1.0, 1.0))
            if fishery.horizon is not None:
                assert shown[1] == pytest.approx(2.0 * (t + 1) / fishery.horizon - 1.0)
            assert fishery.terminal(after)[k] == (expected[0] <= fishery.extinct_below)
        batch.state = after


@pytest.mark.parametrize("env", params(TORCHED))
def test_numpy_and_torch_agree(env: FuncEnv) -> None:
    """One kernel: transition, observation, reward and terminal in float64."""
    rng, n = np.random.default_rng(0), 64
    draws = {
        name: rng.random((n, env.noise_spec.dim(name)))
        for name in ("initial", "step", "observation")
    }
    tensors = {name: torch.from_numpy(values) for name, values in draws.items()}
    state, other = env.initial(draws["initial"]), env.initial(tensors["initial"])
    for _ in range(4):
        action = rng.uniform(-1.0, 1.0, (n, *(env.action_space.shape or ())))
        after = env.transition(state, action, draws["step"])
        torched = env.transition(other, torch.from_numpy(action), tensors["step"])
        pairs = [
            (
                env.observation(after, draws["observation"]),
                env.observation(torched, tensors["observation"]),
            ),
            (
                env.reward(state, action, after),
                env.reward(other, torch.from_numpy(action), torched),
            ),
            (env.terminal(after), env.terminal(torched)),
        ]
        state_map(lambda a, b, pairs=pairs: pairs.append((a, b)), after, torched)
        for ours, theirs in pairs:
            assert not isinstance(theirs, np.ndarray) or env.noise_spec.dim("step") == 0
            np.testing.assert_allclose(ours, np.asarray(theirs), rtol=EXACT, atol=EXACT)
        state, other = after, torched


@pytest.mark.parametrize("env", params({k: f for k, f in FUNCS.items() if k in TORCHED}))
def test_torch_keeps_the_precision(env: FuncEnv) -> None:
    """float32 noise gives float32 states, observations and rewards."""
    initial, step, seen = (
        torch.rand(5, env.noise_spec.dim(name)) for name in ("initial", "step", "observation")
    )
    state, action = env.initial(initial), torch.zeros(5, *(env.action_space.shape or ()))
    after = env.transition(state, action, step)
    arrays = [env.observation(after, seen), env.reward(state, action, after)]
    state_map(arrays.append, state)
    state_map(arrays.append, after)
    assert {a.dtype for a in arrays} <= {torch.float32, torch.bool}


@pytest.mark.parametrize("eps", [1e-3, 1e-6])
@pytest.mark.parametrize(
    ("growth", "low", "high"), [(Allen(), 5.0, 8.0), (Myers(), 1.0, (1.0 + 5.0**0.5) / 2.0)]
)
def test_the_tipping_point_parts_the_waters(
    growth: Any, low: float, high: float, eps: float
) -> None:
    """T7: without noise or harvest, stocks just below it die out and just above it recover."""
    assert growth.fixed_points() == pytest.approx((0.0, low, high), abs=EXACT)
    for start, end in ((low - eps, 0.0), (low + eps, high)):
        env = FuncVectorEnv(Fishery(growth=growth, noise=Deterministic(), x0=start), regret=False)
        env.reset(seed=0)
        for _ in range(200):
            _, _, terminated, _, info = env.step([[-1.0]])
            if terminated[0]:
                break
        assert float(info["stock"][0]) == pytest.approx(end, abs=1e-6)


@pytest.mark.parametrize("fishery", params(FISHERIES))
def test_nothing_grows_from_an_empty_sea(fishery: Fishery) -> None:
    """T8: x stays 0, whatever is done; and taking all ends the episode there and then."""
    batch = fishery.initial(np.full((50, fishery.noise_spec.dim("initial")), 0.3))
    rng = np.random.default_rng(0)
    empty = batch._replace(stock=batch.stock * 0.0)
    for _ in range(5):
        noise = rng.standard_normal((50, fishery.noise_spec.dim("step")))
        empty = fishery.transition(empty, rng.uniform(-1, 1, (50, 1)), abs(noise) % 1.0)
        assert (empty.stock == 0.0).all() and (empty.catch == 0.0).all()
    if fishery.action == "fraction" and fishery.implementation_noise is None:
        env = FuncGymEnv(fishery)
        env.reset(seed=0)
        _, reward, terminated, _, info = env.step([1.0])
        assert terminated and info["stock"] == 0.0 and info["F"] == math.inf
        assert reward == fishery.x0 - fishery.extinction_penalty


@pytest.mark.parametrize(
    ("action", "low", "middle", "high"),
    [("fraction", 0.0, 5.0, 10.0), ("quota", 0.0, 8.0, 10.0), ("escapement", 10.0, None, 0.0)],
)
def test_actions_are_linear_from_end_to_end(
    action: str, low: float, middle: Any, high: float
) -> None:
    """Catches of 10 at -1, 0 and 1, and beyond, where actions are clipped."""
    fishery = replace(ALLEN, action=action)
    middle = 10.0 - 0.5 * fishery.x_max if middle is None else middle
    env = FuncVectorEnv(fishery, num_envs=5)
    env.reset(seed=0)
    *_, info = env.step(np.array([[-3.0], [-1.0], [0.0], [1.0], [7.0]]))
    np.testing.assert_allclose(info["catch"], [low, low, middle, high, high], atol=EXACT)
    assert info["quota_clipped"].tolist() == [False] * 3 + [action == "quota"] * 2
    for left in (0.0, 2.5, 10.0):
        wanted = fishery.action_for(np.array([10.0]), np.array([left]))
        env.reset(seed=0)
        *_, info = env.step(np.repeat(wanted, 5, axis=0))
        np.testing.assert_allclose(info["escapement"], left, atol=2e-6)


def test_observations_are_clipped_and_say_so() -> None:
    fishery = Fishery(
        growth=Logistic(), noise=Deterministic(), x0=0.5, observation_noise=LognormalNoise(2.0)
    )
    state = fishery.initial(np.array([[0.0], [10.0]]))
    assert fishery.observation(state, np.empty((2, 0)))[:, 0].tolist() == [
        2 * 0.5 / fishery.x_max - 1,
        1.0,
    ]
    info = fishery.state_info(state)
    assert info["obs_clipped"].tolist() == [False, True] and info["stock"].tolist() == [0.5, 0.5]
    assert fishery.x_max == pytest.approx(fishery.growth.peak[1])
    noisy = Fishery(growth=Logistic(), noise=LognormalNoise(0.2), x0=99.0)
    assert noisy.x_max == 99.0
    assert replace(noisy, x0=0.5).x_max == pytest.approx(noisy.growth.peak[1] * math.e)


def test_kobe_quadrants() -> None:
    reference = ALLEN.growth.reference_points()
    b, u = reference.B_msy, reference.u_msy
    stock = np.array([1.1, 1.1, 0.9, 0.9, 1.0]) * b
    catch = stock * np.array([0.9, 1.1, 0.9, 1.1, 1.0 - 1e-12]) * u
    state = ALLEN.initial(np.empty((5, 0)))._replace(stock=stock)
    after = state._replace(escapement=stock - catch, catch=catch)
    info = ALLEN.transition_info(state, np.zeros((5, 1)), after)
    assert info["kobe"].tolist() == ["green", "orange", "yellow", "red", "green"]
    np.testing.assert_allclose(info["B_over_Bmsy"], stock / b)
    np.testing.assert_allclose(info["F_over_Fmsy"], np.log(1.0 - catch / stock) / np.log(1.0 - u))
    np.testing.assert_allclose(info["depletion"], stock / 8.0)
    assert info["tipped"].tolist() == (stock - catch < 5.0).tolist()
    assert (info["biomass"] == stock).all() and (info["u"] == catch / stock).all()


def test_episode_summary_by_hand() -> None:
    def year(catch: float, b: float, f: float) -> dict[str, float]:
        return {"catch": catch, "B_over_Bmsy": b, "F_over_Fmsy": f, "stock": 1.0}

    history: Any = [
        {"stock": 3.0},
        year(2.0, 1.2, 0.5),
        year(0.0, 0.4, 0.0),
        year(1.0, 0.05, 2.0),
        year(1.0, 1.0, 1.0),
    ]
    history[-1]["stock"] = 0.5
    got = episode_summary(FRAGILE, history)
    assert got == pytest.approx(
        {
            "npv": 2.0 + 0.81 + 0.729,
            "total_catch": 4.0,
            "P10": 0.75,
            "P50": 0.5,
            "P100": 0.25,
            "PNOF": 0.5,
            "PGK": 0.5,
            "AAVY": (2.0 + 1.0 + 0.0) / 4.0,
            "years_closed": 1.0,
            "collapsed": 1.0,
            "final_biomass": 0.5,
        }
    )
    with pytest.raises(ValueError, match="at least one step"):
        episode_summary(FRAGILE, history[:1])


# --- bad input ---

GOOD: dict[str, Any] = {"growth": Allen(), "noise": LognormalNoise(0.05), "x0": 10.0}
BAD_FISHERIES: Any = [
    ({"growth": "allen"}, "growth must be a Growth, got 'allen'"),
    ({"noise": 0.1}, "noise must be a Noise, got 0.1"),
    ({"implementation_noise": 0.1}, "implementation_noise must be a Noise or None, got 0.1"),
    ({"observation_noise": "x"}, "observation_noise must be a Noise or None, got 'x'"),
    ({"x0": -1.0}, "x0 must be > 0, got -1.0"),
    ({"x0": math.nan}, "x0 must be finite, got nan"),
    ({"gamma": 1.0}, "gamma must be below 1 for an endless task.*finite horizon"),
    ({"gamma": 1.1, "horizon": 3}, r"gamma must be in \(0, 1\], got 1.1"),
    ({"gamma": 0.0}, "gamma must be > 0, got 0.0"),
    ({"gamma": "high"}, "gamma must be a real number, got 'high'"),
    ({"horizon": 0}, "horizon must be a whole number of harvests >= 1, or None, got 0"),
    ({"horizon": 2.5}, "horizon must be a whole number.* got 2.5"),
    ({"horizon": True}, "horizon must be a whole number.* got True"),
    ({"action": "fracton"}, "action must be one of .*got 'fracton'; did you mean 'fraction'"),
    ({"extinct_below": -0.1}, "extinct_below must be >= 0, got -0.1"),
    ({"extinct_below": 10.0}, "extinct_below must be below x0 = 10.0, got 10.0"),
    ({"extinction_penalty": -1.0}, "extinction_penalty must be >= 0, got -1.0"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_FISHERIES)
def test_bad_fisheries(bad: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"Fishery: {message}"):
        Fishery(**GOOD | bad)


BAD_FLAT: Any = [
    ({"C": 8.0}, r"C.*8"),
    ({"C": 9.0}, r"C.*9"),
    ({"r": -1.0}, "r must be > 0, got -1.0"),
    ({"K": -8.0}, "K must be > 0, got -8.0"),
    ({"sigma": -0.1}, "sigma must be >= 0, got -0.1"),
    ({"sigma": math.nan}, "sigma must be finite, got nan"),
    ({"noise": "lognorm"}, "noise must be one of .*got 'lognorm'; did you mean 'lognormal'"),
    ({"noise": "normal", "mean_one": True}, "mean_one belongs to lognormal noise"),
    ({"noise": "uniform", "sigma": 1.5}, "d must be in .*1.5"),
    ({"sigm": 0.1}, "AllenFishery has no parameter 'sigm'; did you mean 'sigma'"),
    ({"zzz": 0.1}, "AllenFishery has no parameter 'zzz' .*allowed: r, K, C"),
    ({"gamma": 1.0}, "gamma must be below 1"),
    ({"implementation_sigma": -1.0}, "sigma must be >= 0, got -1.0"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_FLAT)
def test_bad_flat_arguments(bad: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        allen_fishery(**bad)
    with pytest.raises((ValueError, TypeError), match=message):
        gymnasium.make("rlopt/AllenFishery-v0", **bad)


def test_an_unknown_id_gets_the_closest() -> None:
    with pytest.raises(gymnasium.error.NameNotFound, match="AllenFishery"):
        gymnasium.make("rlopt/AlenFishery-v0")


# --- identity ---


@pytest.mark.parametrize("fishery", params(FISHERIES))
def test_fisheries_are_values(fishery: Fishery) -> None:
    """Equal, hashable, pickled without what was derived; one oracle for all that are equal."""
    again = pickle.loads(pickle.dumps(fishery))
    assert again == fishery and hash(again) == hash(fishery) and again is not fishery
    assert len(pickle.dumps(fishery)) < 1000
    assert again.oracle() is fishery.oracle()
    other = replace(fishery, x0=fishery.x0 * 1.01)
    assert other != fishery and other.oracle() is not fishery.oracle()
    assert len({fishery, again, other}) == 2
    with pytest.raises(AttributeError):
        fishery.x0 = 1.0  # type: ignore[misc]  # that is the test


def test_flat_defaults_are_those_of_the_notes() -> None:
    assert allen_fishery() == Fishery(
        growth=Allen(2.0, 8.0, 5.0), noise=LognormalNoise(0.05), x0=10.0, gamma=0.99
    )
    assert logistic_fishery(noise="none") == Fishery(
        growth=Logistic(0.3, 1.0), noise=Deterministic(), x0=0.75
    )
    assert {gymnasium.make(env_id).unwrapped.func.gamma for env_id in FISHERY_IDS} == {0.99}  # type: ignore[attr-defined]  # FuncGymEnvs
    assert Fishery(growth=Ricker(), noise=Deterministic(), x0=1, gamma=1, horizon=2) == Fishery(
        growth=Ricker(), noise=Deterministic(), x0=1.0, gamma=1.0, horizon=2
    )


def test_policy_picture() -> None:
    picture = ALLEN.policy_picture(ALLEN.oracle().policy)
    np.testing.assert_allclose(picture.agent, picture.oracle)
    assert picture.hazard == 5.0 and len(picture.x) == len(picture.agent) == 101
