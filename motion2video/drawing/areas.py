"""Where in a window the network paints: the open mouth and its lips, closing lids. In pixels of the
windows, UNIT an eye distance (see places).
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion2video.drawing.places import INNER_LIPS, OUTER_LIPS, fill_polygon

LID_SHARE = 0.5  # the warp keeps the skin, the network knows the lid: half of each
LASH_SHARE = 0.9  # where lids meet, a warp is torn
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
    """Where the network paints around an eye: as far as the lids have closed."""
    if shut <= 0:
        return np.zeros((size[1], size[0]), np.uint8)
    area = np.maximum(fill_polygon(lids, size), fill_polygon(open_lids, size))
    soft = cv2.GaussianBlur(cv2.dilate(area, np.ones((9, 9), np.uint8)), (0, 0), 4.0)
    line = cv2.dilate(fill_polygon(lids, size), np.ones((5, 5), np.uint8))
    line = cv2.GaussianBlur(line, (0, 0), 2.4)
    shares = (soft * (shut * LID_SHARE), line * (shut * LASH_SHARE))
    return np.maximum(*(one.astype(np.uint8) for one in shares))
