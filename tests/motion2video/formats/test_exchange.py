"""Motion to files of other programs and back, and what is said of files that are wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from motion2video.exchange import EXPORTS, read_motion, write_motion
from motion2video.formats.live_link import COLUMNS, SHAPES, read_live_link
from motion2video.motion import (
    DETAIL,
    EXPRESSION,
    EXPRESSION_NAMES,
    MOTION_DIM,
    ROTATION,
    TRANSLATION,
    Motion,
    channel_index,
)
from weights.errors import InputError, MotionError, OutputError

RATES = (12.0, 24000 / 1001, 25.0, 29.97, 30.0, 50.0, 60.0)
TOLERANCE = 2e-5
LOOKS = [i for i, name in enumerate(EXPRESSION_NAMES) if name.startswith("eyeLook")]
KEPT = {
    ".csv": (EXPRESSION, ROTATION),
    ".bvh": (LOOKS, ROTATION, TRANSLATION),
    ".glb": (EXPRESSION, ROTATION, TRANSLATION),
}
LIVE_LINK_HEADER = (
    "Timecode,BlendShapeCount,EyeBlinkLeft,EyeLookDownLeft,EyeLookInLeft,EyeLookOutLeft,"
    "EyeLookUpLeft,EyeSquintLeft,EyeWideLeft,EyeBlinkRight,EyeLookDownRight,EyeLookInRight,"
    "EyeLookOutRight,EyeLookUpRight,EyeSquintRight,EyeWideRight,JawForward,JawRight,JawLeft,"
    "JawOpen,MouthClose,MouthFunnel,MouthPucker,MouthRight,MouthLeft,MouthSmileLeft,"
    "MouthSmileRight,MouthFrownLeft,MouthFrownRight,MouthDimpleLeft,MouthDimpleRight,"
    "MouthStretchLeft,MouthStretchRight,MouthRollLower,MouthRollUpper,MouthShrugLower,"
    "MouthShrugUpper,MouthPressLeft,MouthPressRight,MouthLowerDownLeft,MouthLowerDownRight,"
    "MouthUpperUpLeft,MouthUpperUpRight,BrowDownLeft,BrowDownRight,BrowInnerUp,BrowOuterUpLeft,"
    "BrowOuterUpRight,CheekPuff,CheekSquintLeft,CheekSquintRight,NoseSneerLeft,NoseSneerRight,"
    "TongueOut,HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw,LeftEyePitch,LeftEyeRoll,RightEyeYaw,"
    "RightEyePitch,RightEyeRoll"
)


def moving(fps: float, seconds: float = 4.0) -> Motion:
    """Smooth curves in every channel; eyes that look one way at a time."""
    draw = np.random.default_rng(1)
    t = np.arange(round(seconds * fps))[:, None] / fps
    waves = np.sin(t * draw.uniform(1, 4, MOTION_DIM) + draw.uniform(0, 6, MOTION_DIM))
    waves[:, EXPRESSION] = 0.5 + 0.4 * waves[:, EXPRESSION]
    waves[:, ROTATION.start : TRANSLATION.stop] *= 0.4
    for name in ("eyeLookInLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "_neutral"):
        waves[:, channel_index(name)] = 0
    return Motion(waves.astype(np.float32), fps)


@pytest.mark.parametrize("suffix", EXPORTS)
@pytest.mark.parametrize("fps", RATES)
def test_round_trip(tmp_path: Path, suffix: str, fps: float) -> None:
    motion = moving(fps)
    again = read_motion(write_motion(motion, tmp_path / f"m{suffix}"))
    assert len(again) == len(motion) and again.fps == pytest.approx(fps, rel=1e-5)
    assert again.mask.all()
    expected = np.zeros_like(motion.values)
    for channels in KEPT[suffix]:
        expected[:, channels] = motion.values[:, channels]
    assert np.abs(again.values - expected).max() < TOLERANCE
    assert not again.values[:, DETAIL].any()


@pytest.mark.parametrize("suffix", EXPORTS)
@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_resampled_to_25(tmp_path: Path, suffix: str, fps: float) -> None:
    """Within what linear interpolation of such curves loses."""
    path = write_motion(moving(fps), tmp_path / f"m{suffix}")
    again, wanted = read_motion(path).resample(25.0), moving(25.0)
    assert again.fps == 25.0 and abs(len(again) - len(wanted)) <= 1
    count = min(len(again), len(wanted)) - 1
    for channels in KEPT[suffix]:
        away = again.values[:count, channels] - wanted.values[:count, channels]
        assert np.abs(away).max() < 2e-3


@pytest.mark.parametrize("suffix", EXPORTS)
def test_a_single_frame(tmp_path: Path, suffix: str) -> None:
    again = read_motion(write_motion(moving(25.0)[:1], tmp_path / f"m{suffix}"))
    assert len(again) == 1


def test_large_turns_come_back(tmp_path: Path) -> None:
    motion = Motion.neutral(50)
    motion.values[:, ROTATION] = np.linspace([-1.2, 0.9, -0.6], [1.0, -1.3, 0.8], 50)
    for suffix in EXPORTS:
        again = read_motion(write_motion(motion, tmp_path / f"m{suffix}"))
        assert np.abs(again.rotation - motion.rotation).max() < TOLERANCE, suffix


@pytest.mark.parametrize("suffix", EXPORTS)
def test_what_is_missing_empty_or_something_else(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputError, match="no motion file"):
        read_motion(tmp_path / f"absent{suffix}")
    for data in (b"", b"\xff\xfe\x00nonsense\x80", b"hello there\n" * 9):
        path = tmp_path / f"m{suffix}"
        path.write_bytes(data)
        with pytest.raises(MotionError) as caught:
            read_motion(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_other_endings_and_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.glb"):
        write_motion(moving(25.0), tmp_path / "m.fbx")
    with pytest.raises(OutputError, match="folder"):
        (tmp_path / "m.csv").mkdir()
        write_motion(moving(25.0), tmp_path / "m.csv")
    with pytest.raises(OutputError, match="cannot write"):
        write_motion(moving(25.0), tmp_path / "absent" / "m.bvh")


# -- Live Link Face --------------------------------------------------------------------------


def test_the_header_is_live_link_faces(tmp_path: Path) -> None:
    path = write_motion(moving(25.0), tmp_path / "m.csv")
    lines = path.read_text().splitlines()
    assert lines[0] == LIVE_LINK_HEADER == ",".join(COLUMNS) and len(SHAPES) == 52
    assert lines[1].startswith("00:00:00:00.000,61,") and lines[26].startswith("00:00:01:00.000,")
    assert lines[2].startswith("00:00:00:02.400,"), "the app's clock has 60 frames a second"
    assert {line.count(",") for line in lines} == {62}


def table(tmp_path: Path, change: Callable[[list[list[str]]], object], fps: float = 30.0) -> Path:
    """A good file with a change to its rows of fields."""
    path = write_motion(moving(fps), tmp_path / "m.csv")
    rows = [line.split(",") for line in path.read_text().splitlines()]
    change(rows)
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")
    return path


def test_dropped_rows_are_frames_that_are_not_valid(tmp_path: Path) -> None:
    motion = moving(30.0)
    path = table(tmp_path, lambda rows: [rows.pop(k) for k in (71, 70, 69, 41)])
    again = read_motion(path)
    assert len(again) == len(motion) and again.fps == 30.0
    assert np.flatnonzero(~again.mask).tolist() == [40, 68, 69, 70]
    assert np.abs(again.expression - motion.expression)[again.mask].max() < TOLERANCE
    assert np.abs(again.expression - motion.expression).max() < 0.02


@pytest.mark.parametrize("rate", [24, 25, 30, 60])
def test_timecodes_that_count_at_another_rate(tmp_path: Path, rate: int) -> None:
    def count(rows: list[list[str]]) -> None:
        for k, row in enumerate(rows[1:], 20 * rate - 7):
            row[0] = f"00:59:{k // rate:02}:{k % rate:02}"

    again = read_motion(table(tmp_path, count, fps=float(rate)))
    assert again.fps == rate and len(again) == 4 * rate and again.mask.all()


def test_a_recording_over_midnight_and_a_clock_that_is_told(tmp_path: Path) -> None:
    def late(rows: list[list[str]]) -> None:
        for k, row in enumerate(rows[1:]):
            second = (23 * 3600 + 59 * 60 + 58 + k // 30) % 86400
            clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
            row[0] = f"{clock}:{k % 30:02}"

    path = table(tmp_path, late)
    assert read_motion(path).fps == 30.0 and len(read_motion(path)) == 120
    del_rows = table(tmp_path, lambda rows: (late(rows), rows.__delitem__(slice(20, None)))[1])
    assert read_live_link(del_rows, clock=30).fps == 30.0


def test_other_order_case_and_no_angles(tmp_path: Path) -> None:
    motion = moving(30.0)

    def turned(rows: list[list[str]]) -> None:
        for k, row in enumerate(rows):
            row[:] = row[:1] + row[1:54][::-1]
            if k == 0:
                row[:] = [name.lower() for name in row]

    again = read_motion(table(tmp_path, turned))
    assert np.abs(again.expression - motion.expression).max() < TOLERANCE
    assert not again.rotation.any()


@pytest.mark.parametrize(
    ("line", "column", "text", "said"),
    [
        (0, 19, "Jaw", "lacks the column JawOpen"),
        (0, 0, "Zeit", "lacks the column Timecode"),
        (5, 19, "nan", "line 6 of .* has 'nan' for JawOpen"),
        (5, 19, "", "line 6 of .* has '' for JawOpen"),
        (5, 54, "inf", "for HeadYaw"),
        (5, 19, "80", "jawOpen = 80 in frame 4; wanted coefficients in 0..1"),
        (5, 0, "0:00", "timecode '0:00'; wanted HH:MM:SS:FF"),
        (5, 0, "00:00:00:00.000", "goes back in time at frame 4"),
        (5, 19, "0,0", "line 6 of .* has 64 fields; the header has 63"),
    ],
)
def test_wrong_tables_get_one_sentence(
    tmp_path: Path, line: int, column: int, text: str, said: str
) -> None:
    path = table(tmp_path, lambda rows: rows[line].__setitem__(column, text))
    with pytest.raises(MotionError, match=said):
        read_motion(path)


def test_a_header_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match="holds no frames"):
        read_motion(table(tmp_path, lambda rows: rows.__delitem__(slice(1, None))))


# -- BVH -------------------------------------------------------------------------------------


def test_the_head_of_another_skeleton(tmp_path: Path) -> None:
    """Rotations add up from the hips to the head; names have prefixes; orders differ."""
    path = tmp_path / "walk.bvh"
    path.write_text(
        """HIERARCHY
ROOT rig:Hips
{
  OFFSET 0 90 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT rig:Head
  {
    OFFSET 0 60 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 10 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
1 90 2 0 20 0 0 0 10
1 90 2 0 0 0 0 15 0
"""
    )
    motion = read_motion(path)
    assert motion.fps == 30.0 and not motion.translation.any()
    degrees = np.degrees(motion.rotation)
    assert np.allclose(degrees, [[0, 30, 0], [15, 0, 0]], atol=1e-3)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Yrotation Xrotation", "Yrotation Wrotation", "the channel 'Wrotation' for"),
        ("Yrotation Xrotation", "Yrotation Yrotation", "each once"),
        ("ROOT Head", "ROOT Skull", "no joint named Head"),
        ("Frames: 100", "Frames: 101", "wanted 101 frames of 12 channels"),
        ("Frames: 100", "Frames: many", "lacks `Frames:`"),
        ("Frame Time: 0.04", "Frame Time: 0.0 0", "frame time of 0.0 s"),
        ("Frame Time: 0.040000000\n", "Frame Time: 0.04\n0 ", "wanted 100 frames"),
        ("MOTION", "", "broken off|in its hierarchy"),
        ("HIERARCHY", "HIERARCHIE", "does not begin with HIERARCHY"),
    ],
)
def test_wrong_skeletons_get_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = write_motion(moving(25.0), tmp_path / "m.bvh")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(MotionError, match=said):
        read_motion(path)


def test_a_number_that_is_none(tmp_path: Path) -> None:
    path = write_motion(moving(25.0), tmp_path / "m.bvh")
    lines = path.read_text().splitlines()
    lines[-1] = "nan " + lines[-1].partition(" ")[2]
    path.write_text("\n".join(lines))
    with pytest.raises(MotionError, match=f"line {len(lines)} of .* has 'nan'"):
        read_motion(path)
