"""What the README shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import gymnasium
import pytest

from rlopt.envs.registry import ENVIRONMENTS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_readme_shows(capsys: pytest.CaptureFixture[str]) -> None:
    [(code, output)] = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == output


def test_the_table_lists_every_environment() -> None:
    listed = set(re.findall(r"\| `(rlopt/[\w-]+)`", README))
    assert listed == set(ENVIRONMENTS)
    assert listed == {name for name in gymnasium.registry if name.startswith("rlopt/")}


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target
