"""The ledger of a batch: what became of every item, in one SQLite file in WAL mode.

Every change is one transaction, so the file is right whenever the process ends. Only one process
works on a ledger: a lock on a file beside it goes with its owner, whatever happens to that.
Times of day are for reading; nothing is decided by them.
"""

import contextlib
import fcntl
import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app.batch.manifest import Item
from app.jobs.sqlite_file import SqliteFile
from weights.errors import OutputError, StateError

State = Literal["pending", "running", "done", "failed"]
STATES: tuple[State, ...] = ("pending", "running", "done", "failed")

_VERSION = 1
_WAIT_S = 30.0
"""How long another program's lock on the file is waited for."""
_TABLES = """
CREATE TABLE IF NOT EXISTS items (
    output TEXT PRIMARY KEY,     -- below the batch's folder
    row INTEGER,                 -- NULL: no longer in the manifest
    key TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    seconds REAL,                -- that the last attempt took
    frames INTEGER, video_seconds REAL,
    error TEXT,
    sha256 TEXT, bytes INTEGER,  -- of the video
    inputs TEXT NOT NULL,        -- JSON: address -> hash
    worker TEXT,
    finished TEXT,               -- time of day, UTC
    result TEXT,                 -- JSON: what RenderResult says
    thumbnail BLOB               -- JPEG
);
CREATE TABLE IF NOT EXISTS files (
    address TEXT PRIMARY KEY, size INTEGER, token TEXT, hash TEXT
);
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, started TEXT, ended TEXT, engine TEXT, workers INTEGER, seconds REAL,
    done INTEGER, failed INTEGER, outcome TEXT
);
"""


@dataclass(frozen=True)
class Entry:
    """What the ledger knows of one item."""

    output: str
    row: int | None
    key: str
    state: State
    attempts: int
    seconds: float | None
    frames: int | None
    video_seconds: float | None
    error: str | None
    sha256: str | None
    bytes: int | None
    inputs: dict[str, str]
    worker: str | None
    finished: str | None


@dataclass(frozen=True)
class Made:
    """A finished video: the plain values of its RenderResult, hash and size of the file."""

    result: dict[str, Any]
    sha256: str
    size: int
    thumbnail: bytes | None


class Ledger:
    """Open with `with`. Raises StateError while another process works on it, OutputError when it
    is damaged, another program's or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = SqliteFile(path, _TABLES, _VERSION, "the ledger", "--ledger")
        self._lock: int | None = None
        self._run: int | None = None
        self._states: dict[str, str] | None = None  # output to state: counting rows takes too long
        self._counts: Counter[str] = Counter()

    def __enter__(self) -> "Ledger":
        with self._reported():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path.with_name(self.path.name + ".lock"), _LOCK_FLAGS, 0o666)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StateError(
                f"another batch is at work on {self.path}: wait for it, or end it"
            ) from error
        try:
            self._db = self._file.open(_WAIT_S)
        except OutputError:
            os.close(self._lock)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        if self._lock is not None:
            os.close(self._lock)

    # -- what there is to do ---------------------------------------------------------------

    def plan(
        self,
        items: Iterable[tuple[Item, str, dict[str, str]]],
        is_there: dict[str, int | None],
        keep_failed: bool,
    ) -> list[Item]:
        """Take in a manifest, as (item, key, hashes of its inputs); returns what is to be made.

        An item is done when it was made with this key and its video is as long as it was then:
        `is_there` says how many bytes each output has now. Others begin anew; a failed one too,
        unless `keep_failed`.
        """
        wanted: list[Item] = []
        self._states = None
        with self._changed():
            self._db.execute("UPDATE items SET row = NULL")
            for item, key, inputs in items:
                held: Any = self._db.execute(
                    "SELECT key, state, bytes FROM items WHERE output = ?", (item.output,)
                ).fetchone()
                old, was, size = held or (None, None, None)
                same = old == key
                if same and was == "done" and size == is_there.get(item.output):
                    state = "done"
                elif same and was == "failed" and keep_failed:
                    state = "failed"
                else:
                    state = "pending"
                    wanted.append(item)
                if same:
                    self._db.execute(
                        "UPDATE items SET row = ?, state = ?, inputs = ? WHERE output = ?",
                        (item.row, state, json.dumps(inputs), item.output),
                    )
                    continue
                self._db.execute(
                    "INSERT OR REPLACE INTO items (output, row, key, state, inputs) "
                    "VALUES (?, ?, ?, 'pending', ?)",
                    (item.output, item.row, key, json.dumps(inputs)),
                )
        return wanted

    def known_hash(self, address: str, size: int, token: str) -> str | None:
        """The hash of a file that has not changed since it was remembered."""
        found = self._db.execute(
            "SELECT hash FROM files WHERE address = ? AND size = ? AND token = ?",
            (address, size, token),
        ).fetchone()
        return found and found[0]

    def remember_hash(self, address: str, size: int, token: str, value: str) -> None:
        """Keep the hash of a file for the next run."""
        with self._changed():
            self._db.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (address, size, token, value)
            )

    # -- what happens ----------------------------------------------------------------------

    def begin_run(self, engine: str, workers: int) -> int:
        """Note that a run starts; its number."""
        with self._changed():
            cursor = self._db.execute(
                "INSERT INTO runs (started, engine, workers) VALUES (?, ?, ?)",
                (_now(), engine, workers),
            )
            self._run = cursor.lastrowid
        return int(self._run or 0)

    def end_run(self, seconds: float, done: int, failed: int, outcome: str) -> None:
        """Note how the run ended."""
        with self._changed():
            self._db.execute(
                "UPDATE runs SET ended = ?, seconds = ?, done = ?, failed = ?, outcome = ? "
                "WHERE id = ?",
                (_now(), seconds, done, failed, outcome, self._run),
            )

    def started(self, output: str) -> None:
        """An attempt begins."""
        with self._changed():
            self._db.execute(
                "UPDATE items SET state = 'running', attempts = attempts + 1, error = NULL "
                "WHERE output = ?",
                (output,),
            )
        self._move(output, "running")

    def done(self, output: str, made: Made, worker: str, seconds: float) -> None:
        """The video is under its name."""
        result = made.result
        with self._changed():
            self._db.execute(
                "UPDATE items SET state = 'done', error = NULL, seconds = ?, frames = ?, "
                "video_seconds = ?, sha256 = ?, bytes = ?, worker = ?, finished = ?, result = ?, "
                "thumbnail = ? WHERE output = ?",
                (
                    seconds,
                    result["frames"],
                    result["seconds"],
                    made.sha256,
                    made.size,
                    worker,
                    _now(),
                    json.dumps(result),
                    made.thumbnail,
                    output,
                ),
            )
        self._move(output, "done")

    def not_done(
        self, output: str, state: Literal["pending", "failed"], error: str | None, worker: str
    ) -> None:
        """An attempt came to nothing: the item failed, or will be tried again."""
        with self._changed():
            self._db.execute(
                "UPDATE items SET state = ?, error = ?, worker = ?, finished = ? WHERE output = ?",
                (state, error, worker, _now(), output),
            )
        self._move(output, state)

    def interrupted(self) -> None:
        """Whatever is running is not any more."""
        self._states = None
        with self._changed():
            self._db.execute("UPDATE items SET state = 'pending' WHERE state = 'running'")

    # -- what became of it -----------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """How many items of the manifest are in each state."""
        self._load_states()
        return {state: self._counts[state] for state in STATES}

    def _load_states(self) -> dict[str, str]:
        """The state of every item of the manifest."""
        if self._states is None:
            found = self._db.execute("SELECT output, state FROM items WHERE row IS NOT NULL")
            self._states = dict(found.fetchall())
            self._counts = Counter(self._states.values())
        return self._states

    def _move(self, output: str, state: str) -> None:
        """Keep count of a state that has been written."""
        states = self._load_states()
        if output in states:
            self._counts[states[output]] -= 1
            self._counts[state] += 1
            states[output] = state

    def entries(self) -> Iterator[Entry]:
        """The items of the manifest in the order of its rows."""
        names = ", ".join(Entry.__dataclass_fields__)
        for values in self._db.execute(
            f"SELECT {names} FROM items WHERE row IS NOT NULL ORDER BY row"
        ):
            entry = dict(zip(Entry.__dataclass_fields__, values, strict=True))
            yield Entry(**{**entry, "inputs": json.loads(entry["inputs"])})

    def thumbnail(self, output: str) -> bytes | None:
        """JPEG of a finished video."""
        found = self._db.execute(
            "SELECT thumbnail FROM items WHERE output = ?", (output,)
        ).fetchone()
        return found and found[0]

    def runs(self) -> list[dict[str, Any]]:
        """All runs so far, the oldest first."""
        cursor = self._db.execute("SELECT * FROM runs ORDER BY id")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, values, strict=True)) for values in cursor]

    def snapshot(self, path: Path) -> None:
        """A copy of the ledger as it is now. Raises OutputError."""
        with self._reported(), contextlib.closing(sqlite3.connect(path)) as copy:
            self._db.backup(copy)

    @contextlib.contextmanager
    def _changed(self) -> Iterator[None]:
        """One transaction: all of it, or nothing."""
        with self._reported():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # it may have been rolled back already
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """What the file system and SQLite say as an OutputError."""
        try:
            yield
        except sqlite3.Error as error:
            raise OutputError(self._file.explain(error)) from error
        except OSError as error:
            raise OutputError(
                f"the ledger {self.path} cannot be used: {error}; --ledger puts it elsewhere"
            ) from error


_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
