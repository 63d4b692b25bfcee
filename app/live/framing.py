"""Messages of a live conversation on a WebSocket: the same words for server and client.

Text messages are JSON objects with a `type`. Binary messages begin with a byte that says what
follows. All sound is 16-bit little-endian mono at 16 kHz. To the server:

    0x01 sound         the visitor's voice: samples
    0x02 picture       the visitor's face: a JPEG
    0x03 voice         what the agent shall say: samples
    0x04 placed sound  the visitor's voice over WebRTC's data channel: u64 place of the first
                       sample, in samples since they began to send, then samples

From the server a header of 16 bytes, little-endian, comes before the data:

    u8 what   u8 flags   u16 number   u32 chunk   u64 time

    0x11 JPEG frame    0x12 H.264 access unit (Annex B)    0x13 the agent's voice: samples

`chunk` counts chunks of 200 ms; `number` is a frame's place in its chunk, 0 to 4; `time` is when it
begins, in samples since the conversation began. Flag 1 marks an H.264 key frame. The sound of a
chunk comes before its frames.
"""

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from weights.errors import MediaError

SOUND, PICTURE, VOICE, PLACED = 0x01, 0x02, 0x03, 0x04
JPEG, H264, AGENT = 0x11, 0x12, 0x13
KEY_FRAME = 1
_HEADER = struct.Struct("<BBHIQ")
_PLACE = struct.Struct("<Q")
Video = Literal["jpeg", "h264"]


@dataclass(frozen=True)
class Packet:
    """A binary message of the server, as in the table above."""

    what: int
    flags: int
    number: int
    chunk: int
    time: int
    data: bytes

    def pack(self) -> bytes:
        """The message."""
        head = _HEADER.pack(self.what, self.flags, self.number, self.chunk, self.time)
        return head + self.data

    @staticmethod
    def unpack(message: bytes) -> "Packet":
        """Raises MediaError for a message that is too short."""
        if len(message) < _HEADER.size:
            raise MediaError(
                f"got a message of {len(message)} bytes; wanted {_HEADER.size} or more"
            )
        what, flags, number, chunk, time = _HEADER.unpack_from(message)
        return Packet(what, flags, number, chunk, time, message[_HEADER.size :])


def to_bytes(samples: Float[np.ndarray, "n"]) -> bytes:
    """Samples in -1..1 as they travel."""
    return np.clip(np.rint(samples * 32767.0), -32768, 32767).astype("<i2").tobytes()


def to_samples(data: bytes) -> Float[np.ndarray, "n"]:
    """Samples as float32 again. Raises MediaError for half a sample."""
    if len(data) % 2:
        raise MediaError("got half a sample of sound; wanted 16-bit samples")
    return np.frombuffer(data, "<i2").astype(np.float32) / 32767


def to_placed(data: bytes) -> tuple[int, Float[np.ndarray, "n"]]:
    """The place and the samples of a message of placed sound, without its first byte. Raises
    MediaError for one that is too short, or holds half a sample.
    """
    if len(data) < _PLACE.size:
        raise MediaError(f"got {len(data)} bytes of placed sound; wanted {_PLACE.size} or more")
    (at,) = _PLACE.unpack_from(data)
    return at, to_samples(data[_PLACE.size :])
