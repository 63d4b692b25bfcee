"""A request as a row in a database: plain JSON, its files by their ids in the store.

What is a file follows from the types in MotionRequest and RenderRequest, so a new field needs
nothing here; the recordings of a dialogue's turns are files, too.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from app.jobs.store import FileStore
from app.render.knobs import settings
from app.render.request import MotionRequest, RenderRequest
from app.render.turns import read_turns, recordings_in
from weights.errors import InputError

_CLASSES: dict[str, type[MotionRequest]] = {"motion": MotionRequest, "video": RenderRequest}
_FILE = "$file"


@cache
def file_fields(kind: str = "video") -> tuple[str, ...]:
    """The fields of a "video" or "motion" request that name a file."""
    return tuple(setting.name for setting in settings(_CLASSES[kind]) if setting.is_file)


def to_record(request: MotionRequest, store: FileStore, owner: str) -> tuple[str, list[str]]:
    """The request as JSON, and the ids of its files.

    Raises InputError for a file that is not the owner's in the store, or a value that is no JSON.
    """
    values, files, names = {}, [], file_fields()
    for field in dataclasses.fields(request):
        value = getattr(request, field.name)
        if field.name in names and value is not None:
            if not isinstance(value, str | os.PathLike):
                raise InputError(f"{field.name} of a job must be a file in the store")
            files.append(store.id_of(Path(value), owner))
            value = {_FILE: files[-1]}
        if field.name == "turns":
            for row in (value := [_own(row) for row in value or ()] or None) or ():
                if isinstance(row, dict) and isinstance(row.get("audio"), str | os.PathLike):
                    files.append(store.id_of(Path(row["audio"]), owner))
                    row["audio"] = {_FILE: files[-1]}
        values[field.name] = value
    try:
        return json.dumps(values, allow_nan=False), files
    except (TypeError, ValueError) as error:
        raise InputError(f"a job takes plain values only: {error}") from error


def from_record(kind: str, record: str, store: FileStore, owner: str) -> MotionRequest:
    """The request again. Raises NotFoundError for files that are gone."""
    values: dict[str, Any] = json.loads(record)
    for name, value in values.items():
        if isinstance(value, dict) and _FILE in value:
            values[name] = store.get(value[_FILE], owner).path
        else:
            values[name] = frozen(value)
    for row in _recorded(values):
        row["audio"] = str(store.get(row["audio"][_FILE], owner).path)
    return _CLASSES[kind](**values)


def files_in(record: str) -> list[str]:
    """The ids of the files in a record."""
    values = json.loads(record)
    whole = [value for value in values.values() if isinstance(value, dict) and _FILE in value]
    return [file[_FILE] for file in (*whole, *(row["audio"] for row in _recorded(values)))]


def _own(row: object) -> Any:
    return dict(row) if isinstance(row, Mapping) else row


def _recorded(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The turns of a record that are recordings."""
    rows = [row for row in values.get("turns") or () if isinstance(row, dict)]
    return [row for row in rows if isinstance(row.get("audio"), dict)]


def frozen(value: object) -> Any:
    """A JSON value with tuples in place of lists."""
    return tuple(frozen(item) for item in value) if isinstance(value, list) else value


def hide_paths(message: str, request: MotionRequest | None) -> str:
    """A message with the names of fields in place of the server's paths."""
    for name in file_fields():
        value = getattr(request, name, None)
        if isinstance(value, str | os.PathLike):
            message = message.replace(os.fspath(value), name)
    for path in recordings_in(read_turns(getattr(request, "turns", None) or ())).values():
        message = message.replace(str(path), "its recording")
    return message
