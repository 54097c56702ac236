"""The rivals of Gaussian processes: a growth map is fitted to the data, then harvested optimally.

`parametric_mle` takes the best fit of one map, or of the map that AIC or BIC prefers, for the
truth: the approach of which Boettiger, Mangel and Munch 2015 warn, since near the data a map
without a tipping point may fit as well as one with it. `parametric_bayes` averages over what the
data leave open of one map. Both solve the exact dynamic programme of what they have learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlopt.agents.learned import LearnedHarvest
from rlopt.theory.checks import known, whole
from rlopt.theory.dp import HarvestSolution
from rlopt.theory.fit import CRITERIA, MODELS, Fit, fit_mle, fit_or_select
from rlopt.theory.grid import Nodes
from rlopt.theory.learned import Mixture, solve_learned
from rlopt.theory.posterior import Draw, posterior

__all__ = ["ParametricBayes", "ParametricMLE", "fit_mle", "law_of", "solve_fit"]

DRAWS = 50  # of a posterior: more change little, and each costs as much as a whole fit


class ParametricMLE(LearnedHarvest):
    """Maximum likelihood, if wanted with model selection, and the optimum of the fitted map.

    Args:
        env: its fishery.
        model: "aic" or "bic" (the map that the criterion prefers), "ricker", "allen" or "myers".
        seed: of its exploration; None draws one.
        observations: pairs (escapement, next stock) that `learn` collects at most, >= 5.

    Attributes:
        fitted: what it has fitted, or None.

    Raises:
        TypeError, ValueError: an unknown model, no fishery of one stock, or too few observations.
    """

    name = "parametric_mle"

    def __init__(
        self, env: Any, *, model: str = "aic", seed: int | None = None, observations: int = 40
    ) -> None:
        known(self.name, "model", model, (*CRITERIA, *MODELS))
        super().__init__(env, seed=seed, observations=observations, model=model)
        self.fitted: Fit | None = None

    def law(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Mixture:
        """The fitted map with its noise, and no doubt about it."""
        self.fitted = fit_or_select(x, y, self.settings["model"])
        return law_of([self.fitted])


class ParametricBayes(LearnedHarvest):
    """Draws from the posterior of one growth map, and the optimum under their mixture.

    Args:
        env: its fishery.
        model: "ricker", "allen" or "myers".
        draws: number of maps in the mixture, >= 1.
        seed: of its exploration and of the draws; None draws one.
        observations: pairs (escapement, next stock) that `learn` collects at most, >= 5.

    Attributes:
        drawn: the maps with their noise, or None.

    Raises:
        TypeError, ValueError: an unknown model, no fishery of one stock, no draws, or too few
            observations.
    """

    name = "parametric_bayes"

    def __init__(
        self,
        env: Any,
        *,
        model: str = "allen",
        draws: int = DRAWS,
        seed: int | None = None,
        observations: int = 40,
    ) -> None:
        known(self.name, "model", model, MODELS)
        draws = whole(self.name, "draws", draws, 1)
        super().__init__(env, seed=seed, observations=observations, model=model, draws=draws)
        self.drawn: list[Draw] | None = None

    def law(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Mixture:
        """The mixture of the draws, each as likely as the next."""
        self.drawn = posterior(x, y, self.settings["model"]).sample(rng, self.settings["draws"])
        return law_of(self.drawn)


def law_of(maps: Sequence[Fit | Draw]) -> Mixture:
    """Maps with their noise, equally likely, as one law of the next stock."""
    return Mixture([(each.growth, each.noise) for each in maps])


def solve_fit(
    maps: Fit | Sequence[Fit | Draw], grid: Any, *, gamma: float = 0.99, horizon: int | None = None
) -> HarvestSolution:
    """The optimal harvest of what was fitted to a table, without an environment.

    Args:
        maps: a fit, or equally likely maps, such as draws from a posterior.
        grid: ascending stocks from 0 [biomass], (n,); beyond the last, all is landed.
        gamma: discount a year, in (0, 1].
        horizon: number of harvests, or None.

    Returns:
        The solution: `.escapement(x)` are the best escapements of stocks x (n,).

    Raises:
        ValueError: see `Nodes` and `solve_learned`.

    >>> fit = fit_mle([2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [3.2, 4.3, 5.2, 5.9, 6.5, 6.8], "ricker")
    >>> solution = solve_fit(fit, np.linspace(0.0, 15.0, 151))
    >>> solution.escapement(np.array([2.0, 9.0])).round(1).tolist()
    [2.0, 3.0]
    """
    law = law_of([maps] if isinstance(maps, Fit) else maps)
    return solve_learned(law, Nodes(grid), gamma=gamma, horizon=horizon)
