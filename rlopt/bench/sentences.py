"""What the leaderboard says in words; made from paired intervals, never written by hand."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlopt.bench import format as fmt

if TYPE_CHECKING:
    from rlopt.bench.leaderboard import Row, Sentence, Step

SCALE = "where 1 is the oracle's value and 0 is doing nothing"
LONGEST = 40


def _name(row: "Row") -> str:
    return fmt.short(row.agent, LONGEST)


def _names(rows: Sequence["Row"], most: int = 4) -> list[tuple[str, bool]]:
    """'**a**, **b** and **c**' as parts; long lists end in 'and 5 more'."""
    kept = rows if len(rows) <= most else rows[: most - 1]
    parts: list[tuple[str, bool]] = []
    for i, row in enumerate(kept):
        last = i == len(kept) - 1 and len(kept) == len(rows)
        parts += [(" and " if last and i else ", " if i else "", False), (_name(row), True)]
    if len(kept) < len(rows):
        parts.append((f" and {len(rows) - len(kept)} more", False))
    return parts


def leaders(rows: Sequence["Row"]) -> list["Row"]:
    """The agents that share first place with the first one."""
    return list(rows[: rows[0].worst]) if rows and rows[0].worst else []


def _beaten(rows: Sequence["Row"]) -> list[tuple[str, bool]]:
    """The agents that would have done better by doing nothing."""
    below = [r for r in rows if r.score.below_zero]
    if not below:
        return []
    parts = [(" ", False), *_names(below, 3)]
    if len(below) == 1:
        return [
            *parts,
            (f" ({fmt.score(below[0].score.value)}) is worse than doing nothing.", False),
        ]
    return [*parts, (" are worse than doing nothing.", False)]


def title(rows: Sequence["Row"], steps: Sequence["Step"]) -> "Sentence":
    """Who won, by how much, is it settled, and who should have done nothing."""
    from rlopt.bench.leaderboard import Sentence

    first = leaders(rows)
    scored = [r for r in rows if r.best is not None]
    if not first:
        return Sentence((("No ranked agent has finished a trial, so there is no order.", False),))
    winner, value = first[0], fmt.score(first[0].score.value)
    parts: list[tuple[str, bool]]
    if len(scored) == 1:
        span = fmt.interval(winner.score.low, winner.score.high)
        parts = [(_name(winner), True), (f" scores {value} ({span}), {SCALE}.", False)]
        if not winner.score.has_interval:
            parts[1] = (f" scores {value}, {SCALE}. One seed a task: no interval is known.", False)
    elif len(first) > 1:
        last = fmt.score(first[-1].score.value)
        shown = f"scores {value} and {last}" if len(first) == 2 else f"scores {value} to {last}"
        parts = [*_names(first), (f" share first place: {shown}, {SCALE}. ", False)]
        equal = steps[0].difference.separated and len(first) == 2
        why = "They differ by less than 0.001." if equal else "The seeds do not separate them."
        parts.append((why, False))
    elif not steps[0].difference.has_interval:
        parts = [(_name(winner), True), (f" scores highest, {value}, {SCALE}. ", False)]
        parts.append(("With one seed a task nothing shows how sure the order is.", False))
    else:
        gap = steps[0].difference
        digits = 2 if min(abs(gap.low), abs(gap.value)) >= 0.01 else 3
        by = f"{fmt.fixed(gap.value, digits)} ({fmt.interval(gap.low, gap.high, digits)})"
        parts = [(_name(winner), True), (" leads ", False), (_name(scored[1]), True)]
        both = f"scores {value} and {fmt.score(scored[1].score.value)}"
        parts.append((f" by {by}: {both}, {SCALE}.", False))
    return Sentence((*parts, *_beaten(rows)))


def tie(rows: Sequence["Row"], steps: Sequence["Step"]) -> "Sentence | None":
    """Why the first place is shared; None where it is not."""
    from rlopt.bench.leaderboard import Sentence

    first = leaders(rows)
    if len(first) < 2:
        return None
    a, b, step = first[0], first[1], steps[0]
    gap = step.difference

    def shown(row: "Row") -> str:
        span = fmt.interval(row.score.low, row.score.high)
        return f"{_name(row)} {fmt.score(row.score.value)} ({span})"

    several = {2: "two", 3: "three", 4: "four", 5: "five"}.get(len(first), str(len(first)))
    if gap.low == gap.high == gap.value == 0:
        same = f"{shown(a)} and {shown(b)} score the same on every seed"
        return Sentence(((f"The first {several} share their place. ", True), (same + ".", False)))
    if gap.separated:
        close = f"{_name(a)} and {_name(b)} differ by {fmt.regret(gap.value, 2)} in score"
        why = f"{close}, which is less than the numbers on this page resolve."
        return Sentence(((f"The first {several} are as good as equal. ", True), (why, False)))
    parts = [
        (f"The order of the first {several} is not settled. ", True),
        (f"{shown(a)} and {shown(b)}, compared seed by seed, differ by ", False),
        (
            f"{fmt.plus(gap.value)} (95 %: {fmt.fixed(gap.low, 3)} to {fmt.fixed(gap.high, 3)}), ",
            False,
        ),
        (f"which includes 0; a run of {_name(a)} beats a run of {_name(b)} ", False),
        (f"{fmt.percent(step.improvement)} of the time. ", False),
    ]
    if len(first) > 2:
        parts.append((f"The same holds down to {_name(first[-1])}. ", False))
    parts.append(("More seeds, not more decimals, would settle it.", False))
    return Sentence(tuple(parts))
