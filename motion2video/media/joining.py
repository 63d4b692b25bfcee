"""Parts of a video, written one by one by VideoWriter, as one file: nothing is encoded again.

The packets of the picture are copied and numbered anew; the sound is encoded here, once and as a
whole, so it is the sound of a video that was written in one go, sample for sample.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from motion2video.media.container import open_media, probe
from motion2video.media.soundtrack import Readable
from motion2video.media.video import VideoWriter
from weights.errors import MediaError

if TYPE_CHECKING:
    from av.container.output import OutputContainer
    from av.packet import Packet


def join_videos(
    parts: Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str],
    fps: float,
    audio: Float[np.ndarray, "N"] | Readable | None = None,
    sample_rate: int = 16_000,
    seal: Callable[[Path], None] | None = None,
) -> int:
    """Write the pictures of `parts`, one after the other, and `audio`, as VideoWriter would have;
    returns the number of frames. `path` appears only when complete; `seal` as VideoWriter's.

    Raises MediaError for parts that are not of one kind, OutputError when it cannot be written.
    """
    if not parts:
        raise MediaError("got no parts of a video to join; wanted at least one")
    size = probe(parts[0]).size
    if size is None:
        raise MediaError(f"{parts[0]} has no picture; wanted a part of a video")
    files = [Path(part) for part in parts]
    joined = _Joiner(files[0], path, size, fps, audio, sample_rate, seal)
    with joined:
        for file in files:
            joined.append(file)
    return joined.frames


class _Joiner(VideoWriter):
    """A VideoWriter whose pictures come encoded, in the way of the file `like`."""

    def __init__(
        self,
        like: Path,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        fps: float,
        audio: Float[np.ndarray, "N"] | Readable | None,
        sample_rate: int,
        seal: Callable[[Path], None] | None,
    ) -> None:
        super().__init__(path, size, fps, audio, sample_rate, seal=seal)
        self._like = like

    def append(self, part: Path) -> None:
        """Copy the pictures of one part."""
        assert self._container is not None
        with open_media(part) as source:
            stream = source.streams.video[0]
            if stream.codec_context.extradata != self._parameters:
                raise MediaError(f"{part} is encoded in another way than {self._like}")
            for packet in source.demux(stream):
                if packet.size == 0:  # tells decoders that this is the end
                    continue
                packet.time_base = 1 / self.rate
                packet.pts = packet.dts = self.frames
                packet.duration = 1
                packet.stream = self._video
                with self._reported():
                    self._container.mux(packet)
                    self.frames += 1
                    if self._sound is not None:
                        self._container.mux(self._sound.until(self.frames / self.rate))

    def _add_picture(self, container: "OutputContainer") -> None:
        with open_media(self._like) as source:
            stream = source.streams.video[0]
            self._parameters = stream.codec_context.extradata
            self._video = container.add_stream_from_template(stream)
            self._video.time_base = 1 / self.rate
            self._video.metadata.update(stream.metadata)  # that there is a second layer: alpha

    def _last_packets(self) -> "list[Packet]":
        return []
