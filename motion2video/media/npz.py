"""Arrays out of a `.npz` that somebody else may have made: every length is checked before use.

numpy's own reader believes the file: a few bytes may promise an array of terabytes. Here the zip's
directory is bounded before it is parsed, each member is there once and neither encrypted nor larger
than wanted, and exactly the bytes of the promised shape are unpacked.
"""

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

_DIRECTORY_END = struct.Struct("<4s4H2LH")
_ZIP64_LOCATOR = 20
_MAX_DIRECTORY = 1 << 16
_MAX_HEADER = 1 << 10
_ENCRYPTED = 0x1
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """An array of a file: `kinds` of its dtype (numpy's letters), `max_items` in all."""

    kinds: str
    max_items: int
    max_item_bytes: int = 8


def read_arrays(
    file: io.BufferedIOBase,
    wanted: Mapping[str, Wanted],
    optional: Mapping[str, Wanted] | None = None,
) -> dict[str, np.ndarray]:
    """The wanted arrays of a `.npz`, and those of `optional` that are there; others are not looked
    at.

    Raises ValueError that says what is wrong: no zip, a member missing or there twice, encrypted,
    of another type, more than is wanted, cut off or damaged.
    """
    _check_directory(file)
    with _told(), zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        arrays = {}
        there = {n: w for n, w in (optional or {}).items() if f"{n}.npy" in names}
        for name, want in {**wanted, **there}.items():
            if names.count(f"{name}.npy") != 1:
                raise ValueError(f"it has {names.count(f'{name}.npy')} arrays {name!r}; wanted one")
            info = archive.getinfo(f"{name}.npy")
            if info.flag_bits & _ENCRYPTED:
                raise ValueError("it is encrypted")
            with archive.open(info) as member:
                assert isinstance(member, zipfile.ZipExtFile)
                arrays[name] = _read_array(member, name, want, info.file_size)
        return arrays


def _check_directory(file: io.BufferedIOBase) -> None:
    """The end of a zip without a comment and without the 64-bit extension, and a directory of a
    bounded size: zipfile would make an object of every entry."""
    file.seek(0, 2)
    size = file.tell()
    reach = min(size, _ZIP64_LOCATOR + _DIRECTORY_END.size)
    file.seek(size - reach)
    tail = file.read(reach)
    if len(tail) < _DIRECTORY_END.size:
        raise ValueError("it is not a zip file")
    mark, *_, length, _, comment = _DIRECTORY_END.unpack(tail[-_DIRECTORY_END.size :])
    if mark != b"PK\5\6" or comment or tail[:4] == b"PK\6\7" or length > _MAX_DIRECTORY:
        raise ValueError("it is not a zip file, or has more in it than arrays")
    file.seek(0)


def _read_array(member: zipfile.ZipExtFile, name: str, want: Wanted, size: int) -> np.ndarray:
    """The array of a member that has, as the zip's directory says, `size` bytes."""
    version = np.lib.format.read_magic(member)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name!r} is in version {version} of numpy's format")
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(member, max_header_size=_MAX_HEADER)
    if dtype.kind not in want.kinds or dtype.hasobject or dtype.names:
        raise ValueError(f"{name!r} holds {dtype}")
    if min(shape, default=0) < 0:
        raise ValueError(f"{name!r} has the shape {shape}")
    items = math.prod(shape)
    if items > want.max_items or dtype.itemsize > want.max_item_bytes:
        raise ValueError(f"{name!r} has {items} values; at most {want.max_items} are read")
    if size - member.tell() != items * dtype.itemsize:
        raise ValueError(f"{name!r} has other bytes than its shape {shape} says")
    data = bytearray()
    while len(data) < items * dtype.itemsize:
        block = member.read(min(_BLOCK, items * dtype.itemsize - len(data)))
        if not block:
            raise ValueError(f"{name!r} is cut off")
        data += block
    array = np.frombuffer(data, dtype, count=items)
    return array.reshape(shape, order="F" if fortran else "C")


@contextmanager
def _told() -> Iterator[None]:
    """What zipfile, zlib and numpy's header reader run into becomes a ValueError."""
    try:
        yield
    except (
        *(zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, KeyError),
        *(SyntaxError, tokenize.TokenError, TypeError, OverflowError, RecursionError),
        *(NotImplementedError, RuntimeError),  # another way of packing; a password
    ) as error:
        raise ValueError(str(error) or type(error).__name__) from error
