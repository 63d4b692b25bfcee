"""A head in three dimensions under a photo: the face's 478 points, and a shell out to the matte.

Around the face lies a front shell on the fitted head (motion2video.portrait.skull), out to the
silhouette and down the neck, whose skin follows the head the less the lower it is. Behind the
silhouette closes a back shell. Canvas pixels, x right, y down, z away from the camera (as
MediaPipe's z); lengths in the constants are interocular distances.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.spatial import Delaunay

from motion2video.geometry.basis import FACE_OVAL, RIGID_POINTS, FaceBasis
from motion2video.portrait.matte import component
from motion2video.portrait.skull import Skull

# fmt: off
LOWER_OVAL = [
    234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361,
    323, 454,
]
# fmt: on
_CHIN, _NOSE, _BROWS = 152, 2, [105, 334]
_EYE_CORNERS = [33, 133, 263, 362]
_FEWEST = 4  # points of a surface
_SPACING = 0.17  # of the outer mesh
_BESIDE_FACE = 0.3  # over which the skin goes from the face's border over to the skull
_NECK = 0.80  # radius of the neck
_CHIN_SLOPE = 0.45  # below the jaw, over which the surface goes back to the neck
_STIFF = 0.4  # of the head's motion, that a nape takes over which is seen beside a neck
_CLOSED = 0.15  # from the outline: where the neck's front goes over to its back
_NAPE = 0.7  # about the lobes of the ears, over which the head's back goes over to the neck's
_JAW_SLOPE = 0.1  # the same below the jaw's corners, which hang over it
_RINGS = (0, 0.04, 0.12, 0.25, 0.45, 0.75)
"""Of the head's radius from its outline inwards, where the back's points lie: as far as it may come
to be seen, and the nearer the more it bends away."""
_ABOUT_EARS = 0.15  # of their height
_COLLAR = 1.25  # below the chin, where the skin no longer follows the head
_LOBE = 0.35  # of the way from nose to chin
_HEM = 0.10  # width of the flat skirt that carries the soft edge
_BORDER_FOLLOWS = 0.22  # over which skin follows the face's border when an expression moves it
_PIVOT = (0.0, 0.62, 0.84)
"""From between the eyes to where a head turns on its neck, picture axes: the place that moves least
while real talkers turn and nod (least squares over 559 s of them)."""
_TORSO_FOLLOWS = 0.6  # of what that place moves
_HIPS = 6.0  # below the collar: where leaning begins
_FARTHEST = 0.5  # that a torso goes


@dataclass(frozen=True, eq=False)
class HeadShell:
    """The mesh around a face. `points` are the face's 478, then the front shell's, then the back's;
    `front` and `back` its triangles (`front` shares the face's outline; the first `nape` of the
    back are below the ears), `bone` how much of the
    head's rigid motion a shell point takes over, `border` how the face's outline moves the front
    shell's points.
    """

    points: Float[np.ndarray, "n 3"]
    front: Int[np.ndarray, "f 3"]
    back: Int[np.ndarray, "b 3"]
    nape: int
    bone: Float[np.ndarray, "m 1"]
    border: Float[np.ndarray, "k 36"]
    unit: float
    pivot: Float[np.ndarray, "3"]
    collar: float

    def placed(
        self, marks: Float[np.ndarray, "478 3"]
    ) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "2 3"]]:
        """All points for the face's landmarks in a frame (canvas pixels), and the matrix that takes
        the torso there: it leans after the place where the head turns on the neck.
        """
        scale, rotation, offset = similarity(self.points[RIGID_POINTS], marks[RIGID_POINTS])
        rigid = scale * self.points @ rotation.T + offset
        goes = (scale * rotation @ self.pivot + offset - self.pivot)[:2] / self.unit
        far = float(np.linalg.norm(goes)) * _TORSO_FOLLOWS / _FARTHEST
        shift = goes * (_TORSO_FOLLOWS * self.unit * np.tanh(far) / max(far, 1e-6))
        slope = shift / (_HIPS * self.unit)
        lean = np.column_stack([np.eye(2), shift + slope * self.collar])
        lean[:, 1] -= slope
        moved = self.points.copy()
        moved[:478] = marks
        moved[478:] += self.bone * (rigid[478:] - self.points[478:])
        rest = self.points[478:, :2]
        moved[478:, :2] += (1 - self.bone) * (rest @ lean[:, :2].T + lean[:, 2] - rest)
        last = 478 + len(self.border)
        moved[478:last] += self.border @ (marks - rigid[:478])[FACE_OVAL]
        return moved.astype(np.float32), lean


@dataclass(frozen=True, eq=False)
class Silhouette:
    """What the shell is built from: the face's landmarks on the canvas, its outline filled
    (`face`), the person without soft edges (`solid`), distances to both borders in pixels, and how
    deep the head is (`skull`).
    """

    landmarks: Float[np.ndarray, "478 3"]
    unit: float
    face: UInt8[np.ndarray, "h w"]
    solid: UInt8[np.ndarray, "h w"]
    to_edge: Float[np.ndarray, "h w"]
    to_face: Float[np.ndarray, "h w"]
    skull: Skull

    @staticmethod
    def of(
        alpha: Float[np.ndarray, "h w"],
        landmarks: Float[np.ndarray, "478 3"],
        unit: float,
        basis: FaceBasis,
    ) -> "Silhouette":
        """From a matte on the canvas."""
        oval = landmarks[FACE_OVAL]
        empty = np.zeros(alpha.shape, np.uint8)
        face = np.asarray(cv2.fillPoly(empty, [oval[:, :2].astype(np.int32)], 1), np.uint8)
        alpha = alpha * component((alpha > 0.02).astype(np.uint8), face)
        solid = ((alpha > 0.93) | (face > 0)).astype(np.uint8)
        solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        solid = np.maximum(solid, face)
        to_edge = np.minimum(cv2.distanceTransform(solid, cv2.DIST_L2, 5), max(solid.shape))
        to_face = cv2.distanceTransform(1 - face, cv2.DIST_L2, 5)
        skull = Skull.under(landmarks, basis, solid, to_edge, unit)
        return Silhouette(landmarks, unit, face, solid, to_edge, to_face, skull)

    @property
    def chin(self) -> float:
        """y of the chin."""
        return float(self.landmarks[_CHIN, 1])

    @property
    def radius(self) -> float:
        """Half the head's thickness at its thickest, pixels."""
        oval = self.landmarks[FACE_OVAL, 0]
        x0, x1 = (int(v) for v in np.clip([oval.min(), oval.max()], 0, None))
        return float(self.to_edge[: int(self.chin), x0:x1].max())

    @property
    def ears(self) -> tuple[int, int]:
        """Rows between which ears lie, if they are seen: from the brows to below the nose."""
        brows, nose = self.landmarks[_BROWS, 1].mean(), self.landmarks[_NOSE, 1]
        lobe = nose + _LOBE * (self.landmarks[_CHIN, 1] - nose)
        top, bottom = (int(np.clip(np.round(y), 0, len(self.face))) for y in (brows, lobe))
        return top, bottom

    def jaw_line(self, x: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """y down to which the head reaches: the jaw's, beside the face nearly the chin's."""
        low = self.landmarks[LOWER_OVAL]
        jaw = low[np.argsort(low[:, 0])][1:-1]
        u, beside = self.unit, self.chin - 0.3 * self.unit
        xs = [jaw[0, 0] - 0.3 * u, *jaw[:, 0], jaw[-1, 0] + 0.3 * u]
        return np.interp(x, xs, [beside, *jaw[:, 1], beside])

    def bone(self, xy: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n"]:
        """How much of the head's motion a place outside the face takes over: 1 to 0."""
        jaw = self.jaw_line(xy[:, 0])
        end = self.chin + _COLLAR * self.unit
        t = np.clip((end - xy[:, 1]) / (end - jaw), 0, 1)
        wide = np.abs(xy[:, 0] - self.landmarks[_CHIN, 0]) / self.unit  # shoulders stay
        low = np.clip((xy[:, 1] - self.chin) / (0.5 * self.unit), 0, 1)
        return _smooth(t * (1 - low * np.clip((wide - 1.3) / 1.1, 0, 1)))

    def depths(
        self, xy: Float[np.ndarray, "n 2"]
    ) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
        """z outside the face of what looks at the camera, and of what looks away from it: the
        skull's, and below the jaw that of a neck; beside it shoulders lie in its middle.
        """
        u, shift = self.unit, self.beside_face(xy)
        middle = self.skull.axis
        edge = 1 - np.clip(at(self.to_edge, xy) / (_NECK * u), 0, 1)
        beside = np.abs(xy[:, 0] - self.landmarks[_CHIN, 0]) / (1.2 * _NECK * u)
        round_ = _NECK * u * np.sqrt(1 - np.maximum(edge, np.clip(beside, 0, 1)) ** 2)
        aside = _smooth((np.abs(xy[:, 0] - self.landmarks[_CHIN, 0]) / u - 0.2) / 0.5)
        slope = (_CHIN_SLOPE + (_JAW_SLOPE - _CHIN_SLOPE) * aside) * u
        k = _smooth((xy[:, 1] - self.jaw_line(xy[:, 0])) / slope)
        nape = _smooth((xy[:, 1] - self.ears[1]) / (_NAPE * u) + 0.5)
        near, far = (at(skull, xy) + shift for skull in (self.skull.near, self.skull.far))
        near = near + (middle - round_ - near) * k
        far = far + (middle + round_ - far) * nape
        closed = nape * np.exp(-((at(self.to_edge, xy) / (_CLOSED * u)) ** 2))
        closed *= 1 - np.exp(-((at(self.to_face, xy) / (_CLOSED * u)) ** 2))
        return near + (middle - near) * closed, far + (middle - far) * closed

    def beside_face(self, xy: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n"]:
        """By how much the skin at places outside the face is farther than the skull has it: at the
        face's border it is the face's own.
        """
        oval, u = self.landmarks[FACE_OVAL], self.unit
        away = np.linalg.norm(xy[:, None] - oval[:, :2], axis=-1)
        nearest = away.min(1, keepdims=True)
        near = np.exp(-(((away - nearest) / (0.06 * u + 0.5 * nearest)) ** 2))
        off = oval[:, 2] - at(self.skull.near, oval[:, :2])
        return (near @ off) / near.sum(1) * np.exp(-((nearest[:, 0] / (_BESIDE_FACE * u)) ** 2))


def build_shell(
    outline: Silhouette, alpha: Float[np.ndarray, "h w"], follows: Float[np.ndarray, "h w"]
) -> HeadShell:
    """The shell of a head whose pixels follow it as `follows` says."""
    u, h = outline.unit, _SPACING * outline.unit
    moving = _grown(follows > 0.01, 5)
    sheet = _grown(alpha > 0.04, 2 * max(3, round(_HEM * u)) + 1) & moving
    oval = outline.landmarks[FACE_OVAL, :2]
    outer, front = _front(outline, sheet, moving, oval, h)
    rear, back, begins = _rear(outline, moving, h)
    low = (rear[back, 1].max(1) > outline.ears[1] - 0.5 * _NAPE * u) & (
        outline.bone(rear)[back].min(1) > _STIFF
    )
    back = np.concatenate([back[low], back[~low]])
    near, far = outline.depths(rear)
    far[:begins] = near[:begins]  # beside an ear as well
    shells = [
        np.column_stack([outer, outline.depths(outer)[0]]),
        np.column_stack([rear, far]),
    ]
    points = np.concatenate([outline.landmarks, *shells]).astype(np.float32)
    away = np.linalg.norm(outer[:, None] - oval, axis=-1)
    soft = np.exp(-((away / (_BORDER_FOLLOWS * u)) ** 2)) + 1e-9
    fade = np.exp(-((away.min(1) / (0.5 * u)) ** 2))[:, None]
    return HeadShell(
        points,
        front,
        back + 478 + len(outer),
        int(low.sum()),
        outline.bone(points[478:, :2]).astype(np.float32)[:, None],
        (soft / soft.sum(1, keepdims=True) * fade).astype(np.float32),
        u,
        outline.landmarks[_EYE_CORNERS].mean(0) + np.array(_PIVOT, np.float32) * u,
        outline.chin + _COLLAR * u,
    )


def _front(
    outline: Silhouette,
    sheet: UInt8[np.ndarray, "h w"],
    moving: UInt8[np.ndarray, "h w"],
    oval: Float[np.ndarray, "36 2"],
    spacing: float,
) -> tuple[Float[np.ndarray, "k 2"], Int[np.ndarray, "f 3"]]:
    """Points between the face's outline and the hem of the soft edge, and their triangles."""
    free = sheet & (outline.to_face > 0.3 * spacing)
    rim = _contour(outline.solid & moving, spacing * 0.8)
    inner = _contour((outline.to_edge > 0.22 * spacing).astype(np.uint8) & moving, spacing * 0.8)
    rim, inner = rim[at(free, rim) > 0], inner[at(free, inner) > 0]
    hem = _contour(sheet, spacing)
    outer = _points_within(free, spacing, [oval, rim, inner, hem])
    flat = np.concatenate([oval, outer])
    simplices = Delaunay(flat.astype(np.float64)).simplices
    middle = flat[simplices].mean(1)
    # Of the face itself no more than what is all of its outline: a gap beside it would be a hole.
    within = (simplices < len(oval)).all(1) & (at(outline.face, middle) > 0)
    keep = ~within & (at(sheet, middle) > 0)
    last = len(oval) + len(rim) + len(inner)
    hems = ((simplices >= last) & (simplices < last + len(hem))).all(1)
    keep &= ~hems & (area(flat[simplices]) > 0.01 * spacing**2)  # no slivers along straight hems
    index = np.concatenate([FACE_OVAL, 478 + np.arange(len(outer))])
    return outer, index[simplices[keep]]


def _rear(
    outline: Silhouette, moving: UInt8[np.ndarray, "h w"], spacing: float
) -> tuple[Float[np.ndarray, "k 2"], Int[np.ndarray, "b 3"], int]:
    """Points of the back of the head, as seen from the front, and their triangles. They lie in
    rings about its middle: whichever of them comes to be the outline is a line without corners. So
    many points are of the first ring, where the back begins.
    """
    earless = _earless(outline.solid, outline.ears, outline.face)
    solid = np.asarray(earless * moving, np.uint8)
    to_edge = np.minimum(cv2.distanceTransform(solid, cv2.DIST_L2, 5), max(solid.shape))
    rings = [
        _contour((to_edge > share * outline.radius).astype(np.uint8), (0.8 + share) * spacing)
        for share in _RINGS
    ]
    whole = rings[0]
    rear = np.concatenate(rings)
    if len(rear) < _FEWEST:
        return rear, np.empty((0, 3), np.int64), len(whole)
    simplices = Delaunay(rear.astype(np.float64)).simplices
    keep = (simplices >= len(whole)).any(1) | (area(rear[simplices]) > 0.1 * spacing**2)
    inside = at(solid, rear[simplices].mean(1)) > 0
    near = at(to_edge, rear)[simplices]
    keep &= inside & (near.min(1) < _RINGS[-1] * outline.radius)
    return rear, simplices[keep].astype(np.int64), len(whole)


def _earless(
    solid: UInt8[np.ndarray, "h w"], ears: tuple[int, int], face: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w"]:
    """A person's filled outline without what stands out between the rows `ears` beside a straight
    line from above to below: the back of a head has none.
    """
    top, bottom = ears
    more = round(_ABOUT_EARS * (bottom - top))
    top, bottom = max(0, top - more), min(len(solid) - 1, bottom + more)
    if bottom <= top or not face.any():
        return solid
    out, middle = solid.copy(), int(np.nonzero(face)[1].mean())
    share = np.linspace(0, 1, bottom - top + 1)
    for side in (np.s_[:, middle::-1], np.s_[:, middle:]):
        half = out[side]
        ends = [int(np.argmin(np.append(half[row], 0))) for row in (top, bottom)]
        line = ends[0] + (ends[1] - ends[0]) * share
        half[top : bottom + 1] &= np.arange(half.shape[1]) <= line[:, None]
    return out


def _smooth(t: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """0 below 0 and 1 above 1, without a kink."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _grown(mask: Bool[np.ndarray, "h w"], width: int) -> UInt8[np.ndarray, "h w"]:
    """1 where a square of `width` pixels meets the mask."""
    square = np.ones((width, width), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), square), np.uint8)


def _points_within(
    mask: UInt8[np.ndarray, "h w"], spacing: float, edges: list[np.ndarray]
) -> Float[np.ndarray, "n 2"]:
    """A staggered grid inside a mask, kept off the points of `edges`; all edges but the first come
    before it."""
    height, width = mask.shape
    rows = np.arange(0, height, spacing * 0.87)
    starts = [np.arange(spacing / 2 * (i % 2), width, spacing) for i in range(len(rows))]
    grid = np.concatenate(
        [np.column_stack([x, np.full(len(x), y)]) for x, y in zip(starts, rows, strict=True)]
    )
    grid = grid[at(mask, grid) > 0]
    fixed = np.concatenate(edges)
    if not len(fixed):
        return grid.astype(np.float32)
    gap = np.sqrt(((grid[:, None] - fixed[None]) ** 2).sum(-1).min(1))
    return np.concatenate([*edges[1:], grid[gap > 0.55 * spacing]]).astype(np.float32)


def _contour(mask: UInt8[np.ndarray, "h w"], spacing: float) -> Float[np.ndarray, "n 2"]:
    """Points along a mask's outline, but for the canvas's own edge."""
    lines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    step = max(1, round(spacing))
    found = [line[::step, 0] for line in lines if len(line) > 8 * step]
    points = np.concatenate([np.empty((0, 2)), *found]).astype(np.float32)
    height, width = mask.shape
    inside = (points > 1).all(1) & (points[:, 0] < width - 2) & (points[:, 1] < height - 2)
    return points[inside]


def similarity(
    a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "n 3"]
) -> tuple[float, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Scale, rotation and offset that best take points a to b (Umeyama 1991)."""
    a_mean, b_mean = a.mean(0), b.mean(0)
    u, s, vt = np.linalg.svd((b - b_mean).T.astype(np.float64) @ (a - a_mean))
    d = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * d) @ vt
    scale = float((s * d).sum() / ((a - a_mean) ** 2).sum())
    offset = (b_mean - scale * rotation @ a_mean).astype(np.float32)
    return scale, rotation.astype(np.float32), offset


def at(plane: np.ndarray, xy: Float[np.ndarray, "n 2"]) -> np.ndarray:
    """A plane's values at places (pixels), the nearest ones."""
    x, y = np.clip(np.round(xy).astype(int), 0, np.array(plane.shape[::-1]) - 1).T
    return plane[y, x]


def signed_area(corners: Float[np.ndarray, "n 3 2"]) -> Float[np.ndarray, "n"]:
    """Areas of triangles, positive where they turn from x to y."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return 0.5 * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def area(corners: Float[np.ndarray, "n 3 2"]) -> Float[np.ndarray, "n"]:
    """Areas of triangles."""
    return np.abs(signed_area(corners))
