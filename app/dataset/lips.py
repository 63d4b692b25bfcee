"""Whether lips and a voice go together: the gap of the lips that a voice lets expect, by the reader
in the embedded generator, beside the gap that is seen.

Both move alike where one person is heard and seen. That says by how many frames sound and picture
of a file are apart, who of several faces is speaking, and whose channel is whose.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Waveform
from audio2motion.hearing.speech import SpeechEncoder
from audio2motion.network.condition import LOOK_AHEAD, agent_window
from audio2motion.network.gate import SPEECH_CHANNELS
from motion2video.geometry.basis import FaceBasis
from motion2video.motion import MOTION_DIM
from weights.tensors import load_safetensors

MOST_LAG = 6
"""Frames that sound and picture may be apart."""
SURE = 0.25
"""Pearson's r of heard and seen lips below which a lag is unknown and taken as 0."""
_CLEARLY_BETTER = 0.03


class Match(NamedTuple):
    """By how many frames the sound comes after the picture, and Pearson's r there."""

    lag: int
    r: float


class LipReader:
    """Reads lips out of a voice; load once, for any number of voices."""

    def __init__(self, encoder: SpeechEncoder, tensors: dict[str, np.ndarray], basis: FaceBasis):
        self._encoder, self._basis = encoder, basis
        lips = list(SPEECH_CHANNELS)
        reader = torch.from_numpy(tensors["reader"]).float()[:, :-1]
        self._weight, self._bias = reader[:-1], reader[-1]
        self._std, self._mean = tensors["std"][lips], tensors["mean"][lips]

    @staticmethod
    def load() -> "LipReader":
        """With the embedded weights. Raises WeightsError."""
        tensors, _ = load_safetensors("motion_generator")
        return LipReader(SpeechEncoder.load(), tensors, FaceBasis.load())

    @torch.inference_mode()
    def heard_gap(self, voice: Waveform, frames: int) -> Float[np.ndarray, "frames"]:
        """The gap of the lips in each of so many frames, in interocular distances."""
        padded = np.zeros((frames + LOOK_AHEAD) * SAMPLES_PER_FRAME, np.float32)
        known = voice.samples[: frames * SAMPLES_PER_FRAME]
        padded[: len(known)] = known
        heard = self._encoder.analyse(padded)
        window = agent_window(heard.features.float(), heard.energy.float(), heard.activity.float())
        values = np.zeros((len(window), MOTION_DIM), np.float32)
        read = (window @ self._weight + self._bias).numpy()
        values[:, list(SPEECH_CHANNELS)] = read * self._std + self._mean
        return self._basis.lip_gap(values)


def lag_of(heard: Float[np.ndarray, "n"], seen: Float[np.ndarray, "m"]) -> Match:
    """The lag at which the two go together best, 0 unless that is sure and clearly better."""
    scores = {lag: correlation(heard, seen, lag) for lag in range(-MOST_LAG, MOST_LAG + 1)}
    best = max(scores, key=lambda lag: scores[lag])
    sure = scores[best] >= SURE and scores[best] > scores[0] + _CLEARLY_BETTER
    return Match(best, scores[best]) if sure else Match(0, scores[0])


def correlation(
    heard: Float[np.ndarray, "n"],
    seen: Float[np.ndarray, "m"],
    lag: int = 0,
    known: Bool[np.ndarray, "m"] | None = None,
) -> float:
    """Pearson's r of what is heard `lag` frames later and what is seen, in the frames that are
    `known`; 0 where either does not move, or for fewer than 3 frames.
    """
    count = min(len(heard), len(seen)) - abs(lag)
    a, b = heard[max(0, lag) :][: max(count, 0)], seen[max(0, -lag) :][: max(count, 0)]
    if known is not None:
        here = known[max(0, -lag) :][: max(count, 0)]
        a, b = a[here], b[here]
    if len(a) < 3:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / size) if size > 1e-9 else 0.0


def shifted(voice: Waveform, lag: int, frames: int) -> Waveform:
    """`frames` frames of a sound from `lag` frames on; silence where there is none."""
    at = np.arange(frames * SAMPLES_PER_FRAME) + lag * SAMPLES_PER_FRAME
    inside = (at >= 0) & (at < len(voice.samples))
    out = np.zeros(len(at), np.float32)
    out[inside] = voice.samples[at[inside]]
    return Waveform(out, voice.sample_rate)
