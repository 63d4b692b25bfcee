"""Files of visitors: uploads and results under random names, each with an owner and an end.

Whoever asks gives an id and says who they are; a path never comes in and never goes out. A file
that belongs to somebody else is not there.
"""

import contextlib
import os
import re
import secrets
import shutil
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from app.intake.inspection import Kind
from app.intake.limits import Limits
from app.intake.sandbox import shared_sandbox
from app.intake.values import SandboxReader
from app.jobs.database import Database
from weights.errors import (
    FullError,
    InputError,
    LimitError,
    NotFoundError,
    OutputError,
    VisavisError,
)

_BLOCK = 1 << 20
_ID = re.compile(r"[A-Za-z0-9_-]{22}")


@runtime_checkable
class Upload(Protocol):
    """The content of a file that comes in."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, /) -> int: ...


@dataclass(frozen=True)
class StoredFile:
    """A file of somebody's: `path` is for the server alone; `size` in bytes."""

    id: str
    kind: str
    path: Path
    size: int


class FileStore:
    """Files in the folder of a Database; safe for many threads."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database, self._limits = database, limits
        self.folder = database.subfolder("files")
        self._drop_strangers()

    def add(self, owner: str, source: Upload, kinds: tuple[Kind, ...], name: str) -> StoredFile:
        """Keep an upload, if its content is one of `kinds`; `name` is what errors call it.

        Raises LimitError for one that is too large or goes beyond the owner's quota, FullError
        where there is no room for anybody's, MediaError or InputError for other content.
        """
        self.require_room()
        free = self._limits.quota_bytes - self.used(owner)
        identity = secrets.token_urlsafe(16)
        part = self.folder / f"{identity}.part"
        try:
            size = self._copy(source, part, free, name)
            try:
                reader = SandboxReader(shared_sandbox())
                kind, suffix = reader.inspect(part, kinds, self._limits)
            except InputError as error:
                said = str(error).replace(str(part), "it")  # the server's path is its own
                raise type(error)(f"{name} cannot be used: {said}") from error
            return self._keep(owner, identity, kind, suffix, part, size)
        finally:
            part.unlink(missing_ok=True)

    def add_result(self, owner: str, path: Path, kind: str, seconds: float) -> StoredFile:
        """Keep a file that the server made, for so many seconds; it is moved away from `path`.

        Raises FullError; the file stays where it was then, as after UnavailableError.
        """
        size, identity = path.stat().st_size, secrets.token_urlsafe(16)
        return self._keep(owner, identity, kind, path.suffix, path, size, time.time() + seconds)

    def _keep(
        self,
        owner: str,
        identity: str,
        kind: str,
        suffix: str,
        source: Path,
        size: int,
        expires: float | None = None,
    ) -> StoredFile:
        now = time.time()
        expires = expires or now + self._limits.expiry_s
        path = self.folder / f"{identity}{suffix}"
        try:
            with self._database.transaction() as connection:
                self._make_room(connection, size)
                connection.execute(
                    "insert into files values (?, ?, ?, ?, ?, ?, ?)",
                    (identity, owner, kind, suffix, size, now, expires),
                )
                os.replace(source, path)
        except OSError as error:
            raise OutputError(f"cannot keep a file: {error.strerror}") from error
        except VisavisError:
            if path.exists():  # the last step of the transaction went wrong
                os.replace(path, source)
            raise
        return StoredFile(identity, kind, path, size)

    def require_room(self, beside: int = 0) -> None:
        """Raises FullError when nobody's file may be added now, UnavailableError. `beside` are
        bytes that are kept for visitors elsewhere.
        """
        free = shutil.disk_usage(self.folder).free
        if free < self._limits.min_free_bytes:
            raise FullError(
                f"the server's disk has {free / 1e6:.0f} MB left; nothing is taken until it has "
                f"{self._limits.min_free_bytes / 1e6:g} MB"
            )
        bytes_, files = self._total()
        if bytes_ + beside >= self._limits.total_bytes or files >= self._limits.max_files:
            with self._database.transaction() as connection:
                self._make_room(connection, beside + 1)

    def _total(self) -> tuple[int, int]:
        """Bytes and files of all owners."""
        row = self._database.row("select coalesce(sum(size), 0), count(*) from files")
        return (0, 0) if row is None else (int(row[0]), int(row[1]))

    def _make_room(self, connection: sqlite3.Connection, size: int) -> None:
        """Remove what is past its time, the oldest first, until `size` bytes more fit in. Raises
        FullError when they do not.
        """
        bytes_, files = self._total()
        most = self._limits
        expired = iter(
            connection.execute(
                "select id, suffix, size from files where expires <= ? order by expires",
                (time.time(),),
            ).fetchall()
        )
        while bytes_ + size > most.total_bytes or files + 1 > most.max_files:
            row = next(expired, None)
            if row is None:
                raise FullError(
                    f"the server keeps {files} files of {bytes_ / 1e6:.0f} MB for everybody, at "
                    f"most {most.max_files} of {most.total_bytes / 1e6:.0f} MB; try again when "
                    "some are past their time"
                )
            (self.folder / f"{row['id']}{row['suffix']}").unlink(missing_ok=True)
            connection.execute("delete from files where id = ?", (row["id"],))
            bytes_, files = bytes_ - row["size"], files - 1

    def get(self, identity: str, owner: str) -> StoredFile:
        """Raises NotFoundError for a file that is not there, not theirs or past its time."""
        row = None
        if _ID.fullmatch(identity):
            row = self._database.row(
                "select * from files where id = ? and owner = ? and expires > ?",
                *(identity, owner, time.time()),
            )
        if row is None:
            raise NotFoundError("there is no such file")
        path = self.folder / f"{row['id']}{row['suffix']}"
        return StoredFile(row["id"], row["kind"], path, row["size"])

    def id_of(self, path: Path, owner: str) -> str:
        """The id of a stored file by its path; raises InputError for any other path."""
        if path.parent == self.folder:
            with contextlib.suppress(NotFoundError):
                return self.get(path.name.partition(".")[0], owner).id
        raise InputError("a job's files must be in the store; add them first")

    def hold(self, identities: list[str], seconds: float) -> None:
        """Keep files for at least so many seconds from now."""
        for identity in identities:
            self._database.rows(
                "update files set expires = max(expires, ?) where id = ?",
                *(time.time() + seconds, identity),
            )

    def remove(self, identity: str, owner: str) -> None:
        """Remove a file; harmless when it is gone already."""
        with contextlib.suppress(NotFoundError):
            found = self.get(identity, owner)
            found.path.unlink(missing_ok=True)
            self._database.rows("delete from files where id = ?", identity)

    def used(self, owner: str) -> int:
        """Bytes that an owner's files take."""
        row = self._database.row(
            "select coalesce(sum(size), 0) as bytes from files where owner = ?", owner
        )
        return 0 if row is None else int(row["bytes"])

    def sweep(self) -> int:
        """Remove what is past its time; how many files that were."""
        rows = self._database.rows("select * from files where expires <= ?", time.time())
        for row in rows:
            (self.folder / f"{row['id']}{row['suffix']}").unlink(missing_ok=True)
            self._database.rows("delete from files where id = ?", row["id"])
        return len(rows)

    def _copy(self, source: Upload, path: Path, free: int, name: str) -> int:
        size, most = 0, self._limits.max_upload_bytes
        try:
            with path.open("xb") as file:
                path.chmod(0o600)
                while block := source.read(_BLOCK):
                    size += len(block)
                    if size > most:
                        raise LimitError(
                            f"{name} is larger than {most / 1e6:g} MB, the most that is taken"
                        )
                    if size > free:
                        raise LimitError(
                            f"your files would take more than {self._limits.quota_bytes / 1e6:g} "
                            "MB; delete results that you no longer need"
                        )
                    file.write(block)
        except OSError as error:
            raise OutputError(f"cannot keep {name}: {error.strerror}") from error
        return size

    def _drop_strangers(self) -> None:
        """Remove what a killed server left half written."""
        known = {f"{r['id']}{r['suffix']}" for r in self._database.rows("select * from files")}
        for path in self.folder.iterdir():
            if path.name not in known:
                path.unlink(missing_ok=True)
