"""Fisheries with tipping points."""

from rlopt.envs.fishery.drifting import Drifting, drifting_fishery
from rlopt.envs.fishery.env import Fishery
from rlopt.envs.fishery.episode import episode_summary
from rlopt.envs.fishery.ids import (
    allen_fishery,
    beverton_holt_fishery,
    logistic_fishery,
    may_fishery,
    myers_fishery,
    ricker_fishery,
)
from rlopt.envs.fishery.species import ThreeSpecies
from rlopt.theory.stock import (
    Allen,
    BevertonHolt,
    Deterministic,
    Logistic,
    LognormalNoise,
    May,
    Myers,
    NormalNoise,
    Ricker,
    UniformNoise,
)

__all__ = [
    "Allen",
    "BevertonHolt",
    "Deterministic",
    "Drifting",
    "Fishery",
    "Logistic",
    "LognormalNoise",
    "May",
    "Myers",
    "NormalNoise",
    "Ricker",
    "ThreeSpecies",
    "UniformNoise",
    "allen_fishery",
    "beverton_holt_fishery",
    "drifting_fishery",
    "episode_summary",
    "logistic_fishery",
    "may_fishery",
    "myers_fishery",
    "ricker_fishery",
]
