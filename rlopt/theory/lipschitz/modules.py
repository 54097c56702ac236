"""Networks read from torch modules and from policies of Stable-Baselines3.

Policies are known by their attributes, so that no reinforcement-learning library is needed here.
What a module does in evaluation mode is read: Dropout does nothing, a spectral norm divides by its
present estimate. A module of any other kind is refused by its class name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from rlopt.theory.checks import finite_array
from rlopt.theory.lipschitz.activations import Activation
from rlopt.theory.lipschitz.layers import Layer, linear
from rlopt.theory.lipschitz.network import Network

# torch's Softplus is cut to the identity where beta v > threshold, a jump of log(1 + e^-threshold);
# from here on it is smaller than the rounding of the float32 numbers on both sides
THRESHOLD = 16.0


class Affine(NamedTuple):
    """x -> W x + b.

    Attributes:
        W: (p, n).
        b: (p,).
    """

    W: np.ndarray
    b: np.ndarray


class Clip(NamedTuple):
    """x -> min(max(x, low), high) of each neuron."""

    low: float
    high: float


Step = Affine | Activation | Clip


def chain(steps: Sequence[Step]) -> Network:
    """The network that takes one step after another.

    Raises:
        ValueError: no affine step, widths that do not fit, numbers that are not finite.
    """
    first = next((step for step in steps if isinstance(step, Affine)), None)
    if first is None:
        raise ValueError("from_torch: the module has no Linear layer, so that its width is unknown")
    layers: list[Layer] = []
    waiting: Affine | None = None  # an affine step joins the activation that follows it
    width = first.W.shape[1]
    for step in _scalar(steps, width):
        if isinstance(step, Affine):
            if waiting is not None:
                layers.append(linear(*waiting))
            waiting = _checked(step, width)
            width = len(waiting.W)
        else:
            W, b = waiting or Affine(np.eye(width), np.zeros(width))
            layers.append(Layer(W, b, step, np.eye(width), None, np.zeros(width)))
            waiting = None
    # methods may count on a linear end
    layers.append(linear(*(waiting or Affine(np.eye(width), np.zeros(width)))))
    return Network(tuple(layers))


def _scalar(steps: Sequence[Step], width: int) -> Iterator[Affine | Activation]:
    """Clips as two ReLU one after the other, so that slope 1 is certified for both together.

    With u = relu(x - low) and v = relu(high - low - u) a clip is high - v.
    """
    for step in steps:
        if isinstance(step, Clip):
            eye, ones, relu = np.eye(width), np.ones(width), Activation("relu")
            yield from (Affine(eye, -step.low * ones), relu)
            yield from (Affine(-eye, (step.high - step.low) * ones), relu)
            yield Affine(-eye, step.high * ones)
        else:
            width = len(step.W) if isinstance(step, Affine) else width
            yield step


def _checked(step: Affine, width: int) -> Affine:
    W, b = finite_array("from_torch", "weight", step.W), finite_array("from_torch", "bias", step.b)
    if W.ndim != 2 or 0 in W.shape or W.shape[1] != width or b.shape != W.shape[:1]:
        raise ValueError(
            f"from_torch: a layer with weight {W.shape} and bias {b.shape} does not fit to "
            f"{width} inputs"
        )
    return Affine(W, b)


def squashed(low: np.ndarray, high: np.ndarray) -> list[Step]:
    """Tanh, then [-1, 1] to the action bounds: a = low + (tanh + 1) (high - low) / 2.

    Args:
        low: (m,).
        high: (m,), > low.
    """
    return [Activation("tanh"), rescaled(low, high)]


def rescaled(low: np.ndarray, high: np.ndarray) -> Affine:
    """[-1, 1] to the action bounds, as Stable-Baselines3 does."""
    half = 0.5 * (high - low)
    return Affine(np.diag(half), low + half)


def from_torch(module: Any) -> Network:
    """The network of a torch module, of a policy of Stable-Baselines3, or of an algorithm of it.

    Of an algorithm or policy the deterministic policy is read, in the action space's units where
    it squashes its actions, before it clips them elsewhere; the logits or Q values where actions
    are discrete. float32 weights are kept exactly.

    Args:
        module: Linear, Sequential, Flatten, Identity, Dropout, Hardtanh, ReLU6, ReLU, LeakyReLU,
            ELU, Tanh, Sigmoid, Softplus, SiLU, GELU, nested at will; or a policy with a
            multi-layer perceptron: PPO, A2C, TRPO, SAC, TQC, TD3, DDPG, DQN, QR-DQN.

    Raises:
        ValueError: any other module; it is named.
    """
    policy = getattr(module, "policy", module)
    with _evaluated(policy):
        return chain(_policy(policy))


@contextmanager
def _evaluated(module: Any) -> Iterator[None]:
    """Evaluation mode; reading the weight of a spectral norm in training would change it."""
    modules = list(module.modules()) if hasattr(module, "modules") else []
    training = [(part, part.training) for part in modules]
    for part, _ in training:
        part.training = False
    try:
        yield
    finally:
        for part, was in training:
            part.training = was


def _refuse(module: Any, why: str = "") -> ValueError:
    return ValueError(f"from_torch: {type(module).__name__} is not supported{why}")


# --- policies ---


def _policy(policy: Any) -> list[Step]:
    """The steps of a policy known by its attributes, or of a plain module."""
    if hasattr(policy, "lstm_actor"):
        raise _refuse(policy, ": it is recurrent")
    if hasattr(policy, "mlp_extractor") and hasattr(policy, "action_net"):
        _vectors_only(policy, getattr(policy, "pi_features_extractor", None))
        steps = _steps(policy.mlp_extractor.policy_net) + _steps(policy.action_net)
        return steps + (squashed(*_bounds(policy)) if policy.squash_output else [])
    if hasattr(policy, "actor"):
        return _policy(policy.actor)
    if hasattr(policy, "mu") and hasattr(policy, "features_extractor"):
        _vectors_only(policy, policy.features_extractor)
        if not hasattr(policy, "latent_pi"):  # its tanh is a module of mu
            return [*_steps(policy.mu), rescaled(*_bounds(policy))]
        return _steps(policy.latent_pi) + _steps(policy.mu) + squashed(*_bounds(policy))
    for name in ("q_net", "quantile_net"):
        net = getattr(policy, name, None)
        if net is None:
            continue
        if hasattr(net, name):
            return _policy(net)
        _vectors_only(policy, policy.features_extractor)
        if name == "q_net":
            return _steps(net)
        return [*_steps(net), averaged(int(policy.n_quantiles), int(policy.action_space.n))]
    return _steps(policy)


def averaged(quantiles: int, actions: int) -> Affine:
    """Quantiles of each action, quantile by quantile, to their means: the Q values."""
    share = np.full((1, quantiles), 1.0 / quantiles)
    return Affine(np.kron(share, np.eye(actions)), np.zeros(actions))


def _bounds(policy: Any) -> tuple[np.ndarray, np.ndarray]:
    low, high = (np.asarray(getattr(policy.action_space, side)) for side in ("low", "high"))
    return low.ravel().astype(np.float64), high.ravel().astype(np.float64)


def _vectors_only(policy: Any, extractor: Any) -> None:
    """Refuse features that are not the observation itself."""
    parts = getattr(extractor, "extractors", {})
    flat = type(extractor).__name__ in ("FlattenExtractor", "CombinedExtractor")
    if not flat or any(type(part).__name__ != "Flatten" for part in parts.values()):
        raise _refuse(extractor)
    space = policy.observation_space
    spaces = list(getattr(space, "spaces", {"": space}).values())
    for each in spaces:
        if not hasattr(each, "low"):
            raise ValueError(f"from_torch: observations must be vectors (Box), got {each}")
        if len(each.shape) == 3 and each.dtype == np.uint8:
            raise ValueError(f"from_torch: image observations are not supported, got {each}")


# --- modules ---


def _steps(module: Any) -> list[Step]:
    """The steps of a module; a subclass counts as what it inherits `forward` from."""
    from torch import nn

    if not isinstance(module, nn.Module):
        raise _refuse(module, ": it is no torch module")
    build = {kind.forward: build for kind, build in _readers().items()}.get(type(module).forward)
    if build is None:
        raise _refuse(module)
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    if hooks and not _spectral(hooks):
        raise _refuse(module, f" with a hook {type(hooks[0]).__name__}")
    return build(module)


def _readers() -> dict[Any, Callable[[Any], list[Step]]]:
    """What each kind of module does, as steps."""
    from torch import nn

    def named(name: str, *arguments: str) -> Callable[[Any], list[Step]]:
        return lambda m: [Activation(name, tuple(float(getattr(m, a)) for a in arguments))]

    return {
        nn.Sequential: lambda m: [step for part in m for step in _steps(part)],
        nn.Linear: _linear,
        **dict.fromkeys((nn.Flatten, nn.Identity, nn.Dropout), lambda m: []),
        nn.ReLU: named("relu"),
        nn.Tanh: named("tanh"),
        nn.Sigmoid: named("sigmoid"),
        nn.SiLU: named("silu"),
        nn.LeakyReLU: lambda m: (
            named("leaky_relu", "negative_slope")(m) if m.negative_slope else [Activation("relu")]
        ),
        nn.ELU: named("elu", "alpha"),
        nn.Softplus: _softplus,
        nn.GELU: _gelu,
        nn.Hardtanh: lambda m: [Clip(float(m.min_val), float(m.max_val))],
    }


def _linear(module: Any) -> list[Step]:
    weight = module.weight
    for hook in module._forward_pre_hooks.values():  # the older spectral norm
        weight = hook.compute_weight(module, do_power_iteration=False)
    b = np.zeros(len(weight)) if module.bias is None else _array(module.bias)
    return [Affine(_array(weight), b)]


def _spectral(hooks: list[Any]) -> bool:
    return [type(hook).__name__ for hook in hooks] == ["SpectralNorm"]


def _array(tensor: Any) -> np.ndarray:
    if tensor.is_complex():
        raise ValueError("from_torch: complex weights are not supported")
    return tensor.detach().cpu().double().numpy()


def _softplus(module: Any) -> list[Step]:
    if module.threshold < THRESHOLD:
        raise _refuse(
            module, f" with threshold {module.threshold:g}: it jumps there; {THRESHOLD:g} or more"
        )
    return [Activation("softplus", (float(module.beta),))]


def _gelu(module: Any) -> list[Step]:
    if module.approximate != "none":
        raise _refuse(module, f" with approximate={module.approximate!r}; 'none' is")
    return [Activation("gelu")]
