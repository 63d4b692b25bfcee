"""Keyframes at any times, as files of other programs hold them, to Motion at one rate."""

import numpy as np
from jaxtyping import Float

from motion2video.motion import EXPRESSION, EXPRESSION_NAMES, FPS, Motion
from weights.errors import MotionError

RATES = (12.0, 15.0, 24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 48.0, 50.0, 60000 / 1001, 60.0)
_SAME_RATE = 3e-4  # relative; 30 and 29.97 are 1e-3 apart
_ON_TIME = 0.02  # of a frame: nearer to a frame than this is at it
_GAP = 1.75  # frames between two keyframes from which the ones between were dropped
_LOUDEST = 2.0  # an expression coefficient beyond this was never one in [0, 1]
MAX_FRAMES = 2 * 3600 * 120
"""Two hours at 120 frames a second."""


def nearest_rate(fps: float) -> float:
    """The common frame rate that `fps` is but for rounding, or `fps` itself."""
    nearest = min(RATES, key=lambda rate: abs(rate - fps))
    return nearest if abs(nearest - fps) <= _SAME_RATE * nearest else fps


def motion_at_one_rate(
    times: Float[np.ndarray, "N"], values: Float[np.ndarray, "N 90"], source: str
) -> Motion:
    """A motion that starts with the first keyframe, at the rate at which most of them follow.

    Linear in between; frames inside a gap of dropped keyframes are not `valid`. Expression is
    limited to [0, 1]. `source` names the file in messages. Raises MotionError for no keyframes,
    times that do not rise, and values that cannot be meant.
    """
    if not len(times):
        raise MotionError(f"{source} holds no frames; wanted at least one")
    _check(times, values, source)
    values = np.array(values, np.float64)
    values[:, EXPRESSION] = np.clip(values[:, EXPRESSION], 0, 1)
    if len(times) == 1:
        return Motion(values.astype(np.float32), FPS)
    step = float(np.median(np.diff(times)))
    number = np.round((times - times[0]) / step)
    # The slope through all keyframes is finer than one difference of rounded times.
    fps = nearest_rate(1 / float(np.polyfit(number, times, 1)[0]) if len(times) > 2 else 1 / step)
    count = round((times[-1] - times[0]) * fps) + 1
    if count > MAX_FRAMES:
        raise MotionError(
            f"{source} lasts {times[-1] - times[0]:.0f} s at {fps:g} fps: more than two hours"
        )
    at = np.arange(count) / fps + times[0]
    high = np.clip(np.searchsorted(times, at), 1, len(times) - 1)
    low = high - 1
    weight = np.clip((at - times[low]) / (times[high] - times[low]), 0, 1)
    near = _ON_TIME / fps
    weight = np.where(at - times[low] < near, 0, np.where(times[high] - at < near, 1, weight))
    whole = (weight == 0) | (weight == 1) | ((times[high] - times[low]) * fps < _GAP)
    mixed = values[low] * (1 - weight[:, None]) + values[high] * weight[:, None]
    return Motion(mixed.astype(np.float32), fps, whole)


def _check(times: Float[np.ndarray, "N"], values: Float[np.ndarray, "N 90"], source: str) -> None:
    finite = np.isfinite(values).all(1) & np.isfinite(times)
    if not finite.all():
        raise MotionError(
            f"{source} has a value that is not a finite number in frame {int(np.argmin(finite))}"
        )
    falls = np.flatnonzero(np.diff(times) <= 0)
    if len(falls):
        raise MotionError(
            f"{source} goes back in time at frame {falls[0] + 1}; wanted times that rise"
        )
    wild = np.argwhere(np.abs(values[:, EXPRESSION]) > _LOUDEST)
    if len(wild):
        frame, channel = wild[0]
        raise MotionError(
            f"{source} has {EXPRESSION_NAMES[channel]} = {values[frame, channel]:g} in frame "
            f"{frame}; wanted coefficients in 0..1"
        )
