"""What a render takes: ranges, contradictions, and one default for every way in."""

import dataclasses
import inspect
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

from app import cli
from app.request import (
    ComputeFields,
    MotionFields,
    MotionRequest,
    RenderFields,
    RenderRequest,
    require_choice,
)
from audio2motion.audio import Waveform
from motion2video.compute import ComputeConfig
from motion2video.motion import Motion
from weights.errors import InputError


def request(**changes: Any) -> RenderRequest:
    fields: dict[str, Any] = {"portrait": "me.jpg", "agent_audio": "a.wav"}
    return RenderRequest(**(fields | changes))


@pytest.mark.parametrize(
    ("kind", "keywords"), [(MotionRequest, MotionFields), (RenderRequest, RenderFields)]
)
def test_keywords_are_the_fields(kind: type, keywords: type) -> None:
    names = {f.name for f in dataclasses.fields(kind)}
    wanted = {n: str(hint) for n, hint in get_type_hints(kind).items() if n in names}
    assert {n: str(hint) for n, hint in get_type_hints(keywords).items()} == wanted


def test_compute_keywords_are_the_fields_of_its_config() -> None:
    hints = {n: str(hint) for n, hint in get_type_hints(ComputeConfig).items() if n != "device"}
    assert {n: str(hint) for n, hint in get_type_hints(ComputeFields).items()} == hints


@pytest.mark.parametrize(
    ("command", "kind"),
    [(cli.render, RenderRequest), (cli.demo, RenderRequest), (cli.motion, MotionRequest)],
)
def test_the_command_line_has_the_same_defaults(command: Any, kind: type) -> None:
    options = inspect.signature(command).parameters
    fields = {f.name: f.default for f in dataclasses.fields(kind)}
    shared = options.keys() & fields.keys() - {"portrait"}
    assert {n: options[n].default for n in shared} == {n: fields[n] for n in shared}
    assert shared == fields.keys() - {"portrait"} or command is cli.demo


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
        ({"seed": -1}, "got the seed -1"),
        ({"emotion": "hungry"}, "hungry"),
        ({"expressivity": -1.0}, "expressivity"),
        ({"expressivity": float("nan")}, "expressivity"),
        ({"text": "Hello"}, "both a recording of the agent's voice and a text"),
        ({"agent_audio": None}, "nothing was given to move the face"),
        ({"agent_audio": None, "text": " \n"}, "empty text"),
        ({"voice": "de"}, "without a text"),
        ({"motion": "m.npz", "emotion": "anger"}, "an emotion together with a motion file"),
        ({"motion": "m.npz", "interlocutor_video": "c.mp4"}, "an interlocutor's video together"),
        ({"motion": "m.npz", "interlocutor_audio": "b.wav"}, "neither heard nor reacted to"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        request(**changes)


def test_a_choice_is_one_of_those_wanted() -> None:
    require_choice("crop", "head", ("full", "head"))
    with pytest.raises(InputError, match="got the crop 'body'; wanted full or head"):
        require_choice("crop", "body", ("full", "head"))


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


def test_inputs_are_the_files() -> None:
    made = request(portrait=Path("p.png"), interlocutor_audio=Waveform.silence(1.0))
    assert set(made.inputs) == {Path("p.png"), Path("a.wav")}
