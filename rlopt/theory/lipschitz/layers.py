"""One layer of a network, x' = H x + G phi(W x + b) + c, and its form with comparators."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rlopt.theory.certificate import UNIT
from rlopt.theory.lipschitz.activations import Activation

NEWTON = 200  # iterations for the fixed point of an implicit layer


@dataclass(frozen=True, eq=False)
class Layer:
    """x' = H x + G z + c with z = phi(W x + D z + b).

    Attributes:
        W: (h, n); h = 0 makes the layer linear.
        b: (h,).
        activation: phi.
        G: (p, h).
        H: (p, n), or None for 0.
        c: (p,).
        D: (h, h), or None for 0: an explicit layer.
        rounding: relative error of the entries of W, G and H, where they had to be computed.
    """

    W: np.ndarray
    b: np.ndarray
    activation: Activation
    G: np.ndarray
    H: np.ndarray | None
    c: np.ndarray
    D: np.ndarray | None = None
    rounding: float = 0.0

    @property
    def neurons(self) -> int:
        """h, the width."""
        return len(self.W)

    @property
    def inputs(self) -> int:
        """n."""
        return self.W.shape[1]

    @property
    def outputs(self) -> int:
        """p."""
        return len(self.G)

    @cached_property
    def plain(self) -> bool:
        """Whether x' = phi(W x + b): H = 0, G = I, c = 0 and no feedback."""
        square = self.G.shape == (self.neurons,) * 2
        ordinary = self.H is None and self.D is None and not self.c.any()
        return ordinary and square and bool(np.array_equal(self.G, np.eye(self.neurons)))

    def fixed_point(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pre-activations v and outputs z = phi(v) of the neurons, (..., h) each.

        Raises:
            ArithmeticError: an implicit layer for which Newton's method finds no fixed point.
        """
        given = x @ self.W.T + self.b
        z = self.activation.value(given)
        if self.D is None:
            return given, z
        function = self.activation.function
        eye = np.eye(self.neurons)
        for _ in range(NEWTON):
            v = given + z @ self.D.T
            miss = z - function.value(v)
            if np.abs(miss).max(initial=0.0) <= 1e-13 * (1.0 + np.abs(z).max(initial=0.0)):
                return v, z
            system = eye - function.slope(v)[..., None] * self.D
            z = z - np.linalg.solve(system, miss[..., None])[..., 0]
        raise ArithmeticError("Network: no fixed point of an implicit layer; is it well-posed?")


def linear(H: np.ndarray, c: np.ndarray | None = None, rounding: float = 0.0) -> Layer:
    """x' = H x + c."""
    p, n = H.shape
    none = np.zeros((0, n)), np.zeros(0), Activation("identity"), np.zeros((p, 0))
    return Layer(*none, H, np.zeros(p) if c is None else c, rounding=rounding)


def comparators(layer: Layer) -> list[Layer]:
    """A layer with a group activation as linear layers and one layer of |.| a step."""
    n, h = layer.inputs, layer.neurons
    carried = 0 if layer.H is None else n
    first = np.vstack([layer.W, np.eye(carried, n)])
    layers = [linear(first, np.concatenate([layer.b, np.zeros(carried)]), layer.rounding)]
    for V in layer.activation.comparators(h):
        wide = np.hstack([V, np.zeros((len(V), carried))])
        G = wide.T / (V * V).sum(axis=1)
        exact = np.isin(V, (-1.0, 0.0, 1.0)).all() and layer.activation.name != "householder"
        layers.append(
            Layer(
                wide, np.zeros(len(V)), Activation("abs"), G, np.eye(h + carried) - G @ wide,
                np.zeros(h + carried), rounding=0.0 if exact else 8.0 * UNIT,
            )
        )  # fmt: skip
    last = layer.G if layer.H is None else np.hstack([layer.G, layer.H])
    if carried or not layer.plain:
        layers.append(linear(last, layer.c, layer.rounding))
    return layers


def invariant(activation: Activation) -> np.ndarray:
    """J of a group: what the activation preserves."""
    if activation.name == "householder":
        v = np.array(activation.arguments)
        return np.eye(len(v)) - np.outer(v, v) / (v @ v)
    return np.ones((activation.group,) * 2)
