"""The papers' tables are what the scripts wrote, and every figure that a page shows is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from house import ROOT

PAGES = sorted((ROOT / "experiments").glob("*/README.md"))
DOCS = sorted((ROOT / "docs").rglob("*.md"))
QUOTED = re.compile(r"<!-- ([\w./]*results/\w+\.md) -->\n((?:\|[^\n]*\|\n)+)")
LINKED = re.compile(r"\]\((?!https?://|#)([^)#]+)[^)]*\)")


def quoted(page: Path) -> int:
    """The number of tables that a page quotes, each as its script wrote it."""
    found = QUOTED.findall(page.read_text(encoding="utf-8"))
    for name, table in found:
        assert (page.parent / name).read_text(encoding="utf-8").strip() == table.strip(), name
    return len(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_tables_are_quoted_as_written(page: Path) -> None:
    assert quoted(page)


def test_documentation_quotes_as_written() -> None:
    assert sum(quoted(page) for page in DOCS) >= 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_what_is_linked_exists(page: Path) -> None:
    linked = LINKED.findall(page.read_text(encoding="utf-8"))
    assert linked
    assert not [name for name in linked if not (page.parent / name).exists()]


JOBS = [
    *(ROOT / "scripts").glob("*.py"),
    *(ROOT / "benchmarks").glob("*.py"),
    *(ROOT / "experiments").glob("*/*.py"),
]
JOBS = sorted(job for job in JOBS if "__main__" in job.read_text(encoding="utf-8"))


@pytest.mark.parametrize("job", JOBS, ids=lambda job: f"{job.parent.name}/{job.stem}")
def test_a_job_asks_for_its_arguments_first(job: Path) -> None:
    """--help must answer, not run for minutes and write results: see the next test."""
    started = re.split(r"^def main\(.*|^if __name__.*", job.read_text(encoding="utf-8"), flags=re.M)
    code = re.sub(r'^\s*""".*?"""\n', "", started[1], flags=re.S)
    assert re.match(r"\s*(described\(__doc__\)|(parser = )?argparse\.ArgumentParser\()", code), (
        code[:200]
    )


@pytest.mark.parametrize("job", ["scripts/mutants.py", "experiments/sea/pep.py"])
def test_help_is_the_docstring_and_other_arguments_are_refused(job: str) -> None:
    def run(argument: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / job), argument]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    helped, refused = run("--help"), run("--halp")
    assert helped.returncode == 0
    assert (ROOT / job).read_text(encoding="utf-8").split('"""')[1].strip() in helped.stdout
    assert refused.returncode == 2 and "unrecognized arguments: --halp" in refused.stderr
