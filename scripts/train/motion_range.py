#!/usr/bin/env python3
"""Fit how far made motion goes to how far people's does (buffers `stride`, `drift`, `recall`,
`lips_made`, `lips_real` and `manners` of role `motion_generator`).

    python -m scripts.train.motion_range --takes TALKERS [--data DYADS] [--weights FILE]
                                         [--config JSON] [--out FILE]

A network that is asked for the median talker makes a mean of many, which swings less than any; and
of lips a voice tells a half at the most. So the voices of the real training takes are generated
from. `stride` is what innovations are multiplied by, part by part of a style, where the median of
takes swings farther than the median person; and each shape of the lips has its quantiles in
what was made become those of the median person. `drift` is what innovations of heads lead on and on
by, until heads are where people's are in the mean, in the takes and in conversations (DYADS, on
which the network was trained as well). And heads come back (`recall`): a network that only ever saw
what people did before hardly leads back from where it has led itself, so that its errors add up; of
how far a head is off, a chunk that goes on keeps SETTLES. What comes when stays as the network has
it. Heads are made at temperature 1: a listener's should nod more, and a talker's no less.
`manners` is how far people are off the median, and how alike in all parts: a seed is one.
"""

import argparse
import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from audio2motion.gestures.style import (
    PART_CHANNELS,
    STYLE_PARTS,
    TYPICAL,
    deviations,
    measure_style,
)
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Dyad, Waveform
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.generator import CHUNK_SAMPLES, GeneratorConfig, MotionGenerator
from audio2motion.network.marginals import LIP_SHAPES, SCORE_GAIN, SCORED, quantiles
from motion2video.motion import (
    EXPRESSION_NAMES,
    FPS,
    MOTION_DIM,
    Motion,
)
from scripts.data.dataset import clips
from scripts.train.motion_source import DAMPED, POSE
from weights import find
from weights.tensors import read_safetensors, save_safetensors

SECONDS = 15.0
SHORTEST = 5.0
ROUNDS = 3
"""How far motion goes does not grow as its innovations do: one correction is too few."""
LONGEST, SHORTEST_STRIDE = 1.0, 0.4
"""The most and the least that they are multiplied by. Wider ones make what follows wider, too: a
listener's head that is to swing as far as a talker's nods without an end.
"""
TALKS = 8
SETTLES = 0.96
"""In place of DAMPED of scripts/train/motion_source.py, for heads: what is off halves in 4 s."""
RETURNS, OFTEN = 0.05, 1.0
"""Of how far a head is aside, what it comes back by in a chunk; and the part of a correction that
is made at once.
"""
CHANCE = 0.3
"""Of how alike people's styles are between parts, what is taken for chance."""
LEAST_STEP = 1e-3
"""Between two quantiles of tokens: they are divided by."""

Takes = list[tuple[Waveform, Float[np.ndarray, "T 90"]]]


@dataclass(frozen=True, eq=False)
class Talk:
    """A conversation of training: voices, what is seen of the other, and the agent's motion."""

    dyad: Dyad
    seen: Motion | None
    values: Float[np.ndarray, "T 90"]


def talks_of(folder: Path) -> list[Talk]:
    """The first conversations of a folder as scripts/data/dyads.py writes it."""
    with (folder / "dyads.csv").open(newline="", encoding="utf8") as file:
        rows = [row for row in csv.DictReader(file) if row["interlocutor"] == "1"]
    found = []
    for name, seen in [(row["name"], row["seen"] == "1") for row in rows[:TALKS]]:
        voices = (
            Waveform.load(folder / f"{name}.{side}.wav") for side in ("agent", "interlocutor")
        )
        theirs = Motion.load(folder / f"{name}.interlocutor.npz") if seen else None
        values = Motion.load(folder / f"{name}.agent.npz").values
        found.append(Talk(Dyad(*voices), theirs, values))
    return found


def takes_of(folder: Path) -> Takes:
    """Sound and motion of every real training take."""
    found = []
    for clip in clips(folder, "train"):
        if clip.group != "real" or not clip.heard or clip.frames < SHORTEST * FPS:
            continue
        samples, motion = clip.samples(), clip.motion()
        count = min(len(motion), len(samples) // SAMPLES_PER_FRAME, int(SECONDS * FPS))
        found.append((Waveform(samples[: count * SAMPLES_PER_FRAME]), motion.values[:count]))
    return found


def tokens_of(
    generator: MotionGenerator, dyad: Dyad, seed: int, seen: Motion | None = None
) -> tuple[Float[np.ndarray, "T 90"], Float[np.ndarray, "s"]]:
    """The network's tokens for a voice, or for two, before anything is done to them; and the mean
    of what the reader guesses of its lips while it speaks.
    """
    state, found = generator.init_state(seed), []
    other = dyad.interlocutor
    for at in range(0, len(dyad.agent) - CHUNK_SAMPLES + 1, CHUNK_SAMPLES):
        now = slice(at, at + CHUNK_SAMPLES)
        heard = None if other is None else Waveform(other.samples[now])
        piece = Dyad(Waveform(dyad.agent.samples[now]), heard)
        state, motion = generator.step(state, piece, seen)
        seen = None
        if len(motion):
            found.append(state.recent[0].cpu().numpy())
    return np.concatenate(found), (state.said / max(state.said_frames, 1)).cpu().numpy()


def longer(
    stride: Float[np.ndarray, "90"], made: list[Float[np.ndarray, "T 90"]]
) -> Float[np.ndarray, "90"]:
    """The stride after one more correction, by `made` motion values; what speaks has none."""
    short = np.log(TYPICAL / np.median([deviations(values) for values in made], 0))
    out = stride.copy()
    for channels, much in zip(PART_CHANNELS, short, strict=True):
        for i in set(channels) - set(SPEECH_CHANNELS):
            out[i] *= np.exp(much * (SCORE_GAIN if i in SCORED else 1))
    return out.clip(SHORTEST_STRIDE, LONGEST)


def less_aside(
    drift: Float[np.ndarray, "90"],
    aside: Float[np.ndarray, "90"],
    drive: Float[np.ndarray, "90 5 5"],
) -> Float[np.ndarray, "90"]:
    """The drift after one more correction, by how far tokens are `aside` in the mean."""
    out = drift.copy()
    for i in POSE:
        led = drive[i, -1, 0]  # by the first of one
        out[i] += OFTEN * RETURNS * aside[i] / led
    return out


def median_quantiles(takes: list[Float[np.ndarray, "T 90"]]) -> Float[np.ndarray, "l k"]:
    """Of every shape of the lips, the medians over takes of their quantiles; the same for both
    sides.
    """
    every = [quantiles(torch.from_numpy(take[:, list(LIP_SHAPES)])).numpy() for take in takes]
    found = np.median(every, 0)
    stems = [EXPRESSION_NAMES[i].removesuffix("Left").removesuffix("Right") for i in LIP_SHAPES]
    for stem in set(stems):
        sides = [row for row, name in enumerate(stems) if name == stem]
        found[sides] = found[sides].mean(0)
    return found


def _middle(tokens: list[Float[np.ndarray, "T 90"]]) -> Float[np.ndarray, "90"]:
    return np.concatenate(tokens).mean(0) if tokens else np.zeros(MOTION_DIM, np.float32)


def manners_of(styles: Float[np.ndarray, "n s"]) -> Float[np.ndarray, "s s"]:
    """What makes independent numbers into styles as far off each other as these, that deviate
    together as they do.
    """
    spread = np.cov(styles.T)
    own = np.diag(np.diag(spread))
    return np.linalg.cholesky(spread + CHANCE * (own - spread))


def apart(rows: Float[np.ndarray, "l k"]) -> Float[np.ndarray, "l k"]:
    """Quantiles of which none is as large as the next."""
    steps = LEAST_STEP * np.arange(rows.shape[1])
    return np.maximum.accumulate(rows - steps, 1) + steps


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--takes", type=Path, required=True, help="see scripts.data.talkers")
    parser.add_argument("--data", type=Path, help="see scripts.data.dyads")
    parser.add_argument("--weights", type=Path, help="a generator's file; else the embedded one")
    parser.add_argument("--config", type=json.loads, default={}, help="of GeneratorConfig, as JSON")
    parser.add_argument("--out", type=Path, help="else the same file")
    options = parser.parse_args()
    path = options.weights or find("motion_generator")
    tensors, header = read_safetensors(path)
    settings: dict[str, Any] = {"variety": 0.0, "nod_temperature": 1.0, **options.config}
    generator = MotionGenerator.load(GeneratorConfig(**settings), weights=path)
    network, takes = generator.network, takes_of(options.takes)
    talks = talks_of(options.data) if options.data else []
    wanted = [
        _middle([network.normalise(torch.from_numpy(x)).numpy() for x in real])
        for real in ([x for _, x in takes], [talk.values for talk in talks])
    ]
    recall = tensors["recall"].astype(np.float32)
    recall[POSE] *= SETTLES / header.get("settles", DAMPED)
    network.recall.copy_(torch.from_numpy(recall))
    stride, tokens = np.ones(MOTION_DIM, np.float32), []
    drift = np.zeros((2, MOTION_DIM), np.float32)
    for turn in range(ROUNDS + 1):
        network.stride.copy_(torch.from_numpy(stride))
        network.drift.copy_(torch.from_numpy(drift))
        made = [tokens_of(generator, Dyad(sound), seed) for seed, (sound, _) in enumerate(takes)]
        tokens = [x for x, _ in made]
        said = [
            tokens_of(generator, talk.dyad, seed, talk.seen)[0]
            for seed, talk in enumerate(talks, len(takes))
        ]
        aside = [_middle(x) - middle for x, middle in zip((tokens, said), wanted, strict=True)]
        for where in aside:
            print("aside " + " ".join(f"{x:.2f}" for x in where[POSE]))
        network.usual.copy_(torch.from_numpy(np.median([x for _, x in made], 0)))
        made = [network.denormalise(torch.from_numpy(x)).numpy() for x in tokens]
        swing = np.median([deviations(values) for values in made], 0) / TYPICAL
        print(" ".join(f"{n} {x:.2f}" for n, x in zip(STYLE_PARTS, swing, strict=False)))
        if turn < ROUNDS:
            stride = longer(stride, made)
            drive = network.drive.numpy()
            drift = np.stack([less_aside(*x, drive) for x in zip(drift, aside, strict=True)])
    fitted = {
        "recall": recall,
        "stride": stride,
        "drift": drift,
        "usual": network.usual.numpy(),
        "manners": manners_of(np.stack([measure_style(values) for _, values in takes])),
        "lips_made": apart(median_quantiles(tokens)),
        "lips_real": median_quantiles([values for _, values in takes]),
    }
    for channels, name in zip(PART_CHANNELS, STYLE_PARTS, strict=False):
        print(f"{name:12} {stride[channels].mean():.2f}")
    print(f"{len(takes)} takes")
    tensors |= {name: x.astype(np.float32) for name, x in fitted.items()}
    save_safetensors(options.out or path, tensors, {**header, "settles": SETTLES})


if __name__ == "__main__":
    main()
