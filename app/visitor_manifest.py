"""The rows of a visitor's manifest, JSON Lines or CSV, as plain words and values."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from weights.errors import InputError


def read_rows(manifest: Path) -> list[dict[str, Any]]:
    """Every row of a `.csv`, without its empty cells, or of any other file as JSON Lines.

    Raises InputError for anything else.
    """
    try:
        text = manifest.read_text(encoding="utf-8-sig")
        if manifest.suffix.lower() == ".csv":
            read = csv.DictReader(io.StringIO(text, newline=""), strict=True)
            return [{k: v for k, v in row.items() if v not in (None, "")} for row in read]
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (UnicodeDecodeError, ValueError, csv.Error) as error:
        raise InputError(f"{manifest.name} cannot be read as a manifest: {error}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise InputError(f"every line of {manifest.name} must be an object of words and values")
    return rows
