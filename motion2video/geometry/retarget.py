"""A portrait's own face: keypoints as a function of Motion and the photo's landmarks."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from motion2video.geometry.basis import FaceBasis, HeadPose, fit_pose, moved_pose
from motion2video.motion import Motion, channel_index

# Upper and lower lid of one eye, corner to corner, and the rows of skin above the upper lid.
_LIDS = (
    (
        [246, 161, 160, 159, 158, 157, 173],
        [7, 163, 144, 145, 153, 154, 155],
        ([247, 30, 29, 27, 28, 56, 190], [113, 225, 224, 223, 222, 221, 189]),
        "eyeBlinkRight",
        "eyeLookDownRight",
    ),
    (
        [466, 388, 387, 386, 385, 384, 398],
        [249, 390, 373, 374, 380, 381, 382],
        ([467, 260, 259, 257, 258, 286, 414], [342, 445, 444, 443, 442, 441, 413]),
        "eyeBlinkLeft",
        "eyeLookDownLeft",
    ),
)
_SKIN_FOLLOWS = (0.55, 0.2)
_LID_OVERLAP = 0.018  # interocular distances that a shut upper lid reaches over the lower one
_BLINK_FULL = 0.5  # the tracker's score at which the lids of most people touch
_LIPS = (
    [191, 80, 81, 82, 13, 312, 311, 310, 415],
    [95, 88, 178, 87, 14, 317, 402, 318, 324],
)
_MOUTH_CORNERS = [78, 308]
_UPPER_CLOSES = 0.3  # how much of an open mouth the upper lip closes
_CLOSING_SPREADS = 0.25  # interocular distances
_LIPS_SEALED = 0.02  # interocular distances: smaller lip gaps than this are drawn closed
# Photos are rarely at perfect rest: what the tracker sees below this is the person's own face.
_REST_NOISE = 0.25


@dataclass(frozen=True, eq=False)
class PortraitFace:
    """A photo's face in the head frame: `neutral` points and the photo's head `pose`."""

    neutral: Float[np.ndarray, "478 3"]
    pose: HeadPose
    basis: FaceBasis

    @staticmethod
    def fit(
        landmarks: Float[np.ndarray, "478 3"],
        expression: Float[np.ndarray, "52"],
        basis: FaceBasis,
    ) -> "PortraitFace":
        """From the photo's landmarks (pixels) and raw tracker scores.

        An open or smiling mouth is brought back to neutral, with lips that meet; anything weaker
        is kept as the person's own face, so that zero motion shows the photo as it is.
        """
        pose = fit_pose(landmarks[None], basis.canonical)
        points = pose.unproject(landmarks[None])[0]
        relative = np.clip(expression - basis.rest_expression - _REST_NOISE, 0, 1)
        keep = [channel_index(n) for n in ("jawOpen", "mouthSmileLeft", "mouthSmileRight")]
        at_rest = np.zeros_like(relative)
        at_rest[keep] = relative[keep]
        neutral = lips_meet(points - np.tensordot(at_rest, basis.expression, 1))
        return PortraitFace(neutral.astype(np.float32), pose, basis)

    def keypoints(
        self, motion: Motion
    ) -> tuple[Float[np.ndarray, "T 478 3"], Float[np.ndarray, "T 478 3"]]:
        """Landmarks in the photo's pixels for every frame, and the same with the eyes open.

        The linear basis is corrected where people look first: lids meet at a full blink and
        lips never cross.
        """
        values = motion.values
        points = self.neutral + self.basis.offsets(values)
        points = points.astype(np.float32)
        open_eyes = points.copy()
        for lids in _LIDS:
            self._close_lids(points, open_eyes, motion, lids)
        _seal_lips(points)
        pose = moved_pose(self.pose, values)
        return pose.project(points), pose.project(open_eyes)

    def _close_lids(
        self,
        points: Float[np.ndarray, "T 478 3"],
        open_eyes: Float[np.ndarray, "T 478 3"],
        motion: Motion,
        lids: tuple[list[int], list[int], tuple[list[int], list[int]], str, str],
    ) -> None:
        upper, lower, rows, blink, down = lids
        gap = self.neutral[upper] - self.neutral[lower]
        score = motion.channel(blink) - 0.6 * motion.channel(down)
        shut = np.clip(score / _BLINK_FULL, 0, 1)[:, None, None]
        meets = points[:, lower].copy()
        meets[..., 1] -= _LID_OVERLAP * shut[..., 0] ** 2
        wanted = meets + gap * (1 - shut)
        before = points[:, upper].copy()
        above = before[..., 1] > wanted[..., 1]
        points[:, upper] = np.where(above[..., None], wanted, before)
        crossed = points[:, upper, 1] < meets[..., 1]
        points[:, upper] = np.where(crossed[..., None], meets, points[:, upper])
        moved = points[:, upper] - before
        for row, share in zip(rows, _SKIN_FOLLOWS, strict=True):
            points[:, row] += share * moved
        open_eyes[:, upper + lower] = self.neutral[upper + lower]


def lips_meet(neutral: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "478 3"]:
    """Close what is left of an open mouth: most of the way is the lower lip's, chin and cheeks
    follow the lips the less the farther they are.
    """
    points = neutral.copy()
    (upper, lower), above = _LIPS, neutral[:, 1] > neutral[_MOUTH_CORNERS, 1].mean()
    gap = np.maximum(neutral[upper, 1] - neutral[lower, 1], 0)
    for row, share, side in ((upper, -_UPPER_CLOSES, above), (lower, 1 - _UPPER_CLOSES, ~above)):
        away = np.linalg.norm(neutral[:, None, :2] - neutral[row, :2], axis=-1)
        near = np.exp(-((away / _CLOSING_SPREADS) ** 2))
        # the gap at the nearest lips, and how near they are
        follows = (near * gap).sum(1) / (near.sum(1) + 1e-6) * near.max(1)
        points[:, 1] += np.where(side, share * follows, 0)
        points[row, 1] = neutral[row, 1] + share * gap
    return points


def _seal_lips(points: Float[np.ndarray, "T 478 3"]) -> None:
    """Keep the lips from crossing, and pull gaps too small to see quite shut."""
    upper, lower = _LIPS
    gap = points[:, upper, 1] - points[:, lower, 1]
    wanted = np.where(gap > _LIPS_SEALED, gap, np.maximum(gap, 0) ** 2 / _LIPS_SEALED)
    points[:, upper, 1] += (wanted - gap) / 2
    points[:, lower, 1] -= (wanted - gap) / 2
