"""Environments with exact oracles, and the three adapters that run them."""

if not __name__.startswith("rlopt."):
    raise ImportError("import rlopt.envs, not envs: the root link would make a second copy of every class")
