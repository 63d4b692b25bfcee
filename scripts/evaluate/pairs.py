#!/usr/bin/env python3
"""A generator beside real talkers: its takes of the voices of a split, and the table of `evaluate`.

    python -m scripts.evaluate.pairs --data DATA --split test --out PAIRS [--weights F] [--html F]
    python -m scripts.evaluate.pairs --clips TALKERS/judge/test --out PAIRS

DATA is a dataset (`visavis data`, or one of scripts/data/facepack.py), whose clips with motion and
a voice are taken, of --shortest seconds or more; both people of a conversation, each with the other
as partner. CLIPS (scripts/data/talkers.py) has NAME.npz and NAME.wav of real talkers that nothing
was trained on. PAIRS/real and PAIRS/made get motion files with the same sound beside them,
PAIRS/partner those of whom they talk to, PAIRS/other what is made with another seed, for the second
column: by chance alone two takes of one system differ by so much. PAIRS stays, for `visavis
evaluate`.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.cli.reporter import Reporter
from app.dataset.layout import Dataset
from app.evaluation.clips import PERSON, Pair
from app.evaluation.page import page
from app.evaluation.run import Evaluation, Wanted
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Dyad, Waveform
from audio2motion.network.generator import GeneratorConfig, MotionGenerator
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


def takes_of(data: Path, split: str, shortest: float) -> Iterator[Take]:
    """The takes of a dataset's split, by their names."""
    if Dataset.is_one(data):
        dataset = Dataset.open(data)
        for both in dataset.conversations(split):
            sides = [_take(SampleClip(dataset, one)) for one in both if one.motion and one.voice]
            if len(sides) == 2 and sides[0].motion.seconds >= shortest:
                for one, two in (sides, sides[::-1]):
                    yield Take(one.name, one.voice, one.motion, two)
    for clip in clips(data, split):
        in_two = isinstance(clip, SampleClip) and clip.sample.conversation
        if clip.heard and not in_two and clip.frames >= shortest * FPS:
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


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="a dataset")
    source.add_argument("--clips", type=Path, help="a folder of takes")
    parser.add_argument("--split", default="test")
    parser.add_argument("--shortest", type=float, default=4.0, help="seconds, of --data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="a generator's file; else the embedded one")
    parser.add_argument("--config", type=json.loads, default={}, help="of GeneratorConfig, as JSON")
    parser.add_argument("--html", type=Path, help="also write the table as a page")
    parser.add_argument("--json", action="store_true", help="the table as JSON")
    options = parser.parse_args()
    generator = MotionGenerator.load(GeneratorConfig(**options.config), weights=options.weights)
    if options.clips:
        takes = (Take(name, sound, motion) for name, sound, motion in judged(options.clips))
    else:
        takes = takes_of(options.data, options.split, options.shortest)
    pairs = write(generator, takes, options.out)
    if not pairs:
        raise InputError(f"there is no take of {options.split} with motion and a voice")
    table = Evaluation(Wanted(), Reporter().notify).table(pairs, ("generated", "another seed"))
    if options.html:
        save_whole(options.html, page(table, "The generator beside real talkers").encode(), "page")
    print(json.dumps(table.to_json()) if options.json else table)


if __name__ == "__main__":
    main()
