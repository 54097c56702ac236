"""The bracket that `rlopt certify` prints, from a policy that was read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import Any

import numpy as np

from rlopt.agents.weights import Policy, Statistics
from rlopt.cli.say import down, up
from rlopt.theory.lipschitz import portfolio
from rlopt.theory.lipschitz.network import Network
from rlopt.theory.lipschitz.portfolio import Certified
from rlopt.theory.lipschitz.regions import Region


def bracket(
    policy: Policy,
    statistics: Statistics | None,
    region: Region | None,
    norm: str,
    budget: float,
) -> dict[str, Any]:
    """What --json prints, and the certificate."""
    began = perf_counter()
    net, effective = policy.network, region
    if statistics is not None:
        net = statistics.fold(net, policy.observations)
        effective = statistics.clipped(region, net.inputs)
    net = _fixed(net, effective)
    with _progress(budget) as said:
        share = budget if policy.choices is None else 0.5 * budget
        found = _certified(net, effective, norm, share, said)
        margins = None
        if policy.choices is not None:
            until = began + budget
            margins = _margins(net, effective, norm, found.upper, until, policy.choices)
    if not np.isfinite(found.upper):
        raise ValueError("no finite bound was found: the weights are too large")
    # text rounds action bounds, which were read too far apart by this factor at most
    lower = found.lower / policy.enlarged**2 if policy.enlarged > 1.0 else found.lower
    widths = [layer.neurons for layer in net.layers if layer.neurons]
    result: dict[str, Any] = {
        "upper": found.upper,
        "lower": lower,
        "gap": (found.upper - lower) / found.upper if found.upper else 0.0,
        "norm": norm,
        "region": None if region is None else [side.tolist() for side in region],
        "method": found.certificate.method,
        "rigorous": found.certificate.rigorous,
        "seconds": perf_counter() - began,
        "obs_scale": None if statistics is None else statistics.scale.tolist(),
        "witness": found.witness.tolist(),
        "layers": [net.inputs, *widths, net.outputs],
        "certificate": found.certificate.to_json(),
    }
    return result if margins is None else result | {"margin": margins}


def _fixed(net: Network, region: Region | None) -> Network:
    """The network without the coordinates in which a region has no width: they never move."""
    if region is None or (region[0] < region[1]).all():
        return net
    moves = region[0] < region[1]
    return net.scaled(np.where(moves, 1.0, 0.0), np.where(moves, 0.0, region[0]))


def _certified(
    net: Network,
    region: Region | None,
    norm: str,
    budget: float,
    callback: Callable[[Any], None] | None = None,
) -> Certified:
    return portfolio.certify(net, region, norm, budget_seconds=budget, callback=callback)


def _margins(
    net: Network,
    region: Region | None,
    norm: str,
    upper: float,
    until: float,
    choices: int,
) -> dict[str, float]:
    """Constants of the difference of any two outputs.

    Without time it follows from that of all outputs: two of them differ by at most sqrt(2) of the
    Euclidean length, or twice the largest.
    """
    factor = 2.0**0.5 if norm == "l2" else 2.0
    simple = float(np.nextafter(factor * upper * (1.0 + 2.0**-50), np.inf))
    pairs = [(i, j) for i in range(choices) for j in range(i + 1, choices)]
    margins = {}
    for done, (i, j) in enumerate(pairs):
        margin, left = simple, until - perf_counter()
        if left > 0.0:
            row = np.zeros((1, choices))
            row[0, [i, j]] = 1.0, -1.0
            share = left / (len(pairs) - done)
            margin = min(margin, _certified(net.rows(row), region, norm, share).upper)
        margins[f"{i}-{j}"] = margin
    return margins


def _progress(budget: float) -> AbstractContextManager[Callable[[Any], None] | None]:
    """Somewhere to follow the bracket, where somebody looks."""
    if not sys.stderr.isatty():
        return nullcontext()
    from contextlib import contextmanager

    from rich.console import Console

    @contextmanager
    def status() -> Any:
        with Console(stderr=True).status(f"at most {budget:g} s") as line:
            yield lambda record: line.update(
                f"{down(record.lower)} to {up(record.upper)} after {record.method}, "
                f"{record.seconds:.0f} of {budget:g} s"
            )

    return status()
