"""Face geometry: head pose, the linear face basis, and keypoints as a function of Motion.

Head frame: x to the picture's right, y up, z towards the camera; unit = the interocular distance
of the neutral face (between the centres of the eye corners); origin = the mean of the canonical
face's rigid points. Picture frame: pixels, x right, y down, z like x with smaller = nearer, as
MediaPipe gives it. Projection is weak-perspective with a nominal camera distance.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from motion2video.motion import (
    DETAIL,
    EXPRESSION,
    EXPRESSION_NAMES,
    FPS,
    MOTION_DIM,
    ROTATION,
    TRANSLATION,
    Motion,
    Rest,
)
from weights.errors import MotionError
from weights.tensors import load_safetensors

CLOSED_LIPS = 0.05  # of the frames of a talking person, the share taken for a closed mouth
INTEROCULAR_M = 0.063  # metres between the eye centres of an adult, on average
CAMERA_DISTANCE = 10.0  # interocular distances from the camera to the head: about 63 cm
# How near cameras are that are tried: 1 / distance in interocular distances, from far to 63 cm.
# What a tracker errs by as heads turn looks like a camera that is nearer still.
_NEARNESSES = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1)
_CALMER = 0.95  # of the unrest that must be left, for a nearness to be believed
_TURNS = np.radians(3)  # standard deviation of the head's turning from which it tells
_LOOKS_AT = 60  # frames of a clip
_STEPS = 5  # of a fixed point that comes ten times nearer in each
FLIP = np.array([1.0, -1.0, -1.0], np.float32)  # picture axes <-> head axes
EYE_CORNERS = ((33, 133), (263, 362))
# The face's outline, from the middle of the forehead.
FACE_OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400]
FACE_OVAL += [377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103]
FACE_OVAL += [67, 109]
UPPER_LIP, LOWER_LIP = 13, 14  # the middle of the inner lips
# Points that no expression moves much: forehead, temples, nose bridge, eye corners.
RIGID_POINTS = np.array(
    [
        *(10, 338, 297, 332, 284, 109, 67, 103, 54, 251, 21, 389, 162, 127, 356, 234, 454, 168, 6),
        *(197, 195, 5, 4, 33, 133, 362, 263, 151, 9, 8, 93, 323),
    ]
)


def interocular(landmarks: Float[np.ndarray, "*t 478 3"]) -> Float[np.ndarray, "*t"]:
    """Distance between the eye centres (mid-points of their corners), in the units given."""
    right, left = (landmarks[..., list(pair), :].mean(-2) for pair in EYE_CORNERS)
    return np.asarray(np.linalg.norm(right - left, axis=-1))


def rotation_matrix(rotation: Float[np.ndarray, "*t 3"]) -> Float[np.ndarray, "*t 3 3"]:
    """Rodrigues' formula: axis-angle in radians to rotation matrices.

    Positive x makes the face look down, positive y turns it to the picture's right,
    positive z tilts the head to the picture's left.
    """
    angle = np.linalg.norm(rotation, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(rotation, -1, 0)
    zero = np.zeros_like(x)
    k = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*rotation.shape[:-1], 3, 3)
    a = np.sinc(angle / np.pi)  # sin(angle) / angle
    b = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2  # (1 - cos(angle)) / angle^2
    return np.eye(3, dtype=rotation.dtype) + a * k + b * (k @ k)


def axis_angle(matrix: Float[np.ndarray, "*t 3 3"]) -> Float[np.ndarray, "*t 3"]:
    """The inverse of `rotation_matrix` for angles below pi."""
    m = matrix.astype(np.float64)
    trace = np.trace(m, axis1=-2, axis2=-1)
    angle = np.arccos(np.clip((trace - 1) / 2, -1, 1))
    skew = np.stack(
        [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], -1
    )
    factor = 0.5 / np.maximum(np.sinc(angle / np.pi), 1e-6)
    return (skew * factor[..., None]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class HeadPose:
    """Where a head is: picture = FLIP * (scale * R x + offset), x in the head frame.

    `rotation` [T, 3, 3], `offset` [T, 3] pixels (y up), `scale` [T] pixels per interocular
    distance.
    """

    rotation: Float[np.ndarray, "T 3 3"]
    offset: Float[np.ndarray, "T 3"]
    scale: Float[np.ndarray, "T"]

    def unproject(self, landmarks: Float[np.ndarray, "T n 3"]) -> Float[np.ndarray, "T n 3"]:
        """Landmarks in the picture to points in the head frame."""
        centred = landmarks * FLIP - self.offset[:, None]
        return (centred / self.scale[:, None, None]) @ self.rotation

    def project(self, points: Float[np.ndarray, "T n 3"]) -> Float[np.ndarray, "T n 3"]:
        """Points in the head frame to landmarks in the picture."""
        turned = points @ self.rotation.transpose(0, 2, 1)
        return (turned * self.scale[:, None, None] + self.offset[:, None]) * FLIP


def fit_pose(
    landmarks: Float[np.ndarray, "T 478 3"], canonical: Float[np.ndarray, "478 3"]
) -> HeadPose:
    """Similarity (scale, rotation, offset) that best lays the canonical face's rigid points on
    the landmarks (Umeyama 1991, per frame).
    """
    y = (landmarks[:, RIGID_POINTS] * FLIP).astype(np.float64)
    x = canonical[RIGID_POINTS].astype(np.float64)
    x_mean, y_mean = x.mean(0), y.mean(1, keepdims=True)
    covariance = np.einsum("tni,nj->tij", y - y_mean, x - x_mean)
    u, s, vt = np.linalg.svd(covariance)
    sign = np.ones_like(s)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None]) @ vt
    scale = (s * sign).sum(1) / ((x - x_mean) ** 2).sum()
    offset = y_mean[:, 0] - scale[:, None] * (rotation @ x_mean)
    return HeadPose(
        rotation.astype(np.float32), offset.astype(np.float32), scale.astype(np.float32)
    )


def from_afar(
    landmarks: Float[np.ndarray, "T 478 3"], nearness: float
) -> Float[np.ndarray, "T 478 3"]:
    """The landmarks of a face as a camera far away would see them: a near one (`nearness` is
    1 / its distance in interocular distances) shows larger what is nearer to it.
    """
    if nearness == 0:
        return landmarks
    middle, share = _perspective(landmarks, nearness)
    out = landmarks.copy()
    out[..., :2] = middle + (landmarks[..., :2] - middle) * share
    return out.astype(np.float32)


def from_near(
    landmarks: Float[np.ndarray, "T 478 3"], nearness: float
) -> Float[np.ndarray, "T 478 3"]:
    """The inverse of `from_afar`."""
    if nearness == 0:
        return landmarks
    out = landmarks.copy()
    for _ in range(_STEPS):
        middle, share = _perspective(out, nearness)
        out[..., :2] = middle + (landmarks[..., :2] - middle) / share
    return out.astype(np.float32)


def _perspective(
    landmarks: Float[np.ndarray, "T 478 3"], nearness: float
) -> tuple[Float[np.ndarray, "T 1 2"], Float[np.ndarray, "T 478 1"]]:
    """The middle of a face, and how much smaller than there a near camera shows each point."""
    middle = landmarks[:, RIGID_POINTS].mean(1, keepdims=True)
    depth = (landmarks - middle)[..., 2:] / interocular(landmarks)[:, None, None]
    return middle[..., :2], np.clip(1 + nearness * depth, 0.5, 2.0)


def find_nearness(
    landmarks: Float[np.ndarray, "T 478 3"], canonical: Float[np.ndarray, "478 3"]
) -> float:
    """How near the camera is to a face that turns: with the right nearness, points that no
    expression moves stay where they are in the head. 0 where the face turns too little to tell.
    """
    marks = landmarks[:: max(1, len(landmarks) // _LOOKS_AT)]
    turned = axis_angle(fit_pose(marks, canonical).rotation)
    if np.linalg.norm(turned - np.median(turned, 0), axis=1).std() < _TURNS:
        return 0.0

    def unrest(nearness: float) -> float:
        flat = from_afar(marks, nearness)
        points = fit_pose(flat, canonical).unproject(flat)[:, RIGID_POINTS]
        return float(((points - points.mean(0)) ** 2).sum(-1).mean())

    found = {nearness: unrest(nearness) for nearness in _NEARNESSES}
    best = min(found, key=lambda nearness: found[nearness])
    return best if found[best] < _CALMER * found[0.0] else 0.0


@dataclass(frozen=True, eq=False)
class FaceBasis:
    """The linear face: head-frame keypoints = neutral + expression + detail components.

    `canonical` is the mean neutral face; `rest_expression` the mean raw tracker scores of
    neutral faces, which Motion's expression is measured from; `triangles` the face mesh
    (eyes and mouth open).
    """

    canonical: Float[np.ndarray, "478 3"]
    expression: Float[np.ndarray, "52 478 3"]
    detail: Float[np.ndarray, "32 478 3"]
    detail_encoder: Float[np.ndarray, "1434 32"]
    rest_expression: Float[np.ndarray, "52"]
    triangles: Int[np.ndarray, "n 3"]

    @cached_property
    def partners(self) -> Int[np.ndarray, "478"]:
        """Of every keypoint the one on the other side of the face."""
        from scipy.spatial import KDTree

        return np.asarray(KDTree(self.canonical).query(self.canonical * [-1, 1, 1])[1], np.int64)

    @staticmethod
    def load() -> "FaceBasis":
        """The embedded basis (role `face_basis`)."""
        tensors, _ = load_safetensors("face_basis")
        return FaceBasis(
            canonical=tensors["canonical"].astype(np.float32),
            expression=tensors["expression"].astype(np.float32),
            detail=tensors["detail"].astype(np.float32),
            detail_encoder=tensors["detail_encoder"].astype(np.float32),
            rest_expression=tensors["rest_expression"].astype(np.float32),
            triangles=tensors["triangles"].astype(np.int64),
        )

    def offsets(self, values: Float[np.ndarray, "T 90"]) -> Float[np.ndarray, "T 478 3"]:
        """Head-frame displacement of the keypoints from the neutral face.

        Frame by frame, because one product for all of them rounds by their number, and the same
        motion in other pieces would be another.
        """
        out = np.empty((len(values), *self.expression.shape[1:]), np.float32)
        for k, frame in enumerate(values):
            out[k] = np.tensordot(frame[EXPRESSION], self.expression, 1)
            out[k] += np.tensordot(frame[DETAIL], self.detail, 1)
        return out

    def lip_gap(self, values: Float[np.ndarray, "T 90"]) -> Float[np.ndarray, "T"]:
        """Gap between the inner lips beyond the neutral face's, in interocular distances."""
        expression, detail = (
            part[:, UPPER_LIP, 1] - part[:, LOWER_LIP, 1] for part in (self.expression, self.detail)
        )
        return values[:, EXPRESSION] @ expression + values[:, DETAIL] @ detail

    def encode_detail(self, residual: Float[np.ndarray, "T 478 3"]) -> Float[np.ndarray, "T 32"]:
        """Detail components of what the expression coefficients leave over."""
        return residual.reshape(len(residual), -1) @ self.detail_encoder


@dataclass(frozen=True, eq=False)
class Neutral:
    """What a person looks like at rest: head-frame `points`, raw tracker scores, head pose; and
    how near the camera is (see `from_afar`).
    """

    points: Float[np.ndarray, "478 3"]
    expression: Float[np.ndarray, "52"]
    pose: HeadPose
    nearness: float = 0.0


def estimate_neutral(
    landmarks: Float[np.ndarray, "T 478 3"],
    expression: Float[np.ndarray, "T 52"],
    valid: Bool[np.ndarray, "T"],
    basis: FaceBasis,
    nearness: float | None = None,
) -> Neutral:
    """The neutral face of a tracked person from the frames given. `nearness` of the camera is
    found from them too, unless it is given: 0 for frames of several cameras.

    The rest score of a channel is its low quantile over the clip, drawn towards the mean
    person's where the clip is short: a clip of one second may not show the face at rest. The
    points come from the frames with the lips closest, so that zero motion is a closed mouth.
    """
    if not valid.any():
        raise MotionError("got a track without a single valid frame; wanted a visible face")
    marks, scores = landmarks[valid], expression[valid]
    quantile = np.where(mouth_channels(), 0.1, 0.25)
    low = np.array([np.quantile(scores[:, i], q) for i, q in enumerate(quantile)], np.float32)
    trust = np.float32(min(1.0, len(scores) / (4 * FPS)))
    rest = trust * low + (1 - trust) * np.minimum(low, basis.rest_expression)
    relative = np.clip(scores - rest, 0, 1)
    if nearness is None:
        nearness = find_nearness(marks, basis.canonical)
    marks = from_afar(marks, nearness)
    pose = fit_pose(marks, basis.canonical)
    points = pose.unproject(marks) - np.tensordot(relative, basis.expression, 1)
    gap = np.linalg.norm(marks[:, UPPER_LIP] - marks[:, LOWER_LIP], axis=-1) / pose.scale
    closed = points[gap <= np.quantile(gap, CLOSED_LIPS)]
    middle = HeadPose(
        rotation_matrix(np.median(axis_angle(pose.rotation), 0))[None],
        np.median(pose.offset, 0)[None],
        np.median(pose.scale, 0)[None],
    )
    return Neutral(
        np.median(closed, 0).astype(np.float32), rest.astype(np.float32), middle, nearness
    )


def motion_from_landmarks(
    landmarks: Float[np.ndarray, "T 478 3"],
    expression: Float[np.ndarray, "T 52"],
    valid: Bool[np.ndarray, "T"],
    fps: float,
    basis: FaceBasis,
    neutral: Neutral | None = None,
) -> Motion:
    """Motion of a tracked face: raw landmarks (pixels) and tracker scores in, Motion out.

    `neutral` is estimated from the same frames unless it is given (a person known from a longer
    recording).
    """
    neutral = neutral or estimate_neutral(landmarks, expression, valid, basis)
    landmarks = from_afar(landmarks, neutral.nearness)
    pose = fit_pose(landmarks, basis.canonical)
    values = np.zeros((len(landmarks), MOTION_DIM), np.float32)
    values[:, EXPRESSION] = np.clip(expression - neutral.expression, 0, 1)
    residual = pose.unproject(landmarks) - neutral.points - basis.offsets(values)
    values[:, DETAIL] = basis.encode_detail(residual)
    rest = neutral.pose
    values[:, ROTATION] = axis_angle(pose.rotation @ rest.rotation.transpose(0, 2, 1))
    values[:, TRANSLATION] = (pose.offset - rest.offset) / rest.scale[:, None]
    values[:, TRANSLATION.stop - 1] = CAMERA_DISTANCE * (1 - rest.scale / pose.scale)
    return Motion(
        values,
        fps,
        valid,
        Rest(
            neutral.points,
            axis_angle(rest.rotation)[0],
            rest.offset[0],
            float(rest.scale[0]),
            neutral.nearness,
        ),
    )


def moved_pose(rest: HeadPose, values: Float[np.ndarray, "T 90"]) -> HeadPose:
    """The head pose of every frame of a motion that starts from `rest` (one frame)."""
    turn = rotation_matrix(values[:, ROTATION])
    shift = values[:, TRANSLATION]
    scale = rest.scale / np.clip(1 - shift[:, 2] / CAMERA_DISTANCE, 0.5, 2.0)
    offset = rest.offset + shift * rest.scale[:, None] * np.array([1, 1, 0], np.float32)
    return HeadPose(turn @ rest.rotation, offset, scale)


def unmoved_pose(pose: HeadPose, row: Float[np.ndarray, "1 90"]) -> HeadPose:
    """The rest that `moved_pose` takes to `pose` by one row of a motion: its inverse."""
    shift = row[:, TRANSLATION]
    scale = pose.scale * np.clip(1 - shift[:, 2] / CAMERA_DISTANCE, 0.5, 2.0)
    offset = pose.offset - shift * scale[:, None] * np.array([1, 1, 0], np.float32)
    turn = rotation_matrix(row[:, ROTATION])
    return HeadPose(turn.transpose(0, 2, 1) @ pose.rotation, offset, scale)


def mouth_channels() -> Bool[np.ndarray, "52"]:
    """Which expression channels belong to the mouth and jaw."""
    return np.array([n.startswith(("mouth", "jaw", "cheekPuff")) for n in EXPRESSION_NAMES])
