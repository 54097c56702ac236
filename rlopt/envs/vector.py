"""FuncVectorEnv: many copies of a FuncEnv as a gymnasium VectorEnv, by array operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rlopt.envs.batch import Batch, checked_action, checked_render_mode
from rlopt.envs.core import Array, FuncEnv, Info

MODES = {
    "next_step": AutoresetMode.NEXT_STEP,
    "same_step": AutoresetMode.SAME_STEP,
    "disabled": AutoresetMode.DISABLED,
}


class FuncVectorEnv(VectorEnv[Any, Any, Any]):
    """A gymnasium vector environment that runs `num_envs` copies of a FuncEnv.

    Sub-environment i, seeded s, equals `FuncGymEnv` seeded s to the bit, whatever `num_envs` is.

    Args:
        func: the pure environment, at `env.func`.
        num_envs: number of copies.
        autoreset_mode: what happens to a sub-environment whose episode has ended.
            "next_step": the next call ignores its action and returns the new start, reward 0;
            "same_step": this call returns the new start, the last observation and info come in
            `info["final_obs"]`, `info["final_info"]`; "disabled": the caller resets it with
            `reset(options={"reset_mask": mask})`.
        regret: put the oracle's per-step regret into `info["regret"]`.
        max_episode_steps: truncate here too, as well as at the environment's own horizon.
        render_mode: one of `func.render_modes`, or None; sub-environment 0 is drawn.
    """

    def __init__(
        self,
        func: FuncEnv,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = "next_step",
        regret: bool = True,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.func, self.num_envs = func, num_envs
        self.batch = Batch(func, num_envs, regret=regret, max_episode_steps=max_episode_steps)
        self.single_observation_space = func.observation_space
        self.single_action_space = func.action_space
        self.observation_space = batch_space(func.observation_space, num_envs)
        self.action_space = batch_space(func.action_space, num_envs)
        self.autoreset_mode = checked_mode(autoreset_mode)
        self.metadata = {
            "render_modes": list(func.render_modes),
            "render_fps": 10,
            "autoreset_mode": self.autoreset_mode,
        }
        self.render_mode = checked_render_mode(func, render_mode)
        self.history: list[Info] = []  # of sub-env 0's episode, if something is rendered
        self._shape = (num_envs, *(func.action_space.shape or ()))
        self._ended = np.zeros(num_envs, bool)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, Info]:
        """Start episodes everywhere, or where `options["reset_mask"]` is True.

        An integer seeds sub-env i with seed + i; a sequence gives each its own. Without a seed the
        streams of noise go on.
        """
        super().reset(seed=int(seed) if isinstance(seed, int | np.integer) else None)
        mask = self._mask(options)
        for row, row_seed in enumerate(self._seeds(seed)):
            if mask[row] and row_seed is not None:
                self.batch.seed(row, row_seed)
        if self.batch.state is None and not mask.all():
            raise ResetNeeded("the first reset must reset every sub-environment")
        self.batch.restart(None if mask.all() else np.flatnonzero(mask))
        self._ended &= ~mask
        info: Info = {}
        _add(info, self.func.state_info(self.batch.state), np.ones(self.num_envs, bool))
        if mask[0]:
            self._remember_start(info)
        return self.batch.observe(), info

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, Info]:
        """One transition of every sub-environment; see `autoreset_mode` for the ended ones.

        Raises:
            ValueError: an action is NaN, infinite or wrongly shaped.
            ResetNeeded: before the first reset, or in "disabled" mode for an ended episode.
        """
        if self.batch.state is None:
            raise ResetNeeded("call reset() before step()")
        actions = checked_action(self.single_action_space, actions, self._shape)
        resting = self._restart_ended() if self._ended.any() else None
        reward, terminated, truncated, facts = self.batch.advance(actions, resting)
        reward = np.asarray(reward, dtype=np.float64)
        moved = np.ones(self.num_envs, bool)
        if resting is not None:
            moved[resting] = False
            reward, terminated, truncated = (
                _blanked(a, moved) for a in (reward, terminated, truncated)
            )
            facts = {key: _blanked(value, moved) for key, value in facts.items()}
        self._ended = terminated | truncated
        info: Info = {}
        _add(info, facts, moved)
        observation = self.batch.observe()
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._ended.any():
            observation = self._restart_now(observation, facts, info)
        _add(info, self.func.state_info(self.batch.state), np.ones(self.num_envs, bool))
        if self.render_mode is not None:
            restarted = info["_final_info"][0] if "_final_info" in info else not moved[0]
            self._remember(info, reward, restarted)
        return observation, reward, terminated, truncated, info

    def _restart_ended(self) -> np.ndarray:
        """NEXT_STEP: put ended rows at a new start before the others move on."""
        if self.autoreset_mode is AutoresetMode.DISABLED:
            raise ResetNeeded(
                f"sub-environments {np.flatnonzero(self._ended)[:8].tolist()} have ended and "
                'autoreset is disabled: call reset(options={"reset_mask": mask}) first'
            )
        rows = np.flatnonzero(self._ended)
        self.batch.restart(rows)
        return rows

    def _restart_now(self, observation: Array, facts: Info, info: Info) -> Array:
        """SAME_STEP: keep the last observation and info aside and restart the ended rows."""
        rows = np.flatnonzero(self._ended)
        final_info: Info = {}
        _add(final_info, facts | self.func.state_info(self.batch.state), self._ended)
        info["final_info"], info["_final_info"] = final_info, self._ended.copy()
        final = np.empty(self.num_envs, dtype=object)
        for row in rows:
            final[row] = observation[row].copy()
        info["final_obs"], info["_final_obs"] = final, self._ended.copy()
        self.batch.restart(rows)
        observation = observation.copy()
        observation[rows] = self.batch.observe(rows)
        self._ended = np.zeros(self.num_envs, bool)
        return observation

    def _remember_start(self, info: Info) -> None:
        first = {key: info[key][0] for key in self.func.state_info(self.batch.state)}
        self.history = [first]

    def _remember(self, info: Info, reward: Array, restarted: bool) -> None:
        if restarted:
            self._remember_start(info)
            return
        row = {key: value[0] for key, value in info.items() if not key.startswith("_")}
        self.history.append({**row, "reward": float(reward[0])})

    def render(self) -> Any:
        """Sub-environment 0's episode so far, as a tuple of one picture or line."""
        if self.render_mode is None:
            return super().render()
        draw = self.func.picture if self.render_mode == "rgb_array" else self.func.text
        return (draw(self.history),)

    def get_state(self) -> dict[str, Any]:
        """All that the future depends on, generators included (it can be pickled)."""
        return {
            "batch": self.batch.get_state(),
            "history": list(self.history),
            "ended": self._ended.copy(),
        }

    def set_state(self, saved: dict[str, Any]) -> Self:
        """Go back to what `get_state` returned, mid-episode too."""
        if "ended" not in saved:
            raise ValueError(f"this state was not saved by a {type(self).__name__}")
        self.batch.set_state(saved["batch"])
        self.history, self._ended = list(saved["history"]), saved["ended"].copy()
        return self

    def _mask(self, options: dict[str, Any] | None) -> np.ndarray:
        mask = (options or {}).get("reset_mask")
        if mask is None:
            return np.ones(self.num_envs, bool)
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise ValueError(
                f"reset_mask must be {self.num_envs} booleans, at least one True, got {mask!r}"
            )
        return mask

    def _entropy(self) -> int:
        """The seed that an unseeded environment got by chance; `np_random_seed` tells it."""
        seed = self.np_random_seed
        assert seed is not None
        return seed

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """One seed a sub-environment; None lets its streams go on."""
        if seed is None:
            fresh = ~self.batch.seeded
            base = self._entropy() if fresh.any() else 0
            return [base + row if fresh[row] else None for row in range(self.num_envs)]
        if isinstance(seed, int | np.integer):
            return [int(seed) + row for row in range(self.num_envs)]
        listed = isinstance(seed, Sequence | np.ndarray) and not isinstance(seed, str)
        if not listed or len(seed) != self.num_envs or not all(_is_seed(s) for s in seed):
            raise ValueError(
                f"seed must be one integer >= 0 or {self.num_envs} of them, got {seed!r}"
            )
        return [
            self._entropy() + row if s is None and not self.batch.seeded[row] else s
            for row, s in enumerate(seed)
        ]


def checked_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """The enum of an autoreset mode given as enum or name.

    Raises:
        ValueError: not one of the three.
    """
    if isinstance(mode, AutoresetMode):
        return mode
    if mode not in MODES:
        raise ValueError(f"autoreset_mode must be one of {sorted(MODES)}, got {mode!r}")
    return MODES[mode]


def _is_seed(seed: Any) -> bool:
    return seed is None or (isinstance(seed, int | np.integer) and bool(seed >= 0))


def _blanked(values: Array, keep: np.ndarray) -> Array:
    """Zero (False, "") where not kept."""
    blank = values.copy()
    blank[~keep] = np.zeros((), values.dtype)
    return blank


def _add(info: Info, facts: Info, mask: np.ndarray) -> None:
    """Put facts into a vector info, each with its mask, as gymnasium does."""
    for key, value in facts.items():
        info[key], info[f"_{key}"] = value, mask
