"""The engine under the three adapters: n copies of a FuncEnv with their clocks and generators."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Discrete
from numpy.random import Generator, SeedSequence, default_rng

from rlopt.envs.core import NOISE_COMPONENTS, Array, FuncEnv, Info, NoisePart, State, state_map

BLOCK = 256  # draws a generator makes at once: amortises its call over so many steps


class NoiseStream:
    """Noise of one component for n sub-environments, one generator each, drawn in blocks.

    A sub-environment's numbers depend on its own generator and on how often it drew, never on the
    number of its neighbours.
    """

    def __init__(self, parts: Sequence[NoisePart], n: int) -> None:
        self.parts, self.n = tuple(parts), n
        self.dim = sum(dim for _, dim in self.parts)
        self.generators: list[Generator | None] = [None] * n
        self.flat = np.empty((n * BLOCK, self.dim))
        self.start = np.arange(n) * BLOCK
        self.next = self.start + BLOCK  # flat index of each sub-env's next draw; at the end: empty
        self.left = 0  # draws that every sub-env can still make from its block

    def seed(self, row: int, sequence: SeedSequence) -> None:
        """Restart the stream of one sub-environment."""
        if self.dim:
            self.generators[row] = default_rng(sequence)
            self.next[row] = self.start[row] + BLOCK
            self.left = 0

    def draw(self, rows: np.ndarray | None = None) -> np.ndarray:
        """The next noise of all sub-environments, (n, dim), or of some rows, (len(rows), dim)."""
        if not self.dim:
            return self.flat[: self.n if rows is None else len(rows)]
        if rows is not None and not len(rows):  # all rest: nobody's stream moves
            return np.empty((0, self.dim))
        if not self.left:
            self._refill()
        self.left -= 1
        if self.n == 1:  # a single stream needs no gathering
            row = BLOCK - 1 - self.left
            self.next[0] = row + 1
            return self.flat[row : row + 1].copy()
        flat = self.flat[:, 0] if self.dim == 1 else self.flat  # gathering numbers beats rows
        if rows is None:
            drawn = flat.take(self.next, axis=0)
            self.next += 1
        else:
            drawn = flat.take(self.next[rows], axis=0)
            self.next[rows] += 1
        return drawn.reshape(len(drawn), self.dim)

    def _refill(self) -> None:
        for row in np.flatnonzero(self.next == self.start + BLOCK):
            generator = self.generators[row]
            assert generator is not None, "seed() comes first"
            start, column = self.start[row], 0
            for kind, dim in self.parts:
                make = generator.standard_normal if kind == "normal" else generator.random
                self.flat[start : start + BLOCK, column : column + dim] = make((BLOCK, dim))
                column += dim
            self.next[row] = start
        self.left = BLOCK - int((self.next - self.start).max())


class Step(NamedTuple):
    """What one advance of a batch returns, each with leading axis n."""

    reward: Array
    terminated: Array
    truncated: Array
    info: Info  # facts about the transitions, regret included


class Batch:
    """n independent copies of a FuncEnv.

    Args:
        func: the pure environment.
        n: number of copies.
        regret: whether transitions carry `info["regret"]` (where the environment has an oracle).
        max_episode_steps: truncate here too, as well as at the environment's own horizon.
        single: of one copy, leave the batch axis out of states, actions and noise.
    """

    def __init__(
        self,
        func: FuncEnv,
        n: int,
        *,
        regret: bool = True,
        max_episode_steps: int | None = None,
        single: bool = False,
    ) -> None:
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"num_envs must be an integer >= 1, got {n!r}")
        whole = isinstance(max_episode_steps, int | np.integer) and max_episode_steps >= 1
        if max_episode_steps is not None and not whole:
            raise ValueError(
                f"max_episode_steps must be a whole number >= 1 or None, got {max_episode_steps!r}"
            )
        self.func, self.n, self.single = func, int(n), single
        limits = [limit for limit in (func.horizon, max_episode_steps) if limit is not None]
        self.limit = min(limits) if limits else None
        spec = func.noise_spec
        self.streams = {name: NoiseStream(spec.parts(name), self.n) for name in NOISE_COMPONENTS}
        self.clock = np.zeros(self.n, np.int64)  # steps of the episode; counted if there is a limit
        self.state: State = None
        self.seeded = np.zeros(self.n, bool)
        self._wants_regret = regret
        self._regret: Any = None

    def seed(self, row: int, seed: int) -> None:
        """Give one sub-environment fresh generators."""
        children = SeedSequence(seed).spawn(len(NOISE_COMPONENTS))
        for stream, child in zip(self.streams.values(), children, strict=True):
            stream.seed(row, child)
        self.seeded[row] = True

    def restart(self, rows: np.ndarray | None = None) -> None:
        """Put all sub-environments, or some rows, at a new start."""
        start = self.func.initial(self._draw("initial", rows))
        if rows is None:
            self.state, self.clock = start, np.zeros(self.n, np.int64)
        else:
            self.state = state_map(lambda old, new: _replaced(old, rows, new), self.state, start)
            self.clock[rows] = 0

    def observe(self, rows: np.ndarray | None = None) -> Array:
        """Observations of all sub-environments, or of some rows; draws the observation noise."""
        state = self.state if rows is None else state_map(lambda a: a[rows], self.state)
        # A copy: an environment may return its own state, and callers may write into observations.
        observation = self.func.observation(state, self._draw("observation", rows))
        return np.array(observation, dtype=self.func.observation_space.dtype)

    def _draw(self, component: str, rows: np.ndarray | None = None) -> np.ndarray:
        noise = self.streams[component].draw(rows)
        return noise[0] if self.single else noise

    def advance(self, action: Array, resting: np.ndarray | None = None) -> Step:
        """One transition of every sub-environment but the `resting` rows (indices).

        Resting rows keep their state and their place in the noise; their entries of the returned
        arrays mean nothing and are for the caller to overwrite.
        """
        if resting is None:
            noise = self._draw("step")
        else:
            active = np.setdiff1d(np.arange(self.n), resting, assume_unique=True)
            noise = np.full((self.n, self.streams["step"].dim), 0.5)
            noise[active] = self.streams["step"].draw(active)
        before = self.state
        after = self.func.transition(before, action, noise)
        reward = self.func.reward(before, action, after)
        terminated = self.func.terminal(after)
        info = self.func.transition_info(before, action, after)
        regret = self.regret
        if regret is not None:
            info["regret"] = regret(before, action, after)
        if resting is not None:
            after = state_map(lambda new, old: _replaced(new, resting, old[resting]), after, before)
        self.state = after
        return Step(reward, terminated, self._tick(resting), info)

    def _tick(self, resting: np.ndarray | None) -> np.ndarray:
        """Count the step; True where an episode has reached the limit."""
        if self.limit is None:
            return np.zeros(self.n, bool)
        self.clock += 1
        if resting is not None:
            self.clock[resting] = 0
        return self.clock >= self.limit

    @property
    def regret(self) -> Any:
        """The oracle's per-transition regret; the oracle is solved at first use."""
        if self._wants_regret and self._regret is None:
            oracle = self.func.oracle()
            self._regret = None if oracle is None else oracle.regret
            self._wants_regret = self._regret is not None
        return self._regret

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on, generators included; it can be pickled."""
        names = ("state", "clock", "seeded", "streams")
        return copy.deepcopy({name: getattr(self, name) for name in names})

    def set_state(self, saved: dict[str, Any]) -> None:
        """Go back to what `get_state` returned; the saved state can be used again.

        Raises:
            ValueError: it was saved by an environment with another number of copies.
        """
        if len(saved["seeded"]) != self.n:
            raise ValueError(f"this state is of {len(saved['seeded'])} copies, not of {self.n}")
        for name, value in copy.deepcopy(saved).items():
            setattr(self, name, value)


def checked_action(space: Space[Any], action: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The action as an array of the wanted shape, float64 for boxes of floats.

    Raises:
        ValueError: wrong shape, a value that is NaN or infinite, or not one of the choices.
    """
    floats = isinstance(space, Box) and space.dtype.kind == "f"
    try:
        array = np.asarray(action, dtype=np.float64 if floats else None)
    except (TypeError, ValueError) as error:
        raise ValueError(f"action must be numbers of shape {shape}, got {action!r}") from error
    if array.shape != shape:
        raise ValueError(f"action must have shape {shape}, got shape {array.shape}")
    if floats:
        flat = array.ravel()  # its squared length is finite iff it is (and is cheap to get)
        if not isfinite(flat.dot(flat)) and not np.isfinite(flat).all():
            bad = flat[~np.isfinite(flat)][0]
            raise ValueError(f"action must be finite, got {bad} (allowed: {space})")
    elif isinstance(space, Discrete):
        whole = array.dtype.kind in "iu"
        if not whole or ((array < space.start) | (array >= space.start + space.n)).any():
            raise ValueError(f"action must be of {space}, got {action!r}")
    return array


def _replaced(array: Array, rows: np.ndarray, values: Array) -> Array:
    fresh = array.copy()
    fresh[rows] = values
    return fresh


def checked_render_mode(func: FuncEnv, mode: str | None) -> str | None:
    """The render mode, if the environment has it.

    Raises:
        ValueError: it has not.
    """
    if mode is not None and mode not in func.render_modes:
        raise ValueError(f"render_mode must be one of {func.render_modes} or None, got {mode!r}")
    return mode
