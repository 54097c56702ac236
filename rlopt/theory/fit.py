"""Maximum likelihood fits of growth maps to (escapement, next stock) pairs.

The model is y_i = f(x_i) exp(sigma eps_i), eps_i ~ N(0, 1), so that log y_i is normal around
log f(x_i), and the likelihood is the density of the stocks y themselves: with the sum of squares
SSR of log(y/f(x)) and the maximum likelihood estimate sigma^2 = SSR / n,

    log L = -n log sigma - n/2 (1 + log 2 pi) - sum log y,
    AIC = 2 k - 2 log L,    BIC = k log n - 2 log L,

where k counts sigma too. Ricker and Allen are least squares of log(y/x) on 1, x (and x^2), in
closed form (fisheries notes, sections 4.1 and 5). Where that estimate is no map (an Allen fit
without two positive fixed points, a Ricker fit that grows with crowding), and for Myers, the
likelihood is maximised over the box of `families.py`: its only linear number is solved for, the
one or two others are sought on a lattice and polished from the best local minima there.

Difference from the paper: its "MLE" maximises a sum of densities and is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, pi, sqrt
from typing import Any

import numpy as np
from scipy.ndimage import minimum_filter
from scipy.optimize import least_squares

from rlopt.theory.checks import known
from rlopt.theory.families import FAMILIES, Family
from rlopt.theory.noise import LognormalNoise
from rlopt.theory.series import checked_pairs
from rlopt.theory.stock import Growth

MODELS = tuple(FAMILIES)
CRITERIA = ("aic", "bic")
LATTICE = 40  # points a coordinate of the shape
STARTS = 2  # best local minima of the lattice that are polished: 8 did better in 2 of 849 sets
NEAR = 1e-3  # of the box: as close to its edge the likelihood may be flat
SMALLEST_SIGMA = 1e-12  # perfect data would have an infinite likelihood


@dataclass(frozen=True, eq=False)
class Fit:
    """A growth map with lognormal noise, fitted by maximum likelihood.

    Attributes:
        model: "ricker", "allen" or "myers".
        growth: the fitted map, in the unit of the data.
        sigma: standard deviation of log(y / f(x)), by maximum likelihood (divided by n).
        log_likelihood: of the stocks y.
        n: number of pairs.
        covariance: of the estimates (growth's parameters in their order, then sigma), from the
            Fisher information; infinite where the data do not determine the parameters.
        edges: parameters at the edge of what is allowed: the data ask for something that is no
            such map.
    """

    model: str
    growth: Growth
    sigma: float
    log_likelihood: float
    n: int
    covariance: np.ndarray
    edges: tuple[str, ...] = ()

    @property
    def noise(self) -> LognormalNoise:
        """The fitted noise, log-mean 0: f(s) is the median."""
        return LognormalNoise(self.sigma)

    @property
    def parameters(self) -> dict[str, float]:
        """The growth map's parameters and sigma, by name."""
        names = FAMILIES[self.model].names
        return {**{name: getattr(self.growth, name) for name in names}, "sigma": self.sigma}

    @property
    def standard_errors(self) -> dict[str, float]:
        """Of each parameter, by name; infinite where the data do not determine it."""
        roots = np.sqrt(np.diag(self.covariance))
        return dict(zip(self.parameters, roots.tolist(), strict=True))

    @property
    def aic(self) -> float:
        """Akaike's criterion; smaller is better."""
        return 2.0 * len(self.parameters) - 2.0 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion; smaller is better."""
        return len(self.parameters) * log(self.n) - 2.0 * self.log_likelihood

    def __repr__(self) -> str:
        return (
            f"Fit({self.growth!r}, sigma={self.sigma:.6g}, n={self.n}, "
            f"AIC={self.aic:.3f}, BIC={self.bic:.3f})"
        )


def fit_mle(x: Any, y: Any, model: str) -> Fit:
    """Fit one growth map by maximum likelihood.

    Args:
        x: escapements (n,) [biomass], > 0.
        y: next stocks (n,) [biomass], > 0.
        model: "ricker", "allen" or "myers".

    Raises:
        ValueError: an unknown model, or bad data, naming the row (see `checked_pairs`).
    """
    family = family_of(model)
    x, y = checked_pairs(x, y)
    unit = float(max(x.max(), y.max()))
    return _estimate(model, family, x, y, unit)


def fit_all(x: Any, y: Any) -> dict[str, Fit]:
    """The fits of all three maps, by model; arguments and errors as in `fit_mle`."""
    return {model: fit_mle(x, y, model) for model in MODELS}


def select(x: Any, y: Any, criterion: str = "aic") -> Fit:
    """The fit with the smallest AIC or BIC: the model selection that the paper warns of.

    Args:
        x: escapements (n,) [biomass], > 0.
        y: next stocks (n,) [biomass], > 0.
        criterion: "aic" or "bic".

    Raises:
        ValueError: an unknown criterion, or bad data, naming the row (see `checked_pairs`).
    """
    known("select", "criterion", criterion, CRITERIA)
    return best_of(fit_all(x, y), criterion)


def best_of(fits: Mapping[str, Fit], criterion: str) -> Fit:
    """The one of these fits that a criterion ("aic" or "bic") prefers."""
    return min(fits.values(), key=lambda fit: float(getattr(fit, criterion)))


def fit_or_select(x: Any, y: Any, choice: str) -> Fit:
    """`select` for a criterion, `fit_mle` for a model.

    Raises:
        ValueError: the choice is neither, or bad data.
    """
    known("fit_or_select", "model", choice, (*CRITERIA, *MODELS))
    return select(x, y, choice) if choice in CRITERIA else fit_mle(x, y, choice)


def family_of(model: str) -> Family:
    """The statistical model by name.

    Raises:
        ValueError: an unknown name; the closest one is offered.
    """
    return FAMILIES[known("growth maps", "model", model, MODELS)]


def _estimate(model: str, family: Family, x: np.ndarray, y: np.ndarray, unit: float) -> Fit:
    scaled, target = x / unit, np.log(y / unit)
    parameters = _closed_form(family, scaled, target, unit)
    edges: tuple[str, ...] = ()
    if parameters is None:
        parameters, edges = _search(family, scaled, target, unit)
    growth: Any = family.growth(*parameters)
    n = len(x)
    residuals = np.log(y) - np.log(growth(x))
    sigma = max(sqrt(float(residuals @ residuals) / n), SMALLEST_SIGMA)
    return Fit(
        model=model,
        growth=growth,
        sigma=sigma,
        log_likelihood=-n * (log(sigma) + 0.5 * (1.0 + log(2.0 * pi))) - float(np.log(y).sum()),
        n=n,
        covariance=_covariance(family, growth, x, sigma, edges),
        edges=edges,
    )


def _closed_form(
    family: Family, x: np.ndarray, target: np.ndarray, unit: float
) -> tuple[float, ...] | None:
    """Least squares in the coefficients; None where there are none, or where they are no map."""
    if not family.columns:
        return None
    design = x[:, None] ** np.arange(family.columns)
    b, _, rank, _ = np.linalg.lstsq(design, target - np.log(x), rcond=None)
    if rank < family.columns or not family.admissible(b):
        return None
    return family.from_coefficients(b, unit)


def _search(
    family: Family, x: np.ndarray, target: np.ndarray, unit: float
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """The best parameters in the box, and which of them are at its edge."""
    low, high = np.array(family.low), np.array(family.high)

    def residuals(shape: np.ndarray) -> np.ndarray:
        return profile(family, shape, x, target)[1]

    axes = [np.linspace(a, b, LATTICE) for a, b in zip(low, high, strict=True)]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    squares = (residuals(lattice) ** 2).sum(axis=-1)
    minima = np.flatnonzero(squares == minimum_filter(squares, size=3, mode="nearest"))
    starts = minima[np.argsort(squares.flat[minima], kind="stable")][:STARTS]
    found = []
    for start in lattice.reshape(-1, len(low))[starts]:
        inside = np.clip(start, low + NEAR * (high - low), high - NEAR * (high - low))
        found.append(
            least_squares(
                residuals, inside, bounds=(low, high), x_scale="jac", xtol=1e-12, ftol=1e-14
            )
        )
    best = min(found, key=lambda result: float(result.cost)).x
    level = float(profile(family, best, x, target)[0])
    near = NEAR * (high - low)
    at_edge = (best - low < near) | (high - best < near)
    edges = [name for name, at in zip(family.shape_names, at_edge, strict=True) if at]
    if level <= family.least:
        edges.append(family.level_name)
    return family.natural(best, level, unit), tuple(edges)


def profile(
    family: Family, shape: Any, x: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The best linear number for each shape (..., d), and the residuals of log y, (..., n)."""
    offset, slope = family.parts(shape, x)
    gap = target - offset
    level = (slope * gap).sum(axis=-1) / np.maximum((slope * slope).sum(axis=-1), 1e-300)
    level = np.maximum(level, family.least)
    return level, gap - level[..., None] * slope


def _covariance(
    family: Family, growth: Any, x: np.ndarray, sigma: float, edges: tuple[str, ...]
) -> np.ndarray:
    """Inverse Fisher information: sigma^2 (J J')^-1 for the map, sigma^2 / (2 n) for sigma.

    For Ricker and Allen this is what the delta method makes of the least squares' covariance.
    """
    jacobian = family.gradient(growth, x)
    p = len(jacobian)
    covariance = np.zeros((p + 1, p + 1))
    covariance[p, p] = sigma**2 / (2.0 * len(x))
    sizes = np.linalg.norm(jacobian, axis=1)  # so that the units of the parameters do not matter
    covariance[:p, :p][np.diag_indices(p)] = np.inf
    if edges or not (sizes > 0.0).all():
        return covariance
    unit_rows = jacobian / sizes[:, None]
    information = unit_rows @ unit_rows.T
    if np.linalg.cond(information) < 1e12:
        covariance[:p, :p] = sigma**2 * np.linalg.inv(information) / np.outer(sizes, sizes)
    return covariance
