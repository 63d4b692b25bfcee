#!/usr/bin/env python3
"""Train the speech encoder: to follow a large speech encoder, the lips, and the kinds of sounds.

    scripts/train/speech.py --data CLIPS --speech VOICES --out DIR [--minutes 30] [--whisper]

CLIPS is a dataset, as scripts/data/dataset.py reads it;
VOICES has wav files without faces, `phones.json` ({name: [[IPA, start s, end s], ...]}) and, for
any sound of both folders, `teacher/<name>.npy` [T, 384] at 25 fps (scripts/data/speech.py).
Whatever is missing is left out. Only clips of the split `train` are used. With `--whisper` the
encoder starts from Whisper's first layers (scripts/data/whisper.py).
"""

import argparse
import json
import sys
import wave
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from audio2motion.hearing.speech import (
    DYNAMIC_RANGE_DB,
    LEVEL_FLOOR_DB,
    MEL_OVERLAP,
    MELS_PER_FRAME,
    SPEECH_DELAY,
    MelFrontEnd,
    SpeechConfig,
    SpeechEncoder,
    load_strictly,
    running_level,
)
from motion2video.geometry.basis import FaceBasis
from motion2video.motion import DETAIL, EXPRESSION_NAMES, Motion
from scripts.data import dataset
from scripts.data.whisper import Whisper, model_file, start_from_whisper
from scripts.train.loop import Ahead, LoopConfig, batch_workers, lip_aperture, run
from weights.tensors import read_safetensors, save_safetensors

FRAMES = 100
TEACHER_PARTS = 64
TEACHER_WIDTH, TEACHER_REACH = 384, 3
MOUTH = [i for i, n in enumerate(EXPRESSION_NAMES) if n.startswith(("jaw", "mouth"))]
LIPS = [*MOUTH, *range(DETAIL.start, DETAIL.stop)]
LIP_DIM = len(LIPS) + 1  # and the aperture
EMPHASIS = (15.0, 30.0)  # jawOpen and the aperture, of 59 channels: what people see first
TEACHER_DIM = LIP_DIM + TEACHER_PARTS
# Kinds of sounds that look alike, by the first letters of IPA (or SAMPA) that tell them.
KINDS = ("", "pbm", "fvʋ", "θðtdnszlɫɾ", "ʃʒɕ", "rɹʁɻR", "kɡgŋxhɣħʕqχ", "wuʊoɔyøœʏ", "aɑɐæʌ")
KINDS = (*KINDS, "eɛəɜɚ3E@", "iɪjɨI")


def kind_of(symbol: str) -> int:
    """Which of KINDS a phoneme belongs to; 0 for silence and for what none names."""
    for letter in symbol:
        for kind, letters in enumerate(KINDS):
            if letter in letters:
                return kind
    return 0


@dataclass(frozen=True, eq=False)
class Clip:
    """One sound: mel in dB [4T, mels], and whatever is known of it, else None."""

    mel: Tensor
    teacher: Tensor | None
    lips: Tensor | None
    lips_known: Tensor | None
    kinds: Tensor | None

    @property
    def surroundings(self) -> Tensor:
        """[T, (2 TEACHER_REACH + 1) * 384] the teacher's features of every frame and those near."""
        assert self.teacher is not None
        ends = (
            self.teacher[:1].expand(TEACHER_REACH, -1),
            self.teacher[-1:].expand(TEACHER_REACH, -1),
        )
        padded = torch.cat([ends[0], self.teacher, ends[1]])
        return padded.unfold(0, 2 * TEACHER_REACH + 1, 1).transpose(1, 2).flatten(1).float()

    @property
    def fully_known(self) -> bool:
        """Whether all lip channels are known."""
        return self.lips_known is not None and bool(self.lips_known.all())

    @property
    def frames(self) -> int:
        """Length in motion frames."""
        return len(self.mel) // MELS_PER_FRAME


def read_wave(path: Path) -> np.ndarray:
    """Samples [N] of a 16-bit mono file."""
    with wave.open(str(path)) as file:
        data = file.readframes(file.getnframes())
    return np.frombuffer(data, "<i2").astype(np.float32) / 32768


def make_clip(
    samples, front, aperture, teacher=None, motion=None, mouth_only=False, phones=None
) -> Clip:
    """A clip from samples and what is known of them, cut to the shortest."""
    frames = len(samples) // 640
    frames = min([frames, *(len(x) for x in (teacher, motion) if x is not None)])
    padded = np.concatenate([np.zeros(MEL_OVERLAP, np.float32), samples[: frames * 640]])
    mel = front.decibels(torch.from_numpy(padded))
    lips = known = kinds = None
    if motion is not None:
        values = torch.from_numpy(motion.values[:frames])
        lips = torch.cat([values[:, LIPS], values @ aperture[:, None]], 1)
        known = torch.ones(LIP_DIM)
        if mouth_only:
            known[len(MOUTH) : -1] = 0
    if phones is not None:
        kinds = torch.zeros(frames, dtype=torch.long)
        for symbol, start, end in phones:
            kinds[round(start * 25) : max(round(end * 25), round(start * 25) + 1)] = kind_of(symbol)
    soft = None if teacher is None else torch.from_numpy(teacher[:frames])
    return Clip(mel.half(), soft, lips, known, kinds)


def load_clips(data: Path, speech: Path, front: MelFrontEnd) -> list[Clip]:
    """All training clips of both folders."""

    def teacher(name: str) -> np.ndarray | None:
        path = speech / "teacher" / f"{name}.npy"
        return np.load(path) if path.is_file() else None

    aperture = lip_aperture(FaceBasis.load())
    clips = []
    for one in dataset.clips(data, "train"):
        if one.fps < 20 or not one.heard:
            continue
        samples, mouth_only = one.samples(), one.group == "facegood"
        soft = teacher(one.name)
        clips.append(make_clip(samples, front, aperture, soft, one.motion(), mouth_only))
    phones = json.loads((speech / "phones.json").read_text())
    for path in sorted(speech.glob("*.wav")):
        samples = read_wave(path)
        spoken = phones.get(path.stem)
        clips.append(make_clip(samples, front, aperture, teacher(path.stem), phones=spoken))
    return [c for c in clips if c.frames > 10]


def tiny_clips(front: MelFrontEnd) -> list[Clip]:
    """Made-up voices: noise whose colour opens the mouth. For a test of the machinery."""
    rng = np.random.default_rng(0)
    clips = []
    for _ in range(12):
        slow = np.repeat(rng.uniform(0, 1, 12), 5)
        noise = rng.normal(size=60 * 640) * 0.1
        low = np.convolve(noise, np.ones(8) / 3, "same")
        weight = np.repeat(slow, 640)
        samples = (low * weight + noise * (1 - weight)).astype(np.float32)
        values = np.zeros((60, 90), np.float32)
        values[:, 25] = slow
        clips.append(make_clip(samples, front, torch.zeros(90), motion=Motion(values)))
    return clips


def augment(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """Another voice, room and microphone: warped frequencies, tilted spectrum, echo, noise."""
    bands = mel.shape[1]
    power = 10 ** (mel / 10)
    warp = rng.uniform(0.9, 1.12)
    at = (torch.arange(bands) * warp).clamp(max=bands - 1.001)
    low = at.long()
    power = torch.lerp(power[:, low], power[:, low + 1], at - low)
    if rng.random() < 0.3:
        decay = 10 ** (-6 * 0.01 / rng.uniform(0.15, 0.5))
        kernel = torch.tensor([decay**i for i in range(25)], dtype=power.dtype)
        kernel[1:] *= 10 ** (rng.uniform(-20, -8) / 10)
        padded = F.pad(power.T[:, None], (24, 0))
        power = F.conv1d(padded, kernel.flip(0)[None, None])[:, 0].T
    knots = torch.from_numpy(rng.normal(0, 4, 6).astype(np.float32))
    tilt = F.interpolate(knots[None, None], size=bands, mode="linear")[0, 0]
    mel = 10 * torch.log10(power + 1e-10) + tilt
    if rng.random() < 0.6:
        floor = float(mel.max()) - rng.uniform(15, 50) + 0.5 * tilt.flip(0)
        noise = floor + torch.from_numpy(rng.normal(0, 3, mel.shape).astype(np.float32))
        mel = 10 * torch.log10(10 ** (mel / 10) + 10 ** (noise / 10))
    return mel + rng.uniform(-25, 5)


@dataclass(eq=False)
class Row:
    """One training sequence of FRAMES frames."""

    mel: Tensor
    teacher: Tensor
    has_teacher: Tensor
    lips: Tensor
    known: Tensor
    kinds: Tensor

    def to(self, device: torch.device) -> "Row":
        """The same on a device."""
        return Row(*(getattr(self, f.name).to(device) for f in fields(self)))


class Batches:
    """Sequences of FRAMES frames: clips after one another with short silences between them."""

    def __init__(self, clips: list[Clip], mels: int, seed: int, augmented: bool) -> None:
        self.clips, self.mels, self.seed, self.augmented = clips, mels, seed, augmented
        faces = [c.lips for c in clips if c.lips is not None and c.fully_known]
        joined = torch.cat(faces)
        self.lip_mean, self.lip_std = joined.mean(0), joined.std(0).clamp(min=0.02)
        self.views = self._teacher_views()
        talking = [c.lips is not None for c in clips]
        weight = np.array(
            [c.frames**0.5 * (2.0 if t else 1.0) for c, t in zip(clips, talking, strict=True)]
        )
        self.weight = weight / weight.sum()

    def _teacher_views(self) -> list[Tensor | None]:
        """For every clip what is asked of the teacher's features: what they and those around
        them say about the lips (a ridge regression, so known for voices without a face as well),
        and their largest components.
        """
        taught = [c for c in self.clips if c.teacher is not None]
        faces = [c for c in taught if c.lips is not None and c.fully_known]
        if not faces:
            return [None] * len(self.clips)
        x = torch.cat([c.surroundings for c in faces])
        y = torch.cat([c.lips for c in faces if c.lips is not None])
        mean = x.mean(0)
        x, y = x - mean, (y - self.lip_mean) / self.lip_std
        gram = x.T @ x
        gram += 0.02 * gram.diagonal().mean() * torch.eye(len(gram))
        lips = torch.linalg.solve(gram, x.T @ y)
        own = x[:, TEACHER_REACH * TEACHER_WIDTH :][:, :TEACHER_WIDTH]
        values, vectors = torch.linalg.eigh(own.T @ own / len(own))
        parts = vectors[:, -TEACHER_PARTS:] / values[-TEACHER_PARTS:].clamp(min=1e-6).sqrt()
        views: list[Tensor | None] = []
        for clip in self.clips:
            if clip.teacher is None:
                views.append(None)
                continue
            near = clip.surroundings - mean
            own = near[:, TEACHER_REACH * TEACHER_WIDTH :][:, :TEACHER_WIDTH]
            views.append(torch.cat([2 * near @ lips, 0.4 * own @ parts], 1).half())
        return views

    def row(self, rng: np.random.Generator) -> Row:
        """One sequence."""
        mel = torch.full((FRAMES * MELS_PER_FRAME, self.mels), -90.0)
        mel += torch.from_numpy(rng.normal(0, 2, mel.shape).astype(np.float32))
        row = Row(
            mel,
            torch.zeros(FRAMES, TEACHER_DIM),
            torch.zeros(FRAMES),
            torch.zeros(FRAMES, LIP_DIM),
            torch.zeros(FRAMES, LIP_DIM),
            torch.full((FRAMES,), -1),
        )
        at = int(rng.integers(0, 10))
        while at < FRAMES - 10:
            index = int(rng.choice(len(self.clips), p=self.weight))
            clip = self.clips[index]
            count = min(FRAMES - at, clip.frames)
            start = int(rng.integers(0, clip.frames - count + 1))
            self._place(row, at, index, start, count, rng)
            at += count + int(rng.integers(3, 12))
        level = torch.tensor(LEVEL_FLOOR_DB)
        stacked = row.mel.reshape(FRAMES, MELS_PER_FRAME, self.mels)
        loudness = 10 * torch.log10(10 ** (stacked / 10).mean((1, 2)) + 1e-10)
        levels = running_level(loudness, level)
        row.mel = ((stacked - levels[:, None, None]) / DYNAMIC_RANGE_DB + 1).clamp(min=0).flatten(1)
        return row

    def _place(self, row, at, index, start, count, rng) -> None:
        clip, view = self.clips[index], self.views[index]
        part = slice(start * MELS_PER_FRAME, (start + count) * MELS_PER_FRAME)
        mel = clip.mel[part].float()
        here = slice(at, at + count)
        row.mel[at * MELS_PER_FRAME : (at + count) * MELS_PER_FRAME] = (
            augment(mel, rng) if self.augmented else mel
        )
        source = slice(start, start + count)
        if view is not None:
            row.teacher[here] = view[source].float()
            row.has_teacher[here] = 1
        if clip.lips is not None:
            row.lips[here] = (clip.lips[source] - self.lip_mean) / self.lip_std
            row.known[here] = clip.lips_known
        if clip.kinds is not None:
            row.kinds[here] = clip.kinds[source]

    def batch(self, step: int, size: int) -> Row:
        """The batch of a step: a function of (seed, step)."""
        rng = np.random.default_rng((self.seed, step))
        rows = [self.row(rng) for _ in range(size)]
        return Row(*(torch.stack([getattr(r, f) for r in rows]) for f in Row.__annotations__))


class Student(nn.Module):
    """The encoder with the heads that only training needs."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.encoder = SpeechEncoder(config)
        self.teacher = nn.Linear(config.features, TEACHER_DIM)
        self.lips = nn.Linear(config.features, LIP_DIM)
        self.kinds = nn.Linear(config.features, len(KINDS))

    def loss(self, batch: Row, lips_count: float = 2.0) -> tuple[Tensor, dict[str, float]]:
        """Every output of frame t + delay is about frame t. `lips_count` is the weight of the
        tracked lips, beside 3 of the teacher.
        """
        size, device = len(batch.mel), self.teacher.weight.device
        batch = batch.to(device)
        features, _ = self.encoder(batch.mel, self.encoder.initial_past(size))
        features = F.dropout(features[:, SPEECH_DELAY:], 0.1)
        cut = slice(0, -SPEECH_DELAY)
        emphasis = torch.ones(TEACHER_DIM, device=device)
        emphasis[MOUTH.index(25)], emphasis[LIP_DIM - 1] = EMPHASIS
        soft = (self.teacher(features) - batch.teacher[:, cut]).square()
        soft = (soft * emphasis).sum(-1) / emphasis.sum()
        seen = batch.has_teacher[:, cut]
        distil = (soft * seen).sum() / seen.sum().clamp(min=1)
        known = batch.known[:, cut]
        weight = torch.ones(LIP_DIM, device=device)
        weight[MOUTH.index(25)], weight[-1] = EMPHASIS
        missed = F.smooth_l1_loss(self.lips(features), batch.lips[:, cut], reduction="none")
        lips = (missed * known * weight).sum() / (known * weight).sum().clamp(min=1)
        logits = self.kinds(features).flatten(0, 1)
        wanted = batch.kinds[:, cut].flatten()
        heard = F.cross_entropy(logits, wanted, ignore_index=-1, reduction="sum")
        heard = heard / (wanted >= 0).sum().clamp(min=1)
        total = 3 * distil + lips_count * lips + 0.3 * heard
        return total, {"teacher": distil.item(), "lips": lips.item(), "kinds": heard.item()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--lips-count", type=float, default=2.0, help="weight of tracked lips")
    parser.add_argument("--workers", type=int, help="processes that draw batches")
    parser.add_argument("--start", type=Path, help="weights file of an encoder to go on from")
    parser.add_argument("--whisper", action="store_true", help="start from Whisper's first layers")
    parser.add_argument("--stop", type=int, help="leave after this step, to be resumed")
    parser.add_argument("--tiny", action="store_true", help="made-up data, a small network")
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.tiny:
        config = SpeechConfig(mels=20, width=32, heads=2, hidden=48, past=10, features=16)
        clips = tiny_clips(MelFrontEnd(config.mels))
    else:
        if options.data is None or options.speech is None:
            parser.error("--data and --speech are needed (or --tiny)")
        config = SpeechConfig()
        clips = load_clips(options.data, options.speech, MelFrontEnd(config.mels))
    print(f"{len(clips)} clips, {sum(c.frames for c in clips) / 25 / 60:.1f} minutes")
    batches = Batches(clips, config.mels, seed=0, augmented=not options.tiny)
    student = Student(config)
    if options.start:
        load_strictly(student.encoder, read_safetensors(options.start)[0], "speech encoder")

    if options.whisper:
        files = (
            sorted(options.speech.glob("en_*.wav"))[:24]
            or sorted(options.speech.glob("*.wav"))[:24]
        )
        start_from_whisper(student.encoder, Whisper(model_file()), [read_wave(f) for f in files])

    def export(state: dict[str, Tensor], steps: int, minutes: float) -> None:
        tensors = {
            k.removeprefix("encoder."): v.half().numpy()
            for k, v in state.items()
            if k.startswith("encoder.")
        }
        header = {"speech": asdict(config), "trained": {"steps": steps, "minutes": minutes}}
        save_safetensors(options.out / "speech_encoder.safetensors", tensors, header)

    loop = LoopConfig(options.steps, options.learning_rate, options.minutes, stop=options.stop)
    ahead = Ahead(partial(batches.batch, size=options.batch), batch_workers(options.workers))
    run(
        student,
        lambda step: student.loss(ahead(step), options.lips_count),
        export,
        loop,
        options.out,
    )


if __name__ == "__main__":
    main()
