"""The visitor's sound over a line that loses pieces and changes their order."""

import numpy as np
from jaxtyping import Float

from audio2motion.hearing.audio import SAMPLE_RATE

_WAIT = 6 * SAMPLE_RATE // 100
"""Samples after a missing piece that are kept until it is given up: 60 ms."""
_JUMP = SAMPLE_RATE
"""A longer gap is none that a line makes: the sound goes on there."""
_MOST_KEPT = 64


class Arrival:
    """Pieces with their places go in as they come, sound in order comes out: silence where a piece
    is missing, so that the sound stays as long as it was spoken.
    """

    def __init__(self) -> None:
        self.lost = 0
        """Samples that never came, or too late."""
        self._next: int | None = None
        self._kept: dict[int, np.ndarray] = {}

    def put(self, at: int, piece: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m"]:
        """A piece whose first sample is the `at`-th; the sound that is complete by it."""
        if self._next is None or abs(at - self._next) > _JUMP:
            self._next, self._kept = at, {}
        if at >= self._next and len(piece):
            self._kept[at] = piece
        out: list[np.ndarray] = []
        while self._kept:
            first = min(self._kept)
            if first > self._next:
                latest = max(place + len(kept) for place, kept in self._kept.items())
                if latest - self._next < _WAIT and len(self._kept) < _MOST_KEPT:
                    break
                self.lost += first - self._next
                out.append(np.zeros(first - self._next, np.float32))
            kept = self._kept.pop(first)[max(0, self._next - first) :]
            self._next = max(self._next, first + len(kept))
            out.append(kept)
        return np.concatenate([np.empty(0, np.float32), *out])
