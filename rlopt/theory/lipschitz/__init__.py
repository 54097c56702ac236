"""Lipschitz constants of networks, bracketed: proved from above, attained from below."""

from rlopt.theory.lipschitz.certificate import Certificate, repair
from rlopt.theory.lipschitz.eclipse import eclipse
from rlopt.theory.lipschitz.exact import exact
from rlopt.theory.lipschitz.gradient import gradient
from rlopt.theory.lipschitz.jacobian import interval_jacobian
from rlopt.theory.lipschitz.lipsdp import lipsdp
from rlopt.theory.lipschitz.lower import lower_bound
from rlopt.theory.lipschitz.mixing import mixing
from rlopt.theory.lipschitz.network import Network
from rlopt.theory.lipschitz.norms import product_bound
from rlopt.theory.lipschitz.penalty import penalty
from rlopt.theory.lipschitz.portfolio import certify
from rlopt.theory.lipschitz.propagation import jacobian_propagation

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
