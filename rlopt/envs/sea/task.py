"""SEATask: an online convex task as a FuncEnv (losses as in Sachs et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box

from rlopt.envs.core import Array, FuncEnv, Info, Oracle, cached
from rlopt.envs.sea.rounds import Round, SEAState, between, squared, unseen
from rlopt.spaces import ConvexSet
from rlopt.theory.checks import boolean, known, whole
from rlopt.theory.regret import omd_convex_pathwise

COMPARATORS = ("static", "dynamic")
INFEASIBLE = ("project", "raise", "penalise")
DELTA = 1.0  # of the step sizes in `bound_T1`
OUTSIDE = 1e-9  # distance from a set beyond which a point counts as outside


__all__ = ["OUTSIDE", "Round", "SEAState", "SEATask"]


@dataclass(frozen=True, kw_only=True)
class SEATask(FuncEnv):
    """Play points of a convex set against losses that are drawn anew each round.

    Subclasses are frozen dataclasses. They define `space`, `G`, `loss_bounds`, `m` (and, if there
    is noise, `noise_spec`), the per-round arrays `sigma_sq_t` and `Sigma_sq_t`, and the pure
    batched methods `sample`, `loss`, `gradient`, `mean_loss`, `minimiser` and `best_fixed`; where
    sums of a statistic determine the best fixed point in hindsight, `statistic` and `best_loss`.

    Action space:
        The smallest symmetric Box around the convex set, (d,), float64 ([-1, 1] for a unit ball or
        a simplex). `on_infeasible` says what happens to a point outside the set.

    Observation space:
        Box, float64, finite: last gradient g_{t-1} (d; absent under "loss_only"), last point
        x_{t-1} (d), last loss, t / T. At reset: g = 0, x = the projection of 0, loss 0, t = 0.
        With `forecast`, grad F_t(x_{t-1}) (d) stands before the last loss, 0 after the last round.

    Reward:
        -f_t(x_t), less G times the distance from the set under "penalise".

    Starting state:
        Before the first round. The sequence of losses depends on the seed, not on the actions.

    Episode end:
        Truncates after T = `horizon` rounds.

    Info (each step, sums up to this round):
        x, the point played (d,); gradient g_t (d,); hint M_t (d,), what was shown of it before the
        action: the forecast, or else g_{t-1}, or else ("loss_only") 0; loss f_t(x_t); F, the mean
        loss F_t(x_t); sigma_sq_t and Sigma_sq_t of this round; V = sum |g_s - g_{s-1}|^2;
        path = sum |x_s - x_{s-1}|; projected: the action lay outside;
        regret_static: realised, against the best fixed point of the rounds so far (only where it
        has a closed form); regret_pseudo: of mean losses, against the fixed point that is best over
        the whole episode; regret_dynamic: of mean losses, against every round's minimiser;
        bound_T1: what convex optimistic mirror descent (delta = 1) is sure to stay under for this
        V, (5/2) D sqrt V + (D/2) sqrt delta + D G; regret: of this step, against the comparator.

    Args:
        horizon: rounds T, >= 1.
        comparator: whom regret is measured against: "static", the best fixed point for the mean
            losses, or "dynamic", each round's minimiser of the mean loss.
        on_infeasible: "project" plays the nearest point, "raise" refuses with a ValueError,
            "penalise" projects and adds G times the distance to the cost.
        feedback: "full_grad", or "loss_only" without the gradient: only agents that need none can
            play it.
        forecast: show an external forecast of the next gradient, that of the next round's mean
            loss at the last point, which optimistic learners take as their hint. Only for tasks
            whose mean losses are known beforehand (`predictable`).

    Raises:
        ValueError, TypeError: naming the parameter, its value and what is allowed.
    """

    horizon: int = 1000
    comparator: str = "static"
    on_infeasible: str = "project"
    feedback: str = "full_grad"
    forecast: bool = False

    unit = "loss"
    render_modes: ClassVar[tuple[str, ...]] = ("rgb_array", "ansi")
    feedbacks: ClassVar[tuple[str, ...]] = ("full_grad", "loss_only")
    comparators: ClassVar[tuple[str, ...]] = COMPARATORS
    L: ClassVar[float | None] = None
    lam: ClassVar[float] = 0.0
    closed_form: ClassVar[bool] = True  # whether `best_loss` knows the best point in hindsight
    memoryless: ClassVar[bool] = False  # whether F_t depends on the round alone (this is faster)
    predictable: ClassVar[bool] = False  # whether `mean_gradient` is known before the round
    foreseen: ClassVar[bool] = True  # whether the comparator's points are known beforehand

    def __post_init__(self) -> None:
        owner = type(self).__name__
        object.__setattr__(self, "horizon", whole(owner, "horizon", self.horizon, 1))
        known(owner, "comparator", self.comparator, self.comparators)
        known(owner, "on_infeasible", self.on_infeasible, INFEASIBLE)
        known(owner, "feedback", self.feedback, self.feedbacks)
        object.__setattr__(self, "forecast", boolean(owner, "forecast", self.forecast))
        if self.forecast and not self.predictable:
            raise ValueError(
                f"{owner}: forecast must be False, got True: mean losses are not known beforehand"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Parameters only: derived constants are made again where they are needed."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    # What subclasses define -----------------------------------------------------------------------

    @cached_property
    def space(self) -> ConvexSet:
        """The convex set X."""
        raise NotImplementedError(f"{type(self).__name__} must define space")

    @property
    def G(self) -> float:
        """Bound on |grad f_t| over X."""
        raise NotImplementedError(f"{type(self).__name__} must define G")

    @property
    def alpha(self) -> float | None:
        """Exp-concavity of every f_t on X, None if there is none."""
        return None

    @property
    def loss_bounds(self) -> tuple[float, float]:
        """Least and largest f_t(x) over X, or bounds on them."""
        raise NotImplementedError(f"{type(self).__name__} must define loss_bounds")

    @property
    def m(self) -> int:
        """Length of a sample z_t."""
        return self.space.dimension

    @cached_property
    def sigma_sq_t(self) -> np.ndarray:
        """Expected variance sup E |grad f_t - grad F_t|^2 of each round, (T,)."""
        raise NotImplementedError(f"{type(self).__name__} must define sigma_sq_t")

    @cached_property
    def Sigma_sq_t(self) -> np.ndarray:
        """Expected variation sup |grad F_t - grad F_{t-1}|^2 of each round, (T,), 0 at t = 1."""
        raise NotImplementedError(f"{type(self).__name__} must define Sigma_sq_t")

    def sample(self, t: Array, secret: Array, noise: Array) -> Array:
        """The samples z_t, (n, m), from rounds (n,), secrets (n, k) and step noise (n, d)."""
        raise NotImplementedError(f"{type(self).__name__} must define sample(t, secret, noise)")

    def loss(self, z: Array, x: Array) -> Array:
        """f_t(x) for samples (n, m) and points (n, d); (n,)."""
        raise NotImplementedError(f"{type(self).__name__} must define loss(z, x)")

    def gradient(self, z: Array, x: Array) -> Array:
        """Gradient of f_t at x, (n, d)."""
        raise NotImplementedError(f"{type(self).__name__} must define gradient(z, x)")

    def mean_loss(self, played: Round, x: Array) -> Array:
        """F_t(x), (n,)."""
        raise NotImplementedError(f"{type(self).__name__} must define mean_loss(played, x)")

    def mean_gradient(self, t: Array, x: Array) -> Array:
        """Gradient of F_t at x of rounds (n,), (n, d); of `predictable` tasks."""
        raise NotImplementedError(f"{type(self).__name__} must define mean_gradient(t, x)")

    def minimiser(self, played: Round) -> Array:
        """The minimiser of F_t over X, (n, d)."""
        raise NotImplementedError(f"{type(self).__name__} must define minimiser(played)")

    @cached_property
    def best_fixed(self) -> np.ndarray:
        """u*, the minimiser of sum F_t over X, (d,)."""
        raise NotImplementedError(f"{type(self).__name__} must define best_fixed")

    def statistic(self, z: Array) -> Array:
        """What `best_loss` needs the sum of, (n, j)."""
        return z[:, :0]

    def best_loss(self, summed: Array, t: Array) -> Array:
        """min over X of f_1 + ... + f_t from summed statistics (n, j); (n,)."""
        raise NotImplementedError(f"{type(self).__name__} must define best_loss(summed, t)")

    def secrets(self, noise: Array) -> Array:
        """What nature fixes before the first round, (n, k), from the initial noise (n, d)."""
        return noise

    def draw(self, state: SEAState, x: Array, t: Array, noise: Array) -> Array:
        """The samples z_t, (n, m); adaptive tasks override it and look at the points x, (n, d)."""
        return self.sample(t, state.secret, noise)

    # Constants ------------------------------------------------------------------------------------

    @property
    def D(self) -> float:
        """Diameter of X."""
        return self.space.diameter

    @property
    def constants(self) -> dict[str, float]:
        """The constants that are known and positive, named as learners take them."""
        values = {"G": self.G, "L": self.L, "lam": self.lam, "alpha": self.alpha, "T": self.horizon}
        return {name: value for name, value in values.items() if value}

    @property
    def sigma_sq(self) -> float:
        """Expected sum of the rounds' variances, t = 1 .. T (its upper bound if not `exact`)."""
        return float(self.sigma_sq_t.sum())

    @property
    def Sigma_sq(self) -> float:
        """Expected sum of the rounds' variations, t = 2 .. T (its upper bound if not `exact`)."""
        return float(self.Sigma_sq_t.sum())

    @property
    def sigma_sq_bounds(self) -> tuple[float, float]:
        """A bracket of sigma_sq; its ends are equal where it is exact."""
        return self.sigma_sq, self.sigma_sq

    @property
    def Sigma_sq_bounds(self) -> tuple[float, float]:
        """A bracket of Sigma_sq; its ends are equal where it is exact."""
        return self.Sigma_sq, self.Sigma_sq

    @property
    def exact(self) -> bool:
        """Whether sigma_sq and Sigma_sq are exact."""
        return all(low == high for low, high in (self.sigma_sq_bounds, self.Sigma_sq_bounds))

    @cached_property
    def rounds(self) -> Round:
        """Every round, without what nature drew: the leading axis is time."""
        return unseen(np.arange(1.0, self.horizon + 1.0))

    @property
    def static_total(self) -> float:
        """Least expected total of a fixed point, sum F_t(u*)."""
        return float(self._fixed_means.sum())

    @property
    def dynamic_total(self) -> float:
        """Sum of min F_t: no policy expects less."""
        return float(self._least_means.sum())

    # Spaces ---------------------------------------------------------------------------------------

    @cached_property
    def action_space(self) -> Box:  # type: ignore[override]  # derived, not declared
        """The smallest Box around X that is symmetric to 0, as reinforcement learners like it."""
        reach = np.maximum(abs(self.space.low), abs(self.space.high))
        return Box(-reach, reach, dtype=np.float64)

    @cached_property
    def observation_space(self) -> Box:  # type: ignore[override]  # derived, not declared
        """See the class."""
        low, high = self.loss_bounds
        steep, next_steep = np.full(self._shown, self.G), np.full(self._forecast, self.G)
        least = np.concatenate([-steep, self.space.low, -next_steep, [min(low, 0.0), 0.0]])
        most = np.concatenate([steep, self.space.high, next_steep, [max(high, 0.0), 1.0]])
        room = OUTSIDE * (1.0 + most - least)  # sums round
        return Box(least - room, most + room, dtype=np.float64)

    @property
    def _shown(self) -> int:
        """Coordinates of the gradient that an observation shows."""
        return 0 if self.feedback == "loss_only" else self.space.dimension

    @property
    def _forecast(self) -> int:
        """Coordinates of the next gradient's forecast that an observation shows."""
        return self.space.dimension if self.forecast else 0

    def answers(self, observation: Array) -> dict[str, np.ndarray]:
        """What a learner is told: observations (n, *obs) -> gradient (n, d) and loss (n,).

        Without the gradient under "loss_only"; with a hint (n, d) where there is a forecast.
        """
        observation = np.asarray(observation, dtype=np.float64)
        told = {"loss": observation[:, -2]}
        if self._shown:
            told["gradient"] = observation[:, : self._shown]
        if self.forecast:
            told["hint"] = observation[:, -2 - self._forecast : -2]
        return told

    def round_of(self, observation: Array) -> np.ndarray:
        """The round that comes next, (n,), 1 .. T."""
        return np.minimum(np.rint(observation[:, -1] * self.horizon) + 1.0, self.horizon)

    def idle_action(self, observation: Array) -> np.ndarray:
        """The projection of 0, for ever."""
        return np.tile(self.start, (len(observation), 1))

    @cached_property
    def start(self) -> np.ndarray:
        """The projection of 0, (d,)."""
        return self.space.project(np.zeros(self.space.dimension))

    # Dynamics -------------------------------------------------------------------------------------

    def initial(self, noise: Array) -> SEAState:
        """(n, d) initial noise -> n episodes before their first round."""
        n = len(noise)
        zero = np.zeros(n)
        empty = np.zeros((n, self.m))
        return SEAState(
            t=zero,
            x=np.tile(self.start, (n, 1)),
            gradient=np.zeros((n, self.space.dimension)),
            loss=zero,
            mean=zero,
            z=empty,
            secret=self.secrets(noise),
            outside=zero,
            V=zero,
            path=zero,
            total=zero,
            statistic=np.zeros_like(self.statistic(empty)),
            pseudo=zero,
            dynamic=zero,
        )

    def transition(self, state: SEAState, action: Array, noise: Array) -> SEAState:
        """Play (n, d) actions for one round."""
        x = self.space.project(action)
        outside = np.sqrt(squared(action - x))
        if self.on_infeasible == "raise" and (outside > OUTSIDE).any():
            raise ValueError(
                f"{type(self).__name__}: action must be a point of {self.space}, got one "
                f'{outside.max():.3g} outside it (on_infeasible="project" plays the nearest)'
            )
        t = state.t + 1.0
        z = self.draw(state, x, t, noise)
        played = Round(t, z, state.secret, state.statistic)
        gradient, loss, mean = self.gradient(z, x), self.loss(z, x), self.mean_loss(played, x)
        fixed, least = self.least_means(played)
        moved = np.sqrt(squared(x - state.x)) * (state.t > 0.0)
        return SEAState(
            t=t,
            x=x,
            gradient=gradient,
            loss=loss,
            mean=mean,
            z=z,
            secret=state.secret,
            outside=outside,
            V=state.V + squared(gradient - state.gradient),
            path=state.path + moved,
            total=state.total + loss,
            statistic=state.statistic + self.statistic(z),
            pseudo=state.pseudo + (mean - fixed),
            dynamic=state.dynamic + (mean - least),
        )

    def least_means(self, played: Round) -> tuple[Array, Array]:
        """F_t at u* and at its own minimiser, each (n,)."""
        if self.memoryless:
            index = played.t.astype(np.int64) - 1
            return self._fixed_means[index], self._least_means[index]
        best = np.broadcast_to(self.best_fixed, (len(played.t), self.space.dimension))
        return self.mean_loss(played, best), self.mean_loss(played, self.minimiser(played))

    @cached_property
    def _fixed_means(self) -> np.ndarray:
        """F_t(u*) of every round, (T,), for memoryless nature."""
        points = np.broadcast_to(self.best_fixed, (self.horizon, self.space.dimension))
        return self.mean_loss(self.rounds, points)

    @cached_property
    def _least_means(self) -> np.ndarray:
        """min F_t of every round, (T,), for memoryless nature."""
        return self.mean_loss(self.rounds, self._moving_points)

    @cached_property
    def _moving_points(self) -> np.ndarray:
        """Of every F_t, (T, d), for memoryless nature."""
        return self.minimiser(self.rounds)

    def observation(self, state: SEAState, noise: Array) -> Array:
        """See the class."""
        last = np.stack([state.loss, state.t / self.horizon], axis=-1)
        coming = self.hint(state)[:, : self._forecast]
        return np.concatenate([state.gradient[:, : self._shown], state.x, coming, last], axis=-1)

    def hint(self, state: SEAState) -> Array:
        """What states show of the next gradient, (n, d): see `hint` in the info."""
        if not self.forecast:
            return state.gradient if self._shown else np.zeros_like(state.gradient)
        coming = np.minimum(state.t + 1.0, self.horizon)
        ahead = self.mean_gradient(coming, state.x)
        return np.where((state.t < self.horizon)[:, None], ahead, 0.0)

    def cost(self, state: SEAState) -> Array:
        """What the last round cost, (n,): the loss, and the penalty if there is one."""
        if self.on_infeasible != "penalise":
            return state.loss
        return state.loss + self.G * state.outside

    def reward(self, state: SEAState, action: Array, next_state: SEAState) -> Array:
        """Minus the cost of the round, (n,)."""
        return -self.cost(next_state)

    def regret(self, state: SEAState, action: Array, next_state: SEAState) -> Array:
        """Cost of the round less the comparator's, (n,); E sum = V* - V^pi."""
        return self.cost(next_state) - self.loss(next_state.z, self.compared(state, next_state))

    def compared(self, state: SEAState, next_state: SEAState) -> Array:
        """The comparator's points of the round between two states, (n, d)."""
        if self.comparator == "static":
            return np.broadcast_to(self.best_fixed, next_state.x.shape)
        if self.memoryless:
            return self._moving_points[next_state.t.astype(np.int64) - 1]
        return self.minimiser(between(state, next_state))

    def target(self, t: Array) -> Array:
        """The comparator's points in rounds (n,), (n, d)."""
        if self.comparator == "static":
            return np.tile(self.best_fixed, (len(t), 1))
        return self.minimiser(unseen(t))

    def transition_info(self, state: SEAState, action: Array, next_state: SEAState) -> Info:
        """The round and the sums up to it; see the class."""
        now = next_state
        index = now.t.astype(np.int64) - 1
        info = {
            "x": now.x,
            "gradient": now.gradient,
            "hint": self.hint(state),
            "loss": now.loss,
            "F": now.mean,
            "sigma_sq_t": self.sigma_sq_t[index],
            "Sigma_sq_t": self.Sigma_sq_t[index],
            "V": now.V,
            "path": now.path,
            "projected": now.outside > OUTSIDE,
            "regret_pseudo": now.pseudo,
            "regret_dynamic": now.dynamic,
            "bound_T1": omd_convex_pathwise(D=self.D, G=self.G, V_T=now.V, delta=DELTA),
        }
        if self.closed_form:
            info["regret_static"] = now.total - self.best_loss(now.statistic, now.t)
        return info

    # Oracle and pictures --------------------------------------------------------------------------

    @cached
    def oracle(self) -> Oracle:
        """The comparator: see `rlopt.envs.sea.oracle`."""
        from rlopt.envs.sea.oracle import comparator

        return comparator(self)

    def text(self, history: Sequence[Mapping[str, Any]]) -> str:
        """One line: round, loss, regret so far, bound."""
        from rlopt.envs.sea.picture import line

        return line(self, history)

    def picture(self, history: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Regret against its bound, and the points played, (420, 640, 3) uint8."""
        from rlopt.envs.sea.picture import draw

        return draw(self, history)
