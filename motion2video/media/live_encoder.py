"""H.264 for somebody who watches while it is made: no delay, every packet by itself."""

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from weights.errors import InputError, StateError

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext


class LiveEncoder:
    """Frames in, Annex B access units out, one for each frame. A key frame with its parameter sets
    comes first and then once a second, so that one can join at any time. Raises InputError for odd
    sides.
    """

    def __init__(self, size: tuple[int, int], fps: int = 25, crf: int = 23) -> None:
        from av.codec.context import CodecContext

        width, height = size
        if width % 2 or height % 2:
            raise InputError(f"got frames of {width} x {height}; wanted even sides")
        context: VideoCodecContext = CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.framerate = Fraction(1, fps), Fraction(fps)
        context.gop_size = fps
        context.thread_count = 1
        context.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": str(crf)}
        self._context, self._count = context, 0

    def encode(self, frame: UInt8[np.ndarray, "h w 3"]) -> tuple[bytes, bool]:
        """The access unit of an RGB frame, and whether it is a key frame."""
        from av.video.frame import VideoFrame

        picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709", threads=1)
        picture.pts = self._count
        self._count += 1
        packets = self._context.encode(picture)
        if len(packets) != 1:
            raise StateError(f"the encoder gave {len(packets)} packets for a frame; wanted one")
        return bytes(packets[0]), packets[0].is_keyframe
