"""Files of visitors: uploads and results under random names, each with an owner and an end.

Whoever asks gives an id and says who they are; a path never comes in and never goes out. A file
that belongs to somebody else is not there.

A page of the studio has files and folders here too. They go with the page, and with the server; no
file of a page for which an errand waits or runs is past its time.
"""

import contextlib
import os
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from app.intake.allowance import require_file
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
_ID = re.compile(r"[A-Za-z0-9_-]{22,32}")
_FOLDER = "folder"
_OF_BUSY_PAGE = (
    "id in (select file from pages where page in (select json_extract(request, '$.page') from jobs "
    "where kind = 'errand' and state in ('queued', 'running')))"
)
_OVER = f"expires <= ? and not {_OF_BUSY_PAGE}"


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
        with self._taken(owner, source, name) as part:
            try:
                reader = SandboxReader(shared_sandbox())
                kind, suffix = reader.inspect(part, kinds, self._limits)
            except InputError as error:
                said = str(error).replace(str(part), "it")  # the server's path is its own
                raise type(error)(f"{name} cannot be used: {said}") from error
            return self._keep(_Entry(owner, kind, suffix, part))

    def add_unread(self, owner: str, source: Upload, name: str) -> StoredFile:
        """Keep an upload of a page's under its own name, which is a bare one; `require` looks at
        its content. It belongs to the first page that says so, see `claim`. Raises as `add` does.
        """
        with self._taken(owner, source, name) as part:
            return self._keep(_Entry(owner, "", f"/{name}", part, page=""))

    def add_folder(self, owner: str, page: str) -> Path:
        """An empty folder of a page's; what is written into it counts once it is weighed.

        Raises LimitError where the owner's files are too many bytes, FullError.
        """
        return self._keep(_Entry(owner, _FOLDER, "/", page=page)).path

    def add_result(self, owner: str, path: Path, kind: str, seconds: float) -> StoredFile:
        """Keep a file that the server made, for so many seconds; it is moved away from `path`.

        Raises FullError; the file stays where it was then, as after UnavailableError.
        """
        return self._keep(_Entry(owner, kind, path.suffix, path, time.time() + seconds))

    def _keep(self, entry: "_Entry") -> StoredFile:
        now, identity = time.time(), secrets.token_urlsafe(24)
        size = 0 if entry.source is None else entry.source.stat().st_size
        expires = entry.expires or now + self._limits.expiry_s
        path = self.folder / f"{identity}{entry.suffix}"
        try:
            with self._database.transaction() as connection:
                if entry.expires is None:  # what was made for them is kept in any case
                    self.require_quota(entry.owner, size)
                self._make_room(connection, size)
                connection.execute(
                    "insert into files values (?, ?, ?, ?, ?, ?, ?)",
                    (identity, entry.owner, entry.kind, entry.suffix, size, now, expires),
                )
                if entry.page is not None:
                    connection.execute("insert into pages values (?, ?)", (identity, entry.page))
                if "/" in entry.suffix:
                    (self.folder / identity).mkdir(mode=0o700)
                if entry.source is not None:
                    os.replace(entry.source, path)
        except (OSError, VisavisError) as error:
            if entry.source is not None and path.exists():  # the transaction's end went wrong
                os.replace(path, entry.source)
            _delete(self.folder / identity)
            if isinstance(error, OSError):
                raise OutputError(f"cannot keep a file: {error.strerror}") from error
            raise
        return StoredFile(identity, entry.kind, path, size)

    def require_quota(self, owner: str, more: int = 0) -> None:
        """Raises LimitError when an owner's files, and so many bytes more, are more than are kept
        of one.
        """
        most = self._limits.quota_bytes
        if self.used(owner) + more > most:
            raise LimitError(
                f"your files would take more than {most / 1e6:g} MB, the most that is kept of one "
                "visitor; delete results that you no longer need (open the page anew)"
            )

    def require_room(self) -> None:
        """Raises FullError when nobody's file may be added now, UnavailableError."""
        free = shutil.disk_usage(self.folder).free
        if free < self._limits.min_free_bytes:
            raise FullError(
                f"the server's disk has {free / 1e6:.0f} MB left; nothing is taken until it has "
                f"{self._limits.min_free_bytes / 1e6:g} MB"
            )
        bytes_, files = self._total()
        if bytes_ >= self._limits.total_bytes or files >= self._limits.max_files:
            with self._database.transaction() as connection:
                self._make_room(connection, 1)

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
                f"select * from files where {_OVER} order by expires", (time.time(),)
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
            self._remove(row)
            bytes_, files = bytes_ - row["size"], files - 1

    def get(self, identity: str, owner: str) -> StoredFile:
        """Raises NotFoundError for a file that is not there, not theirs or past its time."""
        row = None
        if _ID.fullmatch(identity):
            row = self._database.row(
                f"select * from files where id = ? and owner = ? and not ({_OVER})",
                *(identity, owner, time.time()),
            )
        if row is None:
            raise NotFoundError("there is no such file")
        return StoredFile(row["id"], row["kind"], self._path(row), row["size"])

    def claim(self, identity: str, owner: str, page: str) -> StoredFile:
        """A file of a page's, which from now on is this one's. Raises NotFoundError for any other:
        that of another page or owner, one that is gone.
        """
        self._database.rows(
            "update pages set page = ? where file = ? and page = '' "
            "and exists (select 1 from files where id = file and owner = ?)",
            *(page, identity, owner),
        )
        if self._database.row("select 1 from pages where (file, page) = (?, ?)", identity, page):
            return self.get(identity, owner)
        raise NotFoundError("that is no file that you have uploaded here; give the file again")

    def require(self, path: Path, wanted: tuple[Kind, ...]) -> None:
        """Raise an InputError for a claimed file that is not `wanted` or too large; see
        app.intake.allowance. An upload that passed is not read again.
        """
        identity, kinds = self.key_of(path), " ".join(wanted)
        row = self._database.row("select kind from files where id = ?", identity)
        if row is None:
            raise InputError(f"{path.name} is not here any more; give the file again")
        if row["kind"] == kinds:
            return
        require_file(path, wanted, self._limits)
        if row["kind"] != _FOLDER:
            self._database.rows("update files set kind = ? where id = ?", kinds, identity)

    def key_of(self, path: Path) -> str:
        """The id of what a path leads to or into, empty for a path outside of the store."""
        inside = path.is_relative_to(self.folder)
        return path.relative_to(self.folder).parts[0] if inside else ""

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
        """Remove a file or folder; harmless when it is gone already."""
        for row in self._database.rows(
            "select * from files where id = ? and owner = ?", identity, owner
        ):
            self._remove(row)

    def remove_page(self, page: str | None = None) -> None:
        """Remove all that is a page's; without one, of all pages."""
        for row in self._database.rows(
            "select files.* from files join pages on file = id where page = ? or ? is null",
            *(page, page),
        ):
            self._remove(row)

    def used(self, owner: str) -> int:
        """Bytes that an owner's files take."""
        row = self._database.row(
            "select coalesce(sum(size), 0) as bytes from files where owner = ?", owner
        )
        return 0 if row is None else int(row["bytes"])

    def weigh(self) -> None:
        """Find out what the folders hold by now."""
        for row in self._database.rows("select * from files where kind = ?", _FOLDER):
            size = _bytes_in(self._path(row))
            if size != row["size"]:
                self._database.rows("update files set size = ? where id = ?", size, row["id"])

    def sweep(self) -> int:
        """Remove what is past its time; how many files that were."""
        rows = self._database.rows(f"select * from files where {_OVER}", time.time())
        for row in rows:
            self._remove(row)
        return len(rows)

    def _path(self, row: sqlite3.Row) -> Path:
        return self.folder / f"{row['id']}{row['suffix']}"

    def _remove(self, row: sqlite3.Row) -> None:
        path = self._path(row)
        _delete(path.parent if path.parent != self.folder else path)
        self._database.rows("delete from files where id = ?", row["id"])

    @contextmanager
    def _taken(self, owner: str, source: Upload, name: str) -> Iterator[Path]:
        """An upload as a file of its own, which goes unless it is moved away meanwhile."""
        self.require_room()
        self.require_quota(owner)
        part = self.folder / f"{secrets.token_urlsafe(16)}.part"
        try:
            self._copy(source, part, name)
            yield part
        finally:
            part.unlink(missing_ok=True)

    def _copy(self, source: Upload, path: Path, name: str) -> None:
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
                    file.write(block)
        except OSError as error:
            raise OutputError(f"cannot keep {name}: {error.strerror}") from error

    def _drop_strangers(self) -> None:
        """Remove what a killed server left half written, and what was its pages'."""
        self.remove_page()
        known = {self._path(row).name for row in self._database.rows("select * from files")}
        for path in self.folder.iterdir():
            if path.name not in known:
                _delete(path)


@dataclass(frozen=True)
class _Entry:
    """What is to be kept: `suffix` follows the id in the path, and is an ending, or a name in a
    folder of its own. `source` is moved there. What is a `page`'s goes with it.
    """

    owner: str
    kind: str
    suffix: str
    source: Path | None = None
    expires: float | None = None
    page: str | None = None


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # its frames come and go
            total += path.stat().st_size
    return total
