"""Drawing what is between open lips: cavity, tongue, lower teeth, upper teeth, in a window."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion2video.drawing.places import INNER_LIPS, UNIT, Place, feature_map, fill_polygon
from motion2video.geometry.basis import interocular
from motion2video.portrait.mouth import FOOT, Mouth, Strip

_SHIFT = 4  # fractional bits of cv2's polygon coordinates
_THIN = 0.25  # pixels twice: of a sliver one place is as good as the other
_FINE = 4.0  # pixels: what is smaller is drawn, not painted
_DETAIL = 0.3  # of it, at most
_SOFT = 1.3  # pixels: modelled edges are sharper than photographed ones
_DRAWN = 0.85  # of what is between lips is the drawing's, and not what the network paints
_SEEN = 1.0  # pixels over which the two are compared
_UNLIKE, _ALIKE = 0.8, 0.95  # correlations, up to which the drawing counts, and from which not
_BELIEVED = 0.25  # power of how much lighter that is, by which the drawing is made lighter
_BRIGHTER = (0.7, 1.5)
_SLIT, _OPENED = (0.25, 0.5), (0.6, 0.9)
"""Of what is around a pixel is mouth: where a slit ends and a mouth begins, and from where what is
behind lips is seen well."""
_AROUND = 8  # pixels about a mouth that are looked at
_CALM = 0.3  # of what a network paints in a slit is left: it makes crumbs there
_OPEN = 0.03  # eye distances between lips that show what is behind them
_SAME, _OTHER = 0.01, 0.03  # eye distances by which lips are still, or no more, the photo's


@dataclass(frozen=True, eq=False)
class Inside:
    """What is drawn between a portrait's lips: the `mouth`; and what the photo itself shows there,
    if its lips are open: its window `seen`, and where its `lips` are in that. `detail` is how much
    of the fine structure is drawn: coarse photos have none.
    """

    mouth: Mouth
    seen: UInt8[np.ndarray, "h w 3"] | None = None
    lips: Float[np.ndarray, "20 2"] | None = None
    detail: float = 0.0

    @staticmethod
    def of(
        mouth: Mouth, image: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "478 3"]
    ) -> "Inside":
        """Of a photo with its landmarks."""
        place, unit = Place.of("mouth", landmarks), float(interocular(landmarks))
        detail = _DETAIL * float(np.clip((unit / UNIT - 0.38) / 0.2, 0, 1))
        lips = place.points(landmarks[INNER_LIPS, :2])
        if np.linalg.norm(lips[5] - lips[15]) < _OPEN * UNIT:
            return Inside(mouth, detail=detail)
        return Inside(mouth, place.cut(image), lips, detail)

    def alike(self, lips: Float[np.ndarray, "20 2"]) -> float:
        """How much lips in a window are the photo's, 0 to 1."""
        if self.lips is None:
            return 0.0
        away = float(np.linalg.norm(lips - self.lips, axis=1).mean()) / UNIT
        return float(np.clip((_OTHER - away) / (_OTHER - _SAME), 0, 1))


@dataclass(frozen=True, eq=False)
class Described:
    """Of a window: the `drawn` inside of the mouth, its `hole` (1 where the frame shows nothing of
    the photo), the keypoint map `features`, and how much the lips are the photo's (`alike`).
    """

    drawn: UInt8[np.ndarray, "h w 3"]
    hole: UInt8[np.ndarray, "h w"]
    features: UInt8[np.ndarray, "h w 4"]
    alike: float = 0.0


def describe(
    inside: Inside, landmarks: Float[np.ndarray, "478 3"], name: str, place: Place
) -> Described:
    """What is known of a window but its picture."""
    features = feature_map(place.points(landmarks[:, :2]), place.size)
    hole = hole_of(features[..., 0])
    if name != "mouth":
        return Described(np.zeros((*hole.shape, 3), np.uint8), hole, features)
    drawn = draw_mouth(inside.mouth, landmarks, place)
    alike = inside.alike(place.points(landmarks[INNER_LIPS, :2]))
    if inside.seen is not None and alike > 0:
        drawn = np.asarray(cv2.addWeighted(inside.seen, alike, drawn, 1 - alike, 0), np.uint8)
    return Described(drawn, hole, features, alike)


def draw_mouth(
    mouth: Mouth, landmarks: Float[np.ndarray, "478 3"], place: Place
) -> UInt8[np.ndarray, "h w 3"]:
    """The inside of the mouth in a window, 0 outside (see hole_of)."""
    width, height = place.size
    out = np.zeros((height, width, 3), np.uint8)
    lips = place.points(landmarks[INNER_LIPS, :2])
    x0, y0 = np.clip(np.floor(lips.min(0)).astype(int) - 2, 0, [width - 1, height - 1])
    x1, y1 = np.clip(np.ceil(lips.max(0)).astype(int) + 3, [x0 + 1, y0 + 1], [width, height])
    size, corner = (int(x1 - x0), int(y1 - y0)), np.array([x0, y0], np.float32)
    opened = fill_polygon(lips - corner, size)
    if not opened.any():
        return out
    picture = np.empty((size[1], size[0], 3), np.float32)
    picture[:] = mouth.dark
    posed = mouth.posed(landmarks)
    for strip, points in zip(mouth.strips, posed.placed(), strict=True):
        _draw_strip(picture, strip, place.points(points[:, :2]) - corner)
    hole = hole_of(opened)
    y, x = np.nonzero(hole)
    places = place.back(np.stack([x, y], 1) + corner)
    lit = (picture[y, x] + FOOT) * posed.lights(places) - FOOT
    picture[y, x] = np.maximum(lit, 0)
    known = hole.astype(np.float32)[..., None]
    soft, there = (cv2.GaussianBlur(x, (0, 0), _SOFT) for x in (picture * known, known))
    picture = known * np.atleast_3d(soft) / np.maximum(np.atleast_3d(there), 1e-3)
    out[y0:y1, x0:x1] = np.clip(picture, 0, 255).round()
    return out


def finished(
    painted: UInt8[np.ndarray, "h w 3"], known: Described, detail: float
) -> UInt8[np.ndarray, "h w 3"]:
    """What a network painted, with so much of the fine `detail` that is drawn inside the mouth:
    light and colour are the network's. Slits and corners are calm. A network that cannot tell teeth
    from gaps paints the mean of both, or crumbs: the less what it paints is laid out like the
    drawing, the more of the drawing is laid over where lips are well apart, a quarter of the way
    to that light; but where photos are coarse. Lips that are the photo's keep what the photo shows
    between them.
    """
    hole = known.hole
    if not hole.any():
        return painted
    rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
    around = [(max(0, at[0] - _AROUND), at[-1] + 1 + _AROUND) for at in (rows, columns)]
    part = tuple(slice(*ends) for ends in around)
    mask = hole[part].astype(np.float32)
    share = np.maximum(_soft(mask), 1e-3)[..., None]
    below, above = (x[part].astype(np.float32) for x in (painted, known.drawn))
    low, flat = (_soft(x * mask[..., None]) / share for x in (below, above))
    light = (low.mean(-1, keepdims=True) + 1) / (flat.mean(-1, keepdims=True) + 1)
    apart = np.abs(_saturation(low) - _saturation(flat))
    some = detail * np.clip(1 - (apart - 0.08) / 0.14, 0, 1)[..., None]
    mixed = below + some * (np.clip(light, 0.3, 1.8) * (above - flat) - (below - low))
    begins, ends = _SLIT
    wide = np.clip((share - begins) / (ends - begins), 0, 1)
    mixed = low + (_CALM + (1 - _CALM) * wide) * (mixed - low)
    seen, wanted = (_soft_light(x)[mask > 0] for x in (below, above))
    lit = np.minimum(above * _brighter(seen, wanted), 255)
    begins, ends = _OPENED
    opened = np.clip((share - begins) / (ends - begins), 0, 1)
    mixed += _DRAWN * detail / _DETAIL * _unlike(seen, wanted) * opened * (lit - mixed)
    mixed += known.alike * (above - mixed)
    inner = cv2.GaussianBlur(mask, (0, 0), 1.0)[..., None] * mask[..., None]
    out = painted.copy()
    out[part] = np.clip(below + inner * (mixed - below), 0, 255).round().astype(np.uint8)
    return out


def _soft_light(picture: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    return np.asarray(cv2.GaussianBlur(picture.mean(-1), (0, 0), _SEEN))


def _brighter(seen: Float[np.ndarray, "n"], wanted: Float[np.ndarray, "n"]) -> float:
    """How much lighter a mouth is that is painted than one that is drawn."""
    more = (float(seen.mean()) + FOOT) / (float(wanted.mean()) + FOOT)
    return float(np.clip(more**_BELIEVED, *_BRIGHTER))


def _unlike(seen: Float[np.ndarray, "n"], wanted: Float[np.ndarray, "n"]) -> float:
    """How little what is painted has the layout of what is drawn, 0 to 1."""
    one, other = seen - seen.mean(), wanted - wanted.mean()
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    r = float(one @ other) / length if length > 0 else 1.0
    return float(np.clip((_ALIKE - r) / (_ALIKE - _UNLIKE), 0, 1))


def _saturation(colour: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    most = colour.max(-1)
    return (most - colour.min(-1)) / (most + 1)


def _soft(plane: Float[np.ndarray, "h w ..."]) -> Float[np.ndarray, "h w ..."]:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), _FINE))


def soft_hole(known: Described) -> UInt8[np.ndarray, "h w"]:
    """Where the drawn mouth is laid over a frame that no network paints in."""
    return np.asarray(cv2.GaussianBlur(known.features[..., 0], (0, 0), 0.8), np.uint8)


def painted_area(area: UInt8[np.ndarray, "h w"], known: Described) -> UInt8[np.ndarray, "h w"]:
    """Where the network paints in a window: not on lips that are the photo's."""
    if known.alike == 0:
        return area
    return np.maximum((area * (1 - known.alike)).astype(np.uint8), soft_hole(known))


def hole_of(opened: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """1 where a picture of the open mouth (0..255) or the pixel beside it is not of the photo."""
    wide = cv2.dilate(opened, np.ones((3, 3), np.uint8))
    return (wide > 0).astype(np.uint8)


def _draw_strip(
    picture: Float[np.ndarray, "h w 3"], strip: Strip, points: Float[np.ndarray, "n 2"]
) -> None:
    """Lay a strip over the picture, where it looks at us."""
    height, width = picture.shape[:2]
    corners = points[strip.triangles]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    facing = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] > _THIN
    low, high = corners.min(1), corners.max(1)
    facing &= (high > 0).all(1) & (low < [width, height]).all(1)
    if not facing.any():
        return
    corners, source = corners[facing], strip.places[strip.triangles[facing]]
    ids = np.full((height, width), -1, np.int32)
    for number, shape in enumerate(np.round(corners * 2**_SHIFT).astype(np.int32)):
        cv2.fillConvexPoly(ids, shape, number, shift=_SHIFT)
    inside = ids >= 0
    if not inside.any():
        return
    maps = affine_maps(corners, source)[ids[inside]]
    y, x = np.nonzero(inside)
    grid = np.full((height, width, 2), -1, np.float32)
    grid[inside] = maps[:, 0] * x[:, None] + maps[:, 1] * y[:, None] + maps[:, 2]
    nothing: Any = None  # cv2's type stubs do not know that a two-channel map needs no second
    drawn = cv2.remap(strip.texture, grid, nothing, cv2.INTER_LINEAR)
    weight = np.where(inside, drawn[..., 3], 0).astype(np.float32)[..., None] / 255
    picture += weight * (drawn[..., :3] - picture)


def affine_maps(
    moved: Float[np.ndarray, "n 3 2"], source: Float[np.ndarray, "n 3 c"]
) -> Float[np.ndarray, "n 3 c"]:
    """Per triangle the map from target pixels to what its corners have in the source, such as
    pixels: factors of x, of y, and a constant.
    """
    e1, e2 = moved[:, 1] - moved[:, 0], moved[:, 2] - moved[:, 0]
    s1, s2 = source[:, 1] - source[:, 0], source[:, 2] - source[:, 0]
    det = (e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0])[:, None]
    a = (s1 * e2[:, 1:] - s2 * e1[:, 1:]) / det
    b = (s2 * e1[:, :1] - s1 * e2[:, :1]) / det
    c = source[:, 0] - a * moved[:, 0, :1] - b * moved[:, 0, 1:]
    return np.stack([a, b, c], 1).astype(np.float32)
