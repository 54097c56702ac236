"""A run in the terminal: what a reader sees, with names that are not nice."""

import io
from pathlib import Path
from typing import Any

import pytest
import strangers
from rich.console import Console

from rlopt.bench import display as displays
from rlopt.bench.config import Suite
from rlopt.bench.display import Display
from rlopt.bench.runner import Progress

HOSTILE = ["[/red]", "[bold]x", "<script>", "long" * 50, "强化学习"]


def suite(labels: list[str]) -> Suite:
    return Suite.model_validate(
        {
            "name": "small",
            "envs": [{"id": strangers.ENV, "name": label} for label in labels],
            "agents": [{"agent": "random", "name": label} for label in labels],
            "seeds": 1,
            "steps": 1_000,
        }
    )


def record(suite: Suite, index: int, **more: Any) -> dict[str, Any]:
    ok = {"status": "ok", "regret": 0.25, "task": {"unit": "[/t]"}}
    return {"trial": suite.trials()[index].record(), **ok, **more}


def show(monkeypatch: pytest.MonkeyPatch, progress: Progress, terminal: bool) -> str:
    """What a terminal 100 columns wide, or a pipe, gets."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, color_system=None)
    monkeypatch.setattr(displays, "Console", lambda: console)
    with Display(progress.suite, Path("runs/[small]"), 3) as display:
        display.update(progress)
        display.update(progress)
    return out.getvalue()


def state(labels: list[str]) -> Progress:
    """One trial done, one failed, one running."""
    chosen = suite(labels)
    progress = Progress(chosen, lambda progress: None)
    done, lost, now = chosen.trials()[:3]
    error = {"type": "ValueError", "message": "first [/line]\nsecond line", "traceback": "..."}
    failed = record(chosen, 1, status="failed", error=error)
    progress.done.add(done.id)
    progress.records = {done.id: record(chosen, 0), lost.id: failed}
    progress.failed.append(failed)
    progress.running[now.id] = 300
    return progress


def test_a_terminal_shows_tasks_leader_running_and_failures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = show(monkeypatch, state(["a", "b"]), terminal=True)
    for words in (
        "2 agents × 2 tasks × 1 seeds = 4 trials",
        "3 at once",
        "2/4",
        "1 running",
        "▲ 1 failed",
        "least regret a 0.25",
        "now  b/a/0   step 300 / 1000",
        "▲ a/b/0   ValueError: first [/line]",
        "the next run tries it again",
    ):
        assert words in text
    assert "second line" not in text  # it is in the traceback


@pytest.mark.parametrize("terminal", [True, False])
def test_hostile_names_show_as_text(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    text = show(monkeypatch, state(HOSTILE), terminal)
    assert "runs/[small]" in text
    if terminal:
        for name in ("[/red]", "[bold]x", "<script>", "强化学习"):
            assert name in text
    else:
        assert "\x1b" not in text


def test_a_pipe_gets_a_line_at_the_start_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = state(["a", "b"])
    assert show(monkeypatch, progress, terminal=False).count("/4") == 1
    chosen = progress.suite
    progress.done |= {spec.id for spec in chosen.trials()[2:]}
    lines = show(monkeypatch, progress, terminal=False).splitlines()
    assert "4/4" in lines[1]
    assert "▲ 1 failed" in lines[1]
