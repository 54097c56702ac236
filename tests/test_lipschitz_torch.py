"""Networks read from torch modules and policies give what these give."""

import re
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from rlopt.theory.lipschitz import Network
from rlopt.theory.lipschitz.modules import from_torch

SAME = 1e-12
TOLERANCE = 2e-5  # of policies, which compute in float32


def inputs(width: int, number: int = 50) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(number, width)) * 3.0


def made(*modules: nn.Module) -> nn.Module:
    """In float64, with weights by seed."""
    torch.manual_seed(5)
    net = nn.Sequential(*modules).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.6)
    return net


def agree(net: Network, module: nn.Module) -> None:
    x = inputs(net.inputs)
    training = module.training
    module.eval()
    with torch.no_grad():
        wanted = module(torch.tensor(x)).numpy()
    module.train(training)
    np.testing.assert_allclose(net(x), wanted, rtol=SAME, atol=SAME)


@pytest.mark.parametrize(
    "activation",
    [
        nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.LeakyReLU(0.2), nn.LeakyReLU(0.0), nn.ELU(),
        nn.ELU(alpha=0.7), nn.Softplus(beta=1.5, threshold=40.0), nn.SiLU(), nn.GELU(),
        nn.Hardtanh(-0.5, 1.25), nn.ReLU6(), nn.Identity(), nn.Dropout(0.5), nn.Flatten(),
    ],
    ids=lambda module: str(module).replace(" ", ""),
)  # fmt: skip
def test_each_module_is_what_it_computes(activation: nn.Module) -> None:
    module = made(nn.Linear(3, 6), activation, nn.Linear(6, 4, bias=False), activation)
    module.train()
    agree(from_torch(module), module)
    assert module.training


def test_modules_nest_and_linear_layers_follow_each_other() -> None:
    inner = nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.Tanh(), nn.Linear(5, 5)))
    module = made(nn.Tanh(), nn.Linear(3, 4), inner, nn.Linear(5, 2), nn.Sigmoid())
    net = Network.from_torch(module)
    assert (net.inputs, net.outputs, net.neurons) == (3, 2, 3 + 5 + 2)
    agree(net, module)


def test_a_clip_costs_no_tightness() -> None:
    """Its two ReLU share one path, so that the product of slopes stays 1."""
    net = from_torch(made(nn.Linear(1, 1), nn.Hardtanh()))
    assert net.neurons == 2
    weight = abs(net.layers[0].H[0, 0]) if net.layers[0].H is not None else np.nan
    assert np.abs(net.jacobian(inputs(1))).max() == weight


def test_float32_weights_are_kept_exactly() -> None:
    module = nn.Linear(3, 2)
    net = from_torch(module)
    assert net.layers[0].H is not None
    assert (module.weight.detach().numpy() == net.layers[0].H).all()


@pytest.mark.parametrize("training", [True, False])
def test_spectral_norm_counts_with_its_present_estimate(training: bool) -> None:
    module = made(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1))
    parts: Any = list(module.children())
    nn.utils.parametrizations.spectral_norm(parts[0])
    nn.utils.spectral_norm(parts[2])
    with torch.no_grad():  # a step of training: the estimates lag behind
        for weight in (parts[0].parametrizations.weight.original, parts[2].weight_orig):
            weight += 0.3
    module.train(training)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    net = from_torch(module)
    agree(net, module)
    assert all(torch.equal(before[name], now) for name, now in module.state_dict().items())
    assert np.linalg.norm(net.layers[0].W, 2) != pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (nn.Conv2d(1, 1, 3), "Conv2d"),
        (nn.LSTM(2, 2), "LSTM"),
        (nn.BatchNorm1d(4), "BatchNorm1d"),
        (nn.LayerNorm(4), "LayerNorm"),
        (nn.Softmax(dim=1), "Softmax"),
        (nn.Softplus(threshold=3.0), "Softplus is not supported with threshold 3"),
        (nn.GELU(approximate="tanh"), "GELU is not supported with approximate='tanh'"),
        (nn.Bilinear(4, 4, 4), "Bilinear"),
    ],
)
def test_other_modules_are_refused_by_name(module: nn.Module, name: str) -> None:
    with pytest.raises(ValueError, match="^from_torch: " + re.escape(name)):
        from_torch(nn.Sequential(nn.Linear(3, 4), module))


class Doubled(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2.0 * super().forward(x)


def test_what_computes_something_else_is_refused() -> None:
    hooked = nn.Linear(3, 4)
    hooked.register_forward_hook(lambda module, given, out: 2.0 * out)
    for module, match in (
        (Doubled(3, 4), "Doubled is not"),
        (hooked, "a hook"),
        (nn.Tanh(), "no Linear layer"),
        ("a net", "str is not supported: it is no torch module"),
        (nn.Linear(3, 4, dtype=torch.complex64), "complex"),
        (nn.Sequential(nn.Linear(3, 4), nn.Linear(3, 4)), "does not fit to 4 inputs"),
    ):
        with pytest.raises(ValueError, match=match):
            from_torch(module)
    broken = nn.Linear(3, 4)
    nn.init.constant_(broken.bias, float("nan"))
    with pytest.raises(ValueError, match="bias must be finite, got nan"):
        from_torch(broken)


# --- policies ---

SMALL = {"net_arch": [16, 12]}


def observations(space: gymnasium.spaces.Box) -> np.ndarray:
    return inputs(int(np.prod(space.shape))).astype(np.float32)


@pytest.mark.parametrize(
    ("library", "name", "settings"),
    [
        ("stable_baselines3", "PPO", {}),
        ("stable_baselines3", "PPO", {"use_sde": True, "squash_output": True}),
        ("stable_baselines3", "A2C", {"activation_fn": nn.SiLU}),
        ("sb3_contrib", "TRPO", {"net_arch": []}),
        ("stable_baselines3", "SAC", {}),
        ("stable_baselines3", "SAC", {"use_sde": True, "clip_mean": 0.5}),
        ("stable_baselines3", "TD3", {}),
        ("stable_baselines3", "DDPG", {"activation_fn": nn.Tanh}),
        ("sb3_contrib", "TQC", {}),
    ],
)
def test_continuous_policies(library: str, name: str, settings: dict[str, Any]) -> None:
    algorithm = getattr(pytest.importorskip(library), name)
    use_sde = {"use_sde": True} if settings.get("use_sde") else {}
    kwargs = SMALL | {key: value for key, value in settings.items() if key != "use_sde"}
    model = algorithm("MlpPolicy", "Pendulum-v1", policy_kwargs=kwargs, device="cpu", **use_sde)
    x = observations(model.observation_space)
    space = model.action_space
    actions, _ = model.predict(x, deterministic=True)
    net = from_torch(model)
    ours = np.clip(net(x.astype(float)), space.low, space.high)
    np.testing.assert_allclose(ours, actions, atol=TOLERANCE)
    again = from_torch(model.policy)
    assert (again(x.astype(float)) == net(x.astype(float))).all()


@pytest.mark.parametrize(
    ("library", "name"),
    [("stable_baselines3", "PPO"), ("stable_baselines3", "DQN"), ("sb3_contrib", "QRDQN")],
)
def test_discrete_policies(library: str, name: str) -> None:
    algorithm = getattr(pytest.importorskip(library), name)
    model = algorithm("MlpPolicy", "CartPole-v1", policy_kwargs=dict(SMALL), device="cpu")
    x = observations(model.observation_space)
    chosen, _ = model.predict(x, deterministic=True)
    net = from_torch(model)
    assert (net(x.astype(float)).argmax(axis=-1) == chosen).all()
    assert 0 < chosen.mean() < 1


class Images(gymnasium.Env[np.ndarray, np.ndarray]):
    observation_space = gymnasium.spaces.Box(0, 255, (36, 36, 1), np.uint8)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)


class Named(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    observation_space: Any = gymnasium.spaces.Dict(
        {name: gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32) for name in "ba"}
    )
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)


def test_policies_on_images_are_refused() -> None:
    from stable_baselines3 import PPO

    for policy, match in (("CnnPolicy", "NatureCNN"), ("MlpPolicy", "image observations")):
        with pytest.raises(ValueError, match=match):
            from_torch(PPO(policy, Images(), device="cpu"))


def test_recurrent_policies_are_refused() -> None:
    contrib = pytest.importorskip("sb3_contrib")
    model = contrib.RecurrentPPO("MlpLstmPolicy", "Pendulum-v1", device="cpu")
    with pytest.raises(ValueError, match="RecurrentActorCriticPolicy is not supported: it is rec"):
        from_torch(model)


def test_named_observations_are_concatenated() -> None:
    from stable_baselines3 import PPO

    model = PPO("MultiInputPolicy", Named(), policy_kwargs=dict(SMALL), device="cpu")
    x = inputs(4).astype(np.float32)
    actions, _ = model.predict({"a": x[:, :2], "b": x[:, 2:]}, deterministic=True)
    ours = np.clip(from_torch(model)(x.astype(float)), -1.0, 1.0)
    np.testing.assert_allclose(ours, actions, atol=TOLERANCE)
