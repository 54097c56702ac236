"""The registry of bounds: theorems as pure functions that docs, plots and tests can find.

A bound lives where its theory lives; the decorator only writes it down. The list holds the
bounds of the modules imported so far.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, get_args

Holds = Literal["expectation", "pathwise", "high-probability"]

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Bound:
    """A registered theorem.

    Attributes:
        function: the bound itself, pure, with keyword-only arguments.
        source: where it is proved: "author year, theorem".
        holds: in which sense: of the mean, on every path, or with a stated probability.
        tight: some instance attains it, so that a test may ask measured >= 0.9 bound.
    """

    function: Callable[..., Any]
    source: str
    holds: Holds
    tight: bool

    def __call__(self, **constants: Any) -> Any:
        """The bound's value, as the function gives it."""
        return self.function(**constants)


_BOUNDS: dict[str, Bound] = {}


def bound(*, source: str, holds: Holds, tight: bool = False) -> Callable[[Function], Function]:
    """Register a function as a bound, under its name; the function itself stays as it is.

    >>> from rlopt.theory.reed import reed_value
    >>> record = bounds()["reed_value"]
    >>> record.holds, record.tight
    ('expectation', True)
    >>> record(x0=0.75, G=0.075, gamma=1.0, T=11) == reed_value(x0=0.75, G=0.075, gamma=1.0, T=11)
    True

    Args:
        source: "author year, theorem", not empty.
        holds: "expectation", "pathwise" or "high-probability".
        tight: whether some instance attains the bound.

    Raises:
        ValueError: unknown `holds`, empty `source`, or a name that another function has taken.
        TypeError: the function takes a positional argument.
    """
    allowed = get_args(Holds)
    if holds not in allowed:
        near = get_close_matches(str(holds), allowed, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        choices = ", ".join(map(repr, allowed))
        raise ValueError(f"bound: holds must be one of {choices}, got {holds!r}{hint}")
    if not isinstance(source, str) or not source.strip():
        raise ValueError(f"bound: source must name author, year and theorem, got {source!r}")

    def register(function: Function) -> Function:
        name = function.__name__
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is not parameter.KEYWORD_ONLY:
                raise TypeError(
                    f"bound {name}: argument {parameter.name!r} must be keyword-only, "
                    f"as in def {name}(*, {parameter.name}): named constants do not get swapped"
                )
        known = _BOUNDS.get(name)
        # A module that is reloaded registers its bounds again; only a second owner is an error.
        if known is not None and _owner(known.function) != _owner(function):
            raise ValueError(
                f"bound {name} is taken by {'.'.join(_owner(known.function))}; "
                f"rename the one in {function.__module__}"
            )
        _BOUNDS[name] = Bound(function, source, holds, tight)
        return function

    return register


def bounds() -> dict[str, Bound]:
    """Name -> record of every bound registered so far, in order of registration; a copy."""
    return dict(_BOUNDS)


def _owner(function: Callable[..., Any]) -> tuple[str, str]:
    return function.__module__, function.__qualname__
