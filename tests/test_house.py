"""The house rules of CONTRIBUTING.md: imports, links, packaging, sizes."""

import pydoc
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import gymnasium
import pytest
from house import HEAVY, ROOT, breaches, module_name, tracked

import rlopt

LINKS = ("agents", "envs", "theory")
MODULES = sorted((ROOT / "rlopt").rglob("*.py"))
FRONTS = ["rlopt", *(["rlopt.cli"] if list((ROOT / "rlopt").glob("cli*")) else [])]


def python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


# --- imports ---


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_rooms_import_only_what_they_may(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert not breaches(source, module_name(path), package=path.name == "__init__.py")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("rlopt.theory.dp", "import rlopt.envs.core"),
        ("rlopt.theory.dp", "from rlopt import envs"),
        ("rlopt.theory.dp", "from ..envs import core"),
        ("rlopt.theory.dp", "import gymnasium"),
        ("rlopt.theory.dp", "def f():\n    import pandas.core"),
        ("rlopt.theory.dp", "import rlopt"),
        ("rlopt.envs.core", "import rlopt.agents.core"),
        ("rlopt.envs.vector", "import stable_baselines3"),
        ("rlopt.envs.fishery.picture", "from rlopt.bench.report import page"),
        ("rlopt.agents.gpdp", "from rlopt.envs.fishery import Fishery"),
        ("rlopt.agents.gpdp", "from rlopt.envs import Fishery"),
        ("rlopt.agents.gpdp", "from rlopt import cli"),
        ("rlopt.agents.gpdp", "from importlib import import_module\nimport_module('rlopt.bench')"),
        ("rlopt.agents.gpdp", "import rlopt.envs.core_of_something"),
        ("rlopt.bench.trial", "import rlopt.cli"),
        ("rlopt.cli", "from rlopt.envs.core import FuncEnv"),
        ("rlopt.cli", "from rlopt.agents.core import make"),
        ("rlopt.data.herring", "from rlopt.theory import stock"),
        ("rlopt.spaces", "from rlopt.envs.core import FuncEnv"),
        ("rlopt", "from rlopt import cli"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    assert len(breaches(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("rlopt.theory.dp", "import math, numpy as np\nfrom scipy import special\nimport cvxpy"),
        ("rlopt.theory.dp", "from . import stock\nfrom .stock import Allen"),
        ("rlopt.theory.dp", "from rlopt.data import herring"),
        ("rlopt.envs.fishery.env", "from ..core import FuncEnv\nfrom rlopt.theory import dp"),
        ("rlopt.envs.sb3", "from stable_baselines3.common.vec_env import VecEnv"),
        ("rlopt.agents.gpdp", "from rlopt.envs import core\nfrom rlopt.envs.gym import FuncGymEnv"),
        ("rlopt.agents.gpdp", "import sklearn"),
        ("rlopt.bench.trial", "import rlopt.envs.fishery, rlopt.agents.core, rlopt"),
        ("rlopt.cli", "from rlopt.agents.weights import load\nfrom rlopt import __version__"),
    ],
)
def test_an_allowed_import_is_left_alone(module: str, source: str) -> None:
    assert not breaches(source, module)


def test_relative_imports_resolve_from_a_package_too() -> None:
    assert breaches("from . import envs", "rlopt.theory", package=True) == []
    assert len(breaches("from .. import envs", "rlopt.theory", package=True)) == 1
    assert len(breaches("from ...envs import core", "rlopt.theory.lipschitz", package=True)) == 1


@pytest.mark.parametrize("module", FRONTS)
def test_the_front_door_loads_nothing_heavy(module: str) -> None:
    done = python(f"import sys, {module}; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not set(HEAVY) & set(done.stdout.split())


# --- links ---


@pytest.mark.parametrize("name", LINKS)
def test_root_links_lead_into_the_package(name: str) -> None:
    link = ROOT / name
    if not link.is_symlink() and link.is_file():
        pytest.skip("this checkout was made without symbolic links")
    assert link.readlink() == Path("rlopt", name)


@pytest.mark.parametrize("name", LINKS)
def test_importing_through_a_root_link_is_refused(name: str) -> None:
    done = python(f"import {name}")
    assert done.returncode != 0
    assert f"import rlopt.{name}, not {name}" in done.stderr


# --- packaging ---


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wheel_made_from_sdist_holds_the_whole_package(tmp_path: Path) -> None:
    files = tracked()
    tree = tmp_path / "tree"
    for path in files:
        copy = tree / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy, follow_symlinks=False)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    wanted = {str(path.relative_to(ROOT)) for path in files if path.is_relative_to(ROOT / "rlopt")}
    with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert "rlopt/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    with tarfile.open(next(out.glob("*.tar.gz"))) as sdist:
        roots = {member.name.split("/")[1] for member in sdist if "/" in member.name}
    assert not roots & set(LINKS)


def test_pins_are_exact_and_portable() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert "torch==2.13.0" in pins
    for line in pins:
        assert re.fullmatch(r"[\w.-]+==[\w.!]+", line), line
    assert not any(line.lower().startswith(("rlopt==", "nvidia", "triton")) for line in pins)


# --- files ---


def test_the_linter_reads_every_module_once() -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is None:
        pytest.skip("ruff is not installed beside this Python")
    command = [ruff, "check", "--show-files", "--no-cache", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    seen = [Path(line).relative_to(ROOT) for line in done.stdout.splitlines() if line]
    assert len(seen) == len(set(seen))
    assert {path.relative_to(ROOT) for path in MODULES} <= set(seen)
    assert not any(path.parts[0] in LINKS for path in seen)


def test_no_python_file_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked()
        if path.suffix == ".py" and not path.is_symlink()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert not long


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    # a path from the root, not the tail of an address or of a relative path
    place = re.compile(rb"(?<![\w.~)}-])/(?:work|root|home|Users|opt)/\w")
    named = [
        f"{path.relative_to(ROOT)}: {match.group().decode()}"
        for path in tracked()
        if not path.is_symlink()
        for content in [path.read_bytes()]
        if b"\0" not in content
        for match in place.finditer(content)
    ]
    assert not named


# --- the table of CONTRIBUTING.md ---


def table() -> dict[str, tuple[str, str]]:
    """What to add -> where to write it, where to register it."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("## How many files do I touch?")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return {what.strip(): (write, register) for what, write, register in rows[2:]}


def test_every_room_in_the_table_exists() -> None:
    rows = table()
    assert len(rows) == 4
    for write, register in rows.values():
        assert re.match(r" one (file|function|YAML file) in `", write)
        assert re.match(r" (one line of `|nothing)", register)
        for place in re.findall(r"`([\w/.]+)`", write + register):
            assert (ROOT / place).exists(), place


def test_every_name_in_paper_to_code_exists() -> None:
    for page in (ROOT / "docs" / "paper-to-code").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for place in re.findall(r"`(tests/[\w/.]+)`", text):
            assert (ROOT / place).exists(), f"{page.name}: {place}"
        for name in re.findall(r"`(rlopt(?:\.\w+)+)`", text):
            assert pydoc.locate(name) is not None, f"{page.name}: {name}"


def lines_with(what: str, name: str) -> int:
    """How many lines of the registry file that the table names for `what` hold "name"."""
    (where,) = re.findall(r"`(.*)`", table()[what][1])
    lines = (ROOT / where).read_text(encoding="utf-8").splitlines()
    return sum(f'"{name}"' in line for line in lines)


def test_an_environment_takes_one_line() -> None:
    ids = [spec.id for spec in gymnasium.registry.values() if spec.namespace == "rlopt"]
    assert ids
    for name in ids:
        assert lines_with("an environment with its oracle", name) == 1, name


def test_an_agent_takes_one_line() -> None:
    from rlopt.agents.registry import AGENTS

    assert AGENTS
    for name in AGENTS:
        assert lines_with("an agent or a learner", name) == 1, name


def test_a_bound_registers_itself() -> None:
    registry = pytest.importorskip("rlopt.theory.registry")
    reed = pytest.importorskip("rlopt.theory.reed")
    assert registry.bounds()["reed_value"].function is reed.reed_value


def test_the_version_is_said_once() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == rlopt.__version__
    assert f"version: {rlopt.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## [{rlopt.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_rooms_are_attributes_of_the_package() -> None:
    """`import rlopt` is enough for `rlopt.agents.make` and `rlopt.bench.load`."""
    code = "import rlopt; rlopt.agents.names(); rlopt.bench.load; rlopt.theory; rlopt.envs.FuncEnv"
    subprocess.run([sys.executable, "-c", code], check=True)
