"""Warping the photo by the keypoints: face mesh inside, thin-plate falloff outside.

Inside the face every mesh triangle carries its piece of the photo; inner-mouth triangles are left
open. The eyeballs are a layer of their own below the lids, so that a blink covers the eye rather
than squashing it. Outside the face the hair and neck follow along a thin-plate spline that dies
out at a ring around the head: the background beyond it does not move at all.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, Int, Integer, UInt8

from motion2video.drawing.places import EYES, INNER_LIPS
from motion2video.geometry.basis import FACE_OVAL

CROP_SIZE = 256  # pixels of the network's square
CROP_SCALE = 4.0  # side of that square in interocular distances
_SHIFT = 4  # fractional bits of cv2's polygon coordinates
_OUTSIDE, _HOLE = -1, -2
_FIELD_SIZE = 72  # nodes a side of the thin-plate field
_HAIR_RING, _STILL_RING = 1.45, 2.3  # radii around the face oval


@dataclass(frozen=True)
class Crop:
    """An axis-aligned square of the picture, `side` pixels wide, seen at CROP_SIZE pixels."""

    x: float
    y: float
    side: float

    @staticmethod
    def around(landmarks: Float[np.ndarray, "478 3"]) -> "Crop":
        """The network's square around a face: eyes and chin centred, four eye distances wide."""
        points = landmarks[:, :2].astype(np.float64)
        right, left = points[[33, 133]].mean(0), points[[263, 362]].mean(0)
        side = CROP_SCALE * float(np.linalg.norm(right - left))
        centre = ((right + left) / 2 + points[152]) / 2
        return Crop(float(centre[0]) - side / 2, float(centre[1]) - side / 2, side)

    def affine(self, size: int = CROP_SIZE) -> Float[np.ndarray, "2 3"]:
        """Matrix from picture pixels to the pixels of the square at `size`."""
        s = size / self.side
        shift = 0.5 * (s - 1)  # pixel centres
        return np.array([[s, 0, -s * self.x + shift], [0, s, -s * self.y + shift]], np.float64)

    def cut(
        self, image: UInt8[np.ndarray, "h w 3"], size: int = CROP_SIZE
    ) -> UInt8[np.ndarray, "s s 3"]:
        """The square out of a picture at `size` pixels, edges replicated, anti-aliased."""
        matrix = self.affine(size)
        scale = matrix[0, 0]
        if scale < 0.6:
            radius = 0.35 / scale
            image = cv2.GaussianBlur(image, (0, 0), radius)
        return cv2.warpAffine(
            image, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )

    def to_crop(
        self, points: Float[np.ndarray, "*n 2"], size: int = CROP_SIZE
    ) -> Float[np.ndarray, "*n 2"]:
        """Picture coordinates to coordinates of the square."""
        m = self.affine(size)
        return (points @ m[:, :2].T + m[:, 2]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Pasting:
    """Where the crop lies in the photo. `window` (x0, y0, x1, y1) is what may move, `base` its
    pixels' coordinates; `rows` and `columns` the crop's part of the window, `matrix` from there to
    crop pixels; `scale` and `offset` take crop pixels to the photo's.
    """

    window: tuple[int, int, int, int]
    base: Float[np.ndarray, "h w 2"]
    rows: slice
    columns: slice
    matrix: Float[np.ndarray, "2 3"]
    scale: float
    offset: Float[np.ndarray, "2"]


@dataclass(frozen=True, eq=False)
class Mesh:
    """The photo's mesh in crop pixels: `source` points, triangles of the `eyes` and of the `skin`.
    Around it the thin-plate field: `weights` over the displacements of the `oval` (picture pixels),
    its `nodes` in steps of itself, of which `scale` make a pixel; `to_field` takes crop pixels to
    these steps.
    """

    source: Float[np.ndarray, "478 2"]
    eyes: Int[np.ndarray, "n 3"]
    skin: Integer[np.ndarray, "m 3"]
    oval: Float[np.ndarray, "k 2"]
    weights: Float[np.ndarray, "g g k"]
    nodes: Float[np.ndarray, "g g 2"]
    scale: Float[np.ndarray, "2"]
    to_field: Float[np.ndarray, "2 3"]


@runtime_checkable
class Warp(Protocol):
    """Moves one photo; made once a portrait, used once a frame, never changed by a frame."""

    def warp(
        self,
        landmarks: Float[np.ndarray, "478 3"],
        open_eyes: Float[np.ndarray, "478 3"] | None = None,
    ) -> UInt8[np.ndarray, "h w c"]:
        """The frame: the photo's face under new landmarks (picture pixels). What shows in an open
        mouth is nothing in particular. `open_eyes` are the same landmarks without the blink: where
        the eyeballs lie. RGBA where there is nothing behind the person.
        """
        ...


class FaceWarp:
    """Warps one photo; made once a portrait, used once a frame, never changed by a frame.

    `landmarks` are the photo's own, `triangles` the face mesh (eyes and mouth open).
    """

    def __init__(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        landmarks: Float[np.ndarray, "478 3"],
        triangles: Integer[np.ndarray, "n 3"],
    ) -> None:
        self.image = image
        self.crop = Crop.around(landmarks)
        self._window = self._still_window(landmarks)
        self.mesh = self._make_mesh(landmarks, triangles)
        xs = np.arange(CROP_SIZE, dtype=np.float32)
        self._pixels = np.stack(np.meshgrid(xs, xs), -1)
        self.pasting = self._plan_pasting()

    # -- once a portrait -------------------------------------------------------------------

    def _still_window(self, landmarks: Float[np.ndarray, "478 3"]) -> tuple[int, int, int, int]:
        """The part of the picture (x0, y0, x1, y1) in which anything may move."""
        oval = landmarks[FACE_OVAL, :2]
        centre, radius = oval.mean(0), (oval.max(0) - oval.min(0)) / 2
        reach = radius * (_STILL_RING + 0.25)
        h, w = self.image.shape[:2]
        x0, y0 = np.floor(np.maximum(centre - reach, 0)).astype(int)
        x1, y1 = np.ceil(np.minimum(centre + reach, [w, h])).astype(int)
        return int(x0), int(y0), int(x1), int(y1)

    def _make_mesh(
        self, landmarks: Float[np.ndarray, "478 3"], triangles: Integer[np.ndarray, "n 3"]
    ) -> Mesh:
        source = self.crop.to_crop(landmarks[:, :2])
        eyes = eye_triangles(source)
        nodes, weights = self._thin_plate(landmarks)
        x0, y0, x1, y1 = self._window
        span = np.array([x1 - 1 - x0, y1 - 1 - y0], np.float64)
        matrix = np.linalg.inv(np.vstack([self.crop.affine(), [0, 0, 1]]))[:2]
        to_field = (matrix - [[0, 0, x0], [0, 0, y0]]) * ((_FIELD_SIZE - 1) / span)[:, None]
        scale = ((_FIELD_SIZE - 1) / np.maximum(span, 1)).astype(np.float32)
        steps = (nodes - np.array([x0, y0], np.float32)) * scale
        oval = landmarks[FACE_OVAL, :2].astype(np.float32)
        return Mesh(source, eyes, triangles, oval, weights, steps, scale, to_field)

    def _thin_plate(
        self, landmarks: Float[np.ndarray, "478 3"]
    ) -> tuple[Float[np.ndarray, "g g 2"], Float[np.ndarray, "g g k"]]:
        """Field nodes (picture coordinates) and their weights over the oval's displacements.

        Control points: the oval itself; a ring through hair and neck that follows an affine fit
        of the oval; a still ring. The weights fold all of it into one linear map of the oval.
        """
        oval = landmarks[FACE_OVAL, :2].astype(np.float64)
        centre, radius = oval.mean(0), (oval.max(0) - oval.min(0)) / 2
        unit = (oval - centre) / radius
        up = np.clip((0.35 - unit[:, 1]) / 0.7, 0, 1)  # 1 above the mouth, 0 below the chin
        hair = unit * _HAIR_RING
        still = unit / np.linalg.norm(unit, axis=1, keepdims=True) * _STILL_RING
        control = np.concatenate([unit, hair[::2], still])
        ones = np.ones((len(unit), 1))
        affine = np.concatenate([unit, ones], 1)
        skull = up[:, None]  # a dropping jaw does not lift the hair
        follow = np.concatenate([hair[::2], ones[::2]], 1) @ np.linalg.pinv(skull * affine)
        follow *= 0.9 * up[::2, None] * skull.T  # and the neck stays with the shoulders
        values = np.concatenate([np.eye(len(unit)), follow, np.zeros((len(still), len(unit)))])
        x0, y0, x1, y1 = self._window
        nodes = np.stack(
            np.meshgrid(np.linspace(x0, x1 - 1, _FIELD_SIZE), np.linspace(y0, y1 - 1, _FIELD_SIZE)),
            -1,
        )
        at = ((nodes - centre) / radius).reshape(-1, 2)
        weights = _spline(control, values, at)
        far = np.linalg.norm(at, axis=1)
        fade = np.clip((_STILL_RING - far) / 0.5, 0, 1)
        weights *= (fade * fade * (3 - 2 * fade))[:, None]
        shape = (_FIELD_SIZE, _FIELD_SIZE, -1)
        return nodes.astype(np.float32), weights.reshape(shape).astype(np.float32)

    def _plan_pasting(self) -> "Pasting":
        x0, y0, x1, y1 = self._window
        xs, ys = np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32)
        c = self.crop
        left, top = max(int(np.ceil(c.x)) + 2, x0), max(int(np.ceil(c.y)) + 2, y0)
        right, bottom = min(int(c.x + c.side) - 2, x1), min(int(c.y + c.side) - 2, y1)
        matrix = c.affine()
        inverse = 1.0 / matrix[0, 0]
        matrix[:, 2] += matrix[:, :2] @ np.array([left, top], np.float64)
        return Pasting(
            self._window,
            np.stack(np.meshgrid(xs, ys), -1),
            slice(top - y0, bottom - y0),
            slice(left - x0, right - x0),
            matrix,
            float(inverse),
            np.array([c.x, c.y], np.float32) + np.float32(0.5 * (inverse - 1)),
        )

    # -- once a frame ----------------------------------------------------------------------

    def warp(
        self,
        landmarks: Float[np.ndarray, "478 3"],
        open_eyes: Float[np.ndarray, "478 3"] | None = None,
    ) -> UInt8[np.ndarray, "h w 3"]:
        """See Warp.warp."""
        return self._paste(*self.maps(landmarks, open_eyes))

    def maps(
        self,
        landmarks: Float[np.ndarray, "478 3"],
        open_eyes: Float[np.ndarray, "478 3"] | None = None,
    ) -> tuple[Float[np.ndarray, "s s 2"], Float[np.ndarray, "g g 2"]]:
        """Where every pixel of the crop comes from, and the displacement of what is around it."""
        target = self.crop.to_crop(landmarks[:, :2])
        below = target if open_eyes is None else self.crop.to_crop(open_eyes[:, :2])
        ids = np.full((CROP_SIZE, CROP_SIZE), _OUTSIDE, np.int32)
        inner = _fixed(target[INNER_LIPS])
        cv2.fillPoly(ids, [inner], _HOLE, shift=_SHIFT)
        source, moved = self._mesh(target, below, landmarks[:, 2])
        for number, corners in enumerate(_fixed(moved)):
            cv2.fillConvexPoly(ids, corners, number, shift=_SHIFT)
        field = self._backward_field(landmarks)
        grid = self._outer_grid(field)
        inside = ids >= 0
        numbers, xy = ids[inside], self._pixels[inside]
        transforms = _affine_maps(moved, source)[numbers]
        places = (
            transforms[:, :, 0] * xy[:, :1] + transforms[:, :, 1] * xy[:, 1:] + transforms[:, :, 2]
        )
        least, most = source.min(1) - 1, source.max(1) + 1  # a sliver's map may point anywhere
        grid[inside] = np.clip(places, least[numbers], most[numbers])
        return grid, field

    def _mesh(
        self,
        target: Float[np.ndarray, "478 2"],
        below: Float[np.ndarray, "478 2"],
        depth: Float[np.ndarray, "478"],
    ) -> tuple[Float[np.ndarray, "n 3 2"], Float[np.ndarray, "n 3 2"]]:
        """Triangle corners in the photo and in the frame, in painting order: eyeballs first, then
        the skin from far to near."""
        order = np.argsort(-depth[self.mesh.skin].mean(1), kind="stable")
        eyes, skin = self.mesh.eyes, self.mesh.skin[order]
        source = self.mesh.source[np.concatenate([eyes, skin])]
        return source, np.concatenate([below[eyes], target[skin]])

    def _outer_grid(self, field: Float[np.ndarray, "g g 2"]) -> Float[np.ndarray, "s s 2"]:
        """The sampling map of hair, neck and background in crop pixels."""
        shift = cv2.warpAffine(
            field,
            self.mesh.to_field,
            (CROP_SIZE, CROP_SIZE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return self._pixels - shift * np.float32(CROP_SIZE / self.crop.side)

    def _backward_field(self, landmarks: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "g g 2"]:
        """Displacement at target nodes: b(x) = f(x - b(x)), three fixed-point steps."""
        mesh = self.mesh
        forward = mesh.weights @ (landmarks[FACE_OVAL, :2] - mesh.oval).astype(np.float32)
        backward = forward
        for _ in range(3):
            backward = _sample(forward, mesh.nodes - backward * mesh.scale)
        return backward

    def _paste(
        self,
        grid_in_crop: Float[np.ndarray, "s s 2"],
        field: Float[np.ndarray, "g g 2"],
    ) -> UInt8[np.ndarray, "h w 3"]:
        """The photo by a sampling map of the crop, and around it by `field`, the displacement of
        hair, neck and background at the nodes of the thin-plate field. A copy: the photo stays.
        """
        plan = self.pasting
        x0, y0, x1, y1 = plan.window
        field = cv2.resize(field, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
        grid = plan.base - field
        rows, columns, matrix = plan.rows, plan.columns, plan.matrix
        size = (columns.stop - columns.start, rows.stop - rows.start)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        edge = cv2.BORDER_REPLICATE
        fine = cv2.warpAffine(grid_in_crop, matrix, size, flags=flags, borderMode=edge)
        nearest = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        coarse = cv2.warpAffine(grid_in_crop, matrix, size, flags=nearest, borderMode=edge)
        torn = np.abs(fine - coarse).max(-1) > TEAR  # between lids or lips lies what is not there
        fine[torn] = coarse[torn]
        grid[rows, columns] = fine * np.float32(plan.scale) + plan.offset
        region = _sample(self.image, grid)
        frame = self.image.copy()
        frame[y0:y1, x0:x1] = region
        return frame


TEAR = 2.0  # crop pixels by which a map must jump to be two maps


def _sample(image: np.ndarray, grid: Float[np.ndarray, "h w 2"]) -> np.ndarray:
    """The picture (or field) at the places of a map, bilinear, edges replicated."""
    one_map: Any = None  # cv2's type stubs do not know that a two-channel map needs no second
    return cv2.remap(image, grid, one_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _fixed(points: Float[np.ndarray, "*n 2"]) -> Int[np.ndarray, "*n 2"]:
    return np.round(np.clip(points, -4096, 4096) * 2**_SHIFT).astype(np.int32)


def _affine_maps(
    moved: Float[np.ndarray, "n 3 2"], source: Float[np.ndarray, "n 3 2"]
) -> Float[np.ndarray, "n 2 3"]:
    """Per triangle the matrix that takes target pixels to source pixels."""
    e1, e2 = moved[:, 1] - moved[:, 0], moved[:, 2] - moved[:, 0]
    s1, s2 = source[:, 1] - source[:, 0], source[:, 2] - source[:, 0]
    det = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]
    det = np.where(np.abs(det) < 1e-3, np.where(det < 0, -1e-3, 1e-3), det)[:, None]
    a = (s1 * e2[:, 1:] - s2 * e1[:, 1:]) / det
    b = (s2 * e1[:, :1] - s1 * e2[:, :1]) / det
    c = source[:, 0] - a * moved[:, 0, :1] - b * moved[:, 0, 1:]
    return np.stack([a, b, c], -1).astype(np.float32)


def eye_triangles(points: Float[np.ndarray, "478 2"]) -> Int[np.ndarray, "n 3"]:
    """A triangulation of the eyes' openings with the irises in them."""
    from scipy.spatial import Delaunay

    found = []
    for contour, iris in EYES.values():
        index = np.array(contour + iris)
        found.append(index[Delaunay(points[index].astype(np.float64)).simplices])
    return np.concatenate(found).astype(np.int64)


def eyeballs(
    landmarks: Float[np.ndarray, "478 3"], open_eyes: Float[np.ndarray, "478 3"]
) -> Float[np.ndarray, "478 3"]:
    """Where the eyeballs lie: as in `open_eyes`, but no lid opens wider than they reach."""
    out = open_eyes.copy()
    for contour, _ in EYES.values():
        lids = open_eyes[contour, :2]
        outwards = lids - lids.mean(0)
        outwards /= np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-6)
        wider = ((landmarks[contour, :2] - lids) * outwards).sum(1, keepdims=True)
        out[contour, :2] += np.maximum(wider, 0) * outwards
    return out


def _spline(
    control: Float[np.ndarray, "k 2"],
    values: Float[np.ndarray, "k c"],
    at: Float[np.ndarray, "n 2"],
) -> Float[np.ndarray, "n c"]:
    """Thin-plate spline through `values` at the control points, evaluated at `at`."""
    from scipy.interpolate import RBFInterpolator

    return RBFInterpolator(control, values, kernel="thin_plate_spline", smoothing=1e-4)(at)
