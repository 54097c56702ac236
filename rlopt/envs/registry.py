"""The environment ids: one line each, strings only, so that registering imports nothing heavy."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import gymnasium

from rlopt.theory.checks import only_known

if TYPE_CHECKING:
    from rlopt.envs.core import FuncEnv
    from rlopt.envs.gym import FuncGymEnv
    from rlopt.envs.vector import FuncVectorEnv

ENVIRONMENTS = {
    "rlopt/AgeStructuredFishery-v0": "rlopt.envs.fishery:AgeStructured",
    "rlopt/AllenFishery-v0": "rlopt.envs.fishery:allen_fishery",
    "rlopt/BevertonHoltFishery-v0": "rlopt.envs.fishery:beverton_holt_fishery",
    "rlopt/DriftingFishery-v0": "rlopt.envs.fishery:drifting_fishery",
    "rlopt/LogisticFishery-v0": "rlopt.envs.fishery:logistic_fishery",
    "rlopt/MayFishery-v0": "rlopt.envs.fishery:may_fishery",
    "rlopt/MyersFishery-v0": "rlopt.envs.fishery:myers_fishery",
    "rlopt/RickerFishery-v0": "rlopt.envs.fishery:ricker_fishery",
    "rlopt/SEABreastCancer-v0": "rlopt.envs.sea.data:BreastCancer",
    "rlopt/SEACoordinates-v0": "rlopt.envs.sea.quadratic:Coordinates",
    "rlopt/SEACorrupted-v0": "rlopt.envs.sea.quadratic:Corrupted",
    "rlopt/SEADiabetes-v0": "rlopt.envs.sea.data:Diabetes",
    "rlopt/SEADigits-v0": "rlopt.envs.sea.data:Digits",
    "rlopt/SEADrift-v0": "rlopt.envs.sea.quadratic:Drift",
    "rlopt/SEAExperts-v0": "rlopt.envs.sea.linear:Experts",
    "rlopt/SEAIid-v0": "rlopt.envs.sea.linear:Iid",
    "rlopt/SEAMatrixGame-v0": "rlopt.envs.sea.game:MatrixGame",
    "rlopt/SEAMeta-v0": "rlopt.envs.sea.meta:Meta",
    "rlopt/SEAOrthogonal-v0": "rlopt.envs.sea.orthogonal:Orthogonal",
    "rlopt/SEAPiecewise-v0": "rlopt.envs.sea.quadratic:Piecewise",
    "rlopt/SEAPortfolio-v0": "rlopt.envs.sea.portfolio:Portfolio",
    "rlopt/SEARandomOrder-v0": "rlopt.envs.sea.linear:RandomOrder",
    "rlopt/SEASwitching-v0": "rlopt.envs.sea.linear:Switching",
    "rlopt/SEATarget-v0": "rlopt.envs.sea.quadratic:Target",
    "rlopt/ThreeSpeciesFishery-v0": "rlopt.envs.fishery:ThreeSpecies",
}


def register_all() -> None:
    """Register every id with Gymnasium, scalar and vector."""
    for env_id, func in ENVIRONMENTS.items():
        gymnasium.register(
            id=env_id,
            entry_point="rlopt.envs.registry:make_scalar",
            vector_entry_point="rlopt.envs.registry:make_vector",
            kwargs={"func": func},
        )


def make_func(func: str, **kwargs: Any) -> FuncEnv:
    """The FuncEnv of "module:constructor" with flat keyword arguments.

    Raises:
        TypeError: a keyword argument that the constructor does not take.
    """
    module, name = func.split(":")
    constructor = getattr(import_module(module), name)
    if is_dataclass(constructor):  # functions check theirs, which depend on the others
        only_known(name, kwargs, (field.name for field in fields(constructor)))
    made: FuncEnv = constructor(**kwargs)
    return made


def make_scalar(
    func: str,
    *,
    regret: bool = True,
    render_mode: str | None = None,
    max_episode_steps: int | None = None,
    **kwargs: Any,
) -> FuncGymEnv:
    """What `gymnasium.make(id, ...)` calls."""
    from rlopt.envs.gym import FuncGymEnv

    return FuncGymEnv(
        make_func(func, **kwargs),
        regret=regret,
        render_mode=render_mode,
        max_episode_steps=max_episode_steps,
    )


def make_vector(
    func: str,
    *,
    num_envs: int = 1,
    autoreset_mode: str = "next_step",
    regret: bool = True,
    render_mode: str | None = None,
    max_episode_steps: int | None = None,
    **kwargs: Any,
) -> FuncVectorEnv:
    """What `gymnasium.make_vec(id, vectorization_mode="vector_entry_point", ...)` calls."""
    from rlopt.envs.vector import FuncVectorEnv

    return FuncVectorEnv(
        make_func(func, **kwargs),
        num_envs,
        autoreset_mode=autoreset_mode,
        regret=regret,
        render_mode=render_mode,
        max_episode_steps=max_episode_steps,
    )
