"""Waveform, Dyad, Rechunker and voice activity, on media that the tests make themselves."""

import os
import subprocess
import sys
import wave
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import onnxruntime
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from hypothesis import given, settings
from hypothesis import strategies as st

from audio2motion.hearing.audio import (
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    Dyad,
    Rechunker,
    VoiceActivity,
    Waveform,
    speech_probability,
    speech_segments,
)
from audio2motion.voice.synthesis import synthesize
from weights.errors import InputError, MediaError, OutputError, StateError

TONE = 440.0
LEVEL = 0.5


def tone(seconds: float, rate: int = SAMPLE_RATE, level: float = LEVEL) -> np.ndarray:
    return level * np.sin(2 * np.pi * TONE / rate * np.arange(round(seconds * rate)))


def write_sound(
    path: Path,
    samples: np.ndarray,
    rate: int,
    codec: str,
    *,
    start: float = 0.0,
    picture_seconds: float = 0.0,
    picture_start: float = 0.0,
    gap: tuple[float, float] | None = None,
) -> Path:
    """`samples` [channels, N] into any container; with a picture on its own clock if wanted.

    `gap` (at, seconds) makes the time stamps jump without storing anything.
    """
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
    with av.open(str(path), "w") as container:
        picture = "libvpx" if path.suffix == ".webm" else "libx264"
        video = container.add_stream(picture, rate=25) if picture_seconds else None
        sound = container.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(sound, AudioStream)
        if isinstance(video, VideoStream):
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
            video.thread_count = 1
            for i in range(round(picture_seconds * 25)):
                frame = av.VideoFrame(32, 32, "yuv420p")
                frame.pts, frame.time_base = i + round(picture_start * 25), Fraction(1, 25)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        size = sound.frame_size or 1024
        for at in range(0, samples.shape[1], size):
            piece = np.ascontiguousarray(samples[:, at : at + size], np.float32)
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
            late = gap[1] if gap and at / rate >= gap[0] else 0.0
            frame.sample_rate = rate
            frame.pts, frame.time_base = at + round((start + late) * rate), Fraction(1, rate)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


def assert_tone(samples: np.ndarray, level: float = LEVEL, tolerance: float = 0.01) -> None:
    """A pure tone from sample 0 on: frequency, level, and phase to a third of a sample."""
    first = len(samples) // 4
    middle = samples[first : 3 * first]
    t = (first + np.arange(len(middle))) / SAMPLE_RATE
    waves = np.stack([np.sin(2 * np.pi * TONE * t), np.cos(2 * np.pi * TONE * t)])
    found, *_ = np.linalg.lstsq(waves.T, middle, rcond=None)
    assert np.hypot(*found) == pytest.approx(level, rel=tolerance)
    assert abs(np.arctan2(found[1], found[0])) < 2 * np.pi * TONE / SAMPLE_RATE / 3
    assert np.sqrt(np.mean((middle - found @ waves) ** 2)) < tolerance * level


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("ending", "codec", "rate"),
    [
        ("wav", "pcm_s16le", 8_000),
        ("wav", "pcm_s24le", 16_000),
        ("wav", "pcm_u8", 22_050),
        ("wav", "pcm_f32le", 48_000),
        ("flac", "flac", 44_100),
        ("mp3", "libmp3lame", 44_100),
        ("ogg", "libopus", 48_000),
        ("m4a", "aac", 44_100),
        ("mp4", "aac", 16_000),
        ("mov", "aac", 32_000),
        ("webm", "libopus", 48_000),
    ],
)
def test_load_keeps_length_frequency_and_level(
    tmp_path: Path, ending: str, codec: str, rate: int, channels: int
) -> None:
    seconds = 1.3
    sound = np.repeat(tone(seconds, rate)[None], channels, axis=0)
    wave_ = Waveform.load(write_sound(tmp_path / f"a.{ending}", sound, rate, codec))
    assert wave_.sample_rate == SAMPLE_RATE
    assert wave_.samples.dtype == np.float32
    assert len(wave_) == round(seconds * SAMPLE_RATE)
    # LAME turns everything down by 5%; the AAC encoder adds a little noise to so pure a tone.
    assert_tone(wave_.samples, tolerance=0.06 if codec in ("libmp3lame", "aac") else 0.01)


def test_load_at_another_rate(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", tone(0.5, 44_100)[None], 44_100, "pcm_s16le")
    loaded = Waveform.load(path, sample_rate=48_000)
    assert (loaded.sample_rate, len(loaded)) == (48_000, 24_000)


def test_centre_channel_carries_the_voice(tmp_path: Path) -> None:
    surround = np.zeros((6, 16_000))
    surround[2] = tone(1.0)  # FL FR FC LFE BL BR
    loaded = Waveform.load(write_sound(tmp_path / "a.wav", surround, 16_000, "pcm_s16le"))
    assert_tone(loaded.samples, LEVEL / (1.0 + 0.7 + 0.7 + 0.5 + 0.5))


@pytest.mark.parametrize(
    ("ending", "codec"),
    [("mp4", "aac"), ("mov", "pcm_s16le"), ("mkv", "flac"), ("webm", "libopus")],
)
@pytest.mark.parametrize("start", [0.0, 0.4])
def test_sample_zero_is_time_zero_of_the_picture(
    tmp_path: Path, ending: str, codec: str, start: float
) -> None:
    click = np.zeros((1, 48_000), np.float32)
    click[0, 24_000:24_004] = 0.9
    path = write_sound(
        tmp_path / f"a.{ending}", click, 48_000, codec, start=start, picture_seconds=1.0
    )
    samples = Waveform.load(path).samples
    at = np.argmax(np.abs(samples)) / SAMPLE_RATE
    assert at == pytest.approx(0.5 + start, abs=0.002)


def test_sound_before_the_picture_is_cut(tmp_path: Path) -> None:
    click = np.zeros((1, 48_000), np.float32)
    click[0, 36_000:36_004] = 0.9
    path = write_sound(
        tmp_path / "a.mkv", click, 48_000, "flac", picture_seconds=1.0, picture_start=0.4
    )
    samples = Waveform.load(path).samples
    assert np.argmax(np.abs(samples)) / SAMPLE_RATE == pytest.approx(0.35, abs=0.002)
    assert len(samples) / SAMPLE_RATE == pytest.approx(0.6, abs=0.002)


def test_a_gap_in_the_time_stamps_is_silence(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.mkv", tone(1.0)[None], 16_000, "pcm_s16le", gap=(0.5, 0.7))
    samples = Waveform.load(path).samples
    assert len(samples) == pytest.approx(1.7 * SAMPLE_RATE, abs=32)
    assert np.abs(samples[round(0.6 * SAMPLE_RATE) : round(1.15 * SAMPLE_RATE)]).max() == 0.0
    assert_tone(samples[: SAMPLE_RATE // 2])


def cut(path: Path, part: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * part)])
    return path


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    sound = tone(4.0, 44_100)[None]
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.mp3").write_text("this is not music " * 200)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\n/etc/hostname\n")
    with av.open(str(tmp_path / "silent_film.mp4"), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        container.mux(video.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(video.encode(None))
    with wave.open(str(tmp_path / "zero.wav"), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
    for ending, codec in (("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame")):
        cut(write_sound(tmp_path / f"cut.{ending}", sound, 44_100, codec), 0.5)
    cut(write_sound(tmp_path / "cut.m4a", sound, 44_100, "aac"), 0.5)
    cut(write_sound(tmp_path / "cut.mkv", sound, 44_100, "pcm_s16le"), 0.5)
    cases = {
        "missing.wav": "there is no file",
        "": "is a folder",
        "empty.wav": "empty",
        "text.mp3": "not a sound or video file",
        "list.m3u8": "not a sound or video file",
        "silent_film.mp4": "no sound track",
        "zero.wav": "length is zero",
        "cut.wav": r"should last 4\.0 s, but only 2\.0 s",
        "cut.flac": r"only its first 1\.\d s could be read",
        "cut.mp3": r"should last 4\.0 s, but only 2\.0 s",
        "cut.m4a": "cut off",
        "cut.mkv": r"should last 4\.0 s, but only [12]\.\d s",
    }
    for name, message in cases.items():
        with pytest.raises(MediaError, match=message):
            Waveform.load(tmp_path / name)


def test_streamed_wav_without_a_length_is_read(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", tone(1.0)[None], 16_000, "pcm_s16le")
    data = bytearray(path.read_bytes())
    at = data.index(b"data")
    data[4:8] = data[at + 4 : at + 8] = b"\xff" * 4
    path.write_bytes(data)
    assert len(Waveform.load(path)) == SAMPLE_RATE


def test_too_long_sound_is_refused(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", tone(1.0)[None], 16_000, "pcm_s16le")
    with pytest.raises(MediaError, match=r"longer than 0\.9 s"):
        Waveform.load(path, max_seconds=0.9)
    gap = write_sound(tmp_path / "a.mkv", tone(1.0)[None], 16_000, "flac", gap=(0.5, 9e5))
    with pytest.raises(MediaError, match="longer than 7200 s"):
        Waveform.load(gap)


def test_save_and_load_are_inverse(tmp_path: Path) -> None:
    steps = np.random.default_rng(0).integers(-32768, 32768, 5_000)
    sound = Waveform(steps.astype(np.float32) / 32768.0)
    again = Waveform.load(sound.save(tmp_path / "a.wav"))
    np.testing.assert_array_equal(again.samples, sound.samples)
    assert os.listdir(tmp_path) == ["a.wav"]


def test_save_refuses_bad_places(tmp_path: Path) -> None:
    sound = Waveform.silence(0.1)
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(OutputError, match="folder"):
        sound.save(tmp_path / "folder.wav")
    with pytest.raises(InputError, match=r"\.wav"):
        sound.save(tmp_path / "a.mp3")
    with pytest.raises(OutputError, match="No such file"):
        sound.save(tmp_path / "nowhere" / "a.wav")
    assert os.listdir(tmp_path) == ["folder.wav"]


@pytest.mark.parametrize(("count", "frames"), [(0, 0), (1, 1), (640, 1), (641, 2), (16_000, 25)])
def test_frames_round_up(count: int, frames: int) -> None:
    assert Waveform(np.zeros(count, np.float32)).frames == frames
    assert Waveform(np.zeros(count * 3, np.float32), 48_000).frames == frames


def test_waveform_refuses_bad_samples() -> None:
    with pytest.raises(MediaError, match="finite"):
        Waveform(np.array([0.0, np.nan], np.float32))
    with pytest.raises(MediaError, match="sample rate"):
        Waveform(np.zeros(3, np.float32), 0)
    with pytest.raises(ValueError, match="pad"):
        Waveform.silence(1.0).pad_to(10)


def test_silence_and_music_are_told_from_speech() -> None:
    speech = synthesize("Good morning, how are you today?")
    speech.require_speech("the agent's audio")
    Waveform(np.array([0.0, 2e-4], np.float32)).require_sound()
    with pytest.raises(MediaError, match="the agent's audio is silent"):
        Waveform(np.full(16_000, 5e-5, np.float32)).require_sound("the agent's audio")
    hum = Waveform(tone(2.0).astype(np.float32))
    hum.require_sound()
    assert not hum.has_speech
    with pytest.raises(MediaError, match="no speech was found in the hum"):
        hum.require_speech("the hum")


def test_align_pads_the_shorter_voice_and_says_so() -> None:
    short, long = Waveform(np.ones(16_000, np.float32)), Waveform(np.ones(40_000, np.float32))
    dyad, notices = Dyad.align(long, short)
    assert dyad.frames == 63
    assert len(dyad.interlocutor or ()) == 40_000
    assert notices == (
        "the interlocutor's audio is 1.5 s shorter than the agent's: silence was added at its end",
    )
    assert "the agent's audio is 1.5 s shorter" in Dyad.align(short, long)[1][0]
    assert Dyad.align(short, None)[1] == Dyad.align(short, short)[1] == ()
    with pytest.raises(MediaError, match=r"Dyad\.align"):
        Dyad(short, long)
    with pytest.raises(MediaError, match="16000"):
        Dyad(Waveform(np.zeros(9, np.float32), 8_000))


@pytest.mark.parametrize("other", [True, False])
def test_chunks_joined_are_the_dyad(other: bool) -> None:
    samples = np.random.default_rng(1).random(10_000, np.float32)
    dyad = Dyad(Waveform(samples), Waveform(-samples) if other else None)
    parts = list(dyad.chunks(frames=5))
    assert [p.frames for p in parts] == [5, 5, 5, 1]
    np.testing.assert_array_equal(np.concatenate([p.agent.samples for p in parts]), samples)
    voices = [p.interlocutor for p in parts]
    if other:
        np.testing.assert_array_equal(np.concatenate([v.samples for v in voices if v]), -samples)
    else:
        assert voices == [None] * 4


cuts = st.lists(st.integers(0, 400), max_size=12)


@given(lengths=cuts, size=st.integers(1, 300))
@settings(deadline=None, max_examples=60, database=None)
def test_any_cut_gives_the_same_chunks(lengths: list[int], size: int) -> None:
    samples = np.arange(sum(lengths), dtype=np.float32)
    rechunker, chunks = Rechunker(size), []
    for piece in np.split(samples, np.cumsum(lengths)):
        chunks += rechunker.push(piece)
    last, count = rechunker.flush()
    assert all(len(c) == size for c in [*chunks, last])
    assert len(chunks) == len(samples) // size
    assert count == len(samples) % size
    np.testing.assert_array_equal(np.concatenate([*chunks, last[:count]]), samples)
    assert not last[count:].any()
    with pytest.raises(StateError):
        rechunker.push(samples)
    with pytest.raises(StateError):
        rechunker.flush()


@pytest.fixture(scope="module")
def conversation() -> Waveform:
    """A second of silence, some words, and so on."""
    pause = np.zeros(SAMPLE_RATE, np.float32)
    words = synthesize("I am not sure that I can agree with this.").samples
    return Waveform(np.concatenate([pause, words, pause, words, pause])[:-77])


@pytest.mark.parametrize("step", [1, 333, 512, 640, 3200, 10**6])
def test_voice_activity_does_not_depend_on_the_cut(conversation: Waveform, step: int) -> None:
    samples = conversation.samples[20_000:28_100] if step == 1 else conversation.samples
    activity, values = VoiceActivity(), []
    for at in range(0, len(samples), step):
        values.append(activity.push(samples[at : at + step]))
    values.append(activity.flush())
    joined = np.concatenate(values)
    expected = speech_probability(Waveform(samples))
    assert len(joined) == Waveform(samples).frames
    np.testing.assert_array_equal(joined, expected)
    with pytest.raises(StateError):
        activity.push(samples)


def test_voice_activity_is_causal(conversation: Waveform) -> None:
    frame = 60
    samples = conversation.samples.copy()
    samples[frame * SAMPLES_PER_FRAME :] = 0.0
    before, after = speech_probability(conversation), speech_probability(Waveform(samples))
    np.testing.assert_array_equal(before[:frame], after[:frame])
    assert (before[frame:] != after[frame:]).any()


def test_voice_activity_equals_the_networks_own_front_end(conversation: Waveform) -> None:
    """The whole recording in one run, against 640 samples at a time through the buffer."""
    package = find_spec("silero_vad")
    assert package and package.origin
    model = Path(package.origin).parent / "data" / "silero_vad_16k_sequence.onnx"
    count = len(conversation) // 512
    windows = np.zeros((count, 576), np.float32)
    windows[:, 64:] = conversation.samples[: count * 512].reshape(count, 512)
    windows[1:, :64] = windows[:-1, -64:]
    state = np.zeros((1, 1, 128), np.float32)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    reference = np.asarray(session.run(None, {"input": windows, "h": state, "c": state})[0])
    frames = np.arange(len(conversation) // SAMPLES_PER_FRAME)
    latest = (frames + 1) * SAMPLES_PER_FRAME // 512 - 1
    found = speech_probability(conversation)[: len(frames)]
    np.testing.assert_allclose(found, reference[latest], atol=0.011)


def test_speech_segments_find_the_words(conversation: Waveform) -> None:
    segments = speech_segments(conversation)
    words = (len(conversation) + 77 - 3 * SAMPLE_RATE) / 2 / SAMPLE_RATE
    assert len(segments) == 2
    for (start, end), begin in zip(segments, (1.0, 2.0 + words), strict=True):
        assert start == pytest.approx(begin, abs=0.25)
        assert end == pytest.approx(begin + words, abs=0.25)
    assert speech_segments(Waveform.silence(1.0)) == []
    with pytest.raises(MediaError, match="8000"):
        speech_segments(Waveform(np.zeros(9, np.float32), 8_000))


def test_imports_are_light_and_torch_is_left_alone() -> None:
    """Importing the package silero_vad would set torch's thread count for the process."""
    script = (
        "import sys\n"
        "from audio2motion.hearing.audio import Waveform, speech_segments\n"
        "import audio2motion.voice.synthesis\n"
        "heavy = {'av', 'onnxruntime', 'silero_vad', 'soxr', 'torch'}\n"
        "assert not heavy & set(sys.modules)\n"
        "speech_segments(Waveform.silence(0.5))\n"
        "assert not {'silero_vad', 'torch'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
