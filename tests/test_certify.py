"""`rlopt certify`: brackets that hold for the policy itself, and the answer in words."""

import base64
import json
import pickle
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import torch
from saved_policies import (
    Evil,
    call,
    certified,
    observations,
    plain,
    refused,
    rewritten,
    saved,
    trained,
    with_data,
)

from rlopt.agents import make
from rlopt.agents.weights import Policy, export_statistics, read, read_statistics
from rlopt.cli import bracket, say
from rlopt.theory.lipschitz import Certificate, Network, portfolio
from rlopt.theory.lipschitz.semidefinite import lipsdp

KEYS = {
    "upper", "lower", "gap", "norm", "region", "method", "rigorous", "seconds", "obs_scale",
    "witness", "layers",
}  # fmt: skip
SINGLE = 1e-4  # relative, of finite differences in float32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("saved")


def steepest(function: Any, x: np.ndarray, norm: str = "l2") -> float:
    """Largest ratio of moves of outputs and inputs, for random small steps from x."""
    rng = np.random.default_rng(1)
    step = (
        rng.normal(size=x.shape) * 0.01
        if norm == "l2"
        else 0.01 * np.sign(rng.normal(size=x.shape))
    )
    order = 2 if norm == "l2" else np.inf
    moved = np.linalg.norm(function(x + step) - function(x), order, axis=1)
    return float((moved / np.linalg.norm(step, order, axis=1)).max())


def acting(name: str) -> Any:
    """The policy of Stable-Baselines3 itself, float32 and clipped."""
    model = trained(name)
    if name != "dqn":
        return lambda x: model.predict(x.astype(np.float32), deterministic=True)[0]

    def values(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model.q_net(torch.tensor(x, dtype=torch.float32)).numpy()

    return values


# --- brackets ---


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("name", ["ppo", "sac", "td3", "dqn"])
def test_the_bracket_holds_for_the_policy_itself(name: str, norm: str, folder: Path) -> None:
    found = certified(saved(name, folder), "--norm", norm)
    assert set(found) == (KEYS | {"margin"} if name == "dqn" else KEYS)
    assert found["rigorous"] in ("rump", "arb", "outward")
    assert (found["norm"], found["region"], found["obs_scale"]) == (norm, None, None)
    assert 0.0 < found["lower"] < found["upper"] < 2.0 * found["lower"]
    assert found["gap"] == pytest.approx(1.0 - found["lower"] / found["upper"])
    witness = np.array(found["witness"])
    n = len(witness)
    near = np.concatenate([observations(n, 2000), witness + 0.05 * observations(n, 200)])
    measured = steepest(acting(name), near, norm)
    assert measured <= found["upper"] * (1.0 + SINGLE) + 1e-5
    # the lower end is attained at its witness
    J = Network.from_torch(trained(name)).jacobian(witness)
    steep = np.linalg.norm(J, 2) if norm == "l2" else np.abs(J).sum(axis=1).max()
    assert found["lower"] <= steep * (1.0 + 1e-12)
    assert found["lower"] == pytest.approx(steep, rel=1e-5)


def test_a_box_is_in_raw_units_and_may_fix_coordinates(folder: Path) -> None:
    path = saved("td3", folder)
    whole = certified(path)
    box = ([-1.0, -1.0, 0.5], [1.0, 1.0, 0.5])
    found = certified(path, "--box", "-1,-1,.5:1,1,.5", budget=2)
    assert found["region"] == [*box]
    # nothing moves in the third coordinate: its column does not count
    x = np.random.default_rng(0).uniform(*box, size=(5000, 3))
    J = Network.from_torch(trained("td3")).jacobian(x)[:, :, :2]
    attained = float(np.linalg.norm(J, 2, axis=(1, 2)).max())
    assert attained <= found["upper"] < whole["upper"]
    assert found["lower"] <= found["upper"]
    assert found["lower"] == pytest.approx(attained, rel=0.05)
    assert found["witness"][2] == 0.5


def test_margins_bound_differences_of_two_outputs(folder: Path) -> None:
    found = certified(saved("dqn", folder))
    assert list(found["margin"]) == ["0-1"]
    margin = found["margin"]["0-1"]
    assert margin <= 2.0**0.5 * found["upper"]
    values = acting("dqn")

    def difference(x: np.ndarray) -> np.ndarray:
        return values(x) @ np.array([[1.0], [-1.0]])

    measured = steepest(difference, observations(4, 4000))
    assert 0.3 * margin < measured <= margin * (1.0 + SINGLE)


@pytest.mark.parametrize(("norm", "factor"), [("l2", 2.0**0.5), ("linf", 2.0)])
def test_margins_with_less_time_are_larger(norm: str, factor: float) -> None:
    rng = np.random.default_rng(0)
    net = Network.from_weights([rng.normal(size=(8, 3)), rng.normal(size=(3, 8))])
    whole = portfolio.certify(net, None, norm)

    def margins(seconds: float) -> dict[str, float]:
        return bracket._margins(net, None, norm, whole, perf_counter() + seconds, 3)

    without, little, ample = margins(-1.0), margins(2.0), margins(60.0)
    assert [*without] == [*little] == [*ample] == ["0-1", "0-2", "1-2"]
    for pair, simple in without.items():
        assert 1.0 < simple / (factor * whole.upper) < 1.0 + 1e-14
        assert ample[pair] <= little[pair] <= simple
        i, j = (int(k) for k in pair.split("-"))
        row = np.eye(3)[[i]] - np.eye(3)[[j]]
        assert little[pair] == pytest.approx(lipsdp(net.rows(row), norm).upper, rel=1e-5)


@pytest.mark.parametrize(("choices", "share"), [(1, 1.0), (2, 0.75), (3, 0.75), (4, 0.5)])
def test_all_outputs_together_get_most_of_the_budget(
    choices: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = Network.from_weights([np.ones((2, 2)), np.eye(choices, 2) + 1.0])
    budgets = []
    whole = portfolio.certify(net, budget_seconds=0.01)

    def counted(net: Any, region: Any, norm: str, budget: float, callback: Any = None) -> Any:
        budgets.append(budget)
        return whole

    monkeypatch.setattr(bracket, "_certified", counted)
    question = bracket.folded(Policy(net, "Q values", choices, 2), None, None)
    found, _ = bracket.bracket(question, "l2", 40.0)
    assert budgets[0] == share * 40.0
    assert len(found["margin"]) == choices * (choices - 1) // 2 == len(budgets) - 1


def test_an_agent_of_rlopt_is_certified(tmp_path: Path) -> None:
    agent: Any = make("dqn", "rlopt/AllenFishery-v0", seed=0)
    agent.save(tmp_path / "agent.zip")
    found = certified(tmp_path / "agent.zip", budget=0.1)
    assert found["layers"][0] == 1
    assert len(found["margin"]) == len(agent.actions) * (len(agent.actions) - 1) // 2


def test_a_box_without_width(folder: Path) -> None:
    arguments = (saved("ppo", folder), "--box", "1,.5,1:1,.5,1")
    found = certified(*arguments)
    assert (found["upper"], found["lower"], found["gap"]) == (0.0, 0.0, 0.0)
    assert found["witness"] == [1.0, 0.5, 1.0]  # in the box
    lines = call(*arguments)[1].splitlines()
    assert lines[0] == "For every pair of observations in the box, the action does not move."
    assert lines[2].split("   ")[-1].strip() == "0 to 0, gap 0 %"


def test_value_nets_critics_and_plain_networks(folder: Path, tmp_path: Path) -> None:
    assert certified(saved("ppo", folder), "--net", "value")["layers"] == [3, 8, 6, 1]
    assert certified(saved("sac", folder), "--net", "q")["layers"] == [4, 8, 6, 1]
    path = plain(tmp_path / "disc.pth", 2, 6, 1)
    found = certified(path, "--activation", "tanh")
    assert found["layers"] == [2, 6, 1]
    assert "margin" not in found


# --- normalisation ---


def normalised(folder: Path, clip: float = 1.5) -> Any:
    """A VecNormalize around a Pendulum, with statistics that are far from 0 and 1."""
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    env = VecNormalize(make_vec_env("Pendulum-v1"), clip_obs=clip, epsilon=1e-3)
    statistics: Any = env.obs_rms
    statistics.mean, statistics.var = np.array([0.5, -1.0, 2.0]), np.array([0.04, 0.25, 9.0])
    return env


@pytest.mark.parametrize("ending", ["npz", "json"])
def test_normalisation_is_folded_in(ending: str, folder: Path, tmp_path: Path) -> None:
    env = normalised(folder)
    path = tmp_path / f"statistics.{ending}"
    export_statistics(env, path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    statistics = read_statistics(path)
    policy = read(saved("ppo", folder))
    folded = statistics.fold(policy.network, 3)
    low, high = statistics.clipped(None, 3) or (np.nan, np.nan)
    x = np.clip(observations(3) * 2.0, low, high)
    inner = policy.network(env.normalize_obs(x).astype(float))
    np.testing.assert_allclose(folded(x), inner, atol=1e-6)

    found = certified(saved("ppo", folder), "--vecnormalize", path, budget=0.5)
    np.testing.assert_allclose(found["obs_scale"], 1.0 / np.sqrt(env.obs_rms.var + 1e-3))
    assert found["region"] is None
    act = acting("ppo")
    measured = steepest(lambda x: act(env.normalize_obs(x)), observations(3, 4000) * 2.0)
    assert 0.5 * found["lower"] < measured <= found["upper"] * (1.0 + SINGLE)
    witness = np.array(found["witness"])
    assert (low <= witness).all()  # beyond it the clip would hide the network
    assert (witness <= high).all()


def test_a_raw_box_is_cut_by_the_clip(folder: Path, tmp_path: Path) -> None:
    export_statistics(normalised(folder), tmp_path / "s.npz")
    statistics = read_statistics(tmp_path / "s.npz")
    reach = 1.5 * np.sqrt(np.array([0.041, 0.251, 9.001]))
    cut = statistics.clipped((np.array([0.5, 8.0, -90.0]), np.full(3, 90.0)), 3)
    assert cut is not None
    low, high = cut
    np.testing.assert_allclose(low, [0.5, -1.0 + reach[1], 2.0 - reach[2]])
    np.testing.assert_allclose(high, [0.5 + reach[0], -1.0 + reach[1], 2.0 + reach[2]])
    # a box behind the clip in all coordinates: the policy is constant there
    found = certified(
        saved("ppo", folder), "--vecnormalize", tmp_path / "s.npz", "--box", "50,50,50:60,60,60"
    )
    assert (found["upper"], found["lower"], found["gap"]) == (0.0, 0.0, 0.0)
    assert found["region"] == [[50.0] * 3, [60.0] * 3]


def test_statistics_of_observations_of_any_shape_are_exported_flat(
    folder: Path, tmp_path: Path
) -> None:
    env = normalised(folder)
    env.obs_rms.mean, env.obs_rms.var = env.obs_rms.mean[:, None], env.obs_rms.var[:, None]
    export_statistics(env, tmp_path / "s.npz")
    np.testing.assert_array_equal(read_statistics(tmp_path / "s.npz").mean, [0.5, -1.0, 2.0])


def test_statistics_behind_the_observation_leave_the_action_alone(
    folder: Path, tmp_path: Path
) -> None:
    export_statistics(normalised(folder, clip=np.inf), tmp_path / "s.json")
    statistics = read_statistics(tmp_path / "s.json")
    critic = read(saved("sac", folder), "q")
    folded = statistics.fold(critic.network, critic.observations)
    x = observations(4)
    inner = x.copy()
    inner[:, :3] = (x[:, :3] - [0.5, -1.0, 2.0]) / np.sqrt([0.041, 0.251, 9.001])
    np.testing.assert_allclose(folded(x), critic.network(inner), atol=1e-12)
    assert statistics.clipped(None, 4) is None


def test_a_pickle_of_statistics_needs_trust(folder: Path, tmp_path: Path) -> None:
    policy, path, trace = saved("ppo", folder), tmp_path / "vec.pkl", tmp_path / "trace"
    normalised(folder).save(str(path))
    line = refused(policy, "--vecnormalize", path)
    assert "export_statistics, or give --trust-pickle" in line
    found = certified(policy, "--vecnormalize", path, "--trust-pickle", budget=0.1)
    np.testing.assert_allclose(found["obs_scale"], np.array([0.041, 0.251, 9.001]) ** -0.5)
    path.write_bytes(pickle.dumps(Evil(trace)))
    refused(policy, "--vecnormalize", path)
    np.savez(
        tmp_path / "evil.npz", mean=np.array([Evil(trace)], object), var=1, epsilon=1, clip_obs=1
    )
    assert "pickled objects" in refused(policy, "--vecnormalize", tmp_path / "evil.npz")
    assert not trace.exists()


# --- safety ---


def test_a_policy_that_would_run_code_is_certified_without_running_it(
    folder: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    bomb = base64.b64encode(pickle.dumps(Evil(trace))).decode()

    def arm(data: dict[str, Any]) -> None:
        for value in [*data.values(), data]:
            if isinstance(value, dict):
                value[":serialized:"] = bomb

    armed = certified(with_data(saved("ppo", folder), arm))
    plain = certified(saved("ppo", folder))
    assert (armed["upper"], armed["lower"]) == (plain["upper"], plain["lower"])
    torch.save({"0.weight": Evil(trace)}, tmp_path / "evil.pth")
    evil = (tmp_path / "evil.pth").read_bytes()
    zipped = rewritten(saved("ppo", folder), "policy.pth", lambda content: evil)
    assert "without pickle" in refused(zipped)
    assert "without pickle" in refused(tmp_path / "evil.pth")
    assert not trace.exists()


def test_names_in_a_file_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    torch.save({"a\n\x1b[2Jb": torch.ones(1)}, tmp_path / "bad.pth")
    assert "not a [2Jb" in refused(tmp_path / "bad.pth")


# --- what people read ---


def test_a_bound_above_the_largest_ends_with_1(folder: Path) -> None:
    path = saved("ppo", folder)
    upper = certified(path)["upper"]
    code, out, err = call(path, "--max", repr(upper * 0.999), "--json")
    assert code == 1
    assert json.loads(out)["upper"] > upper * 0.999
    assert err == f"rlopt: the bound {say.up(upper)} is above --max {upper * 0.999!r}\n"
    assert call(path, "--max", repr(upper * 1.001))[0::2] == (0, "")


def test_the_answer_comes_first(folder: Path) -> None:
    found = certified(saved("td3", folder))
    code, out, err = call(saved("td3", folder))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == (
        f"For every pair of observations, the action moves at most {say.up(found['upper'])} "
        "per unit (l2)."
    )
    flat = " ".join(out.split())
    assert not any(line.endswith(" ") for line in lines)
    for words in (
        f"bracket {say.down(found['lower'])} to {say.up(found['upper'])}, gap",
        "network 3-8-6-1-1, relu, tanh",
        "in the network's own input units",
        "before any clip to the bounds",
        "not covered the float32 rounding",
    ):
        assert words in flat
    out = call(saved("dqn", folder), "--box", "0,0,0,0:1,1,1,1")[1]
    assert out.startswith("For every pair of observations in the box, the Q values move at most")
    assert "margins 0-1: " in " ".join(out.split())
    torch.save(trained("ppo-discrete").policy.state_dict(), folder / "logits.pth")
    out = call(folder / "logits.pth", "--activation", "tanh", "--budget", "0.1")[1]
    assert "margins none: the file does not tell which logits compete" in " ".join(out.split())
    out = call(saved("sac", folder), "--net", "q")[1]
    assert "the Q value moves at most" in out
    assert "then the action scaled to [-1, 1]" in out


def test_a_certificate_is_kept_and_verifies(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    code, _, _ = call(saved("ppo", folder), "--save", path)
    assert code == 0
    certificate = Certificate.from_json(path.read_text())
    assert certificate.upper == certified(saved("ppo", folder))["upper"]
    assert certificate.verify()


def test_a_certificate_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    assert "cannot write" in refused(saved("ppo", folder), "--budget", "0.1", "--save", tmp_path)


def test_every_option_is_explained() -> None:
    code, out, _ = call("--help")
    assert code == 0
    for words in (
        "--norm", "--box", "--vecnormalize", "--trust-pickle", "--activation", "--action-low",
        "--action-high", "--net", "--max", "--budget", "--save", "--json", "No pickle is opened",
    ):  # fmt: skip
        assert words in out


def test_shown_bounds_are_rounded_outwards() -> None:
    assert (say.up(3.89701), say.down(3.89799)) == ("3.898", "3.897")
    assert (say.up(12.0), say.down(0.0), say.up(123456.0)) == ("12.00", "0", "123\u202f500")
    assert say.up(0.000123401) == "0.0001235"
    assert (say.up(1.23401e-7), say.down(9.99999e-7)) == ("1.235 × 10⁻⁷", "9.999 × 10⁻⁷")
    assert say.up(9.99999e5) == "10⁶"
