"""Nothing jumps farther, and nothing goes farther out, than people."""

import pytest
import torch

from audio2motion.network.bounds import FARTHEST, REST, innovations, kept
from audio2motion.network.condition import CHUNK
from motion2video.motion import MOTION_DIM, ROTATION, TRANSLATION

POSE = torch.zeros(MOTION_DIM)
POSE[ROTATION] = POSE[TRANSLATION] = 1


def test_nothing_goes_farther_out_than_people_and_everything_may_come_back() -> None:
    origin = torch.tensor([0.0, 2.0, FARTHEST, -2.0, 9.0]).repeat_interleave(MOTION_DIM)
    origin = origin.view(1, CHUNK, MOTION_DIM)
    talks, rests = torch.zeros(1, CHUNK), torch.ones(1, CHUNK)
    near, middle, end, left, beyond = kept(origin, origin + 0.5, talks, POSE)[0, :, 53].tolist()
    assert near == 0.5 and 2 < middle < 2.5
    assert end == beyond == pytest.approx(FARTHEST)
    assert left == pytest.approx(-1.5), "the way back is free"
    tokens = torch.zeros(1, CHUNK, MOTION_DIM)
    for _ in range(99):  # whatever a network says
        tokens = kept(0.95 * tokens, 0.95 * tokens - 5, talks, POSE)
    assert tokens.min() >= -FARTHEST
    tokens = kept(origin, origin, rests, POSE)
    assert tokens[..., 53].abs().max() == pytest.approx(REST), "a head that rests is not far aside"
    assert tokens[..., 3].abs().max() == pytest.approx(FARTHEST), "a face may be"


def test_nothing_jumps_whether_it_rested_or_swung() -> None:
    most = torch.full((1, MOTION_DIM), 2.0)
    most[:, 1] = torch.inf
    companded = torch.ones(MOTION_DIM)
    for reach in (0.2, 3.0):
        asked = torch.full((1, CHUNK, MOTION_DIM), reach)
        far = innovations(torch.full((1, CHUNK, MOTION_DIM), 9.0), asked, companded, most)
        assert far[..., 53].max() == 2.0
        assert far[..., 1].min() > 40 * reach, "of what is not known how far it goes"
        near = innovations(torch.full((1, CHUNK, MOTION_DIM), -0.1), asked, companded, most)
        assert torch.allclose(near, -0.1002 * asked, atol=1e-3)
