"""Local bounds by splitting the box of inputs: the worst part is halved again and again.

A segment between two points of a box passes through parts of it, and on each f changes by at most
that part's constant times the way through it. So the largest constant of the parts is one for the
whole, in any norm. Smaller parts have narrower slopes, hence better bounds.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from time import perf_counter
from typing import Any

import numpy as np

from rlopt.theory.checks import known, whole
from rlopt.theory.lipschitz.certificate import Certificate
from rlopt.theory.lipschitz.jacobian import interval_jacobian
from rlopt.theory.lipschitz.lipsdp import lipsdp
from rlopt.theory.lipschitz.network import Network
from rlopt.theory.lipschitz.regions import NORMS, Region, box


def split(net: Network, region: Any, norm: str = "l2", parts: int = 16) -> Certificate:
    """The largest of the parts' bounds, each the best of LipSDP and the interval Jacobian.

    Args:
        net: the network, without implicit layers.
        region: a box (low, high); with more than a few coordinates parts shrink too slowly.
        norm: "l2", "linf" or "linf_l1".
        parts: number of boxes at the end, >= 1. More never give a worse bound.

    Returns:
        A certificate without multipliers, which is verified by bounding all parts again.

    Raises:
        ValueError: an unknown norm, no box, parts < 1, or an implicit layer.
    """
    began = perf_counter()
    known("split", "norm", norm, NORMS)
    parts = whole("split", "parts", parts, 1)
    region = box(net.inputs, region)
    order = count()  # equal bounds are halved in the order in which they were found
    heap = [(-_bound(net, region, norm), next(order), region)]
    whole_width = np.where(region[1] > region[0], region[1] - region[0], 1.0)
    while len(heap) < parts:
        negative, _, (low, high) = heap[0]
        edge = int(np.argmax((high - low) / whole_width))
        middle = 0.5 * (low[edge] + high[edge])
        if not low[edge] < middle < high[edge]:
            break
        heappop(heap)
        for half in _halves((low, high), edge, middle):
            # a part inherits what holds on the box that it was cut from
            bound = min(_bound(net, half, norm), -negative)
            heappush(heap, (-bound, next(order), half))
    return Certificate(
        upper=-heap[0][0],
        norm=norm,
        method="split",
        rigorous="rump",
        seconds=perf_counter() - began,
        region=region,
        network=net,
        options={"parts": parts},
    )


def _bound(net: Network, region: Region, norm: str) -> float:
    """Of one part, proved."""
    simple = interval_jacobian(net, region, norm).upper
    found = lipsdp(net, norm, region=region)
    return simple if found.rigorous == "none" else min(simple, found.upper)


def _halves(region: Region, edge: int, middle: float) -> tuple[Region, Region]:
    low, high = region
    below, above = high.copy(), low.copy()
    below[edge] = above[edge] = middle
    return (low, below), (above, high)
