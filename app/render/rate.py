"""Motion at another frame rate, while it is being made."""

from collections.abc import Iterable, Iterator

import numpy as np

from motion2video.motion import Motion


def resampled(motions: Iterable[Motion], fps: float) -> Iterator[Motion]:
    """The parts of a motion at `fps`: joined, they are `Motion.concat(parts).resample(fps)`.

    A frame leaves as soon as the two frames around it are known, so nothing piles up.
    """
    held: Motion | None = None
    start = 0  # the absolute number of held's first frame
    done = 0  # frames given out
    for part in motions:
        if part.fps == fps:
            yield part
            continue
        held = part if held is None else Motion.concat([held, part])
        seen = start + len(held)
        wanted = np.arange(done, round(seen / held.fps * fps))
        ready = wanted[wanted * held.fps / fps < seen - 1]
        if len(ready):
            yield _at(held, ready * held.fps / fps - start, fps)
            done += len(ready)
            used = min(int(done * held.fps / fps) - start, len(held) - 1)
            held, start = held[used:], start + used
    if held is not None and len(held):
        last = max(1, round((start + len(held)) / held.fps * fps))
        rest = np.arange(done, last)
        if len(rest):
            yield _at(held, rest * held.fps / fps - start, fps)


def _at(motion: Motion, position: np.ndarray, fps: float) -> Motion:
    """Linear between the two frames around each position (in frames of `motion`)."""
    position = np.clip(position, 0, len(motion) - 1)
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, len(motion) - 1)
    w = (position - low)[:, None].astype(np.float32)
    values = motion.values[low] * (1 - w) + motion.values[high] * w
    mask = motion.mask[low] & (motion.mask[high] | (position == low))
    return Motion(values, fps, mask, motion.rest)
