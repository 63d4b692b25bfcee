"""The whole path, with all real parts, on a second of voice."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app import Avatar
from app.cli.commands import main
from app.render.result import RenderResult
from audio2motion.hearing.audio import Waveform
from motion2video.media.video import MediaInfo, probe, read_video
from motion2video.motion import Motion
from weights.errors import InputError

WEIGHTS = pytest.mark.weights(
    "face_landmarker", "autoencoder", "denoiser", "speech_encoder", "motion_generator"
)
pytestmark = WEIGHTS


def require_sound_file(path: Path, frames: int, fps: float, size: tuple[int, int]) -> MediaInfo:
    """Everything that is promised of a file."""
    info = probe(path)
    assert (info.video_codec, info.pixel_format, info.size) == ("h264", "yuv420p", size)
    assert info.faststart
    assert info.frames == frames and info.fps == pytest.approx(fps)
    assert info.video_seconds == pytest.approx(frames / fps, abs=1e-3)
    assert info.video_start == 0
    if info.audio_codec is not None:
        assert info.audio_codec == "aac"
        assert info.audio_start == 0
        assert info.audio_seconds == pytest.approx(frames / fps, abs=1 / fps)
    return info


def digest(frames: Iterator[np.ndarray]) -> str:
    value = hashlib.sha256()
    for frame in frames:
        value.update(frame.tobytes())
    return value.hexdigest()


def test_a_voice_and_a_photo(
    avatar: Avatar, portrait: Path, voice: Path, speech: Waveform, tmp_path: Path
) -> None:
    out, told = tmp_path / "out.mp4", []
    result = avatar.animate(
        portrait=portrait,
        agent_audio=voice,
        size=256,
        seed=3,
        out=out,
        progress=lambda *update: told.append(update),
    )
    frames = speech.frames
    assert require_sound_file(out, frames, 25.0, (256, 256)).audio_codec == "aac"
    rendering = [("rendering", i + 1, frames) for i in range(frames)]
    assert told[-frames:] == rendering
    assert {update[0] for update in told[:-frames]} == {"preparing"}
    assert isinstance(result, RenderResult)
    assert (result.frames, result.fps, result.seed) == (frames, 25.0, 3)
    assert result.size == (256, 256) and result.seconds == pytest.approx(frames / 25)
    assert result.notices == ()
    assert len(result.weights["denoiser"]) == 64 and "torch" in result.versions
    assert json.loads(json.dumps(result.to_json()))["settings"]["size"] == 256
    assert list(tmp_path.iterdir()) == [out]


def test_the_sound_is_the_agents(avatar: Avatar, portrait: Path, tmp_path: Path) -> None:
    from audio2motion.voice.synthesis import synthesize

    said = synthesize("Is it raining?")
    avatar.animate(portrait=portrait, agent_audio=said, size=128, out=tmp_path / "out.mp4")
    heard = Waveform.load(tmp_path / "out.mp4").samples[: len(said)]
    assert np.corrcoef(heard, said.samples[: len(heard)])[0, 1] > 0.97


def test_frames_without_a_file(avatar: Avatar, portrait: Path, speech: Waveform) -> None:
    frames = avatar.frames(portrait=portrait, agent_audio=speech, size=128)
    first = next(frames)
    assert first.shape == (128, 128, 3) and first.dtype == np.uint8
    assert 1 + sum(1 for _ in frames) == speech.frames


@pytest.mark.slow
def test_the_seed_decides(avatar: Avatar, portrait: Path, speech: Waveform) -> None:
    def take(seed: int) -> str:
        return digest(avatar.frames(portrait=portrait, agent_audio=speech, size=128, seed=seed))

    assert take(1) == take(1) != take(2)


@pytest.mark.slow
def test_listening_only(avatar: Avatar, portrait: Path, speech: Waveform, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    result = avatar.animate(portrait=portrait, interlocutor_audio=speech, size=128, out=out)
    require_sound_file(out, speech.frames, 25.0, (128, 128))
    assert any("the agent says nothing" in notice for notice in result.notices)
    assert Waveform.load(out).peak < 1e-3
    avatar.animate(portrait=portrait, interlocutor_audio=speech, size=128, mix="both", out=out)
    assert Waveform.load(out).peak > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("fps", "rate"), [(30.0, 30.0), (29.97, 30000 / 1001), (12.0, 12.0)])
def test_other_rates(
    avatar: Avatar, portrait: Path, speech: Waveform, tmp_path: Path, fps: float, rate: float
) -> None:
    out = tmp_path / "out.mp4"
    result = avatar.animate(portrait=portrait, agent_audio=speech, size=128, fps=fps, out=out)
    frames = round(speech.frames / 25 * rate)
    require_sound_file(out, frames, rate, (128, 128))
    assert result.fps == pytest.approx(rate) and result.frames == frames


@pytest.mark.slow
def test_a_motion_drives_the_face(
    avatar: Avatar, portrait: Path, speech: Waveform, tmp_path: Path
) -> None:
    motion = avatar.motion(agent_audio=speech, seed=5)
    assert len(motion) == speech.frames and motion.fps == 25.0
    path = motion.save(tmp_path / "m.npz")
    by_motion = digest(avatar.frames(portrait=portrait, motion=path, size=128, seed=5))
    by_voice = digest(avatar.frames(portrait=portrait, agent_audio=speech, size=128, seed=5))
    assert by_motion == by_voice


def test_a_motion_without_a_voice_has_no_sound(
    avatar: Avatar, portrait: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    avatar.animate(portrait=portrait, motion=Motion.neutral(12), size=128, out=out)
    assert require_sound_file(out, 12, 25.0, (128, 128)).audio_codec is None


def test_the_sound_of_a_motion_is_cut_and_it_is_said(
    avatar: Avatar, portrait: Path, speech: Waveform, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    result = avatar.animate(
        portrait=portrait, motion=Motion.neutral(10), agent_audio=speech, size=128, out=out
    )
    require_sound_file(out, 10, 25.0, (128, 128))
    assert any("the sound is cut" in notice for notice in result.notices)


@pytest.mark.slow
def test_the_interlocutor_is_seen_and_heard(
    avatar: Avatar, portrait: Path, speech: Waveform, tmp_path: Path
) -> None:
    video = tmp_path / "other.mp4"
    avatar.animate(portrait=portrait, agent_audio=speech, size=256, out=video)
    told = []
    result = avatar.animate(
        portrait=portrait,
        interlocutor_video=video,
        size=128,
        mix="both",
        out=tmp_path / "out.mp4",
        progress=lambda *update: told.append(update[0]),
    )
    require_sound_file(tmp_path / "out.mp4", speech.frames, 25.0, (128, 128))
    before = [what for what in told[: told.index("rendering")] if what != "preparing"]
    assert result.notices == () and before == ["tracking"] * told.count("tracking") != []
    assert Waveform.load(tmp_path / "out.mp4").peak > 0.1


# -- photos as people have them --------------------------------------------------------------


def exif_turned(image: Image.Image, path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned 90 degrees clockwise for viewing
    image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    return path


def with_alpha(image: Image.Image, path: Path) -> Path:
    rows = np.linspace(255, 190, image.height).astype(np.uint8)
    image.putalpha(Image.fromarray(np.repeat(rows[:, None], image.width, 1)))
    image.save(path)
    return path


def in_grey(image: Image.Image, path: Path) -> Path:
    image.convert("L").save(path)
    return path


def odd(image: Image.Image, path: Path) -> Path:
    image.resize((301, 299)).save(path)
    return path


@pytest.mark.parametrize(
    ("make", "name", "size"),
    [
        (exif_turned, "turned.jpg", (256, 256)),
        (with_alpha, "alpha.png", (256, 256)),
        (in_grey, "grey.png", (256, 256)),
        (odd, "odd.png", (256, 254)),
    ],
)
def test_photos_of_all_kinds(
    avatar: Avatar, portrait: Path, tmp_path: Path, make, name: str, size: tuple[int, int]
) -> None:
    with Image.open(portrait) as image:
        path = make(image.resize((400, 400)), tmp_path / name)
    out = tmp_path / "out.mp4"
    result = avatar.animate(portrait=path, motion=Motion.neutral(3), size=256, out=out)
    require_sound_file(out, 3, 25.0, size)
    assert result.size == size and result.notices == ()
    with read_video(out) as frames:
        middle = next(iter(frames))[100:156, 100:156].mean()
    assert 90 < middle < 230  # skin, not the wall or the letter box


@pytest.mark.slow
def test_a_photo_of_more_pixels_than_are_drawn(
    avatar: Avatar, portrait: Path, tmp_path: Path
) -> None:
    with Image.open(portrait) as image:
        image.resize((4_500, 4_500)).save(tmp_path / "large.jpg", quality=50)
    result = avatar.animate(
        portrait=tmp_path / "large.jpg",
        motion=Motion.neutral(2),
        size=256,
        out=tmp_path / "out.mp4",
    )
    assert result.size == (256, 256)
    assert result.notices == ("the picture was reduced from 4500x4500 to 4096x4096 pixels",)


@pytest.mark.slow
def test_of_several_faces_one_is_taken_and_it_is_said(
    avatar: Avatar, portrait: Path, tmp_path: Path
) -> None:
    picture = Image.new("RGB", (768, 512), (200, 200, 200))
    with Image.open(portrait) as right, Image.open(portrait.with_name("man_1.jpg")) as left:
        picture.paste(right.resize((512, 512)), (256, 0))
        picture.paste(left.resize((256, 256)), (0, 128))
    picture.save(tmp_path / "two.png")

    def animate(face: str) -> RenderResult:
        return avatar.animate(
            portrait=tmp_path / "two.png",
            motion=Motion.neutral(1),
            face=face,
            size=768,
            out=tmp_path / f"{face}.mp4",
        )

    largest, leftmost, first = animate("largest"), animate("leftmost"), animate("1")
    assert "2 faces found, using the largest" in largest.notices[0]
    assert "using the leftmost" in leftmost.notices[0] and "using face 1" in first.notices[0]
    assert leftmost.face_box == first.face_box
    assert leftmost.face_box[2] < 256 < largest.face_box[0]


def test_only_the_head(avatar: Avatar, portrait: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    result = avatar.animate(
        portrait=portrait, motion=Motion.neutral(2), crop="head", size=512, out=out
    )
    x0, _, x1, _ = result.face_box
    assert (x1 - x0) / result.size[0] == pytest.approx(0.45, abs=0.02)


# -- the command line ------------------------------------------------------------------------


def test_render_prints_one_json_object(
    portrait: Path, voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / "out.mp4", tmp_path / "report.json"
    words = ["render", "--portrait", str(portrait), "--agent-audio", str(voice), "--size", "128"]
    assert main([*words, "--out", str(out), "--report", str(report), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    told = json.loads(report.read_text())
    assert told == result["report"] and told["level"] in ("green", "amber", "red")
    assert all(check["bar"].startswith("green ") for check in told["checks"])
    assert result["out"] == str(out) and result["settings"]["device"] == "cpu"
    require_sound_file(out, result["frames"], 25.0, (128, 128))


@pytest.mark.slow
def test_motion_then_track_then_render(
    portrait: Path, voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    motion, video, tracked = (tmp_path / n for n in ("m.npz", "v.mp4", "t.npz"))
    assert main(["motion", "--agent-audio", str(voice), "--out", str(motion)]) == 0
    frames = len(Motion.load(motion))
    words = ["render", "--portrait", str(portrait), "--motion", str(motion), "--size", "256"]
    assert main([*words, "--out", str(video)]) == 0
    assert main(["track", str(video), "--out", str(tracked), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["frames"] == result["valid_frames"] == frames
    assert len(Motion.load(tracked)) == frames


@pytest.mark.slow
def test_the_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo.mp4"
    assert main(["demo", "--size", "128", "--fps", "5", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    first, *report = said.splitlines()
    assert first.startswith(f"{out}: ") and "frames/s" in first
    assert any(line.split()[0] == "green" for line in report)
    info = probe(out)
    assert info.video_seconds is not None and 9.0 < info.video_seconds < 16.0
    assert info.audio_codec == "aac" and Waveform.load(out).has_speech


def test_a_device_that_is_not_there(
    portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["render", "--portrait", str(portrait), "--text", "Hi", "--device"]
    for device in ("cuda:99", "abacus"):
        assert main([*words, device, "--out", str(tmp_path / "out.mp4")]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and "cuda" in err
    assert list(tmp_path.iterdir()) == []


def test_steps_of_the_diffusion(portrait: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got 1000 steps"):
        Avatar.load(device="cpu", steps=1000)
    warp_only = Avatar.load(device="cpu", steps=0)
    result = warp_only.animate(
        portrait=portrait, motion=Motion.neutral(1), size=128, out=tmp_path / "out.mp4"
    )
    assert result.settings["steps"] == 0
