"""Whose voice is heard: stretches of speech in one sound are given to the faces that were seen.

A stretch belongs to the face whose lips do what the voice lets expect. Where several faces could
have said it, one must be clearly better; where only one is to be seen, it must not contradict. A
stretch that is nobody's for sure is in `doubt`, and is left out of everybody's voice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from app.dataset.layout import VoiceKind
from app.dataset.lips import LipReader, Match, correlation, lag_of, shifted
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Waveform, speech_segments
from motion2video.motion import FPS

Stretch = tuple[float, float]
LEAST_R = 0.2
"""r of heard and seen lips below which a face is not taken for who is speaking."""
LEAST_LEAD = 0.15
"""By how much r of one face must be above those of all others."""
TELLING_S = 2.0
"""Seconds of speech from which lips tell whether a lone face says it."""
_PRESENT = 0.6  # of a stretch, in which a face must be seen to have said it
_AROUND = 5  # frames that are looked at before and after a stretch
_LEAST = 12  # frames
_FADE = 160  # samples: 10 ms
_KEPT_S = 0.12  # of the sound before and after a stretch that go with it


@dataclass(frozen=True, eq=False)
class Face:
    """A face from frame `first` on: the gap of its lips, and where it was seen."""

    first: int
    gap: Float[np.ndarray, "T"]
    valid: Bool[np.ndarray, "T"]

    @property
    def end(self) -> int:
        """The frame after its last."""
        return self.first + len(self.gap)


@dataclass(frozen=True, eq=False)
class Said:
    """What a face said, from its first frame on: the `voice` is silent where others speak."""

    voice: Waveform
    kind: VoiceKind
    speech: tuple[Stretch, ...]
    doubt: tuple[Stretch, ...]
    sync: Match | None
    """Unknown (None) where too little was said to tell."""


def common_lag(heard: Float[np.ndarray, "n"], faces: Sequence[Face]) -> Match:
    """How far sound and picture of a recording are apart: that of the face which fits best."""
    found = [lag_of(heard[f.first : f.end], f.gap) for f in faces if len(f.gap) >= TELLING_S * FPS]
    return max(found, key=lambda match: match.r, default=Match(0, 0.0))


def who_speaks(
    sound: Waveform, frames: int, faces: Sequence[Face], reader: LipReader
) -> list[Said]:
    """What each face said; `sound` is on the picture's clock, `frames` is the picture's length."""
    heard = reader.heard_gap(sound, frames)
    lag = common_lag(heard, faces).lag
    if lag:
        sound = shifted(sound, lag, frames)
        heard = reader.heard_gap(sound, frames)
    stretches = speech_segments(sound)
    spoken = mask_of(stretches, frames)
    fits = [_fit(heard, face, spoken) for face in faces]
    own: list[list[Stretch]] = [[] for _ in faces]
    doubt: list[list[Stretch]] = [[] for _ in faces]
    for stretch in stretches:
        there = [n for n, face in enumerate(faces) if _present(face, stretch)]
        who = _speaker(heard, faces, fits, there, stretch)
        if who is not None:
            own[who].append(stretch)
        else:
            for n in there:
                doubt[n].append(stretch)
    return [
        _said(sound, face, own[n], doubt[n], fits[n], lag, _alone(faces, n))
        for n, face in enumerate(faces)
    ]


def mask_of(stretches: Sequence[Stretch], frames: int) -> Bool[np.ndarray, "frames"]:
    """The frames whose middles are in one of the stretches (seconds)."""
    middle = (np.arange(frames) + 0.5) / FPS
    out = np.zeros(frames, bool)
    for start, end in stretches:
        out |= (middle >= start) & (middle < end)
    return out


def within(stretches: Sequence[Stretch], start: float, end: float) -> tuple[Stretch, ...]:
    """What of the stretches is between two times, counted from the first of them."""
    cut = ((max(a, start) - start, min(b, end) - start) for a, b in stretches)
    return tuple((round(a, 3), round(b, 3)) for a, b in cut if b - a > 1e-6)


def only_in(sound: Waveform, stretches: Sequence[Stretch]) -> Waveform:
    """The sound in those stretches and a little around them, silence elsewhere."""
    gain = np.zeros(len(sound.samples), np.float32)
    for start, end in stretches:
        a = max(0, round((start - _KEPT_S) * sound.sample_rate))
        b = min(len(gain), round((end + _KEPT_S) * sound.sample_rate))
        gain[a:b] = 1
    soft = np.convolve(gain, np.ones(_FADE, np.float32) / _FADE, "same")
    return Waveform(sound.samples * np.minimum(soft, 1), sound.sample_rate)


def _fit(heard: np.ndarray, face: Face, spoken: np.ndarray) -> float | None:
    """r over all speech while the face was there; None for too little of it."""
    known = spoken[face.first : face.end] & face.valid
    if known.sum() < TELLING_S * FPS:
        return None
    return correlation(heard[face.first : face.end], face.gap, 0, known)


def _present(face: Face, stretch: Stretch) -> bool:
    a, b = round(stretch[0] * FPS), max(round(stretch[1] * FPS), round(stretch[0] * FPS) + 1)
    seen = face.valid[max(0, a - face.first) : max(0, b - face.first)]
    return float(seen.sum()) >= _PRESENT * (b - a)


def _speaker(
    heard: np.ndarray,
    faces: Sequence[Face],
    fits: Sequence[float | None],
    there: Sequence[int],
    stretch: Stretch,
) -> int | None:
    """Whose lips go with a stretch of speech; None for nobody's."""
    if not there:
        return None
    if len(there) == 1:
        fit = fits[there[0]]
        return there[0] if fit is None or fit >= LEAST_R else None
    scores = {n: _score(heard, faces[n], stretch) for n in there}
    best = max(there, key=lambda n: scores[n])
    second = max(scores[n] for n in there if n != best)
    sure = scores[best] >= LEAST_R and scores[best] - second >= LEAST_LEAD
    return best if sure else None


def _score(heard: np.ndarray, face: Face, stretch: Stretch) -> float:
    """r in a stretch and a little around it, less for lips that hardly move: a mouth that rests
    may tremble in time by chance.
    """
    middle = (stretch[0] + stretch[1]) / 2 * FPS
    half = max(_LEAST, (stretch[1] - stretch[0]) * FPS) / 2 + _AROUND
    a, b = max(face.first, round(middle - half)), min(face.end, round(middle + half))
    seen = face.gap[a - face.first : b - face.first]
    told = heard[a:b]
    moved = float(seen.std() / max(float(told.std()), 1e-6))
    return correlation(told, seen) * min(1.0, 2 * moved)


def _alone(faces: Sequence[Face], n: int) -> bool:
    """Whether nobody else was seen while this face was."""
    mine = faces[n]
    others = (f for i, f in enumerate(faces) if i != n)
    return all(f.end <= mine.first or f.first >= mine.end for f in others)


def _said(
    sound: Waveform,
    face: Face,
    own: Sequence[Stretch],
    doubt: Sequence[Stretch],
    fit: float | None,
    lag: int,
    alone: bool,
) -> Said:
    start, end = face.first / FPS, face.end / FPS
    mine, unsure = within(own, start, end), within(doubt, start, end)
    samples = slice(face.first * SAMPLES_PER_FRAME, face.end * SAMPLES_PER_FRAME)
    whole = alone and not unsure
    heard = sound if whole else only_in(sound, own)
    part = np.zeros(len(face.gap) * SAMPLES_PER_FRAME, np.float32)
    piece = heard.samples[samples]
    part[: len(piece)] = piece
    kind: VoiceKind = ""
    if mine:
        kind = "matched" if fit is not None and fit >= LEAST_R else "assumed"
    sync = None if fit is None else Match(lag, fit)
    return Said(Waveform(part, sound.sample_rate), kind, mine, unsure, sync)
