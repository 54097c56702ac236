"""Speed of rlopt, each figure beside its lower limit or a peer timed in the same run.

    make bench            everything
    make bench ARGS=env   only what has "env" in its name

One thread (the Makefile sets it). Each figure is the best of several repetitions: the machine's
other work only ever makes code slower.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import gymnasium
import lipschitz
import numpy as np
from rich.console import Console
from rich.table import Table

from rlopt.agents import make, online
from rlopt.bench.config import TrialSpec
from rlopt.envs import FuncEnv, FuncGymEnv, FuncVectorEnv
from rlopt.envs.fishery import AgeStructured, Allen, Fishery, LognormalNoise
from rlopt.spaces import Ball
from rlopt.theory.dp import solve_harvest

REPEATS = 5
PYNOL = 790.0  # rounds/s of its OptimisticOGD, one run of d=10: measured before (710-790), not here


def fishery() -> Fishery:
    return Fishery(growth=Allen(2.0, 8.0, 5.0), noise=LognormalNoise(0.05), x0=10.0, gamma=0.99)


def best(run: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Shortest of several times, in seconds."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def vector_rate(
    num_envs: int, *, regret: bool, steps: int = 512, func: FuncEnv | None = None
) -> float:
    """Stock-steps a second with observation, reward and info, at a light harvest."""
    env = FuncVectorEnv(func or fishery(), num_envs, regret=regret)
    env.reset(seed=0)
    action = np.full((num_envs, 1), -0.98, np.float32)
    env.step(action)

    def run() -> None:
        for _ in range(steps):
            env.step(action)

    return num_envs * steps / best(run)


def scalar_rate(env: gymnasium.Env[Any, Any], action: Any, steps: int = 5_000) -> float:
    """Steps a second of a scalar environment, resets included."""
    env.reset(seed=0)

    def run() -> None:
        for _ in range(steps):
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return steps / best(run)


def python_seconds(code: str) -> float:
    """Wall time of a fresh interpreter that runs the code, less that of an empty one."""

    def start(source: str) -> None:
        subprocess.run([sys.executable, "-c", source], check=True, capture_output=True)

    return best(lambda: start(code)) - best(lambda: start("pass"))


def help_seconds() -> float:
    command = [sys.executable, "-m", "rlopt.cli", "--help"]
    return best(lambda: subprocess.run(command, check=True, capture_output=True))


def mirror_descent_rate(runs: int | None, rounds: int) -> float:
    """Run-rounds a second, ask and tell, of optimistic mirror descent on a ball of R^10."""
    learner = online.make("optimistic_omd", Ball(10), runs=runs, G=1.0, delta=1.0)
    shape = (8, 10) if runs is None else (8, runs, 10)
    gradients = 0.3 * np.random.default_rng(0).standard_normal(shape)

    def run() -> None:
        for t in range(rounds):
            learner.tell(learner.ask(), gradient=gradients[t % 8])

    return (runs or 1) * rounds / best(run)


def dp_seconds() -> float:
    problem = fishery().problem
    return best(lambda: solve_harvest(problem, 751))


def gpdp_seconds() -> float:
    """From the paper's data to an exact value: posterior of the process, programme, evaluation."""
    from rlopt.agents.gpdp import GPDP
    from rlopt.data import gpdp_training_series

    series, oracle = gpdp_training_series(), fishery().oracle()

    def run() -> None:
        fitted = GPDP.fit(series[:-1], series[1:], posterior="mcmc")
        oracle.evaluate(fitted.escapement, [10.0])

    return best(run)


def overhead(steps: int = 40_000) -> float:
    """Share of time that a trial's records and checkpoints add to a bare `learn`.

    Both train the demo's PPO for the demo's budget; they take turns, so that a busy machine slows
    both alike.
    """
    from rlopt.bench.learning import learn
    from rlopt.bench.trial import make_env
    from rlopt.envs import FuncSB3VecEnv

    func = make_env("rlopt/AllenFishery-v0", {})
    oracle = func.oracle()
    assert oracle is not None
    env = {"name": "Allen", "id": "rlopt/AllenFishery-v0", "kwargs": {}}
    spec = TrialSpec(env, {"name": "ppo", "agent": "ppo", "kwargs": {}}, 0, steps)

    def bare() -> float:
        training = FuncSB3VecEnv(func, 8, regret=False, max_episode_steps=200)
        agent = make("ppo", training, seed=0)
        began = time.process_time()
        agent.learn(steps)
        return time.process_time() - began

    def recorded() -> float:
        agent = make("ppo", func, seed=0)
        began = time.process_time()
        learn(agent, spec, func, oracle, [], lambda step: None)
        return time.process_time() - began

    pairs = [(bare(), recorded()) for _ in range(REPEATS)]
    return min(r for _, r in pairs) / min(b for b, _ in pairs) - 1.0


def measurements() -> dict[str, tuple[Callable[[], float], str, float, bool]]:
    """Name -> (measure, unit, limit, whether more is better)."""
    cartpole = gymnasium.make("CartPole-v1", disable_env_checker=True)
    light = np.full(1, -0.98, np.float32)
    bare = FuncGymEnv(fishery(), regret=False)
    full = FuncGymEnv(fishery())
    one_run = cache(lambda: mirror_descent_rate(None, 5_000))  # measured once, compared twice
    many_runs = cache(lambda: mirror_descent_rate(10_000, 50))
    return {
        "vector env, 10 000 stocks": (lambda: vector_rate(10_000, regret=False), "/s", 1.5e7, True),
        "vector env, 1 000 stocks": (lambda: vector_rate(1_000, regret=False), "/s", 4e6, True),
        "vector env, 10 000, exact regret": (
            lambda: vector_rate(10_000, regret=True),
            "/s",
            1e7,
            True,
        ),
        "vector env, 10 000 stocks of 20 ages": (
            lambda: vector_rate(10_000, regret=True, func=AgeStructured()),
            "/s",
            5e6,
            True,
        ),
        "scalar env, regret off": (lambda: scalar_rate(bare, light), "/s", 5e4, True),
        "scalar env, everything on": (lambda: scalar_rate(full, light), "/s", 2.5e4, True),
        "peer: gymnasium CartPole, scalar": (lambda: scalar_rate(cartpole, 0), "/s", 0.0, True),
        "exact DP, 751 nodes, gamma .99": (dp_seconds, "s", 0.5, False),
        "optimistic OMD, 1 run": (one_run, "/s", 1e4, True),
        "optimistic OMD, 10 000 runs": (
            many_runs,
            "/s",
            1.5e6,
            True,
        ),
        "optimistic OMD, 1 run, 15 x PyNOL's 790/s": (
            one_run,
            "/s",
            15 * PYNOL,
            True,
        ),
        "optimistic OMD, 10 000 runs, 1000 x PyNOL's": (
            many_runs,
            "/s",
            1000 * PYNOL,
            True,
        ),
        "GPDP pipeline, hyper-posterior": (gpdp_seconds, "s", 3.0, False),
        "import rlopt": (lambda: python_seconds("import rlopt"), "s", 0.4, False),
        "rlopt --help": (help_seconds, "s", 0.5, False),
        "bench overhead over a bare SB3 learn": (overhead, "share", 0.05, False),
        **lipschitz.measurements(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wanted", nargs="?", default="", help="part of a figure's name")
    wanted = parser.parse_args().wanted
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("what", "measured", "limit", "ratio (1 or more is good)", ""):
        table.add_column(column, justify="left" if column in ("what", "") else "right")
    missed = 0
    for name, (measure, unit, limit, more) in measurements().items():
        if wanted not in name:
            continue
        value = measure()
        ratio = value / limit if more and limit else limit / value if limit else float("nan")
        missed += ratio < 1.0
        mark = "" if not limit else "ok" if ratio >= 1.0 else "▲ missed"
        shown = "" if not limit else f"{ratio:.2f}"
        table.add_row(name, f"{value:.3g} {unit}", f"{limit:.3g}" if limit else "–", shown, mark)
    Console(width=110).print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
