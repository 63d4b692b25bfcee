"""Fit the judge of lip sync (role `lip_sync`), and say how well it tells on people held out.

    python -m scripts.train.sync --data DATA [--talkers TALKERS] [--out DIR]
    python -m scripts.train.sync --data DATA [--talkers TALKERS] --judge    # the embedded one

DATA and TALKERS (scripts/data/facepack.py, scripts/data/talkers.py) have tracked motion and sound.
Of the split `train` come the canonical directions, of `val` the floor of the confidence; `test` is
judged by. Pieces of several lengths (short clips of a person are joined to longer ones) are shifted
by up to five frames, which has to be found; beside that the same of lips and voices of two people.
"""

import argparse
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from app.quality.kinematics import LIP_POINTS
from app.quality.lip_sync import (
    LEAST_FRAMES,
    REACH,
    LipSyncConfig,
    LipSyncJudge,
    sync_of,
    voice_features,
    windows,
)
from audio2motion.hearing.audio import Waveform
from motion2video.geometry.basis import FaceBasis
from motion2video.motion import DETAIL, EXPRESSION, FPS, MOTION_DIM
from scripts.data.dataset import Clip, clips
from weights.tensors import save_safetensors

LIPS = [*LIP_POINTS, 152]  # and the chin
COMPONENTS, DIRECTIONS = 16, 12
STIFFNESS = 0.02
SECONDS = (1.2, 2.5, 5.0, 10.0)
"""Of what is judged."""
SPOKEN = 0.35
"""Of a piece's span of loudness, above which its frames are taken for speech."""


@dataclass(frozen=True, eq=False)
class Take:
    """A clip: whose, motion [T, 90] and voice [T, m]."""

    person: str
    values: np.ndarray
    voice: np.ndarray


@dataclass(frozen=True)
class Told:
    """Of pieces: how many, the share whose best shift is within a frame of the truth, the median
    error, the mean confidence of them and of strangers, how often one's own is above a stranger's
    (AUC), and the strangers' confidences times the root of their frames of speech.
    """

    count: int
    within: float
    error_ms: float
    confidence: float
    strangers: float
    auc: float
    floors: np.ndarray


def read(roots: list[Path], split: str, most: int, mels: int) -> list[Take]:
    """All clips with sound, at most so many of a person, evenly chosen."""
    people: dict[str, list[Clip]] = defaultdict(list)
    for clip in (clip for root in roots for clip in clips(root, split)):
        if clip.heard:
            people[clip.identity].append(clip)
    out = []
    for person, own in people.items():
        for clip in own[:: -(-len(own) // most)]:
            values, sound = clip.motion().values, Waveform(clip.samples())
            count = min(len(values), sound.frames)
            out.append(Take(person, values[:count], voice_features(sound, count, mels)))
    return out


def lip_projection(takes: list[Take]) -> Float[np.ndarray, "91 k"]:
    """From a row of motion (and 1) to the first whitened components of the lips' points, which
    move linearly with it.
    """
    basis = FaceBasis.load()
    moves = np.zeros((MOTION_DIM, len(LIPS) * 3))
    moves[EXPRESSION] = basis.expression[:, LIPS].reshape(len(basis.expression), -1)
    moves[DETAIL] = basis.detail[:, LIPS].reshape(len(basis.detail), -1)
    centred = np.concatenate([t.values - t.values.mean(0) for t in takes])
    spread = moves.T @ (centred.T @ centred / len(centred)) @ moves
    values, vectors = np.linalg.eigh(spread)
    kept = np.argsort(values)[::-1][:COMPONENTS]
    project = moves @ vectors[:, kept] / np.sqrt(values[kept])
    mean = np.mean([t.values.mean(0) for t in takes], axis=0)
    return np.concatenate([project, -(mean @ project)[None]]).astype(np.float32)


def fit(takes: list[Take], config: LipSyncConfig) -> LipSyncJudge:
    """The directions of both that correlate most, each as long as the root of its correlation."""
    projection = lip_projection(takes)
    seen = [t.values @ projection[:MOTION_DIM] for t in takes]
    x = np.concatenate([windows(s - s.mean(0)) for s in seen])
    y = np.concatenate([windows(t.voice) for t in takes])
    mean = y.mean(0)
    loud = np.concatenate([t.voice.mean(1) for t in takes])[:, None]
    x, y = x - x.mean(0), y - mean
    whitened = []
    for z in (x, y):
        values, vectors = np.linalg.eigh((loud * z).T @ z / loud.sum())
        whitened.append(vectors / np.sqrt(np.maximum(values, 0) + STIFFNESS * values.mean()))
    u, r, vt = np.linalg.svd(whitened[0].T @ ((loud * x).T @ y / loud.sum()) @ whitened[1])
    print("canonical correlations", r[:DIRECTIONS].round(2).tolist())
    length = np.sqrt(r[:DIRECTIONS])
    lips, voice = whitened[0] @ u[:, :DIRECTIONS], whitened[1] @ vt[:DIRECTIONS].T
    parts = (projection, lips * length, voice * length, mean)
    return LipSyncJudge(config, *(part.astype(np.float32) for part in parts))


def pieces(takes: list[Take], seconds: float) -> list[Take]:
    """Pieces of so many seconds, of which short clips are joined to others of the same person."""
    want, people, out = round(seconds * FPS), defaultdict(list), []
    for take in takes:
        people[take.person].append(take)
    for person, own in people.items():
        values, voice = (np.concatenate([getattr(t, n) for t in own]) for n in ("values", "voice"))
        starts = range(0, len(values) - want + 1, want)
        out += [Take(person, values[at : at + want], voice[at : at + want]) for at in starts]
    return out


def spoken(voice: Float[np.ndarray, "T m"]) -> int:
    """Frames that are loud."""
    level = voice.mean(1)
    low, high = np.quantile(level, [0.02, 0.98])
    return max(1, int((level > low + SPOKEN * (high - low)).sum()))


def told(judge: LipSyncJudge, found: list[Take]) -> Told:
    """Figures of a judge, of pieces shifted by -5 to 5 frames; strangers are other people."""
    own, other, floors, errors = [], [], [], []
    for i, take in enumerate(found):
        count, lips = len(take.values), judge.seen(take.values)
        late = 0 if count < 2 * REACH + LEAST_FRAMES else (7 * i) % 11 - 5
        # Both are cut: the lips that are left begin `late` frames before the voice does.
        seen = slice(max(0, -late), count - max(0, late))
        heard = slice(max(0, late), count - max(0, -late))
        sync = sync_of(judge.shifts(lips[seen], take.voice[heard]), 0.0, 1.0)
        own.append(sync.confidence)
        errors.append(abs(sync.offset_ms - 1000 * late / FPS))
        stranger = next(t for t in found[i + 1 :] + found[:i] if t.person != take.person)
        voice = stranger.voice[heard]
        other.append(sync_of(judge.shifts(lips[seen], voice), 0.0, 1.0).confidence)
        floors.append(other[-1] * np.sqrt(spoken(voice)))
    a, b, away = np.array(own), np.array(other), np.array(errors)
    auc = (a[:, None] > b[None]).mean() + 0.5 * (a[:, None] == b[None]).mean()
    within, error = float((away <= 1.5 * 1000 / FPS).mean()), float(np.median(away))
    return Told(len(a), within, error, a.mean(), b.mean(), float(auc), np.array(floors))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--talkers", type=Path)
    parser.add_argument("--most", type=int, default=12, help="clips of a person")
    parser.add_argument("--out", type=Path, help="folder for lip_sync.safetensors")
    parser.add_argument("--judge", action="store_true", help="say how good the embedded one is")
    options = parser.parse_args()
    roots = [options.data, *([options.talkers] if options.talkers else [])]
    config = LipSyncConfig()

    def takes(split: str) -> list[Take]:
        return read(roots, split, options.most, config.mels)

    if options.judge:
        judge = LipSyncJudge.load()
    else:
        training = takes("train")
        print(f"{len(training)} clips, {sum(len(t.values) for t in training)} frames", flush=True)
        judge, held = fit(training, config), takes("val")
        floors = [told(judge, pieces(held, s)).floors for s in SECONDS]
        config = replace(config, floor=float(np.quantile(np.concatenate(floors), 0.95)))
        print(f"floor {config.floor:.3f}", flush=True)
        judge = replace(judge, config=config)
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            small = {k: v.astype(np.float16) for k, v in judge.to_tensors().items()}
            save_safetensors(options.out / "lip_sync.safetensors", small, config.to_dict())
    test = takes("test")
    for seconds in SECONDS:
        t = told(judge, pieces(test, seconds))
        print(
            f"test, {seconds:4g} s: {t.count:4}  within a frame {t.within:.3f}  median error "
            f"{t.error_ms:3.0f} ms  confidence {t.confidence:.3f}, strangers {t.strangers:.3f}, "
            f"AUC {t.auc:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
