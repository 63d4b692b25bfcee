"""Speech features: exact in pieces, blind to the future and to the level."""

import numpy as np
import pytest
import torch

from audio2motion.hearing.speech import (
    LEVEL_DECAY_DB,
    LEVEL_FLOOR_DB,
    MelFrontEnd,
    SpeechConfig,
    SpeechEncoder,
    load_strictly,
    mel_filters,
    running_level,
)
from audio2motion.voice.synthesis import synthesize
from tests.audio2motion.small import SPEECH, small_encoder
from weights.errors import WeightsError


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    torch.manual_seed(0)
    return small_encoder()


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    samples = synthesize("Bob may pay a penny for a map.").samples
    return samples[: len(samples) // 3200 * 3200]


def test_filters_cover_every_band_once() -> None:
    filters = mel_filters(80)
    assert filters.shape == (80, 201)
    assert (filters.sum(1) > 0).all()
    peaks = filters.argmax(1)
    assert (peaks.diff() >= 0).all()


def test_tone_lands_in_its_band() -> None:
    front = MelFrontEnd(40)
    t = torch.arange(240 + 640) / 16000
    low, high = (front.decibels(torch.sin(2 * torch.pi * f * t)).mean(0) for f in (300, 4000))
    assert low.argmax() < 10 < 25 < high.argmax()


def test_level_rises_at_once_and_falls_slowly() -> None:
    loudness = torch.tensor([-90.0, -20.0, -80.0, -80.0])
    level = running_level(loudness, torch.tensor(LEVEL_FLOOR_DB))
    expected = [LEVEL_FLOOR_DB, -20, -20 - LEVEL_DECAY_DB, -20 - 2 * LEVEL_DECAY_DB]
    assert torch.allclose(level, torch.tensor(expected), atol=1e-4)


def test_pieces_give_what_the_whole_gives(encoder: SpeechEncoder, speech: np.ndarray) -> None:
    whole = encoder.analyse(speech)
    state = encoder.init_state()
    parts = []
    for start in range(0, len(speech), 3200):
        state, part = encoder.step(state, speech[start : start + 3200])
        parts.append(part)
    assert torch.allclose(torch.cat([p.features for p in parts]), whole.features, atol=1e-4)
    assert torch.allclose(torch.cat([p.energy for p in parts]), whole.energy, atol=1e-5)
    assert torch.equal(torch.cat([p.activity for p in parts]), whole.activity)


def test_no_frame_hears_later_sound(encoder: SpeechEncoder, speech: np.ndarray) -> None:
    changed = speech.copy()
    changed[20 * 640 :] = 0.3
    before, after = encoder.analyse(speech), encoder.analyse(changed)
    assert torch.equal(before.features[:20], after.features[:20])
    assert not torch.equal(before.features[20], after.features[20])


def test_level_does_not_matter_once_it_is_known(encoder: SpeechEncoder, speech: np.ndarray) -> None:
    loud, soft = encoder.analyse(speech), encoder.analyse(speech * 0.25)
    after = 25
    gap = (loud.features - soft.features)[after:].abs().mean()
    assert gap < 0.1 * loud.features[after:].std()


def test_stored_weights_must_fit(encoder: SpeechEncoder) -> None:
    tensors = {k: v.numpy() for k, v in encoder.state_dict().items()}
    load_strictly(SpeechEncoder(SPEECH), tensors, "speech encoder")
    tensors.pop("leave.bias")
    with pytest.raises(WeightsError, match="do not fit"):
        load_strictly(SpeechEncoder(SPEECH), tensors, "speech encoder")
    with pytest.raises(WeightsError, match="header"):
        SpeechConfig.from_header({"ahead": [5, 4], "colour": 3})


@pytest.mark.weights("speech_encoder")
def test_embedded_encoder_tells_sounds_apart() -> None:
    trained = SpeechEncoder.load()
    said = [synthesize(text).samples for text in ("aaaa", "mmmm", "aaaa.")]
    a, m, again = (trained.analyse(s[: len(s) // 640 * 640]).features[6:12].mean(0) for s in said)
    assert (a - m).norm() > 2 * (a - again).norm()
