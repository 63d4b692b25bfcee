"""Lips that meet have no black dashes between them; open ones are dark behind."""

import numpy as np
import torch

from motion2video.drawing.edges import seal
from motion2video.drawing.layered import DARK
from motion2video.drawing.layered_canvas import _sealed


def lips(gap: int) -> tuple[np.ndarray, np.ndarray]:
    """Red lips that are so many pixels apart, and where."""
    opened = np.zeros((40, 60), bool)
    opened[20 : 20 + gap, 15:45] = True
    colour = np.full((40, 60, 3), (180, 90, 90), np.uint8)
    colour[:20] = (160, 80, 80)
    colour[opened] = DARK
    return colour, opened


def test_a_gap_of_a_pixel_is_lips() -> None:
    colour, opened = lips(1)
    seal(colour, opened)
    assert colour[opened].min(0).tolist() > [120, 60, 60]
    assert (colour[opened] < [160, 80, 80]).all(), "a shade is between them"


def test_an_open_mouth_stays_dark() -> None:
    colour, opened = lips(5)
    seal(colour, opened)
    assert (colour[opened] == DARK).all()


def test_what_is_around_stays() -> None:
    colour, opened = lips(2)
    before = colour.copy()
    seal(colour, opened)
    assert np.array_equal(colour[~opened], before[~opened])


def test_a_gpu_seals_as_the_cpu_does() -> None:
    """On a CPU here."""
    colour, opened = lips(2)
    opened[8:16, 20:30] = True
    colour[opened] = DARK
    planes = torch.from_numpy(colour.copy()).permute(2, 0, 1)[None].float()
    there = _sealed(planes, torch.from_numpy(opened)[None, None].float())[0].permute(1, 2, 0)
    seal(colour, opened)
    assert np.abs(there.numpy() - colour.astype(float)).max() <= 1
