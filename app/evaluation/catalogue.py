"""The figures of the table: names, units, the factor they are printed with, which way is better."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher", "as real"]
Role = Literal["all", "talking", "listening"]
ROLES: tuple[Role, ...] = ("all", "talking", "listening")


@dataclass(frozen=True)
class Figure:
    """One row. Values are kept as they are; `scale` is what they are printed times."""

    name: str
    group: str
    better: Better
    unit: str = ""
    scale: float = 1.0

    @property
    def title(self) -> str:
        """Its name, with the factor and the unit."""
        scale = "" if self.scale == 1 else f" x {self.scale:g}"
        return f"{self.name}{scale}" + (f" ({self.unit})" if self.unit else "")


def _motion() -> list[Figure]:
    found = []
    for part, scale in (("expression", 10.0), ("jaw", 1e3), ("pose", 1e2)):
        found += [
            Figure(f"FD {part}", "motion", "lower", "", scale),
            Figure(f"P-FD {part}", "dyadic", "lower", "", scale),
            Figure(f"MSE {part}", "motion", "lower", "", scale),
            Figure(f"SID {part}", "motion", "as real", "bits"),
            Figure(f"Var {part}", "motion", "as real", "", scale),
            Figure(f"diversity {part}", "motion", "as real"),
            Figure(f"STS {part}", "motion", "lower"),
            Figure(f"jerk {part}", "motion", "as real", "a s^3"),
            Figure(f"rPCC {part}", "dyadic", "lower"),
            Figure(f"TLCC peak {part}", "dyadic", "as real"),
            Figure(f"TLCC lag {part}", "dyadic", "as real", "s"),
        ]
    return found


FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        *_motion(),
        Figure("directed gain voice", "dyadic", "as real", "nats", 1e4),
        Figure("directed gain motion", "dyadic", "as real", "nats", 1e4),
        Figure("lip keypoint error", "motion", "lower", "eye distances", 100.0),
        Figure("upper-face keypoint dynamics", "motion", "as real", "eye distances^2", 1e4),
        Figure("beat consistency", "motion", "as real"),
        Figure("lips behind the voice", "lips", "as real", "ms"),
        Figure("lips and voice agree", "lips", "higher"),
        Figure("Sync-C", "lips", "higher"),
        Figure("Sync-D", "lips", "lower"),
        Figure("nods", "events", "as real", "a minute"),
        Figure("nods F1", "events", "higher"),
        Figure("blinks", "events", "as real", "a minute"),
        Figure("blinks F1", "events", "higher"),
        Figure("smiles", "events", "as real", "a minute"),
        Figure("smiles F1", "events", "higher"),
        Figure("looks away", "events", "as real", "a minute"),
        Figure("looks away F1", "events", "higher"),
        Figure("gaze at the partner", "events", "as real", "share"),
        Figure("identity", "picture", "higher", "cosine"),
        Figure("flicker", "picture", "as real", "grey levels"),
        Figure("seam", "picture", "lower", "log ratio"),
        Figure("sharpness mouth", "picture", "as real"),
        Figure("sharpness eyes", "picture", "as real"),
        Figure("landmark error mouth", "picture", "lower", "% of eye distance"),
        Figure("landmark error eyes", "picture", "lower", "% of eye distance"),
        Figure("LPIPS", "picture", "lower"),
        Figure("LPIPS VGG", "picture", "lower"),
    )
}
"""All of them, in the order of the table."""


@dataclass(frozen=True)
class Value:
    """A figure of one pair: of what was made, of the real one itself (or of halves of it), and of
    chance: a still face, a partner at another time, or as many events at random. nan: none.
    """

    made: float
    real: float = float("nan")
    floor: float = float("nan")


Found = dict[tuple[Role, str], Value]
"""The figures of one pair."""
