"""Where the network paints, and what becomes of what it painted.

In crop pixels: the open mouth and its lips, closing lids, and the windows of latents that go
through the network.
"""

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from motion2video.drawing.warp import (
    CROP_SIZE,
    INNER_LIPS,
    LEFT_EYE,
    LID_MIDDLES,
    OUTER_LIPS,
    RIGHT_EYE,
    Warped,
    fill_polygon,
    lid_closure,
)
from motion2video.network.denoiser import FACTOR

LATENT_SIZE = CROP_SIZE // FACTOR
WINDOWS = {"mouth": (20, 20), "eyes": (24, 12)}  # latent positions (width, height)
DARK = (38, 16, 16)  # the inside of a mouth that no network painted
LIP_LIKE = 40.0  # distance in RGB at which a colour is no longer the lips'
LID_SHARE = 0.5  # the warp keeps the skin, the network knows the lid: half of each
LASH_SHARE = 0.9  # where lids meet, a warp is torn


def lip_shares(
    points: Float[np.ndarray, "n 478 2"], unit: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n 2"]:
    """Of every frame, how much of an open mouth and of the lips around it the network paints.

    `points` in crop pixels, `unit` pixels an interocular distance. Both are 0 for closed lips,
    whose photo is better than any network's.
    """
    gap = np.linalg.norm(points[:, 13] - points[:, 14], axis=-1) / unit
    share = np.clip((gap - 0.03) / 0.12, 0, 1) * 0.6
    return (np.stack([np.ones_like(gap), share], 1) * (gap >= 0.004)[:, None]).astype(np.float32)


def lid_shares(
    points: Float[np.ndarray, "n 478 2"], open_eyes: Float[np.ndarray, "n 478 2"]
) -> Float[np.ndarray, "n 2"]:
    """Of every frame, how much of the right and the left eye the network paints: as far as the
    lids have closed.
    """
    shut = [
        [lid_closure(now, before, top, bottom) for top, bottom in LID_MIDDLES]
        for now, before in zip(points, open_eyes, strict=True)
    ]
    return np.clip((np.array(shut, np.float32).reshape(-1, 2) - 0.15) / 0.35, 0, 1)


def window_corners(
    points: Float[np.ndarray, "n 478 2"], unit: Float[np.ndarray, "n"]
) -> dict[str, Int[np.ndarray, "n 2"]]:
    """(x, y) in latents where the windows of every frame start."""
    below = np.stack([np.zeros_like(unit), 0.1 * unit], 1)
    centres = {
        "mouth": points[:, OUTER_LIPS].mean(1) + below,
        "eyes": points[:, RIGHT_EYE + LEFT_EYE].mean(1),
    }
    return {
        name: np.clip(
            np.round(centres[name] / FACTOR - np.array(size) / 2), 0, LATENT_SIZE - np.array(size)
        ).astype(int)
        for name, size in WINDOWS.items()
    }


def mouth_alpha(
    points: Float[np.ndarray, "478 2"], shares: Float[np.ndarray, "2"]
) -> UInt8[np.ndarray, "s s"]:
    """Where the network paints around the mouth: all of an open mouth, the lips as it opens."""
    inner = fill_polygon(points[INNER_LIPS])
    if shares[0] == 0:
        return np.zeros_like(inner)
    inner = cv2.GaussianBlur(cv2.dilate(inner, np.ones((3, 3), np.uint8)), (0, 0), 1.2)
    lips = fill_polygon(points[OUTER_LIPS])
    lips = cv2.GaussianBlur(lips, (0, 0), 2.5)
    return np.maximum(inner, (lips * shares[1]).astype(np.uint8))


def shade_cavity(
    painted: UInt8[np.ndarray, "s s 3"], warped: Warped, amount: float
) -> UInt8[np.ndarray, "s s 3"]:
    """Darken what has the lips' own colour inside an open mouth: no lip is there, so it is the
    shaded cavity that a network which is not sure has painted over. Teeth keep their light.
    """
    hole = (warped.known == 0).astype(np.uint8)
    lips = (warped.features[..., 1] > 127) & (cv2.dilate(hole, np.ones((5, 5), np.uint8)) == 0)
    if amount == 0 or not hole.any() or not lips.any():
        return painted
    colours = painted.astype(np.float32)
    away = np.linalg.norm(colours - np.median(colours[lips], 0), axis=-1)
    depth = np.clip(cv2.distanceTransform(hole, cv2.DIST_L2, 3) / 1.5, 0, 1)
    shade = cv2.GaussianBlur(amount * np.exp(-((away / LIP_LIKE) ** 2)) * depth, (0, 0), 0.8)
    return (colours * (1 - shade[..., None])).round().astype(np.uint8)


def eyes_alpha(
    points: Float[np.ndarray, "478 2"],
    open_eyes: Float[np.ndarray, "478 2"],
    shares: Float[np.ndarray, "2"],
) -> UInt8[np.ndarray, "s s"]:
    """Where the network paints around the eyes: as far as the lids have closed."""
    out = np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
    for eye, shut in zip((RIGHT_EYE, LEFT_EYE), shares, strict=True):
        if shut > 0:
            area = np.maximum(fill_polygon(points[eye]), fill_polygon(open_eyes[eye]))
            soft = cv2.GaussianBlur(cv2.dilate(area, np.ones((5, 5), np.uint8)), (0, 0), 2.0)
            out = np.maximum(out, (soft * shut * LID_SHARE).astype(np.uint8))
            line = cv2.dilate(fill_polygon(points[eye]), np.ones((3, 3), np.uint8))
            line = cv2.GaussianBlur(line, (0, 0), 1.2)
            out = np.maximum(out, (line * shut * LASH_SHARE).astype(np.uint8))
    return out
