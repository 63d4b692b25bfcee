"""Keyframes at any times, as files of other programs hold them, to Motion at one rate."""

import numpy as np
from jaxtyping import Bool, Float

from motion2video.motion import (
    EXPRESSION,
    EXPRESSION_NAMES,
    FPS,
    LARGEST,
    MAX_FRAMES,
    MAX_RATE,
    MAX_SECONDS,
    Motion,
)
from weights.errors import MotionError

RATES = (12.0, 15.0, 24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 48.0, 50.0, 60000 / 1001, 60.0)
_SAME_RATE = 3e-4  # relative; 30 and 29.97 are 1e-3 apart
_ON_TIME = 0.02  # of a frame: nearer to a frame than this is at it
_GAP = 1.75  # frames between two keyframes from which the ones between were dropped
_LOUDEST = 2.0  # an expression coefficient beyond this was never one in [0, 1]
_BLOCK = 10_000  # frames that are interpolated at a time


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
    if len(times) == 1:
        only = np.array(values, np.float32)
        only[:, EXPRESSION] = np.clip(only[:, EXPRESSION], 0, 1)
        return Motion(only, FPS)
    step = float(np.median(np.diff(times)))
    number = np.round((times - times[0]) / step)
    if number[-1] > MAX_FRAMES:
        raise _too_long(times, 1 / step, source)
    # The slope through all keyframes is finer than one difference of rounded times.
    fps = nearest_rate(1 / float(np.polyfit(number, times, 1)[0]) if len(times) > 2 else 1 / step)
    if not 0 < fps <= MAX_RATE:
        raise MotionError(f"{source} has {fps:g} keyframes a second; wanted up to {MAX_RATE:g}")
    count = round((times[-1] - times[0]) * fps) + 1
    if count > MAX_FRAMES:
        raise _too_long(times, fps, source)
    mixed = np.empty((count, values.shape[1]), np.float32)
    whole = np.empty(count, bool)
    for start in range(0, count, _BLOCK):
        block = slice(start, min(start + _BLOCK, count))
        mixed[block], whole[block] = _between(times, values, fps, block)
    return Motion(mixed, fps, whole)


def _too_long(times: Float[np.ndarray, "N"], fps: float, source: str) -> MotionError:
    return MotionError(
        f"{source} lasts {times[-1] - times[0]:.0f} s at {fps:g} fps: more than two hours"
    )


def _between(
    times: Float[np.ndarray, "N"], values: Float[np.ndarray, "N 90"], fps: float, block: slice
) -> tuple[Float[np.ndarray, "n 90"], Bool[np.ndarray, "n"]]:
    """The frames of a block, and which of them are at a keyframe or between near ones."""
    at = np.arange(block.start, block.stop) / fps + times[0]
    high = np.clip(np.searchsorted(times, at), 1, len(times) - 1)
    low = high - 1
    weight = np.clip((at - times[low]) / (times[high] - times[low]), 0, 1)
    near = _ON_TIME / fps
    weight = np.where(at - times[low] < near, 0, np.where(times[high] - at < near, 1, weight))
    whole = (weight == 0) | (weight == 1) | ((times[high] - times[low]) * fps < _GAP)
    before, after = (np.array(values[part], np.float64) for part in (low, high))
    for part in (before, after):
        part[:, EXPRESSION] = np.clip(part[:, EXPRESSION], 0, 1)
    return before * (1 - weight[:, None]) + after * weight[:, None], whole


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
    if times[-1] - times[0] > MAX_SECONDS:
        raise MotionError(
            f"{source} lasts {times[-1] - times[0]:.0f} s; at most {MAX_SECONDS:.0f} s are read"
        )
    wild = np.argwhere(np.abs(values[:, EXPRESSION]) > _LOUDEST)
    if len(wild):
        frame, channel = wild[0]
        raise MotionError(
            f"{source} has {EXPRESSION_NAMES[channel]} = {values[frame, channel]:g} in frame "
            f"{frame}; wanted coefficients in 0..1"
        )
    if max(values.max(), -values.min()) > LARGEST:
        raise MotionError(f"{source} has a value beyond {LARGEST:g}; no head moves as far")
