"""Runs a suite: what is done stays done, the rest goes to worker processes."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import platform
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

from rlopt.bench.config import Suite, TrialSpec
from rlopt.bench.files import write_text
from rlopt.bench.results import is_done, number, read_result
from rlopt.bench.trial import lost, run_trial, versions

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# what write_text, run_trial and _prepare write until it is complete; the last part is the process
DRAFT = re.compile(r"\.(?:[0-9a-f]{16}|probe|\w+\.\w+\.\w+)\.(\d+)")
DEAD_AT_START = (
    "the worker processes die at their start; try rlopt doctor "
    "(a script that calls run_suite needs: if __name__ == '__main__')"
)


class RunError(RuntimeError):
    """The run cannot go on; the message is one line a user can act on."""


@dataclass
class Progress:
    """What a display needs to know; the runner changes it and calls `changed`.

    Attributes:
        suite: what is run.
        done: ids of finished trials, those of earlier runs included.
        failed: the records of the trials that failed in this run.
        running: trial id -> environment steps so far.
        records: results of this run and, for trials done before, of earlier ones.
    """

    suite: Suite
    changed: Callable[[Progress], None]
    done: set[str] = field(default_factory=set)
    failed: list[dict[str, Any]] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)


def run_suite(
    suite: Suite,
    folder: Path,
    *,
    workers: int,
    command: str,
    changed: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Run every trial of a suite that is not done yet.

    Args:
        suite: what to run.
        folder: of the results; trials found done there are left alone.
        workers: number of worker processes, >= 1; results do not depend on it.
        command: how to run this again, for the report.
        changed: called when a trial starts, moves on or ends.

    Raises:
        ValueError: workers < 1.
        RunError: the folder cannot be written, or the disk is full; what is finished stays.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers must be a whole number >= 1, got {workers!r}")
    began, progress = time.perf_counter(), Progress(suite, changed)
    with _storage(folder):
        _prepare(folder)
        for spec in suite.trials():
            if is_done(folder / spec.id):
                progress.done.add(spec.id)
                progress.records[spec.id] = dict(read_result(folder / spec.id) or {})
        todo = [spec for spec in suite.trials() if spec.id not in progress.done]
        started = _earlier(folder).get("started") or datetime.now(UTC).isoformat(timespec="seconds")
        facts = _facts(suite, command) | {"started": started}
        _note(folder, facts, 0.0)
        changed(progress)
        if todo:
            try:
                _run_all(todo, folder, min(workers, len(todo)), progress)
            finally:
                _sweep(folder)
            _note(folder, facts, time.perf_counter() - began)
    return progress


@contextmanager
def _storage(folder: Path) -> Iterator[None]:
    """Turn trouble with the disk into one clear line."""
    try:
        yield
    except OSError as error:
        where = f"{folder}: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f"{folder}: no space left on the disk"
        raise RunError(f"cannot write results to {where}; finished trials are kept") from error


def _prepare(folder: Path) -> None:
    """Make the folder, see that it takes files, and clear what a killed run left half-written."""
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".probe.{os.getpid()}"
    probe.write_text("")
    probe.unlink()
    _sweep(folder)


def _sweep(folder: Path) -> None:
    """Remove half-written files and trials whose process is gone, and nothing else."""
    for draft in folder.glob(".*"):
        owner = DRAFT.fullmatch(draft.name)
        if owner is None or _alive(owner[1]):
            continue
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            with suppress(OSError):
                draft.unlink()


def _alive(pid: str) -> bool:
    """Whether the process that owns a draft still runs (another run of the same suite)."""
    try:
        os.kill(int(pid), 0)
    except (OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    try:  # where nobody collects the orphans, a killed worker stays in the process table
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, UnicodeDecodeError):
        return True
    return state not in "ZX"


def _run_all(todo: list[TrialSpec], folder: Path, workers: int, progress: Progress) -> None:
    """Run the trials; those that ran when a worker died are tried again one by one.

    A pool dies with any of its workers. Alone, only the trial that kills its worker fails.
    """
    suspects: list[TrialSpec] = []
    left = todo
    while left:
        suspects += _run_pool(left, folder, workers, progress)
        left = [s for s in left if s.id not in progress.records and s not in suspects]
    for spec in suspects:
        if _run_pool([spec], folder, 1, progress):
            lost(spec, folder)
            _ended(spec, dict(read_result(folder / spec.id) or {}), progress)
            progress.changed(progress)


def _run_pool(
    todo: list[TrialSpec], folder: Path, workers: int, progress: Progress
) -> list[TrialSpec]:
    """Run trials in a pool of workers.

    Returns:
        The trials that were running when a worker died; [] if all went to their end.

    Raises:
        RunError: workers die before they start a trial.
    """
    context = multiprocessing.get_context("spawn")
    channel = context.SimpleQueue()
    imports = progress.suite.imports
    others = set(multiprocessing.active_children())  # of a program that calls run_suite
    broken = False
    with (
        _one_thread_each(),
        ProcessPoolExecutor(workers, context, _start_worker, (channel, imports)) as pool,
    ):
        waiting: dict[Future[dict[str, Any]], TrialSpec] = {
            pool.submit(_work, spec, folder): spec for spec in todo
        }
        try:
            while waiting:
                ready, _ = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                _listen(channel, progress)
                for future in ready:
                    spec = waiting.pop(future)
                    try:
                        _ended(spec, future.result(), progress)
                    except BrokenProcessPool:
                        broken = True
                progress.changed(progress)
        except BaseException:
            for process in multiprocessing.active_children():
                if process not in others:
                    process.terminate()
            pool.shutdown(cancel_futures=True)  # returns when they are gone
            raise
    running = [spec for spec in todo if spec.id in progress.running]
    progress.running.clear()
    if broken and not running:
        raise RunError(DEAD_AT_START)
    return running


def _listen(channel: Any, progress: Progress) -> None:
    while not channel.empty():
        trial_id, steps = channel.get()
        progress.running[trial_id] = steps


def _ended(spec: TrialSpec, record: dict[str, Any], progress: Progress) -> None:
    progress.running.pop(spec.id, None)
    progress.records[spec.id] = record
    if record["status"] == "ok":
        progress.done.add(spec.id)
    else:
        progress.failed.append(record)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers inherit one BLAS thread each; the parent's own setting comes back."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_channel: Any = None  # of a worker process, to its parent


def _start_worker(channel: Any, imports: tuple[str, ...]) -> None:
    """Prepare a worker: progress goes to the parent, and it never outlives its parent."""
    import signal
    from importlib import import_module

    global _channel
    _channel = channel
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A killed parent cannot stop its workers: they notice and leave.
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    for module in ("rlopt", *imports):
        import_module(module)


def _leave_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _work(spec: TrialSpec, folder: Path) -> dict[str, Any]:
    """Run a trial in a worker; the long parts of its record stay in its folder.

    A worker killed while it sends more than the pipe takes at once would leave the parent waiting.
    """
    _channel.put((spec.id, 0))
    record = run_trial(spec, folder, lambda steps: _channel.put((spec.id, steps)))
    return record | {"policy": None}


def _facts(suite: Suite, command: str) -> dict[str, Any]:
    """What suite.json tells a reader besides the clock."""
    installed = versions()
    return {
        "name": suite.name,
        "description": suite.description,
        "command": command,
        "rlopt": installed.pop("rlopt", ""),
        "commit": _commit(),
        "versions": installed,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread a trial",
        "hash": suite.hash,
        "agents": [agent.label for agent in suite.agents],
        "envs": [env.label for env in suite.envs],
        "seeds": list(suite.seeds),
        "steps": suite.steps,
        "trials": [spec.id for spec in suite.trials()],
    }


def _commit() -> str | None:
    """The commit of a source checkout, None for an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def _earlier(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "suite.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _known(seconds: Any) -> float:
    """Seconds from a file, 0 where there is no such number."""
    found = number(seconds)
    return found if isfinite(found) else 0.0


def _note(folder: Path, facts: dict[str, Any], seconds: float) -> None:
    """Write suite.json, adding to the seconds of earlier runs."""
    spent = _known(_earlier(folder).get("seconds")) + seconds
    results = [read_result(folder / trial_id) or {} for trial_id in facts["trials"]]
    cpu = sum(_known(result.get("cpu_seconds")) for result in results)
    content = facts | {"seconds": spent, "cpu_seconds": cpu}
    write_text(folder / "suite.json", json.dumps(content, indent=1))
