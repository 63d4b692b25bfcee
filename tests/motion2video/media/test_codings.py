"""Files of every ending: what is transparent stays so, and what cannot be is refused."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from motion2video.media.archive import ArchiveWriter
from motion2video.media.codings import CLEAR_SUFFIXES, SUFFIXES
from motion2video.media.container import probe
from motion2video.media.joining import join_videos
from motion2video.media.video import VideoWriter, read_video
from weights.errors import InputError, OutputError

RED = (200, 40, 30)


def clear_frames(count: int = 4) -> np.ndarray:
    """A red square that moves to the right over nothing."""
    frames = np.zeros((count, 48, 64, 4), np.uint8)
    frames[..., :3] = RED
    for i in range(count):
        frames[i, 8:40, 8 + 4 * i : 32 + 4 * i, 3] = 255
    return frames


def decoded(path: Path) -> list[np.ndarray]:
    """The RGBA frames of a file."""
    import av

    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            assert names == [f"{i + 1:06d}.png" for i in range(len(names))]
            return [np.array(Image.open(io.BytesIO(archive.read(name)))) for name in names]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        if path.suffix == ".webm":  # ffmpeg's own knows nothing of the second layer
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        packets = [*container.demux(stream)]
        frames = [f for p in packets for f in decoder.decode(p if p.size else None)]
        return [frame.to_ndarray(format="rgba") for frame in frames]


@pytest.mark.parametrize("suffix", CLEAR_SUFFIXES)
def test_what_is_transparent_stays_so(suffix: str, tmp_path: Path) -> None:
    path, frames = tmp_path / f"v{suffix}", clear_frames()
    writer = ArchiveWriter if suffix == ".zip" else VideoWriter
    with writer(path, (64, 48), 25.0, clear=True) as out:
        out.write(frames)
    found = decoded(path)
    assert len(found) == len(frames)
    for frame, wanted in zip(found, frames, strict=True):
        assert np.abs(frame[..., 3].astype(int) - wanted[..., 3]).mean() < 8
        solid = wanted[..., 3] == 255
        assert frame[solid][:, :3].mean(0) == pytest.approx(RED, abs=14)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s not in CLEAR_SUFFIXES])
def test_what_cannot_be_transparent_says_what_can(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is written as .*\.webm.*got the name"):
        VideoWriter(tmp_path / f"v{suffix}", (64, 48), clear=True)


def test_a_webm_has_its_sound(tmp_path: Path) -> None:
    path, tone = tmp_path / "v.webm", np.sin(np.arange(16_000) / 10).astype(np.float32) / 2
    with VideoWriter(path, (64, 48), 25.0, tone, 16_000) as out:
        out.write(clear_frames(10)[..., :3])
    info = probe(path)
    assert (info.video_codec, info.audio_codec, info.frames) == ("vp9", "opus", 10)
    assert info.seconds == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_picture_that_moves_goes_round_without_sound(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"v{suffix}"
    with VideoWriter(path, (64, 48), 12.5, np.zeros(8000, np.float32), 16_000) as out:
        out.write(np.concatenate([clear_frames()[..., :3] // (i + 1) for i in range(2)]))
    with Image.open(path) as image:
        assert image.info["loop"] == 0
        assert image.n_frames >= 2  # pyrefly: ignore[missing-attribute]
        assert np.array(image.convert("RGB"))[20, 20].tolist() == pytest.approx(RED, abs=14)
        image.seek(image.n_frames - 1)  # pyrefly: ignore[missing-attribute]
        assert np.array(image.convert("RGB"))[20, 20].mean() < 60


@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_transparent_parts_are_joined_transparent(suffix: str, tmp_path: Path) -> None:
    parts = [tmp_path / f"{i}{suffix}" for i in range(2)]
    for part in parts:
        with VideoWriter(part, (64, 48), 25.0, clear=True) as out:
            out.write(clear_frames(3))
    assert join_videos(parts, tmp_path / f"v{suffix}", 25.0, np.zeros(3000, np.float32)) == 6
    found = decoded(tmp_path / f"v{suffix}")
    assert len(found) == 6
    assert found[4][44, 4, 3] < 20 and found[4][20, 20, 3] > 235


def test_an_archive_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ArchiveWriter(tmp_path / "v.zip", (64, 48)) as out:
        out.write(clear_frames()[..., :3])
        raise KeyboardInterrupt
    with pytest.raises(OutputError, match="no frame"), ArchiveWriter(tmp_path / "v.zip", (64, 48)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_webm_is_read_back(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.webm", (64, 48), 25.0) as out:
        out.write(clear_frames()[..., :3])
    with read_video(tmp_path / "v.webm") as frames:
        assert next(iter(frames))[20, 20].tolist() == pytest.approx(RED, abs=14)
