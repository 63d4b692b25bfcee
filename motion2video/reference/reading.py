"""Reading published files: safetensors, or pickles of which only tensors are taken."""

import contextlib
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from motion2video.reference.conversion import Tensors
from weights.errors import WeightsError


def read_tensors(path: Path) -> Tensors:
    """All tensors of a file, on the CPU; of a pickle nothing else is ever made (`weights_only`).

    Raises WeightsError for a file that cannot be read or holds other things.
    """
    with _reading(path):
        if path.suffix == ".safetensors":
            return load_file(path)
        return _from_pickle(path, "cpu")


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """Name to shape, without reading the numbers. Raises as `read_tensors`."""
    with _reading(path):
        if path.suffix != ".safetensors":
            return {name: tuple(t.shape) for name, t in _from_pickle(path, "meta").items()}
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def _from_pickle(path: Path, device: str) -> Tensors:
    mapped = zipfile.is_zipfile(path) and device == "cpu"  # old ones cannot be mapped
    held = torch.load(path, map_location=device, weights_only=True, mmap=mapped)
    if isinstance(held, dict) and isinstance(held.get("state_dict"), dict):
        held = held["state_dict"]
    if not isinstance(held, dict) or not all(isinstance(x, torch.Tensor) for x in held.values()):
        raise WeightsError(f"{path} holds more than tensors by name")
    return held


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        raise WeightsError(f"cannot read the weights {path}: {error}") from error
