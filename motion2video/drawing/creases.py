"""Folds that a photo's own expression has drawn: they go as the expression goes.

The maps of `Shading` are everybody's. How deep somebody's folds are, and where, the photo itself
says, if its person smiles or frowns in it: along the lines where a smile or brows fold the skin,
what is darker (and a little of what is lighter) than the skin around, finer than the shape of a
cheek and coarser than pores.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion2video.drawing.places import OUTER_LIPS
from motion2video.geometry.basis import interocular

FOLDS = {
    "mouth": (
        [[129, 203, 206, 216, 212], [358, 423, 426, 436, 432]],
        [61, 291, 78, 308, 206, 426, 216, 436],
    ),
    "brows": (
        [
            [107, 55, 8, 285, 336],
            [8, 9, 151],
            [104, 69, 108, 151, 337, 299, 333],
            [67, 109, 10, 338, 297],
        ],
        [107, 66, 105, 336, 296, 334, 55, 285],
    ),
}
"""Of every part of the face that has an expression of its own (`PortraitFace.own`) the lines where
it folds, and the points that say how much of it is left."""
_NOSE = [129, 98, 97, 2, 326, 327, 358, 279, 4, 49]
_BROWS = ([70, 63, 105, 66, 107, 55, 65, 52, 53, 46], [300, 293, 334, 296, 336, 285, 295, 282, 283])
_FINE, _COARSE = 0.006, 0.07  # eye distances: pores, and the shape of a cheek
_BESIDE = 0.1  # eye distances beside a line over which it counts
_KEPT = 0.03  # eye distances about lips and nose that are left as they are
_HIGHLIGHTS = 0.3  # of what is lighter than around goes
_DEEPEST = 0.5  # of the logarithm
_WEAK, _CLEAR = 0.008, 0.025  # eye distances: expressions that fold nothing, and that fold the skin
_HAIRS = 0.03  # eye distances
_UNLIKE = (0.5, 0.9)  # of the logarithm, from where it is not skin: hair, beards
_FOOT = 8.0  # grey levels added before logarithms are taken


@dataclass(frozen=True, eq=False)
class Crease:
    """What a part's folds lack of light (`gain`, of the photo's colours), and which way `points`
    went by the expression that folds it (head frame).
    """

    points: list[int]
    way: Float[np.ndarray, "n 3"]
    gain: Float[np.ndarray, "h w 3"]

    def gone(self, moved: Float[np.ndarray, "478 3"]) -> float:
        """How much of the photo's expression is gone, 0 to 1, where points have `moved` so."""
        length = float((self.way * self.way).sum())
        return float(np.clip(-(moved[self.points] * self.way).sum() / length, 0, 1))


def creases_of(
    image: UInt8[np.ndarray, "H W 3"],
    landmarks: Float[np.ndarray, "478 3"],
    own: Mapping[str, Float[np.ndarray, "478 3"]],
    window: tuple[slice, slice],
) -> tuple[Crease, ...]:
    """Of the parts that have an expression of their `own` in a photo, in a window of it."""
    found = []
    for part, (lines, points) in FOLDS.items():
        way = own.get(part)
        if way is None:
            continue
        size = float(np.linalg.norm(way[points], axis=1).mean())
        share = float(np.clip((size - _WEAK) / (_CLEAR - _WEAK), 0, 1))
        if share > 0:
            corner = np.array([window[1].start, window[0].start, 0], np.float32)
            gain = _gain(image[window], landmarks - corner, lines)
            found.append(Crease(points, way[points], share * gain))
    return tuple(found)


def _gain(
    image: UInt8[np.ndarray, "h w 3"], marks: Float[np.ndarray, "478 3"], lines: list[list[int]]
) -> Float[np.ndarray, "h w 3"]:
    """By how much colours along lines must grow, as a share of them, to be those around."""
    unit = float(interocular(marks * np.array([1, 1, 0], np.float32)))
    light = np.log(image.astype(np.float32) + _FOOT)
    there = _skin(light, marks, unit)

    def soft(sigma: float) -> Float[np.ndarray, "h w 3"]:
        over = cv2.GaussianBlur(light * there[..., None], (0, 0), sigma * unit)
        share = np.maximum(cv2.GaussianBlur(there, (0, 0), sigma * unit), 1e-3)
        return np.asarray(over / share[..., None], np.float32)

    lacks = soft(_COARSE) - soft(_FINE)
    lacks = np.maximum(lacks, 0) + _HIGHLIGHTS * np.minimum(lacks, 0)
    drawn = np.full(there.shape, 255, np.uint8)
    for line in lines:
        cv2.polylines(drawn, [np.round(marks[line, :2]).astype(np.int32)], False, 0, 1)
    away = cv2.distanceTransform(drawn, cv2.DIST_L2, 5) / unit
    weight = np.exp(-0.5 * (away / _BESIDE) ** 2) * there
    weight *= cv2.GaussianBlur(there, (0, 0), 0.02 * unit)
    return np.expm1(weight[..., None] * np.clip(lacks, -_DEEPEST, _DEEPEST)).astype(np.float32)


def _skin(
    light: Float[np.ndarray, "h w 3"], marks: Float[np.ndarray, "478 3"], unit: float
) -> Float[np.ndarray, "h w"]:
    """How much a face is bare, 0 to 1."""
    plane = np.ones(light.shape[:2], np.uint8)
    for part in (OUTER_LIPS, _NOSE, *_BROWS):
        hull = cv2.convexHull(np.round(marks[part, :2]).astype(np.int32))
        cv2.fillPoly(plane, [np.asarray(hull, np.int32)], 0)
    square = np.ones((2 * round(_KEPT * unit) + 1,) * 2, np.uint8)
    bare = cv2.erode(plane, square) > 0
    usual = np.median(light[bare], axis=0) if bare.any() else light.mean((0, 1))
    away = np.abs(cv2.GaussianBlur(light, (0, 0), _HAIRS * unit) - usual).max(-1)
    alike, unlike = _UNLIKE
    return (bare * np.clip((unlike - away) / (unlike - alike), 0, 1)).astype(np.float32)
