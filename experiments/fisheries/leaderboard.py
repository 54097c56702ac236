"""The leaderboard of experiments/fisheries.yaml as a table.

    rlopt run experiments/fisheries.yaml            (40 minutes on two cores)
    python experiments/fisheries/leaderboard.py

Writes results/leaderboard.csv and .md from runs/fisheries.
"""

from __future__ import annotations

from tables import described, leaderboard, write


def main() -> None:
    """Read, write and print."""
    described(__doc__)
    print(write(leaderboard("fisheries"), "leaderboard", {}))


if __name__ == "__main__":
    main()
