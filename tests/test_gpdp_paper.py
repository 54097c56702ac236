"""The published GPDP computation against its archived results and against naive versions of it."""

import runpy
from typing import Any

import numpy as np
import pytest
from house import ROOT
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from zoo import ARCHIVED, EXACT, MC_ERRORS

from rlopt.agents import gpdp_paper
from rlopt.agents.gpdp_paper import paper_dp, paper_escapement, paper_gpdp
from rlopt.data import gpdp_training_series
from rlopt.theory.stock import Allen, Ricker

PROTOCOL = runpy.run_path(str(ROOT / "experiments" / "fisheries" / "protocol.py"))
SERIES = gpdp_training_series()
GRID = np.linspace(0.0, 15.0, 50)
NODE = np.arange(50)
# The archived policies: harvest all, then wait, then leave one node or (GP) two.
TRUE, GP = ARCHIVED["True"], ARCHIVED["GP"]


def chain_of_the_paper() -> np.ndarray:
    x, y = gpdp_paper.with_origin(SERIES[:-1], SERIES[1:])
    return gpdp_paper.metropolis(gpdp_paper.log_posterior(x, y), np.random.default_rng(0))


@pytest.fixture(scope="module")
def chain() -> np.ndarray:
    """The Metropolis chain of the paper's data."""
    return chain_of_the_paper()


# --- the series ---


def test_the_training_series_is_one_of_the_state_of_nature() -> None:
    assert SERIES.shape == (40,)
    assert SERIES[[0, 1, 20, 39]].tolist() == [
        5.5,
        5.38413843748528,
        8.81331853844151,
        7.20181723741119,
    ]
    noise = np.log(SERIES[1:] / Allen(2.0, 8.0, 5.0)(SERIES[:-1])) / 0.05
    # R's rnorm after set.seed(1234), with which the authors' script simulates
    drawn = [-1.2070657, 0.2774292, 1.0844412, -2.3456977, 0.4291247, 0.5060559, -0.5747400]
    np.testing.assert_allclose(noise[:7], drawn, atol=1e-6)
    assert noise.std() == pytest.approx(1.0, abs=MC_ERRORS / np.sqrt(2 * 39))
    # as the paper prints the exponent, without / K, the same data would be impossible
    printed = SERIES[:-1] * np.exp(2.0 * (1.0 - SERIES[:-1] / 8.0) * (SERIES[:-1] - 5.0))
    assert np.log(SERIES[1:] / printed).std() > 0.15


def test_the_training_series_is_read_afresh() -> None:
    gpdp_training_series()[:] = 0.0
    assert gpdp_training_series().sum() == pytest.approx(SERIES.sum(), rel=EXACT)


# --- the parametric policy ---


def naive_policy(nodes: np.ndarray, row: Any, backups: int) -> list[float]:
    """Value iteration by loops; row(i, j) gives the next stock's probabilities."""
    n = len(nodes)
    rows = [[row(i, j) for j in range(n)] for i in range(n)]
    value = np.zeros(n)
    for _ in range(backups):
        worth = [
            [float(rows[i][j] @ value) + 0.99 * min(nodes[i], nodes[j]) for j in range(n)]
            for i in range(n)
        ]
        value = np.array([max(choices) for choices in worth])
    return [nodes[i] - nodes[int(np.argmax(worth[i]))] for i in range(n)]


def test_the_true_policy_is_the_published_one_in_all_states() -> None:
    np.testing.assert_allclose(paper_dp(Allen(2.0, 8.0, 5.0), 0.05, GRID), TRUE, atol=1e-12)


@pytest.mark.parametrize(
    ("growth", "sigma"), [(Allen(2.0, 8.0, 5.0), 0.1), (Ricker(0.4, 7.0), 0.2)], ids=repr
)
def test_the_parametric_policy_is_that_of_loops(growth: Any, sigma: float) -> None:
    nodes = np.linspace(0.0, 12.0, 13)

    def row(i: int, j: int) -> np.ndarray:
        median = float(growth(max(nodes[i] - nodes[j], 0.0)))
        if np.abs(nodes - median).argmin() == 0:
            return np.eye(13)[0]
        density = stats.lognorm.pdf(nodes / median, sigma)
        return density / density.sum()

    assert paper_dp(growth, sigma, nodes).tolist() == naive_policy(nodes, row, 999)


def test_a_stock_that_cannot_last_is_landed_at_once() -> None:
    assert not paper_dp(lambda s: 0.5 * s, 0.05, GRID).any()


# --- the Gaussian process ---


def test_the_posterior_has_the_published_densities() -> None:
    """Against scipy's densities, with the halved log det taken away once more."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0.0, 5.0, 6), rng.normal(0.0, 1.0, 6)
    density = gpdp_paper.log_posterior(x, y)

    def reference(log_length: float, log_noise: float) -> float:
        length, noise = np.exp([log_length, log_noise])
        covariance = np.exp(-(np.subtract.outer(x, x) ** 2) / (2.0 * length**2))
        covariance += noise**2 * np.eye(6)
        return float(
            stats.multivariate_normal(np.zeros(6), covariance).logpdf(y)
            - 0.5 * np.linalg.slogdet(covariance)[1]
            + stats.gamma(10.0, scale=10.0).logpdf(length)
            + stats.gamma(5.0, scale=1.0 / 5.0).logpdf(noise)
        )

    points = rng.normal(0.0, 0.7, (8, 2))
    gaps = [density(*point) - reference(*point) for point in points]
    np.testing.assert_allclose(gaps, gaps[0], rtol=0, atol=1e-9)


def test_the_pseudo_datum_is_added_once() -> None:
    x, y = gpdp_paper.with_origin([3.0, 4.0], [5.0, 6.0])
    assert x.tolist() == [0.0, 3.0, 4.0] and y.tolist() == [0.0, 5.0, 6.0]


def test_the_chain_has_the_moments_of_its_density() -> None:
    """Normal logarithms with known moments; errors by batch means."""
    mean, sd = np.array([1.0, -0.5]), np.array([0.5, 0.8])

    def density(log_length: float, log_noise: float) -> float:
        return -0.5 * float((((log_length, log_noise) - mean) ** 2 / sd**2).sum())

    chain = gpdp_paper.metropolis(density, np.random.default_rng(0))
    assert chain.shape == (100_000, 2)
    gap = np.log(chain) - mean
    for sampled, wanted in ((gap, 0.0 * sd), (gap**2, sd**2)):
        batches = sampled.reshape(100, 1000, 2).mean(axis=1)
        error = batches.std(axis=0, ddof=1) / 10.0
        assert (np.abs(batches.mean(axis=0) - wanted) < MC_ERRORS * error).all()
        assert (error < 0.01).all()


def test_the_band_is_the_published_one(chain: np.ndarray) -> None:
    """2 sd of the averaged latent variance: half of ymax - ymin in the archived figure 2."""
    x, y = gpdp_paper.with_origin(SERIES[:-1], SERIES[1:])
    samples = chain[gpdp_paper.BURN_IN :: gpdp_paper.THIN]
    assert samples.shape == (300, 2)
    mean, variance = gpdp_paper.latent(x, y, samples, GRID[[0, 17, 28, 39]])
    published = [0.483463, 0.239727, 0.175669, 1.038378]
    np.testing.assert_allclose(2.0 * np.sqrt(variance.mean(axis=0)), published, rtol=0.05)
    assert abs(mean.mean(axis=0)[0]) < 0.15  # near the pseudo-datum, but not through it
    assert (mean.mean(axis=0)[1:] > 5.0).all()


def test_the_prediction_is_that_of_the_formula() -> None:
    rng = np.random.default_rng(2)
    x, y, at = rng.uniform(0.0, 5.0, 5), rng.normal(0.0, 1.0, 5), np.array([0.0, 1.3, 9.0])
    mean, variance = gpdp_paper.latent(x, y, np.array([[1.2, 0.3], [2.0, 0.1]]), at)
    for k, (length, noise) in enumerate(((1.2, 0.3), (2.0, 0.1))):

        def kernel(a: np.ndarray, b: np.ndarray, length: float = length) -> np.ndarray:
            return np.exp(-((a[:, None] - b) ** 2) / (2.0 * length**2))

        inverse = np.linalg.inv(kernel(x, x) + noise**2 * np.eye(5))
        np.testing.assert_allclose(mean[k], kernel(at, x) @ inverse @ y, rtol=1e-9)
        explained = (kernel(at, x) @ inverse * kernel(at, x)).sum(axis=1)
        np.testing.assert_allclose(variance[k], 1.0 - explained, rtol=1e-7, atol=1e-9)


def test_no_variance_is_negative() -> None:
    x = np.linspace(0.0, 1.0, 30)
    _, variance = gpdp_paper.latent(x, x, np.array([[50.0, 1e-7]]), x)
    assert (variance >= gpdp_paper.NO_VARIANCE).all()


# --- the policy of the process ---


def test_the_process_policy_is_that_of_loops() -> None:
    rng = np.random.default_rng(3)
    nodes = np.linspace(0.0, 8.0, 9)
    mean = np.array([0.1, -0.2, 1.2, 3.5, 4.9, 6.4, 6.6, 6.0, 5.5]) + 0.1 * rng.normal(size=(4, 9))
    variance = rng.uniform(0.05, 0.8, (4, 9))

    def row(i: int, j: int) -> np.ndarray:
        left, rows = i - j - 1, []
        for e, v in zip(mean, variance, strict=True):
            if left <= 0 or e[left] <= 0.0:
                rows.append(np.eye(9)[0])
            else:
                density = stats.norm.pdf(nodes, e[left], np.sqrt(v[i]))
                rows.append(density / density.sum())
        return np.mean(rows, axis=0)

    law = gpdp_paper.paper_law(nodes, mean, variance)
    left = np.maximum(np.subtract.outer(np.arange(9), np.arange(9)) - 1, 0)
    for i in range(9):
        for j in range(9):
            np.testing.assert_allclose(law[i, left[i, j]], row(i, j), atol=1e-12)
    policy = gpdp_paper._value_iteration(nodes, law, left)
    assert policy.tolist() == naive_policy(nodes, row, 999)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_published_policy_in_49_of_50_states(seed: int) -> None:
    policy = paper_gpdp(SERIES[:-1], SERIES[1:], GRID, seed)
    assert np.isclose(policy, GP, atol=1e-9).sum() >= 49


def test_the_published_policy_follows_from_the_posterior_itself() -> None:
    """By quadrature over (log l, log s) instead of a chain: all 50 states, whatever the seed."""
    x, y = gpdp_paper.with_origin(SERIES[:-1], SERIES[1:])
    density = gpdp_paper.log_posterior(x, y)
    logs = [(a, b) for a in np.linspace(0.8, 2.8, 41) for b in np.linspace(-1.9, -0.8, 16)]
    weights = np.exp(np.array([density(*point) for point in logs]))
    weights /= weights.sum()
    kept = weights > 1e-4
    mean, variance = gpdp_paper.latent(x, y, np.exp(logs)[kept], GRID)
    laws = [
        weight * gpdp_paper.paper_law(GRID, e[None], v[None])
        for weight, e, v in zip(weights[kept], mean, variance, strict=True)
    ]
    left = np.maximum(np.subtract.outer(NODE, NODE) - 1, 0)
    law = sum(laws) / weights[kept].sum()
    np.testing.assert_allclose(gpdp_paper._value_iteration(GRID, law, left), GP, atol=1e-12)


def test_the_same_seed_makes_the_same_chain(chain: np.ndarray) -> None:
    assert np.array_equal(chain, chain_of_the_paper())


# --- the controls ---


@pytest.mark.parametrize(
    ("policy", "catch", "collapsed", "margin"),
    [(TRUE, 26.57, 0.0, 0.0), (GP, 25.51, 0.164, 0.01)],
    ids=["True", "GP"],
)
def test_resimulated_controls(
    policy: np.ndarray, catch: float, collapsed: float, margin: float
) -> None:
    controls = PROTOCOL["resimulate"](
        PROTOCOL["GROWTH"], 0.05, lambda x: paper_escapement(x, GRID, policy), 20_000, 0
    )
    assert abs(controls.catch.mean() - catch) <= 0.08
    assert controls.error < 0.03
    for threshold in (0.1, PROTOCOL["COLLAPSED"], 4.9):
        assert abs(float((controls.stock <= threshold).mean()) - collapsed) <= margin
    assert controls.collapsed == float((controls.stock <= PROTOCOL["COLLAPSED"]).mean())


def test_resimulation_counts_the_paper_s_harvests() -> None:
    """Nothing grows, half is taken: after 49 harvests 10 / 2^49 is left, all else is caught."""
    controls = PROTOCOL["resimulate"](lambda s: s, 0.0, lambda x: x / 2.0, 2, 0)
    np.testing.assert_allclose(controls.stock, 10.0 / 2.0**49, rtol=EXACT)
    np.testing.assert_allclose(controls.catch, 10.0 - 10.0 / 2.0**49, rtol=EXACT)


def test_the_nearest_node_decides() -> None:
    nodes, policy = np.linspace(0.0, 4.0, 5), np.array([0.0, 0.0, 1.0, 2.0, 2.0])
    stocks = [0.0, 0.4, 0.5, 0.6, 1.5, 1.6, 2.4, 3.5, 3.6, 9.0]
    left = [0.0, 0.4, 0.5, 0.0, 0.5, 0.6, 1.4, 2.5, 1.6, 7.0]
    np.testing.assert_allclose(paper_escapement(stocks, nodes, policy), left, atol=1e-12)


@given(st.lists(st.floats(0.0, 1e3), min_size=1, max_size=20))
def test_no_more_than_the_stock_is_left_or_taken(stocks: list[float]) -> None:
    x = np.array(stocks)
    left = paper_escapement(x, GRID, GP)
    assert ((left >= 0.0) & (left <= x)).all()
    at_nodes = paper_escapement(GRID, GRID, GP)
    np.testing.assert_allclose(at_nodes, GP, atol=1e-12)


# --- bad input ---


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (np.zeros((2, 2)), r"grid must have shape \(n,\)"),
        ([0.0, 1.0], r"n >= 3, got \(2,\)"),
        ([1.0, 2.0, 3.0], r"equally spaced from 0 to 3.0, got grid\[0\] = 1.0"),
        ([0.0, 1.0, 3.0], r"grid\[1\] = 1.0"),
        ([0.0, np.nan, 3.0], r"grid\[1\] = nan"),
        ([0.0, 1.0, np.inf], r"grid\[-1\] must be finite"),
        ([0.0, 0.0, 0.0], r"grid\[-1\] must be > 0"),
    ],
)
def test_a_bad_grid_is_refused(grid: Any, message: str) -> None:
    with pytest.raises(ValueError, match="paper_dp: .*" + message):
        paper_dp(Allen(), 0.05, grid)
    with pytest.raises(ValueError, match="paper_gpdp: .*" + message):
        paper_gpdp(SERIES[:-1], SERIES[1:], grid, 0)


def test_bad_models_and_data_are_refused() -> None:
    with pytest.raises(ValueError, match="sigma must be > 0, got 0"):
        paper_dp(Allen(), 0.0, GRID)
    with pytest.raises(ValueError, match="growth must give 50 finite next stocks"):
        paper_dp(lambda s: s * np.nan, 0.05, GRID)
    with pytest.raises(ValueError, match="equally long, got 40 and 39"):
        paper_gpdp(SERIES, SERIES[1:], GRID, 0)
    for bad in ([[1.0]], [], [np.nan], [-1.0]):
        with pytest.raises(ValueError, match="y must be finite stocks >= 0"):
            paper_gpdp([1.0], bad, GRID, 0)
