"""The command `rlopt`: look around, run a suite, certify a policy, check the installation."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from rlopt.cli.certify import OneLine, certify
from rlopt.cli.say import fail, show

# Everything heavy is imported inside the commands: `rlopt --help` answers at once.

RUNS = Path("runs")

app = typer.Typer(
    name="rlopt",
    help="""A gym in which every task has an exact oracle and every score is regret.

    Start with:  rlopt run experiments/quick.yaml   then open runs/quick/report.html
    """,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from rlopt import __version__

        typer.echo(f"rlopt {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold the options of the command itself."""


@app.command()
def envs() -> None:
    """List the environments with the value of their optimum and how it is known.

    Make one in Python with gymnasium.make("rlopt/AllenFishery-v0", sigma=0.1).
    """
    from rlopt.bench.listing import environments

    show(environments())


@app.command()
def agents() -> None:
    """List the agents that a suite, or rlopt.agents.make(name, env), can use."""
    from rlopt.bench.listing import agents as listed

    show(listed())


@app.command()
def run(
    suite: Annotated[Path, typer.Argument(help="A suite, e.g. experiments/quick.yaml.")],
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", "-w", help="Worker processes, one thread each. Default: one a core."
        ),
    ] = None,
    runs: Annotated[
        Path, typer.Option("--runs", help="Where results go, in a folder named like the suite.")
    ] = RUNS,
) -> None:
    """Run a suite: every agent on every task with every seed, then show the leaderboard.

    Finished trials are kept: the same command goes on where a run was stopped or killed, and
    tries failed trials again. Results do not depend on the number of workers.
    """
    from rlopt.bench.config import SuiteError, load_suite
    from rlopt.bench.display import Display
    from rlopt.bench.runner import RunError, run_suite

    workers = _cores() if workers is None else workers
    if workers < 1:
        fail(f"--workers must be at least 1, got {workers}")
    try:
        loaded = load_suite(suite)
    except SuiteError as error:
        fail(str(error))
    folder = runs / loaded.name
    command = f"rlopt run {shlex.quote(str(suite))}"
    if runs != RUNS:
        command += f" --runs {shlex.quote(str(runs))}"
    try:
        with Display(loaded, folder, workers) as display:
            run_suite(loaded, folder, workers=workers, command=command, changed=display.update)
    except RunError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail(f"stopped; what is finished is kept, go on with: {command}", code=130)
    _show(folder)


@app.command()
def report(
    runs: Annotated[Path, typer.Argument(help="A folder of results, e.g. runs/quick.")],
) -> None:
    """Write leaderboard.csv, leaderboard.md and report.html again, and show the leaderboard."""
    _show(runs)


@app.command()
def doctor() -> None:
    """Print versions and threads, and check in a few seconds that rlopt works here."""
    from rlopt.bench.doctor import examine

    if not examine():
        raise typer.Exit(1)


def _cores() -> int:
    """Cores that this process may use: a container or a batch job has fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _show(folder: Path) -> None:
    from rlopt.bench import leaderboard
    from rlopt.bench.report import write_report
    from rlopt.bench.results import read
    from rlopt.bench.table import render

    try:
        results = read(folder)
        board = leaderboard.build(results)
        board.write(folder)
        page = write_report(folder, results, board)
    except (FileNotFoundError, ValueError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot write the report in {folder}: {error.strerror or error}")
    show(render(board))
    typer.echo(f"report    {page}")


app.command(name="certify", cls=OneLine)(certify)
