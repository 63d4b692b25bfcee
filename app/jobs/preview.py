"""What a video looks like while it is being made: its latest frame, and a strip of thumbnails."""

import time

import cv2
import numpy as np
from jaxtyping import UInt8

_LOOK_S = 0.2
"""A new latest frame at most this often."""
_STRIP = 40
"""Most thumbnails in the strip: then every other one goes."""
_THUMB = 72


class Preview:
    """JPEG pictures: `strip` has a thumbnail for about every second of the video, `look` is the
    latest frame. One thread shows frames, any thread reads.
    """

    def __init__(self) -> None:
        self.strip: list[bytes] = []
        self.look = b""
        self._looked, self._frames, self._every = 0.0, 0, 25

    def show(self, frame: UInt8[np.ndarray, "H W 3"]) -> None:
        """The next frame."""
        if self._frames % self._every == 0:
            height, width = frame.shape[:2]
            small = cv2.resize(frame, (max(1, round(width * _THUMB / height)), _THUMB))
            self.strip = [*self.strip, jpeg(small.astype(np.uint8))]
            if len(self.strip) > _STRIP:
                self.strip, self._every = self.strip[::2], self._every * 2
        self._frames += 1
        if time.perf_counter() - self._looked >= _LOOK_S:
            self.look, self._looked = jpeg(frame), time.perf_counter()


def jpeg(image: UInt8[np.ndarray, "H W 3"], quality: int = 82) -> bytes:
    """An RGB picture as JPEG."""
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return data.tobytes()
