# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
import csv
import io
import math

import fake_runs
import numpy as np
import pytest
from rich.console import Console

from rlopt.bench import leaderboard, results, stats, table

A = ("a", 0.95, 0.01, "note a", False, True)
B = ("b", 0.60, 0.01, "note b", True, False)
BAD = ("bad", -0.5, 0.01, "", False, True)
ENVS = fake_runs.ENVS[:3]


def board_of(folder, agents, **more):
    more = {"envs": ENVS, **more}
    return leaderboard.build(results.read(fake_runs.write(folder, agents=agents, **more)))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return fake_runs.demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def board(demo):
    return leaderboard.build(results.read(demo))


def test_scores_are_those_of_the_trials(demo, board):
    trials = results.load(demo)
    for row in board.rows:
        scores = trials[(trials.agent == row.agent) & (trials.status == "ok")]
        want = stats.iqm(scores.score.to_numpy())
        assert row.score.value == pytest.approx(float(want), abs=1e-12)
        for task in row.tasks:
            here = scores[scores.env == task.task]
            assert task.regret == pytest.approx(here.regret.median(), abs=1e-12)
            assert task.n == len(here)


def test_rows_are_in_order_and_the_pinned_ones_are_not_ranked(board):
    values = [r.score.value for r in board.rows]
    assert values == sorted(values, reverse=True)
    assert len(board.rows) == len(fake_runs.AGENTS) - 2
    assert board.oracle.agent == "oracle" and board.nothing.agent == "do_nothing"
    assert {"oracle", "do_nothing"} <= board.by_name.keys()


def test_ranks_cover_exactly_the_neighbours_that_are_not_separated(board):
    for i, step in enumerate(board.steps):
        upper, lower = board.rows[i], board.rows[i + 1]
        assert (step.upper, step.lower) == (upper.agent, lower.agent)
        shared = upper.worst >= lower.best + 1 or lower.best <= upper.best
        assert shared == (not step.difference.apart)
    for i, row in enumerate(board.rows, 1):
        assert row.best <= i <= row.worst


def test_failures_are_left_out_and_flagged(board):
    ppo = board.by_name["ppo"]
    assert (ppo.trials, ppo.failed) == (23, 2)
    assert ppo.flags[0].text == "2 trials failed" and ppo.flags[0].mark == "▲" and ppo.warned
    assert board.done == 347 and len(board.failed) == 3
    assert ("ppo", "LaserPulse", 1) in board.failed
    assert {t.task: t.n for t in ppo.tasks}["LaserPulse"] == 3


def test_colours_go_to_the_first_five_and_to_flagged_agents(board):
    slots = {r.agent: r.slot for r in board.rows}
    assert [r.slot for r in board.rows[:5]] == [0, 1, 2, 3, 4]
    assert slots["ppo"] == 5 and slots["random"] == 6 and slots["msy"] is None


def test_up_to_seven_agents_all_have_a_colour(tmp_path):
    board = board_of(tmp_path, fake_runs.AGENTS[:7])
    assert [r.slot for r in board.rows] == list(range(7))


def test_a_clear_winner_leads(tmp_path):
    board = board_of(tmp_path, [A, B, BAD])
    text = str(board.title)
    assert text.startswith("a leads b by 0.")
    assert "bad (−0." in text and text.endswith("is worse than doing nothing.")
    assert board.tie is None
    assert [r.rank for r in board.rows] == ["1", "2", "3"]
    bad = board.by_name["bad"]
    assert "worse than doing nothing" in [f.text for f in bad.flags]
    assert "baseline" in [f.text for f in board.by_name["b"].flags]


def test_a_tie_is_said_in_words(tmp_path):
    twin = ("a2", 0.95, 0.2, "", False, True)
    board = board_of(tmp_path, [(*A[:2], 0.2, *A[3:]), twin, B], seed=3)
    text = str(board.title)
    assert "share first place" in text and "do not separate" in text
    assert {r.rank for r in board.rows[:2]} == {"1–2"}
    assert all(r.flags[0].text.startswith("tied with") for r in board.rows[:2])
    assert board.tie is not None and "order of the first two is not settled" in str(board.tie)
    assert "of the time" in str(board.tie)


def test_exactly_equal_agents_share_their_place(tmp_path):
    same = [(n, 1.0, 0.0, "", False, False) for n in ("x", "y", "z")]
    board = board_of(tmp_path, same)
    assert [r.rank for r in board.rows] == ["1–3"] * 3
    assert "score the same on every seed" in str(board.tie)


def test_what_is_too_small_to_be_shown_orders_nobody(tmp_path):
    rules = [("r1", 0.9, 0.0, "", True, False), ("r2", 0.9, 0.0, "", True, False)]
    runs = fake_runs.write(tmp_path, rules, fake_runs.ENVS[:1])
    read = results.read(runs)
    for record in read.records:
        record["score"] = 0.9 if record["trial"]["agent"]["name"] == "r1" else 0.8998
    board = leaderboard.build(read)
    assert board.steps[0].difference.separated and not board.steps[0].difference.apart
    assert [r.rank for r in board.rows] == ["1–2", "1–2"]
    assert "They differ by less than 0.001." in str(board.title)
    assert "differ by 2 × 10⁻⁴" in str(board.tie)
    for record in read.records:
        record["score"] = 0.9 if record["trial"]["agent"]["name"] == "r1" else 0.899
    assert [r.rank for r in leaderboard.build(read).rows] == ["1", "2"]


def test_below_zero_on_one_task_is_flagged_by_name(tmp_path):
    board = board_of(tmp_path, [A, ("tilted", 0.25, 0.01, "", False, True)], seed=7)
    row = board.by_name["tilted"]
    below = [t.task for t in row.tasks if t.score.high < 0]
    assert below and not row.score.below_zero
    assert row.flags[0].kind == "below" and below[0] in row.flags[0].text


def test_one_seed_settles_nothing(tmp_path):
    board = board_of(tmp_path, [A, B], seeds=1)
    assert "With one seed" in str(board.title)
    assert all(not r.score.has_interval for r in board.rows)
    assert [r.rank for r in board.rows] == ["1", "2"]


def test_a_single_agent(tmp_path):
    board = board_of(tmp_path, [A])
    assert str(board.title).startswith("a scores 0.9")
    assert not board.steps and board.tie is None


def test_an_agent_that_always_fails_has_no_score(tmp_path):
    board = board_of(tmp_path, [A, B], fails=lambda a, e, s: a == "a")
    assert [r.agent for r in board.rows] == ["b", "a"]
    last = board.rows[-1]
    assert last.rank == "–" and math.isnan(last.score.value) and last.warned
    assert str(board.title).startswith("b scores")


def test_nobody_finished(tmp_path):
    board = board_of(tmp_path, [A, B], fails=lambda a, e, s: True)
    assert "no order" in str(board.title)
    assert all(r.best is None for r in board.rows) and not board.steps


def test_a_task_without_results_is_flagged_as_not_comparable(tmp_path):
    board = board_of(tmp_path, [A, B], fails=lambda a, e, s: (a, e) == ("b", ENVS[0][0]))
    texts = [f.text for f in board.by_name["b"].flags]
    assert f"no result on {ENVS[0][0]}" in texts
    # compared only where both have runs
    assert board.steps[0].difference.n == 10


def test_csv_has_full_precision_and_one_column_per_task(demo, board):
    paths = board.write(demo)
    assert [p.name for p in paths] == ["leaderboard.csv", "leaderboard.md"]
    rows = list(csv.DictReader(io.StringIO(paths[0].read_text(encoding="utf-8"))))
    assert list(rows[0])[:5] == ["agent", "score", "score_low", "score_high", "rank"]
    wanted = {"steps", "seconds", "trials", "failed", *board.tasks}
    assert wanted <= rows[0].keys()
    assert rows[0]["agent"] == "oracle" and rows[-1]["agent"] == "do_nothing"
    for written, row in zip(rows[1:-1], board.rows, strict=True):
        assert float(written["score"]) == row.score.value
        assert float(written[board.tasks[0]]) == row.tasks[0].score.value
        assert float(written[f"regret {board.tasks[0]}"]) == row.tasks[0].regret
    # no temporary file stays behind
    assert not [p.name for p in demo.iterdir() if p.name.startswith(".")]


def test_write_reads_and_writes(tmp_path):
    runs = fake_runs.write(tmp_path, agents=[A, B], envs=ENVS)
    assert leaderboard.write(runs).rows[0].agent == "a"
    assert (runs / "leaderboard.md").exists()


def test_markdown_shows_hostile_names_as_text(tmp_path):
    agents = [(n, 0.9 - i / 10, 0.01, n, False, True) for i, n in enumerate(fake_runs.HOSTILE)]
    runs = fake_runs.write(tmp_path, agents=[*agents, ("a|b\nc", 0.1, 0.0, "", False, True)])
    leaderboard.write(runs)
    text = (runs / "leaderboard.md").read_text(encoding="utf-8")
    assert "<script>" not in text and "&lt;script&gt;" in text
    lines = [row for row in text.splitlines() if row.startswith("|")]
    bars = {row.replace(r"\|", "").count("|") for row in lines}
    assert len(bars) == 1 and len(lines) == len(agents) + 3
    with (runs / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        names = [row["agent"] for row in csv.DictReader(file)]
    assert set(fake_runs.HOSTILE) <= set(names)


def printed(board, width, **more):
    console = Console(width=width, file=io.StringIO(), record=True, **more)
    console.print(table.render(board))
    return console.export_text(styles=False)


@pytest.mark.parametrize("width", [40, 60, 80, 110, 200])
def test_the_terminal_table_fits_its_width(board, width):
    text = printed(board, width)
    assert max(map(len, text.splitlines())) <= width
    for word in ("gp-dp", "0.96", "347 of 350 trials", "▲", "do nothing"):
        assert word in " ".join(text.split())
    if width >= 60:
        for row in board.rows:
            assert row.agent[:15] in text
        assert "0.95 to 0.96" in text
    assert ("●" in text) == (width >= 110)


def test_the_terminal_table_has_no_colour_without_a_terminal(board, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    for terminal in (None, True):
        out = io.StringIO()
        Console(width=100, file=out, force_terminal=terminal).print(table.render(board))
        assert "\x1b[31m" not in out.getvalue() and "\x1b[91m" not in out.getvalue()


def test_the_terminal_table_survives_hostile_names(tmp_path):
    agents = [(n, 0.9 - i / 10, 0.01, "", False, True) for i, n in enumerate(fake_runs.HOSTILE)]
    board = board_of(tmp_path, [*agents, ("[red]\x1b[31mx[/red]", 0.1, 0.0, "", False, True)])
    text = printed(board, 100)
    assert "[red]\ufffd[31mx[/red]" in text and "\x1b" not in text


def test_whiskers_put_the_dot_where_the_score_is():
    width = 33
    for value in (-0.5, 0.0, 0.5, 1.0):
        line = table.whisker(stats.Estimate(value, value, value, 5), width).plain
        assert line.index("●") == round((value + 0.5) / 1.6 * (width - 1)) and len(line) == width
    assert table.whisker(stats.Estimate(-3, -4, -2, 5), width).plain[0] == "◂"
    wide = table.whisker(stats.Estimate(0.5, 0.2, 0.9, 5), width).plain
    assert "├" in wide and "┤" in wide
    nan = float("nan")
    assert "●" not in table.whisker(stats.Estimate(nan, nan, nan, 0), width).plain


def test_intervals_of_the_demo_contain_their_scores(board):
    for row in board.rows:
        assert row.score.low <= row.score.value <= row.score.high
        assert np.isfinite(row.gap)
