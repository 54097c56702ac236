"""One layer of a network, x' = H x + G phi(W x + b) + c, and its form with comparators."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rlopt.theory.certificate import UNIT
from rlopt.theory.lipschitz.activations import Activation

COARSE = 1e-3  # largest relative error of entries that is taken for rounding
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

    def __post_init__(self) -> None:
        h, n, p = len(self.W), self.W.shape[-1], len(self.G)
        shapes = {"W": (h, n), "b": (h,), "G": (p, h), "H": (p, n), "c": (p,), "D": (h, h)}
        for name, shape in shapes.items():
            given = getattr(self, name)
            if given is not None and (given.shape != shape or not np.isfinite(given).all()):
                raise ValueError(
                    f"Network: {name} must be finite, of shape {shape}, got shape {given.shape}"
                )
        if not 0.0 <= self.rounding <= COARSE:
            raise ValueError(f"Network: rounding must be in [0, {COARSE}], got {self.rounding!r}")

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
        zeros, phi = (np.zeros(len(V)), np.zeros(h + carried)), Activation("abs")
        rounding = 0.0 if exact else 16.0 * UNIT
        layers.append(Layer(wide, zeros[0], phi, G, _mirrored(wide), zeros[1], rounding=rounding))
    last = layer.G if layer.H is None else np.hstack([layer.G, layer.H])
    if carried or not layer.plain:
        layers.append(linear(last, layer.c, layer.rounding))
    return layers


def _mirrored(V: np.ndarray) -> np.ndarray:
    """I - sum_v v v^T / |v|^2 for rows v on different neurons, each entry to a few roundings.

    1 - v_i^2 / |v|^2 is formed from the other squares, as the difference could cancel.
    """
    squares = V * V
    total = squares.sum(axis=1, keepdims=True)
    mirrored = -(V / total).T @ V
    others = np.where(V != 0.0, _without_each(squares) / total, 0.0).sum(axis=0)
    touched = (V != 0.0).any(axis=0)
    mirrored[np.diag_indices(len(mirrored))] = np.where(touched, others, 1.0)
    return mirrored


def _without_each(parts: np.ndarray) -> np.ndarray:
    """The sum of each row without the entry itself, by sums from both ends, (m, n)."""
    before = np.zeros_like(parts)
    before[:, 1:] = np.cumsum(parts[:, :-1], axis=1)
    after = np.zeros_like(parts)
    after[:, :-1] = np.cumsum(parts[:, :0:-1], axis=1)[:, ::-1]
    return before + after


def invariant(activation: Activation) -> np.ndarray:
    """J of a group: what the activation preserves."""
    if activation.name == "householder":
        v = np.array(activation.arguments)
        return np.eye(len(v)) - np.outer(v, v) / (v @ v)
    return np.ones((activation.group,) * 2)
