"""Whether a dataset is fit to train on: figures, and sentences about what is wrong with it."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from app.batch.storage import is_remote
from app.dataset.layout import Dataset, Sample
from app.dataset.speaking import LEAST_R
from app.dataset.splits import look_alikes
from app.render.request import Progress
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Waveform
from weights.errors import VisavisError

WELL_TRACKED = 0.9
"""Share of its frames in which a face must be seen, or the sample is told of."""
LATE_MS = 80.0
"""Lips that were further than this from their voice are told of, though it was put right."""
SAME_SOUND = 0.995
"""Correlation of two voices' loudness from which they are taken for one recording."""
ONE_PERSON = 0.75
_BLOCK = 5  # frames of a loudness
_LEAST_BLOCKS = 10


@dataclass(frozen=True)
class Checked:
    """What was found. Without `problems` there is nothing to put right."""

    figures: dict[str, Any]
    problems: tuple[str, ...]


def check(dataset: Dataset, progress: Progress | None = None) -> Checked:
    """Read all of a dataset once. Raises what opening it raises."""
    samples = dataset.samples()
    problems, prints, loud = list[str](), defaultdict(list), {}
    for n, sample in enumerate(samples, 1):
        try:
            problems += _read(dataset, sample, prints, loud)
        except VisavisError as error:
            problems.append(f"{sample.key} cannot be read: {error}")
        if progress is not None:
            progress("checking", n, len(samples))
    problems += [
        f"{' and '.join(keys)} are the same, byte for byte: keep one"
        for keys in prints.values()
        if len(keys) > 1
    ]
    told = {frozenset(keys) for keys in prints.values()}
    problems += [
        f"{a} and {b} have one sound: they seem to be copies"
        for a, b in _copies(samples, loud)
        if frozenset((a, b)) not in told
    ]
    problems += [*_leaks(dataset, samples), *_terms(samples), *_tracking(samples), *_sync(samples)]
    if not is_remote(dataset.address):
        problems += [
            f"{report.source} gave nothing: {report.failed}"
            for report in dataset.reports()
            if report.failed
        ]
    if not samples:
        problems.append("there is no sample in it")
    return Checked(statistics(dataset), tuple(problems))


def statistics(dataset: Dataset) -> dict[str, Any]:
    """Figures of the index alone."""
    samples = dataset.samples()
    lags = [s.sync_ms for s in samples if s.sync_ms is not None]
    fits = [s.sync_r for s in samples if s.sync_r is not None]
    seconds = sum(s.seconds for s in samples)
    moving = [s for s in samples if s.motion]
    frames = max(sum(s.frames for s in moving), 1)
    return {
        "samples": len(samples),
        "people": len({s.person for s in samples}),
        "conversations": len(dataset.conversations()),
        "seconds": round(seconds, 2),
        "speech_seconds": round(sum(b - a for s in samples for a, b in s.speech), 2),
        "doubt_seconds": round(sum(b - a for s in samples for a, b in s.doubt), 2),
        "seen": round(sum(s.valid for s in moving) / frames, 4),
        "motion": dict(Counter(s.motion or "none" for s in samples)),
        "voice": dict(Counter(s.voice or "none" for s in samples)),
        "licence": dict(Counter(s.licence or "not said" for s in samples)),
        "consent": dict(Counter(s.consent or "not said" for s in samples)),
        "splits": dict(Counter(dataset.split_of(s.person) for s in samples)),
        "sync_known": len(lags),
        "sync_ms_median": float(np.median(lags)) if lags else None,
        "sync_r_median": float(np.median(fits)) if fits else None,
    }


def _read(
    dataset: Dataset,
    sample: Sample,
    prints: dict[str, list[str]],
    loud: dict[str, Float[np.ndarray, "b"]],
) -> list[str]:
    """What is wrong with one sample's files."""
    problems = []
    motion, track, voice = dataset.motion(sample), dataset.track(sample), dataset.voice(sample)
    for name, length in (
        ("motion", None if motion is None else len(motion)),
        ("track", None if track is None else len(track)),
        ("voice", None if voice is None else voice.frames),
    ):
        if length is not None and length != sample.frames:
            problems.append(f"{sample.key} has {length} frames of {name}; wanted {sample.frames}")
    if motion is None and voice is None:
        problems.append(f"{sample.key} has neither motion nor a voice")
    if motion is not None and float(motion.expression.std(axis=0).max(initial=0.0)) < 1e-4:
        problems.append(f"{sample.key} shows a face that never moves")
    if voice is not None:
        if voice.peak < 1e-4:
            problems.append(f"{sample.key} has a silent voice")
        loud[sample.key] = _loudness(voice)
    for member in ("motion.npz", "wav"):
        data = dataset.read(sample, member)
        if data is not None and not (member == "wav" and voice is not None and voice.peak < 1e-4):
            prints[hashlib.sha256(data).hexdigest()].append(sample.key)
            break
    return problems


def _loudness(voice: Waveform) -> Float[np.ndarray, "b"]:
    """Decibels of every fifth of a second."""
    block = _BLOCK * SAMPLES_PER_FRAME
    whole = voice.samples[: len(voice.samples) // block * block].reshape(-1, block)
    return 10 * np.log10((whole**2).mean(1) + 1e-8)


def _copies(
    samples: Sequence[Sample], loud: dict[str, Float[np.ndarray, "b"]]
) -> list[tuple[str, str]]:
    """Samples of about one length whose voices are as loud in the same moments."""
    by_length: dict[int, list[tuple[str, np.ndarray]]] = defaultdict(list)
    for sample in samples:
        curve = loud.get(sample.key)
        if curve is None or len(curve) < _LEAST_BLOCKS or curve.std() < 1e-3:
            continue
        unit = curve - curve.mean()
        by_length[len(curve)].append((sample.key, unit / np.linalg.norm(unit)))
    found = []
    for group in by_length.values():
        curves = np.stack([curve for _, curve in group])
        for n in range(len(group) - 1):
            for k in np.flatnonzero(curves[n + 1 :] @ curves[n] >= SAME_SOUND).tolist():
                found.append((group[n][0], group[n + 1 + k][0]))
    return found


def _leaks(dataset: Dataset, samples: Sequence[Sample]) -> list[str]:
    """Who is, or seems to be, in two splits."""
    problems = []
    if samples and not dataset.splits():
        problems.append("nobody has a split; run `visavis data split`")
    for a, b in dataset.conversations():
        if dataset.split_of(a.person) != dataset.split_of(b.person):
            problems.append(f"{a.conversation} is of two splits: {a.person} and {b.person}")
    for one, other, near in look_alikes(samples, ONE_PERSON):
        if dataset.split_of(one) != dataset.split_of(other):
            problems.append(
                f"{one} and {other} look like one person ({near:.2f}) and are in two splits"
            )
    return problems


def _terms(samples: Sequence[Sample]) -> list[str]:
    problems = []
    for name in ("licence", "consent"):
        bare = sum(not getattr(s, name) for s in samples)
        if bare:
            problems.append(f"{bare} samples say nothing of their {name}; import with --{name}")
    return problems


def _tracking(samples: Sequence[Sample]) -> list[str]:
    return [
        f"the face of {s.key} is seen in {100 * s.valid / s.frames:.0f}% of its frames"
        for s in samples
        if s.motion and s.valid < WELL_TRACKED * s.frames
    ]


def _sync(samples: Sequence[Sample]) -> list[str]:
    problems = []
    for s in samples:
        if s.sync_ms is not None and abs(s.sync_ms) > LATE_MS:
            problems.append(f"the lips of {s.key} were {s.sync_ms:.0f} ms from their voice")
        if s.voice and s.sync_r is not None and s.sync_r < LEAST_R:
            problems.append(f"the lips of {s.key} do not go with its voice (r = {s.sync_r:.2f})")
    return problems
