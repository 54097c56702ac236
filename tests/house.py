"""Who may import whom, read off the syntax tree; the rules of CONTRIBUTING.md as code."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "stable_baselines3", "cvxpy", "pandas", "plotly", "matplotlib")


@dataclass(frozen=True)
class Room:
    """What the modules under one name may import.

    Attributes:
        inside: Prefixes of rlopt's own modules that are allowed.
        outside: Third-party packages that are allowed; None if any is.
    """

    inside: tuple[str, ...]
    outside: tuple[str, ...] | None = None


ARRAYS = ("numpy", "scipy", "torch", "array_api_compat")
EDGES = tuple(f"rlopt.envs.{name}" for name in ("core", "gym", "vector", "sb3"))
ALL_ROOMS = ("rlopt.theory", "rlopt.spaces", "rlopt.envs", "rlopt.agents", "rlopt.data")

# The longest matching name decides. Every room may read the data; that is added below.
ROOMS = {
    "rlopt": Room(ALL_ROOMS),
    "rlopt.__main__": Room(("rlopt.cli",)),
    "rlopt.data": Room((), ("numpy", "sklearn")),
    "rlopt.spaces": Room(("rlopt.theory",), (*ARRAYS, "gymnasium")),
    "rlopt.theory": Room(("rlopt.theory",), (*ARRAYS, "cvxpy", "flint")),
    "rlopt.envs": Room(
        ("rlopt.envs", "rlopt.theory", "rlopt.spaces"), (*ARRAYS, "gymnasium", "matplotlib")
    ),
    "rlopt.envs.sb3": Room(
        ("rlopt.envs", "rlopt.theory", "rlopt.spaces"), (*ARRAYS, "gymnasium", "stable_baselines3")
    ),
    "rlopt.agents": Room(("rlopt.agents", "rlopt.theory", "rlopt.spaces", *EDGES)),
    "rlopt.bench": Room((*ALL_ROOMS, "rlopt.bench")),
    "rlopt.cli": Room(("rlopt.cli", "rlopt.bench", "rlopt.theory", "rlopt.agents.weights")),
}
# the bare package loads nothing, but what hangs on it may be anything
BARE = ("rlopt.bench", "rlopt.cli")


def within(name: str, prefix: str) -> bool:
    """Whether a dotted name is the prefix or lies under it."""
    return name == prefix or name.startswith(prefix + ".")


def imports(source: str, module: str, *, package: bool = False) -> Iterator[tuple[str, int]]:
    """Every name that a module imports, wherever it does so, with the line.

    `from a import b` counts as a.b, since b may be a module. Literal arguments of import_module
    count too.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = module.split(".")
                parent = here[: len(here) - node.level + package]
                base = ".".join([*parent, *([base] if base else [])])
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno
        elif isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in ("import_module", "__import__") and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.value, node.lineno


def breaches(source: str, module: str, *, package: bool = False) -> list[str]:
    """What a module imports against the rules, one sentence each."""
    name = max((room for room in ROOMS if within(module, room)), key=len)
    room = ROOMS[name]
    found = []
    for target, line in imports(source, module, package=package):
        top = target.partition(".")[0]
        if top != "rlopt":
            allowed = top in sys.stdlib_module_names or room.outside is None or top in room.outside
        elif target in ("rlopt.__version__", "rlopt"):
            allowed = target != "rlopt" or any(within(module, bare) for bare in BARE)
        else:
            allowed = any(within(target, prefix) for prefix in (*room.inside, "rlopt.data"))
        if not allowed:
            found.append(f"{module}:{line} imports {target}, which {name} may not")
    return found


def module_name(path: Path) -> str:
    """rlopt/a/b.py -> rlopt.a.b, rlopt/a/__init__.py -> rlopt.a."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tracked() -> list[Path]:
    """The files of the repository that git knows or would add; links are not followed."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [ROOT / name for name in done.stdout.split("\0") if name]
    return [path for path in paths if path.is_symlink() or path.is_file()]
