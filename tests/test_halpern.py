"""Halpern and variance-reduced Halpern: exact rates, reference values, counted calls, refusals."""

from itertools import combinations
from math import comb, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monotone import PROBLEMS, bilinear, burglar, rectangular, regression
from scipy.optimize import lsq_linear
from zoo import MC_ERRORS

from rlopt.agents import halpern
from rlopt.agents.halpern import variance_reduced
from rlopt.spaces import BoxSet

EXACT = 1e-12
DETERMINISTIC = ("eag", "eg", "feg", "ogda")


# --- Halpern's iteration of a map ---


@pytest.mark.parametrize("theta", [0.1, np.pi / 8, 1.0, 2.5])
def test_a_rotation_gives_the_ergodic_mean(theta: float) -> None:
    turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
    x = halpern.halpern(lambda point: turn @ point, [0.6, 0.8], 40).x
    orbit = [np.array([0.6, 0.8])]
    for k, point in enumerate(x):
        assert np.allclose(point, np.mean(orbit, axis=0), rtol=0.0, atol=EXACT)
        residual = np.linalg.norm(point - turn @ point)
        exact = 2.0 * abs(np.sin((k + 1) * theta / 2.0)) / (k + 1)
        assert residual == pytest.approx(exact, abs=EXACT)
        assert residual <= 2.0 / (k + 1) + EXACT
        orbit.append(turn @ orbit[-1])


@pytest.mark.parametrize("k", [1, 3, 10])
def test_lieders_bound_is_attained(k: int) -> None:
    theta = np.pi / (k + 1)
    turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
    last = halpern.halpern(lambda point: turn @ point, [3.0, 4.0], k).x[-1]
    assert np.linalg.norm(last - turn @ last) == pytest.approx(2.0 * 5.0 / (k + 1), rel=EXACT)


@given(st.integers(0, 10_000), st.integers(0, 30))
def test_halpern_keeps_its_bound_on_linear_contractions(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    map_ = rng.standard_normal((4, 4))
    map_ /= np.linalg.norm(map_, 2)
    x = halpern.halpern(lambda point: map_ @ point, rng.standard_normal(4), n).x
    assert x.shape == (n + 1, 4)
    residuals = np.linalg.norm(x - x @ map_.T, axis=1)
    assert (residuals <= 2.0 * np.linalg.norm(x[0]) / np.arange(1, n + 2) + EXACT).all()


# --- rates and reference values of the deterministic methods ---


@pytest.mark.parametrize("mean", [0.0, 3.0])
def test_halpern_keeps_the_bound_of_cocoercive_problems(mean: float) -> None:
    problem = regression(12, 5, mean=mean)
    solution = np.linalg.lstsq(problem.A, problem.b)[0]
    history = halpern.solve("halpern", problem, iterations=300).history
    bound = problem.L * np.linalg.norm(solution) / (history.iteration + 1)
    assert (history.residual <= bound * (1.0 + EXACT)).all()


REFERENCE = {
    "feg": (0.053234933, 0.027974543, 0.0016887456, 0.00017543927),
    "eg": (0.048791189, 0.043209655, 0.018562559, 0.00021532857),
    "ogda": (0.049853044, 0.047864418, 0.036759346, 0.006639039),
}


@pytest.mark.parametrize("method", REFERENCE)
def test_the_bilinear_table(method: str) -> None:
    problem = bilinear()
    assert abs(problem.L - 0.1754495413) < 1e-10
    for k, residual in zip((1, 10, 100, 1000), REFERENCE[method], strict=True):
        done = halpern.solve(method, problem, iterations=k)
        assert done.residual == pytest.approx(residual, rel=1e-6)
        assert done.residual == pytest.approx(np.linalg.norm(problem.operator(done.x)), rel=EXACT)


def test_feg_keeps_its_bound() -> None:
    history = halpern.solve("feg", bilinear(), iterations=500).history
    assert (history.residual[1:] <= 2.0 * bilinear().L / history.iteration[1:]).all()


@pytest.mark.parametrize(
    ("method", "iterations", "residual"),
    [
        ("eg", 250, 0.054543),
        ("eg", 1000, 0.029291),
        ("eag", 250, 0.115641),
        ("eag", 1000, 0.042115),
    ],
)
def test_the_policeman_and_the_burglar(method: str, iterations: int, residual: float) -> None:
    game = halpern.MatrixGame(burglar(100))
    done = halpern.solve(method, game, iterations=iterations)
    assert done.history.residual[0] == pytest.approx(0.320807705, abs=1e-9)
    assert done.residual == pytest.approx(residual, abs=1e-6)
    assert abs(game.L - 86.439461) < 1e-6
    assert abs(game.L_importance - 87.070527) < 1e-6


# --- sets ---


def test_centring_changes_constants_and_nothing_else() -> None:
    plain, centred = halpern.MatrixGame(burglar(30)), halpern.MatrixGame(burglar(30), centred=True)
    assert centred.L < plain.L / 4.0
    for method in DETERMINISTIC:
        ends = [halpern.solve(method, game, iterations=50, step=0.3) for game in (plain, centred)]
        assert np.allclose(ends[0].x, ends[1].x, rtol=0.0, atol=1e-10)
        assert ends[0].residual == pytest.approx(ends[1].residual, abs=1e-10)
    assert centred.value == plain.value


@pytest.mark.parametrize("method", [*DETERMINISTIC, "halpern"])
@pytest.mark.parametrize("boxed", [False, True])
def test_default_steps_solve_symmetric_problems(method: str, boxed: bool) -> None:
    """At 1/L the top eigendirection of a symmetric problem stalls in EG and EAG."""
    space = BoxSet([-9.0] * 2, [9.0] * 2) if boxed else None
    problem = halpern.LeastSquares(np.diag([2.0, 1.0]), [2.0, 1.0], space)
    done = halpern.solve(method, problem, iterations=1000)
    assert np.allclose(done.x, [1.0, 1.0], atol=1e-2)


def test_constrained_least_squares() -> None:
    plain = regression(12, 4)
    problem = halpern.LeastSquares(plain.A, plain.b, BoxSet([-0.2] * 4, [0.3] * 4))
    exact = lsq_linear(plain.A, plain.b, (-0.2, 0.3), tol=1e-14).x
    assert problem.residual(exact) < 1e-7
    for method in ("halpern", "vr_halpern_cocoercive"):
        done = halpern.solve(method, problem, iterations=20_000, seed=0)
        assert problem.space is not None
        assert problem.space.holds(done.x)
        assert np.allclose(done.x, exact, atol=3e-3)


# --- calls ---

COST = {"eg": 2, "eag": 2, "feg": 2, "ogda": 1, "halpern": 1}


@pytest.mark.parametrize("method", COST)
def test_calls_of_full_evaluations(method: str) -> None:
    problem = regression(9, 3)
    assert halpern.solve(method, problem, iterations=7).calls == 7 * COST[method] * 9
    spent = halpern.solve(method, problem, calls=100)
    assert spent.iterations == 100 // (9 * COST[method])
    assert spent.calls == spent.iterations * 9 * COST[method]
    assert np.array_equal(spent.x, halpern.solve(method, problem, iterations=spent.iterations).x)


class Coins:
    """A generator whose coins fall as told and whose indices are all 0."""

    def __init__(self, *coins: float) -> None:
        self.coins = list(coins)

    def random(self, size: int | None = None) -> Any:
        return (
            self.coins.pop(0)
            if size is None
            else np.array([self.coins.pop(0) for _ in range(size)])
        )

    def integers(self, n: int, size: tuple[int, int]) -> np.ndarray:
        return np.zeros(size, int)

    def choice(self, n: int, batch: int, replace: bool) -> np.ndarray:
        assert not replace
        return np.arange(batch)


def test_calls_of_page() -> None:
    problem = regression(9, 3)
    oracle = halpern.Oracle(problem)
    coins: Any = Coins(0.99, 0.99, 0.99, 0.0, 0.99)
    points = variance_reduced.cocoercive(oracle, np.zeros(3), None, True, coins)
    calls = []
    for _ in range(5):
        next(points)
        calls.append(oracle.calls)
    assert calls == [9, 18, 18 + 2 * 3, 27 + 2 * 3, 27 + 4 * 3]  # batches of floor(sqrt 9)


def test_calls_of_the_inner_loop() -> None:
    game = halpern.MatrixGame(rectangular(6, 6))
    oracle = halpern.Oracle(game)
    coins: Any = Coins(0.9, 0.0, 0.9)
    variance_reduced.resolvent(oracle, game.start(), 1.0, 0.1, 3, coins)
    assert oracle.calls == 6 + 3 * 2 + 6  # Phi(u), three steps, one move of the snapshot


def test_the_inner_loop_follows_its_formula() -> None:
    game = halpern.MatrixGame(rectangular(5, 5))
    u, p, gamma, scale = game.start(), 1.0 / 5.0, 0.1, 0.7
    coins: Any = Coins(0.9, 0.0, 0.9, 0.9)

    def component(v: np.ndarray) -> np.ndarray:
        return scale * game.component(0, v) + v - u

    v = w = before = u
    for moves in (False, True, False, False):
        full = scale * game.operator(w) + w - u
        step = full + component(v) - component(before)
        v = game.project((1.0 - p) * v + p * w - gamma * step)
        before, w = w, v if moves else w
    end = variance_reduced.resolvent(halpern.Oracle(game), u, scale, gamma, 4, coins)
    assert np.allclose(end, v, rtol=0.0, atol=EXACT)


def test_calls_until_the_residual_stays_low() -> None:
    history = halpern.History(
        np.arange(4), np.array([0, 5, 10, 15]), np.array([4.0, 1.0, 3.0, 2.0])
    )
    assert [history.calls_until(level) for level in (4.0, 3.0, 2.0)] == [0.0, 5.0, 15.0]
    assert history.calls_until(1.0) == float("inf")


def test_a_budget_is_never_exceeded() -> None:
    game = halpern.MatrixGame(rectangular(6, 6))
    for budget in (0, 5, 50, 500):
        done = halpern.solve("vr_halpern", game, calls=budget, seed=0)
        assert done.calls <= budget
        assert done.calls == done.history.calls[-1]
        assert done.residual == done.history.residual[-1] == game.residual(done.x)
    assert np.array_equal(halpern.solve("eg", game, calls=11).x, game.start())
    assert halpern.solve("eg", game, calls=12).calls == 12


# --- variance reduction ---


def test_page_is_exact_over_all_batches() -> None:
    problem = regression(6, 3)
    rng = np.random.default_rng(0)
    estimate, u, last = rng.standard_normal((3, 3))
    oracle = halpern.Oracle(problem)
    moved = [
        variance_reduced.page(oracle, estimate, u, last, np.array(batch))
        for batch in combinations(range(6), 2)
    ]
    exact = estimate + problem.operator(u) - problem.operator(last)
    assert len(moved) == comb(6, 2)
    assert oracle.calls == 4 * len(moved)
    assert np.allclose(np.mean(moved, axis=0), exact, rtol=0.0, atol=EXACT)


def test_page_probabilities() -> None:
    chances = [variance_reduced.refresh(k, 20) for k in (0, 1, 2, 5, 6, 100)]
    last = 4 / (sqrt(20) + 5)
    assert chances == [1.0, 1.0, 4 / 6, 4 / 9, last, last]


@pytest.mark.parametrize(
    ("theory", "stretch"),
    [(True, 1.0), (False, 1.0), (False, 30.0)],
    ids=["theory", "flat", "long"],
)
def test_algorithm_1_follows_its_formula(theory: bool, stretch: float) -> None:
    """With one row much longer, L_average > 4 L, and the practical step is the shorter one."""
    plain = regression(9, 3, mean=0.5)
    problem = halpern.LeastSquares(plain.A * np.append(np.ones(8), stretch)[:, None], plain.b)
    average = problem.L_average
    coins: Any = Coins(0.0, 0.0, 0.99, 0.99, 0.0, 0.99)
    points = variance_reduced.cocoercive(
        halpern.Oracle(problem), problem.start(), None, theory, coins
    )
    assert (average > 4.0 * problem.L) == (stretch > 1.0)
    bold = 2.0 / sqrt(problem.L * average) if stretch > 1.0 else 1.0 / problem.L
    eta = 1.0 / (4.0 * average) if theory else bold
    u = last = estimate = np.zeros(3)  # u_0 = 0 drops out of the anchor
    for k, full in enumerate((True, True, False, False, True, False)):
        moves = [problem.component(i, u) - problem.component(i, last) for i in range(3)]
        estimate = problem.operator(u) if full else estimate + np.mean(moves, axis=0)
        last, u = u, (1.0 - 2.0 / (k + 4)) * u - eta * estimate
        assert np.allclose(next(points), u, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize(
    ("problem", "theory", "short", "bold"),
    [
        (bilinear(), True, False, 1.0),
        (bilinear(), False, False, 1.0),  # too few components for short loops
        (halpern.MatrixGame(burglar(60)), True, False, 1.0),
        (halpern.MatrixGame(burglar(60)), False, True, 2.5),
        (halpern.Bilinear(burglar(60)), False, True, 1.0),
        (halpern.MatrixGame(burglar(50)), False, True, 2.5),
        (halpern.MatrixGame(burglar(49)), False, False, 1.0),
    ],
)
def test_algorithm_2_follows_its_formula(
    problem: halpern.Bilinear | halpern.MatrixGame, theory: bool, short: bool, bold: float
) -> None:
    n, (ours, theirs) = problem.components, (np.random.default_rng(3) for _ in range(2))
    sizes = (problem.A**2).sum(axis=0), (problem.A**2).sum(axis=1)
    average = sqrt(n * max(sizes[0].max(), sizes[1].max()))
    scale = sqrt(n) / (float(np.linalg.norm(problem.A)) if short else average)
    gamma = bold * sqrt((1 / n) * (1 - 1 / n)) / (scale * average + 1)
    points = variance_reduced.lipschitz(
        halpern.Oracle(problem), problem.start(), None, theory, theirs
    )
    u = problem.start()
    for k in range(4):
        steps = int((0.05 * n if short else 4 * (n + sqrt(n))) * np.log(k + 2))
        oracle = halpern.Oracle(problem)
        v = variance_reduced.resolvent(oracle, u, scale, gamma, max(steps, 1), ours)
        u = problem.start() / (k + 2) + (k + 1) / (k + 2) * v
        assert np.allclose(next(points), u, rtol=0.0, atol=EXACT)


def test_algorithm_1_keeps_the_published_order() -> None:
    """Mean residual <= 16 L |u_0 - u*| / (k+4) at the theory's step."""
    problem = regression(100, 5, mean=1.0)
    distance = np.linalg.norm(np.linalg.lstsq(problem.A, problem.b)[0])
    runs = [
        halpern.solve(
            "vr_halpern_cocoercive", problem, iterations=200, seed=seed, constants="theory"
        ).history
        for seed in range(8)
    ]
    mean = np.mean([run.residual for run in runs], axis=0)
    assert (mean <= 16.0 * problem.L_average * distance / (runs[0].iteration + 4)).all()


def test_the_inner_loop_finds_resolvents() -> None:
    """Its mean squared error falls by exp(-.8) every n + sqrt n steps, or faster."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((20, 20))
    problem, u = halpern.Bilinear(A), rng.standard_normal(40)
    scale = sqrt(20) / problem.L_average
    turn = np.block([[np.zeros((20, 20)), A], [-A.T, np.zeros((20, 20))]])
    exact = np.linalg.solve(np.eye(40) + scale * turn, u)
    gamma = sqrt(1 / 20 * 19 / 20) / (sqrt(20) + 1)
    steps = int(6 * (20 + sqrt(20)))
    errors = np.array(
        [
            np.sum(
                (
                    variance_reduced.resolvent(halpern.Oracle(problem), u, scale, gamma, steps, g)
                    - exact
                )
                ** 2
            )
            for g in rng.spawn(40)
        ]
    ) / np.sum((u - exact) ** 2)
    error, noise = errors.mean(), errors.std(ddof=1) / sqrt(len(errors))
    assert error <= np.exp(-0.8 * 6) + MC_ERRORS * noise


@pytest.mark.parametrize(
    ("method", "name", "constants", "calls", "share"),
    [
        ("vr_halpern", "bilinear", "theory", 20_000, 0.05),
        ("vr_halpern", "wide bilinear", "theory", 40_000, 0.05),
        ("vr_halpern", "game", "theory", 20_000, 0.2),
        ("vr_halpern", "tall game", "theory", 20_000, 0.1),
        ("vr_halpern", "centred game", "theory", 20_000, 0.1),
        ("vr_halpern_cocoercive", "regression", "theory", 40_000, 0.02),
        ("vr_halpern_cocoercive", "regression", "practical", 10_000, 0.02),
        ("vr_halpern_cocoercive", "short regression", "theory", 40_000, 0.02),
    ],
)
def test_variance_reduced_methods_converge(
    method: str, name: str, constants: str, calls: int, share: float
) -> None:
    done = halpern.solve(method, PROBLEMS[name], calls=calls, seed=0, constants=constants)
    assert done.residual <= share * done.history.residual[0]


def at(history: halpern.History, calls: int) -> float:
    """The residual of the last point reached with at most so many calls."""
    return float(history.residual[np.searchsorted(history.calls, calls, "right") - 1])


def test_variance_reduction_pays_on_the_burglar() -> None:
    """Residuals at equal calls, everything at its default."""
    game, budgets = halpern.MatrixGame(burglar(100)), (30_000, 50_000, 100_000)
    rivals = [halpern.solve(method, game, calls=100_000).history for method in DETERMINISTIC]
    reduced = halpern.solve("vr_halpern", game, calls=100_000).history
    for calls in budgets:
        assert at(reduced, calls) < min(at(rival, calls) for rival in rivals)
    assert at(reduced, 100_000) < 0.7 * min(at(rival, 100_000) for rival in rivals)


def test_variance_reduction_pays_on_least_squares() -> None:
    """Features with mean 1 and spreads from 1 to .02; no rival of the whole F is as near."""
    rng = np.random.default_rng(0)
    A = 1.0 + rng.standard_normal((2500, 20)) * np.linspace(1.0, 0.02, 20)
    problem = halpern.LeastSquares(A, A @ rng.standard_normal(20) + rng.standard_normal(2500))
    reduced = halpern.solve("vr_halpern_cocoercive", problem, calls=250_000)
    for method in ("halpern", *DETERMINISTIC):
        assert reduced.residual < 0.7 * halpern.solve(method, problem, calls=250_000).residual


@pytest.mark.parametrize("name", ["uniform", "gaussian", "wide", "low rank"])
def test_the_default_converges_on_random_games(name: str) -> None:
    """At the published gamma, five times one that ignores L_average, none of these converges."""
    rng = np.random.default_rng(100)
    A = {
        "uniform": lambda: rng.uniform(-1.0, 1.0, (100, 100)),
        "gaussian": lambda: rng.standard_normal((60, 60)),
        "wide": lambda: rng.standard_normal((30, 100)),
        "low rank": lambda: rng.standard_normal((100, 3)) @ rng.standard_normal((3, 100)),
    }[name]()
    game = halpern.MatrixGame(A)
    done = halpern.solve("vr_halpern", game, calls=400 * game.components, seed=1)
    assert done.residual < 0.2 * done.history.residual[0]


def test_the_default_converges_where_some_components_are_large() -> None:
    """A step of 1/L alone multiplies the residual on these rows of very different lengths."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((100, 30)) * rng.exponential(size=(100, 1))
    problem = halpern.LeastSquares(A, rng.standard_normal(100))
    done = halpern.solve("vr_halpern_cocoercive", problem, calls=50_000)
    assert done.residual < 0.1 * done.history.residual[0]


SAME: tuple[dict[str, Any], ...] = ({}, {}, {"seed": 0}, {"constants": "practical"})


@pytest.mark.parametrize("method", ["vr_halpern", "vr_halpern_cocoercive"])
def test_the_defaults_are_practical_and_repeat(method: str) -> None:
    problem = (
        regression(60, 4) if method.endswith("cocoercive") else halpern.MatrixGame(burglar(60))
    )
    ends = [halpern.solve(method, problem, calls=2000, **more).x for more in SAME]
    assert all(np.array_equal(ends[0], end) for end in ends)
    other = halpern.solve(method, problem, calls=2000, constants="theory")
    assert not np.array_equal(ends[0], other.x)


def test_the_seed_decides() -> None:
    game = halpern.MatrixGame(rectangular(6, 6))
    a, b, c = (halpern.solve("vr_halpern", game, calls=500, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(a.x, b.x)
    assert not np.array_equal(a.x, c.x)
    g = halpern.solve("vr_halpern", game, calls=500, seed=np.random.default_rng(1))
    assert np.array_equal(a.x, g.x)


# --- bad input ---


@pytest.mark.parametrize("method", ["halpern", "vr_halpern_cocoercive"])
@pytest.mark.parametrize("name", ["bilinear", "game"])
def test_methods_for_cocoercive_problems_refuse_others(method: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"{method} needs a cocoercive problem.*monotone only"):
        halpern.solve(method, PROBLEMS[name], iterations=1, seed=0)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"method": "egg"}, "did you mean 'eg'"),
        ({"problem": np.eye(2)}, "problem must be a halpern.Problem"),
        ({"iterations": None}, "one of iterations and calls"),
        ({"calls": 5}, "one of iterations and calls"),
        ({"iterations": -1}, "iterations must be a whole number >= 0"),
        ({"iterations": None, "calls": 0.5}, "calls must be a whole number >= 0"),
        ({"step": 0.0}, "step must be > 0"),
        ({"step": float("nan")}, "step must be finite"),
        ({"x0": np.zeros(3)}, r"x0 must be of shape \(12,\)"),
        ({"x0": np.full(12, np.nan)}, "x0 must be finite, got nan"),
        ({"x0": np.ones(12)}, "x0 must be in Product"),
        ({"constants": "practical"}, "eg has no practical constants"),
        ({"constants": "bold"}, "constants must be one of"),
        ({"seed": 0.5}, "seed must be a whole number >= 0"),
        ({"seed": -1}, "seed must be a whole number >= 0"),
        ({"method": "vr_halpern", "seed": -1}, "seed must be a whole number >= 0"),
    ],
)
def test_bad_input_is_named(given_: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"method": "eg", "problem": PROBLEMS["game"], "iterations": 1}
    with pytest.raises(ValueError, match=message):
        halpern.solve(**arguments | given_)


def test_bad_maps_are_named() -> None:
    with pytest.raises(ValueError, match="x0 must be finite"):
        halpern.halpern(lambda x: x, [np.nan], 1)
    with pytest.raises(ValueError, match=r"T\(x\) must be finite"):
        halpern.halpern(lambda x: x * np.inf, [1.0], 1)
    with pytest.raises(ValueError, match=r"of shape \(1,\)"):
        halpern.halpern(lambda x: np.zeros(2), [1.0], 1)


def test_divergence_is_said() -> None:
    with pytest.raises(ArithmeticError, match=r"the points diverge, iteration .* smaller step"):
        halpern.solve("eg", bilinear(), iterations=2000, step=100.0)
