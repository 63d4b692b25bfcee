"""Windows of a frame that go through the network: where they lie, what is cut from them, what is
laid back.

A window follows its part of the face: it is centred on it, level with the eyes and UNIT pixels an
eye distance, whatever the frame's size.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion2video.geometry.basis import EYE_CORNERS, interocular
from motion2video.network.denoiser import FACTOR

UNIT = 128  # pixels an interocular distance
WINDOWS = {"mouth": (20, 20), "right eye": (12, 8), "left eye": (12, 8)}  # latents (width, height)
_SHIFT = 4  # fractional bits of cv2's polygon coordinates
_FINE = 0.6  # of a frame's size, below which it is smoothed before it is cut

RIGHT_EYE = [33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7]
LEFT_EYE = [263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249]
RIGHT_IRIS, LEFT_IRIS = [468, 469, 470, 471, 472], [473, 474, 475, 476, 477]
INNER_LIPS = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178]
INNER_LIPS += [88, 95]
OUTER_LIPS = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181]
OUTER_LIPS += [91, 146]
EYES = {"right eye": (RIGHT_EYE, RIGHT_IRIS), "left eye": (LEFT_EYE, LEFT_IRIS)}
_CENTRES = {"mouth": OUTER_LIPS, "right eye": RIGHT_EYE, "left eye": LEFT_EYE}


@dataclass(frozen=True, eq=False)
class Place:
    """Where a window of `size` (width, height) pixels lies: `matrix` takes a frame's pixels to the
    window's.
    """

    matrix: Float[np.ndarray, "2 3"]
    size: tuple[int, int]

    @staticmethod
    def of(name: str, landmarks: Float[np.ndarray, "478 3"]) -> "Place":
        """The window `name` of a frame with these landmarks (pixels)."""
        width, height = (FACTOR * n for n in WINDOWS[name])
        points = landmarks[:, :2].astype(np.float64)
        right, left = (points[list(pair)].mean(0) for pair in EYE_CORNERS)
        x, y = left - right
        length = max(float(np.hypot(x, y)), 1e-6)
        scale = UNIT / max(float(interocular(landmarks)), 1e-6)
        turn = np.array([[x, y], [-y, x]]) * (scale / length)
        centre = np.array([width - 1, height - 1]) / 2
        shift = centre - turn @ points[_CENTRES[name]].mean(0)
        return Place(np.column_stack([turn, shift]), (width, height))

    @property
    def scale(self) -> float:
        """Window pixels a pixel of the frame."""
        return float(np.hypot(*self.matrix[:, 0]))

    def points(self, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Places of the frame in the window."""
        return (points @ self.matrix[:, :2].T + self.matrix[:, 2]).astype(np.float32)

    def back(self, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Places of the window in the frame."""
        turn = np.linalg.inv(self.matrix[:, :2])
        return ((points - self.matrix[:, 2]) @ turn.T).astype(np.float32)

    def cut(self, frame: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """The window out of a frame, edges replicated, anti-aliased."""
        matrix = self.matrix.copy()
        rows, columns = self.reach(frame.shape, 8)
        part = frame[rows, columns]
        matrix[:, 2] += matrix[:, :2] @ np.array([columns.start, rows.start], np.float64)
        if self.scale < _FINE:
            part = cv2.GaussianBlur(part, (0, 0), 0.35 / self.scale)
        cut = cv2.warpAffine(
            part, matrix, self.size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(cut, np.uint8)

    def lay(
        self,
        frame: UInt8[np.ndarray, "H W 3"],
        painted: UInt8[np.ndarray, "h w 3"],
        alpha: UInt8[np.ndarray, "h w"],
    ) -> None:
        """Put a painted window into the frame where `alpha` (0..255) says so."""
        rows, columns = self.reach(frame.shape, 1)
        if rows.stop <= rows.start or columns.stop <= columns.start or not alpha.any():
            return
        matrix = self.matrix.copy()
        matrix[:, 2] += matrix[:, :2] @ np.array([columns.start, rows.start], np.float64)
        size = (columns.stop - columns.start, rows.stop - rows.start)
        back = cv2.WARP_INVERSE_MAP
        over = cv2.warpAffine(
            painted, matrix, size, flags=cv2.INTER_CUBIC | back, borderMode=cv2.BORDER_REPLICATE
        )
        weight = cv2.warpAffine(alpha, matrix, size, flags=cv2.INTER_LINEAR | back)
        frame[rows, columns] = blend(frame[rows, columns], over, weight)

    def reach(self, shape: tuple[int, ...], more: int) -> tuple[slice, slice]:
        """Rows and columns of the frame in which the window lies, at least one each."""
        width, height = self.size
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
        inverse = np.linalg.inv(self.matrix[:, :2])
        there = (corners - self.matrix[:, 2]) @ inverse.T
        x0, y0 = np.clip(np.floor(there.min(0)) - more, 0, [shape[1] - 1, shape[0] - 1])
        x1, y1 = np.clip(np.ceil(there.max(0)) + more + 1, [x0 + 1, y0 + 1], [shape[1], shape[0]])
        return slice(int(y0), int(y1)), slice(int(x0), int(x1))


def fill_polygon(
    points: Float[np.ndarray, "n 2"], size: tuple[int, int]
) -> UInt8[np.ndarray, "h w"]:
    """255 inside a polygon of window pixels, anti-aliased."""
    plane = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(plane, [_fixed(points)], 255, cv2.LINE_AA, _SHIFT)
    return plane


def feature_map(
    points: Float[np.ndarray, "478 2"], size: tuple[int, int]
) -> UInt8[np.ndarray, "h w 4"]:
    """Keypoint map of a window: open mouth, lips, visible eyes, irises; 255 inside."""
    planes = np.zeros((4, size[1], size[0]), np.uint8)
    cv2.fillPoly(planes[0], [_fixed(points[INNER_LIPS])], 255, cv2.LINE_AA, _SHIFT)
    cv2.fillPoly(planes[1], [_fixed(points[OUTER_LIPS])], 255, cv2.LINE_AA, _SHIFT)
    for eye, iris in EYES.values():
        cv2.fillPoly(planes[2], [_fixed(points[eye])], 255, cv2.LINE_AA, _SHIFT)
        centre = points[iris[0]]
        radius = float(np.linalg.norm(points[iris[1:]] - centre, axis=1).mean())
        x, y = _fixed(centre)
        cv2.circle(
            planes[3], (int(x), int(y)), int(radius * 2**_SHIFT), 255, -1, cv2.LINE_AA, _SHIFT
        )
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def blend(
    below: UInt8[np.ndarray, "h w 3"],
    above: UInt8[np.ndarray, "h w 3"],
    alpha: UInt8[np.ndarray, "h w"],
) -> UInt8[np.ndarray, "h w 3"]:
    """`above` over `below` where alpha (0..255) says so."""
    weight = alpha.astype(np.uint16)[..., None]
    mixed = below.astype(np.uint16) * (255 - weight) + above.astype(np.uint16) * weight + 127
    return (mixed // 255).astype(np.uint8)


def _fixed(points: Float[np.ndarray, "*n 2"]) -> np.ndarray:
    return np.round(np.clip(points, -4096, 4096) * 2**_SHIFT).astype(np.int32)
