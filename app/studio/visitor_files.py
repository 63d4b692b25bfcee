"""Visitors' files by handle: what somebody uploaded and what was made for them, for them alone.

A handle is a random word and a name. It is the only way to a file: no path of the server comes from
a visitor, and none goes to one. A handle works for the owner (the browser, see the API's guard) who
uploaded or was given it; an upload belongs to the first page that uses it and to no other.
"""

import contextlib
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from app.intake.allowance import require_file
from app.intake.inspection import Kind
from app.intake.limits import Limits
from weights.errors import InputError, LimitError, NotFoundError

_UNFIT = re.compile(r"[^\w.()\- ]")
_LONGEST_NAME, _LONGEST_SUFFIX = 50, 10


@dataclass(eq=False)
class _Held:
    """One file. Without an `owner` it is everybody's; `key` is its page, once it has one;
    `folder` is removed with it. `checked` are the kinds that it was found to be one of.
    """

    path: Path
    owner: str | None
    key: str | None
    since: float
    size: int = 0
    folder: Path | None = None
    checked: tuple[Kind, ...] = ()


class VisitorFiles:
    """All handles of one server, whose uploads lie in `folder`. Safe for many threads."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._held: dict[str, _Held] = {}
        self._shown: dict[tuple[Path, str | None], str] = {}
        self._lock = threading.Lock()

    def upload_folder(self) -> Path:
        """A fresh folder for one upload; `take` it or remove it."""
        folder = self._folder / secrets.token_urlsafe(24)
        folder.mkdir(parents=True, mode=0o700)
        return folder

    def take(self, folder: Path, owner: str) -> list[str]:
        """The handles of what was uploaded into `folder`, in order of their names' numbers: each
        file lies in a folder of its own, numbered from 0.

        Raises LimitError, and removes the files, when the owner's files would be too many bytes.
        """
        paths = [next(inner.iterdir()) for inner in sorted(folder.iterdir(), key=_number)]
        sizes = [path.stat().st_size for path in paths]
        with self._lock:
            most = self._limits.quota_bytes
            if self.used(owner) + sum(sizes) > most:
                shutil.rmtree(folder, ignore_errors=True)
                raise LimitError(
                    f"your files would take more than {most / 1e6:g} MB, the most that is kept "
                    "of one visitor; leave the page open for a while, or take smaller ones"
                )
            now, handles = time.monotonic(), []
            for path, size in zip(paths, sizes, strict=True):
                handles.append(_handle(path.name))
                self._held[handles[-1]] = _Held(path, owner, None, now, size, path.parent)
        return handles

    def show(self, path: Path, owner: str, key: str, folder: Path) -> str:
        """The handle of a file that was made for a page in its `folder`, or of a public one."""
        known = self._shown.get((path, None))
        if known is not None:
            return known
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError("a file that is not the visitor's was to be shown")
        return self._show(path, owner, key)

    def publish(self, path: Path) -> str:
        """The handle of a file that everybody may see and use."""
        return self._show(path, None, None)

    def public_handle(self, path: Path) -> str:
        """The handle of a published file; raises KeyError for any other."""
        return self._shown[path, None]

    def claim(self, handle: object, owner: str, key: str) -> Path:
        """The file behind a handle, which from now on is this page's.

        Raises NotFoundError for anything that is no handle of theirs: a path, an address, the
        handle of somebody else's file, one that is gone.
        """
        with self._lock:
            held = self._held.get(handle) if isinstance(handle, str) else None
            theirs = held is not None and held.owner in (None, owner)
            if held is None or not theirs or (held.owner and held.key not in (None, key)):
                raise NotFoundError(
                    "that is no file that you have uploaded here; give the file again"
                )
            if held.owner is not None:
                held.key = key
            return held.path

    def find(self, handle: str, owner: str) -> Path:
        """The file behind a handle, for showing it to its owner. Raises NotFoundError."""
        held = self._held.get(handle)
        if held is None or held.owner not in (None, owner) or not held.path.is_file():
            raise NotFoundError("there is no such file")
        return held.path

    def require(self, path: Path, wanted: tuple[Kind, ...]) -> None:
        """Raise an InputError for a claimed file that is not `wanted` or too large; see
        app.intake.allowance. A file that passed is not read again; public ones are known to be
        right.
        """
        held = next((h for h in list(self._held.values()) if h.path == path), None)
        if held is None:
            raise InputError(f"{path.name} is not here any more; give the file again")
        if held.owner is None or held.checked == wanted:
            return
        require_file(path, wanted, self._limits)
        held.checked = wanted

    def forget(self, key: str) -> None:
        """Remove what belongs to a page."""
        self._drop(lambda held: held.key == key)

    def forget_below(self, folder: Path) -> None:
        """No handle leads into a folder any more."""
        self._drop(lambda held: held.path.is_relative_to(folder))

    def sweep(self, now: float, busy: Iterable[str]) -> None:
        """Remove uploads past their time, but of pages that something is made for."""
        kept, most = set(busy), self._limits.expiry_s
        self._drop(
            lambda held: (
                held.folder is not None and now - held.since > most and held.key not in kept
            )
        )

    def used(self, owner: str) -> int:
        """Bytes of an owner's uploads."""
        return sum(held.size for held in list(self._held.values()) if held.owner == owner)

    def _show(self, path: Path, owner: str | None, key: str | None) -> str:
        with self._lock:
            handle = self._shown.get((path, key))
            if handle is None:
                handle = self._shown[path, key] = _handle(path.name)
                self._held[handle] = _Held(path, owner, key, time.monotonic())
            return handle

    def _drop(self, which: Callable[[_Held], bool]) -> None:
        with self._lock:
            gone = {
                handle: held
                for handle, held in self._held.items()
                if held.owner is not None and which(held)
            }
            for handle, held in gone.items():
                del self._held[handle]
                self._shown.pop((held.path, held.key), None)
        for held in gone.values():
            if held.folder is not None:
                shutil.rmtree(held.folder, ignore_errors=True)
                with contextlib.suppress(OSError):  # others of the same upload are still there
                    held.folder.parent.rmdir()


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


def _number(folder: Path) -> int:
    return int(folder.name)


def _handle(name: str) -> str:
    return f"{secrets.token_urlsafe(24)}/{_UNFIT.sub('_', name)}"
