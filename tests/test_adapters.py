"""The three adapters run every environment alike, whatever the number of copies."""

import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from zoo import ALLEN, ENVIRONMENTS, LOGISTIC, Count, Drift, params

from rlopt.envs import FuncEnv, FuncGymEnv, FuncSB3VecEnv, FuncVectorEnv

MODES = ("next_step", "same_step", "disabled")
LIMIT = 7  # steps at which the tests truncate
EPISODES = 3
ADAPTERS: Any = [FuncGymEnv, FuncVectorEnv, FuncSB3VecEnv]
SEEDS = [7, 3, 11, 5]


def actions_of(env: FuncEnv, n: int, steps: int, seed: int = 0) -> np.ndarray:
    space = env.action_space
    unit = np.random.default_rng(seed).random((steps, n, *(space.shape or ())))
    return (space.low + unit * (space.high - space.low)).astype(np.float32)  # type: ignore[attr-defined]  # a Box


def same(actual: Any, expected: Any) -> None:
    """Equal to the bit: nested dicts, lists, arrays and numbers."""
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for key in expected:
            same(actual[key], expected[key])
    elif isinstance(expected, tuple | list):
        assert len(actual) == len(expected)
        for a, b in zip(actual, expected, strict=True):
            same(a, b)
    elif getattr(expected, "dtype", None) == np.dtype(object):
        same(list(actual), list(expected))
    else:
        np.testing.assert_array_equal(actual, expected, strict=isinstance(expected, np.ndarray))


# --- the count environment: what a stale row shows ---

COUNT_ROWS: Any = {
    "next_step": (
        [(1, 0.25), (2, 0.5), (3, 0.75), (0, 1.0), (1, 1.25), (2, 1.5)],
        [(1, 1), (1, 1), (1, 1), (0, 1), (1, 1), (1, 1)],
        [False, False, True, False, False, False],
    ),
    "same_step": (
        [(1, 0.25), (2, 0.5), (0, 0.75), (1, 1.0), (2, 1.25), (0, 1.5)],
        [(1, 1)] * 6,
        [False, False, True, False, False, True],
    ),
}


@pytest.mark.parametrize("mode", sorted(COUNT_ROWS))
def test_count(mode: str) -> None:
    """The row that restarts leaves its neighbour alone (gymnasium's own adapter does not)."""
    env = FuncVectorEnv(Count(), num_envs=2, autoreset_mode=mode)
    same(env.reset(seed=0)[0], np.zeros((2, 1)))
    for shown, paid, done in zip(*COUNT_ROWS[mode], strict=True):
        observation, reward, terminated, truncated, info = env.step(np.array([[1.0], [0.25]]))
        same(observation[:, 0], np.array(shown, float))
        same(reward, np.array(paid, float))
        same(terminated, np.array([done, False]))
        assert not truncated.any() and "regret" not in info


def test_count_disabled() -> None:
    env = FuncVectorEnv(Count(), num_envs=2, autoreset_mode="disabled")
    env.reset(seed=0)
    for _ in range(3):
        observation = env.step(np.array([[1.0], [0.25]]))[0]
    same(observation[:, 0], np.array([3.0, 0.75]))
    with pytest.raises(ResetNeeded, match=r"\[0\] have ended"):
        env.step(np.array([[1.0], [0.25]]))
    observation, _ = env.reset(options={"reset_mask": np.array([True, False])})
    same(observation[:, 0], np.array([0.0, 0.75]))
    observation, reward, *_ = env.step(np.array([[1.0], [0.25]]))
    same(observation[:, 0], np.array([1.0, 1.0]))
    same(reward, np.ones(2))


def test_count_sb3() -> None:
    env = FuncSB3VecEnv(Count(), num_envs=2)
    same(env.reset(), np.zeros((2, 1)))
    for shown, done in zip(COUNT_ROWS["same_step"][0], COUNT_ROWS["same_step"][2], strict=True):
        observation, reward, dones, infos = env.step(np.array([[1.0], [0.25]]))
        same(observation, np.array(shown, float)[:, None])
        same(dones, np.array([done, False]))
        assert reward.dtype == np.float32 and (reward == 1.0).all()
        assert ("terminal_observation" in infos[0]) == done
        if done:
            same(infos[0]["terminal_observation"], np.array([3.0]))
            assert infos[0]["TimeLimit.truncated"] is False
            assert (infos[0]["episode"]["r"], infos[0]["episode"]["l"]) == (3.0, 3)


# --- n copies are n environments ---


def scalar_rows(env: FuncEnv, seeds: list[int], actions: np.ndarray) -> list[list[Any]]:
    """Each scalar environment's transitions; a reset takes the place of a step after an end."""
    rows = []
    for k, seed in enumerate(seeds):
        scalar = FuncGymEnv(env, max_episode_steps=LIMIT)
        row: list[Any] = [("start", *scalar.reset(seed=seed))]
        ended = False
        for action in actions[:, k]:
            row.append(("start", *scalar.reset()) if ended else ("step", *scalar.step(action)))
            ended = row[-1][0] == "step" and (row[-1][3] or row[-1][4])
        rows.append(row)
    return rows


@pytest.mark.parametrize("n", [4, 1])
@pytest.mark.parametrize("env", params(ENVIRONMENTS))
def test_a_vector_env_is_n_scalar_envs(env: FuncEnv, n: int) -> None:
    """Observations, rewards, flags and every info key, to the bit, over three episodes."""
    actions = actions_of(env, n, EPISODES * (LIMIT + 1))
    rows = scalar_rows(env, SEEDS[:n], actions)
    vector = FuncVectorEnv(env, num_envs=n, max_episode_steps=LIMIT)
    observation, info = vector.reset(seed=SEEDS[:n])
    for k, row in enumerate(rows):
        same(observation[k], row[0][1])
        same({key: info[key][k] for key in info if key[0] != "_"}, row[0][2])
    for t, action in enumerate(actions, start=1):
        observation, reward, terminated, truncated, info = vector.step(action)
        for k, row in enumerate(rows):
            kind, *expected = row[t]
            facts = expected[-1]
            same(observation[k], expected[0])
            shown = {key: info[key][k] for key in info if key[0] != "_" and info[f"_{key}"][k]}
            same(shown, facts)
            hidden = [key for key in info if key[0] != "_" and not info[f"_{key}"][k]]
            assert not any(np.any(info[key][k] != 0) and info[key][k] != "" for key in hidden)
            if kind == "step":
                assert not hidden
                same((reward[k], terminated[k], truncated[k]), tuple(expected[1:4]))
            else:
                same((reward[k], terminated[k], truncated[k]), (0.0, False, False))


@pytest.mark.parametrize("env", params(ENVIRONMENTS))
def test_both_ways_to_end_are_seen(env: FuncEnv) -> None:
    """The test above means little for an environment that never ends, so all must truncate."""
    rows = scalar_rows(env, SEEDS, actions_of(env, 4, EPISODES * (LIMIT + 1)))
    steps = [step for row in rows for step in row if step[0] == "step"]
    assert any(step[3] or step[4] for step in steps)


def test_some_environments_terminate_and_some_are_cut() -> None:
    for name in ("count", "drift", "fragile", "fragile-4-years"):
        env = ENVIRONMENTS[name]
        rows = scalar_rows(env, SEEDS, actions_of(env, 4, EPISODES * (LIMIT + 1)))
        steps = [step for row in rows for step in row if step[0] == "step"]
        assert any(step[3] for step in steps), name
        assert any(step[4] for step in steps) or name == "fragile", name


@pytest.mark.parametrize("mode", MODES[:2])
@pytest.mark.parametrize("env", params(ENVIRONMENTS))
def test_permuted_seeds_permute_the_results(env: FuncEnv, mode: str) -> None:
    order = np.array([2, 0, 3, 1])
    actions = actions_of(env, 4, 2 * LIMIT + 3)
    kwargs: Any = {"num_envs": 4, "max_episode_steps": LIMIT, "autoreset_mode": mode}
    first, second = FuncVectorEnv(env, **kwargs), FuncVectorEnv(env, **kwargs)
    same(second.reset(seed=[SEEDS[k] for k in order])[0], first.reset(seed=SEEDS)[0][order])
    for action in actions:
        *numbers, info = first.step(action)
        *permuted, permuted_info = second.step(action[order])
        same(permuted, [a[order] for a in numbers])
        assert permuted_info.keys() == info.keys()
        for key in info:
            if key != "final_info":
                same(permuted_info[key], info[key][order])


@pytest.mark.parametrize("mode", MODES[:2])
@pytest.mark.parametrize("env", params(ENVIRONMENTS))
def test_results_do_not_depend_on_num_envs(env: FuncEnv, mode: str) -> None:
    """Also across the blocks in which noise is drawn."""
    steps = 600 if env in (ALLEN, ENVIRONMENTS["drift"], ENVIRONMENTS["fragile"]) else 40
    actions = actions_of(env, 5, steps)
    kwargs: Any = {"max_episode_steps": LIMIT, "autoreset_mode": mode, "regret": False}
    many = FuncVectorEnv(env, num_envs=5, **kwargs)
    few = {n: FuncVectorEnv(env, num_envs=n, **kwargs) for n in (1, 2)}
    many.reset(seed=10)
    for small in few.values():
        small.reset(seed=10)
    for action in actions:
        *numbers, _ = many.step(action)
        for n, small in few.items():
            *fewer, _ = small.step(action[:n])
            same(fewer, [a[:n] for a in numbers])


# --- randomness ---


@pytest.mark.parametrize("make", ADAPTERS)
@pytest.mark.parametrize("env", params(ENVIRONMENTS))
def test_save_and_restore_in_mid_episode(env: FuncEnv, make: Any) -> None:
    """Into the same adapter and, pickled, into a fresh one; the saved state stays usable."""
    actions = actions_of(env, 1 if make is FuncGymEnv else 3, 30)
    kwargs = {} if make is FuncGymEnv else {"num_envs": 3}
    adapter = make(env, max_episode_steps=LIMIT, **kwargs)

    def play(adapter: Any, actions: np.ndarray) -> list[Any]:
        rows, ended = [], False
        for action in actions:
            if make is FuncGymEnv:
                row = adapter.reset() if ended else adapter.step(action[0])
                ended = len(row) == 5 and (row[2] or row[3])
            else:
                row = adapter.step(action)
            rows.append(row)
        return rows

    if make is FuncSB3VecEnv:
        adapter.seed(4)
        adapter.reset()
    else:
        adapter.reset(seed=4)
    play(adapter, actions[:2])
    saved = adapter.get_state()
    stored = pickle.dumps(saved)
    expected = play(adapter, actions[2:])
    for again, state in (
        (adapter, saved),
        (adapter, saved),
        (make(env, max_episode_steps=LIMIT, **kwargs), pickle.loads(stored)),
    ):
        assert again.set_state(state) is again
        same(play(again, actions[2:]), expected)


def test_an_unseeded_reset_goes_on() -> None:
    """No draw is thrown away: the second start follows the first in the streams."""
    env = Drift()
    scalar, vector = FuncGymEnv(env), FuncVectorEnv(env, num_envs=2)
    starts = [scalar.reset(seed=3)[0], scalar.reset()[0], scalar.reset()[0]]
    assert len({tuple(start) for start in starts}) == 3
    vector.reset(seed=[3, 9])
    same(vector.reset()[0][0], starts[1])
    same(vector.reset(seed=[None, 1])[0][0], starts[2])
    generators = [np.random.default_rng(s) for s in np.random.SeedSequence(3).spawn(3)]
    initial, seen = generators[0].random((3, 2)), generators[2].standard_normal((3, 2))
    same(starts, list(initial - 0.5 + 0.1 * seen))


def test_streams_are_initial_step_observation() -> None:
    """The step noise has its parts side by side, a block of one part before the next."""
    env = FuncGymEnv(Drift(limit=1e9))
    env.reset(seed=8)
    normals = np.random.default_rng(np.random.SeedSequence(8).spawn(3)[1]).standard_normal((256, 2))
    moved = env.step(np.zeros(2))[4]["moved"]
    assert np.allclose(moved / normals[0], moved[0] / normals[0, 0])
    assert 0.0 < moved[0] / normals[0, 0] < 1.0


@pytest.mark.parametrize("make", ADAPTERS)
def test_unseeded_environments_differ(make: Any) -> None:
    first, second = make(Drift()).reset(), make(Drift()).reset()
    assert not np.array_equal(first[0], second[0])


def test_the_same_seed_again_gives_the_same_episode() -> None:
    env = FuncVectorEnv(ALLEN, num_envs=3)
    rows = []
    for _ in range(2):
        env.reset(seed=5)
        rows.append([env.step(np.full((3, 1), -0.9))[0] for _ in range(5)])
    same(*rows)


# --- infos of the modes ---


def test_next_step_blanks_the_row_that_restarts() -> None:
    env = FuncVectorEnv(LOGISTIC, num_envs=2, max_episode_steps=2)
    env.reset(seed=0)
    for _ in range(2):
        *_, truncated, info = env.step(np.zeros((2, 1)))
        assert all(info[f"_{key}"].all() for key in info if key[0] != "_")
    assert truncated.all()
    *_, info = env.step(np.zeros((2, 1)))
    of_state = {"stock", "obs_clipped"}
    for key in (key for key in info if key[0] != "_"):
        assert info[f"_{key}"].tolist() == [key in of_state] * 2
        if key not in of_state:
            assert not info[key].astype(bool).any(), key
    assert (info["stock"] == LOGISTIC.x0).all()


def test_same_step_keeps_what_ended() -> None:
    kwargs: Any = {"num_envs": 2, "max_episode_steps": 2}
    same_step = FuncVectorEnv(LOGISTIC, autoreset_mode="same_step", **kwargs)
    other = FuncVectorEnv(LOGISTIC, **kwargs)
    same_step.reset(seed=0)
    other.reset(seed=0)
    for t in range(2):
        last = other.step(np.zeros((2, 1)))
        observation, reward, terminated, truncated, info = same_step.step(np.zeros((2, 1)))
        assert ("final_info" in info) == ("final_obs" in info) == (t == 1)
    same((reward, terminated, truncated), last[1:4])
    same(np.stack(list(info["final_obs"])), last[0])
    assert info["_final_obs"].all() and info["_final_info"].all()
    same(info["final_info"], last[4])
    for key in ("regret", "catch"):
        same(info[key], last[4][key])
    assert (info["stock"] == LOGISTIC.x0).all() and (observation[:, 1] == -1.0).all()


def test_a_reset_mask_resets_only_its_rows() -> None:
    env = FuncVectorEnv(ALLEN, num_envs=3, autoreset_mode="disabled")
    with pytest.raises(ResetNeeded, match="every sub-environment"):
        env.reset(options={"reset_mask": np.array([True, False, True])})
    env.reset(seed=1)
    before, *_ = env.step(np.zeros((3, 1)))
    after, _ = env.reset(options={"reset_mask": np.array([False, True, False])})
    same(after[[0, 2]], before[[0, 2]])
    assert after[1] != before[1]
    for mask in ([True], np.zeros(3, bool), np.ones(3)):
        with pytest.raises(ValueError, match="reset_mask must be 3 booleans"):
            env.reset(options={"reset_mask": mask})
