"""Write constraints.txt: one exact version for everything that rlopt can install.

All extras are installed into a fresh virtual environment outside the tree and read back, so the
file holds a set of versions that stood together once. Ray is only resolved on top of them: it is
large, and no part of the tests needs it. Run it with `python scripts/constraints.py`.

Torch comes first and without CUDA. Its local suffix (`+cpu`) is dropped from the file, because
a pin that carries it cannot be found on a machine that gets its wheels from elsewhere.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = "2.13.0"
RESOLVED_ONLY = ("ray",)
HEADER = "# Exact versions that were installed together. Made by scripts/constraints.py.\n"


def requirements(pyproject: Path) -> tuple[list[str], list[str]]:
    """What to install, and what only to resolve, as requirement strings."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    install = list(project["dependencies"])
    for name, wanted in extras.items():
        if name not in RESOLVED_ONLY:
            install += wanted
    return install, [line for name in RESOLVED_ONLY for line in extras[name]]


def pip(python: Path, *arguments: str) -> str:
    """Run pip, quiet but for errors, and return what it prints."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "-qq", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"pip {arguments[0]} failed with exit status {done.returncode}")
    return done.stdout


def resolve(python: Path, report: Path, *arguments: str) -> dict[str, str]:
    """Name -> version of everything that such an install would add."""
    pip(python, "install", "--dry-run", "--report", str(report), *arguments)
    found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {item["metadata"]["name"]: item["metadata"]["version"] for item in found}


def pins(versions: dict[str, str]) -> str:
    """The text of the constraints file: sorted, without local suffixes and without rlopt."""
    names = sorted(
        (name for name in versions if name != "rlopt"),
        key=lambda name: re.sub(r"[-_.]+", "-", name).lower(),
    )
    return HEADER + "".join(f"{name}=={versions[name].partition('+')[0]}\n" for name in names)


def write(path: Path, text: str) -> None:
    """Replace the file in one step, so that an interrupted run leaves the old one whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def main() -> None:
    """Install, read back, resolve the rest, write."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    install, only_resolve = requirements(ROOT / "pyproject.toml")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        venv.create(place / "venv", with_pip=True)
        python = place / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
        torch = f"torch=={TORCH}"
        cuda = [
            name
            for name in resolve(python, place / "torch.json", torch)
            if name.startswith(("nvidia", "cuda", "triton"))
        ]
        if cuda:
            raise SystemExit(
                f"{torch} would bring {', '.join(cuda[:3])}; let pip find PyTorch's CPU wheel "
                "(for instance with PIP_FIND_LINKS) and run this again"
            )
        floor = place / "torch.txt"
        floor.write_text(torch + "\n", encoding="utf-8")
        print(f"installing {len(install)} requirements into a fresh environment")
        pip(python, "install", "-c", str(floor), torch, *install)
        frozen = pip(python, "freeze", "--all")
        versions = dict(line.split("==", 1) for line in frozen.splitlines() if "==" in line)
        versions.pop("pip", None)
        settled = place / "settled.txt"
        settled.write_text(pins(versions), encoding="utf-8")
        print(f"resolving {', '.join(only_resolve)} on top of {len(versions)} versions")
        versions |= resolve(python, place / "rest.json", "-c", str(settled), *only_resolve)
    write(ROOT / "constraints.txt", pins(versions))
    print(f"constraints.txt: {len(versions)} versions")


if __name__ == "__main__":
    main()
