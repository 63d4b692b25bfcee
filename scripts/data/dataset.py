"""The dataset layout that every training script reads, and its reader.

    DATA/index.csv            clip, group, identity, split (train | val | test), frames, motion,
                              audio, video, native_fps, partner
    DATA/tracks/<clip>.npz    landmarks [T, 478, 3] pixels, expression [T, 52] raw tracker scores,
                              valid [T], size (width, height); 25 frames a second
    DATA/motion/<clip>.npz    the same as Motion (`Motion.save`)
    DATA/audio/<clip>.wav     16 kHz mono, sample 0 at frame 0, lip-sync corrected
    DATA/video/<clip>.mp4     25 frames a second, frame i is frame i of the track
    DATA/stills.csv           name, identity, split, image (a path below DATA)
    DATA/stills.npz           names [N], landmarks [N, 478, 3] pixels
    DATA/judge/SPLIT/<clip>.npz, .wav   motion [T, 58] and sound of takes to judge by (talkers.py)

Splits are by identity: nobody is in two of them. `audio` and `video` are empty where a clip has
none; group facegood has no tracks. A corpus of your own needs no more than this;
`scripts/data/facepack.py` writes it from the research data pack.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Waveform
from motion2video.motion import MOTION_DIM, Motion
from weights.errors import MediaError


@dataclass(frozen=True)
class Clip:
    """One row of index.csv; `audio` and `video` are None where there is none."""

    name: str
    identity: str
    split: str
    frames: int
    audio: Path | None
    video: Path | None
    root: Path

    @property
    def tracked(self) -> bool:
        """Whether there are landmarks, not motion alone."""
        return (self.root / "tracks" / f"{self.name}.npz").is_file()

    def track(self) -> dict[str, np.ndarray]:
        """landmarks, expression, valid and size of the clip."""
        with np.load(self.root / "tracks" / f"{self.name}.npz") as data:
            return {k: data[k] for k in data.files}

    def motion(self) -> Motion:
        """The clip's Motion."""
        return Motion.load(self.root / "motion" / f"{self.name}.npz")

    def pictures(self) -> list[np.ndarray]:
        """All frames of the video, RGB."""
        if self.video is None:
            return []
        capture, frames = cv2.VideoCapture(str(self.video)), []
        while True:
            found, frame = capture.read()
            if not found:
                return frames
            frames.append(np.ascontiguousarray(frame[..., ::-1]))


@dataclass(frozen=True)
class Still:
    """One picture with its landmarks [478, 3] in pixels."""

    name: str
    identity: str
    split: str
    image: Path
    landmarks: np.ndarray

    def picture(self) -> np.ndarray:
        """The picture, RGB."""
        picture = cv2.imread(str(self.image))
        if picture is None:
            raise MediaError(f"cannot read the picture {self.image}")
        return np.ascontiguousarray(picture[..., ::-1])


def clips(root: Path, split: str | None = None) -> list[Clip]:
    """The clips of a split (all of them without one), in the order of index.csv."""
    with (root / "index.csv").open(newline="", encoding="utf8") as file:
        rows = list(csv.DictReader(file))
    return [
        Clip(
            row["clip"],
            row["identity"],
            row["split"],
            int(row["frames"]),
            root / row["audio"] if row["audio"] else None,
            root / row["video"] if row["video"] else None,
            root,
        )
        for row in rows
        if split in (None, row["split"])
    ]


def stills(root: Path, split: str | None = None) -> Iterator[Still]:
    """The pictures of a split, in the order of stills.csv; none where there is no such file."""
    table = root / "stills.csv"
    if not table.is_file():
        return
    with np.load(root / "stills.npz") as data:
        landmarks = dict(zip(data["names"].tolist(), data["landmarks"], strict=True))
    with table.open(newline="", encoding="utf8") as file:
        for row in csv.DictReader(file):
            if split in (None, row["split"]):
                image = root / row["image"]
                yield Still(
                    row["name"], row["identity"], row["split"], image, landmarks[row["name"]]
                )


def judged(folder: Path) -> Iterator[tuple[str, Waveform, Motion]]:
    """Name, sound and motion of every take in DATA/judge/SPLIT, both equally long."""
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            known = data["motion"]
        samples = Waveform.load(path.with_suffix(".wav")).samples
        count = min(len(known), len(samples) // SAMPLES_PER_FRAME)
        values = np.zeros((count, MOTION_DIM), np.float32)
        values[:, : known.shape[1]] = known[:count]
        yield path.stem, Waveform(samples[: count * SAMPLES_PER_FRAME]), Motion(values)
