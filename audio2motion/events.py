"""Blinks, shifts of gaze, nods, mirrored smiles and sway: what happens in moments.

Their moments come from point processes with published statistics and depend on who speaks and on
cues in the other's voice and face; their shapes are measured ones. Every draw is keyed by (seed,
frame), so nothing depends on how a stream was cut. They are added to what the network makes.

blinks  Bentivoglio 1997, Chidi-Egboka 2023 (rates in conversation, log-normal); listeners blink
        0.25-0.5 s after the speaker's pauses (Nakano & Kitazawa 2010)
gaze    by role; averted when a turn begins, direct when it ends (Rogers 2018, Ho 2015)
nods    after a pause or a fall of energy in the other's voice that follows speech, with a chance,
        about 0.6 s later; some without a cue (a nod at every pause is 3 times chance and looks
        false); 1 cycle 42 %, at most 5 (Mori 2025; Ward & Tsukahara 2000); 40 % of the other's
        nods are returned after 0.6-0.8 s
smiles  follow the other's at 60 %, about half a second later (Riehle 2017)
sway    slow wandering of the head, at the size measured on listeners of video calls
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from motion2video.motion import (
    EXPRESSION_NAMES,
    FPS,
    MOTION_DIM,
    ROTATION,
    TRANSLATION,
    channel_index,
)

FRAME_MS = 40.0
BLINK_CHANNELS = (channel_index("eyeBlinkLeft"), channel_index("eyeBlinkRight"))
LOOK_CHANNELS = tuple(i for i, n in enumerate(EXPRESSION_NAMES) if n.startswith("eyeLook"))
LISTENING_INTERVAL_S = 4.6
"""Mean time between a listener's blinks that have no other cause; a speaker's clock runs
SPEAKING_BLINK_SPEED times faster."""
SPEAKING_BLINK_SPEED = 1.45
BLINK_SPREAD = 0.6
BLINK_DEPTH = 0.93
"""The eyeBlink coefficient at which the lids of the face basis meet."""
DEGREES_PER_UNIT = 32.0
"""Turn of the eyeball at an eyeLook coefficient of 1."""
HEAD_SHARE = 0.15
"""Part of a gaze shift that the head makes, slowly."""

SMILE_CHANNELS = tuple(channel_index(f"mouthSmile{side}") for side in ("Left", "Right"))
CHEEK_CHANNELS = tuple(channel_index(f"cheekSquint{side}") for side in ("Left", "Right"))
BROW_CHANNEL = channel_index("browInnerUp")
BROW_FRAMES = 24
CUE_CHANCE = 0.6
"""Share of the cues in the other's voice that are answered by a nod."""
FREE_NODS_PER_S = 0.2
LOUD = -0.35
"""Energy (-1..0) that the other's voice must fall below for a cue."""
RETURN_CHANCE = 0.4
PARTNER_NOD = math.radians(2.5)
SMILE_SHARE, SMILE_SPEED = 0.6, 0.12
# Sway: (period in seconds, degrees of pitch, yaw, roll, interocular distances right, up, near).
_SWAY = (
    (0.9, 0.30, 0.40, 0.25, 0.004, 0.003, 0.003),
    (2.1, 0.60, 0.80, 0.50, 0.010, 0.008, 0.010),
    (5.3, 1.00, 1.50, 0.90, 0.030, 0.015, 0.030),
)
SPEAKING_SWAY = 1.3
"""Factor while the agent speaks. In the first second the sway grows from the portrait's pose."""


@dataclass(frozen=True)
class Scene:
    """One frame of what is going on around the agent: who speaks, the other's `energy` (-1..0),
    their `smile` (0..1) and head `pitch` (radians) when they are seen, and a wanted gaze.
    """

    agent_speaks: bool
    interlocutor_speaks: bool
    energy: float = -1.0
    smile: float | None = None
    pitch: float | None = None
    gaze: tuple[float, float] | None = None


@dataclass(frozen=True)
class EventState:
    """Where blinks and gaze stand. Times in frames; gaze in degrees, right and up."""

    next_blink: float = 30.0
    blink_age: float = -1.0
    blink_close: float = 90.0
    blink_hold: float = 40.0
    blink_open: float = 170.0
    blink_depth: float = BLINK_DEPTH
    target: tuple[float, float] = (0.0, 0.0)
    eyes: tuple[float, float] = (0.0, 0.0)
    head: tuple[float, float] = (0.0, 0.0)
    dwell: float = 25.0
    agent_spoke: bool = False
    quiet: int = 0
    voice: float = -1.0
    voice_run: int = 0
    nod_wait: float = -1.0
    nod_age: float = -1.0
    nod_cycles: float = 1.0
    nod_rate: float = 2.0
    nod_size: float = 0.0
    brow: float = 0.0
    brow_age: float = -1.0
    smile: tuple[float, float] = (0.0, 0.0)
    partner_pitch: tuple[float, float] = (0.0, 0.0)
    sway: float = 1.0


def blink_curve(ms: float, close: float, hold: float, open_again: float) -> float:
    """How far the lid is down, 0..1, `ms` after the blink began: down in a raised cosine, held,
    and up again more slowly.
    """
    if ms <= 0 or ms >= close + hold + open_again:
        return 0.0
    if ms < close:
        return 0.5 - 0.5 * math.cos(math.pi * ms / close)
    if ms < close + hold:
        return 1.0
    rest = (ms - close - hold) / open_again
    return (0.5 + 0.5 * math.cos(math.pi * rest)) ** 1.3


def step_events(
    state: EventState, seed: int, frame: int, scene: Scene
) -> tuple[EventState, Float[np.ndarray, "90"]]:
    """One frame on: the new state, and what the events add to the motion."""
    draw = np.random.Generator(np.random.Philox(key=[seed & (2**63 - 1), frame]))
    speaks = scene.agent_speaks
    state = replace(state, quiet=0 if scene.interlocutor_speaks else state.quiet + 1)
    state = _step_gaze(state, draw, speaks, scene.gaze)
    state = _step_blink(state, draw, speaks)
    state = _step_nod(state, draw, scene)
    state = _step_smile(state, scene.smile or 0.0)
    goal = SPEAKING_SWAY if speaks else 1.0
    state = replace(state, agent_spoke=speaks, sway=state.sway + 0.05 * (goal - state.sway))
    return state, _render(state, seed, frame)


def _render(state: EventState, seed: int, frame: int) -> Float[np.ndarray, "90"]:
    out = np.zeros(MOTION_DIM, np.float32)
    ms = state.blink_age * FRAME_MS
    down = blink_curve(ms, state.blink_close, state.blink_hold, state.blink_open)
    out[list(BLINK_CHANNELS)] = state.blink_depth * down
    _look(out, *state.eyes)
    out[list(SMILE_CHANNELS)] = state.smile[1]
    out[list(CHEEK_CHANNELS)] = 0.6 * state.smile[1]
    nod = nod_curve(state)
    if 0 <= state.brow_age < BROW_FRAMES:
        out[BROW_CHANNEL] = state.brow * math.sin(math.pi * state.brow_age / BROW_FRAMES) ** 2
    pose = sway(seed, frame) * (state.sway * min(1.0, frame / FPS))
    out[ROTATION] = pose[:3]
    out[TRANSLATION] = pose[3:]
    out[ROTATION.start] += nod - math.radians(state.head[1])
    out[ROTATION.start + 1] += math.radians(state.head[0])
    # A nodding head moves down with the chin.
    out[TRANSLATION.start + 1] -= 0.3 * nod
    return out


def nod_curve(state: EventState) -> float:
    """Pitch of the nod going on, in radians, down positive; the first cycle is the largest."""
    if state.nod_age < 0:
        return 0.0
    phase = state.nod_age / FPS * state.nod_rate
    if phase >= state.nod_cycles:
        return 0.0
    fade = 1.0 if phase < 1 else 1.0 - 0.65 * (phase - 1) / max(state.nod_cycles - 1, 1)
    return state.nod_size * fade * (0.5 - 0.5 * math.cos(2 * math.pi * phase))


def _step_nod(state: EventState, draw: np.random.Generator, scene: Scene) -> EventState:
    """Find cues in the other's voice and head, and start, go on with or end a nod."""
    level = scene.energy if scene.interlocutor_speaks else -1.0
    voice = state.voice + 0.3 * (level - state.voice)
    fell = state.voice >= LOUD > voice
    cue = fell and state.voice_run > 14
    run = state.voice_run + 1 if voice > LOUD else max(0, state.voice_run - 3)
    fast, slow = state.partner_pitch
    if scene.pitch is not None:
        fast, slow = fast + 0.5 * (scene.pitch - fast), slow + 0.04 * (scene.pitch - slow)
    nodded = fast - slow > PARTNER_NOD
    was = state.partner_pitch[0] - state.partner_pitch[1] > PARTNER_NOD
    # Always the same draws in a frame, whatever happens.
    chance, later, free, back = draw.random(4)
    delay = max(6.0, 14.0 + 5.0 * float(draw.normal()))
    wait, age = state.nod_wait, state.nod_age
    heard = voice > -0.95 or state.quiet < 50
    if wait < 0 and age < 0 and not scene.agent_speaks:
        if cue and chance < CUE_CHANCE:
            wait = delay
        elif nodded and not was and back < RETURN_CHANCE:
            wait = 15.0 + 5.0 * float(later)
        elif heard and free < FREE_NODS_PER_S / FPS:
            wait = 0.0
    brow_age = state.brow_age + 1 if 0 <= state.brow_age < BROW_FRAMES else -1.0
    state = replace(
        state, voice=voice, voice_run=run, partner_pitch=(fast, slow), brow_age=brow_age
    )
    if age >= 0:
        done = (age + 1) / FPS * state.nod_rate >= state.nod_cycles + 0.3
        return replace(state, nod_age=-1.0 if done else age + 1, nod_wait=-1.0)
    if wait < 0 or wait >= 1:
        return replace(state, nod_wait=wait - 1 if wait >= 1 else wait)
    if scene.agent_speaks:
        return replace(state, nod_wait=-1.0)
    raises = draw.random() < 0.25
    return replace(
        state,
        nod_wait=-1.0,
        nod_age=0.0,
        nod_cycles=float(draw.choice([1, 2, 3, 4, 5], p=[0.42, 0.28, 0.16, 0.09, 0.05])),
        nod_rate=float(draw.uniform(1.3, 2.6)),
        nod_size=math.radians(draw.uniform(2.0, 5.5)),
        brow=float(draw.uniform(0.15, 0.35)) if raises else state.brow,
        brow_age=0.0 if raises else state.brow_age,
    )


def _step_smile(state: EventState, seen: float) -> EventState:
    """Two low-pass steps in a row: a lag of about half a second."""
    first, second = state.smile
    first += SMILE_SPEED * (SMILE_SHARE * seen - first)
    return replace(state, smile=(first, second + SMILE_SPEED * (first - second)))


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


def _step_blink(state: EventState, draw: np.random.Generator, speaks: bool) -> EventState:
    clock = state.next_blink - (SPEAKING_BLINK_SPEED if speaks else 1.0)
    # A listener's blink follows the speaker's pause, a quarter to half a second later.
    if not speaks and state.quiet == 4 and draw.random() < 0.25:
        clock = min(clock, draw.uniform(4, 9))
    if state.blink_age >= 0:
        age = state.blink_age + 1
        total = state.blink_close + state.blink_hold + state.blink_open
        return replace(state, blink_age=-1.0 if age * FRAME_MS >= total else age, next_blink=clock)
    if clock > 0:
        return replace(state, next_blink=clock)
    mean = LISTENING_INTERVAL_S * 1000 / FRAME_MS
    interval = mean * math.exp(draw.normal(-(BLINK_SPREAD**2) / 2, BLINK_SPREAD))
    return replace(
        state,
        next_blink=max(interval, 12.0),
        blink_age=draw.uniform(0.3, 1.0),
        blink_close=draw.uniform(80, 100),
        blink_hold=draw.uniform(20, 60),
        blink_open=draw.uniform(150, 210),
        blink_depth=BLINK_DEPTH * draw.uniform(0.92, 1.05),
    )


def _step_gaze(
    state: EventState,
    draw: np.random.Generator,
    speaks: bool,
    gaze: tuple[float, float] | None,
) -> EventState:
    """Fixations at the partner (0, 0) and beside them, with saccades of one or two frames."""
    target, dwell = state.target, state.dwell - 1
    starts = speaks and not state.agent_spoke
    ends = state.agent_spoke and not speaks
    if gaze is not None:
        target, dwell = gaze, 10.0
    elif starts and draw.random() < 0.6:
        target, dwell = _aside(draw), draw.uniform(12, 30)
    elif ends:
        target, dwell = (0.0, 0.0), draw.uniform(25, 80)
    elif dwell <= 0:
        if target == (0.0, 0.0):
            target, dwell = _aside(draw), draw.uniform(12, 32)
        else:
            target = (0.0, 0.0)
            dwell = 25 * math.exp(draw.normal(0.25 if speaks else 1.0, 0.5))
    jump = math.dist(target, state.target)
    clock = state.next_blink
    if jump > 6 and draw.random() < 0.3:
        clock = min(clock, 1.0)
    eyes = tuple(e + 0.7 * (t - e) for e, t in zip(state.eyes, target, strict=True))
    drift = draw.normal(0, 0.12, 2)
    eyes = (eyes[0] + float(drift[0]), eyes[1] + float(drift[1]))
    head = tuple(h + 0.12 * (HEAD_SHARE * t - h) for h, t in zip(state.head, target, strict=True))
    return replace(
        state,
        target=target,
        dwell=dwell,
        next_blink=clock,
        eyes=eyes,
        head=(head[0], head[1]),
    )


def _aside(draw: np.random.Generator) -> tuple[float, float]:
    """A direction away from the partner's face: mostly sideways, some down, few up."""
    side = draw.choice([-1.0, 1.0]) * draw.uniform(5, 13)
    return float(side), float(draw.normal(-2.5, 4.0))


def _look(out: Float[np.ndarray, "90"], right: float, up: float) -> None:
    """eyeLook coefficients of both eyes for a direction in degrees (picture's right, up)."""
    side, lift = right / DEGREES_PER_UNIT, up / DEGREES_PER_UNIT
    # The picture's right is the person's left: their left eye looks out, the right one in.
    out[channel_index("eyeLookOutLeft")] = max(side, 0)
    out[channel_index("eyeLookInRight")] = max(side, 0)
    out[channel_index("eyeLookInLeft")] = max(-side, 0)
    out[channel_index("eyeLookOutRight")] = max(-side, 0)
    for eye in ("Left", "Right"):
        out[channel_index(f"eyeLookUp{eye}")] = max(lift, 0)
        out[channel_index(f"eyeLookDown{eye}")] = max(-lift, 0)
