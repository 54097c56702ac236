"""The best bracket of a Lipschitz constant that a time budget allows.

No method is best everywhere: interval Jacobians and bound propagation win on small boxes, LipSDP on
large ones and globally, products of norms when time is short. All of them are sound, so the least
is too. They are run from the cheapest to the dearest; each is started only if it is expected to
end in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from rlopt.theory.checks import known, positive, whole
from rlopt.theory.lipschitz import proof
from rlopt.theory.lipschitz.certificate import Certificate
from rlopt.theory.lipschitz.descent import penalty
from rlopt.theory.lipschitz.jacobian import interval_jacobian
from rlopt.theory.lipschitz.layerwise import eclipse
from rlopt.theory.lipschitz.lower import searched
from rlopt.theory.lipschitz.maxcut import mixing
from rlopt.theory.lipschitz.network import Network, checked
from rlopt.theory.lipschitz.norms import SIZES, product_bound
from rlopt.theory.lipschitz.propagation import jacobian_propagation
from rlopt.theory.lipschitz.regions import NORMS, Region, box
from rlopt.theory.lipschitz.semidefinite import lipsdp
from rlopt.theory.lipschitz.slopes import slopes

CLOSED = 1e-6  # relative gap at which nothing is left to do
NEURONS, SECONDS = 800, 30.0  # the size that LipSDP solves in this time; it grows with the cube
PROOF = 0.05  # share of that time for one Cholesky proof, or for a relaxation
FAST = 0.02  # share of it for ECLipsE-Fast and its proof
CELL = 0.002  # share of it for the relaxation of the Jacobian on one box
ITERATION = 0.002  # share of it for one iteration of first-order descent
LONG = 1.0  # seconds that a search for a lower bound takes; LipSDP comes after it if it takes more
PART, SHORTEST = 1.0 / 3.0, 0.05  # of what is left for this search; seconds that it has at least
BRIEFLY, AT_LENGTH = 20, 150  # iterations of descent before LipSDP, and instead of it
COUPLED, COUPLED_COST = 160, 100.0  # neurons for which cvxpy is tried, and how much longer it takes
FIRST, FINEST = 8, 2**15  # cells of branch and bound at first and at most
TWICE = 3.0  # how much longer twice the cells take, with more constraints each
TRIALS = 64  # inputs at which an implicit layer must have a fixed point


class Record(NamedTuple):
    """The bracket after a method has run.

    Attributes:
        seconds: since the start.
        upper: least rigorous upper bound so far.
        lower: largest attained lower bound so far.
        method: what has just run, or "failed: ..." where it gave no bound.
        rigorous: of its result, as in `Certificate`; "attained" for a lower bound.
    """

    seconds: float
    upper: float
    lower: float
    method: str
    rigorous: str


@dataclass(frozen=True, eq=False)
class Certified:
    """lower <= Lipschitz constant <= upper.

    Attributes:
        upper: the least rigorous upper bound; inf if no method bounds the network at all. The
            product of norms is all that there is if it is not between 1e-120 and 1e120.
        lower: an attained Jacobian norm.
        witness: the point (n0,) where it is attained.
        certificate: of the upper bound; `certificate.verify()` checks it again.
        norm: "l2", "linf" or "linf_l1".
        region: the box, None for all of R^n0.
        history: the bracket after each method; upper never rises, lower never falls.
        seconds: time taken.
        best_unverified: the least upper bound in floating point that could not be proved, if it is
            below `upper`; else None.
    """

    upper: float
    lower: float
    witness: np.ndarray
    certificate: Certificate
    norm: str
    region: Region | None
    history: tuple[Record, ...]
    seconds: float
    best_unverified: Certificate | None = None

    @property
    def gap(self) -> float:
        """(upper - lower)/upper, in [0, 1]; 0 for a constant, 1 if upper is inf."""
        return _gap(self.upper, self.lower)


def certify(
    net: Network,
    region: Any = None,
    norm: str = "l2",
    budget_seconds: float = 60.0,
    seed: int = 0,
    callback: Callable[[Record], None] | None = None,
) -> Certified:
    """Bracket the Lipschitz constant of a network as tightly as time allows.

    >>> net = Network.from_weights([[[1.0], [-1.0]], [[1.0, 1.0]]])  # |x|
    >>> found = certify(net)
    >>> found.lower <= 1.0 <= found.upper, found.gap < 1e-6
    (True, True)

    Args:
        net: any network.
        region: a box (low, high) or gymnasium's Box, with |f(x) - f(y)| for x and y in it; None:
            all of R^n0.
        norm: "l2"; "linf" (l_inf to l_inf); "linf_l1" (l_inf to l_1).
        budget_seconds: > 0. A method is started only if it is expected to end within it; the
            product of norms and a short search for a lower bound are always run. More time may
            give a better bracket, so that results depend on the machine.
        seed: of the search for a lower bound.
        callback: called with each `Record`, for a progress bar.

    Raises:
        ValueError: budget_seconds not > 0, an unknown norm, or a region that is no box.
        TypeError: budget_seconds is no number.
        ArithmeticError: an implicit layer without a fixed point at some input.
    """
    checked(net)
    known("certify", "norm", norm, NORMS)
    budget = positive("certify", "budget_seconds", budget_seconds)
    seed = whole("certify", "seed", seed, 0)
    region = None if region is None else box(net.inputs, region)
    if net.implicit_layers:
        _try(net, region, seed)
    race = _Race(net, region, norm, budget, callback)
    for method in _methods(race, seed) if race.measurable else ():
        if race.closed:
            break
        if method.seconds <= race.left:
            method.run()
    return race.result()


def _try(net: Network, region: Region | None, seed: int) -> None:
    """Evaluate an implicit network here and there; where it is not defined nothing bounds it."""
    rng = np.random.default_rng(seed)
    if region is None:
        points = rng.normal(size=(TRIALS, net.inputs))
    else:
        points = rng.uniform(*region, size=(TRIALS, net.inputs))
    try:
        net(points)
    except np.linalg.LinAlgError as error:
        raise ArithmeticError(f"certify: an implicit layer has no fixed point: {error}") from error


class _Race:
    """The bracket so far."""

    def __init__(
        self,
        net: Network,
        region: Region | None,
        norm: str,
        budget: float,
        callback: Callable[[Record], None] | None,
    ) -> None:
        self.began, self.budget, self.callback = perf_counter(), budget, callback
        self.net, self.region, self.norm = net, region, norm
        self.lower, self.witness = 0.0, np.zeros(net.inputs)
        self.best = self.last = product_bound(net, norm)
        self.unverified: Certificate | None = None
        self.history: list[Record] = []
        self._record(self.best.method, self.best.rigorous)

    @property
    def elapsed(self) -> float:
        return perf_counter() - self.began

    @property
    def left(self) -> float:
        """Seconds of the budget."""
        return self.budget - self.elapsed

    @property
    def upper(self) -> float:
        return self.best.upper

    @property
    def measurable(self) -> bool:
        """Whether floats hold squares of bounds; if not the product of norms is all there is."""
        return self.net.implicit_layers or SIZES[0] <= self.upper <= SIZES[1]

    @property
    def closed(self) -> bool:
        return _gap(self.upper, self.lower) < CLOSED

    def method(self, seconds: float, bound: Callable[[], Certificate]) -> _Method:
        """Computing an upper bound."""
        return _Method(seconds, lambda: self._enter(bound))

    def _enter(self, bound: Callable[[], Certificate]) -> None:
        try:
            found = bound()
        except ArithmeticError as error:  # floats overflow, or a solver gave up
            self._record(f"failed: {error}", "none")
            return
        self.last = found
        if found.rigorous == "none":
            if self.unverified is None or found.upper < self.unverified.upper:
                self.unverified = found
        elif found.upper < self.best.upper:
            self.best = found
        self._record(found.method, found.rigorous)

    def search(self, seed: int, share: float) -> None:
        """A lower bound, in a share of what is left."""
        seconds = max(share * self.left, SHORTEST)
        self.lower, self.witness = searched(self.net, self.region, self.norm, seed, seconds)
        self._record("lower_bound", "attained")

    def _record(self, method: str, rigorous: str) -> None:
        record = Record(self.elapsed, self.upper, self.lower, method, rigorous)
        self.history.append(record)
        if self.callback is not None:
            self.callback(record)

    def result(self) -> Certified:
        lower = self.unverified is not None and self.unverified.upper < self.best.upper
        return Certified(
            self.best.upper, self.lower, self.witness, self.best, self.norm, self.region,
            tuple(self.history), self.elapsed, self.unverified if lower else None,
        )  # fmt: skip


class _Method(NamedTuple):
    """What could be done next.

    Attributes:
        seconds: how long it is expected to take; -inf for what is done in any case.
        run: does it.
    """

    seconds: float
    run: Callable[[], None]


def _methods(race: _Race, seed: int) -> Iterator[_Method]:
    """What serves the network, from the cheapest to the dearest; lazily, as the race goes on."""
    net, norm, region = race.net, race.norm, race.region
    everywhere = here = _cubic(net, norm, net.scalar.neurons)
    if region is not None:
        alpha, beta = slopes(net, region)
        here = _cubic(net, norm, int((alpha < beta).sum()))
    if not net.implicit_layers:
        cell = CELL * everywhere
        yield race.method(cell, lambda: interval_jacobian(net, region, norm))
        yield race.method(cell, lambda: jacobian_propagation(net, region, norm))
    if norm == "l2" and _feed_forward(net):
        yield race.method(FAST * everywhere, lambda: eclipse(net, fast=True))
    solved = False  # LipSDP's optimum has been proved, up to its last digits
    if _one_layer(net):
        yield race.method(PROOF * here, lambda: mixing(net, norm, region))
        solved = here > LONG and (race.last.method, race.last.rigorous) == ("mixing", "rump")
    if here > LONG:
        yield _Method(-np.inf, lambda: race.search(seed, PART))
    if _startable(net) and not solved:
        if norm == "l2":
            yield from _descent(race, here)
        yield race.method(here, lambda: lipsdp(net, norm, region=region))
        if region is not None and race.last.rigorous == "none":
            yield race.method(everywhere, lambda: lipsdp(net, norm))
    coupled = region is None and _sorts(net) and net.neurons <= COUPLED
    if here <= LONG:
        last = region is None and not coupled
        yield _Method(-np.inf, lambda: race.search(seed, 1.0 if last else PART))
    if coupled:
        yield race.method(COUPLED_COST * everywhere, lambda: lipsdp(net, norm, coupling="full"))
    if region is not None and not net.implicit_layers:
        yield from _refinements(race, region, FIRST * CELL * everywhere)


def _descent(race: _Race, seconds: float) -> Iterator[_Method]:
    """First-order LipSDP: briefly if LipSDP itself will take long, at length if it takes too long.

    Args:
        race: so far.
        seconds: that LipSDP is expected to take.
    """
    affordable = int((race.left / seconds - PROOF) / ITERATION)
    iterations = BRIEFLY if seconds <= race.left else min(affordable, AT_LENGTH)
    if seconds > LONG and iterations >= BRIEFLY:
        cost = (PROOF + ITERATION * iterations) * seconds
        yield race.method(cost, lambda: penalty(race.net, iterations, race.region))


def _refinements(race: _Race, region: Region, seconds: float) -> Iterator[_Method]:
    """Branch and bound with ever more cells, each time twice as many.

    Args:
        race: so far.
        region: the box.
        seconds: that the first one is expected to take.
    """
    branches = FIRST
    while branches <= FINEST and seconds <= race.left:
        refined = partial(jacobian_propagation, race.net, region, race.norm, branches)
        began = race.elapsed
        yield race.method(seconds, refined)
        branches, seconds = 2 * branches, TWICE * (race.elapsed - began)


def _feed_forward(net: Network) -> bool:
    """Whether ECLipsE serves it: every layer of neurons reads the one before it alone."""
    layers = [layer for layer in net.layers if layer.neurons]
    return not net.grouped and all(layer.H is None and layer.D is None for layer in layers)


def _one_layer(net: Network) -> bool:
    """Whether the mixing method serves it: one output, neurons that do not feed each other."""
    layers = [layer for layer in net.scalar.layers if layer.neurons]
    return net.outputs == 1 and len(layers) == 1 and layers[0].D is None


def _startable(net: Network) -> bool:
    """Whether LipSDP has a point to start from; an implicit layer need not have one."""
    if not net.implicit_layers:
        return True
    try:
        proof.interior(net.lfr())
    except ValueError:
        return False
    return True


def _sorts(net: Network) -> bool:
    """Whether groups of more than two are sorted, where one |.| a comparator may lose something."""
    layers = [layer for layer in net.layers if layer.neurons]
    grouped = all(layer.activation.group > 1 for layer in layers)
    return grouped and any(
        layer.activation.name == "groupsort" and layer.activation.group > 2 for layer in layers
    )


def _cubic(net: Network, norm: str, neurons: int) -> float:
    """Seconds that LipSDP is expected to take."""
    size = net.inputs + neurons + (0 if norm == "l2" else net.outputs)
    rows = net.outputs if norm == "linf" else 1
    return 0.02 + rows * SECONDS * (size / NEURONS) ** 3


def _gap(upper: float, lower: float) -> float:
    if not np.isfinite(upper):
        return 1.0
    # a constant's bound may be a few floats above 0
    return max(upper - lower, 0.0) / upper if upper > np.finfo(float).tiny else 0.0
