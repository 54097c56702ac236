"""From a stock assessment to a fishery: a table of years, fits with their uncertainty, a picture.

A row is one year: the biomass at its start, before harvest, and the catch. What escapes,
biomass - catch, grows into the biomass of the next row.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from rlopt.envs.fishery.env import Fishery
from rlopt.theory.checks import known
from rlopt.theory.fit import CRITERIA, MODELS, Fit, best_of, fit_all
from rlopt.theory.posterior import Draw, posterior
from rlopt.theory.series import COLLAPSED, FEWEST, checked_pairs

COLUMNS = ("year", "biomass", "catch")
DRAWS = 200  # of the posterior, for intervals


class Interval(NamedTuple):
    """A central interval of a posterior.

    Attributes:
        low: lower end.
        median: half of the draws lie below.
        high: upper end.
        share: of the draws, those that have the quantity at all (not every map has a tipping
            point); the interval is theirs, and NaN where there are none.
    """

    low: float
    median: float
    high: float
    share: float


@dataclass(frozen=True, eq=False)
class StockAssessment:
    """A series of one stock, with all three growth maps fitted to it.

    Attributes:
        year: (n,) ascending.
        biomass: (n,) at the start of the year, before harvest [biomass].
        catch: (n,) [biomass].
        rows: (m,) the rows whose next row is the next year: only these tell of growth.
        fits: maximum likelihood fits by model.
    """

    year: np.ndarray
    biomass: np.ndarray
    catch: np.ndarray
    rows: np.ndarray
    fits: Mapping[str, Fit]

    @cached_property
    def escapement(self) -> np.ndarray:
        """(m,) what was left in the sea in the years `rows` [biomass]."""
        return (self.biomass - self.catch)[self.rows]

    @cached_property
    def next_stock(self) -> np.ndarray:
        """(m,) what that grew into [biomass]."""
        return self.biomass[self.rows + 1]

    def fit(self, model: str = "aic") -> Fit:
        """One of the fits.

        Args:
            model: "ricker", "allen", "myers", or "aic" or "bic" for what that criterion prefers.

        Raises:
            ValueError: none of these.
        """
        known("StockAssessment", "model", model, (*CRITERIA, *MODELS))
        return best_of(self.fits, model) if model in CRITERIA else self.fits[model]

    def table(self) -> list[dict[str, Any]]:
        """One row a model, best AIC first: its name, likelihood, AIC, BIC, sigma, reference points.

        `pandas.DataFrame(assessment.table())` shows it. `tipping_point` is NaN where the map has
        none; `at_edge` names parameters for which the data ask for more than the map allows.
        """
        rows = []
        for fit in sorted(self.fits.values(), key=lambda fit: fit.aic):
            best = fit.growth.reference_points()
            rows.append(
                {
                    "model": fit.model,
                    "log_likelihood": fit.log_likelihood,
                    "aic": fit.aic,
                    "bic": fit.bic,
                    "sigma": fit.sigma,
                    "S_msy": best.S_msy,
                    "msy": best.msy,
                    "tipping_point": _tipping_point(fit),
                    "at_edge": ", ".join(fit.edges),
                }
            )
        return rows

    def draws(self, model: str = "aic", n: int = DRAWS, *, seed: int = 0) -> list[Draw]:
        """What the data leave open of one map: n draws from its posterior (`theory/posterior.py`).

        Args:
            model: as in `fit`.
            n: number of draws.
            seed: of the draws.
        """
        name = self.fit(model).model
        drawn = posterior(self.escapement, self.next_stock, name)
        return drawn.sample(np.random.default_rng(seed), n)

    def intervals(
        self, model: str = "aic", *, level: float = 0.9, n: int = DRAWS, seed: int = 0
    ) -> dict[str, Interval]:
        """Central posterior intervals of S_msy, msy, tipping_point [biomass] and sigma.

        They hold if the map is the right one: which map it is they say nothing of.

        Args:
            model: as in `fit`.
            level: share of the draws inside, in (0, 1).
            n: number of draws.
            seed: of the draws.

        Raises:
            ValueError: a level outside (0, 1), or an unknown model.
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"level must be in (0, 1), got {level!r}")
        drawn = self.draws(model, n, seed=seed)
        points = [draw.growth.reference_points() for draw in drawn]
        values = {
            "S_msy": [point.S_msy for point in points],
            "msy": [point.msy for point in points],
            "tipping_point": [_tipping_point(draw) for draw in drawn],
            "sigma": [draw.sigma for draw in drawn],
        }
        return {name: _interval(np.array(each), level) for name, each in values.items()}

    def fishery(self, model: str = "aic", **kwargs: Any) -> Fishery:
        """The fishery of one fit, from the last biomass on.

        Args:
            model: as in `fit`.
            **kwargs: of `Fishery` (gamma, horizon, action, ...); x0 is the last biomass otherwise.

        Warns:
            UserWarning: the fit has parameters at the edge of what is allowed (`Fit.edges`).
        """
        fit = self.fit(model)
        if fit.edges:
            warnings.warn(
                f"the {fit.model} fit is at the edge of what is allowed in "
                f"{', '.join(fit.edges)}: the data ask for something that is no such map, so do "
                "not trust what is optimal for it",
                UserWarning,
                stacklevel=2,
            )
        return Fishery(
            **{"growth": fit.growth, "noise": fit.noise, "x0": float(self.biomass[-1]), **kwargs}
        )

    def plot(self, model: str = "aic", *, seed: int = 0) -> Any:
        """A matplotlib Figure: the series with its catch, and next stock against escapement.

        Args:
            model: of the thick curve and its band, as in `fit`.
            seed: of the posterior draws behind the band.
        """
        from rlopt.envs.fishery.assessment_picture import draw

        return draw(self, model, seed)


def fit_series(df: Any) -> StockAssessment:
    """Fit all three growth maps to a table.

    Args:
        df: columns year (whole numbers that rise from row to row), biomass (at the start of the
            year, before harvest, > 0) and catch (>= 0, below the biomass), in one unit: a pandas
            DataFrame, or a dict of arrays. Others are ignored. Where years are missing, the pair
            across the gap is left out.

    Raises:
        TypeError: not a table.
        ValueError: naming the row (0-based, with its year) and the reason: missing columns; years
            that do not rise or are not whole; NaN, infinite or negative entries; a catch that
            leaves nothing; fewer than 5 pairs; a constant or a collapsed series.
    """
    year, biomass, catch = _columns(df)
    _check_years(year)
    _check_entries(year, biomass, catch)
    rows = np.flatnonzero(np.diff(year) == 1.0)
    if len(rows) < FEWEST:
        raise ValueError(
            f"at least {FEWEST} pairs of successive years are needed, got {len(rows)} in "
            f"{len(year)} rows"
        )
    _check_collapse(year, biomass, rows)
    _check_constant(year, biomass, catch, rows)
    x, y = checked_pairs((biomass - catch)[rows], biomass[rows + 1])
    return StockAssessment(year.astype(int), biomass, catch, rows, fit_all(x, y))


def _columns(df: Any) -> list[np.ndarray]:
    """Year, biomass and catch as float64, (n,) each."""
    if not isinstance(df, Mapping) and not hasattr(df, "columns"):
        raise TypeError(f"a DataFrame or a dict of columns is needed, got {type(df).__name__}")
    given = [str(name) for name in df]
    missing = [name for name in COLUMNS if name not in given]
    if missing:
        near = [close[0] for name in missing if (close := get_close_matches(name, given, 1, 0.5))]
        hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
        raise ValueError(
            f"the table needs the columns {', '.join(COLUMNS)}: no {', '.join(map(repr, missing))} "
            f"among {given}{hint}"
        )
    columns = []
    for name in COLUMNS:
        if np.asarray(df[name]).dtype.kind in "mM":
            hint = f"; use df.{name}.dt.year" if name == "year" else ""
            raise ValueError(f"column {name!r} must hold numbers, got dates{hint}")
        try:
            columns.append(np.asarray(df[name], dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise ValueError(f"column {name!r} must hold numbers: {error}") from error
    lengths = {column.shape for column in columns}
    if len(lengths) > 1 or columns[0].ndim != 1:
        raise ValueError(f"columns must be of one length, got shapes {sorted(lengths)}")
    return columns


def _check_years(year: np.ndarray) -> None:
    wrong = ~np.isfinite(year) | (year != np.round(year))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"year must be a whole number, got {year[row]} in row {row}")
    falls = np.diff(year) <= 0.0
    if falls.any():
        row = int(np.argmax(falls)) + 1
        raise ValueError(
            f"years must rise from row to row: row {row} has {year[row]:g} after {year[row - 1]:g}"
        )


def _check_entries(year: np.ndarray, biomass: np.ndarray, catch: np.ndarray) -> None:
    """What is wrong with a single row."""
    followed = np.append(np.diff(year) == 1.0, False)
    for wrong, reason in (
        (~np.isfinite(biomass), "biomass is not finite"),
        (~np.isfinite(catch), "catch is not finite"),
        (biomass < 0.0, "biomass is negative"),
        (catch < 0.0, "catch is negative"),
        (catch > biomass, "the catch exceeds the biomass"),
        (followed & (catch == biomass) & (biomass > 0.0), "the catch leaves nothing"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"{reason} in row {row} (year {year[row]:g}): "
                f"biomass {biomass[row]:g}, catch {catch[row]:g}"
            )


def _check_collapse(year: np.ndarray, biomass: np.ndarray, rows: np.ndarray) -> None:
    """What is wrong with the series: `checked_pairs` again, but naming rows of the table."""
    largest = float(biomass[rows + 1].max())
    lost = np.flatnonzero(biomass < COLLAPSED * largest)
    if len(lost):
        row = int(lost[0])
        raise ValueError(
            f"the series has collapsed in row {row} (year {year[row]:g}): biomass "
            f"{biomass[row]:g} is below {COLLAPSED:.0%} of the largest, {largest:g}; end it there"
        )


def _check_constant(
    year: np.ndarray, biomass: np.ndarray, catch: np.ndarray, rows: np.ndarray
) -> None:
    """As `_check_collapse`."""
    for name, values, at in (
        ("biomass", biomass, rows + 1),
        ("the escapement, biomass - catch,", biomass - catch, rows),
    ):
        first, last = at[0], at[-1]
        if (values[at] == values[first]).all():
            raise ValueError(
                f"{name} is constant: {values[first]:g} in all of the rows {first} to {last} "
                f"(years {year[first]:g} to {year[last]:g}), which says nothing of growth"
            )


def _tipping_point(fit: Fit | Draw) -> float:
    point = fit.growth.tipping_point
    return np.nan if point is None else point


def _interval(values: np.ndarray, level: float) -> Interval:
    known_values = values[np.isfinite(values)]
    share = len(known_values) / len(values)
    if not len(known_values):
        return Interval(np.nan, np.nan, np.nan, 0.0)
    low, median, high = np.quantile(known_values, [0.5 - level / 2, 0.5, 0.5 + level / 2])
    return Interval(float(low), float(median), float(high), share)
