"""Tasks that answer to the actions: the orthogonal adversary, self-play, and tuning a learner."""

from typing import Any

import numpy as np
import pytest
from zoo import EXACT, simulated

from rlopt.agents import make, online
from rlopt.envs import FuncGymEnv, FuncVectorEnv, policy
from rlopt.envs.rollout import draw_noise
from rlopt.envs.sea.game import MatrixGame
from rlopt.envs.sea.meta import TASKS, Meta
from rlopt.envs.sea.orthogonal import Orthogonal
from rlopt.theory.games import equilibrium

# --- the orthogonal adversary ---


@pytest.mark.parametrize("name", ["random", "ogd", "optimistic_omd", "oftrl", "oracle"])
def test_everyone_has_the_same_regret(name: str) -> None:
    """sqrt T: 20 at T = 400, to 1e-9, by the steps and by the info."""
    task = Orthogonal(horizon=400)
    env = FuncVectorEnv(task, num_envs=3)
    agent: Any = make(name, task, seed=0)
    seen, _ = env.reset(seed=0)
    memory, total, gradients = None, np.zeros(3), []
    for t in range(400):
        action, memory = agent.predict(seen, memory, np.full(3, t == 0))
        seen, reward, _, _, info = env.step(action)
        total += info["regret"]
        gradients.append(task.answers(seen)["gradient"])
        assert abs(reward).max() < 1e-12 and abs((gradients[-1] * info["x"]).sum(-1)).max() < 1e-12
    np.testing.assert_allclose(total, 20.0, atol=1e-9)
    np.testing.assert_allclose(info["regret_static"], 20.0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(np.sum(gradients, axis=0), axis=-1), 20.0, atol=1e-9)


def test_the_adversary_is_a_bracket() -> None:
    task = Orthogonal(horizon=100)
    value = task.oracle().value
    assert (value.lower, value.value, value.upper, value.exact) == (0.0, 10.0, 10.0, False)
    assert task.Sigma_sq_bounds == (2.0, 4.0 * 99) and not task.exact and task.sigma_sq == 0.0
    assert Orthogonal(horizon=1).Sigma_sq_bounds == (0.0, 0.0)
    with pytest.raises(ValueError, match="Orthogonal: d must be a whole number >= 3, got 2"):
        Orthogonal(d=2)


@pytest.mark.parametrize("task", [Orthogonal(horizon=50), MatrixGame(horizon=50)])
def test_the_drift_shown_is_within_its_bracket(task: Any) -> None:
    env = FuncVectorEnv(task, num_envs=5)
    env.reset(seed=0)
    rng, total, last = np.random.default_rng(0), np.zeros(5), None
    for _ in range(50):
        seen, *_, info = env.step(rng.uniform(-1.0, 1.0, (5, task.space.dimension)))
        gradient = task.answers(seen)["gradient"]
        moved = 0.0 if last is None else ((gradient - last) ** 2).sum(axis=-1)
        np.testing.assert_allclose(info["Sigma_sq_t"], moved, atol=1e-9)
        total, last = total + info["Sigma_sq_t"], gradient
        assert np.linalg.norm(gradient, axis=-1).max() <= task.G + EXACT
    low, high = task.Sigma_sq_bounds
    assert (low - EXACT <= total).all() and (total <= high).all()


@pytest.mark.parametrize("kind", [Orthogonal, MatrixGame])
def test_penalties_are_charged_in_reward_and_regret(kind: Any) -> None:
    """G times the distance from the set, on top of what the same points cost when projected."""
    free, charged = (kind(horizon=30, on_infeasible=mode) for mode in ("project", "penalise"))
    envs = [FuncVectorEnv(task, num_envs=4) for task in (free, charged)]
    for env in envs:
        env.reset(seed=0)
    rng = np.random.default_rng(2)
    for _ in range(30):
        action = rng.uniform(-1.5, 1.5, (4, free.space.dimension))
        clipped = np.clip(action, charged.action_space.low, charged.action_space.high)
        (_, reward, _, _, info), (_, less, _, _, more) = (env.step(clipped) for env in envs)
        off = np.linalg.norm(clipped - free.space.project(clipped), axis=1)
        assert off.max() > 0.1
        np.testing.assert_allclose(reward - less, free.G * off, atol=1e-10)
        np.testing.assert_allclose(more["regret"] - info["regret"], free.G * off, atol=1e-10)


# --- self-play ---


def test_the_equilibrium_of_the_default_game() -> None:
    game = MatrixGame()
    x, y = game.space.split(game.best_fixed)
    assert x == pytest.approx([0.23867785, 0.35336069, 0.29772697, 0.11023449], abs=1e-7)
    assert (x @ game.A).max() == pytest.approx(-0.0641316192, abs=1e-9)
    assert (game.A @ y).min() == pytest.approx(-0.0641316192, abs=1e-9)


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (5, 2), (7, 7)])
@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e6])
def test_equilibria_leave_nothing_to_gain(shape: tuple[int, int], scale: float) -> None:
    """What each side is sure of is the same."""
    A = scale * np.random.default_rng(3).standard_normal(shape)
    x, y = np.split(equilibrium(A), [shape[0]])
    for side in (x, y):
        assert (side >= 0.0).all() and side.sum() == pytest.approx(1.0, abs=1e-14)
    assert abs((x @ A).max() - (A @ y).min()) <= 1e-8 * scale


def test_games_that_are_no_tables_are_refused() -> None:
    tables: Any = ([1.0, 2.0], [[]], [[np.nan]], [["a"]])
    for A in tables:
        with pytest.raises(ValueError, match="equilibrium: A must be"):
            equilibrium(A)


@pytest.mark.parametrize("name", ["random", "optimistic_omd", "do_nothing", "oracle"])
def test_the_return_is_the_duality_gap(name: str) -> None:
    """-T times the gap of the mean strategies, which is also both sides' regret."""
    game = MatrixGame(horizon=60)
    env = FuncVectorEnv(game, num_envs=4)
    agent: Any = make(name, game, seed=0)
    seen, _ = env.reset(seed=0)
    memory, earned, regret, points = None, np.zeros(4), np.zeros(4), []
    for t in range(60):
        action, memory = agent.predict(seen, memory, np.full(4, t == 0))
        seen, reward, _, _, info = env.step(action)
        earned, regret = earned + reward, regret + info["regret"]
        points.append(info["x"])
    mean_x, mean_y = game.space.split(np.mean(points, axis=0))
    gap = (mean_x @ game.A).max(axis=1) - (mean_y @ game.A.T).min(axis=1)
    np.testing.assert_allclose(earned, -60 * gap, atol=1e-10)
    np.testing.assert_allclose(regret, 60 * gap, atol=1e-10)
    np.testing.assert_allclose(info["regret_static"], 60 * gap, atol=1e-10)
    if name == "oracle":
        assert abs(gap).max() < 1e-9 and game.oracle().value.exact
    if name == "optimistic_omd":
        assert gap.max() < 0.1 < game_of_uniform(game)


def game_of_uniform(game: MatrixGame) -> float:
    """The gap of uniform strategies."""
    return float(game.A.mean(axis=0).max() - game.A.mean(axis=1).min())


def test_optimism_pays_in_games() -> None:
    """The gap falls as 1 / T: regret is bounded, not just below sqrt T."""
    regrets = []
    for horizon in (100, 400, 1600):
        game = MatrixGame(horizon=horizon)
        agent = make("optimistic_omd", game, eta=0.2)
        regrets.append(-float(simulated(game, agent, 1).reward[0]))
    assert regrets[0] > 0.5 and max(regrets) < 1.5 * regrets[0]


# --- tuning mirror descent ---


@pytest.mark.parametrize("name", sorted(TASKS))
@pytest.mark.parametrize("play", ["random", "bold", "timid", "contrary"])
def test_no_tuning_loses_the_guarantee(name: str, play: str) -> None:
    """Realised regret against the best fixed point, and the envelope of steps and weights."""
    meta = Meta(task=name, horizon=300)
    env = FuncVectorEnv(meta, num_envs=16)
    env.reset(seed=0)
    rng, last, error = np.random.default_rng(0), np.inf, np.zeros(16)
    gradient = np.zeros((16, meta.played.space.dimension))
    for t in range(300):
        action = {
            "random": rng.uniform(-3.0, 3.0, (16, 2)),  # beyond the box means its edge
            "bold": np.ones((16, 2)),
            "timid": -np.ones((16, 2)),
            "contrary": np.tile([1.0 - 2.0 * (t % 2), 1.0 - 2.0 * (t // 2 % 2)], (16, 1)),
        }[play]
        largest = meta.largest_step(error)
        _, _, _, _, info = env.step(action)
        assert (info["eta"] <= largest + EXACT).all() and (info["eta"] <= last + EXACT).all()
        assert (info["eta"] >= largest / 4.0 - EXACT).all()
        assert ((info["weight"] >= 0.0) & (info["weight"] <= 1.0)).all()
        shown = env.batch.state.gradient
        error = error + ((shown - info["weight"][:, None] * gradient) ** 2).sum(axis=1)
        last, gradient = info["eta"], shown
        G, D = meta.played.G, meta.played.space.diameter
        bound = 2.0 * D * (np.sqrt(1.0 + 4.0 * G**2 + error) + np.sqrt(error))
        np.testing.assert_allclose(info["bound"], bound, rtol=1e-9)
        assert (info["regret_static"] <= bound).all()


@pytest.mark.parametrize("name", ["drift", "iid", "switching"])
def test_doing_nothing_is_the_published_algorithm(name: str) -> None:
    meta = Meta(task=name, horizon=50)
    env = FuncGymEnv(meta)
    env.reset(seed=4)
    learner = online.make("optimistic_omd", meta.played.space, G=meta.played.G, delta=1.0)
    for _ in range(50):
        x = learner.ask()
        *_, info = env.step([1.0, 1.0])
        np.testing.assert_allclose(info["x"], x, atol=1e-12)
        learner.tell(x, gradient=env.batch.state.gradient[0])


def test_boxes_have_a_generator_each() -> None:
    """Seeding one task's boxes leaves those of another alone."""
    first, second = Meta(), Meta(task="iid")
    for name in ("action_space", "observation_space"):
        one, other = getattr(first, name), getattr(second, name)
        assert one == other and one is not other and one is getattr(first, name)


def test_a_hint_of_weight_0_is_no_hint() -> None:
    meta = Meta(task="iid", horizon=30)
    env = FuncGymEnv(meta)
    env.reset(seed=4)
    plain = online.make("optimistic_omd", meta.played.space, G=1.0, delta=1.0, hint="zero")
    for _ in range(30):
        x = plain.ask()
        *_, info = env.step([1.0, -1.0])
        np.testing.assert_allclose(info["x"], x, atol=1e-12)
        plain.tell(x, gradient=env.batch.state.gradient[0])


def test_what_tuners_see() -> None:
    """Each of the eight numbers, from the gradients of the task."""
    meta = Meta(task="corrupted", horizon=40)
    env = FuncGymEnv(meta)
    seen, _ = env.reset(seed=1)
    first = meta.played.D / np.sqrt(1.0 + 4.0 * meta.played.G**2)
    np.testing.assert_allclose(seen, [0.0, 0.0, 0.0, 0.0, 1.0, 0.5, 0.0, 0.0], atol=EXACT)
    before, error = np.zeros(5), 0.0
    for t in range(1, 41):
        seen, _, _, _, info = env.step([0.5, 0.2])
        g = env.batch.state.gradient[0]
        error += float(((g - 0.6 * before) ** 2).sum())
        G = meta.played.G
        cosine = g @ before / (np.linalg.norm(g) * np.linalg.norm(before)) if t > 1 else 0.0
        following = meta.played.D / np.sqrt(1.0 + 4.0 * G**2 + error)
        wanted = [
            np.linalg.norm(g) / G,
            np.linalg.norm(g - before) / (2.0 * G),
            cosine,
            error / (4.0 * G**2 * t),
            info["eta"] / first,
            info["eta"] / (2.0 * following),
            0.6,
            t / 40,
        ]
        np.testing.assert_allclose(seen, wanted, atol=1e-12)
        before = g


def test_tuning_has_a_bracket_and_the_same_noise_as_the_task() -> None:
    meta = Meta(horizon=100)
    oracle = meta.oracle()
    assert oracle.value.lower < oracle.value.value == oracle.value.upper == pytest.approx(-4.5)
    totals = simulated(meta, oracle.policy, 400)
    error = totals.reward.std() / 20.0
    assert oracle.value.lower <= totals.reward.mean() + 4.0 * error
    assert totals.regret.mean() > 0.0
    noise = draw_noise(meta.noise_spec, "step", 2, np.random.default_rng(0))
    start = meta.initial(np.empty((2, 0)))
    after = meta.transition(start, np.zeros((2, 2)), noise)
    played = meta.played.transition(meta.played.initial(np.empty((2, 0))), after.x, noise)
    np.testing.assert_array_equal(after.z, played.z)


@pytest.mark.parametrize(
    ("name", "action", "share"),
    [("target", [-1.0, 1.0], 0.35), ("drift", [0.0, 0.0], 0.6), ("piecewise", [1.0, -1.0], 0.85)],
)
def test_tuning_can_pay(name: str, action: list[float], share: float) -> None:
    """There is something to learn: constant tunings with a fraction of the published regret."""
    meta = Meta(task=name)
    tuned = policy(lambda seen: np.tile(action, (len(seen), 1)))
    published = simulated(meta, make("do_nothing", meta), 100).regret.mean()
    assert simulated(meta, tuned, 100).regret.mean() < share * published


def test_bad_parameters() -> None:
    bad: Any = (
        ({"task": "targets"}, "Meta: task must be one of .*did you mean 'target'"),
        ({"delta": 0.0}, "Meta: delta must be > 0"),
        ({"horizon": 0}, "horizon must be a whole number >= 1"),
        ({"task": "drift", "d": 1}, "Drift: d must be a whole number >= 2"),
    )
    for kwargs, message in bad:
        with pytest.raises(ValueError, match=message):
            Meta(**kwargs)
    for name in ("rows", "columns"):
        with pytest.raises(ValueError, match=r"MatrixGame: .* must be a whole number >= 2"):
            MatrixGame(**{name: 1})  # type: ignore[arg-type]  # whole numbers both
