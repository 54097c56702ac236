"""Saved files, opened without running any code: tensors by weights_only, settings as JSON text."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# what zipfile raises for archives that are damaged, encrypted or packed in ways unknown to it
DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, KeyError,
    ValueError,
)  # fmt: skip
MEMBERS = ("agent.json", "policy.pth", "data")


class WeightsError(ValueError):
    """A file from which no network can be read; the message says why, in one line."""


@dataclass(frozen=True)
class Saved:
    """What a file holds.

    Attributes:
        tensors: a state_dict.
        data: settings that Stable-Baselines3 wrote as JSON; None in a plain state_dict. Pickled
            parts of it are text in base64 here, and stay so.
    """

    tensors: Mapping[str, Any]
    data: Mapping[str, Any] | None

    def array(self, key: str) -> np.ndarray:
        """A tensor as float64; float32 is kept exactly.

        Raises:
            WeightsError: sparse, complex or oversized tensors, and numbers that are not finite.
        """
        import torch

        tensor = self.tensors[key]
        stored = tensor.untyped_storage().nbytes() if tensor.layout == torch.strided else 0
        if tensor.is_complex() or stored < tensor.numel() * tensor.element_size():
            raise WeightsError(f"{key} is no ordinary tensor of real numbers")
        values = tensor.detach().double().numpy()
        if not np.isfinite(values).all():
            raise WeightsError(f"{key} holds {values[~np.isfinite(values)][0]}")
        return values

    def text(self, *path: str) -> Any:
        """What the settings say at data[path[0]][path[1]]...; None where they say nothing."""
        found: Any = self.data
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found


def content_of(path: Path) -> bytes:
    """All bytes of a file.

    Raises:
        WeightsError: it cannot be read, or is empty.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    if not content:
        raise WeightsError(f"{path} is empty")
    return content


def opened(path: str | Path) -> Saved:
    """Read a zip of Stable-Baselines3, or a state_dict that torch.save wrote.

    Raises:
        WeightsError: missing, damaged, or holding anything else.
    """
    path = Path(path)
    content = content_of(path)
    if not content.startswith(b"PK"):  # torch's format before it was a zip, or anything
        return Saved(_tensors(content, path), None)
    try:
        members = _members(content)
    except DAMAGED as error:
        raise WeightsError(f"{path} is a truncated or damaged zip") from error
    if "policy.pth" in members and "data" not in members:
        raise WeightsError(f"{path} is a zip without data: the settings of its policy are missing")
    if "agent.json" in members:
        raise WeightsError(f"{path} holds {_agent(members['agent.json'])}, which has no network")
    if "policy.pth" in members:
        settings = _settings(members["data"], path)
        return Saved(_tensors(members["policy.pth"], path), settings)
    if any(name.endswith("data.pkl") for name in members):
        return Saved(_tensors(content, path), None)
    raise WeightsError(f"{path} is a zip without policy.pth: no policy of Stable-Baselines3")


def _members(content: bytes) -> dict[str, bytes]:
    """Names in a zip, and what is needed of their contents; checksums are compared."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # cut behind policy.pth, itself a zip, a file still has an end record: that of policy.pth
        if min((info.header_offset for info in archive.infolist()), default=0) > 0:
            raise zipfile.BadZipFile("its own end record is missing")
        names = archive.namelist()
        if not set(names) & set(MEMBERS) and archive.testzip() is not None:
            raise zipfile.BadZipFile("a checksum differs")
        return {name: archive.read(name) if name in MEMBERS else b"" for name in names}


def _agent(content: bytes) -> str:
    """The name of an agent that rlopt saved as JSON."""
    try:
        name = json.loads(content)["agent"]
    except (ValueError, TypeError, KeyError, RecursionError):
        name = None
    return f"the agent {name!r}" if isinstance(name, str) else "an agent"


def _settings(content: bytes, path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: its data is no JSON") from error
    if not isinstance(data, dict):
        raise WeightsError(f"{path}: its data is no JSON object")
    return data


def _tensors(content: bytes, path: Path) -> Mapping[str, Any]:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats that only old versions wrote
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # malformed files make torch raise nearly anything
        raise WeightsError(f"{path} holds no weights that can be read without pickle") from error
    if not isinstance(loaded, dict) or not loaded:
        raise WeightsError(f"{path} holds no state_dict but {type(loaded).__name__}")
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            kind = type(value).__name__
            raise WeightsError(f"{path} holds no state_dict: {key!r} is {kind}, not a tensor")
    return loaded
