"""The one loop from frames to a file: what is written, what is told, and how it ends."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.render.filming import film
from audio2motion.hearing.audio import Waveform
from motion2video.media.video import probe, read_video

SHADES = (20, 60, 100, 140, 180, 220)


def frames() -> Iterator[np.ndarray]:
    """Six grey frames, each brighter than the last."""
    for shade in SHADES:
        yield np.full((32, 48, 3), shade, np.uint8)


def test_what_is_skipped_is_drawn_and_neither_written_nor_watched(tmp_path: Path) -> None:
    watched: list[int] = []
    told: list[tuple[str, int, int]] = []
    out = tmp_path / "v.mp4"
    made = film(
        frames(),
        out,
        25.0,
        Waveform(np.zeros(16_000, np.float32)),
        skip=2,
        total=4,
        watch=lambda frame: watched.append(int(frame[0, 0, 0])),
        progress=lambda what, done, total: told.append((what, done, total)),
        doing="cutting",
    )
    assert watched == list(SHADES[2:])
    assert told == [("cutting", i, 4) for i in range(1, 5)]
    assert (made.frames, made.fps, made.size) == (4, 25.0, (48, 32))
    assert (probe(out).frames, probe(out).size, probe(out).audio_codec) == (4, (48, 32), "aac")
    with read_video(out) as video:
        shades = [int(frame.mean()) for frame in video]
    assert shades == pytest.approx(SHADES[2:], abs=4)


@pytest.mark.parametrize("who", ["watch", "progress", "frames"])
def test_who_raises_ends_it_and_leaves_nothing(who: str, tmp_path: Path) -> None:
    def stop(*values: object) -> None:
        raise KeyboardInterrupt

    def broken() -> Iterator[np.ndarray]:
        yield next(frames())
        raise KeyboardInterrupt

    source = broken() if who == "frames" else frames()
    watch, progress = stop if who == "watch" else None, stop if who == "progress" else None
    with pytest.raises(KeyboardInterrupt):
        film(source, tmp_path / "v.mp4", 25.0, watch=watch, progress=progress)
    assert list(tmp_path.iterdir()) == []


def test_more_frames_than_were_expected_are_never_more_than_all(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    film(
        frames(),
        tmp_path / "v.mp4",
        25.0,
        total=4,
        progress=lambda _, done, total: told.append((done, total)),
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4), (5, 5), (6, 6)]
