"""Variance-reduced Halpern against deterministic methods, in evaluations of components.

The game is the policeman and the burglar of Nemirovski's lectures, as in the experiments of
Cai, Alacaoglu and Diakonikolas (ICLR 2024): houses i hold wealth w_i, and a policeman at house j
catches the burglar of house i with probability exp(-.8 |i - j|). Another game has
independent uniform losses. Least squares stand for the cocoercive problems. One epoch is n
evaluations of components, the price of one F.

    python experiments/sea/halpern.py      some eight minutes on one core
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from look import INK, LINE, MUTED, SLOTS, panels, save
from tables import described, write
from tqdm import tqdm

from rlopt.agents import halpern

SEEDS = {"theory": 3, "practical": 6}
TARGETS = (0.3, 0.15, 0.06, 0.03, 0.01)  # of the start's residual
GRID = [2.0**i for i in range(-2, 8)]  # steps times L, for the best one in hindsight
COLOURS = dict(zip(("vr", "eg", "eag", "feg", "ogda", "halpern"), SLOTS, strict=False))
LABELS = {
    "halpern": "Halpern",
    "vr_halpern": "VR-Halpern",
    "vr_halpern_cocoercive": "VR-Halpern (Alg. 1)",
}


def burglar(n: int) -> np.ndarray:
    """The losses to the policeman's opponent, (n, n); wealth from numpy's old generator, seed 1."""
    wealth = np.abs(np.random.RandomState(1).standard_normal(n))
    i = np.arange(n)
    return wealth[:, None] * (1.0 - np.exp(-0.8 * np.abs(i[:, None] - i)))


def uniform(n: int) -> np.ndarray:
    """Independent losses, uniform on [-1, 1], (n, n)."""
    return np.random.default_rng(100).uniform(-1.0, 1.0, (n, n))


def regression(n: int, d: int) -> halpern.LeastSquares:
    """Features with mean 1 and spreads from 1 down to .02; noise .5."""
    rng = np.random.default_rng(0)
    A = 1.0 + rng.standard_normal((n, d)) * np.linspace(1.0, 0.02, d)
    return halpern.LeastSquares(A, A @ rng.standard_normal(d) + 0.5 * rng.standard_normal(n))


@dataclass(frozen=True)
class Arena:
    """A problem, the methods that run on it, and for how many epochs."""

    name: str
    problem: halpern.Problem
    epochs: int
    methods: tuple[str, ...]
    reduced: str
    published: bool = False  # the published steps 5/L of EG and EAG too


@dataclass(frozen=True)
class Line:
    """One method with one choice of constants on one arena."""

    method: str
    constants: str
    histories: list[halpern.History]

    def epochs(self, share: float, n: int) -> float:
        """Median epochs until the residual stays at this share of its first or less, or NaN."""
        start = self.histories[0].residual[0]
        reached = np.median([history.calls_until(share * start) for history in self.histories])
        return float(reached) / n if np.isfinite(reached) else float("nan")


GAME = ("eg", "eag", "feg", "ogda")
ARENAS = (
    Arena("game n=100", halpern.MatrixGame(burglar(100)), 1500, GAME, "vr_halpern", True),
    Arena("game n=500", halpern.MatrixGame(burglar(500)), 1500, GAME, "vr_halpern", True),
    Arena("random n=100", halpern.MatrixGame(uniform(100)), 1500, GAME, "vr_halpern"),
    Arena("centred n=100", halpern.MatrixGame(burglar(100), True), 400, GAME, "vr_halpern"),
    Arena(
        "regression n=2500", regression(2500, 50), 600, ("halpern", *GAME), "vr_halpern_cocoercive"
    ),
    Arena(
        "regression n=40000",
        regression(40_000, 50),
        300,
        ("halpern", *GAME),
        "vr_halpern_cocoercive",
    ),
)


def lines(arena: Arena) -> list[Line]:
    """Every method on an arena: at the theory's step, at the published one, at the best of GRID."""
    problem, calls = arena.problem, arena.epochs * arena.problem.components
    found = []
    for method in arena.methods:
        found.append(Line(method, "theory", [run(method, problem, calls)]))
        if arena.published and method in ("eg", "eag"):
            published = run(method, problem, calls, step=5.0 / problem.L)
            found.append(Line(method, "published 5/L", [published]))
    for method in arena.methods:
        found.append(best(method, problem, calls))
    for constants, count in SEEDS.items():
        seeds = tqdm(range(count), desc=f"{arena.name}, {constants}")
        histories = [
            run(arena.reduced, problem, calls, seed=seed, constants=constants) for seed in seeds
        ]
        found.append(Line(arena.reduced, constants, histories))
    return found


def run(method: str, problem: halpern.Problem, calls: int, **more: Any) -> halpern.History:
    """One run's history."""
    return halpern.solve(method, problem, calls=calls, **more).history


def best(method: str, problem: halpern.Problem, calls: int) -> Line:
    """The step of GRID, times 1/L, that ends with the least residual."""
    tried = []
    for times in GRID:
        try:
            history = run(method, problem, calls, step=times / problem.L)
        except ArithmeticError:  # it diverges
            continue
        tried.append((history.residual[-1], Line(method, f"best of grid, {times:g}/L", [history])))
    return min(tried, key=lambda pair: pair[0])[1]


def rows(arena: Arena, found: list[Line]) -> list[dict[str, Any]]:
    """Epochs until each target, a row a line."""
    table = []
    for line in found:
        row: dict[str, Any] = {
            "problem": arena.name,
            "method": line.method,
            "constants": line.constants,
            "seeds": f"{len(line.histories)}",
        }
        n = arena.problem.components
        row |= {f"epochs to {share:g} r0": line.epochs(share, n) for share in TARGETS}
        row["last / r0"] = np.median([h.residual[-1] / h.residual[0] for h in line.histories])
        table.append(row)
    return table


def draw(axis: Any, arena: Arena, found: list[Line]) -> None:
    """Residual against epochs; the band spans all seeds."""
    n = arena.problem.components
    grid = np.geomspace(1.0, arena.epochs, 150)
    for line in found:
        if line.constants.startswith("best"):
            continue
        reduced = line.method == arena.reduced
        colour = COLOURS["vr" if reduced else line.method]
        at = [h.residual[np.searchsorted(h.calls / n, grid, "right") - 1] for h in line.histories]
        style = {"theory": ":" if reduced else "-", "practical": "-"}.get(line.constants, "--")
        name = f"{LABELS.get(line.method, line.method.upper())}, {line.constants}"
        axis.plot(
            grid, np.median(at, axis=0), style, color=colour, label=name, lw=2.0 if reduced else 1.2
        )
        if reduced:
            axis.fill_between(grid, np.min(at, axis=0), np.max(at, axis=0), color=colour, alpha=0.2)
    axis.set(xscale="log", yscale="log", title=arena.name, xlabel="epochs (calls / n)")
    axis.grid(True, color=LINE, lw=0.5)
    axis.tick_params(which="minor", labelleft=False)


def constant() -> pd.DataFrame:
    """Whether E |F(u_k)| <= 16 L |u_0 - u*| / (k+4) at the theory's step; both L on average."""
    table = []
    for n, d in ((100, 5), (100, 50), (2500, 50)):
        problem = regression(n, d)
        distance = np.linalg.norm(np.linalg.lstsq(problem.A, problem.b)[0])
        runs = [
            halpern.solve(
                "vr_halpern_cocoercive",
                problem,
                iterations=20_000,
                seed=seed,
                constants="theory",
            ).history
            for seed in range(16)
        ]
        mean = np.mean([history.residual for history in runs], axis=0)
        share = mean * (runs[0].iteration + 4) / (problem.L_average * distance)
        table.append(
            {
                "n": f"{n}",
                "d": f"{d}",
                "L_average / L": problem.L_average / problem.L,
                "largest mean residual (k+4) / (L r)": share.max(),
                "at k": f"{runs[0].iteration[share.argmax()]}",
                "bound": "16",
            }
        )
    return pd.DataFrame(table)


def main() -> None:
    """Tables and figure."""
    described(__doc__)
    matplotlib.rcParams["savefig.dpi"] = 90  # six panels of thin lines make a large file
    print(write(constant(), "halpern_constant", {}))
    figure, axes = panels(2, 3, width=2.8, height=2.4)
    table = []
    for arena, axis in zip(ARENAS, axes.T.ravel(), strict=True):
        found = lines(arena)
        table += rows(arena, found)
        draw(axis, arena, found)
    digits = {f"epochs to {share:g} r0": 0 for share in TARGETS} | {"last / r0": 4}
    print(write(pd.DataFrame(table), "halpern", digits))
    for axis in axes[:, 0]:
        axis.set_ylabel("residual", color=INK)
    for axis in (axes[0, 0], axes[0, 2]):
        axis.legend(fontsize=5, frameon=False, labelcolor=MUTED, loc="lower left")
    save(figure, "halpern")


if __name__ == "__main__":
    main()
