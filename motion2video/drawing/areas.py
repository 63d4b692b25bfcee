"""Where in a window the network paints: the open mouth and its lips, closing lids. In pixels of the
windows, UNIT an eye distance (see places).
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion2video.drawing.places import INNER_LIPS, OUTER_LIPS, fill_polygon

LID_SHARE = 0.2  # the skin of a lid is the photo's (see lashes.py)
SLIT_SHARE = 0.9  # of an eye that is half shut: the network knows its shade
LID_MIDDLES = {"right eye": (159, 145), "left eye": (386, 374)}


def lip_shares(
    points: Float[np.ndarray, "n 478 2"], unit: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n 2"]:
    """Of every frame, how much of an open mouth and of the lips around it the network paints.

    `points` in any pixels, `unit` pixels an interocular distance. Both are 0 for closed lips,
    whose photo is better than any network's.
    """
    gap = np.linalg.norm(points[:, 13] - points[:, 14], axis=-1) / unit
    share = np.clip((gap - 0.03) / 0.12, 0, 1) * 0.6
    return (np.stack([np.ones_like(gap), share], 1) * (gap >= 0.004)[:, None]).astype(np.float32)


def lid_shares(
    name: str, points: Float[np.ndarray, "n 478 2"], open_eyes: Float[np.ndarray, "n 478 2"]
) -> Float[np.ndarray, "n"]:
    """Of every frame, how much of an eye the network paints: as far as the lids have closed."""
    top, bottom = LID_MIDDLES[name]
    full, now = (np.linalg.norm(p[:, top] - p[:, bottom], axis=-1) for p in (open_eyes, points))
    shut = np.clip(1 - now / np.maximum(full, 1e-3), 0, 1)
    return np.clip((shut - 0.15) / 0.35, 0, 1).astype(np.float32)


def mouth_alpha(
    points: Float[np.ndarray, "478 2"], shares: Float[np.ndarray, "2"], size: tuple[int, int]
) -> UInt8[np.ndarray, "h w"]:
    """Where the network paints around the mouth: all of an open mouth, the lips as it opens."""
    inner = fill_polygon(points[INNER_LIPS], size)
    if shares[0] == 0:
        return np.zeros_like(inner)
    inner = cv2.GaussianBlur(cv2.dilate(inner, np.ones((5, 5), np.uint8)), (0, 0), 2.0)
    lips = fill_polygon(points[OUTER_LIPS], size)
    lips = cv2.GaussianBlur(lips, (0, 0), 5.0)
    return np.maximum(inner, (lips * shares[1]).astype(np.uint8))


def eye_alpha(
    lids: Float[np.ndarray, "k 2"],
    open_lids: Float[np.ndarray, "k 2"],
    shut: float,
    size: tuple[int, int],
) -> UInt8[np.ndarray, "h w"]:
    """Where the network paints around an eye, as far as the lids have closed: most between them."""
    if shut <= 0:
        return np.zeros((size[1], size[0]), np.uint8)
    area = np.maximum(fill_polygon(lids, size), fill_polygon(open_lids, size))
    soft = cv2.GaussianBlur(cv2.dilate(area, np.ones((9, 9), np.uint8)), (0, 0), 4.0)
    slit = cv2.GaussianBlur(fill_polygon(lids, size), (0, 0), 1.5)
    shares = (soft * (shut * LID_SHARE), slit * (shut * SLIT_SHARE))
    return np.maximum(*(one.astype(np.uint8) for one in shares))
