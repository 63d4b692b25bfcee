"""How somebody moves, in ten numbers: measured on a clip, followed by the generator.

A style is what a person does on average, not when: how far head, brows, mouth, smiles and eyes
swing, how much the lids do, and how much the face smiles. `style_of` measures it on any motion (a
reference clip, a training item), `STYLES` names a few. One unit is about one standard deviation
among people; all zeros is the median talker.
"""

import numpy as np
from jaxtyping import Float

from motion2video.motion import EXPRESSION_NAMES, ROTATION, TRANSLATION, Motion, channel_index
from weights.errors import MotionError

STYLE_PARTS = (
    *("pitch", "yaw", "roll", "shift", "brows", "mouth", "smiling", "gaze", "blinks", "smile"),
)
STYLE_DIM = len(STYLE_PARTS)
# Medians of real takes of talkers: standard deviations in radians, interocular distances and
# coefficients.
_TYPICAL = np.array([0.054, 0.11, 0.049, 0.14, 0.076, 0.076, 0.122, 0.087, 0.116])
_SPREAD = 0.7
"""Standard deviation, among people, of the logarithm of how far they move."""
_TYPICAL_SMILE, _SMILE_SPREAD = 0.07, 0.1
_LIMIT = 2.5
_SHORTEST = 25

_BROWS = tuple(i for i, name in enumerate(EXPRESSION_NAMES) if name.startswith("brow"))
_LOOKS = tuple(i for i, name in enumerate(EXPRESSION_NAMES) if name.startswith("eyeLook"))
_JAW = (channel_index("jawOpen"),)
_SMILE, _LIDS = (
    tuple(channel_index(f"{name}{side}") for side in ("Left", "Right"))
    for name in ("mouthSmile", "eyeBlink")
)

Style = tuple[float, ...]

STYLES: dict[str, Style] = {
    "neutral": (0.0,) * STYLE_DIM,
    "calm": (-1.0, -1.0, -1.0, -0.8, -0.8, -0.4, -0.4, -0.4, 0.0, 0.0),
    "lively": (1.0, 1.0, 1.0, 0.8, 1.0, 0.6, 0.6, 0.4, 0.0, 0.5),
    "warm": (0.3, 0.3, 0.6, 0.3, 0.3, 0.0, 0.8, 0.0, 0.0, 1.5),
    "reserved": (-0.6, -0.6, -0.6, -0.5, -0.8, -0.8, -0.8, -0.4, 0.0, -0.6),
}


def style_of(motion: Motion) -> Style:
    """The style of a reference clip, from its valid frames.

    Raises MotionError for less than a second of them.
    """
    return tuple(float(x) for x in measure_style(motion.values[motion.mask]))


def measure_style(values: Float[np.ndarray, "T 90"]) -> Float[np.ndarray, "10"]:
    """As `style_of`, for motion values. Raises MotionError for less than a second."""
    if len(values) < _SHORTEST:
        raise MotionError(
            f"got {len(values)} frames with a face; a style needs at least {_SHORTEST} of them"
        )
    moving = np.array(
        [
            *values[:, ROTATION].std(0),
            values[:, TRANSLATION].std(0).mean(),
            *(
                values[:, list(group)].std(0).mean()
                for group in (_BROWS, _JAW, _SMILE, _LOOKS, _LIDS)
            ),
        ]
    )
    parts = np.log((moving + 0.02 * _TYPICAL) / _TYPICAL) / _SPREAD
    smile = (values[:, list(_SMILE)].mean() - _TYPICAL_SMILE) / _SMILE_SPREAD
    return np.clip(np.append(parts, smile), -_LIMIT, _LIMIT).astype(np.float32)
