"""Do the lips go with the voice, and by how much are they late? A classical judge, trained to tell.

Canonical correlations (Hotelling 1936) between a window of lip movement and a window of log-mel:
the directions of both that go together in tracked people who talk. For a video, the correlation of
the two along these directions is taken at every shift; where it is highest, lips and voice are in
step. It sees points of the lips and not pixels, and is no network, so its numbers are not those of
SyncNet: `confidence` is made as LSE-C is, the best shift's less the median's. Ceiling and floor are
in weights/lip_sync.md.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float

from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Sound
from motion2video.motion import FPS, MOTION_DIM
from weights.errors import MediaError, WeightsError
from weights.tensors import load_safetensors

REACH = 15
"""Frames (0.6 s) that are looked at to either side."""
LEAST_FRAMES = 12
"""That overlap at a shift, for it to count."""
LEAST_SPEECH_S = 0.6
"""Of speech, below which nothing is said."""
MOST_FRAMES = 15_000
"""Of the begin of a video (ten minutes), by which it is judged."""
AROUND = 3
"""Frames to either side of one that its window has."""
_BLOCK = 100  # frames whose sound is read at once


@dataclass(frozen=True)
class LipSyncConfig:
    """Stored in the header of the weights. `floor` is the confidence that lips of somebody else
    stay below in 95 of 100 cases, times the root of the frames of speech.
    """

    mels: int = 40
    floor: float = 0.0

    def to_dict(self) -> dict:
        """For a header."""
        return asdict(self)

    @staticmethod
    def from_header(config: dict) -> "LipSyncConfig":
        """From a weights header. Raises WeightsError for keys that do not fit."""
        try:
            return LipSyncConfig(**config)
        except TypeError as error:
            raise WeightsError(f"the lip-sync judge's header does not fit: {error}") from error


@dataclass(frozen=True)
class Sync:
    """`offset_ms` is by how much the lips are late (negative: early); `confidence` the agreement
    there above that of a middling shift; `sure` whether that is more than strangers' lips have.
    """

    offset_ms: float
    confidence: float
    sure: bool


def windows(x: Float[np.ndarray, "T k"]) -> Float[np.ndarray, "T w"]:
    """Each frame with AROUND to either side."""
    padded = np.pad(x, ((AROUND, AROUND), (0, 0)), mode="edge")
    return np.concatenate([padded[i : i + len(x)] for i in range(2 * AROUND + 1)], 1)


def agreement(
    lips: Float[np.ndarray, "T n"], voice: Float[np.ndarray, "T n"], weight: Float[np.ndarray, "T"]
) -> Float[np.ndarray, "shifts"]:
    """Weighted correlation, over all frames and numbers at once, for lips that are -REACH..REACH
    frames late; -1 where fewer than LEAST_FRAMES overlap. Frames of the voice have the weights.
    """
    count, out = len(lips), np.full(2 * REACH + 1, -1.0)
    for late in range(-REACH, REACH + 1):
        if count - abs(late) < LEAST_FRAMES:
            continue
        seen = lips[max(0, late) : count + min(0, late)]
        heard = slice(max(0, -late), count - max(0, late))
        w = weight[heard][:, None]
        size = np.sqrt((w * seen**2).sum() * (w * voice[heard] ** 2).sum())
        out[late + REACH] = (w * seen * voice[heard]).sum() / size if size > 1e-9 else 0.0
    return out


def voice_features(sound: Sound, frames: int, mels: int) -> Float[np.ndarray, "T m"]:
    """Level-free log-mel of each of `frames` frames at 25 a second, two columns of 20 ms each.

    Raises MediaError for a voice that is not at 16 kHz.
    """
    import torch

    from audio2motion.hearing.speech import (
        LEVEL_FLOOR_DB,
        MEL_OVERLAP,
        MELS_PER_FRAME,
        MelFrontEnd,
    )

    if sound.sample_rate != int(SAMPLES_PER_FRAME * FPS):
        raise MediaError(f"got a voice at {sound.sample_rate} Hz; wanted 16000")
    front, level = MelFrontEnd(mels), torch.tensor(LEVEL_FLOOR_DB)
    kept, parts = np.zeros(MEL_OVERLAP, np.float32), []
    for first in range(0, frames, _BLOCK):
        samples = np.zeros(min(_BLOCK, frames - first) * SAMPLES_PER_FRAME, np.float32)
        read = sound.read(first * SAMPLES_PER_FRAME, len(samples))
        samples[: len(read)] = read
        found, _, level = front(torch.from_numpy(np.concatenate([kept, samples])), level)
        columns = found.numpy().reshape(-1, 2, MELS_PER_FRAME // 2, mels).mean(2)
        parts.append(columns.reshape(-1, 2 * mels))
        kept = samples[-MEL_OVERLAP:]
    return np.concatenate(parts) if parts else np.zeros((0, 2 * mels), np.float32)


@dataclass(frozen=True, eq=False)
class LipSyncJudge:
    """Tells by how much lips are late; load once, ask for any number of videos. `projection` takes
    a row of motion (and 1) to the lips; `lips`, `voice` and `mean` a window of each to the
    directions that go together.
    """

    config: LipSyncConfig
    projection: Float[np.ndarray, "91 k"]
    lips: Float[np.ndarray, "w n"]
    voice: Float[np.ndarray, "m n"]
    mean: Float[np.ndarray, "m"]

    @staticmethod
    def load() -> "LipSyncJudge":
        """The embedded judge. Raises WeightsError."""
        tensors, header = load_safetensors("lip_sync")
        names = ("projection", "lips", "voice", "mean")
        if set(tensors) != set(names):
            raise WeightsError(f"the lip-sync judge has {sorted(tensors)}; wanted {names}")
        parts = (tensors[name].astype(np.float32) for name in names)
        return LipSyncJudge(LipSyncConfig.from_header(header), *parts)

    def to_tensors(self) -> dict[str, np.ndarray]:
        """For a file."""
        return {name: getattr(self, name) for name in ("projection", "lips", "voice", "mean")}

    def seen(self, values: Float[np.ndarray, "*T 90"]) -> Float[np.ndarray, "*T k"]:
        """What is seen of the lips in rows of motion."""
        return values @ self.projection[:MOTION_DIM] + self.projection[MOTION_DIM]

    def shifts(
        self, seen: Float[np.ndarray, "T k"], heard: Float[np.ndarray, "T m"]
    ) -> Float[np.ndarray, "shifts"]:
        """As `agreement`, for lips at 25 frames a second and `voice_features` of as many."""
        lips = windows(seen - seen.mean(0)) @ self.lips
        voice = (windows(heard) - self.mean) @ self.voice
        return agreement(lips, voice - voice.mean(0), heard.mean(1))

    def judge(self, seen: Float[np.ndarray, "T k"], voice: Sound, spoken_s: float) -> Sync | None:
        """By how much lips at 25 frames a second are late, for a voice with `spoken_s` seconds of
        speech. None where there is too little to tell: under LEAST_SPEECH_S, or too few frames.
        """
        seen = seen[:MOST_FRAMES]
        if spoken_s < LEAST_SPEECH_S or len(seen) < LEAST_FRAMES + REACH:
            return None
        found = self.shifts(seen, voice_features(voice, len(seen), self.config.mels))
        return sync_of(found, self.config.floor, spoken_s * FPS)


def sync_of(found: Float[np.ndarray, "shifts"], floor: float, frames: float) -> Sync:
    """The best shift (between frames by a parabola through its neighbours) and how clear it is. At
    an end the true one may be further out: that is not `sure`.
    """
    best = int(found.argmax())
    at, inside = float(best - REACH), 0 < best < len(found) - 1
    if inside:
        left, top, right = found[best - 1 : best + 2].tolist()
        bend = left - 2 * top + right
        at += 0.5 * (left - right) / bend if bend < 0 else 0.0
    confidence = float(found[best] - np.median(found[found > -1]))
    return Sync(1000 * at / FPS, confidence, inside and confidence > floor / math.sqrt(frames))
