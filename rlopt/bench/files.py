"""leaderboard.csv for programs and leaderboard.md for people, written in one step each."""

import csv
import io
import math
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rlopt.bench import format as fmt

if TYPE_CHECKING:
    from rlopt.bench.leaderboard import Leaderboard, Row


def write_text(path: Path, text: str) -> Path:
    """Write a file so that nobody ever sees half of it: temporary name, then rename."""
    # the process in the name tells the runner what a killed one has left
    handle, temporary = tempfile.mkstemp(f".{os.getpid()}", f".{path.name}.", path.parent)
    try:
        # lone surrogates (possible in JSON) have no UTF-8; "?" is better than no report
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="") as file:
            file.write(text)
        # mkstemp makes private files; results are for sharing
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _all_rows(board: "Leaderboard") -> list["Row"]:
    """Oracle, ranked agents, do nothing: as the table shows them, those that were run."""
    pinned = [board.oracle, board.nothing]
    return [r for r in (pinned[0], *board.rows, pinned[1]) if r is not None]


def _cell(x: float) -> str:
    """Full precision for programs, empty where there is no number."""
    return repr(float(x)) if math.isfinite(x) else ""


def _csv(board: "Leaderboard") -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["agent", "score", "score_low", "score_high", "rank", "optimality_gap"]
    head += ["steps", "seconds", "trials", "failed", *board.tasks]
    writer.writerow([*head, *(f"regret {t}" for t in board.tasks)])
    for row in _all_rows(board):
        numbers = [row.score.value, row.score.low, row.score.high]
        writer.writerow(
            [
                row.agent,
                *(_cell(x) for x in numbers),
                row.rank if row.best else "",
                _cell(row.gap),
                _cell(row.steps),
                _cell(row.seconds),
                row.trials,
                row.failed,
                *(_cell(t.score.value) for t in row.tasks),
                *(_cell(t.regret) for t in row.tasks),
            ]
        )
    return out.getvalue()


def _md(text: str) -> str:
    """Text that Markdown shows as it is."""
    escaped = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", fmt.visible(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _markdown(board: "Leaderboard") -> str:
    heads = ["#", "agent", "score (IQM)", "95 %", *map(_md, board.tasks), "steps", "wall", "flags"]
    lines = [f"# {_md(board.suite['name'])}", "", _md(str(board.title)), ""]
    lines += ["| " + " | ".join(heads) + " |"]
    lines += ["|" + "|".join(" --- " if h in ("agent", "flags") else " ---: " for h in heads) + "|"]
    for row in _all_rows(board):
        cells = [row.rank if row.best else "·", _md(row.agent), fmt.score(row.score.value)]
        cells.append(fmt.interval(row.score.low, row.score.high))
        cells += [fmt.score(t.score.value) + ("▲" if t.failed else "") for t in row.tasks]
        cells += [fmt.steps(row.steps), fmt.seconds(row.seconds)]
        cells.append("; ".join(f"{f.mark} {_md(f.text)}" for f in row.flags))
        lines.append("| " + " | ".join(cells) + " |")
    if board.tie:
        lines += ["", _md(str(board.tie))]
    lines += [
        "",
        "score = 1 − regret / regret of doing nothing; 1 is the oracle, 0 is doing nothing. "
        "IQM and stratified bootstrap over seeds.",
        "",
    ]
    return "\n".join(lines)


def write(board: "Leaderboard", folder: Path) -> tuple[Path, Path]:
    """Write leaderboard.csv and leaderboard.md; returns their paths."""
    return (
        write_text(folder / "leaderboard.csv", _csv(board)),
        write_text(folder / "leaderboard.md", _markdown(board)),
    )
