"""LipSDP: the tightest bound by one quadratic constraint a neuron, proved."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from rlopt.theory.checks import known
from rlopt.theory.lipschitz import ipm, proof
from rlopt.theory.lipschitz.certificate import Certificate, proved
from rlopt.theory.lipschitz.lfr import LFR
from rlopt.theory.lipschitz.network import COUPLINGS, Network, checked
from rlopt.theory.lipschitz.norms import refuse_extreme
from rlopt.theory.lipschitz.regions import NORMS, box

STRUCTURES = ("neuron", "layer")
SOLVERS = ("ipm", "cvxpy")
UNSOUND = (
    "lipsdp: structure='network' is refused: it couples neurons as if the slope of a difference of "
    "two activations were bounded by the difference of their inputs, which fails for increments "
    "between two points. On the ReLU net 2-3-1 with weights sin(1 + .7 i + 1.3 j + 2.1 k + .37 i j)"
    " it claims 1.4978549, below the exact constant 1.5123479. Use 'neuron' or 'layer'"
)


def lipsdp(
    net: Network,
    norm: str = "l2",
    structure: str = "neuron",
    solver: str = "ipm",
    region: Any = None,
    coupling: str = "abs",
    slopes: str = "crown",
) -> Certificate:
    """The bound of LipSDP (Fazlyab et al. 2019, arXiv:1906.04893), sound and proved.

    >>> net = Network.from_weights([[[1.0], [-1.0]], [[1.0, 1.0]]])
    >>> certificate = lipsdp(net)  # |x|
    >>> round(certificate.upper, 5), certificate.rigorous, certificate.verify()
    (1.0, 'rump', True)

    Args:
        net: the network; residual, implicit and group layers are welcome.
        norm: "l2"; "linf", l_inf to l_inf, the largest over the outputs; "linf_l1", l_inf to l_1.
        structure: "neuron" for one multiplier a neuron, "layer" for one a layer (of the weights as
            given): faster to optimise, never smaller.
        solver: "ipm", the structured interior-point method; "cvxpy", Clarabel: a slow reference.
        region: a box (low, high) that must hold both points; None: all of R^n0.
        coupling: what is used of MaxMin, GroupSort and Householder groups: "abs", one |.| a
            comparator; "lambda", only that they keep norms; "chain", Pauli et al. 2024
            (arXiv:2401.14033) with S = P = 0; "full", their T, S and P. All but "abs" need cvxpy,
            and l_inf bounds as well as l2.
        slopes: how they are bounded on a region: "crown", by linear relaxations, or "interval", by
            intervals alone as others do, never tighter.

    Returns:
        A certificate whose multipliers are those of `norm`'s programme, see `Certificate`. The
        bound of a constant network is a little above 0; `product_bound` gives the 0 of a layer 0.

    Raises:
        ValueError: a name that is none of these; structure="network", which is unsound; a coupling
            of groups for a network of other activations, on a region, or by layers; no feasible
            multipliers, as for an implicit layer that may have no fixed point; norms of layers
            whose product is neither 0 nor between 1e-120 and 1e120.
        SolverFailed: (an ArithmeticError) Clarabel gave up; only for solver="cvxpy" and for the
            couplings of groups.
    """
    began = perf_counter()
    checked(net)
    known("lipsdp", "norm", norm, NORMS)
    if structure == "network":
        raise ValueError(UNSOUND)
    known("lipsdp", "structure", structure, STRUCTURES)
    known("lipsdp", "solver", solver, SOLVERS)
    known("lipsdp", "coupling", coupling, COUPLINGS)
    if region is not None:
        region = box(net.inputs, region)
    if coupling != "abs" and structure != "neuron":
        raise ValueError(f"lipsdp: coupling={coupling!r} has no structure {structure!r}")
    refuse_extreme("lipsdp", net)
    lfr = net.lfr(region, coupling, slopes)
    if coupling != "abs":
        from rlopt.theory.lipschitz.sdp import coupled

        candidates = [[one] for one in coupled(net, norm, coupling)]
    else:
        candidates = _candidates(lfr, norm, structure, solver)
    method = f"lipsdp-{structure if coupling == 'abs' else coupling}"
    return proved(net, lfr, candidates, norm, method, region, began)


def _candidates(lfr: LFR, norm: str, structure: str, solver: str) -> list[list[np.ndarray]]:
    """For each row its multipliers, the best first."""
    if solver == "cvxpy":
        from rlopt.theory.lipschitz.sdp import solve

        return [[one] for one in solve(lfr, norm, structure)]
    return [ipm.solve(row, norm, structure).candidates for row in proof.rows(lfr, norm)]
