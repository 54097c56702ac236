"""What `rlopt certify` says of four freshly trained policies of Stable-Baselines3.

    OMP_NUM_THREADS=1 python experiments/lipschitz/policies.py        (two minutes on one core)

Trained for seconds with a fixed seed, saved, read from the zip without unpickling, certified in l2
in raw units; PPO on normalised observations, whose statistics are folded in. "sampled" is the
steepest move of the float32 policy itself between two of 20000 close observations. The last column
is of other weights of the same sizes, computed before: compare orders of magnitude, not values.
Writes results/policies.csv and .md.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import stable_baselines3
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize
from tables import RESULTS, described, write
from tqdm import tqdm

from rlopt.agents.weights import export_statistics, read, read_statistics
from rlopt.cli.bracket import bracket, folded
from rlopt.theory.lipschitz.layerwise import eclipse
from rlopt.theory.lipschitz.norms import product_bound


class Case(NamedTuple):
    """A policy to train.

    Attributes:
        algorithm: of Stable-Baselines3.
        task: of gymnasium.
        net_arch: hidden widths.
        steps: of training.
        settings: of the algorithm.
        budget: of certification [s].
        reference: LipSDP's value for other weights of these sizes.
    """

    algorithm: str
    task: str
    net_arch: tuple[int, ...]
    steps: int
    settings: dict[str, Any]
    budget: float
    reference: float


CASES = (
    Case("PPO", "Pendulum-v1", (64, 64), 10_240, {"n_steps": 256}, 60.0, 0.1032),
    Case("SAC", "Pendulum-v1", (256, 256), 1_000, {"learning_starts": 200}, 300.0, 3.897),
    Case("TD3", "Pendulum-v1", (400, 300), 1_000, {"learning_starts": 200}, 300.0, 22.03),
    Case("DQN", "CartPole-v1", (64, 64), 5_000, {"learning_starts": 200}, 60.0, 8.657),
)
SEED, SAMPLES, STEP = 0, 20_000, 0.01
DIGITS = {"steps": 0, "gap %": 1, "CPU s": 1, "margin": 3}


def trained(case: Case, folder: Path) -> tuple[Path, Path | None, Callable[..., np.ndarray]]:
    """The zip, the statistics if any, and the policy itself on raw observations."""
    env: Any = make_vec_env(case.task, n_envs=4 if case.algorithm == "PPO" else 1, seed=SEED)
    statistics = None
    if case.algorithm == "PPO":
        env = VecNormalize(env)
    make = getattr(stable_baselines3, case.algorithm)
    kwargs = {"net_arch": list(case.net_arch)}
    settings = {"seed": SEED, "device": "cpu", "policy_kwargs": kwargs, **case.settings}
    model = make("MlpPolicy", env, **settings).learn(case.steps)
    model.save(folder / "policy.zip")
    if isinstance(env, VecNormalize):
        statistics = folder / "statistics.npz"
        export_statistics(env, statistics)

    def act(x: np.ndarray) -> np.ndarray:
        x = env.normalize_obs(x) if isinstance(env, VecNormalize) else x
        if case.algorithm == "DQN":
            with torch.no_grad():
                return model.q_net(torch.tensor(x, dtype=torch.float32)).numpy()
        return model.predict(x.astype(np.float32), deterministic=True)[0]

    return folder / "policy.zip", statistics, act


def sampled(act: Callable[..., np.ndarray], n: int) -> float:
    """Steepest of random moves of length .01, from normal observations of three sizes."""
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=(SAMPLES, n)) * np.array([0.3, 1.0, 3.0])[np.arange(SAMPLES) % 3, None]
    step = rng.normal(size=x.shape)
    step *= STEP / np.linalg.norm(step, axis=1, keepdims=True)
    moved = np.linalg.norm(act(x + step) - act(x), axis=1)
    return float(moved.max() / STEP)


def row(case: Case) -> dict[str, object]:
    """One line of the table."""
    with TemporaryDirectory() as folder:
        path, statistics, act = trained(case, Path(folder))
        policy = read(path)
        told = None if statistics is None else read_statistics(statistics)
        question = folded(policy, told, None)
    began = process_time()
    found, _ = bracket(question, "l2", case.budget)
    spent = process_time() - began
    sizes = "-".join(str(width) for width in found["layers"])
    return {
        "policy": f"{case.algorithm} {case.task} {sizes}",
        "steps": case.steps,
        "sampled": sampled(act, policy.observations),
        "lower": found["lower"],
        "upper": found["upper"],
        "gap %": 100.0 * found["gap"],
        "method": found["method"],
        "proof": found["rigorous"],
        "CPU s": spent,
        "ECLipsE-Fast": eclipse(question.net, fast=True).upper,
        "product": product_bound(question.net).upper,
        "margin": max(found.get("margin", {"": np.nan}).values()),
        "other weights": case.reference,
    }


def main() -> None:
    """Train, certify, write."""
    described(__doc__)
    torch.set_num_threads(1)
    frame = pd.DataFrame([row(case) for case in tqdm(CASES)])
    print(write(frame, "policies", DIGITS))
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
