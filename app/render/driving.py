"""A video of one's own that drives the face: what may be asked of it, and what its motion becomes.

The person in it moves from their own rest, and that movement is put on the portrait: it keeps its
own face and pose. Nothing is read here.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from jaxtyping import Float

from app.render.knobs import Knob
from motion2video.motion import DETAIL, EXPRESSION, EXPRESSION_NAMES, ROTATION, TRANSLATION, Motion

if TYPE_CHECKING:
    from motion2video.geometry.basis import FaceBasis

Driven = Literal["all", "lips", "face", "head"]

DrivingVideo = Annotated[
    str | os.PathLike[str] | None,
    Knob(
        "A video of yourself, or of anybody who agreed to it, whose face moves the agent's; its "
        "sound is the agent's voice, unless there is a recording.",
        kinds=("video",),
        label="Your video",
    ),
]
DrivingAmount = Annotated[
    float,
    Knob(
        "How much of the driving video's movement is taken; blinks stay whole:",
        0.0,
        2.0,
        label="How much of the movement",
    ),
]
DrivingRegions = Annotated[
    Driven,
    Knob(
        "What the driving video moves: all, lips (with the jaw), face (all but the head) or head; "
        "the network moves the rest, to the sound.",
        label="What follows the video",
    ),
]
DrivingSmoothing = Annotated[
    float,
    Knob(
        "How much the driving video's movement is evened out, the deviation of a Gaussian:",
        0.0,
        0.5,
        "seconds",
        label="Smoothing (s)",
    ),
]

_MOUTH = tuple(
    n for n, name in enumerate(EXPRESSION_NAMES) if name.startswith(("mouth", "jaw", "cheek"))
)
_BLINKS = [n for n, name in enumerate(EXPRESSION_NAMES) if name.startswith("eyeBlink")]
_HEAD = [*range(ROTATION.start, ROTATION.stop), *range(TRANSLATION.start, TRANSLATION.stop)]
_FREELY = np.array([*np.radians([15, 25, 18]), 0.35, 0.35, 0.8], np.float32)
_AT_MOST = np.array([*np.radians([25, 38, 28]), 0.6, 0.6, 1.6], np.float32)
"""Nod, turn and tilt in radians, then sideways, up and forwards in interocular distances: what a
photo shows well, and what a movement without end comes to.
"""
_HELD_S, _FADED_S = 0.2, 0.7
"""Seconds from the next frame that shows the face until the movement begins to go and is gone."""


def shaped(motion: Motion, amount: float, smoothing: float) -> Motion:
    """The motion of a person in a video as it is put on a photo: at rest where the face is lost for
    long, smoothed over `smoothing` seconds, times `amount`, with the head within what a photo can
    show. Blinks are neither made larger nor smaller.
    """
    values = motion.values * _seen(motion)[:, None]
    if smoothing > 0:
        from scipy.ndimage import gaussian_filter1d

        values = gaussian_filter1d(values, smoothing * motion.fps, axis=0, mode="nearest")
    blinks = values[:, _BLINKS].copy()
    values = values * np.float32(amount)
    values[:, EXPRESSION] = np.clip(values[:, EXPRESSION], 0, 1)
    values[:, _BLINKS] = blinks
    values[:, _HEAD] = _held(values[:, _HEAD])
    return Motion(values, motion.fps, motion.mask, motion.rest)


def longest_gap(motion: Motion) -> float:
    """Seconds of the longest stretch in which the face is not seen."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], motion.mask, [True]])))
    return float(max(np.diff(edges)[::2], default=0)) / motion.fps


def joined(parts: Iterator[Motion], driver: Motion, regions: Driven) -> Iterator[Motion]:
    """The network's motion as it comes, with those `regions` of it replaced by the driver's, which
    is as long.
    """
    from motion2video.geometry.basis import FaceBasis

    basis, at = FaceBasis.load(), 0
    for part in parts:
        taken = driver.values[at : at + len(part)]
        at += len(part)
        yield Motion(_exchanged(part.values, taken, regions, basis), part.fps, part.mask)


def _exchanged(
    own: Float[np.ndarray, "T 90"],
    taken: Float[np.ndarray, "T 90"],
    regions: Driven,
    basis: "FaceBasis",
) -> Float[np.ndarray, "T 90"]:
    out = own.copy()
    if regions == "head":
        out[:, _HEAD] = taken[:, _HEAD]
    elif regions == "face":
        out[:, EXPRESSION], out[:, DETAIL] = taken[:, EXPRESSION], taken[:, DETAIL]
    elif regions == "lips":
        out[:, _MOUTH] = taken[:, _MOUTH]
        # A component of detail moves points all over the face: those of the mouth are exchanged.
        moved = np.tensordot(taken[:, DETAIL] - own[:, DETAIL], basis.detail, 1)
        out[:, DETAIL] += basis.encode_detail(moved * _share_of_mouth(basis)[:, None])
    else:
        out = taken.copy()
    return out


def _share_of_mouth(basis: "FaceBasis") -> Float[np.ndarray, "478"]:
    """How much of what moves each keypoint is the mouth's, 0 to 1."""
    moves = (basis.expression**2).sum(-1)
    return moves[list(_MOUTH)].sum(0) / (moves.sum(0) + 1e-9)


def _seen(motion: Motion) -> Float[np.ndarray, "T"]:
    """1 where the face is seen or was just now, 0 where it is lost, without a kink."""
    from scipy.ndimage import distance_transform_edt

    away = np.asarray(distance_transform_edt(~motion.mask)) / motion.fps
    gone = np.clip((away - _HELD_S) / (_FADED_S - _HELD_S), 0, 1)
    return (1 - gone * gone * (3 - 2 * gone)).astype(np.float32)


def _held(head: Float[np.ndarray, "T 6"]) -> Float[np.ndarray, "T 6"]:
    """The same movement where it is small; a large one goes on ever more slowly."""
    room = _AT_MOST - _FREELY
    beyond = np.maximum(np.abs(head) - _FREELY, 0)
    kept = np.minimum(np.abs(head), _FREELY) + room * (1 - np.exp(-beyond / room))
    return np.sign(head) * kept
