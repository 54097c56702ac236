"""The papers' tables are what the scripts wrote, and every figure that a page shows is there."""

import re
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
