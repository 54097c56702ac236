"""`rlopt doctor`: what is installed, and whether it computes what it should."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.text import Text

from rlopt.bench.trial import versions


def examine() -> bool:
    """Print versions, threads and a self-test; True if all is well."""
    console = Console()
    for name, number in versions().items():
        console.print(f"  {name:<18} {number}", highlight=False)
    console.print(f"  {'machine':<18} {platform.platform()}", highlight=False)
    console.print(f"  {'cores':<18} {os.cpu_count()}", highlight=False)
    console.print(f"  {'torch threads':<18} {_torch_threads()}\n", highlight=False)
    return all([_report(console, name, test) for name, test in TESTS.items()])


def _torch_threads() -> str:
    import torch

    gpu = "with CUDA" if torch.cuda.is_available() else "on the CPU"
    return f"{torch.get_num_threads()}, {gpu}"


def _report(console: Console, name: str, test: Callable[[], str]) -> bool:
    try:
        found = test()
    except Exception as error:  # a doctor reports every complaint and goes on
        console.print(Text(f"  ▲ {name}: {type(error).__name__}: {error}", "red"))
        return False
    console.print(f"  ✓ {name}: {found}", highlight=False)
    return True


def _exact_value() -> str:
    """Reed's formula against the dynamic programme, two independent ways to one number."""
    from rlopt.envs.fishery import Allen, Fishery, UniformNoise
    from rlopt.theory.reed import reed_gain, reed_value

    fishery = Fishery(growth=Allen(2.0, 8.0, 5.0), noise=UniformNoise(0.05), x0=10.0, gamma=0.99)
    gain = reed_gain(fishery.growth, fishery.noise, fishery.gamma).G
    formula = reed_value(x0=fishery.x0, G=gain, gamma=fishery.gamma)
    value = fishery.oracle().value.value
    if not np.isclose(value, formula, rtol=1e-9):
        raise ArithmeticError(f"the oracle says {value}, Reed's formula {formula}")
    return f"{value:.6f}, as Reed's formula"


def _oracle_plays() -> str:
    """The oracle's policy has no regret in a vector environment."""
    import gymnasium

    env = gymnasium.make_vec(
        "rlopt/AllenFishery-v0", num_envs=100, vectorization_mode="vector_entry_point"
    )
    policy = env.unwrapped.func.oracle().policy  # type: ignore[attr-defined]
    observation, _ = env.reset(seed=0)
    worst = 0.0
    for _ in range(50):
        observation, _, _, _, info = env.step(policy.predict(observation)[0])
        worst = max(worst, float(np.abs(info["regret"]).max()))
    if worst > 2e-9:
        raise ArithmeticError(f"the oracle's own regret reaches {worst:.3g}")
    return f"largest regret a step {worst:.1e}"


def _learning() -> str:
    """A short PPO run ends with a finite exact value."""
    from rlopt.agents import make
    from rlopt.bench.trial import make_env

    func = make_env("rlopt/LogisticFishery-v0", {})
    agent = make("ppo", func, seed=0)
    agent.learn(2_048)
    oracle = func.oracle()
    assert oracle is not None
    value = oracle.policy_value(agent)
    if value is None or not np.isfinite(value):
        raise ArithmeticError(f"the value of a trained PPO is {value}")
    return f"ppo is worth {value:.3f} of {oracle.value.value:.3f} after 2 048 steps"


TESTS = {
    "exact value of a fishery": _exact_value,
    "oracle in its environment": _oracle_plays,
    "learning": _learning,
}
