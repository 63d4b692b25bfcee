#!/usr/bin/env python3
"""Make conversations to train on: real voices and lips, behaviour by published statistics.

    scripts/data/dyads.py --data CLIPS --speech VOICES --out DIR [--smiles CALLS.npz] [--count 120]

Nobody publishes tracked conversations with both voices that could be used here, so they are put
together. CLIPS (index.csv, Motion files, wav) gives speech with its true face; VOICES gives voices
without faces. One item is a conversation with turns:

turns        lengths and floor transfer offsets as measured (audio2motion/behaviour/statistics.py):
             log-normal about 2.5 s, offsets about 0, so that half of the turns overlap a little
agent speaks clips of one person after one another: true voice, lips and brows; in between rest
agent hears  mouth at rest
In both the agent blinks, looks, nods, smiles, raises brows, sways and beats time as the processes
of audio2motion/behaviour/events.py have it, with both voices and what is seen as their causes: they
are the teacher of who reacts to what, and when. How readily somebody does is drawn for every
conversation. Clips of news presenters lend lips and brows, whose own blinks and gaze would come and
go with the clips: they are taken out first. `weight` is small where the agent speaks, of all but
the lips: how a talking head moves is learned of real takes.

With `--smiles` (video_calls.npz of the research pack) both smile as two real people on a video
call did, at the same time as each other, instead of by processes: people in conversation smile
longer and wider than published onsets tell. The last HELD_OUT of the calls are not used.

A mood is drawn for half of the conversations: arousal widens the agent's head motion, beats and
brows, valence makes smiles more frequent and wider, and an emotion class may stand for both.

Every item has NAME.agent.wav, NAME.interlocutor.wav, NAME.agent.npz, NAME.weight.npy ([T, 90], 0
where the agent's motion is unknown), NAME.controls.npy ([21], see Controls.vector: the mood, and
the style measured on the item's own motion) and, when the other is seen, NAME.interlocutor.npz.
dyads.csv lists all. Same arguments, same files.
"""

import argparse
import csv
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr
import torch
from scipy.ndimage import gaussian_filter1d

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from audio2motion.behaviour.events import (
    BLINK_CHANNELS,
    LOOK_CHANNELS,
    EventState,
    Scene,
    Seen,
    step_events,
)
from audio2motion.behaviour.statistics import (
    NOD_CYCLES,
    NOD_DEGREES,
    NOD_HZ,
    TRANSFER_MEAN_S,
    TRANSFER_SPREAD_S,
    TURN_S,
)
from audio2motion.gestures.style import measure_style
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Waveform
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.gaze import to_eyes, to_gaze
from motion2video.motion import (
    EXPRESSION,
    MOTION_DIM,
    ROTATION,
    TRANSLATION,
    Motion,
    channel_index,
)
from scripts.data.dataset import clips
from scripts.data.moods import Mood, draw_mood

FPS = 25
SMILE = [channel_index(f"mouthSmile{s}") for s in ("Left", "Right")]
CHEEK = [channel_index(f"cheekSquint{s}") for s in ("Left", "Right")]
BROW = [channel_index(n) for n in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")]
POSE = list(range(ROTATION.start, TRANSLATION.stop))
SPEECH = list(SPEECH_CHANNELS)
LOOKS = list(LOOK_CHANNELS)
REST = [i for i in range(EXPRESSION.stop) if i not in SPEECH]
WEIGHT_WHEN_SPEAKING = 0.2
HELD_OUT = 4
SMILE_BEGINS, SMILE_ENDS = 0.75, 5.0
"""Intensities of OpenFace's AU12 that are a mouthSmile of 0 and 1: so people on calls smile as much
as talkers in takes do (.11 in the mean).
"""
SMILE_SIGMA_S = 0.1
MOST_TALKING_DEGREES = 2.1
"""Deviation of a talking head beside its own slow mean; what is more may be a tracker's error."""
SHOWN_NODS_PER_S = 0.25  # more than people: each is an example of how it is answered


@dataclass(frozen=True)
class Talk:
    """A stretch of speech: samples [640 T]; `values` [T, 90] and `weight` [90] if it has a face."""

    samples: np.ndarray
    values: np.ndarray | None = None
    weight: np.ndarray | None = None

    @property
    def frames(self) -> int:
        """Length in motion frames."""
        return len(self.samples) // SAMPLES_PER_FRAME


@dataclass(frozen=True)
class Sources:
    """All there is: people who talk with a face, voices, slow drifts of real heads [T, 6], smiles
    of real pairs [T, 2], 0..1.
    """

    people: dict[str, list[Talk]]
    voices: dict[str, list[Talk]]
    drifts: list[np.ndarray]
    smiles: tuple[np.ndarray, ...] = ()


@dataclass
class Side:
    """One of the two while a conversation is put together."""

    sound: np.ndarray
    values: np.ndarray
    weight: np.ndarray
    speaking: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))


def clean(values: np.ndarray) -> np.ndarray:
    """Without blinks, a little smoothed where the tracker's noise is larger than the motion."""
    out = values.astype(np.float32).copy()
    out[:, [*BLINK_CHANNELS, *LOOK_CHANNELS]] = 0
    out[:, POSE] = gaussian_filter1d(out[:, POSE], 1.5, axis=0)
    out[:, REST] = gaussian_filter1d(out[:, REST], 1.2, axis=0)
    out[:, SPEECH] = gaussian_filter1d(out[:, SPEECH], 0.45, axis=0)
    return out


def load_smiles(calls: Path) -> tuple[np.ndarray, ...]:
    """[T, 2] smiles of both, 25 a second, of every recording of the calls that are trained on."""
    with np.load(calls) as data:
        intensity, session = data["au12_r"].astype(np.float64), data["session"]
        rate = float(data["fps"])
    kept = np.isin(session, np.unique(session)[:-HELD_OUT])
    found = []
    for one in intensity[kept]:
        even = gaussian_filter1d(one, SMILE_SIGMA_S * rate, axis=0)
        at = np.arange(int(len(even) / rate * FPS)) * rate / FPS
        both = np.stack([np.interp(at, np.arange(len(even)), side) for side in even.T], 1)
        smile = (both - SMILE_BEGINS) / (SMILE_ENDS - SMILE_BEGINS)
        found.append(smile.clip(0, 1).astype(np.float32))
    return tuple(found)


def load(data: Path, speech: Path, calls: Path | None = None) -> Sources:
    """Read the training clips, the voices and the smiles of `calls`."""
    people: dict[str, list[Talk]] = {}
    drifts = []
    for clip in clips(data, "train"):
        values = clean(clip.motion().values)
        weight = np.ones(MOTION_DIM, np.float32)
        slow = clip.fps < 20
        if clip.group == "facegood":
            weight[:] = 0
            weight[[i for i in SPEECH if i < EXPRESSION.stop]] = 1
        if clip.group == "longclips":
            drift = values[:, POSE] - values[:, POSE].mean(0)
            if len(drift) > 100 and 0.4 < np.degrees(drift[:, :3].std(0).max()) < 6:
                drifts.append(drift)
        if slow or not clip.heard:
            continue
        samples = clip.samples()
        frames = min(len(values), len(samples) // SAMPLES_PER_FRAME)
        talk = Talk(samples[: frames * SAMPLES_PER_FRAME], values[:frames], weight)
        people.setdefault(clip.identity, []).append(talk)
    voices: dict[str, list[Talk]] = {}
    for path in sorted(speech.glob("*.wav")):
        name = path.stem[:5] if path.stem.startswith("de_") else path.stem[:2]
        samples = Waveform.load(path).samples
        samples = samples[: len(samples) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME]
        voices.setdefault(name, []).append(Talk(samples))
    return Sources(people, voices, drifts, load_smiles(calls) if calls else ())


def respeed(talk: Talk, factor: float) -> Talk:
    """Slower and deeper (factor > 1), or faster and higher, with the face to match."""
    samples = soxr.resample(talk.samples, 16000, 16000 * factor).astype(np.float32)
    frames = len(samples) // SAMPLES_PER_FRAME
    values = None
    if talk.values is not None:
        at = np.clip(np.arange(frames) / factor, 0, talk.frames - 1)
        low = np.minimum(at.astype(int), talk.frames - 2)
        part = (at - low)[:, None]
        values = (talk.values[low] * (1 - part) + talk.values[low + 1] * part).astype(np.float32)
    return Talk(samples[: frames * SAMPLES_PER_FRAME], values, talk.weight)


def drift(rng: np.random.Generator, frames: int, sources: Sources) -> np.ndarray:
    """[frames, 6] slow motion of a real head, run back and forth, centred, at a common size."""
    source = sources.drifts[rng.integers(len(sources.drifts))]
    wave = np.concatenate([source, source[::-1]])
    start = int(rng.integers(len(wave)))
    speed = rng.uniform(0.8, 1.3)
    at = (start + np.arange(frames) * speed) % (len(wave) - 1)
    low = at.astype(int)
    out = wave[low] + (wave[low + 1] - wave[low]) * (at - low)[:, None]
    if rng.random() < 0.5:  # the mirror image of a head motion is one
        out = out * [1, -1, -1, -1, 1, 1]
    out = gaussian_filter1d(out - out.mean(0), 3, axis=0)
    size = np.degrees(out[:, :3].std(0).max()) + 1e-6
    return (out * min(1.0, rng.uniform(1.6, 2.8) / size)).astype(np.float32)


def turns(rng: np.random.Generator, frames: int) -> list[tuple[bool, int, int]]:
    """(agent's, first frame, last frame + 1) of the turns of a conversation."""
    out, at, agent = [], int(rng.integers(5, 30)), bool(rng.random() < 0.55)
    while at < frames - 30:
        length = int(FPS * TURN_S.draw(rng, 1.6, 12.0))
        out.append((agent, at, min(at + length, frames)))
        offset = np.clip(rng.normal(TRANSFER_MEAN_S, TRANSFER_SPREAD_S), -1, 2)
        at = max(at + length + int(FPS * offset), at + 20)
        agent = not agent
    return out


def fill(rng, side: Side, talks: list[Talk], start: int, end: int, factor: float) -> None:
    """Put speech of one person between two frames of a side."""
    at = start
    while at < end - 12:
        talk = talks[rng.integers(len(talks))]
        first = int(rng.integers(0, max(1, talk.frames - (end - at) + 1)))
        stop = min(talk.frames, first + end - at)
        cut = Talk(
            talk.samples[first * 640 : stop * 640],
            None if talk.values is None else talk.values[first:stop],
            talk.weight,
        )
        if cut.frames < 12:
            at += 3
            continue
        cut = respeed(cut, factor)
        count = min(cut.frames, len(side.values) - at)
        if count < 8:
            return
        edge = np.minimum(
            1, (np.minimum(np.arange(count * 640), np.arange(count * 640)[::-1]) + 1) / 320
        )
        side.sound[at * 640 : (at + count) * 640] += cut.samples[: count * 640] * edge
        side.speaking[at : at + count] = True
        if cut.values is not None and cut.weight is not None:
            _lay_face(side, cut.values[:count], cut.weight, at)
        at += count + int(rng.choice([2, 4, 7, 12], p=[0.35, 0.3, 0.2, 0.15]))


def _lay_face(side: Side, values: np.ndarray, weight: np.ndarray, at: int) -> None:
    count = len(values)
    ramp = np.minimum(np.arange(count), np.arange(count)[::-1])
    soft = np.clip((ramp + 1) / 4, 0, 1)[:, None].astype(np.float32)
    wide = np.clip((ramp + 1) / 8, 0, 1)[:, None].astype(np.float32)
    here = slice(at, at + count)
    values = values.astype(np.float32).copy()
    # What a face holds through a whole clip would come and go with the clips.
    held = np.quantile(values[:, REST], 0.2, axis=0)
    values[:, REST] = np.maximum(values[:, REST] - held, 0)
    if weight[POSE[0]] > 0:  # the clip's own head motion, without its slow part
        pose = values[:, POSE]
        pose = pose - gaussian_filter1d(pose, 15, axis=0, mode="nearest")
        pose *= min(1.0, MOST_TALKING_DEGREES / (np.degrees(pose[:, :3].std(0).max()) + 1e-6))
        side.values[here, POSE[0] : POSE[-1] + 1] += pose * wide
    face = ~np.isin(np.arange(MOTION_DIM), POSE)
    side.values[here, face] = values[:, face] * soft
    known = np.broadcast_to(weight, (count, MOTION_DIM)).copy()
    known[ramp < 2] *= 0.2
    side.weight[here, face] = known[:, face]


def energy(sound: np.ndarray) -> np.ndarray:
    """[T] loudness of frames, 0..1, from 45 dB below the loudest to the loudest."""
    frames = sound.reshape(-1, SAMPLES_PER_FRAME)
    level = 10 * np.log10((frames**2).mean(1) + 1e-9)
    return np.clip((level - level.max()) / 45 + 1, 0, 1)


def nod(rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    """[n] pitch in radians (down is positive) of one nod."""
    cycles = int(rng.choice(len(NOD_CYCLES), p=NOD_CYCLES)) + 1
    frequency = NOD_HZ.draw(rng, 1.0, 3.2)
    count = int(cycles * FPS / frequency) + 1
    t = np.arange(count) / FPS
    envelope = np.interp(t, [0, 1 / frequency, cycles / frequency + 1e-3], [1, 0.95, 0.6])
    size = np.radians(NOD_DEGREES.draw(rng, 1.5, 7.5) * scale)
    wave = size * envelope * (0.5 - 0.5 * np.cos(2 * np.pi * frequency * t))
    return gaussian_filter1d(np.pad(wave, 4), 1.0)


def add_at(track: np.ndarray, start: int, wave: np.ndarray) -> None:
    """track[start:] += wave, cut to fit."""
    count = min(len(wave), len(track) - start)
    if start >= 0 and count > 0:
        track[start : start + count] += wave[:count]


def smile_curve(rng: np.random.Generator) -> np.ndarray:
    """[n] rise, hold and slow fall of a smile, height 0.2 to 0.6."""
    up, hold, down = rng.integers(7, 16), rng.integers(15, 60), rng.integers(20, 45)
    wave = np.concatenate([np.linspace(0, 1, up), np.ones(hold), np.linspace(1, 0, down)])
    return gaussian_filter1d(np.pad(wave, 6), 3) * rng.uniform(0.2, 0.6)


def smiles_of(
    rng: np.random.Generator, frames: int, sources: Sources
) -> tuple[np.ndarray, np.ndarray] | None:
    """[frames] smiles of the agent and of the other: of two who talked with each other."""
    if not sources.smiles:
        return None
    both = sources.smiles[rng.integers(len(sources.smiles))]
    start = int(rng.integers(max(1, len(both) - frames + 1)))
    at = np.minimum(np.arange(start, start + frames), len(both) - 1)
    agent = int(rng.integers(2))
    return both[at, agent], both[at, 1 - agent]


def show(rng: np.random.Generator, other: Side, smiles: np.ndarray | None) -> None:
    """Nods and smiles on a face that is seen."""
    frames = len(other.values)
    pitch, smile = np.zeros(frames), np.zeros(frames)
    for t in np.nonzero(rng.random(frames) < SHOWN_NODS_PER_S / FPS)[0]:
        add_at(pitch, int(t), nod(rng))
    for t in np.nonzero(rng.random(frames) < 0.07 / FPS)[0]:
        add_at(smile, int(t), smile_curve(rng))
    other.values[:, ROTATION.start] += pitch
    _add_smile(other, np.minimum(smile, 0.8) if smiles is None else smiles)


def behave(
    rng: np.random.Generator,
    agent: Side,
    other: Side,
    seen: bool,
    mood: Mood,
    smiles: np.ndarray | None,
) -> None:
    """What the agent does by the published statistics (audio2motion/behaviour/events.py): blinks,
    gaze, nods, smiles, brows, posture and beats, caused by both voices and by what is seen; with
    `smiles` [T] it smiles as those say, and back.
    """
    seed, state = int(rng.integers(2**31)), EventState()
    mine, theirs = energy(agent.sound) - 1, energy(other.sound) - 1
    added, answer = np.zeros_like(agent.values), np.zeros(len(agent.values), np.float32)
    for t, row in enumerate(agent.values):
        scene = Scene(
            agent_speaks=bool(agent.speaking[t]),
            interlocutor_speaks=bool(other.speaking[t]),
            energy=float(theirs[t]),
            agent_energy=float(mine[t]),
            seen=Seen.of(other.values[t]) if seen else None,
            head=tuple(row[ROTATION].tolist()),
        )
        state, added[t] = step_events(state, seed, t, scene)
        answer[t] = state.smile.answer[1]
    wide = np.exp(0.5 * mood.arousal)
    looks = _gaze(agent.values + added)
    added[:, POSE] *= wide
    added[:, BROW] *= wide
    glad = np.exp(0.5 * mood.valence)
    added[:, SMILE + CHEEK] *= glad if smiles is None else 0
    agent.values += added
    agent.values[:, LOOKS] = _eyes(looks, agent.values)
    if smiles is not None:
        _add_smile(agent, np.minimum(glad * np.maximum(smiles, answer), 1))
    rest = np.setdiff1d(np.arange(MOTION_DIM), SPEECH)
    agent.weight[np.ix_(np.nonzero(agent.speaking)[0], rest)] *= WEIGHT_WHEN_SPEAKING


def _gaze(values: np.ndarray) -> np.ndarray:
    return to_gaze(torch.from_numpy(values)).numpy()[:, LOOKS]


def _eyes(looks: np.ndarray, values: np.ndarray) -> np.ndarray:
    """[T, 8] eyes in a head that has moved on, so that they look where they did."""
    turned = values.copy()
    turned[:, LOOKS] = looks
    return to_eyes(torch.from_numpy(turned)).numpy()[:, LOOKS]


def _add_smile(side: Side, smile: np.ndarray) -> None:
    side.values[:, SMILE] = np.maximum(side.values[:, SMILE], smile[:, None])
    side.values[:, CHEEK] = np.maximum(side.values[:, CHEEK], 0.6 * smile[:, None])


def microphone(rng: np.random.Generator, sound: np.ndarray) -> np.ndarray:
    """Another level, another colour, some noise."""
    peak = np.abs(sound).max() + 1e-6
    tilt = rng.uniform(-0.4, 0.4)
    coloured = sound + tilt * np.concatenate([[0], sound[:-1]])
    coloured = coloured / peak * 10 ** (rng.uniform(-24, -2) / 20)
    hiss = rng.normal(size=len(sound)) * 10 ** (rng.uniform(-75, -42) / 20)
    return np.clip(coloured + (hiss if rng.random() < 0.6 else 0), -1, 1).astype(np.float32)


def empty(frames: int) -> Side:
    """A side that does and knows nothing yet."""
    return Side(
        np.zeros(frames * SAMPLES_PER_FRAME),
        np.zeros((frames, MOTION_DIM), np.float32),
        np.ones((frames, MOTION_DIM), np.float32),
        np.zeros(frames, bool),
    )


def converse(
    rng: np.random.Generator, sources: Sources, frames: int, mood: Mood
) -> tuple[Side, Side, bool]:
    """One conversation: the agent, the interlocutor, and whether the latter is seen."""
    agent, other = empty(frames), empty(frames)
    names = sorted(sources.people)
    minutes = np.array([sum(t.frames for t in sources.people[n]) for n in names], float)
    name = names[rng.choice(len(names), p=minutes**0.6 / (minutes**0.6).sum())]
    seen = bool(rng.random() < 0.6)
    if seen:
        rest = [n for n in names if n != name]
        talks = sources.people[rest[rng.integers(len(rest))]]
    else:
        keys = sorted(sources.voices)
        talks = sources.voices[keys[rng.integers(len(keys))]]
    factor = float(rng.choice([1.0, rng.uniform(0.88, 1.14)]))
    other_factor = float(rng.uniform(0.9, 1.12))
    for own, start, end in turns(rng, frames):
        if own:
            fill(rng, agent, sources.people[name], start, end, factor)
        else:
            fill(rng, other, talks, start, end, other_factor)
    other.values[:, POSE] += drift(rng, frames, sources)
    smiles = smiles_of(rng, frames, sources)
    mine, theirs = smiles or (None, None)
    if seen:
        show(rng, other, theirs)
    behave(rng, agent, other, seen, mood, mine)
    agent.sound, other.sound = microphone(rng, agent.sound), microphone(rng, other.sound)
    return agent, other, seen


def write(
    out: Path, name: str, agent: Side, other: Side | None, seen: bool, mood: Mood
) -> dict[str, object]:
    """The files of an item; returns its row of dyads.csv."""
    values = agent.values.copy()
    values[:, EXPRESSION] = np.clip(values[:, EXPRESSION], 0, 1)
    Motion(values).save(out / f"{name}.agent.npz")
    controls = np.concatenate([mood.vector, measure_style(values), [1.0]])
    np.save(out / f"{name}.controls.npy", controls.astype(np.float32))
    Waveform(agent.sound.astype(np.float32)).save(out / f"{name}.agent.wav")
    np.save(out / f"{name}.weight.npy", agent.weight.astype(np.float16))
    if other is not None:
        Waveform(other.sound.astype(np.float32)).save(out / f"{name}.interlocutor.wav")
        if seen:
            shown = other.values.copy()
            shown[:, EXPRESSION] = np.clip(shown[:, EXPRESSION], 0, 1)
            Motion(shown).save(out / f"{name}.interlocutor.npz")
    return {
        "name": name,
        "frames": len(values),
        "interlocutor": int(other is not None),
        "seen": int(seen),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--smiles", type=Path, help="video_calls.npz: smiles of people on calls")
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    sources = load(options.data, options.speech, options.smiles)
    rows = []
    for index in range(options.count):
        rng = np.random.default_rng((options.seed, index))
        mood = draw_mood(rng)
        agent, other, seen = converse(rng, sources, int(options.seconds * FPS), mood)
        rows.append(write(options.out, f"dyad{index:04d}", agent, other, seen, mood))
    with (options.out / "dyads.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["name", "frames", "interlocutor", "seen"])
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} items, {sum(int(str(r['frames'])) for r in rows) / 25 / 60:.1f} minutes")


if __name__ == "__main__":
    main()
