"""From a request to controls: gestures of three origins, styles, and what the user is told."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.cli.commands import main
from app.render.demo import play
from app.render.direction import direct
from app.render.pipeline import Avatar
from app.render.request import MotionRequest
from app.render.voices import hear
from audio2motion.gestures.controls import Controls
from audio2motion.gestures.gestures import Gesture
from audio2motion.gestures.style import STYLES, style_of
from audio2motion.gestures.transcript import Transcript
from audio2motion.hearing.audio import Waveform
from motion2video.motion import MOTION_DIM, Motion
from tests.app.render.test_voices import no_video
from weights.errors import MotionError

SAID = "Hello! No, that's not right."


def directed(request: MotionRequest, track=no_video) -> tuple[Controls, list[str]]:
    told: list[str] = []
    voices = hear(request, track, told.append)
    return direct(request, voices, track, told.append), told


def kinds(controls: Controls) -> list[str]:
    return [gesture.kind for gesture in controls.gestures]


def test_gestures_are_found_in_a_text_and_can_be_switched_off() -> None:
    controls, told = directed(MotionRequest(text=SAID, voice="en-us"))
    assert kinds(controls)[:3] == ["smile", "nod", "shake"] and not told
    for gesture in controls.gestures:
        assert gesture.source is not None
        assert SAID[gesture.source.first : gesture.source.last] == gesture.source.word
    assert directed(MotionRequest(text=SAID, auto_gestures=False))[0].gestures == ()


def test_the_voice_tells_the_language() -> None:
    controls, _ = directed(
        MotionRequest(text="Nein. So geht das alles leider nicht.", voice="de+f3")
    )
    assert kinds(controls).count("shake") == 2


def test_placed_gestures_take_the_place_of_found_ones(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("kind,start,duration\nwink,0.5,\ntilt,1.0,2\n")
    request = MotionRequest(text=SAID, gestures=["nod@0.1"], gesture_file=tmp_path / "g.csv")
    controls, _ = directed(request)
    placed = [g for g in controls.gestures if g.source is None]
    assert sorted(kinds(controls)) == ["nod", "smile", "tilt", "wink"] and len(placed) == 3
    starts = [g.start for g in controls.gestures]
    assert starts == sorted(starts)


def test_a_transcript_with_and_without_times(speech: Waveform, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("Hello there.")
    (tmp_path / "t.srt").write_text("1\n00:00:00,300 --> 00:00:00,700\nHello there.\n")
    plain, told = directed(MotionRequest(agent_audio=speech, transcript=tmp_path / "t.txt"))
    assert kinds(plain) == ["smile", "nod"]
    assert len(told) == 1 and "t.txt has no times: its words are spread over" in told[0]
    timed, told = directed(MotionRequest(agent_audio=speech, transcript=tmp_path / "t.srt"))
    assert not told and timed.gestures[0].start == pytest.approx(0.18)
    given, told = directed(MotionRequest(agent_audio=speech, transcript=Transcript("Hello.")))
    assert kinds(given) == ["smile", "nod"] and told[0].startswith("the transcript has no times")


def test_gestures_after_the_end_are_told(speech: Waveform) -> None:
    _, told = directed(MotionRequest(agent_audio=speech, gestures=["nod@0.1", "wink@30"]))
    assert len(told) == 1 and told[0].startswith("wink@30 will not be seen: the motion ends after")


def test_a_style_by_name_by_motion_and_by_video(speech: Waveform, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 0.05, (60, MOTION_DIM)).astype(np.float32)
    clip = Motion(values)
    path = clip.save(tmp_path / "clip.npz")
    tracked: list[Path] = []

    def track(video: Path) -> Motion:
        tracked.append(video)
        return clip

    def style(**fields) -> object:
        return directed(MotionRequest(agent_audio=speech, **fields), track)[0].style

    assert style() is None and style(style="calm") == STYLES["calm"]
    assert style(style_clip=clip) == style(style_clip=path) == style_of(clip) and not tracked
    assert style(style_clip=tmp_path / "clip.mp4") == style_of(clip)
    assert tracked == [tmp_path / "clip.mp4"]
    with pytest.raises(MotionError, match="a style needs at least"):
        style(style_clip=Motion.neutral(3))


def test_the_demo_says_what_it_says() -> None:
    agent, _, said = play()
    assert said.text.startswith("Hello! Good to see you.") and "Wonderful" not in said.text
    for word in said.words:
        piece = agent.samples[round(word.start * 16_000) : round(word.end * 16_000)]
        assert np.abs(piece).max() > 0.01, said.text[word.first : word.last]
    assert {"smile", "nod", "brow-raise"} <= {g.kind for g in said.gestures()}


@pytest.mark.slow
@pytest.mark.weights("speech_encoder", "motion_generator")
def test_the_command_line_takes_every_control(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, style = tmp_path / "m.npz", tmp_path / "style.npz"
    Motion.neutral(30).save(style)
    words = ["motion", "--text", SAID, "--out", str(out), "--json", "--emotion", "sadness"]
    words += ["--intensity", "0.5", "--valence", "-0.5", "--arousal", "-0.2", "--gaze", "5,-3"]
    words += ["--expressivity", "1.2", "--region", "head=0", "--region", "brows=2"]
    words += [
        "--style-clip",
        str(style),
        "--gesture",
        "nod@0.1:0.4",
        "--gesture",
        "wink/left@1x0.8",
    ]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    motion = Motion.load(out)
    assert not motion.rotation.any() and motion.channel("browInnerUp").max() > 0.3
    assert {g["kind"] for g in result["gestures"]} == {"nod", "smile", "shake", "wink"}
    shake = next(g for g in result["gestures"] if g["kind"] == "shake")
    assert shake["source"] == {"first": 7, "last": 9, "word": "No", "meaning": "negation"}
    # What came out can be put in again.
    timeline = tmp_path / "again.json"
    timeline.write_text(json.dumps(result))
    words = ["motion", "--text", SAID, "--no-auto-gestures", "--gestures", str(timeline)]
    assert main([*words, "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gestures"] == result["gestures"]


@pytest.mark.slow
@pytest.mark.weights(
    "face_landmarker", "autoencoder", "denoiser", "speech_encoder", "motion_generator"
)
def test_the_result_of_a_render_holds_the_gestures(
    avatar: Avatar, portrait: Path, speech: Waveform, tmp_path: Path
) -> None:
    result = avatar.animate(
        portrait=portrait,
        agent_audio=speech,
        transcript=Transcript("Hello there."),
        gestures=[Gesture.at("blink", 0.2)],
        size=128,
        out=tmp_path / "out.mp4",
    )
    assert {g.kind for g in result.gestures} == {"smile", "nod", "blink"}
    plain = json.loads(json.dumps(result.to_json()))
    found = next(g for g in plain["gestures"] if g["kind"] == "nod")
    assert found["source"]["word"] == "Hello" and found["source"]["first"] == 0
    assert any("has no times" in notice for notice in result.notices)
