"""Every bound on regret against what its learner did on random tasks."""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from sea_tasks import Batch, batches
from zoo import MC_ERRORS

from rlopt.agents import online
from rlopt.envs.sea import RandomOrder
from rlopt.envs.sea.play import Trace, play
from rlopt.spaces import BoxSet, Simplex
from rlopt.theory import regret


class Measured(NamedTuple):
    """A bound and what was measured, one entry a run (pathwise) or a task (expectation).

    Attributes:
        bound: its name in `rlopt.theory.regret`.
        learner: what played.
        value: the measured left side; a mean over seeds in expectation.
        spare: standard errors of the value, times `MC_ERRORS`; 0 pathwise.
        limit: the bound.
        trivial: what holds without any theorem.
    """

    bound: str
    learner: str
    value: np.ndarray
    spare: np.ndarray
    limit: np.ndarray
    trivial: np.ndarray

    @property
    def holds(self) -> np.ndarray:
        """Whether the bound holds with four standard errors to spare."""
        return self.value + self.spare <= self.limit + 1e-9 * self.trivial

    @property
    def ratio(self) -> np.ndarray:
        return self.value / np.where(self.limit > 0.0, self.limit, 1.0)

    @property
    def says_something(self) -> np.ndarray:
        return self.limit < self.trivial


def _pathwise(name: str, learner: str, value: Any, limit: Any, trivial: Any) -> Measured:
    shape = np.shape(value)
    full = (np.broadcast_to(np.asarray(a, float), shape) for a in (0.0, limit, trivial))
    return Measured(name, learner, np.asarray(value), *full)


def _mean(name: str, learner: str, value: np.ndarray, limit: Any, trivial: float) -> Measured:
    """Of regrets (tasks, SEEDS)."""
    spare = MC_ERRORS * value.std(axis=1, ddof=1) / np.sqrt(value.shape[1])
    full = (np.broadcast_to(np.asarray(a, float), len(value)) for a in (limit, trivial))
    return Measured(name, learner, value.mean(axis=1), spare, *full)


def errors(trace: Trace) -> np.ndarray:
    """V_T for the hints g_{t-1}, (runs,)."""
    return (np.diff(trace.gradient, axis=0, prepend=0.0) ** 2).sum(axis=(0, -1))


def movement(trace: Trace) -> np.ndarray:
    """S_T, (runs,)."""
    return (np.diff(trace.x, axis=0) ** 2).sum(axis=(0, -1))


def _ogd(b: Batch) -> Iterator[Measured]:
    fixed = b.linearised(
        b.play(online.make("ogd", b.space, runs=b.runs, schedule="sqrt_T", G=b.G, T=b.T))
    )
    yield _pathwise(
        "ogd_constant_step",
        "ogd sqrt_T",
        fixed,
        regret.ogd_constant_step(D=b.D, G=b.G, T=b.T),
        b.trivial,
    )
    falling = b.linearised(b.play(online.make("ogd", b.space, runs=b.runs, G=b.G)))
    yield _pathwise(
        "ogd_sqrt_t", "ogd sqrt_t", falling, regret.ogd_sqrt_t(D=b.D, G=b.G, T=b.T), b.trivial
    )


def _optimistic(b: Batch, delta: float) -> Iterator[Measured]:
    learner = online.make("optimistic_omd", b.space, runs=b.runs, G=b.G, delta=delta)
    trace = b.play(learner)
    known = {"D": b.D, "G": b.G, "delta": delta}
    limit = regret.omd_convex_pathwise(V_T=errors(trace), movement_sq=movement(trace), **known)
    name = f"optimistic_omd delta={delta:g}"
    yield _pathwise("omd_convex_pathwise", name, b.linearised(trace), limit, b.trivial)
    limit = regret.omd_sea_convex(L=b.L, **known, **b.moments)
    yield _mean("omd_sea_convex", name, b.pseudo(trace), limit, b.trivial)


def _implicit(b: Batch) -> Iterator[Measured]:
    learner: Any = online.make("optimistic_omd_implicit", b.space, runs=b.runs, G=b.G, delta=1.0)
    trace = b.play(learner)
    limit = regret.omd_convex_pathwise(D=b.D, G=b.G, V_T=learner.V, delta=1.0)
    yield _pathwise(
        "omd_convex_pathwise", "optimistic_omd_implicit", b.linearised(trace), limit, b.trivial
    )
    s = b.moments
    limit = regret.omd_implicit_sea(
        D=b.D, G=b.G, sigma_tilde_sq=s["sigma_sq"], Sigma_sq=s["Sigma_sq"], delta=1.0
    )
    yield _mean("omd_implicit_sea", "optimistic_omd_implicit", b.pseudo(trace), limit, b.trivial)


def _constant(b: Batch) -> Iterator[Measured]:
    for eta in (0.02, 0.3):
        trace = b.play(online.make("optimistic_omd", b.space, runs=b.runs, eta=eta))
        against = b.best(b.drawn)
        limit = regret.omd_constant_step(
            distance_sq=(against**2).sum(-1),
            eta=eta,
            V_T=errors(trace),
            movement_sq=movement(trace),
        )
        yield _pathwise(
            "omd_constant_step", f"optimistic_omd eta={eta}", b.linearised(trace), limit, b.trivial
        )


def _leader(b: Batch) -> Iterator[Measured]:
    nu = b.L + b.G  # L D^2 + D G with D = sup |x| = 1
    trace = b.play(online.make("oftrl", b.space, runs=b.runs, nu=nu))
    limit = regret.oftrl_pathwise(
        D=1.0, G=b.G, V_T=errors(trace), nu=nu, movement_sq=movement(trace)
    )
    yield _pathwise("oftrl_pathwise", "oftrl", b.linearised(trace), limit, b.trivial)
    limit = regret.oftrl_sea_convex(D=1.0, L=b.L, G=b.G, nu=nu, **b.moments)
    yield _mean("oftrl_sea_convex", "oftrl", b.pseudo(trace), limit, b.trivial)


def _envelope(b: Batch) -> Iterator[Measured]:
    """Steps and hints drawn at random, as a policy at the start of its training would."""
    rng = np.random.default_rng(3)
    learner: Any = online.make("optimistic_omd", b.space, runs=b.runs, G=b.G, delta=1.0)
    own = learner._schedule
    last = np.full(b.runs, np.inf)

    def tuned(t: Any, V: np.ndarray) -> np.ndarray:
        nonlocal last
        last = np.minimum(last, own(t, V) * rng.uniform(0.25, 1.0, b.runs))
        return last

    learner._schedule = tuned
    learner.eta = tuned(learner.t, learner.V)
    points, told = [], []
    for t in range(1, b.T + 1):
        x = learner.ask()
        g = b.gradient(t, x)
        learner.tell(x, gradient=g, hint=g * rng.uniform(size=(b.runs, 1)))
        points.append(x)
        told.append(g)
    trace = Trace(np.array(points), np.array(told), np.zeros(b.T), None)
    limit = regret.omd_envelope(D=b.D, G=b.G, V_T=learner.V, delta=1.0)
    yield _pathwise(
        "omd_envelope", "optimistic_omd, tuned at random", b.linearised(trace), limit, b.trivial
    )


def _curved(b: Batch) -> Iterator[Measured]:
    trace = b.play(online.make("ogd", b.space, runs=b.runs, schedule="strongly_convex", lam=1.0))
    limit = regret.ogd_strongly_convex(G=b.G, lam=1.0, T=b.T)
    yield _pathwise(
        "ogd_strongly_convex", "ogd strongly_convex", b.realised(trace), limit, b.trivial
    )
    known = {"D": b.D, "L": b.L, "G": b.G, "lam": 1.0}
    trace = b.play(online.make("optimistic_omd_sc", b.space, runs=b.runs, lam=1.0))
    limit = regret.omd_sea_strongly_convex(**known, **b.moments, **b.peaks)
    yield _mean("omd_sea_strongly_convex", "optimistic_omd_sc", b.pseudo(trace), limit, b.trivial)
    trace = b.play(online.make("oftl", b.space, runs=b.runs, lam=1.0))
    limit = regret.oftl_sea_strongly_convex(**known, T=b.T, **b.peaks)
    yield _mean("oftl_sea_strongly_convex", "oftl", b.pseudo(trace), limit, b.trivial)


def _exp_concave(b: Batch) -> Iterator[Measured]:
    beta = 0.5 * min(1.0 / (4.0 * b.G * b.D), 1.0 / b.G**2)  # I >= alpha g g' for alpha = 1/G^2
    trace = b.play(online.make("optimistic_omd_exp", b.space, runs=b.runs, G=b.G, beta=beta))
    known = {"D": b.D, "G": b.G, "d": b.d, "beta": beta}
    limit = regret.omd_exp_pathwise(V_T=errors(trace), movement_sq=movement(trace), **known)
    yield _pathwise("omd_exp_pathwise", "optimistic_omd_exp", b.realised(trace), limit, b.trivial)
    limit = regret.omd_exp_sea(L=b.L, **known, **b.moments)
    yield _mean("omd_exp_sea", "optimistic_omd_exp", b.pseudo(trace), limit, b.trivial)


def _dynamic(b: Batch) -> Iterator[Measured]:
    eps = 1.0 / (8.0 * b.D**2 * b.L)
    learner: Any = online.make("dynamic_omd", b.space, runs=b.runs, G=b.G, L=b.L, T=b.T, eps=eps)
    N = learner.points.shape[-2]
    value = b.pseudo(b.play(learner), dynamic=True)
    limit = regret.dynamic_omd_sea(D=b.D, L=b.L, G=b.G, N=N, path=b.path, eps=eps, **b.moments)
    yield _mean("dynamic_omd_sea", "dynamic_omd", value, limit, b.trivial)


def _experts() -> Iterator[Measured]:
    """Losses in [0, 1]: uniform, Bernoulli and alternating ones."""
    rng = np.random.default_rng(11)
    for N, T in ((2, 50), (2, 1000), (8, 200), (8, 1000)):
        losses = rng.random((T, 60, N))
        losses[:, 20:40] = losses[:, 20:40] < rng.random((20, N))
        losses[:, 40:, 0] = np.arange(T)[:, None] % 2
        losses[:, 40:, 1:] = 1.0 - losses[:, 40:, :1]
        for name in ("hedge", "optimistic_hedge"):
            for eta in (np.sqrt(8.0 * np.log(N) / T), 0.5):
                trace = play(online.make(name, Simplex(N), runs=60, eta=eta), losses)
                value = trace.loss.sum(axis=0) - losses.sum(axis=0).min(axis=-1)
                if name == "hedge":
                    yield _pathwise("hedge", "hedge", value, regret.hedge(N=N, T=T, eta=eta), T)
                    continue
                V = (np.diff(losses, axis=0, prepend=0.0) ** 2).max(axis=-1).sum(axis=0)
                S = (np.abs(np.diff(trace.x, axis=0)).sum(axis=-1) ** 2).sum(axis=0)
                limit = regret.optimistic_hedge(N=N, eta=eta, V_T=V, movement_sq=S)
                yield _pathwise("optimistic_hedge", "optimistic_hedge", value, limit, T)


def _games() -> Iterator[Measured]:
    """Self-play of optimistic Hedge on random matrices in [0, 1]."""
    rng = np.random.default_rng(5)
    A, T = rng.random((200, 4, 5)), 200
    row, column = (
        online.make("optimistic_hedge", Simplex(n), runs=200, eta=0.2) for n in A.shape[1:]
    )
    points, losses = [], []
    for _ in range(T):
        x, y = row.ask(), column.ask()
        l_x, l_y = np.einsum("bij,bj->bi", A, y), -np.einsum("bij,bi->bj", A, x)
        row.tell(x, gradient=l_x)
        column.tell(y, gradient=l_y)
        points.append((x, y))
        losses.append((l_x, l_y))
    x_mean, y_mean = (np.mean(side, axis=0) for side in zip(*points, strict=True))
    gap = np.einsum("bij,bi->bj", A, x_mean).max(-1) - np.einsum("bij,bj->bi", A, y_mean).min(-1)
    regrets = []
    for side in (0, 1):
        x, cost = (np.array([pair[side] for pair in seq]) for seq in (points, losses))
        regrets.append((x * cost).sum(axis=(0, -1)) - cost.sum(axis=0).min(axis=-1))
    limit = [
        regret.game_gap(regret_x=float(one), regret_y=float(two), T=T)
        for one, two in zip(*regrets, strict=True)
    ]
    yield _pathwise("game_gap", "optimistic_hedge", gap, limit, 1.0)


def _corner() -> Iterator[Measured]:
    """Where the bound of gradient descent is attained, at 200 horizons."""
    values = []
    for T in range(1, 201):
        space = BoxSet(np.full(T, -2.0 / np.sqrt(T)), np.zeros(T))
        trace = play(online.make("ogd", space, schedule="sqrt_T", G=0.5, T=T), 0.5 * np.eye(T))
        values.append(trace.regret(space.low))
    limits = [regret.ogd_constant_step(D=2.0, G=0.5, T=T) for T in range(1, 201)]
    trivial = np.arange(1, 201) * 1.0
    yield _pathwise("ogd_constant_step", "ogd, from a corner", np.array(values), limits, trivial)


def _sums() -> Iterator[Measured]:
    """Bounds on sigma_sq and Sigma_sq: corruption, and random orders of linear losses."""
    for b in batches(quadratic=False):
        C = np.linalg.norm(b.centres - b.centres[:1], axis=-1).sum(axis=0)
        limit = regret.corrupted_Sigma_sq(G=b.G, C=C)
        yield _pathwise("corrupted_Sigma_sq", "corruption", b.moments["Sigma_sq"], limit, 4.0 * b.T)
    rng = np.random.default_rng(9)
    for n in (2, 5, 30, 100):
        for _ in range(50):
            z = rng.standard_normal((n, 3))
            z /= np.linalg.norm(z, axis=1).max()
            order = RandomOrder(z)
            path = order.path(np.array([rng.permutation(n) for _ in range(8)]))
            limit = regret.random_order_Sigma_sq(G=1.0)
            yield _pathwise("random_order_Sigma_sq", "random order", path.Sigma_sq, limit, 4.0 * n)
            limit = regret.random_order_sigma_sq(
                n=n, sigma_sq=order.first, sigma_tilde_sq=order.first
            )
            yield _mean(
                "random_order_sigma_sq",
                "random order",
                np.atleast_2d(path.sigma_sq),
                limit,
                4.0 * n,
            )


@cache
def measurements() -> tuple[Measured, ...]:
    """All of them, one row a bound and learner."""
    rows: list[Measured] = [*_experts(), *_games(), *_corner(), *_sums()]
    for b in batches(quadratic=False):
        for measure in (_ogd, _constant, _leader, _implicit, _envelope):
            rows += measure(b)
        rows += _optimistic(b, delta=1.0)
    for b in batches(quadratic=True):
        for measure in (_curved, _exp_concave, _leader, _dynamic, _implicit):
            rows += measure(b)
        rows += _optimistic(b, delta=50.0 * (b.D * b.L) ** 2)
    together: dict[tuple[str, str], list[Measured]] = {}
    for row in rows:
        together.setdefault((row.bound, row.learner), []).append(row)
    return tuple(
        Measured(*key, *(np.concatenate(parts) for parts in list(zip(*group, strict=True))[2:]))
        for key, group in together.items()
    )
