"""Networks as chains of layers x' = H x + G phi(W x + b) + c: the one form all methods take.

Feed-forward layers have H = 0 and G = I, the last one no neurons; residual layers have H = I; an
implicit layer (DEQ) feeds its own output back, z = phi(W x + D z + b). Group activations are kept
as they are; `Network.scalar` replaces each group by comparators with one |.| a pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from rlopt.theory.certificate import UNIT, Enclosed, exactly, gamma_n, spectral_norm, times
from rlopt.theory.checks import finite_array, known
from rlopt.theory.lipschitz.activations import Activation
from rlopt.theory.lipschitz.layers import Layer, comparators, invariant, linear
from rlopt.theory.lipschitz.lfr import LFR
from rlopt.theory.lipschitz.regions import Region, box

COUPLINGS = ("lambda", "chain", "full", "abs")
SLOPES = ("crown", "interval")


@dataclass(frozen=True, eq=False)
class Network:
    """A chain of layers; immutable, evaluated in float64.

    Attributes:
        layers: one or more, each taking what the last one gives.
    """

    layers: tuple[Layer, ...]

    @classmethod
    def from_weights(
        cls,
        weights: Sequence[Any],
        biases: Sequence[Any] | None = None,
        activation: Any = "relu",
    ) -> Network:
        """A feed-forward network, x -> W_L phi(... phi(W_1 x + b_1) ...) + b_L.

        >>> net = Network.from_weights([[[1.0], [-1.0]], [[1.0, 1.0]]])
        >>> net(np.array([-3.0]))  # |x|
        array([3.])

        Args:
            weights: matrices W_k, (n_k, n_{k-1}).
            biases: vectors b_k, (n_k,), None for 0; the last one may be left out.
            activation: a name for all hidden layers, or a list with one for each.

        Raises:
            ValueError: shapes that do not fit, numbers that are not finite, an unknown activation,
                or a width that is no multiple of the activation's group.
        """
        matrices = _matrices("weights", weights)
        for k, (first, then) in enumerate(pairwise(matrices)):
            if then.shape[1] != len(first):
                raise ValueError(
                    f"Network: weights[{k + 1}] must take the {len(first)} outputs of "
                    f"weights[{k}], got shape {then.shape}"
                )
        offsets = _biases(biases, [len(W) for W in matrices])
        phis = _activations(activation, len(matrices) - 1)
        hidden = [
            Layer(W, b, phi, np.eye(len(W)), None, np.zeros(len(W)))
            for W, b, phi in zip(matrices[:-1], offsets[:-1], phis, strict=True)
        ]
        return cls((*hidden, linear(matrices[-1], offsets[-1])))

    @classmethod
    def residual(
        cls,
        W: Sequence[Any],
        G: Sequence[Any],
        H: Sequence[Any] | None = None,
        biases: Sequence[Any] | None = None,
        activation: Any = "relu",
    ) -> Network:
        """Residual layers x' = H x + G phi(W x + b), one after another.

        Args:
            W: matrices (h_k, n_k).
            G: matrices (n_{k+1}, h_k).
            H: matrices (n_{k+1}, n_k), None for the identity.
            biases: vectors (h_k,), None for 0.
            activation: a name, or a list with one for each layer.

        Raises:
            ValueError: as for `from_weights`.
        """
        inner, outer = _matrices("W", W), _matrices("G", G)
        skips = [None] * len(inner) if H is None else list(H)
        if not len(inner) == len(outer) == len(skips):
            counts = f"{len(inner)}, {len(outer)} and {len(skips)}"
            raise ValueError(f"Network: W, G and H need one matrix a layer each, got {counts}")
        offsets = _biases(biases, [len(matrix) for matrix in inner])
        phis = _activations(activation, len(inner))
        layers = []
        for k, (w, g, h) in enumerate(zip(inner, outer, skips, strict=True)):
            skip = np.eye(len(g)) if h is None else _matrices("H", [h])[0]
            if g.shape[1] != len(w) or skip.shape != (len(g), w.shape[1]):
                shapes = f"W {w.shape}, G {g.shape}, H {skip.shape}"
                raise ValueError(
                    f"Network: residual layer {k} has shapes that do not fit: {shapes}"
                )
            layers.append(Layer(w, offsets[k], phis[k], g, skip, np.zeros(len(g))))
        return cls(tuple(layers))

    @classmethod
    def implicit(
        cls, W: Any, U: Any, C: Any, bias: Any = None, activation: Any = "relu"
    ) -> Network:
        """A deep equilibrium model y = C z, z = phi(W z + U x + b).

        Args:
            W: (h, h).
            U: (h, n0).
            C: (m, h).
            bias: (h,), None for 0.
            activation: a function of one variable.

        Raises:
            ValueError: as for `from_weights`.
        """
        feedback, given, out = (_matrices(n, [m])[0] for n, m in (("W", W), ("U", U), ("C", C)))
        h = len(feedback)
        if feedback.shape != (h, h) or len(given) != h or out.shape[1] != h:
            shapes = f"W {feedback.shape}, U {given.shape}, C {out.shape}"
            raise ValueError(f"Network: an implicit layer has shapes that do not fit: {shapes}")
        (b,) = _biases(None if bias is None else [bias], [h])
        phi = Activation.parse(activation)
        if phi.group > 1:
            raise ValueError(
                f"Network: activation of an implicit layer must act on single neurons, got {phi}"
            )
        return cls((Layer(given, b, phi, out, None, np.zeros(len(out)), feedback),))

    @classmethod
    def from_torch(cls, module: Any) -> Network:
        """The network of a torch module: see `rlopt.theory.lipschitz.modules.from_torch`."""
        from rlopt.theory.lipschitz.modules import from_torch

        return from_torch(module)

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("Network: at least one layer is needed")
        for first, then in pairwise(self.layers):
            if first.outputs != then.inputs:
                sizes = f"{first.outputs} and {then.inputs}"
                raise ValueError(f"Network: layers that follow each other do not fit: {sizes}")
        for layer in self.layers:
            group = layer.activation.group
            if layer.neurons % group:
                raise ValueError(
                    f"Network: activation {layer.activation} needs a width that is a multiple of "
                    f"{group}, got {layer.neurons}"
                )

    @property
    def inputs(self) -> int:
        """n0."""
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        """m."""
        return self.layers[-1].outputs

    @property
    def neurons(self) -> int:
        """Hidden neurons of all layers."""
        return sum(layer.neurons for layer in self.layers)

    @property
    def grouped(self) -> bool:
        """Whether some activation acts on groups of neurons."""
        return any(layer.activation.group > 1 for layer in self.layers)

    @property
    def implicit_layers(self) -> bool:
        """Whether some layer feeds back."""
        return any(layer.D is not None for layer in self.layers)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Outputs (..., m) of inputs (..., n0)."""
        for layer in self.layers:
            new = layer.fixed_point(x)[1] @ layer.G.T + layer.c
            x = new if layer.H is None else new + x @ layer.H.T
        return x

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        """Jacobians (..., m, n0) at inputs (..., n0); at a kink, one from the right of it."""
        J = np.broadcast_to(np.eye(self.inputs), (*x.shape, self.inputs))
        for layer in self.scalar.layers:
            v, z = layer.fixed_point(x)
            slope = layer.activation.function.slope(v)[..., None]
            moved = slope * (layer.W @ J)
            if layer.D is not None:
                moved = np.linalg.solve(np.eye(layer.neurons) - slope * layer.D, moved)
            new, x_new = layer.G @ moved, z @ layer.G.T + layer.c
            if layer.H is not None:
                new, x_new = new + layer.H @ J, x_new + x @ layer.H.T
            J, x = new, x_new
        return J

    @cached_property
    def scalar(self) -> Network:
        """The same function with activations of single neurons only: one |.| a comparator."""
        if not self.grouped:
            return self
        layers: list[Layer] = []
        for layer in self.layers:
            layers += comparators(layer) if layer.activation.group > 1 else [layer]
        return Network(tuple(layers))

    def rows(self, C: np.ndarray) -> Network:
        """The network followed by y -> C y, C (k, m)."""
        last = self.layers[-1]
        terms = np.abs(C).sum(axis=1).max()
        simple = np.isin(C, (-1.0, 0.0, 1.0)).all() and terms + (last.rounding > 0.0) <= 2.0
        if last.neurons or last.H is None or not simple:
            return Network((*self.layers, linear(C)))
        # a difference of two exact rows is rounded once, relative to the result
        rounding = last.rounding + (2.0 * UNIT if terms > 1.0 else 0.0)
        return Network((*self.layers[:-1], linear(C @ last.H, C @ last.c, rounding)))

    def scaled(self, scale: np.ndarray, shift: np.ndarray) -> Network:
        """The network of x -> scale x + shift, (n0,) each: normalisation folded into layer one.

        Biases are rounded to float64: what is proved on a region is proved for the rounded ones.
        """
        first = self.layers[0]
        H = None if first.H is None else first.H * scale
        c = first.c if first.H is None else first.c + first.H @ shift
        new = replace(
            first, W=first.W * scale, b=first.b + first.W @ shift, H=H, c=c,
            rounding=first.rounding + 2.0 * UNIT,
        )  # fmt: skip
        return Network((new, *self.layers[1:]))

    def lfr(
        self, region: Region | None = None, coupling: str = "abs", slopes: str = "crown"
    ) -> LFR:
        """The linear fractional representation; biases only matter for the slopes on a region.

        Args:
            region: a box (low, high) that holds both points of an increment; None: all of R^n0.
            coupling: "abs" for the comparators' |.|; otherwise groups are kept as groups.
            slopes: how pre-activations on the region are bounded: "crown" or "interval".

        Raises:
            ValueError: a name that is none of these; groups kept where some activation has none,
                or on a region.
        """
        known("Network.lfr", "coupling", coupling, COUPLINGS)
        known("Network.lfr", "slopes", slopes, SLOPES)
        if coupling == "abs":
            net = self.scalar
            if region is None:
                pairs = [layer.activation.slopes for layer in net.layers]
                widths = [layer.neurons for layer in net.layers]
                alpha, beta = (np.repeat(side, widths) for side in zip(*pairs, strict=True))
                return _build(net, alpha, beta, ())
            from rlopt.theory.lipschitz import slopes as local

            given = box(self.inputs, region)
            return _build(net, *local.slopes(net, given, relaxed=slopes == "crown"), ())
        if region is not None or any(
            layer.neurons and layer.activation.group == 1 for layer in self.layers
        ):
            raise ValueError(
                f"lipsdp: coupling={coupling!r} is for networks of MaxMin, GroupSort or "
                "Householder layers only, without a region; use coupling='abs'"
            )
        groups: list[np.ndarray] = []
        for layer in self.layers:
            if layer.neurons:
                groups += [invariant(layer.activation)] * (layer.neurons // layer.activation.group)
        signs = np.ones(self.neurons)
        return _build(self, -signs, signs, tuple(groups))


def _build(
    net: Network, alpha: np.ndarray, beta: np.ndarray, groups: tuple[np.ndarray, ...]
) -> LFR:
    """Propagate each layer's input as a map of [x; w]: A = W X + D e, X' = H X + G e."""
    n0, total = net.inputs, net.inputs + net.neurons
    state = _State.selecting(slice(0, n0), total)
    rows, start = [], n0
    for layer in net.layers:
        here = slice(start, start + layer.neurons)
        A = state.through(layer.W, layer.rounding).matrix
        if layer.D is not None:
            A.value[:, here] += layer.D
        rows.append(A)
        if layer.plain:
            state = _State.selecting(here, total)
        else:
            H = np.zeros((layer.outputs, layer.inputs)) if layer.H is None else layer.H
            state = state.through(H, layer.rounding)
            rounded = layer.rounding * np.abs(layer.G)
            state.matrix.value[:, here] += layer.G
            state.matrix.error[:, here] += rounded
            state.doubt[here] += np.linalg.norm(rounded, axis=0) * (1.0 + 1e-12)
        start = here.stop
    stacked = Enclosed(*(np.vstack(parts) for parts in zip(*rows, strict=True)))
    widths = [layer.neurons for layer in net.layers]
    layer_of = np.repeat(np.arange(len(widths)), widths)
    return LFR(stacked, state.matrix, alpha, beta, layer_of, groups)


class _State(NamedTuple):
    """A layer's input as a map of [x; w].

    Entrywise bounds on a product's error grow with the norms of |W|, in deep networks far beyond
    any use; bounds on the columns' Euclidean norms grow with the norm of W. The smaller one counts.

    Attributes:
        matrix: the map.
        doubt: bounds on the norms of its columns' errors.
        chosen: the map merely selects these columns; None where it does not.
    """

    matrix: Enclosed
    doubt: np.ndarray
    chosen: slice | None = None

    @classmethod
    def selecting(cls, chosen: slice, total: int) -> _State:
        return cls(exactly(np.eye(total)[chosen]), np.zeros(total), chosen)

    def through(self, matrix: np.ndarray, rounding: float) -> _State:
        """The product of a matrix, known up to `rounding`, with the map."""
        size, (value, error) = np.abs(matrix), self.matrix
        if self.chosen is not None:  # nothing is rounded
            product = exactly(np.zeros((len(matrix), len(self.doubt))))
            product.value[:, self.chosen] = matrix
            product.error[:, self.chosen] = rounding * size
            return _State(product, np.linalg.norm(product.error, axis=0) * (1.0 + 1e-12))
        product = times(Enclosed(matrix, rounding * size), self.matrix)
        fresh = gamma_n(matrix.shape[1] + 4) * (size @ np.abs(value))
        fresh += rounding * (size @ (np.abs(value) + error))
        doubt = spectral_norm(matrix) * self.doubt + np.linalg.norm(fresh, axis=0)
        doubt *= 1.0 + 1e-12
        return _State(Enclosed(product.value, np.minimum(product.error, doubt)), doubt)


def checked(net: object) -> Network:
    """The network itself.

    Raises:
        TypeError: it is something else, with how to make one of it.
    """
    if not isinstance(net, Network):
        raise TypeError(
            "lipschitz: net must be a Network, from Network.from_weights([W1, W2, ...]) or "
            f"Network.from_torch(module), got {type(net).__name__}"
        )
    return net


def _matrices(name: str, given: Sequence[Any]) -> list[np.ndarray]:
    if isinstance(given, str) or not hasattr(given, "__len__") or len(given) == 0:
        raise ValueError(f"Network: {name} must be a list of matrices, got {given!r}")
    matrices = []
    for k, matrix in enumerate(given):
        array = finite_array("Network", f"{name}[{k}]", matrix)
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"Network: {name}[{k}] must be a matrix, got shape {array.shape}")
        matrices.append(array.copy())
    return matrices


def _biases(given: Sequence[Any] | None, widths: list[int]) -> list[np.ndarray]:
    listed = [None] * len(widths) if given is None else list(given)
    if len(listed) not in (len(widths), max(len(widths) - 1, 1)):
        raise ValueError(f"Network: biases must be {len(widths)} vectors, got {len(listed)}")
    listed += [None] * (len(widths) - len(listed))
    vectors = []
    for k, (vector, width) in enumerate(zip(listed, widths, strict=True)):
        array = (
            np.zeros(width) if vector is None else finite_array("Network", f"biases[{k}]", vector)
        )
        if array.shape != (width,):
            raise ValueError(f"Network: biases[{k}] must have shape ({width},), got {array.shape}")
        vectors.append(array.copy())
    return vectors


def _activations(given: Any, layers: int) -> list[Activation]:
    if isinstance(given, str | Activation):
        return [Activation.parse(given)] * layers
    try:
        names = list(given)
    except TypeError as error:
        raise ValueError(f"Network: activation must be a name or a list, got {given!r}") from error
    if len(names) != layers:
        raise ValueError(f"Network: activation must be {layers} names, got {len(names)}")
    return [Activation.parse(name) for name in names]
