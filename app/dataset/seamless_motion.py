"""From what Seamless Interaction says of a face to Motion: 24 facial action units, head turns.

The units are values in [0, 2] of an encoder; their names are those of FACS, which ARKit's shapes
follow too. What the values mean in ARKit's terms nobody has published: half a value is taken for a
coefficient, and each unit rests at its own low quantile, as tracked scores do.
"""

import numpy as np
from jaxtyping import Bool, Float

from app.dataset.layout import MotionKind
from app.dataset.wholebody import CHANNELS
from motion2video.geometry.basis import axis_angle, rotation_matrix
from motion2video.motion import MOTION_DIM, ROTATION, TRANSLATION, channel_index

_SIDES = ("Left", "Right")
UNITS: tuple[tuple[str, dict[str, float]], ...] = (
    ("InnerBrowRaiser", {"browInnerUp": 1.0}),
    ("OuterBrowRaiser", {"browOuterUp*": 1.0}),
    ("BrowLowerer", {"browDown*": 1.0}),
    ("UpperLidRaiser", {"eyeWide*": 1.0}),
    ("CheekRaiser", {"cheekSquint*": 1.0}),
    ("LidTightener", {"eyeSquint*": 1.0}),
    ("NoseWrinkler", {"noseSneer*": 1.0}),
    ("UpperLipRaiser", {"mouthUpperUp*": 1.0}),
    ("LipCornerPuller", {"mouthSmile*": 1.0}),
    ("CheekPuffer", {"cheekPuff": 1.0}),
    ("Dimpler", {"mouthDimple*": 1.0}),
    ("LipCornerDepressor", {"mouthFrown*": 1.0}),
    ("LowerLipDepressor", {"mouthLowerDown*": 1.0}),
    ("ChinRaiser", {"mouthShrugLower": 1.0}),
    ("LipPuckerer", {"mouthPucker": 1.0}),
    ("LipStretcher", {"mouthStretch*": 1.0}),
    ("LipFunneler", {"mouthFunnel": 1.0}),
    ("LipTightener", {"mouthRollUpper": 0.5, "mouthRollLower": 0.5}),
    ("LipPressor", {"mouthPress*": 1.0}),
    ("LipsParts", {"mouthLowerDown*": 0.3, "mouthUpperUp*": 0.2}),
    ("JawDrop", {"jawOpen": 1.0}),
    ("LipSuck", {"mouthRollLower": 1.0, "mouthRollUpper": 1.0}),
    ("JawSideways", {}),  # it does not say to which side
    ("EyesClosed", {"eyeBlink*": 1.0}),
)
"""The units in the order of `movement:FAUValue`, and the channels that each moves; a star stands
for both sides. Those of numbers 16 to 18 never move in the published files.
"""
_COEFFICIENT = 0.5
_REST = 0.1  # quantile of a unit over a file, at which it rests
_TELLING = 0.3
"""|r| of head turns and those of the keypoints from which the sign of an axis is believed."""


def unit_matrix() -> Float[np.ndarray, "24 90"]:
    """How each unit moves the channels."""
    matrix = np.zeros((len(UNITS), MOTION_DIM), np.float32)
    for n, (_, moved) in enumerate(UNITS):
        for name, share in moved.items():
            sides = _SIDES if name.endswith("*") else ("",)
            for side in sides:
                matrix[n, channel_index(name.removesuffix("*") + side)] = share * _COEFFICIENT
    return matrix


def unseen_channels(kind: MotionKind) -> tuple[int, ...]:
    """The channels of which motion that was made in a way says nothing."""
    if kind == "movement":
        told = set(np.flatnonzero(unit_matrix().any(axis=0)).tolist())
    elif kind == "keypoints":
        told = set(CHANNELS)
    else:
        return ()
    told |= {*range(ROTATION.start, TRANSLATION.stop)}
    return tuple(sorted(set(range(MOTION_DIM)) - told))


def movement_motion(
    units: Float[np.ndarray, "N 24"],
    turns: Float[np.ndarray, "N 3"],
    valid: Bool[np.ndarray, "N"],
    seen: tuple[Float[np.ndarray, "N 90"], Bool[np.ndarray, "N"]] | None,
) -> tuple[Float[np.ndarray, "N 90"], Bool[np.ndarray, "N"]]:
    """Motion out of `movement:*`. `turns` are axis-angle (radians; positive x lowers the face) and
    are counted from their middle. `seen` is what the keypoints of the same file say: by it the
    signs of the axes are checked, and the head's place comes from it.
    """
    values = np.zeros((len(units), MOTION_DIM), np.float32)
    rest = np.quantile(units[valid], _REST, axis=0)
    values += np.clip(units - rest, 0, None) @ unit_matrix()
    values = np.clip(values, 0, 1)
    matrices = rotation_matrix(turns.astype(np.float32))
    middle = rotation_matrix(np.median(axis_angle(matrices[valid]), axis=0))
    rotation = axis_angle(matrices @ middle.T)
    if seen is not None:
        known, both = seen[0], valid & seen[1]
        rotation *= _signs(rotation[both], known[both, ROTATION])
        values[:, TRANSLATION] = known[:, TRANSLATION]
    values[:, ROTATION] = rotation
    values[~valid] = 0
    return values, valid


def _signs(
    mine: Float[np.ndarray, "M 3"], theirs: Float[np.ndarray, "M 3"]
) -> Float[np.ndarray, "3"]:
    """-1 for an axis that clearly turns the other way than the keypoints do."""
    out = np.ones(3, np.float32)
    for axis in range(3):
        a, b = mine[:, axis], theirs[:, axis]
        if len(a) > 2 and a.std() > 1e-4 and b.std() > 1e-4:
            out[axis] = -1 if np.corrcoef(a, b)[0, 1] < -_TELLING else 1
    return out
