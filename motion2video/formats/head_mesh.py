"""A head as surfaces with morph targets: the face basis as a mesh, with eyeballs and a mouth.

Lengths are interocular distances in Motion's axes. The face is the basis's neutral (or a photo's)
with MediaPipe's triangles; its 52 morph targets are the basis's expression directions, but for the
two blinks: theirs are the shut lids as the renderer draws them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from motion2video.geometry.angles import EYES
from motion2video.geometry.basis import EYE_CORNERS, FLIP, FaceBasis, HeadPose
from motion2video.geometry.retarget import PortraitFace, lips_meet
from motion2video.motion import Motion, channel_index
from motion2video.portrait.portrait import Portrait

_MOUTH_RING = (
    *(78, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
)
_EYE_RINGS = {
    "Left": (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
    "Right": (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
}
_IRISES = {"Left": (473, [474, 475, 476, 477]), "Right": (468, [469, 470, 471, 472])}
_NOSE = 0.15  # half of the width over which one side of the face goes over into the other
_MOUTH_DEPTH, _SOCKET_DEPTH = 0.35, 0.12
_EYEBALL = 0.19  # radius: 12 mm
_RINGS_DEGREES = (10.0, 20.0, 31.0, 45.0, 60.0, 75.0, 90.0, 110.0)  # from the pupil backwards
_PUPIL_RINGS, _IRIS_RINGS = 1, 3
_SECTORS = 32
_IRIS_COLOUR = (0.10, 0.05, 0.025)
_TEXTURE_SIDE = 1024
_MARGIN = 0.1  # of the face's box, around it in the texture


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles, counter-clockwise seen from outside, between points; `targets` [52] are how far
    each expression coefficient of 1 moves every point."""

    points: Float[np.ndarray, "n 3"]
    triangles: Int[np.ndarray, "m 3"]
    targets: Float[np.ndarray, "52 n 3"]

    def normals(self) -> Float[np.ndarray, "n 3"]:
        """Unit normals of the points at rest."""
        return _normals(self.points, self.triangles)

    def target_normals(self) -> Float[np.ndarray, "52 n 3"]:
        """How far each target at 1 moves the normals."""
        rest = self.normals()
        moved = [_normals(self.points + target, self.triangles) - rest for target in self.targets]
        return np.stack(moved).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Eyeball:
    """A ball that looks along +z: its `centre` in the head, points around that, and triangles of
    pupil, iris and white."""

    centre: Float[np.ndarray, "3"]
    points: Float[np.ndarray, "n 3"]
    pupil: Int[np.ndarray, "p 3"]
    iris: Int[np.ndarray, "i 3"]
    white: Int[np.ndarray, "w 3"]


@dataclass(frozen=True, eq=False)
class HeadMesh:
    """The parts of a head. `uv` [478, 2] are texture coordinates of the skin (v downwards);
    `texture` is a picture of the face for them, None where there was no photo; `iris_colour` is
    linear RGB."""

    skin: Surface
    mouth: Surface
    sockets: Surface
    eyes: dict[str, Eyeball]
    uv: Float[np.ndarray, "478 2"]
    texture: UInt8[np.ndarray, "H W 3"] | None
    iris_colour: tuple[float, float, float]

    @staticmethod
    def average(basis: FaceBasis) -> "HeadMesh":
        """The mean person of the face basis, without a texture."""
        low, high = basis.canonical[:, :2].min(0), basis.canonical[:, :2].max(0)
        uv = (basis.canonical[:, :2] - low) / (high - low)
        uv[:, 1] = 1 - uv[:, 1]
        return _build(lips_meet(basis.canonical), basis, uv.astype(np.float32), None, _IRIS_COLOUR)

    @staticmethod
    def of_portrait(portrait: Portrait, basis: FaceBasis) -> "HeadMesh":
        """The face of a photo at rest, with the photo as its texture."""
        face = portrait.face
        fitted = PortraitFace.fit(face.landmarks, face.expression, basis)
        texture, uv = _texture(portrait)
        return _build(fitted.neutral, basis, uv, texture, _iris_colour(portrait))


def _build(
    neutral: Float[np.ndarray, "478 3"],
    basis: FaceBasis,
    uv: Float[np.ndarray, "478 2"],
    texture: UInt8[np.ndarray, "H W 3"] | None,
    iris_colour: tuple[float, float, float],
) -> HeadMesh:
    targets = basis.expression.copy()
    shut = _shut_lids(neutral, basis)
    for eye, share in zip(EYES, _halves(neutral), strict=True):
        targets[channel_index(f"eyeBlink{eye}")] = share * shut
    skin = Surface(neutral, basis.triangles, targets)
    sockets = [_pocket(skin, _EYE_RINGS[eye], _SOCKET_DEPTH) for eye in EYES]
    return HeadMesh(
        skin=skin,
        mouth=_pocket(skin, _MOUTH_RING, _MOUTH_DEPTH),
        sockets=_joined(*sockets),
        eyes={eye: _eyeball(neutral, eye) for eye in EYES},
        uv=uv,
        texture=texture,
        iris_colour=iris_colour,
    )


def _shut_lids(neutral: Float[np.ndarray, "478 3"], basis: FaceBasis) -> Float[np.ndarray, "478 3"]:
    """How the points move when both eyes shut as the renderer shuts them: the lids meet."""
    at_origin = HeadPose(
        np.eye(3, dtype=np.float32)[None], np.zeros((1, 3), np.float32), np.ones(1, np.float32)
    )
    motion = Motion.neutral(2)
    motion.values[1, [channel_index(f"eyeBlink{eye}") for eye in EYES]] = 1.0
    points, _ = PortraitFace(neutral, at_origin, basis).keypoints(motion)
    return ((points[1] - points[0]) * FLIP).astype(np.float32)


def _halves(neutral: Float[np.ndarray, "478 3"]) -> Iterator[Float[np.ndarray, "478 1"]]:
    """How much each point belongs to the side of the left eye, and of the right one: 1 in all, so
    that two winks are a blink."""
    left = np.clip(0.5 + neutral[:, :1] / (2 * _NOSE), 0, 1).astype(np.float32)
    yield left
    yield 1 - left


def _pocket(skin: Surface, ring: tuple[int, ...], depth: float) -> Surface:
    """A cup behind an opening of the skin that moves with its rim."""
    order = np.array(ring)
    x, y = skin.points[order, 0], skin.points[order, 1]
    if (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() < 0:
        order = order[::-1]
    count = len(order)

    def layers(rim: Float[np.ndarray, "*t n 3"], depth: float) -> Float[np.ndarray, "*t m 3"]:
        """Rim, a smaller copy of it behind, and the middle of that."""
        back = rim - np.array([0, 0, depth], np.float32)
        middle = back.mean(-2, keepdims=True)
        return np.concatenate([rim, 0.9 * back + 0.1 * middle, middle], -2).astype(np.float32)

    i = np.arange(count)
    j = (i + 1) % count
    wall = np.concatenate([np.stack([i, j, i + count], 1), np.stack([j, j + count, i + count], 1)])
    floor = np.stack([i + count, j + count, np.full(count, 2 * count)], 1)
    return Surface(
        layers(skin.points[order], depth),
        np.concatenate([wall, floor]),
        layers(skin.targets[:, order], 0.0),
    )


def _joined(one: Surface, two: Surface) -> Surface:
    return Surface(
        np.concatenate([one.points, two.points]),
        np.concatenate([one.triangles, two.triangles + len(one.points)]),
        np.concatenate([one.targets, two.targets], 1),
    )


def _eyeball(neutral: Float[np.ndarray, "478 3"], eye: str) -> Eyeball:
    """A ball whose front lies at the depth of the iris, behind the lids."""
    corners = EYE_CORNERS[1 if eye == "Left" else 0]
    iris = neutral[_IRISES[eye][0]]
    middle = neutral[list(corners)].mean(0)
    centre = np.array([middle[0], iris[1], iris[2] - _EYEBALL], np.float32)
    polar = np.radians(_RINGS_DEGREES)
    around = np.arange(_SECTORS) * 2 * np.pi / _SECTORS
    ring = np.stack([np.cos(around), np.sin(around)], 1)
    rings = [np.pad(np.sin(p) * ring, ((0, 0), (0, 1)), constant_values=np.cos(p)) for p in polar]
    points = np.concatenate([[[0, 0, 1]], *rings]) * _EYEBALL
    i = np.arange(_SECTORS)
    j = (i + 1) % _SECTORS
    bands = [np.stack([np.zeros_like(i), 1 + i, 1 + j], 1)]
    for k in range(len(polar) - 1):
        inner, outer = 1 + k * _SECTORS, 1 + (k + 1) * _SECTORS
        bands.append(
            np.concatenate(
                [
                    np.stack([inner + i, outer + i, outer + j], 1),
                    np.stack([inner + i, outer + j, inner + j], 1),
                ]
            )
        )
    pupil, rest = bands[:_PUPIL_RINGS], bands[_PUPIL_RINGS:]
    irises, whites = rest[: _IRIS_RINGS - _PUPIL_RINGS], rest[_IRIS_RINGS - _PUPIL_RINGS :]
    return Eyeball(
        centre,
        points.astype(np.float32),
        np.concatenate(pupil),
        np.concatenate(irises),
        np.concatenate(whites),
    )


def _normals(
    points: Float[np.ndarray, "n 3"], triangles: Int[np.ndarray, "m 3"]
) -> Float[np.ndarray, "n 3"]:
    """Mean of the triangles around each point, weighted by their areas."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    faces = np.cross(b - a, c - a)
    total = np.zeros_like(points)
    for k in range(3):
        np.add.at(total, triangles[:, k], faces)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    # Points without a triangle (the irises of the basis) still need a unit normal.
    total = np.where(length > 1e-12, total, np.array([0, 0, 1]))
    return (total / np.linalg.norm(total, axis=1, keepdims=True)).astype(np.float32)


def _texture(
    portrait: Portrait,
) -> tuple[UInt8[np.ndarray, "H W 3"], Float[np.ndarray, "478 2"]]:
    """The part of the photo around the face, and where its landmarks are in that, 0..1."""
    import cv2

    height, width = portrait.image.shape[:2]
    x0, y0, x1, y1 = portrait.face.box
    margin = _MARGIN * max(x1 - x0, y1 - y0)
    left, top = max(0, int(x0 - margin)), max(0, int(y0 - margin))
    right, bottom = min(width, int(x1 + margin) + 1), min(height, int(y1 + margin) + 1)
    cut = np.ascontiguousarray(portrait.image[top:bottom, left:right])
    size = np.array([cut.shape[1], cut.shape[0]], np.float32)
    uv = (portrait.face.landmarks[:, :2] - np.array([left, top], np.float32)) / size
    scale = _TEXTURE_SIDE / max(cut.shape)
    if scale < 1:
        target = (round(cut.shape[1] * scale), round(cut.shape[0] * scale))
        cut = cv2.resize(cut, target, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return cut, np.clip(uv, 0, 1).astype(np.float32)


def _iris_colour(portrait: Portrait) -> tuple[float, float, float]:
    """Median of what the photo shows half way between the pupils and the rims of the irises."""
    marks = portrait.face.landmarks[:, :2]
    at = np.concatenate([(marks[rim] + marks[[centre]]) / 2 for centre, rim in _IRISES.values()])
    height, width = portrait.image.shape[:2]
    x, y = np.clip(at.round().astype(int), 0, [width - 1, height - 1]).T
    red, green, blue = np.median(portrait.image[y, x], 0) / 255
    return float(red**2.2), float(green**2.2), float(blue**2.2)
