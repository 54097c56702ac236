"""Policies of every algorithm, small and hardly trained, for the tests of `rlopt certify`."""

import io
import json
import zipfile
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from rlopt.cli import app

# name -> library, class, task, steps of training, settings
ALGORITHMS: dict[str, tuple[str, str, str, int, dict[str, Any]]] = {
    "ppo": ("stable_baselines3", "PPO", "Pendulum-v1", 128, {"n_steps": 64}),
    "sac": ("stable_baselines3", "SAC", "Pendulum-v1", 130, {"learning_starts": 100}),
    "td3": ("stable_baselines3", "TD3", "Pendulum-v1", 130, {"learning_starts": 100}),
    "dqn": ("stable_baselines3", "DQN", "CartPole-v1", 150, {"learning_starts": 100}),
    "ppo-squashed": ("stable_baselines3", "PPO", "Pendulum-v1", 0, {"use_sde": True}),
    "ppo-discrete": ("stable_baselines3", "PPO", "CartPole-v1", 0, {}),
    "a2c": ("stable_baselines3", "A2C", "Pendulum-v1", 0, {}),
    "sac-gsde": ("stable_baselines3", "SAC", "Pendulum-v1", 0, {"use_sde": True}),
    "ddpg": ("stable_baselines3", "DDPG", "Pendulum-v1", 0, {}),
    "trpo": ("sb3_contrib", "TRPO", "Pendulum-v1", 0, {}),
    "tqc": ("sb3_contrib", "TQC", "Pendulum-v1", 0, {}),
    "qrdqn": ("sb3_contrib", "QRDQN", "CartPole-v1", 0, {}),
}
KWARGS: dict[str, dict[str, Any]] = {
    "ppo-squashed": {"squash_output": True},
    "a2c": {"activation_fn": "SiLU"},
    "ddpg": {"activation_fn": "LeakyReLU"},
    "sac-gsde": {"clip_mean": 0.25},
    "qrdqn": {"n_quantiles": 7},
}


def model(name: str, task: Any = None, **settings: Any) -> Any:
    """A new model of `ALGORITHMS`, not trained."""
    import torch

    library, algorithm, usual, _, given = ALGORITHMS[name]
    kwargs = {"net_arch": [8, 6], **KWARGS.get(name, {})} | settings.pop("policy_kwargs", {})
    if isinstance(kwargs.get("activation_fn"), str):
        kwargs["activation_fn"] = getattr(torch.nn, kwargs["activation_fn"])
    if library == "sb3_contrib":
        pytest.importorskip("sb3_contrib")
    made = getattr(import_module(library), algorithm)
    policy = settings.pop("policy", "MlpPolicy")
    settings = given | settings
    return made(policy, task or usual, policy_kwargs=kwargs, seed=0, device="cpu", **settings)


@lru_cache
def trained(name: str) -> Any:
    """The model of that name after its steps of training, once a session."""
    made = model(name)
    steps = ALGORITHMS[name][3]
    return made.learn(steps) if steps else made


def saved(name: str, folder: Path) -> Path:
    """That model in a zip."""
    path = folder / f"{name}.zip"
    trained(name).save(path)
    return path


def observations(n: int, number: int = 40) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(number, n)) * 2.0


def rewritten(path: Path, member: str, change: Callable[[bytes], bytes]) -> Path:
    """A copy of a zip with one member changed."""
    new = path.with_name(f"changed-{path.name}")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(new, "w") as archive:
        for name in old.namelist():
            content = old.read(name)
            archive.writestr(name, change(content) if name == member else content)
    return new


def with_data(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A copy of a zip with its settings changed in place."""

    def edit(content: bytes) -> bytes:
        data = json.loads(content)
        change(data)
        return json.dumps(data).encode()

    return rewritten(path, "data", edit)


def with_weights(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A copy of a zip with its tensors changed in place."""
    import torch

    def edit(content: bytes) -> bytes:
        tensors = torch.load(io.BytesIO(content), weights_only=True)
        change(tensors)
        out = io.BytesIO()
        torch.save(tensors, out)
        return out.getvalue()

    return rewritten(path, "policy.pth", edit)


def plain(path: Path, *sizes: int, prefix: str = "", **extra: Any) -> Path:
    """A state_dict of Linear layers 0, 2, 4, ..., written by torch.save."""
    import torch

    torch.manual_seed(1)
    modules: list[torch.nn.Module] = []
    for n, m in pairwise(sizes):
        modules += [torch.nn.Linear(n, m), torch.nn.Tanh()]
    state = torch.nn.Sequential(*modules[:-1]).state_dict(prefix=prefix)
    torch.save({**state, **extra}, path)
    return path


class Evil:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "run")


def call(*arguments: Any) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `rlopt certify`."""
    environment = {"TERMINAL_WIDTH": "200", "NO_COLOR": "1", "TERM": "dumb"}
    given = ["certify", *(str(argument) for argument in arguments)]
    result = CliRunner(env=environment).invoke(app, given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def certified(*arguments: Any, budget: float = 60) -> dict[str, Any]:
    """What --json prints; without a box all methods end long before the budget."""
    code, out, err = call(*arguments, "--json", "--budget", budget)
    assert (code, err) == (0, "")
    return json.loads(out)


def refused(*arguments: Any) -> str:
    """The one line of a command that ends with 2."""
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("rlopt: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err.removeprefix("rlopt: ").strip()
