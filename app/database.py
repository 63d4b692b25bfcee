"""What a server must not forget: jobs and files in one SQLite database, in a folder of its own."""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weights.errors import OutputError, StateError

_SCHEMA = """
create table if not exists files (
    id text primary key, owner text not null, kind text not null, suffix text not null,
    size integer not null, created real not null, expires real
);
create index if not exists files_of on files (owner);
create table if not exists jobs (
    id text primary key, owner text not null, kind text not null, request text not null,
    state text not null, created real not null, started real, finished real,
    restarts integer not null default 0, notices text not null default '[]',
    result text, error text, output text, expires real,
    idempotency_key text, digest text
);
create unique index if not exists once on jobs (owner, idempotency_key)
    where idempotency_key is not null;
create index if not exists waiting on jobs (state, created);
create table if not exists secrets (name text primary key, value text not null);
create table if not exists live (
    id text primary key, owner text not null, options text not null, portrait text,
    state text, updated real not null
);
"""


class Database:
    """One connection, used by one thread at a time; `folder` is locked until `close`.

    Raises OutputError for a folder that cannot be written, StateError while another server uses it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock_file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise OutputError(f"cannot use the folder {folder}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock_file)
            raise StateError(
                f"another server uses {folder}; stop it, or give this one another --data-dir"
            ) from error
        path = folder / "visavis.sqlite3"
        path.touch(mode=0o600)
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._mutex = threading.RLock()
        # With a write-ahead log a killed process loses nothing that was committed.
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = normal")
        self._connection.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block's statements or none of them."""
        with self._mutex:
            self._connection.execute("begin immediate")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("rollback")
                raise
            self._connection.execute("commit")

    def rows(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """Run one statement; what it returns."""
        with self._mutex:
            return self._connection.execute(statement, values).fetchall()

    def row(self, statement: str, *values: Any) -> sqlite3.Row | None:
        """As `rows`, the first one."""
        return next(iter(self.rows(statement, *values)), None)

    def secret(self, name: str, fresh: str) -> str:
        """A value that stays the same over restarts: the stored one, `fresh` the first time."""
        self.rows("insert or ignore into secrets values (?, ?)", name, fresh)
        found = self.row("select value from secrets where name = ?", name)
        assert found is not None
        return str(found["value"])

    def close(self) -> None:
        """Let the folder go."""
        with self._mutex:
            self._connection.close()
            os.close(self._lock_file)
