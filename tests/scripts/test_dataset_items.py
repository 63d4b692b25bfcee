"""Trainers read datasets of `visavis data`: clips, conversations, what is not known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app.dataset.layout import Dataset
from audio2motion.hearing.speech import SpeechConfig, SpeechEncoder
from audio2motion.network.gate import SPEECH_CHANNELS
from motion2video.motion import DETAIL, ROTATION, channel_index
from scripts.data.dataset import clips
from scripts.data.motion_items import LONG_FRAMES, SHARES, load_items, load_takes
from tests.app.dataset.made import draft, sample, written

FRAMES = 2 * LONG_FRAMES


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    sizes = SpeechConfig(mels=20, width=32, heads=2, hidden=48, past=10, features=16)
    return SpeechEncoder(sizes).eval()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two people who talk, one of them by keypoints; one who is silent, one held out."""
    common = {"frames": FRAMES, "voice": "own", "conversation": "c"}
    one = sample("c-0", "ann", partner="c-1", motion="video", doubt=((1.0, 2.0),), **common)
    two = sample("c-1", "bob", partner="c-0", motion="keypoints", **common)
    silent = draft(sample("s-0", "cem", recording="s", motion="video", frames=FRAMES), 2)
    held = draft(sample("t-0", "dan", recording="t", motion="video", voice="own", frames=FRAMES), 3)
    dataset = Dataset.create(tmp_path / "data")
    written(dataset, [draft(one), draft(two, 1), replace(silent, voice=None), held])
    dataset.write_splits({"ann": "train", "bob": "train", "cem": "train", "dan": "test"})
    return tmp_path / "data"


def test_clips_are_the_samples_that_move(data: Path) -> None:
    found = clips(data)
    assert [clip.name for clip in found] == ["c-0", "c-1", "s-0", "t-0"]
    assert [clip.name for clip in clips(data, "test")] == ["t-0"]
    one, two, silent, _ = found
    assert (one.group, two.group) == ("real", "mapped") and {one.group, two.group} <= SHARES.keys()
    assert one.heard and one.tracked and not one.filmed and not silent.heard
    assert len(one.samples()) == 640 * FRAMES and len(one.motion()) == FRAMES
    assert one.track()["landmarks"].shape == (FRAMES, 478, 3) and one.pictures() == []


def test_takes_leave_out_what_is_not_known(data: Path, encoder: SpeechEncoder) -> None:
    items = load_takes(data, encoder)
    assert len(items) == 5, "whoever is heard a second time, varied"
    first = items[0].weight
    lips = list(SPEECH_CHANNELS)
    assert not first[26:49][:, lips].any() and first[:24].all()
    assert first[:, ROTATION].all(), "a head is seen whoever speaks"
    mapped = next(i for i in items if i.share == SHARES["mapped"]).weight
    assert not mapped[:, DETAIL].any() and not mapped[:, channel_index("eyeLookInLeft")].any()
    assert mapped[:, channel_index("jawOpen")].all() and mapped[:, ROTATION].all()


def test_each_of_a_conversation_is_the_agent_once(data: Path, encoder: SpeechEncoder) -> None:
    items = load_items(data, encoder)
    assert len(items) == 2
    one, two = items
    assert one.interlocutor is not None and one.seen is not None and two.seen is not None
    assert torch.equal(one.seen[:, :-1].float(), two.values.half().float())
    assert torch.equal(one.agent.energy, two.interlocutor.energy)  # pyrefly: ignore[missing-attribute]
    assert not one.weight[26:49][:, list(SPEECH_CHANNELS)].any()
    assert one.controls[-1] == 1 and np.isfinite(one.controls.numpy()).all()
