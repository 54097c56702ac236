"""Activation functions: their values, derivatives and the slopes that certificates rest on.

A function of one variable is described by its derivative and the points where that derivative
turns or jumps; from these follow the smallest and largest slope on the whole line and on every
interval. MaxMin, GroupSort and Householder act on groups of neighbouring neurons; they have no
slopes but comparators, see `Activation.comparators`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import erf, expit

from rlopt.theory.checks import finite, known, whole

FAR = 300.0  # beyond it no derivative moves within float64
UNIT = (0.0, 1.0)
ULPS = 16 * 2.0**-53  # what the library functions and a few products may be off by


class Function(NamedTuple):
    """A function of one variable, applied to arrays.

    Attributes:
        value: the function.
        slope: its derivative, from the right where it jumps.
        left: its derivative from the left.
        limits: smallest and largest slope on the whole line.
        turning: (point, derivative) where the derivative is extremal or jumps (both sides); the
            smallest and largest slope on an interval are attained here or at an end.
        exact: no derivative is rounded.
    """

    value: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    left: Callable[[np.ndarray], np.ndarray]
    limits: tuple[float, float]
    turning: tuple[tuple[float, float], ...]
    exact: bool = False


def _kinked(value: Callable[[np.ndarray], np.ndarray], below: float, above: float) -> Function:
    """Two straight pieces that meet at 0."""
    return Function(
        value,
        lambda v: np.where(v >= 0.0, above, below),
        lambda v: np.where(v > 0.0, above, below),
        (min(below, above), max(below, above)),
        ((0.0, below), (0.0, above)),
        exact=True,
    )


def _smooth(
    value: Callable[[np.ndarray], np.ndarray],
    slope: Callable[[np.ndarray], np.ndarray],
    limits: tuple[float, float],
    *turning: tuple[float, float],
) -> Function:
    return Function(value, slope, slope, limits, turning)


def _leaky_relu(slope: float = 0.01) -> Function:
    return _kinked(lambda v: np.where(v >= 0.0, v, slope * v), slope, 1.0)


def _elu(alpha: float = 1.0) -> Function:
    def below(v: np.ndarray) -> np.ndarray:
        return alpha * np.exp(np.minimum(v, 0.0))

    return Function(
        lambda v: np.where(v > 0.0, v, alpha * np.expm1(np.minimum(v, 0.0))),
        lambda v: np.where(v >= 0.0, 1.0, below(v)),
        lambda v: np.where(v > 0.0, 1.0, below(v)),
        (0.0, max(1.0, alpha)),
        ((0.0, alpha), (0.0, 1.0)),
    )


def _softplus(beta: float = 1.0) -> Function:
    return _smooth(lambda v: np.logaddexp(0.0, beta * v) / beta, lambda v: expit(beta * v), UNIT)


def _silu_slope(v: np.ndarray) -> np.ndarray:
    v = np.clip(v, -FAR, FAR)
    return expit(v) * (1.0 + v * expit(-v))


def _normal(v: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + erf(v / np.sqrt(2.0)))


def _gelu_slope(v: np.ndarray) -> np.ndarray:
    v = np.clip(v, -FAR, FAR)
    return _normal(v) + v * np.exp(-0.5 * v * v) / np.sqrt(2.0 * np.pi)


def _bump(point: float, largest: float) -> tuple[tuple[float, float], ...]:
    """Limits and turning points of a derivative with f'(v) + f'(-v) = 1 and its maximum at point.

    The maximum is given to 17 digits, and rounded outwards here.
    """
    largest *= 1.0 + ULPS
    return (1.0 - largest, largest), (point, largest), (-point, 1.0 - largest)


FUNCTIONS: dict[str, Callable[..., Function]] = {
    "relu": lambda: _kinked(lambda v: np.maximum(v, 0.0), 0.0, 1.0),
    "tanh": lambda: _smooth(
        np.tanh, lambda v: 1.0 / np.cosh(np.clip(v, -FAR, FAR)) ** 2, UNIT, (0.0, 1.0)
    ),
    "sigmoid": lambda: _smooth(expit, lambda v: expit(v) * expit(-v), (0.0, 0.25), (0.0, 0.25)),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "softplus": _softplus,
    "silu": lambda: _smooth(
        lambda v: v * expit(v), _silu_slope, *_bump(2.3993572805154677, 1.0998393201288669)
    ),
    "gelu": lambda: _smooth(
        lambda v: v * _normal(v), _gelu_slope, *_bump(1.4142135623730951, 1.1289041451851548)
    ),
    "abs": lambda: _kinked(np.abs, -1.0, 1.0),
    "identity": lambda: _kinked(lambda v: v, 1.0, 1.0),
}
GROUPED = ("maxmin", "groupsort", "householder")
PATTERN = re.compile(r"\s*([a-z_]+)\s*(?:\(([^()]*)\))?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Activation:
    """An activation by name, e.g. "relu", "leaky_relu(0.1)", "groupsort(3)", "householder(2,1)".

    MaxMin maps each pair (a, b) to (max, min), and equals "householder(1,-1)" and "groupsort(2)";
    GroupSort sorts each group in descending order; Householder maps each group x to x if
    v^T x > 0 and to (I - 2 v v^T / |v|^2) x otherwise. Groups are neighbouring neurons.

    Attributes:
        name: the name without arguments.
        arguments: the numbers in parentheses.
    """

    name: str
    arguments: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: object) -> Activation:
        """Read a name with its arguments.

        Raises:
            ValueError: an unknown name, the closest offered, or arguments that it does not take.
        """
        if isinstance(text, Activation):
            return text
        match = PATTERN.fullmatch(text) if isinstance(text, str) else None
        allowed = (*FUNCTIONS, *GROUPED)
        name = known("Network", "activation", match[1].lower() if match else text, allowed)
        inside = match[2] if match else None
        try:
            arguments = tuple(float(part) for part in inside.split(",")) if inside else ()
        except ValueError as error:
            raise ValueError(f"Network: activation {text!r} needs numbers in its ()") from error
        return cls(name, arguments)

    def __post_init__(self) -> None:
        for number in self.arguments:
            finite("Network", f"activation {self.name}", number)
        if self.name == "groupsort":
            self._needs(len(self.arguments) == 1, "one group size >= 2, as in groupsort(3)")
            whole("Network", "activation groupsort", self.arguments[0], 2)
        elif self.name == "householder":
            usable = len(self.arguments) > 1 and any(self.arguments)
            self._needs(usable, "a vector that is not 0, as in householder(1,-1)")
        elif self.name in ("leaky_relu", "elu", "softplus"):
            self._needs(len(self.arguments) <= 1, "at most one number")
            positive = self.name == "leaky_relu" or not self.arguments or self.arguments[0] > 0.0
            self._needs(positive, "a number > 0")
        else:
            self._needs(not self.arguments, "no arguments")

    def _needs(self, satisfied: bool, wanted: str) -> None:
        if not satisfied:
            given = ",".join(f"{number:g}" for number in self.arguments)
            raise ValueError(f"Network: activation {self.name} takes {wanted}, got ({given})")

    def __str__(self) -> str:
        inside = ",".join(repr(number) for number in self.arguments)
        return f"{self.name}({inside})" if inside else self.name

    @property
    def group(self) -> int:
        """Neurons in a group: 1 for functions of one variable."""
        sizes = {"maxmin": 2, "householder": len(self.arguments)}
        if self.name == "groupsort":
            return int(self.arguments[0])
        return sizes.get(self.name, 1)

    @property
    def function(self) -> Function:
        """The function of one variable; only where `group` is 1."""
        return FUNCTIONS[self.name](*self.arguments)

    def value(self, v: np.ndarray) -> np.ndarray:
        """The activation of (..., width) pre-activations."""
        if self.group == 1:
            return self.function.value(v)
        blocks = v.reshape(*v.shape[:-1], -1, self.group)
        if self.name == "householder":
            normal = np.array(self.arguments)
            along = np.minimum(blocks @ normal, 0.0)[..., None]
            blocks = blocks - 2.0 * along * normal / (normal @ normal)
        else:
            blocks = -np.sort(-blocks, axis=-1)
        return blocks.reshape(v.shape)

    @property
    def slopes(self) -> tuple[float, float]:
        """Smallest and largest slope of the function between any two points."""
        return self.function.limits

    def slopes_between(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest slope between two points of [low, high], rounded outwards.

        Args:
            low: any shape; -inf is allowed.
            high: same shape, high >= low.
        """
        f = self.function
        ends = np.stack([f.slope(low), f.left(high)])
        for point, slope in f.turning:
            inside = (low < point) & (point < high)
            ends = np.concatenate([ends, np.where(inside, slope, ends[0])[None]])
        lower, upper = ends.min(axis=0), ends.max(axis=0)
        if f.exact:
            return lower, upper
        lower = lower - ULPS * np.maximum(np.abs(lower), 1.0)
        upper = upper + ULPS * np.maximum(np.abs(upper), 1.0)
        return np.maximum(lower, f.limits[0]), np.minimum(upper, f.limits[1])

    def comparators(self, width: int) -> list[np.ndarray]:
        """The activation of `width` neurons as steps h -> h - V^T u/|v|^2 + V^T |u|/|v|^2, u = V h.

        Each row v of V is one comparator: it mirrors h where v^T h < 0, and leaves it otherwise.
        MaxMin and Householder take one step, GroupSort(n) the n steps of odd-even transposition.

        Returns:
            The matrices V, (comparators, width) each; rows of one matrix touch different neurons.
        """
        groups = np.eye(width // self.group)
        if self.name == "householder":
            return [np.kron(groups, np.array(self.arguments))]
        steps = []
        for start in range(self.group if self.group > 2 else 1):
            rows = np.zeros((len(range(start % 2, self.group - 1, 2)), self.group))
            for row, first in zip(rows, range(start % 2, self.group - 1, 2), strict=True):
                row[first : first + 2] = 1.0, -1.0
            steps.append(np.kron(groups, rows))
        return steps
