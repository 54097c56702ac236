"""Every online learner: copies, constants beside others, single points, huge answers."""

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest

from rlopt.agents import online
from rlopt.agents.online.hints import HINTS
from rlopt.agents.online.mirror import MIRRORS, Mahalanobis
from rlopt.spaces import Ball, BoxSet, ConvexSet, Product, Simplex

IMPLICIT = "optimistic_omd_implicit"
CONSTANTS: dict[str, dict[str, Any]] = {
    "dynamic_omd": {"G": 1.0, "L": 0.1, "T": 30},
    "ensemble": {},
    "hedge": {"T": 30},
    "oftl": {"lam": 0.5},
    "oftrl": {"G": 1.0, "L": 0.1},
    "oftrl_parameter_free": {},
    "ogd": {"G": 1.0},
    "optimistic_hedge": {"T": 30},
    "optimistic_omd": {"G": 1.0, "L": 0.1},
    "optimistic_omd_exp": {"G": 1.0, "alpha": 0.5},
    IMPLICIT: {"G": 1.0},
    "optimistic_omd_sc": {"lam": 0.5},
}
NAMES = pytest.mark.parametrize("name", online.names())
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *CONSTANTS.items(),
    ("ogd", {"schedule": "sqrt_T", "G": 1.0, "T": 30}),
    ("ogd", {"schedule": "strongly_convex", "lam": 0.5}),
    ("ogd", {"eta": 0.1}),
    *(("optimistic_omd", {"eta": 0.1, "hint": hint}) for hint in HINTS),
    *(("optimistic_omd", {"eta": 0.1, "mirror": mirror}) for mirror in MIRRORS),
    ("optimistic_omd", {"eta": 0.1, "mirror": Mahalanobis(np.diag([1.0, 2.0, 3.0]))}),
]


def played(learner: Any, told: np.ndarray) -> np.ndarray:
    """The points played against linear losses, and the one after them."""
    points = []
    for g in told:
        points.append(learner.ask())
        learner.tell(
            points[-1],
            gradient=g,
            prox=lambda z, step, g=g: learner.space.project(z - step * g),
        )
    return np.array([*points, learner.ask()])


def gradients(rounds: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rounds, *shape))


def test_every_learner_is_here() -> None:
    assert sorted(CONSTANTS) == online.names()


@pytest.mark.parametrize(("name", "constants"), VARIANTS)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_alone(name: str, constants: dict[str, Any], copied: Any) -> None:
    """As the learner would, in any round, and neither notices the other."""
    g = gradients(10, 2, 3)
    learner = online.make(name, Simplex(3), runs=2, **constants)
    fresh = copied(learner)
    whole = played(learner, g[:5])
    later = copied(learner)
    rest = played(learner, g[5:])
    assert (played(later, g[5:]) == rest).all()
    assert (played(fresh, g) == np.concatenate([whole[:-1], rest])).all()
    assert (later.recommend() == learner.recommend()).all()


BESIDE: list[tuple[str, dict[str, Any], set[str]]] = [
    ("ogd", {"eta": 0.1}, {"G", "T", "lam"}),
    ("ogd", {"schedule": "strongly_convex", "lam": 1.0}, {"G", "T"}),
    ("ogd", {"G": 1.0}, {"T", "lam"}),
    ("optimistic_omd", {"eta": 0.1}, {"G", "L", "delta"}),
    ("optimistic_omd", {"G": 1.0, "delta": 1.0}, {"L"}),
    ("optimistic_omd", {"G": 1.0, "constants": "practical"}, {"L", "delta"}),
    ("optimistic_omd_sc", {}, {"lam"}),
    ("optimistic_omd_exp", {"G": 1.0, "beta": 0.1}, {"alpha"}),
    ("optimistic_omd_exp", {"G": 1.0, "constants": "practical"}, {"alpha", "beta"}),
    (IMPLICIT, {"G": 1.0}, {"delta"}),
    ("dynamic_omd", {"L": 1.0, "T": 9}, {"G", "eps"}),
    ("dynamic_omd", {"G": 1.0, "eps": 1.0}, {"L", "T"}),
    ("hedge", {"eta": 0.1}, {"T"}),
    ("optimistic_hedge", {"T": 9}, {"eta"}),
    ("oftrl", {"nu": 1.0}, {"G", "L"}),
    ("oftrl", {"G": 1.0, "constants": "practical"}, {"L", "nu"}),
    ("oftl", {}, {"lam"}),
]


@pytest.mark.parametrize(("name", "given", "others"), BESIDE)
@pytest.mark.parametrize("bad", [-1.0, 0.0, float("nan"), float("inf"), 1e121])
def test_constants_are_checked_even_where_others_win(
    name: str, given: dict[str, Any], others: set[str], bad: float
) -> None:
    space, said = Simplex(3), re.escape(str(bad))
    for key in others:
        allowed = "whole number >= 1|in|finite" if key == "T" else "> 0|in|finite"
        with pytest.raises(ValueError, match=rf"{name}: {key} must be .*({allowed}).*, got {said}"):
            online.make(name, space, **{**given, key: bad})
        with pytest.raises(TypeError, match=f"{name}: {key} must be a real number, got 'x'"):
            online.make(name, space, **{**given, key: "x"})


def test_too_small_a_constant_is_refused() -> None:
    """Its square would be 0, and a step divide by it."""
    with pytest.raises(ValueError, match=r"G must be in \[1e-120, 1e\+120\], got 1e-170"):
        online.make(IMPLICIT, Ball(2), G=1e-170)


@NAMES
@pytest.mark.parametrize(
    "space",
    [
        Simplex(1),
        BoxSet([0.0, 0.0], [0.0, 0.0]),
        BoxSet([1.0, -2.0], [1.0, -2.0]),
        Product(Simplex(1), BoxSet([3.0], [3.0])),
    ],
    ids=str,
)
def test_a_single_point_is_played(name: str, space: ConvexSet) -> None:
    point, g = space.project(np.zeros(space.dimension)), gradients(6, space.dimension)
    if "hedge" in name and not isinstance(space, Simplex):
        with pytest.raises(ValueError, match="space must be a Simplex"):
            online.make(name, space, **CONSTANTS[name])
        return
    found = played(online.make(name, space, **CONSTANTS[name]), g)
    np.testing.assert_allclose(found, np.broadcast_to(point, found.shape), rtol=1e-15)
    if name == "optimistic_omd":
        for mirror in MIRRORS if isinstance(space, Simplex) else ("euclidean",):
            learner = online.make(name, space, mirror=mirror, **CONSTANTS[name])
            assert (played(learner, g) == point).all()


@NAMES
def test_what_could_overflow_is_refused(name: str) -> None:
    learner = online.make(name, Simplex(2), **CONSTANTS[name])
    played(learner, gradients(3, 2))
    before = learner.state_dict()
    for key in ("gradient", "hint"):
        answers: Any = {"gradient": np.ones(2), key: [0.0, -1e160]}
        with pytest.raises(
            ValueError, match=rf"{name}: {key} must lie within \+-1e\+120, got -1e\+160"
        ):
            learner.tell(learner.ask(), **answers)
    assert all((before[key] == value).all() for key, value in learner.state_dict().items())


@NAMES
def test_losses_and_proxes_that_are_none(name: str) -> None:
    learner = online.make(name, Simplex(2), **CONSTANTS[name])
    x, g = learner.ask(), np.ones(2)
    for bad, message in (
        ({"loss": np.nan}, f"{name}: loss must be finite, got nan"),
        ({"loss": "a"}, f"{name}: loss must be real numbers"),
        ({"prox": 3}, f"{name}: prox must be a function of z and step, got 3"),
    ):
        with pytest.raises(ValueError, match=message):
            learner.tell(x, gradient=g, **bad)


@pytest.mark.parametrize("name", sorted({*online.names()} - {"optimistic_omd_exp"}))
def test_the_largest_gradients_are_learnt_from(name: str) -> None:
    """Finite numbers and the right way, without warnings; Newton's metric would be singular."""
    learner = online.make(name, Simplex(2), **CONSTANTS[name])
    points = played(learner, np.array([[1e120, -1e120]] * 4))
    assert (np.diff(points[:, 1]) >= 0.0).all() and learner.space.holds(points).all()
    assert all(np.isfinite(value).all() for value in learner.state_dict().values())
