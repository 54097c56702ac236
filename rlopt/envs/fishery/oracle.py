"""The fishery's exact optimum, per-step regret, and exact values of other policies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlopt.envs.core import (
    Agent,
    Array,
    FixedAgent,
    FunctionAgent,
    Oracle,
    OracleResult,
    count_steps,
)
from rlopt.envs.fishery.env import Fishery, StockState
from rlopt.envs.rollout import rollout
from rlopt.theory.dp import HarvestSolution, solve_harvest
from rlopt.theory.played import Escapement
from rlopt.theory.reed import reed_gain, reed_value

QUANTILES = 101  # equally likely actions that stand for a random policy
EPISODES = 2_000  # simulated where the policy sees a survey instead of the stock
SEED = 20141631  # of their noise
NEGLIGIBLE = 1e-4  # discount at which an endless simulation is cut
LONGEST = 10_000  # years of a simulation
ERRORS = 4.0  # standard errors below a simulated mean that count as attained

PolicyLike = Agent | Callable[[np.ndarray], np.ndarray]  # or a function stock -> escapement


@dataclass(frozen=True, eq=False, kw_only=True)
class HarvestOracle(Oracle):
    """The optimum of a fishery.

    Attributes:
        value: optimal value from x0; with observation or implementation error an upper bracket.
        policy: an Agent that plays the best escapement.
        regret: of each transition, from the escapement that was really left, so that it is exact
            under implementation error too (notes, T4).
        fishery, solution: what was solved, and the dynamic programme's solution.
    """

    fishery: Fishery
    solution: HarvestSolution

    def value_at(self, x: Any, t: int = 0) -> np.ndarray:
        """Optimal expected discounted catch from stocks x (n,) in year t, (n,) [biomass]."""
        return self.solution.value_at(self._stocks(x), self._year(t))

    def escapement(self, x: Any, t: int = 0) -> np.ndarray:
        """The best escapement of stocks x (n,) in year t, (n,) [biomass]."""
        return self.solution.escapement(self._stocks(x), self._year(t))

    def evaluate(self, policy: PolicyLike, x: Any) -> np.ndarray:
        """Exact value of a memoryless policy from stocks x, (n,) -> (n,) [biomass] (notes, T5).

        Args:
            policy: an Agent (its deterministic answer counts, or the mean over its
                `action_quantiles(observation, n)` if it offers them), or a function
                stock (n,) -> escapement (n,), which plays alike in every year: a policy that
                depends on the year must come as an Agent.
            x: (n,) stocks; the policy acts exactly there first.

        Raises:
            ValueError: with observation error, where a policy is not a function of the stock.
        """
        return self.solution.evaluate(self.fishery.memoryless(policy), self._stocks(x))

    def policy_value(self, agent: Agent) -> float | None:
        """Exact value of an agent from x0; None with observation error."""
        if self.fishery.observation_noise is not None:
            return None
        return float(self.evaluate(agent, [self.fishery.x0])[0])

    def _year(self, t: int) -> int:
        horizon = self.fishery.horizon
        if t < 0 or (horizon is not None and t >= horizon):
            allowed = ">= 0" if horizon is None else f"in [0, {horizon})"
            raise ValueError(f"t must be a year {allowed}, got {t}")
        return t

    def _stocks(self, x: Any) -> np.ndarray:
        x = np.atleast_1d(np.asarray(x, dtype=np.float64))
        if x.ndim != 1 or not (np.isfinite(x) & (x >= 0.0)).all():
            raise ValueError(f"stocks must be finite, >= 0 and of shape (n,), got {x!r}")
        return x


class HarvestPolicy(FixedAgent):
    """Plays the best escapement of a solved fishery.

    Where the best escapement depends on a year that the observation does not show (a fading
    penalty on an endless task), the years are counted in the agent's `state`.
    """

    def __init__(self, fishery: Fishery, solution: HarvestSolution) -> None:
        self.fishery, self.solution = fishery, solution
        self.counts = fishery.horizon is None and len(solution.q) > 1

    def escapement(self, x: np.ndarray, year: int | np.ndarray) -> np.ndarray:
        """Stocks (n,) -> escapements (n,)."""
        return self.solution.escapement(x, year)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Observations (n, 1 or 2) -> actions (n, 1); one observation (1 or 2,) -> action (1,)."""
        batch = np.atleast_2d(observation)
        stock, year = self.fishery.stock_and_year(batch)
        if self.counts:
            year, state = count_steps(state, episode_start, len(batch))
        action = self.fishery.action_for(stock, self.escapement(stock, year))
        return (action if np.ndim(observation) == 2 else action[0]), state


def escapement_of(fishery: Fishery, policy: PolicyLike) -> Escapement:
    """A policy as (stocks (n,), year) -> intended escapements, (n,), or (m, n) for m answers.

    A quota above the stock shows as a negative escapement. An agent is asked once for all years of
    a finite horizon, a function of the stock once for ever; the answers stay the same arrays. An
    agent whose answers depend on a year that the observation does not show offers them as `plan`.
    """
    if isinstance(policy, HarvestPolicy):
        return policy.escapement
    plan: Escapement | None = getattr(policy, "plan", None)
    if plan is not None:
        return plan
    asked: dict[int, tuple[np.ndarray, list[np.ndarray]]] = {}

    def escapement(x: np.ndarray, year: int) -> np.ndarray:
        if id(x) not in asked:
            player: Any = policy
            answers = (
                list(_answers(player, fishery, x)) if hasattr(player, "predict") else [player(x)]
            )
            asked[id(x)] = x, answers  # x is kept too: its id is only its own while it lives
        table = asked[id(x)][1]
        return table[min(year, len(table) - 1)]

    return escapement


@dataclass(frozen=True, eq=False)
class HarvestRegret:
    """The optimality gap of each transition, from the escapement that was really left."""

    solution: HarvestSolution

    def __call__(self, state: StockState, action: Array, next_state: StockState) -> np.ndarray:
        """Transitions of n stocks -> (n,) [biomass]."""
        return self.solution.regret(state.stock, next_state.escapement, state.year)


def solve(fishery: Fishery) -> HarvestOracle:
    """The exact optimum of a fishery, or its bracket under observation or implementation error.

    Raises:
        ValueError: normal noise so large that no optimum exists.
    """
    gain = reed_gain(fishery.growth, fishery.noise, fishery.gamma).G
    solutions = solve_harvest(fishery.problem)
    policy = HarvestPolicy(fishery, solutions[0])
    return HarvestOracle(
        value=_result(fishery, solutions, policy, gain),
        policy=policy,
        regret=HarvestRegret(solutions[0]),
        fishery=fishery,
        solution=solutions[0],
    )


def _result(
    fishery: Fishery, solutions: tuple[HarvestSolution, ...], policy: HarvestPolicy, gain: float
) -> OracleResult:
    """The value with its grid error, which falls by four when the nodes double.

    Twice the change from half the nodes, or what that from a quarter suggests; never above Reed's
    bound.
    """
    start = np.array([fishery.x0])
    fine, half, quarter = (float(solution.value_at(start)[0]) for solution in solutions)
    solution, value = solutions[0], fine
    grid_error = max(2.0 * abs(fine - half), 0.5 * abs(half - quarter))
    tolerance = grid_error + solution.residual + 1e-10 * abs(value)  # the last: rounding
    bound = reed_value(x0=fishery.x0, G=gain, gamma=fishery.gamma, T=fishery.horizon)
    upper = max(value, min(value + tolerance, bound))
    method = f"dynamic programme, {len(solution.grid.nodes)} points"
    limited = fishery.action == "quota" and 2.0 * fishery.quota_scale < fishery.top
    known = _known_better(fishery)
    if fishery.observation_noise is not None:
        attained = max(_simulated(fishery, player) for player in (policy, _greedy(fishery)))
    else:
        played = escapement_of(fishery, _as_seen(policy)) if limited else policy.escapement
        attained = float(solution.evaluate(played, start)[0]) if known or limited else value
    if limited and (known or value - attained > tolerance):
        known.append("quotas beyond 2 K")  # large stocks cannot be brought down in a year
    note = f"upper bracket, {' and '.join(known)}" if known else ""
    if not note:
        return OracleResult(value, value - tolerance, upper, method, tolerance, True)
    return OracleResult.bracket(
        attained - tolerance, upper, method=method, tolerance=tolerance, note=note
    )


def _known_better(fishery: Fishery) -> list[str]:
    """What the upper end of a bracket grants the manager, in words."""
    granted = []
    if fishery.observation_noise is not None:
        granted.append("full observation")
    if fishery.implementation_noise is not None:
        granted.append("perfect implementation")
    return granted


def _greedy(fishery: Fishery) -> Agent:
    """Asks for all that it can."""
    most = -1.0 if fishery.action == "escapement" else 1.0
    return FunctionAgent(lambda observation: np.full((len(observation), 1), most, np.float32))


def _simulated(fishery: Fishery, policy: Agent) -> float:
    """What a policy earns on what it sees, less four standard errors of the simulation.

    Endless tasks are cut where little is left; the catch from then on is not counted.
    """
    steps, unpaid = fishery.horizon, 0.0
    if steps is None:
        steps = min(int(np.log(NEGLIGIBLE) / np.log(fishery.gamma)) + 1, LONGEST)
        unpaid = fishery.gamma**steps * fishery.extinction_penalty
    total = rollout(fishery, policy, EPISODES, SEED, steps=steps).total
    return float(total.mean() - ERRORS * total.std(ddof=1) / np.sqrt(EPISODES)) - unpaid


def _as_seen(policy: HarvestPolicy) -> Agent:
    """The oracle's policy through its actions, with their limits."""
    return FunctionAgent(lambda observation: policy.predict(observation)[0])


def _answers(agent: Any, fishery: Fishery, x: np.ndarray) -> np.ndarray:
    """Intended escapements of an agent, (years, m, n): one prediction for all years."""
    years = 1 if fishery.horizon is None else fishery.horizon
    year, stock = (a.ravel() for a in np.meshgrid(np.arange(years), x, indexing="ij"))
    zero = np.zeros(len(stock))
    state = StockState(stock, stock, year.astype(float), zero, zero, zero > 0)
    observation = fishery.observation(state, np.empty((len(stock), 0)))
    if hasattr(agent, "action_quantiles"):
        actions = np.asarray(agent.action_quantiles(observation, QUANTILES), dtype=np.float64)
    else:
        actions = np.asarray(agent.predict(observation, deterministic=True)[0])[None].astype(float)
    if actions.shape[1:] != (len(stock), 1) or not np.isfinite(actions).all():
        raise ValueError(
            f"the agent must answer {len(stock)} observations with as many finite actions (1,), "
            f"got shape {actions.shape[1:]}"
        )
    quotas = [fishery.requested(stock, stock, action) for action in actions]
    answers = np.stack([stock - quota for quota in quotas])
    return answers.reshape(len(answers), years, len(x)).transpose(1, 0, 2)
