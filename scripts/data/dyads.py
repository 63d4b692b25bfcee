#!/usr/bin/env python3
"""Make conversations to train on: real voices and lips, behaviour by published statistics.

    scripts/data/dyads.py --data CLIPS --speech VOICES --out DIR [--count 120] [--seconds 40]

Nobody publishes tracked conversations with both voices that could be used here, so they are put
together. CLIPS (index.csv, Motion files, wav) gives speech with its true face; VOICES gives voices
without faces. One item is a conversation with turns:

turns        lengths and floor transfer offsets as measured (audio2motion/behaviour/statistics.py):
log-normal
             about 2.5 s, offsets about 0, so that half of the turns overlap a little
agent speaks clips of one person after one another: true voice, lips, brows, head; in between rest.
             The head adds beats that follow the voice's energy, and the slow drift of a real head
agent hears  mouth at rest, drift at 70 %, and reactions to what the other does:
  nods       at cues in the voice (a pause after 0.7 s of speech, a fall of its energy) with a
             chance, 0.4-0.9 s later; some without a cue. 1 to 5 cycles, about 1.6 Hz and 3.9
             degrees, first cycle the largest (Mori 2025; Ward & Tsukahara 2000)
  nod back   40 % of the other's nods, 0.6-0.8 s later
  smiles     three of four follow the other's 0.2-1.0 s later at 40-80 % (Riehle 2017), some of its
             own
  brows      raised with every fifth reaction
How readily somebody nods and smiles differs from one conversation to the next (draw_person).
Blinks and gaze are not in it: they are events (audio2motion/behaviour/events.py) and taken out of
the clips.

A mood is drawn for half of the conversations: arousal widens the agent's head motion, beats and
brows, valence makes smiles more frequent and wider, and an emotion class may stand for both.

Every item has NAME.agent.wav, NAME.interlocutor.wav, NAME.agent.npz, NAME.weight.npy ([T, 90], 0
where the agent's motion is unknown), NAME.controls.npy ([21], see Controls.vector: the mood, and
the style measured on the item's own motion) and, when the other is seen, NAME.interlocutor.npz.
Real long recordings are added as items of their own. dyads.csv lists all. Same arguments, same
files.
"""

import argparse
import csv
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfiltfilt

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from audio2motion.behaviour.events import BLINK_CHANNELS, LOOK_CHANNELS
from audio2motion.behaviour.nods import CUE_CHANCE, FREE_NODS_PER_S
from audio2motion.behaviour.statistics import (
    NOD_BACK_CHANCE,
    NOD_CYCLES,
    NOD_DEGREES,
    NOD_DELAY_S,
    NOD_HZ,
    SMILE_LAG_S,
    SMILE_RETURN,
    SMILES_PER_MIN,
    TRANSFER_MEAN_S,
    TRANSFER_SPREAD_S,
    TURN_S,
    draw_person,
)
from audio2motion.gestures.style import measure_style
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Waveform
from audio2motion.network.gate import SPEECH_CHANNELS
from motion2video.motion import (
    EXPRESSION,
    MOTION_DIM,
    ROTATION,
    TRANSLATION,
    Motion,
    channel_index,
)
from scripts.data.moods import Mood, draw_mood

FPS = 25
SMILE = [channel_index(f"mouthSmile{s}") for s in ("Left", "Right")]
CHEEK = [channel_index(f"cheekSquint{s}") for s in ("Left", "Right")]
BROW = [channel_index(n) for n in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")]
POSE = list(range(ROTATION.start, TRANSLATION.stop))
SPEECH = list(SPEECH_CHANNELS)
REST = [i for i in range(EXPRESSION.stop) if i not in SPEECH]


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
    """All there is: people who talk with a face, voices, slow drifts of real heads [T, 6]."""

    people: dict[str, list[Talk]]
    voices: dict[str, list[Talk]]
    drifts: list[np.ndarray]
    recordings: list[tuple[str, Talk]]


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


def load(data: Path, speech: Path) -> Sources:
    """Read the training clips and the voices."""
    people: dict[str, list[Talk]] = {}
    drifts, recordings = [], []
    with (data / "index.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["split"] == "train"]
    for row in rows:
        motion = Motion.load(data / row["motion"])
        values = clean(motion.values)
        weight = np.ones(MOTION_DIM, np.float32)
        slow = float(row["native_fps"]) < 20
        if row["group"] == "facegood":
            weight[:] = 0
            weight[[i for i in SPEECH if i < EXPRESSION.stop]] = 1
        if row["group"] == "longclips":
            drift = values[:, POSE] - values[:, POSE].mean(0)
            if len(drift) > 100 and 0.4 < np.degrees(drift[:, :3].std(0).max()) < 6:
                drifts.append(drift)
        if slow or not row["audio"]:
            if not slow and row["group"] == "longclips" and len(values) > 100:
                silent = Talk(np.zeros(len(values) * 640, np.float32), values, _idle(weight))
                recordings.append(("silent", silent))
            continue
        samples = Waveform.load(data / row["audio"]).samples
        frames = min(len(values), len(samples) // SAMPLES_PER_FRAME)
        talk = Talk(samples[: frames * SAMPLES_PER_FRAME], values[:frames], weight)
        people.setdefault(row["identity"], []).append(talk)
        if row["group"] == "longclips" and frames > 100:
            recordings.append(("speaks", talk))
    voices: dict[str, list[Talk]] = {}
    for path in sorted(speech.glob("*.wav")):
        name = path.stem[:5] if path.stem.startswith("de_") else path.stem[:2]
        samples = Waveform.load(path).samples
        samples = samples[: len(samples) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME]
        voices.setdefault(name, []).append(Talk(samples))
    return Sources(people, voices, drifts, recordings)


def _idle(weight: np.ndarray) -> np.ndarray:
    """Known without the sound: all but the mouth, which may be speaking."""
    out = weight.copy()
    out[SPEECH] = 0
    return out


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
        pose *= min(1.0, 1.5 / (np.degrees(pose[:, :3].std(0).max()) + 1e-6))
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


def beats(rng: np.random.Generator, sound: np.ndarray, speaking: np.ndarray) -> np.ndarray:
    """[T, 3] rotation that follows the stresses of the own voice: down on them, with some turn."""
    band = butter(2, [0.5, 3.5], "band", fs=FPS, output="sos")
    curve = sosfiltfilt(band, energy(sound))
    curve = np.roll(curve, -1) / (curve[speaking].std() + 1e-3 if speaking.any() else 1)
    slow = sosfiltfilt(
        butter(2, 0.8, fs=FPS, output="sos"), rng.normal(size=(len(curve), 3)), axis=0
    )
    slow = slow / slow.std(0)
    on = gaussian_filter1d(speaking.astype(float), 5)[:, None]
    size = np.radians(rng.uniform(0.7, 1.5))
    pitch = curve * (0.8 + 0.4 * slow[:, 0]) * size
    yaw = (0.3 * curve * slow[:, 1] + 0.9 * slow[:, 1]) * size
    roll = (0.3 * curve * slow[:, 2] + 0.6 * slow[:, 2]) * size
    return np.stack([pitch, yaw, roll], 1) * on


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


def cues(sound: np.ndarray, speaking: np.ndarray) -> np.ndarray:
    """Frames at which a listener may react: pauses and falls of energy after 0.7 s of speech."""
    loud = gaussian_filter1d(energy(sound), 2)
    found, run, last = [], 0, -50
    for t in range(1, len(loud)):
        run = run + 1 if loud[t] > 0.45 else max(0, run - 3)
        falling = loud[t - 1] >= 0.45 > loud[t] or (speaking[t - 1] and not speaking[t])
        if falling and run > 10 and t - last > 16:
            found.append(t)
            last = t
    return np.array(found, int)


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


def react(rng: np.random.Generator, agent: Side, other: Side, seen: bool, mood: Mood) -> None:
    """Everything the agent does because of the other."""
    frames = len(agent.values)
    pitch, smile, brow = (np.zeros(frames) for _ in range(3))
    listens = ~agent.speaking
    busy = -100
    person = draw_person(int(rng.integers(2**31)))
    delays = FPS * (NOD_DELAY_S[0] + NOD_DELAY_S[1] * rng.normal(size=frames))
    events = [
        (t + int(delays[t]), rng.random() < CUE_CHANCE * person.nod_rate)
        for t in cues(other.sound, other.speaking)
    ]
    spontaneous = rng.random(frames) < FREE_NODS_PER_S * person.nod_rate / FPS
    events += [(t, True) for t in np.nonzero(spontaneous & (other.speaking | listens))[0]]
    other_pitch, other_smile = np.zeros(frames), np.zeros(frames)
    if seen:
        for t in np.nonzero(rng.random(frames) < 0.05 / FPS)[0]:
            add_at(other_pitch, int(t), nod(rng))
            events.append((int(t) + int(rng.uniform(15, 21)), rng.random() < NOD_BACK_CHANCE))
        for t in np.nonzero(rng.random(frames) < 0.07 / FPS)[0]:
            wave = smile_curve(rng)
            add_at(other_smile, int(t), wave)
            lag = int(FPS * SMILE_LAG_S.draw(rng, 0.2, 1.0))
            returned = rng.random() < SMILE_RETURN * person.smile
            add_at(smile, int(t) + lag, wave * rng.uniform(0.4, 0.8) * (1 if returned else 0.3))
    own = SMILES_PER_MIN / 60 * person.smile * np.exp(1.5 * mood.valence)
    for t in np.nonzero(rng.random(frames) < own / FPS)[0]:
        add_at(smile, int(t), smile_curve(rng) * 0.6)
    smile *= np.exp(0.5 * mood.valence)
    for t, happens in sorted(events):
        if happens and 0 <= t < frames and listens[t] and t - busy > 12:
            wave = nod(rng, person.nod_size)
            add_at(pitch, t, wave)
            busy = t + len(wave)
            if rng.random() < 0.2:
                add_at(brow, t - 2, np.hanning(int(rng.uniform(14, 30))) * rng.uniform(0.15, 0.4))
    agent.values[:, ROTATION.start] += pitch
    _add_smile(agent, np.minimum(smile, 0.8))
    agent.values[:, BROW] += brow[:, None]
    other.values[:, ROTATION.start] += other_pitch
    _add_smile(other, np.minimum(other_smile, 0.8))


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
    for mine, start, end in turns(rng, frames):
        if mine:
            fill(rng, agent, sources.people[name], start, end, factor)
        else:
            fill(rng, other, talks, start, end, other_factor)
    calm = gaussian_filter1d(agent.speaking.astype(float), 12)[:, None] * 0.3 + 0.7
    wide = np.exp(0.5 * mood.arousal)
    agent.values[:, POSE] += drift(rng, frames, sources) * calm * wide
    agent.values[:, POSE[:3]] += beats(rng, agent.sound, agent.speaking) * wide
    agent.values[:, BROW] *= wide
    other.values[:, POSE] += drift(rng, frames, sources)
    react(rng, agent, other, seen, mood)
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
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    sources = load(options.data, options.speech)
    rows = []
    for index in range(options.count):
        rng = np.random.default_rng((options.seed, index))
        mood = draw_mood(rng)
        agent, other, seen = converse(rng, sources, int(options.seconds * FPS), mood)
        rows.append(write(options.out, f"dyad{index:04d}", agent, other, seen, mood))
    for index, (kind, talk) in enumerate(sources.recordings):
        side = empty(talk.frames)
        side.sound[:] = talk.samples
        assert talk.values is not None and talk.weight is not None
        side.values, side.weight = talk.values.copy(), np.tile(talk.weight, (talk.frames, 1))
        rows.append(write(options.out, f"real{index:04d}_{kind}", side, None, False, Mood()))
    with (options.out / "dyads.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["name", "frames", "interlocutor", "seen"])
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} items, {sum(int(str(r['frames'])) for r in rows) / 25 / 60:.1f} minutes")


if __name__ == "__main__":
    main()
