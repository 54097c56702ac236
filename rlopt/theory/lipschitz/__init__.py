"""Lipschitz constants of networks, bracketed: proved from above, attained from below."""

from rlopt.theory.lipschitz.certificate import Certificate, repair
from rlopt.theory.lipschitz.network import Network

__all__ = ["Certificate", "Network", "repair"]
