"""Fisheries from flat keyword arguments (numbers and strings), as environment ids take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from rlopt.envs.fishery.env import Fishery
from rlopt.theory.checks import known, nonnegative, only_known
from rlopt.theory.stock import (
    Allen,
    BevertonHolt,
    Deterministic,
    Growth,
    Logistic,
    LognormalNoise,
    May,
    Myers,
    Noise,
    NormalNoise,
    Ricker,
    UniformNoise,
)

NOISES = ("lognormal", "normal", "uniform", "none")
OF_NOISE = {"noise": "lognormal", "sigma": 0.05, "mean_one": False}
OF_FISHERY = {"gamma": 0.99, "horizon": None, "action": "fraction"} | {
    "extinct_below": 0.0,
    "extinction_penalty": 0.0,
    "implementation_sigma": 0.0,
    "observation_sigma": 0.0,
}


def make_noise(noise: str, sigma: float, mean_one: bool = False) -> Noise:
    """A noise by name; sigma is the half-width d for "uniform" and unused for "none".

    Raises:
        ValueError: an unknown name, or mean_one without lognormal noise.
    """
    known("Fishery", "noise", noise, NOISES)
    if noise == "lognormal":
        return LognormalNoise(sigma, mean_one)
    if mean_one:
        raise ValueError(f"mean_one belongs to lognormal noise, got noise={noise!r}")
    if noise == "none":
        nonnegative("Fishery", "sigma", sigma)
        return Deterministic()
    return NormalNoise(sigma) if noise == "normal" else UniformNoise(sigma)


def _error(name: str, given: dict[str, Any]) -> Noise | None:
    """Lognormal noise of that standard deviation, None for 0."""
    return LognormalNoise(given[name]) if nonnegative("Fishery", name, given[name]) else None


def _from_flat(growth: type[Growth], x0: float, **defaults: float) -> Callable[..., Fishery]:
    """A constructor of fisheries with this growth from flat keyword arguments.

    Args:
        growth: the map; its fields are keyword arguments of the constructor.
        x0: default initial stock [biomass].
        **defaults: the map's default parameters (notes, section 2.2).
    """
    names = [field.name for field in fields(growth)]
    allowed: dict[str, Any] = {**defaults, "x0": x0, **OF_NOISE, **OF_FISHERY}

    def fishery(**kwargs: Any) -> Fishery:
        only_known(f"{growth.__name__}Fishery", kwargs, allowed)
        given = allowed | kwargs
        errors = {
            kind: _error(f"{kind}_sigma", given) for kind in ("implementation", "observation")
        }
        return Fishery(
            growth=growth(*(given[name] for name in names)),
            noise=make_noise(given["noise"], given["sigma"], given["mean_one"]),
            x0=given["x0"],
            gamma=given["gamma"],
            horizon=given["horizon"],
            action=given["action"],
            extinct_below=given["extinct_below"],
            extinction_penalty=given["extinction_penalty"],
            implementation_noise=errors["implementation"],
            observation_noise=errors["observation"],
        )

    fishery.__doc__ = f"A {growth.__name__} fishery; keyword arguments: {', '.join(allowed)}."
    return fishery


logistic_fishery = _from_flat(Logistic, x0=0.75, r=0.3, K=1.0)
beverton_holt_fishery = _from_flat(BevertonHolt, x0=0.75, r=0.3, K=1.0)
ricker_fishery = _from_flat(Ricker, x0=0.75, r=0.3, K=1.0)
myers_fishery = _from_flat(Myers, x0=1.5, A=2.0, theta=3.0, M=1.0)
allen_fishery = _from_flat(Allen, x0=10.0, r=2.0, K=8.0, C=5.0)
may_fishery = _from_flat(May, x0=0.75, r=0.7, K=1.5, a=0.2, q=3.0, b=0.15)
