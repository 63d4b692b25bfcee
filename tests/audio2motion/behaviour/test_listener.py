"""What a listener gives back, and nothing else."""

import numpy as np

from audio2motion.behaviour.events import SMILE_CHANNELS, Seen
from audio2motion.behaviour.reactions import ReactionState, react
from motion2video.motion import ROTATION


def rows(smiles: list[float], pitches: list[float], seed: int, speaks: bool = False) -> np.ndarray:
    state, made = ReactionState(), []
    for frame, (smile, pitch) in enumerate(zip(smiles, pitches, strict=True)):
        seen = Seen(smile, pitch, 0.0)
        state, row = react(state, seed, frame, speaks=speaks, seen=seen)
        made.append(row)
    return np.stack(made)


def test_a_smile_is_returned_later_and_smaller() -> None:
    smiles = [0.0] * 50 + [0.6] * 100
    answers = [rows(smiles, [0.0] * 150, seed)[:, SMILE_CHANNELS[0]] for seed in range(12)]
    largest = np.array([answer.max() for answer in answers])
    assert all(not answer[:50].any() for answer in answers)
    assert (largest > 0.2).sum() >= 4 and (largest < 0.6).all()


def test_some_nods_of_the_other_are_returned_and_lips_and_lids_are_left_alone() -> None:
    down = np.radians(8) * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(13) / 12))
    pitches = [0.0] * 75 + down.tolist() + [0.0] * 60
    takes = [rows([0.0] * 148, pitches, seed) for seed in range(30)]
    nodded = [np.abs(take[85:110, ROTATION.start]).max() > np.radians(1) for take in takes]
    assert 6 <= sum(nodded) <= 24
    changed = np.flatnonzero(np.abs(np.concatenate(takes)).max(0))
    assert set(changed.tolist()) <= {ROTATION.start, 56}


def test_who_sees_nobody_gives_nothing_back() -> None:
    state = ReactionState()
    for frame in range(300):
        state, row = react(state, 5, frame, speaks=False, seen=None)
        assert not row.any()
