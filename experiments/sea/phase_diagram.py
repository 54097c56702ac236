"""Regret between chance and malice: against sigma, Sigma and T.

Run with `python experiments/sea/phase_diagram.py`; two minutes on one core. Losses
|x - c_t - xi_t|^2 / 2 on the unit disc with c_t = .3 e_1 +- r e_2, the sign changing every round
(so that the last gradient misleads), and Rademacher noise of length s: sigma_t = s, Sigma_t = 2 r,
both exactly. Constants are those of the theorems.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from look import INK, MUTED, SLOTS, panels, save
from matplotlib.colors import LogNorm, Normalize
from tables import described, write
from tqdm import tqdm

from rlopt.agents import online
from rlopt.spaces import Ball
from rlopt.theory import regret

SPACE, D, L, G = Ball(2), 2.0, 1.0, 2.5
T = 1000
BEST = np.array([0.3, 0.0])  # of every even number of rounds
SIGMA = np.linspace(0.0, 0.6, 6)  # a round
DRIFT = np.linspace(0.0, 1.2, 6)  # Sigma a round
NAMES = ("OGD", "A1", "A5", "ensemble")
SEEDS = 1024  # of every cell
SHARES = Normalize(0.0, 0.1)
HORIZON, FEW = 8192, 64  # of the curves
POINTS = ((0.0, 0.0), (0.3, 0.0), (0.0, 0.6), (0.3, 0.6))  # sigma and Sigma a round


def learner(name: str, runs: int, rounds: int) -> Any:
    """A fresh one by its name in the figures."""
    made: dict[str, Callable[[], Any]] = {
        "OGD": lambda: online.make("ogd", SPACE, runs=runs, schedule="sqrt_T", G=G, T=rounds),
        "OGD, falling step": lambda: online.make("ogd", SPACE, runs=runs, G=G),
        "A1": lambda: online.make("optimistic_omd", SPACE, runs=runs, G=G, L=L),
        "A5": lambda: online.make("oftrl", SPACE, runs=runs, G=G, L=L),
        "ensemble": lambda: online.make("ensemble", SPACE, runs=runs),
    }
    return made[name]()


def bound(name: str, sigma: Any, drift: Any, rounds: int) -> Any:
    """The theorem on a learner; NaN where there is none."""
    sums = {"sigma_sq": rounds * sigma**2, "Sigma_sq": (rounds - 1) * drift**2}
    if name == "A1":
        return regret.omd_sea_convex(D=D, L=L, G=G, delta=50.0 * (D * L) ** 2, **sums)
    if name == "A5":
        return regret.oftrl_sea_convex(D=1.0, L=L, G=G, nu=L + G, **sums)
    if name == "OGD":
        return regret.ogd_constant_step(D=D, G=G, T=rounds)
    return regret.ogd_sqrt_t(D=D, G=G, T=rounds) if name == "OGD, falling step" else np.nan


def rounds_of(name: str, sigma: Any, drift: Any, seeds: int, rounds: int) -> Iterator[np.ndarray]:
    """Pseudo-regret of each round, (cells, seeds); noise is the same for all cells and learners."""
    rng = np.random.default_rng(0)
    cells = len(sigma)
    player = learner(name, cells * seeds, rounds)
    for t in range(rounds):
        x = player.ask()
        centre = np.stack([np.full(cells, 0.3), drift / 2.0 * (-1.0) ** t], axis=-1)[:, None]
        signs = (rng.integers(0, 2, (seeds, 2)) * 2.0 - 1.0) / np.sqrt(2.0)
        target = np.broadcast_to(centre + sigma[:, None, None] * signs, (cells, seeds, 2))
        player.tell(x, gradient=x - target.reshape(-1, 2))
        apart = x.reshape(cells, seeds, 2)
        yield 0.5 * (((apart - centre) ** 2).sum(-1) - ((BEST - centre) ** 2).sum(-1))


def main() -> None:
    """Play, write the table, draw the figures."""
    described(__doc__)
    sigma, drift = (axis.ravel() for axis in np.meshgrid(SIGMA, DRIFT))
    maps = {}
    for name in tqdm(NAMES, desc="maps"):
        maps[name] = sum(rounds_of(name, sigma, drift, SEEDS, T))
    limits = {name: np.broadcast_to(bound(name, sigma, drift, T), sigma.shape) for name in NAMES}
    frame = table(maps, limits, sigma, drift)
    digits = {"sigma a round": 2, "Sigma a round": 2} | {name: 2 for name in NAMES}
    print(write(frame, "phase_diagram", digits))
    draw_maps(maps, limits)
    draw_curves()


def table(
    maps: dict[str, np.ndarray], limits: dict[str, np.ndarray], sigma: Any, drift: Any
) -> pd.DataFrame:
    """Regret and standard error of each learner, and the ratio to its theorem, by cell."""
    columns: dict[str, Any] = {"sigma a round": sigma, "Sigma a round": drift}
    for name, values in maps.items():
        columns[name] = values.mean(axis=1)
        columns[f"s.e. {name}"] = values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
        if np.isfinite(limits[name]).all():
            columns[f"{name} / bound"] = columns[name] / limits[name]
    corners = np.isin(sigma, SIGMA[[0, 2, 5]]) & np.isin(drift, DRIFT[[0, 2, 5]])
    return pd.DataFrame(columns)[corners]


def draw_maps(maps: dict[str, np.ndarray], limits: dict[str, np.ndarray]) -> None:
    """Regret above, measured/bound below."""
    figure, axes = panels(2, len(maps), width=2.5, height=2.4)
    means = {name: values.mean(axis=1) for name, values in maps.items()}
    everything = np.concatenate(list(means.values()))
    regrets = LogNorm(everything.min(), everything.max())
    for column, (name, mean) in enumerate(means.items()):
        rows = ((mean, f"{name}: regret", regrets), (mean / limits[name], "… / bound", SHARES))
        for axis, (cells, title, norm) in zip(axes[:, column], rows, strict=True):
            if np.isnan(cells).all():  # no theorem
                axis.set_axis_off()
                continue
            axis.set_title(title)
            table = cells.reshape(len(DRIFT), len(SIGMA))
            picture = axis.pcolormesh(SIGMA, DRIFT, table, norm=norm, cmap="cividis")
            figure.colorbar(picture, ax=axis, shrink=0.8)
            axis.set_xlabel("σ a round")
    for axis in axes[:, 0]:
        axis.set_ylabel("Σ a round")
    save(figure, "phase_diagram")


def draw_curves() -> None:
    """Regret against T at fixed sigma and Sigma, the theorem dashed."""
    names = ("OGD, falling step", "A1", "A5", "ensemble")
    sigma, drift = np.array(POINTS).T
    even = np.unique((2.0 ** np.arange(1, np.log2(HORIZON) + 0.1, 0.5) / 2).astype(int) * 2)
    figure, axes = panels(1, len(POINTS), width=2.8, height=3.0, sharey=True)
    for ink, name in zip(SLOTS, tqdm(names, desc="curves"), strict=False):
        played = rounds_of(name, sigma, drift, FEW, HORIZON)
        sums = np.cumsum([part.mean(axis=1) for part in played], axis=0)[even - 1]
        for axis, s, r, curve in zip(axes[0], sigma, drift, sums.T, strict=True):
            axis.plot(even, np.maximum(curve, 1e-3), color=ink, lw=1.4, label=name)
            limit = [bound(name, s, r, int(rounds)) for rounds in even]
            axis.plot(even, limit, "--", color=ink, lw=0.8)
            axis.set_title(f"σ = {s:g}, Σ = {r:g} a round")
    for axis in axes[0]:
        axis.plot(even, D * G * even, ":", color=MUTED, lw=0.8)
        axis.set(xscale="log", yscale="log", xlabel="rounds T", ylim=(0.05, 3e4))
    axes[0, 0].text(3, D * G * 6, "G D T", color=MUTED, fontsize=7, rotation=45)
    axes[0, 0].set_ylabel("pseudo-regret (theorem dashed)", color=INK)
    axes[0, 0].legend(frameon=False, fontsize=7, loc="lower right")
    save(figure, "phase_curves")


if __name__ == "__main__":
    main()
