"""Windows that follow the face, and what is drawn and laid in them."""

import cv2
import numpy as np
import pytest

from motion2video.drawing.inside import draw_mouth
from motion2video.drawing.places import (
    INNER_LIPS,
    OUTER_LIPS,
    UNIT,
    WINDOWS,
    Place,
    blend,
    feature_map,
    fill_polygon,
)
from motion2video.geometry.basis import interocular
from motion2video.geometry.retarget import PortraitFace
from motion2video.motion import Motion, channel_index
from motion2video.portrait.mouth import Mouth
from tests.motion2video.canonical import SIDE, canonical_face


@pytest.fixture(scope="module")
def face() -> PortraitFace:
    return canonical_face()


def marks(face: PortraitFace, jaw: float = 0.0, roll: float = 0.0) -> np.ndarray:
    motion = Motion.neutral(1)
    motion.values[0, channel_index("jawOpen")] = jaw
    motion.values[0, 54] = roll
    return face.keypoints(motion)[0][0]


@pytest.mark.parametrize("roll", [0.0, 0.3])
@pytest.mark.parametrize("name", list(WINDOWS))
def test_a_window_is_level_with_the_eyes_and_of_one_scale(face, name: str, roll: float) -> None:
    landmarks = marks(face, 0.0, roll)
    place = Place.of(name, landmarks)
    points = place.points(landmarks[:, :2])
    assert place.scale == pytest.approx(UNIT / float(interocular(landmarks)))
    right, left = points[[33, 133]].mean(0), points[[263, 362]].mean(0)
    assert abs(left[1] - right[1]) < 0.01 and left[0] > right[0]
    assert place.size == tuple(8 * n for n in WINDOWS[name])


def test_the_lips_fit_their_window(face) -> None:
    landmarks = marks(face, 0.8)
    place = Place.of("mouth", landmarks)
    lips = place.points(landmarks[OUTER_LIPS, :2])
    assert lips.min() > 8 and lips.max() < 152


def test_what_is_cut_and_laid_back_is_the_frame(face) -> None:
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    planes = [0.5 + 0.4 * np.sin(9 * x), 0.5 + 0.4 * np.cos(7 * y), 0.3 + 0.4 * x * y]
    frame = (np.stack(planes, -1) * 255).astype(np.uint8)
    place = Place.of("mouth", marks(face, 0.0, 0.2))
    back = frame.copy()
    place.lay(back, place.cut(frame), np.full((160, 160), 255, np.uint8))
    assert np.abs(back.astype(int) - frame).max() <= 3
    painted = np.full((160, 160, 3), 255, np.uint8)
    alpha = np.zeros((160, 160), np.uint8)
    alpha[70:90, 70:90] = 255
    place.lay(back, painted, alpha)
    changed = np.argwhere((back == 255).all(-1)).mean(0)
    lips = marks(face, 0.0, 0.2)[OUTER_LIPS, :2].mean(0)
    assert np.abs(changed[::-1] - lips).max() < 2
    assert np.array_equal(back[:100], frame[:100])


@pytest.mark.parametrize("shift", [-260.0, 190.0])
def test_a_window_at_the_edge_of_a_frame_can_be_cut_and_laid(face, shift: float) -> None:
    landmarks = marks(face) + np.array([shift, 0, 0], np.float32)
    frame = np.full((SIDE, SIDE, 3), 90, np.uint8)
    for name in WINDOWS:
        place = Place.of(name, landmarks)
        cut = place.cut(frame)
        place.lay(frame, cut, np.full(cut.shape[:2], 255, np.uint8))
    assert np.abs(frame.astype(int) - 90).max() <= 1


def test_only_an_open_mouth_has_an_inside(face) -> None:
    grey = np.full((SIDE, SIDE, 3), 150, np.uint8)
    mouth = Mouth.fit(grey, marks(face), face.neutral)
    for jaw, least, most in ((0.0, 0, 1000), (0.6, 2000, 12000)):
        landmarks = marks(face, jaw)
        place = Place.of("mouth", landmarks)
        drawn = draw_mouth(mouth, landmarks, place).max(-1)
        assert least <= (drawn > 0).sum() <= most
        opened = fill_polygon(place.points(landmarks[INNER_LIPS, :2]), place.size)
        beside = cv2.dilate(opened, np.ones((5, 5), np.uint8)) == 0
        assert drawn[beside].max() == 0


def test_teeth_are_lighter_than_the_dark_behind_them(face) -> None:
    landmarks = marks(face, 0.7)
    mouth = Mouth.fit(np.full((SIDE, SIDE, 3), 150, np.uint8), marks(face), face.neutral)
    place = Place.of("mouth", landmarks)
    drawn = draw_mouth(mouth, landmarks, place).max(-1)
    inside = drawn[drawn > 0]
    assert np.percentile(inside, 95) > 100 > 60 > np.percentile(inside, 10)


def test_a_shut_mouth_in_another_place_is_drawn_the_same(face) -> None:
    """A held face that moves takes its mouth along: nothing swims in it."""
    mouth = Mouth.fit(np.full((SIDE, SIDE, 3), 150, np.uint8), marks(face), face.neutral)
    here = marks(face, 0.5)
    there = here + np.array([13.0, -7.0, 0.0], np.float32)
    drawn = [draw_mouth(mouth, x, Place.of("mouth", x)).astype(int) for x in (here, there)]
    away = np.abs(drawn[0] - drawn[1])
    assert away.mean() < 0.2 and np.quantile(away, 0.999) <= 12


def test_blend_ends() -> None:
    below, above = np.full((2, 2, 3), 10, np.uint8), np.full((2, 2, 3), 250, np.uint8)
    alpha = np.array([[0, 255], [128, 64]], np.uint8)
    out = blend(below, above, alpha)
    assert out[0, 0, 0] == 10 and out[0, 1, 0] == 250
    assert abs(int(out[1, 0, 0]) - (10 + 240 * 128 / 255)) <= 1


def test_feature_map_shows_eyes_lips_and_irises(face) -> None:
    landmarks = marks(face)
    planes = {}
    for name in WINDOWS:
        place = Place.of(name, landmarks)
        planes[name] = feature_map(place.points(landmarks[:, :2]), place.size) > 127
    assert planes["mouth"][..., 1].sum() > 1000
    for eye in ("right eye", "left eye"):
        areas = planes[eye].reshape(-1, 4).sum(0)
        assert areas[2] > 400 and 100 < areas[3] < areas[2]
