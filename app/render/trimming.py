"""A part of a motion and of a sound, from one time to another, read as it is needed."""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float

from audio2motion.hearing.audio import Sound
from motion2video.motion import Motion


def part_of(motions: Iterable[Motion], first: int, last: int) -> Iterator[Motion]:
    """Frames `first` to `last`; what comes later is not made."""
    at = 0
    for motion in motions:
        part = motion[max(0, first - at) : max(0, last - at)]
        at += len(motion)
        if len(part):
            yield part
        if at >= last:
            return


class From(Sound):
    """A sound without its first seconds."""

    def __init__(self, sound: Sound, start: float) -> None:
        self.sample_rate, self._sound = sound.sample_rate, sound
        self._first = round(start * sound.sample_rate)

    def __len__(self) -> int:
        return max(0, len(self._sound) - self._first)

    def read(self, start: int, count: int) -> Float[np.ndarray, "n"]:
        """float32 samples `start` to `start + count`; fewer, or none, at the end."""
        return self._sound.read(start + self._first, count)
