"""Halpern iteration, its variance-reduced forms, and the methods they are compared with.

Problems are monotone finite sums with exact constants; the regret of a point is its residual, and
the problem counts how many components a method evaluates.

>>> from rlopt.agents import halpern
>>> game = halpern.MatrixGame([[3.0, -1.0], [-2.0, 1.0]])
>>> solution = halpern.solve("eg", game, iterations=1000)
>>> solution.calls, solution.residual < 1e-6, game.gap(solution.x) < 1e-5
(4000, True, True)
"""

from __future__ import annotations

from rlopt.agents.halpern.fixed_point import Path, halpern
from rlopt.agents.halpern.games import Bilinear, MatrixGame
from rlopt.agents.halpern.least_squares import LeastSquares
from rlopt.agents.halpern.problems import Oracle, Problem
from rlopt.agents.halpern.solve import History, Solution, names, solve

__all__ = [
    "Bilinear",
    "History",
    "LeastSquares",
    "MatrixGame",
    "Oracle",
    "Path",
    "Problem",
    "Solution",
    "halpern",
    "names",
    "solve",
]
