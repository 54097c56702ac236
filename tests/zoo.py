"""Environments, policies and tolerances that the tests of invariants are products over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Box

from rlopt.agents import make
from rlopt.envs import FuncEnv, FuncVectorEnv, NoiseSpec
from rlopt.envs.fishery import (
    Allen,
    BevertonHolt,
    Deterministic,
    Fishery,
    Logistic,
    LognormalNoise,
    May,
    Myers,
    NormalNoise,
    Ricker,
    UniformNoise,
)
from rlopt.envs.registry import ENVIRONMENTS as REGISTERED
from rlopt.envs.registry import make_func
from rlopt.envs.sea.task import SEATask
from rlopt.theory.arrays import namespace

EXACT = 1e-12
SOLVER = 1e-6
# The GPDP paper's policies (figure 4 of the archived data): escapements at its 50 nodes.
PAPER_GRID = np.linspace(0.0, 15.0, 50)
_NODE = np.arange(50)
ARCHIVED = {
    "True": PAPER_GRID[np.where(_NODE < 15, 0, np.minimum(_NODE, 22))],
    "GP": PAPER_GRID[np.where(_NODE < 20, 0, np.where(_NODE < 28, np.minimum(_NODE, 21), 22))],
}
MC_ERRORS = 4.0  # standard errors: a sound test fails once in 16,000 runs, and seeds are fixed
IDS = sorted(REGISTERED)
FUNCS: dict[str, FuncEnv] = {env_id.split("/")[1]: make_func(REGISTERED[env_id]) for env_id in IDS}
SEA: dict[str, SEATask] = {k: f for k, f in FUNCS.items() if isinstance(f, SEATask)}
FISHERY_IDS = [i for i in IDS if isinstance(FUNCS[i.split("/")[1]], Fishery)]  # of one known stock


def params(table: Mapping[str, Any]) -> Any:
    """The entries of a table as pytest's parameters, named by their keys."""
    return [pytest.param(value, id=key) for key, value in table.items()]


class Count(FuncEnv):
    """Adds the action to the state and pays 1, until the state reaches 3; no noise declared."""

    observation_space = Box(-10.0, 10.0, (1,), np.float64)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def initial(self, noise: Any) -> Any:
        assert noise.shape[1:] == (0,)
        return namespace(noise).zeros((len(noise), 1), dtype=noise.dtype)

    def transition(self, state: Any, action: Any, noise: Any) -> Any:
        assert noise.shape == (len(state), 0)
        return state + action

    def observation(self, state: Any, noise: Any) -> Any:
        assert noise.shape == (len(state), 0)
        return state

    def reward(self, state: Any, action: Any, next_state: Any) -> Any:
        return namespace(state).ones(len(state), dtype=state.dtype)

    def terminal(self, state: Any) -> Any:
        return state[:, 0] >= 3.0


class Walk(NamedTuple):
    """A drifting point: place (n, 2) and age (n,)."""

    place: Any
    age: Any


@dataclass(frozen=True)
class Drift(FuncEnv):
    """Two parts of noise in a step, and noise in the start and in what is seen."""

    limit: float = 2.0
    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Box(-1.0, 1.0, (2,), np.float32)
    noise_spec = NoiseSpec(("uniform", 2), (("normal", 2), ("uniform", 1)), ("normal", 2))
    gamma = 0.9
    horizon = 9

    def initial(self, noise: Any) -> Walk:
        return Walk(noise - 0.5, noise[:, 0] * 0.0)

    def transition(self, state: Walk, action: Any, noise: Any) -> Walk:
        return Walk(state.place + action + noise[:, :2] * noise[:, 2:], state.age + 1.0)

    def observation(self, state: Walk, noise: Any) -> Any:
        return state.place + 0.1 * noise

    def reward(self, state: Walk, action: Any, next_state: Walk) -> Any:
        return -(next_state.place**2).sum(-1)

    def terminal(self, state: Walk) -> Any:
        return abs(state.place[:, 0]) > self.limit

    def state_info(self, state: Walk) -> dict[str, Any]:
        return {"age": state.age}

    def transition_info(self, state: Walk, action: Any, next_state: Walk) -> dict[str, Any]:
        return {"moved": next_state.place - state.place}


ALLEN = Fishery(growth=Allen(), noise=LognormalNoise(0.05), x0=10.0, gamma=0.9)
LOGISTIC = Fishery(growth=Logistic(), noise=NormalNoise(0.1), x0=0.75, gamma=1.0, horizon=6)
FRAGILE = Fishery(
    growth=Myers(),
    noise=LognormalNoise(0.3),
    x0=1.5,
    gamma=0.9,
    extinct_below=0.6,
    extinction_penalty=2.0,
)
ERRANT = Fishery(
    growth=Ricker(0.8, 2.0),
    noise=UniformNoise(0.3),
    x0=1.0,
    gamma=0.9,
    implementation_noise=LognormalNoise(0.2),
)
BLURRED = Fishery(
    growth=BevertonHolt(0.5, 3.0),
    noise=LognormalNoise(0.2, mean_one=True),
    x0=2.0,
    gamma=0.9,
    action="escapement",
    observation_noise=LognormalNoise(0.3),
)

FISHERIES: dict[str, Fishery] = {
    **{name: func for name, func in FUNCS.items() if isinstance(func, Fishery)},
    "allen-quota": Fishery(
        growth=Allen(), noise=UniformNoise(0.05), x0=10.0, gamma=0.9, action="quota"
    ),
    "allen-escapement": Fishery(
        growth=Allen(), noise=NormalNoise(0.05), x0=10.0, gamma=0.9, action="escapement"
    ),
    "logistic-6-years": LOGISTIC,
    "may-certain": Fishery(growth=May(), noise=Deterministic(), x0=0.75, gamma=0.95),
    "ricker-mean-one-quota": Fishery(
        growth=Ricker(0.9, 5.0),
        noise=LognormalNoise(0.2, mean_one=True),
        x0=4.0,
        horizon=5,
        action="quota",
    ),
    "fragile": FRAGILE,
    "fragile-4-years": Fishery(
        growth=Allen(1.0, 4.0, 1.0),
        noise=UniformNoise(0.8),
        x0=3.0,
        horizon=4,
        extinct_below=1.0,
        extinction_penalty=3.0,
        action="escapement",
    ),
    "errant": ERRANT,
    "blurred": BLURRED,
    "errant-and-blurred-quota": Fishery(
        growth=Logistic(0.6, 2.0),
        noise=LognormalNoise(0.1),
        x0=1.0,
        gamma=0.9,
        action="quota",
        implementation_noise=UniformNoise(0.5),
        observation_noise=NormalNoise(0.2),
    ),
}
ENVIRONMENTS: dict[str, FuncEnv] = {
    "count": Count(),
    "drift": Drift(),
    **FUNCS,
    **FISHERIES,
}
NUMPY_ONLY = "rlopt.envs.sea."
TORCHED = {k: f for k, f in ENVIRONMENTS.items() if NUMPY_ONLY not in type(f).__module__}
SEEN = {key: f for key, f in FISHERIES.items() if f.observation_noise is None}
PLAIN = {key: f for key, f in SEEN.items() if f.implementation_noise is None}


def torn(x: np.ndarray) -> np.ndarray:
    """A policy stock -> escapement with jumps, and neither monotone nor wise."""
    return np.where(np.floor(5.0 * x) % 3 == 0, 0.2 * x, np.where(x > 1.0, 0.9 * x, 0.5 * x + 0.1))


Policy = Callable[[np.ndarray], np.ndarray]
POLICIES: dict[str, Policy] = {
    "everything": np.zeros_like,
    "nothing": partial(np.multiply, 1.0),
    "half": partial(np.multiply, 0.5),
    "above-one": partial(np.minimum, 1.0),
    "more-than-there-is": partial(np.multiply, 2.0),
    "torn": torn,
}
RULES = [
    *("random", "do_nothing", "oracle", "40-10", "60-20", "dfo_ramp"),
    *("constant_quota", "constant_fraction", "constant_escapement"),
]


class Totals(NamedTuple):
    """Discounted sums over episodes, each (n,), and the least regret of any step."""

    reward: np.ndarray
    regret: np.ndarray
    least_regret: float
    most_regret: float


def simulated(env: FuncEnv, agent: Any, n: int, *, seed: int = 1, end: float = 1e-4) -> Totals:
    """Play one episode in n copies; endless ones stop when the discount falls below `end`."""
    vector = FuncVectorEnv(env, num_envs=n, autoreset_mode="next_step")
    observation, _ = vector.reset(seed=seed)
    alive, state, discount = np.ones(n, bool), None, 1.0
    reward_sum, regret_sum, least, most = np.zeros(n), np.zeros(n), np.inf, -np.inf
    while alive.any() and discount > end:
        action, state = agent.predict(observation, state, ~alive, deterministic=False)
        observation, reward, terminated, truncated, info = vector.step(action)
        regret = info.get("regret", np.zeros(n))
        reward_sum += discount * alive * reward
        regret_sum += discount * alive * regret
        least, most = min(least, regret[alive].min()), max(most, regret[alive].max())
        alive &= ~(terminated | truncated)
        discount *= env.gamma
    return Totals(reward_sum, regret_sum, float(least), float(most))


def agrees(samples: np.ndarray, truth: float, bias: float = 0.0) -> bool:
    """Whether a mean lies within MC_ERRORS standard errors (and a known bias) of the truth."""
    error = samples.std(ddof=1) / np.sqrt(len(samples))
    return bool(abs(samples.mean() - truth) <= MC_ERRORS * error + bias + EXACT)


def acting(fishery: Fishery, policy: Policy) -> Any:
    """A policy stock -> escapement as an Agent."""
    from rlopt.envs import policy as agent

    def act(observation: np.ndarray) -> np.ndarray:
        stock, _ = fishery.stock_and_year(observation)
        return fishery.action_for(stock, policy(stock))

    return agent(act)


def made(name: str, fishery: FuncEnv) -> Any:
    """An agent by name, with a seed."""
    return make(name, fishery, seed=0)
