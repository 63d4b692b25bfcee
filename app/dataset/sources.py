"""What is to be imported: the videos of a folder, and the pairs of two-person recordings."""

import csv
import hashlib
import io
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.batch.storage import stamp
from app.dataset.layout import key_of
from app.dataset.recordings import Recording, media
from weights.errors import InputError, MediaError
from weights.opening import read_regular

VIDEOS = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".ts", ".mts", ".m2ts"),
        *(".mpg", ".mpeg", ".ogv", ".3gp", ".wmv", ".gif"),
    )
)
SOUNDS = frozenset((".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".aac", ".aiff"))
_SIDE = re.compile(r"(.+)[-_. ](a|b|1|2|left|right|agent|interlocutor)", re.IGNORECASE)
_FIRST = frozenset(("a", "1", "left", "agent"))
_MOST_PAIRS = 1 << 24


def recording_id(root: Path, path: Path) -> str:
    """A name that stays the same while the file stays where it is in its folder."""
    below = os.path.relpath(path, root)
    return f"{key_of(path.stem)}-{hashlib.sha256(below.encode()).hexdigest()[:8]}"


def videos_of(folder: Path, people: str = "file") -> list[Recording]:
    """A recording for each video of a folder and those in it. Its people are called after the file,
    or (`people="folder"`) after the folder that it is in. Raises InputError where there is none.
    """
    found = []
    for path in _media(folder, VIDEOS):
        name = key_of(path.parent.name if people == "folder" else path.stem)
        one = recording_id(folder, path)
        owner = name if people == "folder" else one
        source = os.path.relpath(path, folder)
        found.append(Recording(one, "video", (str(path),), source, people=(owner,)))
    if not found:
        raise InputError(
            f"{folder} holds no video; wanted files such as {', '.join(sorted(VIDEOS)[:6])}"
        )
    return found


def pairs_of(source: Path) -> list[Recording]:
    """The pairs of a folder, or those that a .csv names (columns first, second; where wanted
    offset, by how many seconds the second began later, and first_person, second_person).

    In a folder NAME_a and NAME_b are a pair (also -, 1 and 2, left and right); any other file with
    two channels of sound is a pair by itself. Raises InputError.
    """
    return _listed(source) if source.suffix.lower() == ".csv" else _paired(source)


def with_lengths(recordings: Sequence[Recording]) -> list[Recording]:
    """The same with guesses of their lengths and stamps of their files. Files that say nothing of
    their length, or cannot be read, have none: the import says why.
    """
    return [
        replace(
            one,
            seconds=sum(_seconds(Path(f)) for f in one.files),
            stamp=" ".join(f"{size}-{token}" for size, token in map(stamp, one.files)),
        )
        for one in recordings
    ]


def _seconds(path: Path) -> float:
    try:
        info = media().info(path)
    except MediaError:
        return 0.0
    return info.seconds if info.video_codec is not None else 0.0


def _media(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give one with recordings in it")
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
    )


def _paired(folder: Path) -> list[Recording]:
    sides: dict[Path, dict[bool, Path]] = defaultdict(dict)
    alone = []
    for path in _media(folder, VIDEOS | SOUNDS):
        match = _SIDE.fullmatch(path.stem)
        if match is None:
            alone.append(path)
        else:
            sides[path.parent / match.group(1)][match.group(2).lower() in _FIRST] = path
    found = []
    for name, both in sorted(sides.items()):
        if len(both) == 2:
            found.append(_pair(folder, name, both[True], both[False]))
        else:
            alone += both.values()
    for path in sorted(alone):
        one = recording_id(folder, path)
        source = os.path.relpath(path, folder)
        found.append(
            Recording(one, "channels", (str(path),), source, people=(f"{one}-a", f"{one}-b"))
        )
    if not found:
        raise InputError(
            f"{folder} holds no recording of two people, such as NAME_a.mp4, NAME_b.mp4"
        )
    return found


def _pair(
    root: Path,
    name: Path,
    first: Path,
    second: Path,
    offset: float = 0.0,
    people: Sequence[str] = (),
) -> Recording:
    one = recording_id(root, name)
    source = f"{os.path.relpath(first, root)} + {os.path.relpath(second, root)}"
    named = tuple(given or f"{one}-{n}" for given, n in zip(people or ("", ""), "ab", strict=True))
    return Recording(one, "pair", (str(first), str(second)), source, people=named, offset=offset)


def _listed(table: Path) -> list[Recording]:
    text = read_regular(table, "list of pairs", _MOST_PAIRS).decode("utf8", "replace")
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    if not {"first", "second"} <= set(rows.fieldnames or ()):
        raise InputError(f"{table} has the columns {rows.fieldnames}; wanted first and second")
    found = []
    for n, row in enumerate(rows, 2):
        first, second = (table.parent / (row[side] or "") for side in ("first", "second"))
        for path in (first, second):
            if not path.is_file():
                raise InputError(f"line {n} of {table} names {path}, which is not there")
        try:
            offset = float(row.get("offset") or 0)
        except ValueError as error:
            raise InputError(f"line {n} of {table} has the offset {row['offset']!r}") from error
        if not abs(offset) < 7200:
            raise InputError(f"line {n} of {table} has the offset {offset}; wanted seconds")
        people = [key_of(row[c]) if row.get(c) else "" for c in ("first_person", "second_person")]
        found.append(_pair(table.parent, first, first, second, offset, people))
    if not found:
        raise InputError(f"{table} lists no pair")
    return found
