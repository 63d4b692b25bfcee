"""A recording on disk: decoded once, checked as a whole, and read piece by piece."""

import contextlib
import os
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float

from audio2motion.hearing.audio import MAX_SECONDS, SAMPLE_RATE, Sound
from audio2motion.hearing.decoding import decode_pieces
from weights.errors import OutputError

_BYTES = 4


class Recording(Sound):
    """Mono sound of any file at `sample_rate` hertz, without its length in memory.

    Decoded into a temporary file that has no name (64 kB a second at 16 kHz) and goes when the
    recording does.
    """

    def __init__(self, file: BinaryIO, length: int, sample_rate: int) -> None:
        self._file, self._length, self.sample_rate = file, length, sample_rate
        weakref.finalize(self, file.close)

    @staticmethod
    def load(
        path: str | os.PathLike[str],
        sample_rate: int = SAMPLE_RATE,
        max_seconds: float = MAX_SECONDS,
        channel: int | None = None,
    ) -> "Recording":
        """As `Waveform.load`, of one `channel` or all; raises OutputError too, when the disk for
        temporary files is full.
        """
        pieces = decode_pieces(Path(path), sample_rate, max_seconds, channel)
        return Recording.of(pieces, sample_rate, path)

    @staticmethod
    def of(
        pieces: Iterable[Float[np.ndarray, "n"]], sample_rate: int, path: str | os.PathLike[str]
    ) -> "Recording":
        """Sound of `path` that is decoded already, piece by piece. Raises what `pieces` raise, and
        OutputError.
        """
        length, file = 0, tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the recording)
        try:
            for piece in pieces:
                length += _write(file, piece, path)
        except BaseException:
            file.close()
            raise
        return Recording(file, length, sample_rate)

    def __len__(self) -> int:
        return self._length

    def read(self, start: int, count: int) -> Float[np.ndarray, "n"]:
        """float32 samples `start` to `start + count`; fewer, or none, at the end."""
        data = os.pread(self._file.fileno(), count * _BYTES, start * _BYTES)
        return np.frombuffer(data, "<f4")


def _write(file: BinaryIO, samples: Float[np.ndarray, "n"], path: str | os.PathLike[str]) -> int:
    try:
        file.write(samples.astype("<f4", copy=False).tobytes())
        file.flush()
    except OSError as error:
        with contextlib.suppress(OSError):
            file.close()  # which tries to write once more
        raise OutputError(
            f"cannot write the sound of {os.fspath(path)} to {tempfile.gettempdir()}: "
            f"{error.strerror}; set TMPDIR to a folder with room"
        ) from error
    return len(samples)
