"""What an uploaded file is, by its content: never by a name or a type that somebody gave it.

Headers are read first, so that nothing is decoded that would be too large; sound is then decoded
once, to its limit, because the length that a header states may be a lie.
"""

import io
import re
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np

from app.intake.limits import Limits
from motion2video.media.pictures import format_of, open_picture
from motion2video.motion import FPS, Motion
from weights.errors import InputError, LimitError, MediaError

Kind = Literal["picture", "sound", "video", "motion", "text"]

_MAX_TEXT_BYTES = 10**6
_MAX_MOTION_BYTES = 200 * 10**6
_MOTION_MEMBERS = {"format.npy", "values.npy", "fps.npy", "valid.npy", "names.npy"}
_MOTION_EXTRA = {"rest_points.npy", "rest_pose.npy"}
_SRT = re.compile(r"\s*\d+\s+\d+:\d\d:\d\d,\d{3} --> ")


def inspect(path: Path, wanted: tuple[Kind, ...], limits: Limits) -> tuple[Kind, str]:
    """The kind of a file and the ending that fits its content.

    Raises MediaError (or InputError) for a file that is none of those `wanted`, LimitError for
    one that is too large to decode. Messages may name the path.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise MediaError("it is empty")
    found = _kind(head, wanted)
    if found == "picture":
        return found, _picture(path, limits)
    if found == "motion":
        _motion(path, limits)
        return found, ".npz"
    if found == "text":
        return found, _text(path)
    return found, _media(path, found, limits)


def _kind(head: bytes, wanted: tuple[Kind, ...]) -> Kind:
    """What the first bytes look like, among `wanted`; what is wrong with it shows later."""
    if head.startswith(b"PK\x03\x04"):
        found: tuple[Kind, ...] = ("motion",)
    elif format_of(head):
        found = ("picture", "video") if head.startswith(b"GIF8") else ("picture",)
    elif b"\0" not in head and _is_text(head):
        found = ("text",)
    else:
        found = ("video", "sound")
    for kind in found:
        if kind in wanted:
            return kind
    raise MediaError(f"it is no {' or '.join(wanted)}")


def _is_text(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4  # a character may be cut in two
    return True


def _picture(path: Path, limits: Limits) -> str:
    with open_picture(path, limits.max_pixels, name="it") as image:
        return f".{(image.format or 'img').lower()}"


def _media(path: Path, kind: Kind, limits: Limits) -> str:
    from audio2motion.hearing.audio import SAMPLE_RATE
    from audio2motion.hearing.decoding import decode_pieces
    from motion2video.media.container import probe

    info = probe(path)
    if max(info.seconds, info.video_seconds or 0) > limits.max_seconds:
        raise LimitError(
            f"it lasts {info.seconds:.1f} s; at most {limits.max_seconds:g} s are taken"
        )
    if kind == "video" and info.size is None:
        raise MediaError("it has no picture")
    if info.size is not None and info.size[0] * info.size[1] > limits.max_pixels:
        raise LimitError(f"its picture is larger than {limits.max_pixels / 1e6:.3g} megapixels")
    if info.audio_codec is not None:
        for _ in decode_pieces(path, SAMPLE_RATE, limits.max_seconds + 1):
            pass  # whether all of it can be decoded is all that is asked
    elif kind == "sound":
        raise MediaError("it has no sound")
    return ".media"


def _motion(path: Path, limits: Limits) -> None:
    """The sizes in a motion file's directory and headers, before an array is made of them."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = {m.filename for m in members}
            if names - _MOTION_EXTRA != _MOTION_MEMBERS or len(members) != len(names):
                raise MediaError("it is no motion file")
            if sum(m.file_size for m in members) > _MAX_MOTION_BYTES:
                raise LimitError("the motion in it is too long")
            for member in members:
                with archive.open(member) as file:
                    _header(io.BufferedReader(file), member.file_size)  # pyrefly: ignore[bad-argument-type, bad-specialization]
        motion = Motion.load(path)
    except InputError:
        raise
    except Exception as error:  # zip and npy parsers, handed rubbish
        raise MediaError("it is no motion file") from error
    if not len(motion) or motion.seconds > limits.max_seconds or motion.fps > 240:
        raise LimitError(
            f"it lasts {motion.seconds:.1f} s; wanted more than 0 and at most "
            f"{limits.max_seconds:g} s, {FPS:g} to 240 frames a second"
        )


def _header(file: io.BufferedReader, size: int) -> None:
    """Raise MediaError unless an array's header asks for no more memory than its file holds."""
    version = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(file)
    if dtype.hasobject or dtype.itemsize * float(np.prod([float(n) for n in shape])) > size:
        raise MediaError("it is no motion file")


def _text(path: Path) -> str:
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise LimitError(f"it is longer than {_MAX_TEXT_BYTES // 10**6} MB of text")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("it is no text in UTF-8") from error
    start = text.lstrip()[:1]
    if start and start in "[{":
        return ".json"
    if text.startswith("WEBVTT"):
        return ".vtt"
    if _SRT.match(text):
        return ".srt"
    first = text.splitlines()[0] if text else ""
    return ".csv" if {"kind", "start"} <= {name.strip() for name in first.split(",")} else ".txt"
