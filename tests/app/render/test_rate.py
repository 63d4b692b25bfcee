"""Resampling while the motion is being made: the same as doing it at the end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.render.rate import resampled
from motion2video.motion import MOTION_DIM, Motion


def noise(frames: int, fps: float = 25.0) -> Motion:
    rng = np.random.default_rng(frames)
    values = rng.normal(size=(frames, MOTION_DIM)).astype(np.float32)
    return Motion(values, fps, rng.random(frames) < 0.8)


def cut(motion: Motion, length: int) -> list[Motion]:
    return [motion[i : i + length] for i in range(0, len(motion), length)]


@settings(deadline=None, max_examples=60)
@given(
    frames=st.integers(1, 70),
    length=st.integers(1, 20),
    fps=st.sampled_from([1.0, 5.0, 12.5, 23.976, 25.0, 29.97, 30.0, 50.0, 60.0, 120.0]),
)
def test_equals_resampling_the_whole(frames: int, length: int, fps: float) -> None:
    motion = noise(frames)
    got = Motion.concat(list(resampled(cut(motion, length), fps)))
    wanted = motion.resample(fps)
    assert got.fps == fps
    assert np.array_equal(got.mask, wanted.mask)
    np.testing.assert_allclose(got.values, wanted.values, atol=1e-4)


def test_frames_leave_as_soon_as_they_can() -> None:
    seen = 0

    def parts():
        nonlocal seen
        for part in cut(noise(100), 5):
            seen += len(part)
            yield part

    given_out = 0
    for part in resampled(parts(), 30.0):
        given_out += len(part)
        assert given_out >= (seen - 1) * 30 / 25 - 2


def test_an_empty_motion_stays_empty() -> None:
    assert list(resampled([], 30.0)) == []


@pytest.mark.parametrize("length", [1, 7])
def test_the_same_rate_passes_through(length: int) -> None:
    parts = cut(noise(21), length)
    assert all(a is b for a, b in zip(resampled(parts, 25.0), parts, strict=True))
