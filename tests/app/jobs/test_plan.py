"""The plan before the work: length, time and memory, and that it learns how fast the machine is."""

from pathlib import Path

import pytest

from app.jobs.plan import Pace, make_plan
from app.render.request import RenderRequest
from audio2motion.hearing.audio import Waveform
from motion2video.motion import Motion


def test_a_plan_says_how_long_the_video_will_be(portrait: Path, voice: Path):
    pace = Pace()
    plan = make_plan(RenderRequest(portrait=portrait, agent_audio=voice), pace)
    assert plan.seconds == pytest.approx(Waveform.load(voice).seconds, abs=0.01)
    assert plan.frames == round(25 * plan.seconds)
    assert plan.work_s > 0
    assert "frames of up to 512 px" in str(plan)
    moved = make_plan(RenderRequest(portrait=portrait, motion=Motion.neutral(50)), pace)
    assert moved.frames == 50
    said = make_plan(RenderRequest(portrait=portrait, text="Hello there."), pace)
    assert 0.3 < said.seconds < 2


def test_the_pace_is_learned_from_runs_that_tell_something():
    pace = Pace()
    before = pace.seconds(100, 512)
    pace.learn(100, 512, 10 * before)
    after = pace.seconds(100, 512)
    assert after > 3 * before
    pace.learn(5, 64, 60.0)
    assert pace.seconds(100, 512) == after
