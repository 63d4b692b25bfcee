"""The log of what was made: one line of JSON each, only ever added to, without pictures or words.

It is what leads from the mark in a video whose metadata are gone back to what is known of it. When
the file is full it moves aside, and the oldest such file goes.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.provenance.authority import locked

NAME = "made.jsonl"
MOST_BYTES, KEPT = 8 * 2**20, 4
"""How large the file gets, and how many that were full are kept: some 60,000 videos."""


@dataclass(frozen=True)
class Log:
    """The log in a folder. Threads and processes may share it."""

    folder: Path

    def add(self, entry: dict[str, Any]) -> None:
        """One line, with the time. Raises OSError where it cannot be written."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = json.dumps({"time": at, **entry}, allow_nan=False).encode() + b"\n"
        with locked(self.folder):
            self._make_room(len(line))
            descriptor = os.open(
                self._file(0), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            try:
                _finish_line(descriptor, self._file(0))
                os.write(descriptor, line)
            finally:
                os.close(descriptor)

    def find(self, payload: str) -> dict[str, Any] | None:
        """The latest entry of a payload."""
        return next((e for e in self.entries() if e.get("id") == payload), None)

    def entries(self) -> Iterator[dict[str, Any]]:
        """All entries, the latest first; a line that is cut off or changed is passed over."""
        for number in range(KEPT + 1):
            try:
                lines = self._file(number).read_bytes().splitlines()
            except FileNotFoundError:
                continue
            for line in reversed(lines):
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if isinstance(entry, dict):
                    yield entry

    def _file(self, number: int) -> Path:
        return self.folder / (f"{NAME}.{number}" if number else NAME)

    def _make_room(self, more: int) -> None:
        try:
            full = self._file(0).stat().st_size + more > MOST_BYTES
        except FileNotFoundError:
            return
        if full:
            for number in range(KEPT, 0, -1):
                if self._file(number - 1).exists():
                    os.replace(self._file(number - 1), self._file(number))


def _finish_line(descriptor: int, path: Path) -> None:
    """End a line that a full disk or a killed process has cut off."""
    size = os.fstat(descriptor).st_size
    if size:
        with path.open("rb") as file:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                os.write(descriptor, b"\n")
