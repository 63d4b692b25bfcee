"""Kinds of chunks are found in what people do."""

import numpy as np
import pytest
import torch

from audio2motion.hearing.speech import SpeechFeatures
from audio2motion.network.bursts import BURSTING, KINDS
from audio2motion.network.condition import CHUNK, CONTROL_DIM, LOOK_AHEAD
from audio2motion.network.model import ModelConfig, MotionNetwork
from motion2video.motion import MOTION_DIM
from scripts.data.motion_items import Item
from scripts.train.motion_kinds import fit_kinds, set_kinds


def test_a_seldom_move_has_a_kind_of_its_own() -> None:
    rng = np.random.default_rng(0)
    z = 0.1 * rng.normal(size=(4000, CHUNK))
    z[:200] += [0, 0, 3, 2, 1]
    sizes, axes, spreads, odds = fit_kinds(z)
    shares = np.exp(odds)
    assert shares.sum() == pytest.approx(1, abs=1e-3)
    far = sizes[:, 2] > 2
    assert shares[far].sum() == pytest.approx(0.05, abs=0.005)
    assert np.allclose(sizes[far].mean(0), [0, 0, 3, 2, 1], atol=0.3)
    assert np.allclose(axes @ axes.transpose(0, 2, 1), np.eye(CHUNK), atol=1e-5)
    assert np.median(np.exp(spreads)) == pytest.approx(0.1, abs=0.05)


def test_channels_of_which_nothing_is_known_keep_theirs() -> None:
    torch.manual_seed(0)
    network = MotionNetwork(ModelConfig(width=16, layers=1, heads=1, hidden=16, speech_features=4))
    frames = 300
    values = torch.randn(frames, MOTION_DIM)
    features, curve = torch.zeros(frames + LOOK_AHEAD, 4), torch.zeros(frames + LOOK_AHEAD)
    weight = torch.ones_like(values)
    weight[:, BURSTING[2]] = 0
    heard = SpeechFeatures(features, curve, curve)
    before = network.kinds.sizes.clone()
    item = Item(heard, None, values, weight, None, torch.zeros(CONTROL_DIM))
    set_kinds(network, [item], None, draws=2)
    found = network.kinds.sizes
    assert torch.equal(found[2], before[2])
    assert found.shape == (len(BURSTING), KINDS, CHUNK)
    assert not torch.equal(found[3], before[3]) and found[3].abs().max() < 4
