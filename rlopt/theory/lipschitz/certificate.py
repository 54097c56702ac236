"""The result of every upper bound: a number with what it takes to check it again.

Every certificate carries its network. Bounds by semidefinite programming carry the representation
and its multipliers too, and `verify` needs only linear algebra; bounds without multipliers are
computed again. What a certificate says of itself is never trusted, only what follows from the
network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from inspect import signature
from time import perf_counter
from typing import Any

import numpy as np

from rlopt.theory.certificate import Enclosed, up
from rlopt.theory.checks import finite_array, known
from rlopt.theory.lipschitz import proof
from rlopt.theory.lipschitz.lfr import LFR
from rlopt.theory.lipschitz.network import Network, checked
from rlopt.theory.lipschitz.regions import NORMS, Region
from rlopt.theory.lipschitz.stored import network_from, network_to

# bounds without multipliers: how verify() computes them again
COMPUTED = {
    "product": "rlopt.theory.lipschitz.norms:product_bound",
    "interval_jacobian": "rlopt.theory.lipschitz.jacobian:interval_jacobian",
    "jacobian_propagation": "rlopt.theory.lipschitz.propagation:jacobian_propagation",
}
PROOFS = ("rump", "arb")  # by multipliers
SAME = 1e-12  # relative; what two machines may differ by
RIGOROUS = (*PROOFS, "outward", "none")


@dataclass(frozen=True, eq=False)
class Certificate:
    """|f(x) - f(y)| <= upper |x - y|, for all x and y, or for all in a region.

    What it does not cover: the float32 rounding of a network as it is deployed.

    Attributes:
        upper: the Lipschitz constant that is claimed, rounded up.
        norm: "l2"; "linf" (l_inf to l_inf); "linf_l1" (l_inf to l_1).
        method: what found it, e.g. "lipsdp-neuron".
        rigorous: "rump" (floating Cholesky with its margin), "arb" (ball arithmetic), "outward"
            (interval arithmetic, rounded outwards), or "none" (floating point, not proved).
        network: what the claim is about.
        seconds: how long it took.
        region: box (low, high), None for all of R^n0.
        lfr: the representation that the multipliers belong to, else None.
        multipliers: flat: t_i of M(rho, t) layer by layer; for l_inf each output's t, tau and mu,
            one output after another. None where the method has none.
        rho: value of the programme: L^2 for l2, L for l_inf; an array where each output has a
            proof of its own. None as above.
        options: arguments with which a bound without multipliers is computed again.
    """

    upper: float
    norm: str
    method: str
    rigorous: str
    network: Network
    seconds: float = 0.0
    region: Region | None = None
    lfr: LFR | None = None
    multipliers: np.ndarray | None = None
    rho: float | np.ndarray | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def verify(self) -> bool:
        """Whether the claim is proved by what the certificate holds; without any solver.

        False is what a claim gets that is not proved: rigorous="none", multipliers or numbers that
        were changed, fields that do not belong together.
        """
        if not self.upper >= 0.0:
            return False
        if self.lfr is None:
            return self.rigorous == "outward" and self._computed_again()
        lfr = self._trusted()
        return lfr is not None and self.rigorous in PROOFS and self._multipliers_hold(lfr)

    def _computed_again(self) -> bool:
        if self.method not in COMPUTED:
            return False
        module, name = COMPUTED[self.method].split(":")
        function: Callable[..., Certificate] = getattr(import_module(module), name)
        given: dict[str, Any] = {"norm": self.norm, **self.options}
        if self.region is not None:
            given["region"] = self.region
        try:
            signature(function).bind(self.network, **given)
        except TypeError:
            return False
        return function(self.network, **given).upper * (1.0 - 0.5 * SAME) <= self.upper

    def _trusted(self) -> LFR | None:
        """The stored representation with errors and slopes that hold for the network.

        Another machine may round A, Y and slopes differently; the difference counts as error.
        """
        stored = self.lfr
        assert stored is not None
        if stored.groups and (self.region is not None or not self.network.grouped):
            return None
        fresh = self.network.lfr(self.region, "full" if stored.groups else "abs")
        pairs = ((stored.A, fresh.A), (stored.Y, fresh.Y))
        shapes = [(ours.value.shape, theirs.value.shape) for ours, theirs in pairs]
        if any(a != b for a, b in shapes) or len(stored.groups) != len(fresh.groups):
            return None
        A, Y = (
            Enclosed(ours.value, (np.abs(ours.value - theirs.value) + theirs.error) * (1.0 + 1e-12))
            for ours, theirs in pairs
        )
        alpha = np.minimum(stored.alpha, fresh.alpha)
        return replace(fresh, A=A, Y=Y, alpha=alpha, beta=np.maximum(stored.beta, fresh.beta))

    def _multipliers_hold(self, lfr: LFR) -> bool:
        if self.multipliers is None or self.rho is None:
            return False
        values = np.atleast_1d(np.asarray(self.rho, float))
        pieces = proof.rows(lfr, self.norm)
        size = proof.length(pieces[0], self.norm)
        if len(values) != len(pieces) or self.multipliers.shape != (size * len(pieces),):
            return False
        if not all(self.upper >= proof.lipschitz(self.norm, float(rho)) for rho in values):
            return False
        chunks = self.multipliers.reshape(len(pieces), size)
        if self.method == "lipsdp-layer" and not _one_a_layer(chunks[:, : lfr.neurons], lfr.layer):
            return False
        return all(
            proof.holds(piece, self.norm, chunk, float(rho), self.rigorous)
            for piece, chunk, rho in zip(pieces, chunks, values, strict=True)
        )

    def to_json(self) -> str:
        """Everything, as text; floats keep every digit."""
        return json.dumps(
            {
                "upper": self.upper,
                "norm": self.norm,
                "method": self.method,
                "rigorous": self.rigorous,
                "seconds": self.seconds,
                "region": None if self.region is None else [side.tolist() for side in self.region],
                "rho": None if self.rho is None else np.asarray(self.rho).tolist(),
                "multipliers": None if self.multipliers is None else self.multipliers.tolist(),
                "options": dict(self.options),
                "lfr": None if self.lfr is None else _lfr_to(self.lfr),
                "network": network_to(self.network),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is no certificate; what is wrong is named.
        """
        try:
            data = dict(json.loads(text))
            region, multipliers, rho = data["region"], data["multipliers"], data["rho"]
            return cls(
                upper=float(data["upper"]),
                norm=known("Certificate", "norm", data["norm"], NORMS),
                method=str(data["method"]),
                rigorous=known("Certificate", "rigorous", data["rigorous"], RIGOROUS),
                seconds=float(data["seconds"]),
                region=None if region is None else (np.array(region[0]), np.array(region[1])),
                network=network_from(data["network"]),
                lfr=None if data["lfr"] is None else _lfr_from(data["lfr"]),
                multipliers=None if multipliers is None else np.array(multipliers, float),
                rho=rho if rho is None or isinstance(rho, float) else np.array(rho, float),
                options=dict(data["options"]),
            )
        except (KeyError, TypeError, IndexError, ValueError) as error:
            what = f"lacks {error}" if isinstance(error, KeyError) else f"is garbled: {error}"
            raise ValueError(f"Certificate: the text {what}") from error


def repair(
    net: Network,
    multipliers: Any,
    *,
    norm: str = "l2",
    region: Region | None = None,
    coupling: str = "abs",
) -> Certificate:
    """The bound that given multipliers prove, whoever found them.

    For l2 rho is the largest eigenvalue of a Schur complement; for l_inf tau and mu are enlarged
    until they suffice. Nothing that a solver claims about its own point is used.

    Args:
        net: the network.
        multipliers: flat, for the weights as given, as `Certificate.multipliers`.
        norm: "l2", "linf" or "linf_l1".
        region: the box whose slopes the multipliers are for.
        coupling: "abs", or a coupling of groups, whose multipliers are lambda, gamma, nu, tau.

    Raises:
        ValueError: multipliers of the wrong number, negative, not finite, or infeasible.
    """
    began = perf_counter()
    checked(net)
    known("repair", "norm", norm, NORMS)
    lfr = net.lfr(region, coupling)
    pieces = proof.rows(lfr, norm)
    size = proof.length(pieces[0], norm)
    given = finite_array("repair", "multipliers", multipliers)
    if given.shape != (size * len(pieces),):
        expected = f"{size * len(pieces)} numbers in one row"
        raise ValueError(f"repair: multipliers must be {expected}, got shape {given.shape}")
    chunks = given.reshape(len(pieces), size)
    signed = chunks[:, : len(lfr.groups) or None]
    if (signed < 0.0).any():
        raise ValueError(f"repair: multipliers must be >= 0, got {signed.min():.3g}")
    return proved(net, lfr, [[chunk] for chunk in chunks], norm, "repair", region, began)


def proved(
    net: Network,
    lfr: LFR,
    candidates: Sequence[Sequence[np.ndarray]],
    norm: str,
    method: str,
    region: Region | None,
    began: float,
) -> Certificate:
    """The certificate of a method from the multipliers that it found.

    Args:
        net: the network.
        lfr: its representation, whose `proof.rows` the candidates belong to.
        candidates: for each row its multipliers, the best first, then safer ones.
        norm: as for `Certificate`.
        method: as for `Certificate`.
        region: as for `Certificate`.
        began: `perf_counter()` at the method's start.

    Raises:
        ValueError: a row whose candidates are all infeasible.
    """
    pieces = proof.rows(lfr, norm)
    found = [proof.prove(p, norm, c) for p, c in zip(pieces, candidates, strict=True)]
    kinds = [piece.rigorous for piece in found]
    return Certificate(
        upper=max(proof.lipschitz(norm, piece.rho) for piece in found),
        norm=norm,
        method=method,
        rigorous=next((kind for kind in ("none", "arb") if kind in kinds), "rump"),
        seconds=perf_counter() - began,
        region=region,
        network=net,
        lfr=lfr,
        multipliers=np.concatenate([piece.multipliers for piece in found]),
        rho=found[0].rho if len(found) == 1 else np.array([piece.rho for piece in found]),
    )


def outward(
    upper: float,
    net: Network,
    norm: str,
    method: str,
    region: Region | None,
    options: Mapping[str, Any],
    began: float,
) -> Certificate:
    """The certificate of a bound that was computed with rounding outwards.

    It is made larger by 1e-12, so that another machine, which may add in another order, proves it.

    Args:
        upper: the bound.
        net: the network.
        norm: as for `Certificate`, like method, region and options.
        method: one of `COMPUTED`.
        region: as above.
        options: as above.
        began: `perf_counter()` at the method's start.
    """
    return Certificate(
        upper=up(upper * (1.0 + SAME)) if upper > 0.0 else 0.0,
        norm=norm,
        method=method,
        rigorous="outward",
        seconds=perf_counter() - began,
        region=region,
        network=net,
        options=options,
    )


def _one_a_layer(t: np.ndarray, layer: np.ndarray) -> bool:
    """Whether neurons of the same layer have the same multiplier, (proofs, N), but for rounding.

    Neurons without a multiplier, because their slope is known, have 0.
    """
    groups = [t[:, layer == k] for k in np.unique(layer)]
    largest = [part.max(axis=1, keepdims=True) for part in groups]
    return all(
        bool(((part == 0.0) | (part >= most * (1.0 - 1e-9))).all())
        for part, most in zip(groups, largest, strict=True)
    )


def _lfr_to(lfr: LFR) -> dict[str, Any]:
    """The error bounds are left out where they are 0."""
    return {
        "A": lfr.A.value.tolist(),
        "Y": lfr.Y.value.tolist(),
        "A_error": lfr.A.error.tolist() if lfr.A.error.any() else None,
        "Y_error": lfr.Y.error.tolist() if lfr.Y.error.any() else None,
        "alpha": lfr.alpha.tolist(),
        "beta": lfr.beta.tolist(),
        "layer": lfr.layer.tolist(),
        "groups": [J.tolist() for J in lfr.groups],
    }


def _lfr_from(data: Mapping[str, Any]) -> LFR:
    N = len(data["alpha"])

    def enclosed(name: str, width: int | None) -> Enclosed:
        value = np.array(data[name], float).reshape(-1, width) if width else np.array(data[name])
        given = data[f"{name}_error"]
        return Enclosed(value, np.zeros_like(value) if given is None else np.array(given, float))

    Y = enclosed("Y", None)
    A = enclosed("A", Y.value.shape[1])
    alpha, beta = np.array(data["alpha"], float), np.array(data["beta"], float)
    groups = tuple(np.array(J, float) for J in data["groups"])
    if Y.value.shape[1] < N or len(A.value) != N or len(beta) != N:
        raise ValueError("Certificate: the shapes of A, Y, alpha and beta do not fit")
    return LFR(A, Y, alpha, beta, np.array(data["layer"], int), groups)
