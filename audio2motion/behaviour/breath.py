"""Breathing: in within a second or two, out more slowly, and in again where a sentence ends.

At rest a breath takes 3 to 5 s, of which breathing in is about two fifths; who speaks breathes out
for as long as they speak, and in quickly in the pauses (Winkworth et al. 1995). Head and shoulders
rise by a millimetre or less. The process of one frame to the next, drawn from the stream's seed.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from audio2motion.saveable import saveable
from motion2video.motion import FPS, MOTION_DIM, ROTATION, TRANSLATION

IN_S, OUT_S = (1.2, 1.8), (1.9, 3.0)
"""Seconds of breathing in and out at rest: uniform."""
QUICK_IN_S = (0.5, 0.8)
"""Breathing in between sentences."""
SPEAKING = 0.4
"""Pace of breathing out while speaking, of that at rest."""
PAUSE_S = 0.24
"""A pause in which a speaker breathes in, if the last breath is half used up."""
DEPTH = (0.75, 1.25)
RISE = 0.016
"""Interocular distances that the head rises by with a breath of 1: 1 mm. The shoulders follow it by
.6 (see HeadShell), 0.4 % of a head's width."""
NOD_BACK = -0.004
"""Radians that the face is raised by then."""
_HALF = 0.5
_SALT = 0xB4EA7


@saveable
@dataclass(frozen=True)
class BreathState:
    """How full the lungs are: on the way from `start` to `goal` (0 is empty, 1 a plain breath) by
    `share` 0..1, in `seconds`; and how long the agent has been `silent`, seconds.
    """

    start: float = 0.0
    goal: float = 1.0
    share: float = 0.0
    seconds: float = IN_S[0]
    silent: float = 0.0

    @property
    def level(self) -> float:
        """How full they are now."""
        way = 0.5 - 0.5 * math.cos(math.pi * self.share)
        return self.start + (self.goal - self.start) * way


def breathe(
    state: BreathState, seed: int, frame: int, speaks: bool
) -> tuple[BreathState, Float[np.ndarray, "90"]]:
    """One frame on: the new state, and what is added to the motion."""
    draw = np.random.Generator(np.random.Philox(key=[(seed ^ _SALT) & (2**63 - 1), frame]))
    filling = state.goal > state.start
    silent = 0.0 if speaks else state.silent + 1 / FPS
    pace = SPEAKING if speaks and not filling else 1.0
    start, goal, seconds = state.start, state.goal, state.seconds
    share = min(1.0, state.share + pace / (FPS * seconds))
    ended = state.silent < PAUSE_S <= silent and share > _HALF
    if filling and share >= 1:
        start, goal, share, seconds = goal, 0.0, 0.0, draw.uniform(*OUT_S)
    elif not filling and (share >= 1 or ended):
        quick = QUICK_IN_S if ended else IN_S
        level = BreathState(start, goal, share, seconds).level
        start, goal, share, seconds = level, draw.uniform(*DEPTH), 0.0, draw.uniform(*quick)
    now = BreathState(start, goal, share, seconds, silent)
    row = np.zeros(MOTION_DIM, np.float32)
    row[TRANSLATION.start + 1], row[ROTATION.start] = RISE * now.level, NOD_BACK * now.level
    return now, row
