"""Colours for where a layer of the portrait is not seen: behind the person, or around them."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_PLAIN = 25.0
_LINE = 5
_STAIN = 6.0
_NEAR, _FAR = 0.8, 0.3  # interocular distances: where strands lie, where the wall is sure


def push_pull(
    colour: Float[np.ndarray, "h w c"], weight: Float[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w c"]:
    """Fill where `weight` is 0 from ever coarser averages of where it is not (Gortler 1996)."""
    c, w = colour * weight[..., None], weight
    levels = []
    while min(c.shape[:2]) > 2:
        levels.append((c, w))
        size = ((c.shape[1] + 1) // 2, (c.shape[0] + 1) // 2)
        c = cv2.resize(cv2.GaussianBlur(c, (5, 5), 1), size, interpolation=cv2.INTER_AREA)
        w = cv2.resize(cv2.GaussianBlur(w, (5, 5), 1), size, interpolation=cv2.INTER_AREA)
    out = c / np.maximum(w, 1e-6)[..., None]
    for c, w in reversed(levels):
        up = cv2.resize(out, (c.shape[1], c.shape[0]), interpolation=cv2.INTER_LINEAR)
        k = np.clip(w, 0, 1)[..., None]
        out = c / np.maximum(w, 1e-6)[..., None] * k + up * (1 - k)
    return out


def mirror_fill(
    image: Float[np.ndarray, "h w 3"], known: UInt8[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w 3"]:
    """Texture where `known` is 0: the picture mirrored along rows and columns at the border of the
    hole, so that level and upright lines go on straight, the nearer border counting more.
    """
    total = np.zeros(image.shape, np.float32)
    weights = np.zeros((*known.shape, 1), np.float32)
    for turn in range(4):  # borders to the left, above, right, below
        k, picture = np.rot90(known, turn), np.rot90(image, turn)
        x = np.broadcast_to(np.arange(k.shape[1]), k.shape)
        last = np.maximum.accumulate(np.where(k > 0, x, -1), 1)
        far = np.maximum(2 * last - x, 0)
        fits = (last >= 0) & (np.take_along_axis(k, far, 1) > 0)
        far = np.where(fits, far, np.maximum(last, 0))  # else the border's own colour
        part = np.take_along_axis(picture, far[..., None], 1)
        seen = (last >= 0).astype(np.float32)
        even = cv2.blur(np.ascontiguousarray(part * seen[..., None], np.float32), (1, 9))
        even /= np.maximum(cv2.blur(seen, (1, 9)), 1e-6)[..., None]
        part = np.where(fits[..., None], part, even)
        weight = seen / (1 + x - last) ** 2
        total += np.rot90(part * weight[..., None], -turn)
        weights += np.rot90(weight, -turn)[..., None]
    out = total / np.maximum(weights, 1e-9)
    return np.where(known[..., None] > 0, image, out).astype(np.float32)


def loose_strands(
    image: UInt8[np.ndarray, "h w 3"], person: UInt8[np.ndarray, "h w"], unit: float
) -> UInt8[np.ndarray, "h w"] | None:
    """1 where fine lines and stains lie around a person before a plain wall: hair, and the rim of
    what is in front, that the matte missed and that must not stay behind; None where the background
    is not plain. `unit` is the interocular distance in pixels.
    """
    smooth = cv2.medianBlur(image, min(2 * round(0.1 * unit) + 1, 31))
    away = cv2.distanceTransform(1 - person, cv2.DIST_L2, 5)
    near = (away < _NEAR * unit) & (person == 0)
    if not near.any() or smooth[near].std(0).max() >= _PLAIN:
        return None
    wall = push_pull(smooth.astype(np.float32), (away > _FAR * unit).astype(np.float32))
    line = cv2.absdiff(image, smooth).max(-1) > _LINE
    stain = np.abs(smooth - wall).max(-1) > _STAIN
    found = ((line | stain) & near).astype(np.uint8)
    return np.asarray(cv2.dilate(found, np.ones((9, 9), np.uint8)), np.uint8)
