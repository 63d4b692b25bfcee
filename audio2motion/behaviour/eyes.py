"""Blinks and shifts of gaze.

blinks  a clock with log-normal intervals that runs faster in speech (Brych 2021); a listener's
        blink follows the pauses and, when they are seen, the blinks of the other after 0.25-0.5 s
        (Nakano & Kitazawa 2010); some go with wide saccades, some, long ones, with nods (Homke)
gaze    looks at the partner and away, with measured lengths by role (statistics.py); averted when a
        turn begins, direct when it ends (Ho 2015); back at a partner who begins to speak. On the
        face it goes between eyes and mouth. Shifts are saccades of one or two frames, and while
        the head moves the eyes stay where they look (vestibulo-ocular reflex)
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from audio2motion.behaviour.statistics import (
    BLINK_SPREAD,
    BLINKS_PER_MIN,
    FIXATION_S,
    LOOK_AT_S,
    LOOK_AWAY_S,
    Person,
)
from audio2motion.saveable import saveable
from motion2video.motion import EXPRESSION_NAMES, EYE_TURN_DEGREES, FPS, channel_index

FRAME_MS = 40.0
BLINK_CHANNELS = (channel_index("eyeBlinkLeft"), channel_index("eyeBlinkRight"))
LOOK_CHANNELS = tuple(i for i, n in enumerate(EXPRESSION_NAMES) if n.startswith("eyeLook"))
BLINK_DEPTH = 0.93
"""The eyeBlink coefficient at which the lids of the face basis meet."""
HEAD_SHARE = 0.15
"""Part of a gaze shift that the head makes, slowly."""
EYE_PACE = 0.75
PAUSE_BLINK, SEEN_BLINK, WIDE_BLINK, NOD_BLINK = 0.15, 0.35, 0.25, 0.12
"""Chances of a blink: after the other's pause, after their blink, with a wide saccade, a nod."""
LID_SEEN = 0.4
NEW_TURN = 20
"""Frames of one's own silence after which speech begins a turn, if the other has not spoken."""
SHORTEST_TURN_START = 18.0
"""Frames of the look away with which a turn begins, at least."""
TURN_START_AVERTS, PHRASE_AVERTS, TURN_END_DIRECTS = 0.85, 0.3, 0.8
ASIDE_AGAIN = 0.2
"""Share of looks away that are followed by one elsewhere."""
# On the partner's face, at the distance of a conversation: their eyes and mouth, in degrees.
_SPOTS = ((-1.4, 0.6), (1.4, 0.6), (0.0, -1.6))


@saveable
@dataclass(frozen=True)
class EyeState:
    """Where blinks and gaze stand. Times in frames; directions in degrees, right and up, from the
    partner's face; `look` is (0, 0) for a look at it, `gaze` where the eyes point now.
    """

    next_blink: float = 30.0
    blink_age: float = -1.0
    blink_close: float = 90.0
    blink_hold: float = 40.0
    blink_open: float = 170.0
    blink_depth: float = BLINK_DEPTH
    seen_lid: float = 0.0
    look: tuple[float, float] = (0.0, 0.0)
    dwell: float = 25.0
    spot: tuple[float, float] = (0.0, 0.0)
    fixation: float = 10.0
    gaze: tuple[float, float] = (0.0, 0.0)
    head: tuple[float, float] = (0.0, 0.0)
    silence: int = 50
    quiet: int = 50


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


def step_eyes(
    state: EyeState,
    draw: np.random.Generator,
    person: Person,
    *,
    speaks: bool,
    other_speaks: bool,
    seen_lid: float | None,
    nods: bool,
    wanted: tuple[float, float] | None,
) -> EyeState:
    """One frame on: first the gaze, then the lids. `seen_lid` is the other's blink (0..1) if they
    are seen, `nods` whether a nod of one's own begins, `wanted` a direction that is asked for.
    """
    before = state
    state = _step_gaze(state, draw, person, speaks, other_speaks, wanted)
    wide = math.dist(state.look, before.look) > 6
    return _step_blink(state, draw, person, speaks, seen_lid, wide, nods)


def lid(state: EyeState) -> float:
    """The eyeBlink coefficient of the blink going on."""
    ms = state.blink_age * FRAME_MS
    down = blink_curve(ms, state.blink_close, state.blink_hold, state.blink_open)
    return state.blink_depth * down


def point_eyes(out: Float[np.ndarray, "90"], right: float, up: float) -> None:
    """Set the eyeLook coefficients of both eyes for a direction in the head, in degrees."""
    side, lift = right / EYE_TURN_DEGREES, up / EYE_TURN_DEGREES
    # The picture's right is the person's left: their left eye looks out, the right one in.
    out[channel_index("eyeLookOutLeft")] = max(side, 0)
    out[channel_index("eyeLookInRight")] = max(side, 0)
    out[channel_index("eyeLookInLeft")] = max(-side, 0)
    out[channel_index("eyeLookOutRight")] = max(-side, 0)
    for eye in ("Left", "Right"):
        out[channel_index(f"eyeLookUp{eye}")] = max(lift, 0)
        out[channel_index(f"eyeLookDown{eye}")] = max(-lift, 0)


def _step_blink(
    state: EyeState,
    draw: np.random.Generator,
    person: Person,
    speaks: bool,
    seen_lid: float | None,
    wide: bool,
    nods: bool,
) -> EyeState:
    role = "speaking" if speaks else "listening"
    clock = state.next_blink - person.blink_rate * BLINKS_PER_MIN[role] / 60
    shut = seen_lid or 0.0
    chance, later = draw.random(2)
    saw = shut > LID_SEEN >= state.seen_lid and state.quiet < 25
    paused = state.quiet == 3
    if not speaks and ((saw and chance < SEEN_BLINK) or (paused and chance < PAUSE_BLINK)):
        # Within a quarter to half a second, on a clock that runs in seconds of its own.
        clock = min(clock, (3 + 7 * later) * BLINKS_PER_MIN[role] / 60 * person.blink_rate)
    long = nods and chance < NOD_BLINK
    if long or (wide and chance < WIDE_BLINK):
        clock = min(clock, 0.0)
    state = replace(state, seen_lid=shut)
    if state.blink_age >= 0:
        age = state.blink_age + 1
        total = state.blink_close + state.blink_hold + state.blink_open
        done = age * FRAME_MS >= total
        # Lids that have just opened stay open for a while.
        return replace(state, blink_age=-1.0 if done else age, next_blink=max(clock, 1.0))
    if clock > 0:
        return replace(state, next_blink=clock)
    interval = FPS * math.exp(draw.normal(-(BLINK_SPREAD**2) / 2, BLINK_SPREAD))
    return replace(
        state,
        # The clock's unit is the mean interval, in frames at 60 blinks a minute.
        next_blink=max(interval, 5.0),
        blink_age=draw.uniform(0.3, 1.0),
        blink_close=draw.uniform(80, 100),
        blink_hold=draw.uniform(150, 350) if long else draw.uniform(20, 60),
        blink_open=draw.uniform(150, 210),
        blink_depth=BLINK_DEPTH * draw.uniform(0.92, 1.05),
    )


def _step_gaze(
    state: EyeState,
    draw: np.random.Generator,
    person: Person,
    speaks: bool,
    other_speaks: bool,
    wanted: tuple[float, float] | None,
) -> EyeState:
    begins, ends = speaks and state.silence > 0, state.silence == 0 and not speaks
    other_begins = other_speaks and state.quiet > 10
    look, dwell = state.look, state.dwell - 1
    here = look == (0.0, 0.0)
    role = "speaking" if speaks else "listening"
    if wanted is not None:
        look, dwell = wanted, 10.0
    elif begins:
        turn = state.silence >= NEW_TURN or state.quiet < state.silence
        if draw.random() < (TURN_START_AVERTS if turn else PHRASE_AVERTS):
            look, dwell = _aside(draw), _away(draw, role, person)
            dwell = max(dwell, SHORTEST_TURN_START) if turn else dwell
        elif here:
            dwell = min(dwell, _at(draw, role, person))
    elif ends and draw.random() < TURN_END_DIRECTS:
        look, dwell = (0.0, 0.0), max(20.0, _at(draw, role, person))
    elif other_begins and not here:
        dwell = min(dwell, draw.uniform(4, 10))
    elif dwell <= 0 and (here or (speaks and draw.random() < ASIDE_AGAIN)):
        look, dwell = _aside(draw), _away(draw, role, person)
    elif dwell <= 0:
        look, dwell = (0.0, 0.0), _at(draw, role, person)
    spot, fixation = state.spot, state.fixation - 1
    if fixation <= 0:
        spot = _SPOTS[int(draw.integers(len(_SPOTS)))]
        fixation = FPS * FIXATION_S.draw(draw, 0.16, 2.5)
    if wanted is not None or look != (0.0, 0.0):
        spot = (0.0, 0.0)
    drift = draw.normal(0, 0.12, 2)
    goal = (look[0] + spot[0], look[1] + spot[1])
    gaze = tuple(
        g + EYE_PACE * (t - g) + float(d) for g, t, d in zip(state.gaze, goal, drift, strict=True)
    )
    head = tuple(h + 0.12 * (HEAD_SHARE * t - h) for h, t in zip(state.head, look, strict=True))
    return replace(
        state,
        look=look,
        dwell=dwell,
        spot=spot,
        fixation=fixation,
        gaze=(gaze[0], gaze[1]),
        head=(head[0], head[1]),
        silence=0 if speaks else state.silence + 1,
        quiet=0 if other_speaks else state.quiet + 1,
    )


def _at(draw: np.random.Generator, role: str, person: Person) -> float:
    return FPS * math.sqrt(person.directness) * LOOK_AT_S[role].draw(draw, 0.2, 12.0)


def _away(draw: np.random.Generator, role: str, person: Person) -> float:
    return FPS / math.sqrt(person.directness) * LOOK_AWAY_S[role].draw(draw, 0.2, 5.0)


def _aside(draw: np.random.Generator) -> tuple[float, float]:
    """A direction away from the partner's face: mostly sideways, some down, few up."""
    side = draw.choice([-1.0, 1.0]) * draw.uniform(6, 14)
    return float(side), float(draw.normal(-2.5, 4.0))
