"""One trial: an agent learns and acts in an environment, and its regret is written to a folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
import time
import traceback
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from typing import Any

from rlopt.agents import make
from rlopt.bench.config import TrialSpec
from rlopt.bench.evaluation import Evaluation, evaluate
from rlopt.envs.core import FuncEnv

REFERENCE = "do_nothing"
LIBRARIES = ("numpy", "scipy", "gymnasium", "stable-baselines3", "torch", "pandas")
Reporter = Callable[[int], None]  # environment steps so far


class StorageError(OSError):
    """Results cannot be written: a reason to stop the suite, unlike an agent's failure."""


def make_env(env_id: str, kwargs: dict[str, Any]) -> FuncEnv:
    """The FuncEnv behind an environment id.

    Raises:
        TypeError, ValueError: the arguments are wrong, or the environment runs no FuncEnv.
    """
    import gymnasium

    from rlopt.agents.core import func_env

    return func_env(gymnasium.make(env_id, disable_env_checker=True, **kwargs))


def checkpoints(steps: int) -> list[int]:
    """1, 2, 5 per decade from 100 on, and the last step."""
    marks = [m * 10**k for k in range(2, 12) for m in (1, 2, 5)]
    return [mark for mark in marks if mark < steps] + [steps]


def run_trial(spec: TrialSpec, folder: Path, report: Reporter) -> dict[str, Any]:
    """Run one trial and put its folder in place in one step; failures are results too.

    Args:
        spec: what to run.
        folder: of the suite; the trial's own is `folder / spec.id`.
        report: called with the environment steps so far.

    Returns:
        The record that result.json holds.

    Raises:
        StorageError: the results cannot be written.
    """
    draft = folder / f".{spec.id}.{os.getpid()}"
    began, cpu_began = time.perf_counter(), time.process_time()
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
    except OSError as error:
        raise StorageError(error.errno, error.strerror, str(folder)) from error
    try:
        record = json.loads(json.dumps(_play(spec, draft, report), default=_plain))
    except StorageError:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    except (Exception, SystemExit) as error:  # any failure of an environment or agent is a result
        record = _failure(spec, error)
    record["seconds"] = time.perf_counter() - began
    record["cpu_seconds"] = time.process_time() - cpu_began
    record["versions"] = versions()
    try:
        _finish(draft, folder / spec.id, record)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise StorageError(error.errno, error.strerror, str(folder)) from error
    return record


def _play(spec: TrialSpec, draft: Path, report: Reporter) -> dict[str, Any]:
    func = make_env(spec.env["id"], dict(spec.env["kwargs"]))
    oracle = func.oracle()
    if oracle is None:
        raise ValueError(f"{spec.env['id']} has no oracle: its agents cannot be scored by regret")
    agent = make(spec.agent["agent"], func, seed=spec.seed, **spec.agent["kwargs"])
    learns = getattr(agent, "learns", True)
    curve: list[tuple[int, Evaluation]] = []
    while_learning, steps = None, 0
    if learns:
        from rlopt.bench.learning import learn

        while_learning, steps = learn(agent, spec, func, oracle, curve, report)
    final = evaluate(func, oracle, agent, spec.seed)
    if not isfinite(final.regret):
        raise FloatingPointError(f"the policy's value is {final.value}: regret is not a number")
    curve.append((steps, final))
    reference = evaluate(func, oracle, make(REFERENCE, func), spec.seed)
    _write(draft, agent, curve)
    picture = func.policy_picture(agent)
    return {
        "status": "ok",
        "trial": spec.record(),
        "score": 1.0 - final.regret / reference.regret if reference.regret > 0.0 else None,
        "regret": final.regret,
        "regret_error": final.error,
        "value": final.value,
        "optimum": oracle.value.value,
        "regret_while_learning": while_learning,
        "measures": func.measures(agent),
        "oracle": vars(oracle.value),
        "reference": {"agent": REFERENCE, "value": reference.value, "regret": reference.regret},
        "task": _task(spec, func),
        "agent_note": first_line(agent),
        "baseline": not learns,
        "learned": learns,
        "steps": steps,
        "policy": None if picture is None else vars(picture),
        "error": None,
    }


def _plain(thing: Any) -> Any:
    """Numpy's numbers and arrays as JSON has them."""
    if hasattr(thing, "tolist"):
        return thing.tolist()
    raise TypeError(f"a result holds numbers and text, got {type(thing).__name__}: {thing!r}")


def _failure(spec: TrialSpec, error: BaseException) -> dict[str, Any]:
    return {
        "status": "failed",
        "trial": spec.record(),
        "error": {
            "type": type(error).__name__,
            "message": str(error),
            "traceback": "".join(traceback.format_exception(error)),
        },
    }


def lost(spec: TrialSpec, folder: Path) -> None:
    """Record a trial whose worker process died without a word."""
    draft = folder / f".{spec.id}.{os.getpid()}"
    draft.mkdir(parents=True, exist_ok=True)
    message = "the worker process died twice (killed, or out of memory)"
    error = {"type": "WorkerDied", "message": message, "traceback": ""}
    record = {"status": "failed", "trial": spec.record(), "error": error, "versions": versions()}
    _finish(draft, folder / spec.id, record)


def _task(spec: TrialSpec, func: FuncEnv) -> dict[str, Any]:
    return {
        "title": spec.env["id"],
        "sentence": first_line(func),
        "unit": func.unit,
        "gamma": func.gamma,
        "horizon": func.horizon,
    }


def first_line(thing: Any) -> str:
    """The first line of the documentation of an object's class."""
    return (type(thing).__doc__ or "").strip().partition("\n")[0]


def _write(draft: Path, agent: Any, curve: list[tuple[int, Evaluation]]) -> None:
    import pandas as pd

    rows = [(step, point.regret, point.value) for step, point in curve]
    try:
        frame = pd.DataFrame(rows, columns=["step", "regret", "value"])
        frame.to_parquet(draft / "metrics.parquet", compression="zstd")
        try:
            agent.save(draft / "model.zip")
        except TypeError:  # what cannot be saved is made again from its environment
            (draft / "model.zip").unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(error.errno, error.strerror, str(draft)) from error


def _finish(draft: Path, place: Path, record: dict[str, Any]) -> None:
    """Seal the draft with its result and rename it into place."""
    config = json.dumps({"trial": record["trial"]}, indent=1)
    (draft / "config.json").write_text(config, encoding="utf-8")
    record["files"] = {path.name: _seal(path) for path in sorted(draft.iterdir())}
    (draft / "result.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    for path in draft.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    for last in (False, False, True):
        shutil.rmtree(place, ignore_errors=True)  # an earlier failure, or a damaged result
        try:
            os.replace(draft, place)
            return
        except OSError as error:  # another run of the suite has just put the same result there
            if last or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def _seal(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size": path.stat().st_size, "sha256": digest}


def versions() -> dict[str, str]:
    """Of Python, rlopt and the libraries that results depend on."""
    found = {"python": platform.python_version()}
    for library in ("rlopt", *LIBRARIES):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
