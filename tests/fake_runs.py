"""A folder of made-up trials, written as the runner would write it."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# name, score, spread over seeds, what it is, baseline?, learns?
AGENTS: list[tuple[str, float, float, str, bool, bool]] = [
    ("gp-dp", 0.95, 0.02, "planner, learned model", False, True),
    ("cbo", 0.945, 0.02, "black-box policy search", False, True),
    ("sac", 0.87, 0.04, "actor-critic", False, True),
    ("constant-escapement", 0.81, 0.0, "leave the same stock every year", True, False),
    ("bang-bang", 0.80, 0.0, "all or nothing around a threshold", True, False),
    ("msy", 0.64, 0.0, "fish at maximum sustainable yield", True, False),
    ("td3", 0.62, 0.08, "deterministic actor-critic", False, True),
    ("ppo", 0.53, 0.12, "policy gradient", False, True),
    ("a2c", 0.45, 0.15, "policy gradient, synchronous", False, True),
    ("harvest-control-rule", 0.41, 0.0, "40-10 rule", True, False),
    ("random-search", 0.30, 0.10, "the best of random policies", True, True),
    ("random", -0.30, 0.05, "uniform actions", True, False),
    ("oracle", 1.0, 0.0, "the exact optimum", True, False),
    ("do_nothing", 0.0, 0.0, "never acts", True, False),
]
# name, optimum, value of doing nothing, unit, tolerance
ENVS: list[tuple[str, float, float, str, float]] = [
    ("AllenFishery", 26.4713, 8.1, "biomass", 2e-5),
    ("GrazedFishery", 4.01822, 0.9, "biomass", 6e-5),
    ("LaserPulse", 0.9987, 0.257, "of the limit", 0.0),
    ("Regulator", -183.024, -244.3, "cost", 1e-10),
    ("OnlineSimplex", 61204.8, 60000.0, "reward", 3e-3),
]
HOSTILE = [
    "<script>alert(1)</script>",
    "\"quoted\" 'name' & <b>more</b> %{x} $x^2$ {{ 7*7 }} </script><!--",
    "long" * 50,
    "وكيل التعلم المعزز",
    "强化学习智能体 🐟🎣",
]


def _policy(name: str, score: float, rng: np.random.Generator) -> dict[str, Any]:
    x = np.linspace(0, 10, 101)
    oracle = np.where(x < 5.1, 0.0, np.minimum(x, 6.6))
    wrong = (1 - score) * (2 + rng.normal(0, 0.3)) * np.sin(x / 3)
    return {
        "title": "Escapement against stock",
        "x_label": "stock, t",
        "y_label": "escapement, t",
        "x": x.tolist(),
        "agent": np.clip(oracle + wrong, 0, x).tolist(),
        "oracle": oracle.tolist(),
        "hazard": 5.0 if name == "AllenFishery" else None,
        "hazard_label": "tipping point",
    }


def _write_trial(folder: Path, result: dict[str, Any], curve: pd.DataFrame | None) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(result["trial"]), encoding="utf-8")
    if curve is not None:
        path = folder / "metrics.parquet"
        curve.to_parquet(path, index=False)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        result["files"] = {path.name: {"size": path.stat().st_size, "sha256": digest}}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


def write(
    folder: Path,
    agents: Sequence[tuple[str, float, float, str, bool, bool]] = AGENTS,
    envs: Sequence[tuple[str, float, float, str, float]] = ENVS,
    seeds: int = 5,
    fails: Callable[[str, str, int], bool] = lambda agent, env, seed: False,
    name: str = "demo",
    sentence: str = "Choose each year’s catch from a stock that dies out if too few are left.",
    seed: int = 0,
) -> Path:
    """Write a whole suite below `folder` and return the suite's folder."""
    runs = folder / name.replace("/", "_")[:40]
    rng = np.random.default_rng(seed)
    steps = 200_000
    for e, (env, optimum, nothing, unit, tolerance) in enumerate(envs):
        scale = optimum - nothing
        luck = rng.normal(0, 1, seeds)  # shared by all agents: seeds are paired
        for a, (agent, level, spread, note, baseline, learns) in enumerate(agents):
            tilt = rng.normal(0, 0.4) * (1 - level) if level not in (0.0, 1.0) else 0.0
            for s in range(seeds):
                score = level + tilt + spread * (0.7 * luck[s] + 0.7 * rng.normal())
                score = min(score, 1 - 1e-4) if level < 1 else 1.0
                regret = (1 - score) * scale
                trial: dict[str, Any] = {
                    "id": hashlib.sha256(f"{e}/{a}/{s}".encode()).hexdigest()[:12],
                    "agent": {"name": agent, "agent": agent, "kwargs": {}},
                    "env": {"name": env, "id": f"rlopt/{env}-v0", "kwargs": {}},
                    "seed": s,
                    "steps": steps,
                }
                exact = env != "LaserPulse"
                result: dict[str, Any] = {
                    "status": "ok",
                    "trial": trial,
                    "score": score,
                    "regret": regret,
                    "regret_error": 0.0,
                    "value": optimum - regret,
                    "optimum": optimum,
                    "regret_while_learning": 3 * regret if learns else None,
                    "oracle": {
                        "value": optimum,
                        "lower": optimum - tolerance if exact else optimum - 0.0116,
                        "upper": optimum,
                        "method": "dynamic programme, 4 097 points" if exact else "best found",
                        "tolerance": tolerance,
                        "exact": exact,
                        "note": "",
                    },
                    "reference": {"agent": "do_nothing", "value": nothing, "regret": scale},
                    "task": {
                        "title": f"rlopt/{env}-v0",
                        "sentence": sentence,
                        "unit": unit,
                        "gamma": 0.98,
                        "horizon": None,
                    },
                    "agent_note": note,
                    "baseline": baseline,
                    "learned": learns,
                    "steps": steps if learns else 0,
                    "seconds": 60.0 * (1 + rng.random()) if learns else 0.4,
                    "cpu_seconds": 60.0 if learns else 0.4,
                    "policy": _policy(env, level, rng) if e < 3 and level != 0 else None,
                    "error": None,
                    "files": {},
                    "versions": {"python": "3.11.2"},
                }
                if fails(agent, env, s):
                    for key in ("score", "regret", "value", "optimum", "policy"):
                        result[key] = None
                    message = "action is NaN at env step 81 200"
                    result |= {
                        "status": "failed",
                        "error": {
                            "type": "FloatingPointError",
                            "message": message,
                            "traceback": f"Traceback (most recent call last):\n  {message}",
                        },
                    }
                    _write_trial(runs / trial["id"], result, None)
                    continue
                at = [0, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, steps]
                t = np.array(at if learns else [0], dtype=float)
                start = scale * (1.1 + 0.1 * rng.random())
                path = (
                    regret + (start - regret) / (1 + t / 3000) * (t < steps) if learns else regret
                )
                curve = pd.DataFrame({"step": t.astype(int), "regret": path + 0 * t})
                curve["value"] = optimum - curve["regret"]
                _write_trial(runs / trial["id"], result, curve)
    suite = {
        "name": name,
        "description": "Every agent on every small task.",
        "command": "rlopt run experiments/demo.yaml --jobs 2",
        "started": "2026-01-01T12:00:00+00:00",
        "seconds": 5640.0,
        "cpu_seconds": 87_120.0,
        "rlopt": "0.1.0",
        "commit": None,
        "versions": {"python": "3.11.2", "numpy": "2.4.6", "gymnasium": "1.4.0", "torch": "2.13"},
        "machine": "2 cores, no GPU",
        "hash": "c0ffee12",
        "agents": [a[0] for a in agents],
        "envs": [e[0] for e in envs],
        "seeds": list(range(seeds)),
        "steps": steps,
    }
    (runs / "suite.json").write_text(json.dumps(suite), encoding="utf-8")
    return runs


def demo(folder: Path, **more: Any) -> Path:
    """The usual suite, with three failed trials."""
    bad = {("sac", "GrazedFishery", 3), ("ppo", "LaserPulse", 1), ("ppo", "LaserPulse", 4)}
    return write(folder, fails=lambda *key: key in bad, **more)
