"""How loud a voice is in each frame of a video."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float

from audio2motion.hearing.audio import Sound

_QUIET_DB = 30.0  # this far below the loudest frame nobody is taken to speak
_SILENCE = 1e-4  # of full scale


def loudness(voice: Sound, frames: int, fps: float) -> Float[np.ndarray, "frames"]:
    """How loud each frame of a video is, in decibels above what counts as quiet; 0 there."""
    edges = np.rint(np.arange(frames + 1) * voice.sample_rate / fps).astype(int).tolist()
    power = np.zeros(frames)
    for frame, (start, end) in enumerate(pairwise(edges)):
        samples = voice.read(start, end - start)
        power[frame] = (samples**2).mean() if len(samples) else 0.0
    decibels = 10 * np.log10(np.maximum(power, _SILENCE**2))
    loudest = decibels.max() if frames else 0.0
    return np.maximum(decibels - loudest + _QUIET_DB, 0) * (power > _SILENCE**2)
