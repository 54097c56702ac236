"""`rlopt certify`: one line and exit code 2 for every mistake."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from saved_policies import plain, refused, saved

from rlopt.agents import make


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("saved")


# --- options ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--norm", "l3"], "--norm must be l2 or linf, got 'l3'"),
        (["--budget", "soon"], "--budget must be a finite number, got 'soon'"),
        (["--budget", "0"], "--budget must be > 0 seconds, got 0"),
        (["--budget", "inf"], "--budget must be a finite number"),
        (["--max", "nan"], "--max must be a finite number, got 'nan'"),
        (["--max", "-1"], "--max must be >= 0, got -1"),
        (["--box", "1,2,3"], '--box must be "l1,l2,...:h1,h2,...", got \'1,2,3\''),
        (["--box", "1,2:3,4"], "--box needs 3 numbers on each side, got 2"),
        (["--box", "a,1,1:2,2,2"], "--box must be finite numbers with commas between"),
        (["--box", "3,1,1:2,2,2"], "--box: low must be <= high, got 3.0 > 2.0 in coordinate 0"),
        (["--box", "0,0,0:inf,2,2"], "--box must be finite numbers"),
        (["--activation", "mish"], "activation must be one of"),
        (["--action-low", "x"], "--action-low must be finite numbers"),
        (["--action-high", "1,2"], "--action-high must be 1 numbers, got 2"),
        (["--net", "critic"], "offers --net policy or q, not 'critic'"),
        (["--activation", "groupsort(3)"], "zip: activation groupsort"),
        (["--box"], "option '--box' requires an argument; see rlopt certify --help"),
        (["--bxo=1"], "no such option: --bxo"),
        (["--json=1"], "option '--json' does not take a value"),
        (["second\n.zip"], "extra argument"),
        (["--trust-pickle"], "--trust-pickle is for --vecnormalize"),
        (["--vecnormalize", "nothing.npz"], "cannot read nothing.npz: No such file"),
        (["--save", "no/folder/c.json"], "cannot write no/folder/c.json: there is no folder"),
    ],
)  # fmt: skip
def test_a_bad_option_gets_one_line(options: list[str], words: str, folder: Path) -> None:
    assert words in refused(saved("td3", folder), *options)


def test_bad_files_get_one_line(folder: Path, tmp_path: Path) -> None:
    good = saved("td3", folder).read_bytes()
    make("constant_quota", "rlopt/AllenFishery-v0").save(tmp_path / "rule.zip")
    (tmp_path / "cut.zip").write_bytes(good[:-100])
    (tmp_path / "noise.zip").write_bytes(np.random.default_rng(0).bytes(5000))
    torch.save({"0.weight": torch.full((2, 2), float("nan"))}, tmp_path / "nan.pth")
    torch.save({"0.weight": torch.ones(2, 2), "2.weight": torch.ones(1, 3)}, tmp_path / "shape.pth")
    torch.save({"conv.weight": torch.ones(1, 1, 3, 3)}, tmp_path / "conv.pth")
    torch.save({"0.weight": torch.full((2, 2), 1e300, dtype=torch.float64)}, tmp_path / "huge.pth")
    plain(tmp_path / "two.pth", 2, 3, 1)
    lines = [
        refused(tmp_path / name, *options)
        for name, *options in (
            ["missing.zip"], ["rule.zip"], ["cut.zip"], ["noise.zip"], ["nan.pth"],
            ["shape.pth", "--activation", "relu"], ["conv.pth"], ["huge.pth"], ["two.pth"],
        )
    ]  # fmt: skip
    assert len(set(lines)) == len(lines)
    assert all(str(tmp_path) in line or "too large" in line for line in lines)


def test_certify_alone_gets_one_line() -> None:
    assert refused() == "missing argument 'policy'; see rlopt certify --help"


@pytest.mark.parametrize("flag", ["--action-low", "--action-high"])
def test_bounds_without_effect(flag: str, folder: Path, tmp_path: Path) -> None:
    words = f"{flag} is for squashed actions, and this network squashes none"
    assert words in refused(saved("ppo", folder), flag, "-1")
    assert words in refused(saved("sac", folder), flag, "-1", "--net", "q")
    disc = plain(tmp_path / "disc.pth", 2, 6, 1)
    assert words in refused(disc, flag, "-1", "--activation", "tanh")


# --- statistics ---

GOOD = {"mean": [0.0] * 3, "var": [1.0] * 3, "epsilon": 1e-8, "clip_obs": 10.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": {"a": [0.0]}}, "Dict observations"),
        ({"mean": [0.0] * 2}, "2 means and 3 variances"),
        ({"mean": [0.0] * 2, "var": [1.0] * 2}, "statistics of 2 numbers do not fit to obs"),
        ({"mean": [[0.0]] * 3}, "s.json: mean must be one row of numbers, got shape (3, 1)"),
        ({"var": 1.0}, "s.json: var must be one row of numbers, got shape ()"),
        ({"var": [-1.0, 1.0, 1.0]}, "s.json: var must be >= 0, got -1"),
        ({"mean": [float("inf"), 1.0, 1.0]}, "s.json: mean must be finite, got inf"),
        ({"epsilon": 0.0}, "epsilon must be a number > 0, got 0.0"),
        ({"epsilon": float("inf")}, "epsilon must be a number > 0, got inf"),
        ({"epsilon": [1e-8] * 3}, "epsilon must be one number > 0, got shape (3,)"),
        ({"clip_obs": [10.0]}, "clip_obs must be one number > 0, got shape (1,)"),
        ({"var": [float("nan"), 1.0, 1.0]}, "must be finite"),
        ({"epsilon": "x"}, "epsilon must be a number > 0, got 'x'"),
        ({"clip_obs": 0.0}, "clip_obs must be a number > 0, got 0.0"),
        ({"clip_obs": None}, "clip_obs must be a number > 0, got None"),
        ({"mean": "abc"}, "must be real numbers"),
    ],
)
def test_bad_statistics(change: dict[str, Any], words: str, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(GOOD | change))
    assert words in refused(saved("ppo", folder), "--vecnormalize", path)


def test_statistics_in_columns_are_not_flattened(folder: Path, tmp_path: Path) -> None:
    column = np.ones((3, 1))
    np.savez(tmp_path / "s.npz", mean=column, var=column, epsilon=1e-8, clip_obs=10.0)
    line = refused(saved("ppo", folder), "--vecnormalize", tmp_path / "s.npz")
    assert line.endswith("s.npz: mean must be one row of numbers, got shape (3, 1)")
    (tmp_path / "empty.npz").touch()
    line = refused(saved("ppo", folder), "--vecnormalize", tmp_path / "empty.npz")
    assert line.endswith("empty.npz is empty")
