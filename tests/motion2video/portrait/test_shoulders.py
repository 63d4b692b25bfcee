"""Shoulders that a photo cuts off, in a wider frame: they come down to its bottom."""

import numpy as np
import pytest

from motion2video.portrait.shoulders import Shoulders, shoulders

SIDE, WIDE = 100, 220
PLACE = ((WIDE - SIDE) // 2, 20)
GREEN, SHIRT = (np.array(one, np.uint8) for one in ([0, 160, 60], [250, 250, 240]))


def body(tall: int = 30, slope: float = 0.4) -> np.ndarray:
    """A person from below, whose shoulders fall to both sides and are `tall` where they are cut."""
    away = SIDE // 2 - np.abs(np.arange(SIDE) - SIDE / 2 + 0.5)
    heights = tall + slope * away
    return (np.arange(SIDE)[:, None] >= SIDE - heights).astype(np.float32)


def before(alpha: np.ndarray) -> np.ndarray:
    return np.where(alpha[..., None] > 0.5, SHIRT, GREEN).astype(np.uint8)


def framed(told: Shoulders, drawn: np.ndarray) -> np.ndarray:
    frame = np.zeros((SIDE + PLACE[1], WIDE, 3), np.uint8)
    frame[:] = GREEN
    (x, y) = PLACE
    frame[y : y + SIDE, x : x + SIDE] = drawn
    told.go_on(frame, drawn)
    return frame


def outline(frame: np.ndarray) -> np.ndarray:
    """How high the person is in each column, from below."""
    theirs = (np.abs(frame.astype(int) - GREEN).sum(-1) > 200)[::-1]
    return np.where(theirs.all(0), len(theirs), theirs.argmin(0))


@pytest.mark.parametrize("flat", [True, False])
def test_shoulders_come_down_to_the_bottom_without_a_step(flat: bool) -> None:
    alpha = body()
    frame = framed(shoulders(alpha, PLACE, WIDE, flat), before(alpha))
    heights = outline(frame)
    assert np.abs(np.diff(heights)).max() <= 2, "a side end is 30 pixels high"
    assert heights[0] == heights[-1] == 0 and heights[PLACE[0] - 20] > 8
    assert np.array_equal(frame, frame[:, ::-1])
    inside = slice(PLACE[0] + 3, PLACE[0] + SIDE - 3)
    assert np.array_equal(frame[PLACE[1] :, inside], before(alpha)[:, 3:-3])
    assert (frame[: PLACE[1] + 40] == frame[0, 0]).all(-1)[:, :60].all(), "the ground stays"


def test_they_move_with_who_is_drawn() -> None:
    told, still, up = shoulders(body(), PLACE, WIDE, flat=True), body(), body(32)
    rested, moved = (outline(framed(told, before(alpha))) for alpha in (still, up))
    margin = slice(PLACE[0] - 30, PLACE[0])
    assert (moved - rested)[margin].min() >= 1 and np.abs(np.diff(moved)).max() <= 3


def test_before_nothing_they_are_clear_as_the_drawing_is() -> None:
    alpha = body()
    drawn = np.dstack([before(alpha), np.uint8(255 * alpha)])
    frame = np.zeros((SIDE + PLACE[1], WIDE, 4), np.uint8)
    frame[PLACE[1] :, PLACE[0] : PLACE[0] + SIDE] = drawn
    shoulders(alpha, PLACE, WIDE, flat=True).go_on(frame, drawn)
    assert frame[-2, PLACE[0] - 10, 3] == 255 and not frame[: PLACE[1] + 40, :60, 3].any()


def test_what_is_no_shoulder_is_left_and_told() -> None:
    slim = np.zeros((SIDE, SIDE), np.float32)
    slim[30:, 30:70] = 1
    hair = body()
    hair[20:40, -30:] = 1
    for alpha, sides, left in ((slim, 0, 0.0), (body(70, 0.0), 0, 0.7), (hair, 2, 0.2)):
        told = shoulders(alpha, PLACE, WIDE, flat=True)
        assert len(told.sides) == sides
        assert told.leave(alpha) == pytest.approx(left, abs=0.02)
    assert shoulders(body(), (0, 20), SIDE, flat=True).sides == ()
