"""Values of settings in plain words and numbers, for a result or a record of what was asked."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from app.render.turns import Turn
from audio2motion.gestures.gestures import Gesture
from audio2motion.gestures.transcript import Transcript
from audio2motion.hearing.audio import Waveform
from motion2video.motion import Motion


def plain(value: object) -> Any:
    """A setting as a plain JSON value; sounds and arrays as a short description."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.ndarray):
        return "array " + "x".join(map(str, value.shape))
    if isinstance(value, Waveform):
        return f"sound of {value.seconds:.3f} s"
    if isinstance(value, Motion):
        return f"motion of {len(value)} frames at {value.fps:g} fps"
    if isinstance(value, Transcript):
        return f"transcript of {len(value.text)} characters"
    if isinstance(value, Gesture):
        return asdict(value)
    if isinstance(value, Turn):
        return {name: plain(item) for name, item in vars(value).items() if item is not None}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
