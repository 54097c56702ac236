"""Tasks whose losses are phi(<a_i, x>, b_i) for the rows of a table: which row, is the round's law.

"random": passes over the table, each in a fresh random order (F_t is the mean of the rows that the
pass has left); "iid": rows drawn with replacement; "dataset": passes in the order of the table, as
an adversary would. The rows to come are fixed before the first round.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box

from rlopt.envs.core import Array, NoiseSpec
from rlopt.envs.sea.comparators import Best, fixed_linear
from rlopt.envs.sea.moments import Bracket, margins
from rlopt.envs.sea.spread import mean_pair_bound, neighbour_bounds
from rlopt.envs.sea.task import OUTSIDE, Round, SEAState, SEATask
from rlopt.theory.checks import boolean, known

ORDERS = ("random", "iid", "dataset")


@dataclass(frozen=True, kw_only=True)
class Rows(SEATask):
    """Base of losses phi(<a_i, x>, b_i), phi convex in the margin <a_i, x>.

    Subclasses define `rows`, `targets`, `space`, `phi`, `slope`, `ideal`, `fitted`, `variance` and
    `curvature`; they may sharpen `neighbours`.

    Observation space:
        As `SEATask`; with `context` the next round's a (d) stands before the last loss, zeros
        after the last round. Targets are never shown.

    Info:
        As `SEATask`, without regret_static. sigma_sq_t and Sigma_sq_t are upper ends where only a
        bracket is known: `sigma_sq_bounds`, `Sigma_sq_bounds`. regret_dynamic is missing in random
        order, whose rounds' minimisers would each take a solve.

    Args:
        order: "random", "iid" or "dataset".
        context: show a_t before the action, as in regression.
    """

    order: str = "random"
    context: bool = False

    closed_form: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = type(self).__name__
        known(owner, "order", self.order, ORDERS)
        object.__setattr__(self, "context", boolean(owner, "context", self.context))
        if self.order == "random" and self.comparator == "dynamic":
            raise ValueError(
                f'{owner}: comparator "dynamic" needs order "iid" or "dataset", got "random"'
            )

    # What subclasses define -----------------------------------------------------------------------

    @property
    def rows(self) -> np.ndarray:
        """a, (N, d)."""
        raise NotImplementedError(f"{type(self).__name__} must define rows")

    @property
    def targets(self) -> np.ndarray:
        """b, (N,)."""
        raise NotImplementedError(f"{type(self).__name__} must define targets")

    def phi(self, margin: Array, target: Array) -> Array:
        """The loss at a margin <a, x>."""
        raise NotImplementedError(f"{type(self).__name__} must define phi(margin, target)")

    def slope(self, margin: Array, target: Array) -> Array:
        """Its derivative in the margin; the gradient is slope times a."""
        raise NotImplementedError(f"{type(self).__name__} must define slope(margin, target)")

    @property
    def ideal(self) -> np.ndarray:
        """The margins at which phi is least, infinite if there is none, (N,)."""
        raise NotImplementedError(f"{type(self).__name__} must define ideal")

    def fitted(self, weights: np.ndarray) -> Best:
        """The best fixed point for the rows' weighted sum, with its certificate."""
        raise NotImplementedError(f"{type(self).__name__} must define fitted(weights)")

    @cached_property
    def variance(self) -> Bracket:
        """sigma^2 of a row drawn uniformly."""
        raise NotImplementedError(f"{type(self).__name__} must define variance")

    @property
    def curvature(self) -> float:
        """Largest second derivative of phi in the margin, over the set."""
        raise NotImplementedError(f"{type(self).__name__} must define curvature")

    # The losses -----------------------------------------------------------------------------------

    @property
    def m(self) -> int:
        """A row and its target."""
        return self.space.dimension + 1

    def loss(self, z: Array, x: Array) -> Array:
        """phi(<a, x>, b)."""
        return self.phi(np.einsum("ni,ni->n", z[:, :-1], x), z[:, -1])

    def gradient(self, z: Array, x: Array) -> Array:
        """phi'(<a, x>, b) a."""
        a = z[:, :-1]
        return self.slope(np.einsum("ni,ni->n", a, x), z[:, -1])[:, None] * a

    @cached_property
    def _reach(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest margin of each row on the set."""
        return margins(self.rows, self.space)

    @cached_property
    def _slopes(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest slope of each row: phi is convex, so they are at the ends."""
        least, most = self._reach
        return self.slope(least, self.targets), self.slope(most, self.targets)

    @cached_property
    def loss_bounds(self) -> tuple[float, float]:
        """Exact."""
        ends = np.array([self.phi(end, self.targets) for end in self._reach])
        return float(self._least.min()), float(ends.max())

    @cached_property
    def _least(self) -> np.ndarray:
        """The minimum of each row's loss over the set."""
        return self.phi(np.clip(self.ideal, *self._reach), self.targets)

    @cached_property
    def G(self) -> float:
        """Exact."""
        steepest = np.abs(self._slopes).max(axis=0)
        return float((steepest * np.linalg.norm(self.rows, axis=1)).max())

    @cached_property
    def L(self) -> float:  # type: ignore[override]  # derived
        """Of every mean loss F_t: of the table if i.i.d., else of any of its rows."""
        if self.order == "iid":
            scale = np.linalg.norm(self.rows, 2) ** 2 / len(self.rows)
        else:
            scale = np.linalg.norm(self.rows, axis=1).max() ** 2
        return self.curvature * float(scale)

    # The rounds' laws -----------------------------------------------------------------------------

    @cached_property
    def noise_spec(self) -> NoiseSpec:  # type: ignore[override]  # derived, not declared
        """A number from which the order follows."""
        return NoiseSpec() if self.order == "dataset" else NoiseSpec(initial=("uniform", 1))

    def secrets(self, noise: Array) -> Array:
        """The rows of all rounds, (n, T); in random order to the end of the last pass."""
        N, T = len(self.rows), self.horizon
        if self.order == "dataset":
            return np.tile(np.arange(T) % float(N), (len(noise), 1))
        if self.order == "iid":
            return np.floor(scrambled(noise[:, 0], T) * N)
        numbers = scrambled(noise[:, 0], self._passes * N).reshape(len(noise), self._passes, N)
        return np.argsort(numbers, axis=-1).reshape(len(noise), -1).astype(np.float64)

    @property
    def _passes(self) -> int:
        """Passes begun."""
        return -(-self.horizon // len(self.rows))

    def sample(self, t: Array, secret: Array, noise: Array) -> Array:
        """The row of the round, and its target."""
        index = np.take_along_axis(secret, t.astype(np.int64)[:, None] - 1, axis=1)[:, 0]
        return self._samples[index.astype(np.int64)]

    @cached_property
    def _samples(self) -> np.ndarray:
        return np.column_stack([self.rows, self.targets])

    def mean_loss(self, played: Round, x: Array) -> Array:
        """F_t(x): over the table, over what the pass has left, or of the one row."""
        N, t = len(self.rows), played.t.astype(np.int64) - 1
        if self.order == "dataset":
            return self.loss(self._samples[t % N], x)
        margin = np.einsum("ni,Ni->nN", x, self.rows)  # by row, so that batches agree
        every = self.phi(margin, self.targets)
        if self.order == "iid":
            return every.mean(axis=1)
        places = (t - t % N)[:, None] + np.arange(N)
        order = np.take_along_axis(played.secret, places, axis=1).astype(np.int64)
        left = np.arange(N) >= (t % N)[:, None]
        summed = (np.take_along_axis(every, order, axis=1) * left).sum(axis=1)
        return summed / (N - t % N)

    @property
    def memoryless(self) -> bool:  # type: ignore[override]  # derived, not declared
        """Whether F_t depends on the round alone: not in random order."""
        return self.order != "random"

    def least_means(self, played: Round) -> tuple[Array, Array]:
        """F_t at the best fixed point and at `minimiser`, which in random order are the same."""
        if self.memoryless:
            return super().least_means(played)
        fixed = self.mean_loss(played, self.minimiser(played))
        return fixed, fixed

    def minimiser(self, played: Round) -> Array:
        """Where F_t is least; in random order the best fixed point, see the class."""
        if self.order == "dataset":
            return self._minimisers[(played.t.astype(np.int64) - 1) % len(self.rows)]
        return np.tile(self.best_fixed, (len(played.t), 1))

    @cached_property
    def _minimisers(self) -> np.ndarray:
        """Of each row: between the ends of its margins, as near to the ideal as they go."""
        least, most = self._reach
        width = np.where(most > least, most - least, 1.0)
        share = ((np.clip(self.ideal, least, most) - least) / width)[:, None]
        low, high = (fixed_linear(sign * self.rows, self.space) for sign in (1.0, -1.0))
        return low + share * (high - low)

    def transition_info(self, state: SEAState, action: Array, next_state: SEAState) -> Any:
        """See the class."""
        info = super().transition_info(state, action, next_state)
        if self.order == "random":
            del info["regret_dynamic"]
        return info

    # Moments --------------------------------------------------------------------------------------

    @cached_property
    def neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        """Bracket of sup |grad f_i - grad f_{i-1}|^2, i after its predecessor, each (N,).

        The first row follows the last. The lower end looks at each row's two extreme points.
        """
        around = np.roll(np.arange(len(self.rows)), 1)
        wrapped = np.concatenate([around[:1], np.arange(len(self.rows))])
        rows, (low, high) = self.rows[wrapped], self._slopes
        upper = neighbour_bounds(rows, low[wrapped], high[wrapped])
        lower = np.zeros(len(self.rows))
        corners = [fixed_linear(sign * self.rows, self.space) for sign in (1.0, -1.0)]
        for points in (*corners, *(c[around] for c in corners)):
            change = self.gradient(self._samples, points) - self.gradient(
                self._samples[around], points
            )
            lower = np.maximum(lower, (change**2).sum(axis=1))
        return lower, np.maximum(lower, upper)

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the brackets of sigma_t^2 and of Sigma_t^2, each (2, T)."""
        if self.order == "iid":
            none = np.zeros((2, self.horizon))
            return none + np.array(self.variance[:2])[:, None], none
        if self.order == "dataset":
            one_pass = np.zeros((2, len(self.rows))), np.array(self.neighbours)
        else:
            one_pass = self._pass
        sigma, Sigma = (np.tile(ends, self._passes)[:, : self.horizon] for ends in one_pass)
        Sigma[:, 0] = 0.0
        return sigma, Sigma

    @cached_property
    def _pass(self) -> tuple[np.ndarray, np.ndarray]:
        """Both brackets over a pass in random order, each (2, N).

        With m rows left the variance at any x has expectation v N/(N-1) (1 - 1/m), where v is that
        of the whole table, and the mean moves by v N/(N-1) / (m (m+1)); the supremum over x may be
        inside the expectation, so these are lower ends. Upper ones rest on h, the mean over pairs
        of sup |grad f_i - grad f_j|^2: h/2 (1 - 1/m) and h / (m (m+1)); and on v N/m. The first
        move of a pass is from the one row that the last pass had left to the whole table.
        """
        N = len(self.rows)
        v, left = self.variance, np.arange(N, 0.0, -1.0)
        h = mean_pair_bound(self.rows, *self._slopes)
        unbiased, shrink, move = (
            N / max(N - 1.0, 1.0),
            1.0 - 1.0 / left,
            1.0 / (left * (left + 1.0)),
        )
        sigma = np.array(
            [v.lower * unbiased * shrink, np.minimum(h / 2.0 * shrink, v.upper * N / left)]
        )
        Sigma = np.array([v.lower * unbiased * move, h * move])
        Sigma[:, 0] = v.lower, h * (N - 1.0) / N
        return sigma, Sigma

    @cached_property
    def sigma_sq_t(self) -> np.ndarray:
        """Upper ends."""
        return self._moments[0][1]

    @cached_property
    def Sigma_sq_t(self) -> np.ndarray:
        """Upper ends."""
        return self._moments[1][1]

    @property
    def sigma_sq_bounds(self) -> tuple[float, float]:
        """A bracket of sigma_sq."""
        return float(self._moments[0][0].sum()), self.sigma_sq

    @property
    def Sigma_sq_bounds(self) -> tuple[float, float]:
        """A bracket of Sigma_sq."""
        return float(self._moments[1][0].sum()), self.Sigma_sq

    # Totals ---------------------------------------------------------------------------------------

    @cached_property
    def visits(self) -> np.ndarray:
        """How often each row is seen, expected where chance decides, (N,)."""
        N = len(self.rows)
        if self.order != "dataset":
            return np.full(N, self.horizon / N)
        return self.horizon // N + (np.arange(N) < self.horizon % N).astype(np.float64)

    @cached_property
    def hindsight(self) -> Best:
        """The best fixed point, certified; over whole passes the order does not matter."""
        return self.fitted(self.visits)

    @cached_property
    def best_fixed(self) -> np.ndarray:
        """Its place."""
        return self.hindsight.x

    @property
    def static_total(self) -> float:
        """Its loss."""
        return self.hindsight.value

    @property
    def dynamic_total(self) -> float:
        """Exact but in random order: there the rows' own minima, below what any policy expects."""
        return self.static_total if self.order == "iid" else float(self.visits @ self._least)

    # Context --------------------------------------------------------------------------------------

    @cached_property
    def observation_space(self) -> Box:  # type: ignore[override]  # derived, not declared
        """See the class."""
        plain = super().observation_space
        if not self.context:
            return plain
        least = np.minimum(self.rows.min(axis=0), 0.0) - OUTSIDE
        most = np.maximum(self.rows.max(axis=0), 0.0) + OUTSIDE
        place = plain.shape[0] - 2
        return Box(_with(plain.low, place, least), _with(plain.high, place, most), dtype=np.float64)

    def observation(self, state: SEAState, noise: Array) -> Array:
        """See the class."""
        plain = super().observation(state, noise)
        if not self.context:
            return plain
        over = state.t >= self.horizon
        coming = np.minimum(state.t + 1.0, self.horizon)
        a = np.where(over[:, None], 0.0, self.sample(coming, state.secret, noise)[:, :-1])
        return np.concatenate([plain[:, :-2], a, plain[:, -2:]], axis=-1)


def _with(values: np.ndarray, place: int, more: np.ndarray) -> np.ndarray:
    return np.concatenate([values[:place], more, values[place:]])


def scrambled(noise: np.ndarray, T: int) -> np.ndarray:
    """Uniform numbers from one uniform number each, (n,) -> (n, T): SplitMix64 (Steele 2014).

    An order of thousands of rows then needs no more noise in store than one number.
    """
    seed = _mixed((noise * 2.0**53).astype(np.uint64))
    places = np.arange(1, T + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (_mixed(seed[:, None] + places) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))
