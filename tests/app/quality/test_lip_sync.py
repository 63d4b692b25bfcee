"""The judge of lip sync: a shift that was put in is found, and what cannot be told is not."""

import numpy as np
import pytest

from app.quality.lip_sync import (
    LEAST_FRAMES,
    REACH,
    LipSyncConfig,
    LipSyncJudge,
    agreement,
    sync_of,
    voice_features,
)
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from motion2video.motion import MOTION_DIM
from weights.errors import MediaError, WeightsError


def both(count: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth curve of four numbers, and the weights of its frames."""
    rng = np.random.default_rng(seed)
    curve = np.stack(
        [np.convolve(x, np.hanning(7), "same") for x in rng.normal(size=(4, count))], 1
    )
    return curve, np.ones(count)


@pytest.mark.parametrize("late", [-9, -1, 0, 4, 12])
def test_a_shift_is_found_and_moves_with_the_lips(late: int):
    voice, weight = both()
    found = sync_of(agreement(np.roll(voice, late, axis=0), voice, weight), 1.0, 150.0)
    assert found.offset_ms == pytest.approx(40 * late, abs=4) and found.sure
    assert found.confidence > 0.8


def test_half_a_frame_is_told_by_the_neighbours():
    curve, weight = both(401)
    found = sync_of(agreement(curve[:-1:2], curve[1::2], weight[::2][:200]), 0.0, 1.0)
    assert abs(found.offset_ms) == pytest.approx(20, abs=8)


def test_strangers_are_not_sure():
    found = []
    for seed in range(20):
        (one, weight), (two, _) = both(200, 2 * seed), both(200, 2 * seed + 1)
        found.append(sync_of(agreement(one, two, weight), 5.0, 150.0))
    assert np.mean([sync.sure for sync in found]) <= 0.1
    assert max(sync.confidence for sync in found) < 0.6


def test_silent_frames_do_not_count():
    voice, weight = both()
    lips = np.roll(voice, 5, axis=0)
    lips[100:] = np.roll(voice, -5, axis=0)[100:]
    weight[95:] = 0
    assert sync_of(agreement(lips, voice, weight), 0.0, 1.0).offset_ms == pytest.approx(200, abs=8)


def test_an_end_is_not_sure_and_few_frames_have_no_shift():
    rising = np.linspace(0, 1, 2 * REACH + 1)
    assert not sync_of(rising, 0.0, 1.0).sure
    few, weight = both(LEAST_FRAMES + 2)
    found = agreement(few, few, weight)
    assert found[REACH] == pytest.approx(1) and found[0] == -1 and found[REACH + 3] == -1


@pytest.mark.weights("lip_sync")
def test_the_embedded_judge_hears_and_sees():
    judge = LipSyncJudge.load()
    quiet = Waveform(np.zeros(2 * SAMPLE_RATE, np.float32))
    seen = judge.seen(np.zeros((50, MOTION_DIM), np.float32))
    assert judge.judge(seen, quiet, 0.0) is None
    assert judge.judge(seen[:20], quiet, 2.0) is None
    still = judge.judge(seen, quiet, 2.0)
    assert still is not None and not still.sure
    assert judge.config.floor > 0


def test_features_do_not_depend_on_the_level_and_keep_their_time():
    rng = np.random.default_rng(0)
    samples = np.zeros(3 * SAMPLE_RATE, np.float32)
    samples[SAMPLE_RATE : 2 * SAMPLE_RATE] = rng.normal(0, 0.1, SAMPLE_RATE)
    loud, soft = (voice_features(Waveform(samples * k), 75, 40) for k in (1, 0.3))
    np.testing.assert_allclose(loud[30:50], soft[30:50], atol=0.05)
    level = loud.mean(1)
    assert level[26:49].min() > 0.5 > level[:24].max()
    with pytest.raises(MediaError, match="16000"):
        voice_features(Waveform(samples, 8000), 75, 40)


def test_a_header_that_does_not_fit():
    assert LipSyncConfig.from_header({"mels": 20, "floor": 1.0}).mels == 20
    with pytest.raises(WeightsError, match="header"):
        LipSyncConfig.from_header({"width": 3})
