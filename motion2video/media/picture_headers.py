"""What a picture file asks for, read from its structure before any decoder of pixels sees it.

A decoder trusts its file: a few kilobytes can ask it for a thousand passes over 50 million
pixels, for the same bytes 65,000 times, or for a tile of three gigabytes. Everything here reads
each byte at most once and allocates nothing that the file chose. Each check takes a whole file and
gives it back, a TIFF without its further pages. A file that asks for too much raises ValueError
with the reason.
"""

import re
import struct
from collections.abc import Callable

MAX_SCANNED = 2 * 10**9
"""Pixels times passes of a progressive JPEG: 40 passes at 50 million pixels (encoders write 10)."""
MAX_METADATA = 16 * 10**6
"""Bytes in front of a JPEG's pixels: profiles, thumbnails, what a phone adds."""
MAX_SEGMENTS = 10_000
"""Markers of a JPEG."""
MAX_CHUNKS, MAX_NOTES = 200_000, 1000
"""Chunks of a PNG, and those among them that hold no pixels."""
MAX_ITEMS = 2**18
"""Values of one TIFF entry, such as its strips or tiles: 16 x 16 tiles of 50 million pixels."""
MAX_GIF_HEAD = 10**6
"""Bytes of a GIF before its first picture; its comments are copied once per 255 bytes."""

_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xDA, 0xD9, 0xE1
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_RAW_TYPES = (1, 2, 7)  # kept as bytes; the others become a Python number each
_TILE_SIDES = (322, 323)
_SUB_DIRECTORIES = (34665, 34853, 40965)  # EXIF, GPS, interoperability


def checked(data: bytes, picture_format: str, max_pixels: int) -> bytes:
    """A file of one of the formats below, safe to hand to its decoder, as far as a header tells.
    Raises ValueError with the reason where it is not.
    """
    try:
        return _CHECKS[picture_format](data, max_pixels)
    except (struct.error, IndexError) as error:
        raise ValueError("its header is cut off") from error


def _jpeg(data: bytes, max_pixels: int) -> bytes:
    at, scans, exif, pixels = 2, 0, [], 0
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None or found[1][0] == _END_OF_IMAGE:
            break
        kind, at = found[1][0], found.end()
        if kind == 0xD8 or kind == 0x01:
            continue
        (length,) = struct.unpack_from(">H", data, at)
        if not scans and at + length > MAX_METADATA:
            raise ValueError(f"it has over {MAX_METADATA // 10**6} MB in front of its pixels")
        if kind == _APP1 and data[at + 2 : at + 8] == b"Exif\0\0":
            exif.append(data[at + 8 : at + length])
        if kind in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            pixels = max(pixels, height * width)
        scans += kind == _START_OF_SCAN
        at += length
    else:
        raise ValueError(f"it has over {MAX_SEGMENTS} segments")
    if scans * pixels > MAX_SCANNED:
        raise ValueError(f"it has {scans} passes over its pixels")
    if exif:
        _require_exif(b"".join(exif))
    return data


def _png(data: bytes, max_pixels: int) -> bytes:
    at, chunks, notes = 8, 0, 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IEND":
            break
        chunks, notes, at = chunks + 1, notes + (kind != b"IDAT"), at + 12 + length
        if chunks > MAX_CHUNKS or notes > MAX_NOTES:
            raise ValueError(f"it has over {MAX_CHUNKS} chunks, or over {MAX_NOTES} beside pixels")
    return data


def _webp(data: bytes, max_pixels: int) -> bytes:
    return data


def _bmp(data: bytes, max_pixels: int) -> bytes:
    if struct.unpack_from("<I", data, 14)[0] >= 40 and data[30] in (1, 2):
        raise ValueError("it is a run-length encoded BMP; save it as PNG")
    return data


def _gif(data: bytes, max_pixels: int) -> bytes:
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 128 else 0)
    while data[at] != ord(","):
        if data[at] != ord("!"):
            raise ValueError("it has no picture")
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
        if at > MAX_GIF_HEAD:
            raise ValueError(f"it has over {MAX_GIF_HEAD // 10**6} MB in front of its pixels")
    return data


def _tiff(data: bytes, max_pixels: int) -> bytes:
    order = "<" if data.startswith(b"II") else ">"
    (first,) = struct.unpack_from(f"{order}I", data, 4)
    entries = _require_directory(data, order, first, len(data))
    width, height = (_value(data, order, entries.get(tag)) for tag in _TILE_SIDES)
    if width * height > max(max_pixels, 2**20):
        raise ValueError(f"it has tiles of {width} x {height} pixels")
    for tag in _SUB_DIRECTORIES:
        at = _value(data, order, entries.get(tag))
        if at:
            inner = _require_directory(data, order, at, len(data))
            if further := _value(data, order, inner.get(_SUB_DIRECTORIES[-1])):
                _require_directory(data, order, further, len(data))
    # Its further pages are not looked at: nobody asked for them.
    end = first + 2 + 12 * len(entries)
    return data[:end] + b"\0\0\0\0" + data[end + 4 :] if end + 4 <= len(data) else data


def _require_directory(data: bytes, order: str, first: int, most: int) -> dict[int, int]:
    """Where each tag of a TIFF directory is described. Raises ValueError when its entries hold
    more than `most` bytes together, so that they overlap, or one has too many values.
    """
    (count,) = struct.unpack_from(f"{order}H", data, first)
    entries, total = {}, 0
    for at in range(first + 2, first + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", data, at)
        total += values * _TYPE_BYTES.get(kind, 0)
        if total > most or (kind not in _RAW_TYPES and values > MAX_ITEMS):
            raise ValueError("its directory describes more than there is")
        entries[tag] = at
    if len(entries) < count:
        raise ValueError("its directory names a tag twice")
    return entries


def _value(data: bytes, order: str, at: int | None) -> int:
    """The only value of an entry of a TIFF directory; 0 where there is none."""
    if at is None:
        return 0
    _, kind, _ = struct.unpack_from(f"{order}HHI", data, at)
    return int(struct.unpack_from(order + {3: "H"}.get(kind, "I"), data, at + 8)[0])


def _require_exif(exif: bytes) -> None:
    """Raise ValueError for EXIF data whose entries overlap; what is only odd is left to others."""
    order = "<" if exif.startswith(b"II") else ">"
    try:
        (first,) = struct.unpack_from(f"{order}I", exif, 4)
        _require_directory(exif, order, first, 4 * len(exif) + 2**16)
    except struct.error:
        return


def exif_orientation(exif: bytes) -> int:
    """How a picture is to be turned, 1 to 8; 1 where EXIF data do not say, or are damaged."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = "<" if exif.startswith(b"II") else ">"
    try:
        (first,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, first)
        for at in range(first + 2, first + 2 + 12 * count, 12):
            if struct.unpack_from(f"{order}H", exif, at)[0] == 274:
                turn = _value(exif, order, at)
                return turn if 1 <= turn <= 8 else 1
    except struct.error:
        pass
    return 1


_CHECKS: dict[str, Callable[[bytes, int], bytes]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "TIFF": _tiff,
    "BMP": _bmp,
    "GIF": _gif,
}
