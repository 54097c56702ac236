"""How the published GPDP computation works, step by step, with all that its paper does not say.

Source: Boettiger, Mangel and Munch 2015 (Proc. R. Soc. B 282:20141631, arXiv 1412.8081) and the
code and data behind it (github.com/cboettig/nonparametric-bayes and cboettig/pdg_control). A
Gaussian process is fitted to pairs (escapement x, next stock y), its hyper-parameters are sampled,
and the prediction is the transition law of a dynamic programme on an equally spaced grid. With the
paper's 40 stocks and 50 nodes this module gives the archived policies in all 50 states; GPDP's
with 13 of the seeds 0 to 15 (else in 49, 47 and 43, since 300 samples of a slow chain are few), and
with the posterior by quadrature. Repairs are in `rlopt.agents.gpdp`; here every oddity stays.
Symbols: x_i node, h_j = x_j harvest, l length scale, s noise standard deviation, E and V mean and
variance of the process at a node.

What the published code does and the paper does not say; [n] marks the line that repeats it:

 1. delta = .01 discounts nothing: V <- P V + (1 - delta) catch. It is an undiscounted problem of
    some 1000 years; the paper writes sum_t delta^t catch_t.
 2. Metropolis steps are N(0, 1) in (log l, log s), from l = s = 1, and about 2 % are accepted. The
    priors are Gamma densities of l (shape 10, scale 10) and s (shape 5, rate 5) without the
    Jacobian of the logarithm; the paper says inverse Gamma.
 3. The log-likelihood has -log det(K + s^2 I) where it should have half of it.
 4. The predictive variance is that of the latent function: s^2 is missing. (The paper's formula
    prints K - s I for K + s^2 I.)
 5. The pseudo-datum (0, 0) is as noisy as any datum; the paper says "without error".
 6. From stock i, harvest j is taken to leave node i - j - 1, one too few: even h = 0 loses a cell.
    And V is that of the stock i, not of what is left.
 7. A density at the nodes stands for the probability of the cells, what lies beyond the last node
    is given to the others, and in the parametric models a mean that is nearest to node 0 is
    extinction for certain.

 These concern its rivals and tables, none of which is computed here:

 8. Myers' model is harvested after recruitment, f(x) - h, all others before it.
 9. The "maximum likelihood" column maximises a sum of densities, not of their logarithms.
10. The information criteria of table 1 have the sign of the deviance wrong; with the right one AIC
    picks the true model.
11. In the sensitivity study sigma never reaches the noise that trains and simulates.
12. Two tables of the supplement have exchanged captions.

Differences from the published code: random numbers are numpy's, so samples differ while policies
agree; a covariance that is not numerically positive definite is rejected, and a variance that
rounding takes to zero or below is held at `NO_VARIANCE`, where R would stop.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotrf, dtrtrs

from rlopt.theory.checks import positive

__all__ = ["paper_dp", "paper_escapement", "paper_gpdp"]

DELTA = 0.01  # the paper's "discount"
BACKUPS = 999  # of value iteration
CONVERGED = 1e-4 * DELTA / (2.0 - 2.0 * DELTA)  # never reached where the stock persists
STEPS, BURN_IN, THIN = 100_000, 10_000, 300  # of the Metropolis chain; leaves 300 samples
LENGTH_SHAPE, LENGTH_SCALE = 10.0, 10.0  # Gamma prior of l
NOISE_SHAPE, NOISE_RATE = 5.0, 5.0  # Gamma prior of s
NO_VARIANCE = 1e-12


def paper_dp(growth: Callable[[Any], Any], sigma: float, grid: Any) -> np.ndarray:
    """The published policy of a known growth map ("True" with Allen(2, 8, 5), sigma = .05).

    Args:
        growth: escapements (n,) -> median next stocks (n,) [biomass].
        sigma: standard deviation of the lognormal noise's logarithm, > 0.
        grid: (n,) equally spaced nodes from 0 on, of stocks and of harvests [biomass].

    Returns:
        Escapements at the nodes, x_i - h_i, (n,), themselves nodes.

    Raises:
        TypeError, ValueError: sigma or grid is not as above, or growth gives no finite number.
    """
    nodes = _nodes(grid, "paper_dp")
    sigma = positive("paper_dp", "sigma", sigma)
    median = np.asarray(growth(nodes), dtype=np.float64)
    if median.shape != nodes.shape or not np.isfinite(median).all():
        raise ValueError(
            f"paper_dp: growth must give {len(nodes)} finite next stocks, got {median!r}"
        )
    alive = median > nodes[1] / 2.0  # [7] snapped to node 0 otherwise
    density = np.zeros((len(nodes), len(nodes)))
    deviation = np.log(nodes[1:] / median[alive, None]) / sigma
    density[alive, 1:] = np.exp(-0.5 * deviation**2) / nodes[1:]  # [7] of x_i / median, at nodes
    left = np.subtract.outer(np.arange(len(nodes)), np.arange(len(nodes)))
    return _value_iteration(nodes, _probabilities(density)[None], np.maximum(left, 0))


def paper_gpdp(x: Any, y: Any, grid: Any, seed: int) -> np.ndarray:
    """The published GPDP policy: fit by Metropolis, average the transition law, solve.

    Args:
        x: (m,) escapements >= 0 [biomass]; the pseudo-datum (0, 0) is added here.
        y: (m,) next stocks >= 0 [biomass].
        grid: (n,) equally spaced nodes from 0 on, of stocks and of harvests [biomass].
        seed: of the chain.

    Returns:
        Escapements at the nodes, x_i - h_i, (n,), themselves nodes.

    Raises:
        ValueError: grid is not as above; x and y are not equally long, finite and >= 0.
    """
    nodes = _nodes(grid, "paper_gpdp")
    x, y = with_origin(x, y)
    samples = metropolis(log_posterior(x, y), np.random.default_rng(seed))
    mean, variance = latent(x, y, samples[BURN_IN::THIN], nodes)
    left = np.subtract.outer(np.arange(len(nodes)), np.arange(len(nodes))) - 1  # [6] one too few
    return _value_iteration(nodes, paper_law(nodes, mean, variance), np.maximum(left, 0))


def paper_escapement(x: Any, grid: Any, policy: Any) -> np.ndarray:
    """What the published simulations leave of any stocks: the nearest node's harvest is taken.

    Args:
        x: (m,) stocks >= 0 [biomass]; above the grid the last node is the nearest.
        grid: (n,) equally spaced nodes from 0 on [biomass].
        policy: (n,) escapements at the nodes [biomass], of `paper_dp` or `paper_gpdp`.

    Returns:
        max(x - h, 0), (m,).
    """
    nodes = np.asarray(grid, dtype=np.float64)
    stock = np.asarray(x, dtype=np.float64)
    # Half-way between two nodes the lower is meant.
    nearest = np.clip(np.ceil(stock / nodes[1] - 0.5), 0, len(nodes) - 1).astype(np.intp)
    harvest = nodes - np.asarray(policy, dtype=np.float64)
    return np.maximum(stock - harvest[nearest], 0.0)


# --- the Gaussian process ---


def with_origin(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """The data with the pseudo-datum (0, 0) before them, a datum like the others [5].

    Raises:
        ValueError: x and y are not equally long, finite and >= 0.
    """
    data = [np.asarray(values, dtype=np.float64) for values in (x, y)]
    for name, values in zip("xy", data, strict=True):
        if values.ndim != 1 or not len(values) or not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError(
                f"paper_gpdp: {name} must be finite stocks >= 0 of shape (m,), got {values!r}"
            )
    if len(data[0]) != len(data[1]):
        raise ValueError(
            f"paper_gpdp: x and y must be equally long, got {len(data[0])} and {len(data[1])}"
        )
    return np.append(0.0, data[0]), np.append(0.0, data[1])


def log_posterior(x: np.ndarray, y: np.ndarray) -> Callable[[float, float], float]:
    """The function (log l, log s) -> log-posterior, up to a constant, that the chain samples.

    Args:
        x: (m,) inputs.
        y: (m,) outputs, of a process with mean 0, covariance exp(-(x - x')^2 / (2 l^2)) (amplitude
            1) and noise of standard deviation s.
    """
    exponent = -0.5 * np.subtract.outer(x, x) ** 2
    covariance = np.empty(exponent.shape, order="F")
    diagonal = covariance.ravel(order="K")[:: len(x) + 1]
    targets = np.ascontiguousarray(y)

    def log_density(log_length: float, log_noise: float) -> float:
        np.multiply(exponent, exp(-2.0 * log_length), out=covariance)
        np.exp(covariance, out=covariance)
        diagonal[:] += exp(2.0 * log_noise)
        # LAPACK itself: scipy's checks would take as long as the factorisation.
        factor, failed = dpotrf(covariance, lower=1, clean=0)
        if failed:
            return -inf
        whitened, _ = dtrtrs(factor, targets, lower=1)
        log_det = 2.0 * float(np.log(factor.diagonal()).sum())
        log_likelihood = -0.5 * float(whitened @ whitened) - log_det  # [3] not half of it
        # [2] Gamma densities of l and s themselves
        log_prior = (LENGTH_SHAPE - 1.0) * log_length - exp(log_length) / LENGTH_SCALE
        log_prior += (NOISE_SHAPE - 1.0) * log_noise - exp(log_noise) * NOISE_RATE
        return log_likelihood + log_prior

    return log_density


def metropolis(
    log_density: Callable[[float, float], float], rng: np.random.Generator
) -> np.ndarray:
    """The whole chain of (l, s), (STEPS, 2): standard normal steps of the logarithms [2]."""
    steps = rng.standard_normal((STEPS, 2)).tolist()
    thresholds = np.log1p(-rng.random(STEPS)).tolist()  # of a number in (0, 1]
    chain = np.empty((STEPS, 2))
    at, here = (0.0, 0.0), log_density(0.0, 0.0)
    for k, (move, threshold) in enumerate(zip(steps, thresholds, strict=True)):
        proposal = at[0] + move[0], at[1] + move[1]
        there = log_density(*proposal)
        if threshold < there - here:
            at, here = proposal, there
        chain[k] = at
    return np.exp(chain)


def latent(
    x: np.ndarray, y: np.ndarray, samples: np.ndarray, nodes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the latent function at the nodes for each sample.

    Args:
        x: (m,) inputs.
        y: (m,) outputs.
        samples: (k, 2) of l and s.
        nodes: (n,) where to predict.

    Returns:
        E and V, each (k, n): V without the noise [4].
    """
    mean, variance = np.empty((2, len(samples), len(nodes)))
    for k, (length, noise) in enumerate(samples):
        covariance = np.exp(-0.5 * (np.subtract.outer(x, x) / length) ** 2)
        factor = np.linalg.cholesky(covariance + noise**2 * np.eye(len(x)))
        cross = np.exp(-0.5 * (np.subtract.outer(x, nodes) / length) ** 2)
        whitened = solve_triangular(factor, np.column_stack([cross, y]), lower=True)
        mean[k] = whitened[:, :-1].T @ whitened[:, -1]
        variance[k] = 1.0 - (whitened[:, :-1] ** 2).sum(axis=0)
    return mean, np.maximum(variance, NO_VARIANCE)


# --- the dynamic programme ---


def paper_law(nodes: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """The transition law, averaged over samples.

    Args:
        nodes: (n,) of the grid.
        mean: (k, n), E at the nodes for each sample.
        variance: (k, n), V at the nodes.

    Returns:
        (stock, node left, next stock), (n, n, n): N(E of the node left, V of the stock) [6].
        Only a node left below the stock can occur; the others hold zeros.
    """
    stock, left = np.tril_indices(len(nodes), -1)
    total = np.zeros((len(stock), len(nodes)))
    for e, v in zip(mean, variance, strict=True):
        density = (nodes - e[left, None]) ** 2
        density *= -0.5 / v[stock, None]
        np.exp(density, out=density)
        density[(e[left] <= 0.0) | (left == 0)] = 0.0  # extinct: nothing left, or nothing expected
        total += _probabilities(density)  # [7]
    law = np.zeros((len(nodes),) * 3)
    law[stock, left] = total / len(mean)
    law[0, 0, 0] = 1.0  # of the empty sea, which no pair describes
    return law


def _probabilities(density: np.ndarray) -> np.ndarray:
    """Densities at the nodes, (m, n) -> probabilities; a row of zeros is extinction [7]."""
    total = density.sum(axis=1, keepdims=True)
    extinct = total[:, 0] == 0.0
    rows = density / np.where(total > 0.0, total, 1.0)
    rows[extinct, 0] = 1.0
    return rows


def _value_iteration(nodes: np.ndarray, law: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Escapements x_i - h_i of the best harvests, (n,).

    Args:
        nodes: (n,) of stocks and harvests.
        law: (n or 1, n, n), probabilities of the next stock by stock and node left.
        left: (n, n), the node that is left of stock i by harvest j.
    """
    landed = (1.0 - DELTA) * np.minimum.outer(nodes, nodes)  # [1] scaled, never discounted
    value = np.zeros(len(nodes))
    best = np.zeros(len(nodes), dtype=np.intp)
    for _ in range(BACKUPS):
        future = np.broadcast_to(law @ value, left.shape)
        worth = np.take_along_axis(future, left, axis=1) + landed
        best = worth.argmax(axis=1)  # of equals the smallest harvest
        previous, value = value, worth.max(axis=1)
        if np.abs(value - previous).max() < CONVERGED:
            break
    return nodes - nodes[best]


def _nodes(grid: Any, owner: str) -> np.ndarray:
    nodes = np.asarray(grid, dtype=np.float64)
    if nodes.ndim != 1 or len(nodes) < 3:
        raise ValueError(f"{owner}: grid must have shape (n,), n >= 3, got {nodes.shape}")
    top = positive(owner, "grid[-1]", nodes[-1])
    even = np.abs(nodes - top / (len(nodes) - 1) * np.arange(len(nodes))) <= 1e-9 * top
    if not even.all():
        place = int(even.argmin())
        raise ValueError(
            f"{owner}: grid must be equally spaced from 0 to {top}, got grid[{place}] = "
            f"{nodes[place]}"
        )
    return nodes
