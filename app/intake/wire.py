"""Messages between the server and a process that decodes for it: lengths, JSON, raw numbers.

    8 bytes length of the JSON, 8 bytes length of the numbers, JSON, numbers

Nothing here can run anything: what comes in may be from somebody who has taken over a decoder. So
every length is bounded before memory is taken for it, and what does not fit is a WireError.
"""

import json
import math
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

MAX_JSON = 16 * 10**6
"""Bytes; what is read from them may take twenty times as much memory."""
_LENGTHS = struct.Struct(">QQ")
_DTYPES = {"uint8": np.uint8, "float32": np.float32, "float64": np.float64, "bool": np.bool_}
_MAX_ARRAYS, _MAX_AXES = 8, 4

Receive = Callable[[memoryview], None]
"""Fills a buffer with the next bytes, or raises."""


class WireError(Exception):
    """What came is no message."""


@dataclass(frozen=True, eq=False)
class Message:
    """`kind` says what it is, `value` is plain JSON; `arrays` are of _DTYPES."""

    kind: str
    value: Any = None
    arrays: tuple[Shaped[np.ndarray, "..."], ...] = ()


def send(sock: socket.socket, message: Message) -> None:
    """Write a message, as fast as it is read."""
    arrays = [np.ascontiguousarray(a) for a in message.arrays]
    head = {
        "kind": message.kind,
        "value": message.value,
        "arrays": [[a.dtype.name, list(a.shape)] for a in arrays],
    }
    text = json.dumps(head, allow_nan=False).encode("ascii")
    sock.sendall(_LENGTHS.pack(len(text), sum(a.nbytes for a in arrays)) + text)
    for array in arrays:
        if array.nbytes:
            sock.sendall(array.reshape(-1).view(np.uint8).data)


def receive(fill: Receive, most_bytes: int) -> Message:
    """The next message, whose arrays have at most `most_bytes`. Raises WireError."""
    lengths = bytearray(_LENGTHS.size)
    fill(memoryview(lengths))
    text_bytes, array_bytes = _LENGTHS.unpack(lengths)
    if text_bytes > MAX_JSON or array_bytes > most_bytes:
        raise WireError(f"got {text_bytes} + {array_bytes} bytes; wanted at most {most_bytes}")
    text = bytearray(text_bytes)
    fill(memoryview(text))
    kind, value, specs = _head(bytes(text))
    sizes = [_DTYPES[name]().itemsize * math.prod(shape) for name, shape in specs]
    if sum(sizes) != array_bytes:
        raise WireError(f"got {array_bytes} bytes for arrays of {sum(sizes)}")
    arrays = []
    for name, shape in specs:
        array = _room(name, shape)
        if array.nbytes:
            fill(array.reshape(-1).view(np.uint8).data)
        arrays.append(array.astype(bool) if name == "bool" else array)  # any byte but 0 is True
    return Message(kind, value, tuple(arrays))


def _head(text: bytes) -> tuple[str, Any, Sequence[tuple[str, tuple[int, ...]]]]:
    try:
        head = json.loads(text, parse_constant=_refuse)
        kind, value, listed = head["kind"], head["value"], head["arrays"]
        specs = [(name, tuple(shape)) for name, shape in listed]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise WireError("got a message whose head cannot be read") from error
    fits = isinstance(kind, str) and len(specs) <= _MAX_ARRAYS
    for name, shape in specs:
        fits = fits and isinstance(name, str) and name in _DTYPES and len(shape) <= _MAX_AXES
        fits = fits and all(type(n) is int and 0 <= n < 2**40 for n in shape)
    if not fits:
        raise WireError("got a message whose head has other fields than are known")
    return kind, value, specs


def _room(name: str, shape: tuple[int, ...]) -> Shaped[np.ndarray, "..."]:
    try:
        return np.empty(shape, np.uint8 if name == "bool" else _DTYPES[name])
    except ValueError as error:  # axes that are too long, beside one that is 0
        raise WireError(f"got an array of shape {shape}") from error


def _refuse(name: str) -> None:
    raise ValueError(name)
