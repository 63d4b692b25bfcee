"""The head between nods: sway, posture shifts, beats of one's own voice, and going along.

sway     slow wandering, smooth noise at three paces
posture  now and then another way to hold the head, in about a second; at the edges of turns more
         often (Cassell, Nakano, Bickmore, Sidner & Rich 2001); a speaker's also at phrases
beats    short movements down and to a side on stresses of one's own voice (Munhall 2004: the head
         goes with loudness and pitch); some raise the brows (Ekman: batons)
along    a listener's slow movement with the other's head and with the loudness of their voice,
         0.6 s behind (Hale 2020), and a slight one in phase with its stresses (Hadar 1985)
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from audio2motion.behaviour.statistics import LogNormal, Person
from audio2motion.saveable import saveable
from motion2video.motion import FPS

# Sway: (period in seconds, degrees of pitch, yaw, roll, interocular distances right, up, near).
_SWAY = (
    (0.9, 0.14, 0.28, 0.18, 0.003, 0.002, 0.002),
    (2.1, 0.40, 0.90, 0.60, 0.010, 0.008, 0.010),
    (5.3, 1.00, 1.50, 0.90, 0.030, 0.015, 0.030),
)
SPEAKING_SWAY = 1.3
"""Factor while the agent speaks. In the first second the sway grows from the portrait's pose."""
ROLE_PACE = 0.06
SHIFTS_PER_S = 1 / 40
TURN_SHIFT, PHRASE_SHIFT = 0.25, 0.6
"""Chances of a shift when the other's turn ends or begins, and at a phrase of one's own."""
SHIFT_SIZE = (0.9, 1.6, 1.2, 0.03, 0.015, 0.03)
"""Deviation of postures: degrees of pitch, yaw, roll, interocular distances."""
PHRASE_SIZE = (2.0, 3.2, 2.0, 0.03, 0.02, 0.03)
SHIFT_PACE, PHRASE_PACE = 0.08, 0.12
STRESS = 0.09
"""How far (of 1 for the whole range) the loudness must rise above its recent mean for a stress."""
BEAT_CHANCE = 0.75
BEAT_DEGREES = LogNormal(2.4, 0.45)
BEAT_S = LogNormal(0.48, 0.25)
BROW_CHANCE = 0.2
MIRRORED_PITCH = 0.25
ALONG_DEGREES, IN_PHASE_DEGREES = 2.0, 0.7
"""Pitch per unit of loudness of the other's voice: some tenths of a degree in speech."""


@saveable
@dataclass(frozen=True)
class HeadState:
    """How the head is held and moves. Six numbers are degrees of pitch (down), yaw, roll and
    interocular distances; times in frames; loudness (-1..0) fast and slow. `speaking` is how far
    the head has gone over from a listener's to a speaker's, 0..1.
    """

    goal: tuple[float, ...] = (0.0,) * 6
    first: tuple[float, ...] = (0.0,) * 6
    posture: tuple[float, ...] = (0.0,) * 6
    pace: float = SHIFT_PACE
    speaking: float = 0.0
    silence: int = 50
    quiet: int = 50
    own: tuple[float, float] = (-1.0, -1.0)
    other: tuple[float, float, float, float] = (-1.0, -1.0, -1.0, -1.0)
    pitch: tuple[float, float, float] = (0.0, 0.0, 0.0)
    beat_age: float = -1.0
    beat_frames: float = 10.0
    beat: tuple[float, float, float] = (0.0, 0.0, 0.0)
    stressed: bool = False
    """Whether the beat that begins in this frame comes with the brows."""


def step_head(
    state: HeadState,
    draw: np.random.Generator,
    person: Person,
    *,
    speaks: bool,
    own_level: float,
    other_speaks: bool,
    other_level: float,
    other_pitch: float | None,
    found: bool = False,
) -> HeadState:
    """One frame on; levels are loudness, -1..0, and `other_pitch` the other's head (radians, down)
    when they are seen; `found` says that they were lost until now, so that where the head is now is
    where it rests.
    """
    state = _step_posture(state, draw, speaks, other_speaks)
    state = _step_beat(state, draw, person, own_level if speaks else -1.0)
    stress, fast, late, slow = state.other
    level = other_level if other_speaks else -1.0
    stress = stress + 0.35 * (level - stress)
    fast = fast + 0.12 * (level - fast)
    late = late + 0.12 * (fast - late)
    slow = slow + 0.02 * (level - slow)
    if other_pitch is not None:
        turned = math.degrees(other_pitch)
        pitch = (turned,) * 3 if found else _followed(state.pitch, turned)
        state = replace(state, pitch=pitch)
    return replace(
        state,
        speaking=state.speaking + ROLE_PACE * (float(speaks) - state.speaking),
        silence=0 if speaks else state.silence + 1,
        quiet=0 if other_speaks else state.quiet + 1,
        other=(stress, fast, late, slow),
    )


def pose(state: HeadState, seed: int, frame: int, person: Person) -> Float[np.ndarray, "6"]:
    """Rotation (radians, axis-angle) and translation (interocular distances) of it all."""
    grown = min(1.0, frame / FPS)
    size = 1 + (SPEAKING_SWAY - 1) * state.speaking
    total = sway(seed, frame) * (size * person.sway * grown)
    held = np.array(state.posture) * grown
    held[:3] += np.array(state.beat) * beat_curve(state.beat_age, state.beat_frames)
    if state.silence > 5:
        stress, fast, late, slow = state.other
        along = ALONG_DEGREES * (late - slow) + IN_PHASE_DEGREES * (stress - fast)
        along += MIRRORED_PITCH * (state.pitch[1] - state.pitch[2])
        held[0] += along * min(1, state.silence / 25)
    held[:3] = np.radians(held[:3])
    return total + held


def _followed(state: tuple[float, float, float], now: float) -> tuple[float, float, float]:
    """Two low-pass steps, 0.6 s behind, and a slow mean."""
    first, late, slow = state
    first = first + 0.12 * (now - first)
    return first, late + 0.12 * (first - late), slow + 0.02 * (now - slow)


def beat_curve(age: float, frames: float) -> float:
    """0..1..0 of a beat: down fast and up slower, its peak at two fifths."""
    if not 0 <= age < frames:
        return 0.0
    part = age / frames
    phase = part / 0.8 if part < 0.4 else 0.5 + (part - 0.4) / 1.2
    return 0.5 - 0.5 * math.cos(2 * math.pi * phase)


def _step_beat(
    state: HeadState, draw: np.random.Generator, person: Person, level: float
) -> HeadState:
    fast, slow = state.own
    before = fast - slow
    fast, slow = fast + 0.6 * (level - fast), slow + 0.08 * (level - slow)
    chance, brows = draw.random(2)
    age = state.beat_age + 1 if 0 <= state.beat_age < state.beat_frames else -1.0
    state = replace(state, own=(fast, slow), beat_age=age, stressed=False)
    stress = fast - slow > STRESS >= before and level > -1
    if not stress or age >= 0 or chance >= BEAT_CHANCE:
        return state
    size = BEAT_DEGREES.draw(draw, 0.5, 5.0) * person.beat_size
    side, tilt = draw.normal(0, (0.6, 0.35))
    return replace(
        state,
        beat_age=0.0,
        beat_frames=FPS * BEAT_S.draw(draw, 0.28, 0.9),
        beat=(size, size * float(side), size * float(tilt)),
        stressed=bool(brows < BROW_CHANCE),
    )


def _step_posture(
    state: HeadState, draw: np.random.Generator, speaks: bool, other_speaks: bool
) -> HeadState:
    begins = speaks and state.silence > 4
    turn = (other_speaks and state.quiet > 25) or (not speaks and state.silence == 12)
    chance = PHRASE_SHIFT if begins else TURN_SHIFT if turn else SHIFTS_PER_S / FPS
    goal, pace = state.goal, state.pace
    if draw.random() < chance:
        size = np.array(PHRASE_SIZE if speaks else SHIFT_SIZE)
        goal = tuple((draw.normal(size=6) * size).tolist())
        pace = PHRASE_PACE if speaks else SHIFT_PACE
    first = tuple(f + pace * (g - f) for f, g in zip(state.first, goal, strict=True))
    held = tuple(p + pace * (f - p) for p, f in zip(state.posture, first, strict=True))
    return replace(state, goal=goal, pace=pace, first=first, posture=held)


def sway(seed: int, frame: int) -> Float[np.ndarray, "6"]:
    """Slow wandering of the head (radians, interocular distances): smooth noise at three paces."""
    total = np.zeros(6)
    for pace, (period, *size) in enumerate(_SWAY):
        at = frame / (period * FPS)
        low = math.floor(at)
        part = 0.5 - 0.5 * math.cos(math.pi * (at - low))
        here, there = _knot(seed, pace, low), _knot(seed, pace, low + 1)
        total += np.array(size) * (here * (1 - part) + there * part)
    total[:3] = np.radians(total[:3])
    return total


@lru_cache(maxsize=256)
def _knot(seed: int, pace: int, index: int) -> Float[np.ndarray, "6"]:
    key = [(seed ^ 0x5EED) & (2**63 - 1), index * len(_SWAY) + pace]
    return np.random.Generator(np.random.Philox(key=key)).normal(size=6)
