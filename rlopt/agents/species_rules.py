"""Constant rules for fisheries of several species, as in "Pretty darn good control".

They act where the FuncEnv has `fished` (how many species are), `published(rule)` (constants of
arXiv 2308.13654, tuned there on the 100 episodes that are reported; fisheries notes, 4.3),
`action_for(stocks, escapements)` and `stocks_and_year(observation)`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from rlopt.agents.core import Rule


class SpeciesRule(Rule):
    """A rule stocks -> escapements of the fished species.

    Args:
        env: its fishery.
        x: constant of the first species, by default the published one.
        y: constant of the second, likewise; None where it is not fished.

    Raises:
        ValueError: the environment is no fishery of several species, or a constant is out of range.
    """

    most: ClassVar[float]

    def __init__(self, env: Any, *, x: float | None = None, y: float | None = None) -> None:
        super().__init__(env)
        if not hasattr(self.func, "stocks_and_year"):
            raise ValueError(
                f"{self.name} is a rule for fisheries of several species, got {self.func!r}"
            )
        defaults, fished = self.func.published(self.name), self.func.fished
        if y is not None and fished == 1:
            raise ValueError(f"{self.name}: only X is fished here, so y must be None, got {y!r}")
        for name, given, default in zip("xy", (x, y), defaults, strict=False):
            value = float(default if given is None else given)
            if not 0.0 <= value <= self.most:
                allowed = f"in [0, {self.most:g}]" if np.isfinite(self.most) else ">= 0"
                raise ValueError(f"{self.name}: {name} must be {allowed}, got {given!r}")
            self.parameters[name] = value
        self.constants = np.array(list(self.parameters.values()))

    def escapements(self, stocks: np.ndarray) -> np.ndarray:
        """Stocks of the fished species (n, fished) -> what is left, same shape [biomass]."""
        raise NotImplementedError(f"{type(self).__name__} must define escapements(stocks)")

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Observations -> float32 actions (n, fished)."""
        stocks, _ = self.func.stocks_and_year(observation)
        left = self.escapements(stocks[:, : self.func.fished])
        action: np.ndarray = self.func.action_for(stocks, left)
        return action


class ConstantMortality(SpeciesRule):
    """The same fraction of each fished species every year."""

    name = "constant_mortality"
    most = 1.0

    def escapements(self, stocks: np.ndarray) -> np.ndarray:
        """(1 - u) of each stock."""
        return stocks * (1.0 - self.constants)


class ConstantEscapements(SpeciesRule):
    """Catch of each fished species all above one stock size [biomass]."""

    name = "constant_escapements"
    most = np.inf

    def escapements(self, stocks: np.ndarray) -> np.ndarray:
        """The targets, or all of a smaller stock."""
        return np.minimum(stocks, self.constants)
