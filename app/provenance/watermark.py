"""The mark in the pictures: one square of a payload, repeated over the frame, added to its luma.

It is computed once for a size. How strong it is at a place follows what the frame shows there: weak
on flat ground, where an eye would find it, stronger in hair and cloth, where no eye does and coders
keep it. That depends on the frame alone: a face that is held still stays still, and a video that is
made in parts has the bits of one that is made as a whole.
"""

import threading
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from app.provenance.pattern import PUBLIC_KEY, TILE, Patterns

WEAKEST, STRONGEST = 0.8, 2.4
"""Standard deviation of what is added, in steps of 255, on flat ground and in the finest detail."""
_RISE = 0.3
"""How it grows with the mean deviation from what is around."""
_STRENGTHS = np.minimum(WEAKEST + _RISE * np.arange(256), STRONGEST).astype(np.float32)
_FINE, _WIDE = 5, 9
"""Pixels, at half the size, that tell detail from ground, and over which it is averaged."""


def layer(payload: int, size: tuple[int, int], key: bytes = PUBLIC_KEY) -> Float[np.ndarray, "H W"]:
    """The pattern over frames of `size` (width, height), of standard deviation 1. Raises InputError
    for a payload of too many bits.
    """
    square = Patterns.of(key).tile(payload).astype(np.float32)
    width, height = size
    return np.tile(square, (-(-height // TILE), -(-width // TILE)))[:height, :width]


@dataclass(eq=False)
class Marker:
    """Marks frames with a payload; threads may share it. RGB moves by one and the same step, so
    colours stay; where it would leave 0 to 255 it stops there. Alpha stays as it is.
    """

    payload: int
    key: bytes = PUBLIC_KEY
    _layers: dict[tuple[int, int], Float[np.ndarray, "H W"]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def mark(self, frame: UInt8[np.ndarray, "H W c"]) -> UInt8[np.ndarray, "H W c"]:
        """A marked copy of an RGB or RGBA frame."""
        import cv2

        colours = np.ascontiguousarray(frame[..., :3])
        pattern = self._of((frame.shape[1], frame.shape[0]))
        strength = _strength(colours)
        # Bytes that stop at 0 and 255: what is added and what is taken away, apart.
        more, less = (
            cv2.merge([cv2.multiply(pattern, strength, scale=sign, dtype=cv2.CV_8U)] * 3)
            for sign in (1, -1)
        )
        marked = cv2.subtract(cv2.add(colours, more), less)
        return marked if frame.shape[2] == 3 else np.dstack([marked, frame[..., 3]])

    def _of(self, size: tuple[int, int]) -> Float[np.ndarray, "H W"]:
        with self._lock:
            if size not in self._layers:
                self._layers = {size: layer(self.payload, size, self.key)}  # a video has one size
            return self._layers[size]


def _strength(colours: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W"]:
    """How strong the mark is at each place of a frame."""
    import cv2

    height, width = colours.shape[:2]
    half = (max(1, width // 2), max(1, height // 2))
    luma = cv2.cvtColor(cv2.resize(colours, half, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    detail = cv2.blur(cv2.absdiff(luma, cv2.blur(luma, (_FINE, _FINE))), (_WIDE, _WIDE))
    rough = cv2.LUT(detail, _STRENGTHS)
    return cv2.resize(rough, (width, height), interpolation=cv2.INTER_LINEAR)
