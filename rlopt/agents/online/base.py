"""What all online learners share: whose turn it is, what they are told, what they remember."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from rlopt.agents.core import needed
from rlopt.spaces import ConvexSet
from rlopt.theory.checks import finite_array, known, positive, whole

PRESETS = ("theory", "practical")
LARGEST = 1e120  # squares of what is told, and sums of them, stay finite
Value = TypeVar("Value")


class AskFirst(RuntimeError, ValueError):
    """`tell` came without an `ask` before it."""


class Answer(NamedTuple):
    """What a learner is told about the point played, checked."""

    x: np.ndarray  # the point, (*batch, d)
    gradient: np.ndarray  # of the loss at x, (*batch, d)
    hint: np.ndarray | None  # a forecast of the next gradient, (*batch, d)
    prox: Callable[[np.ndarray, np.ndarray], np.ndarray] | None


class Learner:
    """Base of first-order learners: subclasses define `_learn` and name what they remember.

    `*batch` is () for one run and (runs,) for several; runs never share anything.

    Args:
        space: the convex action set.
        runs: see `online.make`.

    Attributes:
        x: the point to play next, (*batch, d); at first the projection of 0.
        t: rounds learnt from, (*batch,) whole numbers.
    """

    name: ClassVar[str]
    memory: ClassVar[tuple[str, ...]] = ()  # attributes that the future depends on, besides x and t

    def __init__(self, space: ConvexSet, runs: int | None = None) -> None:
        self.space = convex(self.name, space)
        self.batch = () if runs is None else (whole(self.name, "runs", runs, 1),)
        self.x = space.project(np.zeros((*self.batch, space.dimension)))
        self.t = np.zeros(self.batch, np.int64)
        self._asked = np.zeros(self.batch, bool)
        self._total = np.zeros_like(self.x)

    def ask(self) -> np.ndarray:
        """The point to play, (d,) or (runs, d); asking again gives the same."""
        self._asked[...] = True
        return self.x.copy()

    def tell(
        self,
        x: Any,
        loss: Any = None,
        *,
        gradient: Any = None,
        hint: Any = None,
        prox: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> None:
        """Learn from the answers at the point played.

        Args:
            x: the point played, a point of the set, shaped as `ask` gave it.
            loss: what it cost; first-order learners have no use for it.
            gradient: a (sub)gradient of the loss at x, shaped like x.
            hint: a forecast of the next round's gradient, shaped like x; replaces the learner's
                own where it is optimistic.
            prox: z, step -> argmin over the set of loss(y) + |y - z|^2 / (2 step), for implicit
                learners.

        Raises:
            AskFirst: (a RuntimeError and a ValueError) `ask` has not been called for this round.
            ValueError: a missing answer, a wrong shape, NaN, a number beyond 1e120 (its square may
                overflow), or a point that is not in the set. The learner is then as it was before.
        """
        if not self._asked.all():
            raise AskFirst(f"{self.name}: tell comes after ask: x = learner.ask() first")
        needed(self.name, gradient=gradient)
        answer = Answer(
            self._played(x),
            self._vector("gradient", gradient),
            None if hint is None else self._vector("hint", hint),
            prox,
        )
        if loss is not None:
            finite_array(self.name, "loss", loss)
        if prox is not None and not callable(prox):
            raise ValueError(f"{self.name}: prox must be a function of z and step, got {prox!r}")
        self._learn(answer)
        self.t += 1
        self._total += answer.x
        self._asked[...] = False

    def _learn(self, answer: Answer) -> None:
        """Move `x` to the next point; `t` still counts the rounds before this one."""
        raise NotImplementedError(f"{type(self).__name__} must define _learn(answer)")

    def recommend(self) -> np.ndarray:
        """The mean of the points played (online-to-batch conversion), the start if there is none.

        Its expected excess loss under i.i.d. convex losses is at most the expected regret / T.
        """
        rounds = self.t[..., None]
        return np.where(rounds > 0, self._total / np.maximum(rounds, 1), self.x)

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that the future depends on, by name; the runs are every array's leading axis."""
        return {name: getattr(self, name).copy() for name in self._remembered}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a `state_dict`.

        Raises:
            ValueError: it is of another learner, or of another number of runs.
        """
        if set(state) != set(self._remembered):
            raise ValueError(
                f"{self.name}: a state holds {sorted(self._remembered)}, got {sorted(state)}"
            )
        for name, value in state.items():
            own = getattr(self, name)
            if np.shape(value) != own.shape:
                raise ValueError(
                    f"{self.name}: {name} must be of shape {own.shape}, got {np.shape(value)}"
                )
        for name, value in state.items():
            setattr(self, name, np.array(value))

    @property
    def _remembered(self) -> tuple[str, ...]:
        return ("x", "t", "_asked", "_total", *self.memory)

    def _vector(self, name: str, value: Any) -> np.ndarray:
        """An answer as a float64 array shaped like x, of numbers up to LARGEST."""
        try:
            array = np.array(value, dtype=np.float64)  # a copy: the caller may reuse its buffer
        except (TypeError, ValueError):
            raise ValueError(f"{self.name}: {name} must be real numbers, got {value!r}") from None
        if array.shape != self.x.shape:
            raise ValueError(
                f"{self.name}: {name} must be of shape {self.x.shape}, got {array.shape}"
            )
        finite = np.isfinite(array)
        if not finite.all():
            raise ValueError(f"{self.name}: {name} must be finite, got {array[~finite][0]}")
        if (size := np.abs(array)).max() > LARGEST:
            far = array.flat[size.argmax()]
            raise ValueError(f"{self.name}: {name} must lie within +-{LARGEST:g}, got {far:g}")
        return array

    def _played(self, x: Any) -> np.ndarray:
        point = self._vector("x", x)
        if not np.array_equal(point, self.x) and not self.space.holds(point).all():
            far = np.linalg.norm(point - self.space.project(point), axis=-1).max()
            raise ValueError(
                f"{self.name}: x must be a point of {self.space}, got one {far:.3g} outside it"
            )
        return point


def convex(owner: str, space: Any) -> ConvexSet:
    """The action set itself; ValueError if it is none."""
    if not isinstance(space, ConvexSet):
        raise ValueError(f"{owner}: space must be one of rlopt.spaces (Ball, ...), got {space!r}")
    return space


def diameter(owner: str, space: ConvexSet) -> float:
    """D of the theorems, > 0: of a single point any number will do, and 0 would divide."""
    return convex(owner, space).diameter or 1.0


def checked(owner: str, **constants: Any) -> tuple[Any, ...]:
    """A theorem's constants by name, each as a number, None where it is not given.

    All of them are checked, also those that another constant makes superfluous.

    Raises:
        TypeError, ValueError: one that is not a number in [1e-120, 1e120] (T: a whole number from
            1); beyond that squares underflow to 0 or overflow.
    """
    return tuple(None if v is None else _checked(owner, key, v) for key, v in constants.items())


def _checked(owner: str, name: str, value: Any) -> float:
    number = whole(owner, name, value, 1) if name == "T" else positive(owner, name, value)
    if not 1.0 / LARGEST <= number <= LARGEST:
        raise ValueError(
            f"{owner}: {name} must be in [{1.0 / LARGEST:g}, {LARGEST:g}], got {value!r}"
        )
    return number


def required(owner: str, name: str, value: Value | None) -> Value:
    """A constant that cannot be guessed; ValueError if it is None."""
    if value is None:
        raise ValueError(f"{owner} needs {name}: online.make({owner!r}, space, {name}=...)")
    return value


def preset(owner: str, constants: str) -> bool:
    """Whether constants are those of the theorems ("theory"), not those that do well.

    Raises:
        ValueError: neither.
    """
    return known(owner, "constants", constants, PRESETS) == "theory"
