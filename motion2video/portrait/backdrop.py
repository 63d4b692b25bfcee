"""Pictures to put behind a person: a photo's own background out of focus, another picture."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion2video.portrait.fills import push_pull

Margins = tuple[int, int, int, int]
"""Pixels above, below, left and right of a photo."""
_BLUR = 0.22  # sigma, in interocular distances
_GROW = 0.12  # of the person, in which a photo mixes both
_FAR_BLUR = 0.05  # sigma, of the long side of what stands for the whole surroundings


def blurred(
    image: UInt8[np.ndarray, "h w 3"],
    alpha: Float[np.ndarray, "h w"],
    unit: float,
    margins: Margins = (0, 0, 0, 0),
) -> UInt8[np.ndarray, "H W 3"]:
    """The background of a photo out of focus, without the person (`alpha`), and gone on into
    margins; `unit` is the interocular distance in pixels.
    """
    known = free_of(alpha, unit)
    wide, seen = (cv2.copyMakeBorder(p, *margins, cv2.BORDER_REFLECT_101) for p in (image, known))
    weight = np.asarray(seen, np.float32)
    if not weight.any():
        return surroundings(image, (wide.shape[1], wide.shape[0]))
    filled = push_pull(np.asarray(wide, np.float32), weight)
    soft = cv2.GaussianBlur(filled, (0, 0), max(1.0, _BLUR * unit), borderType=cv2.BORDER_REFLECT)
    return np.clip(np.round(soft), 0, 255).astype(np.uint8)


def free_of(alpha: Float[np.ndarray, "h w"], unit: float) -> UInt8[np.ndarray, "h w"]:
    """1 where a photo shows nothing of the person, who is grown by what mixes with the wall."""
    grow = max(3, round(_GROW * unit))
    ring = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1,) * 2)
    return 1 - np.asarray(cv2.dilate((alpha > 0.05).astype(np.uint8), ring), np.uint8)


def covering(
    picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "H W 3"]:
    """The middle of a picture, as much of it as fits, at (width, height)."""
    (width, height), (h, w) = size, picture.shape[:2]
    scale = max(width / w, height / h)
    wide, high = max(1, min(w, round(width / scale))), max(1, min(h, round(height / scale)))
    x, y = (w - wide) // 2, (h - high) // 2
    part = picture[y : y + high, x : x + wide]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, size, interpolation=how), np.uint8)


def surroundings(
    picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "H W 3"]:
    """The picture itself, enlarged to (width, height) and so blurred that it does not distract."""
    sigma = _FAR_BLUR * max(size)
    return np.asarray(cv2.GaussianBlur(covering(picture, size), (0, 0), sigma), np.uint8)
