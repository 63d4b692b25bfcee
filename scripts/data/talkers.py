#!/usr/bin/env python3
"""Write the dataset layout (see scripts/data/dataset.py) of expressive talkers from the data pack.

    python -m scripts.data.talkers --pack PACK --out TALKERS

PACK/talkers has continuous takes of people who talk, real ones and such that other systems made.
Nothing says how far sound and lips are apart: each take's sound is moved by the lag at which what
the embedded reader hears follows the tracked lips best, where that is clear. Every take has a
neutral face of its own. `group` in index.csv is the kind (real or generated), `identity` the
source; whole sources of real takes are held out, and the lists below must never change. Generated
takes are all for training. TALKERS/judge/SPLIT has motion and sound of the held-out takes as
NAME.npz and NAME.wav, for scripts/evaluate/liveliness.py.
"""

import argparse
import csv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Waveform
from audio2motion.hearing.speech import SpeechEncoder
from audio2motion.network.condition import agent_window
from audio2motion.network.gate import SPEECH_CHANNELS
from motion2video.geometry.basis import (
    FaceBasis,
    HeadPose,
    estimate_neutral,
    motion_from_landmarks,
    rotation_matrix,
)
from motion2video.motion import DETAIL, MOTION_DIM, Motion
from scripts.data.facepack import FIELDS
from scripts.data.motion_items import features_of
from weights.tensors import load_safetensors

TEST = {"looking-to-listen/looking-to-listen.github.io", "ajay-sainy/Wav2Lip-GFPGAN"}
VALIDATION = {"google-research/lingvo-lab", "FreedomIntelligence/TalkVid"}
MOST_LAG = 6
SURE_LAG = 0.25
"""Pearson's r of heard and tracked lips below which a take's lag is unknown and taken as 0."""
CLEARLY_BETTER = 0.03
JUDGED_SECONDS = 5.0


def split_of(kind: str, source: str) -> str:
    """train, val or test."""
    if kind != "real":
        return "train"
    return "test" if source in TEST else "val" if source in VALIDATION else "train"


def read_track(tracks: Mapping[str, np.ndarray], clip: str, basis: FaceBasis) -> Motion:
    """The motion of a take, relative to its own neutral face and its own middle pose."""
    points = tracks["mean"] + tracks[f"{clip}/points"].astype(np.float32) @ tracks["basis"]
    pose = tracks[f"{clip}/pose"].astype(np.float32)
    head = HeadPose(rotation_matrix(pose[:, :3]), pose[:, 3:6], pose[:, 6])
    landmarks = head.project(points.reshape(len(points), -1, 3))
    scores = tracks[f"{clip}/blendshapes"].astype(np.float32) / 255
    valid = np.ones(len(landmarks), bool)
    neutral = estimate_neutral(landmarks, scores, valid, basis)
    return motion_from_landmarks(landmarks, scores, valid, 25.0, basis, neutral)


def heard_gap(sounds: list[np.ndarray], frames: list[int], basis: FaceBasis) -> list[np.ndarray]:
    """[T] the gap of the lips that the embedded reader hears in every sound."""
    tensors, _ = load_safetensors("motion_generator")
    reader = torch.from_numpy(tensors["reader"]).float()[:, :-1]
    lips = list(SPEECH_CHANNELS)
    out = []
    for found in features_of(SpeechEncoder.load(), sounds, frames):
        window = agent_window(found.features.float(), found.energy.float(), found.activity.float())
        values = np.zeros((len(window), MOTION_DIM), np.float32)
        read = (window @ reader[:-1] + reader[-1]).numpy()
        values[:, lips] = read * tensors["std"][lips] + tensors["mean"][lips]
        out.append(basis.lip_gap(values))
    return out


def lag_of(heard: np.ndarray, seen: np.ndarray) -> tuple[int, float]:
    """By how many frames the sound comes after the picture, and Pearson's r there."""
    scores = {}
    for lag in range(-MOST_LAG, MOST_LAG + 1):
        count = min(len(heard), len(seen)) - abs(lag)
        a, b = heard[max(0, lag) :][:count], seen[max(0, -lag) :][:count]
        scores[lag] = float(np.corrcoef(a, b)[0, 1])
    best = max(scores, key=lambda lag: scores[lag])
    sure = scores[best] >= SURE_LAG and scores[best] > scores[0] + CLEARLY_BETTER
    return (best, scores[best]) if sure else (0, scores[0])


def shifted(samples: np.ndarray, lag: int, frames: int) -> np.ndarray:
    """`frames` frames of sound from `lag` frames on; silence where there is none."""
    at = np.arange(frames * SAMPLES_PER_FRAME) + lag * SAMPLES_PER_FRAME
    inside = (at >= 0) & (at < len(samples))
    out = np.zeros(len(at), np.float32)
    out[inside] = samples[at[inside]]
    return out


def read_sound(archive: zipfile.ZipFile, clip: str, folder: Path) -> np.ndarray:
    """16 kHz mono of a take, which is unpacked in `folder` for a moment."""
    path = folder / f"{clip}.ogg"
    path.write_bytes(archive.read(path.name))
    samples = Waveform.load(path).samples
    path.unlink()
    return samples


def main() -> None:
    """Parse the command line, convert."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    source, out, basis = options.pack / "talkers", options.out, FaceBasis.load()
    for folder in ("motion", "audio", "judge/val", "judge/test"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    with (source / "index.csv").open(encoding="utf8") as file:
        takes = list(csv.DictReader(file))
    with np.load(source / "tracks.npz") as tracks:
        held = {name: tracks[name] for name in tracks.files}
    motions = [read_track(held, take["clip"], basis) for take in takes]
    with zipfile.ZipFile(source / "audio.zip") as archive:
        sounds = [read_sound(archive, take["clip"], out / "audio") for take in takes]
    gaps = heard_gap(sounds, [len(m) for m in motions], basis)
    rows = []
    for take, motion, sound, gap in zip(takes, motions, sounds, gaps, strict=True):
        name, split = take["clip"], split_of(take["kind"], take["source"])
        lag, r = lag_of(gap, basis.lip_gap(motion.values))
        wave = Waveform(shifted(sound, lag, len(motion)))
        motion.save(out / "motion" / f"{name}.npz")
        wave.save(out / "audio" / f"{name}.wav")
        if split != "train" and motion.seconds >= JUDGED_SECONDS:
            judged = out / "judge" / split
            np.savez(judged / f"{name}.npz", motion=motion.values[:, : DETAIL.start])
            wave.save(judged / f"{name}.wav")
        row = dict.fromkeys(FIELDS, "")
        row |= {"clip": name, "group": take["kind"], "identity": take["source"], "split": split}
        row |= {"motion": f"motion/{name}.npz", "audio": f"audio/{name}.wav"}
        row |= {"native_fps": take["native_fps"]}
        rows.append({**row, "frames": len(motion), "lag": lag, "r": round(r, 3)})
    with (out / "index.csv").open("w", newline="", encoding="utf8") as file:
        writer = csv.DictWriter(file, [*FIELDS, "lag", "r"])
        writer.writeheader()
        writer.writerows(rows)
    moved = np.array([row["lag"] for row in rows])
    print(f"{len(rows)} takes; sound moved in {(moved != 0).sum()}, by {np.abs(moved).mean():.2f}")


if __name__ == "__main__":
    main()
