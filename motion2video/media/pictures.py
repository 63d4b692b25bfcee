"""The one place where a picture file is opened: six formats, bounded before anything is decoded.

Pillow knows some forty formats more; one of them starts another program (EPS: Ghostscript), and
most have decoders that nobody attacks on purpose. A file's first bytes choose its decoder here,
never its name.
"""

import io
import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import motion2video.media.picture_headers as picture_headers
from weights.errors import LimitError, MediaError
from weights.opening import read_regular

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
"""Pillow's names of what a picture may be; of a GIF or TIFF the first frame or page counts."""
MAX_PIXELS = 50 * 10**6
"""Width times height of the largest picture that is opened: about 0.6 GB of memory at its worst."""
MAX_BYTES = 200 * 10**6
"""Bytes of the largest picture file: 50 million pixels without any compression fit."""

_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
}
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=\"|>)([1-8])")
_BROKEN = (OSError, ValueError, SyntaxError, struct.error, EOFError, zlib.error)
_BROKEN += (TypeError, KeyError, IndexError, OverflowError, AttributeError)  # of Pillow's parsers


@contextmanager
def open_picture(
    source: str | os.PathLike[str] | bytes,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = FORMATS,
    name: str | None = None,
) -> "Iterator[Image]":
    """A picture of which only the header has been read: a file, or its content as bytes.

    `name` is what messages call it, the path unless told. Raises LimitError for more than
    `max_pixels` or for a file over 200 MB, MediaError for what is none of `formats`, does not
    exist or is damaged, which may show only when it is decoded within the block.
    """
    from PIL import Image

    name = name or ("the picture" if isinstance(source, bytes) else os.fspath(source))
    data = source if isinstance(source, bytes) else _content(Path(source), name)
    found = format_of(data)
    if found not in formats:
        raise MediaError(
            f"{name} is not a picture that can be read; wanted {', '.join(formats[:-1])}"
            f"{' or ' if formats[1:] else ''}{formats[-1]}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata and of large pictures
            data = picture_headers.checked(data, found, max_pixels)
            if found in ("TIFF", "WEBP"):  # else Pillow would load all its plugins to find them
                from PIL import TiffImagePlugin, WebPImagePlugin  # noqa: F401
            with Image.open(io.BytesIO(data), formats=(found,)) as image:
                _require_pixels(image.width * image.height, max_pixels, image.size, name)
                yield image
    except Image.DecompressionBombError as error:
        raise LimitError(f"{name} has too many pixels; {_at_most(max_pixels)}") from error
    except (LimitError, MediaError):
        raise
    except _BROKEN as error:
        raise MediaError(
            f"{name} cannot be read as a picture, it is truncated or damaged: {error}"
        ) from error


def upright(image: "Image") -> "Image":
    """An opened picture, decoded, and turned as its camera says it was held."""
    from PIL.Image import Transpose

    image.load()
    if image.format == "TIFF":
        return image  # Pillow has turned it already
    turns = (None, Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_180, Transpose.FLIP_TOP_BOTTOM)
    turns += (Transpose.TRANSPOSE, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90)
    turn = turns[_orientation(image) - 1]
    return image if turn is None else image.transpose(turn)


def format_of(data: bytes) -> str | None:
    """Which of FORMATS a file is by its first bytes; None for none of them."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for start, kind in _STARTS.items() if data.startswith(start)), None)


def _content(path: Path, name: str) -> bytes:
    data = read_regular(path, "picture", MAX_BYTES, MediaError)
    if not data:
        raise MediaError(f"{name} is empty; wanted a picture file")
    return data


def _require_pixels(pixels: int, max_pixels: int, size: tuple[int, int], name: str) -> None:
    if pixels > max_pixels:
        raise LimitError(
            f"{name} has too many pixels ({size[0]} x {size[1]}); {_at_most(max_pixels)}"
        )


def _at_most(max_pixels: int) -> str:
    return f"at most {max_pixels / 1e6:.3g} million are taken: make it smaller first"


def _orientation(image: "Image") -> int:
    """From EXIF data, or XMP where there are none: 1 to 8, 1 where nothing is said."""
    exif = image.info.get("exif")
    if exif is None and isinstance(raw := image.info.get("Raw profile type exif"), str):
        exif = bytes.fromhex("".join(raw.split("\n")[3:]))
    turn = picture_headers.exif_orientation(exif) if isinstance(exif, bytes) else 1
    xmp = image.info.get("XML:com.adobe.xmp", image.info.get("xmp", b""))
    found = _XMP_ORIENTATION.search(xmp.encode() if isinstance(xmp, str) else xmp)
    return int(found[1]) if turn == 1 and found else turn
