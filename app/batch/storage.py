"""Files on this machine and in object stores, by one kind of address: a path, or scheme://...

Whatever fsspec knows is understood (s3://, gs://, memory://, ...). A file appears under its address
only when it is complete: by rename here, by one put where a store has no half-written objects,
and by a move within the store elsewhere.
"""

import contextlib
import hashlib
import os
import posixpath
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from weights.errors import DependencyError, InputError, LimitError, MediaError, OutputError
from weights.installation import how_to_add
from weights.opening import open_regular

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_BLOCK = 1 << 20
_ANY, _WHOLE = 1 << 62, 1 << 30
_WHOLE_PUTS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})
"""Stores in which an object is there as a whole or not at all."""
_CONTENT_TAGS = ("md5Hash", "ETag", "etag", "content_md5")


def is_remote(address: str) -> bool:
    """Whether an address is not a path of this machine."""
    return "://" in address and not address.startswith("file://")


def resolve(address: str, folder: str) -> str:
    """An address as it is seen from `folder`: absolute ones and URLs stay as they are."""
    if address.startswith("file://"):
        address = address.removeprefix("file://")
    if is_remote(address) or os.path.isabs(address):
        return address
    if is_remote(folder):
        scheme, _, rest = folder.partition("://")
        return f"{scheme}://{posixpath.normpath(posixpath.join(rest, address))}"
    return os.path.normpath(os.path.join(folder, os.path.expanduser(address)))


def parent(address: str) -> str:
    """The folder that a file is in."""
    return address.rpartition("/")[0] if is_remote(address) else os.path.dirname(address) or "."


def join(folder: str, name: str) -> str:
    """The address of `name`, with forward slashes, in a folder."""
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else os.path.join(folder, name)


def exists(address: str) -> bool:
    """Whether there is a file. Raises InputError for an address that cannot be asked."""
    if not is_remote(address):
        return os.path.isfile(address)
    with _asked(address):
        store, path = _store(address)
        return bool(store.isfile(path))


def stamp(address: str) -> tuple[int, str]:
    """Bytes of a file, and a token that changes when the file does. Raises MediaError without it.

    Here the token is the time of change and the inode, compared only for being equal, so that a
    clock that jumps does no harm.
    """
    if not is_remote(address):
        try:
            found = os.stat(address)
        except OSError as error:
            raise MediaError(f"there is no file {address}") from error
        return found.st_size, f"{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_ino}"
    with _asked(address):
        store, path = _store(address)
        info = store.info(path)
        token = next((str(info[k]) for k in _CONTENT_TAGS if info.get(k)), None)
        return int(info.get("size") or 0), token or str(store.ukey(path))


def content_hash(address: str) -> str:
    """SHA-256 of a file's bytes, or the store's own tag of them, which costs no download."""
    if is_remote(address):
        with _asked(address):
            store, path = _store(address)
            info = store.info(path)
            for name in _CONTENT_TAGS:
                if info.get(name):
                    return f"{name}:{str(info[name]).strip(chr(34))}"
    digest = hashlib.sha256()
    with reading(address) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def read_bytes(address: str, max_bytes: int = _WHOLE) -> bytes:
    """All of a file. Raises MediaError when it cannot be read, LimitError for a larger one."""
    with reading(address) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise LimitError(f"{address} has more than {max_bytes} bytes, the most that is read")
    return data


def read_range(address: str, start: int, count: int) -> bytes:
    """Bytes `start` to `start + count` of a file, and no others where the store can do that.

    Raises MediaError when it cannot be read or has no such bytes.
    """
    with reading(address) as file:
        file.seek(start)
        data = file.read(count)
    if len(data) != count:
        raise MediaError(f"{address} has no bytes {start} to {start + count}: it is cut off")
    return data


def list_files(folder: str) -> list[str]:
    """Addresses of all files in a folder and those in it, sorted; none where there is no folder."""
    if not is_remote(folder):
        root = Path(resolve(folder, os.getcwd()))
        return sorted(str(path) for path in root.rglob("*") if path.is_file())
    with _asked(folder):
        store, path = _store(folder)
        return sorted(store.unstrip_protocol(str(found)) for found in store.find(path))


def fetch(address: str, target: Path) -> Path:
    """A copy of a remote file as `target`. Raises MediaError when it cannot be had."""
    with reading(address) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy, _BLOCK)
    return target


def publish(path: Path, address: str) -> None:
    """Move a finished local file to its address, where it appears at once and whole.

    Raises OutputError when it cannot be written there; `path` is gone afterwards.
    """
    try:
        if not is_remote(address):
            os.makedirs(os.path.dirname(address) or ".", exist_ok=True)
            os.replace(path, address)
            return
        store, target = _store(address)
        store.makedirs(store._parent(target), exist_ok=True)
        if address.partition("://")[0] in _WHOLE_PUTS:
            store.put_file(str(path), target)
        else:
            beside = f"{target}.{secrets.token_hex(4)}.part"
            store.put_file(str(path), beside)
            if store.exists(target):
                store.rm_file(target)
            store.mv(beside, target)
        path.unlink()
    except OSError as error:
        raise OutputError(f"cannot write {address}: {error.strerror or error}") from error


def write_bytes(address: str, data: bytes, staging: Path) -> None:
    """Write a small file at once and whole, by way of the local folder `staging`."""
    try:
        staging.mkdir(parents=True, exist_ok=True)
        beside = staging / secrets.token_hex(8)
        beside.write_bytes(data)
    except OSError as error:
        raise OutputError(f"cannot write into {staging}: {error.strerror}") from error
    publish(beside, address)


def size(address: str) -> int | None:
    """Bytes of a file, None when it is not there."""
    return stamp(address)[0] if exists(address) else None


def remove_tree(address: str) -> None:
    """Remove a folder and all in it; nothing happens when it is not there."""
    if not is_remote(address):
        shutil.rmtree(address, ignore_errors=True)
        return
    with contextlib.suppress(FileNotFoundError), _asked(address):
        store, path = _store(address)
        if store.exists(path):
            store.rm(path, recursive=True)


def check_store(address: str) -> None:
    """Raise DependencyError or InputError when addresses of this kind cannot be used here."""
    if is_remote(address):
        _store(address)


def _store(address: str) -> "tuple[AbstractFileSystem, str]":
    """The file system of an address, and the path in it."""
    import fsspec

    scheme = address.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(address)
    except ImportError as error:
        command = how_to_add("gs" if scheme in ("gs", "gcs") else "s3")
        raise DependencyError(
            f"{address} needs a package that is not installed ({error}); what s3:// and gs:// need "
            f"is in the extras of these names: {command}"
        ) from error
    except ValueError as error:
        raise InputError(
            f"got the address {address}, but {scheme}:// is nothing that fsspec knows"
        ) from error


@contextlib.contextmanager
def _asked(address: str) -> Iterator[None]:
    """What a store answers that is not a yes or no becomes a MediaError."""
    try:
        yield
    except FileNotFoundError as error:
        raise MediaError(f"there is no file {address}") from error
    except OSError as error:
        raise MediaError(f"{address} cannot be read: {error.strerror or error}") from error


@contextlib.contextmanager
def reading(address: str) -> Iterator:
    """A file opened for reading bytes, which can be sought in. Raises MediaError."""
    with _asked(address):
        if is_remote(address):
            store, path = _store(address)
            with store.open(path, "rb") as file:
                yield file
        else:
            with open_regular(address, "file", _ANY, MediaError) as file:
                yield file
