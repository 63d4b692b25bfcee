"""From the 133 keypoints of COCO-WholeBody (Jin et al. 2020) to Motion, by the linear face.

Of the 133 points 23 to 90 are the 68 of a face (iBUG's order). The head's turn is the weak
perspective that lays the canonical face's eyes and nose on them; expressions are the coefficients,
never below 0, that explain what is left. It sees lips, lids and brows, roughly: a tracked video
sees more.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d

from motion2video.geometry.basis import CAMERA_DISTANCE, FaceBasis, axis_angle, rotation_matrix
from motion2video.motion import (
    EXPRESSION_NAMES,
    MOTION_DIM,
    ROTATION,
    TRANSLATION,
    channel_index,
)

FACE = slice(23, 91)
MESH = np.array(
    [
        *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
        *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),
        *(168, 197, 5, 4, 75, 97, 2, 326, 305),
        *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
        *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
        *(78, 82, 13, 312, 308, 317, 14, 87),
    ]
)
"""The 68 points in the mesh of 478."""
CHANNELS = tuple(
    channel_index(name)
    for name in EXPRESSION_NAMES
    if name.startswith(("browInner", "browOuter", "browDown", "eyeBlink", "jawOpen", "mouthSmile"))
    or name in ("mouthPucker", "mouthFunnel", "mouthStretchLeft", "mouthStretchRight")
)
"""What 68 points tell of."""
_RIGID = np.array([*range(27, 36), 36, 39, 42, 45])
_USED = np.array([6, 7, 8, 9, 10, *range(17, 27), *range(36, 68)])
_SURE = 0.3  # score of a point, below which it is nothing
_STIFFNESS = 0.004
_SMOOTH = 1.0  # frames
_REST = 0.1
_STEPS = 60


def keypoint_motion(
    keypoints: Float[np.ndarray, "N 133 3"], boxed: Bool[np.ndarray, "N"], basis: FaceBasis
) -> tuple[Float[np.ndarray, "N 90"], Bool[np.ndarray, "N"]] | None:
    """Motion [N, 90] and where it is valid; None where no face is in any frame. Points are pixels,
    y down, with a score above 0.
    """
    face = keypoints[:, FACE]
    finite = np.asarray(np.isfinite(face).all((1, 2)))
    valid = boxed & finite & (np.where(finite[:, None], face[..., 2], 0).mean(1) > _SURE)
    if valid.sum() < 3:
        return None
    points = face[valid, :, :2] * np.array([1, -1], np.float32)
    scale, rotation, offset = _poses(points, basis.canonical[MESH])
    shape = basis.canonical[MESH]
    laid = _project(shape[None], scale, rotation, offset)
    left = np.einsum("tji,tnj->tni", rotation[:, :2], (points - laid) / scale[:, None, None])
    gap = np.linalg.norm(points[:, 62] - points[:, 66], axis=1) / scale
    closed = gap <= np.quantile(gap, 0.2)
    own = np.median(left[closed], axis=0)
    coefficients = _explain(left - own, basis.expression[:, MESH])
    coefficients -= np.quantile(coefficients, _REST, axis=0)
    out = np.zeros((len(points), MOTION_DIM), np.float32)
    out[:, list(CHANNELS)] = np.clip(coefficients, 0, 1)
    middle = rotation_matrix(np.median(axis_angle(rotation), axis=0))
    out[:, ROTATION] = axis_angle(rotation @ middle.T)
    size = float(np.median(scale))
    moved = (offset - np.median(offset, axis=0)) / size
    depth = CAMERA_DISTANCE * (1 - size / scale)
    out[:, TRANSLATION] = np.concatenate([moved, depth[:, None]], axis=1)
    values = np.zeros((len(keypoints), MOTION_DIM), np.float32)
    values[valid] = out
    return values, valid


def _poses(
    points: Float[np.ndarray, "T 68 2"], shape: Float[np.ndarray, "68 3"]
) -> tuple[Float[np.ndarray, "T"], Float[np.ndarray, "T 3 3"], Float[np.ndarray, "T 2"]]:
    """Weak perspective of every frame: the affine map of the rigid points, made orthogonal
    (DeMenthon and Davis 1995, first step); smoothed a little.
    """
    x = shape[_RIGID] - shape[_RIGID].mean(0)
    y = points[:, _RIGID] - points[:, _RIGID].mean(1, keepdims=True)
    affine = np.einsum("tni,nj->tij", y, np.linalg.pinv(x).T)
    affine = gaussian_filter1d(affine, _SMOOTH, axis=0)
    u, s, vt = np.linalg.svd(affine, full_matrices=False)
    two = u @ vt
    rotation = np.concatenate([two, np.cross(two[:, 0], two[:, 1])[:, None]], axis=1)
    scale = s.mean(1)
    middle = points[:, _RIGID].mean(1)
    offset = middle - scale[:, None] * (two @ shape[_RIGID].mean(0))
    return (scale.astype(np.float32), rotation.astype(np.float32), offset.astype(np.float32))


def _project(
    shape: np.ndarray, scale: np.ndarray, rotation: np.ndarray, offset: np.ndarray
) -> Float[np.ndarray, "T 68 2"]:
    turned = shape @ rotation[:, :2].transpose(0, 2, 1)
    return turned * scale[:, None, None] + offset[:, None]


def _explain(
    left: Float[np.ndarray, "T 68 3"], expression: Float[np.ndarray, "52 68 3"]
) -> Float[np.ndarray, "T c"]:
    """Coefficients in [0, 1] of CHANNELS, by projected gradient steps on the ridge problem; depth
    is not seen.
    """
    basis = expression[list(CHANNELS)][:, _USED, :2].reshape(len(CHANNELS), -1)
    target = left[:, _USED, :2].reshape(len(left), -1)
    gram = basis @ basis.T + _STIFFNESS * np.eye(len(basis), dtype=np.float32)
    wanted = target @ basis.T
    step = 1.0 / float(np.linalg.eigvalsh(gram)[-1])
    found = np.zeros_like(wanted)
    momentum = found
    for n in range(_STEPS):  # Nesterov's: steps of the plain kind take hundreds
        last, found = found, np.clip(momentum - step * (momentum @ gram - wanted), 0, 1)
        momentum = found + n / (n + 3) * (found - last)
    return found
