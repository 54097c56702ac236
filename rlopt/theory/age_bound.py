"""An upper bound on the yield of an age-structured stock, for every policy, by linear prices.

Each fish of age a is given a price p_a(t, k), what it can still bring at most, where k is the
number of years since the last strong year class. That regime is a Markov chain which no policy
can move. Three relaxations make the best use of a fish independent of all others:

1. every age may be harvested by its own fraction u_a in [0, 1];
2. recruitment lies below its tangents, R(S) <= R(S_k) + R'(S_k) (S - S_k), since R is concave;
   there is one tangent a regime;
3. so does a concave utility of the catch, Y^power <= Y_k^power + power Y_k^(power - 1) (Y - Y_k).

Proof. Write dev for next year's deviation, k' for its regime (0 after a strong year class, else
k + 1) and D = E[dev p_1(t+1, k') | k]. A fish left in the sea brings mature weight, hence next
year's recruits at the tangent's slope, and is itself a year older:

    w_a(t, k) = s (mwt_a R'(S_k) D + E[p_{a+1}(t+1, k') | k]),    p_{A+1} = p_A (plus group)
    p_a(t, k) = max over u of  u v_a y_a(k) + (1 - u v_a) w_a(t, k)
    c(t, k)   = D (R(S_k) - R'(S_k) S_k) + [Y_k^power - power Y_k^(power - 1) Y_k]
                + E[c(t+1, k') | k]

from p(T) = 0, c(T) = 0. Then c(t, k) + p(t, k) . N is at least the reward of any action plus its
own expectation a year later, because dev and k' are independent of what was done. By induction
over t, E[c(0, k) + p(0, k) . N_0] is at least the value of every policy, also of one that sees
everything. Any S_k and Y_k give a valid bound: a poor choice makes it loose, never wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rlopt.theory.age import LifeHistory, Recruitment
from rlopt.theory.registry import bound

REGIMES = 30  # years since the last strong year class, the last one standing for all later ones
ROUNDS = 80  # of moving the tangents
SHORT = 150  # years of the model in which they are moved
FIRST_SHARE = 0.05  # of the unfished spawners and of the fish in the sea: where tangents start


class Tangents(NamedTuple):
    """Where the curves are touched, each (regimes,): spawning biomass, and the catch."""

    S: np.ndarray
    Y: np.ndarray


@bound(source="linear prices; derived in rlopt.theory.age_bound", holds="expectation")
def price_bound(
    *,
    life: LifeHistory,
    law: Recruitment,
    numbers: np.ndarray,
    worth: np.ndarray,
    T: int,
    power: float = 1.0,
) -> float:
    """E sum_t (sum_a worth_a caught_a)^power over T years is at most this, for every policy.

    Args:
        life: life history, with its alpha and beta.
        law: of the recruitment deviation, independent over the years.
        numbers: (ages,) E N_0, expected fish of each age at the start, >= 0.
        worth: (ages,) what a caught fish of each age counts, >= 0.
        T: number of harvests, >= 1.
        power: exponent of the utility, in (0, 1].

    Returns:
        The bound, at the tangents that the method of successive averages finds: each moves towards
        the mean spawning biomass (catch) of its regime in the relaxed model's own optimum, which
        is where the bound's derivative vanishes.

    Near the optimum where the recruitment is certain and a policy may choose a fraction for each
    age (convex duality); what is left comes from tangents that do not change with the year.

    Raises:
        ValueError: an argument is outside its range.
    """
    if isinstance(T, bool) or not isinstance(T, int | np.integer) or T < 1:
        raise ValueError(f"price_bound: T must be a whole number >= 1, got {T!r}")
    if not 0.0 < power <= 1.0:
        raise ValueError(f"price_bound: power must be in (0, 1], got {power!r}")
    given = {"numbers": numbers, "worth": worth}
    for name, values in given.items():
        array = np.asarray(values, dtype=np.float64)
        if array.shape != (life.ages,) or not (np.isfinite(array) & (array >= 0.0)).all():
            raise ValueError(f"price_bound: {name} must be {life.ages} numbers >= 0, got {values}")
        given[name] = array
    model = _Relaxed(life, law, given["numbers"], given["worth"], power)
    return model.backward(model.tangents(min(int(T), SHORT)), int(T))


@dataclass(frozen=True, eq=False)
class _Relaxed:
    """The relaxed model: all is linear in the numbers of fish, given the tangents."""

    life: LifeHistory
    law: Recruitment
    numbers: np.ndarray
    worth: np.ndarray
    power: float

    @property
    def regimes(self) -> int:
        return REGIMES if self.law.chance else 1

    def lines(self, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slope and height at 0 of recruitment's tangents, (regimes,) each."""
        crowded = 1.0 + self.life.beta * S
        slope = self.life.alpha / crowded**2
        return slope, self.life.alpha * S / crowded - slope * S

    def next_year(self, values: np.ndarray) -> np.ndarray:
        """E[values(k') | k] of (regimes, ...) values."""
        chance = self.law.chance
        return chance * values[0] + (1.0 - chance) * self._older(values)

    def recruit(self, price: np.ndarray) -> np.ndarray:
        """D = E[dev p_1(k') | k], (regimes,)."""
        law = self.law
        strong, ordinary = law.chance * law.strong_mean, (1.0 - law.chance) * law.ordinary_mean
        return strong * price[0] + ordinary * self._older(price)

    def _older(self, values: np.ndarray) -> np.ndarray:
        """values(k + 1), the last regime staying."""
        return np.concatenate([values[1:], values[-1:]])

    def backward(
        self, at: Tangents, T: int, plan: list[tuple[np.ndarray, np.ndarray]] | None = None
    ) -> float:
        """The bound; `plan` collects who is caught, and D, from the last year to the first."""
        life, v = self.life, self.life.vulnerability
        slope, height = self.lines(at.S)
        unit = self.power * at.Y ** (self.power - 1.0)
        offset = at.Y**self.power - unit * at.Y
        y = unit[:, None] * self.worth
        p, c = np.zeros((self.regimes, life.ages)), np.zeros(self.regimes)
        for _ in range(T):
            D = self.recruit(p[:, 0])
            c = D * height + offset + self.next_year(c)
            older = np.concatenate([p[:, 1:], p[:, -1:]], axis=1)
            kept = life.mature_weight * (D * slope)[:, None] + self.next_year(older)
            kept *= life.survival
            caught = y > kept
            if plan is not None:
                plan.append((caught, D))
            p = np.where(caught, v * y + (1.0 - v) * kept, kept)
        return float(c[-1] + p[-1] @ self.numbers)  # the start counts as long after a strong year

    def means(self, at: Tangents, plan: list[tuple[np.ndarray, np.ndarray]]) -> Tangents:
        """E[S | k] and E[Y | k] over the years of the plan; S is weighted by D, as it counts."""
        life, law, v = self.life, self.law, self.life.vulnerability
        slope, height = self.lines(at.S)
        fish, chance = np.zeros((self.regimes, life.ages)), np.zeros(self.regimes)  # E[N 1{k}], P
        fish[-1], chance[-1] = self.numbers, 1.0
        sums = np.zeros((4, self.regimes))
        for caught, D in reversed(plan):
            landed = fish * (caught * v)
            left = life.survival * (fish - landed)
            spawners = left @ life.mature_weight
            sums += D * spawners, D * chance, landed @ self.worth, chance
            born = slope * spawners + height * chance
            aged = np.concatenate([np.zeros((self.regimes, 1)), left[:, :-1]], axis=1)
            aged[:, -1] += left[:, -1]
            strong, ordinary = aged.sum(axis=0), aged.copy()
            strong[0] = law.strong_mean * born.sum()
            ordinary[:, 0] = law.ordinary_mean * born
            fish = self._moved(strong, ordinary)
            chance = self._moved(chance.sum(), chance)
        old = np.stack([at.S, at.Y])
        seen = sums[1::2] > 0.0  # a regime that is never seen keeps its tangents
        return Tangents(*np.where(seen, sums[::2] / np.where(seen, sums[1::2], 1.0), old))

    def _moved(self, strong: np.ndarray, ordinary: np.ndarray) -> np.ndarray:
        """Next year's (regimes, ...): all that meets a strong year class is in regime 0."""
        moved = np.concatenate([np.zeros_like(ordinary[:1]), ordinary[:-1]])
        moved[-1] += ordinary[-1]
        moved *= 1.0 - self.law.chance
        moved[0] += self.law.chance * strong
        return moved

    def tangents(self, T: int) -> Tangents:
        """The best of the tangents tried, in a model of T years."""
        spawners = self.life.survival * float(self.life.unfished @ self.life.mature_weight)
        start = FIRST_SHARE * float(self.numbers @ self.worth) + 1e-9
        ones = np.ones(self.regimes)
        at = Tangents(0.3 * self.life.R0 * spawners * ones, start * ones)
        best, least = at, np.inf
        for turn in range(ROUNDS):
            plan: list[tuple[np.ndarray, np.ndarray]] = []
            value = self.backward(at, T, plan)
            if value < least:
                best, least = at, value
            share = 2.0 / (turn + 4.0)
            at = Tangents(
                *(
                    (1.0 - share) * old + share * new
                    for old, new in zip(at, self.means(at, plan), strict=True)
                )
            )
        return best
