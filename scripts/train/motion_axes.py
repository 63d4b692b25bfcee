"""Fit what of a face moves together (MotionNetwork.axes) to real motion.

Each channel of a mixture of bursts decides by itself whether it bursts. So the two sides of a pair
of brows have to be one channel, with what sets them apart another; and a squint what is left of it
beside the blink that brings it.
"""

import numpy as np
from jaxtyping import Float

from audio2motion.network.source import YOKED
from motion2video.motion import MOTION_DIM, channel_index

PAIRED = (
    "browOuterUp",
    "browDown",
    "eyeWide",
    "mouthSmile",
    "cheekSquint",
    "mouthDimple",
    "mouthFrown",
    "noseSneer",
)
"""Both sides: what they have in common in the place of the left one, and how the left is more than
the right in that of the right.
"""
_LEFT, _RIGHT = ([channel_index(f"{name}{side}") for name in PAIRED] for side in ("Left", "Right"))
_OPPOSED = [
    (channel_index(f"eyeLook{one}"), channel_index(f"eyeLook{other}"))
    for one, other in (
        *(("OutLeft", "InLeft"), ("InRight", "OutRight")),
        *(("UpLeft", "DownLeft"), ("UpRight", "DownRight")),
    )
]
"""Where an eye looks, in the place of the first, is one number; how far it looks that way and the
other way at once another.
"""
_BLINK, _SQUINT = (
    [channel_index(f"{name}{side}") for side in ("Left", "Right")]
    for name in ("eyeBlink", "eyeSquint")
)
_BESIDE = {
    _LEFT[0]: [channel_index("browInnerUp")],
    _LEFT[1]: [channel_index("browInnerUp"), _LEFT[0]],
    _LEFT[2]: [_BLINK[0]],
    _LEFT[4]: [_LEFT[3]],
    _LEFT[5]: [_LEFT[3], _LEFT[4]],
    _LEFT[6]: [_LEFT[3], _LEFT[4], _LEFT[5]],
    _LEFT[7]: [_LEFT[3], _LEFT[4]],
    _SQUINT[0]: [_BLINK[0]],
    _SQUINT[1]: [_BLINK[1]],
}
"""Each is what is left of it beside others."""
LAG = 2
"""Frames over which things move together: how a face is held says little of that."""
FARTHEST = 4.0
STIFFNESS = 0.05
LEAST = 0.15
"""What moves along by less than this share of a deviation goes by itself."""
LEAST_SPREAD = 0.05


def fit_axes(scores: list[Float[np.ndarray, "T 90"]]) -> Float[np.ndarray, "90 90"]:
    """The tokens, as rows over the channels' normal scores, of whole faces known in `scores`."""
    axes = np.eye(MOTION_DIM)
    for left, right in zip(_LEFT, _RIGHT, strict=True):
        axes[left, [left, right]] = 0.5, 0.5
        axes[right, [left, right]] = 0.5, -0.5
    for one, other in _OPPOSED:
        axes[one, [one, other]] = 0.5, -0.5
        axes[other, [one, other]] = 0.5, 0.5
    if not scores:
        return axes.astype(np.float32)
    steps = np.concatenate([x[LAG:] - x[:-LAG] for x in scores])
    steps = (steps / (steps.std(0) + 1e-6)).clip(-FARTHEST, FARTHEST) * (steps.std(0) + 1e-6)
    for channel, others in _BESIDE.items():
        axes[channel] -= _along(steps, axes, channel, others)
    tokens = np.concatenate(scores) @ axes.T
    changed = (axes != np.eye(MOTION_DIM)).any(1)
    spread = np.where(changed, np.maximum(tokens.std(0), LEAST_SPREAD), 1)
    for left, right in YOKED:
        spread[[left, right]] = spread[[left, right]].mean()
    return (axes / spread[:, None]).astype(np.float32)


def _along(
    steps: Float[np.ndarray, "n 90"],
    axes: Float[np.ndarray, "90 90"],
    channel: int,
    before: list[int],
) -> Float[np.ndarray, "90"]:
    """What of a channel comes with those `before` it, as a row over scores."""
    x, y = steps @ axes[before].T, steps @ axes[channel]
    gram = x.T @ x
    weight = np.linalg.solve(gram + STIFFNESS * np.diag(np.diag(gram)), x.T @ y)
    share = weight * x.std(0) / (y.std() + 1e-6)
    return np.where(np.abs(share) >= LEAST, weight, 0) @ axes[before]
