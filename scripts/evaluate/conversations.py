"""Conversations to measure listening on: real voices, and real faces of people held out.

The sound is recorded speech, the turns are drawn from measured statistics (audio2motion/behaviour):
turn lengths, floor transfer offsets, stretches of talk and the pauses between them. An interlocutor
with a face is a tracked person of the dataset's split `val` or `test`, with the sound and the
motion of the same clips; one without is a voice only. The split also parts the voices: every
second speaker is for `val`, the others for `test`. Same arguments, same conversations.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d

from audio2motion.behaviour.statistics import (
    PAUSE_S,
    STRETCH_S,
    TRANSFER_MEAN_S,
    TRANSFER_SPREAD_S,
    TURN_S,
)
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Dyad, Waveform
from motion2video.motion import FPS, MOTION_DIM, ROTATION, TRANSLATION, Motion
from scripts.data.dataset import clips

MINUTES_EACH = 2.0
SHORTEST_TURN_S, LONGEST_TURN_S = 1.0, 25.0
FACES = 2 / 3
"""Share of conversations in which the interlocutor is seen."""
CUT_REACH = 8
"""Frames around the wanted length within which speech is cut where it is quietest."""
POSE = slice(ROTATION.start, TRANSLATION.stop)


@dataclass(frozen=True)
class Talk:
    """Speech of one person: samples [640 T] and the face that goes with it [T, 90], if any."""

    samples: Float[np.ndarray, "n"]
    values: Float[np.ndarray, "T 90"] | None = None


@dataclass(frozen=True)
class Turn:
    """Frames [start, end) in which somebody holds the floor."""

    agent: bool
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Conversation:
    """Two voices, the interlocutor's motion when they are seen, who they are, and the turns."""

    name: str
    partner: str
    dyad: Dyad
    motion: Motion | None
    turns: tuple[Turn, ...]

    def truth(self, agent: bool) -> Bool[np.ndarray, "T"]:
        """Frames in which one of the two holds the floor."""
        out = np.zeros(self.dyad.frames, bool)
        for turn in self.turns:
            if turn.agent == agent:
                out[turn.start : turn.end] = True
        return out


def converse(
    data: Path, speech: Path, split: str, minutes: float, seed: int = 0
) -> list[Conversation]:
    """Conversations of MINUTES_EACH, `minutes` in all."""
    faces, voices = _faces(data, split), _voices(speech, split)
    names, speakers = sorted(faces), sorted(voices)
    count = int(np.ceil(minutes / MINUTES_EACH))
    made = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        agent = speakers[index % len(speakers)]
        if index < round(FACES * count):
            partner = names[index % len(names)]
            talks = faces[partner]
        else:
            partner = speakers[(index + 1 + index // len(speakers)) % len(speakers)]
            talks = voices[partner]
        plan = plan_turns(rng, int(MINUTES_EACH * 60 * FPS))
        made.append(
            _lay(rng, f"{index:02d} {agent} {partner}", partner, plan, voices[agent], talks)
        )
    return made


def plan_turns(rng: np.random.Generator, frames: int) -> tuple[Turn, ...]:
    """Turns that alternate, within `frames`; some begin before the one before has ended."""
    turns, at, agent = [], int(rng.uniform(5, 40)), bool(rng.random() < 0.5)
    while at < frames - 30:
        seconds = TURN_S.draw(rng, SHORTEST_TURN_S, LONGEST_TURN_S)
        end = min(at + int(seconds * FPS), frames - 1)
        turns.append(Turn(agent, at, end))
        offset = float(np.clip(rng.normal(TRANSFER_MEAN_S, TRANSFER_SPREAD_S), -1, 2))
        at, agent = max(end + int(offset * FPS), at + 15), not agent
    return tuple(turns)


def _faces(data: Path, split: str) -> dict[str, list[Talk]]:
    """The talking clips of the split by person, around the middle of each clip's own pose."""
    people = defaultdict(list)
    for clip in clips(data, split):
        if not clip.heard:
            continue
        samples = clip.samples()
        values = clip.motion().values.copy()
        frames = min(len(values), len(samples) // SAMPLES_PER_FRAME)
        if frames < 20:
            continue
        values[:, POSE] -= values[:frames, POSE].mean(0)
        samples = samples[: frames * SAMPLES_PER_FRAME]
        people[clip.identity].append(Talk(samples, values[:frames]))
    return {name: talks for name, talks in people.items() if sum(map(_frames, talks)) > 200}


def _voices(speech: Path, split: str) -> dict[str, list[Talk]]:
    """Every second speaker; recordings of one speaker begin with the same two characters."""
    people = defaultdict(list)
    for path in sorted(speech.glob("*.wav")):
        if not path.stem.startswith("spoken_"):
            people[path.stem[:2]].append(path)
    parity = 0 if split == "val" else 1
    chosen = {name: people[name] for name in sorted(people)[parity::2]}
    return {name: [_trim(Waveform.load(p)) for p in paths[:40]] for name, paths in chosen.items()}


def _trim(sound: Waveform) -> Talk:
    """Whole frames, without the silence at both ends."""
    samples = sound.samples[: len(sound) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME]
    loud = np.nonzero(_level(samples) > -40)[0]
    first, last = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, 1)
    return Talk(samples[first * SAMPLES_PER_FRAME : last * SAMPLES_PER_FRAME])


def _frames(talk: Talk) -> int:
    return len(talk.samples) // SAMPLES_PER_FRAME


def _level(samples: Float[np.ndarray, "n"]) -> Float[np.ndarray, "T"]:
    """Decibels below the loudest frame."""
    power = (samples.reshape(-1, SAMPLES_PER_FRAME) ** 2).mean(1) + 1e-9
    return 10 * np.log10(power / power.max())


class _Reel:
    """The speech of one person in an order of chance, handed out piece by piece."""

    def __init__(self, rng: np.random.Generator, talks: list[Talk]) -> None:
        self._rng, self._talks, self._rest = rng, talks, Talk(np.zeros(0, np.float32))

    def next(self, frames: int) -> Talk:
        """A stretch of about `frames`, cut where it is quiet; a short clip is given whole."""
        if _frames(self._rest) < 10:
            self._rest = self._talks[int(self._rng.integers(len(self._talks)))]
        talk = self._rest
        if _frames(talk) <= frames + CUT_REACH:
            self._rest = Talk(np.zeros(0, np.float32))
            return talk
        low = max(8, frames - CUT_REACH)
        cut = low + int(_level(talk.samples)[low : frames + CUT_REACH].argmin())
        samples, values = talk.samples, talk.values
        split = cut * SAMPLES_PER_FRAME
        self._rest = Talk(samples[split:], None if values is None else values[cut:])
        return Talk(samples[:split], None if values is None else values[:cut])


def _lay(
    rng: np.random.Generator,
    name: str,
    partner: str,
    plan: tuple[Turn, ...],
    mine: list[Talk],
    theirs: list[Talk],
) -> Conversation:
    """Speech into the turns; the turns end where their speech does."""
    frames = int(MINUTES_EACH * 60 * FPS)
    sounds = {side: np.zeros(frames * SAMPLES_PER_FRAME, np.float32) for side in (True, False)}
    reels = {True: _Reel(rng, mine), False: _Reel(rng, theirs)}
    values = np.zeros((frames, MOTION_DIM), np.float32)
    known = np.zeros(frames, bool)
    turns = []
    for turn in plan:
        at = last = turn.start
        while at < turn.end - 8:
            wanted = min(int(STRETCH_S.draw(rng, 0.5, 6.0) * FPS), turn.end - at)
            talk = reels[turn.agent].next(max(wanted, 12))
            count = min(_frames(talk), frames - at)
            here = slice(at * SAMPLES_PER_FRAME, (at + count) * SAMPLES_PER_FRAME)
            sounds[turn.agent][here] = _faded(talk.samples[: count * SAMPLES_PER_FRAME])
            if talk.values is not None:
                values[at : at + count] = talk.values[:count]
                known[at + 1 : at + count - 1] = True
            last = at + count
            at = last + int(PAUSE_S.draw(rng, 0.15, 2.5) * FPS)
        turns.append(Turn(turn.agent, turn.start, last))
    dyad = Dyad(Waveform(_even(sounds[True])), Waveform(_even(sounds[False])))
    motion = Motion(_bridge(values, known)) if known.any() else None
    return Conversation(name, partner, dyad, motion, tuple(turns))


def _faded(samples: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    ramp = np.minimum(1.0, (np.arange(len(samples)) + 1) / 320)
    return (samples * ramp * ramp[::-1]).astype(np.float32)


def _even(samples: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """At a common level: speech at -23 dB of full scale."""
    power = samples[samples != 0] ** 2
    gain = 10 ** (-23 / 20) / (np.sqrt(power.mean()) + 1e-9) if len(power) else 1.0
    return np.clip(samples * gain, -1, 1).astype(np.float32)


def _bridge(
    values: Float[np.ndarray, "T 90"], known: Bool[np.ndarray, "T"]
) -> Float[np.ndarray, "T 90"]:
    """From one clip to the next in straight lines that are smoothed: no jumps at the joins, and
    a still face in a long silence.
    """
    at = np.nonzero(known)[0]
    out = np.stack(
        [np.interp(np.arange(len(values)), at, values[at, k]) for k in range(MOTION_DIM)]
    )
    return gaussian_filter1d(out.T, 1.2, axis=0).astype(np.float32)
