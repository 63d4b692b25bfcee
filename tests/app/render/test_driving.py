"""A driving video: what of it moves the photo, how much, and what becomes of bad ones."""

from pathlib import Path

import numpy as np
import pytest

from app.jobs.plan import Pace, make_plan
from app.render.driving import Driven, joined, shaped
from app.render.pipeline import Avatar
from app.render.request import MotionRequest, RenderRequest
from app.render.tracking import _own_rate
from audio2motion.hearing.audio import Waveform
from motion2video.geometry.basis import FaceBasis
from motion2video.media.video import VideoWriter, probe
from motion2video.motion import DETAIL, MOTION_DIM, ROTATION, TRANSLATION, Motion, channel_index
from tests.app.conftest import TILTS, tilted
from weights.errors import FaceError

TRACKS = pytest.mark.weights("face_landmarker", "face_basis")
JAW, BLINK, BROW = (channel_index(name) for name in ("jawOpen", "eyeBlinkLeft", "browInnerUp"))


def noisy(frames: int, seed: int) -> Motion:
    values = np.random.default_rng(seed).normal(0, 0.05, (frames, MOTION_DIM)).astype(np.float32)
    return Motion(values)


def test_the_amount_scales_movement_and_leaves_blinks_whole() -> None:
    motion = Motion.neutral(5)
    motion.values[2, [JAW, BLINK, ROTATION.start + 1]] = 0.6, 0.9, 0.2
    for amount in (0.0, 0.5, 1.0, 1.5):
        made = shaped(motion, amount, 0.0)
        assert made.values[2, BLINK] == np.float32(0.9)
        assert made.values[2, JAW] == pytest.approx(0.6 * amount)
        assert made.rotation[2, 1] == pytest.approx(0.2 * amount)
    assert shaped(motion, 2.0, 0.0).values[2, JAW] == 1.0, "no mouth is opener than open"


def test_smoothing_takes_the_tremble_and_neither_delays_nor_changes_where_one_looks() -> None:
    turned = Motion.neutral(50)
    turned.values[25:, ROTATION.start + 1] = 0.3
    trembling = Motion(turned.values + noisy(50, 1).values * 0.1)
    made = shaped(trembling, 1.0, 0.12)
    unrest = [np.abs(np.diff(m.rotation[:15, 1])).mean() for m in (made, trembling)]
    assert unrest[0] < 0.3 * unrest[1]
    assert made.rotation[:, 1] == pytest.approx(0.3 - made.rotation[::-1, 1], abs=0.02)
    assert made.rotation[-8:, 1].mean() == pytest.approx(0.3, abs=0.01)


def test_a_head_that_turns_away_goes_only_as_far_as_a_photo_does() -> None:
    motion = Motion.neutral(60)
    motion.values[:, ROTATION.start + 1] = np.radians(np.linspace(0, 80, 60))
    motion.values[:, TRANSLATION.start] = np.linspace(0, 3, 60)
    made = shaped(motion, 1.0, 0.0)
    turn = np.degrees(made.rotation[:, 1])
    assert turn[15] == pytest.approx(15 * 80 / 59, abs=0.01), "as it is where a photo can follow"
    assert (np.diff(turn) > 0).all() and 34 < turn[-1] < 38
    assert made.translation[-1, 0] < 0.6


def test_the_portrait_rests_where_the_face_is_lost_for_long() -> None:
    motion = noisy(60, 2)
    motion.values[:] = 0.2
    seen = np.ones(60, bool)
    seen[[5, 6]], seen[15:55] = False, False
    made = shaped(Motion(motion.values, 25.0, seen), 1.0, 0.0).values
    assert (made[:15] == np.float32(0.2)).all(), "a moment is bridged"
    assert (made[34:36] == 0).all()
    assert (made[55:] == np.float32(0.2)).all()
    assert np.abs(np.diff(made, axis=0)).max() < 0.04, "without a jump"


@pytest.mark.weights("face_basis")
@pytest.mark.parametrize("regions", ["all", "lips", "face", "head"])
def test_what_does_not_follow_the_video_is_the_networks(regions: Driven) -> None:
    own, driver, basis = noisy(7, 3), noisy(7, 4), FaceBasis.load()
    made = Motion.concat(list(joined(iter([own[:5], own[5:]]), driver, regions)))
    head = np.s_[:, ROTATION.start : TRANSLATION.stop]
    from_video = {JAW: regions != "head", BROW: regions in ("all", "face")}
    for channel, driven in from_video.items():
        assert (made.values == (driver if driven else own).values)[:, channel].all()
    assert (made.values == (driver if regions in ("all", "head") else own).values)[head].all()
    if regions == "lips":  # details move all of a face: the lips' do, the brows' do not
        shown, mine, theirs = (
            np.tensordot(m.values[:, DETAIL], basis.detail, 1) for m in (made, own, driver)
        )
        for points, wanted, other in (([13, 14], theirs, mine), ([105, 334], mine, theirs)):
            off, far = (np.abs(shown - x)[:, points].mean() for x in (wanted, other))
            assert off < 0.7 * far


@pytest.mark.parametrize(
    ("fps", "looked"),
    [
        *[(25.0, 25.0), (30.0, 30.0), (60.0, 30.0), (50.0, 25.0), (24.0, 24.0), (120.0, 30.0)],
        *[(15.0, 15.0), (1000.0, 30.0), (None, 30.0), (0.1, 30.0), (float("nan"), 30.0)],
    ],
)
def test_a_video_is_looked_at_in_its_own_frames(fps: float | None, looked: float) -> None:
    assert _own_rate(fps) == looked


@TRACKS
@pytest.mark.weights("denoiser", "painter")
def test_a_video_moves_the_photo_and_speaks_for_it(
    avatar: Avatar, portrait: Path, driving: Path, speech: Waveform, tmp_path: Path
) -> None:
    request = RenderRequest(portrait=portrait, driving_video=driving, size=64, quality="draft")
    out, told, played = tmp_path / "out.mp4", list[str](), list[Motion | None]()
    result = avatar.render(request, out, notify=told.append, begin=played.append)
    assert result.seconds == pytest.approx(len(TILTS) / 15, abs=0.04) and told == []
    assert make_plan(request, Pace()).frames == result.frames == probe(out).frames
    heard = Waveform.load(out).samples[: len(speech)]
    assert np.corrcoef(heard, speech.samples[: len(heard)])[0, 1] > 0.95
    (motion,) = played
    assert motion is not None and motion.rest is not None and motion.fps == 25
    tilt = np.degrees(motion.rotation[:, 2])
    assert tilt[-5:].mean() - tilt[:5].mean() == pytest.approx(12, abs=1.5)
    steps = np.diff(tilt)[8:13]
    assert steps.min() > 0.8 * steps.mean(), "evenly, though the video has fewer frames"


@TRACKS
@pytest.mark.weights("speech_encoder", "motion_generator")
def test_the_lips_follow_a_recording_where_only_the_head_follows_the_video(
    avatar: Avatar, driving: Path, speech: Waveform
) -> None:
    told: list[str] = []
    moved = avatar.motion(
        driving_video=driving, driving_regions="head", agent_audio=speech, notify=told.append
    )
    whole = avatar.motion(driving_video=driving)
    assert np.array_equal(moved.rotation, whole.rotation) and len(moved) == len(whole)
    jaws = [np.ptp(m.channel("jawOpen")) for m in (moved, whole)]
    assert jaws[0] > 0.1 > jaws[1], "the person in the video says nothing"
    assert [notice.partition(": ")[2] for notice in told] == ["the sound is followed by silence"]


@TRACKS
def test_a_video_without_sound_whose_face_comes_and_goes(avatar: Avatar, tmp_path: Path) -> None:
    gone = np.r_[np.full(3, np.nan), np.zeros(4), np.full(20, np.nan), np.zeros(3)]
    video, told = tilted(tmp_path / "me.mp4", gone, 12.5), list[str]()
    motion = avatar.motion(driving_video=video, notify=told.append)
    assert motion.seconds == pytest.approx(len(gone) / 12.5, abs=0.04)
    assert not motion.mask[16:52].any() and np.abs(motion.values[33:35]).max() < 1e-6
    assert "frames; filled in from the others" in told[0]
    assert "the portrait is at rest where no face is seen for long" in told[1]
    assert "has no sound track: the video is silent" in told[2] and len(told) == 3


@TRACKS
def test_a_video_without_a_face_is_refused(avatar: Avatar, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "wall.mp4", (96, 96), 10.0) as out:
        out.write(np.full((2, 96, 96, 3), 90, np.uint8))
    with pytest.raises(FaceError, match="none of the 2 frames shows a face"):
        avatar.motion(driving_video=tmp_path / "wall.mp4")


def test_a_video_alone_is_enough_to_ask_for() -> None:
    assert MotionRequest(driving_video="me.mp4").has_voice
    assert RenderRequest(portrait="me.jpg", driving_video="me.mp4").driven_whole
    assert RenderRequest(portrait="me.jpg", driving_video="me.mp4").inputs[-2:] == (
        Path("me.mp4"),
        Path("me.jpg"),
    )
