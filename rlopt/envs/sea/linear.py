"""Tasks with linear losses f_t(x) = <z_t, x>: i.i.d., switching, experts, random order.

A linear loss has one gradient everywhere, so that sigma_t^2 is the trace of the covariance of z_t
and Sigma_t^2 the squared move of its mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from rlopt.envs.core import Array, Info, NoiseSpec
from rlopt.envs.sea import models
from rlopt.envs.sea.comparators import fixed_linear
from rlopt.envs.sea.rounds import Round, SEAState, changes, unseen
from rlopt.envs.sea.task import SEATask
from rlopt.spaces import Ball, Simplex
from rlopt.theory.checks import fraction, nonnegative, positive, whole


@dataclass(frozen=True, kw_only=True)
class Linear(SEATask):
    """Base of linear losses; subclasses define `mean` and `sample`."""

    def mean(self, played: Round) -> Array:
        """Expected z_t, (n, d)."""
        raise NotImplementedError(f"{type(self).__name__} must define mean(played)")

    @property
    def loss_bounds(self) -> tuple[float, float]:
        """-G and G times the largest length of a point."""
        reach = self.G * self.space.largest_norm
        return -reach, reach

    @cached_property
    def means(self) -> np.ndarray:
        """Expected z_t of every round, (T, d)."""
        return self.mean(self.rounds)

    @cached_property
    def Sigma_sq_t(self) -> np.ndarray:
        """Squared moves of the mean."""
        return changes(self.means)

    def loss(self, z: Array, x: Array) -> Array:
        """<z, x>."""
        return np.einsum("ni,ni->n", z, x)

    def gradient(self, z: Array, x: Array) -> Array:
        """z."""
        return z

    def mean_loss(self, played: Round, x: Array) -> Array:
        """<E z_t, x>."""
        return np.einsum("ni,ni->n", self.mean(played), x)

    def mean_gradient(self, t: Array, x: Array) -> Array:
        """E z_t, where it is known beforehand."""
        return self.mean(unseen(t))

    def minimiser(self, played: Round) -> Array:
        """Where <E z_t, x> is least."""
        return fixed_linear(self.mean(played), self.space)

    @cached_property
    def best_fixed(self) -> np.ndarray:
        """Where <sum E z_t, x> is least."""
        return fixed_linear(self.means.sum(axis=0), self.space)

    def statistic(self, z: Array) -> Array:
        """z."""
        return z

    def best_loss(self, summed: Array, t: Array) -> Array:
        """The least <sum z, x>."""
        return np.einsum("ni,ni->n", summed, fixed_linear(summed, self.space))


@dataclass(frozen=True, kw_only=True)
class Iid(Linear):
    """Independent linear losses <mu + xi_t, x> on the unit ball.

    xi_t = s eps / sqrt d with independent signs eps: sigma_t^2 = s^2, Sigma_t^2 = 0. See `SEATask`
    for spaces, reward, info and oracle.

    Args:
        d: dimension, >= 1.
        mu: length of the mean, which lies on the diagonal, >= 0.
        s: length of xi_t, >= 0; not both 0.
    """

    d: int = 5
    mu: float = 0.1
    s: float = 0.9

    memoryless: ClassVar[bool] = True
    predictable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "d", whole("Iid", "d", self.d, 1))
        for name in ("mu", "s"):
            object.__setattr__(self, name, nonnegative("Iid", name, getattr(self, name)))
        positive("Iid", "mu + s", self.mu + self.s)

    @cached_property
    def noise_spec(self) -> NoiseSpec:  # type: ignore[override]  # derived, not declared
        """A sign a coordinate."""
        return NoiseSpec(step=("uniform", self.d))

    @cached_property
    def space(self) -> Ball:
        """The unit ball."""
        return Ball(self.d)

    @property
    def G(self) -> float:
        """mu + s."""
        return self.mu + self.s

    @cached_property
    def sigma_sq_t(self) -> np.ndarray:
        """s^2 in every round."""
        return np.full(self.horizon, self.s**2)

    def mean(self, played: Round) -> Array:
        """mu on the diagonal."""
        return np.full((len(played.t), self.d), self.mu * self.d**-0.5)

    def sample(self, t: Array, secret: Array, noise: Array) -> Array:
        """mu + xi_t."""
        return (self.mu + np.where(noise < 0.5, -self.s, self.s)) * self.d**-0.5


@dataclass(frozen=True, kw_only=True)
class Switching(Linear):
    """The adversary that makes the last gradient the worst hint: (-1)^t x_1 on the unit ball.

    sigma = 0 and Sigma_t^2 = 4.

    Args:
        d: dimension, >= 1.
    """

    d: int = 2

    G: ClassVar[float] = 1.0
    memoryless: ClassVar[bool] = True
    predictable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "d", whole("Switching", "d", self.d, 1))

    @cached_property
    def space(self) -> Ball:
        """The unit ball."""
        return Ball(self.d)

    @cached_property
    def sigma_sq_t(self) -> np.ndarray:
        """0: there is no noise."""
        return np.zeros(self.horizon)

    def mean(self, played: Round) -> Array:
        """(-1)^t in the first coordinate."""
        return self.sample(played.t, played.secret, played.z)

    def sample(self, t: Array, secret: Array, noise: Array) -> Array:
        """(-1)^t in the first coordinate."""
        z = np.zeros((len(t), self.d))
        z[:, 0] = 1.0 - 2.0 * (t % 2.0)
        return z


@dataclass(frozen=True, kw_only=True)
class Experts(Linear):
    """Mix experts who err at random, until another one becomes the best.

    Independent losses of 0 or 1 on the simplex: 1 with probability 1/2, 1/2 - gap for the best
    expert, which is the first and, after the switch, the last.

    Args:
        N: number of experts, >= 2.
        gap: by how much the best one errs less often, in [0, 1/2].
        switch: fraction of the rounds before the switch, in [0, 1]; 1 for none.
        feedback: "experts" or "full_grad", which are the same here: every expert's loss is the
            gradient; or "loss_only", the mixture's, for agents that need no gradient.
    """

    comparator: str = "dynamic"
    feedback: str = "experts"
    N: int = 8
    gap: float = 0.2
    switch: float = 0.5

    feedbacks: ClassVar[tuple[str, ...]] = ("experts", "full_grad", "loss_only")
    memoryless: ClassVar[bool] = True
    predictable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "N", whole("Experts", "N", self.N, 2))
        object.__setattr__(self, "switch", fraction("Experts", "switch", self.switch))
        object.__setattr__(self, "gap", 0.5 * fraction("Experts", "2 gap", 2.0 * self.gap))

    @cached_property
    def noise_spec(self) -> NoiseSpec:  # type: ignore[override]  # derived, not declared
        """A number an expert."""
        return NoiseSpec(step=("uniform", self.N))

    @cached_property
    def space(self) -> Simplex:
        """Weights of the experts."""
        return Simplex(self.N)

    @property
    def G(self) -> float:
        """sqrt N."""
        return self.N**0.5

    @property
    def loss_bounds(self) -> tuple[float, float]:
        """0 and 1."""
        return 0.0, 1.0

    @cached_property
    def sigma_sq_t(self) -> np.ndarray:
        """N/4 - gap^2 in every round: summed p (1 - p)."""
        return (self.means * (1.0 - self.means)).sum(axis=1)

    def mean(self, played: Round) -> Array:
        """Probabilities of a loss."""
        return self._odds(played.t)

    def _odds(self, t: Array) -> Array:
        before = t <= self.switch * self.horizon
        p = np.full((len(t), self.N), 0.5)
        p[:, 0] -= self.gap * before
        p[:, -1] -= self.gap * ~before
        return p

    def sample(self, t: Array, secret: Array, noise: Array) -> Array:
        """1 where the expert errs."""
        return (noise < self._odds(t)).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class RandomOrder(Linear):
    """The losses <z_i, x> of a fixed list, each once, in random order, on the unit ball.

    With s1 the variance of the list and m = T - t + 1 losses left: E sigma_t^2 =
    s1 T/(T-1) (1 - 1/m), E Sigma_t^2 = s1 T/(T-1) / (m (m+1)); they sum up to
    s1 T (T - H_T) / (T - 1) and s1.

    Info:
        sigma_sq_t and Sigma_sq_t are these expectations. F_t is the mean of what is left.

    Args:
        d: dimension, >= 1.
        mu: length of the vector on the diagonal around which the list lies, >= 0.
        s: length of the z_i less that vector; their directions are uniform. > 0.
        data_seed: of the list, >= 0.
    """

    horizon: int = 500
    d: int = 5
    mu: float = 0.1
    s: float = 0.9
    data_seed: int = 0

    comparators: ClassVar[tuple[str, ...]] = ("static",)

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("RandomOrder", "horizon", self.horizon, 2)
        object.__setattr__(self, "d", whole("RandomOrder", "d", self.d, 1))
        object.__setattr__(self, "mu", nonnegative("RandomOrder", "mu", self.mu))
        object.__setattr__(self, "s", positive("RandomOrder", "s", self.s))
        object.__setattr__(self, "data_seed", whole("RandomOrder", "data_seed", self.data_seed, 0))

    @cached_property
    def noise_spec(self) -> NoiseSpec:  # type: ignore[override]  # derived, not declared
        """A number a loss: their ranks are the order."""
        return NoiseSpec(initial=("uniform", self.horizon))

    @cached_property
    def space(self) -> Ball:
        """The unit ball."""
        return Ball(self.d)

    @cached_property
    def vectors(self) -> np.ndarray:
        """The list of z_i, (T, d)."""
        rng = np.random.default_rng(self.data_seed)
        away = rng.standard_normal((self.horizon, self.d))
        away *= self.s / np.linalg.norm(away, axis=1, keepdims=True)
        return self.mu * self.d**-0.5 + away

    @cached_property
    def G(self) -> float:
        """The largest |z_i|."""
        return float(np.linalg.norm(self.vectors, axis=1).max())

    @property
    def _order(self) -> models.RandomOrder:
        """The law of the order."""
        return models.RandomOrder(self.vectors)

    @cached_property
    def sigma_sq_t(self) -> np.ndarray:
        """See the class."""
        return self._order.sigma_sq_t

    @cached_property
    def Sigma_sq_t(self) -> np.ndarray:
        """See the class."""
        return self._order.Sigma_sq_t

    def secrets(self, noise: Array) -> Array:
        """The order."""
        return np.argsort(noise, axis=-1).astype(np.float64)

    def sample(self, t: Array, secret: Array, noise: Array) -> Array:
        """The next z_i of the order."""
        return self.vectors[self._index(t, secret)]

    def _index(self, t: Array, secret: Array) -> Any:
        place = t.astype(np.int64)[:, None] - 1
        return np.take_along_axis(secret, place, axis=1)[:, 0].astype(np.int64)

    def mean(self, played: Round) -> Array:
        """The mean of what is left before the draw."""
        left = self.horizon + 1.0 - played.t
        return (self.vectors.sum(axis=0) - played.past) / left[:, None]

    @cached_property
    def best_fixed(self) -> np.ndarray:
        """Where <sum z_i, x> is least; the order does not matter."""
        return fixed_linear(self.vectors.sum(axis=0), self.space)

    @property
    def static_total(self) -> float:
        """<sum z_i, u*>."""
        return float(self.vectors.sum(axis=0) @ self.best_fixed)

    @property
    def dynamic_total(self) -> float:
        """A lower bound: -sum sqrt(E |mean of what is left|^2)."""
        return float(-np.sqrt(self._order.mean_sq_t).sum())


@dataclass(frozen=True, kw_only=True)
class Adaptive(Linear):
    """Base of linear losses that follow from the points played: F_t = f_t, sigma = 0.

    Subclasses define `draw`, `best_fixed` and `Sigma_sq_bounds`.

    Info:
        Sigma_sq_t is that of the gradients shown, |g_t - g_{t-1}|^2.
    """

    comparators: ClassVar[tuple[str, ...]] = ("static",)

    @cached_property
    def sigma_sq_t(self) -> np.ndarray:
        """0: there is no noise."""
        return np.zeros(self.horizon)

    @cached_property
    def Sigma_sq_t(self) -> np.ndarray:
        """At most, from opposite gradients: 4 G^2."""
        return np.where(self.rounds.t > 1.0, 4.0 * self.G**2, 0.0)

    def mean(self, played: Round) -> Array:
        """The gradient shown."""
        return played.z

    def transition_info(self, state: SEAState, action: Array, next_state: SEAState) -> Info:
        """As every task's, with the squared move of the gradients shown."""
        info = super().transition_info(state, action, next_state)
        moved = np.where(state.t > 0.0, next_state.V - state.V, 0.0)
        return info | {"Sigma_sq_t": moved}
