"""The leaderboard of experiments/fisheries.yaml as a table.

    rlopt run experiments/fisheries.yaml            (40 minutes on two cores)
    python experiments/fisheries/leaderboard.py

Writes results/leaderboard.csv and .md from runs/fisheries.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from tables import described, write

RUNS = Path("runs/fisheries")


def table() -> pd.DataFrame:
    """One row an agent, best first: IQM, its 95 % interval, and the score on each task."""
    board = pd.read_csv(RUNS / "leaderboard.csv")
    tasks = [column for column in board if f"regret {column}" in board]
    return board[["agent", "score", "score_low", "score_high", *tasks]]


def main() -> None:
    """Read, write and print."""
    described(__doc__)
    print(write(table(), "leaderboard", {}))


if __name__ == "__main__":
    main()
