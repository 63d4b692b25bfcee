"""How things move in time: jerk, errors of lips and upper face on keypoints, and beats.

The errors of lips and upper face are those of vertices in the literature (LVE and FDD, of meshes in
millimetres or model units). Here they are of MediaPipe's keypoints in interocular distances, and
are called so.
"""

import numpy as np
from jaxtyping import Float
from scipy.signal import argrelextrema

from motion2video.drawing.places import OUTER_LIPS
from motion2video.motion import FPS

INNER_LIPS = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178]
INNER_LIPS += [88, 95]
LIP_POINTS = [*OUTER_LIPS, *INNER_LIPS]
UPPER_POINTS = [70, 63, 105, 66, 107, 55, 65, 52, 53, 46]  # right brow
UPPER_POINTS += [300, 293, 334, 296, 336, 285, 295, 282, 283, 276]  # left brow
UPPER_POINTS += [33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380, 9, 151, 10]
BEAT_SIGMA_S = 0.3
BEAT_ORDER = 7
BEAT_LEAST_SPEED = 0.3


def jerk(frames: Float[np.ndarray, "n d"], fps: float = FPS) -> float:
    """Mean length of the third derivative, units a cubic second; 0 for fewer than four frames."""
    if len(frames) < 4:
        return 0.0
    return float(np.linalg.norm(np.diff(frames, 3, axis=0), axis=1).mean() * fps**3)


def farthest(made: Float[np.ndarray, "n p 3"], real: Float[np.ndarray, "n p 3"]) -> float:
    """Mean over frames of the largest distance of a point, in the unit given. Of LIP_POINTS it is
    LVE (Richard et al. 2021) on keypoints, as a distance and not its square.
    """
    return float(np.linalg.norm(made - real, axis=-1).max(1).mean())


def calmness(made: Float[np.ndarray, "n p 3"], real: Float[np.ndarray, "n p 3"]) -> float:
    """Mean over points of std(real) - std(made) in time of the squared distance from their own
    mean. Of UPPER_POINTS it is FDD (Xing et al. 2023) on keypoints. Positive: too calm.
    """

    def liveliness(points: np.ndarray) -> np.ndarray:
        return ((points - points.mean(0)) ** 2).sum(-1).std(0)

    return float((liveliness(real) - liveliness(made)).mean())


def motion_beats(frames: Float[np.ndarray, "n d"], fps: float = FPS) -> Float[np.ndarray, "b"]:
    """Seconds at which a movement turns: minima of its speed that are not of a standstill."""
    if len(frames) < 2 * BEAT_ORDER + 3:
        return np.zeros(0)
    speed = np.linalg.norm(np.gradient(frames, axis=0), axis=1)
    mean = speed.mean()
    if mean <= 1e-9:
        return np.zeros(0)
    found = argrelextrema(speed, np.less, order=BEAT_ORDER)[0]
    # A turning of a moving thing: nearby it is faster than a share of the mean.
    near = [speed[max(0, i - BEAT_ORDER) : i + BEAT_ORDER + 1].max() for i in found]
    return found[np.array(near) > BEAT_LEAST_SPEED * mean] / fps if len(found) else np.zeros(0)


def beat_consistency(
    audio: Float[np.ndarray, "a"], motion: Float[np.ndarray, "b"], sigma_s: float = BEAT_SIGMA_S
) -> float:
    """Mean over beats of the voice of exp(-d^2 / 2 sigma^2), d the distance to the next beat of the
    motion in seconds (BEAT, Liu et al. 2022). nan without beats of the voice. More beats raise it
    by chance alone: read it beside `beat_floor`.
    """
    if not len(audio):
        return float("nan")
    if not len(motion):
        return 0.0
    away = np.abs(audio[:, None] - motion[None]).min(1)
    return float(np.exp(-(away**2) / (2 * sigma_s**2)).mean())


def beat_floor(
    audio: Float[np.ndarray, "a"],
    count: int,
    seconds: float,
    draws: int = 100,
    seed: int = 0,
    sigma_s: float = BEAT_SIGMA_S,
) -> float:
    """`beat_consistency` of as many beats at random times."""
    rng = np.random.default_rng(seed)
    found = [beat_consistency(audio, rng.uniform(0, seconds, count), sigma_s) for _ in range(draws)]
    return float(np.mean(found))


def voice_beats(loudness: Float[np.ndarray, "n"], fps: float = FPS) -> Float[np.ndarray, "a"]:
    """Seconds at which a voice sets in or swells: peaks of the rise of its loudness (decibels)."""
    from scipy.signal import find_peaks

    rise = np.maximum(np.diff(loudness, prepend=loudness[:1]), 0)
    found, _ = find_peaks(rise, height=3.0, distance=max(1, round(0.12 * fps)))
    return found / fps
