"""A photo in a larger frame: no line where it ends, at rest and in motion."""

import time

import numpy as np
import pytest
from jaxtyping import UInt8

from motion2video.portrait.backdrop import Margins
from motion2video.portrait.margins import Surround, surround

SIZE = 96
MARGINS: list[Margins] = [(60, 61, 0, 0), (0, 0, 60, 60), (0, 0, 0, 0)]


def scene(shift: int = 0) -> tuple[UInt8[np.ndarray, "h w 3"], np.ndarray]:
    """A wall that darkens to the right, and a person whose shoulders all but fill the lower edge;
    and their matte.
    """
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    middle = SIZE / 2 + shift
    head = np.hypot(x - middle, y - 30) < 18
    alpha = (head | (np.abs(x - middle) < np.clip(y - 45, 0, 40))).astype(np.float32)
    wall = np.stack([200 - 0.5 * x, 190 - 0.3 * y, np.full_like(x, 170)], -1)
    person = np.stack([40 + 0.2 * x, np.full_like(x, 60), 30 + 0.4 * y], -1)
    picture = wall * (1 - alpha[..., None]) + person * alpha[..., None]
    return np.round(picture).astype(np.uint8), alpha


def jumps(frame: np.ndarray, about: Surround) -> list[float]:
    """Mean difference across each line where the photo ends, in grey levels."""
    above, below, left, right = about.margins
    lines = ((above, 0), (left, 3), (below, 2), (right, 1))  # each on top by so many quarter turns
    turned = [
        (np.rot90(frame, turn).astype(np.float32), margin) for margin, turn in lines if margin
    ]
    return [float(np.abs(picture[m] - picture[m - 1]).mean()) for picture, m in turned]


@pytest.mark.parametrize("margins", MARGINS)
@pytest.mark.parametrize("matte", [True, False], ids=["matte", "no matte"])
def test_where_the_photo_ends_is_no_line(margins: Margins, matte: bool):
    image, alpha = scene()
    about = surround(image, alpha if matte else None, 12.0, margins)
    above, below, left, right = margins
    assert about.ground.shape == (SIZE + above + below, SIZE + left + right, 3)
    frame = about.about(image)
    assert np.array_equal(frame, about.ground), "a drawing that is the photo changes nothing"
    assert np.array_equal(frame[above : above + SIZE, left : left + SIZE], image)
    assert max(jumps(frame, about), default=0) < 1.5


@pytest.mark.parametrize("margins", MARGINS[:2])
def test_what_moves_at_an_edge_moves_beyond_it(margins: Margins):
    image, alpha = scene()
    moved = scene(shift=9)[0]
    about = surround(image, alpha, 12.0, margins)
    still = about.ground.copy()
    above, _, left, _ = margins
    still[above : above + SIZE, left : left + SIZE] = moved
    assert max(jumps(still, about)) > 4, "without it there would be a line"
    frame = about.about(moved)
    assert max(jumps(frame, about)) < 1.5
    if left:
        assert np.array_equal(frame[:, 0], about.ground[:, 0]), "the wall does not move"
    else:
        assert not np.array_equal(frame[-1], about.ground[-1]), "the body does"


def test_of_the_head_nothing_is_mirrored():
    image, alpha = scene()
    about = surround(image, alpha, 12.0, (60, 60, 0, 0))
    wall = about.ground[:60].astype(np.float32)
    assert wall.min() > 130, "a head is 60 and less"


def test_a_frame_at_512_px_costs_a_few_milliseconds():
    image = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    about = surround(image, None, 100.0, (199, 199, 0, 0))
    drawn = np.roll(image, 1, 1)
    spent = []
    for _ in range(5):
        began = time.process_time()
        about.about(drawn)
        spent.append(time.process_time() - began)
    assert min(spent) < 0.03
