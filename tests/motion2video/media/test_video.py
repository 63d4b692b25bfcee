"""Reading and writing video, on files that the tests make themselves."""

import os
import resource
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from motion2video.media.video import (
    EncoderConfig,
    VideoWriter,
    exact_rate,
    frames_at,
    probe,
    read_video,
)
from weights.errors import InputError, MediaError, OutputError, StateError

QUICK = EncoderConfig(preset="ultrafast", threads=1)


def grey(level: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((1, height, width, 3), level, np.uint8)


def ramp(count: int) -> np.ndarray:
    """Frames that carry their own number: grey level 40 + 4 n."""
    return np.concatenate([grey(40 + 4 * n) for n in range(count)])


def numbers(frames: list[np.ndarray]) -> list[int]:
    return [round((float(f.mean()) - 40) / 4) for f in frames]


def write_stamped(
    path: Path,
    times: list[float],
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    **stream_settings: object,
) -> Path:
    """The frames of `ramp` shown at `times` seconds, as any encoder would store them."""
    options = {"bf": "0"} if codec == "libx264" else {}
    with av.open(str(path), "w") as container:
        # Without re-ordered frames the file also keeps how long the last one stays.
        stream = container.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        stream.codec_context.time_base = Fraction(1, 1000)
        for name, value in stream_settings.items():
            setattr(stream.codec_context, name, value)
        for n, at in enumerate(times):
            pixels = np.ascontiguousarray(grey(40 + 4 * n, *size)[0])
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(at * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decode_sound(path: Path) -> tuple[np.ndarray, int, float]:
    """(samples, rate, time of the first sample) as a player hears them."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    samples = np.concatenate([f.to_ndarray().mean(axis=0) for f in frames])
    return samples, frames[0].sample_rate, frames[0].time or 0.0


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (25.0, Fraction(25)),
        (30.0, Fraction(30)),
        (29.97, Fraction(30000, 1001)),
        (30000 / 1001, Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (12.5, Fraction(25, 2)),
    ],
)
def test_exact_rate(fps: float, rate: Fraction) -> None:
    assert exact_rate(fps) == rate


@pytest.mark.parametrize("fps", [0.0, -1.0, 1000.0, float("nan")])
def test_exact_rate_refuses(fps: float) -> None:
    with pytest.raises(InputError, match="frames a second"):
        exact_rate(fps)


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("fps", [25.0, 29.97])
@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
def test_click_stays_at_one_second_and_lengths_agree(
    tmp_path: Path, ending: str, fps: float, sample_rate: int
) -> None:
    path, count = tmp_path / f"out.{ending}", 43
    sound = np.zeros(3 * sample_rate, np.float32)  # longer than the picture: cut
    sound[sample_rate] = 0.9
    with VideoWriter(path, (64, 48), fps, sound, sample_rate, QUICK) as out:
        for n in range(count):
            out.write(grey(40 + 4 * n))
    samples, rate, first = decode_sound(path)
    assert first == pytest.approx(0.0, abs=1e-3)
    assert first + np.argmax(np.abs(samples)) / rate == pytest.approx(1.0, abs=2e-3)
    info = probe(path)
    seconds = count / exact_rate(fps)
    assert (info.video_codec, info.pixel_format, info.audio_codec) == ("h264", "yuv420p", "aac")
    assert (info.size, info.frames) == ((64, 48), count)
    assert info.fps == pytest.approx(float(exact_rate(fps)), abs=1e-6)
    assert info.video_start == info.audio_start == 0.0
    assert info.video_seconds == pytest.approx(float(seconds), abs=1e-3)
    assert abs((info.audio_seconds or 0) - seconds) < 1 / fps
    assert abs(len(samples) / rate - seconds) < 1 / fps
    assert info.faststart is (ending != "mkv")
    assert numbers(list(frames_at(path, fps))) == list(range(count))
    assert os.listdir(tmp_path) == [path.name]


def test_a_short_sound_is_followed_by_silence(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    tone = 0.5 * np.sin(np.arange(8_000) * 2 * np.pi * 440 / 16_000)
    with VideoWriter(path, (64, 48), 25.0, tone.astype(np.float32), 16_000, QUICK) as out:
        out.write(ramp(25))
    samples, rate, _ = decode_sound(path)
    assert len(samples) == pytest.approx(rate, abs=1024)
    level = np.sqrt(np.mean(samples[rate // 10 : 4 * rate // 10] ** 2))
    assert level == pytest.approx(0.5 / np.sqrt(2), rel=0.03)
    assert np.abs(samples[6 * rate // 10 :]).max() < 1e-3


def test_without_sound(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", (64, 48), config=QUICK) as out:
        out.write(ramp(3))
    info = probe(tmp_path / "out.mp4")
    assert (info.frames, info.audio_codec, info.audio_seconds) == (3, None, None)
    assert info.faststart


def test_pictures_come_back(tmp_path: Path) -> None:
    """Colours through BT.709 and back, and nothing is shifted."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (4, 6, 8, 3), dtype=np.uint8)
    frames = blocks.repeat(8, axis=1).repeat(8, axis=2)
    path = tmp_path / "out.mp4"
    with VideoWriter(path, (64, 48), config=EncoderConfig(crf=4, threads=1)) as out:
        out.write(frames[:3])
        out.write(frames[3:])
    with read_video(path) as reader:
        assert (reader.size, reader.frames, reader.fps) == ((64, 48), 4, 25.0)
        back = np.stack(list(reader))
    centre = np.s_[:, 4::8, 4::8]
    assert np.abs(back[centre].astype(int) - frames[centre]).max() <= 8
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert context.colorspace == context.color_primaries == context.color_trc == 1
        assert context.color_range == 1
        assert not context.has_b_frames


def test_frames_may_be_read_once(tmp_path: Path) -> None:
    path = write_stamped(tmp_path / "a.mp4", [0.0, 0.04])
    with read_video(path) as reader:
        assert numbers(list(reader)) == [0, 1]
        with pytest.raises(StateError, match="read already"):
            next(iter(reader))


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_frames_at_follows_the_time_stamps(tmp_path: Path, ending: str) -> None:
    """Variable rate: frame 1 stays for a third of a second, the others for 40 ms."""
    times = [0.0, 0.04, 0.36, 0.40, 0.44]
    path = write_stamped(tmp_path / f"a.{ending}", times)
    with read_video(path) as reader:
        assert [float(at) for at, _ in reader.timed()] == pytest.approx(times, abs=1e-3)
    assert numbers(list(frames_at(path, 25.0))) == [0] + [1] * 8 + [2, 3, 4]


@pytest.mark.parametrize(
    ("stored", "wanted", "expected"),
    [
        (25.0, 25.0, list(range(20))),
        (50.0, 25.0, [*range(0, 20, 2)]),
        (30.0, 25.0, [0, 1, 2, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16, 17, 18, 19]),
        (12.5, 25.0, [n // 2 for n in range(40)]),
    ],
)
def test_frames_at_takes_the_nearest(
    tmp_path: Path, stored: float, wanted: float, expected: list[int]
) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, (64, 48), stored, config=QUICK) as out:
        out.write(ramp(20))
    found = numbers(list(frames_at(path, wanted)))
    assert len(found) == round(20 / stored * wanted)
    exact = np.arange(len(found)) / wanted * stored
    assert np.abs(np.array(found) - exact).max() <= 0.5 + 1e-6
    assert found == expected


def test_frames_at_gives_frames_of_their_own(tmp_path: Path) -> None:
    path = write_stamped(tmp_path / "a.mp4", [0.0, 0.2])
    for frame in frames_at(path, 25.0):
        assert frame.max() < 200
        frame[:] = 255


TURNS = {
    # (degrees counter-clockwise, mirrored) -> corner of the white quarter, stored top left
    (0, False): (0, 0),
    (90, False): (1, 0),
    (180, False): (1, 1),
    (-90, False): (0, 1),
    (0, True): (0, 1),
    (90, True): (1, 1),
}


@pytest.mark.parametrize(("turn", "mirrored"), TURNS)
def test_rotation_marks_are_honoured(tmp_path: Path, turn: int, mirrored: bool) -> None:
    path = tmp_path / "a.mp4"
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32] = 255
    pixels[:24, 32:] = 120  # to the right of the white quarter, as it is stored
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(turn, mirrored)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    with read_video(path) as reader:
        frame = next(iter(reader))
        width, height = reader.size
    assert (width, height) == ((48, 64) if turn in (90, -90) else (64, 48))
    assert frame.shape == (height, width, 3)
    row, column = TURNS[turn, mirrored]
    quarters = frame.reshape(2, height // 2, 2, width // 2, 3).mean(axis=(1, 3, 4))
    assert quarters[row, column] > 245
    neighbour = quarters[1 - row, column] if turn in (90, -90) else quarters[row, 1 - column]
    assert neighbour == pytest.approx(120, abs=8)


def test_odd_sizes_and_pixels_that_are_not_square(tmp_path: Path) -> None:
    odd = write_stamped(tmp_path / "odd.mkv", [0.0, 0.04], size=(63, 47), codec="ffv1")
    with read_video(odd) as reader:
        assert reader.size == (63, 47)
        assert [f.shape for f in reader] == [(47, 63, 3)] * 2
    wide = write_stamped(tmp_path / "wide.mp4", [0.0], sample_aspect_ratio=Fraction(4, 3))
    with read_video(wide) as reader:
        assert reader.size == (85, 48)
        assert next(iter(reader)).shape == (48, 85, 3)


def test_reading_errors_say_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video " * 500)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\n/etc/hostname\n")
    whole = write_stamped(tmp_path / "whole.mp4", [n / 25 for n in range(50)])
    for ending in ("mp4", "mkv"):
        noise = np.random.default_rng(0).integers(0, 256, (50, 48, 64, 3), dtype=np.uint8)
        path = tmp_path / f"cut.{ending}"
        with VideoWriter(path, (64, 48), config=QUICK) as out:
            out.write(noise)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with av.open(str(tmp_path / "sound.mka"), "w", format="matroska") as container:
        stream = container.add_stream("flac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    cases = {
        "missing.mp4": "there is no file",
        "": "is a folder",
        "empty.mp4": "empty",
        "text.mp4": "not a sound or video file",
        "list.m3u8": "not a sound or video file",
        "sound.mka": "no picture",
        "cut.mp4": r"cut off",
        "cut.mkv": r"should last 2\.0 s, but only [01]\.\d s",
    }
    for name, message in cases.items():
        with pytest.raises(MediaError, match=message):
            list(frames_at(tmp_path / name, 25.0))
    with pytest.raises(MediaError, match=r"64 x 48 pixels; at most 0\.0 million"):
        read_video(whole, max_pixels=3000)
    for read in (read_video(whole, max_frames=49), frames_at(whole, 25.0, max_frames=49)):
        with pytest.raises(MediaError, match="more than 49 frames"):
            list(read)
    with pytest.raises(MediaError, match="more than 100 frames"):
        list(frames_at(write_stamped(tmp_path / "gap.mp4", [0.0, 9.0]), 25.0, max_frames=100))
    with pytest.raises(InputError, match="frames a second"):
        next(frames_at(whole, 0.0))


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    cases: dict[str, tuple[type[Exception], str]] = {
        "folder.mp4": (OutputError, "is a folder"),
        "nowhere/out.mp4": (OutputError, "there is no folder"),
        "out.avi": (InputError, r"\.mp4, \.mov, \.mkv"),
        "out": (InputError, r"\.mp4"),
    }
    for name, (kind, message) in cases.items():
        with pytest.raises(kind, match=message), VideoWriter(tmp_path / name, (64, 48)) as out:
            out.write(grey(9))
    for size in ((63, 48), (64, 0), (32768, 16)):
        with pytest.raises(InputError, match="even sides"):
            VideoWriter(tmp_path / "out.mp4", size)
    with pytest.raises(InputError, match="one row"):
        VideoWriter(tmp_path / "out.mp4", (64, 48), audio=np.zeros(4, np.float32), sample_rate=0)
    # /proc takes no new files, not even from root.
    place = Path("/proc")
    if os.getuid() != 0:
        place = tmp_path / "locked"
        place.mkdir(mode=0o555)
    with pytest.raises(OutputError, match="cannot write"), VideoWriter(place / "o.mp4", (64, 48)):
        pass
    assert [p for p in os.listdir(tmp_path) if p != "locked"] == ["folder.mp4"]


def test_misuse_is_refused(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", (64, 48), config=QUICK)
    with pytest.raises(StateError, match="not open"):
        writer.write(grey(9))
    with pytest.raises(InputError, match="wanted uint8"), writer:
        writer.write(grey(9, 32, 48))
    with pytest.raises(OutputError, match="no frame"), VideoWriter(tmp_path / "out.mp4", (64, 48)):
        pass
    assert os.listdir(tmp_path) == []


def test_an_old_file_survives_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, (64, 48), config=QUICK) as out:
        out.write(ramp(30))
        assert len(os.listdir(tmp_path)) == 2
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["out.mp4"]
    assert path.read_bytes() == b"old"
    with VideoWriter(path, (64, 48), config=QUICK) as out:
        out.write(ramp(3))
    assert probe(path).frames == 3


WRITE_NOISE = """
import signal, sys
import numpy as np
from motion2video.media.video import EncoderConfig, VideoWriter
from weights.errors import OutputError
# What is started in the background ignores Ctrl-C, and hands that on to its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
noise = np.random.default_rng(0).integers(0, 256, (1, 240, 320, 3), dtype=np.uint8)
sound = np.zeros(16_000 * 600, np.float32)
config = EncoderConfig(preset="ultrafast", crf=1, threads=1)
try:
    with VideoWriter(sys.argv[1], (320, 240), 25.0, sound, 16_000, config) as out:
        for n in range(int(sys.argv[2])):
            out.write(np.roll(noise, 7 * n, axis=2))
            print(n, flush=True)
except OutputError as error:
    print("OutputError", error)
"""


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_NOISE, str(tmp_path / "out.mp4"), "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        while process.stdout.readline() != b"20\n":
            assert process.poll() is None
        assert len(os.listdir(tmp_path)) == 1
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert b"KeyboardInterrupt" in error
    assert time.monotonic() - begun < 5.0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("frames", [60, 5])
def test_full_disk_leaves_nothing(tmp_path: Path, frames: int) -> None:
    """A file system of 256 KiB, full while writing, or only when the file is put in order."""
    room = tmp_path / "room"
    room.mkdir()
    size = 256 if frames == 60 else measured_kib(tmp_path, frames)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(room)]
    mounted = os.getuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    if not mounted and frames == 5:
        pytest.skip("NOT TESTED: only root can mount a file system of an exact size")
    try:
        done = subprocess.run(
            [sys.executable, "-c", WRITE_NOISE, str(room / "out.mp4"), str(frames)],
            capture_output=True,
            text=True,
            timeout=60,
            preexec_fn=None if mounted else limit_file_size,
        )
        left = os.listdir(room)
    finally:
        if mounted:
            subprocess.run(["umount", str(room)], check=True)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("OutputError cannot write")
    assert ("No space left" if mounted else "File too large") in last
    assert done.stderr == ""
    assert left == []


def measured_kib(folder: Path, frames: int) -> int:
    """Room for all of the same file but its last page."""
    path = folder / "whole.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (1, 240, 320, 3), dtype=np.uint8)
    config = EncoderConfig(preset="ultrafast", crf=1, threads=1)
    with VideoWriter(path, (320, 240), 25.0, np.zeros(16_000, np.float32), 16_000, config) as out:
        for n in range(frames):
            out.write(np.roll(noise, 7 * n, axis=2))
    page = resource.getpagesize()
    return path.stat().st_size // page * page // 1024


def limit_file_size() -> None:
    """SIGXFSZ ignored, a write past the limit fails like one to a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, 256 * 1024))


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    script = WRITE_NOISE + (
        "import resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peak = {}
    for count in (40, 160):
        command = [sys.executable, "-c", script, str(tmp_path / "out.mp4"), str(count)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peak[count] = int(done.stdout.splitlines()[-1])
    assert peak[160] < 1.05 * peak[40]


def test_reading_and_writing_need_no_threads_for_every_frame(tmp_path: Path):
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    before, path = threads(), tmp_path / "long.mp4"
    with VideoWriter(path, (64, 48), config=QUICK) as writer:
        for _ in range(60):
            writer.write(grey(90))
        writing = threads() - before
    reading = [threads() - before for _ in frames_at(path, 25.0)]
    assert writing < 20 and max(reading) < 20
