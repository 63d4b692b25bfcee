"""Light on a face that moves: how much brighter or darker its skin becomes than the photo's.

Three parts, all a ratio of 1 where the photo is at rest. Folds: maps of a flattened face (role
`folds`), learned from pairs of pictures of the same people, add up to a logarithm by as much as the
face's points have moved: the folds beside the nose of a smile, the lines of raised brows. Creases:
what the photo's own expression has folded goes with it (creases.py). Turning:
the photo's own light, as far as spherical harmonics of order 1 say it (Ramamoorthi and Hanrahan
2001), falls on the normals of the turned head.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from motion2video.drawing.creases import Crease, creases_of
from motion2video.drawing.inside import affine_maps
from motion2video.geometry.basis import (
    FLIP,
    FaceBasis,
    HeadPose,
    fit_pose,
    interocular,
)
from motion2video.portrait.head import signed_area
from weights.tensors import load_safetensors

COLOURS = np.array([0.84, 1.06, 1.11], np.float32)  # shade on skin is red: its share by channel
_MOST = 0.45  # of the logarithm
_ERRS = (0.015, 0.032)
"""Eye distances that the points which no expression moves go, up to which folds are believed, and
from which not: .012 is the median of people who smile into the camera, .038 that of heads tracked
12 to 20 degrees from the photo's pose."""
_STAY = [6, 197, 195, 5, 4, 33, 133, 362, 263, 127, 356, 234, 454, 93, 323]  # nose, eyes, sides
_DIMMEST = 0.3  # of the mean light
_STIFF = 1e-3  # of the light's direction, against the number of points
_OUTLIER = 0.1  # of the mean light: beards and shadows
_GRAZES = 0.25  # cosine of the angle to the camera, below which skin tells nothing of the light
_SOFT = 0.06  # eye distances over which light is looked at
_THIN = 0.01  # square pixels: of such a triangle no place can be told from another
_NOWHERE = -8.0  # outside of every map
_SHIFT = 4  # fractional bits of cv2's polygon coordinates
_NO_MAP: Any = None  # the places are whole in the first map
_ONES = (1.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Shading:
    """Of one photo. `rest` are its points in the head frame and `turn` its head's; `reads` takes x
    and y of what points have moved to amounts of the `maps`; `light` and `normals` (picture axes)
    say how bright the flattened skin is, `whole` how much of that counts; `places` [h, w, 2] are
    those of the pixels of `window` in the maps; `creases` are the photo's own folds there.
    """

    basis: FaceBasis
    rest: Float[np.ndarray, "478 3"]
    turn: Float[np.ndarray, "3 3"]
    reads: Float[np.ndarray, "936 k"]
    maps: Float[np.ndarray, "k H W"]
    light: Float[np.ndarray, "4"]
    normals: Float[np.ndarray, "H W 3"]
    whole: Float[np.ndarray, "H W"]
    window: tuple[slice, slice]
    places: Float[np.ndarray, "h w 2"]
    creases: tuple[Crease, ...] = ()

    @staticmethod
    def of(
        image: UInt8[np.ndarray, "h w 3"],
        landmarks: Float[np.ndarray, "478 3"],
        basis: FaceBasis,
        own: Mapping[str, Float[np.ndarray, "478 3"]],
    ) -> "Shading":
        """Of a photo with an expression of its `own` (see PortraitFace). Raises WeightsError
        without the weights `folds`.
        """
        tensors, _ = load_safetensors("folds")
        mesh = basis.triangles[(basis.triangles < 468).all(1)]
        pose, points = _posed(landmarks, basis)
        normals = _normals(pose.project(points[None])[0][:468], mesh)
        skin = tensors["skin"].astype(np.float32) / 255
        height, width = skin.shape
        on_map = _laid(tensors["points"], mesh, (width, height), normals)
        low = np.floor(landmarks[:, :2].min(0)).astype(int)
        size = np.ceil(landmarks[:, :2].max(0)).astype(int) + 1 - low
        flat = (landmarks[:468, :2] - low).astype(np.float32)
        places = _laid(flat, mesh, (int(size[0]), int(size[1])), tensors["points"], _NOWHERE)
        x, y = low.tolist()
        window = (slice(y, y + int(size[1])), slice(x, x + int(size[0])))
        return Shading(
            basis,
            points,
            pose.rotation[0],
            tensors["reads"],
            tensors["maps"].astype(np.float32) * tensors["steps"][:, None, None],
            _light(image, landmarks, normals, skin, tensors["points"]),
            on_map,
            tensors["whole"].astype(np.float32) / 255,
            window,
            places,
            creases_of(image, landmarks, own, window),
        )

    def ratio(self, landmarks: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "H W 3"]:
        """Of the colours of a frame with these landmarks (pixels) to the photo's, in the maps."""
        return self.seen(landmarks)[0]

    def seen(
        self, landmarks: Float[np.ndarray, "478 3"]
    ) -> tuple[Float[np.ndarray, "H W 3"], list[float]]:
        """The ratio of a frame with these landmarks (pixels), and how much each of the creases is
        gone.
        """
        pose, points = _posed(landmarks, self.basis)
        gone = [crease.gone(points - self.rest) for crease in self.creases]
        moved = (points - self.rest)[:468, :2]
        logarithm = np.tensordot(moved.reshape(-1) @ self.reads, self.maps, 1) * _believed(moved)
        turn = np.diag(FLIP) @ pose.rotation[0] @ self.turn.T @ np.diag(FLIP)
        light = self.light[1:]
        logarithm += self.whole * (self._lit(light @ turn) - self._lit(light))
        bounded = _MOST * np.tanh(logarithm / _MOST)
        return np.exp(bounded[..., None] * COLOURS).astype(np.float32), gone

    def _lit(self, direction: Float[np.ndarray, "3"]) -> Float[np.ndarray, "H W"]:
        """Logarithm of how bright the flattened face is."""
        return np.log(np.maximum(self.light[0] + self.normals @ direction, _DIMMEST))

    def shade(
        self,
        colour: UInt8[np.ndarray, "h w 3"],
        grid: Float[np.ndarray, "h w 2"],
        landmarks: Float[np.ndarray, "478 3"],
        face: tuple[slice, slice],
    ) -> None:
        """Light and shade on what was sampled from the photo at the places of `grid`, in the part
        of the picture where the `face` is.
        """
        rows, columns = self.window
        ratio, gone = self.seen(landmarks)
        photo = _sampled(ratio, self.places)
        for crease, share in zip(self.creases, gone, strict=True):
            if share > 0:
                photo *= 1 + share * crease.gain
        start = np.array([columns.start, rows.start], np.float32)
        here = _sampled(photo, grid[face] - start)
        colour[face] = cv2.multiply(colour[face], here, dtype=cv2.CV_8U)


def _believed(moved: Float[np.ndarray, "468 2"]) -> float:
    """How much of what points have moved is an expression, 1 to 0: where those move that none moves
    much, a tracker errs, as trackers do on heads that turn.
    """
    rigid = float(np.linalg.norm(moved[_STAY], axis=1).mean())
    sure, lost = _ERRS
    return float(np.clip((lost - rigid) / (lost - sure), 0, 1))


def _sampled(
    plane: Float[np.ndarray, "H W 3"], places: Float[np.ndarray, "h w 2"]
) -> Float[np.ndarray, "h w 3"]:
    """A plane of ratios at places, 1 outside of it."""
    return np.asarray(
        cv2.remap(plane, places, _NO_MAP, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, _ONES)
    )


def _posed(
    landmarks: Float[np.ndarray, "478 3"], basis: FaceBasis
) -> tuple[HeadPose, Float[np.ndarray, "478 3"]]:
    """The head's pose and the points in the head frame."""
    pose = fit_pose(landmarks[None], basis.canonical)
    return pose, pose.unproject(landmarks[None])[0]


def _normals(
    points: Float[np.ndarray, "468 3"], mesh: Int[np.ndarray, "m 3"]
) -> Float[np.ndarray, "468 3"]:
    """Unit normals, towards the camera where the face looks into it (picture axes: z < 0)."""
    a, b, c = (points[mesh[:, k]] for k in range(3))
    faces, total = np.cross(b - a, c - a), np.zeros_like(points)
    for k in range(3):
        np.add.at(total, mesh[:, k], faces)
    if total[:, 2].sum() > 0:
        total = -total
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)).astype(
        np.float32
    )


def _laid(
    points: Float[np.ndarray, "468 2"],
    mesh: Int[np.ndarray, "m 3"],
    size: tuple[int, int],
    values: Float[np.ndarray, "468 c"],
    nowhere: float = 0.0,
) -> Float[np.ndarray, "h w c"]:
    """Values of the mesh's points, linear over its triangles, in a picture of `size`."""
    mesh = mesh[np.abs(signed_area(points[mesh])) > _THIN]
    ids = np.full((size[1], size[0]), -1, np.int32)
    for number, shape in enumerate(np.round(points[mesh] * 2**_SHIFT).astype(np.int32)):
        cv2.fillConvexPoly(ids, shape, number, shift=_SHIFT)
    y, x = np.nonzero(ids >= 0)
    out = np.full((size[1], size[0], values.shape[1]), nowhere, np.float32)
    maps = affine_maps(points[mesh], values[mesh])[ids[y, x]]
    out[y, x] = maps[:, 0] * x[:, None] + maps[:, 1] * y[:, None] + maps[:, 2]
    return out


def _light(
    image: UInt8[np.ndarray, "h w 3"],
    landmarks: Float[np.ndarray, "478 3"],
    normals: Float[np.ndarray, "468 3"],
    skin: Float[np.ndarray, "H W"],
    on_map: Float[np.ndarray, "468 2"],
) -> Float[np.ndarray, "4"]:
    """The mean light of a photo's skin, which is 1, and its direction (picture axes)."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    unit = float(interocular(landmarks * np.array([1, 1, 0], np.float32)))
    grey = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), max(0.5, _SOFT * unit))
    x, y = np.round(on_map).astype(int).T
    bare = skin[np.clip(y, 0, skin.shape[0] - 1), np.clip(x, 0, skin.shape[1] - 1)] > 0.5
    x, y = np.round(landmarks[:468, :2]).astype(int).T
    bare &= (normals[:, 2] < -_GRAZES) & (x >= 0) & (y >= 0)
    bare &= (x < image.shape[1]) & (y < image.shape[0])
    if not bare.any():
        return np.array([1, 0, 0, 0], np.float32)
    seen = grey[y[bare], x[bare]]
    seen = seen / max(float(np.median(seen)), 1.0)
    of_light = np.concatenate([np.ones((len(seen), 1)), normals[bare]], 1)
    weight, found = np.ones(len(seen)), np.zeros(4)
    for _ in range(4):  # iteratively reweighted: the skin that agrees counts
        gram = (of_light * weight[:, None]).T @ of_light
        gram += np.diag([0, 1, 1, 1]) * (_STIFF * len(seen))
        found = np.linalg.solve(gram + 1e-9 * np.eye(4), (of_light * weight[:, None]).T @ seen)
        weight = 1 / (1 + ((seen - of_light @ found) / _OUTLIER) ** 2)
    return found.astype(np.float32)
