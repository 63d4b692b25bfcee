"""Angles as other programs write them: yaw, pitch and roll of the head, and turns of the eyeballs.

R = R_y(yaw) R_x(pitch) R_z(roll) in Motion's axes (x to the picture's right, y up, z towards the
camera), which are those of glTF and of ARKit's face anchor: positive yaw turns the face to the
picture's right, positive pitch lowers it, positive roll tilts it to the picture's left.
"""

import numpy as np
from jaxtyping import Float

from motion2video.motion import EYE_TURN_DEGREES, MOTION_DIM, Motion, channel_index

EYES = ("Left", "Right")
# Per eye: what turns it to the picture's right and left, and down and up.
_LOOKS = {
    "Left": ("eyeLookOutLeft", "eyeLookInLeft", "eyeLookDownLeft", "eyeLookUpLeft"),
    "Right": ("eyeLookInRight", "eyeLookOutRight", "eyeLookDownRight", "eyeLookUpRight"),
}


def head_angles(rotation: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 3"]:
    """Axis-angle (radians) to yaw, pitch and roll (radians)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(rotation).as_euler("YXZ")


def head_rotation(angles: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 3"]:
    """Yaw, pitch and roll (radians) to axis-angle (radians): the inverse of `head_angles`."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("YXZ", angles).as_rotvec()


def eye_angles(motion: Motion, eye: str) -> Float[np.ndarray, "T 2"]:
    """Yaw and pitch (radians) of one eyeball, "Left" or "Right", against the head."""
    right, left, down, up = (motion.channel(name) for name in _LOOKS[eye])
    turn = np.stack([right - left, down - up], 1).astype(np.float64)
    return np.radians(turn * EYE_TURN_DEGREES)


def set_eye_angles(
    values: Float[np.ndarray, "T 90"], eye: str, angles: Float[np.ndarray, "T 2"]
) -> None:
    """Write the eyeLook coefficients that turn one eyeball by yaw and pitch (radians)."""
    assert values.shape[1] == MOTION_DIM
    turn = np.degrees(angles) / EYE_TURN_DEGREES
    for name, amount in zip(
        _LOOKS[eye], (turn[:, 0], -turn[:, 0], turn[:, 1], -turn[:, 1]), strict=True
    ):
        values[:, channel_index(name)] = np.clip(amount, 0, 1)
