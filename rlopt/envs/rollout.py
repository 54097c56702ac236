"""Whole episodes, many at once: what an oracle simulates where it cannot compute."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rlopt.envs.core import Array, FuncEnv, NoiseSpec


class Rollout(NamedTuple):
    """n episodes, each array (n,)."""

    total: np.ndarray  # discounted return
    last: np.ndarray  # what the last step added to it
    steps: np.ndarray  # steps played
    ended: np.ndarray  # whether nature ended the episode (else the horizon did)


def rollout(func: FuncEnv, agent: Any, n: int, seed: int, *, steps: int | None = None) -> Rollout:
    """Play n independent episodes of an agent's deterministic answers.

    One generator for all of them, so that 20,000 episodes of 200 steps take a second; the same seed
    gives the same noise to every agent.

    Args:
        func: the task.
        agent: who plays; may have a state.
        n: number of episodes.
        seed: of all noise.
        steps: at which episodes are cut; the horizon by default.

    Raises:
        ValueError: the task is endless and `steps` is None.
    """
    longest = func.horizon if steps is None else steps
    if longest is None:
        raise ValueError(f"rollout needs steps for an endless task, got {func!r}")
    rng = np.random.default_rng(seed)
    spec = func.noise_spec
    state = func.initial(draw_noise(spec, "initial", n, rng))
    total, last, played = np.zeros(n), np.zeros(n), np.zeros(n, np.int64)
    alive, memory = np.ones(n, bool), None
    for step in range(longest):
        observation = func.observation(state, draw_noise(spec, "observation", n, rng))
        action, memory = agent.predict(
            observation, memory, np.full(n, step == 0), deterministic=True
        )
        after = func.transition(state, np.asarray(action, float), draw_noise(spec, "step", n, rng))
        reward = func.gamma**step * func.reward(state, action, after)
        total += np.where(alive, reward, 0.0)
        last = np.where(alive, reward, last)
        played += alive
        alive &= ~func.terminal(after)
        state = after
        if not alive.any():
            break
    return Rollout(total, last, played, ~alive)


def draw_noise(spec: NoiseSpec, component: str, n: int, rng: np.random.Generator) -> Array:
    """Noise of one component for n episodes, (n, dim)."""
    drawn = [
        rng.standard_normal((n, dim)) if kind == "normal" else rng.random((n, dim))
        for kind, dim in spec.parts(component)
    ]
    return np.concatenate(drawn, axis=1) if drawn else np.empty((n, 0))
