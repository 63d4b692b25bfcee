"""Gestures as text: one on the command line, many in a JSON or CSV file.

One gesture: KIND[/AIM]@START[:DURATION][xINTENSITY], times in seconds, such as `nod@3.2`,
`nod@3.2:0.8x1.5`, `wink/left@4` or `look-at/10,-5@2:1`. AIM is left or right as the picture shows
it, up or down, or degrees RIGHT,UP.

A JSON timeline is a list (or an object with the list under "gestures") of such texts or of objects
with `kind`, `start` and, if wanted, `duration`, `intensity`, `aim` and `source`: what a result has
under "gestures" is one. A CSV timeline has these names, but for `source`, in its first line.
"""

import csv
import io
import json
import math
import os
import re
from pathlib import Path
from typing import Any

from audio2motion.gestures.gestures import AIMED, KINDS, LOOK_KINDS, Aim, Gesture, Span
from audio2motion.gestures.text_limits import MAX_FILE_BYTES, MAX_GESTURE, MAX_GESTURES, shown
from weights.errors import InputError, LimitError
from weights.opening import read_regular

SYNTAX = "KIND[/AIM]@START[:DURATION][xINTENSITY], such as nod@3.2 or nod@3.2:0.8x1.5"
_NUMBER = r"(?:[0-9]++(?:\.[0-9]++)?|\.[0-9]++)(?:e[+-]?[0-9]++)?"
_GESTURE = re.compile(
    rf"(?P<kind>[a-z-]++)(?:/(?P<aim>[^@]*+))?@(?P<start>{_NUMBER})"
    rf"(?::(?P<duration>{_NUMBER}))?(?:x(?P<intensity>{_NUMBER}))?"
)
_SIDES: dict[str, Aim] = {
    "left": (-12.0, 0.0),
    "right": (12.0, 0.0),
    "up": (0.0, 10.0),
    "down": (0.0, -10.0),
}
_FIELDS = ("kind", "start", "duration", "intensity", "aim", "source")


def parse_gesture(text: str) -> Gesture:
    """One gesture from its text. Raises InputError."""
    found = _GESTURE.fullmatch(text.strip()) if len(text) <= MAX_GESTURE else None
    if found is None:
        raise InputError(f"got the gesture {shown(text)}; wanted {SYNTAX}")
    return _gesture({k: v for k, v in found.groupdict().items() if v is not None}, repr(text))


def load_timeline(path: str | os.PathLike[str]) -> tuple[Gesture, ...]:
    """The gestures of a `.json` or `.csv` file. Raises InputError."""
    path = Path(path)
    text = read_text(path, "timeline of gestures")
    if path.suffix.lower() == ".csv":
        return _from_csv(text, path)
    if path.suffix.lower() != ".json":
        raise InputError(f"the timeline of gestures {path} must end in .json or .csv")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error})") from error
    items = data.get("gestures") if isinstance(data, dict) else data
    if not isinstance(items, list):
        raise InputError(f"{path} holds no list of gestures; wanted [...] or {{'gestures': [...]}}")
    _require_count(len(items), path)
    return tuple(
        _from_json(item, f"gesture {number} of {path}") for number, item in enumerate(items, 1)
    )


def _require_count(count: int, path: Path) -> None:
    if count > MAX_GESTURES:
        raise LimitError(f"{path} holds {count} gestures; at most {MAX_GESTURES} are placed")


def read_text(path: Path, what: str) -> str:
    """A text file as UTF-8, with or without a byte order mark. Raises InputError."""
    data = read_regular(path, what, MAX_FILE_BYTES)
    try:
        # Only what is wanted: a carriage return would shift no character, but break lines.
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"the {what} {path} is not a text in UTF-8") from error


def _from_csv(text: str, path: Path) -> tuple[Gesture, ...]:
    _require_count(text.count("\n"), path)
    rows = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    try:
        names = [name.strip() for name in rows.fieldnames or []]
        if not {"kind", "start"} <= set(names):
            raise InputError(
                f"the first line of {path} is {shown(','.join(names))}; wanted kind,start and more"
            )
        return tuple(_from_row(row, f"line {rows.line_num} of {path}") for row in rows)
    except csv.Error as error:
        raise InputError(f"{path} is not CSV ({error})") from error


def _from_row(row: dict[str, Any], name: str) -> Gesture:
    if None in row or None in row.values():
        raise InputError(f"{name} has other columns than the first line")
    return _gesture({k.strip(): v.strip() for k, v in row.items() if v.strip()}, name)


def _from_json(item: object, name: str) -> Gesture:
    if isinstance(item, str):
        return parse_gesture(item)
    if not isinstance(item, dict):
        raise InputError(f"{name} is {shown(item)}; wanted an object or a text such as 'nod@3.2'")
    return _gesture({k: v for k, v in item.items() if v is not None}, name)


def _gesture(values: dict[str, Any], name: str) -> Gesture:
    """A gesture from named values, numbers or texts; `name` is what an error calls it."""
    unknown = set(values) - set(_FIELDS)
    missing = {"kind", "start"} - set(values)
    if unknown or missing:
        wrong = f"an unknown {shown(min(unknown))}" if unknown else f"no {sorted(missing)[0]!r}"
        raise InputError(f"{name} has {wrong}; wanted {', '.join(_FIELDS)}")
    kind = values["kind"]
    if kind not in KINDS:
        raise InputError(f"there is no gesture {shown(kind)}; wanted one of {', '.join(KINDS)}")
    numbers = {
        key: _number(values[key], key, name)
        for key in ("start", "duration", "intensity")
        if key in values
    }
    aim = _aim(values["aim"], kind, name) if "aim" in values else None
    source = _span(values["source"], name) if "source" in values else None
    return Gesture.at(kind, aim=aim, source=source, **numbers)


def _number(value: object, key: str, name: str) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value)
        if not math.isfinite(number):
            raise ValueError
        return number
    except (ValueError, OverflowError):
        raise InputError(f"{name} has the {key} {shown(value)}; wanted a number") from None


def _aim(value: object, kind: str, name: str) -> Aim:
    """left, right, up, down, "RIGHT,UP" or [right, up]; only for kinds that aim at something."""
    parts = value.split(",") if isinstance(value, str) else value
    found = _SIDES.get(str(value).strip())
    if found is None and isinstance(parts, list | tuple) and len(parts) == 2:
        found = (_number(parts[0], "aim", name), _number(parts[1], "aim", name))
    if found is None:
        raise InputError(
            f"{name} has the aim {shown(value)}; wanted left, right, up, down or degrees RIGHT,UP"
        )
    if kind not in AIMED and found != (0.0, 0.0):
        raise InputError(f"{name} has an aim; only {', '.join(AIMED)} have one")
    if kind in AIMED and kind not in LOOK_KINDS and not found[0]:
        raise InputError(f"{name} has the aim {value!r}; a {kind} goes left or right")
    return found


def _span(value: object, name: str) -> Span:
    if isinstance(value, dict) and set(value) == {"first", "last", "word", "meaning"}:
        places, texts = (value["first"], value["last"]), (value["word"], value["meaning"])
        whole = all(isinstance(place, int) and not isinstance(place, bool) for place in places)
        if whole and all(isinstance(text, str) for text in texts):
            return Span(*places, *texts)
    raise InputError(f"{name} has the source {shown(value)}; wanted first, last, word and meaning")
