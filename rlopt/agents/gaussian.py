"""What a Gaussian process learns of a stock's dynamics: the law of the next stock.

    next stock y = g(escapement x) + noise,  g ~ GP(0, A^2 exp(-(x - x')^2 / (2 l^2)))

with the pseudo-datum (0, 0), as in Boettiger, Mangel and Munch 2015 (arXiv 1412.8081). The
likelihood, its gradient and the search are scikit-learn's; priors and chain are written here.
"""

from __future__ import annotations

import warnings
from math import exp
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg, optimize

from rlopt.theory.learned import Mixture, NormalResidual

__all__ = ["AMPLITUDES", "POSTERIORS", "Fit", "Prediction", "Process", "gp_law"]

POSTERIORS = ("ml2", "map", "mcmc")
AMPLITUDES = ("free", "scaled")
SHARE = 0.25  # of the median next stock: the amplitude "scaled"
LENGTHS = 0.02, 20.0  # bounds of l, in largest stocks
NOISES = 1e-3, 1.0  # bounds of the noise's sd, in largest stocks
AMPLITUDE_BOUNDS = 1e-2, 1e2  # of a free amplitude, in largest stocks
RESTARTS = 4  # of the search for the best hyper-parameters, beside the first
# Priors, independent normal densities of the logarithms (ours, free of units): growth bends on a
# scale of some .4 of the typical stock, the noise is a few per cent of it.
PRIOR_LENGTH = 0.4, 0.5  # median in median escapements, sd of the logarithm
PRIOR_NOISE = 0.02, 1.0  # median in median next stocks, sd of the logarithm
STEPS, BURN_IN, THIN = 1000, 200, 20  # of the chain: 40 samples
STEP = 0.4  # sd of its proposals, in each logarithm


class Process(NamedTuple):
    """Hyper-parameters of one Gaussian process, all in the units of the data."""

    amplitude: float
    lengthscale: float
    noise_sd: float


class Prediction:
    """The process after its data, mean and predictive sd at any escapements.

    Args:
        process: hyper-parameters.
        x: (n,) escapements, pseudo-datum included.
        y: (n,) next stocks.
    """

    def __init__(self, process: Process, x: np.ndarray, y: np.ndarray) -> None:
        self.process, self.x = process, x
        covariance = self._covariance(x) + process.noise_sd**2 * np.eye(len(x))
        self._factor = linalg.cholesky(covariance, lower=True)
        self._weights = linalg.cho_solve((self._factor, True), y)

    def _covariance(self, s: np.ndarray) -> np.ndarray:
        distance = np.subtract.outer(s, self.x) / self.process.lengthscale
        return self.process.amplitude**2 * np.exp(-0.5 * distance**2)

    def mean(self, s: Any) -> np.ndarray:
        """Escapements, any shape -> mean of the next stock before clipping."""
        return self._covariance(np.asarray(s, float)) @ self._weights

    def sd(self, s: Any) -> np.ndarray:
        """Escapements, any shape -> sd of the next stock: of the process and the noise together."""
        s = np.asarray(s, float)
        explained = linalg.solve_triangular(
            self._factor, self._covariance(s.ravel()).T, lower=True, check_finite=False
        )
        left = self.process.amplitude**2 - (explained**2).sum(axis=0)
        variance = np.maximum(left, 0.0) + self.process.noise_sd**2
        return np.sqrt(variance).reshape(s.shape)


def gp_law(
    x: np.ndarray, y: np.ndarray, amplitude: float | str, posterior: str, rng: np.random.Generator
) -> tuple[Mixture, Process]:
    """What a Gaussian process learns from data: the law of the next stock.

    Args:
        x: (n,) escapements [biomass], without the pseudo-datum.
        y: (n,) next stocks [biomass].
        amplitude: of the process [biomass], or "scaled", a quarter of the median next stock, or
            "free", fitted like the others.
        posterior: "ml2" (the hyper-parameters that maximise the marginal likelihood), "map" (times
            their prior), or "mcmc" (40 samples of their posterior, averaged over).
        rng: of restarts and chain.

    Returns:
        The law, and its hyper-parameters (of a posterior the geometric means).
    """
    fit = Fit(x, y, amplitude, posterior != "ml2", int(rng.integers(2**31)))
    thetas = fit.chain(rng) if posterior == "mcmc" else fit.best[None]
    processes = [fit.process(theta) for theta in thetas]
    predictions = [Prediction(process, fit.x, fit.y) for process in processes]
    law = Mixture([(each.mean, NormalResidual(each.sd)) for each in predictions])
    return law, Process(*np.exp(np.log(processes).mean(axis=0)).tolist())


class Fit:
    """The marginal likelihood and the prior, by scikit-learn's kernels and likelihood.

    theta holds the logarithms of the squared amplitude (if that is free), of the length scale and
    of the noise's variance, as scikit-learn has them.
    """

    def __init__(
        self, x: np.ndarray, y: np.ndarray, amplitude: float | str, with_prior: bool, seed: int
    ) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

        size = float(y.max())
        self.amplitude = SHARE * float(np.median(y)) if isinstance(amplitude, str) else amplitude
        self.free = amplitude == "free"
        self.x, self.y = np.append(x, 0.0), np.append(y, 0.0)
        squares = tuple((size * bound) ** 2 for bound in AMPLITUDE_BOUNDS)
        length, noise = PRIOR_LENGTH[0] * float(np.median(x)), PRIOR_NOISE[0] * float(np.median(y))
        self.centre = np.log([length, noise**2])
        self.spread = np.array([PRIOR_LENGTH[1], 2.0 * PRIOR_NOISE[1]])
        self.with_prior = with_prior
        kernel = ConstantKernel(self.amplitude**2, squares if self.free else "fixed") * RBF(
            length, tuple(size * bound for bound in LENGTHS)
        ) + WhiteKernel(noise**2, tuple((size * bound) ** 2 for bound in NOISES))
        self.regressor = GaussianProcessRegressor(
            kernel, optimizer=self._search, n_restarts_optimizer=RESTARTS, random_state=seed
        )
        with warnings.catch_warnings():
            # A bound may well be best: of the noise, where there is none.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.regressor.fit(self.x[:, None], self.y)
        self.best = np.array(self.regressor.kernel_.theta)

    def _prior(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Log-density of theta, up to a constant, and its gradient; flat in a free amplitude."""
        if not self.with_prior:
            return 0.0, np.zeros_like(theta)
        z = (theta[-2:] - self.centre) / self.spread
        return -0.5 * float(z @ z), np.append(np.zeros(len(theta) - 2), -z / self.spread)

    def _search(self, negative: Any, start: np.ndarray, bounds: Any) -> tuple[np.ndarray, float]:
        """Scikit-learn's search, of likelihood times prior."""

        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = negative(theta)
            prior, slope = self._prior(theta)
            return value - prior, gradient - slope

        found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
        return found.x, found.fun

    def chain(self, rng: np.random.Generator) -> np.ndarray:
        """Thinned samples (k, d) of theta's posterior: Metropolis from the best theta.

        The target is a density of theta itself, whose priors are normal: no Jacobian is needed.
        """
        low, high = self.regressor.kernel_.bounds.T
        steps = STEP * rng.standard_normal((STEPS, len(self.best)))
        thresholds = np.log(1.0 - rng.random(STEPS))
        at, here, kept = self.best, self._density(self.best), []
        for k in range(STEPS):
            proposal = at + steps[k]
            if ((proposal > low) & (proposal < high)).all():
                there = self._density(proposal)
                if thresholds[k] < there - here:
                    at, here = proposal, there
            if k >= BURN_IN and k % THIN == 0:
                kept.append(at)
        return np.array(kept)

    def _density(self, theta: np.ndarray) -> float:
        likelihood = self.regressor.log_marginal_likelihood(theta, clone_kernel=False)
        return float(likelihood) + self._prior(theta)[0]

    def process(self, theta: np.ndarray) -> Process:
        """The hyper-parameters that theta stands for."""
        amplitude = exp(0.5 * theta[0]) if self.free else self.amplitude
        return Process(amplitude, exp(theta[-2]), exp(0.5 * theta[-1]))
