"""Weights files: safetensors with the network's configuration in their header, numpy only."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from weights.errors import InputError, WeightsError
from weights.manifest import Manifest
from weights.opening import open_regular
from weights.registry import find
from weights.saving import save_whole

_CONFIG, _MADE = "config", "made"
_MAX_BYTES = 1 << 36
_MAX_HEADER = 16 << 20

Tensors = dict[str, np.ndarray]
Config = dict[str, Any]


def load_safetensors(role: str, manifest: Manifest | None = None) -> tuple[Tensors, Config]:
    """The tensors and the configuration of a role, after its hash has been checked."""
    return read_safetensors(find(role, manifest))


def read_safetensors(path: Path) -> tuple[Tensors, Config]:
    """The tensors of a file and the JSON object under "config" in its header.

    Raises WeightsError when the file is missing, is not a safetensors file, or has no config.
    """
    _check_header(path)
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    # A type of number that numpy does not have is a TypeError or AttributeError.
    except (OSError, SafetensorError, TypeError, AttributeError, ValueError) as error:
        raise WeightsError(f"cannot read the weights file {path}: {error}") from error
    try:
        config = json.loads(header[_CONFIG])
    except (KeyError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"the weights file {path} has no configuration in its header: "
            "write it with save_safetensors"
        ) from error
    if not isinstance(config, dict):
        raise WeightsError(f"the configuration in the header of {path} is not an object: {config}")
    return tensors, config


def _check_header(path: Path) -> None:
    """A regular file whose header is of a bounded size: it is parsed as a whole."""
    try:
        with open_regular(path, "weights file", _MAX_BYTES) as file:
            stated = int.from_bytes(file.read(8), "little")
    except (InputError, OSError) as error:
        raise WeightsError(f"cannot read the weights file {path}: {error}") from error
    if stated > _MAX_HEADER:
        raise WeightsError(f"cannot read the weights file {path}: its header has {stated} bytes")


def read_made(path: Path) -> Config:
    """How a file was made, as `save_safetensors` was told; {} where nobody said. Raises
    WeightsError when it is no safetensors file.
    """
    _check_header(path)
    try:
        with safe_open(path, framework="numpy") as file:
            made = json.loads((file.metadata() or {}).get(_MADE, "{}"))
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise WeightsError(f"cannot read the weights file {path}: {error}") from error
    return made if isinstance(made, dict) else {}


def save_safetensors(
    path: Path,
    tensors: Mapping[str, np.ndarray],
    config: Mapping[str, Any],
    made: Mapping[str, Any] | None = None,
) -> None:
    """Write a weights file under a temporary name, then rename it. Same input, same bytes.

    `config` must be plain JSON values, and so must `made`: of what and by what the file was made.
    Raises OutputError when the file cannot be written.
    """
    header = {_CONFIG: json.dumps(config, sort_keys=True)}
    if made:
        header[_MADE] = json.dumps(made, sort_keys=True)
    # safetensors writes the buffer of a transposed view as it lies in memory: make it contiguous.
    data = save({name: np.ascontiguousarray(t) for name, t in tensors.items()}, header)
    save_whole(path, data, "the weights file")
