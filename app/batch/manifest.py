"""The manifest of a batch: one row a video, in the words of RenderRequest plus `output`.

JSON Lines, CSV or Parquet. What a word may hold comes from the type of the field of RenderRequest,
so a new field is a new word. Every problem is found before any work starts, and told by the number
of its row, counted from 1.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from app.batch import storage
from app.batch.rows import read_rows
from app.render.describing import plain
from app.render.knobs import Setting, by_name
from app.render.request import RenderRequest
from app.render.turns import load_turns, read_turns, recordings_in
from motion2video.media.codings import ARCHIVE, SUFFIXES
from weights.errors import InputError, VisavisError, one_line

_SHOWN, _MOST_PROBLEMS = 20, 1_000  # problems in one message, and in all
_LARGEST = 1e15
_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix != ARCHIVE)
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True)
class Item:
    """One video to make: `row` of the manifest, `output` relative to the batch's folder with
    forward slashes, `fields` of RenderRequest as plain values, those that are files as absolute
    addresses, whose names are in `files`.
    """

    row: int
    output: str
    fields: dict[str, Any]
    files: tuple[str, ...]

    @property
    def recordings(self) -> dict[str, str]:
        """The recordings among its turns: "turn 2" to an absolute address."""
        found = recordings_in(read_turns(self.fields.get("turns") or ()))
        return {name: str(path) for name, path in found.items()}

    def request(self, **places: str) -> RenderRequest:
        """What is to be rendered; `places` says where copies of files are on this machine."""
        values: dict[str, Any] = {**self.fields, **places}
        return RenderRequest(**values)


class ManifestError(InputError):
    """Rows of a manifest that cannot be used; `problems` has all of them, (row, sentence)."""

    def __init__(self, name: str, problems: Sequence[tuple[int, str]]) -> None:
        self.problems = tuple(problems)
        told = [f"  row {row}: {what}" for row, what in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            told.append(f"  ... and {len(self.problems) - _SHOWN} more")
        rows = "row" if len({row for row, _ in self.problems}) == 1 else "rows"
        super().__init__(
            f"nothing was started, because {name} has {rows} that cannot be used:", *told
        )


def read_manifest(address: str, defaults: Mapping[str, Any]) -> list[Item]:
    """The items of a manifest; `defaults` are fields for rows that do not say.

    Raises ManifestError (an InputError) for rows that cannot be used, MediaError for a manifest
    that is not there, DependencyError for Parquet without pyarrow.
    """
    address = storage.resolve(address, os.getcwd())
    folder, name = storage.parent(address), os.path.basename(address)
    schema = Schema()
    items: list[Item] = []
    problems: list[tuple[int, str]] = []
    seen: dict[str, int] = {}
    for row, values in read_rows(address):
        try:
            if isinstance(values, InputError):
                raise values
            item = _item(row, values, folder, schema, defaults)
            if item.output in seen:
                raise InputError(
                    f"its output {item.output} is also that of row {seen[item.output]}"
                )
            seen[item.output] = row
            items.append(item)
        except VisavisError as error:
            problems.append((row, str(error)))
            if len(problems) == _MOST_PROBLEMS:
                break
    problems += _missing_files(items)
    if problems:
        raise ManifestError(name, sorted(problems))
    if not items:
        raise InputError(f"the manifest {name} has no rows")
    return items


def _item(
    row: int, values: Mapping[str, Any], folder: str, schema: "Schema", defaults: Mapping[str, Any]
) -> Item:
    """One row, checked as far as it can be without opening what it names."""
    unknown = sorted(set(values) - set(schema.words))
    if unknown:
        raise InputError(
            f"there is no word {unknown[0]!r}; the words are {', '.join(schema.words)}"
        )
    given = {name: value for name, value in values.items() if value is not None}
    named = given.pop("output", None)
    output = None if named is None else _output(named)
    read = {name: schema.read(name, value) for name, value in given.items()}
    fields = {**_without_rivals(defaults, read), **read}
    if "portrait" not in fields:
        raise InputError("it has no portrait")
    files = tuple(name for name in schema.files if isinstance(fields.get(name), str))
    for name in files:
        # A default comes from the command line, whose folder is not the manifest's.
        fields[name] = storage.resolve(fields[name], folder if name in read else os.getcwd())
    if (turns := _turns(fields, folder if "turns" in read else os.getcwd())) is not None:
        fields = {n: v for n, v in fields.items() if n != "turns_file"} | {"turns": turns}
        files = tuple(name for name in files if name != "turns_file")
    request = Item(row, "", fields, files).request()
    output = output or f"{row:06d}{request.suffix}"
    request.check_name(Path(output))
    return Item(row, output, fields, files)


def _without_rivals(defaults: Mapping[str, Any], read: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults, less a voice for rows that bring another kind of one."""
    kept = dict(defaults)
    if read.keys() & {"agent_audio", "text", "driving_video", "turns", "turns_file"}:
        for name in ("agent_audio", "text", "turns", "turns_file"):
            kept.pop(name, None)
    return kept


def _turns(fields: Mapping[str, Any], folder: str) -> list[Any] | None:
    """The turns of a row, those of its file too, as plain values; recordings by their addresses."""
    if (name := fields.get("turns_file")) is not None:
        if storage.is_remote(name):
            raise InputError(f"turns_file: {name} is elsewhere; put the turns into the row")
        turns = load_turns(name)
    elif (given := fields.get("turns")) is not None:
        turns = read_turns(given)
    else:
        return None
    told = [plain(turn) for turn in turns]
    for row in told:
        if (audio := row.get("audio")) is not None:
            row["audio"] = storage.resolve(audio, folder)
            if storage.is_remote(row["audio"]):
                raise InputError(f"the recording {audio} of a turn is elsewhere; copy it here")
    return told


def _output(value: object) -> str:
    """The name of a video below the batch's folder."""
    if not isinstance(value, str) or not value.strip() or one_line(value) != value:
        raise InputError(f"got the output {value!r}; wanted the name of a video")
    path = PurePosixPath(value)
    hidden = any(part.startswith(".") for part in path.parts)
    if storage.is_remote(value) or path.is_absolute() or ".." in path.parts or hidden:
        raise InputError(
            f"got the output {value}; wanted a name below the folder --out, not hidden"
        )
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(f"the output {value} must end in {' or '.join(_SUFFIXES)}")
    return str(path)


def _missing_files(items: Iterable[Item]) -> Iterator[tuple[int, str]]:
    """Files that rows name and that are not there; each is looked for once."""
    known: dict[str, str | None] = {}
    for item in items:
        named = [(name, item.fields[name]) for name in item.files]
        for name, address in (*named, *item.recordings.items()):
            if address not in known:
                try:
                    known[address] = None if storage.exists(address) else "there is no file"
                except VisavisError as error:
                    known[address] = str(error)
            problem = known[address]
            if problem is not None:
                yield item.row, f"{name}: {problem} ({address})"


# -- words and their values --------------------------------------------------------------------


class Schema:
    """Which words a row may have and what they hold, from the fields of RenderRequest."""

    def __init__(self) -> None:
        self.fields = by_name(RenderRequest)
        self.files = tuple(s.name for s in self.fields.values() if s.is_file)
        self.words = (*sorted(self.fields), "output")

    def read(self, name: str, value: Any) -> Any:
        """A value of a row as RenderRequest wants it. Raises InputError for another type.

        Text (all that CSV has) is read as what the field is: a number, yes or no, JSON, or
        name=number for a mapping.
        """
        setting = self.fields[name]
        origins = setting.origins
        if isinstance(value, str):
            return self._from_text(setting, value)
        if isinstance(value, bool):
            if bool in origins:
                return value
        elif isinstance(value, int | float) and abs(value) <= _LARGEST:
            if float in origins:
                return float(value)
            if int in origins and value == int(value):
                return int(value)
        elif isinstance(value, list | tuple):
            if Mapping in origins and all(isinstance(v, str) and "=" in v for v in value):
                return {k: _number(name, v) for k, _, v in (v.partition("=") for v in value)}
            if tuple in origins:
                return tuple(value)
            if Sequence in origins:
                return list(value)
        elif isinstance(value, Mapping):
            if Mapping in origins:
                return dict(value)
        elif isinstance(value, os.PathLike) and name in self.files:
            return os.fspath(value)
        raise InputError(f"got {value!r} for {name}; wanted {_wanted(origins)}")

    def _from_text(self, setting: Setting, value: str) -> Any:
        name, origins = setting.name, setting.origins
        structured = {tuple, Sequence, Mapping} & origins
        if structured and value.lstrip().startswith(("[", "{")):
            try:
                return self.read(name, json.loads(value))
            except (ValueError, RecursionError) as error:
                raise InputError(f"got {value!r} for {name}, which is not JSON") from error
        if Literal in origins:
            setting.check(value)
            return value
        if str in origins:
            return value
        if structured:
            return self.read(name, [part.strip() for part in value.split(";")])
        if bool in origins:
            if value.strip().lower() in _YES + _NO:
                return value.strip().lower() in _YES
        elif {int, float} & origins:
            number = _number(name, value)
            if float in origins or number.is_integer():
                return number if float in origins else int(number)
        raise InputError(f"got {value!r} for {name}; wanted {_wanted(origins)}")


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= _LARGEST:
        raise InputError(f"got {text!r} for {name}; wanted a number")
    return number


def _wanted(origins: frozenset[Any]) -> str:
    """The kinds in words."""
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    names |= {os.PathLike: "a file", Mapping: "names with numbers", Sequence: "a list"}
    names |= {tuple: "a list", Literal: "a word"}
    told = [names[kind] for kind in names if kind in origins]
    return " or ".join(dict.fromkeys(told)) or "something else"
