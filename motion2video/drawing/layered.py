"""Drawing a photo as layers with a head in three dimensions: plate, back of the head, front shell,
eyeballs, face.

The same keypoints go in and the same crop for the networks comes out as with FaceWarp; but what is
around the face turns as a head does, and the background does not move at all outside the matte.
Per frame: the shell's points, then triangle numbers in painter's order, then one sampling of an
atlas in which the back of the head lies beside the front, then one blend over what stays.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Int, Integer, UInt8

from motion2video.drawing.warp import (
    INNER_LIPS,
    FaceWarp,
    Warped,
    blend,
    feature_map,
)
from motion2video.geometry.basis import interocular
from motion2video.portrait.head import HeadShell, Silhouette, build_shell, signed_area
from motion2video.portrait.layers import PAD, Layers, make_layers, padded

_SHIFT = 4  # fractional bits of cv2's polygon coordinates
_HOLE = 1 << 30
_DARK = (38, 16, 16)
_NO_MAP: Any = None  # the places are whole in the first map
_THIN = 0.25  # pixels twice: of a sliver one place is as good as the other


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Triangle numbers of a window's pixels (places in `order`), and their corners there."""

    window: tuple[slice, slice]
    ids: Int[np.ndarray, "h w"]
    order: Integer[np.ndarray, "n"]
    corners: Float[np.ndarray, "n 3 2"]


class LayeredWarp(FaceWarp):
    """Layers and head of one photo; made once, used once a frame, never changed by a frame.

    `alpha` is the photo's matte (see motion2video.portrait.matte).
    """

    def __init__(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        landmarks: Float[np.ndarray, "478 3"],
        triangles: Integer[np.ndarray, "n 3"],
        alpha: Float[np.ndarray, "h w"],
    ) -> None:
        super().__init__(image, landmarks, triangles)
        flat = landmarks * np.array([1, 1, 0], np.float32)
        self.unit = float(interocular(flat))
        self.pad = round(PAD * self.unit)
        self._shift = np.array([self.pad, self.pad, 0], np.float32)
        canvas, alpha = padded(image, self.pad), padded(alpha, self.pad)
        outline = Silhouette.of(alpha, landmarks + self._shift, self.unit)
        ys, xs = np.mgrid[: alpha.shape[0], : alpha.shape[1]]
        places = np.stack([xs, ys], -1).reshape(-1, 2).astype(np.float32)
        follows = outline.bone(places).reshape(alpha.shape).astype(np.float32)
        self.shell: HeadShell = build_shell(outline, alpha, follows)
        self.layers: Layers = make_layers(
            canvas, alpha, follows, outline.face, outline.to_edge, self.unit
        )
        self._atlas = np.concatenate([self.layers.front, self.layers.back], 1)
        eyes = self.mesh.eyes
        self._parts = (eyes, triangles, self.shell.front, self.shell.back)
        every = np.concatenate(self._parts)
        source = self.shell.points[:, :2].copy()
        rear = 478 + len(self.shell.border)
        source[rear:, 0] += alpha.shape[1]  # the back's half of the atlas
        self._source = source[every]
        self._turn = np.sign(signed_area(self.shell.points[every][..., :2]))
        self._turn[-len(self.shell.back) :] *= -1  # seen from behind
        self._size = alpha.shape

    # -- once a frame ----------------------------------------------------------------------

    def warp(
        self,
        landmarks: Float[np.ndarray, "478 3"],
        open_eyes: Float[np.ndarray, "478 3"] | None = None,
    ) -> Warped:
        """As FaceWarp.warp, with the whole frame."""
        below = landmarks if open_eyes is None else open_eyes
        frame, hole = self._draw(landmarks + self._shift, below + self._shift)
        p, (h, w) = self.pad, self.image.shape[:2]
        frame = np.ascontiguousarray(frame[p : p + h, p : p + w])
        hole = hole[p : p + h, p : p + w]
        image = self.crop.cut(frame)
        mask = self.crop.cut(np.repeat(hole[..., None] * np.uint8(255), 3, -1))[..., 0]
        known = np.where(mask > 127, 0, 255).astype(np.uint8)
        image[known == 0] = 0
        features = feature_map(self.crop.to_crop(landmarks[:, :2]))
        return Warped(image, known, features, partial(self._lay_over, frame))

    def _lay_over(
        self,
        drawn: UInt8[np.ndarray, "h w 3"],
        painted: UInt8[np.ndarray, "s s 3"] | None,
        alpha: UInt8[np.ndarray, "s s"] | None,
    ) -> UInt8[np.ndarray, "h w 3"]:
        """See Warped. A copy."""
        frame = drawn.copy()
        if painted is None or alpha is None:
            return frame
        plan = self.pasting
        rows, columns, matrix = plan.rows, plan.columns, plan.matrix
        x0, y0 = plan.window[:2]
        size = (columns.stop - columns.start, rows.stop - rows.start)
        over = cv2.warpAffine(painted, matrix, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        weight = cv2.warpAffine(alpha, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        place = np.s_[y0 + rows.start : y0 + rows.stop, x0 + columns.start : x0 + columns.stop]
        frame[place] = blend(frame[place], over, weight)
        return frame

    def _draw(
        self, marks: Float[np.ndarray, "478 3"], eyes: Float[np.ndarray, "478 3"]
    ) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"]]:
        """The canvas, and where the mouth is open (0/1)."""
        drawn = self._raster(self.shell.placed(marks), marks, eyes)
        grid = self._grid(drawn)
        rgba = cv2.remap(self._atlas, grid, _NO_MAP, cv2.INTER_LINEAR)
        opened = drawn.ids == _HOLE
        weight = _feather(drawn.ids, rgba[..., 3])
        weight[opened] = 1
        colour = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
        colour[opened] = _DARK
        frame, hole = self.layers.base.copy(), np.zeros(self._size, np.uint8)
        under = np.ascontiguousarray(frame[drawn.window])
        frame[drawn.window] = cv2.blendLinear(colour, under, weight, 1 - weight)
        hole[drawn.window] = opened
        return frame, hole

    def _raster(
        self,
        moved: Float[np.ndarray, "n 3"],
        marks: Float[np.ndarray, "478 3"],
        below: Float[np.ndarray, "478 3"],
    ) -> _Drawn:
        """Painter's order: back and front shell, eyeballs, open mouth, then the face's skin."""
        eyes, skin, front, _ = self._parts
        outer = len(eyes) + len(skin)
        corners = moved[np.concatenate(self._parts)]
        corners[: len(eyes)] = below[eyes]
        facing = signed_area(corners[..., :2]) * self._turn > 0.3
        facing[: outer + len(front)] = True  # of the back, what looks at us
        depth = corners[..., 2].mean(1)
        depth[: len(eyes)] += 0.1 * self.unit
        late = np.zeros(len(depth), bool)
        late[len(eyes) : outer] = True
        order = np.flatnonzero(facing)
        order = order[np.lexsort((-depth[order], late[order]))]
        first = int(np.sum(~late[order]))
        fixed = np.round(corners[order, :, :2] * 2**_SHIFT).astype(np.int32)
        ids = np.full(self._size, -1, np.int32)
        for number, shape in enumerate(fixed[:first]):
            cv2.fillConvexPoly(ids, shape, number, shift=_SHIFT)
        lips = np.round(marks[INNER_LIPS, :2] * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(ids, [lips], _HOLE, shift=_SHIFT)
        for number, shape in enumerate(fixed[first:], first):
            cv2.fillConvexPoly(ids, shape, number, shift=_SHIFT)
        p, (h, w) = self.pad, self._size
        x0, y0 = np.clip(moved[:, :2].min(0).astype(int) - 2, p, [w - p, h - p])
        x1, y1 = np.clip(moved[:, :2].max(0).astype(int) + 3, p, [w - p, h - p])
        window = np.s_[y0:y1, x0:x1]
        return _Drawn(window, ids[window], order, corners[order, :, :2])

    def _grid(self, drawn: _Drawn) -> Float[np.ndarray, "h w 2"]:
        """Where every pixel of the window comes from in the atlas."""
        rows, columns = drawn.window
        start = np.array([columns.start, rows.start], np.float32)
        maps = _affine_planes(drawn.corners - start, self._source[drawn.order])
        ids = np.where(drawn.ids == _HOLE, 0, np.maximum(drawn.ids, 0))
        x = np.arange(ids.shape[1], dtype=np.float32)
        y = np.arange(ids.shape[0], dtype=np.float32)[:, None]
        grid = np.empty((*ids.shape, 2), np.float32)
        for axis in range(2):  # planes in one piece: numpy is fast on those only
            a, b, c = (np.ascontiguousarray(maps[:, k, axis]).take(ids) for k in range(3))
            a *= x
            b *= y
            a += b
            np.add(a, c, out=grid[..., axis])
        return grid


def _feather(
    ids: Int[np.ndarray, "h w"], alpha: UInt8[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """Weights 0..1 of what was drawn: soft where an opaque layer ends."""
    drawn = np.where(ids >= 0, np.uint8(255), np.uint8(0))
    soft = cv2.blur(drawn, (5, 5))
    inside = cv2.addWeighted(soft, 2, soft, 0, -255)
    weight = cv2.min(cv2.blur(cv2.min(alpha, drawn), (3, 3)), inside)
    return np.asarray(weight, np.float32) / 255


def _affine_planes(
    moved: Float[np.ndarray, "n 3 2"], source: Float[np.ndarray, "n 3 2"]
) -> Float[np.ndarray, "n 3 2"]:
    """Per triangle the map from target to source pixels: factors of x, of y, and a constant."""
    e1, e2 = moved[:, 1] - moved[:, 0], moved[:, 2] - moved[:, 0]
    s1, s2 = source[:, 1] - source[:, 0], source[:, 2] - source[:, 0]
    det = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]
    thin = np.abs(det) < _THIN
    det = np.where(thin, 1, det)[:, None]
    a = (s1 * e2[:, 1:] - s2 * e1[:, 1:]) / det
    b = (s2 * e1[:, :1] - s1 * e2[:, :1]) / det
    a[thin], b[thin] = 0, 0
    c = source[:, 0] - a * moved[:, 0, :1] - b * moved[:, 0, 1:]
    return np.stack([a, b, c], 1).astype(np.float32)
