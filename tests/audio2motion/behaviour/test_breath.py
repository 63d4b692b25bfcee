"""Breathing: its pace, its size, what speech does to it, and that a seed breathes as it did."""

import numpy as np

from audio2motion.behaviour.breath import DEPTH, RISE, BreathState, breathe
from motion2video.motion import FPS, ROTATION, TRANSLATION

UP = TRANSLATION.start + 1


def breathed(speaks: list[bool], seed: int = 0) -> np.ndarray:
    state, rows = BreathState(), []
    for frame, speaking in enumerate(speaks):
        state, row = breathe(state, seed, frame, speaking)
        rows.append(row)
    return np.stack(rows)


def starts(rise: np.ndarray) -> np.ndarray:
    """Frames from which the chest rises."""
    up = np.diff(rise) > 0
    return np.flatnonzero(up[1:] & ~up[:-1]) + 1


def test_a_breath_at_rest_takes_three_to_five_seconds_and_no_two_are_alike() -> None:
    rise = breathed([False] * 1500)[:, UP]
    periods = np.diff(starts(rise)) / FPS
    assert len(periods) > 10 and periods.min() >= 2.9 and periods.max() <= 5.0
    assert periods.std() > 0.1
    assert 0 <= rise.min() < 0.02 * RISE and RISE < rise.max() <= DEPTH[1] * RISE


def test_breathing_is_smooth_and_moves_head_and_nothing_else() -> None:
    rows = breathed([k % 90 < 60 for k in range(1000)])
    assert np.abs(np.diff(rows[:, UP], axis=0)).max() < 0.15 * RISE
    assert set(np.flatnonzero(np.abs(rows).max(0)).tolist()) == {ROTATION.start, UP}


def test_a_speaker_breathes_in_where_a_sentence_ends() -> None:
    speaks = [False] * 30 + [True] * 100 + [False] * 40
    for seed in range(8):
        rise = breathed(speaks, seed)[:, UP]
        assert not any(60 < k < 130 for k in starts(rise)), "not while speaking"
        assert any(130 <= k <= 140 for k in starts(rise))


def test_the_seed_decides() -> None:
    one, again, other = (breathed([False] * 400, seed) for seed in (3, 3, 4))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
