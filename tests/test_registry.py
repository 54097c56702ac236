"""The registry of bounds: what it keeps and what it refuses."""

from typing import Any

import pytest

from rlopt.theory import registry
from rlopt.theory.reed import reed_value
from rlopt.theory.registry import Bound, bound, bounds


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of its own, so that no test leaves a bound behind."""
    monkeypatch.setattr(registry, "_BOUNDS", {})


def test_a_bound_is_registered_and_stays_a_function(empty: None) -> None:
    @bound(source="Nobody 1900, Theorem 0", holds="pathwise")
    def twice(*, x: float) -> float:
        return 2.0 * x

    assert twice(x=2.0) == 4.0
    assert bounds() == {"twice": Bound(twice, "Nobody 1900, Theorem 0", "pathwise", False)}
    assert bounds()["twice"](x=3.0) == 6.0


def test_reed_is_in_the_registry_and_the_dict_is_a_copy() -> None:
    record = bounds()["reed_value"]
    assert record.function is reed_value
    assert (record.holds, record.tight) == ("expectation", True)
    bounds().clear()
    assert "reed_value" in bounds()


@pytest.mark.parametrize(
    ("holds", "hint"),
    [
        ("path-wise", "did you mean 'pathwise'"),
        ("almost surely", "'high-probability'"),
        (3, "got 3"),
    ],
)
def test_a_bad_holds_is_named_with_the_choices(empty: None, holds: Any, hint: Any) -> None:
    with pytest.raises(ValueError, match="holds must be one of 'expectation'") as error:
        bound(source="x", holds=holds)
    assert repr(holds) in str(error.value)
    assert hint in str(error.value)


@pytest.mark.parametrize("source", ["", "  ", None])
def test_a_bound_without_a_source_is_refused(empty: None, source: Any) -> None:
    with pytest.raises(ValueError, match="source"):
        bound(source=source, holds="pathwise")


def test_positional_arguments_are_refused(empty: None) -> None:
    with pytest.raises(TypeError, match=r"'x' must be keyword-only"):

        @bound(source="x", holds="pathwise")
        def loose(x: float) -> float:
            return x

    assert bounds() == {}


def test_a_name_has_one_owner_but_may_be_reloaded(empty: None) -> None:
    def make(qualname: str) -> Any:
        def rate(*, x: float) -> float:
            return x

        rate.__qualname__ = qualname
        return rate

    register = bound(source="x", holds="expectation")
    register(make("rate"))
    again = register(make("rate"))
    assert bounds()["rate"].function is again
    with pytest.raises(ValueError, match="bound rate is taken by"):
        register(make("other.rate"))
