"""The pictures of a file that somebody shows: a video, a picture, or a .zip of pictures.

Hostile files come here: whoever calls it for a stranger's does so in a confined process.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from motion2video.media.pictures import format_of, open_picture
from motion2video.media.video import frames_at
from weights.errors import MediaError
from weights.opening import open_regular

FRAMES = 12
"""How many are looked at."""
_A_SECOND = 2.0
_MOST_MEMBER = 64 * 2**20
_MOST_MEMBERS = 200_000


def pictures(path: Path) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """At most FRAMES pictures of a file, two of each second. Raises MediaError or LimitError."""
    with open_regular(path, "file", 1 << 40, MediaError) as file:
        head = file.read(64)
    if not head:
        raise MediaError(f"{path} is empty (0 bytes); wanted a video")
    if head.startswith(b"PK\x03\x04"):
        found = _of_archive(path)
    elif format_of(head) and not head.startswith(b"GIF8"):
        found = _of_picture(path)
    else:
        found = frames_at(path, _A_SECOND)
    for number, picture in enumerate(found, 1):
        yield picture
        if number == FRAMES:
            return


def _of_picture(path: Path) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    with open_picture(path, name=str(path)) as image:
        yield np.array(image.convert("RGB"), np.uint8)


def _of_archive(path: Path) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()[:_MOST_MEMBERS]
            shown = [m for m in members if m.filename.lower().endswith((".png", ".jpg"))]
            if not shown:
                raise MediaError(f"{path} has no pictures in it")
            for member in shown[:: max(1, len(shown) // FRAMES)]:
                if member.file_size > _MOST_MEMBER:
                    raise MediaError(f"{path} has a picture in it that is too large to be read")
                with archive.open(member) as file:
                    data = file.read(_MOST_MEMBER)
                with open_picture(data, name=f"a picture in {path}") as image:
                    yield np.array(image.convert("RGB"), np.uint8)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise MediaError(f"{path} is no .zip that can be read: {error}") from error
