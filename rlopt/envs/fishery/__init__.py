"""Fisheries with tipping points."""

from rlopt.envs.fishery.age import AgeStructured
from rlopt.envs.fishery.data import StockAssessment, fit_series
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
    "AgeStructured",
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
    "StockAssessment",
    "ThreeSpecies",
    "UniformNoise",
    "allen_fishery",
    "beverton_holt_fishery",
    "drifting_fishery",
    "episode_summary",
    "fit_series",
    "logistic_fishery",
    "may_fishery",
    "myers_fishery",
    "ricker_fishery",
]
