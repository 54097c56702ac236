"""The runner: what is done stays done, the numbers do not depend on it, trouble stays small."""

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import strangers

from rlopt.bench import load, runner, trial
from rlopt.bench.config import Suite, TrialSpec
from rlopt.bench.results import is_done, read_result
from rlopt.bench.runner import Progress, RunError, run_suite
from rlopt.bench.trial import run_trial

TINY_PPO = {"agent": "ppo", "kwargs": {"num_envs": 2, "n_steps": 16, "batch_size": 16}}
CALM = {"agent": strangers.AGENT, "name": "calm"}


def does(what: str, **more: Any) -> dict[str, Any]:
    """An agent's entry that misbehaves."""
    return {"agent": strangers.AGENT, "name": what, "kwargs": {"does": what, **more}}


def suite(*agents: Any, **changes: Any) -> Suite:
    content = {
        "name": "small",
        "imports": ["strangers"],
        "envs": [strangers.ENV],
        "agents": list(agents) or [CALM],
        "seeds": 1,
        "steps": 40,
    }
    return Suite.model_validate(content | changes)


def run(suite: Suite, folder: Path, workers: int = 1, **more: Any) -> Progress:
    return run_suite(suite, folder, workers=workers, command="rlopt run small.yaml", **more)


def in_place(spec: TrialSpec, folder: Path) -> dict[str, Any]:
    """Run a trial in this process."""
    return run_trial(spec, folder, lambda steps: None)


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".*")]


@pytest.fixture(autouse=True)
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stranger is an agent, here and in the workers."""
    strangers.install(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small file system with the options given; skips where that is not allowed."""
    places: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"mount{len(places)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("mounting a file system is not allowed here")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, Path, Path]:
    """One suite run by one worker and by two."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    chosen = suite(
        "oracle",
        "do_nothing",
        "random",
        "constant_quota",
        TINY_PPO,
        envs=[{"id": "rlopt/LogisticFishery-v0", "kwargs": {"gamma": 0.9}}],
        seeds=[0, 3],
    )
    run(chosen, one, 1)
    run(chosen, two, 2)
    return chosen, one, two


def test_a_run_leaves_what_the_architecture_says(both: tuple[Suite, Path, Path]) -> None:
    chosen, folder, _ = both
    trials = {spec.id for spec in chosen.trials()}
    assert {path.name for path in folder.iterdir()} == {"suite.json", *trials}
    for spec in chosen.trials():
        place = folder / spec.id
        names = {path.name for path in place.iterdir()}
        saved = {"model.zip"} if spec.agent["agent"] != "oracle" else set()
        assert names == {"config.json", "metrics.parquet", "result.json", *saved}
        config = json.loads((place / "config.json").read_text())
        assert config == {"trial": spec.record()}
        result = json.loads((place / "result.json").read_text())
        assert set(result["files"]) == names - {"result.json"}
    facts = json.loads((folder / "suite.json").read_text())
    assert facts["trials"] == [spec.id for spec in chosen.trials()]
    assert facts["hash"] == chosen.hash
    assert facts["seconds"] > 0.0


def test_the_numbers_do_not_depend_on_the_workers(both: tuple[Suite, Path, Path]) -> None:
    chosen, one, two = both
    clock = ["seconds", "cpu_seconds"]
    first, second = load(one).drop(columns=clock), load(two).drop(columns=clock)
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert set(first["status"]) == {"ok"}
    for spec in chosen.trials():
        curves = [pd.read_parquet(folder / spec.id / "metrics.parquet") for folder in (one, two)]
        pd.testing.assert_frame_equal(*curves, check_exact=True)
    learnt = load(one).query("agent == 'ppo'")
    assert learnt["regret"].nunique() == 2  # the seeds differ
    assert set(learnt["steps"]) == {64.0}  # two rollouts of 32: what was taken, not what was asked


def test_a_second_run_does_nothing(both: tuple[Suite, Path, Path]) -> None:
    chosen, folder, _ = both
    files = [path for path in folder.rglob("*") if path.parent != folder]
    before = {path: path.stat().st_mtime_ns for path in files}
    seen: list[int] = []
    progress = run(chosen, folder, changed=lambda now: seen.append(len(now.done)))
    assert seen == [10]
    assert progress.done == {spec.id for spec in chosen.trials()}
    assert {path: path.stat().st_mtime_ns for path in files} == before


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """Another byte in the middle, the same size."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("result.json", truncate),
        ("result.json", Path.unlink),
        ("metrics.parquet", truncate),
        ("metrics.parquet", Path.unlink),
        ("model.zip", flip),
        ("model.zip", truncate),
        ("config.json", flip),
    ],
)
def test_damage_is_seen(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    spec = suite().trials()[0]
    in_place(spec, tmp_path)
    assert is_done(tmp_path / spec.id)
    damage(tmp_path / spec.id / name)
    assert not is_done(tmp_path / spec.id)


def test_damaged_trials_are_done_again(tmp_path: Path) -> None:
    chosen = suite(CALM, "random", "do_nothing", "oracle")
    before = {spec.id: in_place(spec, tmp_path) for spec in chosen.trials()}
    ids = list(before)
    truncate(tmp_path / ids[0] / "result.json")
    truncate(tmp_path / ids[1] / "metrics.parquet")
    flip(tmp_path / ids[2] / "model.zip")
    untouched = (tmp_path / ids[3] / "result.json").stat().st_mtime_ns
    progress = run(chosen, tmp_path)
    assert progress.done == set(ids)
    assert all(is_done(tmp_path / name) for name in ids)
    assert (tmp_path / ids[3] / "result.json").stat().st_mtime_ns == untouched
    assert {n: progress.records[n]["value"] for n in ids} == {n: before[n]["value"] for n in ids}


def test_only_what_a_dead_process_left_is_cleared(tmp_path: Path) -> None:
    chosen = suite()
    spec = chosen.trials()[0]
    in_place(spec, tmp_path)
    gone, here = 2**22 + 1, os.getpid()  # no process has a number above 2**22
    for name in (f".{spec.id}.{gone}", f".{spec.id}.{here}", ".cache.d", ".mine.7", ".idea"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("x")
    for name in (f".suite.json.a_b1.{gone}", f".probe.{gone}", f".report.html.x.{here}", ".a.b.c"):
        (tmp_path / name).write_text("x")
    (tmp_path / f".{spec.id}.{10**30}").mkdir()
    run(chosen, tmp_path)
    assert set(hidden(tmp_path)) == {
        *(f".{spec.id}.{here}", f".report.html.x.{here}"),
        *(".cache.d", ".mine.7", ".idea", ".a.b.c"),
    }


def test_a_process_that_nobody_collected_is_dead(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    deadline = time.monotonic() + 10.0
    while runner._alive(str(child.pid)) and time.monotonic() < deadline:
        time.sleep(0.01)  # it ends, and as nobody waits for it, its number stays taken
    os.kill(child.pid, 0)
    assert not runner._alive(str(child.pid))
    assert child.wait() == 0
    assert runner._alive(str(os.getpid()))


def test_failures_stay_small_and_are_tried_again(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    agents = [does("raise", once=str(mark)), does("leave"), does("nan"), does("half"), CALM]
    chosen = suite(*agents)
    folder = tmp_path / "runs"
    progress = run(chosen, folder, 2)
    ids = {spec.agent["name"]: spec.id for spec in chosen.trials()}
    assert progress.done == {ids["calm"], ids["half"]}
    errors = {record["trial"]["agent"]["name"]: record["error"] for record in progress.failed}
    assert set(errors) == {"raise", "leave", "nan"}
    assert (errors["raise"]["type"], errors["raise"]["message"]) == (
        "RuntimeError",
        "the stranger is angry",
    )
    assert "strangers.py" in errors["raise"]["traceback"]
    assert errors["leave"]["type"] == "SystemExit"
    assert "action must be finite, got nan" in errors["nan"]["message"]
    for name in errors:
        stored = read_result(folder / ids[name])
        assert stored is not None
        assert stored["error"] == errors[name]
    assert not (folder / ids["half"] / "model.zip").exists()
    assert set(load(folder)["status"]) == {"ok", "failed"}
    # the file is there now, and the first agent behaves
    again = run(chosen, folder)
    assert again.done == {ids["calm"], ids["half"], ids["raise"]}
    assert len(again.failed) == 2
    assert not hidden(folder)


def test_a_worker_that_dies_takes_nobody_with_it(tmp_path: Path) -> None:
    once = str(tmp_path / "mark")
    calm = [{"agent": strangers.AGENT, "name": f"calm{i}", "kwargs": {"wait": 0.1}} for i in "ab"]
    # the neighbour takes longer than the killer each time
    slow = {"agent": strangers.AGENT, "name": "slow", "kwargs": {"wait": 0.4}}
    unlucky = does("die", once=once) | {"name": "unlucky"}
    deadly = {"id": strangers.ENV, "name": "deadly", "kwargs": {"deadly": True}}
    chosen = suite(slow, unlucky, *calm, envs=[strangers.ENV])
    killer = suite(slow, envs=[deadly])
    folder = tmp_path / "runs"
    both = chosen.model_copy(update={"agents": (*chosen.agents, *suite(does("die")).agents)})
    progress = run(both, folder, 2)
    assert [r["trial"]["agent"]["name"] for r in progress.failed] == ["die"]
    assert len(progress.done) == 4
    error = progress.failed[0]["error"]
    assert error["type"] == "WorkerDied"
    assert "died twice" in error["message"]
    assert read_result(folder / progress.failed[0]["trial"]["id"]) is not None
    # an oracle that kills its process is no different
    lonely = run(killer, tmp_path / "lonely")
    assert [r["error"]["type"] for r in lonely.failed] == ["WorkerDied"]
    assert not multiprocessing.active_children()
    assert not hidden(folder)


def test_workers_that_cannot_start_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "unwilling.py").write_text("import os; os._exit(3)")
    with pytest.raises(RunError, match="die at their start; try rlopt doctor"):
        run(suite(imports=["unwilling"]), tmp_path / "runs")


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_workers_must_be_a_positive_number(tmp_path: Path, workers: Any) -> None:
    with pytest.raises(ValueError, match=r"workers must be a whole number >= 1, got"):
        run(suite(), tmp_path / "runs", workers)
    assert not (tmp_path / "runs").exists()


def clear(error: pytest.ExceptionInfo[RunError], *words: str) -> None:
    """One line that says what is wrong and that nothing is lost."""
    message = str(error.value)
    assert "\n" not in message
    for word in ("cannot write results to", "finished trials are kept", *words):
        assert word in message


def test_a_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError) as error:
        run(suite(), tmp_path / "file" / "runs")
    clear(error, "Not a directory")
    with pytest.raises(RunError) as error:
        run(suite(), tmp_path / "file")
    clear(error, "File exists")


def test_a_read_only_folder(tmp_path: Path, tmpfs: Callable[[str], Path]) -> None:
    place = tmpfs("ro")
    with pytest.raises(RunError) as error:
        run(suite(), place)
    clear(error, str(place), "Read-only file system")


def test_a_full_disk(tmpfs: Callable[[str], Path]) -> None:
    place = tmpfs("size=64k")
    chosen = suite(seeds=40)  # two dozen kilobytes each
    with pytest.raises(RunError) as error:
        run(chosen, place, 2)
    clear(error, "no space left on the disk")
    assert not multiprocessing.active_children()
    kept = {spec.id for spec in chosen.trials() if is_done(place / spec.id)}
    assert kept  # finished ones stay, half ones do not
    assert {p.name for p in place.iterdir()} <= {"suite.json", *(s.id for s in chosen.trials())}
    assert not hidden(place)


def test_a_full_disk_stops_the_run_from_a_worker(tmp_path: Path) -> None:
    chosen = suite(CALM, does("fill"), seeds=3)
    with pytest.raises(RunError) as error:
        run(chosen, tmp_path / "runs")
    clear(error, "no space left on the disk")
    assert is_done(tmp_path / "runs" / chosen.trials()[0].id)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_what_the_system_says_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("rlopt.bench.runner.write_text", refuse)
    with pytest.raises(RunError) as error:
        run(suite(), tmp_path)
    full = code in (errno.ENOSPC, errno.EDQUOT)
    clear(error, "no space left on the disk" if full else os.strerror(code))
    # a trial says so too, and leaves nothing half-written
    monkeypatch.setattr(trial, "_finish", refuse)
    with pytest.raises(trial.StorageError) as storage:
        in_place(suite().trials()[0], tmp_path)
    assert storage.value.errno == code
    assert not hidden(tmp_path)


def test_numpy_in_a_result_is_a_number_and_an_object_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = suite(CALM).trials()[0]
    play = trial._play
    for extra in ([np.float32(0.5), np.arange(2), np.bool_(True)], [object()]):
        monkeypatch.setattr(
            trial, "_play", lambda *args, extra=extra: play(*args) | {"extra": extra}
        )
        record = in_place(spec, tmp_path)
        assert record == json.loads((tmp_path / spec.id / "result.json").read_text())
        assert record["status"] == ("failed" if len(extra) == 1 else "ok")
    assert "a result holds numbers and text, got object" in record["error"]["message"]


def test_another_run_may_be_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = suite().trials()[0]
    in_place(spec, tmp_path)
    remove = shutil.rmtree
    missed: list[Path] = []

    def late(path: Path, **how: Any) -> None:
        """The other run's result appears after this one looked for it."""
        if path == tmp_path / spec.id and not missed:
            missed.append(path)
        else:
            remove(path, **how)

    monkeypatch.setattr(shutil, "rmtree", late)
    assert in_place(spec, tmp_path)["status"] == "ok"
    assert missed
    assert is_done(tmp_path / spec.id)


def test_a_program_keeps_its_own_children_and_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    child = multiprocessing.get_context("spawn").Process(target=_sleep)
    child.start()
    try:
        with pytest.raises(RunError):
            run(suite(does("fill")), tmp_path / "runs")
        assert child.is_alive()
    finally:
        child.kill()
        child.join()
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def _sleep() -> None:
    time.sleep(60)
