"""Opening a SQLite file of ours: what is wrong with it becomes a sentence that says what to do."""

import shlex
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from weights.errors import OutputError

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_OUTSIDE = (
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN),
    *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM),
)


@dataclass(frozen=True)
class SqliteFile:
    """A file, what is in it and what to call it: `name` in sentences, `option` puts it elsewhere.

    `version` is kept in the file; one of another version is refused.
    """

    path: Path
    tables: str
    version: int
    name: str
    option: str

    def open(self, wait_s: float) -> sqlite3.Connection:
        """The file, checked, with a write-ahead log: a killed process loses nothing committed.

        `wait_s` is how long another program's lock is waited for. Raises OutputError.
        """
        if self.path.is_dir():
            raise OutputError(f"{self._it} is a folder; {self._away()}")
        connection = None
        try:
            connection = sqlite3.connect(
                self.path, check_same_thread=False, isolation_level=None, timeout=wait_s
            )
            self._prepare(connection)
        except (sqlite3.Error, OutputError) as error:
            if connection is not None:
                connection.close()
            if isinstance(error, OutputError):
                raise
            raise OutputError(self.explain(error)) from error
        return connection

    def explain(self, error: sqlite3.Error) -> str:
        """One sentence: what SQLite found, and what to do about it."""
        if is_locked(error):
            return f"{self._it} is locked by another program; close that and try again"
        if is_damage(error):
            return f"{self._it} is damaged ({error}); {self._away()}"
        return (
            f"{self._it} cannot be used ({error}); make room on the disk and give this user the "
            f"right to write there, or use another {self.option}"
        )

    @property
    def _it(self) -> str:
        return f"{self.name} {self.path}"

    def _away(self) -> str:
        path = shlex.quote(str(self.path))
        spare = shlex.quote(f"{self.path}.damaged")
        beside = " ".join(shlex.quote(f"{self.path}{end}") for end in ("-wal", "-shm"))
        return (
            f"what it knew is lost; to begin with a new one: mv {path} {spare}; rm -f {beside}; "
            f"or use another {self.option}"
        )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        found = connection.execute("pragma user_version").fetchone()[0]
        if found not in (0, self.version):  # 0: it is new, or from before versions were kept
            raise OutputError(
                f"got {self._it} of version {found}; wanted version {self.version}, the one that "
                f"this Visavis knows; {self._away()}"
            )
        said = connection.execute("pragma quick_check(1)").fetchone()[0]
        if said != "ok":
            raise OutputError(f"{self._it} is damaged ({said.strip()}); {self._away()}")
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        try:
            connection.executescript(self.tables)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            raise OutputError(f"{self._it} is another program's ({error}); {self._away()}") from (
                error
            )
        if missing := _columns(self.tables) - _columns_of(connection):
            raise OutputError(
                f"{self._it} is another program's (it has no {min(missing)}); {self._away()}"
            )
        connection.execute(f"pragma user_version = {self.version}")


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another program holds the file: it may let go."""
    return _code(error) in _LOCKED


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file's content is at fault."""
    return _code(error) in _DAMAGED


def is_outside(error: sqlite3.Error) -> bool:
    """Whether the disk or its rights are at fault: whoever runs the server may mend that."""
    return _code(error) in _OUTSIDE


def _code(error: sqlite3.Error) -> int:
    """SQLite's code without its details; -1 for the module's own errors."""
    code = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else code & 0xFF


def _columns(tables: str) -> set[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(tables)
        return _columns_of(connection)


def _columns_of(connection: sqlite3.Connection) -> set[str]:
    """All columns as table.column."""
    found = connection.execute(
        "select m.name || '.' || c.name from sqlite_master m, pragma_table_info(m.name) c "
        "where m.type = 'table'"
    )
    return {row[0] for row in found}
