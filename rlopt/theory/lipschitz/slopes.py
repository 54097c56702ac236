"""Slopes that activations can take on a box of inputs."""

from __future__ import annotations

import numpy as np

from rlopt.theory.lipschitz.crown import Passed, bounded
from rlopt.theory.lipschitz.interval import Interval
from rlopt.theory.lipschitz.network import Network
from rlopt.theory.lipschitz.regions import Region


def preactivations(net: Network, region: Region, relaxed: bool = True) -> list[Interval]:
    """Bounds (low, high) on the pre-activations of each layer of `net.scalar`, (h,) each.

    The intersection of interval bounds and CROWN, rounded outwards. From an implicit layer on,
    and where floats overflow, the bounds are infinite.

    Args:
        net: the network.
        region: a box (low, high) of arrays (n0,); low == high is allowed.
        relaxed: False for interval bounds alone.
    """
    scalar = net.scalar
    low, high = region
    passed = bounded(scalar, (low[None], high[None]), relaxed=relaxed)
    found = [(step.low[0], step.high[0]) for step in passed]
    rest = [np.full(layer.neurons, np.inf) for layer in scalar.layers[len(found) :]]
    return found + [(-infinite, infinite) for infinite in rest]


def slopes(net: Network, region: Region, relaxed: bool = True) -> Interval:
    """Smallest and largest slopes (alpha, beta) of all neurons between points of the region.

    Args:
        net: the network; neurons are those of `net.scalar`, layer by layer.
        region: as for `preactivations`.
        relaxed: as for `preactivations`.
    """
    scalar = net.scalar
    bounds = preactivations(net, region, relaxed)
    with np.errstate(over="ignore"):
        sides = [
            layer.activation.slopes_between(low, high)
            for layer, (low, high) in zip(scalar.layers, bounds, strict=True)
        ]
    alpha, beta = (np.concatenate(side) for side in zip(*sides, strict=True))
    return alpha, beta


def slopes_of(net: Network, passed: list[Passed], batch: int) -> Interval:
    """The same for each box of a batch, (B, N), from bounds that are known already.

    Args:
        net: of single neurons.
        passed: from `crown.bounded`.
        batch: B.
    """
    with np.errstate(over="ignore"):
        sides = [
            step.layer.activation.slopes_between(
                np.minimum(step.low, step.high), np.maximum(step.low, step.high)
            )
            for step in passed
        ]
    for layer in net.layers[len(passed) :]:
        least, greatest = layer.activation.slopes
        width = batch, layer.neurons
        sides.append((np.full(width, least), np.full(width, greatest)))
    alpha, beta = (np.concatenate(side, axis=1) for side in zip(*sides, strict=True))
    return alpha, beta
