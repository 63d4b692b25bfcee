"""Sound out of a streamed body: wav or bare samples in bytes, cut anywhere; 16 kHz mono out."""

import struct

import numpy as np
from jaxtyping import Float

from audio2motion.hearing.audio import SAMPLE_RATE
from weights.errors import MediaError

# Sizes that stand for "not known yet" in the header of a wav that is still being made.
_UNKNOWN_SIZE = 0x7FFF_0000
_LONGEST_HEADER = 65_536
_INTEGER, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_TYPES = {
    (_INTEGER, 16): np.dtype("<i2"),
    (_INTEGER, 32): np.dtype("<i4"),
    (_FLOAT, 32): np.dtype("<f4"),
}


class SoundStream:
    """Bytes in, float32 samples in -1..1 at 16 kHz out, as soon as they are there.

    With `pcm_rate` the bytes are bare 16-bit little-endian mono samples at that rate; without, they
    are a wav file, whose header may leave its length open. Raises MediaError for anything else.
    """

    def __init__(self, pcm_rate: int | None = None) -> None:
        self._held = b""
        self._type: np.dtype = np.dtype("<i2")
        self._channels = 1
        self._left: int | None = None  # bytes of sound that the header still promises
        self._started = False
        if pcm_rate is not None:
            self._start(pcm_rate)

    def push(self, data: bytes) -> Float[np.ndarray, "n"]:
        """Take bytes in; the samples they complete."""
        self._held += data
        if not self._started:
            self._read_header()
            if not self._started:
                return np.empty(0, np.float32)
        size = self._type.itemsize * self._channels
        there = len(self._held) if self._left is None else min(len(self._held), self._left)
        count = there - there % size
        taken, self._held = self._held[:count], self._held[count:]
        if self._left is not None:
            self._left -= count
        values = np.frombuffer(taken, self._type)
        scale = 1.0 if self._type.kind == "f" else 2.0 ** (8 * self._type.itemsize - 1)
        mono = np.nan_to_num(values.reshape(-1, self._channels).mean(1, dtype=np.float32) / scale)
        return self._resampled(mono.astype(np.float32), last=False)

    def flush(self) -> Float[np.ndarray, "n"]:
        """The body is over: the last samples. Raises MediaError when it was cut off."""
        if not self._started:
            raise MediaError("it is cut off before any sound")
        if self._left is not None and self._left >= self._type.itemsize * self._channels:
            raise MediaError(f"it is cut off: {self._left} bytes of sound are missing")
        return self._resampled(np.empty(0, np.float32), last=True)

    def _resampled(self, samples: Float[np.ndarray, "n"], last: bool) -> Float[np.ndarray, "m"]:
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last=last)
        return np.clip(samples, -1.0, 1.0)

    def _start(self, rate: int) -> None:
        import soxr

        if not 1000 <= rate <= 384_000:
            raise MediaError(f"it has {rate} samples a second; wanted 1000 to 384000")
        self._resampler = None
        if rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(
                rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ"
            )
        self._started = True

    def _read_header(self) -> None:
        """Go through the chunks in front of the samples, as far as they have come."""
        held = self._held
        if not (b"RIFF".startswith(held[:4]) or held.startswith(b"RIFF")):
            raise MediaError("it is not a wav file")
        if len(held) > 12 and held[8:12] != b"WAVE":
            raise MediaError("it is not a wav file")
        at, rate = 12, None
        while len(held) >= at + 8:
            name, size = held[at : at + 4], int.from_bytes(held[at + 4 : at + 8], "little")
            body = held[at + 8 : at + 8 + size] if size < _LONGEST_HEADER else b""
            if name == b"data":
                if rate is None:
                    raise MediaError("it is a damaged wav file: samples come before their format")
                self._left = size if 0 < size < _UNKNOWN_SIZE else None
                self._held = held[at + 8 :]
                self._start(rate)
                return
            if name == b"fmt " and len(body) == size:
                rate = self._read_format(body)
            at += 8 + size + size % 2
            if at > _LONGEST_HEADER:
                raise MediaError("it is a damaged wav file: its header does not end")

    def _read_format(self, body: bytes) -> int:
        if len(body) < 16:
            raise MediaError("it is a damaged wav file: its format is cut off")
        coding, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
        if coding == _EXTENSIBLE and len(body) >= 26:
            coding = int.from_bytes(body[24:26], "little")
        if (coding, bits) not in _TYPES or not 1 <= channels <= 8:
            raise MediaError(
                f"it is a wav file of {channels} channels in coding {coding} with {bits} bits; "
                "wanted 16 or 32 bits, or 32-bit float"
            )
        self._type, self._channels = _TYPES[coding, bits], channels
        return rate
