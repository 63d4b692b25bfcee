"""How deep a person is at every pixel of a photo, from before and from behind.

The whole head of the ICT FaceKit (motion2video.geometry.head_model) is laid under the face's
points; where hair or a hat goes beyond it, it is inflated to the matte's outline. Canvas pixels, z
away from the camera; lengths in the constants are interocular distances.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import KDTree

from motion2video.geometry.basis import RIGID_POINTS, FaceBasis, fit_pose
from motion2video.geometry.head_model import HeadModel

_MIDDLE = np.array([0, 0.45, -1.0], np.float32)  # of the skull, from between the eyes
_FINE = 40.0  # pixels an interocular distance in which depth is drawn
_AXIS_BEHIND = 1.05  # of the neck and of what hangs beside it, behind the face's rigid points
_SEEN_BEHIND = 0.35  # that axis, up to which a photo shows a head: beyond, it would be drawn out
_SECTORS = 72
_TURNS = (np.arange(_SECTORS) + 0.5) * 2 * np.pi / _SECTORS
_SMOOTH = 3.0  # sectors
_UP, _DOWN = 1.9, 2.4  # radians from upright, between which hair ends to be the skull's
_FACE = 0.6  # from the face's points, where the skull has become as large as the hair
_LEAST, _MOST, _DEEPEST = 0.85, 1.7, 1.25  # times the skull: across, and along the line of sight
_ROUND = 0.12  # over which the surface bends back to the outline
_NEAR = 0.25  # beyond the skull, up to which its nearest part tells how deep hair lies
_THICK = 3.0  # pixels of the outline itself
_BLUR = 0.06
_NOWHERE = -1e9  # z where nothing was drawn


@dataclass(frozen=True, eq=False)
class Skull:
    """z of the surface that looks at the camera (`near`) and of the one that looks away (`far`);
    both meet at the person's outline. `axis` is the z of the neck and of what hangs beside it.
    """

    near: Float[np.ndarray, "h w"]
    far: Float[np.ndarray, "h w"]
    axis: float

    @staticmethod
    def under(
        landmarks: Float[np.ndarray, "478 3"],
        basis: FaceBasis,
        solid: UInt8[np.ndarray, "h w"],
        to_edge: Float[np.ndarray, "h w"],
        unit: float,
    ) -> "Skull":
        """Of a face on the canvas and the filled outline of the person, with the distance to it
        from within.
        """
        pose = fit_pose(landmarks[None], basis.canonical)
        face = pose.unproject(landmarks[None])[0]
        skin = HeadModel.load().fitted(face).parts["skin"]
        points = pose.project(np.concatenate([skin.points, _MIDDLE[None]])[None])[0]
        points, middle = points[:-1], points[-1]
        small = float(min(1.0, _FINE / unit))
        size = tuple(max(1, round(n * small)) for n in solid.shape)
        outline = cv2.resize(solid, size[::-1], interpolation=cv2.INTER_AREA) > 0
        places, centre = points * small, middle * small
        covered = _covered(places, skin.triangles, size)
        up = pose.rotation[0, :2, 1] * [1, -1]  # the head's, in the picture
        tilt = float(np.arctan2(up[0], -up[1]))
        widths = [_widths(mask, centre[:2], tilt) for mask in (outline, covered)]
        wide = widths[0] / np.maximum(widths[1], 1)
        apart = KDTree(face[:468]).query(skin.points)[0]
        places = _inflated(places, centre, tilt, wide, np.clip(apart / _FACE, 0, 1))
        axis = float(landmarks[RIGID_POINTS, 2].mean()) + _AXIS_BEHIND * unit
        near, far = (
            _depth(places, skin.triangles, size, small, unit, axis, from_before=side)
            for side in (True, False)
        )
        across = (solid.shape[1], solid.shape[0])
        near, far = (cv2.resize(z, across, interpolation=cv2.INTER_LINEAR) for z in (near, far))
        edge = np.clip((to_edge - _THICK) / (_ROUND * unit), 0, 1)
        bend = np.sqrt(1 - (1 - edge) ** 2)
        rim = np.minimum((near + far) / 2, axis + _SEEN_BEHIND * unit)
        near = rim + (np.minimum(near, axis + _SEEN_BEHIND * unit) - rim) * bend
        far = rim + (far - rim) * bend
        return Skull(near.astype(np.float32), far.astype(np.float32), axis)


def _covered(
    points: Float[np.ndarray, "n 3"], triangles: Int[np.ndarray, "m 3"], size: tuple[int, ...]
) -> Bool[np.ndarray, "h w"]:
    """Where a surface is seen."""
    mask = np.zeros(size, np.uint8)
    for shape in np.round(points[triangles, :2]).astype(np.int32):
        cv2.fillConvexPoly(mask, shape, 1)
    return mask > 0


def _widths(
    mask: Bool[np.ndarray, "h w"], centre: Float[np.ndarray, "2"], tilt: float
) -> Float[np.ndarray, "s"]:
    """How far a mask reaches from a place in every direction, clockwise from the top of a head
    tilted by an angle; pixels.
    """
    angles = _TURNS + tilt
    away = np.arange(1, max(mask.shape), dtype=np.float32)
    x = centre[0] + away * np.sin(angles)[:, None]
    y = centre[1] - away * np.cos(angles)[:, None]
    height, width = mask.shape
    inside = (x >= 0) & (y >= 0) & (x < width - 1) & (y < height - 1)
    inside &= mask[np.clip(y, 0, height - 1).astype(int), np.clip(x, 0, width - 1).astype(int)]
    return np.asarray(np.where(inside.all(1), len(away), inside.argmin(1)), np.float32)


def _inflated(
    points: Float[np.ndarray, "n 3"],
    centre: Float[np.ndarray, "3"],
    tilt: float,
    wide: Float[np.ndarray, "s"],
    share: Float[np.ndarray, "n"],
) -> Float[np.ndarray, "n 3"]:
    """Points of a skull drawn out to a head of hair, which is `wide` times as far from the middle
    in every direction; `share` (0..1) of the way. Below the ears nothing moves.
    """
    factor = np.clip(wide, _LEAST, _MOST)
    factor = gaussian_filter1d(np.log(factor), _SMOOTH, mode="wrap")
    upright = np.minimum(_TURNS, 2 * np.pi - _TURNS)
    factor *= np.clip((_DOWN - upright) / (_DOWN - _UP), 0, 1)
    away = points - centre
    angle = (np.arctan2(away[:, 0], -away[:, 1]) - tilt) % (2 * np.pi)
    at = np.interp(angle, _TURNS, factor, period=2 * np.pi)
    far = np.linalg.norm(away[:, :2], axis=1)
    sided = np.clip(far / (0.5 * np.quantile(far, 0.9)), 0, 1)
    whole = float(np.average(factor, weights=upright < _UP))
    at = (at * sided + whole * (1 - sided) * (np.cos(angle) > 0)) * share
    out = points.copy()
    out[:, :2] += away[:, :2] * (np.exp(at) - 1)[:, None]
    out[:, 2] += away[:, 2] * (np.minimum(np.exp(at), _DEEPEST) - 1)
    return out


def _depth(
    points: Float[np.ndarray, "n 3"],
    triangles: Int[np.ndarray, "m 3"],
    size: tuple[int, ...],
    scale: float,
    unit: float,
    axis: float,
    from_before: bool,
) -> Float[np.ndarray, "h w"]:
    """z of a surface as seen from before or from behind, the surface being drawn `scale` times as
    large; beyond it that of its outline, the farther the more that of the head's `axis`.
    """
    depth = points[triangles, 2].mean(1)
    order = np.argsort(-depth if from_before else depth)
    plane = np.full(size, _NOWHERE, np.float32)
    shapes = np.round(points[triangles, :2] * 16).astype(np.int32)
    for number in order:
        cv2.fillConvexPoly(plane, shapes[number], float(depth[number]), shift=4)
    nothing = (plane == _NOWHERE).astype(np.uint8)
    away, labels = cv2.distanceTransformWithLabels(
        nothing, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    known = np.zeros(int(labels.max()) + 1, np.float32)
    known[labels[nothing == 0]] = plane[nothing == 0]
    local = np.exp(-((away / (_NEAR * scale * unit)) ** 2))
    filled = known[labels] / scale * local + axis * (1 - local)
    return np.asarray(cv2.GaussianBlur(filled, (0, 0), _BLUR * scale * unit), np.float32)
