"""Reading what a request names: one small protocol, so that who runs the work says where and how.

`HERE` reads in this process: the user's own files. A server gives a reader that has the files of
strangers decoded elsewhere; the values and the sentences of errors are the same.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from app.render.request import Crop, Source
from audio2motion.gestures.gestures import Gesture
from audio2motion.gestures.timeline import load_timeline
from audio2motion.gestures.transcript import Transcript
from audio2motion.hearing.audio import SAMPLE_RATE, Sound
from audio2motion.hearing.recording import Recording
from motion2video.exchange import read_motion
from motion2video.media.container import MediaInfo, probe
from motion2video.motion import Motion

if TYPE_CHECKING:
    from app.provenance.credentials import Credentials
    from motion2video.faces.tracker import FaceTracker
    from motion2video.portrait.portrait import Portrait

Picture = tuple[UInt8[np.ndarray, "H W 3"], tuple[str, ...]]
"""A picture as upright RGB, and sentences for the user about what was done to it."""


@runtime_checkable
class Reader(Protocol):
    """What there is to read in files. Everything raises as the function does that it stands for."""

    def picture(self, path: Path) -> Picture:
        """As motion2video.portrait.portrait.load_image."""
        ...

    def sound(self, path: Path, channel: int | None = None) -> Sound:
        """As Recording.load, at 16 kHz; of one `channel` (from 0), or of all of them mixed."""
        ...

    def info(self, path: Path) -> MediaInfo:
        """As motion2video.media.container.probe."""
        ...

    def frames(self, path: Path, fps: float | None) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """As motion2video.media.video.frames_at; None: the stored ones, as they are."""
        ...

    def motion(self, path: Path) -> Motion:
        """As motion2video.exchange.read_motion."""
        ...

    def gestures(self, path: Path) -> tuple[Gesture, ...]:
        """As audio2motion.gestures.timeline.load_timeline."""
        ...

    def transcript(self, path: Path) -> Transcript:
        """As Transcript.load."""
        ...

    def credentials(
        self, path: Path, anchors: str = "", beside: bytes | None = None
    ) -> "Credentials | None":
        """As app.provenance.credentials.read."""
        ...

    def pictures(self, path: Path) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """As app.provenance.looking.pictures."""
        ...


class _Here:
    """Reads in this process."""

    def picture(self, path: Path) -> Picture:
        from motion2video.portrait.portrait import load_image

        return load_image(path)

    def sound(self, path: Path, channel: int | None = None) -> Sound:
        return Recording.load(path, SAMPLE_RATE, channel=channel)

    def info(self, path: Path) -> MediaInfo:
        return probe(path)

    def frames(self, path: Path, fps: float | None) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        from motion2video.media.video import frames_at, stored_frames

        return stored_frames(path) if fps is None else frames_at(path, fps)

    def motion(self, path: Path) -> Motion:
        return read_motion(path)

    def gestures(self, path: Path) -> tuple[Gesture, ...]:
        return load_timeline(path)

    def transcript(self, path: Path) -> Transcript:
        return Transcript.load(path)

    def credentials(
        self, path: Path, anchors: str = "", beside: bytes | None = None
    ) -> "Credentials | None":
        from app.provenance.credentials import read

        return read(path, anchors, beside)

    def pictures(self, path: Path) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        from app.provenance.looking import pictures

        return pictures(path)


HERE: Reader = _Here()


def read_portrait(
    reader: Reader,
    source: Source | UInt8[np.ndarray, "..."],
    tracker: "FaceTracker",
    face: str = "largest",
    size: int | None = None,
    crop: Crop = "full",
    aspect: float | None = None,
) -> "Portrait":
    """As Portrait.load, with a picture file read by `reader`."""
    from motion2video.portrait.portrait import Portrait

    told: tuple[str, ...] = ()
    if not isinstance(source, np.ndarray):
        source, told = reader.picture(Path(source))
    portrait = Portrait.load(source, tracker, face, size, crop, aspect)
    return replace(portrait, notices=(*told, *portrait.notices))
