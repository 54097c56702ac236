"""Tasks with quadratic losses: targets that rest, jump, drift or are corrupted; coordinates.

A target's loss is 1/2 |x - z_t|^2 with z_t = theta_t + xi_t and xi_t = s eps / sqrt d, eps of
independent signs: L = lam = 1, sigma_t^2 = s^2 and Sigma_t^2 = |theta_t - theta_{t-1}|^2, whatever
x is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from rlopt.envs.core import Array, NoiseSpec
from rlopt.envs.sea.rounds import Round, changes, squared
from rlopt.envs.sea.task import SEATask
from rlopt.spaces import Ball
from rlopt.theory.checks import fraction, nonnegative, positive, whole


@dataclass(frozen=True, kw_only=True)
class Quadratic(SEATask):
    """Base of losses on the unit ball that are half a squared error; subclasses define the rest."""

    d: int = 5
    r: float = 0.6

    memoryless: ClassVar[bool] = True
    predictable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = type(self).__name__
        object.__setattr__(self, "d", whole(owner, "d", self.d, 1))
        object.__setattr__(self, "r", fraction(owner, "r", self.r))

    @cached_property
    def space(self) -> Ball:
        """The unit ball."""
        return Ball(self.d)

    @property
    def alpha(self) -> float:
        """1 / G^2: alpha g g' is then at most the Hessian."""
        return 1.0 / self.G**2

    @property
    def loss_bounds(self) -> tuple[float, float]:
        """0 and G^2 / 2."""
        return 0.0, 0.5 * self.G**2

    @property
    def diagonal(self) -> np.ndarray:
        """The unit vector of equal coordinates, (d,)."""
        return np.full(self.d, self.d**-0.5)


@dataclass(frozen=True, kw_only=True)
class Target(Quadratic):
    """Stay near a point that is seen with noise: 1/2 |x - theta - xi_t|^2 on the unit ball.

    See `SEATask` for spaces, reward, info and oracle.

    Args:
        d: dimension, >= 1.
        r: |theta|, in [0, 1]; theta lies on the diagonal.
        s: |xi_t|, the standard deviation of gradients, >= 0.
    """

    s: float = 0.3

    L: ClassVar[float] = 1.0
    lam: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "s", nonnegative(type(self).__name__, "s", self.s))

    @cached_property
    def noise_spec(self) -> NoiseSpec:  # type: ignore[override]  # derived, not declared
        """A sign a coordinate."""
        return NoiseSpec(step=("uniform", self.d)) if self.s else NoiseSpec()

    @property
    def G(self) -> float:
        """1 + r + s."""
        return 1.0 + self.r + self.s

    def theta(self, t: Array) -> Array:
        """Targets of rounds (n,), (n, d)."""
        return np.broadcast_to(self.r * self.diagonal, (len(t), self.d))

    def centre(self, t: Array) -> Array:
        """Where the mean losses are least on R^d, (n, d)."""
        return self.theta(t)

    @cached_property
    def sigma_sq_t(self) -> np.ndarray:
        """s^2 in every round."""
        return np.full(self.horizon, self.s**2)

    @cached_property
    def Sigma_sq_t(self) -> np.ndarray:
        """Squared moves of the centre."""
        return changes(self.centre(self.rounds.t))

    def sample(self, t: Array, secret: Array, noise: Array) -> Array:
        """theta_t + xi_t."""
        return self.theta(t) + self._noise(noise)

    def _noise(self, noise: Array) -> Array:
        if not self.s:
            return 0.0
        return np.where(noise < 0.5, -self.s, self.s) * self.d**-0.5

    def loss(self, z: Array, x: Array) -> Array:
        """1/2 |x - z|^2."""
        return 0.5 * squared(x - z)

    def gradient(self, z: Array, x: Array) -> Array:
        """x - z."""
        return x - z

    def mean_loss(self, played: Round, x: Array) -> Array:
        """1/2 |x - theta_t|^2 + 1/2 s^2."""
        return 0.5 * squared(x - self.theta(played.t)) + 0.5 * self.s**2

    def mean_gradient(self, t: Array, x: Array) -> Array:
        """x less the centre."""
        return x - self.centre(t)

    def minimiser(self, played: Round) -> Array:
        """The projection of the centre."""
        return self.space.project(self.centre(played.t))

    @cached_property
    def best_fixed(self) -> np.ndarray:
        """The projection of the mean centre."""
        return self.space.project(self.centre(self.rounds.t).mean(axis=0))

    def statistic(self, z: Array) -> Array:
        """z and |z|^2."""
        return np.concatenate([z, squared(z)[:, None]], axis=-1)

    def best_loss(self, summed: Array, t: Array) -> Array:
        """At the projection of the mean of the z."""
        u = self.space.project(summed[:, :-1] / t[:, None])
        inner = np.einsum("ni,ni->n", u, summed[:, :-1])
        return 0.5 * (t * squared(u) + summed[:, -1]) - inner


@dataclass(frozen=True, kw_only=True)
class Piecewise(Target):
    """A target that jumps between two opposite places: stationary in pieces.

    Args:
        pieces: K equally long pieces, 1 <= K <= horizon; theta is (-1)^k r on the diagonal in piece
            k = 0, 1, ...
    """

    comparator: str = "dynamic"
    pieces: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "pieces", whole("Piecewise", "pieces", self.pieces, 1))
        if self.pieces > self.horizon:
            raise ValueError(
                f"Piecewise: pieces must be at most the {self.horizon} rounds of the horizon, "
                f"got {self.pieces}"
            )

    def theta(self, t: Array) -> Array:
        """+ r or - r on the diagonal."""
        piece = np.floor((t - 1.0) * self.pieces / self.horizon)
        return (self.r * (1.0 - 2.0 * (piece % 2.0)))[:, None] * self.diagonal


@dataclass(frozen=True, kw_only=True)
class Drift(Target):
    """A target on a slow circle: theta_t = r (cos w t, sin w t, 0, ...).

    Args:
        period: rounds of a turn, 2 pi / w, > 0.
    """

    comparator: str = "dynamic"
    period: float = 500.0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("Drift", "d", self.d, 2)
        object.__setattr__(self, "period", positive("Drift", "period", self.period))

    def theta(self, t: Array) -> Array:
        """On the circle of the first two coordinates."""
        angle = t * (2.0 * np.pi / self.period)
        place = np.zeros((len(t), self.d))
        place[:, 0], place[:, 1] = self.r * np.cos(angle), self.r * np.sin(angle)
        return place


@dataclass(frozen=True, kw_only=True)
class Corrupted(Target):
    """A target at rest whose losses an adversary tilts now and then: plus <c_t, x>.

    sigma is the target's; Sigma_t^2 = |c_t - c_{t-1}|^2. z_t is followed by c_t.

    Args:
        every: c_t is other than 0 in every such round, >= 1.
        c: |c_t| there, >= 0; c_t points along the diagonal.
    """

    every: int = 10
    c: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "every", whole("Corrupted", "every", self.every, 1))
        object.__setattr__(self, "c", nonnegative("Corrupted", "c", self.c))

    @property
    def m(self) -> int:
        """z and c."""
        return 2 * self.d

    @property
    def G(self) -> float:
        """1 + s + the larger of r and |r - c|."""
        return 1.0 + self.s + max(self.r, abs(self.r - self.c))

    @property
    def loss_bounds(self) -> tuple[float, float]:
        """-c and (1 + r + s)^2 / 2 + c."""
        return -self.c, 0.5 * (1.0 + self.r + self.s) ** 2 + self.c

    def tilt(self, t: Array) -> Array:
        """c_t, (n, d)."""
        return (self.c * (t % self.every == 0.0))[:, None] * self.diagonal

    def centre(self, t: Array) -> Array:
        """theta - c_t."""
        return self.theta(t) - self.tilt(t)

    def sample(self, t: Array, secret: Array, noise: Array) -> Array:
        """theta + xi_t and c_t."""
        return np.concatenate([super().sample(t, secret, noise), self.tilt(t)], axis=-1)

    def loss(self, z: Array, x: Array) -> Array:
        """1/2 |x - z|^2 + <c, x>."""
        return super().loss(z[:, : self.d], x) + np.einsum("ni,ni->n", z[:, self.d :], x)

    def gradient(self, z: Array, x: Array) -> Array:
        """x - z + c."""
        return x - z[:, : self.d] + z[:, self.d :]

    def mean_loss(self, played: Round, x: Array) -> Array:
        """The target's, plus <c_t, x>."""
        return super().mean_loss(played, x) + np.einsum("ni,ni->n", self.tilt(played.t), x)

    def statistic(self, z: Array) -> Array:
        """z - c and |z|^2."""
        seen = z[:, : self.d]
        return np.concatenate([seen - z[:, self.d :], squared(seen)[:, None]], axis=-1)


@dataclass(frozen=True, kw_only=True)
class Coordinates(Quadratic):
    """One coordinate a round: 1/2 (x_i - r / sqrt d)^2, i uniform, on the unit ball.

    With r = 0 Sachs et al. 2022, Lemma 14: sigma_t^2 = (d-1) / d^2 and sigma~_t^2 = (1 - 1/d)^2, a
    factor of d - 1 apart. Variance grows by (1 + r)^2.

    Args:
        d: dimension, >= 1.
        r: distance of the common minimiser from 0, in [0, 1].
    """

    @cached_property
    def noise_spec(self) -> NoiseSpec:  # type: ignore[override]  # derived, not declared
        """One number, for the coordinate."""
        return NoiseSpec(step=("uniform", 1))

    @property
    def G(self) -> float:
        """1 + r / sqrt d."""
        return 1.0 + self.r * self.d**-0.5

    @property
    def L(self) -> float:  # type: ignore[override]  # depends on d
        """Of the mean: 1 / d."""
        return 1.0 / self.d

    @property
    def lam(self) -> float:  # type: ignore[override]  # depends on d
        """Of the mean: 1 / d."""
        return 1.0 / self.d

    @cached_property
    def sigma_sq_t(self) -> np.ndarray:
        """(d - 1) / d^2 (1 + r)^2 in every round."""
        return np.full(self.horizon, (self.d - 1.0) / self.d**2 * (1.0 + self.r) ** 2)

    @cached_property
    def Sigma_sq_t(self) -> np.ndarray:
        """0."""
        return np.zeros(self.horizon)

    @cached_property
    def best_fixed(self) -> np.ndarray:
        """Every loss is least there."""
        return self.r * self.diagonal

    def sample(self, t: Array, secret: Array, noise: Array) -> Array:
        """The unit vector of a uniform coordinate."""
        drawn = np.minimum((noise[:, 0] * self.d).astype(np.int64), self.d - 1)
        return np.eye(self.d)[drawn]

    def loss(self, z: Array, x: Array) -> Array:
        """1/2 of the drawn coordinate's squared error."""
        return 0.5 * squared(z * (x - self.best_fixed))

    def gradient(self, z: Array, x: Array) -> Array:
        """The drawn coordinate's error."""
        return z * (x - self.best_fixed)

    def mean_loss(self, played: Round, x: Array) -> Array:
        """|x - u*|^2 / (2 d)."""
        return squared(x - self.best_fixed) / (2.0 * self.d)

    def mean_gradient(self, t: Array, x: Array) -> Array:
        """(x - u*) / d."""
        return (x - self.best_fixed) / self.d

    def minimiser(self, played: Round) -> Array:
        """u*."""
        return np.tile(self.best_fixed, (len(played.t), 1))

    def best_loss(self, summed: Array, t: Array) -> Array:
        """0, at u*."""
        return 0.0 * t
