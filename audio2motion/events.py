"""Blinks and shifts of gaze: events in time, not curves.

Their moments come from point processes with published statistics and depend on who speaks; their
shapes are measured ones. Every draw is keyed by (seed, frame), so nothing depends on how a stream
was cut. Sources: Bentivoglio 1997 and Chidi-Egboka 2023 (blink rates in conversation), Nakano and
Kitazawa 2010 (listeners blink 0.25-0.5 s after the speaker's pauses), Argyle and Cook 1976, Rogers
2018 and Ho 2015 (gaze by role; averted when a turn begins, direct when it ends).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from motion2video.motion import EXPRESSION_NAMES, MOTION_DIM, ROTATION, channel_index

FRAME_MS = 40.0
BLINK_CHANNELS = (channel_index("eyeBlinkLeft"), channel_index("eyeBlinkRight"))
LOOK_CHANNELS = tuple(i for i, n in enumerate(EXPRESSION_NAMES) if n.startswith("eyeLook"))
LISTENING_INTERVAL_S = 3.4
"""Mean time between blinks of a listener; a speaker's clock runs SPEAKING_BLINK_SPEED faster."""
SPEAKING_BLINK_SPEED = 1.45
BLINK_SPREAD = 0.6
BLINK_DEPTH = 0.93
"""The eyeBlink coefficient at which the lids of the face basis meet."""
DEGREES_PER_UNIT = 32.0
"""Turn of the eyeball at an eyeLook coefficient of 1."""
HEAD_SHARE = 0.15
"""Part of a gaze shift that the head makes, slowly."""


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
    interlocutor_spoke: bool = False
    quiet: int = 0


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
    state: EventState,
    seed: int,
    frame: int,
    agent_speaks: bool,
    interlocutor_speaks: bool,
    gaze: tuple[float, float] | None,
) -> tuple[EventState, Float[np.ndarray, "90"]]:
    """One frame on: the new state, and what blinks and gaze add to the motion."""
    draw = np.random.Generator(np.random.Philox(key=[seed & (2**63 - 1), frame]))
    quiet = 0 if interlocutor_speaks else state.quiet + 1
    state = replace(state, quiet=quiet)
    state = _step_gaze(state, draw, agent_speaks, gaze)
    state = _step_blink(state, draw, agent_speaks)
    state = replace(state, agent_spoke=agent_speaks, interlocutor_spoke=interlocutor_speaks)
    out = np.zeros(MOTION_DIM, np.float32)
    ms = state.blink_age * FRAME_MS
    down = blink_curve(ms, state.blink_close, state.blink_hold, state.blink_open)
    for channel in BLINK_CHANNELS:
        out[channel] = state.blink_depth * down
    _look(out, *state.eyes)
    out[ROTATION.start] = -math.radians(state.head[1])
    out[ROTATION.start + 1] = math.radians(state.head[0])
    return state, out


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
