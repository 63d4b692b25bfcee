"""What a render takes: ranges, contradictions, and one default for every way in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.render.request import RenderRequest
from audio2motion.gestures.controls import Controls, Regions
from audio2motion.gestures.gestures import Gesture
from audio2motion.gestures.style import STYLES
from audio2motion.gestures.transcript import Transcript
from audio2motion.hearing.audio import Waveform
from motion2video.motion import Motion
from weights.errors import InputError


def request(**changes: Any) -> RenderRequest:
    fields: dict[str, Any] = {"portrait": "me.jpg", "agent_audio": "a.wav"}
    return RenderRequest(**(fields | changes))


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf"), 1000.0])
def test_a_wrong_rate_is_refused(fps: float) -> None:
    with pytest.raises(InputError, match="wanted 1 to 240"):
        request(fps=fps)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 0}, "got the size 0"),
        ({"size": 100_000}, "got the size 100000"),
        ({"face": "best"}, "wanted largest, leftmost or a number"),
        ({"face": "-1"}, "wanted largest, leftmost or a number"),
        ({"face": "0"}, r"got the face '0'; wanted .* a number from 1"),
        ({"seed": -1}, "got the seed -1; wanted 0 to 2147483647"),
        ({"emotion": "hungry"}, "hungry"),
        ({"expressivity": -1.0}, "expressivity"),
        ({"expressivity": float("nan")}, "expressivity"),
        ({"text": "Hello"}, "both a recording of the agent's voice and a text"),
        ({"agent_audio": None}, "nothing was given to move the face"),
        ({"agent_audio": None, "text": " \n"}, "empty text"),
        ({"voice": "de"}, "without a text"),
        ({"intensity": 3.0}, "got the intensity 3.0; wanted 0 to 2"),
        ({"arousal": 2.0}, "got the arousal 2.0; wanted -1 to 1"),
        ({"regions": {"ears": 1.0}}, "there is no region 'ears'"),
        ({"gaze": "away"}, "got gaze 'away'; wanted camera"),
        ({"gaze": (50.0, 0.0)}, "got gaze 50,0"),
        ({"style": "punk"}, "got the style 'punk'; wanted neutral, calm"),
        ({"style": "calm", "style_clip": "m.npz"}, "both a style and a style clip"),
        ({"gestures": ["nod"]}, "got the gesture 'nod'; wanted KIND"),
        ({"agent_audio": None, "text": "Hi", "transcript": "t.srt"}, "without a recording"),
        ({"motion": "m.npz", "gestures": ["nod@1"]}, "gestures together with a motion file"),
        ({"motion": "m.npz", "gaze": "camera", "style": "calm"}, "a gaze and a style together"),
        ({"motion": "m.npz", "transcript": "t.srt"}, "a transcript together"),
        ({"motion": "m.npz", "emotion": "anger"}, "an emotion together with a motion file"),
        ({"motion": "m.npz", "interlocutor_video": "c.mp4"}, "an interlocutor's video together"),
        ({"motion": "m.npz", "interlocutor_audio": "b.wav"}, "neither heard nor reacted to"),
        ({"driving_amount": 0.5}, "got driving_amount without a driving video"),
        ({"driving_video": "d.mp4", "driving_amount": 3.0}, "wanted 0 to 2"),
        ({"driving_video": "d.mp4", "driving_smoothing": 1.0}, "wanted 0 to 0.5 seconds"),
        ({"driving_video": "d.mp4", "motion": "m.npz"}, "a driving video together with a motion"),
        ({"driving_video": "d.mp4", "agent_audio": None, "text": "Hi"}, "brings its own voice"),
        ({"driving_video": "d.mp4", "agent_audio": None, "ask": "Who?"}, "brings its own voice"),
        ({"driving_video": "d.mp4", "order": "turns"}, "got the order turns together with a dri"),
        ({"driving_video": "d.mp4", "emotion": "anger"}, r"take less of the video \(driving_reg"),
        ({"driving_video": "d.mp4", "interlocutor_video": "c.mp4"}, "an interlocutor's video tog"),
        ({"driving_video": "d.mp4", "interlocutor_audio": "b.wav"}, "neither heard nor reacted"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        request(**changes)


def test_a_face_that_follows_a_video_in_part_can_be_told_the_rest() -> None:
    told = {"driving_video": "d.mp4", "driving_regions": "head", "agent_audio": None}
    made = request(**told, emotion="anger", gestures=["smile@1"], interlocutor_video="c.mp4")
    assert made.controls.emotion == "anger" and not made.driven_whole
    both = {"interlocutor_audio": "b.wav", "mix": "both"}
    assert request(driving_video="d.mp4", **both).driven_whole


def test_a_motion_needs_no_voice() -> None:
    assert request(motion="m.npz", agent_audio=None).agent_audio is None
    assert request(motion="m.npz", interlocutor_audio="b.wav", mix="both").mix == "both"
    with pytest.raises(InputError):
        request(agent_audio=None).require_voice()


def test_the_description_is_plain() -> None:
    described = request(
        portrait=np.zeros((4, 6, 3), np.uint8),
        agent_audio=Waveform.silence(2.0),
        motion=Motion.neutral(5),
    ).describe()
    assert described["portrait"] == "array 4x6x3"
    assert described["agent_audio"] == "sound of 2.000 s"
    assert described["motion"] == "motion of 5 frames at 25 fps"
    assert described["fps"] == 25.0 and described["emotion"] == "neutral"


def test_controls_in_every_form() -> None:
    nod = Gesture.at("nod", 1.0)
    one = request(gaze="10,-5", style="calm", gestures=["nod@1"], regions={"head": 0.5}).controls
    two = request(gaze=(10.0, -5.0), style=STYLES["calm"], gestures=(nod,)).controls
    assert one.gaze == two.gaze == (10, -5) and one.style == two.style == STYLES["calm"]
    assert one.gestures == two.gestures == (nod,) and one.regions == Regions(head=0.5)
    assert request(gaze="camera").controls.gaze == (0, 0)
    assert request().controls == Controls()
    described = request(
        gestures=("wink@2", nod), regions={"head": 0.5}, transcript=Transcript("Hi.")
    ).describe()
    assert json.loads(json.dumps(described)) | {"gestures": None} == described | {"gestures": None}
    assert described["gestures"][0] == "wink@2" and described["gestures"][1]["kind"] == "nod"
    assert described["transcript"] == "transcript of 3 characters"


def test_inputs_are_the_files() -> None:
    made = request(portrait=Path("p.png"), interlocutor_audio=Waveform.silence(1.0))
    assert set(made.inputs) == {Path("p.png"), Path("a.wav")}
