"""Where a stream of motion stands between two pieces of sound, and what waits in it."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from audio2motion.behaviour.breath import BreathState
from audio2motion.gestures.controls import Controls
from audio2motion.gestures.style import Style
from audio2motion.hearing.audio import Dyad
from audio2motion.hearing.speech import VoiceState
from audio2motion.network.attention import Cache
from audio2motion.network.chunks import Aimed, Chunk
from audio2motion.network.state_codec import Ticket
from audio2motion.saveable import saveable
from motion2video.motion import FPS, Motion
from weights.errors import MotionError


@saveable
@dataclass(frozen=True, eq=False)
class GeneratorState:
    """Where a stream stands. Values only; use each once and go on with the one returned.

    `manner` is how its style is off the median. `rest_*` is sound that fills no chunk yet and
    `motion_*` the interlocutor's motion not used yet; `waiting` holds the agent's features from
    frame `frame` on, and the interlocutor's of the chunk that is still to be made, and `seen` what
    was seen of them in the GLANCE frames before; `recent` is the last chunk of tokens, `heard` its
    lips by the voice alone, of whose guesses `said` is the sum over `said_frames` of speech and
    `new` that of what was new in them, `lately` the tokens of the last two chunks beside what was
    new in them, `after` the features of the last frame, and `paced` the last smile and head.
    """

    ticket: Ticket
    serial: int
    seed: int
    controls: Controls
    manner: Style
    received: int
    frame: int
    rest_agent: Float[np.ndarray, "n"]
    rest_interlocutor: Float[np.ndarray, "n"]
    rest_present: Bool[np.ndarray, "n"]
    motion_values: Float[np.ndarray, "m 90"]
    motion_valid: Bool[np.ndarray, "m"]
    motion_start: int
    agent: VoiceState
    interlocutor: VoiceState
    waiting: Chunk | None
    seen: Float[Tensor, "25 91"]
    recent: Float[Tensor, "1 5 90"]
    heard: Float[Tensor, "1 5 90"]
    said: Float[Tensor, "s"]
    new: Float[Tensor, "90"]
    said_frames: float
    lately: Float[Tensor, "1 10 180"]
    after: Float[Tensor, "1 w"]
    cache: Cache
    gate: float
    silent: float
    aim: Aimed
    paced: tuple[float, ...]
    breath: BreathState


def append(state: GeneratorState, dyad: Dyad, motion: Motion | None) -> GeneratorState:
    """The state with a piece of sound and motion waiting in it."""
    count = len(dyad.agent)
    other = dyad.interlocutor.samples if dyad.interlocutor else np.zeros(count, np.float32)
    present = np.full(count, dyad.interlocutor is not None)
    state = replace(
        state,
        received=state.received + count,
        rest_agent=np.concatenate([state.rest_agent, dyad.agent.samples]),
        rest_interlocutor=np.concatenate([state.rest_interlocutor, other]),
        rest_present=np.concatenate([state.rest_present, present]),
    )
    if motion is None:
        return state
    if motion.fps != FPS:
        raise MotionError(f"got the interlocutor's motion at {motion.fps} fps; wanted {FPS}")
    return replace(
        state,
        motion_values=np.concatenate([state.motion_values, motion.values]),
        motion_valid=np.concatenate([state.motion_valid, motion.mask]),
    )


def at_own_rate(motion: Motion | None) -> Motion | None:
    """Motion at the frame rate that streams have."""
    return motion if motion is None or motion.fps == FPS else motion.resample(FPS)
