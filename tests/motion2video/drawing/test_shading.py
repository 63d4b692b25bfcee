"""Light on a face that moves: folds of a smile, the photo's light on a head that turns."""

import cv2
import numpy as np
import pytest

from motion2video.drawing.shading import Shading
from motion2video.geometry.retarget import PortraitFace
from motion2video.motion import Motion, channel_index
from tests.motion2video.canonical import SIDE, canonical_face

BESIDE_NOSE, CHEEKS = [203, 423], [50, 280]


@pytest.fixture(scope="module")
def face() -> PortraitFace:
    return canonical_face()


def marks(face: PortraitFace, yaw: float = 0.0, **channels: float) -> np.ndarray:
    motion = Motion.neutral(1)
    motion.values[0, 53] = yaw
    for name, value in channels.items():
        motion.values[0, channel_index(name)] = value
    return face.keypoints(motion)[0][0]


def shading(face: PortraitFace, slope: float = 0.0) -> Shading:
    """Of a grey face that is lit from the picture's right (`slope` > 0)."""
    x = (np.arange(SIDE) - SIDE / 2) / (SIDE / 2)
    image = np.broadcast_to((120 + slope * x)[None, :, None], (SIDE, SIDE, 3)).astype(np.uint8)
    return Shading.of(np.ascontiguousarray(image), marks(face), face.basis, {})


def brightness(lit: Shading, moved: np.ndarray, points: list[int]) -> float:
    """Mean ratio of green at points of the face."""
    x, y = np.round(_on_map(lit)[points]).astype(int).T
    return float(lit.ratio(moved)[y, x, 1].mean())


def _on_map(lit: Shading) -> np.ndarray:
    """Where the points lie in the maps, by the places of the photo's pixels."""
    rows, columns = lit.window
    at = np.round(marks(canonical_face())[:468, :2]).astype(int) - [columns.start, rows.start]
    return lit.places[at[:, 1], at[:, 0]]


def test_nothing_changes_at_rest(face: PortraitFace) -> None:
    assert np.abs(shading(face, 60).ratio(marks(face)) - 1).max() < 1e-4


def test_a_smile_folds_beside_the_nose_and_frowns_do_not(face: PortraitFace) -> None:
    lit = shading(face)
    smile = marks(face, mouthSmileLeft=1.0, mouthSmileRight=1.0)
    assert brightness(lit, smile, BESIDE_NOSE) < 0.93
    assert brightness(lit, smile, CHEEKS) > brightness(lit, smile, BESIDE_NOSE) + 0.05
    frown = marks(face, browDownLeft=1.0, browDownRight=1.0)
    assert brightness(lit, frown, BESIDE_NOSE) > brightness(lit, smile, BESIDE_NOSE) + 0.03


def test_a_smile_of_one_side_folds_that_side(face: PortraitFace) -> None:
    """The person's left is the picture's right."""
    lit, left = shading(face), marks(face, mouthSmileLeft=1.0)
    assert brightness(lit, left, BESIDE_NOSE[1:]) < brightness(lit, left, BESIDE_NOSE[:1]) - 0.03


def test_folds_are_not_believed_where_a_tracker_errs(face: PortraitFace) -> None:
    """A smile whose forehead and nose have moved too, as no expression moves them."""
    lit, smile = shading(face), marks(face, mouthSmileLeft=1.0, mouthSmileRight=1.0)
    wrong = smile.copy()
    wrong[[6, 197, 195, 5, 33, 362, 127, 234, 93], 0] += 0.06 * float(face.pose.scale[0])
    assert brightness(lit, wrong, BESIDE_NOSE) > brightness(lit, smile, BESIDE_NOSE) + 0.03


def test_a_cheek_that_turns_to_the_light_is_brighter(face: PortraitFace) -> None:
    """Light from the picture's right, and the cheek on its left."""
    lit = shading(face, 60)
    to, away = (brightness(lit, marks(face, yaw), [123, 147]) for yaw in (0.4, -0.4))
    assert to > 1.01 and to > away + 0.025


def test_even_light_does_not_change(face: PortraitFace) -> None:
    assert np.abs(shading(face).ratio(marks(face, yaw=0.4)) - 1).max() < 0.03


def test_shade_leaves_a_picture_at_rest_and_its_surroundings(face: PortraitFace) -> None:
    lit, rest = shading(face), marks(face)
    picture = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1).astype(np.float32)
    whole = (slice(0, SIDE), slice(0, SIDE))
    shown = picture.copy()
    lit.shade(shown, grid, rest, whole)
    assert np.array_equal(shown, picture)
    lit.shade(shown, grid, marks(face, mouthSmileLeft=1.0, mouthSmileRight=1.0), whole)
    oval = cv2.boundingRect(rest[:, :2].astype(np.float32))
    outside = np.ones((SIDE, SIDE), bool)
    outside[oval[1] : oval[1] + oval[3] + 1, oval[0] : oval[0] + oval[2] + 1] = False
    assert np.array_equal(shown[outside], picture[outside]) and (shown != picture).any()
