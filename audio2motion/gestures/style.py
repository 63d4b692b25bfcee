"""How somebody moves, in seven numbers: measured on a clip, followed by the generator.

A style is what a person does on average, not when: how far head, brows and mouth swing and how much
they smile. `style_of` measures it on any motion (a reference clip, a training item), `STYLES` names
a few. One unit is about one standard deviation among people.
"""

import numpy as np
from jaxtyping import Float

from motion2video.motion import EXPRESSION_NAMES, ROTATION, TRANSLATION, Motion, channel_index
from weights.errors import MotionError

STYLE_PARTS = ("pitch", "yaw", "roll", "shift", "brows", "mouth", "smile")
STYLE_DIM = len(STYLE_PARTS)
# Standard deviations of an average talker: radians, interocular distances, coefficients.
_TYPICAL = np.array([0.026, 0.035, 0.021, 0.03, 0.05, 0.05])
_SPREAD = 0.5
"""Standard deviation, among people, of the logarithm of how far they move."""
_TYPICAL_SMILE, _SMILE_SPREAD = 0.08, 0.1
_LIMIT = 2.5
_SHORTEST = 25

Style = tuple[float, ...]

STYLES: dict[str, Style] = {
    "neutral": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "calm": (-1.0, -1.0, -1.0, -0.8, -0.8, -0.4, 0.0),
    "lively": (1.0, 1.0, 1.0, 0.8, 1.0, 0.6, 0.5),
    "warm": (0.3, 0.3, 0.6, 0.3, 0.3, 0.0, 1.5),
    "reserved": (-0.6, -0.6, -0.6, -0.5, -0.8, -0.8, -0.6),
}


def style_of(motion: Motion) -> Style:
    """The style of a reference clip, from its valid frames.

    Raises MotionError for less than a second of them.
    """
    return tuple(float(x) for x in measure_style(motion.values[motion.mask]))


def measure_style(values: Float[np.ndarray, "T 90"]) -> Float[np.ndarray, "7"]:
    """As `style_of`, for motion values. Raises MotionError for less than a second."""
    if len(values) < _SHORTEST:
        raise MotionError(
            f"got {len(values)} frames with a face; a style needs at least {_SHORTEST} of them"
        )
    brows = [i for i, name in enumerate(EXPRESSION_NAMES) if name.startswith("brow")]
    moving = np.array(
        [
            *values[:, ROTATION].std(0),
            values[:, TRANSLATION].std(0).mean(),
            values[:, brows].std(0).mean(),
            values[:, channel_index("jawOpen")].std(),
        ]
    )
    smile = values[:, [channel_index(f"mouthSmile{s}") for s in ("Left", "Right")]].mean()
    parts = np.log((moving + 0.02 * _TYPICAL) / _TYPICAL) / _SPREAD
    parts = np.append(parts, (smile - _TYPICAL_SMILE) / _SMILE_SPREAD)
    return np.clip(parts, -_LIMIT, _LIMIT).astype(np.float32)
