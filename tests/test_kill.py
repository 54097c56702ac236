"""A suite that is killed five times at random moments ends as if nothing had happened."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import strangers
import yaml

from rlopt.bench.results import is_done

TRIALS, PAUSE = 24, 0.15
SUITE = {
    "name": "small",
    "imports": ["strangers"],
    "envs": [strangers.ENV, {"id": strangers.ENV, "name": "Far", "kwargs": {"target": 0.9}}],
    "agents": [
        "oracle",
        "do_nothing",
        "random",
        {"agent": strangers.AGENT, "kwargs": {"wait": PAUSE / 4}},  # asked four times a trial
    ],
    "seeds": 3,
    "steps": 10,
}
TIMINGS = {"seconds"}


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    strangers.install(tmp_path / "site")
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    command = [sys.executable, "-m", "rlopt.cli", "run", str(tmp_path / "suite.yaml")]
    return [*command, "--workers", "2", "--runs"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    here = [str(tmp_path / "site"), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(part for part in here if part)}


def members(session: int) -> list[int]:
    """Processes of a session that are more than a zombie."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # the name in brackets may hold spaces: state, parent, group and session follow it
            state, _, _, its_session = (
                (entry / "stat").read_text().rpartition(")")[2].split(maxsplit=4)[:4]
            )
        except OSError:
            continue
        if int(its_session) == session and state not in "ZX":
            found.append(int(entry.name))
    return found


def survivors(session: int) -> list[int]:
    """Processes of a session whose leader is dead that have not left within ten seconds."""
    deadline = time.monotonic() + 10.0
    while (left := members(session)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def finished(folder: Path) -> int:
    return sum(is_done(place) for place in folder.glob("[0-9a-f]*") if place.is_dir())


def board(folder: Path) -> list[dict[str, str]]:
    """leaderboard.csv without what a clock says."""
    with (folder / "leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in TIMINGS} for row in rows]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the process table of Linux")
def test_killed_five_times_and_resumed(
    tmp_path: Path, command: list[str], environment: dict[str, str]
) -> None:
    moments = random.Random(5)
    killed = tmp_path / "killed" / "small"
    counts = [0]
    for kill in range(5):
        with (tmp_path / "output").open("w") as output:
            process = subprocess.Popen(
                [*command, str(killed.parent)],
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        # the first dies while it starts; the others some time after trials have begun to end
        if kill:
            deadline = time.monotonic() + 60.0
            while finished(killed) <= counts[-1] and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(moments.uniform(0.0, 2 * PAUSE))
        else:
            time.sleep(moments.uniform(0.2, 1.0))
        assert process.poll() is None, (tmp_path / "output").read_text()
        assert process.pid in members(process.pid)
        process.send_signal(signal.SIGKILL)  # the parent only: workers must notice
        process.wait()
        assert not survivors(process.pid)
        counts.append(finished(killed))
    assert counts == sorted(counts)  # nothing that was finished is lost
    assert 0 < counts[-1] < TRIALS, counts
    kept = {place: place.stat().st_mtime_ns for place in killed.glob("[0-9a-f]*/result.json")}
    for folder in (killed.parent, tmp_path / "calm"):
        subprocess.run(
            [*command, str(folder)], env=environment, check=True, capture_output=True, timeout=100
        )
    assert board(killed) == board(tmp_path / "calm" / "small")
    assert len(board(killed)) == 4
    assert finished(killed) == TRIALS
    assert {place: place.stat().st_mtime_ns for place in kept} == kept
    assert not list(killed.glob(".*"))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the process table of Linux")
def test_interrupted_by_hand(
    tmp_path: Path, command: list[str], environment: dict[str, str]
) -> None:
    """Ctrl-C, which a whole terminal gets: one line, nobody left, nothing half-done."""
    process = subprocess.Popen(
        [*command, str(tmp_path / "runs")],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    folder = tmp_path / "runs" / "small"
    deadline = time.monotonic() + 60.0
    while not finished(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.startswith("rlopt: stopped; what is finished is kept, go on with: rlopt run ")
    assert err.count("\n") == 1
    assert 0 < finished(folder) < TRIALS
    assert not list(folder.glob(".*"))
    assert not survivors(process.pid)
