"""FuncSB3VecEnv: many copies of a FuncEnv as a Stable-Baselines3 VecEnv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from rlopt.envs.core import FuncEnv
from rlopt.envs.vector import FuncVectorEnv


class FuncSB3VecEnv(VecEnv):
    """A Stable-Baselines3 VecEnv that steps all copies by array operations.

    Args:
        func: the pure environment.
        num_envs: number of copies.
        regret: put the oracle's per-step regret into each info.
        max_episode_steps: truncate here too, as well as at the environment's own horizon.
        bootstrap_at_horizon: set `TimeLimit.truncated` where an episode is cut, so that SB3 adds
            gamma V(last observation). Turn it off where the horizon is part of the task.
        render_mode: one of `func.render_modes`, or None.
    """

    def __init__(
        self,
        func: FuncEnv,
        num_envs: int = 1,
        *,
        regret: bool = True,
        max_episode_steps: int | None = None,
        bootstrap_at_horizon: bool = True,
        render_mode: str | None = None,
    ) -> None:
        self.func, self.bootstrap_at_horizon = func, bootstrap_at_horizon
        self.vector = FuncVectorEnv(
            func,
            num_envs,
            autoreset_mode="same_step",
            regret=regret,
            max_episode_steps=max_episode_steps,
            render_mode=render_mode,
        )
        self.metadata: dict[str, Any] = {"render_modes": list(func.render_modes), "render_fps": 10}
        self._actions: np.ndarray | None = None
        self._returns, self._lengths = np.zeros(num_envs), np.zeros(num_envs, np.int64)
        super().__init__(num_envs, func.observation_space, func.action_space)

    def reset(self) -> Any:
        """Start every episode anew, with the seeds given to `seed()` if any."""
        seeds = self._seeds if any(seed is not None for seed in self._seeds) else None
        observation, info = self.vector.reset(seed=seeds)
        self.reset_infos = self._rows(info)
        self._returns[:], self._lengths[:] = 0.0, 0
        self._reset_seeds()
        self._reset_options()
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> Any:
        """Observations, float32 rewards, dones and one info a sub-environment."""
        observation, reward, terminated, truncated, info = self.vector.step(self._actions)
        dones = terminated | truncated
        self._returns += reward
        self._lengths += 1
        final_observations, final_info = info.pop("final_obs", None), info.pop("final_info", {})
        infos, finals = self._rows(info), self._rows(final_info)
        for row in np.flatnonzero(dones):
            infos[row].update(finals[row])
            infos[row]["terminal_observation"] = final_observations[row]
            cut = bool(truncated[row] and not terminated[row])
            infos[row]["TimeLimit.truncated"] = cut and self.bootstrap_at_horizon
            infos[row]["episode"] = {
                "r": float(self._returns[row]),
                "l": int(self._lengths[row]),
                "t": 0.0,  # wall time of the episode: not kept, results stay reproducible
            }
            self._returns[row], self._lengths[row] = 0.0, 0
        return observation, reward.astype(np.float32), dones, infos

    def _rows(self, info: dict[str, Any]) -> list[dict[str, Any]]:
        facts = {key: value.tolist() for key, value in info.items() if not key.startswith("_")}
        if not facts:
            return [{} for _ in range(self.num_envs)]
        rows = zip(*facts.values(), strict=True)
        return [dict(zip(facts, row, strict=True)) for row in rows]

    def get_state(self) -> dict[str, Any]:
        """All that the future depends on, generators included (it can be pickled)."""
        return {
            "vector": self.vector.get_state(),
            "returns": self._returns.copy(),
            "lengths": self._lengths.copy(),
        }

    def set_state(self, saved: dict[str, Any]) -> Self:
        """Go back to what `get_state` returned, mid-episode too."""
        if "returns" not in saved:
            raise ValueError(f"this state was not saved by a {type(self).__name__}")
        self.vector.set_state(saved["vector"])
        self._returns, self._lengths = saved["returns"].copy(), saved["lengths"].copy()
        return self

    def get_images(self) -> Sequence[np.ndarray | None]:
        """The picture of sub-environment 0."""
        picture = self.vector.render() if self.render_mode == "rgb_array" else None
        return [picture[0] if picture else None] + [None] * (self.num_envs - 1)

    def close(self) -> None:
        """Nothing is open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The attribute, once for each sub-environment."""
        owner = self.vector if hasattr(self.vector, attr_name) else self.func
        return [getattr(owner, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: sub-environments share one frozen FuncEnv."""
        raise AttributeError(
            f"cannot set {attr_name!r}: the sub-environments share one frozen {self.func!r}; "
            "make a new FuncSB3VecEnv instead"
        )

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the FuncEnv, once for each sub-environment."""
        method = getattr(self.func, method_name)
        return [method(*args, **kwargs) for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Nothing is wrapped, but episodes are counted as SB3's Monitor would."""
        from stable_baselines3.common.monitor import Monitor

        return [wrapper_class is Monitor for _ in self._get_indices(indices)]
