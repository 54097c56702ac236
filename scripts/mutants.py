"""Nine ways to get optimistic mirror descent wrong, and the tests that notice.

Each mutant is one exact replacement in a copy of the sources; the tests of mirror descent run on
the copy. Bounds with adaptive steps are too slack to tell any of the nine from the right code.

    python scripts/mutants.py     prints the table and writes experiments/sea/results/mutants.md

Exit status 1 if a mutant survives.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/test_omd.py", "tests/test_rvu.py", "tests/test_mirror.py", "tests/test_omd_runs.py")
COPIED = ("rlopt", "tests", "pyproject.toml", "conftest.py")
KINDS = {
    "of them bounds of a constant step": "test_omd.py::test_the_bound_of_a_constant_step",
    "of them the identity per round": "test_rvu.py",
}
TABLE = ROOT / "experiments/sea/results/mutants.md"
OMD, STEPS, MIRROR = (f"rlopt/agents/online/{name}.py" for name in ("omd", "steps", "mirror"))
PLAY = "self.x = self.mirror.step(x_hat, M, eta, self.space)"
SCHEDULE = "self._schedule = schedule\n"


class Mutant(NamedTuple):
    """One error: the text that is replaced, once, in one file."""

    name: str
    path: str
    right: str
    wrong: str


def scaled(factor: float) -> str:
    """The line that takes up a schedule, with every step scaled."""
    return f"self._schedule = schedule = lambda t, V, _s=schedule: {factor} * _s(t, V)\n"


MUTANTS = (
    Mutant("hint dropped", OMD, PLAY, PLAY.replace("M,", "0.0 * M,")),
    Mutant("hint's sign flipped", OMD, PLAY, PLAY.replace("M,", "-M,")),
    Mutant("hint doubled", OMD, PLAY, PLAY.replace("M,", "2.0 * M,")),
    Mutant("step doubled", OMD, SCHEDULE, scaled(2.0)),
    Mutant("step halved", OMD, SCHEDULE, scaled(0.5)),
    Mutant(
        "no 4 G^2 in the step",
        STEPS,
        "floor = self.delta + 4.0 * self.G * self.G",
        "floor = self.delta",
    ),
    Mutant(
        "projection missing",
        MIRROR,
        "return space.project(x - _column(eta) * g)",
        "return x - _column(eta) * g",
    ),
    Mutant(
        "one sequence: the second step starts at x",
        OMD,
        "x_hat = self.mirror.step(self.x_hat, g,",
        "x_hat = self.mirror.step(self.x, g,",
    ),
    Mutant(
        "AdaGrad's V: squared gradients, not errors of hints",
        OMD,
        "error = g - self.M",
        "error = g",
    ),
)


def apply(mutant: Mutant, tree: Path) -> None:
    """Write a mutant into a copy of the sources; ValueError unless its text is there once."""
    text = (tree / mutant.path).read_text(encoding="utf-8")
    if (found := text.count(mutant.right)) != 1:
        raise ValueError(f"{mutant.name}: {mutant.right!r} is {found} times in {mutant.path}")
    (tree / mutant.path).write_text(text.replace(mutant.right, mutant.wrong), encoding="utf-8")


def failures(tree: Path) -> list[str]:
    """The tests that fail in a copy of the sources, in the order in which they run.

    Raises:
        RuntimeError: pytest itself failed.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *TESTS], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    failed = re.findall(r"^FAILED tests/(\S+)", done.stdout, re.MULTILINE)
    if (done.returncode == 1) != bool(failed):
        raise RuntimeError(f"cannot tell what failed:\n{done.stdout}")
    return failed


def run(mutant: Mutant | None) -> list[str]:
    """The tests that fail with a mutant, or with the sources as they are."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                shutil.copy(ROOT / name, tree / name)
        if mutant is not None:
            apply(mutant, tree)
        return failures(tree)


def main() -> int:
    """Apply the mutants one at a time; print and write the table."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    if failed := run(None):
        raise RuntimeError(f"the tests must pass before mutants say anything; these fail: {failed}")
    heads = ["mutant", "killed by (first test that fails)", "tests that fail", *KINDS]
    rows, survivors = [f"| {' | '.join(heads)} |", f"| {' | '.join(['---'] * len(heads))} |"], 0
    for mutant in MUTANTS:
        failed = run(mutant)
        survivors += not failed
        killer = f"`{failed[0]}`" if failed else "**nothing**"
        counts = [sum(test.startswith(kind) for test in failed) for kind in ("", *KINDS.values())]
        rows.append(f"| {' | '.join([mutant.name, killer, *map(str, counts)])} |")
        print(rows[-1], flush=True)
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
