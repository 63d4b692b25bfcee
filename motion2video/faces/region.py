"""A turned rectangle of a picture: what a network looks at, and where its points lie."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

_BITS = 5
_PARTS = 1 << _BITS  # of a pixel, which OpenCV's table of weights knows
_FARTHEST = 32_000  # pixels, which a number of 16 bits holds


@dataclass(frozen=True)
class Region:
    """Middle, width and height in pixels; turned clockwise by `angle` radians.

    Pixels are counted from the middle of the first one, and a crop's first pixel lies on the
    corner itself: half a pixel off, as in MediaPipe, whose networks know it no other way.
    """

    x: float
    y: float
    width: float
    height: float
    angle: float = 0.0

    @staticmethod
    def around(
        points: Float[np.ndarray, "n 2"], start: Float[np.ndarray, "2"], end: Float[np.ndarray, "2"]
    ) -> "Region":
        """The upright box of the points, turned about its middle as the line from start to end."""
        (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
        (right, down) = (end - start).tolist()
        angle = float(np.arctan2(down, right))
        return Region((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, angle)

    def grown(self, factor: float) -> "Region":
        """So many times as wide and high."""
        return Region(self.x, self.y, self.width * factor, self.height * factor, self.angle)

    def squared(self) -> "Region":
        """As high as wide, by the longer side."""
        side = max(self.width, self.height)
        return Region(self.x, self.y, side, side, self.angle)

    def crop(
        self, image: UInt8[np.ndarray, "H W 3"], size: int, repeat: bool
    ) -> UInt8[np.ndarray, "size size 3"]:
        """Its pixels, between those of the picture to a 32nd, as MediaPipe's OpenCV had them: that
        is a tenth of a pixel in the landmarks of small faces. Outside the picture they are black,
        or with `repeat` those of its edge.
        """
        import cv2  # here, because whoever only reads pictures shall not load OpenCV

        thin = -(-max(image.shape[:2]) // _FARTHEST)
        if thin > 1:  # larger than OpenCV can address
            part = np.ascontiguousarray(image[::thin, ::thin])
            width, height = self.width / thin, self.height / thin
            small = Region(self.x / thin, self.y / thin, width, height, self.angle)
            return small.crop(part, size, repeat)
        border = cv2.BORDER_REPLICATE if repeat else cv2.BORDER_CONSTANT
        turn = _PARTS * self._turn * np.array([self.width, self.height])
        start = _PARTS * np.array([self.x, self.y]) - turn.sum(1) / 2
        step = np.arange(size) / size
        whole = np.empty((size, size, 2), np.int16)
        between = np.zeros((size, size), np.uint16)
        for axis, weight in ((0, 1), (1, _PARTS)):
            place = turn[axis, 0] * step + (turn[axis, 1] * step + start[axis])[:, None]
            parts = np.rint(place, out=place).astype(np.int32)
            whole[..., axis] = np.clip(parts >> _BITS, -_FARTHEST, _FARTHEST)
            between += ((parts & (_PARTS - 1)) * weight).astype(np.uint16)
        return np.asarray(cv2.remap(image, whole, between, cv2.INTER_LINEAR, borderMode=border))

    def place(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Points of the crop, from (0, 0) to (1, 1), in pixels of the picture.

        Turned first and then stretched, as MediaPipe does it and a crop does not: where a region
        is not square that is another place, but the detector's are so nearly.
        """
        turned = (points - 0.5) @ self._turn.T
        return turned * [self.width, self.height] + [self.x, self.y]

    def overlap(self, other: "Region") -> float:
        """Shared area over the area of both together, as if neither were turned."""
        ends = [
            (
                np.array([r.x - r.width / 2, r.y - r.height / 2]),
                np.array([r.x + r.width / 2, r.y + r.height / 2]),
            )
            for r in (self, other)
        ]
        shared = np.minimum(ends[0][1], ends[1][1]) - np.maximum(ends[0][0], ends[1][0])
        both = float(np.clip(shared, 0, None).prod())
        areas = self.width * self.height + other.width * other.height
        return both / max(areas - both, 1e-9)

    @property
    def _turn(self) -> Float[np.ndarray, "2 2"]:
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cos, -sin], [sin, cos]])
