"""Online convex optimisation: learners by name.

>>> from rlopt.agents import online
>>> from rlopt.spaces import Ball
>>> learner = online.make("ogd", Ball(2), schedule="sqrt_t", G=1.0)
>>> x = learner.ask()
>>> learner.tell(x, gradient=[0.6, 0.8])
>>> learner.ask().round(12).tolist()
[-0.6, -0.8]
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rlopt.theory.checks import known, only_known

if TYPE_CHECKING:
    from rlopt.agents.online.base import Learner
    from rlopt.spaces import ConvexSet

__all__ = ["learner", "make", "names"]

LEARNERS = {
    "ogd": "rlopt.agents.online.descent:OGD",
    "optimistic_omd": "rlopt.agents.online.omd:OptimisticOMD",
    "optimistic_omd_sc": "rlopt.agents.online.omd:StronglyConvexOMD",
    "optimistic_omd_exp": "rlopt.agents.online.newton:OptimisticNewton",
    "optimistic_omd_implicit": "rlopt.agents.online.implicit:ImplicitOMD",
    "dynamic_omd": "rlopt.agents.online.dynamic:DynamicOMD",
    "ensemble": "rlopt.agents.online.ensemble:Ensemble",
    "hedge": "rlopt.agents.online.hedge:Hedge",
    "oftl": "rlopt.agents.online.leader:OFTL",
    "oftrl": "rlopt.agents.online.leader:OFTRL",
    "oftrl_parameter_free": "rlopt.agents.online.leader:ParameterFreeOFTRL",
    "optimistic_hedge": "rlopt.agents.online.hedge:OptimisticHedge",
}


def names() -> list[str]:
    """Every learner's name."""
    return sorted(LEARNERS)


def make(name: str, space: ConvexSet, *, runs: int | None = None, **constants: Any) -> Learner:
    """A fresh learner by name.

    Args:
        name: one of `names()`.
        space: the convex action set; its diameter is the D of the theorems.
        runs: None for one run, whose arrays are (d,); n for n independent ones, (n, d).
        **constants: as the papers name them (G, L, lam, beta, nu, delta, eta, ...); each learner's
            docstring says which it takes. constants="theory" or "practical" goes to every learner;
            those without presets are the same in both.

    Raises:
        ValueError: an unknown name (the closest is offered), or a constant that is missing or
            outside its range.
        TypeError: a constant that the learner does not take.
    """
    from rlopt.agents.online.base import preset

    kind = learner(name)
    allowed = [key for key in inspect.signature(kind).parameters if key != "space"]
    if "constants" in constants and "constants" not in allowed:
        preset(name, constants.pop("constants"))
    only_known(name, constants, allowed)
    return kind(space, runs=runs, **constants)


def learner(name: str) -> type[Learner]:
    """A learner's class by name; ValueError for an unknown one, the closest offered."""
    module, attribute = LEARNERS[known("online.make", "name", name, tuple(names()))].split(":")
    kind: type[Learner] = getattr(import_module(module), attribute)
    return kind
