"""From the figures of pairs to the table: means with intervals, and how two systems differ."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.evaluation.catalogue import FIGURES, ROLES, Figure, Found, Role, Value
from app.quality.intervals import Interval, bootstrap, paired

NAN = float("nan")
_NOTHING = 1e-9
_NONE = Value(NAN, NAN, NAN)


@dataclass(frozen=True)
class Row:
    """A figure of a role: of what was made, of what really happened, of chance, of the second
    system, and the mean difference made - second over the same pairs. All without their scale.
    """

    figure: Figure
    role: Role
    made: Interval
    real: Interval
    floor: Interval
    other: Interval | None = None
    difference: Interval | None = None


@dataclass(frozen=True)
class Table:
    """All rows, and of how many pairs and people; `notes` say what is not in it, and why."""

    rows: tuple[Row, ...]
    pairs: int
    people: int
    names: tuple[str, str | None]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a file has it: numbers without scale, null for what is not known."""
        rows = [
            {
                "figure": row.figure.name,
                "group": row.figure.group,
                "unit": row.figure.unit,
                "scale": row.figure.scale,
                "better": row.figure.better,
                "role": row.role,
                **{name: _plain(getattr(row, name)) for name in _COLUMNS},
            }
            for row in self.rows
        ]
        return {
            "format": "visavis-evaluation-1",
            "pairs": self.pairs,
            "people": self.people,
            "systems": [name for name in self.names if name],
            "rows": rows,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """For a terminal."""
        compared = self.names[1] is not None
        head = ["figure", "role", "made", "real", "floor", "better"]
        head += ["second", "made - second"] if compared else []
        lines = [head, *(cells(row, compared) for row in self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        told = f"{self.pairs} pairs of {self.people} people; in brackets 95 % intervals of means"
        return "\n".join([told, *text, *(f"note: {note}" for note in self.notes)])


_COLUMNS = ("made", "real", "floor", "other", "difference")


def tabulate(
    found: Sequence[Found],
    people: Sequence[str],
    names: tuple[str, str | None],
    other: Sequence[Found] | None = None,
    notes: Sequence[str] = (),
    seed: int = 0,
) -> Table:
    """The table of pairs, each of somebody; `other` are the same pairs of a second system. A figure
    that no pair has gets no row.
    """
    rows = []
    for role in ROLES:
        for name, figure in FIGURES.items():
            values = [one.get((role, name), _NONE) for one in found]
            if all(value.made != value.made for value in values):
                continue
            made = [value.made for value in values]
            second = difference = None
            if other is not None:
                theirs = [one.get((role, name), _NONE).made for one in other]
                second = bootstrap(theirs, people, seed)
                difference = paired(made, theirs, people, seed)
            rows.append(
                Row(
                    figure,
                    role,
                    bootstrap(made, people, seed),
                    bootstrap([value.real for value in values], people, seed),
                    bootstrap([value.floor for value in values], people, seed),
                    second,
                    difference,
                )
            )
    return Table(tuple(rows), len(found), len(set(people)), names, tuple(notes))


def cells(row: Row, compared: bool) -> list[str]:
    """A row as words, times its scale."""
    scale = row.figure.scale
    line = [row.figure.title, row.role, told(row.made, scale)]
    line += [short(row.real, scale), short(row.floor, scale), row.figure.better]
    if compared:
        sign = " *" if row.difference is not None and row.difference.excludes_zero else ""
        line += [told(row.other, scale), told(row.difference, scale) + sign]
    return line


def told(found: Interval | None, scale: float) -> str:
    """A mean with its interval."""
    if found is None or not found.count:
        return "-"
    mean, low, high = (written(scale * x) for x in (found.mean, found.low, found.high))
    if found.count == 1:
        return mean
    return f"{mean} [{low}, {high}]"


def short(found: Interval, scale: float) -> str:
    """A mean alone."""
    return written(scale * found.mean) if found.count else "-"


def written(value: float) -> str:
    """Three digits, written out up to a million; what is left of rounding is nothing."""
    if abs(value) < _NOTHING:
        return "0"
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def _plain(found: Interval | None) -> dict[str, Any] | None:
    if found is None or not found.count:
        return None
    return {name: x if x == x else None for name, x in asdict(found).items()}
