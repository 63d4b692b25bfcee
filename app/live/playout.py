"""A conversation's sound and pictures at the time they are due, for a line that has a clock."""

import threading
from collections import deque
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from app.live.session import CHUNK_SAMPLES, LiveChunk
from audio2motion.hearing.audio import SAMPLE_RATE, SAMPLES_PER_FRAME

LEAD_S = 0.02
"""Between a chunk's coming and its first sample's being due."""


class DueFrame(NamedTuple):
    """A picture, and when it is due, in seconds of the clock that the chunks were put in by."""

    at: float
    frame: UInt8[np.ndarray, "h w 3"]


class Playout:
    """Chunks go in as they are made; sound and frames come out by the clock. A chunk that comes too
    late puts off what follows: silence until then. Safe for threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sounds: dict[int, Float[np.ndarray, 3200]] = {}
        self._frames: deque[DueFrame] = deque()
        self._zero: float | None = None  # when the conversation's first sample was or would be due

    def put(self, chunk: LiveChunk, now: float) -> float:
        """A chunk that was made by `now`, in seconds of any clock that does not go back; when it
        is due.
        """
        with self._lock:
            begins = chunk.index * CHUNK_SAMPLES / SAMPLE_RATE
            if self._zero is None or self._zero + begins < now:
                self._zero = now + LEAD_S - begins
            first = self._zero + begins
            self._sounds[chunk.index] = chunk.agent
            self._frames.extend(
                DueFrame(first + number * SAMPLES_PER_FRAME / SAMPLE_RATE, frame)
                for number, frame in enumerate(chunk.frames)
            )
            return first

    def sound(self, at: float, count: int) -> Float[np.ndarray, "count"]:
        """`count` samples that are due from `at` on; what was due before is forgotten."""
        out = np.zeros(count, np.float32)
        with self._lock:
            if self._zero is None:
                return out
            first = round((at - self._zero) * SAMPLE_RATE)
            for index in sorted(self._sounds):
                begins = index * CHUNK_SAMPLES - first
                if begins + CHUNK_SAMPLES <= 0:
                    del self._sounds[index]
                elif begins < count:
                    low, high = max(0, begins), min(count, begins + CHUNK_SAMPLES)
                    out[low:high] = self._sounds[index][low - begins : high - begins]
        return out

    def frame(self, at: float) -> DueFrame | None:
        """The latest frame that is due by `at`, once; those before it are left out."""
        due = None
        with self._lock:
            while self._frames and self._frames[0].at <= at:
                due = self._frames.popleft()
        return due

    def hush(self) -> None:
        """Nothing of the agent's sound that waits is heard; its pictures are still shown."""
        with self._lock:
            self._sounds.clear()
