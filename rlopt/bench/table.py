"""The leaderboard in a terminal.

Black on white or white on black, red only for trouble, and every red line carries its mark, so
that nothing is lost without colour (NO_COLOR, files, pipes). Narrow terminals lose the drawing
first, then steps and time; agent, score and interval always stay.
"""

import math
import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rlopt.bench import format as fmt
from rlopt.bench.leaderboard import Leaderboard, Row, TaskScore
from rlopt.bench.stats import Estimate

LEFT, RIGHT = -0.5, 1.1
NARROWEST, WIDEST = 17, 41
NAME = 24
NARROW = 66
RED = "red"


def _position(x: float, width: int) -> int:
    share = (min(max(x, LEFT), RIGHT) - LEFT) / (RIGHT - LEFT)
    return min(width - 1, round(share * (width - 1)))


def whisker(score: Estimate | float, width: int) -> Text:
    """A score and its interval on a line from −0.5 to 1.1, marks at 0 and 1.

    A plain number is a pinned row: a filled square for the oracle, an open one for doing nothing.
    """
    line = Text(" " * width, no_wrap=True)
    cells = list(line.plain)
    cells[_position(0, width)] = "┊"
    cells[_position(1, width)] = "│"
    cells[_position(0.5, width)] = "·"
    if isinstance(score, float):
        cells[_position(score, width)] = "■" if score else "□"
        return Text("".join(cells), no_wrap=True)
    at = _position(score.value, width) if math.isfinite(score.value) else None
    if at is not None and score.has_interval:
        low, high = _position(score.low, width), _position(score.high, width)
        cells[low : high + 1] = "─" * (high - low + 1)
        if low < at:
            cells[low] = "├" if score.low >= LEFT else "◂"
        if high > at:
            cells[high] = "┤"
    if at is not None:
        cells[at] = "●" if score.value >= LEFT else "◂"
    return Text("".join(cells), no_wrap=True)


def _scale(width: int) -> Text:
    """The ticks above the whiskers and what 0 and 1 are."""
    lines = []
    for labels in ({-0.5: "−0.5", 0.0: "0", 1.0: "1"}, {0.0: "do nothing", 1.0: "oracle"}):
        cells = [" "] * (width + 1)
        for x, text in labels.items():
            start = max(0, min(_position(x, width) - len(text) // 2, len(cells) - len(text)))
            cells[start : start + len(text)] = text
        lines.append("".join(cells).rstrip())
    # too narrow for both words: the numbers alone say it
    return Text("\n".join(lines) if width >= 24 else lines[0], no_wrap=True)


def _marks(row: Row) -> str:
    """The signs before a rank: trouble, or a tie."""
    signs = dict.fromkeys(f.mark for f in row.flags if f.warning or f.kind == "tie")
    return "".join(signs)


def _name(text: str) -> Text:
    return Text(fmt.short(text, NAME), style="bold", no_wrap=True, overflow="ellipsis")


def _breakable(name: str) -> Text:
    """A task's name that may break between words: 'AllenFishery' -> 'Allen Fishery'."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[-_/])", "\u200b", fmt.visible(name, NAME))
    return Text(words.replace("\u200b", "\n") if len(words) > 9 else fmt.visible(name))


class TerminalTable:
    """A leaderboard that fits the width it is printed at."""

    def __init__(self, board: Leaderboard) -> None:
        self.board = board

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(40, options.max_width), options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        yield self._head()
        yield Text()
        yield Text(str(self.board.title))
        yield Text()
        yield self._ranking(width)
        yield from self._notes()
        if self.board.tasks:
            yield Text()
            yield from self._tasks(width)
        yield Text()
        yield from self._foot()

    def _head(self) -> Text:
        board, suite = self.board, self.board.suite
        total = board.done + len(board.failed) + board.missing
        head = Text(fmt.visible(suite["name"], 40), style="bold")
        head.append(f"   {fmt.fixed(board.done, 0)} of {fmt.count(total, 'trial')} done", "none")
        if board.failed:
            head.append(f", ▲ {len(board.failed)} failed", RED)
        if board.missing:
            head.append(f", {board.missing} not run yet")
        if fmt.known(suite.get("seconds")):
            head.append(f"   {fmt.long_time(suite['seconds'])}", "dim")
        head.append(f"   rlopt {suite.get('rlopt', fmt.DASH)}", "dim")
        return head

    def _drawing(self, width: int) -> int:
        """Cells that are left for the whiskers; 0 where that is too few."""
        names = [len(fmt.short(r.agent, NAME)) for r in self.board.rows] + [10]
        spans = [len(fmt.interval(r.score.low, r.score.high)) for r in self.board.rows] + [13]
        used = 3 + 2 + 5 + 2 + max(names) + 2 + 6 + 2 + max(spans) + 2 + 2 + 7 + 2 + 7 + 2
        free = width - used
        return min(free, WIDEST) if free >= NARROWEST else 0

    def _ranking(self, width: int) -> Table:
        drawing = self._drawing(width)
        table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
        table.add_column("", justify="right", no_wrap=True)
        table.add_column("#", no_wrap=True)
        table.add_column("agent", no_wrap=True, overflow="ellipsis", min_width=8)
        table.add_column("score\nIQM", justify="right", no_wrap=True)
        table.add_column("95 %\ninterval", style="dim", no_wrap=True)
        if drawing:
            table.add_column(_scale(drawing), min_width=drawing + 1, no_wrap=True)
        if width >= NARROW:
            table.add_column("steps", justify="right", style="dim", no_wrap=True)
            table.add_column("wall", justify="right", style="dim", no_wrap=True)
        oracle, nothing = self.board.oracle, self.board.nothing
        wall = fmt.seconds(oracle.seconds) if oracle else fmt.DASH
        measured = fmt.score(oracle.score.value) if oracle else fmt.DASH
        why = "by definition" if measured in (fmt.score(1.0), fmt.DASH) else f"measured {measured}"
        self._add(table, ["", "·", Text("oracle", "bold"), "1", why], 1.0, drawing, wall)
        for row in self.board.rows:
            rank = Text(row.rank)
            marks = Text(_marks(row), RED if row.warned else "none")
            score = Text(fmt.score(row.score.value), "bold")
            span = fmt.interval(row.score.low, row.score.high)
            cells: list[RenderableType] = [marks, rank, _name(row.agent), score, span]
            steps = fmt.steps(row.steps)
            self._add(table, cells, row.score, drawing, fmt.seconds(row.seconds), steps)
        wall = fmt.seconds(nothing.seconds) if nothing else fmt.DASH
        self._add(table, ["", "·", "do nothing", "0", "by definition"], 0.0, drawing, wall)
        return table

    @staticmethod
    def _add(
        table: Table,
        cells: list[RenderableType],
        score: Estimate | float,
        drawing: int,
        wall: str,
        steps: str = fmt.DASH,
    ) -> None:
        if drawing:
            cells = [*cells, whisker(score, drawing)]
        table.add_row(*[*cells, steps, wall][: len(table.columns)])

    def _notes(self) -> Iterable[RenderableType]:
        """Ties, failures and agents below 0, in words."""
        board = self.board
        notes = []
        for step in board.steps:
            gap = step.difference
            if gap.has_interval and not gap.apart:
                names = f"{fmt.short(step.upper, NAME)} − {fmt.short(step.lower, NAME)}"
                span = f"{fmt.fixed(gap.low, 3)} to {fmt.plus(gap.high)}"
                notes.append(Text(f"=  {names}: {fmt.plus(gap.value)} ({span}, paired seeds)"))
        if board.failed:
            named = [fmt.visible(f"{e}/{a}/{s}", 70) for a, e, s in board.failed]
            text = f"▲  failed and left out: {', '.join(named[:8])}"
            notes.append(Text(text + (f" and {len(named) - 8} more" * (len(named) > 8)), RED))
        below = [
            f"{fmt.short(r.agent, NAME)}: {f.text}"
            for r in board.rows
            for f in r.flags
            if f.kind in ("below", "incomplete")
        ]
        if below:
            notes.append(Text("▼  " + "; ".join(below), RED))
        if notes:
            yield Text()
        for note in notes:
            yield Padding(note, (0, 0, 0, 2))

    @staticmethod
    def _tile(task: TaskScore) -> Text:
        text = Text(fmt.score(task.score.value), justify="right")
        if task.failed or not task.n:
            text.append("▲", RED)
        return text

    def _tasks(self, width: int) -> Iterable[RenderableType]:
        """Score by task; as many tasks side by side as fit."""
        yield Text("score by task", "dim")
        room = max(1, (width - NAME - 4) // 11)
        for start in range(0, len(self.board.tasks), room):
            table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
            table.add_column("", no_wrap=True, overflow="ellipsis")
            for task in self.board.tasks[start : start + room]:
                head = _breakable(task)
                table.add_column(head, justify="right", min_width=8, vertical="bottom")
            for row in self.board.rows:
                tiles = [self._tile(t) for t in row.tasks[start : start + room]]
                table.add_row(_name(row.agent), *tiles)
            yield Padding(table, (0, 0, 0, 2))

    def _foot(self) -> Iterable[RenderableType]:
        yield Text(
            "score = 1 − regret / regret of doing nothing; wall = median of one trial", "dim"
        )
        command = self.board.suite.get("command")
        if command:
            again = Text("again     ", "dim")
            again.append(fmt.visible(command), "none")
            todo = len(self.board.failed) + self.board.missing
            if todo:
                again.append(f"   (does only the {fmt.count(todo, 'missing trial')})", "dim")
            yield again


def render(board: Leaderboard) -> RenderableType:
    """The leaderboard as something that rich prints at any width."""
    return Group(TerminalTable(board))
