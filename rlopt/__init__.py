"""rlopt: every task is an environment with an oracle, every method an agent, every score regret."""

__version__ = "0.1.0"
