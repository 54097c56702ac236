"""Two layers against a drifting optimum: gradient descents of many steps, and weights over them.

Every base learner i steps with its own eta_i, all along the one gradient g_t at the point played:

    x_{t,i}       = Proj(x_hat_{t,i} - eta_i M_t),
    x_hat_{t+1,i} = Proj(x_hat_{t,i} - eta_i g_t).

Played is sum_i p_{t,i} x_{t,i}, p_t proportional to exp(-eps_t (l_1 + ... + l_{t-1} + m_t)), with

    l_{t,i} = <g_t, x_{t,i}> + lam |x_{t,i} - x_{t-1,i}|^2,    m_{t,i} the same with M_t for g_t.

`DynamicOMD` is the method of Chen, Zhang, Tu, Zhao and Zhang (2024, arXiv 2302.04552), that is,
Sword++ of Zhao, Zhang, Zhang and Zhou (2024, arXiv 2112.14368). x_{0,i} = x_{1,i} and M_1 = 0.

Difference from published code: no step exceeds 1 / (8 L), since the proof needs that.
"""

from __future__ import annotations

from math import ceil, log2
from typing import Any, ClassVar

import numpy as np

from rlopt.agents.online.base import Answer, Learner, checked, diameter, preset, required
from rlopt.agents.online.hedge import weights
from rlopt.spaces import ConvexSet


class TwoLayers(Learner):
    """What the two-layer learners share; subclasses define `_pool`, `_hints` and `_rate`.

    K steps with H hints each are N = H K base learners; x_hat is the same for all hints.

    Args:
        space: the convex action set.
        runs: see `online.make`.
        steps: K.
        hints: H.
        lam: what the base learners pay for moving, >= 0.

    Attributes:
        x_hat: (*batch, K, d).
        points: the x_{t,i} of the round to come, (*batch, N, d), the steps of a hint together.
        M: its hint, (*batch, d).
        losses: what the base learners paid so far, moving to `points` included, (*batch, N).
        errors: how wrong the m_s were so far, squared and summed, (*batch,).
    """

    memory: ClassVar[tuple[str, ...]] = ("x_hat", "points", "M", "losses", "errors")

    def __init__(
        self, space: ConvexSet, runs: int | None, steps: int, hints: int, lam: float
    ) -> None:
        super().__init__(space, runs)
        start = self.x[..., None, :]
        self.x_hat, self.points = (np.repeat(start, n, axis=-2) for n in (steps, hints * steps))
        self.losses, self.errors = np.zeros(self.points.shape[:-1]), np.zeros(self.batch)
        self.M, self._lam = np.zeros_like(self.x), lam

    def _pool(self, answer: Answer) -> Any:
        """The steps eta_i, (K,) or (*batch, K)."""
        raise NotImplementedError(f"{type(self).__name__} must define _pool(answer)")

    def _hints(self, answer: Answer) -> np.ndarray:
        """What the base learners expect of the next gradient, (*batch, H, d)."""
        raise NotImplementedError(f"{type(self).__name__} must define _hints(answer)")

    def _rate(self, surprise: np.ndarray) -> Any:
        """eps of the round to come, a number or (*batch,), from the last l - m, (*batch, N)."""
        raise NotImplementedError(f"{type(self).__name__} must define _rate(surprise)")

    def _learn(self, answer: Answer) -> None:
        g, eta = answer.gradient, self._pool(answer)[..., None]
        surprise = _along(self.points, g - self.M)
        losses = self.losses + _along(self.points, g)
        self.x_hat = self.space.project(self.x_hat - eta * g[..., None, :])
        hints = self._hints(answer)[..., None, :]
        points = self.space.project(self.x_hat[..., None, :, :] - eta[..., None, :, :] * hints)
        points = points.reshape(self.points.shape)
        if self._lam:
            losses = losses + self._lam * ((points - self.points) ** 2).sum(axis=-1)
        self.M = g if answer.hint is None else answer.hint
        rate = np.asarray(self._rate(surprise))[..., None]
        p = weights(-rate * (losses + _along(points, self.M)))
        self.x = (p[..., None, :] @ points)[..., 0, :]
        self.points, self.losses = points, losses


class DynamicOMD(TwoLayers):
    """For losses with smooth means and comparators that move; `lam` = 2 L.

    eta_i = min{1 / (8 L), D 2^(i-1) / (G sqrt(8 T))}, i = 1..N, as many as it takes to get there.

    Args:
        space: the convex action set; D is its diameter.
        runs: see `online.make`.
        G: the largest norm of a gradient.
        L: smoothness of the mean losses.
        T: rounds that will be played.
        eps: > 0; by default 1 / (8 D^2 L), or with practical constants the smaller of that and
            (1 + sum_{s<t} max_i (l_{s,i} - m_{s,i})^2)^(-1/2).
        constants: "theory" or "practical".

    Attributes:
        eta: the steps, (N,).
    """

    name: ClassVar[str] = "dynamic_omd"

    def __init__(
        self,
        space: ConvexSet,
        *,
        runs: int | None = None,
        G: float | None = None,
        L: float | None = None,
        T: int | None = None,
        eps: float | None = None,
        constants: str = "theory",
    ) -> None:
        theory = preset(self.name, constants)
        G, L, T, eps = checked(self.name, G=G, L=L, T=T, eps=eps)
        G, L, T = (required(self.name, key, v) for key, v in (("G", G), ("L", L), ("T", T)))
        D = diameter(self.name, space)
        first, most = D / (G * np.sqrt(8.0 * T)), 1.0 / (8.0 * L)
        self.eta = np.minimum(most, first * 2.0 ** np.arange(1 + max(0, ceil(log2(most / first)))))
        super().__init__(space, runs, len(self.eta), 1, 2.0 * L)
        self._adaptive = eps is None and not theory
        self._eps = 1.0 / (8.0 * D * D * L) if eps is None else eps

    def _pool(self, answer: Answer) -> Any:
        return self.eta

    def _hints(self, answer: Answer) -> np.ndarray:
        hint = answer.gradient if answer.hint is None else answer.hint
        return hint[..., None, :]

    def _rate(self, surprise: np.ndarray) -> Any:
        if not self._adaptive:
            return self._eps
        self.errors = self.errors + (surprise * surprise).max(axis=-1)
        return np.minimum(self._eps, (1.0 + self.errors) ** -0.5)


def _along(points: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """<direction, point>, (*batch, N, d), (*batch, d) -> (*batch, N)."""
    return np.asarray((points @ direction[..., None])[..., 0])
