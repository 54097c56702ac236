"""rlopt: every task is an environment with an oracle, every method an agent, every score regret."""

from rlopt.envs.registry import register_all

__version__ = "0.1.0"

register_all()
