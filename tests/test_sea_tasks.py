"""Online convex tasks against their definitions: losses, moments, minimisers, regret."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from zoo import EXACT, MC_ERRORS, SEA, agrees, params, simulated

from rlopt.agents import make
from rlopt.envs import FuncGymEnv, FuncVectorEnv
from rlopt.envs.rollout import draw_noise
from rlopt.envs.sea.linear import Experts, Iid, Linear, RandomOrder, Switching
from rlopt.envs.sea.quadratic import Coordinates, Corrupted, Drift, Piecewise, Target
from rlopt.envs.sea.rounds import unseen
from rlopt.envs.sea.task import SEATask

T = 40
OBLIVIOUS: dict[str, SEATask] = {
    "coordinates": Coordinates(horizon=T),
    "coordinates-of-sachs": Coordinates(horizon=T, d=4, r=0.0),
    "corrupted": Corrupted(horizon=T, every=4, comparator="dynamic"),
    "drift": Drift(horizon=T, period=23.0),
    "experts": Experts(horizon=T),
    "iid": Iid(horizon=T),
    "piecewise": Piecewise(horizon=T, pieces=3, comparator="static"),
    "switching": Switching(horizon=T),
    "target": Target(horizon=T),
}
DRAWS = 20_000
SHORT: dict[str, SEATask] = {
    **OBLIVIOUS,
    "random-order": RandomOrder(horizon=T),
    "orthogonal": replace(SEA["SEAOrthogonal-v0"], horizon=T),
    "game": replace(SEA["SEAMatrixGame-v0"], horizon=T),
}


def points_of(task: SEATask, n: int, seed: int = 0) -> np.ndarray:
    """Points inside the set and on its edge, (n, d)."""
    spread = np.random.default_rng(seed).standard_normal((n, task.space.dimension))
    return task.space.project(spread * np.linspace(0.0, 2.0, n)[:, None])


def draws(task: SEATask, t: int, n: int = DRAWS) -> np.ndarray:
    """Samples z_t, (n, m)."""
    rng = np.random.default_rng(t)
    noise = draw_noise(task.noise_spec, "step", n, rng)
    return task.sample(np.full(n, float(t)), np.empty((n, 0)), noise)


# --- losses and their laws ---


@pytest.mark.parametrize("task", params(OBLIVIOUS))
def test_gradients_are_those_of_the_losses(task: SEATask) -> None:
    """By central differences, which are exact for quadratics; and within G and the loss bounds."""
    x = points_of(task, 60)
    z = draws(task, 4, 60)
    low, high = task.loss_bounds
    assert (task.loss(z, x) >= low - EXACT).all() and (task.loss(z, x) <= high + EXACT).all()
    gradient = task.gradient(z, x)
    assert np.linalg.norm(gradient, axis=1).max() <= task.G + EXACT
    for i, step in enumerate(1e-3 * np.eye(task.space.dimension)):
        slope = (task.loss(z, x + step) - task.loss(z, x - step)) / 2e-3
        np.testing.assert_allclose(gradient[:, i], slope, atol=1e-10)


@pytest.mark.parametrize("task", params(OBLIVIOUS))
def test_G_is_the_steepest_gradient(task: SEATask) -> None:
    """Attained at the edge; only nearly where target and noise (or all experts) rarely line up."""
    loose = {Drift: 0.85, Experts: 0.9}.get(type(task), 1.0 - 1e-9)
    steepest = 0.0
    for t in (1, 3, 4):
        z = draws(task, t, 4000)
        slope = task.gradient(z, np.zeros((len(z), task.space.dimension)))
        x = task.space.project(9.0 * slope)  # quadratics are steepest on the far side
        steepest = max(steepest, np.linalg.norm(task.gradient(z, x), axis=1).max())
    if isinstance(task, Coordinates):
        steepest = np.abs(task.gradient(z, -z)).max()
    assert loose * task.G <= steepest <= task.G + EXACT


@pytest.mark.parametrize("task", params(OBLIVIOUS))
def test_mean_losses_are_means(task: SEATask) -> None:
    for t in (1, 4, T):
        z = draws(task, t)
        for x in points_of(task, 4, t):
            mean = task.mean_loss(unseen(np.array([float(t)])), x[None])[0]
            assert agrees(task.loss(z, np.tile(x, (DRAWS, 1))), mean)


@pytest.mark.parametrize("c", [0.3, 1.5, 2.0])
def test_G_under_corruption(c: float) -> None:
    """Beyond c = 2 r the tilted rounds are the steep ones: 1 + s + c - r."""
    task = Corrupted(horizon=T, d=3, every=2, c=c)
    found = 0.0
    for t in (1, 2):
        z = draws(task, t, 500)
        for x in (task.diagonal, -task.diagonal, *points_of(task, 20, t)):
            lengths = np.linalg.norm(task.gradient(z, np.tile(x, (500, 1))), axis=1)
            found = max(found, float(lengths.max()))
    assert 0.999 * task.G <= found <= task.G + EXACT
    np.testing.assert_allclose(task.G, 1.3 + max(0.6, c - 0.6))


def mean_gradient(task: SEATask, t: int, x: np.ndarray) -> np.ndarray:
    """Of F_t, by central differences."""
    rounds = unseen(np.full(len(x), float(t)))
    steps = 1e-3 * np.eye(task.space.dimension)
    slopes = [
        (task.mean_loss(rounds, x + step) - task.mean_loss(rounds, x - step)) / 2e-3
        for step in steps
    ]
    return np.stack(slopes, axis=1)


@pytest.mark.parametrize("task", params(OBLIVIOUS))
def test_sigma_is_the_largest_variance(task: SEATask) -> None:
    """Monte Carlo over points; the far end of the ball is where coordinates vary most."""
    edge = task.space.project(-9.0 * task.best_fixed - 1e-9)
    if not task.best_fixed.any():
        edge = task.space.project(np.full(task.space.dimension, 9.0))
    for t in (1, 4, T):
        z = draws(task, t)
        found = []
        for x in (edge, *points_of(task, 3, t)):
            gradient = task.gradient(z, np.tile(x, (DRAWS, 1)))
            away = gradient - mean_gradient(task, t, x[None])
            found.append((away**2).sum(axis=1))
        assert agrees(found[0], task.sigma_sq_t[t - 1], 1e-9)
        for squares in found[1:]:
            error = MC_ERRORS * squares.std() / DRAWS**0.5
            assert squares.mean() <= task.sigma_sq_t[t - 1] + error + 1e-9
    assert task.sigma_sq == pytest.approx(task.sigma_sq_t.sum()) and task.exact


@pytest.mark.parametrize("task", params(OBLIVIOUS))
def test_Sigma_is_the_largest_drift(task: SEATask) -> None:
    x = points_of(task, 20)
    assert task.Sigma_sq_t.shape == (T,) and task.Sigma_sq_t[0] == 0.0
    for t in range(2, T + 1):
        drift = ((mean_gradient(task, t, x) - mean_gradient(task, t - 1, x)) ** 2).sum(axis=1)
        assert drift.max() == pytest.approx(task.Sigma_sq_t[t - 1], abs=1e-8)
    assert task.Sigma_sq == pytest.approx(task.Sigma_sq_t.sum())


def test_closed_forms_of_the_moments() -> None:
    """By hand."""
    r, w = 0.6, 2.0 * np.pi / 500.0
    assert Drift().Sigma_sq_t[1:] == pytest.approx((2.0 * r * np.sin(w / 2.0)) ** 2)
    assert Piecewise(pieces=4).Sigma_sq == pytest.approx(3 * 1.2**2)
    assert Corrupted(every=10, c=0.5).Sigma_sq == pytest.approx(0.25 * 199)
    assert Switching(horizon=100).Sigma_sq == pytest.approx(4.0 * 99)
    assert Iid(horizon=100, s=0.5).sigma_sq == pytest.approx(25.0)
    assert Experts(horizon=100, N=8, gap=0.2).sigma_sq == pytest.approx(100 * (2.0 - 0.04))
    assert Experts(horizon=100, N=8, gap=0.2).Sigma_sq == pytest.approx(0.08)
    assert Coordinates(horizon=1, d=4, r=0.0).sigma_sq == pytest.approx(3.0 / 16.0)


def test_random_order_against_its_paths() -> None:
    """Expectations by round are the paths' means; they sum up to Sachs et al. 2022, section 4."""
    task = RandomOrder(horizon=12, d=3)
    s1 = ((task.vectors - task.vectors.mean(axis=0)) ** 2).sum() / 12.0
    harmonic = sum(1.0 / k for k in range(1, 13))
    assert task.sigma_sq == pytest.approx(s1 * 12.0 * (12.0 - harmonic) / 11.0, rel=1e-12)
    assert task.Sigma_sq == pytest.approx(s1, rel=1e-12)
    drawn = task.secrets(np.random.default_rng(0).random((4000, 12)))
    for t in (1, 5, 12):  # of the round: the sums up to it less those before
        rest = task.vectors[drawn[:, t - 1 :].astype(int)]
        variance = ((rest - rest.mean(axis=1, keepdims=True)) ** 2).sum(axis=-1).mean(axis=1)
        assert agrees(variance, task.sigma_sq_t[t - 1])
        if t > 1:
            before = task.vectors[drawn[:, t - 2 :].astype(int)].mean(axis=1)
            assert agrees(((rest.mean(axis=1) - before) ** 2).sum(-1), task.Sigma_sq_t[t - 1])


def test_the_moving_bound_of_random_order_by_enumeration() -> None:
    """-sum sqrt(E |mean of what is left|^2), over all orders; no policy expects less."""
    task = RandomOrder(horizon=5, d=2, mu=0.4)
    orders = np.array(list(permutations(range(5))))
    bound, best = 0.0, 0.0
    for t in range(5):
        left = task.vectors[orders[:, t:]].mean(axis=1)
        lengths = np.linalg.norm(left, axis=1)
        bound -= np.sqrt((lengths**2).mean())
        best -= lengths.mean()
    assert task.dynamic_total == pytest.approx(bound, rel=1e-12)
    assert task.dynamic_total < best < task.static_total


def test_random_order_plays_each_vector_once_and_knows_what_is_left() -> None:
    task = RandomOrder(horizon=9, d=2)
    state = task.initial(np.random.default_rng(1).random((5, 9)))
    shown: list[np.ndarray] = []
    for _ in range(9):
        before = state
        state = task.transition(before, np.full((5, 2), 0.3), np.empty((5, 0)))
        left = (task.vectors.sum(axis=0) - np.sum(shown, axis=0)) / (9 - len(shown))
        np.testing.assert_allclose(state.mean, np.sum(left * 0.3, axis=-1) * np.ones(5), atol=EXACT)
        shown.append(state.z)
    for row in np.stack(shown, axis=1):
        np.testing.assert_array_equal(np.sort(row, axis=0), np.sort(task.vectors, axis=0))
    assert len({tuple(z[:, 0]) for z in np.stack(shown, axis=1)}) == 5  # five orders


# --- comparators and regret ---


@pytest.mark.parametrize("task", params(OBLIVIOUS))
def test_no_point_beats_the_comparators(task: SEATask) -> None:
    """By random points near and far, for every round and for the sum over the rounds."""
    n, rounds = 300, task.rounds
    best = task.minimiser(rounds)
    far, near = points_of(task, n), np.random.default_rng(1).standard_normal((n, best.shape[1]))
    for t in range(T):
        candidates = np.concatenate([far, task.space.project(best[t] + 0.01 * near)])
        at = unseen(np.full(2 * n, t + 1.0))
        least = task.mean_loss(unseen(np.array([t + 1.0])), best[t : t + 1])[0]
        assert task.mean_loss(at, candidates).min() >= least - EXACT
    candidates = np.concatenate([far, task.space.project(task.best_fixed + 0.01 * near)])
    sums = sum(task.mean_loss(unseen(np.full(2 * n, t + 1.0)), candidates) for t in range(T))
    assert np.min(sums) >= task.static_total - 1e-11
    assert task.space.holds(best).all() and task.space.holds(task.best_fixed[None]).all()
    assert task.dynamic_total <= task.static_total + 1e-11


def played(
    task: SEATask, n: int, seed: int = 3, push: float = 1.0
) -> tuple[np.ndarray, np.ndarray, Any]:
    """Samples (T, n, m), points (T, n, d) and the last info of n episodes of random actions."""
    rng = np.random.default_rng(seed)
    state = task.initial(draw_noise(task.noise_spec, "initial", n, rng))
    moves = np.random.default_rng(seed + 1)
    samples, points = [], []
    for _ in range(task.horizon):
        action = push * moves.uniform(-1.0, 1.0, (n, task.space.dimension))
        before = state
        state = task.transition(before, action, draw_noise(task.noise_spec, "step", n, rng))
        samples.append(state.z)
        points.append(state.x)
    return np.array(samples), np.array(points), task.transition_info(before, action, state)


@pytest.mark.parametrize("task", params(SHORT))
def test_infos_are_what_they_say(task: SEATask) -> None:
    """Sums again, from the samples and the points; hindsight by projected gradient descent."""
    z, x, info = played(task, 3)
    gradients = np.array([task.gradient(a, b) for a, b in zip(z, x, strict=True)])
    losses = np.array([task.loss(a, b) for a, b in zip(z, x, strict=True)])
    moved = np.diff(gradients, axis=0, prepend=0.0)
    np.testing.assert_allclose(info["V"], (moved**2).sum(axis=(0, 2)), rtol=1e-10)
    path = np.linalg.norm(np.diff(x, axis=0), axis=2).sum(axis=0)
    np.testing.assert_allclose(info["path"], path, rtol=1e-10)
    np.testing.assert_allclose(info["loss"], losses[-1], atol=EXACT)
    D, V = task.space.diameter, info["V"]
    np.testing.assert_allclose(info["bound_T1"], 2.5 * D * np.sqrt(V) + D / 2 + D * task.G)
    least = losses.sum(axis=0) - info["regret_static"]
    step = 1e4 if isinstance(task, Linear) else 1.0 / T
    for k in range(3):
        u = np.zeros(task.space.dimension)
        for _ in range(300):
            u = task.space.project(
                u - step * task.gradient(z[:, k], np.tile(u, (T, 1))).sum(axis=0)
            )
        assert least[k] == pytest.approx(task.loss(z[:, k], np.tile(u, (T, 1))).sum(), abs=1e-9)


@pytest.mark.parametrize("task", params(SHORT))
def test_regret_adds_up_to_the_gap(task: SEATask) -> None:
    """E sum regret = V* - V^pi, whatever is played; here the sums of both have the mean V*."""
    totals = simulated(task, make("random", task, seed=0), 2000)
    value = task.oracle().value
    assert agrees(totals.reward + totals.regret, value.value, value.tolerance)


@pytest.mark.parametrize("task", params({k: v for k, v in SHORT.items() if k != "orthogonal"}))
def test_the_comparator_has_no_regret(task: SEATask) -> None:
    totals = simulated(task, make("oracle", task), 500)
    assert abs(totals.regret).max() < 1e-9
    assert agrees(totals.reward, task.oracle().value.value, 1e-9)


def test_pseudo_and_dynamic_regret_are_means_of_realised_ones() -> None:
    """Against the same points, sums of f_t and of F_t have the same mean."""
    for comparator, key in (("static", "regret_pseudo"), ("dynamic", "regret_dynamic")):
        task = Drift(horizon=T, period=23.0, comparator=comparator)
        env = FuncVectorEnv(task, num_envs=2000)
        env.reset(seed=1)
        realised = np.zeros(2000)
        for t in range(T):
            *_, info = env.step(points_of(task, 2000, t))
            realised += info["regret"]
        assert agrees(realised - info[key], 0.0)


@pytest.mark.parametrize("task", params(OBLIVIOUS))
def test_looked_up_means_are_those_of_the_round(task: SEATask) -> None:
    """By comparing with F_t itself, half way through, where a wrong round would show."""
    _, x, _ = played(task, 2)
    env = FuncVectorEnv(task, num_envs=2)
    env.reset(seed=0)
    pseudo, dynamic = np.zeros(2), np.zeros(2)
    for t in range(1, 14):
        rounds = unseen(np.full(2, float(t)))
        *_, info = env.step(x[t])
        mean = task.mean_loss(rounds, x[t])
        pseudo += mean - task.mean_loss(rounds, np.tile(task.best_fixed, (2, 1)))
        dynamic += mean - task.mean_loss(rounds, task.minimiser(rounds))
        np.testing.assert_allclose(info["F"], mean, atol=EXACT)
        np.testing.assert_allclose(info["regret_pseudo"], pseudo, atol=1e-11)
        np.testing.assert_allclose(info["regret_dynamic"], dynamic, atol=1e-11)
        assert info["sigma_sq_t"][0] == task.sigma_sq_t[t - 1]
        assert info["Sigma_sq_t"][0] == task.Sigma_sq_t[t - 1]


def test_drifting_tasks_can_have_negative_static_regret() -> None:
    """Following the target beats every fixed point; the oracle says so in its note."""
    task = Piecewise(comparator="static")
    value = task.oracle().value
    assert value.value == value.lower < value.upper == pytest.approx(-45.0) and not value.exact
    assert "may be negative" in value.note
    moving = make("oracle", Piecewise())
    assert simulated(task, moving, 50).regret.max() < -100.0


# --- the Gymnasium side ---


@pytest.mark.parametrize("name", sorted(set(SHORT) - {"orthogonal", "game"}))
def test_sequences_do_not_depend_on_the_actions(name: str) -> None:
    first, second = (played(SHORT[name], 4, push=push)[0] for push in (0.1, 5.0))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("feedback", ["full_grad", "loss_only"])
def test_observations_show_answers_and_nothing_else(feedback: str) -> None:
    """Gradient, point, loss, t / T; `answers` reads them back."""
    task = Target(horizon=T, feedback=feedback)
    env = FuncGymEnv(task)
    start, _ = env.reset(seed=2)
    assert not start.any()
    seen, reward, _, _, info = env.step(np.full(5, 0.2))
    shown = np.concatenate([np.full(5, 0.2), [-reward, 1.0 / T]])
    told = task.answers(seen[None])
    if feedback == "full_grad":
        gradient = seen[:5]
        assert 0.5 * gradient @ gradient == pytest.approx(-reward)  # that of 1/2 |x - z|^2
        shown = np.concatenate([gradient, shown])
        np.testing.assert_array_equal(told["gradient"][0], gradient)
    np.testing.assert_allclose(seen, shown, atol=EXACT)
    assert told["loss"][0] == info["loss"] and set(told) <= {"loss", "gradient"}


def test_points_outside() -> None:
    """Projected, refused, or charged G times the distance."""
    action = np.array([0.9, 0.9, 0.9, 0.0, 0.0])
    nearest, off = action / np.linalg.norm(action), np.linalg.norm(action) - 1.0
    results = {}
    for mode in ("project", "penalise"):
        env = FuncGymEnv(Target(on_infeasible=mode))
        env.reset(seed=0)
        _, reward, _, _, info = env.step(action)
        results[mode] = reward, info["regret"]
        np.testing.assert_allclose(info["x"], nearest, atol=EXACT)
        assert info["projected"] and info["loss"] == pytest.approx(-results["project"][0])
    assert results["project"][0] - results["penalise"][0] == pytest.approx(1.9 * off)
    assert results["penalise"][1] - results["project"][1] == pytest.approx(1.9 * off)
    env = FuncGymEnv(Target(on_infeasible="raise"))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"Target: action must be a point of Ball.* 0.559 outside"):
        env.step(action)
    env.step(nearest)
    penalised = Target(horizon=T, on_infeasible="penalise")
    totals = simulated(penalised, make("random", penalised, seed=0), 2000)
    assert agrees(totals.reward + totals.regret, penalised.oracle().value.value)


def test_action_boxes_and_starts() -> None:
    for task in SEA.values():
        assert (abs(task.action_space.low) == 1.0).all() and task.action_space.dtype == np.float64
        idle = task.idle_action(np.zeros((2, *task.observation_space.shape)))
        np.testing.assert_allclose(idle, np.tile(task.space.project(0.0 * idle[0]), (2, 1)))


def test_constants_are_named_as_learners_take_them() -> None:
    constants = {"G": 1.9, "L": 1.0, "lam": 1.0, "alpha": 1.9**-2, "T": 1000}
    assert Target().constants == pytest.approx(constants)
    assert Iid().constants == {"G": 1.0, "T": 1000}
    assert Coordinates(d=4, r=0.0).constants == {
        **{"G": 1.0, "L": 0.25, "lam": 0.25},
        **{"alpha": 1.0, "T": 1000},
    }


BAD: Any = [
    (Target, {"horizon": 0}, "Target: horizon must be a whole number >= 1, got 0"),
    (Target, {"comparator": "statc"}, "did you mean 'static'"),
    (Target, {"on_infeasible": "clip"}, "on_infeasible must be one of"),
    (Target, {"feedback": "experts"}, "feedback must be one of"),
    (Target, {"r": 1.5}, r"Target: r must be in \[0, 1\], got 1.5"),
    (Target, {"s": -1.0}, "Target: s must be >= 0, got -1.0"),
    (Target, {"d": 2.5}, "Target: d must be a whole number >= 1, got 2.5"),
    (Drift, {"d": 1}, "Drift: d must be a whole number >= 2, got 1"),
    (Drift, {"period": 0.0}, "Drift: period must be > 0"),
    (Piecewise, {"pieces": 0}, "Piecewise: pieces must be"),
    (Piecewise, {"pieces": 11, "horizon": 10}, "pieces must be at most the 10 rounds .*, got 11"),
    (Corrupted, {"every": 0}, "Corrupted: every must be"),
    (Corrupted, {"c": np.nan}, "Corrupted: c must be finite"),
    (Coordinates, {"r": -0.1}, "Coordinates: r must be in"),
    (Iid, {"mu": -0.1}, "Iid: mu must be >= 0"),
    (Iid, {"mu": 0.0, "s": 0.0}, r"Iid: mu \+ s must be > 0"),
    (Experts, {"N": 1}, "Experts: N must be a whole number >= 2"),
    (Experts, {"gap": 0.6}, "Experts: 2 gap must be in"),
    (RandomOrder, {"horizon": 1}, "RandomOrder: horizon must be a whole number >= 2"),
    (RandomOrder, {"comparator": "dynamic"}, "comparator must be one of"),
    (RandomOrder, {"data_seed": -1}, "data_seed must be"),
]


@pytest.mark.parametrize(("kind", "kwargs", "message"), BAD)
def test_bad_parameters(kind: Any, kwargs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**kwargs)


def test_means_of_adaptive_and_random_losses_have_no_clock() -> None:
    assert isinstance(SHORT["random-order"], Linear) and not SHORT["random-order"].memoryless
    assert not SHORT["game"].memoryless and OBLIVIOUS["target"].memoryless


# --- pictures ---


@pytest.mark.parametrize("name", sorted(SHORT))
@pytest.mark.parametrize("steps", [0, 1, 30])
def test_pictures(name: str, steps: int) -> None:
    task = SHORT[name]
    env = FuncGymEnv(task, render_mode="rgb_array")
    env.reset(seed=0)
    for t in range(steps):
        env.step(points_of(task, T)[t])
    picture = env.render()
    assert picture.shape == (420, 640, 3) and picture.dtype == np.uint8
    for part in (picture[:60], picture[60:380, :300], picture[100:340, 420:]):
        assert (part < 128).any()
    line = task.text(env.history)
    assert line.startswith(f"round {steps}/{T}  ")
    assert ("static regret" in line) == (steps > 0)
