"""The network of a policy from the names of its tensors and the text of its settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from rlopt.agents.weights.archive import Saved, WeightsError, opened
from rlopt.theory.lipschitz.activations import Activation
from rlopt.theory.lipschitz.modules import Affine, Clip, Step, averaged, chain, squashed
from rlopt.theory.lipschitz.network import Network

# how Stable-Baselines3 writes an activation into its JSON; the classes with default arguments
ACTIVATION = re.compile(r"<class 'torch\.nn\.modules\.activation\.(\w+)'>")
ACTIVATIONS: dict[str, Step] = {
    "Tanh": Activation("tanh"),
    "ReLU": Activation("relu"),
    "Sigmoid": Activation("sigmoid"),
    "LeakyReLU": Activation("leaky_relu", (0.01,)),
    "ELU": Activation("elu"),
    "Softplus": Activation("softplus"),
    "SiLU": Activation("silu"),
    "GELU": Activation("gelu"),
    "Hardtanh": Clip(-1.0, 1.0),
    "ReLU6": Clip(0.0, 6.0),
}
SPACE = re.compile(r"<class 'gym(?:nasium)?\.spaces\.\w+\.(\w+)'>")
EXTRACTOR = re.compile(r"<class '[\w.]+\.(?:Flatten|Combined)Extractor'>")
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|inf)|nan", re.IGNORECASE)
HOMES = ("stable_baselines3.", "sb3_contrib.")
CLIP_MEAN = 2.0  # of SAC with gSDE
RELATIVE = 1e-6  # by which action ranges are enlarged, since they are read from rounded text
PRINTED = 5.1e-9  # numpy prints 8 digits after the point


@dataclass(frozen=True)
class Policy:
    """A network that was read.

    Attributes:
        network: observation -> outputs; for a critic (observation, action scaled to [-1, 1]).
        outputs: what comes out: "action" (in its own units, before it is clipped), "logits",
            "Q values", "value", "Q value" or "output".
        choices: number of discrete actions, None for others.
        observations: how many of the inputs are the observation.
        enlarged: factor >= 1 by which action ranges may be too large, being read from text.
    """

    network: Network
    outputs: str
    choices: int | None
    observations: int
    enlarged: float = 1.0


def read(
    path: str | Path,
    net: str = "policy",
    *,
    activation: str | None = None,
    action_low: Any = None,
    action_high: Any = None,
) -> Policy:
    """Read a network from a zip of Stable-Baselines3 or sb3_contrib, or from a plain state_dict.

    Nothing is unpickled. The architecture follows from the names of the tensors: PPO, A2C, TRPO,
    SAC, TQC, TD3, DDPG, DQN and QR-DQN with multi-layer perceptrons; else Linear layers numbered
    in their order ("0.weight", "net.2.weight", "fc1.weight"), with an activation between any two.

    Args:
        path: the file.
        net: "policy", "value" (of actor-critic policies), "q" (a critic), or the common beginning
            of the names in a plain state_dict that holds several networks.
        activation: of all hidden layers, as for Network.from_weights. None: as the settings say,
            which a plain state_dict lacks.
        action_low: numbers, or one for all actions; None: as the settings say.
        action_high: the same. Both are refused where no action is squashed.

    Raises:
        WeightsError: the file cannot be read, is not supported, or does not tell what is needed.
    """
    saved = opened(path)
    given = None if activation is None else _named(activation)
    try:
        _supported(saved)
        policy = _Reader(saved, net, given, action_low, action_high).policy()
        if policy.enlarged == 1.0:
            _unused({"--action-low": action_low, "--action-high": action_high})
        return policy
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def _named(activation: str) -> Activation:
    try:
        return Activation.parse(activation)
    except (ValueError, TypeError) as error:
        raise WeightsError(str(error).removeprefix("Network: ")) from error


def _unused(bounds: Mapping[str, Any]) -> None:
    """Refuse bounds that would change nothing."""
    for flag, given in bounds.items():
        if given is not None:
            raise WeightsError(f"{flag} is for squashed actions, and this network squashes none")


def _supported(saved: Saved) -> None:
    """Refuse by name what is no multi-layer perceptron on vectors."""
    for key, tensor in saved.tensors.items():
        if "lstm" in key or "gru" in key.split("."):
            raise WeightsError(f"recurrent policies are not supported ({key})")
        if tensor.ndim > 2:
            raise WeightsError(f"convolutional policies are not supported ({key})")
        if "features_extractor." in key:
            raise WeightsError(f"features extractors with weights are not supported ({key})")
        if key.endswith(("running_mean", "running_var")):
            raise WeightsError(f"batch normalisation is not supported ({key})")
    extractor = saved.text("policy_kwargs", "features_extractor_class")
    if extractor is not None and not EXTRACTOR.fullmatch(str(extractor)):
        raise WeightsError(f"the features extractor {extractor} is not supported")
    space = _space(saved, "observation_space")
    if space not in (None, "Box", "Dict"):
        raise WeightsError(f"observations must be vectors (Box), not {space}")
    shape = _shape(saved, "observation_space")
    if shape and len(shape) == 3 and saved.text("observation_space", "dtype") == "uint8":
        raise WeightsError(f"image observations {shape} are not supported")


def _space(saved: Saved, name: str) -> str | None:
    match = SPACE.fullmatch(str(saved.text(name, ":type:")))
    return match[1] if match else None


def _shape(saved: Saved, space: str) -> tuple[int, ...] | None:
    """Of a Box."""
    shape = saved.text(space, "_shape")
    if _space(saved, space) != "Box" or not isinstance(shape, list):
        return None
    if not all(type(number) is int for number in shape):
        raise WeightsError(f"the shape of its {space} is {shape!r:.80}")
    return tuple(shape)


@dataclass(frozen=True)
class _Reader:
    """The choices of `read`."""

    saved: Saved
    net: str
    activation: Activation | None
    low: Any
    high: Any

    def policy(self) -> Policy:
        if self._has("action_net."):
            return self._actor_critic()
        if self._has("actor.mu.") or self._has("actor.latent_pi."):
            return self._actor()
        for name in ("q_net", "quantile_net"):
            if self._has(f"{name}.{name}."):
                return self._q_net(name)
        if self.saved.data is not None:
            raise WeightsError("the tensors' names are of no policy that is supported")
        return self._plain()

    def _has(self, beginning: str) -> bool:
        return any(key.startswith(beginning) for key in self.saved.tensors)

    # --- the policies of Stable-Baselines3 ---

    def _actor_critic(self) -> Policy:
        """PPO, A2C, TRPO: mlp_extractor, then a linear head."""
        self._offered("policy", "value")
        part, head = f"mlp_extractor.{self.net}_net", f"{self.net}_net"
        if self.net == "policy":
            head = "action_net"
        steps = self._perceptron(["mlp_extractor.shared_net", part, head], "Tanh")
        if self.net == "value":
            return self._made(steps, "value")
        choices, space = self._choices(steps), _space(self.saved, "action_space")
        if space not in (None, "Box", "Discrete"):
            raise WeightsError(f"{space} actions are not supported, only Box and Discrete")
        if space != "Box" and "log_std" not in self.saved.tensors:
            return self._made(steps, "logits", choices)
        if self._squashes():
            return self._squashed(steps)
        return self._made(steps, "action")

    def _squashes(self) -> bool:
        log_std = self.saved.tensors.get("log_std")
        if self.saved.data is None and log_std is not None and log_std.ndim == 2:
            raise WeightsError(
                "a state_dict of a gSDE policy does not tell whether actions are squashed; "
                "give the zip that the algorithm saved"
            )
        return str(self.saved.text("policy_kwargs", "squash_output")) == "True"

    def _actor(self) -> Policy:
        """SAC, TQC: latent_pi and mu, then tanh; TD3, DDPG: mu, then tanh."""
        self._offered("policy", "q")
        if self.net == "q":
            steps = self._perceptron(["critic.qf0"], "ReLU")
            quantiles = _width(steps)
            mean = [averaged(quantiles, 1)] if quantiles > 1 else []
            return self._made([*steps, *mean], "Q value", critic=True)
        steps = self._perceptron(["actor.latent_pi", "actor.mu"], "ReLU")
        # with gSDE the mean is a Sequential that ends with a clip
        if self._has("actor.log_std") and "actor.mu.0.weight" in self.saved.tensors:
            bound = self._clip_mean()
            steps = [*steps, Clip(-bound, bound)]
        return self._squashed(steps)

    def _clip_mean(self) -> float:
        if self.saved.data is None:
            raise WeightsError("a state_dict of a gSDE actor does not tell clip_mean; give the zip")
        said = self.saved.text("policy_kwargs", "clip_mean")
        try:
            bound = CLIP_MEAN if said is None else float(said)
        except (TypeError, ValueError):
            bound = np.nan
        if not 0.0 < bound < np.inf:
            raise WeightsError(f"clip_mean must be a number > 0, got {said!r}")
        return bound

    def _q_net(self, name: str) -> Policy:
        """DQN; QR-DQN, whose Q values are means of quantiles."""
        self._offered("policy", "q")
        steps = self._perceptron([f"{name}.{name}"], "ReLU")
        if name == "quantile_net":
            numbers, actions = _width(steps), self._number_of_actions()
            if not actions or numbers % actions:
                raise WeightsError(f"{numbers} quantiles do not fit to {actions} actions")
            steps = [*steps, averaged(numbers // actions, actions)]
        return self._made(steps, "Q values", self._choices(steps) or _width(steps))

    def _offered(self, *nets: str) -> None:
        if self.net not in nets:
            raise WeightsError(f"it offers --net {' or '.join(nets)}, not {self.net!r}")

    def _perceptron(self, parts: Sequence[str], usual: str) -> list[Step]:
        """Linear layers of the parts in order, with the activation between any two."""
        linears: list[Affine] = []
        for part in parts:
            inside = [key for key in self.saved.tensors if key.startswith(f"{part}.")]
            keys = [key[len(part) + 1 :] for key in inside]
            numbers = sorted(
                {int(key.split(".")[0]) for key in keys if re.match(r"\d{1,9}\.", key)}
            )
            names = [f"{part}.{k}" for k in numbers] or ([part] if keys else [])
            unknown = {f"{part}.{key}" for key in keys}
            unknown -= {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
            if unknown or numbers != list(range(0, 2 * len(numbers), 2)):
                odd = min(unknown) if unknown else f"{part}.{numbers[-1]}.weight"
                raise WeightsError(f"only Linear layers with activations are supported, not {odd}")
            linears += [self._linear(name) for name in names]
        if not self._has(f"{parts[-1]}."):
            raise WeightsError(f"{parts[-1]} is missing")
        return self._alternating(linears, usual)

    def _alternating(self, linears: list[Affine], usual: str) -> list[Step]:
        steps: list[Step] = [linears[0]]
        for linear in linears[1:]:
            steps += [self._phi(usual), linear]
        return steps

    def _linear(self, name: str) -> Affine:
        tensors = self.saved.tensors
        if f"{name}.weight" not in tensors:
            raise WeightsError(f"{name}.weight is missing")
        W = self.saved.array(f"{name}.weight")
        b = self.saved.array(f"{name}.bias") if f"{name}.bias" in tensors else np.zeros(len(W))
        if W.ndim != 2 or 0 in W.shape or b.shape != (len(W),):
            raise WeightsError(f"{name} has weight {W.shape} and bias {b.shape}")
        return Affine(W, b)

    def _phi(self, usual: str) -> Step:
        """The activation as given, as the settings say, or as the class has it by default."""
        if self.activation is not None:
            return self.activation
        if self.saved.data is None:
            raise WeightsError("a plain state_dict does not tell the activation; give --activation")
        said = self.saved.text("policy_kwargs", "activation_fn")
        if said is None:
            home = self.saved.text("policy_class", "__module__")
            if isinstance(home, str) and not home.startswith(HOMES):
                raise WeightsError(
                    f"the activation of a policy class of {home} is not known; give --activation"
                )
            return ACTIVATIONS[usual]
        match = ACTIVATION.fullmatch(said) if isinstance(said, str) else None
        if match is None or match[1] not in ACTIVATIONS:
            raise WeightsError(f"the activation {said!r:.80} is not known; give --activation")
        return ACTIVATIONS[match[1]]

    # --- actions ---

    def _number_of_actions(self) -> int | None:
        if _space(self.saved, "action_space") != "Discrete":
            return None
        said = str(self.saved.text("action_space", "n"))
        return int(said) if re.fullmatch(r"\d{1,9}", said) else None

    def _choices(self, steps: list[Step]) -> int | None:
        """Number of discrete actions; it must be the number of outputs."""
        actions, outputs = self._number_of_actions(), _width(steps)
        if actions is not None and actions != outputs:
            raise WeightsError(f"{outputs} outputs do not fit to {actions} actions")
        return actions

    def _squashed(self, steps: list[Step]) -> Policy:
        low, high, enlarged = self._bounds(_width(steps))
        return self._made([*steps, *squashed(low, high)], "action", enlarged=enlarged)

    def _bounds(self, actions: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Action bounds, their range enlarged a little, and the factor by which at most."""
        low, high = (self._bound(side, actions) for side in ("low", "high"))
        if not (low < high).all():
            raise WeightsError("--action-low must be below --action-high")
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        # a bound is a float32, and its text is cut behind the eighth digit
        uncertain = 6e-8 * (np.abs(low) + np.abs(high)) + 2.0 * PRINTED
        factor = 1.0 + np.maximum(RELATIVE, uncertain / (2.0 * half))
        return middle - half * factor, middle + half * factor, float(factor.max())

    def _bound(self, side: str, actions: int) -> np.ndarray:
        given = {"low": self.low, "high": self.high}[side]
        flag = f"--action-{side}"
        if given is None:
            text = self.saved.text("action_space", side)
            if not isinstance(text, str) or "..." in text:
                raise WeightsError(f"its settings do not tell the action bounds; give {flag}")
            given = [float(number) for number in NUMBER.findall(text)]
            if len(given) != actions:
                raise WeightsError(f"{len(given)} action bounds for {actions} actions; give {flag}")
        values = np.asarray(given, np.float64)
        if values.shape not in ((), (1,), (actions,)):
            raise WeightsError(f"{flag} must be {actions} numbers, got {values.size}")
        if not np.isfinite(values).all():
            raise WeightsError(f"action bounds must be finite; give {flag}")
        return np.broadcast_to(values, (actions,))

    # --- plain state_dicts ---

    def _plain(self) -> Policy:
        """Numbered Linear layers under one common beginning."""
        found: dict[str, dict[int, str]] = {}
        for key in self.saved.tensors:
            match = re.fullmatch(r"((.*?)(\d{1,9}))\.(weight|bias)", key)
            if match is None:
                raise WeightsError(
                    f"a state_dict must hold numbered Linear layers (0.weight, 0.bias), not {key}"
                )
            found.setdefault(match[2], {})[int(match[3])] = match[1]
        chosen = [name for name in found if self.net in (name, name.rstrip("."))]
        if self.net == "policy" and len(found) == 1:
            chosen = [*found]
        if len(found) == 1 and not chosen:
            raise WeightsError(f"it holds a single network: leave out --net {self.net}")
        if len(chosen) != 1:
            listed = ", ".join(name.rstrip(".") or "''" for name in sorted(found))
            raise WeightsError(f"it holds the networks {listed}; choose one with --net")
        linears = [self._linear(name) for _, name in sorted(found[chosen[0]].items())]
        return self._made(self._alternating(linears, "ReLU"), "output")

    def _made(
        self,
        steps: list[Step],
        outputs: str,
        choices: int | None = None,
        *,
        critic: bool = False,
        enlarged: float = 1.0,
    ) -> Policy:
        try:
            network = chain(steps)
        except ValueError as error:
            why = str(error).removeprefix("from_torch: ").removeprefix("Network: ")
            raise WeightsError(why) from error
        said, actions = self._size("observation_space"), self._size("action_space")
        if outputs == "action" and actions not in (None, network.outputs):
            raise WeightsError(f"{network.outputs} outputs do not fit to {actions} actions")
        behind = (actions or 0) if critic else 0
        observations = network.inputs - behind
        if said not in (None, observations):
            raise WeightsError(f"{observations} inputs do not fit to observations of {said}")
        return Policy(network, outputs, choices, observations, enlarged)

    def _size(self, space: str) -> int | None:
        """Numbers in a Box; None for others and where nothing is said."""
        shape = _shape(self.saved, space)
        return None if shape is None else prod(shape)


def _width(steps: list[Step]) -> int:
    """Of what comes out."""
    return next(len(step.W) for step in reversed(steps) if isinstance(step, Affine))
