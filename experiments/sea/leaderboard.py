"""The leaderboards of experiments/sea.yaml and experiments/sea_experts.yaml as tables.

    rlopt run experiments/sea.yaml                  (30 minutes on two cores)
    rlopt run experiments/sea_experts.yaml          (5 minutes)
    python experiments/sea/leaderboard.py

Writes results/leaderboard.csv and leaderboard_experts.csv, and .md, from runs/.
"""

from __future__ import annotations

from tables import described, leaderboard, write


def main() -> None:
    """Read, write and print."""
    described(__doc__)
    print(write(leaderboard("sea"), "leaderboard", {}))
    print(write(leaderboard("sea_experts"), "leaderboard_experts", {}))


if __name__ == "__main__":
    main()
