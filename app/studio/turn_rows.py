"""The rows of the turn editor, as one text of JSON: what the first screen has as its dialogue.

A row is a turn of app/render/turns.py; one that is a recording has a handle of the visitor's as its
`audio` in their browser, and the path of that file everywhere here: see `exchanged`.
"""

import json
from collections.abc import Callable
from typing import Any

from app.intake.allowance import MOST_TURNS, require_count
from app.render.turns import Turn, at_turn, read_turns
from weights.errors import InputError

FIRST_ROWS = json.dumps(
    [
        {"who": "interlocutor", "text": "And what did you do up there, all day, in the fog?"},
        {"who": "agent", "text": "Nothing at all. We sat at the lake and waited."},
        {"who": "interlocutor", "text": "That sounds wonderful.", "pause": 0.5},
    ]
)
"""What the editor shows at first: a dialogue that can be made as it is."""
_NO_ROWS = "it is no list of turns, each an object of plain values"


def exchanged(text: str, change: Callable[[str], str]) -> str:
    """The same rows with another `audio` in each that has one. Raises InputError for what is no
    list of rows, and what `change` raises, with the number of the row.
    """
    rows = _rows(text)
    for number, row in enumerate(rows, 1):
        if isinstance(audio := row.get("audio"), str) and audio:
            with at_turn(number):
                row["audio"] = change(audio)
    return json.dumps(rows) if rows else ""


def recordings_of(text: str) -> tuple[str, ...]:
    """The files that rows name."""
    given = (row.get("audio") for row in _rows(text))
    return tuple(audio for audio in given if isinstance(audio, str) and audio)


def turns_of(text: str) -> tuple[Turn, ...]:
    """The turns that rows stand for. Raises InputError, which names the row."""
    rows = _rows(text)
    if not rows:
        raise InputError("there is no turn yet: add one")
    for number, row in enumerate(rows, 1):
        with at_turn(number):
            if "audio" in row and not row["audio"]:
                raise InputError("there is no recording yet: record one, or upload it")
            if "audio" not in row and not str(row.get("text") or "").strip():
                raise InputError("there are no words yet: write some, or delete the turn")
    return read_turns(rows)


def _rows(text: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(text or "[]")
    except (ValueError, RecursionError) as error:
        raise InputError(_NO_ROWS) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(_NO_ROWS)
    require_count("turns", rows, MOST_TURNS)
    return rows
