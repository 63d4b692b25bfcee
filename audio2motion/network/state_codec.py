"""The state of a stream as bytes and back: frozen dataclasses of arrays, tensors and plain values.

No pickle: the bytes are a safetensors file, whose tensor `tree` is JSON and names the others. The
classes in it must have said that they are `saveable`, so foreign bytes can make nothing else.
"""

import dataclasses
import json
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save

from audio2motion.saveable import SAVEABLE, name_of
from weights.errors import InputError, StateError

_TREE = "tree"
_BROKEN = (
    *(ValueError, LookupError, TypeError, AttributeError, RecursionError),
    *(ArithmeticError, SafetensorError, InputError),
)
MAX_BYTES = 1 << 28


class Ticket:
    """Shared by the states of one stream: which of them is the latest."""

    def __init__(self) -> None:
        self.latest = 0


def encode(value: object) -> bytes:
    """Raises StateError for a value of another kind."""
    arrays: dict[str, np.ndarray] = {}
    tree = json.dumps(_pack(value, arrays), allow_nan=False)
    arrays[_TREE] = np.frombuffer(tree.encode(), np.uint8)
    return save({name: np.array(array, order="C") for name, array in arrays.items()})


def decode(data: bytes, device: torch.device | str = "cpu") -> Any:
    """What was encoded, tensors on `device`. Raises StateError for bytes that `encode` has not
    made.
    """
    if len(data) > MAX_BYTES:
        raise StateError(f"got a state of {len(data)} bytes; wanted at most {MAX_BYTES}")
    try:
        arrays = load(data)
        return _unpack(json.loads(arrays[_TREE].tobytes()), arrays, device)
    except _BROKEN as error:
        raise StateError("this is no state of a stream that this version has saved") from error


def _pack(value: object, arrays: dict[str, np.ndarray]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray | torch.Tensor):
        name = f"a{len(arrays)}"
        tensor = isinstance(value, torch.Tensor)
        arrays[name] = value.detach().cpu().numpy() if tensor else value
        return {"tensor" if tensor else "array": name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [_pack(item, arrays) for item in value]
    if isinstance(value, Ticket):
        return {"ticket": 0}
    if (name := name_of(type(value))) in SAVEABLE:
        fields = [f.name for f in dataclasses.fields(SAVEABLE[name]) if f.init]
        packed = {field: _pack(getattr(value, field), arrays) for field in fields}
        return {"class": name, "fields": packed}
    raise StateError(f"a {type(value).__name__} cannot be saved with a stream's state")


def _unpack(tree: Any, arrays: Any, device: torch.device | str) -> Any:
    if isinstance(tree, list):
        return tuple(_unpack(item, arrays, device) for item in tree)
    if not isinstance(tree, dict):
        return tree
    if "tensor" in tree:
        return torch.from_numpy(arrays[tree["tensor"]].copy()).to(device)
    if "array" in tree:
        return arrays[tree["array"]]
    if "ticket" in tree:
        return Ticket()
    if tree["class"] not in SAVEABLE:
        raise StateError(f"a state must not hold a {tree['class']}")
    fields = {key: _unpack(item, arrays, device) for key, item in tree["fields"].items()}
    return SAVEABLE[tree["class"]](**fields)
