"""A head as surfaces with morph targets, of the mean person or of a photo's.

Lengths are interocular distances in Motion's axes. The skin, what is behind lips and lids, gums,
tongue and teeth are those of motion2video.geometry.head_model, drawn to a face's 478 points; each
has the 52 expression channels as targets. Eyeballs are balls of their own, which turn.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from motion2video.formats.head_texture import Skin, bake
from motion2video.geometry.angles import EYES
from motion2video.geometry.basis import FaceBasis
from motion2video.geometry.head_model import HeadModel
from motion2video.geometry.retarget import PortraitFace, lips_meet
from motion2video.portrait.portrait import Portrait

_IRISES = {"Left": (473, [474, 475, 476, 477]), "Right": (468, [469, 470, 471, 472])}
_IRIS = 0.093  # radius: 5.9 mm
_PUPIL = 0.034
# Rings from the pupil backwards: radii as far as the iris, then degrees.
_RINGS, _BEHIND = (_PUPIL, 0.063, _IRIS), (45.0, 60.0, 75.0, 90.0, 110.0)
_PUPIL_RINGS, _IRIS_RINGS = 1, 3
_SECTORS = 32
_IRIS_COLOUR = (0.10, 0.05, 0.025)


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles, counter-clockwise seen from outside, between points; `targets` [52] are how far
    each expression coefficient of 1 moves every point."""

    points: Float[np.ndarray, "n 3"]
    triangles: Int[np.ndarray, "m 3"]
    targets: Float[np.ndarray, "52 n 3"]

    def rest_normals(self) -> Float[np.ndarray, "n 3"]:
        """Unit normals of the points at rest."""
        return normals(self.points, self.triangles)

    def target_normals(self) -> Float[np.ndarray, "52 n 3"]:
        """How far each target at 1 moves the normals."""
        rest = self.rest_normals()
        moved = [normals(self.points + target, self.triangles) - rest for target in self.targets]
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
    """The parts of a head: `parts` are its surfaces by name, skin first. `uv` [n, 2] are texture
    coordinates of the skin (u once around, and a little more at the seam; v downwards); `texture`
    is a picture for them, None where there was no photo; `iris_colour` is linear RGB."""

    parts: dict[str, Surface]
    eyes: dict[str, Eyeball]
    uv: Float[np.ndarray, "n 2"]
    texture: UInt8[np.ndarray, "H W 3"] | None
    iris_colour: tuple[float, float, float]

    @staticmethod
    def average(basis: FaceBasis) -> "HeadMesh":
        """The mean person of the face basis, without a texture."""
        return _build(HeadModel.load().fitted(lips_meet(basis.canonical)), None, _IRIS_COLOUR)

    @staticmethod
    def of_portrait(portrait: Portrait, basis: FaceBasis) -> "HeadMesh":
        """The head of a photo at rest, with the photo's colours. Raises WeightsError without the
        weights `head` or `matte`.
        """
        face, model = portrait.face, HeadModel.load()
        fitted = PortraitFace.fit(face.landmarks, face.expression, basis)
        under = model.fitted(fitted.points).parts["skin"]  # as the photo shows it, smile and all
        places = fitted.pose.project(under.points[None])[0]
        skin = Skin(places, normals(places, under.triangles), model.uv, under.triangles)
        return _build(model.fitted(fitted.neutral), bake(portrait, skin), _iris_colour(portrait))


def _build(
    model: HeadModel,
    texture: UInt8[np.ndarray, "H W 3"] | None,
    iris_colour: tuple[float, float, float],
) -> HeadMesh:
    return HeadMesh(
        parts={n: Surface(p.points, p.triangles, p.moves) for n, p in model.parts.items()},
        eyes={
            eye: _eyeball(centre, float(radius))
            for eye, centre, radius in zip(EYES, model.eyes, model.radii, strict=True)
        },
        uv=model.uv,
        texture=texture,
        iris_colour=iris_colour,
    )


def _eyeball(centre: Float[np.ndarray, "3"], radius: float) -> Eyeball:
    """A ball that looks ahead, with iris and pupil of their own sizes."""
    front = np.arcsin(np.array(_RINGS) / radius)
    polar = np.concatenate([front, np.radians(_BEHIND)])
    around = np.arange(_SECTORS) * 2 * np.pi / _SECTORS
    ring = np.stack([np.cos(around), np.sin(around)], 1)
    rings = [np.pad(np.sin(p) * ring, ((0, 0), (0, 1)), constant_values=np.cos(p)) for p in polar]
    points = np.concatenate([[[0, 0, 1]], *rings]) * radius
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


def normals(
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


def _iris_colour(portrait: Portrait) -> tuple[float, float, float]:
    """Median of what the photo shows half way between the pupils and the rims of the irises."""
    marks = portrait.face.landmarks[:, :2]
    at = np.concatenate([(marks[rim] + marks[[centre]]) / 2 for centre, rim in _IRISES.values()])
    height, width = portrait.image.shape[:2]
    x, y = np.clip(at.round().astype(int), 0, [width - 1, height - 1]).T
    red, green, blue = np.median(portrait.image[y, x], 0) / 255
    return float(red**2.2), float(green**2.2), float(blue**2.2)
