"""A running suite in the terminal: a bar a task, who leads it, what runs now, what failed."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rlopt.bench import format as fmt
from rlopt.bench.config import Suite
from rlopt.bench.runner import Progress

SHOWN = 4  # running trials, and failures, that are named
QUIET = 60.0  # seconds between two lines where there is no terminal
PINNED = ("oracle", "do_nothing")  # they do not compete for the least regret


class Display:
    """Shows a run's progress; a context manager whose `update` the runner calls."""

    def __init__(self, suite: Suite, folder: Path, workers: int) -> None:
        self.suite, self.folder, self.workers = suite, folder, workers
        self.console = Console()
        self.specs = {spec.id: spec for spec in suite.trials()}
        self.began, self.before = time.monotonic(), -1
        self.live = Live(console=self.console, auto_refresh=False, transient=False)
        self._spoke = -QUIET

    def __enter__(self) -> Self:
        suite = self.suite
        sizes = f"{len(suite.agents)} agents × {len(suite.envs)} tasks × {len(suite.seeds)} seeds"
        head = Text(f"{suite.name}   ", "bold")
        head.append(f"{sizes} = {len(self.specs)} trials   {self.workers} at once", "none")
        head.append(f"   results in {self.folder}", "none")
        self.console.print(head, soft_wrap=True)
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.console.is_terminal:
            self.live.stop()
        self.console.print()

    def update(self, progress: Progress) -> None:
        """Draw the state of the run."""
        if self.before < 0:
            self.before = len(progress.done)
        if self.console.is_terminal:
            self.live.update(self._picture(progress), refresh=True)
        elif time.monotonic() - self._spoke > QUIET or self._ended(progress) == len(self.specs):
            self._spoke = time.monotonic()
            self.console.print(self._summary(progress), soft_wrap=True)

    @staticmethod
    def _ended(progress: Progress) -> int:
        return len(progress.done) + len(progress.failed)

    def _summary(self, progress: Progress) -> Text:
        ended, total = self._ended(progress), len(self.specs)
        line = Text(f"  {ended}/{total}  {self._clock(ended)}")
        if progress.failed:
            line.append(f"   ▲ {len(progress.failed)} failed", "red")
        return line

    def _clock(self, ended: int) -> str:
        gone = time.monotonic() - self.began
        fresh, left = ended - self.before, len(self.specs) - ended
        if not left:
            return f"{fmt.seconds(gone)} gone"
        about = f", about {fmt.seconds(gone / fresh * left)} left" if fresh else ""
        return f"{fmt.seconds(gone)} gone{about}"

    def _picture(self, progress: Progress) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for env in self.suite.envs:
            table.add_row(*self._task(env.label, progress))
        ended = self._ended(progress)
        bar = ProgressBar(total=len(self.specs), completed=ended, width=20)
        table.add_row("  all", bar, *self._count(ended, len(self.specs)))
        lines = (Text(f"  {self._clock(ended)}"), *self._now(progress), *self._failures(progress))
        return Group(Text(), table, *lines)

    def _task(self, label: str, progress: Progress) -> tuple[RenderableType, ...]:
        ids = [spec_id for spec_id, spec in self.specs.items() if spec.env["name"] == label]
        records = [progress.records[spec_id] for spec_id in ids if spec_id in progress.records]
        running = sum(spec_id in progress.running for spec_id in ids)
        failed = sum(record["status"] != "ok" for record in records)
        state = (
            "done" if len(records) == len(ids) else f"{running} running" if running else "waiting"
        )
        bar = ProgressBar(total=len(ids), completed=len(records), width=20)
        trouble = Text(f"▲ {failed} failed", "red") if failed else Text()
        return (
            Text(f"  {label}", overflow="ellipsis", no_wrap=True),  # a name is no markup
            bar,
            *self._count(len(records), len(ids)),
            state,
            trouble,
            _leader(records),
        )

    @staticmethod
    def _count(done: int, total: int) -> tuple[str]:
        return (f"{done}/{total}",)

    def _now(self, progress: Progress) -> list[Text]:
        lines = []
        for trial_id, steps in list(progress.running.items())[:SHOWN]:
            spec = self.specs[trial_id]
            step = f"   step {steps} / {spec.steps}" if steps else ""
            lines.append(Text(f"  now  {spec.title}{step}", "dim"))
        return lines

    def _failures(self, progress: Progress) -> list[Text]:
        lines = []
        for record in progress.failed[-SHOWN:]:
            spec, error = self.specs[record["trial"]["id"]], record["error"]
            why = f"{error['type']}: {error['message']}".splitlines()[0]
            lines.append(Text(f"  ▲ {spec.title}   {why}", "red"))
            place = self.folder / spec.id / "result.json"
            lines.append(Text(f"    traceback in {place}; the next run tries it again", "dim"))
        return lines


def _leader(records: list[dict[str, Any]]) -> Text:
    """The competitor with the least mean regret so far."""
    regrets: dict[str, list[float]] = {}
    for record in records:
        name = record["trial"]["agent"]["name"]
        if record["status"] == "ok" and name not in PINNED:
            regrets.setdefault(name, []).append(record["regret"])
    if not regrets:
        return Text()
    means = {name: sum(values) / len(values) for name, values in regrets.items()}
    best = min(means, key=means.__getitem__)
    unit = next(record["task"]["unit"] for record in records if record["status"] == "ok")
    return Text(f"least regret {best} {fmt.regret(means[best])} {unit}", "dim")
