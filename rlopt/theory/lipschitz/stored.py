"""Networks as plain data, for certificates that must be able to compute a bound again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from rlopt.theory.lipschitz.activations import Activation
from rlopt.theory.lipschitz.layers import Layer
from rlopt.theory.lipschitz.network import Network


def network_to(net: Network) -> list[dict[str, Any]]:
    """Each layer's fields as lists; floats keep every digit."""
    return [{f.name: _plain(getattr(layer, f.name)) for f in fields(Layer)} for layer in net.layers]


def network_from(data: list[Mapping[str, Any]]) -> Network:
    """What `network_to` gave.

    Raises:
        ValueError: layers that do not fit together.
        KeyError: a missing field.
    """
    return Network(tuple(_layer(item) for item in data))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"shape": value.shape, "entries": value.ravel().tolist()}
    return str(value) if isinstance(value, Activation) else value


def _layer(item: Mapping[str, Any]) -> Layer:
    def read(name: str) -> Any:
        value = item[name]
        if name == "activation":
            return Activation.parse(value)
        if isinstance(value, Mapping):
            return np.array(value["entries"], float).reshape(value["shape"])
        return value

    return Layer(**{f.name: read(f.name) for f in fields(Layer)})
