"""Suites: YAML in, checked at the door, trials out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

Kwargs = dict[str, float | int | str | bool | None]


class SuiteError(ValueError):
    """A suite that cannot be run; the message is one line a user can act on."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EnvEntry(_Part):
    """One task of a suite: an environment id and its keyword arguments.

    `name` is what tables show, by default the id without namespace and version.
    """

    id: str
    name: str = ""
    kwargs: Kwargs = {}

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, entry: Any) -> Any:
        return {"id": entry} if isinstance(entry, str) else entry

    @property
    def label(self) -> str:
        """What tables show."""
        return self.name or self.id.rpartition("/")[2].rpartition("-v")[0] or self.id


class AgentEntry(_Part):
    """One competitor of a suite: an agent's name and its hyperparameters.

    `name` is what tables show, by default the agent's own.
    """

    agent: str
    name: str = ""
    kwargs: dict[str, JsonValue] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, entry: Any) -> Any:
        return {"agent": entry} if isinstance(entry, str) else entry

    @property
    def label(self) -> str:
        """What tables show."""
        return self.name or self.agent


@dataclass(frozen=True)
class TrialSpec:
    """One run: an environment, an agent, a seed and a budget of environment steps."""

    env: dict[str, Any]  # name, id, kwargs
    agent: dict[str, Any]  # name, agent, kwargs
    seed: int
    steps: int

    @property
    def id(self) -> str:
        """16 hexadecimal digits of the hash of the canonical JSON: equal trials, equal ids."""
        return _digest(asdict(self), 16)

    @property
    def title(self) -> str:
        """env/agent/seed, for people."""
        return f"{self.env['name']}/{self.agent['name']}/{self.seed}"

    def record(self) -> dict[str, Any]:
        """What config.json and result.json hold."""
        return {"id": self.id, **asdict(self)}


class Suite(_Part):
    """Environments x agents x seeds.

    Attributes:
        name: of the folder of results.
        description: one line for the report.
        imports: modules that register further environments, imported first.
        envs, agents: what competes in what.
        seeds: a number n (seeds 0 .. n-1) or a list.
        steps: environment steps that learning agents may take.
    """

    name: str = Field(min_length=1, pattern=r"^\w[\w.-]*$")
    description: str = ""
    imports: tuple[str, ...] = ()
    envs: tuple[EnvEntry, ...] = Field(min_length=1)
    agents: tuple[AgentEntry, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    steps: int = Field(ge=1)

    @field_validator("seeds", mode="before")
    @classmethod
    def _count(cls, seeds: Any) -> Any:
        if isinstance(seeds, int) and not isinstance(seeds, bool):
            if seeds < 1:
                raise ValueError(f"must be at least 1, got {seeds}")
            return tuple(range(seeds))
        return seeds

    @model_validator(mode="after")
    def _unique(self) -> Suite:
        for kind in ("envs", "agents"):
            labels = [entry.label for entry in getattr(self, kind)]
            twice = sorted({label for label in labels if labels.count(label) > 1})
            if twice:
                raise ValueError(f"{kind}: {twice[0]!r} appears twice; give each its own name")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: a seed appears twice in {list(self.seeds)}")
        if min(self.seeds) < 0:
            raise ValueError(f"seeds: must be >= 0, got {min(self.seeds)}")
        return self

    def trials(self) -> list[TrialSpec]:
        """Every trial, seed by seed, so that a partial run compares all agents."""
        return [
            TrialSpec(
                env={"name": env.label, "id": env.id, "kwargs": dict(env.kwargs)},
                agent={"name": agent.label, "agent": agent.agent, "kwargs": dict(agent.kwargs)},
                seed=seed,
                steps=self.steps,
            )
            for seed in self.seeds
            for env in self.envs
            for agent in self.agents
        ]

    @property
    def hash(self) -> str:
        """8 hexadecimal digits that change with anything that changes a result."""
        return _digest(self.model_dump(mode="json", exclude={"description"}), 8)


def load_suite(path: str | Path) -> Suite:
    """Read a suite and check every name in it, before any work is done.

    Raises:
        SuiteError: unreadable file, bad YAML, unknown key, environment or agent (with the closest
            match), or an environment that refuses its arguments.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SuiteError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SuiteError(f"cannot read {path}: it is not UTF-8 text") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SuiteError(f"{path} is not valid YAML: {_one_line(error)}") from error
    if not isinstance(content, dict):
        raise SuiteError(f"{path} must hold keys and values, got {type(content).__name__}")
    try:
        suite = Suite.model_validate(content)
    except ValidationError as error:
        raise SuiteError(f"{path}: {_explain(error)}") from error
    _check_names(suite, path)
    return suite


def _check_names(suite: Suite, path: Path) -> None:
    import gymnasium

    from rlopt.agents import names
    from rlopt.bench.trial import make_env

    for module in suite.imports:
        try:
            import_module(module)
        except Exception as error:  # another's module may fail as it likes
            raise SuiteError(f"{path}: imports: {module}: {_one_line(error)}") from error
    for agent in suite.agents:
        if agent.agent not in names():
            raise SuiteError(f"{path}: unknown agent {agent.agent!r}{_hint(agent.agent, names())}")
    for env in suite.envs:
        if env.id not in gymnasium.registry:
            hint = _hint(env.id, list(gymnasium.registry))
            raise SuiteError(f"{path}: unknown environment {env.id!r}{hint}")
        try:
            make_env(env.id, dict(env.kwargs))
        except Exception as error:  # another's environment may fail as it likes
            raise SuiteError(f"{path}: {env.label}: {_one_line(error)}") from error


def _hint(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _explain(error: ValidationError) -> str:
    """The first complaint of pydantic, naming the key and the closest one allowed."""
    errors = error.errors(include_url=False)
    # A misspelt key explains a missing one, not the other way round.
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return (
            f"{where}: {first['msg']}" if where else str(first["msg"]).removeprefix("Value error, ")
        )
    parts: dict[str, type[BaseModel]] = {"envs": EnvEntry, "agents": AgentEntry}
    owner = parts.get(str(first["loc"][0]), Suite)
    allowed = list((owner if len(first["loc"]) > 1 else Suite).model_fields)
    key = str(first["loc"][-1])
    return f"unknown key {where!r}{_hint(key, allowed)} (allowed: {', '.join(allowed)})"


def _one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    problem = problem.partition(" was raised from the environment creator")[0]  # gymnasium's
    if mark:
        return f"{problem} (line {mark.line + 1}, column {mark.column + 1})"
    # the words of an ImportError or ValueError stand alone, those of a KeyError do not
    known = isinstance(error, yaml.YAMLError | ImportError | TypeError | ValueError)
    return str(problem) if known and problem else f"{type(error).__name__}: {problem}"


def _digest(content: Any, digits: int) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:digits]
