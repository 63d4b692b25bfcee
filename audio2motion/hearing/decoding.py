"""Sound out of a media file: decode, mix to mono, put on the picture's clock, resample."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from motion2video.media.container import open_media
from weights.errors import MediaError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container.input import InputContainer

# A pause in the time stamps longer than this is silence that was not stored.
_GAP_SECONDS = 0.1
# Down-mixing of more than two channels: where the voice is said to be in each.
_CHANNEL_WEIGHT = {"FC": 1.0, "FL": 0.7, "FR": 0.7, "LFE": 0.0}
_LOWEST_RATE, _HIGHEST_RATE = 1000, 384_000


def decode_sound(
    path: Path, sample_rate: int, max_seconds: float, channel: int | None = None
) -> Float[np.ndarray, "N"]:
    """All sound of a file as mono float32 samples at `sample_rate`, at least one of them; see
    `decode_pieces`.
    """
    return np.concatenate(list(decode_pieces(path, sample_rate, max_seconds, channel)))


def count_channels(path: Path) -> int:
    """Channels of the sound of a file, 0 where it has none. Raises MediaError for no media file."""
    with open_media(path) as container:
        return container.streams.audio[0].channels if container.streams.audio else 0


def decode_pieces(
    path: Path, sample_rate: int, max_seconds: float, channel: int | None = None
) -> Iterator[Float[np.ndarray, "n"]]:
    """The sound of a file, piece by piece, as mono float32 samples in -1..1 at `sample_rate`.

    Sample 0 is time 0 of the picture, where there is one: a track that starts later begins with
    silence, one that starts earlier is cut. Without a picture it is the first sample. Raises
    MediaError for a file that is not there, is not sound, is cut off or damaged, has no
    samples, or lasts longer than `max_seconds`; for a `channel` (from 0, instead of all of them
    mixed) that it does not have.
    """
    with open_media(path) as container:
        if not container.streams.audio:
            raise MediaError(f"{path} has no sound track; give a file with a voice in it")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise MediaError(f"{path} has sound in a coding that is not known here")
        if container.duration is not None and container.duration / 1e6 > max_seconds:
            raise _too_long(path, max_seconds)
        origin = _origin(container)
        left = round(max_seconds * sample_rate) + sample_rate
        if container.format.name.startswith("mov") and stream.duration and stream.time_base:
            # The edit list says where the sound ends; the decoder gives whole packets.
            end = ((stream.start_time or 0) + stream.duration) * stream.time_base
            left = max(0, round((float(end) - (origin or 0.0)) * sample_rate))
        frames = _decode(path, container, stream)
        some = False
        for piece in _resample(_place(path, frames, origin, max_seconds, channel), sample_rate):
            taken = np.clip(piece[:left], -1.0, 1.0)
            left -= len(taken)
            if len(taken):
                some = True
                yield taken
    if not some:
        raise MediaError(f"{path} holds no sound: its length is zero")


def _too_long(path: Path, max_seconds: float) -> MediaError:
    return MediaError(
        f"{path} lasts longer than {max_seconds:g} s, the most that is read; cut it into parts"
    )


def _origin(container: "InputContainer") -> float | None:
    """Seconds, on the file's clock, at which the picture starts; None without a picture."""
    from av.stream import Disposition

    # A cover picture in a sound file is a video stream too.
    pictures = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not pictures:
        return None
    if pictures[0].start_time is None or pictures[0].time_base is None:
        return (container.start_time or 0) / 1e6
    return float(pictures[0].start_time * pictures[0].time_base)


def _decode(
    path: Path, container: "InputContainer", stream: "AudioStream"
) -> "Iterator[AudioFrame]":
    """The decoded frames of a sound stream; MediaError when the file turns out cut off."""
    from av.error import FFmpegError

    heard = reached = 0.0
    try:
        for packet in container.demux():
            if packet.pts is not None and packet.time_base is not None:
                reached = max(
                    reached, float((packet.pts + (packet.duration or 0)) * packet.time_base)
                )
            # Not packet.stream_index: it is 0 in the packets that flush the decoders.
            if packet.stream.index != stream.index:
                continue
            for frame in stream.decode(packet):
                heard += frame.samples / frame.sample_rate
                yield frame
    except (FFmpegError, OSError) as error:
        raise MediaError(
            f"{path} is damaged or cut off: only its first {heard:.1f} s could be read"
        ) from error
    promised = _promised_seconds(path, container, stream)
    reached -= (container.start_time or 0) / 1e6
    if promised - reached > max(0.25, 0.02 * promised):
        raise MediaError(
            f"{path} is cut off: it should last {promised:.1f} s, "
            f"but only {reached:.1f} s of it are there; copy or export it again"
        )


def _promised_seconds(path: Path, container: "InputContainer", stream: "AudioStream") -> float:
    """The length that the file's own header states, or 0 where it is only an estimate."""
    name = container.format.name
    if container.duration is None:
        return 0.0
    seconds = container.duration / 1e6
    if name == "wav":
        # ffmpeg believes the file's size instead of its header. Programs that write to a pipe
        # put 0 or a huge number there.
        with path.open("rb") as file:
            stated = int.from_bytes(file.read(8)[4:], "little") + 8
        size = path.stat().st_size
        return seconds * stated / size if size < stated < 0x7FF0_0000 else seconds
    counted = name.startswith(("mov", "matroska", "flac")) or (name == "mp3" and stream.start_time)
    return seconds if counted else 0.0


def _mono(path: Path, frame: "AudioFrame", channel: int | None) -> Float[np.ndarray, "n"]:
    """One frame's channels mixed to one, or a single one of them; a lone voice keeps its level, so
    does a stereo one.
    """
    data = frame.to_ndarray()
    names = [channel.name for channel in frame.layout.channels]
    if not frame.format.is_planar:
        data = data.reshape(-1, len(names)).T
    if data.dtype == np.uint8:
        data = (data.astype(np.float32) - 128.0) / 128.0
    elif data.dtype.kind == "i":
        data = data.astype(np.float32) / 2.0 ** (8 * data.dtype.itemsize - 1)
    data = np.nan_to_num(data.astype(np.float32, copy=False))
    if channel is not None and channel >= len(names):
        raise MediaError(f"{path} has {len(names)} channels of sound; wanted number {channel + 1}")
    if len(names) == 1 or channel is not None:
        return data[channel or 0]
    weight = np.array([_CHANNEL_WEIGHT.get(n, 0.5) for n in names] if len(names) > 2 else [1, 1])
    return (weight / weight.sum()).astype(np.float32) @ data


def _place(
    path: Path,
    frames: "Iterable[AudioFrame]",
    origin: float | None,
    max_seconds: float,
    channel: int | None,
) -> Iterator[tuple[Float[np.ndarray, "n"], int]]:
    """Mono pieces with their rates, from time `origin` on: late starts and gaps are silence."""
    clock, started = 0.0, False
    for frame in frames:
        samples, rate = _mono(path, frame, channel), frame.sample_rate
        if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
            raise MediaError(
                f"{path} has {rate} samples a second; wanted {_LOWEST_RATE} to {_HIGHEST_RATE}"
            )
        if origin is None:
            origin = frame.time or 0.0
        at = clock if frame.time is None else frame.time - origin
        if at + len(samples) / rate > max_seconds:
            raise _too_long(path, max_seconds)
        if at < clock and not started:
            samples = samples[round((clock - at) * rate) :]
        elif at - clock > (_GAP_SECONDS if started else 0.0):
            missing = round((at - clock) * rate)
            clock += missing / rate
            # A second at a time: a few bytes may promise hours.
            for start in range(0, missing, rate):
                yield np.zeros(min(rate, missing - start), np.float32), rate
        if len(samples):
            started = True
            clock += len(samples) / rate
            yield samples, rate


def _resample(
    pieces: Iterable[tuple[Float[np.ndarray, "n"], int]], sample_rate: int
) -> Iterator[Float[np.ndarray, "m"]]:
    """Pieces of any rates at `sample_rate`; soxr compensates the delay of its filter."""
    import soxr

    stream, current = None, sample_rate
    for samples, rate in pieces:
        if rate != current:
            if stream is not None:
                yield stream.resample_chunk(np.empty(0, np.float32), last=True)
            stream = None
            if rate != sample_rate:
                stream = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
            current = rate
        yield samples if stream is None else stream.resample_chunk(samples)
    if stream is not None:
        yield stream.resample_chunk(np.empty(0, np.float32), last=True)
