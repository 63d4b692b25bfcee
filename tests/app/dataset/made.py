"""Made-up recordings: takes, a reader of lips, a tree as Seamless Interaction has it."""

import io
import json
import os
import signal
import tarfile
import time
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from app.dataset.layout import Draft, Report, Sample, Track
from app.dataset.lips import LipReader
from app.dataset.recordings import Found, Recording, Tick, Tools
from app.dataset.wholebody import FACE, MESH
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Waveform
from motion2video.geometry.basis import FaceBasis, HeadPose, rotation_matrix
from motion2video.motion import MOTION_DIM, ROTATION, Motion, channel_index
from weights.errors import MediaError

FRAMES = 50


class Loudness(LipReader):
    """A reader to whom lips are as open as the voice is loud."""

    def __init__(self) -> None: ...

    def heard_gap(self, voice: Waveform, frames: int) -> np.ndarray:
        padded = np.zeros(frames * SAMPLES_PER_FRAME, np.float32)
        known = voice.samples[: len(padded)]
        padded[: len(known)] = known
        return np.sqrt((padded.reshape(frames, -1) ** 2).mean(1))


def tools(**settings: Any) -> Tools:
    made = Tools(**settings)
    made.reader = Loudness()
    return made


def voice_of(level: np.ndarray, seed: int = 0) -> Waveform:
    """Noise as loud as `level` says, frame by frame."""
    noise = np.random.default_rng(seed).normal(size=len(level) * SAMPLES_PER_FRAME)
    return Waveform((noise * np.repeat(level, SAMPLES_PER_FRAME)).astype(np.float32))


def sample(key: str, person: str = "ann", **more: Any) -> Sample:
    given: dict[str, Any] = {"recording": "rec", "source": "rec.mp4", "frames": FRAMES, **more}
    return Sample(key=key, person=person, **given)


def draft(one: Sample, seed: int = 0) -> Draft:
    """With everything there may be of a sample but a video."""
    rng = np.random.default_rng(seed)
    values = (rng.random((one.frames, MOTION_DIM)) * 0.2).astype(np.float32)
    marks = (rng.random((one.frames, 478, 3)) * 900 - 100).astype(np.float32)
    scores = rng.random((one.frames, 52)).astype(np.float32)
    track = Track.of(marks, scores, np.ones(one.frames, bool), (800, 600))
    voice = voice_of(0.1 * rng.random(one.frames), seed)
    return Draft(one, Motion(values), track, voice, (("hello", 0.1, 0.5),))


def face_vector(*numbers: float) -> np.ndarray:
    out = np.zeros(16, np.float32)
    out[: len(numbers)] = numbers
    return out / np.linalg.norm(out)


def written(dataset: Any, drafts: list[Draft]) -> None:
    """Each recording's drafts, and the index."""
    for name in dict.fromkeys(d.sample.recording for d in drafts):
        mine = [d for d in drafts if d.sample.recording == name]
        dataset.write(Report(name, f"{name}.mp4", "stamp"), mine)
    dataset.reindex()


def import_by_name(one: Recording, tools: Tools, tick: Tick) -> Found:
    """An importer that does what the name of its file says."""
    name = Path(one.files[0]).stem
    if name.startswith("bad"):
        raise MediaError(f"{name} is damaged")
    if name.startswith("crash"):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("slow"):
        time.sleep(60)
    if name.startswith("fault"):
        raise KeyError("what nobody expected")
    for _ in range(FRAMES):
        tick()
    made = replace(sample(f"{one.id}-0"), recording=one.id, source=one.source)
    return Found([draft(made, len(name))], ["a word about it"], FRAMES)


# -- Seamless Interaction --------------------------------------------------------------------------


def wav_bytes(seconds: float, seed: int = 0) -> bytes:
    """48 kHz 16 bit, as the published files are."""
    noise = np.random.default_rng(seed).normal(size=round(seconds * 48_000)) * 3000
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 48_000, len(noise), "NONE", ""))
        out.writeframes(noise.astype("<i2").tobytes())
    return file.getvalue()


def keypoints_of(values: np.ndarray, basis: FaceBasis) -> np.ndarray:
    """[N, 133, 3] of a face that does that, 300 pixels between its eyes."""
    count = len(values)
    points = basis.canonical[None] + basis.offsets(values)
    pose = HeadPose(
        rotation_matrix(values[:, ROTATION]),
        np.tile(np.array([540, -700, 0], np.float32), (count, 1)),
        np.full(count, 300, np.float32),
    )
    out = np.zeros((count, 133, 3), np.float32)
    out[:, FACE, :2] = pose.project(points)[:, MESH, :2]
    out[:, :, 2] = 1.02
    return out


def nodding(count: int, seed: int = 0) -> np.ndarray:
    """[count, 90] a head that nods, turns and tilts, and a mouth that opens."""
    at = np.arange(count) / 30 + seed
    values = np.zeros((count, MOTION_DIM), np.float32)
    values[:, ROTATION.start] = 0.10 * np.sin(2 * np.pi * 0.7 * at)
    values[:, ROTATION.start + 1] = 0.15 * np.sin(2 * np.pi * 0.4 * at)
    values[:, ROTATION.start + 2] = 0.08 * np.sin(2 * np.pi * 0.55 * at)
    values[:, channel_index("jawOpen")] = 0.25 * (1 + np.sin(2 * np.pi * 1.3 * at))
    return values


def features(
    values: np.ndarray, basis: FaceBasis, movement: str = "no", flip: float = 1.0
) -> dict[str, np.ndarray]:
    """The arrays of a .npz; `movement` "no", "yes" or "invalid". `flip` -1: the axes of turning and
    tilting point the other way.
    """
    count = len(values)
    arrays: dict[str, np.ndarray] = {
        "boxes_and_keypoints:box": np.zeros((count, 4), np.float32),
        "boxes_and_keypoints:is_valid_box": np.ones(count, bool),
        "boxes_and_keypoints:keypoints": keypoints_of(values, basis).astype(np.float64),
        "smplh:is_valid": np.ones(count, bool),
        "smplh:translation": np.full((count, 3), 9999, np.float32),
    }
    if movement != "no":
        valid = np.full((count, 1), movement == "yes", np.float32)
        valid[:60] = 0
        units = np.zeros((count, 24), np.float32)
        units[:, 20] = 2 * values[:, channel_index("jawOpen")]
        turns = values[:, ROTATION] * np.array([1, flip, flip], np.float32)
        arrays["movement:FAUValue"] = units * valid
        arrays["movement:alignment_head_rotation"] = turns * valid
        arrays["movement:is_valid"] = valid
    return arrays


def npz_bytes(arrays: dict[str, np.ndarray], packed: bool = True) -> bytes:
    file = io.BytesIO()
    save: Any = np.savez_compressed if packed else np.savez
    save(file, **arrays)
    return file.getvalue()


def json_bytes(file_id: str, speech: list[tuple[float, float]], lines: bool = False) -> bytes:
    words = [{"word": "yes", "start": 0.5, "end": 0.8}, {"word": "um", "start": None, "end": None}]
    told: dict[str, Any] = {
        "id": file_id,
        "metadata:transcript": [{"words": words, "start": 0.5, "end": 0.8, "transcript": "yes um"}],
        "metadata:vad": [{"start": a, "end": b} for a, b in speech],
    }
    if not lines:
        return json.dumps(told).encode()
    return "\n".join(json.dumps({k: v}) for k, v in told.items()).encode()


def put_tar(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
