"""One chunk of five frames: what was heard and seen in it, and its motion as it leaves, with what
the user asked for, within bounds.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audio2motion.behaviour.events import SMILE_CHANNELS
from audio2motion.behaviour.eyes import BLINK_CHANNELS, EYE_PACE, LOOK_CHANNELS, point_eyes
from audio2motion.gestures.controls import Controls
from audio2motion.gestures.gestures import Aim
from audio2motion.hearing.speech import SpeechFeatures
from audio2motion.saveable import saveable
from motion2video.motion import DETAIL, EXPRESSION, MOTION_DIM, ROTATION
from weights.tensors import load_safetensors

FASTEST_SMILE = 0.25
FASTEST_HEAD = (3.3, 5.4, 2.4)
"""Most that a smile changes in a frame, and a head in pitch, yaw and roll (degrees): what 99 % of
the training people's do.
"""
_PACED = [*SMILE_CHANNELS, *range(*ROTATION.indices(MOTION_DIM))]
_PACES = np.array([FASTEST_SMILE] * 2 + [math.radians(x) for x in FASTEST_HEAD], np.float32)
STILL = (0.0,) * len(_PACED)


@saveable
@dataclass(frozen=True, eq=False)
class Chunk:
    """Five frames of everything that was heard and seen."""

    agent: SpeechFeatures
    interlocutor: SpeechFeatures
    interlocutor_present: Float[Tensor, "5"]
    motion: Float[Tensor, "5 90"]
    motion_present: Float[Tensor, "5"]

    @property
    def voices(self) -> Float[Tensor, "5"]:
        """The probability that either of the two speaks."""
        return torch.maximum(self.agent.activity, self.interlocutor.activity)

    @property
    def in_conversation(self) -> bool:
        """Whether somebody else is there, from its first frame on."""
        return bool(self.interlocutor_present[0] > 0)


@saveable
@dataclass(frozen=True)
class Aimed:
    """How far the eyes follow a wanted gaze, 0..1, and where to (degrees right, up)."""

    share: float = 0.0
    aim: Aim = (0.0, 0.0)


def finish(
    values: Float[np.ndarray, "5 90"], controls: Controls, frame: int, aimed: Aimed
) -> tuple[Float[np.ndarray, "5 90"], Aimed]:
    """The network's motion as the controls want it, within bounds; `frame` is the first of it."""
    gestures = controls.gesture_offsets(frame, len(values))
    values[:, EXPRESSION] = np.clip(values[:, EXPRESSION], 0, 1)
    values = values.copy()
    for row, wanted in zip(values, controls.aims(frame, len(values)), strict=True):
        aimed = _look(row, wanted, aimed)
    smiled = values[:, SMILE_CHANNELS].mean(1)
    values = controls.apply(values)
    lids = list(BLINK_CHANNELS)
    shut = gestures[:, lids].copy()
    gestures[:, lids] = 0
    values = values + gestures
    # A lid that is half down already has less far to go.
    values[:, lids] = values[:, lids] + shut * (1 - np.clip(values[:, lids], 0, 1))
    values[:, EXPRESSION] = np.clip(values[:, EXPRESSION], 0, 1)
    values[:, 0] = 0
    # The network's own smiles have their detail.
    asked = np.maximum(values[:, SMILE_CHANNELS].mean(1) - smiled, 0)
    values[:, DETAIL] += asked[:, None] * smile_detail()
    return values.astype(np.float32), aimed


def slowed(values: Float[np.ndarray, "5 90"], before: tuple[float, ...]) -> tuple[float, ...]:
    """Have smiles and heads, in place, move no faster than people's, from what was `before`;
    returns where they end.
    """
    last = np.array(before, np.float32)
    for row in values:
        last = row[_PACED].clip(last - _PACES, last + _PACES)
        row[_PACED] = last
    return tuple(last.tolist())


@cache
def smile_detail() -> Float[np.ndarray, "32"]:
    """What channels leave out of a smile of 1: scripts/train/smile.py."""
    tensors, _ = load_safetensors("face_basis")
    return tensors["smile"]


def _look(row: Float[np.ndarray, "90"], wanted: Aim | None, aimed: Aimed) -> Aimed:
    """Turn the eyes of a frame where they are wanted, whatever the head does, in a saccade of one
    or two frames from where the network has them; and back, when nobody wants them anywhere.
    """
    goal = 0.0 if wanted is None else 1.0
    share = aimed.share + EYE_PACE * (goal - aimed.share)
    aim = aimed.aim
    if wanted is not None:
        near = aimed.share
        aim = wanted if near < 0.05 else _between(aimed.aim, wanted, EYE_PACE)
    if share < 0.01:
        return Aimed(0.0, aim)
    there = np.zeros(MOTION_DIM, np.float32)
    pitch, yaw = (math.degrees(x) for x in row[ROTATION][:2])
    point_eyes(there, aim[0] - yaw, aim[1] + pitch)
    looks = list(LOOK_CHANNELS)
    row[looks] += share * (there[looks] - row[looks])
    return Aimed(share, aim)


def _between(start: Aim, end: Aim, part: float) -> Aim:
    return start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1])
