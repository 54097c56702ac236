"""Adapters: bad input, horizons, pictures, checkers and ids."""

import json
import pickle
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as check_env_sb3
from zoo import ALLEN, FISHERY_IDS, FRAGILE, IDS, LOGISTIC, Count, Drift

from rlopt.envs import FuncEnv, FuncGymEnv, FuncSB3VecEnv, FuncVectorEnv, NoiseSpec

ADAPTERS: Any = [FuncGymEnv, FuncVectorEnv, FuncSB3VecEnv]
BAD_ACTIONS: Any = [
    (np.nan, "must be finite, got nan"),
    (np.inf, "must be finite, got inf"),
    (-np.inf, "must be finite, got -inf"),
    ("shape", "must have shape"),
    ("text", "must be numbers of shape"),
    (None, "must have shape"),
]


@pytest.mark.parametrize("make", ADAPTERS)
@pytest.mark.parametrize(("bad", "message"), BAD_ACTIONS)
def test_bad_actions_are_refused(make: Any, bad: Any, message: str) -> None:
    env = make(ALLEN)
    env.reset()
    good = np.zeros((1,) if make is FuncGymEnv else (1, 1))
    action: Any = {"shape": np.zeros((1, 2)), "text": "all of it", None: None}.get(bad)
    if isinstance(bad, float):
        action = good + bad
    with pytest.raises(ValueError, match=message):
        env.step(action)
    env.step(good)  # nothing has moved or broken


class Lights(Count):
    """A discrete choice."""

    action_space = Discrete(3)  # type: ignore[assignment]  # a class of another space

    def transition(self, state: Any, action: Any, noise: Any) -> Any:
        return state + action[:, None]


@pytest.mark.parametrize("action", [3, -1, 0.5, "red", np.nan])
def test_bad_choices_are_refused(action: Any) -> None:
    env = FuncGymEnv(Lights())
    env.reset()
    assert env.step(2)[0] == 2.0
    with pytest.raises(ValueError, match="action"):
        env.step(action)


@pytest.mark.parametrize("make", ADAPTERS)
def test_a_step_needs_a_reset(make: Any) -> None:
    env = make(LOGISTIC)
    with pytest.raises(ResetNeeded, match=r"reset\(\)"):
        env.step(np.zeros((1,) if make is FuncGymEnv else (1, 1)))


def test_no_step_after_the_end() -> None:
    env = FuncGymEnv(LOGISTIC)
    env.reset()
    for t in range(6):
        *_, terminated, truncated, _ = env.step([0.0])
        assert (terminated, truncated) == (False, t == 5)
    with pytest.raises(ResetNeeded, match="ended"):
        env.step([0.0])
    env.reset()
    env.step([0.0])


@pytest.mark.parametrize("n", [0, -1, 1.0, "2", True, None])
@pytest.mark.parametrize("make", ADAPTERS[1:])
def test_bad_num_envs(make: Any, n: Any) -> None:
    with pytest.raises(ValueError, match=f"num_envs must be an integer >= 1, got {n!r}"):
        make(ALLEN, num_envs=n)


@pytest.mark.parametrize("mode", ["next", "NEXT_STEP", None, 1])
def test_bad_autoreset_mode(mode: Any) -> None:
    with pytest.raises(ValueError, match=r"autoreset_mode must be one of .*'same_step'"):
        FuncVectorEnv(ALLEN, autoreset_mode=mode)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_autoreset_mode_is_kept_as_the_enum(mode: AutoresetMode) -> None:
    for given in (mode, mode.name.lower()):
        assert FuncVectorEnv(ALLEN, autoreset_mode=given).metadata["autoreset_mode"] is mode


@pytest.mark.parametrize("make", ADAPTERS)
@pytest.mark.parametrize("limit", [0, -3, 2.5])
def test_bad_time_limit(make: Any, limit: int) -> None:
    with pytest.raises(
        ValueError, match=f"max_episode_steps must be a whole number >= 1 or None, got {limit}"
    ):
        make(ALLEN, max_episode_steps=limit)


@pytest.mark.parametrize("seed", [-1, 1.5, "a", [1], [1, 2, 3], [0.5, 1], [-1, 2], [1, "a"]])
def test_bad_seeds(seed: Any) -> None:
    env = FuncVectorEnv(ALLEN, num_envs=2)
    with pytest.raises((ValueError, gymnasium.error.Error), match=r"[Ss]eed"):
        env.reset(seed=seed)


@pytest.mark.parametrize("seed", [-1, 1.5, "a"])
def test_bad_scalar_seeds(seed: Any) -> None:
    with pytest.raises((ValueError, gymnasium.error.Error), match=r"[Ss]eed"):
        FuncGymEnv(ALLEN).reset(seed=seed)


@pytest.mark.parametrize("bootstrap", [True, False])
@pytest.mark.parametrize("env", [LOGISTIC, FRAGILE, ALLEN], ids=["horizon", "fragile", "endless"])
def test_only_a_cut_is_bootstrapped(env: FuncEnv, bootstrap: bool) -> None:
    """`TimeLimit.truncated` is set where time ended an episode, if asked, never by nature."""
    limit = None if env.horizon else 6
    adapter = FuncSB3VecEnv(env, 8, max_episode_steps=limit, bootstrap_at_horizon=bootstrap)
    adapter.seed(0)
    adapter.reset()
    seen = set()
    for _ in range(24):
        _, _, dones, infos = adapter.step(np.full((8, 1), -0.4))
        for done, info in zip(dones, infos, strict=True):
            assert done == ("terminal_observation" in info) == ("episode" in info)
            if done:
                cut = info["episode"]["l"] == 6 and info["stock"] > env.extinct_below  # type: ignore[attr-defined]  # a fishery
                assert info["TimeLimit.truncated"] is (cut and bootstrap)
                seen.add(cut)
    assert seen == ({True, False} if env is FRAGILE else {True})


def test_the_last_info_of_an_episode_is_of_its_end() -> None:
    """A finished row of the SB3 adapter shows the stock that was left, not the new start."""
    scalar, copies = FuncGymEnv(LOGISTIC), FuncSB3VecEnv(LOGISTIC, 1)
    scalar.reset(seed=2)
    copies.seed(2)
    copies.reset()
    for _ in range(6):
        expected = scalar.step([0.0])
        _, reward, _, infos = copies.step(np.zeros((1, 1)))
    assert {key: infos[0][key] for key in expected[4]} == expected[4]
    assert reward[0] == np.float32(expected[1])


@pytest.mark.parametrize("make", ADAPTERS)
def test_regret_can_be_turned_off(make: Any) -> None:
    env = make(ALLEN, regret=False)
    env.reset()
    info = env.step(np.zeros((1,) if make is FuncGymEnv else (1, 1)))[-1]
    assert "regret" not in (info[0] if isinstance(info, list) else info)


def test_sb3_adapter_shares_one_frozen_environment() -> None:
    env = FuncSB3VecEnv(ALLEN, 3)
    assert env.get_attr("gamma") == [ALLEN.gamma] * 3
    assert env.env_method("stock_and_year", np.zeros((1, 1)), indices=[0])[0][1] == 0
    with pytest.raises(AttributeError, match="cannot set 'gamma'"):
        env.set_attr("gamma", 0.5)


# --- noise ---


def test_noise_spec() -> None:
    spec = NoiseSpec(step=(("normal", 2), ("uniform", 1)))
    assert (spec.dim("initial"), spec.dim("step"), spec.dim("observation")) == (0, 3, 0)
    with pytest.raises(ValueError, match=r"step noise: kind must be one of .*got 'cauchy'"):
        NoiseSpec(step=("cauchy", 1))  # type: ignore[arg-type]  # that is the test
    with pytest.raises(ValueError, match="initial noise: dimension must be >= 0, got -1"):
        NoiseSpec(initial=("normal", -1))


@pytest.mark.parametrize("method", ["initial", "transition", "observation", "reward"])
def test_a_missing_method_is_named(method: str) -> None:
    with pytest.raises(NotImplementedError, match=f"FuncEnv must define {method}"):
        getattr(FuncEnv(), method)(*[None] * {"initial": 1, "observation": 2}.get(method, 3))


# --- pictures ---


@pytest.mark.parametrize("make", ADAPTERS[:2])
@pytest.mark.parametrize("env", [ALLEN, LOGISTIC, FRAGILE], ids=["allen", "logistic", "fragile"])
def test_render(make: Any, env: FuncEnv) -> None:
    for mode in ("rgb_array", "ansi"):
        adapter = make(env, render_mode=mode)
        adapter.reset(seed=0)
        for t in range(9):
            if t in (0, 8):
                drawn = adapter.render()
                drawn = drawn if make is FuncGymEnv else drawn[0]
                if mode == "ansi":
                    assert isinstance(drawn, str) and drawn and "\n" not in drawn
                else:
                    assert (drawn.shape, drawn.dtype) == ((420, 640, 3), np.uint8)
                    assert len(np.unique(drawn)) > 20
            row = adapter.step(np.full((1,) if make is FuncGymEnv else (1, 1), -0.8))
            if make is FuncGymEnv and (row[2] or row[3]):
                adapter.reset()


@pytest.mark.parametrize("make", ADAPTERS)
def test_bad_render_mode(make: Any) -> None:
    with pytest.raises(ValueError, match=r"render_mode must be one of .*got 'human'"):
        make(ALLEN, render_mode="human")
    with pytest.raises(ValueError, match="got 'rgb_array'"):
        make(Count(), render_mode="rgb_array")


def test_an_environment_without_pictures_has_a_line() -> None:
    env = FuncGymEnv(Count(), render_mode="ansi")
    env.reset()
    env.step([1.0])
    env.step([1.0])
    assert env.render() == "step 2  return 2"


# --- ids ---


@pytest.mark.parametrize("env_id", IDS)
def test_both_checkers_are_silent(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if "/SEA" in env_id:  # float64 actions: the one advice that is not taken
            warnings.filterwarnings("ignore", "Your action space has dtype float64")
        check_env(gymnasium.make(env_id).unwrapped)
        check_env(gymnasium.make(env_id, horizon=20, render_mode="rgb_array").unwrapped)
        check_env_sb3(gymnasium.make(env_id).unwrapped)
        check_env_sb3(gymnasium.make(env_id, horizon=20))
        if env_id in FISHERY_IDS:
            check_env_sb3(gymnasium.make(env_id, horizon=20, action="quota"))


@pytest.mark.parametrize("env_id", FISHERY_IDS)
def test_specs_travel(env_id: str) -> None:
    """Pickled or as JSON, a spec with flat arguments makes the same environment again."""
    env = gymnasium.make(env_id, sigma=0.2, horizon=7, action="escapement")
    spec = env.unwrapped.spec
    assert spec is not None
    stored = spec.to_json()
    assert json.loads(stored)["id"] == env_id
    func = env.unwrapped.func  # type: ignore[attr-defined]  # a FuncGymEnv
    for again in (pickle.loads(pickle.dumps(spec)), EnvSpec.from_json(stored)):
        made: Any = gymnasium.make(again).unwrapped
        assert made.func == func and made.func.horizon == 7
    assert pickle.loads(pickle.dumps(func)) == func


@pytest.mark.parametrize("env_id", FISHERY_IDS)
def test_make_and_make_vec(env_id: str) -> None:
    kwargs: Any = {"sigma": 0.1, "noise": "uniform", "gamma": 0.9, "x0": 2.0}
    scalar = gymnasium.make(env_id, **kwargs)
    vector = gymnasium.make_vec(
        env_id,
        num_envs=3,
        vectorization_mode="vector_entry_point",
        autoreset_mode="same_step",
        **kwargs,
    )
    assert isinstance(vector.unwrapped, FuncVectorEnv)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert vector.unwrapped.func == scalar.unwrapped.func  # type: ignore[attr-defined]  # FuncEnvs
    first, _ = scalar.reset(seed=4)
    observations, _ = vector.reset(seed=[4, 5, 6])  # type: ignore[arg-type]  # FuncVectorEnv takes a list
    np.testing.assert_array_equal(observations[0], first)
    step = scalar.step(np.array([-0.5], np.float32))
    steps = vector.step(np.full((3, 1), -0.5, np.float32))
    np.testing.assert_array_equal(steps[0][0], step[0])
    assert (steps[1][0], steps[4]["regret"][0]) == (step[1], step[4]["regret"])


def test_time_limits_of_ids() -> None:
    env = gymnasium.make("rlopt/AllenFishery-v0", max_episode_steps=3)
    env.reset(seed=0)
    assert [env.step(np.array([-1.0], np.float32))[3] for _ in range(3)] == [False, False, True]
    vector = gymnasium.make_vec(
        "rlopt/AllenFishery-v0",
        num_envs=2,
        vectorization_mode="vector_entry_point",
        max_episode_steps=3,
    )
    vector.reset(seed=0)
    cuts = [vector.step(np.full((2, 1), -1.0, np.float32))[3].all() for _ in range(3)]
    assert cuts == [False, False, True]


def test_unbounded_spaces_are_allowed() -> None:
    env = FuncGymEnv(Drift())
    env.reset(seed=0)
    assert env.step(np.zeros(2))[0].shape == (2,)


def test_an_environment_in_use_can_be_pickled() -> None:
    """Its oracle too, whose matrices are made again where they are needed."""
    env = FuncGymEnv(ALLEN)
    env.reset(seed=3)
    env.step([0.1])
    again = pickle.loads(pickle.dumps(env))
    assert again.step([-0.5])[4] == env.step([-0.5])[4]
    oracle = pickle.loads(pickle.dumps(ALLEN.oracle()))
    assert oracle.evaluate(oracle.policy, [5.5]) == pytest.approx(oracle.value_at([5.5]))


def test_numpy_integers_are_seeds() -> None:
    four: Any = np.int64(4)
    for env in (FuncGymEnv(LOGISTIC), FuncVectorEnv(LOGISTIC)):
        first = env.reset(seed=four)[0]
        np.testing.assert_array_equal(first, env.reset(seed=4)[0])


def test_a_foreign_state_is_refused() -> None:
    two, three = FuncVectorEnv(ALLEN, 2), FuncVectorEnv(ALLEN, 3)
    two.reset(seed=0)
    with pytest.raises(ValueError, match="of 2 copies, not of 3"):
        three.set_state(two.get_state())
    with pytest.raises(ValueError, match="not saved by a FuncGymEnv"):
        FuncGymEnv(ALLEN).set_state(two.get_state())


class Coarse(Count):
    """Observations in single precision, which is Box's default."""

    observation_space = Box(0.0, 10.0, (1,))


def test_observations_have_the_type_of_their_space() -> None:
    env = FuncVectorEnv(Coarse(), 2)
    observation, _ = env.reset()
    assert observation.dtype == np.float32 and observation in env.observation_space
    assert env.step(np.ones((2, 1)))[1].dtype == np.float64
