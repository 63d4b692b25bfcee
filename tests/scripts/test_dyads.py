"""Conversations that are put together: whose smiles they have."""

from pathlib import Path

import numpy as np
import pytest
import torch

from audio2motion.behaviour.events import SMILE_CHANNELS
from audio2motion.behaviour.eyes import BLINK_CHANNELS
from audio2motion.hearing.speech import SpeechFeatures
from audio2motion.network.condition import CONTROL_DIM
from audio2motion.network.marginals import SCORED
from audio2motion.network.model import ModelConfig, MotionNetwork
from motion2video.motion import MOTION_DIM
from scripts.data.dyads import (
    HELD_OUT,
    SMILE_BEGINS,
    Sources,
    Talk,
    converse,
    load_smiles,
)
from scripts.data.moods import Mood
from scripts.data.motion_items import SHARES, Item
from scripts.train.motion_statistics import set_statistics

SMILES = list(SMILE_CHANNELS)


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Six calls of four seconds; the smiles of call k are of intensity k all the while, and the
    second person's begin in the middle.
    """
    intensity = np.repeat(np.arange(6.0)[:, None, None], 120, 1).repeat(2, 2)
    intensity[:, :60, 1] = 0
    path = tmp_path / "calls.npz"
    np.savez(path, au12_r=intensity.astype(np.float32), session=np.arange(6) * 2, fps=30)
    return path


def sources(smiles: tuple[np.ndarray, ...]) -> Sources:
    rng = np.random.default_rng(0)

    def talk(face: bool) -> Talk:
        sound = rng.normal(0, 0.1, 60 * 640).astype(np.float32)
        values = np.zeros((60, MOTION_DIM), np.float32)
        return Talk(sound, values if face else None, np.ones(MOTION_DIM, np.float32))

    drifts = [np.cumsum(rng.normal(0, 0.001, (200, 6)), 0)]
    people = {name: [talk(True)] for name in ("a", "b")}
    return Sources(people, {"v": [talk(False)]}, drifts, smiles)


def test_smiles_are_of_both_at_25_a_second_and_without_the_calls_that_are_held_out(
    calls: Path,
) -> None:
    found = load_smiles(calls)
    assert len(found) == 6 - HELD_OUT
    assert all(one.shape == (100, 2) for one in found)
    assert not found[0].any()
    wanted = (1 - SMILE_BEGINS) / (5 - SMILE_BEGINS)
    assert np.allclose(found[1][:, 0], wanted, atol=1e-4)
    assert not found[1][:40, 1].any() and np.allclose(found[1][60:, 1], wanted, atol=1e-4)


def test_two_who_talk_smile_as_two_on_a_call_did() -> None:
    ramp = np.linspace(0, 0.9, 300, dtype=np.float32)
    pair = np.stack([ramp, ramp[::-1]], 1)
    agent, other, seen = (None, None, False)
    for seed in range(20):
        agent, other, seen = converse(np.random.default_rng(seed), sources((pair,)), 300, Mood())
        if seen:
            break
    assert agent and other and seen
    mine, theirs = agent.values[:, SMILES].mean(1), other.values[:, SMILES].mean(1)
    assert np.allclose(theirs, ramp, atol=1e-5) or np.allclose(theirs, ramp[::-1], atol=1e-5)
    own = 0.9 - theirs
    assert (mine >= own - 1e-5).all(), "the other one's, of the same moment"
    assert (mine > own + 0.05).any(), "and it smiles back"
    alone, _, _ = converse(np.random.default_rng(0), sources(()), 300, Mood())
    assert not np.allclose(alone.values[:, SMILES].mean(1), mine, atol=0.1)


def test_lids_shut_as_far_as_those_of_conversations() -> None:
    def item(shut: float, talks: bool) -> Item:
        values = torch.zeros(400, MOTION_DIM)
        values[::20, list(BLINK_CHANNELS)] = shut
        heard = SpeechFeatures(torch.zeros(405, 4), torch.zeros(405), torch.zeros(405))
        controls = torch.ones(CONTROL_DIM)
        other = heard if talks else None
        known = torch.ones(400, MOTION_DIM)
        return Item(heard, other, values, known, None, controls, share=SHARES["longclips"])

    network = MotionNetwork(
        ModelConfig(width=16, layers=1, heads=1, hidden=16, history=10, speech_features=4)
    )
    lid = SCORED.index(BLINK_CHANNELS[0])
    set_statistics(network, [item(0.5, False)])
    assert network.knots[lid, -1] == pytest.approx(0.5)
    set_statistics(network, [item(0.5, False), item(0.9, True)])
    assert network.knots[lid, -1] == pytest.approx(0.9)
    assert network.knots[lid, -2] == pytest.approx(0.5), "only their end"
