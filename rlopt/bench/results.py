"""Reading results: the one place that knows how a folder of trials looks on disk.

runs/<suite>/suite.json and, per trial, a folder with config.json, result.json, metrics.parquet
and perhaps model.zip. A trial is done if and only if its result.json says so and every file
that it lists has the size and the checksum written there; anything else is run again.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

if TYPE_CHECKING:
    import pandas as pd

RESULT = "result.json"
CONFIG = "config.json"
METRICS = "metrics.parquet"
SUITE = "suite.json"
UNKNOWN = "(unknown)"
COLUMNS = [
    "agent",
    "env",
    "seed",
    "status",
    "score",
    "regret",
    "regret_error",
    "value",
    "optimum",
    "regret_while_learning",
    "steps",
    "seconds",
    "cpu_seconds",
    "error",
    "trial",
]


class SuiteInfo(TypedDict, total=False):
    """suite.json: what was run, when, where and how to run it again."""

    name: str
    description: str
    command: str
    started: str
    seconds: float
    cpu_seconds: float
    rlopt: str
    commit: str | None
    versions: dict[str, str]
    machine: str
    hash: str
    trials: list[str]
    agents: list[str]
    envs: list[str]
    seeds: list[int]
    steps: int


class AgentInfo(TypedDict, total=False):
    """The agent of a trial: the name it goes by, its id and its arguments."""

    name: str
    agent: str
    kwargs: dict[str, Any]


class EnvInfo(TypedDict, total=False):
    """The environment of a trial: the name it goes by, its Gymnasium id and its arguments."""

    name: str
    id: str
    kwargs: dict[str, Any]


class Trial(TypedDict, total=False):
    """What config.json pins down: environment, agent, seed and budget."""

    id: str
    agent: AgentInfo
    env: EnvInfo
    seed: int
    steps: int


class OracleInfo(TypedDict, total=False):
    """The oracle's value and how it is known."""

    value: float
    lower: float
    upper: float
    method: str
    tolerance: float
    exact: bool
    note: str


class ReferenceInfo(TypedDict, total=False):
    """The policy whose score is 0."""

    agent: str
    value: float
    regret: float


class TaskInfo(TypedDict, total=False):
    """What the page says about the environment."""

    title: str
    sentence: str
    unit: str
    gamma: float
    horizon: int | None


class PolicyInfo(TypedDict, total=False):
    """A policy over one state variable, beside the oracle's."""

    title: str
    x_label: str
    y_label: str
    x: list[float]
    agent: list[float]
    oracle: list[float]
    hazard: float | None
    hazard_label: str | None


class ErrorInfo(TypedDict, total=False):
    """Why a trial failed."""

    type: str
    message: str
    traceback: str


class Result(TypedDict, total=False):
    """result.json; the numbers of a failed trial are None."""

    status: str
    trial: Trial
    score: float | None
    regret: float | None
    regret_error: float | None
    value: float | None
    optimum: float | None
    regret_while_learning: float | None
    measures: dict[str, float]
    oracle: OracleInfo | None
    reference: ReferenceInfo | None
    task: TaskInfo | None
    agent_note: str
    baseline: bool
    learned: bool
    steps: int | None
    seconds: float | None
    cpu_seconds: float | None
    policy: PolicyInfo | None
    error: ErrorInfo | None
    files: dict[str, dict[str, Any]]
    versions: dict[str, str]


@dataclass(frozen=True)
class Results:
    """Everything a report is made from.

    Attributes:
        folder: where it was read
        suite: suite.json, filled in from the trials where keys are missing
        records: one result per trial, failed and damaged ones included
        curves: trial id -> table with the columns step, regret, value
        missing: how many trials of suite.json have left no result yet
    """

    folder: Path
    suite: SuiteInfo
    records: list[Result]
    curves: dict[str, "pd.DataFrame"] = field(default_factory=dict)
    missing: int = 0


def number(x: Any) -> float:
    """Return x as a float, nan for null and for what is no number."""
    if isinstance(x, bool) or not isinstance(x, int | float):
        return math.nan
    return float(x)


def _json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, None where there is no file or no object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def read_result(folder: str | Path) -> Result | None:
    """result.json of a trial, None where it is missing or unreadable."""
    return cast("Result | None", _json(Path(folder) / RESULT))


def _intact(folder: Path, files: Any) -> bool:
    """Whether every listed file has the size and the checksum it had when it was written."""
    if not isinstance(files, dict):
        return False
    for name, facts in files.items():
        path = folder / name
        # a name with a folder in it would check something that is no part of this trial
        if Path(name).name != name or not isinstance(facts, dict):
            return False
        try:
            if path.stat().st_size != facts.get("size"):
                return False
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return False
        if digest != facts.get("sha256"):
            return False
    return True


def is_done(folder: str | Path) -> bool:
    """Whether the trial in this folder is finished, with all its files as they were written."""
    result = read_result(folder)
    return (
        result is not None
        and result.get("status") == "ok"
        and _intact(Path(folder), result.get("files"))
    )


def _part(given: Any, other: str) -> dict[str, Any]:
    """The agent or env of a trial as a dict with a name, whatever was written there."""
    part = given if isinstance(given, dict) else {"name": given}
    name = part.get("name") or part.get(other) or UNKNOWN
    return {"kwargs": {}, **part, "name": str(name)}


def _named(trial: Any, folder: Path) -> Trial:
    """The trial with every key that the rest relies on."""
    given = trial if isinstance(trial, dict) else {}
    seed = given.get("seed")
    return {
        "id": str(given.get("id") or folder.name),
        "agent": cast(AgentInfo, _part(given.get("agent"), "agent")),
        "env": cast(EnvInfo, _part(given.get("env"), "id")),
        "seed": seed if isinstance(seed, int) else -1,
        "steps": given.get("steps") or 0,
    }


def _damaged(folder: Path, trial: Any, why: str) -> Result:
    """A failure record for a trial whose files cannot be trusted."""
    if trial is None:
        config = _json(folder / CONFIG) or {}
        trial = config.get("trial", config)
    message = f"{why} in {folder.name}; the next run does this trial again"
    return {
        "status": "damaged",
        "trial": _named(trial, folder),
        "error": {"type": "DamagedResult", "message": message, "traceback": ""},
    }


def _record(folder: Path) -> Result | None:
    """The record of one trial folder, None where the trial has not ended yet."""
    if not (folder / RESULT).exists():
        return None
    result = read_result(folder)
    if result is None:
        return _damaged(folder, None, "result.json is not readable")
    status = result.get("status")
    if status not in ("ok", "failed"):
        return _damaged(folder, result.get("trial"), f"unknown status {status!r}")
    if status == "ok" and not _intact(folder, result.get("files")):
        return _damaged(folder, result.get("trial"), "a file is missing or altered")
    result["trial"] = _named(result.get("trial"), folder)
    return result


def _folders(runs: Path) -> Iterator[Path]:
    """Trial folders; hidden ones are half-written."""
    for folder in sorted(runs.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            yield folder


def _names(records: list[Result], kind: str) -> list[str]:
    """Names of agents or envs in order of appearance."""
    trials = [cast(dict[str, Any], r["trial"]) for r in records]
    names = dict.fromkeys(t[kind]["name"] for t in trials)
    return [n for n in names if n != UNKNOWN]


def _read_suite(runs: Path) -> SuiteInfo:
    """suite.json, empty where there is none."""
    return cast(SuiteInfo, _json(runs / SUITE) or {})


def _filled(runs: Path, given: SuiteInfo, records: list[Result]) -> SuiteInfo:
    """suite.json, with what is missing taken from the trials."""
    seeds = sorted({r["trial"]["seed"] for r in records if r["trial"]["seed"] >= 0})
    found: SuiteInfo = {
        "name": runs.resolve().name,
        "description": "",
        "command": "",
        "versions": {},
        "agents": [],
        "envs": [],
        "seeds": seeds,
    }
    suite: SuiteInfo = {**found, **given}
    # trials of an earlier version of the suite may lie in the same folder: show them, last
    suite["agents"] = list(dict.fromkeys([*suite["agents"], *_names(records, "agent")]))
    suite["envs"] = list(dict.fromkeys([*suite["envs"], *_names(records, "env")]))
    return suite


def _collect(runs: str | Path) -> tuple[Path, list[Result], dict[str, Path]]:
    """All records, each trial once, sorted by env, agent and seed, and where each lies."""
    folder = Path(runs)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder of results at {folder}")
    records: dict[str, Result] = {}
    places: dict[str, Path] = {}
    for place in _folders(folder):
        record = _record(place)
        if record is None:
            continue
        key = record["trial"]["id"]
        # of two copies (merged folders) the finished one counts
        if key not in records or (record["status"] == "ok") > (records[key]["status"] == "ok"):
            records[key], places[key] = record, place
    if not records:
        raise ValueError(
            f"no trial in {folder} has a result; give the folder of a suite, runs/<suite>"
        )
    return folder, sorted(_current(folder, records, places), key=_order), places


def _current(folder: Path, records: dict[str, Result], places: dict[str, Path]) -> Iterator[Result]:
    """Without trials that an edited suite has replaced: same agent, env and seed, older."""
    suite = _read_suite(folder)
    planned = set(suite.get("trials", []))

    def age(key: str) -> tuple[bool, bool, float]:
        fits = records[key]["trial"]["steps"] == suite.get("steps")
        return key in planned, fits, (places[key] / RESULT).stat().st_mtime

    newest: dict[tuple[str, str, int], str] = {}
    for key in sorted(records, key=age):
        env, agent, seed, _ = _order(records[key])
        if UNKNOWN in (env, agent):
            yield records[key]
        else:
            newest[env, agent, seed] = key
    yield from (records[key] for key in newest.values())


def _order(record: Result) -> tuple[str, str, int, str]:
    trial = record["trial"]
    return trial["env"]["name"], trial["agent"]["name"], trial["seed"], trial["id"]


def _missing(suite: SuiteInfo, records: list[Result]) -> int:
    """How many of the trials that suite.json plans have left no result."""
    if "trials" in suite:
        return len(set(suite["trials"]) - {r["trial"]["id"] for r in records})
    found = {_order(r)[:3] for r in records}
    return sum(
        (env, agent, seed) not in found
        for env in suite.get("envs", [])
        for agent in suite.get("agents", [])
        for seed in suite.get("seeds", [])
    )


def read(runs: str | Path) -> Results:
    """Read a folder of trials: suite, results and learning curves.

    Args:
        runs: folder of one suite, runs/<suite>

    Raises:
        FileNotFoundError: there is no such folder
        ValueError: no trial in it has left a result
    """
    import pandas as pd

    folder, records, places = _collect(runs)
    curves: dict[str, pd.DataFrame] = {}
    for i, record in enumerate(records):
        trial = record["trial"]
        if record["status"] != "ok" or METRICS not in record.get("files", {}):
            continue
        try:
            curve = pd.read_parquet(places[trial["id"]] / METRICS)
            curves[trial["id"]] = curve[["step", "regret", "value"]]
        except (OSError, ValueError, KeyError) as error:
            records[i] = _damaged(places[trial["id"]], trial, f"no curve ({error})")
    suite = _read_suite(folder)
    filled = _filled(folder, suite, records)
    return Results(folder, filled, records, curves, _missing(suite, records))


def load(runs: str | Path) -> "pd.DataFrame":
    """One row a trial, sorted by env, agent and seed; numbers of failed trials are nan.

    Args:
        runs: folder of one suite, runs/<suite>
    """
    import pandas as pd

    _, records, _ = _collect(runs)
    rows = []
    for record in records:
        trial = record["trial"]
        row: dict[str, Any] = {
            "agent": trial["agent"]["name"],
            "env": trial["env"]["name"],
            "seed": trial["seed"],
            "status": record["status"],
            "error": (record.get("error") or {}).get("message"),
            "trial": trial["id"],
        }
        rows.append({c: row[c] if c in row else number(record.get(c)) for c in COLUMNS})
    return pd.DataFrame(rows, columns=COLUMNS)
