"""Whether the lips of a finished video go with its voice: the shift at which they agree best.

Short recordings mostly do not tell: of 111 of real people, 3 to 16 s long, it is said for 25, and
is within 3 frames of 0 for 24 of these; of 264 voices with somebody else's lips it is said for 18.
"""

from itertools import pairwise

import numpy as np
from jaxtyping import Float

from audio2motion.hearing.audio import Sound

REACH = 10
"""Frames that are looked at to either side."""
LEAST_SPEECH_S = 2.0
LEAST_R = 0.2
LEAST_LEAD = 0.15
"""By how much r at the best shift must be above that at all which are more than _PEAK away."""
_PEAK = 3  # frames
_SYLLABLES = 5  # a second: of unrelated lips and voices r has the deviation 1 / sqrt(their number)
_QUIET_DB = 30.0  # this far below the loudest frame nobody is taken to speak
_SILENCE = 1e-4  # of full scale


def sync_offset_ms(gap: Float[np.ndarray, "T"], voice: Sound, fps: float) -> float | None:
    """Milliseconds by which the opening of the lips is behind the voice; negative: ahead of it.

    `gap` is how far the lips are open in each frame. None where that cannot be told: under 2 s of
    speech, or no shift within REACH frames at which the two clearly go together.
    """
    level = loudness(voice, len(gap), fps)
    spoken = level > 0
    if spoken.sum() < LEAST_SPEECH_S * fps:
        return None
    near = np.flatnonzero(np.convolve(spoken, np.ones(2 * REACH + 1), "same") > 0)
    shifts = np.arange(-REACH, REACH + 1)
    found = np.array([_correlation(gap, level, near, shift) for shift in shifts.tolist()])
    best = int(shifts[found.argmax()])
    others = found[np.abs(shifts - best) > _PEAK].max()
    by_chance = 2 / np.sqrt(_SYLLABLES * len(near) / fps)
    # At an end the true peak may be further out.
    if abs(best) == REACH or found.max() < max(LEAST_R, by_chance, others + LEAST_LEAD):
        return None
    return 1000 * best / fps


def loudness(voice: Sound, frames: int, fps: float) -> Float[np.ndarray, "frames"]:
    """How loud each frame of a video is, in decibels above what counts as quiet; 0 there."""
    edges = np.rint(np.arange(frames + 1) * voice.sample_rate / fps).astype(int).tolist()
    power = np.zeros(frames)
    for frame, (start, end) in enumerate(pairwise(edges)):
        samples = voice.read(start, end - start)
        power[frame] = (samples**2).mean() if len(samples) else 0.0
    decibels = 10 * np.log10(np.maximum(power, _SILENCE**2))
    return np.maximum(decibels - decibels.max() + _QUIET_DB, 0) * (power > _SILENCE**2)


def _correlation(gap: np.ndarray, level: np.ndarray, near: np.ndarray, shift: int) -> float:
    """Pearson's r of the loudness at frames `near` and the lips `shift` frames later."""
    near = near[(near + shift >= 0) & (near + shift < len(gap))]
    a, b = gap[near + shift], level[near]
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / size) if size > 1e-9 else 0.0
