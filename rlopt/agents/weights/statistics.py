"""Statistics of VecNormalize: exported as numbers, read without pickle, folded into a network."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlopt.agents.weights.archive import DAMAGED, WeightsError, content_of
from rlopt.theory.checks import finite_array, numbers
from rlopt.theory.lipschitz.network import Network
from rlopt.theory.lipschitz.regions import Region

KEYS = ("mean", "var", "epsilon", "clip_obs")
# above the true 1/sqrt(var + epsilon) whatever the rounding: a larger scale bounds a smaller one
OUTWARDS = 1.0 + 2.0**-50


@dataclass(frozen=True)
class Statistics:
    """x -> clip((x - mean) / sqrt(var + epsilon), -clip_obs, clip_obs).

    Attributes:
        mean: (n,), in the observation's units.
        deviation: (n,), sqrt(var + epsilon).
        clip: clip_obs, may be infinite.
    """

    mean: np.ndarray
    deviation: np.ndarray
    clip: float

    @property
    def scale(self) -> np.ndarray:
        """1/sqrt(var + epsilon), (n,)."""
        return OUTWARDS / self.deviation

    def fold(self, network: Network, observations: int) -> Network:
        """The network on raw observations, without the clip; inputs behind them stay as they are.

        Raises:
            WeightsError: statistics of another number of observations.
        """
        n = len(self.mean)
        if n != observations:
            raise WeightsError(
                f"statistics of {n} numbers do not fit to observations of {observations}"
            )
        scale, shift = np.ones(network.inputs), np.zeros(network.inputs)
        scale[:n], shift[:n] = self.scale, -self.mean * self.scale
        return network.scaled(scale, shift)

    def clipped(self, region: Region | None, inputs: int) -> Region | None:
        """The box, in raw units, that the clip leaves of a region; None for everything.

        Clipping is a projection and moves no two points apart, so that a constant on this box
        holds on the whole region. Inputs behind the observation are actions in [-1, 1].
        """
        reach = self.clip * self.deviation
        n = len(reach)
        if region is None:
            if np.isinf(self.clip):
                return None
            low, high = np.full(inputs, -1.0), np.ones(inputs)
            low[:n], high[:n] = self.mean - reach, self.mean + reach
            return low, high
        low, high = (side.copy() for side in region)
        for side in (low, high):
            side[:n] = np.clip(side[:n], self.mean - reach, self.mean + reach)
        return low, high


def export_statistics(vecnormalize: Any, path: str | Path) -> None:
    """Write the statistics of a VecNormalize as numbers: .npz, or JSON for any other ending.

    Args:
        vecnormalize: Stable-Baselines3's wrapper, or anything with its attributes.
        path: the file; it is replaced in one step.

    Raises:
        WeightsError: it normalises no observations, or a Dict of them.
    """
    mean, var, epsilon, clip = _attributes(vecnormalize)
    made = _statistics(dict(zip(KEYS, (mean, var, epsilon, clip), strict=True)))
    rows: dict[str, Any] = {"mean": mean, "var": var}
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.suffix == ".npz":
            with open(draft, "wb") as file:
                np.savez(file, epsilon=np.float64(epsilon), clip_obs=np.float64(clip), **rows)
        else:
            listed = {key: value.tolist() for key, value in rows.items()}
            content = listed | {"epsilon": float(epsilon), "clip_obs": made.clip}
            draft.write_text(json.dumps(content), encoding="utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def read_statistics(path: str | Path, *, trust_pickle: bool = False) -> Statistics:
    """Read statistics from what `export_statistics` wrote, or from VecNormalize's own pickle.

    Args:
        path: .npz or JSON with mean, var, epsilon and clip_obs.
        trust_pickle: allow a pickle, which can run any code when it is opened.

    Raises:
        WeightsError: missing, damaged, incomplete, not finite; a pickle that is not trusted.
    """
    path = Path(path)
    content = content_of(path)
    try:
        return _statistics(_numbers(content, trust_pickle))
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def _numbers(content: bytes, trust_pickle: bool) -> Mapping[str, Any]:
    if content.startswith(b"PK"):
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return {key: arrays[key] for key in KEYS if key in arrays}
        except DAMAGED as error:
            raise WeightsError("it is a damaged .npz, or holds pickled objects") from error
    if content.lstrip()[:1] == b"{":
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise WeightsError("it is no JSON") from error
    if not trust_pickle:
        raise WeightsError(
            "it is neither .npz nor JSON; a pickle can run code when it is opened: write numbers "
            "with rlopt.agents.weights.export_statistics, or give --trust-pickle"
        )
    try:
        loaded = pickle.loads(content)
    except Exception as error:  # a pickle may raise anything
        raise WeightsError(f"it is no pickle that opens here ({type(error).__name__})") from error
    return dict(zip(KEYS, _attributes(loaded), strict=True))


def _attributes(vecnormalize: Any) -> tuple[Any, Any, Any, Any]:
    statistics = getattr(vecnormalize, "obs_rms", None)
    if isinstance(statistics, Mapping):
        raise WeightsError("statistics of Dict observations are not supported")
    if statistics is None or not getattr(vecnormalize, "norm_obs", True):
        kind = type(vecnormalize).__name__
        raise WeightsError(f"{kind} does not normalise observations")
    # observations of any shape are flattened before the network sees them
    mean, var = (np.asarray(side).ravel() for side in (statistics.mean, statistics.var))
    return mean, var, vecnormalize.epsilon, vecnormalize.clip_obs


def _statistics(given: Mapping[str, Any]) -> Statistics:
    missing = [key for key in KEYS if key not in given]
    if missing:
        raise WeightsError(f"{missing[0]} is missing; mean, var, epsilon and clip_obs are needed")
    if isinstance(given["mean"], Mapping):
        raise WeightsError("statistics of Dict observations are not supported")
    mean, var = (_row(key, given[key]) for key in KEYS[:2])
    epsilon, clip = (_positive(key, given[key]) for key in KEYS[2:])
    if mean.shape != var.shape:
        raise WeightsError(f"{len(mean)} means and {len(var)} variances do not fit")
    if (var < 0.0).any():
        raise WeightsError(f"var must be >= 0, got {var.min():g}")
    deviation = np.sqrt(var + epsilon)
    if not np.isfinite(deviation).all():
        raise WeightsError("var + epsilon must be finite")
    return Statistics(mean, deviation, clip)


def _row(key: str, value: Any) -> np.ndarray:
    """One number for each observation."""
    try:
        row = finite_array("statistics", key, value)
    except ValueError as error:
        raise WeightsError(str(error).removeprefix("statistics: ")) from error
    if row.ndim != 1:
        raise WeightsError(f"{key} must be one row of numbers, got shape {row.shape}")
    return row


def _positive(key: str, value: Any) -> float:
    """A number > 0; clip_obs may be infinite."""
    try:
        number = numbers("statistics", key, value)
    except ValueError:
        number = np.array(np.nan)
    if number.ndim != 0:
        raise WeightsError(f"{key} must be one number > 0, got shape {number.shape}")
    if not number > 0.0 or (key == "epsilon" and np.isinf(number)):
        raise WeightsError(f"{key} must be a number > 0, got {value!r:.80}")
    return float(number)
