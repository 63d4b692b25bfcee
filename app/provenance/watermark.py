"""The mark in the pictures: one square of a payload, repeated over the frame, added to its luma.

It is computed once for a size and is the same in every frame: a face that is held still stays
still, and a video that is made in parts has the bits of one that is made as a whole.
"""

import threading
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int8, UInt8

from app.provenance.pattern import PUBLIC_KEY, TILE, Patterns

STRENGTH = 1.5
"""Standard deviation of what is added, in steps of 255: a PSNR of 44 dB in the luma."""
_Layers = tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W 3"]]


def layer(payload: int, size: tuple[int, int], key: bytes = PUBLIC_KEY) -> Int8[np.ndarray, "H W"]:
    """What is added to the frames of `size` (width, height). Raises InputError for a payload of
    too many bits.
    """
    square = np.rint(STRENGTH * Patterns.of(key).tile(payload)).astype(np.int8)
    width, height = size
    return np.tile(square, (-(-height // TILE), -(-width // TILE)))[:height, :width]


@dataclass(eq=False)
class Marker:
    """Marks frames with a payload; threads may share it. RGB moves by one and the same step, so
    colours stay; where it would leave 0 to 255 it stops there. Alpha stays as it is.
    """

    payload: int
    key: bytes = PUBLIC_KEY
    _layers: dict[tuple[int, int], _Layers] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def mark(self, frame: UInt8[np.ndarray, "H W c"]) -> UInt8[np.ndarray, "H W c"]:
        """A marked copy of an RGB or RGBA frame."""
        import cv2

        more, less = self._of((frame.shape[1], frame.shape[0]))
        colours = np.ascontiguousarray(frame[..., :3])
        marked = cv2.subtract(cv2.add(colours, more), less)
        return marked if frame.shape[2] == 3 else np.dstack([marked, frame[..., 3]])

    def _of(self, size: tuple[int, int]) -> _Layers:
        with self._lock:
            if size not in self._layers:
                added = layer(self.payload, size, self.key)[..., None].repeat(3, 2)
                halves = (np.maximum(added, 0), np.maximum(-added, 0))
                more, less = (np.ascontiguousarray(half.astype(np.uint8)) for half in halves)
                self._layers = {size: (more, less)}  # a video has one size
            return self._layers[size]
