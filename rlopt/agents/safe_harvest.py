"""The best harvest of a known stock among those that rarely let it collapse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from rlopt.agents.harvest_rules import HarvestRule
from rlopt.envs.core import count_steps
from rlopt.theory.played import Plan
from rlopt.theory.safety import safe_harvest


class SafeHarvestRule(HarvestRule):
    """The largest expected catch whose probability of a collapse is at most eps (exact DP).

    It knows the fishery, as the oracle does, and as the oracle it takes observation and
    implementation for perfect. After the years of the promise it plays the optimum. An endless task
    does not show the year: there it counts the years in its `state`, and `plan` tells exact
    evaluation what it does in each.

    Args:
        env: its fishery, with the attributes `problem`, `x0` and `collapse_level` besides those
            that every harvest rule needs.
        eps: largest probability of a collapse, in [0, 1].
        years: of the promise, at least 1; at the end of a task the stock is worth nothing, so that
            the promise ends before the last harvest.
        threshold: stock [biomass] at or below which it has collapsed; by default the tipping
            point, or .1 B_MSY where there is none.

    Raises:
        TypeError, ValueError: a bad argument, or an eps that no policy attains.
    """

    name = "safe_harvest"

    def __init__(
        self, env: Any, *, eps: float = 0.05, years: int = 50, threshold: float | None = None
    ) -> None:
        super().__init__(env)
        fishery = self.func
        if not hasattr(fishery, "problem"):
            raise ValueError(f"{self.name} needs one stock whose law is known, got {fishery!r}")
        level = max(fishery.collapse_level, fishery.problem.extinct_below)
        threshold = self._set("threshold", threshold, level)
        last = years if fishery.horizon is None else max(fishery.horizon - 1, 1)
        self.solution = safe_harvest(
            replace(fishery.problem, implementation=None),
            fishery.x0,
            threshold=threshold,
            years=min(years, last),
            eps=eps,
        )
        self.parameters |= {"eps": float(eps), "years": int(years)}

    def escapement(self, stock: np.ndarray, year: int | np.ndarray = 0) -> np.ndarray:
        """Stocks (n,) in a year, or in years (n,) -> escapements (n,) [biomass]."""
        return self.solution.escapement(stock, year)

    @property
    def plan(self) -> Plan | None:
        """What its actions leave in each year of an endless task; None where it sees the year."""
        if self.func.horizon is not None:
            return None

        def left(stock: np.ndarray, year: int) -> np.ndarray:
            action = self.func.action_for(stock, self.escapement(stock, year))
            return stock - self.func.requested(stock, stock, action)

        return Plan(left, len(self.solution.charged.q) - 1)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Observations (n, 1 or 2) -> actions (n, 1); one observation (1 or 2,) -> action (1,)."""
        batch = np.atleast_2d(observation)
        stock, year = self.func.stock_and_year(batch)
        if self.func.horizon is None:
            year, state = count_steps(state, episode_start, len(batch))
        action = self.func.action_for(stock, self.escapement(stock, year))
        return (action if np.ndim(observation) == 2 else action[0]), state
