"""How far lips and voice are apart: made-up lips that follow a made-up voice by so much."""

import numpy as np
import pytest

from app.render.sync import loudness, sync_offset_ms
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from motion2video.geometry.basis import FaceBasis
from motion2video.motion import MOTION_DIM, channel_index


def syllables(seconds: float, seed: int = 0) -> Waveform:
    """Noise whose loudness changes five times a second."""
    rng = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE)
    at = np.arange(count) / SAMPLE_RATE * 5
    level = np.interp(at, np.arange(int(at[-1]) + 2), rng.uniform(0.02, 1.0, int(at[-1]) + 2))
    return Waveform((level * rng.uniform(-0.5, 0.5, count)).astype(np.float32))


def lips(voice: Waveform, fps: float, shift: int) -> np.ndarray:
    """A gap that follows the voice `shift` frames late."""
    level = loudness(voice, round(voice.seconds * fps), fps)
    noise = np.random.default_rng(1).normal(0, 0.1, len(level))
    return 0.01 * (np.roll(level, shift) / level.std() + noise)


@pytest.mark.parametrize("fps", [25.0, 30.0])
@pytest.mark.parametrize("shift", [-6, -1, 0, 2, 9])
def test_a_known_shift_is_found(shift: int, fps: float):
    voice = syllables(6.0)
    found = sync_offset_ms(lips(voice, fps, shift), voice, fps)
    assert found == pytest.approx(1000 * shift / fps)


def test_silence_around_the_voice_does_not_hide_it():
    spoken = syllables(4.0)
    quiet = np.zeros(3 * SAMPLE_RATE, np.float32)
    voice = Waveform(np.concatenate([quiet, spoken.samples, quiet]))
    assert sync_offset_ms(lips(voice, 25.0, 4), voice, 25.0) == pytest.approx(160.0)


def test_it_is_not_said_where_it_cannot_be_told():
    voice = syllables(6.0)
    gap = lips(voice, 25.0, 3)
    assert sync_offset_ms(gap[:40], Waveform(voice.samples[: 40 * 640]), 25.0) is None  # 1.6 s
    assert sync_offset_ms(gap, Waveform.silence(6.0), 25.0) is None
    assert sync_offset_ms(np.zeros_like(gap), voice, 25.0) is None  # lips that do not move
    assert sync_offset_ms(lips(voice, 25.0, 10), voice, 25.0) is None  # out of reach, maybe


def test_lips_of_another_voice_have_no_shift():
    voice = syllables(12.0)
    strangers = [lips(syllables(12.0, seed), 25.0, 0) for seed in range(10, 30)]
    told = [sync_offset_ms(other, voice, 25.0) for other in strangers]
    assert told.count(None) >= 18


def test_the_gap_of_the_lips_is_that_of_the_keypoints():
    basis = FaceBasis.load()
    values = np.random.default_rng(0).uniform(0, 0.5, (4, MOTION_DIM)).astype(np.float32)
    points = basis.offsets(values)[:, :, 1]
    np.testing.assert_allclose(basis.lip_gap(values), points[:, 13] - points[:, 14], atol=1e-5)
    open_mouth = np.zeros((1, MOTION_DIM), np.float32)
    open_mouth[0, channel_index("jawOpen")] = 0.5
    assert basis.lip_gap(open_mouth)[0] > 0.05
