"""The Motion type and its file."""

from pathlib import Path

import numpy as np
import pytest

from motion2video.motion import EXPRESSION_NAMES, MOTION_DIM, Motion, channel_index
from weights.errors import InputError, MotionError, OutputError


def ramp(frames: int, fps: float = 25.0) -> Motion:
    values = np.linspace(0, 1, frames, dtype=np.float32)[:, None].repeat(MOTION_DIM, 1)
    return Motion(values, fps)


def test_parts_have_their_widths() -> None:
    motion = ramp(7)
    assert motion.values.shape == (7, 58 + 32)
    widths = [p.shape[1] for p in (motion.expression, motion.rotation, motion.translation)]
    assert widths == [52, 3, 3] and motion.detail.shape == (7, 32)
    assert len(EXPRESSION_NAMES) == 52 and EXPRESSION_NAMES[0] == "_neutral"
    assert tuple(sorted(EXPRESSION_NAMES)) == EXPRESSION_NAMES, "MediaPipe's order is alphabetic"


def test_channel_by_name() -> None:
    motion = Motion.neutral(3)
    motion.values[:, channel_index("jawOpen")] = 0.5
    assert motion.channel("jawOpen").tolist() == [0.5, 0.5, 0.5]
    with pytest.raises(MotionError, match="jawopen"):
        motion.channel("jawopen")


@pytest.mark.parametrize("shape", [(5, 58), (90,), (2, 3, 90)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises((MotionError, Exception), match=r"wanted|shape|type"):
        Motion(np.zeros(shape, np.float32))


def test_values_that_are_no_numbers_are_refused() -> None:
    values = np.zeros((2, MOTION_DIM), np.float32)
    values[1, 3] = np.nan
    with pytest.raises(MotionError, match="finite"):
        Motion(values)


@pytest.mark.parametrize("fps", [0.0, -25.0, float("nan"), float("inf")])
def test_wrong_rates_are_refused(fps: float) -> None:
    with pytest.raises(MotionError, match="positive rate"):
        ramp(3, fps)
    with pytest.raises(MotionError, match="positive rate"):
        ramp(3).resample(fps)


def test_file_round_trip_is_exact(tmp_path: Path) -> None:
    motion = Motion(ramp(9).values, 29.97, np.arange(9) % 3 > 0)
    path = motion.save(tmp_path / "m.npz")
    again = Motion.load(path)
    assert np.array_equal(again.values, motion.values)
    assert again.fps == motion.fps and np.array_equal(again.mask, motion.mask)
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"], "no temporary file is left"


def test_bad_files_get_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no motion file"):
        Motion.load(tmp_path / "absent.npz")
    for name, content in (("empty", b""), ("text", b"hello"), ("cut", b"PK\x03\x04abc")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MotionError, match="not a motion file"):
            Motion.load(tmp_path / name)
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(MotionError):
        Motion.load(tmp_path / "other.npz")
    whole = ramp(50).save(tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MotionError):
        Motion.load(tmp_path / "half.npz")


def test_saving_where_one_cannot(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder"):
        ramp(2).save(tmp_path)
    with pytest.raises(OutputError, match="cannot write"):
        ramp(2).save(tmp_path / "absent" / "m.npz")


def test_resample_keeps_time() -> None:
    motion = ramp(26)  # a ramp of exactly one second between first and last frame
    up = motion.resample(50.0)
    assert len(up) == 52 and up.fps == 50
    assert np.allclose(up.values[::2, 0], motion.values[:, 0], atol=1e-6)
    assert np.allclose(up.values[1:-1:2, 0], (motion.values[:-1, 0] + motion.values[1:, 0]) / 2)
    down = up.resample(25.0)
    assert np.allclose(down.values, motion.values, atol=1e-6)


def test_a_gap_stays_a_gap_when_resampled() -> None:
    valid = np.ones(10, bool)
    valid[4] = False
    motion = Motion(ramp(10).values, 25.0, valid).resample(50.0)
    assert not motion.mask[7:10].any() and motion.mask[:7].all()


def test_concat_and_slice_are_inverse() -> None:
    motion = ramp(11)
    joined = Motion.concat([motion[:4], motion[4:]])
    assert np.array_equal(joined.values, motion.values)
    with pytest.raises(MotionError, match="fps"):
        Motion.concat([ramp(2, 25.0), ramp(2, 30.0)])
    with pytest.raises(MotionError, match="no motion"):
        Motion.concat([])
