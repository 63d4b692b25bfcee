"""The sound of a video that is being written, in step with its picture."""

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from weights.errors import InputError

if TYPE_CHECKING:
    from av.container.output import OutputContainer
    from av.packet import Packet
    from soxr import ResampleStream


@runtime_checkable
class Readable(Protocol):
    """Sound that is read piece by piece."""

    def read(self, start: int, count: int) -> Float[np.ndarray, "n"]:
        """Samples `start` to `start + count`; fewer, or none, at the end."""
        ...


class SoundTrack:
    """The sound track of a VideoWriter: AAC at 48 kHz (44.1 kHz is kept), or Opus at 48 kHz, fed
    along the picture.

    At 48 kHz the encoder's 1,024 samples of priming are 21 ms, which also players that ignore
    the edit list get away with.
    """

    def __init__(
        self, audio: Float[np.ndarray, "N"] | Readable, sample_rate: int, encoder: str = "aac"
    ) -> None:
        shape = audio.shape if isinstance(audio, np.ndarray) else (None,)
        if len(shape) != 1 or sample_rate < 1000:
            raise InputError(
                f"got sound of shape {shape} at {sample_rate} Hz; wanted one row of "
                "samples at 1000 Hz or more"
            )
        self._audio, self._rate_in = audio, sample_rate
        self._encoder = encoder
        kept = sample_rate == 44_100 and encoder == "aac"
        self._rate_out = 44_100 if kept else 48_000
        self._taken = self._given = 0
        self._resampler: ResampleStream | None = None

    def open(self, container: "OutputContainer", bit_rate: int) -> None:
        """Add the track to a file that is about to be written."""
        import soxr
        from av.audio.stream import AudioStream

        stream = container.add_stream(self._encoder, rate=self._rate_out, layout="mono")
        assert isinstance(stream, AudioStream)
        self._stream = stream
        self._stream.bit_rate = bit_rate
        self._format = "fltp" if self._encoder == "aac" else "flt"
        if self._rate_in != self._rate_out:
            self._resampler = soxr.ResampleStream(
                self._rate_in, self._rate_out, 1, dtype="float32", quality="HQ"
            )

    def until(self, seconds: Fraction) -> "list[Packet]":
        """Encode up to a time of the picture."""
        return self._encode(self._resample(self._take(seconds), last=False))

    def finish(self, seconds: Fraction) -> "list[Packet]":
        """Encode what is left, to exactly `seconds` in all."""
        rest = self._resample(self._take(seconds), last=True)
        sound = np.zeros(max(0, round(seconds * self._rate_out) - self._given), np.float32)
        rest = rest[: len(sound)]
        sound[: len(rest)] = rest
        return [*self._encode(sound), *self._stream.encode(None)]

    def _take(self, seconds: Fraction) -> Float[np.ndarray, "n"]:
        """The next samples of the recording, silence once it is over."""
        end = math.floor(seconds * self._rate_in)
        taken = np.zeros(end - self._taken, np.float32)
        audio, start = self._audio, self._taken
        there = audio[start:end] if isinstance(audio, np.ndarray) else audio.read(start, len(taken))
        taken[: len(there)] = np.clip(there, -1.0, 1.0)
        self._taken = end
        return taken

    def _resample(self, samples: Float[np.ndarray, "n"], last: bool) -> Float[np.ndarray, "m"]:
        if self._resampler is None:
            return samples
        return self._resampler.resample_chunk(samples, last=last)

    def _encode(self, samples: Float[np.ndarray, "n"]) -> "list[Packet]":
        from av.audio.frame import AudioFrame

        if not len(samples):
            return []
        frame = AudioFrame.from_ndarray(samples[None], format=self._format, layout="mono")
        frame.sample_rate, frame.pts = self._rate_out, self._given
        frame.time_base = Fraction(1, self._rate_out)
        self._given += len(samples)
        return self._stream.encode(frame)
