"""A figure beside its bar: green within it, amber near it, red beyond; or it cannot be told."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["green", "amber", "red", "unknown"]
_ORDER: tuple[Level, ...] = ("unknown", "green", "amber", "red")


@dataclass(frozen=True)
class Bar:
    """Green from `low` to `high`, amber from `least` to `most`, red beyond; None: no end."""

    name: str
    unit: str
    low: float | None = None
    high: float | None = None
    least: float | None = None
    most: float | None = None

    def judge(self, value: float | None, note: str = "") -> "Check":
        """A value beside this bar; None where it cannot be told, of which `note` says why."""
        if value is None or value != value:
            return Check(self.name, None, self.unit, "unknown", str(self), note)
        if _within(value, self.low, self.high):
            level: Level = "green"
        else:
            level = "amber" if _within(value, self.least, self.most) else "red"
        return Check(self.name, round(value, 4), self.unit, level, str(self), note)

    def __str__(self) -> str:
        green, amber = _words(self.low, self.high), _words(self.least, self.most)
        return f"green {green}, amber {amber}" if amber != green else f"green {green}"


@dataclass(frozen=True)
class Check:
    """One line of a report. `value` is None where it could not be told; `note` says why."""

    name: str
    value: float | None
    unit: str
    level: Level
    bar: str
    note: str = ""

    def __str__(self) -> str:
        told = "not known" if self.value is None else f"{self.value:.4g} {self.unit}".strip()
        return f"{told} ({self.bar})" + (f": {self.note}" if self.note else "")


@dataclass(frozen=True)
class Report:
    """All that is told of one video. `seconds` is how long the measuring took (processor time)."""

    checks: tuple[Check, ...]
    seconds: float

    @property
    def level(self) -> Level:
        """The worst of the checks."""
        return max((check.level for check in self.checks), key=_ORDER.index, default="unknown")

    def __getitem__(self, name: str) -> Check:
        """A check by its name; raises KeyError."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """As a file has it."""
        return {"format": "visavis-report-1", "level": self.level, **asdict(self)}


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _words(low: float | None, high: float | None) -> str:
    if low is None:
        return f"up to {high:g}" if high is not None else "always"
    return f"from {low:g}" if high is None else f"{low:g} to {high:g}"
