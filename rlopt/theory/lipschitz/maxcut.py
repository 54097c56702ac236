"""LipSDP for one hidden layer and one output, as the relaxation of a maximum cut.

Slopes in [alpha, beta] are middle + radius d with d in [-1, 1], so a Jacobian is the sum of the
columns of F = [A_x^T diag(radius Y_w), gradient at the middle] with signs d. The largest |F d| is
a maximum cut; the relaxation replaces signs by unit vectors (mixing method, Wang, Chang and Kolter
2017, arXiv:1706.00476). Maximised over these, it is the largest sum_j |f_j^T U|, f_j the columns
of F, over U (n0, r) of Frobenius norm 1, or, for l_inf, with rows of norm 1: n0 r numbers, however
wide the layer is. The dual y is in proportion to |f_j^T U|, and with it come LipSDP's multipliers,
see `_multipliers`.

Differences from the paper: instead of going through the unit vectors one after another, L-BFGS
moves U; the unit vectors of the neurons never appear.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize

from rlopt.theory.checks import known
from rlopt.theory.lipschitz.certificate import Certificate, proved
from rlopt.theory.lipschitz.lfr import LFR
from rlopt.theory.lipschitz.network import Network, checked
from rlopt.theory.lipschitz.norms import refuse_extreme
from rlopt.theory.lipschitz.proof import interior
from rlopt.theory.lipschitz.regions import NORMS, box

ITERATIONS = 2000
SMALL = 1e-9  # of a multiplier relative to the mean, where the maximum cut leaves it open


class Cut(NamedTuple):
    """A point of the relaxation.

    Attributes:
        value: sum of `neurons`: at most the relaxation's value, and L at its maximum.
        neurons: |f_j^T U| of each neuron and of the gradient at the middle, (N + 1,).
        inputs: for l_inf the same for the unit vectors of the inputs, (n0,).
    """

    value: float
    neurons: np.ndarray
    inputs: np.ndarray


def mixing(net: Network, norm: str = "l2", region: Any = None) -> Certificate:
    """The bound of LipSDP for a network with one hidden layer and one output.

    Wide layers are its purpose: the relaxation of 17-1024-1 takes a fraction of a second.

    >>> net = Network.from_weights([[[1.0], [-1.0]], [[1.0, 1.0]]])  # |x|
    >>> round(mixing(net).upper, 6)
    1.0

    Args:
        net: one layer of neurons, whatever linear maps surround it; MaxMin and Householder count
            as one layer of comparators.
        norm: "l2", "linf" or "linf_l1"; the last two are the same for one output.
        region: a box (low, high) on which slopes may be narrower.

    Raises:
        ValueError: several outputs, neurons that feed neurons, an unknown norm, a region that is
            no box, or norms of layers whose product is neither 0 nor between 1e-120 and 1e120.
    """
    began = perf_counter()
    checked(net)
    known("mixing", "norm", norm, NORMS)
    region = None if region is None else box(net.inputs, region)
    refuse_extreme("mixing", net)
    lfr = net.lfr(region)
    if lfr.outputs != 1 or np.any(lfr.A.value[:, lfr.inputs :]):
        layers = len(np.unique(lfr.layer))
        raise ValueError(
            "mixing: the network must have one output, and neurons that do not feed each other, "
            f"got {lfr.outputs} outputs and {layers} layers of neurons"
        )
    found = _multipliers(lfr, relax(lfr, norm), norm)
    return proved(net, lfr, [[found]], norm, "mixing", region, began)


def relax(lfr: LFR, norm: str = "l2") -> Cut:
    """Maximise sum_j |f_j^T U| from a fixed start.

    The sum is concave in U U^T, so that for r = n0 every local maximum is global; r is limited
    to what the bound of Barvinok and Pataki on the rank needs, r (r + 1) / 2 > N + 1.

    Args:
        lfr: one output, neurons that do not feed each other.
        norm: "l2", else l_inf.
    """
    F = _columns(lfr)
    n0, count = F.shape
    size = float(np.abs(F).max())
    if size == 0.0:
        return Cut(0.0, np.zeros(count), np.zeros(n0))
    F = F / size
    rank = min(n0, int(np.ceil(np.sqrt(2.0 * count))) + 1)
    # singular vectors, and a little of everything so that no direction is missing
    start = np.eye(n0, rank)
    if norm == "l2":
        start = np.linalg.svd(F, full_matrices=True)[0][:, :rank]
    start = start + 0.1 * np.cos(np.arange(1.0, 1.0 + n0 * rank)).reshape(n0, rank)
    axis = None if norm == "l2" else 1

    def negative(flat: np.ndarray) -> tuple[float, np.ndarray]:
        Z = flat.reshape(n0, rank)
        length = np.sqrt((Z * Z).sum(axis=axis, keepdims=True))
        U = Z / length
        rows = F.T @ U
        norms = np.sqrt((rows * rows).sum(axis=1))
        ascent = F @ (rows / np.maximum(norms, 1e-300)[:, None])
        along = (U * ascent).sum(axis=axis, keepdims=True)
        return -norms.sum(), ((U * along - ascent) / length).ravel()

    options = {"maxiter": ITERATIONS, "maxfun": 2 * ITERATIONS, "ftol": 1e-15, "gtol": 1e-10}
    found = minimize(negative, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    Z = found.x.reshape(n0, rank)
    rows = F.T @ (Z / np.sqrt((Z * Z).sum(axis=axis, keepdims=True)))
    norms = np.linalg.norm(rows, axis=1)
    inputs = np.linalg.norm(F @ (rows / np.maximum(norms, 1e-300)[:, None]), axis=1)
    return Cut(float(norms.sum() * size), norms * size, inputs * size)


def _columns(lfr: LFR) -> np.ndarray:
    """F, (n0, N + 1)."""
    n0 = lfr.inputs
    given, out = lfr.A.value[:, :n0], lfr.Y.value[0]
    middle, radius = 0.5 * (lfr.alpha + lfr.beta), 0.5 * (lfr.beta - lfr.alpha)
    gradient = out[:n0] + given.T @ (out[n0:] * middle)
    return np.hstack([given.T * (radius * out[n0:]), gradient[:, None]])


def _multipliers(lfr: LFR, cut: Cut, norm: str) -> np.ndarray:
    """LipSDP's multipliers from the dual y of the maximum cut.

    For l2 y satisfies diag(y) >= F^T F and rho = sum y, y = value * neurons. With
    s = 2 radius^2 t the constraint of a neuron is s (z^2 - v^2) for w = middle v + radius z, and
    eliminating z from M(rho, t) leaves
    rho I >= A_x^T diag(s) A_x + g g^T / (1 - sum_j (radius Y_w)_j^2 / s_j), g the last column of
    F. With s_j = rho (radius Y_w)_j^2 / y_j this is rho I >= rho F diag(1 / y) F^T, which y
    satisfies; hence t_j = rho Y_w_j^2 / (2 y_j). For l_inf, in the same way, y = neurons,
    diag(inputs) >= F diag(1 / y) F^T, and t_j = Y_w_j^2 / (2 y_j), tau = inputs, mu = sum y.
    """
    out = lfr.Y.value[0, lfr.inputs :]
    if cut.value == 0.0:  # a constant network
        zeros = np.zeros(0 if norm == "l2" else lfr.inputs + 1)
        return np.concatenate([interior(lfr), zeros])
    least = SMALL / max(len(out), 1)
    # where Y_w_j is 0 any small t will do, where row j of A is 0 any large one
    squares = out**2 + least**2 * (out @ out)
    t = squares / (2.0 * np.maximum(cut.neurons[:-1], least * cut.value))
    if norm == "l2":
        return cut.value * t
    return np.concatenate([t, cut.inputs, [cut.value]])
