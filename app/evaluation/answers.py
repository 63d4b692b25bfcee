"""Directed gain of all pairs together: does what was made answer to the partner?

Its floor is that of partners of other conversations, and its `real` that of the real motion, of
which the answers that are looked for are learned.
"""

from dataclasses import dataclass, field

from app.evaluation.catalogue import FIGURES
from app.evaluation.clips import Clip
from app.evaluation.table import Row
from app.quality.activity import active
from app.quality.answering import case_of
from app.quality.directed_gain import SHORTEST_SHIFT, Case, Gain, directed_gain
from app.quality.intervals import Interval
from audio2motion.hearing.audio import speech_probability

LEAST_FRAMES = 4 * SHORTEST_SHIFT
"""Of a conversation (16 s), so that it can be shifted against itself."""
LEAST_LISTENED = 25
DRIVERS = ("voice", "motion")
TOO_LITTLE = (
    "no directed gain: it needs conversations with two people or more, each of "
    f"{LEAST_FRAMES // 25} s or more, with the voices of both"
)


@dataclass(eq=False)
class Answers:
    """Collects the conversations, pair by pair; `other` are those of a second system."""

    made: list[Case] = field(default_factory=list)
    real: list[Case] = field(default_factory=list)
    other: list[Case] = field(default_factory=list)

    def add(self, made: Clip, real: Clip, other: Clip | None, partner: Clip) -> None:
        """A pair with its partner; one that is too short, or in which a voice is missing, or in
        which nobody listens, is passed over.
        """
        voice = real.voice or made.voice
        sides = [(self.made, made), (self.real, real)]
        if other is not None:
            sides.append((self.other, other))
        count = min(len(clip.motion) for clip in (*(clip for _, clip in sides), partner))
        if voice is None or partner.voice is None or count < LEAST_FRAMES:
            return
        own, theirs = (
            (sound, active(speech_probability(sound), count)) for sound in (voice, partner.voice)
        )
        seen = partner.motion.values[:count]
        cases = [
            case_of(partner.person, clip.motion.values[:count], own, theirs, seen)
            for _, clip in sides
        ]
        if cases[0].mask.sum() < LEAST_LISTENED:
            return
        for (store, _), case in zip(sides, cases, strict=True):
            store.append(case)

    def rows(self, seed: int = 0) -> tuple[Row, ...]:
        """A row for what is heard and one for what is seen of the partner; none of what there is
        too little of.
        """
        return tuple(row for driver in DRIVERS if (row := self._row(driver, seed)) is not None)

    def _row(self, driver: str, seed: int) -> Row | None:
        kept = [k for k, case in enumerate(self.real) if case.drivers[driver].any()]
        people = len({self.real[k].partner for k in kept})
        if people < 2:
            return None
        made, real, other = (
            [store[k] for k in kept] if store else []
            for store in (self.made, self.real, self.other)
        )

        def told(gain: Gain) -> Interval:
            return Interval(gain.net, gain.low, gain.high, len(kept), people)

        return Row(
            FIGURES[f"directed gain {driver}"],
            "listening",
            told(directed_gain(made, driver, reference=real, seed=seed)),
            told(directed_gain(real, driver, seed=seed)),
            told(directed_gain(made, driver, mismatched=True, reference=real, seed=seed)),
            told(directed_gain(other, driver, reference=real, seed=seed)) if other else None,
        )
