"""What is seen in frames without another picture to compare with, and with one: flicker, seams,
sharpness, landmarks and identity. Frames are RGB, 0..255.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from motion2video.drawing.places import LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from motion2video.geometry.basis import FACE_OVAL, interocular

FEATURES = {"mouth": OUTER_LIPS, "eyes": [*RIGHT_EYE, *LEFT_EYE]}
"""Landmarks by what they are of."""
SEAM_WIDTH = 0.06
"""Half the width of the band along the face's outline, in eye distances."""


def flicker(
    before: UInt8[np.ndarray, "h w *c"],
    now: UInt8[np.ndarray, "h w *c"],
    after: UInt8[np.ndarray, "h w *c"],
) -> float:
    """Mean over pixels of |before - 2 now + after| / 4, in grey levels: the amplitude of what goes
    up and down from frame to frame. Even movement of smooth surfaces hardly counts.
    """
    outer = before.astype(np.int16) + after.astype(np.int16)
    return float(np.abs(outer - 2 * now.astype(np.int16)).mean() / 4)


def grey(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """Its brightness."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY), np.uint8)


def steepness(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Slope of the brightness at each pixel, in grey levels a pixel."""
    plane = grey(image).astype(np.float32)
    x, y = (cv2.Sobel(plane, -1, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
    return np.hypot(x, y)


def box_of(
    landmarks: Float[np.ndarray, "478 3"],
    points: Sequence[int],
    shape: tuple[int, ...],
    more: float = 0.25,
) -> tuple[slice, slice]:
    """Rows and columns around some landmarks and a share of their width more, inside a picture."""
    low, high = landmarks[list(points), :2].min(0), landmarks[list(points), :2].max(0)
    wider = more * (high - low)[0]
    x0, y0 = np.clip(low - wider, 0, [shape[1] - 2, shape[0] - 2]).astype(int)
    x1, y1 = np.clip(high + wider, [x0 + 2, y0 + 2], [shape[1], shape[0]]).astype(int)
    return np.s_[y0:y1, x0:x1]


def sharpness(
    image: UInt8[np.ndarray, "h w 3"], landmarks: Float[np.ndarray, "478 3"], feature: str
) -> float:
    """Mean slope in the box of mouth or eyes, a share of their contrast (standard deviation) and
    times the eye distance in pixels: the same for a picture at half size, less for a blurred one.
    """
    box = box_of(landmarks, FEATURES[feature], image.shape)
    contrast = float(grey(image[box]).std())
    if contrast < 1e-6:
        return 0.0
    unit = float(interocular(landmarks[None])[0])
    return float(steepness(image[box]).mean()) / contrast * unit


def outline(
    landmarks: Float[np.ndarray, "478 3"], shape: tuple[int, ...]
) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """A band along the face's outline, and bands of the same width inside and outside of it."""
    points = np.rint(landmarks[FACE_OVAL, :2]).astype(np.int32)
    width = max(2, round(SEAM_WIDTH * float(interocular(landmarks[None])[0])))

    def line(thickness: int) -> Bool[np.ndarray, "h w"]:
        plane = np.zeros(shape[:2], np.uint8)
        return cv2.polylines(plane, [points], True, 1, thickness) > 0

    band = line(2 * width)
    return band, line(6 * width) & ~band


def seam(
    image: UInt8[np.ndarray, "h w 3"],
    landmarks: Float[np.ndarray, "478 3"],
    photo: UInt8[np.ndarray, "h w 3"],
    photo_landmarks: Float[np.ndarray, "478 3"],
) -> float:
    """How much steeper the face's outline is against what is beside it, than in the photo: log of
    the ratio of ratios. 0 is as in the photo; a visible edge of what was pasted is above.
    """

    def ratio(picture: np.ndarray, marks: np.ndarray) -> float:
        band, beside = outline(marks, picture.shape)
        if not band.any() or not beside.any():
            return 1.0
        slope = steepness(picture)
        return (float(slope[band].mean()) + 0.1) / (float(slope[beside].mean()) + 0.1)

    return float(np.log(ratio(image, landmarks) / ratio(photo, photo_landmarks)))


def landmark_error(
    found: Float[np.ndarray, "n 478 3"], wanted: Float[np.ndarray, "n 478 3"], feature: str
) -> float:
    """Mean distance in the picture of re-tracked landmarks of mouth or eyes from where they were to
    be, in percent of the eye distance.
    """
    points = FEATURES[feature]
    away = np.linalg.norm((found - wanted)[:, points, :2], axis=-1).mean(1)
    return float((away / interocular(wanted)).mean() * 100)
