"""Pure mathematics: oracles, bounds and certificates; knows no environment and no agent."""

if not __name__.startswith("rlopt."):
    raise ImportError(
        "import rlopt.theory, not theory: the root link would make a second copy of every class"
    )
