"""A portrait's own face: keypoints as a function of Motion and the photo's landmarks."""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from motion2video.geometry.basis import (
    FaceBasis,
    HeadPose,
    axis_angle,
    fit_pose,
    from_afar,
    from_near,
    moved_pose,
    rotation_matrix,
    unmoved_pose,
)
from motion2video.geometry.likeness import expression_between, one_person
from motion2video.motion import EXPRESSION, EXPRESSION_NAMES, ROTATION, Motion, Rest

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
LIPS = (
    [191, 80, 81, 82, 13, 312, 311, 310, 415],
    [95, 88, 178, 87, 14, 317, 402, 318, 324],
)
_MOUTH_CORNERS = [78, 308]
# Of each lip the rows from its outer edge inwards, each from right to left.
LIP_ROWS = (
    (
        [185, 40, 39, 37, 0, 267, 269, 270, 409],
        [184, 74, 73, 72, 11, 302, 303, 304, 408],
        [183, 42, 41, 38, 12, 268, 271, 272, 407],
        LIPS[0],
    ),
    (
        [146, 91, 181, 84, 17, 314, 405, 321, 375],
        [77, 90, 180, 85, 16, 315, 404, 320, 307],
        [96, 89, 179, 86, 15, 316, 403, 319, 325],
        LIPS[1],
    ),
)
_LEAST_LIP = 0.3
"""Of the photo's lip, how much is seen at least: pressed or rolled in, lips stay lips."""
_UPPER_CLOSES = 0.3  # how much of an open mouth the upper lip closes
_CLOSING_SPREADS = 0.25  # interocular distances
_LIPS_SEALED = 0.02  # interocular distances: smaller lip gaps than this are drawn closed
# Photos are rarely at perfect rest: what the tracker sees below this is the person's own face.
_REST_NOISE = 0.25
# Which channels say that a part of the face is used, and how much of them makes its own expression
# in the photo go: below the first nothing, above the second all of it.
_PARTS = {
    "mouth": ("mouth", "jaw", "cheek", "noseSneer"),
    "brows": ("brow",),
}
_FADES_FROM, _FADES_TO = 0.03, 0.25
CHIN = 152
_NECK_GIVES = 0.4  # of what the photo shows of it, how far a chin that rises draws it out
_CROWN_STAYS = 0.05  # pixels: a photo that does not move stays as it is, to the bit
_SAME_FACE, _SAME_TURN = 0.02, np.radians(3)
"""A photo whose keypoints are no farther than this from those of a clip's frame, in interocular
distances, and its head not farther turned, is taken for that frame. Frames that were enlarged,
compressed and tracked again are within .016 and 1.1 degrees."""


@dataclass(frozen=True, eq=False)
class PortraitFace:
    """A photo's face in the head frame: its `points` as they are, the rest `pose` that motion
    starts from, and its own expression as offsets by part of the face, which goes as that part
    moves: zero motion shows the photo itself. `nearness` of the camera, 0 where it is not known.
    `crown` are points at which the picture's top edge cuts the head: above them nobody knows what
    it is like, so they do not come down. Nor does the chin go above `chin_stays` (pixels), where
    the bottom edge leaves little of a neck to be drawn out.
    """

    points: Float[np.ndarray, "478 3"]
    pose: HeadPose
    basis: FaceBasis
    own: dict[str, Float[np.ndarray, "478 3"]] = field(default_factory=dict)
    nearness: float = 0.0
    crown: Float[np.ndarray, "k 3"] | None = None
    chin_stays: float = -np.inf

    @staticmethod
    def fit(
        landmarks: Float[np.ndarray, "478 3"],
        expression: Float[np.ndarray, "52"],
        basis: FaceBasis,
    ) -> "PortraitFace":
        """From the photo's landmarks (pixels) and raw tracker scores.

        What the tracker sees beyond weak scores is the photo's own expression; the rest is the
        person's face. Lips that are apart in the photo meet when the mouth is used.
        """
        pose = fit_pose(landmarks[None], basis.canonical)
        points = pose.unproject(landmarks[None])[0].astype(np.float32)
        relative = np.clip(expression - basis.rest_expression - _REST_NOISE, 0, 1)
        own = {
            part: np.tensordot(relative * _channels(part), basis.expression, 1).astype(np.float32)
            for part in _PARTS
        }
        shut = lips_meet(points - own["mouth"])
        own["mouth"] = (points - shut).astype(np.float32)
        return PortraitFace(points, pose, basis, own)

    @property
    def neutral(self) -> Float[np.ndarray, "478 3"]:
        """The face without the photo's own expression."""
        return self.points - sum(self.own.values(), np.zeros_like(self.points))

    def driven_by(self, clip: Motion) -> "PortraitFace":
        """The face as `clip` shall move it. A photo of the person in the clip is moved from that
        person's rest: the expression in the photo is in the clip's too, and must not count twice.
        So is the head's pose where the photo is a frame of the clip. Anybody else's photo is
        moved as it is.
        """
        if clip.rest is None or not len(clip):
            return self
        seen = self._from_afar(clip.rest.nearness)
        row = seen._frame_of(clip, clip.rest)
        if row is None:
            own, distance = expression_between(clip.rest.points, self.points, self.basis)
            if not (share := one_person(distance)):
                return self
            neutral = self.points - np.float32(share) * self.basis.offsets(own)[0]
            left = {part: np.float32(1 - share) * moves for part, moves in self.own.items()}
            return PortraitFace(neutral, self.pose, self.basis, left)
        neutral = seen.points - self.basis.offsets(row)[0]
        left, _ = expression_between(clip.rest.points, neutral, self.basis)
        neutral = neutral - self.basis.offsets(left)[0]
        start = unmoved_pose(seen.pose, row)
        return PortraitFace(neutral, start, self.basis, nearness=clip.rest.nearness)

    def _from_afar(self, nearness: float) -> "PortraitFace":
        """The photo's face as a camera far away would have seen it."""
        if nearness == 0:
            return self
        marks = from_afar(self.pose.project(self.points[None]), nearness)
        pose = fit_pose(marks, self.basis.canonical)
        return PortraitFace(pose.unproject(marks)[0], pose, self.basis)

    def _frame_of(self, clip: Motion, rest: Rest) -> Float[np.ndarray, "1 90"] | None:
        """The row of the clip that the photo shows, if it is a frame of the clip."""
        shown = rest.points + self.basis.offsets(clip.values)
        apart = np.linalg.norm(shown - self.points, axis=-1).mean(-1)
        apart[~clip.mask] = np.inf
        frame = int(apart.argmin())
        row = clip.values[frame : frame + 1]
        posed = rotation_matrix(row[:, ROTATION]) @ rotation_matrix(rest.rotation[None])
        turn = np.linalg.norm(axis_angle(posed @ self.pose.rotation.transpose(0, 2, 1)))
        return row if apart[frame] <= _SAME_FACE and turn <= _SAME_TURN else None

    def keypoints(
        self, motion: Motion
    ) -> tuple[Float[np.ndarray, "T 478 3"], Float[np.ndarray, "T 478 3"]]:
        """Landmarks in the photo's pixels for every frame, and the same with the eyes open.

        The linear basis is corrected where people look first: lids meet at a full blink and
        lips never cross.
        """
        values = motion.values
        points = (self.points + self.basis.offsets(values)).astype(np.float32)
        for part, own in self.own.items():
            points -= _used(values, part)[:, None, None] * own
        open_eyes = points.copy()
        for lids in _LIDS:
            self._close_lids(points, open_eyes, motion, lids)
        _seal_lips(points, _used(values, "mouth"))
        _keep_lips(points, self.points)
        pose = self._beyond_edges(moved_pose(self.pose, values))
        shown, below = (pose.project(p) for p in (points, open_eyes))
        return from_near(shown, self.nearness), from_near(below, self.nearness)

    def cut_at(
        self,
        crown: Float[np.ndarray, "k 3"] | None,
        landmarks: Float[np.ndarray, "478 3"],
        end: int,
    ) -> "PortraitFace":
        """The face of a head that the photo cuts at these places (pixels, y = 0), if any, and below
        the chin at `end`.
        """
        chin = float(landmarks[CHIN, 1])
        stays = chin - _NECK_GIVES * max(end - chin, 0)
        cut = None if crown is None else self.pose.unproject(crown[None])[0]
        return replace(self, crown=cut, chin_stays=stays)

    def _beyond_edges(self, pose: HeadPose) -> HeadPose:
        """Heads, moved down as far as their chin would draw out the neck, and up as far as their
        crown would come into the picture; between the two where both are.
        """
        count = len(pose.scale)

        def heights(points: Float[np.ndarray, "k 3"]) -> Float[np.ndarray, "T k"]:
            return pose.project(np.broadcast_to(points, (count, *points.shape)))[..., 1]

        chin = heights(self.points[CHIN : CHIN + 1])[:, 0]
        up = down = -np.maximum(self.chin_stays - chin, 0)
        if self.crown is not None:
            y = heights(self.crown).max(1) - down
            up = up + np.where(y > _CROWN_STAYS, y, 0)
        up = up - np.maximum(self.chin_stays - (chin - up), 0) / 2
        if not up.any():
            return pose
        offset = pose.offset.copy()
        offset[:, 1] += up
        return replace(pose, offset=offset)

    def _close_lids(
        self,
        points: Float[np.ndarray, "T 478 3"],
        open_eyes: Float[np.ndarray, "T 478 3"],
        motion: Motion,
        lids: tuple[list[int], list[int], tuple[list[int], list[int]], str, str],
    ) -> None:
        upper, lower, rows, blink, down = lids
        gap = self.points[upper] - self.points[lower]
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
        open_eyes[:, upper + lower] = self.points[upper + lower]


def _channels(part: str) -> Float[np.ndarray, "52"]:
    """1 for the channels of a part of the face."""
    return np.array([n.startswith(_PARTS[part]) for n in EXPRESSION_NAMES], np.float32)


def _used(values: Float[np.ndarray, "T 90"], part: str) -> Float[np.ndarray, "T"]:
    """How much a part of the face is used, 0 to 1, without a kink."""
    most = np.abs(values[:, EXPRESSION] * _channels(part)).max(1)
    share = np.clip((most - _FADES_FROM) / (_FADES_TO - _FADES_FROM), 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)


def lips_meet(neutral: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "478 3"]:
    """Close what is left of an open mouth: most of the way is the lower lip's, chin and cheeks
    follow the lips the less the farther they are.
    """
    points = neutral.copy()
    (upper, lower), above = LIPS, neutral[:, 1] > neutral[_MOUTH_CORNERS, 1].mean()
    gap = np.maximum(neutral[upper, 1] - neutral[lower, 1], 0)
    for row, share, side in ((upper, -_UPPER_CLOSES, above), (lower, 1 - _UPPER_CLOSES, ~above)):
        away = np.linalg.norm(neutral[:, None, :2] - neutral[row, :2], axis=-1)
        near = np.exp(-((away / _CLOSING_SPREADS) ** 2))
        # the gap at the nearest lips, and how near they are
        follows = (near * gap).sum(1) / (near.sum(1) + 1e-6) * near.max(1)
        points[:, 1] += np.where(side, share * follows, 0)
        points[row, 1] = neutral[row, 1] + share * gap
    return points


def _seal_lips(points: Float[np.ndarray, "T 478 3"], used: Float[np.ndarray, "T"]) -> None:
    """Keep the lips from crossing, and pull gaps too small to see quite shut where the mouth is
    used: what is open in the photo at rest stays so.
    """
    upper, lower = LIPS
    gap = points[:, upper, 1] - points[:, lower, 1]
    wanted = np.where(gap > _LIPS_SEALED, gap, np.maximum(gap, 0) ** 2 / _LIPS_SEALED)
    free = np.maximum(gap, 0)
    wanted = free + used[:, None] * (wanted - free)
    points[:, upper, 1] += (wanted - gap) / 2
    points[:, lower, 1] -= (wanted - gap) / 2


def _keep_lips(points: Float[np.ndarray, "T 478 3"], own: Float[np.ndarray, "478 3"]) -> None:
    """Move the outer edge of lips that would all but vanish away from their inner one, without a
    kink, and the rows between with it.
    """
    for rows in LIP_ROWS:
        outer, inner = rows[0], rows[-1]
        width = own[outer, 1] - own[inner, 1]
        seen = (points[:, outer, 1] - points[:, inner, 1]) / np.where(width == 0, 1, width)
        beyond = np.maximum(2 * _LEAST_LIP - seen, 0)
        kept = beyond - _LEAST_LIP * (1 - np.exp(-beyond / _LEAST_LIP))
        for row in rows[:-1]:
            points[:, row, 1] += kept * (own[row, 1] - own[inner, 1])
