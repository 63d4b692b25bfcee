"""Who speaks when, as masks of frames: what talking and listening are measured apart by."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from motion2video.motion import FPS

BRIDGED_S, TRIMMED_S = 0.4, 0.2
"""Pauses in one's own speech that still count as speaking; what is left out around it."""
SPEECH_ON = 0.5


@dataclass(frozen=True, eq=False)
class Roles:
    """Frames in which somebody `speaks`, short pauses included, and those in which they `listen`:
    do not speak, trimmed, while the other is there.
    """

    speaks: Bool[np.ndarray, "T"]
    listens: Bool[np.ndarray, "T"]

    @staticmethod
    def of(own: Bool[np.ndarray, "T"], fps: float = FPS) -> "Roles":
        """From the activity of one's own voice."""
        speaks = bridged(own, round(BRIDGED_S * fps))
        return Roles(speaks, ~widened(speaks, round(TRIMMED_S * fps)))


def active(probability: Float[np.ndarray, "T"], frames: int) -> Bool[np.ndarray, "frames"]:
    """Which of `frames` frames are spoken, by their probabilities; what is missing is silent."""
    out = np.zeros(frames, bool)
    known = probability[:frames] > SPEECH_ON
    out[: len(known)] = known
    return out


def bridged(mask: Bool[np.ndarray, "T"], gap: int) -> Bool[np.ndarray, "T"]:
    """The mask with holes of at most `gap` frames filled."""
    out = mask.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[1], mask.astype(int), [1]])))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start <= gap:
            out[start:end] = True
    return out


def widened(mask: Bool[np.ndarray, "T"], frames: int) -> Bool[np.ndarray, "T"]:
    """The mask grown to both sides."""
    if not len(mask):
        return mask
    counts = np.convolve(mask, np.ones(2 * frames + 1), "full")
    return counts[frames : frames + len(mask)] > 0.5
