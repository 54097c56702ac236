"""What each environment's section of the page says, ready to be printed by the template."""

import re
from dataclasses import dataclass

import numpy as np

from rlopt.bench import format as fmt
from rlopt.bench import panels
from rlopt.bench.leaderboard import Leaderboard, Row, TaskScore
from rlopt.bench.results import OracleInfo, ReferenceInfo, Result, Results, TaskInfo, number
from rlopt.bench.stats import spread


@dataclass(frozen=True)
class OracleView:
    """The oracle's value and how far it can be trusted, in words.

    Attributes:
        value: digits down to the tolerance
        how: method by which it is known
        note: what that means for the regrets on this page
        uncertainty: '± 2 × 10⁻⁵' or the bracket
        bracket: positions of the bracket's ends in per cent of the drawing, None where exact
    """

    value: str
    how: str
    note: str
    uncertainty: str
    bracket: tuple[float, float] | None


@dataclass(frozen=True)
class Failure:
    """Trials of one agent that failed in the same way."""

    agent: str
    env: str
    seeds: tuple[int, ...]
    type: str
    message: str
    traceback: str

    @property
    def which(self) -> str:
        """'seed 3' or 'seeds 1 and 4'."""
        known = [str(s) for s in self.seeds if s >= 0]
        if not known:
            return "unknown seed"
        return ("seed " if len(known) == 1 else "seeds ") + fmt.listed(known, 12)


@dataclass(frozen=True)
class EnvView:
    """One environment's section.

    Attributes:
        name: its name in the suite
        anchor: address inside the page
        plot: name of its regret curves
        title: id, split in (before, name, after)
        sentence: what the task is
        unit: of values and regrets
        oracle: None where no trial finished
        nothing: value of doing nothing
        closest: best agent here with its score, None where there is none
        rows: every ranked agent with its numbers here
        below: agents worse than doing nothing here
        failed: failed trials of ranked and pinned agents here
        total: finished and failed trials here
        panels: policies, None where there is nothing to draw
        failures: grouped
        measures: names of the environment's own measures
    """

    name: str
    anchor: str
    plot: str
    title: tuple[str, str, str]
    sentence: str
    unit: str
    oracle: OracleView | None
    nothing: str
    closest: tuple[Row, TaskScore] | None
    rows: tuple[tuple[Row, TaskScore], ...]
    below: int
    failed: int
    total: int
    panels: panels.Panels | None
    failures: tuple[Failure, ...]
    measures: tuple[str, ...]


def split_title(title: str) -> tuple[str, str, str]:
    """Split an id: 'rlopt/AllenFishery-v0' -> ('rlopt/', 'AllenFishery', '-v0').

    Example:
        >>> split_title("rlopt/AllenFishery-v0")
        ('rlopt/', 'AllenFishery', '-v0')
    """
    match = re.fullmatch(r"(.*/)?(.+?)(-v\d+)?", title, flags=re.DOTALL)
    parts = match.groups() if match else ("", title, "")
    return parts[0] or "", parts[1] or "", parts[2] or ""


def _exact_note(smallest: float, tolerance: float) -> str:
    """What the tolerance means for the regrets that were measured."""
    if not tolerance > 0:
        return "Exact: no numerical error worth drawing."
    if not np.isfinite(smallest):
        return ""
    times = smallest / tolerance
    if times > 1e6:
        return "No numerical error worth drawing."
    if times >= 2:
        return f"The smallest regret below is {fmt.regret(times, 1)} times larger."
    return "The smallest regrets below are within this tolerance: no order among them."


COMPARATOR_NOTE = (
    "Regret is taken to the lower end, a comparator that a policy may beat: it can be negative."
)


def _bracket_note(width: float, unit: str) -> str:
    return (
        "Only a bracket is known: regret is taken to the upper end, so it is never understated; "
        f"up to {fmt.regret(width)} {unit} of every regret here may be the bracket, not the agent."
    )


def _oracle(records: list[Result], unit: str) -> OracleView | None:
    found: list[OracleInfo] = [o for r in records if (o := r.get("oracle"))]
    if not found:
        return None
    first = found[0]
    values = [number(o.get("value")) for o in found]
    middle, _, _ = spread(values)
    tolerance = number(first.get("tolerance"))
    lower, upper = number(first.get("lower")), number(first.get("upper"))
    how = str(first.get("method") or fmt.DASH)
    regrets = [number(r.get("regret")) for r in records]
    positive = [x for x in regrets if np.isfinite(x) and x > 0]
    smallest = min(positive) if positive else float("nan")
    own = fmt.visible(first.get("note") or "")
    own = f"{own[:1].upper()}{own[1:]}." if own else ""
    if first.get("exact", True) or not (np.isfinite(lower) and np.isfinite(upper)):
        note, bracket = _exact_note(smallest, tolerance), None
        uncertainty = f"± {fmt.tolerance(tolerance)}" if tolerance > 0 else "exact"
    else:
        width, to_upper = upper - lower, number(first.get("value")) >= upper
        note = _bracket_note(width, unit) if to_upper else COMPARATOR_NOTE
        if width > 0:  # three digits of the bracket's width: enough to tell its ends apart
            tolerance = 10.0 ** (np.floor(np.log10(width)) - 2)
        ends = (fmt.to_tolerance(x, tolerance) for x in (lower, upper))
        uncertainty = "[" + ", ".join(ends) + "]"
        bracket = (25.0, 75.0) if width > 0 else (50.0, 50.0)
    low, high = min(values), max(values)
    if high - low > max(tolerance if tolerance > 0 else 0.0, 1e-9 * abs(high)):
        note += (
            f" It differs by seed, {fmt.regret(low)} to {fmt.regret(high)}; the median is shown."
        )
    text = fmt.to_tolerance(middle, tolerance)
    return OracleView(text, how, f"{note} {own}".strip(), uncertainty, bracket)


def failures(records: list[Result]) -> tuple[Failure, ...]:
    """Failed trials, those that failed alike together, with the first traceback."""
    groups: dict[tuple[str, str, str, str], list[Result]] = {}
    for record in records:
        if record["status"] == "ok":
            continue
        error, trial = record.get("error") or {}, record["trial"]
        kind, message = str(error.get("type") or "Error"), str(error.get("message") or "")
        key = (trial["env"]["name"], trial["agent"]["name"], kind, message)
        groups.setdefault(key, []).append(record)
    return tuple(
        Failure(
            agent=agent,
            env=env,
            seeds=tuple(r["trial"]["seed"] for r in group),
            type=kind,
            message=message,
            traceback=str((group[0].get("error") or {}).get("traceback") or ""),
        )
        for (env, agent, kind, message), group in groups.items()
    )


def env_view(results: Results, board: Leaderboard, index: int) -> EnvView:
    """Everything about one environment, by its place in the suite."""
    name = board.tasks[index]
    here = [r for r in results.records if r["trial"]["env"]["name"] == name]
    ok = [r for r in here if r["status"] == "ok"]
    task: TaskInfo = next((t for r in ok if (t := r.get("task"))), TaskInfo())
    unit = str(task.get("unit") or "reward")
    reference: ReferenceInfo = next((x for r in ok if (x := r.get("reference"))), ReferenceInfo())
    ids = [str(r["trial"]["env"].get("id") or name) for r in here]
    rows = tuple((r, r.tasks[index]) for r in board.rows)
    scored = [pair for pair in rows if np.isfinite(pair[1].score.value)]
    return EnvView(
        name=name,
        anchor=f"env-{index}",
        plot=f"plot-{index}",
        title=split_title(fmt.visible(task.get("title") or (ids[0] if ids else name))),
        sentence=str(task.get("sentence") or ""),
        unit=unit,
        oracle=_oracle(ok, unit),
        nothing=fmt.regret(number(reference.get("value"))),
        closest=max(scored, key=lambda pair: pair[1].score.value, default=None),
        rows=rows,
        below=sum(t.score.below_zero for _, t in rows),
        failed=len(here) - len(ok),
        total=len(here),
        panels=panels.build(ok, board, name),
        failures=failures(here),
        measures=tuple(dict.fromkeys(name for _, t in rows for name in t.measures)),
    )
