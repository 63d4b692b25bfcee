"""What the motion generator is trained on: conversations and voices as tensors, with the features
that a speech encoder makes of them.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Waveform
from audio2motion.hearing.speech import ANALYSIS_FRAMES, SpeechFeatures, VoiceEncoder
from audio2motion.network.borrowed_speech import BorrowedConfig
from audio2motion.network.condition import CONTROL_DIM, LOOK_AHEAD
from motion2video.motion import FPS, MOTION_DIM, Motion, channel_index

VOICE_SECONDS, TOGETHER = 20, 12


@dataclass(frozen=True, eq=False)
class Item:
    """One conversation as tensors; `seen` is the interlocutor's motion with validity, or None;
    `controls` [21] as in Controls.vector. An item without a face has weight 0 and `shut` [T], 1
    where the lips must touch.
    """

    agent: SpeechFeatures
    interlocutor: SpeechFeatures | None
    values: Tensor
    weight: Tensor
    seen: Tensor | None
    controls: Tensor
    shut: Tensor | None = None


@torch.inference_mode()
def features_of(
    encoder: VoiceEncoder, sounds: list[np.ndarray], frames: list[int]
) -> list[SpeechFeatures]:
    """Features of recordings and LOOK_AHEAD frames of silence after each, in half precision.

    Many recordings of about the same length go through the encoder at once.
    """
    order = sorted(range(len(sounds)), key=lambda i: frames[i])
    found: dict[int, SpeechFeatures] = {}
    for at in range(0, len(order), TOGETHER):
        group = order[at : at + TOGETHER]
        longest = frames[group[-1]] + LOOK_AHEAD
        padded = np.zeros((len(group), longest * SAMPLES_PER_FRAME), np.float32)
        for row, i in enumerate(group):
            count = min(len(sounds[i]), frames[i] * SAMPLES_PER_FRAME)
            padded[row, :count] = sounds[i][:count]
        states, parts = [encoder.init_state() for _ in group], []
        for start in range(0, padded.shape[1], ANALYSIS_FRAMES * SAMPLES_PER_FRAME):
            piece = padded[:, start : start + ANALYSIS_FRAMES * SAMPLES_PER_FRAME]
            heard = encoder.steps(states, list(piece))
            states = [state for state, _ in heard]
            parts.append([features for _, features in heard])
        for row, i in enumerate(group):
            cut = slice(0, frames[i] + LOOK_AHEAD)
            found[i] = SpeechFeatures(
                *(
                    torch.cat([getattr(part[row], name) for part in parts])[cut].half()
                    for name in ("features", "energy", "activity")
                )
            )
    return [found[i] for i in range(len(sounds))]


@torch.inference_mode()
def load_items(data: Path, encoder: VoiceEncoder) -> list[Item]:
    """All conversations of a folder."""
    with (data / "dyads.csv").open() as file:
        rows = list(csv.DictReader(file))
    motions = [Motion.load(data / f"{row['name']}.agent.npz") for row in rows]
    named = [(row["name"], "agent", len(m)) for row, m in zip(rows, motions, strict=True)]
    named += [
        (row["name"], "interlocutor", len(m))
        for row, m in zip(rows, motions, strict=True)
        if row["interlocutor"] == "1"
    ]
    sounds = [Waveform.load(data / f"{name}.{side}.wav").samples for name, side, _ in named]
    found = features_of(encoder, sounds, [n for _, _, n in named])
    heard = {(name, side): f for (name, side, _), f in zip(named, found, strict=True)}
    items = []
    for row, motion in zip(rows, motions, strict=True):
        name, seen = row["name"], None
        if row["seen"] == "1":
            theirs = Motion.load(data / f"{name}.interlocutor.npz")
            flag = theirs.mask[:, None].astype(np.float32)
            seen = torch.from_numpy(np.concatenate([theirs.values, flag], 1)).half()
        items.append(
            Item(
                heard[name, "agent"],
                heard.get((name, "interlocutor")),
                torch.from_numpy(motion.values),
                torch.from_numpy(np.load(data / f"{name}.weight.npy").astype(np.float32)),
                seen,
                torch.from_numpy(np.load(data / f"{name}.controls.npy")),
            )
        )
    return items


def shut_frames(phones: list, frames: int) -> np.ndarray:
    """[frames] 1 where p, b or m keep the lips together: to the end for m, else until the burst."""
    out = np.zeros(frames, np.float32)
    for symbol, start, end in phones:
        if symbol[:1] in ("p", "b", "m"):
            last = end if symbol[0] == "m" else start + 0.65 * (end - start)
            middles = np.nonzero((np.arange(frames) + 0.5) / FPS > start)[0]
            held = middles[(middles + 0.5) / FPS < last]
            out[held if len(held) else middles[:1]] = 1
    return out


@torch.inference_mode()
def load_voices(speech: Path, encoder: VoiceEncoder) -> list[Item]:
    """Voices with phoneme times and no face, each about VOICE_SECONDS of one speaker."""
    phones = json.loads((speech / "phones.json").read_text())
    sounds, shut = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for name in sorted(n for n in phones if (speech / f"{n}.wav").is_file()):
        if len(shut[-1]) > VOICE_SECONDS * FPS:
            sounds.append(np.zeros(0, np.float32))
            shut.append(np.zeros(0, np.float32))
        sound = Waveform.load(speech / f"{name}.wav").samples
        frames = len(sound) // SAMPLES_PER_FRAME
        sounds[-1] = np.append(sounds[-1], sound[: frames * SAMPLES_PER_FRAME])
        shut[-1] = np.append(shut[-1], shut_frames(phones[name], frames))
    heard = features_of(encoder, sounds, [len(s) for s in shut])
    return [
        Item(
            features,
            None,
            torch.zeros(len(marks), MOTION_DIM),
            torch.zeros(len(marks), MOTION_DIM),
            None,
            torch.zeros(CONTROL_DIM),
            torch.from_numpy(marks),
        )
        for features, marks in zip(heard, shut, strict=True)
    ]


@torch.inference_mode()
def tiny_items(encoder: VoiceEncoder) -> list[Item]:
    """Bursts of noise that open the mouth and raise the brow of who hears them."""
    items = []
    rng = np.random.default_rng(0)
    for _ in range(6):
        on = np.repeat(rng.random(30) < 0.5, 5).astype(np.float32)
        sounds = [
            (rng.normal(size=len(on) * 640) * 0.1 * np.repeat(level, 640)).astype(np.float32)
            for level in (on, 1 - on)
        ]
        values = np.zeros((len(on), MOTION_DIM), np.float32)
        values[:, channel_index("jawOpen")] = 0.3 * on
        values[:, channel_index("browInnerUp")] = 0.3 * (1 - on)
        agent, other = features_of(encoder, sounds, [len(on)] * 2)
        items.append(
            Item(
                agent,
                other,
                torch.from_numpy(values),
                torch.ones(len(on), MOTION_DIM),
                None,
                torch.zeros(CONTROL_DIM),
            )
        )
    return items


def kept_items(data: Path, speech: Path | None, out: Path, encoder: VoiceEncoder) -> list[Item]:
    """All items with their speech features, from `out` when an earlier start left them there."""
    items: list[Item] = []
    parts = [("items", data, load_items), ("voices", speech, load_voices)]
    by = encoder.identity
    ending = f"-{by.model[:12]}.pt" if isinstance(by, BorrowedConfig) else ".pt"
    for name, folder, load in parts:
        kept = out / f"{name}{ending}"
        if folder is None:
            continue
        if not kept.is_file():
            torch.save(load(folder, encoder), kept)
        with torch.serialization.safe_globals([Item, SpeechFeatures]):
            items += torch.load(kept)
    return items
