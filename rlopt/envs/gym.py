"""FuncGymEnv: one copy of a FuncEnv as a gymnasium.Env."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from rlopt.envs.batch import Batch, checked_action, checked_render_mode
from rlopt.envs.core import Array, FuncEnv, Info

PLAIN: dict[type, Callable[[Any], Any]] = {
    np.float64: float,
    np.int64: int,
    np.bool: bool,
    np.str_: str,
}


def _same(value: Any) -> Any:
    return value


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
        self._single = func.takes_single
        self.batch = Batch(
            func,
            1,
            regret=regret,
            max_episode_steps=max_episode_steps,
            single=self._single,
        )
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
        super().reset(seed=int(seed) if isinstance(seed, np.integer) else seed)
        if seed is not None or not self.batch.seeded[0]:
            self.batch.seed(0, self.np_random_seed)
        self.batch.restart()
        info = self._facts(self.func.state_info(self.batch.state))
        self.history = [info]
        self._running = True
        return self._first(self.batch.observe()), info

    def _first(self, batched: Array) -> Any:
        return batched if self._single else batched[0]

    def _facts(self, info: Info) -> Info:
        """Of the one copy; Python numbers, booleans and strings instead of numpy's scalars."""
        if not self._single:
            info = {key: values[0] for key, values in info.items()}
        return {key: PLAIN.get(type(v), _same)(v) for key, v in info.items()}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Info]:
        """One transition.

        Raises:
            ValueError: the action is NaN, infinite or wrongly shaped.
            ResetNeeded: the episode has ended, or none has begun.
        """
        if not self._running:
            raise ResetNeeded("the episode has ended or none has begun: call reset() first")
        checked = checked_action(self.action_space, action, self._shape)
        step = self.batch.advance(checked if self._single else checked[None])
        info = self._facts(step.info | self.func.state_info(self.batch.state))
        reward = float(self._first(step.reward))
        terminated, truncated = bool(self._first(step.terminated)), bool(step.truncated[0])
        self._running = not (terminated or truncated)
        if self.render_mode is not None:
            self.history.append({**info, "reward": reward})
        return self._first(self.batch.observe()), reward, terminated, truncated, info

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
        if "running" not in saved:
            raise ValueError(f"this state was not saved by a {type(self).__name__}")
        self.batch.set_state(saved["batch"])
        self.history, self._running = list(saved["history"]), saved["running"]
        return self
