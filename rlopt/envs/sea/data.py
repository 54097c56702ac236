"""Regression and classification of real data as online tasks: see each row once, and learn.

Points x of the unit ball stand for weights R x, so that features are R a.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import exp
from typing import ClassVar

import numpy as np
from scipy.special import expit

from rlopt import data
from rlopt.envs.core import Array
from rlopt.envs.sea import comparators
from rlopt.envs.sea.comparators import Best
from rlopt.envs.sea.moments import (
    Bracket,
    least_squares_variance,
    least_squares_variation,
    logistic_variance,
)
from rlopt.envs.sea.rounds import Round
from rlopt.envs.sea.rows import Rows
from rlopt.spaces import Ball
from rlopt.theory.checks import positive


@dataclass(frozen=True, kw_only=True)
class Weights(Rows):
    """Base of tasks that learn weights R x, |x| <= 1, from a table.

    Args:
        R: largest length of the weights, > 0.
    """

    R: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "R", positive(type(self).__name__, "R", self.R))
        super().__post_init__()

    @property
    def table(self) -> data.Table:
        """The data set."""
        raise NotImplementedError(f"{type(self).__name__} must define table")

    @cached_property
    def rows(self) -> np.ndarray:
        """R times the features."""
        return self.R * self.table.rows

    @property
    def targets(self) -> np.ndarray:
        """The data set's."""
        return self.table.targets

    @cached_property
    def space(self) -> Ball:
        """The unit ball."""
        return Ball(self.table.rows.shape[1])


@dataclass(frozen=True, kw_only=True)
class Diabetes(Weights):
    """Predict how far diabetes goes in a year, by least squares: 1/2 (<R a_t, x> - b_t)^2.

    442 patients, 10 features; see `rlopt.data.diabetes`, and `Rows` for spaces, info and orders.
    sigma_sq and Sigma_sq are exact in the orders "iid" and "dataset".

    Args:
        R: largest length of the weights, > 0.
    """

    horizon: int = 442

    curvature: ClassVar[float] = 1.0

    @property
    def table(self) -> data.Table:
        """The data set."""
        return data.diabetes()

    def phi(self, margin: Array, target: Array) -> Array:
        """1/2 (margin - b)^2."""
        return 0.5 * (margin - target) ** 2

    def slope(self, margin: Array, target: Array) -> Array:
        """The error, margin - b."""
        return margin - target

    @property
    def ideal(self) -> np.ndarray:
        """b."""
        return self.targets

    @property
    def alpha(self) -> float:
        """1 / (largest error)^2."""
        return 1.0 / float(np.abs(self._slopes).max()) ** 2

    def statistic(self, z: Array) -> Array:
        """z z' in random order, z = (a, b): the loss is 1/2 (<z, (x, -1)>)^2; (n, (d + 1)^2)."""
        if self.order != "random":
            return super().statistic(z)
        return (z[:, :, None] * z[:, None, :]).reshape(len(z), -1)

    @cached_property
    def _squares(self) -> np.ndarray:
        """Sum of the statistic over the table, ((d + 1)^2,)."""
        return self.statistic(self._samples).sum(axis=0)

    def mean_loss(self, played: Round, x: Array) -> Array:
        """As of all `Rows`; in random order from sums, without a look at each row that is left."""
        if self.order != "random":
            return super().mean_loss(played, x)
        passes, seen = np.divmod(played.t - 1.0, len(self.rows))
        left = (passes + 1.0)[:, None] * self._squares - played.past
        ends = np.concatenate([x, np.full((len(x), 1), -1.0)], axis=1)
        along = np.einsum("nij,nj->ni", left.reshape(len(x), *(ends.shape[1],) * 2), ends)
        return 0.5 * np.einsum("ni,ni->n", ends, along) / (len(self.rows) - seen)

    def fitted(self, weights: np.ndarray) -> Best:
        """Least squares on the ball."""
        return comparators.least_squares(self.rows, self.targets, self.space, weights)

    @cached_property
    def variance(self) -> Bracket:
        """Exact."""
        value = least_squares_variance(self.rows, self.targets, self.space)
        return Bracket(value, value, True)

    @cached_property
    def neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        """Exact."""
        pairs = [(self.rows[i : i + 1], self.targets[i : i + 1]) for i in range(len(self.rows))]
        before = [pairs[-1], *pairs[:-1]]
        exact = np.array(
            [
                least_squares_variation(*now, *last, self.space)
                for now, last in zip(pairs, before, strict=True)
            ]
        )
        return exact, exact


@dataclass(frozen=True, kw_only=True)
class Logistic(Weights):
    """Base of classification: ln(1 + exp(-b_t <R a_t, x>)) with labels b_t of -1 and 1."""

    R: float = 5.0

    curvature: ClassVar[float] = 0.25

    def phi(self, margin: Array, target: Array) -> Array:
        """ln(1 + exp(-b margin))."""
        return np.logaddexp(0.0, -target * margin)

    def slope(self, margin: Array, target: Array) -> Array:
        """-b / (1 + exp(b margin))."""
        return -target * expit(-target * margin)

    @property
    def ideal(self) -> np.ndarray:
        """Without end, on the right side."""
        return np.inf * self.targets

    @property
    def alpha(self) -> float:
        """exp(-largest margin): phi'' >= alpha phi'^2 there."""
        return exp(-float(np.abs(self._reach).max()))

    def fitted(self, weights: np.ndarray) -> Best:
        """By Newton's method."""
        return comparators.logistic(self.rows, self.targets, self.space, weights)

    @cached_property
    def variance(self) -> Bracket:
        """A bracket."""
        return logistic_variance(self.rows, self.targets, self.space)


@dataclass(frozen=True, kw_only=True)
class BreastCancer(Logistic):
    """Tell benign from malignant, by logistic regression: ln(1 + exp(-b_t <R a_t, x>)).

    569 biopsies, 30 features; see `rlopt.data.breast_cancer`, and `Rows` for spaces, info and
    orders. sigma_sq and Sigma_sq are brackets.

    Args:
        R: largest length of the weights, > 0.
    """

    horizon: int = 569

    @property
    def table(self) -> data.Table:
        """The data set."""
        return data.breast_cancer()


@dataclass(frozen=True, kw_only=True)
class Digits(Logistic):
    """Tell even digits from odd ones, by logistic regression: ln(1 + exp(-b_t <R a_t, x>)).

    1797 pictures of 8 x 8 pixels; see `rlopt.data.digits`, and `Rows` for spaces, info and orders.
    sigma_sq and Sigma_sq are brackets.

    Args:
        R: largest length of the weights, > 0.
    """

    horizon: int = 1797

    @property
    def table(self) -> data.Table:
        """The data set."""
        return data.digits()
