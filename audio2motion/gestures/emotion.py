"""What an emotion does to a face: eight classes, and the plane of valence and arousal.

Offsets from the neutral face at intensity 1, after the action units of Ekman & Friesen's Facial
Action Coding System (FACS), kept small enough that lips can still close. Where only valence and
arousal are known, the face is a barycentric blend on Russell's circumplex (1980): eight kinds of
affect, 45 degrees apart on the unit circle, each a mixture of the classes or an offset of its own,
with the neutral face in the middle. A point lies in the triangle of the middle and its two
neighbours on the circle and takes the three in the shares of that triangle; beyond the chord of
the two there is no more than the two.
"""

import math

import numpy as np
from jaxtyping import Float

from motion2video.motion import EXPRESSION_NAMES, MOTION_DIM, channel_index

EMOTIONS = (
    *("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise", "contempt"),
)
_OFFSETS: dict[str, dict[str, float]] = {
    "neutral": {},
    "happiness": {"mouthSmile": 0.5, "cheekSquint": 0.3, "eyeSquint": 0.2, "mouthDimple": 0.1},
    "sadness": {"browInnerUp": 0.5, "mouthFrown": 0.4, "browDown": 0.1, "mouthShrugLower": 0.15},
    "anger": {"browDown": 0.6, "eyeSquint": 0.25, "mouthPress": 0.25, "noseSneer": 0.2},
    "fear": {"browInnerUp": 0.5, "browOuterUp": 0.3, "eyeWide": 0.45, "mouthStretch": 0.25},
    "disgust": {"noseSneer": 0.5, "mouthUpperUp": 0.15, "browDown": 0.3, "cheekSquint": 0.2},
    "surprise": {"browInnerUp": 0.5, "browOuterUp": 0.5, "eyeWide": 0.4, "jawOpen": 0.04},
    "contempt": {"mouthSmileLeft": 0.35, "mouthDimpleLeft": 0.3, "eyeSquint": 0.1},
    # Two states without a class: lids that hang (AU 43) and a faint smile (AU 12).
    "sleepiness": {"eyeBlink": 0.3, "browInnerUp": 0.05, "mouthFrown": 0.05},
    "relaxation": {"mouthSmile": 0.25, "eyeBlink": 0.1, "cheekSquint": 0.1},
}
VALENCE_AROUSAL: dict[str, tuple[float, float]] = {
    "neutral": (0.0, 0.0),
    "happiness": (0.81, 0.51),
    "sadness": (-0.63, -0.27),
    "anger": (-0.51, 0.59),
    "fear": (-0.64, 0.60),
    "disgust": (-0.60, 0.35),
    "surprise": (0.40, 0.67),
    "contempt": (-0.50, 0.20),
}
"""Where a class lies, -1..1, after Russell & Mehrabian (1977); contempt, which their six emotions
lack, is put between disgust and the middle."""
# The circle anticlockwise from 0 degrees, every 45: pleasure, excitement, arousal, distress,
# displeasure, depression, sleepiness, relaxation. Valence and arousal do not tell anger from
# fear (dominance would), so distress is half of each.
_CIRCLE: tuple[dict[str, float], ...] = (
    {"happiness": 0.7},
    {"happiness": 0.8, "surprise": 0.5},
    {"surprise": 0.9},
    {"anger": 0.5, "fear": 0.5},
    {"disgust": 0.4, "sadness": 0.5},
    {"sadness": 1.0},
    {"sleepiness": 1.0},
    {"relaxation": 1.0},
)


def class_offset(emotion: str) -> Float[np.ndarray, "90"]:
    """What one of EMOTIONS adds to the motion at intensity 1."""
    out = np.zeros(MOTION_DIM, np.float32)
    for name, amount in _OFFSETS[emotion].items():
        for channel in _sides(name):
            out[channel] += amount
    return out


def affect_offset(valence: float, arousal: float) -> Float[np.ndarray, "90"]:
    """What a point of the plane, both -1..1, adds to the motion; zero in the middle, continuous,
    and linear along each ray up to the circle's chords.
    """
    step = 2 * math.pi / len(_CIRCLE)
    turn = math.atan2(arousal, valence) % (2 * math.pi) / step
    low = int(turn) % len(_CIRCLE)
    # The point as a sum of the two neighbours' unit vectors, by the sine rule.
    radius, angle = math.hypot(valence, arousal), (turn - int(turn)) * step
    shares = np.array([math.sin(step - angle), math.sin(angle)]) * radius / math.sin(step)
    shares /= max(1.0, float(shares.sum()))
    out = np.zeros(MOTION_DIM, np.float32)
    for share, parts in zip(shares, (_CIRCLE[low], _CIRCLE[(low + 1) % 8]), strict=True):
        for emotion, amount in parts.items():
            out += np.float32(share * amount) * class_offset(emotion)
    return out


def _sides(name: str) -> tuple[int, ...]:
    """The columns of a channel; those of both sides when the name leaves the side open."""
    if name in EXPRESSION_NAMES:
        return (channel_index(name),)
    return (channel_index(f"{name}Left"), channel_index(f"{name}Right"))
