"""Finding the mark in a video that may have been coded again, scaled, cropped and cut.

The mark is the same in every frame and everywhere: frames add up, and so do squares. What is left
to find is how much larger or smaller the video has become, which is tried out, and where a square
begins, which an FFT says for all places at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Float, UInt8

from app.provenance.looking import FRAMES
from app.provenance.pattern import PUBLIC_KEY, TILE, Patterns

SMALLEST, LARGEST = 0.4, 2.5
"""Scales that are tried."""
_FINE = 0.008
"""Between two scales: over 512 px the pattern is off by 2 px at the ends, a quarter of its wave."""
_FINER = np.linspace(-0.006, 0.006, 7)
_USUAL = (1.0, 0.5, 0.75, 2 / 3, 1.5, 2.0)
_CLEAR, _CLEAR_SEARCHED = 5.0, 6.0
"""Standard deviations by which the beginning of a square must stand out: at one of the usual
scales, and among all of them, which are more occasions for chance.
"""
_SCORE = 12.0
"""Standard deviations by which the whole pattern must fit. What chance decodes to fits by 10."""
_WIDE, _NEAR = 6.0, 8.0
_CLIP = 2.5
_MOST_SIDE = 1536
"""Larger frames are cut to their middle: it has squares enough."""


@dataclass(frozen=True)
class Found:
    """A mark: its payload, the scale of the video against what was marked, symbols that were put
    right, and by how many standard deviations the pattern fits.
    """

    payload: int
    scale: float
    corrected: int
    score: float


def detect(frames: Iterable[UInt8[np.ndarray, "H W c"]], key: bytes = PUBLIC_KEY) -> Found | None:
    """The mark in the first FRAMES of some frames of one size, None where there is none."""
    rest = _rest(islice(frames, FRAMES))
    if rest is None:
        return None
    patterns = Patterns.of(key)
    for scale in _USUAL:
        found = _at(patterns, rest, scale, _CLEAR)
        if found is not None:
            return found
    scales = np.exp(np.arange(np.log(SMALLEST), np.log(LARGEST), _FINE))
    clear = [(patterns.find(_folded(rest, scale))[0], scale) for scale in scales]
    _, near = max(clear)
    finer = ((patterns.find(_folded(rest, s))[0], s) for s in near * (1 + _FINER))
    return _at(patterns, rest, max(finer)[1], _CLEAR_SEARCHED)


def _at(
    patterns: Patterns, rest: Float[np.ndarray, "H W"], scale: float, clear: float
) -> Found | None:
    square = _folded(rest, scale)
    clearness, at = patterns.find(square)
    if clearness < clear:
        return None
    read = patterns.read(square, at)
    if read is None or read.score < _SCORE:
        return None
    return Found(read.payload, float(scale), read.corrected, read.score)


def _rest(frames: Iterable[UInt8[np.ndarray, "H W c"]]) -> Float[np.ndarray, "H W"] | None:
    """What is left of frames without what is broad in them, as strong everywhere: the sum of all.
    Frames of another size than the first are left out.
    """
    import cv2

    total: np.ndarray | None = None
    for frame in frames:
        luma = cv2.cvtColor(np.ascontiguousarray(frame[..., :3]), cv2.COLOR_RGB2GRAY)
        top, left = (max(0, side - _MOST_SIDE) // 2 for side in luma.shape)
        luma = luma[top : top + _MOST_SIDE, left : left + _MOST_SIDE].astype(np.float32)
        fine = luma - cv2.GaussianBlur(luma, (0, 0), _WIDE)
        spread = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), _NEAR))
        even = np.clip(fine / (spread + 1), -_CLIP, _CLIP)
        if total is None:
            total = even
        elif total.shape == even.shape:
            total += even
    return total


def _folded(rest: Float[np.ndarray, "H W"], scale: float) -> Float[np.ndarray, "128 128"]:
    """All squares of a picture that was scaled by `scale`, laid on top of each other."""
    if scale != 1:
        import cv2

        how = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        side = [max(1, round(s / scale)) for s in rest.shape]
        rest = cv2.resize(rest, (side[1], side[0]), interpolation=how)
    height, width = rest.shape
    down, across = -(-height // TILE), -(-width // TILE)
    padded = np.zeros((down * TILE, across * TILE), np.float32)
    padded[:height, :width] = rest
    return padded.reshape(down, TILE, across, TILE).sum((0, 2), dtype=np.float64)
