"""Frames that were rendered once, on disk, found again by the motion that made them.

A frame of the renderer depends on the portrait, the settings, the seed and its own row of the
motion, on nothing else. So within one clip the row is the frame's name: after an edit the rows that
did not change give the very frames that were drawn before, and only the others are drawn.
"""

import hashlib
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from motion2video.motion import Motion

Frame = UInt8[np.ndarray, "H W 3"]
Draw = Callable[[Motion], Iterator[Frame]]
"""Renders the frames of a motion, one by one."""
_LEVEL = 1  # zlib's fastest: a third of the raw size, as most of a frame is the photo


class FrameCache:
    """The frames of one clip: one portrait at one size, one seed, one set of renderer settings.

    Each is kept without loss as its difference to the photo, about 200 kB at 512 px. Memory does
    not grow with them. The folder belongs to the cache; whoever made the folder removes it.
    """

    def __init__(self, folder: Path, photo: Frame) -> None:
        self.folder, self._photo = folder, photo
        self._known = {path.name for path in folder.iterdir()}

    def __len__(self) -> int:
        return len(self._known)

    def put(self, row: Float[np.ndarray, "90"], frame: Frame) -> None:
        """Keep the frame that a row of motion gave."""
        name = _name(row)
        if name not in self._known:
            packed = zlib.compress((frame - self._photo).tobytes(), _LEVEL)
            (self.folder / name).write_bytes(packed)
            self._known.add(name)

    def get(self, row: Float[np.ndarray, "90"]) -> Frame | None:
        """The frame of a row, bit for bit, or None."""
        name = _name(row)
        if name not in self._known:
            return None
        raw = zlib.decompress((self.folder / name).read_bytes())
        return np.frombuffer(raw, np.uint8).reshape(self._photo.shape) + self._photo

    def remove(self) -> None:
        """Delete every frame."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._known.clear()

    def missing(self, motion: Motion) -> Bool[np.ndarray, "T"]:
        """Which frames of a motion have to be drawn."""
        return np.array([_name(row) not in self._known for row in motion.values], bool)

    def frames(self, motion: Motion, draw: Draw) -> Iterator[tuple[bool, Frame]]:
        """Every frame of a motion, with whether it was drawn now; those that are missing are
        drawn, all in one go, and kept.
        """
        missing = self.missing(motion)
        drawn = draw(Motion(motion.values[missing], motion.fps)) if missing.any() else iter(())
        for row, is_missing in zip(motion.values, missing, strict=True):
            if is_missing:
                frame = next(drawn)
                self.put(row, frame)
            else:
                frame = self.get(row)
                assert frame is not None
            yield bool(is_missing), frame


def _name(row: Float[np.ndarray, "90"]) -> str:
    """-0 and 0 are one value and have one name."""
    return hashlib.blake2b((row + np.float32(0)).tobytes(), digest_size=16).hexdigest()
