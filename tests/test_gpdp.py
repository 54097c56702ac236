"""GPDP corrected: the process, its posterior, and what its policies are worth."""

import runpy
import warnings
from typing import Any

import numpy as np
import pytest
from house import ROOT
from scipy import stats
from zoo import ALLEN, ARCHIVED, EXACT, LOGISTIC, PLAIN

from rlopt.agents import make
from rlopt.agents.gaussian import Fit, Prediction, Process, gp_law
from rlopt.agents.gpdp import GPDP, GPDPAgent, paper_dp
from rlopt.agents.parametric import ParametricMLE
from rlopt.data import gpdp_training_series
from rlopt.envs.fishery import Allen, Fishery, LognormalNoise
from rlopt.theory.dp import collapse_probability
from rlopt.theory.learned import default_grid, solve_learned

PROTOCOL = runpy.run_path(str(ROOT / "experiments" / "fisheries" / "protocol.py"))
SERIES = gpdp_training_series()
X, Y = SERIES[:-1], SERIES[1:]
GRID = np.linspace(0.0, 15.0, 50)
TRUTH = Fishery(growth=Allen(), noise=LognormalNoise(0.05), x0=10.0)
CONTROL = Fishery(growth=Allen(), noise=LognormalNoise(0.05), x0=10.0, gamma=1.0, horizon=49)


# --- the process ---


def joint(process: Process, x: np.ndarray, y: np.ndarray, s: float) -> tuple[float, float]:
    """Mean and sd of the next stock at s by conditioning one joint normal law."""
    every = np.append(x, s)
    covariance = process.amplitude**2 * np.exp(
        -0.5 * (np.subtract.outer(every, every) / process.lengthscale) ** 2
    ) + process.noise_sd**2 * np.eye(len(every))
    inverse = np.linalg.inv(covariance[:-1, :-1])
    mean = covariance[-1, :-1] @ inverse @ y
    return mean, np.sqrt(covariance[-1, -1] - covariance[-1, :-1] @ inverse @ covariance[:-1, -1])


def test_predictions_condition_a_joint_normal_law() -> None:
    """The noise of the prediction included, at data and far away."""
    process, x, y = Process(1.3, 2.0, 0.4), np.append(X[:12], 0.0), np.append(Y[:12], 0.0)
    prediction = Prediction(process, x, y)
    s = np.array([[0.0, 3.0, X[3]], [7.0, 9.0, 40.0]])
    expected = [[joint(process, x, y, float(point)) for point in row] for row in s]
    np.testing.assert_allclose(prediction.mean(s), np.array(expected)[..., 0], atol=1e-9)
    np.testing.assert_allclose(prediction.sd(s), np.array(expected)[..., 1], atol=1e-9)
    assert prediction.sd(np.array([40.0]))[0] == pytest.approx(np.hypot(1.3, 0.4))
    assert abs(prediction.mean(np.array([40.0]))[0]) < 1e-12  # pessimism away from the data


def evidence(process: Process, n: int = 39) -> float:
    """Log-density of the first n training data and the pseudo-datum, from scipy."""
    x, y = np.append(X[:n], 0.0), np.append(Y[:n], 0.0)
    covariance = process.amplitude**2 * np.exp(
        -0.5 * (np.subtract.outer(x, x) / process.lengthscale) ** 2
    ) + process.noise_sd**2 * np.eye(len(x))
    return float(stats.multivariate_normal(np.zeros(len(x)), covariance).logpdf(y))


def prior(process: Process, n: int = 39) -> float:
    """Of "map" and "mcmc", as a density of the logarithms."""
    length = stats.norm(np.log(0.4 * np.median(X[:n])), 0.5).logpdf(np.log(process.lengthscale))
    noise = stats.norm(np.log(0.02 * np.median(Y[:n])), 1.0).logpdf(np.log(process.noise_sd))
    return float(length + noise)


@pytest.mark.parametrize(
    ("posterior", "amplitude"), [("ml2", 1.0), ("map", 1.0), ("ml2", "free"), ("map", "scaled")]
)
def test_hyper_parameters_are_a_maximum(posterior: str, amplitude: Any) -> None:
    """No neighbour and no point of a coarse mesh is better."""
    law, best = gp_law(X, Y, amplitude, posterior, np.random.default_rng(0))
    assert len(law) == 1

    def score(process: Process) -> float:
        return evidence(process) + (prior(process) if posterior == "map" else 0.0)

    if amplitude == "scaled":
        assert best.amplitude == pytest.approx(0.25 * np.median(Y))
    elif amplitude == 1.0:
        assert best.amplitude == 1.0
    steps = np.exp([[0.0, 0.02, 0.0], [0.0, 0.0, 0.02], [0.02, 0.0, 0.0]])
    for step in steps[: 3 if amplitude == "free" else 2]:
        for near in (np.array(best) * step, np.array(best) / step):
            assert score(Process(*near)) < score(best)
    for length in np.geomspace(0.3, 60.0, 12):
        for noise in np.geomspace(0.02, 7.0, 9):
            assert score(Process(best.amplitude, length, noise)) < score(best) + 1e-9


def test_the_chain_samples_the_posterior() -> None:
    """Against the moments of the same density on a mesh; of few data, so that the prior counts."""
    fit = Fit(X[:6], Y[:6], 1.0, True, 0)
    chain = np.concatenate([fit.chain(np.random.default_rng(k)) for k in range(4)])
    assert chain.shape == (160, 2)
    lengths, noises = np.linspace(-0.3, 3.2, 36), np.linspace(-4.0, 1.7, 39)
    mesh = np.array([[(a, b) for b in noises] for a in lengths])
    density = np.array(
        [
            [evidence(p, 6) + prior(p, 6) for p in (Process(1.0, *np.exp(t)) for t in row)]
            for row in mesh
        ]
    )
    weights = np.exp(density - density.max())
    weights /= weights.sum()
    for k, samples in enumerate((chain[:, 0], 0.5 * chain[:, 1])):
        mean = float((weights * mesh[..., k]).sum())
        sd = float(np.sqrt((weights * (mesh[..., k] - mean) ** 2).sum()))
        # thinned by 20, neighbours are still correlated: a third of the samples count
        assert abs(samples.mean() - mean) < 4.0 * sd / np.sqrt(160.0 / 3.0)
        assert 0.7 * sd < samples.std() < 1.4 * sd


# --- the published protocol and the published series ---


@pytest.mark.parametrize("gamma", [1.0, 0.99])
def test_the_published_protocol(gamma: float) -> None:
    """20,000 controls: published .164 collapse and 25.51; the bars of the notes for a repair."""
    fitted = GPDP.fit(X, Y, mode="corrected", grid=GRID, gamma=gamma, seed=0)
    played = PROTOCOL["resimulate"](
        PROTOCOL["GROWTH"], PROTOCOL["SIGMA"], fitted.escapement, 20_000, 0
    )
    assert played.catch.mean() >= 26.1 and played.collapsed <= 0.002
    exact = CONTROL.oracle().evaluate(fitted.escapement, [10.0])[0]
    assert abs(played.catch.mean() - exact) < 4.0 * played.error + 0.05  # the latter: the DP's grid
    assert collapse_probability(CONTROL, fitted.escapement, 10.0, 49, 5.0) < 0.002


@pytest.mark.parametrize("posterior", ["ml2", "map", "mcmc"])
def test_the_published_series_on_a_fine_grid(posterior: str) -> None:
    oracle = TRUTH.oracle()
    fitted = GPDP.fit(X, Y, posterior=posterior)
    value = oracle.evaluate(fitted.escapement, [10.0])[0]
    assert 51.4 <= value <= oracle.value.value + 1e-9


def test_a_free_amplitude_gives_safety_away() -> None:
    """It is far above 1, and over a few training sets the worst is much worse."""
    values: dict[Any, list[float]] = {1.0: [], "free": []}
    for seed in (6, 17, 94, 108):
        stocks = PROTOCOL["training_set"](seed)
        for amplitude, found in values.items():
            law, process = gp_law(
                stocks[:-1], stocks[1:], amplitude, "ml2", np.random.default_rng(0)
            )
            policy = solve_learned(law, default_grid(15.0), gamma=0.99).escapement
            found.append(float(TRUTH.oracle().evaluate(policy, [10.0])[0]))
            assert process.amplitude == 1.0 or process.amplitude > 3.0
    assert min(values[1.0]) > 40.0 and max(values["free"]) < 10.0


def test_paper_mode_is_the_published_policy() -> None:
    """One cell or none differs (notes, 4.1); gamma has no say."""
    fitted = GPDP.fit(X, Y, mode="paper", grid=GRID, gamma=0.5, seed=0)
    assert (abs(fitted.escapement(GRID) - ARCHIVED["GP"]) < EXACT).sum() >= 49
    assert fitted.amplitude == 1.0 and fitted.law is None and "paper" in repr(fitted)
    with pytest.raises(ValueError, match="paper mode keeps no law"):
        fitted.predict_next(GRID)
    assert paper_dp(Allen(), 0.05, GRID)[-1] == pytest.approx(GRID[22])


# --- the object ---


def test_what_a_fit_tells() -> None:
    fitted = GPDP.fit(X, Y, seed=3)
    assert fitted.amplitude == 1.0 and fitted.mode == "corrected"
    assert fitted.lengthscale == pytest.approx(3.62, abs=0.1)
    assert fitted.noise_sd == pytest.approx(0.35, abs=0.02)
    assert fitted.grid[0] == 0.0 and fitted.grid[-1] == pytest.approx(1.5 * Y.max(), rel=1e-3)
    assert fitted.escapement(10.0) == fitted.escapement([10.0])[0] == fitted.target
    assert isinstance(fitted.escapement(10), float)
    assert fitted.escapement(np.arange(4.0)).shape == (4,)
    assert "amplitude=1," in repr(fitted) and "target=6." in repr(fitted)
    mean, sd = fitted.predict_next(np.array([0.0, 7.5]))
    assert mean[0] == sd[0] == 0.0
    assert mean[1] == pytest.approx(7.6, abs=0.2) and 0.35 < sd[1] < 0.4
    for stocks in ([-1.0], [np.nan], np.zeros((2, 2))):
        with pytest.raises(ValueError, match="stocks must be finite"):
            fitted.escapement(stocks)
    for text in ("a", "3"):
        with pytest.raises(ValueError, match=f"GPDP: stocks must be real numbers, got '{text}'"):
            fitted.escapement(text)


def test_the_prediction_of_a_posterior_is_wider() -> None:
    one, many = GPDP.fit(X, Y), GPDP.fit(X, Y, posterior="mcmc")
    assert many.law is not None and len(many.law) == 40
    s = np.array([3.0, 12.0])
    assert (many.predict_next(s)[1] > one.predict_next(s)[1]).all()
    moments = many.law.mean(None, s)
    np.testing.assert_allclose(many.predict_next(s)[0], moments, rtol=0.02)


def test_the_same_seed_gives_the_same_policy() -> None:
    fits = [GPDP.fit(X, Y, posterior="mcmc", seed=seed) for seed in (1, 1, 2)]
    assert fits[0].lengthscale == fits[1].lengthscale != fits[2].lengthscale
    stocks = np.linspace(0.0, 12.0, 200)
    np.testing.assert_array_equal(fits[0].escapement(stocks), fits[1].escapement(stocks))


def test_units_do_not_matter_to_a_scaled_amplitude() -> None:
    stocks = np.linspace(0.0, 10.0, 101)
    tons = 1e4 * GPDP.fit(X, Y, amplitude="scaled").escapement(stocks)
    same = GPDP.fit(1e4 * X, 1e4 * Y, amplitude="scaled").escapement(1e4 * stocks)
    np.testing.assert_allclose(same, tons, rtol=1e-3)


def warned(**arguments: Any) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GPDP.fit(**{"x": X, "y": Y} | arguments)
    assert all(each.category is UserWarning for each in caught)
    assert all(each.filename == __file__ for each in caught)
    return "; ".join(str(each.message) for each in caught)


def test_warnings() -> None:
    assert warned() == ""
    high = X > 7.2
    told = warned(x=X[high], y=Y[high])
    assert "outside the observed ones, 7.227 to 8.813" in told and "(amplitude 1)" in told
    assert "amplitude 1 is too small to reach" in warned(x=1e4 * X, y=1e4 * Y)
    assert "amplitude 20 is no longer pessimistic" in warned(amplitude=20.0)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"mode": "correct"}, "mode must be one of .*got 'correct'; did you mean 'corrected'"),
        ({"posterior": "mc"}, "posterior must be one of"),
        ({"amplitude": "fre"}, "amplitude must be one of .* did you mean 'free'"),
        ({"amplitude": 0.0}, "amplitude must be > 0"),
        ({"gamma": 1.5}, "GPDP: gamma must be in"),
        ({"gamma": 0.0}, "GPDP: gamma must be"),
        ({"grid": "a"}, "GPDP: grid must be real numbers, got 'a'"),
        ({"grid": [0.0, "1", 2.0], "mode": "paper"}, "GPDP: grid must be real numbers"),
        ({"x": np.append(0.0, X[1:])}, "escapement of 0, but row 0 has the next stock 5.38"),
        ({"seed": -1}, "GPDP: seed must be a whole number >= 0, got -1"),
        ({"seed": 0.5}, "GPDP: seed must be a whole number >= 0, got 0.5"),
        ({"grid": [1.0, 2.0, 3.0]}, "ascend from 0"),
        ({"grid": [0.0, 1.0, 3.0], "mode": "paper"}, "grid must be equally spaced"),
        ({"y": np.append(Y[:-1], np.nan)}, "row 38"),
        ({"y": np.append(Y[:-1], 0.05)}, "collapsed: the next stock 0.05 in row 38"),
        ({"x": X[:4], "y": Y[:4]}, "at least 5 rows"),
        ({"y": np.full(39, 7.0), "mode": "paper"}, "constant"),
    ],
)
def test_bad_arguments(change: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        GPDP.fit(**{"x": X, "y": Y} | change)


def test_next_to_nothing_is_believed_to_recover() -> None:
    """The artefact that the module documents, and the warning that comes with it."""
    fitted = GPDP.fit(X, Y)
    assert fitted.law is not None and fitted.solution is not None
    assert fitted.law.mean(None, np.array([1e-6]))[0] == pytest.approx(0.224, abs=1e-3)
    assert fitted.solution.value_at(np.ones(1))[0] == pytest.approx(1.46, abs=0.01)
    noisy = {"x": np.arange(1.0, 9.0), "y": [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 7.0]}
    assert "the best escapement 0.016" in warned(**noisy)


# --- the agent ---


def told_by(agent: Any, x: np.ndarray, y: np.ndarray) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        agent.fit(x, y)
    assert all(each.category is UserWarning for each in caught)
    return "; ".join(str(each.message) for each in caught)


def test_the_agent_warns_as_the_table_does() -> None:
    agent: Any = make("gpdp", TRUTH, seed=0)
    assert told_by(agent, X, Y) == ""
    high = X > 7.2
    told = told_by(agent, X[high], Y[high])
    assert "gpdp: the best escapement" in told and "observed ones, 7.227 to 8.813" in told
    large = Fishery(growth=Allen(2.0, 8e4, 5e4), noise=LognormalNoise(0.05), x0=1e5)
    told = told_by(make("gpdp", large, seed=0), 1e4 * X, 1e4 * Y)
    assert "gpdp: the amplitude 1 is too small to reach" in told
    assert 'amplitude="scaled"' in told
    assert "amplitude" not in told_by(make("gpdp", large, amplitude="scaled"), 1e4 * X, 1e4 * Y)
    with (
        pytest.warns(UserWarning, match="gpdp: the best escapement"),
        pytest.warns(UserWarning, match="gpdp: the amplitude 1 is too small"),
    ):
        make("gpdp", large, seed=0).learn(60)


def test_the_agent_shows_its_amplitude() -> None:
    agent: Any = make("gpdp", TRUTH, seed=7)
    assert repr(agent) == "GPDPAgent(learnt from nothing yet, amplitude=1, seed=7)"
    agent = make("gpdp", TRUTH, seed=7, amplitude="scaled")
    assert repr(agent) == "GPDPAgent(learnt from nothing yet, seed=7)"
    assert "amplitude=1.896" in repr(agent.fit(X, Y))


def test_a_file_of_another_agent_is_refused(tmp_path: Any) -> None:
    make("gpdp", TRUTH, seed=0).save(tmp_path / "agent")
    with pytest.raises(
        ValueError,
        match=r"ParametricMLE.load: the file holds an agent 'gpdp', not 'parametric_mle'; "
        r"use rlopt.agents.gpdp.GPDPAgent.load",
    ):
        ParametricMLE.load(tmp_path / "agent", TRUTH)
    make("constant_quota", TRUTH).save(tmp_path / "rule")
    with pytest.raises(ValueError, match=r"use rlopt.agents.harvest_rules.ConstantQuota.load"):
        GPDPAgent.load(tmp_path / "rule", TRUTH)


def test_the_agent_plays_what_the_table_teaches() -> None:
    fishery = Fishery(growth=Allen(), noise=LognormalNoise(0.05), x0=10.0)
    agent = GPDPAgent(fishery, seed=0, posterior="ml2").fit(X, Y)
    table = GPDP.fit(X, Y, posterior="ml2", seed=0)
    assert agent.process is not None
    assert agent.process.lengthscale == pytest.approx(table.lengthscale, rel=1e-4)
    stocks = np.array([4.0, 6.0, 10.0])
    np.testing.assert_allclose(agent.escapement(stocks), table.escapement(stocks), atol=0.05)


@pytest.mark.filterwarnings("ignore:gpdp:UserWarning")  # the exploratory rule is careful
@pytest.mark.parametrize("key", ["allen-quota", "logistic-6-years", "may-certain", "fragile"])
def test_the_agent_learns_in_its_environment(key: str, tmp_path: Any) -> None:
    """It beats doing nothing, never the optimum, and comes back as it was."""
    fishery = PLAIN[key]
    agent: Any = make("gpdp", fishery, seed=1)
    idle = fishery.oracle().policy_value(agent)
    value = fishery.oracle().policy_value(agent.learn(100))
    assert value is not None and idle is not None
    assert idle < value <= fishery.oracle().value.value + 1e-9
    agent.save(tmp_path / "agent")
    again = GPDPAgent.load(tmp_path / "agent", fishery)
    stocks = np.linspace(0.0, fishery.x_max, 50)
    np.testing.assert_array_equal(again.escapement(stocks), agent.escapement(stocks))


def test_the_agent_refuses_bad_settings() -> None:
    for settings in ({"posterior": "x"}, {"amplitude": -1.0}, {"observations": 3}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            make("gpdp", ALLEN, **settings)
    assert make("gpdp", LOGISTIC, amplitude="scaled").settings["amplitude"] == "scaled"  # type: ignore[attr-defined]
