"""The leaderboard: who leads, how surely, and what went wrong, as plain data.

The terminal table, leaderboard.csv, leaderboard.md and the page are four views of this. Ranks
and sentences come from paired intervals: two agents are only said to be in order where the
95 % interval of their difference on the same seeds leaves 0 out.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from rlopt.bench import format as fmt
from rlopt.bench import stats
from rlopt.bench.results import UNKNOWN, Result, Results, SuiteInfo, number, read
from rlopt.bench.stats import Estimate

ORACLE = "oracle"
DO_NOTHING = "do_nothing"
COLOURED = 5
PALETTE = 7

FlagKind = Literal["failed", "below", "incomplete", "baseline", "tie"]
MARKS: dict[FlagKind, str] = {
    "failed": "▲",
    "below": "▼",
    "incomplete": "▲",
    "baseline": "○",
    "tie": "=",
}


@dataclass(frozen=True)
class Flag:
    """Something to know about an agent before believing its score."""

    kind: FlagKind
    text: str

    @property
    def mark(self) -> str:
        """The sign that stands before the words."""
        return MARKS[self.kind]

    @property
    def warning(self) -> bool:
        """Whether it is trouble rather than information."""
        return self.kind in ("failed", "below", "incomplete")


@dataclass(frozen=True)
class TaskScore:
    """One agent on one task.

    Attributes:
        task: name of the environment in the suite
        score: IQM over seeds and its interval
        regret: median over seeds, in the task's unit
        regret_low: 10 % quantile over seeds
        regret_high: 90 % quantile over seeds
        error: standard error of one trial's regret, median; 0 where it is exact
        learning: median regret while learning, nan where the agent does not learn
        n: finished trials
        failed: failed trials
        seconds: median wall time of a trial [s]
        steps: median environment steps used to learn
        measures: the environment's own, by name; median over seeds
    """

    task: str
    score: Estimate
    regret: float
    regret_low: float
    regret_high: float
    error: float
    learning: float
    n: int
    failed: int
    seconds: float
    steps: float
    measures: dict[str, float]


@dataclass(frozen=True)
class Row:
    """One agent of the leaderboard.

    Attributes:
        agent: its name in the suite
        note: what it is, in one line
        score: IQM of all its runs and its 95 % interval
        gap: optimality gap, the mean distance of its runs to the oracle's score
        best: best place that the seeds allow it, None without a score
        worst: worst place that the seeds allow it
        tasks: one entry per task, in the suite's order
        steps: environment steps to learn, per seed, summed over tasks
        seconds: wall time of one trial, median [s]
        trials: finished trials
        failed: failed trials
        baseline: whether it is a rule or another baseline
        flags: what to know
        slot: colour and mark in the report, None for muted grey
    """

    agent: str
    note: str
    score: Estimate
    gap: float
    best: int | None
    worst: int | None
    tasks: tuple[TaskScore, ...]
    steps: float
    seconds: float
    trials: int
    failed: int
    baseline: bool
    flags: tuple[Flag, ...] = ()
    slot: int | None = None

    @property
    def rank(self) -> str:
        """'3', or '1–2' where the seeds do not settle the order."""
        if self.best is None:
            return fmt.DASH
        return str(self.best) if self.best == self.worst else f"{self.best}–{self.worst}"

    @property
    def warned(self) -> bool:
        """Whether any flag is a warning."""
        return any(f.warning for f in self.flags)

    @property
    def tied(self) -> bool:
        """Whether it shares its place."""
        return self.best != self.worst


@dataclass(frozen=True)
class Step:
    """An agent compared with the next one down, seed by seed."""

    upper: str
    lower: str
    difference: Estimate
    improvement: float


@dataclass(frozen=True)
class Sentence:
    """Text whose strong parts are names: ((text, strong), …)."""

    parts: tuple[tuple[str, bool], ...]

    def __str__(self) -> str:
        return "".join(text for text, _ in self.parts)


@dataclass(frozen=True)
class Leaderboard:
    """The whole leaderboard.

    Attributes:
        suite: suite.json
        tasks: names of the environments, in the suite's order
        rows: ranked agents, best first; agents without a score last
        oracle: the row of the agent that plays the oracle, if it was run
        nothing: the row of the agent that does nothing, if it was run
        steps: neighbours compared
        title: who won and whether that is settled
        tie: what is said about a shared first place, None where there is none
        done: finished trials
        failed: failed trials, as agent, task and seed
        missing: trials without a result yet
    """

    suite: SuiteInfo
    tasks: tuple[str, ...]
    rows: tuple[Row, ...]
    oracle: Row | None
    nothing: Row | None
    steps: tuple[Step, ...]
    title: Sentence
    tie: Sentence | None
    done: int
    failed: tuple[tuple[str, str, int], ...]
    missing: int

    @cached_property
    def by_name(self) -> dict[str, Row]:
        """Every row, pinned ones included, by the agent's name."""
        pinned = [r for r in (self.oracle, self.nothing) if r is not None]
        return {r.agent: r for r in [*pinned, *self.rows]}

    def write(self, folder: str | Path) -> tuple[Path, Path]:
        """Write leaderboard.csv and leaderboard.md into the folder; returns their paths."""
        from rlopt.bench import files

        return files.write(self, Path(folder))


def _scores(records: list[Result]) -> stats.Runs:
    """(task, seed) -> score of the finished trials of one agent."""
    scores = {}
    for r in records:
        x = number(r.get("score"))
        if r["status"] == "ok" and np.isfinite(x):
            scores[r["trial"]["env"]["name"], r["trial"]["seed"]] = x
    return scores


def _median(values: list[float]) -> float:
    kept = [v for v in values if np.isfinite(v)]
    return float(np.median(kept)) if kept else float("nan")


def _task(task: str, records: list[Result], scores: stats.Runs) -> TaskScore:
    here = [r for r in records if r["trial"]["env"]["name"] == task]
    ok = [r for r in here if r["status"] == "ok"]
    regret, low, high = stats.spread([number(r.get("regret")) for r in ok])
    return TaskScore(
        task=task,
        score=stats.estimate(stats.by_task(scores, [task])),
        regret=regret,
        regret_low=low,
        regret_high=high,
        error=_median([number(r.get("regret_error")) for r in ok]),
        learning=_median([number(r.get("regret_while_learning")) for r in ok]),
        n=len(ok),
        failed=len(here) - len(ok),
        seconds=_median([number(r.get("seconds")) for r in ok]),
        steps=_median([number(r.get("steps")) for r in ok]),
        measures=_measures(ok),
    )


def _measures(ok: list[Result]) -> dict[str, float]:
    told = [r.get("measures") or {} for r in ok]
    names = dict.fromkeys(name for measures in told for name in measures)
    return {name: _median([number(m.get(name)) for m in told]) for name in names}


def _on(tasks: list[str]) -> str:
    return fmt.listed([fmt.short(t, 24) for t in tasks], 3)


def _flags(row: Row, planned: int) -> tuple[Flag, ...]:
    """Warnings first; ties are added once the order is known."""
    flags = []
    if row.failed:
        flags.append(Flag("failed", f"{fmt.count(row.failed, 'trial')} failed"))
    empty = [t.task for t in row.tasks if not t.n]
    if empty and row.trials:
        flags.append(Flag("incomplete", f"no result on {_on(empty)}"))
    elif row.trials + row.failed < planned:
        flags.append(Flag("incomplete", f"{planned - row.trials - row.failed} not run yet"))
    if row.score.below_zero:
        flags.append(Flag("below", "worse than doing nothing"))
    elif below := [t.task for t in row.tasks if t.score.below_zero]:
        flags.append(Flag("below", f"below 0 on {_on(below)}"))
    if row.baseline:
        flags.append(Flag("baseline", "baseline"))
    return tuple(flags)


def _row(agent: str, records: list[Result], tasks: list[str], planned: int) -> Row:
    scores = _scores(records)
    groups = stats.by_task(scores, tasks)
    ok = [r for r in records if r["status"] == "ok"]
    by_task = tuple(_task(t, records, scores) for t in tasks)
    row = Row(
        agent=agent,
        note=next((r["agent_note"] for r in ok if r.get("agent_note")), ""),
        score=stats.estimate(groups),
        gap=stats.optimality_gap(list(scores.values())),
        best=None,
        worst=None,
        tasks=by_task,
        steps=sum(t.steps for t in by_task if np.isfinite(t.steps)),
        seconds=_median([number(r.get("seconds")) for r in ok]),
        trials=len(ok),
        failed=len(records) - len(ok),
        baseline=any(r.get("baseline") for r in records),
    )
    return replace(row, flags=_flags(row, planned))


def _ranges(rows: list[Row], runs: dict[str, stats.Runs]) -> list[tuple[int, int]]:
    """Best and worst place of each row: as far as the paired intervals do not separate it.

    Not transitive on purpose: a ~ b and b ~ c do not make a and c equal, so b may be "1–3"
    between "1–2" and "2–3". Differences too small to be shown order nobody either. A missing
    interval (one seed) settles nothing and unites nothing.
    """
    ranges = [(i, i) for i in range(len(rows))]
    for i, row in enumerate(rows):
        for j in range(i + 1, len(rows)):
            difference = stats.paired_difference(runs[row.agent], runs[rows[j].agent])
            if difference.apart or not difference.has_interval:
                break
            ranges[i] = ranges[i][0], j
            ranges[j] = min(ranges[j][0], i), max(ranges[j])
    return ranges


def _coloured(rows: list[Row]) -> list[Row]:
    """Give colours: to all while they suffice, else to the first five and to flagged ones."""
    if len(rows) <= PALETTE:
        return [replace(r, slot=i) for i, r in enumerate(rows)]
    flagged = [r.agent for r in rows[COLOURED:] if r.warned][: PALETTE - COLOURED]
    slots = {r.agent: i for i, r in enumerate(rows[:COLOURED])}
    slots |= {agent: COLOURED + i for i, agent in enumerate(flagged)}
    return [replace(r, slot=slots.get(r.agent)) for r in rows]


def _ranked(rows: list[Row], runs: dict[str, stats.Runs]) -> list[Row]:
    """Order, places, ties and colours."""
    scored = sorted((r for r in rows if np.isfinite(r.score.value)), key=lambda r: -r.score.value)
    out = []
    for row, (best, worst) in zip(scored, _ranges(scored, runs), strict=True):
        others = [fmt.short(r.agent, 24) for r in scored[best : worst + 1] if r is not row]
        tie = (Flag("tie", f"tied with {fmt.listed(others, 3)}"),) if others else ()
        flags = (*(f for f in row.flags if f.warning), *tie)
        rest = tuple(f for f in row.flags if not f.warning)
        out.append(replace(row, best=best + 1, worst=worst + 1, flags=flags + rest))
    return _coloured([*out, *(r for r in rows if not np.isfinite(r.score.value))])


def build(results: Results) -> Leaderboard:
    """Make the leaderboard of a folder of trials."""
    tasks = list(results.suite["envs"])
    planned = len(tasks) * len(results.suite["seeds"])
    grouped: dict[str, list[Result]] = {a: [] for a in results.suite["agents"]}
    for record in results.records:
        name = record["trial"]["agent"]["name"]
        if name != UNKNOWN:
            grouped[name].append(record)
    rows = {a: _row(a, records, tasks, planned) for a, records in grouped.items()}
    runs = {a: _scores(records) for a, records in grouped.items()}
    ranked = _ranked([r for a, r in rows.items() if a not in (ORACLE, DO_NOTHING)], runs)
    steps = tuple(
        Step(
            upper=a.agent,
            lower=b.agent,
            difference=stats.paired_difference(runs[a.agent], runs[b.agent]),
            improvement=stats.probability_of_improvement(runs[a.agent], runs[b.agent]),
        )
        for a, b in pairwise(ranked)
        if b.best is not None
    )
    from rlopt.bench import sentences

    failed = [r["trial"] for r in results.records if r["status"] != "ok"]
    return Leaderboard(
        suite=results.suite,
        tasks=tuple(tasks),
        rows=tuple(ranked),
        oracle=rows.get(ORACLE),
        nothing=rows.get(DO_NOTHING),
        steps=steps,
        title=sentences.title(ranked, steps),
        tie=sentences.tie(ranked, steps),
        done=sum(r["status"] == "ok" for r in results.records),
        failed=tuple((t["agent"]["name"], t["env"]["name"], t["seed"]) for t in failed),
        missing=results.missing,
    )


def write(runs: str | Path) -> Leaderboard:
    """Read a folder of trials and write leaderboard.csv and leaderboard.md into it."""
    board = build(read(runs))
    board.write(runs)
    return board
