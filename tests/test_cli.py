"""The command line: it teaches, it answers in one line, it leaves no escape codes in a pipe."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import rlopt
from rlopt.agents import names
from rlopt.bench import runner as runners
from rlopt.cli import app
from rlopt.envs.registry import ENVIRONMENTS

ESCAPE = "\x1b"
SUITE: dict[str, Any] = {
    "name": "small",
    "envs": [{"id": "rlopt/LogisticFishery-v0", "kwargs": {"gamma": 0.9}}],
    "agents": ["oracle", "do_nothing", "constant_quota"],
    "seeds": 1,
    "steps": 10,
}


def call(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command, with the lines joined."""
    environment = {"TERMINAL_WIDTH": "200", "NO_COLOR": "1", "TERM": "dumb"}
    result = CliRunner(env=environment).invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def shell(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "rlopt.cli", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=100,
    )


def write(folder: Path, **changes: Any) -> str:
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(SUITE | changes))
    return str(path)


def refused(*arguments: str) -> str:
    """The one line on standard error of a command that ends with 1."""
    code, out, err = call(*arguments)
    assert code == 1
    assert err.startswith("rlopt: ")
    assert err.count("\n") == 1
    assert "Traceback" not in out + err
    return err


def test_help_teaches() -> None:
    code, out, _ = call("--help")
    assert code == 0
    for word in (
        "envs",
        "agents",
        "run",
        "report",
        "doctor",
        "certify",
        "rlopt run experiments/quick.yaml",
    ):
        assert word in out
    assert call()[1].strip() == out.strip()  # no arguments: the same


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("run", ["experiments/quick.yaml", "--workers", "--runs", "Finished trials are kept"]),
        ("report", ["runs/quick", "leaderboard.csv", "report.html"]),
        ("envs", ["gymnasium.make(", "value of their optimum"]),
        ("agents", ["rlopt.agents.make(name, env)"]),
        ("doctor", ["versions", "check"]),
    ],
)
def test_help_of_a_command_teaches(command: str, words: list[str]) -> None:
    code, out, _ = call(command, "--help")
    assert code == 0
    for word in words:
        assert word in out


def test_version() -> None:
    assert call("--version") == (0, f"rlopt {rlopt.__version__}\n", "")


def test_a_process_answers_without_escape_codes() -> None:
    done = shell("--help", COLUMNS="100")
    assert done.returncode == 0
    assert "regret" in done.stdout
    assert ESCAPE not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [(["rnu"], "'run'"), (["docter"], "'doctor'"), (["run", "--wrokers", "2"], "--workers")],
)
def test_a_mistyped_word_gets_the_closest_match(arguments: list[str], hint: str) -> None:
    code, _, err = call(*arguments)
    assert code == 2
    assert hint in err


def test_envs_lists_every_environment_with_its_optimum() -> None:
    code, out, _ = call("envs")
    assert code == 0
    flat = " ".join(out.split())
    for env_id in ENVIRONMENTS:
        assert env_id in flat
    assert "51.60" in flat  # Allen's optimum
    assert ESCAPE not in out


def test_agents_lists_every_agent() -> None:
    code, out, _ = call("agents")
    assert code == 0
    listed = {line.split()[0] for line in out.splitlines() if line and line[0] != " "}
    assert set(names()) <= listed


def test_a_suite_that_cannot_be_read(tmp_path: Path) -> None:
    assert "cannot read" in refused("run", str(tmp_path / "nothing.yaml"))
    assert "did you mean 'oracle'?" in refused("run", write(tmp_path, agents=["orcale"]))
    assert "did you mean 'steps'?" in refused("run", write(tmp_path, stesp=3))


def test_workers_must_be_at_least_one(tmp_path: Path) -> None:
    for number in ("0", "-2"):
        line = refused("run", write(tmp_path), "--workers", number)
        assert line == f"rlopt: --workers must be at least 1, got {number}\n"
    assert call("run", write(tmp_path), "--workers", "two")[0] == 2


def test_a_report_needs_results(tmp_path: Path) -> None:
    assert "there is no folder of results" in refused("report", str(tmp_path / "nothing"))
    assert "no trial" in refused("report", str(tmp_path))
    (tmp_path / "file").write_text("x")
    assert "there is no folder of results" in refused("report", str(tmp_path / "file"))


def test_results_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = write(tmp_path)
    (tmp_path / "file").write_text("x")
    line = refused("run", suite, "--runs", str(tmp_path / "file"), "--workers", "1")
    assert "cannot write results to" in line

    def stop(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runners, "_run_all", stop)
    code, _, err = call("run", suite, "--runs", str(tmp_path), "--workers", "1")
    assert code == 130
    assert err == (
        "rlopt: stopped; what is finished is kept, go on with: "
        f"rlopt run {suite} --runs {tmp_path}\n"
    )


def test_run_resume_and_report(tmp_path: Path) -> None:
    suite, runs = write(tmp_path), tmp_path / "with space" / "runs"
    arguments = ("run", suite, "--runs", str(runs), "--workers", "1")
    first = shell(*arguments, COLUMNS="120", NO_COLOR="1")
    assert (first.returncode, first.stderr) == (0, "")
    assert "3 agents × 1 tasks × 1 seeds = 3 trials" in first.stdout
    assert "3/3" in first.stdout
    assert ESCAPE not in first.stdout
    assert (runs / "small" / "report.html").stat().st_size > 100_000
    before = (runs / "small" / "leaderboard.csv").read_bytes()
    code, out, err = call(*arguments)  # resumes: nothing to do
    assert (code, err) == (0, "")
    assert "constant_quota" in out
    assert f"rlopt run {suite} --runs '{runs}'" in " ".join(out.split())
    assert (runs / "small" / "leaderboard.csv").read_bytes() == before
    (runs / "small" / "leaderboard.csv").unlink()
    code, out, err = call("report", str(runs / "small"))
    assert (code, err) == (0, "")
    assert re.search(r"report\s+.*report\.html", out)
    assert (runs / "small" / "leaderboard.csv").read_bytes() == before


def test_a_suite_in_which_all_fails_ends_in_words(tmp_path: Path) -> None:
    kwargs = {"no_such_parameter": 1}
    suite = write(tmp_path, agents=[{"agent": "constant_quota", "kwargs": kwargs}])
    code, out, err = call("run", suite, "--runs", str(tmp_path / "runs"), "--workers", "1")
    assert "Traceback" not in out + err
    assert "1 failed" in out
    assert code in (0, 1)


def test_the_doctor_finds_all_well() -> None:
    code, out, _ = call("doctor")
    assert code == 0
    assert out.count("✓") == 3
    assert "▲" not in out


def test_the_doctor_complains(monkeypatch: pytest.MonkeyPatch) -> None:
    def ill() -> str:
        raise ArithmeticError("two and two are five")

    monkeypatch.setattr("rlopt.bench.doctor.TESTS", {"sums": ill})
    code, out, _ = call("doctor")
    assert code == 1
    assert "▲ sums: ArithmeticError: two and two are five" in out
