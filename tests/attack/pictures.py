"""Picture files that attack whoever opens them, and a watch over what an opening starts."""

import gzip
import io
import os
import struct
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 400 400\n%%EndComments\n"
    b"{} loop\nshowpage\n%%EOF\n"
)
"""PostScript that never ends; Pillow would hand it to Ghostscript."""


def foreign_files() -> dict[str, bytes]:
    """Files of formats that are not taken, under names of ones that are."""
    picture = Image.new("RGB", (64, 64), (9, 9, 9))
    files = {
        "eps.png": EPS,
        "eps.jpg": EPS,
        "binary_eps.jpg": struct.pack("<IIIIIII", 0xC6D3D0C5, 30, len(EPS), 0, 0, 0, 0) + EPS,
        "gzipped_eps.png": gzip.compress(EPS),
        "ps.png": b"%!PS\n{} loop\n",
        "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>",
        "xpm.png": b'/* XPM */\nstatic char *x[] = {\n"1 1 1 1",\n"a c #fff",\n"a"};\n',
        "fits.png": b"SIMPLE  =                    T".ljust(2880),
    }
    for kind in ("PPM", "ICO", "PCX", "TGA", "SGI", "IM", "MSP", "DDS", "PDF", "JPEG2000", "ICNS"):
        data = io.BytesIO()
        (picture.convert("1") if kind == "MSP" else picture).save(data, kind)
        files[f"{kind.lower()}.png"] = data.getvalue()
    return files


def bombs() -> dict[str, bytes]:
    """Small files of formats that are taken; each would cost seconds to hours, or gigabytes."""
    return {
        "passes.jpg": _passes(),
        "exif.jpg": _jpeg_with_exif(_directory(5000, 64_000)),
        "tiff.tiff": _directory(60_000, 10**6) + bytes(10**6),
        "strips.tiff": _directory(1, 2 * 10**6, kind=4) + bytes(8 * 10**6),
        "comments.gif": b"GIF89a\x10\0\x10\0\0\0\0!\xfe" + (b"\xff" + bytes(255)) * 40_000 + b"\0,",
        "profiles.png": _profiles(),
        "run_lengths.bmp": _run_lengths(),
        "huge.png": png(12_000, 12_000),
        "endless.png": png(60_000, 60_000),
    }


def png(width: int, height: int) -> bytes:
    """A black PNG of a size; of a very large one only the first rows are there."""
    rows = zlib.compress(bytes((1 + 3 * width) * min(height, 8)))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", rows), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@contextmanager
def ghostscript_trap(folder: Path) -> Iterator[Path]:
    """A `gs` that is found first, and leaves a file where it was run."""
    folder.mkdir(exist_ok=True)
    ran = folder / "gs was run"
    command = folder / "gs"
    command.write_text(f"#!/bin/sh\necho 9.99\ntouch '{ran}'\n")
    command.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
    try:
        yield ran
    finally:
        os.environ["PATH"] = before


@contextmanager
def started() -> Iterator[list[str]]:
    """Programs, other than this interpreter, that this process starts in the block."""
    with _lock:
        if not _hooked:
            sys.addaudithook(_on_event)
            _hooked.append(True)
    _programs.clear()
    yield _programs


def _on_event(event: str, arguments: tuple) -> None:
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"):
        program = str(arguments[0] or arguments[1])
        if program != sys.executable:
            _programs.append(program)


_programs: list[str] = []
_hooked: list[bool] = []
_lock = threading.Lock()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _saved(kind: str, size: int, progressive: bool = False) -> bytes:
    data = io.BytesIO()
    Image.new("L", (size, size)).save(data, kind, **({"progressive": True} if progressive else {}))
    return data.getvalue()


def _passes() -> bytes:
    """A JPEG with 400 passes over 49 million pixels."""
    data = _saved("JPEG", 7000, progressive=True)
    scan, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    return data[:end] + data[scan:end] * 400 + data[end:]


def _directory(count: int, values: int, kind: int = 7) -> bytes:
    """A TIFF directory whose entries all point at the same bytes."""
    entries = (struct.pack("<HHII", 1000 + i, kind, values, 8) for i in range(count))
    return b"II*\0" + struct.pack("<IH", 8, count) + b"".join(entries) + bytes(4)


def _jpeg_with_exif(exif: bytes) -> bytes:
    data, segments = _saved("JPEG", 64), b""
    exif += bytes(65_000)
    for first in range(0, len(exif), 60_000):
        part = b"Exif\0\0" + exif[first : first + 60_000]
        segments += b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part
    return data[:2] + segments + data[2:]


def _profiles() -> bytes:
    """A PNG with 4,000 colour profiles of a megabyte each, compressed."""
    data, profile = _saved("PNG", 64), b"x\0\0" + zlib.compress(bytes(10**6))
    return data[:33] + _chunk(b"iCCP", profile) * 4000 + data[33:]


def _run_lengths() -> bytes:
    """A BMP of runs of one pixel, which Pillow decodes in Python."""
    side, start = 2000, 54 + 1024
    runs = b"\1\1" * side**2
    head = struct.pack("<IHHI", start + len(runs), 0, 0, start)
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + head + info + bytes(1024) + runs
