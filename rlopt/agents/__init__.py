"""Agents and online learners, made by name."""

if not __name__.startswith("rlopt."):
    raise ImportError("import rlopt.agents, not agents: the root link would make a second copy of every class")
