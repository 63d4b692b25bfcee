"""Who says what, one after the other: the turns of a dialogue, and how they are written.

One turn as text: `WHO[/VOICE][ PAUSE]: WORDS`, such as `interlocutor: How are you?` or
`agent/heart 0.5: Fine.`; PAUSE is the silence before it in seconds. As an object it has `who`, its
`text` (with a `voice`, if wanted) or the `audio` of a recording, and its `pause`. A JSON file holds
a list of either (or an object with the list under "turns"); a CSV file has the names of objects in
its first line. Recordings are looked for where the file is.
"""

import csv
import io
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from app.render.knobs import Knob
from audio2motion.gestures.text_limits import MAX_CHARACTERS, MAX_NAME, shown
from audio2motion.gestures.timeline import read_text
from audio2motion.hearing.audio import Waveform
from weights.errors import InputError, LimitError, VisavisError

Who = Literal["agent", "interlocutor"]
Row = Mapping[str, Any]
"""A turn as plain values."""

MOST_TURNS = 100
"""Of one dialogue; whose words together are as many as those of one text."""
MOST_PAUSE = 10.0
"""Seconds before a turn."""
SYNTAX = "WHO[/VOICE][ PAUSE]: WORDS, such as 'interlocutor: How are you?' or 'agent 0.5: Fine.'"
_FIELDS = ("who", "text", "voice", "audio", "pause")
_TURN = re.compile(
    r"\s*+(?P<who>[a-z]++)(?:/(?P<voice>[^\s:]++))?(?:\s++(?P<pause>[0-9.]++))?\s*+:(?P<text>.++)",
    re.DOTALL,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Turn:
    """What one of two people says: a `text`, in a `voice` (None: the dialogue's), or a recording.
    `pause` is the silence before it in seconds, None for the dialogue's. Raises InputError.
    """

    who: Who
    text: str | None = None
    voice: str | None = None
    audio: str | os.PathLike[str] | Waveform | None = None
    pause: float | None = None

    def __post_init__(self) -> None:
        if (self.text is None) == (self.audio is None):
            got = "neither" if self.text is None else "both"
            raise InputError(f"got {got} a text and a recording (audio); give one of them")
        if self.text is not None and not self.text.strip():
            raise InputError("there are no words in its text; write some, or leave the turn out")
        if self.voice is not None and self.text is None:
            raise InputError("got a voice for a recording; a voice only speaks a text")
        if len(self.voice or "") > MAX_NAME:
            raise InputError(f"got a voice of {len(self.voice or '')} characters; wanted a name")
        if self.pause is not None and not 0 <= self.pause <= MOST_PAUSE:
            raise InputError(f"got the pause {self.pause:g}; wanted 0 to {MOST_PAUSE:g} seconds")

    @property
    def recording(self) -> Path | None:
        """The file of its recording."""
        return Path(self.audio) if isinstance(self.audio, str | os.PathLike) else None


Turns = Annotated[
    Sequence[str | Row | Turn] | None,
    Knob(
        "A turn of a dialogue, instead of both voices: WHO: WORDS or WHO/VOICE PAUSE: WORDS, where "
        "WHO is agent or interlocutor and PAUSE the seconds before it.",
        option="--turn",
        longest=MAX_CHARACTERS,
        label="Dialogue",
    ),
]
TurnsFile = Annotated[
    str | os.PathLike[str] | None,
    Knob(
        "The turns of a dialogue in a JSON or CSV file: who, text or audio (a recording beside the "
        "file), voice, pause.",
        option="--turns",
        servers_own=True,  # it names other files
    ),
]


def recordings_in(turns: Sequence[Turn]) -> dict[str, Path]:
    """The files of recordings, each by what its turn is called: "turn 2"."""
    found = {f"turn {number}": turn.recording for number, turn in enumerate(turns, 1)}
    return {name: path for name, path in found.items() if path is not None}


@contextmanager
def at_turn(number: int) -> Iterator[None]:
    """Errors within say which turn they are of, counted from 1."""
    try:
        yield
    except VisavisError as error:
        raise type(error)(f"turn {number}: {error}") from error


def read_turns(given: Sequence[object], folder: Path | None = None) -> tuple[Turn, ...]:
    """Turns from texts and objects; recordings are looked for in `folder`. Raises InputError, which
    names the turn, and LimitError for more than one dialogue has.
    """
    if len(given) > MOST_TURNS:
        raise LimitError(f"got {len(given)} turns; at most {MOST_TURNS} make a dialogue")
    turns = []
    for number, item in enumerate(given, 1):
        with at_turn(number):
            turns.append(_read(item, folder))
    words = sum(len(turn.text or "") for turn in turns)
    if words > MAX_CHARACTERS:
        raise LimitError(
            f"got turns of {words} characters together; at most {MAX_CHARACTERS} are said"
        )
    return tuple(turns)


def load_turns(path: str | os.PathLike[str]) -> tuple[Turn, ...]:
    """The turns of a `.json` or `.csv` file. Raises InputError."""
    path = Path(path)
    text = read_text(path, "file of turns")
    if path.suffix.lower() == ".csv":
        items: Any = _from_csv(text, path)
    elif path.suffix.lower() == ".json":
        try:
            items = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is not JSON ({error})") from error
        items = items.get("turns") if isinstance(items, dict) else items
    else:
        raise InputError(f"the file of turns {path} must end in .json or .csv")
    if not isinstance(items, list) or not items:
        raise InputError(f"{path} holds no list of turns; wanted [...] or {{'turns': [...]}}")
    try:
        return read_turns(items, path.parent)
    except VisavisError as error:
        raise type(error)(f"{path}: {error}") from error


def _from_csv(text: str, path: Path) -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    try:
        if (
            None in (names := [name.strip() for name in rows.fieldnames or []])
            or "who" not in names
        ):
            raise InputError(
                f"the first line of {path} is {shown(','.join(names))}; wanted who,text and more"
            )
        read = list(rows)
    except csv.Error as error:
        raise InputError(f"{path} is not CSV ({error})") from error
    for row in read:
        if None in row:
            raise InputError(
                f"line {read.index(row) + 2} of {path} has more values than the first line has "
                "names; put a text with commas between quotes"
            )
    return [{k.strip(): v.strip() for k, v in row.items() if v and v.strip()} for row in read]


def _read(item: object, folder: Path | None) -> Turn:
    if isinstance(item, Turn):
        return item
    if isinstance(item, str):
        found = _TURN.fullmatch(item)
        if found is None:
            raise InputError(f"got {shown(item)}; wanted {SYNTAX}")
        item = {name: value for name, value in found.groupdict().items() if value is not None}
        item["text"] = item["text"].strip()
    if not isinstance(item, Mapping):
        raise InputError(f"got {shown(item)}; wanted an object or a text, {SYNTAX}")
    given: dict[str, Any] = {name: value for name, value in item.items() if value is not None}
    if unknown := set(map(str, given)) - set(_FIELDS):
        raise InputError(
            f"there is no {shown(min(unknown))} in a turn; wanted {', '.join(_FIELDS)}"
        )
    for name in ("who", "text", "voice", "audio"):
        if name in given and not isinstance(given[name], str | os.PathLike):
            raise InputError(f"got the {name} {shown(given[name])}; wanted a text")
    known = get_args(Who)
    if "who" not in given:
        raise InputError(f"nobody says it; give who: {' or '.join(known)}")
    if given["who"] not in known:
        raise InputError(f"got who {shown(given['who'])}; wanted {' or '.join(known)}")
    if "pause" in given:
        given["pause"] = _seconds(given["pause"])
    turn = Turn(**given)
    if folder is not None and turn.recording is not None:
        return replace(turn, audio=folder / turn.recording)
    return turn


def _seconds(value: object) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value)
        if not math.isfinite(number):
            raise ValueError
        return number
    except (ValueError, OverflowError):
        raise InputError(f"got the pause {shown(value)}; wanted seconds as a number") from None
