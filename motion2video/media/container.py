"""Media files as containers: open one safely, and say what is in it without decoding it."""

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from weights.errors import MediaError
from weights.opening import check_regular, open_regular

if TYPE_CHECKING:
    from av.container.input import InputContainer
    from av.stream import Stream

# What a person may hand in. Playlists and the like, which make ffmpeg open other files or
# addresses, are not among them.
_DEMUXERS = (
    "mov,matroska,webm,avi,flv,mpegts,mpeg,mpegvideo,h264,hevc,ogg,asf,gif,apng,"
    "wav,w64,mp3,flac,aac,aiff,caf,au,amr"
)
_ANY_SIZE = 1 << 62


@dataclass(frozen=True)
class MediaInfo:
    """What a file holds. Times in seconds; None where there is no such stream, or where the
    file does not say.
    """

    container: str
    seconds: float
    video_codec: str | None
    pixel_format: str | None
    size: tuple[int, int] | None
    fps: float | None
    frames: int | None
    video_start: float | None
    video_seconds: float | None
    audio_codec: str | None
    audio_rate: int | None
    audio_channels: int | None
    audio_start: float | None
    audio_seconds: float | None
    faststart: bool


def open_media(path: Path) -> "InputContainer":
    """Open a media file for reading; raises MediaError that says why it cannot be."""
    import av
    from av.error import FFmpegError

    if check_regular(path, "file", MediaError) == 0:
        raise MediaError(f"{path} is empty (0 bytes); wanted a sound or video file")
    try:
        return av.open(
            os.path.abspath(path),  # never an address: ffmpeg would fetch http:...
            mode="r",
            container_options={"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except (FFmpegError, OSError) as error:
        raise MediaError(
            f"{path} is not a sound or video file that can be read, or it is cut off: "
            f"{error.strerror}"
        ) from error


def to_seconds(ticks: int | None, base: Fraction | None) -> Fraction | None:
    """A time stamp in seconds, exact; None where the file gives none."""
    return None if ticks is None or base is None else ticks * Fraction(base)


def probe(path: str | os.PathLike[str]) -> MediaInfo:
    """What a media file holds, without decoding it. Raises MediaError if it cannot be read."""
    path = Path(path)
    with open_media(path) as container:
        picture = next(iter(container.streams.video), None)
        sound = next(iter(container.streams.audio), None)
        if any(s is not None and s.codec_context is None for s in (picture, sound)):
            raise MediaError(f"{path} has a picture or sound in a coding that is not known here")
        counts, ends = _measure(path, container)
        rate = picture.average_rate if picture is not None else None
        return MediaInfo(
            container=container.format.name,
            seconds=(container.duration or 0) / 1e6 or max(ends.values(), default=0.0),
            video_codec=picture.codec.name if picture is not None else None,
            pixel_format=picture.pix_fmt if picture is not None else None,
            size=(picture.width, picture.height) if picture is not None else None,
            fps=float(rate) if rate else None,
            frames=(picture.frames or counts[picture.index] or None)
            if picture is not None
            else None,
            video_start=_begin(picture),
            video_seconds=_length(picture, ends),
            audio_codec=sound.codec.name if sound is not None else None,
            audio_rate=sound.rate if sound is not None else None,
            audio_channels=sound.channels if sound is not None else None,
            audio_start=_begin(sound),
            audio_seconds=_length(sound, ends),
            faststart=container.format.name.startswith("mov") and _index_first(path),
        )


def _measure(path: Path, container: "InputContainer") -> tuple[dict[int, int], dict[int, float]]:
    """Packets and end in seconds of every stream; read through only where no header tells."""
    from av.error import FFmpegError

    counts = {s.index: 0 for s in container.streams}
    ends = {s.index: 0.0 for s in container.streams}
    if all(s.duration for s in container.streams):
        return counts, ends
    try:
        for packet in container.demux():
            at = to_seconds(packet.pts, packet.time_base)
            if at is not None:
                length = to_seconds(packet.duration, packet.time_base) or 0
                index = packet.stream.index
                counts[index] += 1
                ends[index] = max(ends[index], float(at + length))
    except (FFmpegError, OSError) as error:
        raise MediaError(f"{path} is damaged or cut off: {error.strerror}") from error
    return counts, ends


def _begin(stream: "Stream | None") -> float | None:
    if stream is None:
        return None
    return float(to_seconds(stream.start_time, stream.time_base) or 0)


def _length(stream: "Stream | None", ends: dict[int, float]) -> float | None:
    if stream is None:
        return None
    stated = to_seconds(stream.duration, stream.time_base)
    return float(stated) if stated else ends[stream.index] - (_begin(stream) or 0.0)


def _index_first(path: Path) -> bool:
    """Whether an MP4's index (moov) comes before its data (mdat)."""
    with open_regular(path, "file", _ANY_SIZE, MediaError) as file:
        while len(header := file.read(8)) == 8:
            length, kind = int.from_bytes(header[:4], "big"), header[4:]
            if kind in (b"moov", b"mdat"):
                return kind == b"moov"
            used = 8
            if length == 1:
                length, used = int.from_bytes(file.read(8), "big"), 16
            if length < used:
                return False
            file.seek(length - used, os.SEEK_CUR)
    return False
