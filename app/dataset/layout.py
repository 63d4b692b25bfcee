"""The layout of a dataset: the one module that writes and reads it.

    DATA/dataset.json       format and version, licence, consent, what it was made by
    DATA/index.jsonl        one sample a line, with its place in its shard
    DATA/people.csv         person, split (train | val | test)
    DATA/shards/ID.tar      a WebDataset tar of what one recording gave; per sample
        KEY.json            the sample's line of the index; stretches of speech and of doubt
        KEY.motion.npz      Motion at 25 frames a second
        KEY.track.npz       landmarks [T, 478, 3] int16 in steps of `step` pixels, expression
                            [T, 52] raw tracker scores, valid [T], size (width, height)
        KEY.wav             the person's own voice, 16 kHz mono 16 bit, sample 0 at frame 0
        KEY.words.json      [[word, start s, end s], ...]
        KEY.faces.mp4       the face, 25 frames a second, frame i is frame i of the motion
    DATA/reports/ID.json    what became of the recording: samples, what was left out and why

A sample is one person without an interruption. Every member but the first may be missing. Two
samples with the same `conversation` are two people on one clock, equally long. A dataset that was
only copied somewhere (s3://..., https://...) is read from there; it is written in a folder.
"""

import base64
import csv
import io
import json
import os
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int16

from app.batch.storage import exists, is_remote, join, read_bytes, read_range
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from motion2video.media.npz import Wanted, read_arrays
from motion2video.motion import FPS, Motion
from weights.errors import InputError, MotionError
from weights.saving import save_whole, writing_whole

FORMAT = "visavis-dataset"
VERSION = 1
SPLITS = ("train", "val", "test")
VoiceKind = Literal["own", "matched", "assumed", ""]
"""How it is known whose voice it is: a microphone or channel of one's own, lips that go with it,
nobody else to be seen; empty without a voice."""
MotionKind = Literal["video", "movement", "keypoints", ""]
"""What the motion was made from: tracked, mapped from Seamless' movement or 133 keypoints."""
_MOST_FRAMES = 2 * 3600 * 25
_MOST_BYTES = 1 << 31
_KEY = re.compile(r"[A-Za-z0-9_\-]{1,90}")
_UNFIT = re.compile(r"[^A-Za-z0-9_\-]+")
_TRACK = {
    "landmarks": Wanted("i", _MOST_FRAMES * 478 * 3),
    "step": Wanted("f", 1),
    "expression": Wanted("f", _MOST_FRAMES * 52),
    "valid": Wanted("b", _MOST_FRAMES),
    "size": Wanted("iu", 2),
}


def key_of(name: str) -> str:
    """A name as it may stand in a key: letters, figures, - and _."""
    return _UNFIT.sub("-", name).strip("-")[:60] or "unnamed"


@dataclass(frozen=True, eq=False)
class Track:
    """A tracked face: landmarks `steps` [T, 478, 3] in steps of `step` pixels of a picture of
    `size` (width, height), raw scores `expression` [T, 52]; where `valid` [T] is False they are
    filled in.
    """

    steps: Int16[np.ndarray, "T 478 3"]
    step: float
    expression: Float[np.ndarray, "T 52"]
    valid: Bool[np.ndarray, "T"]
    size: tuple[int, int]

    @staticmethod
    def of(
        landmarks: Float[np.ndarray, "T 478 3"],
        expression: Float[np.ndarray, "T 52"],
        valid: Bool[np.ndarray, "T"],
        size: tuple[int, int],
    ) -> "Track":
        """Landmarks in pixels; they are kept to a part in 32,767 of the largest."""
        step = max(float(np.abs(landmarks).max(initial=0.0)) / 32767, 1e-6)
        steps = np.rint(landmarks / step).astype(np.int16)
        return Track(steps, step, expression.astype(np.float16), valid, size)

    def __len__(self) -> int:
        return len(self.valid)

    def __getitem__(self, frames: slice) -> "Track":
        """The frames of a slice."""
        parts = (self.steps[frames], self.step, self.expression[frames], self.valid[frames])
        return Track(*parts, self.size)

    @property
    def landmarks(self) -> Float[np.ndarray, "T 478 3"]:
        """In pixels; z on the same scale, smaller = nearer."""
        return self.steps * np.float32(self.step)

    def within(self, x: float, y: float, scale: float, size: tuple[int, int]) -> "Track":
        """In a picture that begins at (x, y) pixels of this one and is `scale` times as large."""
        moved = (self.landmarks - np.array([x, y, 0], np.float32)) * np.float32(scale)
        return Track.of(moved, self.expression, self.valid, size)

    def to_bytes(self) -> bytes:
        """As `KEY.track.npz`."""
        arrays: dict[str, Any] = {
            "landmarks": self.steps,
            "step": np.array(self.step, np.float64),
            "expression": self.expression,
            "valid": self.valid,
            "size": np.array(self.size),
        }
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        return file.getvalue()

    @staticmethod
    def of_bytes(data: bytes, name: str) -> "Track":
        """Read it again; messages call it `name`. Raises MotionError."""
        try:
            found = read_arrays(io.BytesIO(data), _TRACK)
            valid, size = found["valid"], found["size"]
            return Track(
                found["landmarks"].astype(np.int16).reshape(len(valid), 478, 3),
                float(found["step"].item()),
                found["expression"].astype(np.float16).reshape(len(valid), 52),
                valid,
                (int(size[0]), int(size[1])),
            )
        except (ValueError, IndexError, TypeError) as error:
            raise MotionError(f"{name} is not a track: {error}") from error


@dataclass(frozen=True)
class Sample:
    """A line of the index. Times in seconds; `start` is where it begins in its recording, `fps`
    the recording's own frame rate, `face` a base64 of the face's embedding (see `embedding`),
    `sync_ms` how far the lips were behind the voice before that was put right (None: unknown) and
    `sync_r` how well they go together. `speech` are (start, end) of the person's own speech,
    `doubt` those of speech that is nobody's for sure.
    """

    key: str
    person: str
    recording: str
    source: str
    frames: int
    start: float = 0.0
    conversation: str = ""
    partner: str = ""
    motion: MotionKind = ""
    voice: VoiceKind = ""
    valid: int = 0
    fps: float = FPS
    size: tuple[int, int] = (0, 0)
    sync_ms: float | None = None
    sync_r: float | None = None
    speech: tuple[tuple[float, float], ...] = ()
    doubt: tuple[tuple[float, float], ...] = ()
    licence: str = ""
    consent: str = ""
    origin_split: str = ""
    face: str = ""
    members: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Length."""
        return self.frames / FPS

    @property
    def shard(self) -> str:
        """Where its members are, from the dataset's folder."""
        return f"shards/{self.recording}.tar"

    @property
    def embedding(self) -> Float[np.ndarray, "d"] | None:
        """Unit vector of the face, None where there is none."""
        if not self.face:
            return None
        vector = np.frombuffer(base64.b64decode(self.face), np.int8).astype(np.float32)
        return vector / max(float(np.linalg.norm(vector)), 1e-6)

    @staticmethod
    def of_json(line: Mapping[str, Any], where: str) -> "Sample":
        """Raises InputError for a line that is not one, or that points out of its dataset."""
        known = {f.name for f in fields(Sample)}
        try:
            values = {k: v for k, v in line.items() if k in known}
            for name in ("speech", "doubt"):
                values[name] = tuple((float(a), float(b)) for a, b in values.get(name, ()))
            values["size"] = tuple(int(n) for n in values.get("size", (0, 0)))
            members = values.get("members", {})
            values["members"] = {k: (int(a), int(b)) for k, (a, b) in members.items()}
            sample = Sample(**values)
            places = [n for pair in sample.members.values() for n in pair]
            names = (sample.key, sample.recording)
            fit = all(isinstance(n, str) and _KEY.fullmatch(n) for n in names)
            if not fit or not 0 < sample.frames <= _MOST_FRAMES or min(places, default=0) < 0:
                raise ValueError("a key, a length or a place that cannot be")
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{where} is not a sample of a dataset: {error}") from error
        return sample


def face_code(vector: Float[np.ndarray, "d"]) -> str:
    """An embedding as a sample keeps it."""
    scaled = np.rint(127 * vector / max(float(np.abs(vector).max()), 1e-6))
    return base64.b64encode(scaled.astype(np.int8).tobytes()).decode()


@dataclass(frozen=True, eq=False)
class Draft:
    """A sample that is to be written, with what there is of it. `words` are (word, start, end);
    `faces` is a video file of the face.
    """

    sample: Sample
    motion: Motion | None = None
    track: Track | None = None
    voice: Waveform | None = None
    words: tuple[tuple[str, float, float], ...] = ()
    faces: Path | None = None

    def members(self) -> dict[str, bytes]:
        """Names after the key, and contents."""
        found = {"json": json.dumps(asdict(replace(self.sample, members={}))).encode()}
        if self.motion is not None:
            found["motion.npz"] = self.motion.to_bytes()
        if self.track is not None:
            found["track.npz"] = self.track.to_bytes()
        if self.voice is not None:
            found["wav"] = self.voice.to_wav()
        if self.words:
            found["words.json"] = json.dumps(self.words).encode()
        if self.faces is not None:
            found["faces.mp4"] = self.faces.read_bytes()
        return found


@dataclass(frozen=True)
class Report:
    """What became of a recording: its samples, sentences about what was left out, and `stamp`, by
    which it is known whether its files are still the same. `failed` says why it gave nothing.
    """

    recording: str
    source: str
    stamp: str
    samples: tuple[Sample, ...] = ()
    skipped: tuple[str, ...] = ()
    failed: str = ""
    frames: int = 0
    took_s: float = 0.0


class Dataset:
    """A dataset in a folder or a store; made by `open` or `create`."""

    def __init__(self, address: str, info: Mapping[str, Any]) -> None:
        self.address, self.info = address, info
        self._samples: list[Sample] | None = None
        self._splits: dict[str, str] | None = None

    @staticmethod
    def is_one(address: str | os.PathLike[str]) -> bool:
        """Whether there is a dataset of this layout."""
        return exists(join(os.fspath(address), "dataset.json"))

    @staticmethod
    def open(address: str | os.PathLike[str]) -> "Dataset":
        """Raises InputError where there is none, or one of another version."""
        address = os.fspath(address)
        if not Dataset.is_one(address):
            raise InputError(
                f"{address} is not a dataset: it has no dataset.json; make one with "
                "`visavis data import`"
            )
        try:
            info = json.loads(read_bytes(join(address, "dataset.json"), 1 << 20))
            kind, version = info.get("format"), info.get("version")
        except (ValueError, AttributeError) as error:
            raise InputError(f"{address}/dataset.json is not what `create` writes") from error
        if (kind, version) != (FORMAT, VERSION):
            raise InputError(
                f"{address} is {kind} {version}; wanted {FORMAT} {VERSION}: import it again with "
                "this version, or read it with the one that made it"
            )
        return Dataset(address, info)

    @staticmethod
    def create(address: str | os.PathLike[str], info: Mapping[str, Any] | None = None) -> "Dataset":
        """The dataset in a folder of this machine, made there if there is none yet. Raises
        InputError for a folder with other things in it, or an address that is none.
        """
        if is_remote(os.fspath(address)):
            raise InputError(f"got --out {address}; a dataset is written to a folder, then copied")
        folder = Path(address)
        if Dataset.is_one(folder):
            return Dataset.open(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} is there and is no dataset; give an empty or new folder")
        for name in ("shards", "reports"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        told = {"format": FORMAT, "version": VERSION, "fps": FPS, "sample_rate": SAMPLE_RATE}
        data = json.dumps({**told, **(info or {})}, indent=1) + "\n"
        save_whole(folder / "dataset.json", data.encode(), "the dataset")
        return Dataset.open(folder)

    @property
    def folder(self) -> Path:
        """Where it is written. Raises InputError for one in a store."""
        if is_remote(self.address):
            raise InputError(f"{self.address} can only be read; copy it to a folder to change it")
        return Path(self.address)

    # -- reading -------------------------------------------------------------------------------

    def samples(self, split: str | None = None) -> list[Sample]:
        """Those of a split, or all, by key. Raises InputError for a damaged index."""
        if self._samples is None:
            found = []
            if exists(join(self.address, "index.jsonl")):
                lines = read_bytes(join(self.address, "index.jsonl"), _MOST_BYTES).decode("utf8")
                for n, line in enumerate(lines.splitlines(), 1):
                    where = f"line {n} of {self.address}/index.jsonl"
                    try:
                        found.append(Sample.of_json(json.loads(line), where))
                    except ValueError as error:
                        raise InputError(f"{where} is damaged; run the import again") from error
            self._samples = sorted(found, key=lambda s: s.key)
        if split is None:
            return list(self._samples)
        return [s for s in self._samples if self.split_of(s.person) == split]

    def splits(self) -> dict[str, str]:
        """person -> split, as people.csv has it."""
        if self._splits is None:
            self._splits = {}
            address = join(self.address, "people.csv")
            if exists(address):
                text = io.StringIO(read_bytes(address, _MOST_BYTES).decode("utf8"), newline="")
                for row in csv.DictReader(text):
                    if row.get("split") not in SPLITS or not row.get("person"):
                        raise InputError(
                            f"{address} has the split {row.get('split')!r} for "
                            f"{row.get('person')!r}; wanted train, val or test"
                        )
                    self._splits[row["person"]] = row["split"]
        return self._splits

    def split_of(self, person: str) -> str:
        """Who has been given no split is trained on."""
        return self.splits().get(person, "train")

    def read(self, sample: Sample, member: str) -> bytes | None:
        """One file of a sample, None where it has none."""
        place = sample.members.get(member)
        return None if place is None else read_range(join(self.address, sample.shard), *place)

    def motion(self, sample: Sample) -> Motion | None:
        """What the person did."""
        data = self.read(sample, "motion.npz")
        return None if data is None else Motion.read(io.BytesIO(data), Path(sample.key))

    def track(self, sample: Sample) -> Track | None:
        """Where the face was."""
        data = self.read(sample, "track.npz")
        return None if data is None else Track.of_bytes(data, sample.key)

    def voice(self, sample: Sample) -> Waveform | None:
        """What the person said."""
        data = self.read(sample, "wav")
        return None if data is None else Waveform.of_wav(data, sample.key)

    def words(self, sample: Sample) -> list[tuple[str, float, float]]:
        """Words with start and end in seconds."""
        data = self.read(sample, "words.json")
        return [] if data is None else [(w, a, b) for w, a, b in json.loads(data)]

    def conversations(self, split: str | None = None) -> list[tuple[Sample, Sample]]:
        """Pairs of samples that are one conversation, by key."""
        both = defaultdict(list)
        for sample in self.samples(split):
            if sample.conversation:
                both[sample.conversation].append(sample)
        return [(pair[0], pair[1]) for _, pair in sorted(both.items()) if len(pair) == 2]

    def reports(self) -> Iterator[Report]:
        """What became of every recording. Only in a folder."""
        for path in sorted((self.folder / "reports").glob("*.json")):
            yield read_report(path)

    # -- writing -------------------------------------------------------------------------------

    def write(self, report: Report, drafts: Sequence[Draft]) -> Report:
        """Keep what a recording gave: its shard appears whole, its report after it. The report
        that is given back has the samples' places.
        """
        keys = [draft.sample.key for draft in drafts]
        assert len(set(keys)) == len(keys), "two samples of one name"
        samples: tuple[Sample, ...] = ()
        if drafts:
            path = self.folder / "shards" / f"{report.recording}.tar"
            with writing_whole(path, "the shard") as file:
                _write_tar(file, drafts)
            places = _places(path)
            samples = tuple(replace(d.sample, members=places[d.sample.key]) for d in drafts)
        written = replace(report, samples=samples)
        data = json.dumps(asdict(written), allow_nan=False).encode()
        save_whole(self.folder / "reports" / f"{report.recording}.json", data, "the report")
        return written

    def reindex(self) -> list[Sample]:
        """Write the index anew out of the reports."""
        self._samples = sorted(
            (s for report in self.reports() for s in report.samples), key=lambda s: s.key
        )
        lines = "".join(json.dumps(asdict(s), allow_nan=False) + "\n" for s in self._samples)
        save_whole(self.folder / "index.jsonl", lines.encode(), "the index")
        return list(self._samples)

    def write_splits(self, splits: Mapping[str, str]) -> None:
        """Write people.csv."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(["person", "split"])
        writer.writerows(sorted(splits.items()))
        save_whole(self.folder / "people.csv", text.getvalue().encode(), "the splits")
        self._splits = dict(splits)


def read_report(path: Path) -> Report:
    """Raises InputError for a file that is none."""
    try:
        found = json.loads(path.read_bytes())
        samples = tuple(Sample.of_json(s, f"a sample of {path}") for s in found.pop("samples"))
        found["skipped"] = tuple(found["skipped"])
        return Report(**found, samples=samples)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no report of an import; remove it and import again") from error


def _write_tar(file: Any, drafts: Sequence[Draft]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for draft in drafts:
            for name, data in draft.members().items():
                info = tarfile.TarInfo(f"{draft.sample.key}.{name}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def _places(path: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """key -> member -> (first byte, bytes) in a shard."""
    found: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    with tarfile.open(path, "r:") as tar:
        for info in tar:
            key, _, member = info.name.partition(".")
            found[key][member] = (info.offset_data, info.size)
    return found
