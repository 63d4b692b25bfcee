"""What a listener gives back of what is seen: the other's nods and smiles.

The processes of events.py that answer the other's face, and they alone, on top of what the network
makes: it answers the other's voice by itself, and what it sees no more than by chance
(scripts/evaluate/listening.py prints what it does without them).
"""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from audio2motion.behaviour.events import (
    CHEEK_CHANNELS,
    SMILE_CHANNELS,
    Seen,
    SmileState,
    step_smile,
)
from audio2motion.behaviour.nods import NodState, nod_curve, step_nod
from audio2motion.behaviour.statistics import draw_person
from audio2motion.saveable import saveable
from motion2video.motion import MOTION_DIM, ROTATION, TRANSLATION

UNHEARD = -1.0
"""The energy of a voice that is silent: nods then answer nods alone."""


@saveable
@dataclass(frozen=True)
class ReactionState:
    """Where a stream's answers stand."""

    nod: NodState = field(default_factory=NodState)
    smile: SmileState = field(default_factory=SmileState)


def react(
    state: ReactionState,
    seed: int,
    frame: int,
    *,
    speaks: bool,
    seen: Seen | None,
    nods: float = 1.0,
) -> tuple[ReactionState, Float[np.ndarray, "90"]]:
    """One frame on: the new state, and what is added to the motion. `nods` is how far nods may
    show (0..1).
    """
    draw = np.random.Generator(np.random.Philox(key=[seed & (2**63 - 1), frame]))
    person = draw_person(seed)
    pitch = seen.pitch if seen else None
    nod = step_nod(
        state.nod, draw, person, speaks=speaks, level=UNHEARD, pitch=pitch, free=nods >= 1
    )
    smile = step_smile(state.smile, draw, person, seen.smile if seen else 0.0, False)
    row, angle = np.zeros(MOTION_DIM, np.float32), nods * nod_curve(nod)
    row[ROTATION.start] = angle
    row[TRANSLATION.start + 1] = -0.3 * angle  # a nodding head moves down with the chin
    row[list(SMILE_CHANNELS)] = smile.answer[1]
    row[list(CHEEK_CHANNELS)] = 0.6 * smile.answer[1]
    return replace(state, nod=nod, smile=smile), row
