"""The curves of a conversation that `directed_gain` is taken of: how the listener moves, and what
they hear and see of the other.
"""

import numpy as np
from jaxtyping import Bool, Float

from app.quality.activity import Roles, widened
from app.quality.directed_gain import Case
from app.quality.events import AT_PARTNER, SMILE, gaze_angle
from audio2motion.behaviour.eyes import BLINK_CHANNELS
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Sound
from motion2video.motion import FPS, ROTATION, channel_index

PACE = 0.2
"""Per frame, of the running mean of a head's speed."""
LEVEL_RANGE_DB = 45.0
LONGEST_SILENCE_S = 2.0


def level(voice: Sound, frames: int) -> Float[np.ndarray, "T"]:
    """Loudness, 0..1: from LEVEL_RANGE_DB below the loudest frame up; silence after the end."""
    samples = np.zeros(frames * SAMPLES_PER_FRAME, np.float32)
    read = voice.read(0, len(samples))
    samples[: len(read)] = read
    power = (samples.reshape(frames, -1) ** 2).mean(1)
    decibels = 10 * np.log10(power + 1e-10)
    return np.clip((decibels - decibels.max()) / LEVEL_RANGE_DB + 1, 0, 1)


def nodding(pitch: Float[np.ndarray, "T"]) -> Float[np.ndarray, "T"]:
    """How fast a head of that pitch (degrees) nods lately, degrees a second."""
    speed = np.abs(np.diff(pitch, prepend=pitch[:1])) * FPS
    out, value = np.empty(len(speed)), 0.0
    for i, now in enumerate(speed.tolist()):
        value += PACE * (now - value)
        out[i] = value
    return out


def case_of(
    partner: str,
    values: Float[np.ndarray, "T 90"],
    own: tuple[Sound, Bool[np.ndarray, "T"]],
    other: tuple[Sound, Bool[np.ndarray, "T"]],
    seen: Float[np.ndarray, "T 90"] | None,
) -> Case:
    """One conversation for `directed_gain`: the listener's motion, both voices with the frames in
    which they speak, and what is seen of the other (None: nothing). The frames that count are those
    in which the listener is silent and the other has spoken within a second.
    """
    frames = len(values)
    pitch, yaw, roll = np.degrees(values[:, ROTATION]).T
    target = [
        *(pitch, yaw, roll, values[:, SMILE].mean(1), values[:, channel_index("browInnerUp")]),
        values[:, list(BLINK_CHANNELS)].mean(1),
        (gaze_angle(values) > AT_PARTNER).astype(float),
        nodding(pitch),
    ]
    (voice, speaks), (their_voice, they_speak) = own, other
    silent = np.zeros(frames)
    for t in range(1, frames):
        silent[t] = 0 if they_speak[t] else min(silent[t - 1] + 1 / FPS, LONGEST_SILENCE_S)
    heard = np.stack([level(their_voice, frames), they_speak.astype(float), silent], 1)
    motion = np.zeros((frames, 4))
    if seen is not None:
        down, shut = np.degrees(seen[:, ROTATION.start]), seen[:, list(BLINK_CHANNELS)].mean(1)
        motion = np.stack([seen[:, SMILE].mean(1), down, nodding(down), shut], 1)
    return Case(
        partner,
        np.stack(target, 1),
        np.stack([level(voice, frames), speaks.astype(float)], 1),
        {"voice": heard, "motion": motion},
        Roles.of(speaks).listens & widened(they_speak, int(FPS)),
    )
