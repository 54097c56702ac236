"""The statistics of a leaderboard: interquartile means and what the seeds say about them.

Runs come as one array of scores per task, or as a mapping (task, seed) -> score where two
agents are compared on the same seeds. A failed run is simply absent; it never counts as 0.
Nothing is clipped. Intervals are percentile intervals of a stratified bootstrap: the seeds of
each task are redrawn with replacement, task by task, so the choice of tasks stays as it is.

References:
    Agarwal, Schwarzer, Castro, Courville, Bellemare (2021), "Deep reinforcement learning at the
    edge of the statistical precipice", NeurIPS: interquartile mean, stratified bootstrap,
    performance profiles, probability of improvement, optimality gap.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Runs = Mapping[tuple[str, int], float]

REPLICATES = 2000
SEED = 20_210_830
LEVEL = 0.95
# half a digit in the third decimal: what a page with three decimals shows as 0.000. Rules that
# meet no chance have intervals of no width, so without it rounding errors would be an order.
RESOLUTION = 0.0005


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; nan where there is nothing to say.

    Attributes:
        value: point estimate
        low: lower end of the interval
        high: upper end of the interval
        n: number of runs (pairs of runs for a difference) behind it
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def has_interval(self) -> bool:
        """Whether both ends are known (one seed gives none)."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    @property
    def separated(self) -> bool:
        """Whether the interval is known and leaves 0 out."""
        return self.has_interval and (self.low > 0 or self.high < 0)

    @property
    def apart(self) -> bool:
        """Whether a difference of scores is both separated from 0 and large enough to be seen."""
        return self.separated and abs(self.value) >= RESOLUTION

    @property
    def below_zero(self) -> bool:
        """Whether all of the interval (the value, where there is none) lies below 0."""
        return self.high < 0 if self.has_interval else self.value < 0


NOTHING = Estimate(float("nan"), float("nan"), float("nan"), 0)


@dataclass(frozen=True)
class Profile:
    """Share of runs that score more than tau, with a 95 % band; all of shape (len(tau),)."""

    tau: Floats
    share: Floats
    low: Floats
    high: Floats


def iqm(x: ArrayLike, axis: int | None = None) -> Floats:
    """Interquartile mean: drop floor(n/4) values at each end and average the rest.

    Args:
        x: scores; pooled where `axis` is None
        axis: the axis to average over

    Example:
        >>> float(iqm([0.0, 1.0, 2.0, 100.0]))
        1.5
    """
    a = np.asarray(x, dtype=np.float64)
    a = np.sort(a.ravel() if axis is None else np.moveaxis(a, axis, -1), axis=-1)
    n = a.shape[-1]
    if n == 0:
        return np.full(a.shape[:-1], np.nan)
    return np.asarray(a[..., n // 4 : n - n // 4].mean(axis=-1))


def mean_by_task(x: ArrayLike, axis: int | None = None) -> Floats:
    """Plain mean, as a drop-in for `iqm`."""
    a = np.asarray(x, dtype=np.float64)
    return np.asarray(a.mean(axis=axis)) if a.size else np.asarray(np.nan)


def optimality_gap(x: ArrayLike, gamma: float = 1.0) -> float:
    """Mean distance to `gamma` of the runs below it: 0 means that all reach it."""
    a = np.asarray(x, dtype=np.float64)
    return float(np.maximum(0.0, gamma - a).mean()) if a.size else float("nan")


def _rng(rng: np.random.Generator | None) -> np.random.Generator:
    return np.random.default_rng(SEED) if rng is None else rng


def _redrawn(sizes: Sequence[int], rng: np.random.Generator, replicates: int) -> NDArray[np.intp]:
    """Positions (replicates, sum(sizes)) in the pooled runs, redrawn within each task."""
    starts = np.cumsum([0, *sizes[:-1]])
    return np.concatenate(
        [s + rng.integers(0, n, (replicates, n)) for s, n in zip(starts, sizes, strict=True)],
        axis=1,
    )


def _strata(groups: Sequence[ArrayLike]) -> list[Floats]:
    """Finite runs of each task that has any."""
    arrays = [np.asarray(g, dtype=np.float64).ravel() for g in groups]
    return [kept for a in arrays if (kept := a[np.isfinite(a)]).size]


def bootstrap(
    groups: Sequence[ArrayLike],
    statistic: Callable[..., Floats] = iqm,
    rng: np.random.Generator | None = None,
    replicates: int = REPLICATES,
) -> Floats:
    """The statistic on `replicates` redrawn sets of runs, shape (replicates,).

    Args:
        groups: one array of scores per task, of any lengths
        statistic: called with `axis=1` on pooled runs (replicates, runs)
        rng: generator; a fixed seed where None, so that a report can be made again
        replicates: how many
    """
    strata = _strata(groups)
    pooled = np.concatenate(strata)
    drawn = _redrawn([s.size for s in strata], _rng(rng), replicates)
    return statistic(pooled[drawn], axis=1)


def _interval(replicated: Floats) -> tuple[float, float]:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(replicated, [tail, 1 - tail], axis=0)
    return float(low), float(high)


def estimate(
    groups: Sequence[ArrayLike],
    statistic: Callable[..., Floats] = iqm,
    rng: np.random.Generator | None = None,
    replicates: int = REPLICATES,
) -> Estimate:
    """The statistic of all runs pooled, with its stratified bootstrap interval.

    With one seed in every task there is no interval (nan): nothing was repeated.
    """
    strata = _strata(groups)
    if not strata:
        return NOTHING
    pooled = np.concatenate(strata)
    value = float(statistic(pooled, axis=0))
    if max(s.size for s in strata) < 2:
        return Estimate(value, float("nan"), float("nan"), pooled.size)
    low, high = _interval(bootstrap(strata, statistic, rng, replicates))
    return Estimate(value, low, high, pooled.size)


def by_task(runs: Runs, tasks: Sequence[str] | None = None) -> list[Floats]:
    """The runs of one agent as an array per task, seeds in order."""
    names = list(dict.fromkeys(t for t, _ in sorted(runs))) if tasks is None else tasks
    return [np.array([runs[k] for k in sorted(runs) if k[0] == name]) for name in names]


def _pairs(a: Runs, b: Runs) -> list[tuple[str, int]]:
    """(task, seed) that both agents finished."""
    return sorted(k for k in a if k in b and np.isfinite(a[k]) and np.isfinite(b[k]))


def paired_difference(
    a: Runs,
    b: Runs,
    statistic: Callable[..., Floats] = iqm,
    rng: np.random.Generator | None = None,
    replicates: int = REPLICATES,
) -> Estimate:
    """statistic(a) - statistic(b) on the (task, seed) pairs that both finished.

    Both agents are redrawn with the same seeds, so luck that they share cancels.

    Args:
        a: scores of one agent, (task, seed) -> score
        b: scores of the other
        statistic: as in `bootstrap`
        rng: as in `bootstrap`
        replicates: how many redrawn sets
    """
    keys = _pairs(a, b)
    if not keys:
        return NOTHING
    x = np.array([[a[k], b[k]] for k in keys])
    value = float(statistic(x[:, 0], axis=0) - statistic(x[:, 1], axis=0))
    tasks = [k[0] for k in keys]
    sizes = [tasks.count(t) for t in dict.fromkeys(tasks)]
    if max(sizes) < 2:
        return Estimate(value, float("nan"), float("nan"), len(keys))
    drawn = x[_redrawn(sizes, _rng(rng), replicates)]
    low, high = _interval(statistic(drawn[..., 0], axis=1) - statistic(drawn[..., 1], axis=1))
    return Estimate(value, low, high, len(keys))


def probability_of_improvement(a: Runs, b: Runs) -> float:
    """P(X > Y) + P(X = Y)/2 for a run X of `a` and Y of `b`, averaged over common tasks."""
    shares = []
    for task in dict.fromkeys(t for t, _ in sorted(a)):
        x, y = (np.array([r[k] for k in sorted(r) if k[0] == task]) for r in (a, b))
        x, y = x[np.isfinite(x)], y[np.isfinite(y)]
        if x.size and y.size:
            above = x[:, None] > y
            shares.append(float((above + 0.5 * (x[:, None] == y)).mean()))
    return float(np.mean(shares)) if shares else float("nan")


def profile(
    groups: Sequence[ArrayLike],
    tau: ArrayLike,
    rng: np.random.Generator | None = None,
    replicates: int = REPLICATES,
) -> Profile:
    """Performance profile: share of runs with a score above each tau, and its 95 % band."""
    grid = np.asarray(tau, dtype=np.float64)
    strata = _strata(groups)
    if not strata:
        empty = np.full(grid.shape, np.nan)
        return Profile(grid, empty, empty, empty)
    pooled = np.concatenate(strata)
    share = (pooled > grid[:, None]).mean(axis=1)
    if max(s.size for s in strata) < 2:
        empty = np.full(grid.shape, np.nan)
        return Profile(grid, share, empty, empty)
    drawn = pooled[_redrawn([s.size for s in strata], _rng(rng), replicates)]
    shares = np.array([(drawn > t).mean(axis=1) for t in grid])
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(shares, [tail, 1 - tail], axis=1)
    return Profile(grid, share, low, high)


def spread(x: ArrayLike) -> tuple[float, float, float]:
    """Median, 10 % and 90 % quantile over seeds; nan where there is none."""
    a = np.asarray(x, dtype=np.float64)
    a = a[np.isfinite(a)]
    if not a.size:
        return float("nan"), float("nan"), float("nan")
    low, middle, high = np.quantile(a, [0.1, 0.5, 0.9])
    return float(middle), float(low), float(high)
