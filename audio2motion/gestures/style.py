"""How somebody moves, in fifteen numbers: measured on a clip, followed by the generator.

A style is what a person does on average, not when: how far every part of the face and the head
swing, how much the lids do, and how much the face smiles. `style_of` measures it on any motion (a
reference clip, a training item), `STYLES` names a few. One unit is about one standard deviation
among people; all zeros is the median talker.
"""

import numpy as np
from jaxtyping import Float

from motion2video.motion import (
    EXPRESSION_NAMES,
    MOTION_DIM,
    ROTATION,
    TRANSLATION,
    Motion,
    channel_index,
)
from weights.errors import MotionError

_FACE = {
    "brows up": ("browInnerUp", "browOuterUp"),
    "brows down": ("browDown",),
    "mouth": ("jawOpen",),
    "lips": ("mouthUpperUp", "mouthLowerDown"),
    "stretch": ("mouthStretch",),
    "pucker": ("mouthPucker",),
    "smiling": ("mouthSmile",),
    "squint": ("eyeSquint",),
    "gaze": ("eyeLook",),
    "blinks": ("eyeBlink",),
}
STYLE_PARTS = ("pitch", "yaw", "roll", "shift", *_FACE, "smile")
STYLE_DIM = len(STYLE_PARTS)
TYPICAL = np.array(
    [
        0.054,
        0.110,
        0.049,
        0.136,
        0.062,
        0.054,
        0.076,
        0.046,
        0.025,
        0.131,
        0.122,
        0.081,
        0.087,
        0.116,
    ]
)
"""How far the parts swing, medians of real takes of talkers: standard deviations in radians,
interocular distances and coefficients.
"""
_SPREAD = 0.7
"""Standard deviation, among people, of the logarithm of how far they move."""
_TYPICAL_SMILE, _SMILE_SPREAD = 0.07, 0.1
_LIMIT = 2.5
FARTHEST_MANNER = 0.8
"""In units of style: 1.75 times as far as the median, or little more than half."""
_MANNER = 0x57A1E
_SHORTEST = 25

PART_CHANNELS = (
    *([i] for i in range(ROTATION.start, ROTATION.stop)),
    list(range(TRANSLATION.start, TRANSLATION.stop)),
    *(
        [i for i, name in enumerate(EXPRESSION_NAMES) if name.startswith(starts)]
        for starts in _FACE.values()
    ),
)
"""The channels of each part, but for the smile's level."""
_SMILE = [channel_index(f"mouthSmile{side}") for side in ("Left", "Right")]

# What is not a part of its own moves with a part that it goes with.
_WITH = {"smiling": ("cheekSquint", "mouthDimple"), "mouth": ("jaw",), "squint": ("eyeWide",)}
_FOLLOWS = np.zeros((STYLE_DIM - 1, MOTION_DIM), np.float32)
for _row, (_part, _own) in enumerate(zip(STYLE_PARTS, PART_CHANNELS, strict=False)):
    _others = [i for i, n in enumerate(EXPRESSION_NAMES) if n.startswith(_WITH.get(_part, "-"))]
    _FOLLOWS[_row, [*_own, *_others]] = 1

Style = tuple[float, ...]


def _style(**parts: float) -> Style:
    return tuple(parts.get(name.replace(" ", "_"), 0.0) for name in STYLE_PARTS)


_HEAD = ("pitch", "yaw", "roll", "shift")
STYLES: dict[str, Style] = {
    "neutral": _style(),
    "calm": _style(**dict.fromkeys(_HEAD, -1.0), brows_up=-0.8, mouth=-0.4, smiling=-0.4),
    "lively": _style(**dict.fromkeys(_HEAD, 0.8), brows_up=1.0, mouth=0.6, smiling=0.6, smile=0.5),
    "warm": _style(**dict.fromkeys(_HEAD, 0.3), brows_up=0.3, smiling=0.8, smile=1.5),
    "reserved": _style(**dict.fromkeys(_HEAD, -0.6), brows_up=-0.8, mouth=-0.8, smile=-0.6),
}
_CALMER = {"pitch": -0.4, "yaw": -1.0, "roll": -0.6, "shift": -1.7}
CONVERSING: Style = _style(
    **_CALMER,
    brows_up=-0.3,
    brows_down=-1.7,
    smiling=-0.07,
    squint=-1.0,
    gaze=0.45,
    blinks=0.2,
    smile=0.45,
)
"""Who talks with somebody and listens: medians of the conversations of training. Lips are the
median talker's, as a conversation's are at rest for half of it; gaze is livelier and lids are
calmer than the medians, so that people look away and blink as often as those of training do.
"""


def drawn_manner(likeness: Float[np.ndarray, "15 15"], variety: float, seed: int) -> Style:
    """How somebody's style is off the median: one draw a seed, `variety` times as far as people's
    are, within FARTHEST_MANNER. `likeness` makes independent numbers of deviation 1 into styles as
    people have them: who turns the head a lot does a lot with everything. Seed 0 is the median.
    """
    if seed == 0:
        return STYLES["neutral"]
    draw = np.random.Generator(np.random.Philox(key=[seed & (2**63 - 1), _MANNER]))
    off = variety * (likeness @ draw.normal(size=STYLE_DIM))
    return tuple(off.clip(-FARTHEST_MANNER, FARTHEST_MANNER).tolist())


def style_of(motion: Motion) -> Style:
    """The style of a reference clip, from its valid frames.

    Raises MotionError for less than a second of them.
    """
    return tuple(float(x) for x in measure_style(motion.values[motion.mask]))


def measure_style(values: Float[np.ndarray, "T 90"]) -> Float[np.ndarray, "15"]:
    """As `style_of`, for motion values. Raises MotionError for less than a second."""
    if len(values) < _SHORTEST:
        raise MotionError(
            f"got {len(values)} frames with a face; a style needs at least {_SHORTEST} of them"
        )
    parts = np.log((deviations(values) + 0.02 * TYPICAL) / TYPICAL) / _SPREAD
    smile = (values[:, _SMILE].mean() - _TYPICAL_SMILE) / _SMILE_SPREAD
    return np.clip(np.append(parts, smile), -_LIMIT, _LIMIT).astype(np.float32)


def deviations(values: Float[np.ndarray, "T 90"]) -> Float[np.ndarray, "14"]:
    """How far the parts of a style swing, all but the smile's level."""
    return np.array([values[:, channels].std(0).mean() for channels in PART_CHANNELS])


def gains(style: Float[np.ndarray, "*b 15"]) -> Float[np.ndarray, "*b 90"]:
    """How much farther than the median talker a style moves every channel."""
    return np.exp(_SPREAD * style[..., :-1] @ _FOLLOWS)
