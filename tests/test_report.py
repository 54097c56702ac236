# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
import base64
import json
import re
import time
from html.parser import HTMLParser
from typing import Any

import fake_runs
import numpy as np
import pandas as pd
import pytest

from rlopt.bench import curves, leaderboard, panels, plots, report, results, twins, views

LIMIT = 8e6  # bytes
SECONDS = 10  # processor time


class Page(HTMLParser):
    """Tags, addresses and visible text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.inside = [], [], [], []
        self.scripts = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, k, v or "") for k, v in attrs]
        self.inside.append(tag)

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self.inside and self.inside[-1] in ("script", "style"):
            self.scripts.append((self.inside[-1], data))
        else:
            self.text.append(data)

    @property
    def figures(self):
        data = next(d for t, d in self.scripts if t == "script" and d.lstrip().startswith("{"))
        return json.loads(data)

    @property
    def words(self):
        return "".join(self.text)


def page_of(runs):
    return Page(report.write_report(runs).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return fake_runs.demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def read(demo):
    return results.read(demo)


@pytest.fixture(scope="module")
def board(read):
    return leaderboard.build(read)


@pytest.fixture(scope="module")
def page(demo):
    return page_of(demo)


def test_the_page_is_small_and_quick(demo):
    start = time.process_time()
    path = report.write_report(str(demo))
    assert time.process_time() - start < SECONDS
    assert path == demo / "report.html" and path.stat().st_size < LIMIT


def test_nothing_is_fetched_from_anywhere(page):
    for tag, key, value in page.attributes:
        if key in ("src", "href", "xlink:href", "action", "srcset", "poster"):
            assert value.startswith(("data:", "#")), (tag, key, value[:80])
    styles = "".join(d for t, d in page.scripts if t == "style")
    assert "@import" not in styles and "url(http" not in styles
    assert ("link", "rel", "icon") in page.attributes
    policy = [v for t, k, v in page.attributes if (t, k) == ("meta", "content")]
    assert any("default-src 'none'" in v for v in policy)


def test_links_inside_the_page_lead_somewhere(page):
    ids = [v for _, k, v in page.attributes if k == "id"]
    assert len(ids) == len(set(ids))
    for tag, key, value in page.attributes:
        if tag in ("a", "use") and key == "href":
            assert value[1:] in ids


def test_it_answers_the_first_questions_in_words(page, board):
    words = " ".join(page.words.split())
    assert " ".join(str(board.title).split()) in words
    assert "347 done, ▲ 3 failed" in words
    assert "rlopt run experiments/demo.yaml --jobs 2" in words
    for text in ("worse than doing nothing", "2 trials failed", "FloatingPointError", "26.4713"):
        assert text in words
    assert "[0.9871, 0.9987]" in words and "Only a bracket is known" in words
    for row in board.rows:
        assert row.agent in words


def test_every_score_stands_beside_its_interval(page, board):
    words = " ".join(page.words.split())
    for row in board.rows:
        assert report._span(row.score) in words


def coloured(figure):
    text = json.dumps(figure)
    return json.loads(re.sub(r'"var\(--\w+\)(/[\d.]+)?"', '"#123456"', text))


def test_figures_are_valid_plotly(page, board):
    go = pytest.importorskip("plotly.graph_objects")
    assert set(page.figures) == {"profile", *(f"plot-{i}" for i in range(5))}
    for figure in page.figures.values():
        go.Figure(coloured(figure))  # raises on an unknown key or value


def test_figures_use_colours_of_the_style_sheet(page):
    styles = "".join(d for t, d in page.scripts if t == "style")
    used = set(re.findall(r"var\((--\w+)\)", json.dumps(page.figures)))
    assert used and all(f"{name}:" in styles for name in used)


def test_curves_are_medians_over_seeds(read, board):
    chart = curves.regret_chart(read, board, "AllenFishery")
    assert chart is not None and chart.unit == "biomass" and chart.seeds == 5
    line = next(x for x in chart.lines if x.name == "gp-dp")
    ids = [
        r["trial"]["id"]
        for r in read.records
        if (r["trial"]["agent"]["name"], r["trial"]["env"]["name"]) == ("gp-dp", "AllenFishery")
    ]
    seeds = np.array([read.curves[i].regret.to_numpy()[1:] for i in ids])
    np.testing.assert_allclose(line.y, np.median(seeds, axis=0), rtol=1e-12)
    np.testing.assert_allclose(line.high, np.quantile(seeds, 0.9, axis=0), rtol=1e-12)
    low = np.maximum(np.quantile(seeds, 0.1, axis=0), chart.bottom)
    np.testing.assert_allclose(line.low, low, rtol=1e-12)
    assert line.x[0] == 100 and line.until == 200_000  # step 0 has no place on a log axis
    rule = next(x for x in chart.lines if x.name == "msy")
    assert rule.until is None and rule.y.size == 1
    assert "oracle" not in [x.name for x in chart.lines]


def made_up(board, levels, steps=(0, 10, 100, 1000)):
    """A chart with one made-up agent per list of regrets."""
    tables = {}
    records: list[Any] = []
    for i, (row, regrets) in enumerate(zip(board.rows, levels, strict=False)):
        tables[str(i)] = pd.DataFrame(
            {"step": steps[: len(regrets)], "regret": regrets, "value": 0.0}
        )
        trial = {"id": str(i), "agent": {"name": row.agent}, "env": {"name": "e"}, "seed": 0}
        reference = {"regret": 10.0}
        oracle = {"tolerance": 1e-3}
        records.append(
            {"status": "ok", "trial": trial, "reference": reference, "oracle": oracle, "task": {}}
        )
    made = results.Results(board, board.suite, records, tables)
    return curves.regret_chart(made, board, "e")


def test_regret_below_the_axis_goes_to_the_rail(board):
    chart = made_up(board, [[9, 5, 1, 0.0], [9, 8, 7, 6], [1e-9]])
    first, second, third = chart.lines
    np.testing.assert_array_equal(first.rail, [1000])
    assert np.isnan(first.y[-1]) and np.isnan(first.end) and not second.rail.size
    np.testing.assert_array_equal(third.rail, [1000])
    assert 1e-3 <= chart.bottom <= 1 and chart.top >= 10
    assert chart.height(0.0) < curves.RAIL < curves.BREAK < chart.height(1.1 * chart.bottom)
    figure = json.dumps(plots.regret(chart), allow_nan=False)
    assert '"y2"' in figure
    assert twins.regret(chart).startswith("data:image/svg+xml")


def test_nobody_learns_no_curve(board):
    assert made_up(board, [[1.0], [2.0]]) is None


def test_axis_never_spans_more_than_five_decades(board):
    chart = made_up(board, [[9, 5, 1, 1e-12], [9, 8, 7, 6]])
    assert chart.top / chart.bottom < 10**6.5


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_labels_keep_apart_in_order_and_inside(n):
    targets = list(np.random.default_rng(n).random(n) ** 3)
    places = curves.spaced(targets, 0.05)
    assert all(-1e-9 <= p <= 1 + 1e-9 for p in places)
    by_target = [places[i] for i in np.argsort(targets, kind="stable")]
    gaps = np.diff(by_target)
    assert (gaps >= min(0.05, 1 / max(1, n - 1)) - 1e-6).all()
    assert curves.spaced([0.1, 0.9], 0.05) == [0.1, 0.9]


def test_panels_draw_the_median_policy_on_one_scale(read, board):
    ok = [r for r in read.records if r["trial"]["env"]["name"] == "AllenFishery"]
    drawn = panels.build(ok, board, "AllenFishery")
    assert drawn is not None and len(drawn.panels) == 12 and drawn.hazard is not None
    assert drawn.hazard_label == "tipping point"
    x, y = map(float, drawn.panels[0].line.split()[0].split(","))
    assert (x, y) == (panels.LEFT, panels.BOTTOM)  # escapes nothing at stock 0
    # the hazard at 5 lies between the ticks around it
    ticks = {text: at for at, text in drawn.y_ticks}
    assert drawn.hazard == pytest.approx(ticks["5"], abs=0.1)
    for panel in drawn.panels:
        points = [tuple(map(float, p.split(","))) for p in panel.line.split()]
        assert len(points) == 101
        assert all(panels.TOP <= y <= panels.BOTTOM for _, y in points)


def test_panels_show_median_and_middle_of_seeds(read, board):
    ok = [r for r in read.records if r["trial"]["env"]["name"] == "AllenFishery"]
    of_one = [r for r in ok if r["trial"]["agent"]["name"] == "ppo"]
    for record, level in zip(of_one, (0.0, 1.0, 2.0, 3.0, 10.0), strict=True):
        policy = {"x": [0.0, 1.0], "agent": [level, level], "oracle": [0.0, 10.0]}
        of_one[of_one.index(record)] = {**record, "policy": policy}
    drawn = panels.build(of_one, board, "AllenFishery")
    assert drawn is not None
    (panel,) = drawn.panels

    def data(points):
        ys = [float(p.split(",")[1]) for p in points.split()]
        zero, ten = (float(p.split(",")[1]) for p in drawn.oracle.split())
        return [10 * (y - zero) / (ten - zero) for y in ys]

    assert data(panel.line) == pytest.approx([2.0, 2.0], abs=0.1)
    assert data(panel.band) == pytest.approx([7.2, 7.2, 0.4, 0.4], abs=0.1)
    assert len(drawn.without) == 11


def test_titles_split():
    assert views.split_title("AllenFishery") == ("", "AllenFishery", "")
    assert views.split_title("a/b/C-v12") == ("a/b/", "C", "-v12")
    assert views.split_title("-v0") == ("", "-v0", "")
    assert views.split_title("x\ny")[1] == "x\ny"


def test_trials_that_failed_alike_stand_together(read, board):
    laser = views.env_view(read, board, board.tasks.index("LaserPulse"))
    assert [(f.agent, f.which) for f in laser.failures] == [("ppo", "seeds 1 and 4")]
    assert laser.failed == 2 and laser.total == 70 and laser.below == 1
    assert laser.closest is not None and laser.closest[1].score.value > 0.9


def test_hostile_names_are_text(tmp_path):
    names = fake_runs.HOSTILE
    agents = [(n, 0.9 - i / 4, 0.02, n, False, True) for i, n in enumerate(names)]
    envs = [(n, 26.0, 8.0, n[:40], 1e-4) for n in names[:3]]
    runs = fake_runs.write(
        tmp_path, agents, envs, 3, lambda a, e, s: s == 2, name=names[0], sentence=names[1]
    )
    page = page_of(runs)
    assert page.tags.count("script") == 3  # figures, plotly, our own
    assert not [a for a in page.attributes if a[1].startswith("on")]
    for name in names:
        assert name in page.words
    texts = json.dumps(page.figures)
    assert "<script>" not in texts and "&lt;script&gt;" in texts
    for name, figure in page.figures.items():
        for trace in figure["data"]:
            assert "<" not in trace.get("name", ""), name
    twin = next(v for t, k, v in page.attributes if (t, k) == ("img", "src") and "svg" in v)
    svg = base64.b64decode(twin.split(",")[1]).decode()
    assert "<script>" not in svg


A, B = fake_runs.AGENTS[0], fake_runs.AGENTS[5]
ONE = fake_runs.ENVS[:1]


def never(*_):
    return False


@pytest.mark.parametrize(
    ("agents", "envs", "seeds", "fails"),
    [
        pytest.param([A], ONE, 1, never, id="one of everything"),
        pytest.param([A, B], ONE, 1, never, id="one seed"),
        pytest.param([A, B], ONE, 3, lambda *_: True, id="all failed"),
        pytest.param([A, B], ONE, 3, lambda a, e, s: a == A[0], id="one agent fails"),
        pytest.param([B, ("rule", 0.2, 0.0, "", True, False)], ONE, 2, never, id="rules"),
        pytest.param(fake_runs.AGENTS[-2:], ONE, 2, never, id="only oracle and nothing"),
        pytest.param(
            [A, B], [(f"Task{i}", 9.0, 1.0, "u", 0.0) for i in range(10)], 2, never, id="ten tasks"
        ),
        pytest.param(
            [(f"agent {i}", 0.9 - i / 40, 0.02, "", i % 2, True) for i in range(40)],
            ONE,
            2,
            never,
            id="forty agents",
        ),
    ],
)
def test_unusual_suites_have_a_page(tmp_path, agents, envs, seeds, fails):
    runs = fake_runs.write(tmp_path, agents, envs, seeds, fails)
    page = page_of(runs)
    assert not re.search(r"\b(nan|None|inf)\b", page.words)
    for figure in page.figures.values():
        json.dumps(figure, allow_nan=False)


def test_damaged_folders_are_named(tmp_path):
    runs = fake_runs.write(tmp_path, [A, B], ONE, 2)
    (runs / "broken").mkdir()
    (runs / "broken" / "result.json").write_text("{")
    words = page_of(runs).words
    assert "Damaged results" in words and "broken" in words


def test_missing_trials_are_counted(tmp_path):
    runs = fake_runs.write(tmp_path, [A, B], ONE, 2)
    next(p for p in sorted(runs.iterdir()) if p.is_dir()).joinpath("result.json").unlink()
    words = " ".join(page_of(runs).words.split())
    assert "3 done, ▲ 1 not run yet" in words


def test_regret_to_a_comparator_is_not_said_to_be_to_the_upper_end():
    value = {"value": 0.0, "lower": 0.0, "upper": 1000.0, "tolerance": 1e-12, "exact": False}
    record: Any = {"oracle": {**value, "method": "best fixed point", "note": "x"}, "regret": -3.0}
    view = views._oracle([record], "loss")
    assert view is not None and view.uncertainty.startswith("[0, 1")
    assert "can be negative" in view.note and "upper end" not in view.note
