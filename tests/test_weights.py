"""Policies read from files without unpickling: what is read acts as what was saved."""

import base64
import pickle
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from saved_policies import (
    ALGORITHMS,
    Evil,
    model,
    observations,
    plain,
    rewritten,
    saved,
    trained,
    with_data,
    with_weights,
)

from rlopt.agents.weights import WeightsError, read
from rlopt.theory.lipschitz.modules import from_torch

TOLERANCE = 2e-5  # float32, and action ranges read a millionth too wide


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("saved")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_is_read_acts_as_what_was_saved(name: str, folder: Path) -> None:
    algorithm = trained(name)
    policy = read(saved(name, folder))
    x = observations(policy.observations).astype(np.float32)
    wanted, _ = algorithm.predict(x, deterministic=True)
    ours = policy.network(x.astype(float))
    if policy.choices is None:
        assert policy.outputs == "action"
        space = algorithm.action_space
        clipped = np.clip(ours, space.low, space.high)
        np.testing.assert_allclose(clipped, wanted, atol=TOLERANCE)
        assert np.ptp(wanted) > 0.01
    else:
        assert policy.choices == algorithm.action_space.n == ours.shape[1]
        assert (ours.argmax(axis=1) == wanted).all()
    squashes = policy.enlarged > 1.0
    assert squashes == (name in ("ppo-squashed", "sac", "sac-gsde", "td3", "ddpg", "tqc"))
    np.testing.assert_allclose(from_torch(algorithm)(x), ours, atol=5e-6)


def test_action_ranges_are_enlarged_by_a_millionth(folder: Path) -> None:
    policy = read(saved("td3", folder))
    assert policy.enlarged == pytest.approx(1.000001, rel=1e-12)
    last = policy.network.layers[-1].H
    assert last is not None
    assert last[0, 0] == pytest.approx(2.0 * 1.000001, rel=1e-14)


def test_ranges_far_from_zero_are_enlarged_by_what_their_text_may_hide(folder: Path) -> None:
    def far(data: dict[str, Any]) -> None:
        data["action_space"] |= {"low": "[1000.]", "high": "[1000.0001]"}

    policy = read(with_data(saved("td3", folder), far))
    assert policy.enlarged > 1.0 + 2 * 6e-8 * 1000 / 1e-4


@pytest.mark.parametrize("name", ["ppo", "a2c", "sac", "td3", "dqn", "tqc", "trpo"])
def test_the_agents_of_rlopt_are_read_too(name: str, tmp_path: Path) -> None:
    from rlopt.agents import make

    if name in ("tqc", "trpo"):
        pytest.importorskip("sb3_contrib")
    agent: Any = make(name, "rlopt/AllenFishery-v0", seed=0)
    agent.save(tmp_path / "agent.zip")
    policy = read(tmp_path / "agent.zip")
    x = np.abs(observations(policy.observations)).astype(np.float32)
    wanted, _ = agent.predict(x, deterministic=True)
    ours = policy.network(x.astype(float))
    if policy.choices is not None:
        assert (agent.actions[ours.argmax(axis=1)] == wanted).all()
    else:
        space = agent.action_space
        np.testing.assert_allclose(np.clip(ours, space.low, space.high), wanted, atol=TOLERANCE)


def test_value_nets_and_critics(folder: Path) -> None:
    x = observations(4)
    value = read(saved("ppo", folder), "value")
    with torch.no_grad():
        wanted = trained("ppo").policy.predict_values(torch.tensor(x[:, :3], dtype=torch.float32))
    np.testing.assert_allclose(value.network(x[:, :3]), wanted.numpy(), atol=TOLERANCE)
    assert (value.outputs, value.observations, value.choices) == ("value", 3, None)
    for name in ("sac", "tqc"):
        critic = read(saved(name, folder), "q")
        assert (critic.outputs, critic.observations, critic.network.inputs) == ("Q value", 3, 4)
        with torch.no_grad():
            wanted = (
                trained(name)
                .critic.qf0(torch.tensor(x, dtype=torch.float32))
                .mean(dim=1, keepdim=True)
            )
        np.testing.assert_allclose(critic.network(x), wanted.numpy(), atol=TOLERANCE)
    with pytest.raises(WeightsError, match="offers --net policy or q, not 'value'"):
        read(saved("sac", folder), "value")


# --- plain state_dicts ---


def test_a_plain_state_dict(tmp_path: Path) -> None:
    path = plain(tmp_path / "disc.pth", 3, 8, 5, 1, prefix="net.")
    state = torch.load(path, weights_only=True)
    policy = read(path, activation="leaky_relu(0.2)")
    x = torch.tensor(observations(3))
    for k in (0, 2, 4):
        W, b = (state[f"net.{k}.{kind}"].double() for kind in ("weight", "bias"))
        x = x @ W.T + b
        x = x if k == 4 else torch.nn.functional.leaky_relu(x, 0.2)
    np.testing.assert_allclose(policy.network(observations(3)), x.numpy(), atol=1e-12)
    assert (policy.outputs, policy.choices, policy.enlarged) == ("output", None, 1.0)
    with pytest.raises(WeightsError, match="give --activation"):
        read(path)


def test_layers_count_in_numeric_order_and_networks_are_chosen_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = [2, *range(3, 14), 1]
    state = {
        f"fc{k}.weight": torch.tensor(rng.normal(size=(m, n)))
        for k, (n, m) in enumerate(pairwise(sizes))
    }
    torch.save(dict(reversed(state.items())), tmp_path / "deep.pt")
    assert read(tmp_path / "deep.pt", activation="tanh").network.outputs == 1
    torch.save(
        {"a.0.weight": torch.ones(1, 2), "b.0.weight": torch.ones(3, 2)}, tmp_path / "two.pt"
    )
    with pytest.raises(WeightsError, match="it holds the networks a, b; choose one with --net"):
        read(tmp_path / "two.pt")
    assert read(tmp_path / "two.pt", "b").network.outputs == 3
    with pytest.raises(WeightsError, match="it holds a single network: leave out --net b"):
        read(tmp_path / "deep.pt", "b", activation="tanh")


def test_a_state_dict_of_a_policy_needs_what_only_settings_tell(tmp_path: Path) -> None:
    path = tmp_path / "policy.pth"
    torch.save(trained("td3").policy.state_dict(), path)
    with pytest.raises(WeightsError, match="give --activation"):
        read(path)
    with pytest.raises(WeightsError, match="give --action-low"):
        read(path, activation="relu")
    policy = read(path, activation="relu", action_low=[-2.0], action_high=2.0)
    x = observations(3)
    wanted, _ = trained("td3").predict(x.astype(np.float32), deterministic=True)
    np.testing.assert_allclose(policy.network(x), wanted, atol=TOLERANCE)
    torch.save(trained("ppo-squashed").policy.state_dict(), path)
    with pytest.raises(WeightsError, match="does not tell whether actions are squashed"):
        read(path, activation="tanh")


# --- nothing is unpickled ---


def test_pickled_settings_stay_text(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    bomb = base64.b64encode(pickle.dumps(Evil(trace))).decode()
    pickle.loads(base64.b64decode(bomb))
    assert trace.read_text() == "run"  # it would
    trace.unlink()

    def arm(data: dict[str, Any]) -> None:
        for value in data.values():
            if isinstance(value, dict) and ":serialized:" in value:
                value[":serialized:"] = bomb
        data["policy_kwargs"] |= {":type:": "<class 'dict'>", ":serialized:": bomb}

    path = with_data(saved("sac", folder), arm)
    x = observations(3)
    np.testing.assert_array_equal(read(path).network(x), read(saved("sac", folder)).network(x))
    assert not trace.exists()


def test_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    torch.save({"0.weight": Evil(trace)}, tmp_path / "evil.pth")
    evil = (tmp_path / "evil.pth").read_bytes()
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Evil(trace)))
    path = rewritten(saved("sac", folder), "policy.pth", lambda content: evil)
    for refused in (path, tmp_path / "evil.pth", tmp_path / "raw.pth"):
        with pytest.raises(WeightsError, match="holds no weights that can be read without pickle"):
            read(refused)
    assert not trace.exists()


# --- refusals, each in words of its own ---


def test_files_that_hold_no_network(folder: Path, tmp_path: Path) -> None:
    from rlopt.agents import make

    make("constant_quota", "rlopt/AllenFishery-v0").save(tmp_path / "rule.zip")
    good = saved("ppo", folder).read_bytes()
    middle = good.index(b"policy.pth") + 200
    (tmp_path / "flipped.zip").write_bytes(
        good[:middle] + bytes(255 - b for b in good[middle : middle + 64]) + good[middle + 64 :]
    )
    (tmp_path / "text.zip").write_text("no zip at all")
    (tmp_path / "empty.zip").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "hello")
    sound = plain(tmp_path / "sound.pth", 4, 8, 1).read_bytes()
    title, weight = sound.rindex(b"sound/data/1"), sound.index(b"sound/data/0") + 100
    for file, place in {"renamed.pth": title, "weight.pth": weight}.items():
        (tmp_path / file).write_bytes(sound[:place] + b"\xbd" + sound[place + 1 :])
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"0.weight": 3.0}, tmp_path / "number.pth")
    torch.save({"logits": torch.ones(2, 2)}, tmp_path / "names.pth")
    for name, match in {
        "nothing.zip": "cannot read .*nothing.zip: No such file",
        ".": "cannot read .*: Is a directory",
        "rule.zip": "the agent 'constant_quota', which has no network",
        "flipped.zip": "truncated or damaged",
        "text.zip": "no weights that can be read",
        "empty.zip": "empty.zip is empty",
        "other.zip": "a zip without policy.pth",
        "renamed.pth": "truncated or damaged",
        "weight.pth": "truncated or damaged",
        "list.pth": "no state_dict but list",
        "number.pth": "'0.weight' is float, not a tensor",
        "names.pth": "must hold numbered Linear layers .* not logits",
    }.items():
        with pytest.raises(WeightsError, match=match):
            read(tmp_path / name)


def test_a_file_cut_anywhere_is_called_so(folder: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.zip"
    for path in (saved("td3", folder), plain(tmp_path / "whole.pth", 4, 8, 1)):
        content = path.read_bytes()
        ends = [len(content) * k // 16 for k in range(1, 16)]
        for end in (*ends, len(content) - 25, len(content) - 1):
            cut.write_bytes(content[:end])
            with pytest.raises(WeightsError, match=r"cut\.zip is a truncated or damaged zip"):
                read(cut, activation="relu")


def test_a_zip_without_settings(folder: Path, tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(saved("ppo", folder)) as old,
        zipfile.ZipFile(tmp_path / "p.zip", "w") as new,
    ):
        new.writestr("policy.pth", old.read("policy.pth"))
    with pytest.raises(WeightsError, match=r"p\.zip is a zip without data: the settings"):
        read(tmp_path / "p.zip")


@pytest.mark.parametrize("kind", ["multi_discrete.MultiDiscrete", "multi_binary.MultiBinary"])
def test_logits_of_several_choices_are_refused(kind: str, folder: Path) -> None:
    path = with_data(
        saved("ppo-discrete", folder),
        space("action", **{":type:": f"<class 'gymnasium.spaces.{kind}'>"}),
    )
    name = kind.split(".")[1]
    with pytest.raises(WeightsError, match=f"{name} actions are not supported, only Box and Disc"):
        read(path)
    assert read(path, "value").outputs == "value"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.__setitem__("action_net.bias", torch.tensor([np.nan])), "bias holds nan"),
        (lambda t: t.__setitem__("action_net.weight", torch.ones(1, 5)), "does not fit to 6 inp"),
        (lambda t: t.__setitem__("action_net.weight", torch.ones(2, 6)), "weight .2, 6. and bia"),
        (lambda t: t.__setitem__("action_net.weight", torch.ones(6)), "weight .6,. and bias .1,"),
        (lambda t: t.__setitem__("action_net.weight", torch.ones(1, 1).expand(1, 6)), "no ordin"),
        (lambda t: t.__setitem__("action_net.bias", torch.ones(1) * 1j), "no ordinary tensor"),
        (lambda t: t.pop("mlp_extractor.policy_net.2.weight"), "policy_net.2.weight is missing"),
        (lambda t: t.pop("action_net.weight") is t.pop("action_net.bias"), "of no policy that is"),
        (lambda t: t.__setitem__("mlp_extractor.policy_net.3.weight", torch.ones(6, 6)), "net.3"),
        (lambda t: t.__setitem__("lstm_actor.weight_hh_l0", torch.ones(4, 4)), "^.*recurrent"),
        (lambda t: t.__setitem__("features_extractor.cnn.0.weight", torch.ones(1, 1, 1)), "conv"),
        (lambda t: t.__setitem__("features_extractor.0.weight", torch.ones(3, 3)), "features extr"),
        (lambda t: t.__setitem__("mlp_extractor.policy_net.1.running_mean", torch.ones(3)), "bat"),
    ],
)  # fmt: skip
def test_weights_that_are_refused(change: Any, match: str, folder: Path) -> None:
    with pytest.raises(WeightsError, match=match):
        read(with_weights(saved("ppo", folder), change))


def kwargs(**values: Any) -> Any:
    return lambda data: data["policy_kwargs"].update(values)


def space(name: str, **values: Any) -> Any:
    return lambda data: data[f"{name}_space"].update({k: v for k, v in values.items()})


MISH = "<class 'torch.nn.modules.activation.Mish'>"
RELU = "<class 'torch.nn.modules.activation.ReLU'>"
NATURE = "<class 'stable_baselines3.common.torch_layers.NatureCNN'>"
DISCRETE = "<class 'gymnasium.spaces.discrete.Discrete'>"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (kwargs(activation_fn=MISH), "activation \"<class .*Mish'>\" is not known; give --activ"),
        (kwargs(activation_fn=RELU + " "), "is not known; give --activation"),
        (kwargs(activation_fn={":type:": RELU}), "is not known; give --activation"),
        (kwargs(features_extractor_class=NATURE), "NatureCNN'> is not supported"),
        (lambda data: data["policy_class"].update(__module__="mine"), "class of mine is not known"),
        (space("action", low="[-2. ... -2.]"), "do not tell the action bounds; give --action-low"),
        (space("action", high="[2. 2.]"), "2 action bounds for 1 actions; give --action-high"),
        (space("action", high="[inf]"), "must be finite; give --action-high"),
        (space("action", low="[3.]"), "--action-low must be below --action-high"),
        (space("action", _shape=[2]), "1 outputs do not fit to 2 actions"),
        (space("observation", _shape=[4]), "3 inputs do not fit to observations of 4"),
        (space("observation", _shape=["x"]), "the shape of its observation_space"),
        (space("observation", _shape=[3, 1, 1], dtype="uint8"), "image observations"),
        (space("observation", **{":type:": DISCRETE}), "must be vectors .Box., not Discrete"),
        (lambda data: data.clear(), "do not tell the action bounds"),
    ],
)  # fmt: skip
def test_settings_that_are_refused(change: Any, match: str, folder: Path) -> None:
    with pytest.raises(WeightsError, match=match):
        read(with_data(saved("td3", folder), change))


def test_a_network_without_its_head_is_refused(folder: Path) -> None:
    def behead(tensors: dict[str, Any]) -> None:
        for key in [key for key in tensors if key.startswith(("actor.mu.", "value_net."))]:
            del tensors[key]

    with pytest.raises(WeightsError, match=r"actor\.mu is missing"):
        read(with_weights(saved("sac", folder), behead))
    with pytest.raises(WeightsError, match="value_net is missing"):
        read(with_weights(saved("ppo", folder), behead), "value")


@pytest.mark.parametrize("content", [b"", b"\xff", b"[1]", b"[" * 100_000, b'{"a": '])
def test_settings_that_are_no_json(content: bytes, folder: Path) -> None:
    with pytest.raises(WeightsError, match="its data is no JSON"):
        read(rewritten(saved("td3", folder), "data", lambda old: content))


def test_what_is_given_counts_before_what_the_settings_say(folder: Path) -> None:
    path = with_data(saved("td3", folder), kwargs(activation_fn=MISH))
    policy = read(path, activation="relu", action_low=[-1.0], action_high=[3.0])
    x = observations(3)
    wanted = 1.0 + read(saved("td3", folder)).network(x)
    np.testing.assert_allclose(policy.network(x), wanted, atol=TOLERANCE)
    with pytest.raises(WeightsError, match="activation must be one of"):
        read(path, activation="mish")
    with pytest.raises(WeightsError, match="--action-low must be 1 numbers, got 2"):
        read(path, activation="relu", action_low=[1.0, 2.0])


def test_activations_are_read_and_have_defaults(folder: Path) -> None:
    def names(path: Path, net: str = "policy") -> list[str]:
        return [str(p.activation) for p in read(path, net).network.layers if p.neurons]

    assert names(saved("ppo", folder)) == ["tanh", "tanh"]
    assert names(saved("a2c", folder)) == ["silu", "silu"]
    assert names(saved("ddpg", folder)) == ["leaky_relu(0.01)", "leaky_relu(0.01)", "tanh"]
    assert names(saved("dqn", folder)) == ["relu", "relu"]
    assert names(with_data(saved("ppo", folder), kwargs(activation_fn=RELU))) == ["relu", "relu"]


class Named(gymnasium.Env[Any, np.ndarray]):
    observation_space: Any = gymnasium.spaces.Dict(
        {name: gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32) for name in "ba"}
    )
    action_space: Any = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)


class Images(gymnasium.Env[np.ndarray, np.ndarray]):
    observation_space = gymnasium.spaces.Box(0, 255, (36, 36, 1), np.uint8)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)


def test_policies_that_are_more_than_a_perceptron(tmp_path: Path) -> None:
    contrib = pytest.importorskip("sb3_contrib")
    path = tmp_path / "policy.zip"
    contrib.RecurrentPPO("MlpLstmPolicy", "Pendulum-v1", device="cpu").save(path)
    with pytest.raises(WeightsError, match="recurrent"):
        read(path)
    model("ppo", Images(), policy="CnnPolicy").save(path)
    with pytest.raises(WeightsError, match="convolutional"):
        read(path)
    model("ppo", Images()).save(path)
    with pytest.raises(WeightsError, match="image observations"):
        read(path)
    named = model("ppo", Named(), policy="MultiInputPolicy")
    named.save(path)
    x = observations(4).astype(np.float32)
    wanted, _ = named.predict({"a": x[:, :2], "b": x[:, 2:]}, deterministic=True)
    ours = np.clip(read(path).network(x.astype(float)), -1.0, 1.0)
    np.testing.assert_allclose(ours, wanted, atol=TOLERANCE)
