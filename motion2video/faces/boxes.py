"""Boxes in a picture, (x0, y0, x1, y1) in pixels: cutting them out, tiling, comparing."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

Box = tuple[float, float, float, float]

_SMALLEST_TILE = 256


def box_of(x0: int, y0: int, x1: int, y1: int) -> Box:
    """A box from whole numbers."""
    return float(x0), float(y0), float(x1), float(y1)


def cut(
    image: UInt8[np.ndarray, "H W 3"], box: Box
) -> tuple[UInt8[np.ndarray, "h w 3"], tuple[int, int]]:
    """The pixels of a box, repeated outwards where it leaves the picture; its corner (x, y)."""
    height, width = image.shape[:2]
    x0, y0 = min(round(box[0]), width - 1), min(round(box[1]), height - 1)
    x1, y1 = max(round(box[2]), x0 + 1, 1), max(round(box[3]), y0 + 1, 1)
    inside = image[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    if x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height:
        return inside, (x0, y0)
    pad = ((max(-y0, 0), max(y1 - height, 0)), (max(-x0, 0), max(x1 - width, 0)), (0, 0))
    return np.pad(inside, pad, mode="edge"), (x0, y0)


def square(box: Box, factor: float) -> Box:
    """The square around a box, `factor` times its longer side."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = factor / 2 * max(box[2] - box[0], box[3] - box[1], 1.0)
    return x - half, y - half, x + half, y + half


def scaled(box: Box, scale: float) -> Box:
    """The box in a picture that is `scale` times as large."""
    return box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale


def distance(a: Box, b: Box) -> float:
    """Between the middles of two boxes."""
    return float(np.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2)


def tile_levels(width: int, height: int) -> Iterator[list[Box]]:
    """Overlapping square tiles, first of the picture's short side, then half of it, and so on;
    down to a twelfth of the long side and never below 256 pixels."""
    smallest = max(_SMALLEST_TILE, max(width, height) // 12)
    side = min(width, height)
    if max(width, height) < 1.25 * side:
        side //= 2
    while side >= smallest:
        yield [
            box_of(x, y, x + side, y + side)
            for y in _starts(height, side)
            for x in _starts(width, side)
        ]
        side //= 2


def _starts(length: int, side: int) -> list[int]:
    """Where tiles of `side` begin so that they cover `length` and overlap by half or more."""
    count = max(1, int(np.ceil((length - side) / (side / 2))) + 1)
    return np.linspace(0, length - side, count).round().astype(int).tolist()
