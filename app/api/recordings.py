"""Recordings of a dialogue's turns: files that come beside a request, each by its name.

A turn says in `audio` which of them it is. The name is only compared: it never becomes a path.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from app.api.problems import Problem
from app.intake.allowance import MOST_TURNS
from app.jobs.store import Upload
from audio2motion.gestures.text_limits import MAX_NAME, shown

FIELD = "recordings"
"""The part of a form, or the object in JSON, that has them."""
MOST = MOST_TURNS
ABOUT = "Recordings of turns, each by the name that its turn has as `audio`"


def named(name: str | None, known: Iterable[str]) -> str:
    """The name of one more recording. Raises Problem (422) for one without, or a known one."""
    if not name or len(name) > MAX_NAME:
        raise Problem(422, f"{FIELD}: wanted a file with a name of 1 to {MAX_NAME} characters")
    if name in known:
        raise Problem(422, f"{FIELD}: {shown(name)} was given twice")
    return name


def require_told(turns: Iterable[object], recordings: Mapping[str, Upload]) -> None:
    """Raise Problem (422) unless turns name these recordings, all of them and no others."""
    wanted = {audio: number for number, audio in _audios(turns)}
    for name, number in wanted.items():
        if name not in recordings:
            raise Problem(
                422,
                f"turn {number}: its audio {shown(name)} is none of the {FIELD}; send a file of "
                "that name with them: no path and no address",
            )
    if unused := sorted(set(recordings) - set(wanted)):
        raise Problem(422, f"{FIELD}: no turn has the audio {shown(unused[0])}")


def placed(
    turns: Iterable[object], recordings: Mapping[str, Upload], keep: Callable[[Upload, str], Path]
) -> tuple[Any, ...]:
    """The turns with files of ours in place of names; `keep` makes one of a recording, which is
    called by its second argument where it cannot be used.
    """
    paths: dict[str, Path] = {}
    for number, name in _audios(turns):
        if name not in paths:
            paths[name] = keep(recordings[name], f"turn {number}: the recording")
    return tuple(
        {**row, "audio": str(paths[row["audio"]])} if _has_audio(row) else row for row in turns
    )


def _audios(turns: Iterable[object]) -> list[tuple[int, str]]:
    return [(n, row["audio"]) for n, row in enumerate(turns, 1) if _has_audio(row)]


def _has_audio(row: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(row, Mapping) and row.get("audio") is not None
