"""A video as its single pictures: a .zip of PNG files, without loss, transparent where it is."""

import contextlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from motion2video.media.soundtrack import Readable
from motion2video.media.video import VideoWriter

_QUICK = 1  # zlib's level: PNGs that are a tenth larger, in a third of the time


class ArchiveWriter(VideoWriter):
    """As VideoWriter for a .zip: `000001.png` and so on, in order; sound is left out."""

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        fps: float = 25.0,
        audio: "np.ndarray | Readable | None" = None,
        sample_rate: int = 16_000,
        clear: bool = False,
        seal: Callable[[Path], None] | None = None,
    ) -> None:
        super().__init__(path, size, fps, None, sample_rate, clear=clear, seal=seal)
        self._archive: zipfile.ZipFile | None = None

    def _begin(self) -> None:
        self._archive = zipfile.ZipFile(self._temporary, "w", zipfile.ZIP_STORED)

    def _put(self, pixels: UInt8[np.ndarray, "H W c"]) -> None:
        from PIL import Image

        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "PNG", compress_level=_QUICK)
        assert self._archive is not None
        self._archive.writestr(f"{self.frames + 1:06d}.png", data.getvalue())

    def _close(self) -> None:
        assert self._archive is not None
        self._archive.close()

    def _abandon(self) -> None:
        archive, self._archive = self._archive, None
        super()._abandon()
        if archive is not None and archive.fp is not None:
            with contextlib.suppress(OSError):  # its directory, into a file that is gone
                archive.close()
