#!/usr/bin/env python3
"""A generator beside real talkers: its takes of the voices of a split, and the table of `evaluate`.

    python -m scripts.evaluate.pairs --data DATA --split test --out PAIRS [--weights F] [--html F]
    python -m scripts.evaluate.pairs --clips TALKERS/judge/test --out PAIRS
    python -m scripts.evaluate.pairs --data DATA --group grid --videos --out PAIRS

DATA is a dataset (`visavis data`, or one of scripts/data/facepack.py), whose clips with motion and
a voice are taken, of --shortest seconds or more; both people of a conversation, each with the other
as partner. CLIPS (scripts/data/talkers.py) has NAME.npz and NAME.wav of real talkers that nothing
was trained on. PAIRS/real and PAIRS/made get motion files with the same sound beside them,
PAIRS/partner those of whom they talk to, PAIRS/other what is made with another seed, for the second
column: by chance alone two takes of one system differ by so much. PAIRS stays, for `visavis
evaluate`.

With --videos they are videos: of the clips of DATA that have pictures, and what the whole product
makes of their first frame and their voice, at their own size. `--lpips` and `--fid` are those of
`visavis evaluate`.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from app.cli.reporter import Reporter
from app.dataset.layout import Dataset
from app.evaluation.clips import PERSON, Pair
from app.evaluation.page import page
from app.evaluation.run import Evaluation, Wanted
from app.render.pipeline import Avatar
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Dyad, Waveform
from audio2motion.network.generator import GeneratorConfig, MotionGenerator
from motion2video.media.video import VideoWriter
from motion2video.motion import FPS, Motion
from scripts.data.dataset import Clip, SampleClip, clips, judged
from weights.errors import InputError
from weights.saving import save_whole


@dataclass(frozen=True, eq=False)
class Take:
    """A person's voice and motion, equally long; the same of the partner, if there is one."""

    name: str
    voice: Waveform
    motion: Motion
    partner: "Take | None" = None


def chosen(data: Path, split: str, shortest: float, group: str | None) -> list[Clip]:
    """The clips of a dataset's split that are long enough, of a group or of all."""
    return [
        clip
        for clip in clips(data, split)
        if clip.frames >= shortest * FPS and group in (None, clip.group)
    ]


def takes_of(data: Path, split: str, shortest: float, group: str | None = None) -> Iterator[Take]:
    """The takes of a dataset's split: conversations (without a `group` alone), then the others."""
    if Dataset.is_one(data):
        dataset = Dataset.open(data)
        for both in dataset.conversations(split):
            sides = [_take(SampleClip(dataset, one)) for one in both if one.motion and one.voice]
            if len(sides) == 2 and both[0].seconds >= shortest and group is None:
                for one, two in (sides, sides[::-1]):
                    yield Take(one.name, one.voice, one.motion, two)
    for clip in chosen(data, split, shortest, group):
        in_two = isinstance(clip, SampleClip) and clip.sample.conversation
        if clip.heard and not in_two:
            yield _take(clip)


def _take(clip: Clip) -> Take:
    """A clip of somebody; PERSON__CLIP says whose it is."""
    motion, samples = clip.motion(), clip.samples()
    count = min(len(motion), len(samples) // SAMPLES_PER_FRAME)
    voice = Waveform(samples[: count * SAMPLES_PER_FRAME])
    return Take(f"{clip.identity}{PERSON}{clip.name}", voice, motion[:count])


def write(generator: MotionGenerator, takes: Iterator[Take], out: Path) -> list[Pair]:
    """Write the files of all pairs."""
    written = []
    for number, take in enumerate(takes):
        other = take.partner
        dyad = Dyad(take.voice, None if other is None else other.voice)
        seen = None if other is None else other.motion
        sides = {"real": (take.motion, take.voice)}
        for k, side in enumerate(("made", "other")):
            made = generator.generate(dyad, seen, seed=2 * number + k)
            sides[side] = (made[: len(take.motion)], take.voice)
        if other is not None:
            sides["partner"] = (other.motion, other.voice)
        files = {}
        for side, (motion, voice) in sides.items():
            (out / side).mkdir(parents=True, exist_ok=True)
            files[side] = out / side / f"{take.name}.npz"
            motion.save(files[side])
            voice.save(files[side].with_suffix(".wav"))
        written.append(Pair(take.name, **files))
    return written


def film(avatar: Avatar, found: Iterable[Clip], out: Path) -> list[Pair]:
    """Write videos of clips that have pictures, and what is made of the first of them."""
    written = []
    for number, clip in enumerate(found):
        name, frames, take = f"{clip.identity}{PERSON}{clip.name}", clip.pictures(), _take(clip)
        for side in ("real", "made", "photo"):
            (out / side).mkdir(parents=True, exist_ok=True)
        height, width = (side // 2 * 2 for side in frames[0].shape[:2])
        real, made = (out / side / f"{name}.mp4" for side in ("real", "made"))
        with VideoWriter(real, (width, height), FPS, take.voice) as writer:
            for frame in frames[: len(take.motion)]:
                writer.write(frame[None, :height, :width])
        photo = out / "photo" / f"{name}.png"
        Image.fromarray(frames[0][:height, :width]).save(photo)
        size = max(width, height)
        avatar.animate(portrait=photo, agent_audio=take.voice, size=size, seed=number, out=made)
        written.append(Pair(name, made, real))
    return written


def _videos(options: argparse.Namespace) -> list[Pair]:
    if options.data is None:
        raise InputError("--videos wants --data: takes of --clips have no pictures")
    found = (
        c
        for c in chosen(options.data, options.split, options.shortest, options.group)
        if c.filmed and c.heard
    )
    folder = options.out / "provenance"
    return film(Avatar.load(device="cpu", provenance_dir=folder), found, options.out)


def _motions(options: argparse.Namespace) -> list[Pair]:
    generator = MotionGenerator.load(GeneratorConfig(**options.config), weights=options.weights)
    if options.clips:
        takes = (Take(name, sound, motion) for name, sound, motion in judged(options.clips))
    else:
        takes = takes_of(options.data, options.split, options.shortest, options.group)
    return write(generator, takes, options.out)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="a dataset")
    source.add_argument("--clips", type=Path, help="a folder of takes")
    parser.add_argument("--split", default="test")
    parser.add_argument("--shortest", type=float, default=2.9, help="seconds, of --data")
    parser.add_argument("--group", help="only clips of this group of --data")
    parser.add_argument("--videos", action="store_true", help="videos instead of motion")
    parser.add_argument("--lpips", action="store_true", help="of --videos")
    parser.add_argument("--fid", action="store_true", help="of --videos")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="a generator's file; else the embedded one")
    parser.add_argument("--config", type=json.loads, default={}, help="of GeneratorConfig, as JSON")
    parser.add_argument("--html", type=Path, help="also write the table as a page")
    parser.add_argument("--json", action="store_true", help="the table as JSON")
    options = parser.parse_args()
    names = ("generated", None if options.videos else "another seed")
    pairs = _videos(options) if options.videos else _motions(options)
    if not pairs:
        raise InputError(f"there is no take of {options.split} with motion and a voice")
    wanted = Wanted(lpips=("alex",) if options.lpips else (), fid=options.fid)
    table = Evaluation(wanted, Reporter().notify).table(pairs, names)
    if options.html:
        save_whole(options.html, page(table, "The generator beside real talkers").encode(), "page")
    print(json.dumps(table.to_json()) if options.json else table)


if __name__ == "__main__":
    main()
