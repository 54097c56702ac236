"""Laws of the next stock that were learnt from data, and the dynamic programme under them.

What is learnt is a mixture: of one component for a point estimate, of many for a posterior over
parameters, which the programme then averages over (every year anew, as in GPDP).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from rlopt.theory.checks import nonnegative, positive
from rlopt.theory.dp import HarvestProblem, HarvestSolution, solve_on_grid
from rlopt.theory.grid import Grid, Nodes
from rlopt.theory.noise import ClippedNormal, Floats

LONG = 1000  # years of backward induction that stand for an endless task without discount
NODES = 401  # equally spaced ones of the default grid


class Component(NamedTuple):
    """One law of the next stock.

    Attributes:
        growth: escapements, any shape -> what `noise` calls the median, same shape [biomass].
        noise: with `mean`, `call_price`, `put_price` and `cdf`, as in `noise.py`.
    """

    growth: Callable[[Any], Any]
    noise: Any


class NormalResidual(ClippedNormal):
    """x' = max(0, m + sd(s) eps), eps ~ N(0, 1): a Gaussian process's prediction; 0 is extinction.

    Args:
        sd: escapements, any shape -> standard deviations >= 0, same shape [biomass].
    """

    def __init__(self, sd: Callable[[Any], Any]) -> None:
        self.sd = sd

    def deviation(self, s: Any) -> Floats:
        """The given function."""
        return np.asarray(self.sd(s), float)


class Mixture:
    """A learnt law of the next stock given the escapement: each component with its probability.

    It takes the place of both the growth and the noise of a `HarvestProblem`. Nothing grows from
    an empty sea, whatever the components say.

    Args:
        components: (growth, noise) pairs.
        weights: (n,) probabilities of the components; equal ones by default.

    Raises:
        ValueError: no component, or weights that are no probabilities.
    """

    def __init__(
        self, components: Sequence[tuple[Callable[[Any], Any], Any]], weights: Any = None
    ) -> None:
        n = len(components)
        if n == 0:
            raise ValueError("a Mixture needs at least one component, got none")
        given = np.full(n, 1.0 / n) if weights is None else np.asarray(weights, dtype=np.float64)
        if given.shape != (n,) or not (given >= 0.0).all() or not np.isclose(given.sum(), 1.0):
            raise ValueError(f"weights must be {n} probabilities with sum 1, got {weights!r}")
        self.components = [Component(*pair) for pair in components]
        self.weights = given

    def __len__(self) -> int:
        return len(self.components)

    def growth(self, s: Any) -> Floats:
        """Weighted mean of the components' medians, clipped at 0, shaped like s [biomass]."""
        s = np.asarray(s, float)
        each = (np.maximum(part.growth(s), 0.0) for part in self.components)
        return np.where(s > 0.0, self._average(each), 0.0)

    def mean(self, median: Any, s: Any) -> Floats:
        """E x', shaped like s [biomass]; `median` is ignored, here and below."""
        s = np.asarray(s, float)
        each = (part.noise.mean(part.growth(s), s) for part in self.components)
        return np.where(s > 0.0, self._average(each), 0.0)

    def call_price(self, median: Any, s: Any, k: Any) -> Floats:
        """E[(x' - k)^+], of the broadcast shape of s and k."""
        return self._price("call_price", s, k, 0.0)

    def put_price(self, median: Any, s: Any, k: Any) -> Floats:
        """E[(k - x')^+], as `call_price`."""
        return self._price("put_price", s, k, k)

    def cdf(self, median: Any, s: Any, k: Any) -> Floats:
        """P(x' <= k), as `call_price`."""
        return self._price("cdf", s, k, 1.0)

    def _price(self, name: str, s: Any, k: Any, empty: Any) -> Floats:
        """The average over components of one integral; `empty`: of an empty sea."""
        s = np.asarray(s, float)
        each = (getattr(part.noise, name)(part.growth(s), s, k) for part in self.components)
        return np.where(s > 0.0, self._average(each), empty)

    def _average(self, each: Any) -> Floats:
        total: Any = 0.0
        for weight, value in zip(self.weights, each, strict=True):
            total = total + weight * value
        return np.asarray(total)


@dataclass(frozen=True)
class LearnedProblem(HarvestProblem):
    """A HarvestProblem whose growth and noise are one learnt law.

    The population is closed, and what is learnt says nothing of a handful of fish: V is taken as
    linear near 0. From more than nothing a law may still grow back: additive noise that is clipped
    at 0 has a positive mean there (`rlopt.agents.gpdp`).
    """

    @cached_property
    def exponent(self) -> float:
        """1."""
        return 1.0

    @property
    def finest(self) -> float:
        """1."""
        return 1.0

    @property
    def knee(self) -> float:
        """The top: a learnt law has no known peak."""
        return self.top


def default_grid(top: float, cut: float = 0.0, nodes: int = NODES) -> Grid:
    """About `nodes` equally spaced nodes to `top`, one at `cut`, finer ones near 0."""
    return Grid.through(top=top, nodes=nodes, cut=cut)


def solve_learned(
    law: Any,
    grid: Nodes,
    *,
    gamma: float,
    horizon: int | None = None,
    extinct_below: float = 0.0,
    extinction_penalty: float = 0.0,
) -> HarvestSolution:
    """The optimal harvest under a learnt law, exact on the grid.

    An endless task without discount stands for `LONG` years, of which the first is meant. Of an
    endless task with a penalty, which fades, the first year is the most careful.

    Args:
        law: a Mixture, or what has its methods.
        grid: with a node (its `cut`) at `extinct_below`, if that is not 0.
        gamma: discount a year, in (0, 1].
        horizon: number of harvests, or None.
        extinct_below: see HarvestProblem.
        extinction_penalty: see HarvestProblem.

    Raises:
        TypeError, ValueError: a parameter outside its range, or a grid without that node.
    """
    if positive("solve_learned", "gamma", gamma) > 1.0:
        raise ValueError(f"solve_learned: gamma must be in (0, 1], got {gamma!r}")
    if grid.cut != nonnegative("solve_learned", "extinct_below", extinct_below):
        raise ValueError(
            f"solve_learned: the grid must be cut at extinct_below = {extinct_below!r}, "
            f"got one cut at {grid.cut!r}"
        )
    undiscounted = horizon is None and gamma == 1.0
    problem = LearnedProblem(
        growth=law.growth,
        noise=law,
        gamma=float(gamma),
        horizon=LONG if undiscounted else horizon,
        top=float(grid.nodes[-1]),
        extinct_below=extinct_below,
        extinction_penalty=extinction_penalty,
    )
    return solve_on_grid(problem, grid)
