"""What happens in moments: blinks, shifts of gaze, nods, smiles, brow raises, postures and beats.
The teacher of listeners: conversations to train on are made by it (scripts/data/dyads.py).

Their moments come from marked point processes with measured and published statistics
(statistics.py) and depend on who speaks, on cues in the other's voice and face, and on stresses of
one's own voice; their shapes are measured ones. A seed has a person: how often and how far it
nods, blinks, smiles and looks at the other differs from one seed to the next. Every draw is keyed
by (seed, frame), so nothing depends on how a stream was cut. Events are added to what the network
makes.

eyes.py    blinks and gaze          nods.py    nods
head.py    sway, posture, beats     here       smiles and brows, and how all of it adds up
smiles     returned at 40-80 % of the other's, about half a second later (Riehle 2017), by chance;
           a few of one's own, some with a nod
brows      raised with every fourth nod and every fifth stress
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from audio2motion.behaviour.eyes import (
    BLINK_CHANNELS,
    LOOK_CHANNELS,
    EyeState,
    blink_curve,
    lid,
    point_eyes,
    step_eyes,
)
from audio2motion.behaviour.head import HeadState, pose, step_head
from audio2motion.behaviour.nods import LOST_FRAMES, NodState, nod_curve, step_nod
from audio2motion.behaviour.statistics import (
    SMILE_LAG_S,
    SMILE_RETURN,
    SMILES_PER_MIN,
    Person,
    draw_person,
)
from audio2motion.saveable import saveable
from motion2video.motion import (
    FPS,
    MOTION_DIM,
    ROTATION,
    TRANSLATION,
    channel_index,
)

__all__ = [
    "BLINK_CHANNELS",
    "LOOK_CHANNELS",
    "SMILE_CHANNELS",
    "EventState",
    "Scene",
    "Seen",
    "blink_curve",
    "step_events",
]

SMILE_CHANNELS = tuple(channel_index(f"mouthSmile{side}") for side in ("Left", "Right"))
CHEEK_CHANNELS = tuple(channel_index(f"cheekSquint{side}") for side in ("Left", "Right"))
SQUINT_CHANNELS = tuple(channel_index(f"eyeSquint{side}") for side in ("Left", "Right"))
BROW_CHANNEL = channel_index("browInnerUp")
OUTER_BROW_CHANNELS = tuple(channel_index(f"browOuterUp{side}") for side in ("Left", "Right"))
SMILE_ONSET = 0.08
"""Rise of the other's smile above its mean of two seconds that counts as one."""
UNRETURNED = 0.25
"""Share of a smile that shows on a face that does not return it."""
LARGEST_SMILE = 0.8
NOD_SMILE, NOD_BROWS = 0.12, 0.25
BLINK_SQUINT = 0.5
"""How far lower lids rise as upper ones come down: .53 in 61 blinks of real takes."""
FREE_BROWS_PER_S = 1 / 60
LISTENING_HEAD = 0.45
"""Share of the network's head rotation that is left while the agent listens: it learned from people
who talk, whose heads move in 90 % of speech and 13 % of pauses (Hadar)."""


@dataclass(frozen=True)
class Seen:
    """The other's face at a frame: smile and lid (0..1), pitch of the head (radians, down)."""

    smile: float
    pitch: float
    lid: float

    @staticmethod
    def of(values: Float[np.ndarray, "90"]) -> "Seen":
        """Out of a frame of motion."""
        smile = float(values[list(SMILE_CHANNELS)].mean())
        shut = float(values[list(BLINK_CHANNELS)].mean())
        return Seen(smile, float(values[ROTATION.start]), shut)


@dataclass(frozen=True)
class Scene:
    """One frame of what is going on around the agent: who speaks and how loud (-1..0), the other's
    face when it is seen, the `head` rotation that the network makes (pitch, yaw, roll in radians),
    and a wanted gaze (degrees right, up).
    """

    agent_speaks: bool
    interlocutor_speaks: bool
    energy: float = -1.0
    agent_energy: float = -1.0
    seen: Seen | None = None
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gaze: tuple[float, float] | None = None


@saveable
@dataclass(frozen=True)
class SmileState:
    """The other's smile, fast and slow; the share of it that is returned, now and wanted, and how
    fast; the answer, in two low-pass steps; a smile of one's own: age and lengths in frames.
    """

    seen: tuple[float, float] = (0.0, 0.0)
    share: float = UNRETURNED
    goal: float = UNRETURNED
    speed: float = 0.12
    answer: tuple[float, float] = (0.0, 0.0)
    age: float = -1.0
    rise: float = 10.0
    hold: float = 30.0
    fall: float = 30.0
    size: float = 0.0


@saveable
@dataclass(frozen=True)
class EventState:
    """Where all the events of a stream stand."""

    eyes: EyeState = field(default_factory=EyeState)
    nod: NodState = field(default_factory=NodState)
    head: HeadState = field(default_factory=HeadState)
    smile: SmileState = field(default_factory=SmileState)
    brow: float = 0.0
    brow_age: float = -1.0
    brow_frames: float = 24.0


def step_events(
    state: EventState, seed: int, frame: int, scene: Scene
) -> tuple[EventState, Float[np.ndarray, "90"]]:
    """One frame on: the new state, and what the events add to the motion."""
    draw = np.random.Generator(np.random.Philox(key=[seed & (2**63 - 1), frame]))
    person, speaks, seen = draw_person(seed), scene.agent_speaks, scene.seen
    heard = scene.energy if scene.interlocutor_speaks else -1.0
    found = seen is not None and state.nod.unseen >= LOST_FRAMES
    nod = step_nod(
        state.nod,
        draw,
        person,
        speaks=speaks,
        level=heard,
        pitch=seen.pitch if seen else None,
    )
    head = step_head(
        state.head,
        draw,
        person,
        speaks=speaks,
        own_level=scene.agent_energy,
        other_speaks=scene.interlocutor_speaks,
        other_level=heard,
        other_pitch=seen.pitch if seen else None,
        found=found,
    )
    eyes = step_eyes(
        state.eyes,
        draw,
        person,
        speaks=speaks,
        other_speaks=scene.interlocutor_speaks,
        seen_lid=seen.lid if seen else None,
        nods=nod.begins,
        wanted=scene.gaze,
    )
    smile = step_smile(state.smile, draw, person, seen.smile if seen else 0.0, nod.begins)
    state = replace(state, nod=nod, head=head, eyes=eyes, smile=smile)
    state = _step_brow(state, draw)
    return state, _render(state, seed, frame, person, scene)


def _render(
    state: EventState, seed: int, frame: int, person: Person, scene: Scene
) -> Float[np.ndarray, "90"]:
    out, network = np.zeros(MOTION_DIM, np.float32), scene.head
    out[list(BLINK_CHANNELS)] = lid(state.eyes)
    out[list(SQUINT_CHANNELS)] = BLINK_SQUINT * lid(state.eyes)
    smile = min(state.smile.answer[1] + _own_smile(state.smile), LARGEST_SMILE)
    out[list(SMILE_CHANNELS)] = smile
    out[list(CHEEK_CHANNELS)] = 0.6 * smile
    if 0 <= state.brow_age < state.brow_frames:
        lift = state.brow * math.sin(math.pi * state.brow_age / state.brow_frames) ** 2
        out[BROW_CHANNEL] = lift
        out[list(OUTER_BROW_CHANNELS)] = 0.7 * lift
    held = pose(state.head, seed, frame, person)
    nod = nod_curve(state.nod)
    held[0] += nod - math.radians(state.eyes.head[1])
    held[1] += math.radians(state.eyes.head[0])
    # A nodding head moves down with the chin.
    held[4] -= 0.3 * nod
    held[:3] -= (1 - LISTENING_HEAD) * (1 - state.head.speaking) * np.array(network)
    out[ROTATION] = held[:3]
    out[TRANSLATION] = held[3:]
    # The eyes make up for the turn of the head, wherever it comes from.
    right = state.eyes.gaze[0] - math.degrees(held[1] + network[1])
    up = state.eyes.gaze[1] + math.degrees(held[0] + network[0])
    point_eyes(out, right, up)
    return out


def _own_smile(state: SmileState) -> float:
    if state.age < 0:
        return 0.0
    left = state.rise + state.hold + state.fall - state.age
    part = min(1.0, state.age / state.rise, left / state.fall)
    # A smile fades while it is held.
    part *= 1 - 0.25 * min(1.0, max(0.0, state.age - state.rise) / state.hold)
    return state.size * (0.5 - 0.5 * math.cos(math.pi * max(part, 0.0)))


def step_smile(
    state: SmileState, draw: np.random.Generator, person: Person, seen: float, nods: bool
) -> SmileState:
    """The other's smile comes back through two low-pass steps in a row, whose lag is drawn anew
    for every smile.
    """
    fast, slow = state.seen
    before = fast - slow
    fast, slow = fast + 0.5 * (seen - fast), slow + 0.02 * (seen - slow)
    chance, free = draw.random(2)
    goal, speed = state.goal, state.speed
    if fast - slow > SMILE_ONSET >= before:
        returned = chance < SMILE_RETURN * person.smile
        goal = draw.uniform(0.4, 0.8) if returned else UNRETURNED
        # Two steps of pace a lag by 2 (1 - a) / a frames.
        speed = 2 / (FPS * SMILE_LAG_S.draw(draw, 0.2, 1.0) + 2)
    share = state.share + 0.15 * (goal - state.share)
    first, second = state.answer
    first += speed * (share * seen - first)
    answer = (first, second + speed * (first - second))
    state = replace(state, seen=(fast, slow), share=share, goal=goal, speed=speed, answer=answer)
    if state.age >= 0:
        done = state.age + 1 >= state.rise + state.hold + state.fall
        return replace(state, age=-1.0 if done else state.age + 1)
    starts = free < SMILES_PER_MIN / 60 / FPS * person.smile
    if not starts and not (nods and chance < NOD_SMILE * person.smile):
        return state
    return replace(
        state,
        age=0.0,
        rise=draw.uniform(8, 16),
        hold=draw.uniform(15, 60),
        fall=draw.uniform(20, 45),
        size=min(draw.uniform(0.12, 0.4) * math.sqrt(person.smile), 0.5),
    )


def _step_brow(state: EventState, draw: np.random.Generator) -> EventState:
    chance, free = draw.random(2)
    if 0 <= state.brow_age < state.brow_frames:
        return replace(state, brow_age=state.brow_age + 1)
    nods = state.nod.begins and chance < NOD_BROWS
    if not nods and not state.head.stressed and free >= FREE_BROWS_PER_S / FPS:
        return state
    return replace(
        state, brow=draw.uniform(0.15, 0.4), brow_age=0.0, brow_frames=draw.uniform(12, 28)
    )
