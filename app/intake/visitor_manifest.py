"""The rows of a visitor's manifest, JSON Lines or CSV, as plain words and values."""

import csv
import io
import json
from pathlib import Path
from typing import Any, NoReturn

from weights.errors import InputError, LimitError

_MOST_BYTES = 2 * 10**6


def read_rows(manifest: Path) -> list[dict[str, Any]]:
    """Every row of a `.csv`, without its empty cells, or of any other file as JSON Lines.

    Raises LimitError for more than 2 MB, InputError for anything else.
    """
    size = manifest.stat().st_size
    if size > _MOST_BYTES:
        raise LimitError(
            f"{manifest.name} has {size / 1e6:.1f} MB; at most {_MOST_BYTES / 1e6:g} MB are taken"
        )
    try:
        text = manifest.read_text(encoding="utf-8-sig")
        if manifest.suffix.lower() == ".csv":
            read = csv.DictReader(io.StringIO(text, newline=""), strict=True)
            rows = [{k: v for k, v in row.items() if v not in (None, "")} for row in read]
            if any(None in row for row in rows):
                raise InputError(f"{manifest.name} has a row with more values than words")
            return rows
        lines = [line for line in text.splitlines() if line.strip()]
        rows = [json.loads(line, parse_constant=_refuse) for line in lines]
    except (UnicodeDecodeError, ValueError, RecursionError, csv.Error) as error:
        raise InputError(f"{manifest.name} cannot be read as a manifest: {error}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise InputError(f"every line of {manifest.name} must be an object of words and values")
    return rows


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
