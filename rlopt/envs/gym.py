"""FuncGymEnv: one copy of a FuncEnv as a gymnasium.Env."""

from __future__ import annotations

from typing import Any, Self

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from rlopt.envs.batch import Batch, checked_action, checked_render_mode
from rlopt.envs.core import Array, FuncEnv, Info


class FuncGymEnv(gymnasium.Env[Any, Any]):
    """A gymnasium environment that runs a FuncEnv.

    Args:
        func: the pure environment; also at `env.unwrapped.func`.
        regret: put the oracle's per-step regret into `info["regret"]` (where there is an oracle;
            it is solved at the first step).
        max_episode_steps: truncate here too, as well as at the environment's own horizon.
        render_mode: one of `func.render_modes`, or None.
    """

    def __init__(
        self,
        func: FuncEnv,
        *,
        regret: bool = True,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.func = func
        self.batch = Batch(func, 1, regret=regret, max_episode_steps=max_episode_steps)
        self.observation_space, self.action_space = func.observation_space, func.action_space
        self.metadata = {"render_modes": list(func.render_modes), "render_fps": 10}
        self.render_mode = checked_render_mode(func, render_mode)
        self.history: list[Info] = []  # of the episode, if something is rendered
        self._shape = self.action_space.shape or ()
        self._running = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Info]:
        """Start an episode; without a seed the streams of noise simply go on."""
        super().reset(seed=seed)
        if seed is not None or not self.batch.seeded[0]:
            self.batch.seed(0, self.np_random_seed)
        self.batch.restart()
        info = _scalars(self.func.state_info(self.batch.state))
        self.history = [info]
        self._running = True
        return self.batch.observe()[0], info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Info]:
        """One transition.

        Raises:
            ValueError: the action is NaN, infinite or wrongly shaped.
            ResetNeeded: the episode has ended, or none has begun.
        """
        if not self._running:
            raise ResetNeeded("the episode has ended or none has begun: call reset() first")
        batched = checked_action(self.action_space, action, self._shape)[None]
        reward, terminated, truncated, info = self.batch.advance(batched)
        info = _scalars(info | self.func.state_info(self.batch.state))
        result = float(reward[0]), bool(terminated[0]), bool(truncated[0]), info
        self._running = not (result[1] or result[2])
        if self.render_mode is not None:
            self.history.append({**info, "reward": result[0]})
        return self.batch.observe()[0], *result

    def render(self) -> Any:
        """The episode so far: a picture for "rgb_array", a line for "ansi"."""
        if self.render_mode is None:
            return super().render()
        draw = self.func.picture if self.render_mode == "rgb_array" else self.func.text
        return draw(self.history)

    def get_state(self) -> dict[str, Any]:
        """All that the future depends on, generators included (it can be pickled)."""
        return {
            "batch": self.batch.get_state(),
            "history": list(self.history),
            "running": self._running,
        }

    def set_state(self, saved: dict[str, Any]) -> Self:
        """Go back to what `get_state` returned, mid-episode too."""
        self.batch.set_state(saved["batch"])
        self.history, self._running = list(saved["history"]), saved["running"]
        return self


def _scalars(info: dict[str, Array]) -> Info:
    return {
        key: value.item() if value.ndim == 1 else np.array(value[0]) for key, value in info.items()
    }
