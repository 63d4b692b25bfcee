"""What the motion generator is trained on: conversations and voices as tensors, with the features
that a speech encoder makes of them.
"""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import KDTree
from torch import Tensor

from app.dataset.layout import Dataset, Sample
from app.dataset.seamless_motion import unseen_channels
from app.dataset.speaking import mask_of
from audio2motion.gestures.style import STYLE_DIM, measure_style
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Waveform
from audio2motion.hearing.speech import ANALYSIS_FRAMES, SpeechFeatures, VoiceEncoder
from audio2motion.network.borrowed_speech import BorrowedConfig
from audio2motion.network.condition import CHUNK, CONTROL_DIM, LOOK_AHEAD
from audio2motion.network.gate import SPEECH_CHANNELS
from motion2video.geometry.basis import FaceBasis
from motion2video.motion import (
    DETAIL,
    EXPRESSION,
    EXPRESSION_NAMES,
    FPS,
    MOTION_DIM,
    ROTATION,
    TRANSLATION,
    Motion,
    channel_index,
)
from scripts.data.dataset import Clip, SampleClip, clips
from scripts.data.dyads import Talk, microphone, respeed
from scripts.data.moods import Mood

VOICE_SECONDS, TOGETHER = 20, 12
LONG_FRAMES = 105
"""Clips from here on are items of their own."""
SLOW_FPS = 20
POSE_SIGMA = 0.7
"""Frames of the (symmetric) smoothing of heads: of their speed above 6 Hz, where trackers tremble
by as much as half a degree a frame, it leaves a third, and of the whole four fifths.
"""
SHARES = {
    "real": 3.0,
    "mapped": 1.0,
    "generated": 0.7,
    "longclips": 2.0,
    "silent": 1.0,
    "lrc": 1.0,
    "grid": 1.0,
    "facegood": 0.3,
    "voices": 0.3,
    "conversations": 1.0,
}
"""How often a frame of a group is drawn."""
REST = 0.25
"""Below this share of a take's frames a brow or a lid rests."""
_LEVELLED = [
    i
    for i, name in enumerate(EXPRESSION_NAMES)
    if name.startswith(("brow", "eyeSquint", "eyeWide", "eyeBlink"))
]
_NOT_FACEGOOD = [i for i in range(MOTION_DIM) if i >= EXPRESSION.stop or i not in SPEECH_CHANNELS]


@dataclass(frozen=True, eq=False)
class Item:
    """One conversation as tensors; `seen` is the interlocutor's motion with validity, or None;
    `controls` [24] as in Controls.vector. An item without a face has weight 0 and `shut` [T], 1
    where the lips must touch. `share` is how often its frames are drawn, beside others'.
    """

    agent: SpeechFeatures
    interlocutor: SpeechFeatures | None
    values: Tensor
    weight: Tensor
    seen: Tensor | None
    controls: Tensor
    shut: Tensor | None = None
    share: float = 1.0


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
    """All conversations of a folder, or those of a dataset that are trained on."""
    if Dataset.is_one(data):
        return load_conversations(Dataset.open(data), encoder)
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
                share=SHARES["conversations"],
            )
        )
    return items


def load_conversations(dataset: Dataset, encoder: VoiceEncoder) -> list[Item]:
    """Each of a pair as the agent once, if there is motion and a voice of them."""
    pairs = [p for a, b in dataset.conversations("train") for p in ((a, b), (b, a))]
    pairs = [(a, b) for a, b in pairs if a.motion and a.voice and b.voice]
    samples = list({one.key: one for pair in pairs for one in pair}.values())
    sounds = [voice.samples for one in samples if (voice := dataset.voice(one)) is not None]
    found = features_of(encoder, sounds, [one.frames for one in samples])
    heard = {one.key: features for one, features in zip(samples, found, strict=True)}
    items = []
    for agent, other in pairs:
        motion, theirs, seen = dataset.motion(agent), dataset.motion(other), None
        assert motion is not None
        if theirs is not None:
            flag = theirs.mask[:, None].astype(np.float32)
            seen = torch.from_numpy(np.concatenate([theirs.values, flag], 1)).half()
        weight = motion.mask[:, None] * known_of(agent, agent.frames)
        style = measure_style(motion.values)
        controls = np.concatenate([Mood().vector, style, [1.0]]).astype(np.float32)
        items.append(
            Item(
                heard[agent.key],
                heard[other.key],
                torch.from_numpy(motion.values),
                torch.from_numpy(weight.astype(np.float32)),
                seen,
                torch.from_numpy(controls),
                share=SHARES["conversations"],
            )
        )
    return items


def known_of(sample: Sample, frames: int) -> np.ndarray:
    """[frames, 90] 1 where a sample tells of a channel: not of the lips in speech that is nobody's
    for sure, nor of what its way to motion cannot see.
    """
    known = np.ones((frames, MOTION_DIM), np.float32)
    known[:, list(unseen_channels(sample.motion))] = 0
    unsure = mask_of(sample.doubt, frames)
    lips = np.isin(np.arange(MOTION_DIM), SPEECH_CHANNELS)
    known[unsure[:, None] & lips] = 0
    return known


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
            SHARES["voices"],
        )
        for features, marks in zip(heard, shut, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class Take:
    """A stretch of one person: samples [640 T], motion [T, 90], its weight, and its share."""

    samples: np.ndarray
    values: np.ndarray
    weight: np.ndarray
    share: float


def take_of(clip: Clip) -> Take:
    """A clip as it is; the lips of a silent one are unknown, and of a slow track nearly so. Of a
    sample of a dataset that holds as well where speech is nobody's for sure, and for what its way
    to motion does not tell.
    """
    motion, group = clip.motion(), clip.group
    frames, samples = len(motion), None
    if clip.heard:
        samples = clip.samples()
        frames = min(frames, len(samples) // SAMPLES_PER_FRAME)
    values = motion.values[:frames].copy()
    pose = slice(ROTATION.start, TRANSLATION.stop)
    values[:, pose] = gaussian_filter1d(values[:, pose], POSE_SIGMA, axis=0)
    weight = np.repeat(motion.mask[:frames, None].astype(np.float32), MOTION_DIM, 1)
    if group == "facegood":
        weight[:, _NOT_FACEGOOD] = 0
    if samples is None:
        weight[:, list(SPEECH_CHANNELS)] = 0
        samples = np.zeros(frames * SAMPLES_PER_FRAME, np.float32)
    if clip.fps < SLOW_FPS:
        weight[:, list(SPEECH_CHANNELS)] *= 0.1
    if isinstance(clip, SampleClip):
        weight *= known_of(clip.sample, frames)
    share = SHARES["silent" if not clip.heard else group]
    return Take(samples[: frames * SAMPLES_PER_FRAME], values, weight, share)


def _joined(takes: list[Take]) -> Take:
    """Short clips in a row. What the face did before a joint tells nothing of what it does after
    it, but for the lips, which follow the voice: the first chunk there is not learned.
    """
    rest = np.setdiff1d(np.arange(MOTION_DIM), SPEECH_CHANNELS)
    weights = [take.weight.copy() for take in takes]
    for weight in weights[1:]:
        weight[:CHUNK, rest] = 0
    return Take(
        np.concatenate([take.samples for take in takes]),
        np.concatenate([take.values for take in takes]),
        np.concatenate(weights),
        takes[0].share,
    )


def varied(rng: np.random.Generator, take: Take) -> Take:
    """The same faster or slower, through another microphone."""
    talk = respeed(Talk(take.samples, take.values, None), float(rng.uniform(0.9, 1.1)))
    assert talk.values is not None
    at = np.linspace(0, len(take.weight) - 1, talk.frames).astype(int)
    return Take(microphone(rng, talk.samples), talk.values, take.weight[at], take.share)


def load_takes(root: Path, encoder: VoiceEncoder) -> list[Item]:
    """The training clips of a folder as scripts/data/dataset.py has it, long ones that are heard a
    second time, varied.
    """
    return items_of(together(clips(root, "train"), np.random.default_rng(0)), encoder)


def together(found: Sequence[Clip], again: np.random.Generator | None = None) -> list[Take]:
    """Stretches of LONG_FRAMES and more: long clips as they are (and where they are heard `again`,
    varied), then short ones of a person in a row.
    """
    short: dict[tuple[str, str, bool], list[list[Take]]] = {}
    takes = list[Take]()
    for clip in found:
        one = take_of(clip)
        if len(one.values) >= LONG_FRAMES:
            takes += [one, varied(again, one)] if clip.heard and again else [one]
            continue
        groups = short.setdefault((clip.group, clip.identity, not clip.heard), [[]])
        if sum(len(take.values) for take in groups[-1]) > VOICE_SECONDS * FPS:
            groups.append([])
        groups[-1].append(one)
    takes += [_joined(group) for groups in short.values() for group in groups]
    return [take for take in takes if len(take.values) >= LONG_FRAMES]


@torch.inference_mode()
def items_of(takes: list[Take], encoder: VoiceEncoder) -> list[Item]:
    """Takes as items, each in a style of its own; heads that are not known have none."""
    heard = features_of(encoder, [t.samples for t in takes], [len(t.values) for t in takes])
    mood = np.append(Mood().vector, np.zeros(STYLE_DIM + 1, np.float32))
    items = []
    for take, features in zip(takes, heard, strict=True):
        controls = mood.copy()
        if take.weight[:, ROTATION].any():
            controls[-STYLE_DIM - 1 : -1], controls[-1] = measure_style(take.values), 1
        items.append(
            Item(
                features,
                None,
                torch.from_numpy(take.values),
                torch.from_numpy(take.weight),
                None,
                torch.from_numpy(controls),
                share=take.share,
            )
        )
    return items


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


def kept_items(
    data: Path | None,
    takes: list[Path],
    speech: Path | None,
    out: Path,
    encoder: VoiceEncoder,
) -> list[Item]:
    """All items with their speech features, from `out` when an earlier start left them there."""
    items: list[Item] = []
    parts: list[tuple[str, Path | None, Callable[[Path, VoiceEncoder], list[Item]]]]
    parts = [("items", data, load_items), ("voices", speech, load_voices)]
    parts += [(f"takes{n}", folder, load_takes) for n, folder in enumerate(takes)]
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
    return at_one_level(items)


def at_one_level(items: list[Item]) -> list[Item]:
    """Brows and lids of every take rest where those of the median one do: a clip's own neutral
    face is a guess, which takes part of a habit for a movement. Conversations stay as they are.
    """
    takes = [i for i in items if i.interlocutor is None and i.controls[-1] > 0]
    if not takes:
        return items
    rests = [i.values[:, _LEVELLED].quantile(REST, dim=0) for i in takes]
    typical = torch.stack(rests).median(0).values
    moved = {}
    for item, rest in zip(takes, rests, strict=True):
        values = item.values.clone()
        values[:, _LEVELLED] = (values[:, _LEVELLED] + typical - rest).clamp(0, 1)
        moved[id(item)] = replace(item, values=values)
    return [moved.get(id(item), item) for item in items]


def mirror_matrix(basis: FaceBasis) -> Tensor:
    """[90, 90] from a motion to that of the mirrored face, as rows: values @ matrix."""
    matrix = np.zeros((MOTION_DIM, MOTION_DIM), np.float32)
    for i, name in enumerate(EXPRESSION_NAMES):
        sides = {"Left": "Right", "Right": "Left"}
        side = next((s for s in sides if name.endswith(s)), "")
        matrix[i, channel_index(name.removesuffix(side) + sides.get(side, ""))] = 1
    for i, sign in zip(range(ROTATION.start, TRANSLATION.stop), (1, -1, -1, -1, 1, 1), strict=True):
        matrix[i, i] = sign
    flip = np.array([-1, 1, 1], np.float32)
    partner = KDTree(basis.canonical).query(basis.canonical * flip)[1]
    matrix[DETAIL, DETAIL] = basis.encode_detail(basis.detail[:, partner] * flip)
    # The two sides of a measured basis are not quite alike; detail holds what they leave out.
    other = matrix[EXPRESSION, EXPRESSION].argmax(1)
    unlike = basis.expression[:, partner] * flip - basis.expression[other]
    matrix[EXPRESSION, DETAIL] = basis.encode_detail(unlike)
    return torch.from_numpy(matrix)
