"""What the generator learns of people who talk, and what it is judged by."""

import numpy as np
import pytest
import torch

from audio2motion.gestures.style import STYLE_DIM, STYLE_PARTS, measure_style
from audio2motion.network.gate import SPEECH_CHANNELS
from motion2video.geometry.basis import FaceBasis
from motion2video.motion import MOTION_DIM, ROTATION, channel_index
from scripts.data.motion_items import POSE_SIGMA, SHARES, Take, _joined, mirror_matrix
from scripts.data.talkers import TEST, VALIDATION, lag_of, shifted, split_of
from scripts.evaluate.liveliness import GROUPS, curves, frechet, trembling, windows


def waves(frames: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=(frames, MOTION_DIM)), 0) * 0.01


def test_the_lag_of_a_sound_is_found_and_taken_back() -> None:
    lips = np.random.default_rng(0).normal(size=200)
    heard = np.concatenate([np.zeros(3), lips])[:200]
    assert lag_of(heard, lips) == (3, pytest.approx(1.0))
    assert lag_of(np.random.default_rng(1).normal(size=200), lips)[0] == 0
    sound = np.repeat(np.arange(1, 11, dtype=np.float32), 640)
    assert shifted(sound, 3, 10)[::640].tolist() == [4, 5, 6, 7, 8, 9, 10, 0, 0, 0]
    assert shifted(sound, -1, 3)[::640].tolist() == [0, 1, 2]


def test_sources_of_real_takes_are_held_out_whole() -> None:
    assert not TEST & VALIDATION
    assert {split_of("real", source) for source in TEST} == {"test"}
    assert {split_of("real", source) for source in VALIDATION} == {"val"}
    assert {split_of("generated", source) for source in TEST} == {"train"}


def test_what_a_face_did_before_a_joint_is_not_learned_to_go_on() -> None:
    parts = [
        Take(np.zeros(640 * 30, np.float32), waves(30, n), np.ones((30, MOTION_DIM)), 2.0)
        for n in range(2)
    ]
    joined = _joined(parts)
    pitch, jaw = ROTATION.start, channel_index("jawOpen")
    assert jaw in SPEECH_CHANNELS and joined.weight[:, jaw].all()
    assert np.flatnonzero(joined.weight[:, pitch] == 0).tolist() == [30, 31, 32, 33, 34]
    assert parts[1].weight.all() and joined.share == 2.0 and len(joined.values) == 60
    assert {"real", "generated", "lrc", "silent"} <= SHARES.keys() and 0 < POSE_SIGMA < 1


@pytest.mark.weights("face_basis")
def test_a_mirror_moves_the_points_to_the_other_side() -> None:
    basis = FaceBasis.load()
    matrix = mirror_matrix(basis)
    assert torch.allclose(matrix[:58, :58] @ matrix[:58, :58], torch.eye(58))
    values = np.zeros((1, MOTION_DIM), np.float32)
    values[0, channel_index("mouthSmileLeft")], values[0, ROTATION] = 0.7, (0.1, 0.2, 0.3)
    mirrored = values @ matrix.numpy()
    assert mirrored[0, channel_index("mouthSmileRight")] == pytest.approx(0.7)
    assert mirrored[0, ROTATION] == pytest.approx([0.1, -0.2, -0.3])
    # The mouth's corners: 61 is on the picture's left, 291 on its right.
    before, after = (basis.offsets(v.astype(np.float32))[0] for v in (values, mirrored))
    assert np.allclose(before[291] * [-1, 1, 1], after[61], atol=0.02)


def test_a_style_says_which_part_of_the_face_swings() -> None:
    rng = np.random.default_rng(0)
    values = np.abs(rng.normal(size=(100, MOTION_DIM))).astype(np.float32) * 0.05
    wide = values.copy()
    wide[:, channel_index("browDownLeft")] *= 3
    wide[:, channel_index("browDownRight")] *= 3
    change = measure_style(wide) - measure_style(values)
    assert len(change) == STYLE_DIM == len(STYLE_PARTS)
    assert np.flatnonzero(change).tolist() == [STYLE_PARTS.index("brows down")]


def test_motion_is_as_alive_as_itself_and_trembling_is_told() -> None:
    values = waves(500)
    rows = windows(curves(values), False)
    assert rows.shape == (19, 4 * len(GROUPS))
    assert frechet(rows, rows) == pytest.approx(0, abs=0.05)
    assert frechet(rows, windows(curves(2 * values), False)) > 1
    head = values[:, ROTATION]
    shaken = head + 0.03 * (-1.0) ** np.arange(len(head))[:, None]
    assert trembling(shaken) > 10 * trembling(head)
