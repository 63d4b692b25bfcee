"""Where one shot of a video ends and the next begins."""

from collections import deque

import numpy as np
from jaxtyping import UInt8

_GRID = 24  # cells a side that frames are compared in
_LEAST = 14.0  # mean difference of a cell's colour, of 255
_TIMES = 4.0  # as much as the frames before differed from each other
_BEFORE = 12  # frames


class CutFinder:
    """Told frame by frame; a cut is a change much larger than those just before it."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._changes: deque[float] = deque(maxlen=_BEFORE)

    def step(self, frame: UInt8[np.ndarray, "H W 3"]) -> bool:
        """Whether this frame is the first of a shot; the video's own first is not."""
        import cv2

        small = cv2.resize(frame, (_GRID, _GRID), interpolation=cv2.INTER_AREA).astype(np.float32)
        last, self._last = self._last, small
        if last is None:
            return False
        change = float(np.abs(small - last).mean())
        usual = float(np.median(self._changes)) if self._changes else 0.0
        cut = change > max(_LEAST, _TIMES * usual)
        if cut:
            self._changes.clear()
        else:
            self._changes.append(change)
        return cut
