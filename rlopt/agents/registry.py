"""The agents' names: one line each; modules are imported when an agent is made."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlopt.envs.core import Agent

AGENTS = {
    "random": "rlopt.agents.baselines:RandomAgent",
    "do_nothing": "rlopt.agents.baselines:DoNothing",
    "oracle": "rlopt.agents.baselines:oracle",
    "constant_quota": "rlopt.agents.harvest_rules:ConstantQuota",
    "constant_quota_tuned": "rlopt.agents.harvest_rules:constant_quota_tuned",
    "constant_fraction": "rlopt.agents.harvest_rules:ConstantFraction",
    "constant_fraction_tuned": "rlopt.agents.harvest_rules:constant_fraction_tuned",
    "constant_escapement": "rlopt.agents.harvest_rules:ConstantEscapement",
    "constant_escapement_tuned": "rlopt.agents.harvest_rules:constant_escapement_tuned",
    "40-10": "rlopt.agents.harvest_rules:FortyTen",
    "60-20": "rlopt.agents.harvest_rules:SixtyTwenty",
    "dfo_ramp": "rlopt.agents.harvest_rules:DfoRamp",
    "gpdp": "rlopt.agents.gpdp:GPDPAgent",
    "parametric_mle": "rlopt.agents.parametric:ParametricMLE",
    "parametric_bayes": "rlopt.agents.parametric:ParametricBayes",
    "constant_mortality": "rlopt.agents.species_rules:ConstantMortality",
    "constant_escapements": "rlopt.agents.species_rules:ConstantEscapements",
    "safe_harvest": "rlopt.agents.safe_harvest:SafeHarvestRule",
    "ogd": "rlopt.agents.online.agent:ogd",
    "optimistic_omd": "rlopt.agents.online.agent:optimistic_omd",
    "optimistic_omd_sc": "rlopt.agents.online.agent:optimistic_omd_sc",
    "optimistic_omd_exp": "rlopt.agents.online.agent:optimistic_omd_exp",
    "oftrl": "rlopt.agents.online.agent:oftrl",
    "oftrl_parameter_free": "rlopt.agents.online.agent:oftrl_parameter_free",
    "oftl": "rlopt.agents.online.agent:oftl",
    "hedge": "rlopt.agents.online.agent:hedge",
    "optimistic_hedge": "rlopt.agents.online.agent:optimistic_hedge",
    "dynamic_omd": "rlopt.agents.online.agent:dynamic_omd",
    "ensemble": "rlopt.agents.online.agent:ensemble",
    "ppo": "rlopt.agents.sb3:ppo",
    "a2c": "rlopt.agents.sb3:a2c",
    "sac": "rlopt.agents.sb3:sac",
    "td3": "rlopt.agents.sb3:td3",
    "dqn": "rlopt.agents.sb3:dqn",
    "tqc": "rlopt.agents.sb3:tqc",
    "trpo": "rlopt.agents.sb3:trpo",
}
GROUP = "rlopt.agents"  # entry points of other packages: name = "module:factory"


def names() -> list[str]:
    """Every agent's name, those of other packages' entry points included."""
    return sorted({*AGENTS, *(point.name for point in entry_points(group=GROUP))})


def factory(name: str) -> Any:
    """The callable (env, **hyperparameters) -> Agent behind a name.

    Raises:
        ValueError: an unknown name; the closest one is offered.
    """
    if name in AGENTS:
        module, attribute = AGENTS[name].split(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=GROUP, name=name):
        return point.load()
    near = get_close_matches(str(name), names(), 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown agent {name!r}{hint} (known: {', '.join(names())})")


def make(name: str, env: Any, *, seed: int | None = None, **hyperparameters: Any) -> Agent:
    """An agent by name.

    Args:
        name: one of `names()`.
        env: what it will act in: an environment of Gymnasium (scalar or vector) or of
            Stable-Baselines3 that runs a FuncEnv, a FuncEnv, or an id.
        seed: for agents that are random or learn; the others have no use for it.
        **hyperparameters: passed on; every agent can be made without any.

    Raises:
        ValueError: unknown name (the closest one is offered), or an environment without FuncEnv.
        TypeError: a hyperparameter that the agent does not have.
    """
    build = factory(name)
    if seed is not None and "seed" in inspect.signature(build).parameters:
        hyperparameters["seed"] = seed
    try:
        agent: Agent = build(env, **hyperparameters)
    except TypeError as error:  # it names a function, which the caller has never heard of
        raise TypeError(f"agent {name!r}: {error}") from error
    return agent
