"""The bracket that `rlopt certify` prints, from a policy that was read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from rlopt.agents.weights import Policy, Statistics, WeightsError
from rlopt.cli.say import down, up
from rlopt.theory.lipschitz import portfolio
from rlopt.theory.lipschitz.network import Network
from rlopt.theory.lipschitz.portfolio import Certified
from rlopt.theory.lipschitz.regions import Region
from rlopt.theory.lipschitz.semidefinite import lipsdp

FEW = 3  # pairs of outputs for which a quarter of the budget will do
SHARE = 1.0  # seconds for a pair of outputs that the whole portfolio is worth
LARGEST = 1e100  # of a product of norms; beyond it squares overflow


class Question(NamedTuple):
    """What is to be bracketed.

    Attributes:
        policy: as it was read.
        net: the same on raw observations, if there are statistics.
        asked: the box that was asked for, None for all observations.
        region: what the clip of the statistics leaves of it; a constant here holds there.
        scale: 1/sqrt(var + epsilon), (n,); None without statistics.
    """

    policy: Policy
    net: Network
    asked: Region | None
    region: Region | None
    scale: np.ndarray | None


def folded(policy: Policy, statistics: Statistics | None, asked: Region | None) -> Question:
    """Put statistics into the network, and take coordinates that never move out of it.

    Raises:
        WeightsError: statistics of another size, or weights whose products overflow.
    """
    net, region, scale = policy.network, asked, None
    if statistics is not None:
        net = statistics.fold(net, policy.observations)
        region, scale = statistics.clipped(asked, net.inputs), statistics.scale
    size = 1.0
    for layer in net.layers:
        steepest = float(np.abs(layer.W).sum(axis=1).max(initial=0.0))
        past = 0.0 if layer.H is None else float(np.abs(layer.H).sum(axis=1).max())
        size *= max(steepest, 1.0) if layer.H is None else max(steepest + past, 1.0)
    if not size < LARGEST:
        raise WeightsError("the weights are too large: products of their norms overflow")
    return Question(policy, _fixed(net, region), asked, region, scale)


def bracket(question: Question, norm: str, budget: float) -> tuple[dict[str, Any], str]:
    """What --json prints, and the certificate as text.

    Args:
        question: see `folded`.
        norm: "l2" or "linf".
        budget: seconds; margins of discrete actions take at least a quarter of it, or half if many.
    """
    began = perf_counter()
    policy, net, asked, region, scale = question
    with _progress(budget) as said:
        found = _certified(net, region, norm, _first(policy.choices) * budget, said)
        margins = None
        if policy.choices is not None:
            until = began + budget
            margins = _margins(net, region, norm, found, until, policy.choices)
    # where a bound is 0 no point was searched for, and the one at hand may lie outside
    witness = found.witness if region is None else np.clip(found.witness, *region)
    # text rounds action bounds, which were read too far apart by this factor at most
    lower = found.lower / policy.enlarged * (1.0 - 2.0**-50)
    widths = [layer.neurons for layer in net.layers if layer.neurons]
    result: dict[str, Any] = {
        "upper": found.upper,
        "lower": lower,
        "gap": (found.upper - lower) / found.upper if found.upper else 0.0,
        "norm": norm,
        "region": None if asked is None else [side.tolist() for side in asked],
        "method": found.certificate.method,
        "rigorous": found.certificate.rigorous,
        "seconds": perf_counter() - began,
        "obs_scale": None if scale is None else scale.tolist(),
        "witness": witness.tolist(),
        "layers": [net.inputs, *widths, net.outputs],
    }
    return result if margins is None else result | {"margin": margins}, found.certificate.to_json()


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


def _first(choices: int | None) -> float:
    """Share of the budget for all outputs together; the rest is for the pairs among them."""
    pairs = 0 if choices is None else choices * (choices - 1) // 2
    if not pairs:
        return 1.0
    return 0.75 if pairs <= FEW else 0.5


def _margins(
    net: Network,
    region: Region | None,
    norm: str,
    whole: Certified,
    until: float,
    choices: int,
) -> dict[str, float]:
    """Constants of the difference of any two outputs.

    Every pair gets all methods where there is time for it, else LipSDP alone; without time its
    constant follows from that of all outputs: two of them differ by at most sqrt(2) of the
    Euclidean length, or twice the largest.
    """
    factor = 2.0**0.5 if norm == "l2" else 2.0
    simple = float(np.nextafter(factor * whole.upper * (1.0 + 2.0**-50), np.inf))
    pairs = [(i, j) for i in range(choices) for j in range(i + 1, choices)]
    margins, proof = {}, _proof_seconds(whole)
    for done, (i, j) in enumerate(pairs):
        margin, began = simple, perf_counter()
        share = (until - began) / (len(pairs) - done)
        row = np.zeros((1, choices))
        row[0, [i, j]] = 1.0, -1.0
        if share >= SHARE:
            margin = min(margin, _certified(net.rows(row), region, norm, share).upper)
        elif until - began > proof:
            margin = min(margin, lipsdp(net.rows(row), norm, region=region).upper)
            proof = perf_counter() - began
        margins[f"{i}-{j}"] = margin
    return margins


def _proof_seconds(whole: Certified) -> float:
    """What LipSDP took for all outputs; infinite where it was not tried."""
    for before, record in pairwise(whole.history):
        if record.method.startswith("lipsdp"):
            return record.seconds - before.seconds
    return np.inf


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
