"""Where the layers of a head end, or two parts of it meet."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

THIN, SHADE, AROUND = 3, 0.85, 5
"""Pixels of a gap that is no open mouth, but lips that meet: it has the colour of what is around
within so many pixels, and is so much darker.
"""
SOFTNESS, EDGE = 1.3, 200  # sigma in pixels, and how much of it an edge gets, of 255
JUMP = 8.0  # pixels of the photo between neighbours: two parts of the head


def soothed(
    colour: UInt8[np.ndarray, "h w 3"],
    grid: Float[np.ndarray, "h w 2"],
    coarse: UInt8[np.ndarray, "h w"],
) -> UInt8[np.ndarray, "h w 3"]:
    """Blurred where one part of the head begins before another, so that its edge is no staircase,
    and where so few pixels were drawn out that they are streaks.
    """
    edge = np.zeros(grid.shape[:2], np.uint8)
    across = np.abs(grid[:, 1:, 0] - grid[:, :-1, 0]) > JUMP
    along = np.abs(grid[1:, :, 1] - grid[:-1, :, 1]) > JUMP
    edge[:, 1:][across] = edge[:, :-1][across] = edge[1:][along] = edge[:-1][along] = EDGE
    weight = cv2.max(edge, cv2.blur(coarse, (9, 9))).astype(np.float32) / 255
    return np.asarray(
        cv2.blendLinear(cv2.GaussianBlur(colour, (0, 0), SOFTNESS), colour, weight, 1 - weight)
    )


def seal(colour: UInt8[np.ndarray, "h w 3"], opened: Bool[np.ndarray, "h w"]) -> None:
    """No black dashes between lips that meet."""
    if not opened.any():
        return
    rows, columns = (np.flatnonzero(opened.any(axis)) for axis in (1, 0))
    part = tuple(slice(max(0, at[0] - AROUND), at[-1] + 1 + AROUND) for at in (rows, columns))
    gap = opened[part].astype(np.uint8)
    thin = gap > cv2.morphologyEx(gap, cv2.MORPH_OPEN, np.ones((THIN, 1), np.uint8))
    if not thin.any():
        return
    bare, here = 1 - gap.astype(np.float32), colour[part]
    size = (AROUND, AROUND)
    around = (
        cv2.blur(here * bare[..., None], size) / np.maximum(cv2.blur(bare, size), 1e-3)[..., None]
    )
    here[thin] = np.round(SHADE * around[thin]).astype(np.uint8)


def feather(
    ids: Int[np.ndarray, "h w"], alpha: UInt8[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """Weights 0..1 of what was drawn: soft where an opaque layer ends."""
    drawn = np.where(ids >= 0, np.uint8(255), np.uint8(0))
    soft = cv2.blur(drawn, (5, 5))
    inside = cv2.addWeighted(soft, 2, soft, 0, -255)
    weight = cv2.min(cv2.blur(cv2.min(alpha, drawn), (3, 3)), inside)
    return np.asarray(weight, np.float32) / 255


def cut_out(
    frame: UInt8[np.ndarray, "H W 3"],
    plate: UInt8[np.ndarray, "H W 3"],
    cover: Float[np.ndarray, "H W"],
) -> UInt8[np.ndarray, "H W 4"]:
    """A frame that was drawn over a plate, as RGBA: the plate is taken out of the colours."""
    shares = np.round(cover * 255).astype(np.uint8)
    y, x = np.nonzero((shares > 0) & (shares < 255))
    share = cover[y, x, None]
    own = (frame[y, x] - (1 - share) * plate[y, x]) / share
    frame[y, x] = np.clip(np.round(own), 0, 255).astype(np.uint8)
    return np.dstack([frame, shares])
