"""Messages of decoders: what is sent comes back, and whatever comes is a message or a WireError."""

import io
import socket
import struct
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.intake.wire import MAX_JSON, Message, WireError, receive, send

MOST = 10_000


def from_bytes(data: bytes, most: int = MOST) -> Message:
    """The message in some bytes; EOFError where they end too early."""
    stream = io.BytesIO(data)

    def fill(buffer: memoryview) -> None:
        if stream.readinto(buffer) < len(buffer):
            raise EOFError

    return receive(fill, most)


def to_bytes(message: Message) -> bytes:
    ours, theirs = socket.socketpair()
    got: list[bytes] = []
    with ours, theirs:

        def collect() -> None:
            while data := theirs.recv(1 << 16):
                got.append(data)

        reader = threading.Thread(target=collect)
        reader.start()
        send(ours, message)
        ours.shutdown(socket.SHUT_WR)
        reader.join()
    return b"".join(got)


def framed(text: bytes, numbers: bytes = b"") -> bytes:
    return struct.pack(">QQ", len(text), len(numbers)) + text + numbers


def test_values_and_arrays_come_back_as_they_were() -> None:
    arrays = (
        np.arange(12, dtype=np.uint8).reshape(2, 2, 3)[:, ::-1],
        np.array([1.5, -0.0, np.nan], np.float32),
        np.array([[1 / 3, 2.0**52 + 1]]),
        np.array([True, False]),
        np.zeros((0, 90), np.float32),
    )
    got = from_bytes(to_bytes(Message("item", {"a": [1, None, "\udc80\u2028"]}, arrays)))
    assert (got.kind, got.value) == ("item", {"a": [1, None, "\udc80\u2028"]})
    for there, here in zip(got.arrays, arrays, strict=True):
        assert there.dtype == here.dtype
        np.testing.assert_array_equal(there, here)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">QQ", MAX_JSON + 1, 0),
        struct.pack(">QQ", 2, MOST + 1),
        framed(b"{}"),
        framed(b"[]"),
        framed(b"\xff"),
        framed(b'{"kind": "item", "value": NaN, "arrays": []}'),
        framed(b'{"kind": 1, "value": 1, "arrays": []}'),
        framed(b'{"kind": "item", "value": 1, "arrays": [["object", [1]]]}', b"12345678"),
        framed(b'{"kind": "item", "value": 1, "arrays": [[["uint8"], [1]]]}', b"1"),
        framed(b'{"kind": "item", "value": 1, "arrays": [["uint8", [-1]]]}'),
        framed(b'{"kind": "item", "value": 1, "arrays": [["uint8", [true]]]}', b"1"),
        framed(b'{"kind": "item", "value": 1, "arrays": [["uint8", [2]]]}', b"1"),
        framed(b'{"kind": "item", "value": 1, "arrays": [["uint8", [0, 999999999999, 9]]]}'),
        framed(
            b'{"kind": "item", "value": 1, "arrays": '
            b'[["float64", [0, 999999999999, 999999999999, 99999999]]]}'
        ),
        framed(b"[" * 100_000),
    ],
)
def test_what_is_no_message_is_refused_before_memory_is_taken(data: bytes) -> None:
    try:
        got = from_bytes(data)
    except WireError as error:
        assert "\n" not in str(error)
    else:  # an empty array of many rows of nothing takes no memory
        assert all(array.size == 0 for array in got.arrays) and got.arrays


@given(st.binary(max_size=300), st.integers(0, 3))
def test_any_bytes_are_a_message_or_an_error_of_ours(data: bytes, kind: int) -> None:
    tried = (data, framed(data), framed(b'{"kind":"item","value":0,"arrays":' + data + b"}"))
    try:
        got = from_bytes(tried[kind % 3])
    except (WireError, EOFError):
        return
    assert isinstance(got.kind, str) and sum(a.nbytes for a in got.arrays) <= MOST
