"""Posteriors against brute-force integration, a Metropolis chain, and what they must obey."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import invgamma, norm

from rlopt.data import gpdp_training_series
from rlopt.theory import posterior as module
from rlopt.theory.families import FAMILIES
from rlopt.theory.fit import fit_mle
from rlopt.theory.posterior import (
    PRIOR_RATE,
    PRIOR_SHAPE,
    WIDTH,
    Draw,
    LinearPosterior,
    ShapePosterior,
    lattice_draws,
    posterior,
)
from rlopt.theory.stock import Allen, Myers, Ricker

SERIES = gpdp_training_series()
X, Y = SERIES[:-1], SERIES[1:]
MC_ERRORS = 4.0


def table(draws: list[Draw], model: str) -> np.ndarray:
    """Draws -> (n, parameters and sigma)."""
    names = FAMILIES[model].names
    return np.array([[getattr(d.growth, k) for k in names] + [d.sigma] for d in draws])


# --- the closed form ---


@pytest.mark.parametrize("width", [1.0, WIDTH])
def test_the_conjugate_posterior_by_brute_force(
    width: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prior times likelihood of seven years on a lattice of (b_0, b_1, log sigma), Ricker."""
    monkeypatch.setattr(module, "WIDTH", width)
    rng = np.random.default_rng(3)
    x = rng.uniform(1.0, 4.0, 7)
    y = Ricker(0.7, 3.0)(x) * np.exp(0.2 * rng.standard_normal(7))
    known: Any = posterior(x, y, "ricker")
    assert isinstance(known, LinearPosterior)
    unit = max(x.max(), y.max())
    g, design = np.log(y / x), np.stack([np.ones(7), x / unit], axis=1)

    sd = np.sqrt(np.diag(known.factor) * known.rate / (known.shape - 1.0))
    axes = [np.linspace(m - 9.0 * w, m + 9.0 * w, 91) for m, w in zip(known.mean, sd, strict=True)]
    b_0, b_1, log_sigma = np.meshgrid(*axes, np.linspace(-3.5, 1.0, 91), indexing="ij")
    sigma = np.exp(log_sigma)
    density = invgamma.logpdf(sigma**2, PRIOR_SHAPE, scale=PRIOR_RATE) + 2.0 * log_sigma
    density += norm.logpdf(b_0, 0.0, sigma * width) + norm.logpdf(b_1, 0.0, sigma * width)
    for one, value in zip(design, g, strict=True):
        density += norm.logpdf(value, b_0 * one[0] + b_1 * one[1], sigma)
    weight = np.exp(density - density.max())
    weight /= weight.sum()

    mean = np.array([(weight * b).sum() for b in (b_0, b_1)])
    np.testing.assert_allclose((known.mean - mean) / sd, 0.0, atol=2e-3)
    variance = (weight * sigma**2).sum()
    assert known.rate / (known.shape - 1.0) == pytest.approx(variance, rel=2e-3)
    gaps = b_0 - mean[0], b_1 - mean[1]
    covariance = np.array([[(weight * a * b).sum() for a in gaps] for b in gaps])
    np.testing.assert_allclose(known.factor * variance, covariance, rtol=0.01)


def test_draws_have_the_moments_of_the_closed_form() -> None:
    known: Any = posterior(X, Y, "allen")
    b, variance = known.coefficients(np.random.default_rng(0), 40_000)
    expected = known.rate / (known.shape - 1.0)
    assert variance.mean() == pytest.approx(expected, abs=MC_ERRORS * variance.std() / 200.0)
    error = b.std(axis=0) / 200.0
    assert (abs(b.mean(axis=0) - known.mean) <= MC_ERRORS * error).all()
    spread = np.sqrt(np.outer(np.diag(known.factor), np.diag(known.factor))) * expected
    np.testing.assert_allclose(np.cov(b.T) / spread, known.factor * expected / spread, atol=0.05)


@pytest.mark.parametrize("model", ["ricker", "allen"])
def test_draws_are_maps_around_the_best_fit(model: str) -> None:
    draws = posterior(X, Y, model).sample(np.random.default_rng(0), 3000)
    fit = fit_mle(X, Y, model)
    values = table(draws, model)
    best, errors = np.array(list(fit.parameters.values())), list(fit.standard_errors.values())
    assert len(draws) == 3000 and all(d.noise.sigma == d.sigma for d in draws)
    assert (abs(np.median(values, axis=0) - best) < 0.6 * np.array(errors)).all()
    if model == "allen":
        assert (values[:, 2] < values[:, 1]).all()
    else:  # nearly linear: the spread is that of the large-sample theory
        assert values[:, 0].std() == pytest.approx(errors[0], rel=0.2)


# --- the cut, and the lattice behind it ---


@pytest.mark.parametrize("model", ["ricker", "allen"])
def test_coefficients_and_their_jacobian(model: str) -> None:
    family, rng, h = FAMILIES[model], np.random.default_rng(1), 1e-6
    d = len(family.low)
    points = np.column_stack(
        [np.log(rng.uniform(0.2, 3.0, 9)), np.log(rng.uniform(0.3, 3.0, 9))]
        + ([rng.uniform(0.1, 0.9, 9)] if d == 2 else [])
    )

    def coefficients(p: np.ndarray) -> np.ndarray:
        return family.coefficients(np.exp(p[:, 0]), p[:, 1:])[0]

    b, jacobian = family.coefficients(np.exp(points[:, 0]), points[:, 1:])
    assert family.admissible(b).all()
    for point, row, log_det in zip(points, b, jacobian, strict=True):
        parameters = family.natural(point[1:], float(np.exp(point[0])), 2.0)
        np.testing.assert_allclose(family.from_coefficients(row, 2.0), parameters, rtol=1e-9)
        steps = h * np.eye(d + 1)
        matrix = (coefficients(point + steps) - coefficients(point - steps)) / (2.0 * h)
        assert np.log(abs(np.linalg.det(matrix))) == pytest.approx(log_det, abs=1e-5)
        curve, z = (
            type(family).growth(*family.natural(point[1:], float(np.exp(point[0])), 1.0)),
            0.7,
        )
        line = row @ z ** np.arange(d + 1)
        assert float(np.log(curve(z) / z)) == pytest.approx(line, abs=1e-12)


def test_what_is_no_map_is_not_admissible() -> None:
    ricker, allen = FAMILIES["ricker"], FAMILIES["allen"]
    wrong = np.array([[-0.1, -0.5], [0.5, 0.1], [0.5, -1e-4], [0.5, -80.0], [1e-9, -1e-9]])
    assert not ricker.admissible(wrong).any()
    assert ricker.admissible(np.array([0.5, -0.5]))
    bad = [[0.1, 3.0, -2.0], [-1.0, -3.0, -1.0], [-1.0, 3.0, 1.0], [-1.0, 1.0, -1.0]]
    assert not allen.admissible(np.array([*bad, [-1e-7, 3.0, -3.0], [-1e-9, 3e-9, -1e-9]])).any()
    assert allen.admissible(np.array([-1.0, 3.0, -1.0]))


@pytest.mark.parametrize("model", ["ricker", "allen"])
def test_the_lattice_draws_what_rejection_draws(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ricker and Allen on few, noisy data: a third of the posterior is cut off or more."""
    rng = np.random.default_rng(5)
    x = rng.uniform(0.4, 1.2, 12)
    y = Ricker(0.25, 1.0)(x) * np.exp(0.15 * rng.standard_normal(12))
    known: Any = posterior(x, y, model)
    assert 0.05 < known.acceptance(rng) < 0.9
    rejected = table(known.sample(rng, 4000), model)
    monkeypatch.setattr(module, "ACCEPTED", 1.1)
    lattice = table(known.sample(rng, 4000), model)
    for a, b in zip(np.log(rejected).T, np.log(lattice).T, strict=True):
        # The lattice draws with replacement from 20 times as many: hardly any larger an error.
        error = np.sqrt((a.var() + 1.2 * b.var()) / 4000.0)
        assert abs(a.mean() - b.mean()) < MC_ERRORS * error
        for level in (0.1, 0.5, 0.9):
            assert abs((b < np.quantile(a, level)).mean() - level) < 0.04


def test_data_that_contradict_the_map_still_give_maps() -> None:
    """A stock that grows best when it is small: no Allen, so C is next to nothing."""
    x = np.linspace(1.0, 5.0, 40)
    y = Ricker(0.8, 4.0)(x) * np.exp(0.02 * np.cos(3.0 * np.arange(40.0)))
    known: Any = posterior(x, y, "allen")
    assert known.acceptance(np.random.default_rng(0)) < 1e-3
    draws = known.sample(np.random.default_rng(0), 200)
    ratio = np.array([d.growth.C / d.growth.K for d in draws])
    assert (ratio < 0.1).all() and (ratio >= 1e-3).all()


def test_lattice_draws_of_a_known_law() -> None:
    """A narrow, tilted normal in a wide box: mean, spread and correlation."""
    root = np.array([[0.005, 0.0], [0.0045, 0.001]])
    precision = np.linalg.inv(root @ root.T)
    middle = np.array([3.0, -4.0])

    def density(points: np.ndarray) -> np.ndarray:
        gap = points - middle
        return -0.5 * np.einsum("ni,ij,nj->n", gap, precision, gap)

    box = np.array([-10.0, -10.0]), np.array([10.0, 10.0])
    points = lattice_draws(density, *box, np.random.default_rng(0), 8000)
    error = np.sqrt(np.diag(root @ root.T) / 8000.0)
    assert (abs(points.mean(axis=0) - middle) < 1.2 * MC_ERRORS * error).all()
    assert len(np.unique(points, axis=0)) > 5000  # hardly any twice: the lattice has zoomed in
    assert np.corrcoef(points.T)[0, 1] == pytest.approx(0.976, abs=0.004)
    np.testing.assert_allclose(points.std(axis=0), np.sqrt(np.diag(root @ root.T)), rtol=0.05)


# --- Myers ---


def test_myers_by_a_metropolis_chain() -> None:
    """200 chains in (log A', log theta, log H, log sigma) on the full density, by hand."""
    rng = np.random.default_rng(11)
    x = rng.uniform(0.5, 2.0, 30)
    y = Myers(2.0, 3.0, 1.0)(x) * np.exp(0.1 * rng.standard_normal(30))
    unit = max(x.max(), y.max())
    z, target = x / unit, np.log(y / unit)
    low, high = np.array(FAMILIES["myers"].low), np.array(FAMILIES["myers"].high)

    def density(p: np.ndarray) -> np.ndarray:
        theta, half = np.exp(p[:, 1:2]), np.exp(p[:, 2:3])
        median = p[:, :1] + theta * np.log(z) - np.log1p((z / half) ** theta)
        squares = ((target - median) ** 2).sum(axis=1)
        shape = PRIOR_SHAPE + len(x) / 2.0
        inside = ((p[:, 1:3] >= low) & (p[:, 1:3] <= high)).all(axis=1)
        value = -2.0 * shape * p[:, 3] - (PRIOR_RATE + squares / 2.0) * np.exp(-2.0 * p[:, 3])
        return np.where(inside, value, -np.inf)

    points = np.array([1.0, 1.0, -0.5, -2.3]) + 0.1 * rng.standard_normal((200, 4))
    now, kept = density(points), []
    for step in range(4000):
        others = points[rng.permuted(np.tile(np.arange(200), (2, 1)), axis=1)]
        # Steps along the differences of other chains, which know the scale (ter Braak 2006).
        move = 0.8 * rng.choice([0.5, 1.0]) * (others[0] - others[1])
        proposal = points + move + 1e-3 * rng.standard_normal((200, 4))
        after = density(proposal)
        taken = np.log(rng.random(200)) < after - now
        points, now = np.where(taken[:, None], proposal, points), np.where(taken, after, now)
        if step >= 1000 and step % 50 == 0:
            kept.append(points)
    chain = np.concatenate(kept)

    known = posterior(x, y, "myers")
    assert isinstance(known, ShapePosterior)
    values = table(known.sample(rng, 4000), "myers")
    theta, M = values[:, 1], values[:, 2]
    log_h = np.log(M) / theta - np.log(unit)
    log_a = np.log(values[:, 0]) - (1.0 - theta) * np.log(unit)
    for mine, theirs in zip(
        (log_a, np.log(theta), log_h, np.log(values[:, 3])), chain.T, strict=True
    ):
        assert abs(mine.mean() - theirs.mean()) < 0.1 * theirs.std()
        for level in (0.1, 0.5, 0.9):
            assert abs((mine < np.quantile(theirs, level)).mean() - level) < 0.04


def test_the_level_of_myers_given_its_shape() -> None:
    """(log A' - best) sqrt(n) / sigma is standard normal."""
    known: Any = posterior(X, Y, "myers")
    draws = known.sample(np.random.default_rng(0), 4000)
    A, theta, M, sigma = table(draws, "myers").T
    log_h = np.log(M) / theta - np.log(known.unit)
    best, _ = known.rate(np.column_stack([np.log(theta), log_h]))
    score = np.log(A) - (1.0 - theta) * np.log(known.unit) - best
    score *= np.sqrt(39.0) / sigma
    assert abs(score.mean()) < MC_ERRORS / np.sqrt(4000.0)
    assert score.std() == pytest.approx(1.0, abs=MC_ERRORS / np.sqrt(8000.0))


# --- invariants and the door ---


@pytest.mark.parametrize("model", sorted(FAMILIES))
def test_seeds_and_units(model: str) -> None:
    """The same seed gives the same maps, in any unit."""
    first, again, scaled = (
        posterior(unit * X, unit * Y, model).sample(np.random.default_rng(7), 20)
        for unit in (1.0, 1.0, 1000.0)
    )
    assert first == again
    for a, b in zip(first, scaled, strict=True):
        np.testing.assert_allclose(b.growth(1000.0 * X), 1000.0 * a.growth(X), rtol=1e-6)
        assert b.sigma == pytest.approx(a.sigma, rel=1e-9)


def test_more_data_leave_less_open() -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(2.0, 9.0, 400)
    y = Allen(2.0, 8.0, 3.0)(x) * np.exp(0.1 * rng.standard_normal(400))
    spreads = [
        table(posterior(x[:n], y[:n], "allen").sample(rng, 1000), "allen").std(axis=0)
        for n in (20, 400)
    ]
    assert (spreads[1] < 0.5 * spreads[0]).all()


def test_the_door() -> None:
    with pytest.raises(ValueError, match="did you mean 'allen'"):
        posterior(X, Y, "alen")
    with pytest.raises(ValueError, match="negative in row 1"):
        posterior([1, 2, 3, 4, 5], [1, -2, 3, 4, 5], "allen")
