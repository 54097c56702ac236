"""Result tables of this folder: a CSV for machines and a markdown table for people."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).parent / "results"


def write(frame: pd.DataFrame, name: str, digits: Mapping[str, int]) -> str:
    """Write `results/<name>.csv` and `.md`; return the markdown.

    Args:
        frame: columns of numbers and strings; NaN becomes an empty cell.
        name: of the files.
        digits: decimals of the columns of numbers; 3 where nothing is said.
    """
    RESULTS.mkdir(exist_ok=True)
    frame.to_csv(RESULTS / f"{name}.csv", index=False, float_format="%.6g")
    rows = [list(frame.columns), ["---"] * len(frame.columns)]
    for row in frame.to_dict("records"):
        rows.append([_cell(value, digits.get(str(column), 3)) for column, value in row.items()])
    text = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    return text


def described(doc: str | None) -> None:
    """Answer --help with a script's docstring and refuse all other arguments, before it runs."""
    argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()


def leaderboard(suite: str) -> pd.DataFrame:
    """Of runs/<suite>, one row an agent, best first: IQM, 95 % interval, and each task's score."""
    board = pd.read_csv(Path("runs") / suite / "leaderboard.csv")
    tasks = [column for column in board if f"regret {column}" in board]
    return board[["agent", "score", "score_low", "score_high", *tasks]]


def _cell(value: object, decimals: int) -> str:
    if isinstance(value, str):
        return value
    number = float(value)  # type: ignore[arg-type]  # a column of numbers
    return "" if number != number else f"{number:.{decimals}f}"
