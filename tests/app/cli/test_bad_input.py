"""Bad input through the command line: one clear sentence, exit code 2, nothing written."""

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import motion2video.faces.photo as face
from app.cli.commands import main
from app.render.pipeline import Avatar
from audio2motion.hearing.audio import Waveform
from motion2video.media.video import VideoWriter
from motion2video.motion import MOTION_DIM, ROTATION, Motion
from motion2video.network.compute import pick_device

Run = Callable[..., str]


@pytest.fixture(autouse=True)
def loaded_once(avatar: Avatar, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command gets the one real Avatar: loading it anew each time is slow."""

    def load(device: str = "auto", *_: Any, **__: Any) -> Avatar:
        pick_device(device)
        return avatar

    monkeypatch.setattr(Avatar, "load", staticmethod(load))


@pytest.fixture
def refused(tmp_path: Path, portrait: Path, voice: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `visavis render`, with good input but for the changes; returns the one sentence."""

    def run(**changes: object) -> str:
        options = {"portrait": portrait, "agent-audio": voice, "out": tmp_path / "out.mp4"}
        options |= {name.replace("_", "-"): value for name, value in changes.items()}
        words = [w for n, v in options.items() if v is not None for w in (f"--{n}", str(v))]
        before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
        capsys.readouterr()
        assert main(["render", *words]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        told = ("note: ", "rendering: ", "tracking: ")
        errors = [line for line in err.splitlines() if not line.startswith(told)]
        assert len(errors) == 1 and errors[0].startswith("visavis: "), err
        assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
        return errors[0].removeprefix("visavis: ")

    return run


def photo(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def grey(path: Path, width: int = 256, height: int = 256) -> Path:
    return photo(path, np.full((height, width, 3), 128, np.uint8))


def two_faces(portrait: Path, other: Path, path: Path) -> Path:
    """A larger face on the right, a smaller one on the left."""
    picture = Image.new("RGB", (768, 512), (200, 200, 200))
    with Image.open(portrait) as right, Image.open(other) as left:
        picture.paste(right.resize((512, 512)), (256, 0))
        picture.paste(left.resize((256, 256)), (0, 128))
    picture.save(path)
    return path


def film(path: Path, frames: int = 10, sound: bool = False) -> Path:
    """A video in which nobody is to be seen."""
    audio = np.zeros(16_000, np.float32) if sound else None
    with VideoWriter(path, (128, 96), audio=audio) as writer:
        for level in range(frames):
            writer.write(np.full((1, 96, 128, 3), level, np.uint8))
    return path


# -- photos ----------------------------------------------------------------------------------


def test_no_photo(refused: Run, tmp_path: Path) -> None:
    assert "none.jpg" in refused(portrait=tmp_path / "none.jpg")


def test_a_photo_without_a_face(refused: Run, tmp_path: Path) -> None:
    assert "no face" in refused(portrait=grey(tmp_path / "wall.png"))


def test_a_face_too_small(refused: Run, tmp_path: Path, portrait: Path) -> None:
    picture = Image.new("RGB", (1200, 1200), (200, 200, 200))
    with Image.open(portrait) as image:
        picture.paste(image.resize((140, 140)), (500, 500))
    picture.save(tmp_path / "far.png")
    assert "pixels wide; at least 64 are needed" in refused(portrait=tmp_path / "far.png")


@pytest.mark.slow
def test_a_face_turned_away(
    refused: Run, avatar: Avatar, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = np.zeros((1, MOTION_DIM), np.float32)
    turned[0, ROTATION.start + 1] = 0.7  # radians; the warp cannot turn it as far as the limit
    frame = next(avatar.frames(portrait=portrait, motion=Motion(turned)))
    monkeypatch.setattr(face, "MAX_YAW", 15.0)
    said = refused(portrait=photo(tmp_path / "side.png", frame))
    assert "the face is turned away by" in said and "use a picture that shows both eyes" in said


def test_a_face_number_that_is_not_there(refused: Run) -> None:
    assert "7" in refused(face="7")


@pytest.mark.parametrize(
    ("name", "data"),
    [("empty.jpg", b""), ("text.jpg", b"not a picture"), ("head.png", b"\x89PNG\r\n\x1a\n")],
)
def test_a_photo_that_is_none(refused: Run, tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert name in refused(portrait=tmp_path / name)


def test_a_photo_cut_off(refused: Run, tmp_path: Path, portrait: Path) -> None:
    data = portrait.read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    assert "cut.jpg" in refused(portrait=tmp_path / "cut.jpg")


def test_a_photo_that_is_a_folder(refused: Run, tmp_path: Path) -> None:
    (tmp_path / "photos.jpg").mkdir()
    assert "folder" in refused(portrait=tmp_path / "photos.jpg")


def test_a_photo_of_a_few_pixels(refused: Run, tmp_path: Path) -> None:
    assert "no face found" in refused(portrait=grey(tmp_path / "dot.png", 1, 1))


# -- voices ----------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["agent_audio", "interlocutor_audio"])
def test_a_sound_that_is_not_there(refused: Run, tmp_path: Path, option: str) -> None:
    assert "there is no file" in refused(**{option: tmp_path / "none.wav"})


@pytest.mark.parametrize("option", ["agent_audio", "interlocutor_audio"])
@pytest.mark.parametrize(("name", "data"), [("empty.wav", b""), ("text.mp3", b"no sound" * 50)])
def test_a_sound_that_is_none(
    refused: Run, tmp_path: Path, option: str, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    assert name in refused(**{option: tmp_path / name})


def test_a_sound_of_length_zero(refused: Run, tmp_path: Path) -> None:
    path = Waveform.silence(0.0).save(tmp_path / "zero.wav")
    assert "length is zero" in refused(agent_audio=path)


def test_a_sound_cut_off(refused: Run, tmp_path: Path, voice: Path) -> None:
    (tmp_path / "cut.wav").write_bytes(voice.read_bytes()[:9000])
    assert "cut off" in refused(agent_audio=tmp_path / "cut.wav")


def test_a_silent_agent(refused: Run, tmp_path: Path) -> None:
    path = Waveform.silence(1.0).save(tmp_path / "silent.wav")
    said = refused(agent_audio=path)
    assert "is silent" in said and "only listens" in said


def test_an_agent_without_speech(refused: Run, tmp_path: Path) -> None:
    hum = 0.3 * np.sin(np.arange(16_000) * 0.05).astype(np.float32)
    path = Waveform(hum).save(tmp_path / "hum.wav")
    assert "no speech was found" in refused(agent_audio=path)


def test_a_video_without_sound_as_voice(refused: Run, tmp_path: Path) -> None:
    assert "no sound track" in refused(agent_audio=film(tmp_path / "mute.mp4"))


def test_no_voice_at_all(refused: Run) -> None:
    assert "nothing was given to move the face" in refused(agent_audio=None)


def test_a_voice_and_a_text(refused: Run) -> None:
    assert "give one of them" in refused(text="Hello")


def test_an_unknown_voice(refused: Run) -> None:
    assert "martian" in refused(agent_audio=None, text="Hello", voice="martian")


def test_a_text_without_words(refused: Run) -> None:
    assert "nothing to say" in refused(agent_audio=None, text="...")


# -- the interlocutor's video, motion files ---------------------------------------------------


def test_a_video_without_a_face(refused: Run, tmp_path: Path) -> None:
    path = film(tmp_path / "wall.mp4")
    assert "none of the 10 frames shows a face" in refused(interlocutor_video=path)


def test_a_video_cut_off(refused: Run, tmp_path: Path) -> None:
    data = film(tmp_path / "whole.mp4", frames=50).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    assert "cut.mp4" in refused(interlocutor_video=tmp_path / "cut.mp4")


def test_a_sound_as_video(refused: Run, voice: Path) -> None:
    assert "no picture" in refused(interlocutor_video=voice)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"text"])
def test_a_motion_file_that_is_none(refused: Run, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.npz").write_bytes(data)
    assert "not a motion file" in refused(motion=tmp_path / "m.npz")


def test_a_motion_file_that_is_not_there(refused: Run, tmp_path: Path) -> None:
    assert "there is no motion file" in refused(motion=tmp_path / "m.npz")


# -- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", ["0", "-1", "nan", "1000"])
def test_a_wrong_rate(refused: Run, fps: str) -> None:
    assert "wanted 1 to 240" in refused(fps=fps)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("fps", "fast"),
        ("size", "0"),
        ("size", "1e9"),
        ("crop", "feet"),
        ("mix", "none"),
        ("emotion", "hungry"),
        ("expressivity", "nan"),
        ("intensity", "3"),
        ("valence", "-2"),
        ("arousal", "high"),
        ("region", "nose=1"),
        ("region", "head"),
        ("gaze", "50,0"),
        ("gaze", "there"),
        ("style", "punk"),
        ("gesture", "bow@1"),
        ("gesture", "nod@soon"),
        ("seed", "-5"),
        ("face", "prettiest"),
        ("no_such_option", "1"),
    ],
)
def test_a_wrong_value(refused: Run, option: str, value: str) -> None:
    said = refused(**{option: value})
    assert option.replace("_", "-") in said, "the sentence names the option that is wrong"


@pytest.mark.slow
def test_files_of_controls(refused: Run, tmp_path: Path) -> None:
    none = tmp_path / "none.json"
    assert "there is no timeline of gestures" in refused(gestures=none)
    assert "there is no transcript" in refused(transcript=none)
    assert "there is no motion file" in refused(style_clip=tmp_path / "none.npz")
    (tmp_path / "g.json").write_text('[{"kind": "nod"}]')
    assert "gesture 1 of" in refused(gestures=tmp_path / "g.json")
    (tmp_path / "t.srt").write_text("no times")
    assert "there are no times such as" in refused(transcript=tmp_path / "t.srt")
    short = Motion.neutral(5).save(tmp_path / "short.npz")
    assert "a style needs at least 25" in refused(style_clip=short)


# -- the output ------------------------------------------------------------------------------


def test_an_output_that_is_a_folder(refused: Run, tmp_path: Path) -> None:
    assert "is a folder" in refused(out=tmp_path)


def test_an_output_in_no_folder(refused: Run, tmp_path: Path) -> None:
    assert "does not exist; make it first" in refused(out=tmp_path / "no" / "out.mp4")


def test_an_output_that_is_no_video(refused: Run, tmp_path: Path) -> None:
    assert "must end in" in refused(out=tmp_path / "out.avi")


def test_an_output_that_is_an_input(refused: Run, tmp_path: Path) -> None:
    path = film(tmp_path / "same.mp4", sound=True)
    assert "is also an input" in refused(interlocutor_video=path, out=path)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As on a full disk: no file may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
def test_a_full_disk(refused: Run, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"what was there before")
    with largest_file(4096):
        said = refused(size="256", agent_audio=None, text="Hello there.")
        kept = refused(size="256")
    assert "cannot write" in said and "out.mp4" in said
    assert "cannot write the sound of" in kept and "set TMPDIR" in kept
    assert (tmp_path / "out.mp4").read_bytes() == b"what was there before"


def test_errors_as_json(tmp_path: Path, portrait: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.mp4"
    words = ["render", "--portrait", str(portrait), "--out", str(out), "--text", "Hi", "--json"]
    assert main([*words, "--fps", "0"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "InputError" and "wanted 1 to 240" in error["message"]


# -- devices, other commands -----------------------------------------------------------------


def test_other_commands_refuse_bad_input_too(
    tmp_path: Path, voice: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wall, out = film(tmp_path / "wall.mp4"), tmp_path / "m.npz"
    for words, said in (
        (["track", tmp_path / "none.mp4", "--out", out], "there is no file"),
        (["track", wall, "--out", out], "shows a face"),
        (["track", wall, "--out", out, "--fps", "0"], "wanted 1 to 240"),
        (["track", wall, "--out", tmp_path], "is a folder"),
        (["track", wall, "--out", tmp_path / "m.mp4"], "must end in .npz"),
        (["track", wall, "--out", out, "--detector", "eyes"], "wanted mediapipe or insightface"),
        (["motion", "--out", out], "nothing was given to move the face"),
        (["motion", "--out", out, "--agent-audio", tmp_path / "none.wav"], "there is no file"),
        (["motion", "--out", out, "--agent-audio", voice, "--device", "tpu"], "tpu"),
        (["motion", "--out", out, "--agent-audio", voice, "--device", "mps"], "wanted auto, cpu"),
        (["rendre"], "No such command"),
    ):
        assert main([str(word) for word in words]) == 2, words
        stdout, stderr = capsys.readouterr()
        assert stdout == "" and stderr.count("\n") == 1 and said in stderr, stderr
    assert not out.exists()


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert "Usage: visavis" in out and err == ""
