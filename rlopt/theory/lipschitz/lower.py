"""Lower bounds on Lipschitz constants that are attained: the norm of a Jacobian at a witness.

Many points are tried at once, near the kinks of the first layer and at several scales around 0.
The best are then moved along the gradient of the norm of their Jacobian. Where the activation has
kinks that gradient is 0 almost everywhere; a difference quotient of the slope takes the place of
its derivative there, so that a point moves to where more neurons switch to the side that makes
the norm larger. Moves count only if the norm, computed anew, has grown.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from rlopt.theory.checks import known, whole
from rlopt.theory.lipschitz.layers import Layer
from rlopt.theory.lipschitz.network import Network, checked
from rlopt.theory.lipschitz.regions import NORMS, Region, box, operator_norm
from rlopt.theory.lipschitz.witness import CLEAR, attained, near, reached, size

WORK = 1.2e10  # multiplications of all Jacobians together, about a second
FEWEST, MOST = 256, 60_000  # Jacobians, whatever their cost
CHUNK = 2.5e5  # pre-activations computed at once
LINEAGES = 16  # points that are moved at the same time
UPHILL, RANDOM, FLIPS = 6, 4, 4  # moves tried for each of them in a round
SCALES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1e3, 1e4)  # of samples, times the kinks
FINE = 1e-4  # step of the difference quotient of a smooth slope
TIED = (1, 2, 4)  # neurons of layer one that a sample puts at their kinks together


class Trace(NamedTuple):
    """What a layer does at a batch of points.

    Attributes:
        v: pre-activations, (B, h).
        slope: derivatives of the activation, (B, h).
        size: the sum of the sizes of what v is added up from, (B, h).
    """

    v: np.ndarray
    slope: np.ndarray
    size: np.ndarray


def lower_bound(
    net: Network, region: Any = None, norm: str = "l2", seed: int = 0
) -> tuple[float, np.ndarray]:
    """The largest Jacobian norm found, and where it is.

    Attained means: the witness is a point at which f is differentiable. No pre-activation of a
    neuron with a kink is within rounding of it, so that the Jacobian at the witness is the
    derivative there and |f(x) - f(y)| / |x - y| comes as close to its norm as wanted for x and y
    around the witness. The norm is lowered by what rounding can have done to the products of
    matrices in it, see `witness.attained`. On a box with fixed
    coordinates (low = high) the whole Jacobian counts, as in `exact`.

    >>> net = Network.from_weights([[[1.0], [-1.0]], [[1.0, 3.0]]])  # slope 1 or -3
    >>> value, witness = lower_bound(net)
    >>> bool(witness[0] < 0.0), round(value, 12)
    (True, 3.0)

    Args:
        net: any network.
        region: a box (low, high) that holds the witness; None: all of R^n0.
        norm: "l2", "linf" or "linf_l1".
        seed: of the samples.

    Returns:
        The value, and the witness (n0,). The value is 0 where every sample was at a kink.

    Raises:
        ValueError: an unknown norm, a region that is no box, or a negative seed.
    """
    return searched(checked(net), region, norm, seed, np.inf)


def searched(
    net: Network, region: Any, norm: str, seed: int, seconds: float
) -> tuple[float, np.ndarray]:
    """`lower_bound` that stops after some seconds, but for a first batch of samples.

    Args:
        net: as for `lower_bound`.
        region: likewise.
        norm: likewise.
        seed: likewise.
        seconds: less work is planned for less than one.
    """
    began = perf_counter()
    known("lower_bound", "norm", norm, NORMS)
    scalar = net.scalar
    search = _Search(scalar, norm, None if region is None else box(net.inputs, region))
    rng = np.random.default_rng(whole("lower_bound", "seed", seed, 0))
    jacobians = int(np.clip(WORK * min(seconds, 1.0) / _cost(scalar), FEWEST, MOST))
    points = search.inside(_samples(scalar, search.region, rng, jacobians // 2))
    values = search.values(points, began + seconds)
    best = np.argsort(-values, kind="stable")[:LINEAGES]
    points, values = points[best], values[best]
    rounds = max(jacobians // (2 * LINEAGES * (UPHILL + RANDOM + FLIPS)), 4)
    steps = np.full(len(points), 0.1)
    for turn in range(rounds):
        if perf_counter() - began >= seconds:
            break
        points, values, steps = search.ascend(points, values, steps, turn, rng)
    order = np.argsort(-values, kind="stable")
    for witness in points[order]:
        value = attained(scalar, witness, norm)
        if value > 0.0:
            return value, witness
    return 0.0, points[order[0]]


class _Search:
    """Points of a region, their values, and moves that make these larger."""

    def __init__(self, net: Network, norm: str, region: Region | None) -> None:
        self.net, self.norm, self.region = net, norm, region

    def inside(self, points: np.ndarray) -> np.ndarray:
        """The nearest points of the region."""
        return points if self.region is None else np.clip(points, *self.region)

    def values(self, points: np.ndarray, until: float = np.inf) -> np.ndarray:
        """Norms of the Jacobians, 0 at points (B, n0) too close to a kink.

        Args:
            points: (B, n0).
            until: value of `perf_counter` from which on no further points are looked at.

        Returns:
            The norms of all points, or of the first ones.
        """
        values: list[np.ndarray] = []
        for part in np.array_split(points, 1 + int(len(points) * self.net.neurons / CHUNK)):
            if values and perf_counter() >= until:
                break
            traces = _traces(self.net, part)
            norms = operator_norm(_jacobians(self.net, traces), self.norm)
            values.append(np.where(_differentiable(self.net, traces), norms, 0.0))
        return np.concatenate(values)

    def ascend(
        self,
        points: np.ndarray,
        values: np.ndarray,
        steps: np.ndarray,
        turn: int,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One round: each point (K, n0) to the best of several moves, if that is better.

        Args:
            points: (K, n0).
            values: theirs, (K,).
            steps: length of the moves relative to `_reach`, (K,).
            turn: number of the round; every other one looks further for neurons to switch.
            rng: for the moves that do not follow the gradient.
        """
        K, n0 = points.shape
        uphill = self._gradients(points, (1.0, 0.1)[turn % 2])
        uphill /= np.linalg.norm(uphill, axis=1, keepdims=True) + 1e-300
        random = rng.normal(size=(RANDOM, K, n0)) / np.sqrt(n0)
        random += rng.random((RANDOM, K, 1)) * uphill
        factors = 4.0 ** np.arange(2 - UPHILL, 2)[:, None] * steps
        spread = 4.0 ** rng.uniform(-3.0, 1.5, (RANDOM, K)) * steps
        moves = np.concatenate([factors[..., None] * uphill, spread[..., None] * random])
        moves = np.concatenate([moves * self._reach(points), self._flips(points, rng)])
        trials = self.inside(points + moves)
        found = self.values(trials.reshape(-1, n0)).reshape(-1, K)
        best, column = found.argmax(axis=0), np.arange(K)
        better = found[best, column] > values
        lengths = np.concatenate([factors, spread, np.broadcast_to(steps, (FLIPS, K))])
        longer = np.clip(2.0 * lengths[best, column], 1e-7, 10.0)
        shorter = np.where(steps <= 1e-7, 0.3, np.maximum(steps / 4.0, 1e-7))  # or again from far
        return (
            np.where(better[:, None], trials[best, column], points),
            np.where(better, found[best, column], values),
            np.where(better, longer, shorter),
        )

    def _reach(self, points: np.ndarray) -> np.ndarray:
        """The length that a relative step of 1 stands for, (K, 1) or (n0,)."""
        if self.region is not None:
            return self.region[1] - self.region[0]
        return _kink_scale(self.net) + np.linalg.norm(points, axis=1, keepdims=True)

    def _gradients(self, points: np.ndarray, width: float) -> np.ndarray:
        """Gradients (K, n0) of u^T J(x) v, u and v the vectors that attain the norm of J(x).

        Args:
            points: (K, n0).
            width: of the difference quotient at kinks, relative to a layer's mean |v|.
        """
        traces = _traces(self.net, points)
        u, direction = _attaining(_jacobians(self.net, traces), self.norm)
        forward = []
        for layer, trace in zip(self.net.layers, traces, strict=True):
            rate = direction @ layer.W.T
            if layer.D is not None:
                # rate of v = W x + D phi(v) + b
                rate = _solve(np.eye(layer.neurons) - layer.D * trace.slope[:, None, :], rate)
            forward.append(rate)
            moved = trace.slope * rate
            new = moved if layer.plain else moved @ layer.G.T
            direction = new if layer.H is None else new + direction @ layer.H.T
        # backwards: `a` with respect to the state, `b` with respect to its rate along v
        a, b = np.zeros_like(u), u
        for layer, trace, rate in list(zip(self.net.layers, traces, forward, strict=True))[::-1]:
            zb = b if layer.plain else b @ layer.G
            pb = _backwards(layer, trace.slope, trace.slope * zb)
            if layer.D is not None:
                zb = zb + pb @ layer.D
            a = _pull(layer, trace, a, _bend(layer, trace.v, width) * rate * zb)
            b = pb @ layer.W + (0.0 if layer.H is None else b @ layer.H)
        return a

    def _flips(self, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Moves (FLIPS, K, n0) across the kink of one random neuron each, were f linear."""
        points = np.tile(points, (FLIPS, 1))
        traces = _traces(self.net, points)
        count = len(points)
        chosen = np.zeros((count, self.net.neurons))
        if self.net.neurons:
            chosen[np.arange(count), rng.integers(self.net.neurons, size=count)] = 1.0
        a, v, end = np.zeros((count, self.net.outputs)), np.zeros(count), self.net.neurons
        for layer, trace in list(zip(self.net.layers, traces, strict=True))[::-1]:
            here = chosen[:, end - layer.neurons : end]
            a = _pull(layer, trace, a, here)
            v += (here * trace.v).sum(axis=1)
            end -= layer.neurons
        beyond = 1.0 + 10.0 ** rng.uniform(-3.0, 0.5, count)
        squares = (a * a).sum(axis=1)
        length = np.where(squares > 0.0, beyond * v / np.where(squares > 0.0, squares, 1.0), 0.0)
        return -(length[:, None] * a).reshape(FLIPS, -1, points.shape[1])


def _pull(layer: Layer, trace: Trace, a: np.ndarray, given: np.ndarray) -> np.ndarray:
    """From gradients with respect to a layer's output (and pre-activations) to its input."""
    given = given + trace.slope * (a if layer.plain else a @ layer.G)
    p = _backwards(layer, trace.slope, given)
    return p @ layer.W + (0.0 if layer.H is None else a @ layer.H)


def _backwards(layer: Layer, slope: np.ndarray, given: np.ndarray) -> np.ndarray:
    """p with p = given + slope D^T p."""
    if layer.D is None:
        return given
    return _solve(np.eye(layer.neurons) - slope[:, :, None] * layer.D.T, given)


def _solve(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.linalg.solve(matrices, vectors[..., None])[..., 0]


def _bend(layer: Layer, v: np.ndarray, width: float) -> np.ndarray:
    """The second derivative of the activation, or a wide difference quotient at kinks."""
    f = layer.activation.function
    h = width * (np.abs(v).mean() if v.size else 0.0) + 1e-12 if f.exact else FINE
    return (f.slope(v + h) - f.slope(v - h)) / (2.0 * h)


def _traces(net: Network, x: np.ndarray) -> list[Trace]:
    """Each layer of a scalar network at the points (B, n0)."""
    traces = []
    for layer in net.layers:
        v, z = layer.fixed_point(x)
        traces.append(Trace(v, layer.activation.function.slope(v), size(layer, x, z)))
        if layer.plain:
            x = z
            continue
        new = z @ layer.G.T + layer.c
        x = new if layer.H is None else new + x @ layer.H.T
    return traces


def _differentiable(net: Network, traces: list[Trace]) -> np.ndarray:
    """Whether no neuron with a kink that inputs move is next to it, (B,)."""
    close = [
        near(layer, trace.v, CLEAR * trace.size)
        for layer, trace in zip(net.layers, traces, strict=True)
    ]
    suspects = np.any([some.any(axis=1) for some in close], axis=0)
    at_kink = np.zeros(suspects.sum(), dtype=bool)
    free = np.ones((len(at_kink), net.inputs), dtype=bool)
    for layer, trace, some in zip(net.layers, traces, close, strict=True):
        moves, free = reached(layer, trace.slope[suspects], free)
        at_kink |= (some[suspects] & moves).any(axis=1)
    fine = ~suspects
    fine[suspects] = ~at_kink
    return fine


def _jacobians(net: Network, traces: list[Trace]) -> np.ndarray:
    """J (B, m, n0), multiplied from the side with fewer vectors."""
    B, n0, m = len(traces[0].v), net.inputs, net.outputs
    steps = list(zip(net.layers, traces, strict=True))
    if m <= n0:
        J = np.broadcast_to(np.eye(m), (B, m, m)).reshape(B * m, m)
        for layer, trace in steps[::-1]:
            slope = np.repeat(trace.slope, m, axis=0)
            moved = (J if layer.plain else J @ layer.G) * slope
            if layer.D is not None:
                moved = _backwards(layer, slope, moved)
            J = moved @ layer.W + (0.0 if layer.H is None else J @ layer.H)
        return J.reshape(B, m, n0)
    J = np.broadcast_to(np.eye(n0), (B, n0, n0)).reshape(B * n0, n0)  # transposed
    for layer, trace in steps:
        slope = np.repeat(trace.slope, n0, axis=0)
        moved = J @ layer.W.T
        if layer.D is not None:
            moved = _solve(np.eye(layer.neurons) - layer.D * slope[:, None, :], moved)
        moved = slope * moved
        new = moved if layer.plain else moved @ layer.G.T
        J = new if layer.H is None else new + J @ layer.H.T
    return J.reshape(B, n0, m).transpose(0, 2, 1)


def _attaining(J: np.ndarray, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """u (B, m) and v (B, n0) with u^T J v = |J|."""
    if norm == "l2":
        left, _, right = np.linalg.svd(J, full_matrices=False)
        return left[:, :, 0], right[:, 0]
    if norm == "linf":
        u = np.eye(J.shape[1])[np.abs(J).sum(axis=2).argmax(axis=1)]
    else:
        u = np.ones(J.shape[:2])
        for _ in range(2 * J.shape[1]):  # alternating signs; a direction need not be optimal
            v = np.where(np.einsum("bm,bmn->bn", u, J) < 0.0, -1.0, 1.0)
            u = np.where(np.einsum("bmn,bn->bm", J, v) < 0.0, -1.0, 1.0)
    return u, np.where(np.einsum("bm,bmn->bn", u, J) < 0.0, -1.0, 1.0)


def _cost(net: Network) -> float:
    """Multiplications of a forward pass and a Jacobian."""
    passes = 1 + min(net.inputs, net.outputs)
    cost = 0.0
    for layer in net.layers:
        cost += layer.neurons * layer.inputs + 100.0 * layer.neurons
        cost += 0 if layer.plain else layer.neurons * layer.outputs
        cost += 0 if layer.H is None else layer.inputs * layer.outputs
        cost += 0 if layer.D is None else 10 * layer.neurons**3
    return passes * cost


def _kink_scale(net: Network) -> float:
    """How far from 0 the first layer's kinks, or the bends of a smooth activation, are."""
    for layer in net.layers:
        length = np.linalg.norm(layer.W, axis=1)
        if length.any():
            kinks = (np.abs(layer.b) + 0.1)[length > 0.0] / length[length > 0.0]
            return float(np.median(kinks))
    return 1.0


def _samples(
    net: Network, region: Region | None, rng: np.random.Generator, count: int
) -> np.ndarray:
    """Points (B, n0): some spread out, some where several neurons of layer one have their kinks."""
    n0 = net.inputs
    if region is None:
        scale = _kink_scale(net)
        spread = scale * np.resize(SCALES, count)[:, None] * rng.normal(size=(count, n0))
        unit = scale + np.linalg.norm(spread, axis=1, keepdims=True)
    else:
        low, high = region
        spread = low + (high - low) * rng.random((count, n0))
        corners = rng.random((count // 4, n0)) < 0.5
        spread[: count // 4] = np.where(corners, low, high)
        spread[0] = 0.5 * (low + high)
        unit = np.broadcast_to(high - low, spread.shape)
    parts = [spread[::2]]
    for k, tied in enumerate(TIED):
        mine = slice(2 * k + 1, None, 2 * len(TIED))
        parts.append(_at_kinks(net, spread[mine], unit[mine], tied, rng))
    return np.concatenate(parts)


def _at_kinks(
    net: Network, points: np.ndarray, unit: np.ndarray, tied: int, rng: np.random.Generator
) -> np.ndarray:
    """The points moved to where some random neurons of layer one have their kinks, and shaken.

    Every bounded cell of the first layer's hyperplanes has such points at its boundary; with fewer
    neurons than inputs the points stay far from 0, as in cells that are cones.
    """
    first = net.layers[0]
    if not first.neurons or not len(points):
        return points
    count, n0 = points.shape
    tied = min(tied, n0, first.neurons)
    chosen = rng.random((count, first.neurons)).argpartition(tied - 1, axis=1)[:, :tied]
    W = first.W[chosen]
    miss = np.einsum("bkn,bn->bk", W, points) + first.b[chosen]
    moved = points - np.einsum("bnk,bk->bn", np.linalg.pinv(W, rcond=1e-6), miss)
    shake = 10.0 ** rng.uniform(-4.0, 0.5, (count, 1)) * rng.normal(size=(count, n0))
    return moved + shake * unit
