"""Suites at the door: what is read, what is refused, and in which words."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import strangers
import yaml

from rlopt.bench.config import Suite, SuiteError, TrialSpec, load_suite
from rlopt.bench.results import read_result
from rlopt.bench.trial import run_trial

GOOD: dict[str, Any] = {
    "name": "small",
    "envs": ["rlopt/AllenFishery-v0"],
    "agents": ["oracle"],
    "seeds": 2,
    "steps": 10,
}
OTHERS = """
import gymnasium
from strangers import Target
from rlopt.envs.gym import FuncGymEnv

gymnasium.register("others/Blind-v0", entry_point=lambda: FuncGymEnv(Target(known=False)))
gymnasium.register("others/Seeing-v0", entry_point=lambda: FuncGymEnv(Target(target=0.25)))
"""


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "suite.yaml"
    content = {k: v for k, v in (GOOD | changes).items() if v is not None}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def complaint(path: Path) -> str:
    """The one line that a refused suite gets; it names the file."""
    with pytest.raises(SuiteError) as error:
        load_suite(path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_string_is_short_for_an_entry(tmp_path: Path) -> None:
    short = load_suite(write(tmp_path))
    long = load_suite(
        write(
            tmp_path,
            envs=[{"id": "rlopt/AllenFishery-v0", "kwargs": {}}],
            agents=[{"agent": "oracle"}],
        )
    )
    assert short == long
    assert (short.envs[0].label, short.agents[0].label) == ("AllenFishery", "oracle")


def test_names_are_what_tables_show(tmp_path: Path) -> None:
    suite = load_suite(
        write(
            tmp_path,
            envs=[{"id": "rlopt/AllenFishery-v0", "name": "Quiet", "kwargs": {"sigma": 0.01}}],
            agents=[{"agent": "constant_quota", "name": "quota"}],
        )
    )
    assert [trial.title for trial in suite.trials()] == ["Quiet/quota/0", "Quiet/quota/1"]


def test_seeds_are_a_number_or_a_list(tmp_path: Path) -> None:
    assert load_suite(write(tmp_path, seeds=3)).seeds == (0, 1, 2)
    assert load_suite(write(tmp_path, seeds=[7, 3])).seeds == (7, 3)


def test_trials_go_seed_by_seed(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, agents=["oracle", "random"]))
    assert [trial.title.partition("/")[2] for trial in suite.trials()] == [
        "oracle/0",
        "random/0",
        "oracle/1",
        "random/1",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"step": 10}, ["unknown key 'step'", "did you mean 'steps'?", "allowed: name"]),
        ({"envs": [{"id": "rlopt/AllenFishery-v0", "kwarg": {}}]}, ["did you mean 'kwargs'?"]),
        ({"agents": [{"agent": "oracle", "nmae": "x"}]}, ["agents.0.nmae", "'name'?"]),
        ({"envs": ["rlopt/AlenFishery-v0"]}, ["'rlopt/AlenFishery-v0'", "'rlopt/AllenFishery-v0'"]),
        ({"agents": ["orcale"]}, ["unknown agent 'orcale'", "did you mean 'oracle'?"]),
        (
            {"envs": [{"id": "rlopt/AllenFishery-v0", "kwargs": {"sigmaa": 0.1}}]},
            ["AllenFishery", "'sigmaa'", "did you mean 'sigma'?"],
        ),
        ({"envs": [{"id": "rlopt/AllenFishery-v0", "kwargs": {"C": 9.0}}]}, ["AllenFishery", "C"]),
        ({"envs": ["CartPole-v1"]}, ["CartPole", "FuncEnv"]),
        ({"agents": ["oracle", "oracle"]}, ["agents: 'oracle' appears twice"]),
        ({"envs": ["rlopt/AllenFishery-v0"] * 2}, ["envs: 'AllenFishery' appears twice"]),
        ({"seeds": 0}, ["seeds", "at least 1", "got 0"]),
        ({"seeds": [1, 1]}, ["a seed appears twice"]),
        ({"seeds": [3, -1]}, ["seeds", ">= 0", "got -1"]),
        ({"seeds": []}, ["seeds"]),
        ({"seeds": True}, ["seeds"]),
        ({"steps": 0}, ["steps", "greater than or equal to 1"]),
        ({"steps": "many"}, ["steps", "integer"]),
        ({"steps": None}, ["steps", "required"]),
        ({"envs": []}, ["envs"]),
        ({"name": ".."}, ["name", "pattern"]),
        ({"name": "a/b"}, ["name", "pattern"]),
        ({"imports": ["no_such_module_anywhere"]}, ["imports", "no_such_module_anywhere"]),
        ({"imports": ["strangers.no_part"]}, ["imports", "strangers.no_part"]),
        (
            {"agents": [{"agent": "ppo", "kwargs": {"when": yaml.safe_load("2020-01-01")}}]},
            ["agents.0.kwargs.when", "JSON"],
        ),
    ],
)
def test_bad_suites_are_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    message = complaint(write(tmp_path, **changes))
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"name: [unclosed", "not valid YAML"),
        (b"name: a\n\tb: c", "line 2"),
        (b"- just\n- a list", "got list"),
        (b"", "got NoneType"),
        (b"only words", "got str"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "not UTF-8"),
        (b"name: \x01\x02", "not valid YAML"),
        (b"seeds: 2020-13-45", "month"),
        (b"name: *nobody", "nobody"),
        (b"[" * 5000, "not valid YAML"),
        (b"? {a: 1}\n: 2", "not valid YAML"),
    ],
)
def test_unreadable_yaml_is_refused_in_one_line(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(content)
    assert word in complaint(path)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    assert "No such file" in complaint(tmp_path / "nothing.yaml")
    assert "directory" in complaint(tmp_path)


@pytest.mark.parametrize(
    ("body", "word"),
    [("def broken(:", "invalid syntax"), ("{}['x']", "KeyError"), ("1 / 0", "division by zero")],
)
def test_a_module_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, word: str
) -> None:
    (tmp_path / "failing_module.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    message = complaint(write(tmp_path, imports=["failing_module"]))
    assert "imports: failing_module" in message
    assert word in message


def test_imports_register_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "others.py").write_text(OTHERS)
    monkeypatch.syspath_prepend(tmp_path)
    path = write(
        tmp_path, imports=["others"], envs=["others/Blind-v0", "others/Seeing-v0"], seeds=1
    )
    blind, seeing = load_suite(path).trials()
    found = run_trial(seeing, tmp_path, lambda steps: None)
    assert (found["status"], found["value"]) == ("ok", 0.0)
    assert found["reference"]["regret"] == pytest.approx(4 * 0.25**2, abs=1e-9)
    failed = run_trial(blind, tmp_path, lambda steps: None)
    assert failed["status"] == "failed"
    assert failed["error"]["message"] == (
        "others/Blind-v0 has no oracle: its agents cannot be scored by regret"
    )
    assert read_result(tmp_path / blind.id) == failed


def test_agents_of_another_package_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, agents=[strangers.AGENT])
    assert "unknown agent 'stranger'" in complaint(path)
    strangers.install(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert load_suite(path).agents[0].agent == strangers.AGENT


SPEC = TrialSpec(
    env={"name": "a", "id": "rlopt/AllenFishery-v0", "kwargs": {"sigma": 0.1, "C": 5.0}},
    agent={"name": "b", "agent": "ppo", "kwargs": {"net": [64, 64], "deep": {"x": None}}},
    seed=1,
    steps=100,
)


def test_ids_are_the_same_in_every_process() -> None:
    code = (
        "import json, sys; from rlopt.bench.config import TrialSpec;"
        "print(TrialSpec(**json.load(sys.stdin)).id)"
    )
    # keys in another order are the same trial
    other = {
        "steps": 100,
        "seed": 1,
        "agent": dict(reversed(SPEC.agent.items())),
        "env": {**SPEC.env, "kwargs": dict(reversed(SPEC.env["kwargs"].items()))},
    }
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, input=json.dumps(other), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == SPEC.id
    assert len(SPEC.id) == 16
    assert set(SPEC.id) <= set("0123456789abcdef")


def test_ids_change_with_every_field() -> None:
    variants = [
        SPEC,
        replace(SPEC, seed=2),
        replace(SPEC, steps=101),
        *(
            replace(SPEC, env=SPEC.env | {key: value})
            for key, value in {"name": "z", "id": "rlopt/MayFishery-v0", "kwargs": {}}.items()
        ),
        *(
            replace(SPEC, agent=SPEC.agent | {key: value})
            for key, value in {"name": "z", "agent": "a2c", "kwargs": {}}.items()
        ),
        replace(SPEC, env=SPEC.env | {"kwargs": {"sigma": 0.2, "C": 5.0}}),
        replace(SPEC, agent=SPEC.agent | {"kwargs": {"net": [64, 65], "deep": {"x": None}}}),
        replace(SPEC, agent=SPEC.agent | {"kwargs": {"net": [64, 64], "deep": {"x": False}}}),
    ]
    assert len({variant.id for variant in variants}) == len(variants)


def test_the_hash_of_a_suite_ignores_only_its_description(tmp_path: Path) -> None:
    suite = Suite.model_validate(GOOD)
    assert suite.hash == Suite.model_validate(GOOD | {"description": "words"}).hash
    for key, value in {"steps": 11, "seeds": 3, "agents": ["random"], "imports": ["x"]}.items():
        assert suite.hash != Suite.model_validate(GOOD | {key: value}).hash


@pytest.mark.parametrize(
    ("wrong", "right"), [("env", "envs"), ("seed", "seeds"), ("stepps", "steps")]
)
def test_a_misspelt_required_key_is_recognised(tmp_path: Path, wrong: str, right: str) -> None:
    path = write(tmp_path)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content[wrong] = content.pop(right)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert f"did you mean {right!r}" in complaint(path)
