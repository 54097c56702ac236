"""Lipschitz constants of networks, bracketed: proved from above, attained from below."""

from rlopt.theory.lipschitz.certificate import Certificate, repair
from rlopt.theory.lipschitz.descent import penalty
from rlopt.theory.lipschitz.envelope import gradient
from rlopt.theory.lipschitz.jacobian import interval_jacobian
from rlopt.theory.lipschitz.layerwise import eclipse
from rlopt.theory.lipschitz.lower import lower_bound
from rlopt.theory.lipschitz.maxcut import mixing
from rlopt.theory.lipschitz.network import Network
from rlopt.theory.lipschitz.norms import product_bound
from rlopt.theory.lipschitz.pieces import exact
from rlopt.theory.lipschitz.portfolio import certify
from rlopt.theory.lipschitz.propagation import jacobian_propagation
from rlopt.theory.lipschitz.semidefinite import lipsdp

__all__ = [
    "Certificate",
    "Network",
    "certify",
    "eclipse",
    "exact",
    "gradient",
    "interval_jacobian",
    "jacobian_propagation",
    "lipsdp",
    "lower_bound",
    "mixing",
    "penalty",
    "product_bound",
    "repair",
]
