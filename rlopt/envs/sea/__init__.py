"""Stochastically extended adversarial (SEA) tasks: online convex losses between chance and malice.

Each round t nature draws a convex loss f_t from a law D_t. Two numbers say where a task stands:
sigma_sq, the summed variance of the gradients, and Sigma_sq, the summed squared drift of their
means (Sachs et al. 2022, arXiv 2202.07554). Both are exact here wherever a closed form exists.
"""

from rlopt.envs.sea import comparators
from rlopt.envs.sea.models import CoordinateLosses, OrthogonalAdversary, RandomOrder
from rlopt.envs.sea.moments import (
    Bracket,
    least_squares_lipschitz,
    least_squares_smoothness,
    least_squares_variance,
    least_squares_variance_bracket,
    least_squares_variation,
    least_squares_variation_bracket,
    logistic_lipschitz,
    logistic_smoothness,
    logistic_variance,
    logistic_variation,
)
from rlopt.envs.sea.play import Trace, play

__all__ = [
    "Bracket",
    "CoordinateLosses",
    "OrthogonalAdversary",
    "RandomOrder",
    "Trace",
    "comparators",
    "least_squares_lipschitz",
    "least_squares_smoothness",
    "least_squares_variance",
    "least_squares_variance_bracket",
    "least_squares_variation",
    "least_squares_variation_bracket",
    "logistic_lipschitz",
    "logistic_smoothness",
    "logistic_variance",
    "logistic_variation",
    "play",
]
