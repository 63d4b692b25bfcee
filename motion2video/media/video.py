"""Frames out of and into video files.

Written files start at time 0 with picture and sound, have no re-ordered frames (so players that
ignore edit lists stay in sync), and end with both at once.
"""

import contextlib
import itertools
import math
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from motion2video.media.codings import Coding, Picturing, coding_of
from motion2video.media.container import MediaInfo, open_media, probe, to_seconds
from motion2video.media.soundtrack import Readable, SoundTrack
from weights.errors import InputError, MediaError, OutputError, StateError

if TYPE_CHECKING:
    from av.container.output import OutputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = [
    "EncoderConfig",
    "MediaInfo",
    "VideoReader",
    "VideoWriter",
    "exact_rate",
    "frames_at",
    "probe",
    "read_video",
]

MAX_PIXELS = 4096 * 4096
MIN_FPS, MAX_FPS = 1, 240
MAX_FRAMES = 2 * 3600 * 60
"""Two hours at 60 frames a second."""

_BT709 = 1  # the number of ITU-R BT.709 in the tags for matrix, primaries and transfer alike
_LIMITED_RANGE = 1


@dataclass(frozen=True)
class EncoderConfig:
    """How files are encoded. `crf` is x264's quality (lower is better, 18 is visually lossless);
    `threads` 0 is x264's own choice; `audio_bit_rate` in bits a second.
    """

    preset: str = "veryfast"
    crf: int = 18
    threads: int = 0
    audio_bit_rate: int = 128_000


class VideoReader:
    """The frames of one video file, once, in order; made by `read_video`, best in a `with`.

    `size` (width, height) is that of the frames given out: turned as the file says, with square
    pixels. `fps` is the average rate; `frames` is the file's own count, None where it has none.
    """

    def __init__(self, path: Path, max_pixels: int, max_frames: int) -> None:
        self.path = path
        self._max_pixels, self._max_frames = max_pixels, max_frames
        self._container = open_media(path)
        try:
            self._stream = self._find_picture()
            self.frames = self._stream.frames or None
            rate = self._stream.average_rate or self._stream.guessed_rate
            self.fps = float(rate) if rate else 0.0
            self._decoded: Iterator[VideoFrame] | None = self._decode()
            self._first = next(self._decoded, None)
            if self._first is None:
                raise MediaError(f"{path} holds no picture: its length is zero")
            self._stored_size = self._square_size(self._first)
            height, width = self._rgb(self._first).shape[:2]
            self.size = width, height
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """Every stored frame as RGB. Raises MediaError where the file is damaged or cut off."""
        for _, frame in self.timed():
            yield frame

    def timed(self) -> Iterator[tuple[Fraction, UInt8[np.ndarray, "H W 3"]]]:
        """Every stored frame with its time in seconds after the first one.

        Raises MediaError where the file is damaged or cut off, StateError the second time.
        """
        for at, _, frame in self._shown():
            yield at, self._rgb(frame)

    def close(self) -> None:
        """Let the file go."""
        self._container.close()

    def _shown(self) -> "Iterator[tuple[Fraction, Fraction, VideoFrame]]":
        """(time, duration, frame) in seconds after the first frame, times never falling."""
        if self._decoded is None or self._first is None:
            raise StateError(f"the frames of {self.path} were read already; open it again")
        frames, first = self._decoded, self._first
        self._decoded = self._first = None
        usual = 1 / (Fraction(self.fps).limit_denominator(1001) or Fraction(25))
        zero = to_seconds(first.pts, first.time_base) or Fraction(0)
        at, due = Fraction(0), Fraction(0)
        for frame in itertools.chain([first], frames):
            stated = to_seconds(frame.pts, frame.time_base)
            at = max(at, due if stated is None else stated - zero)
            length = to_seconds(frame.duration, frame.time_base) or usual
            due = at + length
            yield at, length, frame

    def _find_picture(self) -> "VideoStream":
        from av.stream import Disposition

        pictures = [
            s for s in self._container.streams.video if not s.disposition & Disposition.attached_pic
        ]
        if not pictures:
            raise MediaError(f"{self.path} has no picture; give a video file")
        stream = pictures[0]
        if stream.codec_context is None:
            raise MediaError(f"{self.path} has a picture in a coding that is not known here")
        self._check_pixels(stream.width, stream.height)
        stream.thread_type = "AUTO"
        return stream

    def _check_pixels(self, width: int, height: int) -> None:
        if width * height > self._max_pixels:
            raise MediaError(
                f"{self.path} is {width} x {height} pixels; at most {self._max_pixels / 1e6:.1f} "
                "million are read, so scale it down"
            )

    def _decode(self) -> "Iterator[VideoFrame]":
        """Decoded frames; MediaError when the file turns out damaged, cut off or endless."""
        from av.error import FFmpegError

        reached, count = Fraction(0), 0
        try:
            for packet in self._container.demux():
                end = to_seconds(packet.pts, packet.time_base)
                if end is not None:
                    length = to_seconds(packet.duration, packet.time_base) or Fraction(0)
                    reached = max(reached, end + length)
                # Not packet.stream_index: it is 0 in the packets that flush the decoders.
                if packet.stream.index != self._stream.index:
                    continue
                for frame in self._stream.decode(packet):
                    count += 1
                    self._check_count(count)
                    self._check_pixels(frame.width, frame.height)
                    yield frame
        except (FFmpegError, OSError) as error:
            raise MediaError(
                f"{self.path} is damaged or cut off: only {count} of its frames could be read"
            ) from error
        promised = 0.0
        if self._container.format.name.startswith(("mov", "matroska")):
            promised = ((self._container.duration or 0) + (self._container.start_time or 0)) / 1e6
        if promised - reached > max(0.25, 0.02 * promised):
            raise MediaError(
                f"{self.path} is cut off: it should last {promised:.1f} s, but only "
                f"{float(reached):.1f} s of it are there; copy or export it again"
            )

    def _check_count(self, count: int) -> None:
        if count > self._max_frames:
            raise MediaError(
                f"{self.path} has more than {self._max_frames} frames, the most that are read; "
                "cut it into parts"
            )

    def _square_size(self, frame: "VideoFrame") -> tuple[int, int]:
        """Width and height of a stored frame once its pixels are square."""
        aspect = self._stream.sample_aspect_ratio
        width = max(1, round(frame.width * aspect) if aspect else frame.width)
        self._check_pixels(width, frame.height)
        return width, frame.height

    def _rgb(self, frame: "VideoFrame") -> UInt8[np.ndarray, "H W 3"]:
        width, height = self._stored_size
        # One thread: PyAV starts fresh ones for every frame, and they stay until the frame goes.
        rgb = frame.reformat(width=width, height=height, format="rgb24", threads=1)
        pixels = rgb.to_ndarray()
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")  # its stubs say that it is any object
        if matrix is not None:
            pixels = _turn(pixels, np.frombuffer(bytes(matrix), np.int32).reshape(3, 3))
        return np.ascontiguousarray(pixels)


def read_video(
    path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS, max_frames: int = MAX_FRAMES
) -> VideoReader:
    """Open a video for reading its RGB frames, turned as its rotation mark says.

    Raises MediaError for a file that is not there, is not a video, is empty, or has more than
    `max_pixels` a frame; while reading, for one that is cut off, damaged, or has more than
    `max_frames`.
    """
    return VideoReader(Path(path), max_pixels, max_frames)


def stored_frames(path: str | os.PathLike[str]) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The frames of a video one after another, whatever their times. Raises as `read_video`."""
    with read_video(path) as reader:
        yield from reader


def frames_at(
    path: str | os.PathLike[str],
    fps: float,
    max_pixels: int = MAX_PIXELS,
    max_frames: int = MAX_FRAMES,
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The frames of a video at a constant `fps`, by the time stamps of the stored ones.

    Frame k is the stored frame nearest to k / fps seconds after the first one; one that stays on
    longer is repeated. There are round(seconds * fps) frames, at least one. Raises InputError
    for an `fps` out of range, MediaError as `read_video`.
    """
    rate = exact_rate(fps)
    with read_video(path, max_pixels, max_frames) as reader:
        shown, count, end = None, 0, Fraction(0)
        for at, length, frame in reader._shown():
            due = math.floor(at * rate - Fraction(1, 2)) + 1
            reader._check_count(due)
            while shown is not None and count < due:
                yield reader._rgb(shown)
                count += 1
            shown, end = frame, at + length
        total = max(1, round(end * rate))
        reader._check_count(total)
        while shown is not None and count < total:
            yield reader._rgb(shown)
            count += 1


def exact_rate(fps: float) -> Fraction:
    """Frames a second as a fraction: 29.97 is 30000/1001, 23.976 is 24000/1001, 12.5 is 25/2.

    Raises InputError outside MIN_FPS to MAX_FPS.
    """
    if not MIN_FPS <= fps <= MAX_FPS:
        raise InputError(f"got {fps} frames a second; wanted {MIN_FPS} to {MAX_FPS}")
    for whole in (24, 30, 48, 60, 120):
        if abs(fps - whole / 1.001) < 0.005:
            return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1000)


class VideoWriter:
    """Writes a video file as its frames come, with a sound track of exactly their length.

        with VideoWriter("out.mp4", (512, 512), 25.0, audio=samples, sample_rate=16_000) as out:
            out.write(frames)

    Everything goes to a temporary name in the same folder, which becomes `path` when the block
    ends well and is removed when it does not, Ctrl-C included. `audio` (mono, -1..1; samples, or
    anything to read them from) is cut or followed by silence to fit the picture. Memory does not
    grow with the length.

    `seal` is called with the finished file before it gets its name, and may replace it.

    The ending of `path` says how it is coded (see codings.py); `clear` frames are RGBA. A .gif or
    .webp has no sound.

    Raises InputError for another ending, or one that cannot be clear, an odd size or a rate out of
    range; OutputError when the file cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        fps: float = 25.0,
        audio: Float[np.ndarray, "N"] | Readable | None = None,
        sample_rate: int = 16_000,
        config: EncoderConfig | None = None,
        clear: bool = False,
        seal: Callable[[Path], None] | None = None,
    ) -> None:
        self.path, self._seal = Path(path), seal
        self._coding: Coding = coding_of(self.path, clear)
        self._picturing, self._channels = Picturing(self._coding), 4 if clear else 3
        self.rate = exact_rate(fps)
        self.size = size
        self.frames = 0
        self._config = config or EncoderConfig()
        self._sound = None
        if audio is not None and self._coding.sound is not None:
            self._sound = SoundTrack(audio, sample_rate, self._coding.sound)
        self._temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.part")
        self._container: OutputContainer | None = None
        self._open = False
        width, height = size
        if width % 2 or height % 2 or not (2 <= width <= 16384 and 2 <= height <= 16384):
            raise InputError(f"got a video of {width} x {height}; wanted even sides, 2 to 16384")

    def __enter__(self) -> "VideoWriter":
        if self.path.is_dir():
            raise OutputError(f"{self.path} is a folder; give a file name for the video")
        if not self.path.parent.is_dir():
            raise OutputError(
                f"there is no folder {self.path.parent} to write {self.path.name} into; make it"
            )
        try:
            with self._reported():
                # Made here, so that the file has the permissions that the user's umask gives.
                self._temporary.touch(exist_ok=False)
                self._begin()
        except BaseException:
            self._abandon()
            raise
        self._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._abandon()
            return
        try:
            with self._reported():
                self._finish()
        except BaseException:
            self._abandon()
            raise

    def write(self, frames: UInt8[np.ndarray, "T H W c"]) -> None:
        """Append RGB frames [T, H, W, 3], or clear ones [T, H, W, 4].

        Raises InputError for another size than the file's, OutputError when the disk is full,
        StateError outside the `with` block.
        """
        self._require_open()
        width, height = self.size
        if frames.shape[1:] != (height, width, self._channels) or frames.dtype != np.uint8:
            raise InputError(
                f"got frames {frames.shape} of {frames.dtype}; wanted uint8 "
                f"[T, {height}, {width}, {self._channels}]"
            )
        with self._reported():
            for pixels in frames:
                self._put(pixels)
                self.frames += 1
                if self._sound is not None and self._container is not None:
                    self._container.mux(self._sound.until(self.frames / self.rate))

    def _require_open(self) -> None:
        if not self._open:
            name = type(self).__name__
            raise StateError(f"{self.path} is not open for writing; use `with {name}(...)`")

    def _put(self, pixels: UInt8[np.ndarray, "H W c"]) -> None:
        """Write the next frame."""
        frame = self._picturing.frame(pixels)
        frame.pts, frame.time_base = self.frames, 1 / self.rate
        assert self._container is not None
        self._container.mux(self._video.encode(frame))

    def _begin(self) -> None:
        container = self._new_container()
        self._add_picture(container)
        if self._sound is not None:
            self._sound.open(container, self._config.audio_bit_rate)

    def _new_container(self) -> "OutputContainer":
        import av

        muxer = self._coding.muxer
        options = {"movflags": "+faststart"} if muxer in ("mp4", "mov") else {}
        self._container = av.open(
            os.path.abspath(self._temporary),
            mode="w",
            format=muxer,
            container_options=options if self._coding.sound else {"loop": "0"},
        )
        return self._container

    def _add_picture(self, container: "OutputContainer") -> None:
        from av.video.stream import VideoStream

        options, coding = dict(self._coding.options), self._coding
        if coding.encoder == "libx264":
            options = {"preset": self._config.preset, "crf": str(self._config.crf), "bf": "0"}
        stream = container.add_stream(coding.encoder, rate=self.rate, options=options)
        assert isinstance(stream, VideoStream)
        self._video = stream
        self._video.width, self._video.height = self.size
        self._video.pix_fmt = coding.pixels
        self._video.time_base = 1 / self.rate
        context = self._video.codec_context
        context.time_base = 1 / self.rate
        context.thread_count = self._config.threads
        if coding.pixels.startswith("yuv"):
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED_RANGE

    def _last_packets(self) -> "list[Packet]":
        """What the encoder of the picture still holds."""
        return self._video.encode(None)

    def _finish(self) -> None:
        self._require_open()
        if self.frames == 0:
            raise OutputError(f"no frame was given for {self.path}, so nothing was written")
        self._close()
        if self._seal is not None:
            self._seal(self._temporary)
        descriptor = os.open(self._temporary, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(self._temporary, self.path)
        self._open = False

    def _close(self) -> None:
        """Write what is left."""
        assert self._container is not None
        self._container.mux(self._last_packets())
        if self._sound is not None:
            self._container.mux(self._sound.finish(self.frames / self.rate))
        container, self._container = self._container, None
        container.close()

    def _abandon(self) -> None:
        """Remove what was written. The name goes first: closing then cannot rewrite the file."""
        from av.error import FFmpegError

        container, self._container = self._container, None
        self._open = False
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)
        if container is not None:
            with contextlib.suppress(FFmpegError, OSError):
                container.close()
        self._temporary.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Turn what ffmpeg and the system say into an OutputError."""
        from av.error import FFmpegError

        try:
            yield
        except (FFmpegError, OSError) as error:
            raise OutputError(
                f"cannot write {self.path}: {error.strerror or error}; nothing was left there"
            ) from error


def _turn(pixels: UInt8[np.ndarray, "h w 3"], matrix: "np.ndarray") -> UInt8[np.ndarray, "H W 3"]:
    """Apply a display matrix: x' = a x + c y, y' = b x + d y, in quarter turns and mirrors."""
    (a, b), (c, d) = matrix[0, :2].tolist(), matrix[1, :2].tolist()
    if abs(a) + abs(d) < abs(b) + abs(c):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
