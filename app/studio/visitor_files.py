"""Visitors' files by handle: what somebody uploaded and what was made for them, for them alone.

A handle is the id of a file in the store, or of the folder that it is in, and a name. It is the
only way to a file: no path of the server comes from a visitor, and none goes to one. A handle works
for the owner (the browser, see the API's guard) who uploaded or was given it; an upload belongs to
the first page that uses it and to no other. Some files are published, and everybody's.
"""

import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from app.intake.inspection import Kind
from app.jobs.store import FileStore, StoredFile, Upload
from weights.errors import NotFoundError, VisavisError

_UNFIT = re.compile(r"[^\w.()\- ]")
_LONGEST_NAME, _LONGEST_SUFFIX = 50, 10


class VisitorFiles:
    """All handles of one server. Safe for many threads."""

    def __init__(self, store: FileStore) -> None:
        self._store = store
        self._public: dict[Path, str] = {}

    def take(self, uploads: Iterable[tuple[Upload, str | None]], owner: str) -> list[str]:
        """Keep contents with the names that a visitor gave them, all or none; their handles.
        Raises as FileStore.add does, but for the content, which is looked at by `require`.
        """
        kept: list[StoredFile] = []
        try:
            for source, name in uploads:
                kept.append(self._store.add_unread(owner, source, upload_name(name)))
        except VisavisError:
            for file in kept:
                self._store.remove(file.id, owner)
            raise
        return [_handle(file.id, file.path.name) for file in kept]

    def show(self, path: Path, owner: str) -> str:
        """The handle of a file that was made in a folder of the owner's, or of a public one."""
        if path in self._public:
            return self._public[path]
        handle = _handle(self._store.key_of(path), path.name)
        if self.find(handle, owner) != path:
            raise ValueError("a file that is not the visitor's was to be shown")
        return handle

    def publish(self, path: Path) -> str:
        """The handle of a file that everybody may see and use."""
        return self._public.setdefault(path, _handle(secrets.token_urlsafe(24), path.name))

    def public_handle(self, path: Path) -> str:
        """The handle of a published file; raises KeyError for any other."""
        return self._public[path]

    def claim(self, handle: object, owner: str, page: str) -> Path:
        """The file behind a handle, which from now on is this page's.

        Raises NotFoundError for anything that is no handle of theirs: a path, an address, the
        handle of somebody else's file, one that is gone.
        """
        text = handle if isinstance(handle, str) else ""
        identity, _, name = text.partition("/")
        return self._published(text) or _file_in(self._store.claim(identity, owner, page), name)

    def find(self, handle: str, owner: str) -> Path:
        """The file behind a handle, for showing it to its owner. Raises NotFoundError."""
        identity, _, name = handle.partition("/")
        return self._published(handle) or _file_in(self._store.get(identity, owner), name)

    def require(self, path: Path, wanted: tuple[Kind, ...]) -> None:
        """As FileStore.require; published files are known to be right."""
        if path not in self._public:
            self._store.require(path, wanted)

    def _published(self, handle: str) -> Path | None:
        return next((path for path, known in self._public.items() if known == handle), None)


def upload_name(given: str | None) -> str:
    """The name under which an uploaded file is kept: the last part of its own, so that manifests
    and messages can name it; what a terminal or a file system would stumble over goes.
    """
    last = re.split(r"[/\\]", given or "")[-1]
    name = "".join(letter for letter in last if letter.isprintable())
    name = name.strip().lstrip(".")
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = suffix, ""
    return f"{stem[:_LONGEST_NAME] or 'file'}{dot}{suffix[:_LONGEST_SUFFIX]}"


def _handle(identity: str, name: str) -> str:
    return f"{identity}/{_UNFIT.sub('_', name)}"


def _file_in(found: StoredFile, name: str) -> Path:
    """What a handle's name means in what its id leads to: an upload, or a folder with files."""
    files = [found.path] if found.path.is_file() else found.path.iterdir()
    for path in files:
        if path.is_file() and _UNFIT.sub("_", path.name) == name:
            return path
    raise NotFoundError("there is no such file")
