"""What the ending of a file's name says: container, coding of the pictures, whether there is sound
and whether pixels may be transparent.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from weights.errors import InputError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


@dataclass(frozen=True)
class Coding:
    """`muxer` and `encoder` are ffmpeg's names, `pixels` the format of what is encoded; `options`
    are the encoder's. `sound` is the encoder of the sound, None for a file that has none.
    """

    muxer: str
    encoder: str
    pixels: str
    options: tuple[tuple[str, str], ...] = ()
    sound: str | None = "aac"


ARCHIVE = ".zip"
"""Of single pictures: see archive.py."""
_VP9 = (
    *(("deadline", "realtime"), ("cpu-used", "6"), ("row-mt", "1"), ("crf", "24"), ("b", "0")),
    # No frame that is not shown, none that waits: alpha allows neither.
    *(("auto-alt-ref", "0"), ("lag-in-frames", "0")),
)
_WEBP = (("quality", "75"), ("compression_level", "2"))
_ZIP = Coding("zip", "png", "rgba", (), None)
_PLAIN = {
    ".mp4": Coding("mp4", "libx264", "yuv420p"),
    ".mov": Coding("mov", "libx264", "yuv420p"),
    ".mkv": Coding("matroska", "libx264", "yuv420p"),
    ".webm": Coding("webm", "libvpx-vp9", "yuv420p", _VP9, "libopus"),
    ".gif": Coding("gif", "gif", "pal8", (), None),
    ".webp": Coding("webp", "libwebp_anim", "bgra", _WEBP, None),
    ARCHIVE: _ZIP,
}
_CLEAR = {
    ".mov": Coding("mov", "prores_ks", "yuva444p10le", (("profile", "4444"), ("vendor", "apl0"))),
    ".webm": Coding("webm", "libvpx-vp9", "yuva420p", _VP9, "libopus"),
    ARCHIVE: _ZIP,
}
SUFFIXES = tuple(_PLAIN)
CLEAR_SUFFIXES = tuple(_CLEAR)
"""Endings of files that hold transparent pixels."""
PREVIEW_SUFFIXES = (".gif", ".webp")
"""Endings of pictures that move."""


def coding_of(path: Path, clear: bool) -> Coding:
    """How pictures are coded in a file of that name, with transparent pixels or without. Raises
    InputError for an ending that cannot hold them.
    """
    suffix = path.suffix
    known = _CLEAR if clear else _PLAIN
    if suffix.lower() in known:
        return known[suffix.lower()]
    what = "a video with a transparent background" if clear else "video"
    raise InputError(f"{what} is written as {', '.join(known)}; got the name {path.name!r}")


class Picturing:
    """Turns RGB or RGBA arrays into what an encoder takes. All frames of a GIF have the colours of
    its first, so that a background does not flicker.
    """

    def __init__(self, coding: Coding) -> None:
        self._coding = coding
        self._palette: UInt8[np.ndarray, "256 3"] | None = None

    def frame(self, pixels: UInt8[np.ndarray, "H W c"]) -> "VideoFrame":
        """The frame of an encoder."""
        from av.video.frame import VideoFrame

        pixels = np.ascontiguousarray(pixels)
        if self._coding.pixels == "pal8":
            return self._indexed(pixels)
        kind = "rgba" if pixels.shape[2] == 4 else "rgb24"
        frame = VideoFrame.from_ndarray(pixels, format=kind)
        return frame.reformat(format=self._coding.pixels, dst_colorspace="ITU709", threads=1)

    def _indexed(self, pixels: UInt8[np.ndarray, "H W 3"]) -> "VideoFrame":
        from av.video.frame import VideoFrame
        from PIL import Image

        image = Image.fromarray(pixels)
        if self._palette is None:
            found = image.quantize(255).getpalette() or []
            palette = np.zeros((256, 3), np.uint8)
            palette[: len(found) // 3] = np.reshape(found, (-1, 3))
            self._palette = palette
        holder = Image.new("P", (1, 1))
        holder.putpalette(self._palette.tobytes())
        index = image.quantize(palette=holder, dither=Image.Dither.NONE)
        argb = np.dstack([np.full((256, 1), 255, np.uint8), self._palette[:, None]])[:, 0]
        both: Any = np.asarray(index), np.ascontiguousarray(argb)  # as its own code wants it
        return VideoFrame.from_ndarray(both, format="pal8")
