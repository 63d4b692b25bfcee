"""Nods: when a listener nods, and the curve of a nod.

After a pause or a fall of energy in the other's voice that follows speech, with a chance, about
0.6 s later; some without a cue, since a nod at every pause is 3 times chance and looks false
(Ward & Tsukahara 2000; listeners measured on video, 1.0 times chance). 1 cycle in 42 %, at most 5
(Mori, Den & Jokinen 2025). Of the other's nods 40 % are returned, the peaks 0.6-0.8 s apart.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from audio2motion.behaviour.statistics import (
    NOD_BACK_CHANCE,
    NOD_BACK_S,
    NOD_CYCLES,
    NOD_DEGREES,
    NOD_DELAY_S,
    NOD_HZ,
    Person,
)
from audio2motion.saveable import saveable
from motion2video.motion import FPS

CUE_CHANCE = 0.55
"""Share of the cues in the other's voice that are answered by a nod."""
FREE_NODS_PER_S = 0.08
LOUD = -0.35
"""Energy (-1..0) that the other's voice must fall below for a cue."""
SPOKEN = 14
"""Frames of speech that a cue needs before it."""
PARTNER_NOD = math.radians(2.0)
"""How far the other's chin must go down, beyond its slow mean, to be taken for a nod."""
LOST_FRAMES = 5
"""After so many frames without the other's head, where it is found again is no nod."""
LONGER_IS_LARGER = 0.15
"""Growth of the first cycle with each further one (Mori 2025)."""


@saveable
@dataclass(frozen=True)
class NodState:
    """What is heard and seen of the other, and the nod going on; times in frames, the other's
    `pitch` fast and slow in radians. `age` is -1 without a nod, `wait` without one to come.
    """

    voice: float = -1.0
    run: int = 0
    pitch: tuple[float, float] = (0.0, 0.0)
    unseen: int = LOST_FRAMES
    quiet: int = 50
    wait: float = -1.0
    age: float = -1.0
    cycles: float = 1.0
    rate: float = 2.0
    size: float = 0.0

    @property
    def begins(self) -> bool:
        """Whether this is the first frame of a nod."""
        return self.age == 0


def nod_curve(state: NodState) -> float:
    """Pitch of the nod going on, in radians, down positive; the first cycle is the largest."""
    if state.age < 0:
        return 0.0
    phase = state.age / FPS * state.rate
    if phase >= state.cycles:
        return 0.0
    fade = 1.0 if phase < 1 else 1.0 - 0.3 * (phase - 1) / max(state.cycles - 1, 1)
    return state.size * fade * (0.5 - 0.5 * math.cos(2 * math.pi * phase))


def step_nod(
    state: NodState,
    draw: np.random.Generator,
    person: Person,
    *,
    speaks: bool,
    level: float,
    pitch: float | None,
) -> NodState:
    """One frame on. `level` is the energy of the other's voice (-1..0, -1 in silence), `pitch` the
    other's head (radians, down positive) if they are seen.
    """
    voice = state.voice + 0.3 * (level - state.voice)
    fast, slow = state.pitch
    if pitch is not None and state.unseen >= LOST_FRAMES:
        fast, slow = pitch, pitch
    elif pitch is not None:
        fast, slow = fast + 0.5 * (pitch - fast), slow + 0.04 * (pitch - slow)
    cue = state.voice >= LOUD > voice and state.run > SPOKEN
    nodded = fast - slow > PARTNER_NOD >= state.pitch[0] - state.pitch[1]
    quiet = 0 if level > -1 else state.quiet + 1
    # Always the same draws in a frame, whatever happens.
    chance, later, own, back = draw.random(4)
    delay = max(5.0, FPS * (NOD_DELAY_S[0] + NOD_DELAY_S[1] * float(draw.normal())))
    wait, age = state.wait, state.age
    if wait < 0 and age < 0 and not speaks:
        if nodded and back < NOD_BACK_CHANCE:
            wait = FPS * (NOD_BACK_S[0] + (NOD_BACK_S[1] - NOD_BACK_S[0]) * float(later))
        elif cue and chance < CUE_CHANCE * person.nod_rate:
            wait = delay
        elif quiet < 50 and own < FREE_NODS_PER_S * person.nod_rate / FPS:
            wait = 0.0
    run = state.run + 1 if voice > LOUD else max(0, state.run - 3)
    state = replace(state, voice=voice, run=run, pitch=(fast, slow), quiet=quiet)
    state = replace(state, unseen=state.unseen + 1 if pitch is None else 0)
    if age >= 0:
        done = (age + 1) / FPS * state.rate >= state.cycles + 0.3
        return replace(state, age=-1.0 if done else age + 1, wait=-1.0)
    if wait < 0 or wait >= 1:
        return replace(state, wait=wait - 1 if wait >= 1 else wait)
    if speaks:
        return replace(state, wait=-1.0)
    cycles = int(draw.choice(len(NOD_CYCLES), p=NOD_CYCLES)) + 1
    size = (
        NOD_DEGREES.draw(draw, 1.5, 9.0) * person.nod_size * (1 + LONGER_IS_LARGER * (cycles - 1))
    )
    return replace(
        state,
        wait=-1.0,
        age=0.0,
        cycles=float(cycles),
        # Wide nods are slower.
        rate=max(1.0, NOD_HZ.draw(draw, 1.0, 3.2) * (NOD_DEGREES.median / size) ** 0.3),
        size=math.radians(min(size, 7.5)),
    )
