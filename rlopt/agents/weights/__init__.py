"""Policies as networks, read from saved files without unpickling anything."""

from rlopt.agents.weights.architecture import Policy, read
from rlopt.agents.weights.archive import WeightsError
from rlopt.agents.weights.statistics import Statistics, export_statistics, read_statistics

__all__ = [
    "Policy",
    "Statistics",
    "WeightsError",
    "export_statistics",
    "read",
    "read_statistics",
]
