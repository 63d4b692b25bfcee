"""Cuts are found; movement, noise and fades are none."""

import numpy as np

from motion2video.media.cuts import CutFinder


def cuts_of(frames: list[np.ndarray]) -> list[int]:
    finder = CutFinder()
    return [n for n, frame in enumerate(frames) if finder.step(frame)]


def scene(seed: int, move: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (6, 8, 3), np.uint8)
    return np.roll(np.kron(small, np.ones((20, 20, 1), np.uint8)), move, axis=1)


def test_a_cut_is_where_another_scene_begins() -> None:
    frames = [scene(0)] * 10 + [scene(1)] * 10 + [scene(2)] * 5
    assert cuts_of(frames) == [10, 20]


def test_movement_noise_and_fades_are_no_cuts() -> None:
    moving = [scene(0, 3 * n) for n in range(20)]
    rng = np.random.default_rng(0)
    noisy = [np.clip(scene(0) + rng.normal(0, 12, (120, 160, 3)), 0, 255).astype(np.uint8)] * 10
    fade = [(scene(0) * (1 - n / 40)).astype(np.uint8) for n in range(40)]
    assert cuts_of(moving) == cuts_of(noisy) == cuts_of(fade) == []
