"""Where eyes look, whatever the head does."""

import numpy as np
import torch

from app.quality.events import gaze_angle
from audio2motion.behaviour.eyes import LOOK_CHANNELS, point_eyes
from audio2motion.network.gaze import to_eyes, to_gaze
from motion2video.motion import MOTION_DIM, ROTATION


def looking(right: float, up: float, head: tuple[float, float, float]) -> np.ndarray:
    values = np.zeros((1, MOTION_DIM), np.float32)
    values[0, ROTATION] = np.radians(head)
    point_eyes(values[0], float(right), float(up))
    return values


def test_eyes_come_back_from_where_they_look() -> None:
    for values in (
        looking(10, -3, (5, -7, 2)),
        looking(-12, 4, (-8, 9, 0)),
        looking(0, 0, (0, 0, 0)),
    ):
        eyes = torch.from_numpy(values)
        assert torch.allclose(to_eyes(to_gaze(eyes)), eyes, atol=1e-6)


def test_gaze_is_that_of_head_and_eyes_together() -> None:
    values = looking(10, -3, (5, -7, 2))
    gaze = to_gaze(torch.from_numpy(values)).numpy()
    gaze[:, ROTATION] = 0
    assert np.allclose(gaze_angle(gaze), gaze_angle(values), atol=1e-3)


def test_who_looks_at_somebody_goes_on_to_while_the_head_nods() -> None:
    gaze = torch.zeros(30, MOTION_DIM)
    gaze[:, ROTATION.start] = torch.sin(torch.arange(30) / 3) * 0.1
    gaze[:, ROTATION.start + 1] = torch.cos(torch.arange(30) / 5) * 0.1
    eyes = to_eyes(gaze)
    assert np.abs(gaze_angle(eyes.numpy())).max() < 1e-3
    assert eyes[:, list(LOOK_CHANNELS)].abs().max() > 0.1
    rest = [i for i in range(MOTION_DIM) if i not in LOOK_CHANNELS]
    assert torch.equal(eyes[:, rest], gaze[:, rest])
