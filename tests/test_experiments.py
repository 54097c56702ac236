"""The papers' tables are what the scripts wrote, and every figure that a page shows is there."""

import re
from pathlib import Path

import pytest
from house import ROOT

PAGES = sorted((ROOT / "experiments").glob("*/README.md"))
QUOTED = re.compile(r"<!-- (results/\w+\.md) -->\n((?:\|[^\n]*\|\n)+)")
LINKED = re.compile(r"\]\((?!https?://|#)([^)#]+)[^)]*\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_tables_are_quoted_as_written(page: Path) -> None:
    quoted = QUOTED.findall(page.read_text(encoding="utf-8"))
    assert quoted
    for name, table in quoted:
        assert (page.parent / name).read_text(encoding="utf-8").strip() == table.strip(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_what_is_linked_exists(page: Path) -> None:
    linked = LINKED.findall(page.read_text(encoding="utf-8"))
    assert linked
    assert not [name for name in linked if not (page.parent / name).exists()]
