"""The pure side of an environment: FuncEnv, its noise, its oracle, and the Agent protocol.

A FuncEnv holds physical parameters and pure, batched methods. It owns no state, no clock and no
generator: those live in the adapters (`gym.py`, `vector.py`, `sb3.py`), so that the dynamics are
written once and the scalar, the vector and the torch run agree number for number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
from gymnasium import Space

Array = Any  # numpy.ndarray or torch.Tensor: one kernel serves both
State = Any  # an array, or a NamedTuple of arrays; leading axis = independent copies
Info = dict[str, Any]
NoiseKind = Literal["normal", "uniform"]
NoisePart = tuple[NoiseKind, int]
NOISE_COMPONENTS = ("initial", "step", "observation")
NOISE_KINDS = ("normal", "uniform")
ROUNDING = 1e-9  # of a number, or of 1: by as much the ends of a bracket may cross


@dataclass(frozen=True)
class NoiseSpec:
    """The raw noise that an environment consumes, by component.

    Each component is None (no noise: the array has shape (n, 0)), one part `(kind, dim)`, or a
    tuple of parts whose columns are laid side by side. "normal" is N(0, 1), "uniform" is U(0, 1).

    >>> NoiseSpec(step=("normal", 2)).dim("step")
    2
    """

    initial: NoisePart | tuple[NoisePart, ...] | None = None
    step: NoisePart | tuple[NoisePart, ...] | None = None
    observation: NoisePart | tuple[NoisePart, ...] | None = None

    def __post_init__(self) -> None:
        for component in NOISE_COMPONENTS:
            for kind, dim in self.parts(component):
                if kind not in NOISE_KINDS:
                    raise ValueError(
                        f"{component} noise: kind must be one of {NOISE_KINDS}, got {kind!r}"
                    )
                if dim < 0:
                    raise ValueError(f"{component} noise: dimension must be >= 0, got {dim}")

    def parts(self, component: str) -> tuple[NoisePart, ...]:
        """The parts of one component, () where there is no noise."""
        declared = getattr(self, component)
        if not declared:
            return ()
        return (declared,) if isinstance(declared[0], str) else tuple(declared)

    def dim(self, component: str) -> int:
        """Number of columns of one component's noise array."""
        return sum(dim for _, dim in self.parts(component))


@runtime_checkable
class Agent(Protocol):
    """The four verbs of Stable-Baselines3; its own models satisfy this as they are."""

    def learn(
        self, total_timesteps: int, callback: Any = None, *, progress_bar: bool = False
    ) -> Any:
        """Learn for that many environment steps; return the agent."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Observations (batch, *obs) -> actions (batch, *act) and the recurrent state."""

    def save(self, path: Any) -> None:
        """Write what `load` needs."""

    @classmethod
    def load(cls, path: Any, env: Any = None) -> Any:
        """Read what `save` wrote."""


class FixedAgent:
    """Base of agents that have nothing to learn beforehand: subclasses define `predict`.

    They hold code and no knowledge, so that saving is refused unless a subclass knows better.
    """

    learns: ClassVar[bool] = False

    def learn(
        self, total_timesteps: int, callback: Any = None, *, progress_bar: bool = False
    ) -> Self:
        """Nothing to learn."""
        return self

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Observations (batch, *obs) -> actions (batch, *act) and the recurrent state."""
        raise NotImplementedError(f"{type(self).__name__} must define predict(observation, ...)")

    def save(self, path: Any) -> None:
        """Refused.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"{type(self).__name__} has learnt nothing to save: make it again instead")

    @classmethod
    def load(cls, path: Any, env: Any = None) -> Self:
        """Refused, as `save`."""
        raise TypeError(f"{cls.__name__} has nothing to load: make it again instead")


def count_steps(state: Any, episode_start: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """A clock for agents of tasks that do not show the time: steps so far, and the next `state`.

    Args:
        state: what the last call returned; None starts every episode anew.
        episode_start: (n,) booleans, the rows that start anew, or None.
        n: batch size.

    Returns:
        Steps since each row's start, (n,) floats, and one more.
    """
    steps = np.zeros(n) if state is None else np.asarray(state)
    if episode_start is not None:
        steps = np.where(episode_start, 0.0, steps)
    return steps, steps + 1.0


class FunctionAgent(FixedAgent):
    """A memoryless policy given as a function of the observations.

    Args:
        function: (batch, *obs) -> (batch, *act).
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Apply the function."""
        return self.function(observation), state


def policy(function: Callable[[Any], Any]) -> FunctionAgent:
    """An Agent that plays `function(observations)`, (batch, *obs) -> (batch, *act)."""
    return FunctionAgent(function)


@dataclass(frozen=True)
class OracleResult:
    """An optimal value, exact or bracketed.

    Attributes:
        value: the number that regret is measured against (the upper end of a bracket).
        lower: an attained value, or one that the optimum provably reaches.
        upper: no policy does better.
        method: how it was found, in words.
        tolerance: largest numerical error of `value`, in the units of the reward.
        exact: False where [lower, upper] is more than the numerical error.
        note: what a reader must know ("upper bracket, full observation"), or "".
    """

    value: float
    lower: float
    upper: float
    method: str
    tolerance: float
    exact: bool
    note: str = ""

    def __post_init__(self) -> None:
        if not self.lower <= self.value <= self.upper:
            raise ValueError(
                "an oracle needs lower <= value <= upper, got "
                f"{self.lower}, {self.value}, {self.upper}"
            )

    @classmethod
    def closed_form(cls, value: float, *, method: str = "closed form") -> OracleResult:
        """A value that is exact but for rounding."""
        return cls(value, value, value, method, 4 * float(np.spacing(abs(value))), True)

    @classmethod
    def bracket(
        cls, lower: float, upper: float, *, method: str, tolerance: float, note: str
    ) -> OracleResult:
        """Two ends that were found apart; regret is to the upper one.

        Args:
            lower: attained, less the error of whatever found it.
            upper: no policy does better; with its numerical error.
            method: as the attribute.
            tolerance: likewise.
            note: likewise.

        Raises:
            ArithmeticError: the ends cross by more than rounding, so that one of them is wrong.
        """
        if not lower - upper <= ROUNDING * max(1.0, abs(upper)):
            raise ArithmeticError(
                f"the bracket crosses: {lower} is attained, but at most {upper} can be ({method})"
            )
        return cls(upper, min(lower, upper), upper, method, tolerance, False, note)


@dataclass(frozen=True)
class Oracle:
    """What an environment knows of its own optimum.

    Attributes:
        value: optimal expected discounted return from the start.
        policy: an Agent that attains `value.lower`.
        regret: (state, action, next_state) -> (n,), the optimality gap of each transition;
            E sum gamma^t regret_t = V* - V^pi. None where only the value is known.
    """

    value: OracleResult
    policy: Agent
    regret: Callable[[State, Array, State], Array] | None = None

    def policy_value(self, agent: Agent) -> float | None:
        """Exact expected discounted return of an agent's fixed policy from the start.

        None where it is not known exactly (then it is simulated).
        """
        return None


@dataclass(frozen=True)
class PolicyPicture:
    """A policy as a curve, for reports: what it does against what it sees."""

    title: str
    x_label: str
    y_label: str
    x: list[float]
    agent: list[float]
    oracle: list[float]
    hazard: float | None = None
    hazard_label: str = ""


class FuncEnv:
    """Pure, batched dynamics of one task. Subclass as a frozen dataclass of its parameters.

    Set `observation_space` and `action_space` and write the pure methods; all else has a default.
    Every array has a leading batch axis. There is no generator inside: noise is an argument, whose
    law `noise_spec` declares. What depends on time keeps it in the state.
    """

    observation_space: Space[Any]
    action_space: Space[Any]
    noise_spec: NoiseSpec = NoiseSpec()
    gamma: float = 1.0
    horizon: int | None = None  # steps until truncation; None: only nature ends an episode
    unit: str = "reward"  # of the return, for tables
    render_modes: ClassVar[tuple[str, ...]] = ("ansi",)
    takes_single: ClassVar[bool] = False
    """Whether the methods also take one state, action and noise without the batch axis (and give
    the same numbers): the scalar adapter then avoids one-element arrays and is twice as fast."""

    def initial(self, noise: Array) -> State:
        """(n, d) initial noise -> n starting states."""
        raise NotImplementedError(f"{type(self).__name__} must define initial(noise)")

    def transition(self, state: State, action: Array, noise: Array) -> State:
        """States, actions (n, *act) and step noise (n, d) -> next states."""
        raise NotImplementedError(
            f"{type(self).__name__} must define transition(state, action, noise)"
        )

    def observation(self, state: State, noise: Array) -> Array:
        """States and observation noise (n, d) -> observations (n, *obs)."""
        raise NotImplementedError(f"{type(self).__name__} must define observation(state, noise)")

    def reward(self, state: State, action: Array, next_state: State) -> Array:
        """Rewards of the transitions, (n,)."""
        raise NotImplementedError(
            f"{type(self).__name__} must define reward(state, action, next_state)"
        )

    def terminal(self, state: State) -> Array:
        """Which states end the episode, (n,) booleans."""
        return np.zeros(batch_size(state), bool)

    def state_info(self, state: State) -> Info:
        """Facts about the states that the returned observations show, each (n,)."""
        return {}

    def transition_info(self, state: State, action: Array, next_state: State) -> Info:
        """Facts about the transitions whose rewards are returned, each (n,)."""
        return {}

    def oracle(self) -> Oracle | None:
        """The optimum, exact or bracketed; None where none is known. Decorate with `cached`."""
        return None

    def idle_action(self, observation: Array) -> Array:
        """What doing nothing is here, (n, *obs) -> (n, *act): zeros unless overridden."""
        space = self.action_space
        return np.zeros((len(observation), *(space.shape or ())), space.dtype)

    def text(self, history: Sequence[Mapping[str, Any]]) -> str:
        """One line about the episode so far.

        Args:
            history: the reset info, then the info and "reward" of each step, in order.
        """
        total = sum(float(row["reward"]) for row in history[1:])
        return f"step {max(len(history) - 1, 0)}  return {total:.6g}"

    def picture(self, history: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """The episode so far as a (height, width, 3) uint8 picture."""
        raise NotImplementedError(f"{type(self).__name__} draws no picture; use render_mode='ansi'")

    def measures(self, agent: Agent) -> dict[str, float]:
        """What people of the field ask of a policy besides its value, by name; for reports."""
        return {}

    def policy_picture(self, agent: Agent) -> PolicyPicture | None:
        """The agent's policy beside the oracle's as curves for a report, or None."""
        return None


cached = lru_cache(maxsize=64)  # for oracle(): equal environments share one solution


def batch_size(state: State) -> int:
    """Length of the leading axis of a state."""
    return len(state[0]) if isinstance(state, tuple) else len(state)


def state_map(function: Callable[..., Any], state: State, *others: State) -> State:
    """Apply a function to each array of a state (an array or a NamedTuple of arrays)."""
    if not isinstance(state, tuple):
        return function(state, *others)
    fields = (function(*arrays) for arrays in zip(state, *others, strict=True))
    return type(state)(*fields) if hasattr(state, "_fields") else tuple(fields)


def as_path(path: str | Path) -> Path:
    """A path with a `.zip` ending where it has none, as Stable-Baselines3 writes."""
    path = Path(path)
    return path if path.suffix else path.with_suffix(".zip")
