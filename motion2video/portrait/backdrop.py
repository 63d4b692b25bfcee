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
_NEAR_BLUR, _GONE = (
    0.03,
    0.25,
)  # sigma at a photo's edge, and how far out it is the far one's; of its side


def blurred(
    image: UInt8[np.ndarray, "h w 3"],
    alpha: Float[np.ndarray, "h w"],
    unit: float,
    margins: Margins = (0, 0, 0, 0),
) -> UInt8[np.ndarray, "H W 3"]:
    """The background of a photo out of focus, without the person (`alpha`), and gone on into
    margins; `unit` is the interocular distance in pixels.
    """
    grow = max(3, round(_GROW * unit))
    ring = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1,) * 2)
    known = 1 - np.asarray(cv2.dilate((alpha > 0.05).astype(np.uint8), ring), np.uint8)
    wide, seen = (cv2.copyMakeBorder(p, *margins, cv2.BORDER_REFLECT_101) for p in (image, known))
    weight = np.asarray(seen, np.float32)
    if not weight.any():
        return surroundings(image, (wide.shape[1], wide.shape[0]))
    filled = push_pull(np.asarray(wide, np.float32), weight)
    soft = cv2.GaussianBlur(filled, (0, 0), max(1.0, _BLUR * unit), borderType=cv2.BORDER_REFLECT)
    return np.clip(np.round(soft), 0, 255).astype(np.uint8)


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


def extended(picture: UInt8[np.ndarray, "h w 3"], margins: Margins) -> UInt8[np.ndarray, "H W 3"]:
    """A picture gone on into margins: mirrored at its edges, the softer the farther out, so that
    it neither ends anywhere nor distracts. The picture itself is as soft as its edges there.
    """
    wide = cv2.copyMakeBorder(picture, *margins, cv2.BORDER_REFLECT_101).astype(np.float32)
    (above, _, left, _), (height, width) = margins, picture.shape[:2]
    near, far = (
        cv2.GaussianBlur(wide, (0, 0), max(1.0, share * max(height, width)))
        for share in (_NEAR_BLUR, _FAR_BLUR)
    )
    rows, columns = np.arange(wide.shape[0]) - above, np.arange(wide.shape[1]) - left
    out = [
        np.maximum(np.maximum(-at, at - n + 1), 0) for at, n in ((rows, height), (columns, width))
    ]
    away = np.clip(np.maximum(out[0][:, None], out[1]) / (_GONE * max(height, width)), 0, 1)
    share = (away * away * (3 - 2 * away)).astype(np.float32)[..., None]
    return np.clip(np.rint(near + (far - near) * share), 0, 255).astype(np.uint8)


def surroundings(
    picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "H W 3"]:
    """The picture itself, enlarged to (width, height) and so blurred that it does not distract."""
    sigma = _FAR_BLUR * max(size)
    return np.asarray(cv2.GaussianBlur(covering(picture, size), (0, 0), sigma), np.uint8)
