"""Tasks on the rows of a table: naive recomputation, enumerated orders, brackets."""

import pickle
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pytest
from sea_rows import RELATIVES, TASKS, played, points, still
from zoo import MC_ERRORS, agrees, params, simulated

from rlopt.envs import FuncVectorEnv, policy
from rlopt.envs.sea import comparators, least_squares_variance, least_squares_variation
from rlopt.envs.sea.data import BreastCancer, Diabetes, Digits
from rlopt.envs.sea.portfolio import SCENARIOS, Portfolio
from rlopt.envs.sea.rows import ORDERS, Rows, scrambled
from rlopt.envs.sea.task import Round

# --- orders ---


def test_orders() -> None:
    rows = Diabetes(horizon=884).secrets(np.random.default_rng(0).random((5, 1)))
    assert rows.shape == (5, 884)
    for run in rows.reshape(10, 442):
        np.testing.assert_array_equal(np.sort(run), np.arange(442))
    assert len({tuple(run) for run in rows.reshape(10, 442)}) == 10
    cut = Diabetes(horizon=500).secrets(np.full((1, 1), 0.3))
    np.testing.assert_array_equal(np.sort(cut[0, 442:]), np.arange(442))
    dataset = Diabetes(horizon=500, order="dataset").secrets(np.empty((2, 0)))
    np.testing.assert_array_equal(dataset[1], np.arange(500) % 442)
    drawn = Diabetes(horizon=4420, order="iid").secrets(np.full((1, 1), 0.7)).ravel()
    counts = np.bincount(drawn.astype(int), minlength=442)
    assert len(counts) == 442 and abs(((counts - 10.0) ** 2 / 10.0).sum() - 441.0) < 4 * 882**0.5


def test_every_order_is_equally_likely() -> None:
    task = Portfolio(relatives=SCENARIOS[:3], order="random", horizon=6)
    orders = task.secrets(np.random.default_rng(1).random((24000, 1)))
    for part in (orders[:, :3], orders[:, 3:]):
        codes = part @ np.array([100.0, 10.0, 1.0])
        seen = np.unique(codes, return_counts=True)[1]
        assert len(seen) == 6 and ((seen - 4000.0) ** 2 / 4000.0).sum() < 5 + 4 * 10**0.5


def test_scrambled_numbers_look_uniform() -> None:
    seeds = np.concatenate([np.arange(50) * 2.0**-53, np.random.default_rng(0).random(50)])
    numbers = scrambled(seeds, 2000)
    assert (numbers >= 0.0).all() and (numbers < 1.0).all()
    assert agrees(numbers.ravel(), 0.5) and agrees((numbers**2).ravel(), 1.0 / 3.0)
    assert len(np.unique(numbers)) == numbers.size
    for lagged in (numbers[:, 1:] * numbers[:, :-1], numbers[1:] * numbers[:-1]):
        assert abs(lagged.mean() - 0.25) < 4 * (7.0 / 144.0 / lagged.size) ** 0.5 * 1.5
    np.testing.assert_array_equal(scrambled(seeds[3:4], 9), numbers[3:4, :9])


@pytest.mark.parametrize("order", ORDERS)
def test_the_sequence_does_not_depend_on_the_actions(order: str) -> None:
    task = Diabetes(order=order, horizon=50)
    corner = np.eye(10)[0]
    runs = [[i["z"] for i in played(task, act, 7)[1]] for act in (still(task), lambda o: corner)]
    np.testing.assert_array_equal(runs[0], runs[1])
    other = [i["z"] for i in played(task, still(task), 8)[1]]
    assert np.array_equal(runs[0], other) == (order == "dataset")


# --- losses ---


@pytest.mark.parametrize("task", params(TASKS))
def test_gradients_and_constants(task: Rows) -> None:
    rng = np.random.default_rng(2)
    index = rng.integers(0, len(task.rows), 400)
    z, x, y = task._samples[index], points(task, 400, 3), points(task, 400, 4)
    gradient = task.gradient(z, x)
    step = 1e-6 * (y - x)
    slope = (task.loss(z, x + step) - task.loss(z, x - step)) / 2e-6
    np.testing.assert_allclose(slope, (gradient * (y - x)).sum(1), atol=1e-7 * task.G)
    assert np.linalg.norm(gradient, axis=1).max() <= task.G * (1 + 1e-12)
    change = np.linalg.norm(task.gradient(z, y) - gradient, axis=1)
    if task.order != "iid":
        assert (change <= task.L * np.linalg.norm(x - y, axis=1) * (1 + 1e-9)).all()
    low, high = task.loss_bounds
    assert task.loss(z, x).min() >= low - 1e-12 and task.loss(z, x).max() <= high + 1e-12


@pytest.mark.parametrize("task", params(TASKS))
def test_exp_concavity(task: Rows) -> None:
    """exp(-alpha f) is concave along every segment; not so for a few times alpha."""
    index = np.random.default_rng(2).integers(0, len(task.rows), 4000)
    least, most = task._reach
    alpha = task.alpha
    assert alpha is not None
    for factor in (1.0, 1.5):
        ends = np.array([least, most])[:, index]
        near = ends + np.array([[1e-3], [-1e-3]]) * (ends[::-1] - ends) * [[1.0], [-1.0]]
        middle = (ends + near) / 2.0
        bend = [
            np.exp(-factor * alpha * task.phi(m, task.targets[index])) for m in (ends, middle, near)
        ]
        worst = (bend[0] + bend[2] - 2.0 * bend[1]).max()
        if factor == 1.0:
            assert worst <= 1e-13
        elif len(task.rows) < 600:
            assert worst > 0.0


@pytest.mark.parametrize("task", params(TASKS))
def test_curvature_is_the_largest_second_derivative(task: Rows) -> None:
    least, most = task._reach
    margin = least + np.linspace(0.0, 1.0, 101)[:, None] * (most - least)
    bend = (
        task.slope(margin + 1e-6, task.targets) - task.slope(margin - 1e-6, task.targets)
    ) / 2e-6
    assert bend.max() == pytest.approx(task.curvature, rel=1e-6)


def test_smoothness_of_the_iid_mean() -> None:
    for task in (Diabetes(order="iid"), BreastCancer(order="iid"), Portfolio()):
        x, y = points(task, 100, 3), points(task, 100, 4)
        change = [
            np.mean([task.gradient(np.tile(z, (100, 1)), p) for z in task._samples], axis=0)
            for p in (x, y)
        ]
        apart = np.linalg.norm(x - y, axis=1)
        ratio = np.linalg.norm(change[0] - change[1], axis=1)[apart > 0.0] / apart[apart > 0.0]
        assert 0.02 * task.L < ratio.max() <= task.L * (1 + 1e-9)


@pytest.mark.parametrize("order", ORDERS)
def test_mean_losses_by_their_definition(order: str) -> None:
    task = Portfolio(relatives=RELATIVES[:5], order=order, horizon=13)
    n = 13
    secret = task.secrets(np.random.default_rng(0).random((n, task.noise_spec.dim("initial"))))
    x, t = points(task, n), np.arange(1.0, 14.0)
    found = task.mean_loss(Round(t, np.empty((n, 0)), secret, np.empty((n, 0))), x)
    for k in range(n):
        begun = 5 * (k // 5)
        left = {
            "random": secret[k, k : begun + 5].astype(int),
            "iid": np.arange(5),
            "dataset": [k % 5],
        }[order]
        truth = np.mean([-np.log(RELATIVES[i] @ x[k]) for i in left])
        assert found[k] == pytest.approx(truth, rel=1e-12)


def test_mean_losses_of_diabetes_in_random_order() -> None:
    """From sums, as from the rows that are left; at the end of a pass and in the next one too."""
    task = Diabetes(horizon=900)
    rng = np.random.default_rng(0)
    state = task.initial(rng.random((3, 1)))
    for t in range(900):
        x = task.space.project(rng.standard_normal((3, 10)))
        state = task.transition(state, x, np.empty((3, 0)))
        if t in (0, 1, 200, 440, 441, 442, 700, 883, 884):
            last = 442 * (t // 442 + 1)
            rest = state.secret[:, t:last].astype(int)
            off = np.einsum("nki,ni->nk", task.rows[rest], x) - task.targets[rest]
            np.testing.assert_allclose(state.mean, 0.5 * (off**2).mean(axis=1), rtol=1e-9)


@pytest.mark.parametrize("order", ORDERS)
def test_pseudo_regret_is_the_mean_of_regret(order: str) -> None:
    """E[f_t(x_t) | past] = F_t(x_t), also for points that depend on the past."""
    task = Portfolio(order=order, horizon=7)
    chase = policy(lambda o: np.eye(3)[o[:, :3].argmin(axis=1)])
    env = FuncVectorEnv(task, num_envs=4000)
    observation, _ = env.reset(seed=3)
    total = np.zeros(4000)
    for _ in range(7):
        observation, _, _, _, info = env.step(chase.predict(observation)[0])
        total += info["regret"]
    assert agrees(total - info["regret_pseudo"], 0.0)
    assert ("regret_dynamic" in info) == (order != "random")
    assert "regret_static" not in info


def test_regret_sums_to_the_gap() -> None:
    for task in (Portfolio(horizon=9), Diabetes(horizon=9)):
        totals = simulated(task, policy(task.idle_action), 1000)
        value = task.oracle().value.value
        assert agrees(totals.reward + totals.regret, value)
        expected = (
            task.horizon / len(task.rows) * task.phi(task.rows @ task.start, task.targets).sum()
        )
        assert agrees(totals.reward, -float(expected))


@pytest.mark.parametrize(
    "task",
    [Diabetes(order="dataset"), BreastCancer(order="dataset"), Portfolio(order="dataset")],
    ids=["diabetes", "breast-cancer", "portfolio"],
)
def test_minimisers_of_single_rows(task: Rows) -> None:
    """Against Newton's method on one row."""
    t = np.arange(1.0, len(task.rows) + 1.0)
    nothing = np.empty((len(t), 0))
    best = task.minimiser(Round(t, nothing, nothing, nothing))
    assert task.space.holds(best).all()
    values = task.loss(task._samples, best)
    for i in range(0, len(task.rows), max(1, len(task.rows) // 12)):
        weights = np.zeros(len(task.rows))
        weights[i] = 1.0
        assert values[i] == pytest.approx(task.fitted(weights).value, rel=1e-9, abs=1e-9)
    visited = task.visits[: len(t)]
    assert task.dynamic_total == pytest.approx(visited @ values, rel=1e-12)


def test_best_fixed_of_part_of_a_data_set() -> None:
    task = Diabetes(order="dataset", horizon=500)
    rows = np.arange(500) % 442
    truth = comparators.least_squares(task.rows[rows], task.targets[rows], task.space)
    assert task.static_total == pytest.approx(truth.value, rel=1e-12)
    np.testing.assert_allclose(task.best_fixed, truth.x, atol=1e-7)
    assert Diabetes(horizon=500).static_total == pytest.approx(
        Diabetes().static_total * 500 / 442, rel=1e-12
    )


# --- moments ---


def on_the_simplex() -> np.ndarray:
    grid = np.linspace(0.0, 1.0, 31)
    a, b = (g.ravel() for g in np.meshgrid(grid, grid))
    return np.column_stack([a, b, 1.0 - a - b])[a + b <= 1.0 + 1e-12]


@pytest.mark.parametrize("horizon", [4, 6, 8])
def test_brackets_of_random_order_by_enumeration(horizon: int) -> None:
    task = Portfolio(order="random", horizon=horizon)
    x = on_the_simplex()
    gradients = -task.rows / (x @ task.rows.T)[..., None]  # (points, N, d)
    orders = list(permutations(range(4)))
    laws = [[order[k:] for k in range(4)] for order in orders]
    mean = {left: gradients[:, left].mean(1) for law in laws for left in law}
    spread = {
        left: ((gradients[:, left] - m[:, None]) ** 2).sum(-1).mean(1).max()
        for left, m in mean.items()
    }
    sigma = np.mean([[spread[left] for left in law] for law in laws], axis=0)
    inner = np.mean(
        [[((mean[b] - mean[a]) ** 2).sum(1).max() for a, b in pairwise(law)] for law in laws],
        axis=0,
    )
    turn = np.mean([((mean[law[-1]] - mean[orders[0]]) ** 2).sum(1).max() for law in laws])
    Sigma = np.concatenate([[turn], inner])
    places = np.arange(horizon) % 4
    drift = Sigma[places]
    drift[0] = 0.0
    for ends, truth in zip(task._moments, (sigma[places], drift), strict=True):
        assert (ends[0] <= truth * (1 + 1e-9) + 1e-15).all()
        assert (truth <= ends[1] * (1 + 1e-9) + 1e-15).all()
    low, high = task.sigma_sq_bounds
    assert low <= sigma[places].sum() <= high == task.sigma_sq < 2.0 * low
    assert not task.exact


def test_brackets_of_the_portfolio_elsewhere() -> None:
    x = on_the_simplex()
    gradients = -np.array(SCENARIOS) / (x @ np.array(SCENARIOS).T)[..., None]
    off = ((gradients - gradients.mean(1, keepdims=True)) ** 2).sum(-1).mean(1).max()
    low, high = Portfolio(horizon=1).sigma_sq_bounds
    assert off <= low * (1 + 1e-9) and low <= high <= 1.5 * low
    assert Portfolio().Sigma_sq_bounds == (0.0, 0.0)
    task = Portfolio(order="dataset", horizon=9)
    moves = ((gradients - np.roll(gradients, 1, axis=1)) ** 2).sum(-1).max(0)
    truth = np.tile(moves, 3)[:9]
    truth[0] = 0.0
    low_t, high_t = task._moments[1]
    assert (low_t <= truth * (1 + 1e-9)).all() and (truth <= high_t * (1 + 1e-9)).all()
    assert task.sigma_sq_bounds == (0.0, 0.0) and not task.exact


def test_diabetes_is_exact_where_it_says_so() -> None:
    assert Diabetes(order="iid").exact and Diabetes(order="dataset").exact
    assert not Diabetes().exact
    task = Diabetes(order="dataset", horizon=450, R=3.0)
    x = points(task, 3000)
    for t in (1, 17, 442):
        i, j = t % 442, t - 1
        gradients = [task.gradient(np.tile(task._samples[k], (3000, 1)), x) for k in (i, j)]
        seen = ((gradients[0] - gradients[1]) ** 2).sum(1).max()
        assert 0.5 * task.Sigma_sq_t[t] <= seen <= task.Sigma_sq_t[t]


def test_bracket_of_diabetes_in_random_order() -> None:
    """Exact sums of drawn orders: every variance is a maximum over the ball."""
    task = Diabetes()
    sums = []
    for order in task.secrets(np.linspace(0.05, 0.95, 5)[:, None]).astype(int):
        left = [(task.rows[order[t:]], task.targets[order[t:]]) for t in range(442)]
        sigma = sum(least_squares_variance(*part, task.space) for part in left)
        drift = sum(
            least_squares_variation(*now, *last, task.space) for last, now in pairwise(left)
        )
        sums.append((sigma, drift))
    mean, error = np.mean(sums, axis=0), MC_ERRORS * np.std(sums, axis=0, ddof=1) / 5**0.5
    for k, (low, high) in enumerate((task.sigma_sq_bounds, task.Sigma_sq_bounds)):
        assert low - error[k] < mean[k] < high + error[k]


@pytest.mark.parametrize("task", [BreastCancer(order="dataset"), Digits(order="dataset")])
def test_brackets_of_logistic_drift(task: Rows) -> None:
    low, high = task.neighbours
    x = points(task, len(task.rows))
    around = np.roll(np.arange(len(task.rows)), 1)
    change = task.gradient(task._samples, x) - task.gradient(task._samples[around], x)
    assert ((change**2).sum(1) <= high).all() and (low <= high).all()
    assert low.sum() > 0.3 * high.sum()


# --- context ---


@pytest.mark.parametrize("feedback", ["full_grad", "loss_only"])
def test_context_shows_the_row_and_not_the_target(feedback: str) -> None:
    task = Diabetes(context=True, horizon=40, feedback=feedback)
    plain = Diabetes(horizon=40, feedback=feedback)
    seen, infos, _ = played(task, still(task), 5)
    base, others, _ = played(plain, still(plain), 5)
    shown = seen[:, -12:-2]
    z = np.array([info["z"] for info in infos])
    np.testing.assert_array_equal(shown[:-1], z[:, :-1])
    np.testing.assert_array_equal(shown[-1], np.zeros(10))
    np.testing.assert_array_equal(np.delete(seen, np.s_[-12:-2], axis=1), base)
    np.testing.assert_array_equal(z, [info["z"] for info in others])
    assert all(task.observation_space.contains(o) for o in seen)
    told = task.answers(seen)
    np.testing.assert_array_equal(told["loss"], seen[:, -2])
    assert ("gradient" in told) == (feedback == "full_grad")


# --- parameters ---


@pytest.mark.parametrize("task", params(TASKS))
def test_tasks_are_values(task: Rows) -> None:
    copy = pickle.loads(pickle.dumps(task))
    assert copy == task and hash(copy) == hash(task)
    assert copy.oracle() is task.oracle()
    box = task.action_space
    assert (box.low >= -1.0).all() and (box.high <= 1.0).all() and box.dtype == np.float64


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Diabetes(order="sorted"), "order must be one of"),
        (lambda: Diabetes(comparator="dynamic"), 'needs order "iid" or "dataset"'),
        (lambda: Diabetes(R=0.0), "Diabetes: R must be > 0"),
        (lambda: Digits(R=np.nan), "Digits: R must be finite"),
        (lambda: Diabetes(horizon=0), "horizon must be a whole number >= 1"),
        (lambda: Portfolio(relatives=((1.0, 0.0),)), "positive and finite"),
        (lambda: Portfolio(relatives=((1.0, np.nan),)), "positive and finite"),
        (lambda: Portfolio(relatives=(1.0, 2.0)), "shape"),
        (lambda: Portfolio(relatives=()), "shape"),
        (lambda: Portfolio(relatives="gold"), "real numbers"),
    ],
)
def test_bad_parameters_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_context_is_a_switch() -> None:
    word: Any = "yes"
    with pytest.raises(TypeError, match="context must be True or False"):
        Diabetes(context=word)
