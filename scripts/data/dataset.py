"""What every training script reads its clips from: a dataset of `visavis data` (docs/dataset.md),
or the folder that the converters of the research pack write:

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
none; group facegood has no tracks. `scripts/data/facepack.py` writes it from the research data
pack. A corpus of your own is imported by `visavis data import`.
"""

import csv
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from app.dataset.layout import Dataset, Sample
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Waveform
from motion2video.motion import MOTION_DIM, Motion
from weights.errors import MediaError


class Clip(Protocol):
    """One person without an interruption. `group` is a kind of source, `fps` the source's own rate
    of frames; motion and pictures have 25 a second.
    """

    @property
    def name(self) -> str: ...

    @property
    def group(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def split(self) -> str: ...

    @property
    def frames(self) -> int: ...

    @property
    def fps(self) -> float: ...

    @property
    def tracked(self) -> bool:
        """Whether there are landmarks, not motion alone."""
        ...

    @property
    def heard(self) -> bool:
        """Whether there is a voice."""
        ...

    @property
    def filmed(self) -> bool:
        """Whether there are pictures."""
        ...

    def track(self) -> dict[str, np.ndarray]:
        """landmarks, expression, valid and size of the clip."""
        ...

    def motion(self) -> Motion:
        """The clip's Motion."""
        ...

    def samples(self) -> np.ndarray:
        """The voice at 16 kHz, sample 0 at frame 0; raises MediaError without one."""
        ...

    def pictures(self) -> list[np.ndarray]:
        """All frames of the video, RGB; none without one."""
        ...


@dataclass(frozen=True)
class FileClip:
    """One row of index.csv; `audio` and `video` are None where there is none."""

    name: str
    group: str
    identity: str
    split: str
    frames: int
    fps: float
    audio: Path | None
    video: Path | None
    root: Path

    @property
    def tracked(self) -> bool:
        return (self.root / "tracks" / f"{self.name}.npz").is_file()

    @property
    def heard(self) -> bool:
        return self.audio is not None

    @property
    def filmed(self) -> bool:
        return self.video is not None

    def track(self) -> dict[str, np.ndarray]:
        with np.load(self.root / "tracks" / f"{self.name}.npz") as data:
            return {k: data[k] for k in data.files}

    def motion(self) -> Motion:
        return Motion.load(self.root / "motion" / f"{self.name}.npz")

    def samples(self) -> np.ndarray:
        if self.audio is None:
            raise MediaError(f"the clip {self.name} has no voice")
        return Waveform.load(self.audio).samples

    def pictures(self) -> list[np.ndarray]:
        return [] if self.video is None else _frames_of(self.video)


@dataclass(frozen=True)
class SampleClip:
    """A sample of a dataset that has motion."""

    dataset: Dataset
    sample: Sample

    @property
    def name(self) -> str:
        return self.sample.key

    @property
    def group(self) -> str:
        return "real" if self.sample.motion == "video" else "mapped"

    @property
    def identity(self) -> str:
        return self.sample.person

    @property
    def split(self) -> str:
        return self.dataset.split_of(self.sample.person)

    @property
    def frames(self) -> int:
        return self.sample.frames

    @property
    def fps(self) -> float:
        return self.sample.fps

    @property
    def tracked(self) -> bool:
        return "track.npz" in self.sample.members

    @property
    def heard(self) -> bool:
        return bool(self.sample.voice)

    @property
    def filmed(self) -> bool:
        return "faces.mp4" in self.sample.members

    def track(self) -> dict[str, np.ndarray]:
        found = self.dataset.track(self.sample)
        if found is None:
            raise MediaError(f"the sample {self.name} has no track")
        return {
            "landmarks": found.landmarks,
            "expression": found.expression.astype(np.float32),
            "valid": found.valid,
            "size": np.array(found.size),
        }

    def motion(self) -> Motion:
        found = self.dataset.motion(self.sample)
        if found is None:
            raise MediaError(f"the sample {self.name} has no motion")
        return found

    def samples(self) -> np.ndarray:
        found = self.dataset.voice(self.sample)
        if found is None:
            raise MediaError(f"the sample {self.name} has no voice")
        return found.samples

    def pictures(self) -> list[np.ndarray]:
        data = self.dataset.read(self.sample, "faces.mp4")
        if data is None:
            return []
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            file.write(data)
            file.flush()
            return _frames_of(Path(file.name))


def _frames_of(video: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(video)), []
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


def clips(root: Path, split: str | None = None) -> Sequence[Clip]:
    """The clips of a split (all of them without one), in the order of their index."""
    if Dataset.is_one(root):
        dataset = Dataset.open(root)
        return [SampleClip(dataset, s) for s in dataset.samples(split) if s.motion]
    with (root / "index.csv").open(newline="", encoding="utf8") as file:
        rows = list(csv.DictReader(file))
    return [
        FileClip(
            row["clip"],
            row["group"],
            row["identity"],
            row["split"],
            int(row["frames"]),
            float(row["native_fps"] or 25),
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
