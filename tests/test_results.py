# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
import hashlib
import json
import subprocess
import sys
from typing import Any

import fake_runs
import numpy as np
import pytest

import rlopt.bench
from rlopt.bench import results

SMALL: dict[str, Any] = {"agents": fake_runs.AGENTS[:3], "envs": fake_runs.ENVS[:2], "seeds": 2}


@pytest.fixture
def runs(tmp_path):
    return fake_runs.write(tmp_path, fails=lambda a, e, s: (a, s) == ("sac", 1), **SMALL)


def trial(runs, agent="gp-dp", env="AllenFishery", seed=0):
    for folder in runs.iterdir():
        r = results.read_result(folder)
        t = r["trial"] if r else None
        if t and (t["agent"]["name"], t["env"]["name"], t["seed"]) == (agent, env, seed):
            return folder
    raise LookupError(agent)


def statuses(runs):
    return [r["status"] for r in results.read(runs).records]


def test_load_has_one_row_a_trial_in_order(runs):
    table = rlopt.bench.load(runs)
    assert list(table.columns[:4]) == ["agent", "env", "seed", "status"]
    wanted = {"score", "regret", "value", "optimum", "steps", "seconds"}
    assert wanted <= set(table.columns)
    assert len(table) == 12
    keys = list(zip(table.env, table.agent, table.seed, strict=True))
    assert keys == sorted(keys)
    ok = table[table.status == "ok"]
    np.testing.assert_allclose(ok.optimum - ok.value, ok.regret, atol=1e-9)
    failed = table[table.status == "failed"]
    assert len(failed) == 2 and failed.score.isna().all() and failed.error.notna().all()


def test_read_has_suite_records_and_curves(runs):
    read = results.read(str(runs))
    assert read.suite["name"] == "demo"
    assert len(read.records) == 12 and len(read.curves) == 10 and read.missing == 0
    for curve in read.curves.values():
        assert list(curve.columns) == ["step", "regret", "value"]


def test_done_means_every_file_as_it_was_written(runs):
    folder = trial(runs)
    assert results.is_done(folder)
    path = folder / "metrics.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:-7])
    assert not results.is_done(folder)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert not results.is_done(folder)
    path.unlink()
    assert not results.is_done(folder)
    path.write_bytes(data)
    assert results.is_done(folder)


def test_failed_missing_and_empty_are_not_done(runs, tmp_path):
    assert not results.is_done(trial(runs, "sac", seed=1))
    assert not results.is_done(tmp_path / "nowhere")
    assert results.read_result(tmp_path / "nowhere") is None


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"ok"', "\x00"])
def test_unreadable_results_are_damaged_failures(runs, text):
    folder = trial(runs)
    (folder / "result.json").write_text(text)
    assert results.read_result(folder) is None and not results.is_done(folder)
    damaged = [r for r in results.read(runs).records if r["status"] == "damaged"]
    assert len(damaged) == 1
    # who it was is still known, from config.json
    assert damaged[0]["trial"]["agent"]["name"] == "gp-dp"
    error = damaged[0]["error"]
    assert error is not None and error["type"] == "DamagedResult"
    assert "damaged" in set(results.load(runs).status)


def test_altered_files_are_damaged_failures(runs):
    folder = trial(runs)
    (folder / "metrics.parquet").write_bytes(b"PAR1")
    assert statuses(runs).count("damaged") == 1
    assert folder.name not in results.read(runs).curves


def test_a_listed_file_outside_the_trial_is_not_trusted(runs):
    folder = trial(runs)
    result = json.loads((folder / "result.json").read_text())
    other = runs / "suite.json"
    digest = hashlib.sha256(other.read_bytes()).hexdigest()
    result["files"]["../suite.json"] = {"size": other.stat().st_size, "sha256": digest}
    (folder / "result.json").write_text(json.dumps(result))
    assert not results.is_done(folder)


def test_a_folder_without_result_is_not_counted_yet(runs):
    (trial(runs) / "result.json").unlink()
    (runs / ".half-written").mkdir()
    (runs / ".half-written" / "result.json").write_text("{")
    read = results.read(runs)
    assert len(read.records) == 11 and read.missing == 1


def test_copies_count_once_and_the_finished_one_wins(runs):
    import shutil

    folder = trial(runs)
    shutil.copytree(folder, runs / "0-copy")
    (runs / "0-copy" / "metrics.parquet").write_bytes(b"")
    assert len(results.read(runs).records) == 12
    assert "damaged" not in statuses(runs)


def test_trials_of_an_edited_suite_replace_older_ones(runs):
    import os
    import shutil

    folder = trial(runs)
    old = shutil.copytree(folder, runs / "older")
    result = json.loads((old / "result.json").read_text())
    result["trial"]["id"], result["score"] = "older", -7.0
    (old / "result.json").write_text(json.dumps(result))
    os.utime(old / "result.json", (1, 1))
    table = results.load(runs)
    assert len(table) == 12 and table.score.min() > -7
    os.utime(old / "result.json", (9e9, 9e9))
    assert results.load(runs).score.min() == -7
    # but never one with another budget than the suite's
    result["trial"]["steps"] += 1
    (old / "result.json").write_text(json.dumps(result))
    os.utime(old / "result.json", (9e9, 9e9))
    assert results.load(runs).score.min() > -7


def test_the_suite_says_which_trials_are_its_own(runs):
    import shutil

    folder = trial(runs)
    other = shutil.copytree(folder, runs / "other")
    result = json.loads((other / "result.json").read_text())
    result["trial"]["id"], result["score"] = "other", -7.0
    (other / "result.json").write_text(json.dumps(result))
    suite = json.loads((runs / "suite.json").read_text())
    suite["trials"] = ["other", "still to do"]
    (runs / "suite.json").write_text(json.dumps(suite))
    assert results.load(runs).score.min() == -7
    assert results.read(runs).missing == 1


def test_agents_that_the_suite_no_longer_has_are_shown_but_not_missed(runs):
    suite = json.loads((runs / "suite.json").read_text())
    suite["agents"].remove("sac")
    (runs / "suite.json").write_text(json.dumps(suite))
    read = results.read(runs)
    assert read.suite["agents"] == ["gp-dp", "cbo", "sac"] and read.missing == 0


def test_a_missing_or_broken_suite_is_made_up_from_the_trials(runs):
    (runs / "suite.json").write_text("{")
    suite = results.read(runs).suite
    assert suite["name"] == "demo"
    assert set(suite["agents"]) == {"gp-dp", "cbo", "sac"}
    assert suite["seeds"] == [0, 1]


def test_missing_and_empty_folders_are_named(tmp_path):
    for call in (results.read, results.load):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            call(tmp_path / "nowhere")
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(ValueError, match="empty"):
            call(tmp_path / "empty")


def test_importing_bench_imports_nothing_heavy():
    code = (
        "import sys, rlopt.bench; "
        "print([m for m in ('pandas', 'plotly', 'jinja2', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no_such"):
        rlopt.bench.no_such  # noqa: B018  # the access is the test
