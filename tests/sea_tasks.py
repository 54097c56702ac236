"""Random tasks between chance and malice, in batches, for whatever compares bounds with regret."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rlopt.envs.sea.play import Trace, play
from rlopt.spaces import Ball

SEEDS = 6  # paths of each task
FAMILIES = 6
SIZES = ((1, 1024), (3, 64), (3, 256), (3, 1024))  # (d, T)


@dataclass(frozen=True)
class Batch:
    """Tasks on the unit ball with centres c_t and noise xi_t of length s, Rademacher / sqrt(d).

    Linear losses <c_t + xi_t, x>, or quadratic ones |x - c_t - xi_t|^2 / 2; |c_t| + s <= 1. So for
    both sigma_t^2 = s^2 and Sigma_t^2 = |c_t - c_{t-1}|^2, exactly.

    Attributes:
        centres: (T, tasks, d).
        s: (tasks,).
        quadratic: which of the two losses.
        seed: of the noise; every task is played `SEEDS` times.
    """

    centres: np.ndarray
    s: np.ndarray
    quadratic: bool
    seed: int

    D = 2.0

    @property
    def T(self) -> int:
        return len(self.centres)

    @property
    def d(self) -> int:
        return self.centres.shape[-1]

    @property
    def tasks(self) -> int:
        return self.centres.shape[1]

    @property
    def space(self) -> Ball:
        return Ball(self.d)

    @property
    def runs(self) -> int:
        return self.tasks * SEEDS

    @property
    def G(self) -> float:
        return 2.0 if self.quadratic else 1.0

    @property
    def L(self) -> float:
        return 1.0 if self.quadratic else 0.0

    @property
    def trivial(self) -> float:
        """A bound that is not below this says nothing."""
        return self.G * self.D * self.T

    @cached_property
    def _jumps(self) -> np.ndarray:
        return (np.diff(self.centres, axis=0) ** 2).sum(axis=-1)

    @property
    def moments(self) -> dict[str, np.ndarray]:
        return {"sigma_sq": self.T * self.s**2, "Sigma_sq": self._jumps.sum(axis=0)}

    @property
    def peaks(self) -> dict[str, np.ndarray]:
        return {"sigma_max_sq": self.s**2, "Sigma_max_sq": self._jumps.max(axis=0)}

    @property
    def path(self) -> np.ndarray:
        return np.sqrt(self._jumps).sum(axis=0)

    @cached_property
    def drawn(self) -> np.ndarray:
        """c_t + xi_t, (T, runs, d); the seeds of a task lie side by side."""
        rng = np.random.default_rng(self.seed)
        signs = rng.integers(0, 2, (self.T, self.runs, self.d)) * 2.0 - 1.0
        noise = signs * np.repeat(self.s, SEEDS)[:, None] / np.sqrt(self.d)
        return np.repeat(self.centres, SEEDS, axis=1) + noise

    def gradient(self, t: int, x: np.ndarray) -> np.ndarray:
        return x - self.drawn[t - 1] if self.quadratic else self.drawn[t - 1]

    def prox(self, t: int, z: np.ndarray, step: Any) -> np.ndarray:
        """Exact on the ball: the loss plus the square is a square around one point."""
        if self.quadratic:
            return self.space.project((z + step * self.drawn[t - 1]) / (1.0 + step))
        return self.space.project(z - step * self.drawn[t - 1])

    def play(self, learner: Any) -> Trace:
        return play(learner, self.gradient, T=self.T, prox=self.prox)

    def _regret(self, x: np.ndarray, centres: np.ndarray, against: np.ndarray) -> np.ndarray:
        if self.quadratic:
            apart = ((x - centres) ** 2).sum(-1) - ((against - centres) ** 2).sum(-1)
            return 0.5 * apart.sum(axis=0)
        return (centres * (x - against)).sum(axis=(0, -1))

    def best(self, centres: np.ndarray) -> np.ndarray:
        """The best fixed points against these centres, (T, n, d) -> (n, d)."""
        if self.quadratic:
            return self.space.project(centres.mean(axis=0))
        total = centres.sum(axis=0)
        return -total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-300)

    def realised(self, trace: Trace) -> np.ndarray:
        """Regret of the losses drawn, (runs,)."""
        return self._regret(trace.x, self.drawn, self.best(self.drawn))

    def linearised(self, trace: Trace) -> np.ndarray:
        """Sum of <g_t, x_t - u> against the best u for the losses drawn, (runs,)."""
        return (trace.gradient * (trace.x - self.best(self.drawn))).sum(axis=(0, -1))

    def pseudo(self, trace: Trace, dynamic: bool = False) -> np.ndarray:
        """Regret of the mean losses against the best fixed point or the centres, (tasks, SEEDS)."""
        means = np.repeat(self.centres, SEEDS, axis=1)
        against = means if dynamic else self.best(means)
        return self._regret(trace.x, means, against).reshape(self.tasks, SEEDS)


def batches(quadratic: bool, per_family: int = 9) -> list[Batch]:
    """Tasks of all families at all sizes: `len(SIZES) * FAMILIES * per_family` of them."""
    rng = np.random.default_rng(7)
    made = []
    for d, T in SIZES:
        means = [
            family(rng, T, d)
            for family in (_still, _switching, _pieces, _drifting, _corrupted, _wild)
            for _ in range(per_family)
        ]
        s = rng.uniform(0.0, 0.6, len(means)) * (rng.random(len(means)) < 0.7)
        sizes = (1.0 - s) * rng.uniform(0.2, 1.0, len(means))
        made.append(Batch(np.stack(means, axis=1) * sizes[:, None], s, quadratic, seed=d * T))
    return made


def _unit(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    directions = rng.standard_normal((n, d))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _still(rng: np.random.Generator, T: int, d: int) -> np.ndarray:
    return np.repeat(_unit(rng, 1, d), T, axis=0)


def _switching(rng: np.random.Generator, T: int, d: int) -> np.ndarray:
    signs = (-1.0) ** (np.arange(T) // rng.integers(1, 9))
    return signs[:, None] * _unit(rng, 1, d)


def _pieces(rng: np.random.Generator, T: int, d: int) -> np.ndarray:
    cuts = np.sort(rng.integers(1, T, rng.integers(1, 6)))
    return _unit(rng, 6, d)[np.searchsorted(cuts, np.arange(T), side="right")]


def _drifting(rng: np.random.Generator, T: int, d: int) -> np.ndarray:
    angle = rng.uniform(0.0, 2.0 * np.pi) + np.arange(T) * rng.uniform(0.0, 20.0) / T
    a, b = np.linalg.qr(rng.standard_normal((max(d, 2), 2)))[0].T
    return (np.cos(angle)[:, None] * a + np.sin(angle)[:, None] * b)[:, :d]


def _corrupted(rng: np.random.Generator, T: int, d: int) -> np.ndarray:
    hit = rng.random(T) < rng.uniform(0.0, 0.2)
    return np.where(hit[:, None], _unit(rng, T, d), _unit(rng, 1, d))


def _wild(rng: np.random.Generator, T: int, d: int) -> np.ndarray:
    return _unit(rng, T, d)
