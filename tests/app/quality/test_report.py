"""Bars, and a report of made-up motions."""

import numpy as np
import pytest

from app.quality.bars import BARS, KEPT
from app.quality.lip_sync import Sync
from app.quality.report import Seen, at_rate, behaviour_checks, sync_checks
from app.quality.verdict import Bar, Report
from motion2video.motion import MOTION_DIM, ROTATION, channel_index


def test_a_bar_has_two_ends():
    bar = Bar("x", "s", 1.0, 2.0, 0.0, 3.0)
    levels = [bar.judge(value).level for value in (1.0, 2.0, 2.5, 0.0, 3.1, -0.1)]
    assert levels == ["green", "green", "amber", "amber", "red", "red"]
    assert bar.judge(None, "why").level == bar.judge(float("nan")).level == "unknown"
    assert str(bar) == "green 1 to 2, amber 0 to 3"
    assert str(BARS["identity"].judge(0.75)).startswith("0.75 cosine (green from 0.85")


def test_the_worst_is_the_level_of_a_report():
    bar = Bar("x", "", 1.0, None, 0.0, None)
    checks = tuple(bar.judge(value) for value in (2.0, None, 0.5))
    assert Report(checks, 0.1).level == "amber" and Report(checks[:2], 0.1).level == "green"
    assert Report(checks, 0.1).to_json()["checks"][1]["value"] is None
    with pytest.raises(KeyError):
        Report(checks, 0.1)["y"]


def made(seconds: float, nods: int, blinks: int, leak: float) -> Seen:
    """Speech in the first half, in which the lips move; `leak` of it goes on in silence."""
    frames = round(seconds * 25)
    values, rng = np.zeros((frames, MOTION_DIM), np.float32), np.random.default_rng(0)
    half = frames // 2
    for at in np.linspace(half + 20, frames - 40, nods).astype(int):
        values[at : at + 12, ROTATION.start] = np.radians(5) * np.sin(np.pi * np.arange(12) / 12)
    for at in np.linspace(10, frames - 10, blinks).astype(int):
        values[at : at + 3, channel_index("eyeBlinkLeft")] = 1
    gap = np.abs(rng.normal(0, 0.1, frames)) * np.where(np.arange(frames) < half, 1, leak)
    return Seen(values[:, list(KEPT)], gap.astype(np.float32), np.arange(frames) < half)


def test_behaviour():
    good = {check.name: check for check in behaviour_checks(made(60.0, 12, 18, 0.05))}
    assert good["blinks"].value == pytest.approx(18, abs=1)
    assert good["nods while listening"].value == pytest.approx(24, abs=3)
    assert {check.level for check in good.values()} <= {"green", "amber"}
    bad = {check.name: check for check in behaviour_checks(made(60.0, 0, 0, 1.0))}
    assert {name for name, check in bad.items() if check.level == "red"} == set(bad)
    short = behaviour_checks(made(6.0, 1, 1, 0.0))
    assert [check.level for check in short] == ["unknown", "green", "unknown", "unknown"]


def test_sync():
    offset, agree = sync_checks(Sync(-20.0, 0.4, True))
    assert (offset.value, offset.level, agree.level) == (-20.0, "green", "green")
    assert sync_checks(Sync(-20.0, 0.05, False))[0].value is None
    assert {check.level for check in sync_checks(None)} == {"unknown"}


def test_another_rate_is_the_same_in_time():
    at_30 = np.sin(np.arange(300) / 30)[:, None]
    found = at_rate(at_30, 30.0)
    assert len(found) == 250
    np.testing.assert_allclose(found[:, 0], np.sin(np.arange(250) / 25), atol=1e-3)
