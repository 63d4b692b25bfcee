"""How people behave in conversation, in numbers: what the events, the training corpus and the
measures of listening share.

"Measured" is what scripts/data/measured_dyads.py prints for the research pack (video calls,
telephone and face-to-face turns, fixations by role, annotated nods). Where published figures of
listeners on video differ from it, the comment says which was taken.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class LogNormal:
    """A positive quantity: its median and the standard deviation of its logarithm."""

    median: float
    spread: float

    def draw(self, rng: np.random.Generator, low: float, high: float) -> float:
        """One value, held within [low, high]."""
        value = self.median * math.exp(self.spread * float(rng.normal()))
        return min(max(value, low), high)


# Turns. Measured on 1,155 telephone calls (65,033 turns) and 20 face-to-face dialogues.
TURN_S = LogNormal(2.5, 1.4)
"""Length of a turn without backchannels: median 2.52 s, 10-90 % 0.4-18.6 s."""
STRETCH_S = LogNormal(1.17, 0.68)
"""Talk between two pauses: face to face 1.17 s, 0.36-2.3 s."""
PAUSE_S = LogNormal(0.63, 0.71)
"""Pause within a turn: 0.63 s, 0.23-1.4 s."""
TRANSFER_MEAN_S, TRANSFER_SPREAD_S = 0.03, 0.68
"""Floor transfer offset: median 0.04 s on the telephone and 0.02 s face to face (10-90 % -0.95 to
0.81 s); below 0 both speak, in 47 % of the transfers."""

# Nods.
NOD_CYCLES = (0.06, 0.36, 0.31, 0.18, 0.09)
"""Shares of 1 to 5 cycles. 42 % have one, over 95 % at most 5 (9,223 nods, Mori, Den & Jokinen
2025); measured: at most one in 45-58 %, counted by turning points. Fewer single ones are drawn, for
sway and the network add single peaks: what counts is the share in the motion that comes out."""
NOD_HZ = LogNormal(1.6, 0.32)
"""Cycles a second. Measured 1.0-1.35 with slow single bows in it, log sd 0.5; ordinary nods are
1.9-3.6 (Hadar 1983): in between, and never below 1, where it is no nod any more."""
NOD_DEGREES = LogNormal(3.9, 0.45)
"""Amplitude of the first cycle. Measured log sd is 0.8-0.9 over people and languages together,
of which Person.nod_size takes its part; the size itself fits 1.8 degrees of fast pitch RMS and
31.6 nods a minute above 1.5 degrees, as counted on 198 minutes of listeners on video."""
NOD_DELAY_S = (0.62, 0.18)
"""From the cue to the nod, mean and deviation: 0.7 s (Ward & Tsukahara 2000), 0.6 s (Hale 2020)."""
NOD_BACK_S = (0.45, 0.65)
"""From the peak of the other's nod to the begin of one's own; the peaks are 0.6-0.8 s apart."""
NOD_BACK_CHANCE = 0.7
"""People return some 40 %; of what is shown, a network learns a part."""

# Blinks.
BLINKS_PER_MIN = {"listening": 9.5, "speaking": 17.0}
"""Of the clock alone; cues add some. In all 17 at rest and 26 in conversation (Bentivoglio 1997);
speaking drives it, listening does not (Brych 2021)."""
BLINK_SPREAD = 0.6
"""Log sd of the intervals: 1.5 +- 0.6 s to 2.3 +- 1.7 s in conversation (Chidi-Egboka 2023)."""

# Looks at the partner and away.
LOOK_AT_S = {"listening": LogNormal(2.6, 0.9), "speaking": LogNormal(1.3, 0.85)}
"""Measured 3.9 (log sd 1.6) and 1.44 s (0.98). The measured 98 % at the partner while listening
was in front of a large screen; 75 % is the usual figure (Argyle), glances of 1-7 s."""
LOOK_AWAY_S = {"listening": LogNormal(0.68, 0.64), "speaking": LogNormal(1.1, 0.8)}
"""Measured 0.68 (0.64) and 0.96 s (0.89). Speaking at the partner: measured 60 %, Argyle 41 %."""
FIXATION_S = LogNormal(0.45, 0.5)
"""On one part of the partner's face. Measured 0.2 s (0.5) with those of less than a degree."""

# Smiles. Measured on 60 recordings of 20 pairs: windowed r of the smiles 0.089 against 0.007 of
# shuffled pairs, a smile within 2 s of the other's in 22 % against 13 % by chance, median lag
# 0.9 s.
SMILES_PER_MIN = 1.2
"""Smiles of one's own accord, of the 4 onsets a minute measured in all (10-90 % 1.7-7)."""
SMILE_RETURN = 0.75
"""Chance that a smile that is seen is returned: above the measured one, which counts smiles of
strangers at a task; listeners synchronise with d_z 0.85-1.1 (Riehle 2017)."""
SMILE_LAG_S = LogNormal(0.65, 0.35)
"""Measured 0.9 s; most within 1 s (Riehle 2017), the kindest at 0.7 s (Kroczek & Muehlberger
2023)."""

# Backchannels by voice: 7.6 a minute of the other's turn, log sd over people 0.43; 3.8 times more
# likely than chance within a second after a pause. Nods are not: 1.0 times (reference, 3.1).


@dataclass(frozen=True)
class Person:
    """How one person differs from the average: factors, log-normal about 1."""

    nod_rate: float = 1.0
    nod_size: float = 1.0
    blink_rate: float = 1.0
    smile: float = 1.0
    directness: float = 1.0
    beat_size: float = 1.0
    sway: float = 1.0


# Log sd over people: backchannel rate 0.43; nod amplitude a part of 0.87; blinks 32.4 +- 12.4
# (Chidi-Egboka 2023); smile onsets 0.59; share of gaze while speaking 0.33. Some of it is what a
# few minutes of anybody vary by, so a little less is taken.
_SPREADS = (0.3, 0.25, 0.3, 0.4, 0.25, 0.2, 0.2)


@lru_cache(maxsize=256)
def draw_person(seed: int) -> Person:
    """The person that belongs to a seed."""
    draw = np.random.Generator(np.random.Philox(key=[(seed ^ 0xFACE) & (2**63 - 1), 0]))
    return Person(*(LogNormal(1.0, s).draw(draw, 0.5, 2.0) for s in _SPREADS))
