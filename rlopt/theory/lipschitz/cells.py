"""Cells: boxes of inputs cut by the signs of pre-activations, made smaller and found empty.

Every decided sign gives a linear inequality in the input, coef x + const >= 0, by the linear
bounds of `crown`. They tighten the box, and a linear programme may show that no input satisfies
them; its multipliers are checked with rounding outwards, so that what is dropped is empty.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog

from rlopt.theory.certificate import UNIT, gamma_n
from rlopt.theory.lipschitz.crown import Linear, Passed
from rlopt.theory.lipschitz.interval import TINY, Interval


class Cell(NamedTuple):
    """A part of the region.

    Attributes:
        low: (n0,).
        high: (n0,).
        decided: signs of pre-activations to which it is restricted, 0 for none, (N,).
        least: bounds on the pre-activations, (N,).
        most: (N,).
        bound: on the norm of the Jacobian in it; -inf where nothing is left.
        cuts: inequalities of the signs that are decided.
        neuron: where to split it, -1 for nowhere.
        axis: the input to halve instead, -1 for none.
    """

    low: np.ndarray
    high: np.ndarray
    decided: np.ndarray
    least: np.ndarray
    most: np.ndarray
    bound: float
    cuts: Linear
    neuron: int
    axis: int

    def empty(self) -> bool:
        """Whether no input is left, proved."""
        return empty(self.low, self.high, self.cuts)

    def at_neuron(self) -> list[Cell]:
        """Both signs of the neuron; none if there is no such neuron."""
        if self.neuron < 0:
            return []
        decided, least, most = (
            np.repeat(side[None], 2, axis=0) for side in (self.decided, self.least, self.most)
        )
        decided[:, self.neuron] = 1, -1
        least[0, self.neuron] = most[1, self.neuron] = 0.0
        return [self._replace(decided=decided[k], least=least[k], most=most[k]) for k in range(2)]

    def at_middle(self) -> list[Cell]:
        """Both halves of the box; none if it is a point."""
        if self.axis < 0:
            return []
        low, high = self.low.copy(), self.high.copy()
        low[self.axis] = high[self.axis] = 0.5 * self.low[self.axis] + 0.5 * self.high[self.axis]
        return [self._replace(high=high), self._replace(low=low)]


def inequalities(passed: list[Passed], decided: np.ndarray, inputs: int) -> Linear:
    """Functions of the input that are >= 0 in the cell, one a neuron; 1 where none is decided.

    Args:
        passed: bounds of the layers.
        decided: signs (B, N), 0 for none.
        inputs: n0.
    """
    coefs, consts = [np.zeros((len(decided), 0, inputs))], [np.zeros((len(decided), 0))]
    start = 0
    for step in passed:
        h = step.layer.neurons
        sign = decided[:, start : start + h]
        start += h
        plus, free = sign > 0, sign == 0
        coef = np.where(plus[..., None], step.above.coef[:, :h], step.above.coef[:, h:])
        const = np.where(plus, step.above.const[..., :h], step.above.const[..., h:])
        coefs.append(np.where(free[..., None], 0.0, coef))
        consts.append(np.where(free, 1.0, const))
    return Linear(np.concatenate(coefs, axis=1), np.concatenate(consts, axis=1))


def tightened(box: Interval, cuts: Linear) -> Interval:
    """The box without slices in which some inequality fails; low > high where nothing is left.

    Args:
        box: (B, n0) each.
        cuts: functions that must be >= 0.
    """
    low, high = box[0][:, None], box[1][:, None]
    largest = np.maximum(cuts.coef * low, cuts.coef * high)
    total = largest.sum(axis=-1) + cuts.const
    size = np.abs(largest).sum(axis=-1) + np.abs(cuts.const)
    slack = 4.0 * gamma_n(low.shape[-1] + 8) * size + 4.0 * (low.shape[-1] + 8) * TINY
    # coef_j x_j >= need: the others do what they can
    need = largest - (total + slack)[..., None]
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        end = need / cuts.coef
    usable = np.isfinite(end)
    end = np.where(usable, end, 0.0)
    doubt = 8.0 * UNIT * np.abs(end) + TINY
    below = np.where(usable & (cuts.coef > 0.0), end - doubt, -np.inf).max(axis=1)
    above = np.where(usable & (cuts.coef < 0.0), end + doubt, np.inf).min(axis=1)
    return np.maximum(box[0], below), np.minimum(box[1], above)


def empty(low: np.ndarray, high: np.ndarray, cuts: Linear) -> bool:
    """Whether a linear programme proves that no point of one box satisfies all inequalities.

    Args:
        low: (n0,).
        high: (n0,).
        cuts: coef (q, n0), const (q,).
    """
    norm = np.abs(cuts.coef).sum(axis=1)
    counted = norm > 0.0
    if not counted.any():
        return False
    coef, const, norm = cuts.coef[counted], cuts.const[counted], norm[counted]
    # the largest margin s with coef x + const >= s norm
    objective = np.append(np.zeros(len(low)), -1.0)
    bounds = [*zip(low, high, strict=True), (None, None)]
    found = linprog(objective, np.column_stack([-coef, norm]), const, bounds=bounds)
    if found.status != 0:
        return False
    weights = np.maximum(-found.ineqlin.marginals, 0.0)
    return refuted(low, high, Linear(coef, const), weights)


def refuted(low: np.ndarray, high: np.ndarray, cuts: Linear, weights: np.ndarray) -> bool:
    """Whether sum_i weights_i (coef_i x + const_i) < 0 on all of the box; True is a proof.

    Args:
        low: (n0,).
        high: (n0,).
        cuts: coef (q, n0), const (q,).
        weights: (q,), >= 0.
    """
    coef, const = weights @ cuts.coef, weights @ cuts.const
    most = np.maximum(coef * low, coef * high).sum() + const
    reach = np.maximum(np.abs(low), np.abs(high))
    size = weights @ (np.abs(cuts.coef) @ reach + np.abs(cuts.const))
    terms = len(weights) + len(low) + 8
    slack = 4.0 * gamma_n(terms) * size + 4.0 * terms * TINY * (1.0 + reach.sum())
    return bool(most + slack < 0.0)
