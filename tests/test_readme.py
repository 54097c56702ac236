"""What the README shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import gymnasium
import pytest

from rlopt.envs.registry import ENVIRONMENTS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, re.DOTALL)


def test_every_example_shows_its_output() -> None:
    assert len(EXAMPLES) == README.count("```python") == 3


@pytest.mark.parametrize(("code", "output"), EXAMPLES)
def test_the_example_prints_what_the_readme_shows(
    code: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == output


def test_the_table_lists_every_environment() -> None:
    rows = re.findall(r"^\| (`rlopt/[^|]*)\|", README, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(rlopt/[\w-]+)`", row)}
    assert listed == set(ENVIRONMENTS)
    assert listed == {name for name in gymnasium.registry if name.startswith("rlopt/")}


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target
