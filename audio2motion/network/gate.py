"""The mouth rests when its owner is silent: voice activity opens and shuts a gate."""

import numpy as np
from jaxtyping import Float

from audio2motion.network.condition import CHUNK
from motion2video.motion import DETAIL, EXPRESSION_NAMES, FPS

GATE_LOW, GATE_HIGH = 0.05, 0.5
"""Probabilities of speech at which the mouth is held shut and let go."""
GATE_ATTACK = 2
"""Frames that the mouth may open before the first sound of speech."""
GATE_RELEASE = 0.1
"""How far the gate closes per frame: 400 ms in all."""
SILENT_S = 4.0
ROLE_PACE = 0.1
"""Of the way from talker to listener, per frame."""
# The mouth as an instrument of speech; a smile or a frown is none.
_NO_SPEECH = ("mouthSmile", "mouthFrown", "mouthDimple", "mouthLeft", "mouthRight")
SPEECH_CHANNELS = tuple(
    i
    for i, name in enumerate(EXPRESSION_NAMES)
    if name.startswith(("jaw", "mouth")) and not name.startswith(_NO_SPEECH)
) + tuple(range(DETAIL.start, DETAIL.stop))


def mouth_gate(
    activity: Float[np.ndarray, "n"], gate: float
) -> tuple[Float[np.ndarray, "5"], float]:
    """How far the mouth may follow the voice, 0..1, for the first 5 of the frames given.

    Opens GATE_ATTACK frames before speech and closes over 400 ms after it. Returns the value to
    go on with as well.
    """
    wanted = np.clip((activity - GATE_LOW) / (GATE_HIGH - GATE_LOW), 0, 1)
    gates = np.empty(CHUNK, np.float32)
    for i in range(CHUNK):
        # Two frames of warning open it in two steps instead of one.
        rise = max(wanted[i], 0.9 * wanted[i + 1], 0.5 * wanted[i + GATE_ATTACK])
        gate = float(max(rise, gate - GATE_RELEASE))
        gates[i] = gate
    return gates, gate


def silence(activity: Float[np.ndarray, "n"], level: float) -> tuple[Float[np.ndarray, "n"], float]:
    """How long nothing was said, 0..1, after each frame: 1 after SILENT_S, 0 in a tenth of that
    once something is. Returns the value to go on with as well.
    """
    levels = np.empty(len(activity), np.float32)
    for i, active in enumerate(activity):
        level += (-10 if active > GATE_HIGH else 1) / (SILENT_S * FPS)
        level = min(1.0, max(0.0, level))
        levels[i] = level
    return levels, float(level)


def listening(
    agent: Float[np.ndarray, "n"], other: Float[np.ndarray, "n"], level: float
) -> tuple[Float[np.ndarray, "n"], float]:
    """How far frames are of somebody who listens, 0..1, from the probabilities that agent
    and interlocutor speak; who spoke last counts while nobody does. Returns the value to go on with
    as well.
    """
    levels = np.empty(len(agent), np.float32)
    for i in range(len(agent)):
        if agent[i] > GATE_HIGH:
            level += ROLE_PACE * (0 - level)
        elif other[i] > GATE_HIGH:
            level += ROLE_PACE * (1 - level)
        levels[i] = level
    return levels, float(level)
