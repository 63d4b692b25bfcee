"""What a server must not forget: jobs and files in one SQLite database, in a folder of its own."""

import contextlib
import fcntl
import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from app.jobs.sqlite_file import SqliteFile, is_damage, is_locked, is_outside
from weights.errors import OutputError, StateError, UnavailableError, VisavisError

_SCHEMA = """
create table if not exists files (
    id text primary key, owner text not null, kind text not null, suffix text not null,
    size integer not null, created real not null, expires real
);
create index if not exists files_of on files (owner);
create index if not exists files_end on files (expires);
create table if not exists pages (file text primary key, page text not null);
create index if not exists files_of_page on pages (page);
create trigger if not exists files_go after delete on files
    begin delete from pages where file = old.id; end;
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
create table if not exists looked (id integer primary key, at real not null);
"""
_VERSION = 1
_OPEN_WAIT_S, _WAIT_S = 5.0, 2.0
"""How long another program's lock is waited for: at the start, and by one request."""
_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.25


class Database:
    """One connection, used by one thread at a time; `folder` is locked until `close`.

    Opening raises OutputError for a folder that cannot be written and a database that cannot be
    used, StateError while another server uses it. Later UnavailableError is raised while another
    program holds the database longer than a request can wait, while the disk is full, and after
    `close`; then nothing was changed, and the same may be tried again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mutex = threading.RLock()
        self._closed = False
        self._file = SqliteFile(
            folder / "visavis.sqlite3", _SCHEMA, _VERSION, "the database", "--data-dir"
        )
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock_file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise OutputError(f"cannot use the folder {folder}: {error.strerror}") from error
        try:
            self._lock()
            with contextlib.suppress(OSError):  # opening it says what is wrong
                self._file.path.touch(mode=0o600)
            self._connection = self._file.open(_OPEN_WAIT_S)
        except VisavisError:
            os.close(self._lock_file)
            raise
        self._connection.row_factory = sqlite3.Row
        # SQLite would wait with our mutex held; `_execute` waits without.
        self._connection.execute("pragma busy_timeout = 0")

    def subfolder(self, name: str) -> Path:
        """A folder in the folder, for the server alone. Raises OutputError."""
        path = self.folder / name
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot use the folder {path}: {error.strerror}") from error
        return path

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block's statements or none of them."""
        self._execute("begin immediate", (), hold=True)
        try:
            try:
                yield self._connection
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself ends it when the disk is full
                    self._connection.execute("rollback")
                raise
        except sqlite3.Error as error:
            self._tell(error)
        finally:
            self._mutex.release()

    def rows(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """Run one statement; what it returns."""
        return self._execute(statement, values)

    def insist(self, stop: threading.Event, statement: str, *values: Any) -> None:
        """As `rows`, again and again until it is done. Raises UnavailableError when `stop` is set
        and it still cannot be.
        """
        while True:
            try:
                self._execute(statement, values)
                return
            except UnavailableError:
                if stop.wait(_LONGEST_PAUSE_S):
                    raise

    def row(self, statement: str, *values: Any) -> sqlite3.Row | None:
        """As `rows`, the first one."""
        return next(iter(self.rows(statement, *values)), None)

    def secret(self, name: str, fresh: str) -> str:
        """A value that stays the same over restarts: the stored one, `fresh` the first time."""
        self.rows("insert or ignore into secrets values (?, ?)", name, fresh)
        found = self.row("select value from secrets where name = ?", name)
        assert found is not None
        return str(found["value"])

    def require_writable(self) -> None:
        """Write something. Raises what a change would raise now."""
        self.rows("insert or replace into looked values (1, ?)", time.time())

    def close(self) -> None:
        """Let the folder go."""
        with self._mutex:
            self._closed = True
            self._connection.close()
            os.close(self._lock_file)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StateError(
                f"another server uses {self.folder}; stop it, or give this one another --data-dir"
            ) from error

    def _execute(
        self, statement: str, values: tuple[Any, ...], hold: bool = False
    ) -> list[sqlite3.Row]:
        """Run a statement, again and again while another program holds the database.

        With `hold` the caller has the mutex afterwards. It is free in the pauses, so that who
        only reads need not wait.
        """
        end, pause = time.monotonic() + _WAIT_S, _PAUSE_S
        while True:
            if not self._mutex.acquire(timeout=max(0.0, end - time.monotonic())):
                raise UnavailableError("the server is busy with its database; try again", 2)
            done = False
            try:
                if self._closed:
                    raise UnavailableError("the server is stopping", 5)
                found = self._connection.execute(statement, values).fetchall()
                done = True
                return found
            except sqlite3.Error as error:
                late = time.monotonic() + pause > end
                if not is_locked(error) or late or self._connection.in_transaction:
                    self._tell(error)
            finally:
                if not (done and hold):
                    self._mutex.release()
            time.sleep(random.uniform(pause / 2, pause))
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _tell(self, error: sqlite3.Error) -> NoReturn:
        """Raise what a caller is to know; a fault of ours as it is."""
        if is_locked(error):
            raise UnavailableError(
                "another program holds the server's database; try again", 2
            ) from error
        if is_outside(error):
            raise UnavailableError(f"the server cannot write its database ({error})", 30) from error
        if is_damage(error):
            raise OutputError(self._file.explain(error)) from error
        raise error
