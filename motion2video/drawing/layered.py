"""Drawing a photo as layers with a head in three dimensions: plate, back of the head, front shell,
eyeballs, face.

The same keypoints go in and a frame comes out as with FaceWarp; but what is around the face turns
as a head does, and the background does not move at all outside the matte.
Per frame: the shell's points, then triangle numbers in painter's order, then a sampling of an atlas
in which the back of the head lies beside the front, a second one where the back is seen through the
front's soft edge, then one blend over what stays.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Integer, UInt8

from motion2video.drawing.edges import cut_out, feather, seal, soothed
from motion2video.drawing.lashes import BASE, split, with_lashes
from motion2video.drawing.places import INNER_LIPS
from motion2video.drawing.shading import Shading
from motion2video.drawing.warp import eye_triangles, eyeballs
from motion2video.geometry.basis import FaceBasis, interocular
from motion2video.portrait.behind import Behind
from motion2video.portrait.head import HeadShell, Silhouette, build_shell, signed_area
from motion2video.portrait.layers import (
    PAD,
    Layers,
    bare_face,
    canvas_of,
    make_layers,
    make_plate,
    padded,
    unmixed,
    without_mirrored,
    without_rim,
)

Sampling = Literal["linear", "cubic"]
_FLAGS: dict[Sampling, int] = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
_SHIFT = 4  # fractional bits of cv2's polygon coordinates
_HOLE = 1 << 30
DARK = (38, 16, 16)
_ROW = 256  # places in a row of a map that is no picture
LAP = 0.08  # interocular distances of a gap that the back of a head goes on into
MUCH = 0.1  # of what is about such a gap is the back, from which it does
_NO_MAP: Any = None  # the places are whole in the first map
NARROW = 1.0  # pixels
_CUT, _HARD = 127, 0.9  # alpha of who reaches the picture's edge; how much of a head moves with it
_HEAD_REACHES, _CUT_WIDTH = 1.4, 0.4  # from a face's middle; of an edge that cuts a head
_SEEN = 2.0  # square pixels of a triangle, from which its colours can be taken
_GRAZING = 0.08  # of the area on the other side: seen from its edge
SHARP = 1.7  # how far a pixel is drawn out without a loss
FACING = 0.3  # square pixels twice, from which a triangle looks at us
BEHIND = 0.1  # interocular distances that eyeballs lie behind their lids


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Triangle numbers of a window's pixels (places in `order`), and their corners there; `under`
    are those of the back of the head alone, of which some go on into gaps (`laps`, by number).
    """

    window: tuple[slice, slice]
    ids: Int[np.ndarray, "h w"]
    under: Int[np.ndarray, "h w"]
    laps: Bool[np.ndarray, "n"]
    order: Integer[np.ndarray, "n"]
    corners: Float[np.ndarray, "n 3 2"]


class Placed(NamedTuple):
    """Where a frame has the face's landmarks, all points (`LayeredWarp.corners` are numbers of
    them), the landmarks that eyeballs go by, in canvas pixels; and the matrix that takes the torso
    there.
    """

    marks: Float[np.ndarray, "478 3"]
    points: Float[np.ndarray, "n 3"]
    eyes: Float[np.ndarray, "478 3"]
    lean: Float[np.ndarray, "2 3"]


class LayeredWarp:
    """Layers and head of one photo; made once, used once a frame, never changed by a frame.

    `alpha` is the photo's matte (see motion2video.portrait.matte). `sampling` "cubic" keeps what is
    moved sharp, "linear" is faster. `fineness` 2 draws four times the pixels and averages them:
    edges without stairs. `own` is the photo's expression (see PortraitFace). `over` puts another
    background behind the same head.
    """

    see_through = False

    def __init__(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        landmarks: Float[np.ndarray, "478 3"],
        basis: FaceBasis,
        alpha: Float[np.ndarray, "h w"],
        sampling: Sampling = "cubic",
        fineness: int = 1,
        own: Mapping[str, Float[np.ndarray, "478 3"]] | None = None,
    ) -> None:
        self.picture = (image.shape[1], image.shape[0])
        self.sampling: Sampling = sampling
        self.fineness = fineness
        if fineness > 1:
            size = (fineness * image.shape[1], fineness * image.shape[0])
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LANCZOS4), np.uint8)
            alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR)
            landmarks = self.fine(landmarks)
        flat = landmarks * np.array([1, 1, 0], np.float32)
        self.unit = float(interocular(flat))
        self.pad = round(PAD * self.unit)
        self.lap = max(1, round(LAP * self.unit))
        self.shift = np.array([self.pad, self.pad, 0], np.float32)
        canvas = canvas_of(image, alpha, bare_face(image, landmarks), self.pad)
        alpha = padded(alpha, self.pad)
        plate, whole = make_plate(canvas, alpha, self.unit)
        whole = unmixed(canvas, plate, whole, self.unit)
        marks = landmarks + self.shift
        whole = without_mirrored(whole, marks, self.pad)
        outline = Silhouette.of(np.minimum(alpha, whole), marks, self.unit, basis)
        self.shading = Shading.of(canvas, marks, basis, own or {})
        ys, xs = np.mgrid[: alpha.shape[0], : alpha.shape[1]]
        places = np.stack([xs, ys], -1).reshape(-1, 2).astype(np.float32)
        follows = outline.bone(places).reshape(alpha.shape).astype(np.float32)
        self.shell: HeadShell = build_shell(outline, whole, follows)
        self.layers: Layers = make_layers(
            canvas, plate, whole, follows, outline.face, outline.to_edge, outline.ears
        )
        self.atlas = np.concatenate([self.layers.front, self.layers.back], 1)
        self.rim = self._rim()
        self.low = self._below(self.layers.torso[..., 3])
        self._torso = self.layers.torso[self.low[0].start :]
        lashes = len(self.shell.points)
        points = np.concatenate([self.shell.points, with_lashes(marks, marks)])
        eyes, triangles = eye_triangles(landmarks[:, :2]), split(basis.triangles, lashes)
        self.lids = len(eyes)  # the first are drawn as the lids open, so that no gap is seen
        eyes = np.concatenate([eyes, eyes])
        self.parts = (eyes, triangles, self.shell.front, self.shell.back)
        self.corners = every = np.concatenate(self.parts)
        source = points[:, :2].copy()
        rear = slice(478 + len(self.shell.border), lashes)
        source[rear, 0] += alpha.shape[1]  # the back's half of the atlas
        self.source = source[every]
        self.turn = np.sign(signed_area(points[every][..., :2]))
        self.turn[len(every) - len(self.shell.back) :] *= -1  # seen from behind
        skin = slice(len(eyes), len(eyes) + len(triangles))
        self.turn[skin] = np.where(self.turn[skin] < 0, -1, 0)  # 0: hidden in the photo itself
        edgeways = self._edgeways(basis.triangles, basis.partners)
        if edgeways is not None:
            whose, lids = np.arange(len(points)), BASE[478:]
            whose[:478] = edgeways
            whose[lashes:] = np.where(edgeways[lids] == lids, whose[lashes:], edgeways[lids])
            self.source[skin] = source[whose[triangles]]
        self.size = alpha.shape

    def over(self, behind: Behind) -> "LayeredWarp":
        """The same head before something else than the photo's background. Before nothing a frame
        is RGBA, its colours the person's own, which go on beyond their edge.
        """
        other, clean = copy.copy(self), without_rim(self.layers)
        if isinstance(behind, str):
            other.see_through, plate = True, clean.front[..., :3]
        else:
            size = (self.size[1] - 2 * self.pad, self.size[0] - 2 * self.pad)
            fine = behind if self.fineness == 1 else cv2.resize(behind, size)
            plate = padded(np.asarray(fine, np.uint8), self.pad)
        other.layers = replace(clean, plate=np.ascontiguousarray(plate))
        other.atlas = np.concatenate([clean.front, clean.back], 1)
        other._torso = clean.torso[self.low[0].start :]
        return other

    def crown(self) -> Float[np.ndarray, "k 3"] | None:
        """Points of the head on the picture's top edge, where that cuts it (the photo's pixels)."""
        inside = self.layers.front[self.pad, self.pad : -self.pad, 3] > _CUT
        middle = self.shell.points[:478, 0].mean() - self.pad
        inside &= np.abs(np.arange(len(inside)) - middle) < _HEAD_REACHES * self.unit
        columns = np.flatnonzero(inside)
        hard = self.shell.points[478:][self.shell.bone[:, 0] > _HARD]
        if len(columns) < _CUT_WIDTH * self.unit or not len(hard):
            return None
        x = np.linspace(columns[0], columns[-1], 9)
        edge = np.stack([x, np.zeros(9)], 1)
        nearest = np.linalg.norm(hard[None, :, :2] - self.pad - edge[:, None], axis=-1).argmin(1)
        depth = hard[nearest, 2]
        return (np.column_stack([edge, depth]) / self.fineness).astype(np.float32)

    def _edgeways(
        self, triangles: Integer[np.ndarray, "n 3"], partners: Int[np.ndarray, "478"]
    ) -> Int[np.ndarray, "478"] | None:
        """Of every keypoint the nearest that the photo shows well: itself, but on a cheek that is
        turned away, whose colours in the photo are those of what is beside it. None if there is no
        such cheek.
        """
        points = self.shell.points[:478]
        areas = [signed_area(points[index, :2]) for index in (triangles, partners[triangles])]
        well = (areas[1] <= _SEEN) | (-areas[0] > _GRAZING * areas[1])
        if well.all():
            return None
        known = np.setdiff1d(np.arange(478), triangles[~well])  # nor what lies at its edge
        away = np.linalg.norm(points[:, None] - points[None, known], axis=-1)
        return np.asarray(known[away.argmin(1)])

    def _rim(self) -> Bool[np.ndarray, "h W"]:
        """Where in the atlas the front's colours are not those within, and a pixel about it."""
        differs = (self.layers.front[..., :3] != self.layers.within).any(-1)
        grown = cv2.dilate(differs.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        return np.concatenate([grown, np.zeros_like(grown)], 1)

    def fine(self, landmarks: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "478 3"]:
        """Landmarks of the photo in the pixels that are drawn."""
        shift = np.array([0.5, 0.5, 0], np.float32)  # pixel centres
        return ((landmarks + shift) * self.fineness - shift).astype(np.float32)

    def _below(self, torso: UInt8[np.ndarray, "H W"]) -> tuple[slice, slice]:
        """Rows and columns of the canvas that a torso may come to be seen in."""
        p, (h, w) = self.pad, torso.shape
        rows = np.flatnonzero(torso.any(1))
        if not len(rows):
            return slice(p, p + 1), slice(p, p + 1)
        top = max(int(rows[0]) - p // 2, p)
        return slice(min(top, h - p - 1), h - p), slice(p, w - p)

    # -- once a frame ----------------------------------------------------------------------

    def warp(
        self,
        landmarks: Float[np.ndarray, "478 3"],
        open_eyes: Float[np.ndarray, "478 3"] | None = None,
    ) -> UInt8[np.ndarray, "h w c"]:
        """See Warp.warp."""
        frame = self._draw(self.placed(landmarks, open_eyes))
        p, (h, w) = self.pad, self.size
        frame = np.ascontiguousarray(frame[p : h - p, p : w - p])
        if self.fineness > 1:
            small = cv2.resize(frame, self.picture, interpolation=cv2.INTER_AREA)
            frame = np.asarray(small, np.uint8)
        return frame

    def placed(
        self,
        landmarks: Float[np.ndarray, "478 3"],
        open_eyes: Float[np.ndarray, "478 3"] | None = None,
    ) -> Placed:
        """Where everything is in a frame."""
        open_eyes = landmarks if open_eyes is None else open_eyes
        marks, lids, below = (
            self.fine(one) + self.shift
            for one in (landmarks, open_eyes, eyeballs(landmarks, open_eyes))
        )
        moved, lean = self.shell.placed(marks)
        return Placed(marks, np.concatenate([moved, with_lashes(marks, lids)]), below, lean)

    def _draw(self, placed: Placed) -> UInt8[np.ndarray, "H W c"]:
        """The canvas."""
        marks, moved, eyes, lean = placed
        drawn = self._raster(moved, marks, eyes)
        start = np.array([drawn.window[1].start, drawn.window[0].start], np.float32)
        maps = _affine_planes(drawn.corners - start, self.source[drawn.order])
        grid, coarse = self._grid(drawn, maps)
        rgba = cv2.remap(self.atlas, grid, _NO_MAP, _FLAGS[self.sampling])
        self._lay_over_back(rgba, drawn, maps, grid)
        opened = drawn.ids == _HOLE
        weight = feather(drawn.ids, rgba[..., 3])
        weight[opened] = 1
        colour = soothed(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), grid, coarse)
        self.shading.shade(colour, grid, marks, within(drawn.window, marks))
        colour[opened] = DARK
        seal(colour, opened)
        frame = self.layers.plate.copy()
        torso = self._lean(frame, lean)
        under = np.ascontiguousarray(frame[drawn.window])
        frame[drawn.window] = cv2.blendLinear(colour, under, weight, 1 - weight)
        if not self.see_through:
            return frame
        cover = np.zeros(self.size, np.float32)
        cover[self.low] = torso
        cover[drawn.window] += weight * (1 - cover[drawn.window])
        return cut_out(frame, self.layers.plate, cover)

    def _lean(
        self, frame: UInt8[np.ndarray, "H W 3"], matrix: Float[np.ndarray, "2 3"]
    ) -> Float[np.ndarray, "h w"]:
        """Lay the torso over the plate, moved by a matrix; how much it covers of the rows and
        columns `low`.
        """
        rows, columns = self.low
        size = (columns.stop - columns.start, rows.stop - rows.start)
        within = matrix.copy()
        within[:, 2] += matrix[:, :2] @ [0, rows.start] - [columns.start, rows.start]
        torso = cv2.warpAffine(self._torso, within, size, flags=cv2.INTER_LINEAR)
        weight = torso[..., 3].astype(np.float32) / 255
        under = np.ascontiguousarray(frame[self.low])
        colour = cv2.cvtColor(torso, cv2.COLOR_RGBA2RGB)
        frame[self.low] = cv2.blendLinear(colour, under, weight, 1 - weight)
        return weight

    def _raster(
        self,
        moved: Float[np.ndarray, "n 3"],
        marks: Float[np.ndarray, "478 3"],
        below: Float[np.ndarray, "478 3"],
    ) -> _Drawn:
        """Painter's order: the back of the head, front shell and eyeballs, open mouth, then the
        face's skin. Of the nape what looks away comes before all: it is seen in gaps between a jaw
        that has turned and the neck.
        """
        eyes, skin, front, _ = self.parts
        outer = len(eyes) + len(skin)
        corners = moved[self.corners]
        balls = slice(self.lids, len(eyes))
        corners[balls] = below[eyes[balls]]
        shown = signed_area(corners[..., :2]) * self.turn
        facing = shown > FACING
        facing[len(eyes) : outer] = shown[len(eyes) : outer] > 0  # small skin is skin too
        facing[: len(eyes)] = True
        facing |= self.turn == 0
        facing[outer : outer + len(front)] = True  # of skin and back, what looks at us
        beyond = slice(outer + len(front), outer + len(front) + self.shell.nape)
        filling = np.zeros_like(facing)
        filling[beyond] = ~facing[beyond]
        depth = corners[..., 2].mean(1)
        depth[: len(eyes)] += BEHIND * self.unit
        depth[: self.lids] += BEHIND * self.unit
        turn = np.ones(len(depth), np.int64)  # whose turn to be drawn it is
        turn[outer + len(front) :] = 0
        turn[filling] = -1
        turn[len(eyes) : outer] = 2
        order = np.flatnonzero(facing | filling)
        order = order[np.lexsort((-depth[order], turn[order]))]
        first, last = np.searchsorted(turn[order], [1, 2]).tolist()
        fixed = np.round(corners[order, :, :2] * 2**_SHIFT).astype(np.int32)
        ids = np.full(self.size, -1, np.int32)
        _fill(ids, fixed, 0, first)
        under = ids.copy()
        _fill(ids, fixed, first, last)
        lips = np.round(marks[INNER_LIPS, :2] * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(ids, [lips], _HOLE, shift=_SHIFT)
        _fill(ids, fixed, last, len(fixed))
        p, (h, w) = self.pad, self.size
        x0, y0 = np.clip(moved[:, :2].min(0).astype(int) - 2, p, [w - p, h - p])
        x1, y1 = np.clip(moved[:, :2].max(0).astype(int) + 3, p, [w - p, h - p])
        window = np.s_[y0:y1, x0:x1]
        laps, flat = order >= beyond.stop, corners[order, :, :2]
        return _Drawn(window, ids[window], under[window], laps, order, flat)

    def _grid(
        self, drawn: _Drawn, maps: Float[np.ndarray, "n 3 2"]
    ) -> tuple[Float[np.ndarray, "h w 2"], UInt8[np.ndarray, "h w"]]:
        """Where every pixel of the window comes from in the atlas, and where one pixel of the atlas
        is drawn out over many (255).
        """
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
        both = np.square(maps[:, :2]).sum((1, 2))  # singular values squared
        area = maps[:, 0, 0] * maps[:, 1, 1] - maps[:, 0, 1] * maps[:, 1, 0]
        fewest = np.maximum(both - np.sqrt(np.maximum(both**2 - 4 * area**2, 0)), 5e-3) / 2
        stretched = np.clip((1 / np.sqrt(fewest) - SHARP) / SHARP, 0, 1) * 255
        return grid, stretched.astype(np.uint8).take(ids)

    def _lay_over_back(
        self,
        rgba: UInt8[np.ndarray, "h w 4"],
        drawn: _Drawn,
        maps: Float[np.ndarray, "n 3 2"],
        grid: Float[np.ndarray, "h w 2"],
    ) -> None:
        """Where the front is not opaque and the back of the head lies under it, that is seen; and
        it goes on into narrow gaps between the two, as behind a jaw. What is seen before the back
        has the colours within, not what its edge has of the wall that was behind it: unless the
        person ends there, before that wall.
        """
        if not (drawn.under >= 0).any():
            return
        seen, square = drawn.under >= 0, np.ones((2 * self.lap + 1,) * 2, np.uint8)
        looks = seen & drawn.laps[drawn.under]
        near = np.where(looks, drawn.under + 1, 0).astype(np.uint16)
        near = cv2.dilate(near, square).astype(np.int32) - 1
        under = np.where(seen, drawn.under, near)
        whole = ((rgba[..., 3] == 255) & (drawn.ids >= 0)).astype(np.uint8)
        whole = cv2.morphologyEx(whole, cv2.MORPH_OPEN, square)  # nothing closes on to a strand
        solid = np.maximum(whole, seen)
        closed = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, square).astype(np.float32)
        inside = cv2.erode(closed, square) > 0
        y, x = np.nonzero(inside & (under >= 0) & (drawn.ids >= 0) & (drawn.ids != under))
        x0, y0 = np.clip(np.round(grid[y, x]), 0, self.rim.shape[::-1] - np.ones(2)).astype(int).T
        edge = self.rim[y0, x0]
        y, x = y[edge], x[edge]
        rgba[y, x, :3] = self._sampled(self.layers.within, grid[y, x])
        round_ = np.clip(3 * cv2.blur(closed, square.shape) - 1, 0, 1)  # no corners
        open_to_it = (rgba[..., 3] < 255) & (closed > 0) & (under >= 0) & (drawn.ids != under)
        y, x = np.nonzero(open_to_it)
        if not len(y):
            return
        much = cv2.blur(looks.astype(np.float32), (4 * self.lap + 1,) * 2)[y, x]
        lies = np.clip((much - MUCH) / MUCH, 0, 1) * round_[y, x]
        lies = np.where(seen[y, x], 1, lies)[:, None]
        map_of = maps[under[y, x]]
        at = map_of[:, 0] * x[:, None] + map_of[:, 1] * y[:, None] + map_of[:, 2]
        below = self._sampled(self.atlas, at.astype(np.float32)).astype(np.float32)
        above = rgba[y, x].astype(np.float32)
        share = above[:, 3:] / 255
        beneath = (1 - share) * lies * below[:, 3:] / 255
        whole = np.maximum(share + beneath, 1e-6)
        mixed = (above[:, :3] * share + below[:, :3] * beneath) / whole
        rgba[y, x] = np.round(np.concatenate([mixed, 255 * whole], 1)).astype(np.uint8)

    def _sampled(
        self, image: UInt8[np.ndarray, "h w c"], at: Float[np.ndarray, "n 2"]
    ) -> UInt8[np.ndarray, "n c"]:
        """A picture's colours at places."""
        if not len(at):
            return np.empty((0, image.shape[2]), np.uint8)
        rows = -(-len(at) // _ROW)
        grid = np.resize(at, (rows, _ROW, 2))
        found = cv2.remap(image, grid, _NO_MAP, _FLAGS[self.sampling])
        return found.reshape(-1, image.shape[2])[: len(at)]


def _fill(
    ids: Int[np.ndarray, "h w"], shapes: Int[np.ndarray, "n 3 2"], first: int, last: int
) -> None:
    """Draw some of the shapes, each by its number, the later over the earlier."""
    for number in range(first, last):
        cv2.fillConvexPoly(ids, shapes[number], number, shift=_SHIFT)


def within(window: tuple[slice, slice], marks: Float[np.ndarray, "478 3"]) -> tuple[slice, slice]:
    """The part of a window of the canvas where the face is."""
    start = np.array([window[1].start, window[0].start])
    size = np.array([window[1].stop, window[0].stop]) - start
    x0, y0 = np.clip(np.floor(marks[:, :2].min(0)).astype(int) - start, 0, size - 1).tolist()
    x1, y1 = np.clip(np.ceil(marks[:, :2].max(0)).astype(int) + 1 - start, 1, size).tolist()
    return slice(y0, y1), slice(x0, x1)


def _affine_planes(
    moved: Float[np.ndarray, "n 3 2"], source: Float[np.ndarray, "n 3 2"]
) -> Float[np.ndarray, "n 3 2"]:
    """Per triangle the map from target to source pixels: factors of x, of y, and a constant."""
    edges = moved[:, 1:] - moved[:, :1]
    steps = source[:, 1:] - source[:, :1]
    det = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    longest = np.abs(np.concatenate([edges, edges[:, :1] - edges[:, 1:]], 1)).max((1, 2))
    narrow = np.abs(det) < NARROW * longest
    # Pixels on a narrow triangle's border lie outside of it: across it the map hardly goes on.
    square = edges.transpose(0, 2, 1) @ edges + narrow[:, None, None] * np.eye(2)
    a = np.linalg.solve(square, edges.transpose(0, 2, 1) @ steps)
    c = source.mean(1) - (moved.mean(1)[:, None] @ a)[:, 0]
    return np.concatenate([a, c[:, None]], 1).astype(np.float32)
