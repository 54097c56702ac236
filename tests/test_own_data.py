"""From a table of years to a fishery: the door, the fits, the picture and the page."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rlopt.envs.fishery import Allen, Fishery, LognormalNoise, Ricker, StockAssessment, fit_series
from rlopt.theory.fit import fit_all, select

PAGE = Path(__file__).parents[1] / "docs" / "own-data.md"


def history(years: int = 20, *, seed: int = 0) -> pd.DataFrame:
    """A Ricker stock under a varying catch."""
    rng, growth, stock = np.random.default_rng(seed), Ricker(0.8, 100.0), 90.0
    rows = []
    for year in range(1990, 1990 + years):
        catch = rng.uniform(0.0, 0.5) * stock
        rows.append((year, stock, catch))
        stock = float(growth(stock - catch) * np.exp(0.1 * rng.standard_normal()))
    return pd.DataFrame(rows, columns=["year", "biomass", "catch"])


def changed(row: int, column: str, value: Any) -> pd.DataFrame:
    df = history()
    df[column] = df[column].astype(float)
    df.loc[row, column] = value
    return df


# --- what is fitted ---


def test_pairs_are_escapement_and_next_biomass() -> None:
    df = history()
    assessment = fit_series(df)
    left = (df.biomass - df["catch"]).to_numpy()
    np.testing.assert_array_equal(assessment.escapement, left[:-1])
    np.testing.assert_array_equal(assessment.next_stock, df.biomass.to_numpy()[1:])
    for model, fit in fit_all(left[:-1], df.biomass[1:]).items():
        assert assessment.fits[model].growth == fit.growth
    assert assessment.fit().growth == select(left[:-1], df.biomass[1:]).growth
    assert assessment.fit("bic").bic == min(fit.bic for fit in assessment.fits.values())


def test_pairs_across_a_gap_are_left_out() -> None:
    df = history()
    gap = df.drop(index=[6, 7])
    assessment = fit_series(gap)
    assert len(assessment.escapement) == 16  # of 18 rows 17 have a successor, one across the gap
    left = (df.biomass - df["catch"]).to_numpy()
    keep = [i for i in range(19) if i not in (5, 6, 7)]
    np.testing.assert_array_equal(assessment.escapement, left[keep])
    np.testing.assert_array_equal(assessment.next_stock, df.biomass.to_numpy()[np.add(keep, 1)])


def test_a_dict_of_arrays_and_other_columns_will_do() -> None:
    df = history()
    as_dict = {name: df[name].to_numpy() for name in df}
    assert fit_series(as_dict).fit().growth == fit_series(df.assign(note="x")).fit().growth
    shuffled = df[["catch", "year", "biomass"]].set_index(df.index + 100)
    assert fit_series(shuffled).fit().growth == fit_series(df).fit().growth


def test_from_dataframe() -> None:
    df = history()
    fit = fit_series(df).fit("aic")
    fishery = Fishery.from_dataframe(df)
    assert fishery.growth == fit.growth and fishery.noise == LognormalNoise(fit.sigma)
    assert fishery.x0 == df.biomass.iloc[-1] and fishery.gamma == 0.99
    other = Fishery.from_dataframe(df, model="myers", gamma=0.9, horizon=7, x0=50, action="quota")
    assert type(other.growth).__name__ == "Myers"
    assert (other.gamma, other.horizon, other.x0, other.action) == (0.9, 7, 50.0, "quota")
    assert other.oracle().value.exact
    with pytest.raises(
        ValueError, match=r"model must be one of .*got 'alen'; did you mean 'allen'"
    ):
        Fishery.from_dataframe(df, model="alen")
    with pytest.raises(TypeError, match="gama"):
        Fishery.from_dataframe(df, gama=0.9)


# --- what is told ---


def test_the_table_compares_the_models() -> None:
    assessment = fit_series(history())
    table = pd.DataFrame(assessment.table()).set_index("model")
    assert set(table.index) == {"ricker", "allen", "myers"} and table.aic.is_monotonic_increasing
    ricker = assessment.fits["ricker"]
    assert table.loc["ricker", "bic"] == ricker.bic
    assert table.loc["ricker", "msy"] == ricker.growth.reference_points().msy
    assert np.isnan(table.loc["ricker", "tipping_point"])
    allen: Any = assessment.fits["allen"].growth
    assert isinstance(allen, Allen)
    assert table.loc["allen", "tipping_point"] == pytest.approx(allen.C, rel=1e-9)
    assert table.loc["allen", "at_edge"] == ", ".join(assessment.fits["allen"].edges)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """60 Ricker histories: the 80 % interval of S_MSY holds it in 48, give or take 4 sd."""
    truth = Ricker(0.8, 100.0).reference_points().S_msy
    hits = 0
    for seed in range(60):
        interval = fit_series(history(seed=seed)).intervals("ricker", level=0.8, n=100)["S_msy"]
        assert interval.low < interval.median < interval.high and interval.share == 1.0
        hits += interval.low <= truth <= interval.high
    assert abs(hits - 48) <= 12


def test_intervals_of_what_not_every_map_has() -> None:
    assessment = fit_series(history())
    ricker, myers = (assessment.intervals(m, n=50)["tipping_point"] for m in ("ricker", "myers"))
    assert ricker.share == 0.0 and np.isnan(ricker[:3]).all()
    drawn = [draw.growth.tipping_point for draw in assessment.draws("myers", 50)]
    assert myers.share == np.mean([point is not None for point in drawn])
    allen = assessment.intervals("allen", n=50, level=0.5)
    assert allen["tipping_point"].share == 1.0 and allen["sigma"].low > 0.0
    assert assessment.intervals("allen", n=50, level=0.9)["msy"].low < allen["msy"].low
    assert assessment.draws("allen", 5, seed=1) == assessment.draws("allen", 5, seed=1)
    assert assessment.draws("allen", 5, seed=1) != assessment.draws("allen", 5, seed=2)
    for level in (0.0, 1.0, 90):
        with pytest.raises(ValueError, match="level must be in"):
            assessment.intervals(level=level)


def test_the_picture() -> None:
    """Two axes: the series (broken at the gap), and pairs with a curve and a band."""
    df = history()
    figure = fit_series(df.drop(index=[6, 7])).plot("myers")
    left, right = figure.axes
    biomass = [line.get_xydata() for line in left.lines]
    assert [len(run) for run in biomass] == [6, 12]
    np.testing.assert_allclose(np.concatenate(biomass)[:, 1], df.biomass.drop([6, 7]))
    heights = [bar.get_height() for bar in left.patches]
    np.testing.assert_allclose(heights, df["catch"].drop([6, 7]))
    drawn = fit_series(df.drop(index=[6, 7])).draws("myers", 200)
    (band,) = right.collections
    edge = band.get_paths()[0].vertices
    s = edge[60:140, 0]
    low, high = np.quantile([draw.growth(s) for draw in drawn], [0.05, 0.95], axis=0)
    on_edge = np.minimum(abs(edge[60:140, 1] - low), abs(edge[60:140, 1] - high))
    np.testing.assert_allclose(on_edge, 0.0, atol=1e-9)
    curves = {len(line.get_xdata()) for line in right.lines}
    assert curves == {2, 16, 201} and len(right.lines) == 5 and len(right.collections) == 1
    words = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert words == {
        "stock before harvest",
        "catch",
        "Myers fit, 90 % band",
        "no change",
        "Ricker",
        "Allen",
    }
    bounds = figure.bbox
    for axes in figure.axes:
        for text in [*axes.texts, axes.xaxis.label, axes.yaxis.label]:
            box = text.get_window_extent()
            assert bounds.x0 <= box.x0 and box.x1 <= bounds.x1 and box.y1 <= bounds.y1


# --- the door ---


@pytest.mark.parametrize(
    ("df", "message"),
    [
        (history().rename(columns={"biomass": "Biomas"}), "no 'biomass' among .*did you mean 'Bi"),
        (history()[["year"]], "no 'biomass', 'catch' among"),
        (changed(4, "year", 1993), "years must rise .*row 4 has 1993 after 1993"),
        (changed(4, "year", 1980), "row 4 has 1980 after 1993"),
        (changed(4, "year", 1994.5), "year must be a whole number, got 1994.5 in row 4"),
        (changed(4, "year", np.nan), "year must be a whole number, got nan in row 4"),
        (changed(3, "biomass", np.nan), r"biomass is not finite in row 3 \(year 1993\)"),
        (changed(3, "biomass", np.inf), "biomass is not finite in row 3"),
        (changed(3, "biomass", -2.0), "biomass is negative in row 3"),
        (changed(3, "catch", np.nan), "catch is not finite in row 3"),
        (changed(3, "catch", -1.0), "catch is negative in row 3"),
        (changed(3, "catch", 1e3), r"catch exceeds the biomass in row 3 \(year 1993\).*1000"),
        (changed(7, "biomass", 0.0).assign(catch=0.0), r"collapsed in row 7 \(year 1997\)"),
        (history(5), "at least 5 pairs .*got 4 in 5 rows"),
        (history(12).iloc[[0, 1, 3, 4, 6, 7, 9, 10]], "at least 5 pairs .*got 4 in 8 rows"),
        (history().assign(biomass=50.0, catch=5.0), "constant"),
        (history().assign(catch="much"), "column 'catch' must hold numbers"),
        ({"year": [1, 2], "biomass": [1.0], "catch": [0.0]}, "columns must be of one length"),
    ],
)
def test_bad_tables_are_refused(df: Any, message: str) -> None:
    for read in (fit_series, Fishery.from_dataframe):
        with pytest.raises(ValueError, match=message):
            read(df)


def test_growth_out_of_nothing_is_refused() -> None:
    df = history()
    df.loc[6, "catch"] = df.loc[6, "biomass"]
    with pytest.raises(ValueError, match=r"catch leaves nothing in row 6 \(year 1996\)"):
        fit_series(df)
    df = history()
    df.loc[19, "catch"] = df.loc[19, "biomass"]  # nothing is known of what came of it
    assert isinstance(fit_series(df), StockAssessment)


def test_a_fit_at_an_edge_comes_with_a_warning() -> None:
    df = history(seed=3)
    assessment = fit_series(df)
    assert not assessment.fits["ricker"].edges and assessment.fits["allen"].edges
    with pytest.warns(UserWarning, match="the allen fit is at the edge of what is allowed in C"):
        assessment.fishery("allen")
    with pytest.warns(UserWarning, match="the allen fit is at the edge") as caught:
        Fishery.from_dataframe(df, model="allen")
    assert len(caught) == 1
    assessment.fishery("ricker")


def test_dates_are_no_years() -> None:
    df = history()
    dates = df.assign(year=pd.to_datetime(df.year.astype(str), format="%Y"))
    for table in (dates, {name: dates[name].to_numpy() for name in dates}):
        with pytest.raises(ValueError, match=r"got dates; use df\.year\.dt\.year"):
            Fishery.from_dataframe(table)
    right = dates.assign(year=dates.year.dt.year)
    assert fit_series(right).fit().growth == fit_series(df).fit().growth


def test_what_is_no_table_is_refused() -> None:
    df = history()
    for given, name in ((df.to_numpy().tolist(), "list"), (df.biomass, "Series"), (None, "None")):
        with pytest.raises(TypeError, match=f"a dict of columns is needed, got {name}"):
            fit_series(given)


def test_constant_series_are_named_by_their_column() -> None:
    df = history(8)
    with pytest.raises(
        ValueError, match=r"^biomass is constant: 50 in all of the rows 1 to 7 \(years 1991 to 1997"
    ):
        fit_series(df.assign(biomass=50.0, catch=np.arange(8.0)))
    with pytest.raises(ValueError, match=r"^the escapement, biomass - catch, is constant: 40 in"):
        fit_series(df.assign(biomass=50.0 + np.arange(8.0), catch=10.0 + np.arange(8.0)))


# --- the page ---


@pytest.mark.filterwarnings("ignore:the allen fit is at the edge:UserWarning")
def test_the_page_shows_what_happens(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(python|text)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 10
    place: dict[str, Any] = {}
    for kind, content in blocks:
        if kind == "text":
            assert capsys.readouterr().out == content
        else:
            assert not capsys.readouterr().out
            exec(compile(content, PAGE.name, "exec"), place)
    assert (tmp_path / "own-data.png").stat().st_size > 10_000
