"""Angles as other programs write them."""

import numpy as np

from motion2video.geometry.angles import head_angles, head_rotation


def test_angles_round_trip_and_none_stay_none() -> None:
    rotation = np.random.default_rng(0).uniform(-0.8, 0.8, (20, 3))
    assert np.allclose(head_rotation(head_angles(rotation)), rotation)
    assert head_angles(rotation[:0]).shape == head_rotation(rotation[:0]).shape == (0, 3)


def test_turns_go_the_ways_that_are_written() -> None:
    yaw, pitch, roll = head_angles(np.array([[0, 0.3, 0], [0.3, 0, 0], [0, 0, 0.3]]))
    assert np.allclose([yaw, pitch, roll], 0.3 * np.eye(3))
