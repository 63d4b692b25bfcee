"""What a network painted in a mouth, and what is drawn there, together; the photo's own inside."""

import numpy as np
import pytest

from motion2video.drawing.crops import condition_of
from motion2video.drawing.inside import Described, Inside, describe, finished, painted_area
from motion2video.drawing.places import Place
from motion2video.geometry.retarget import PortraitFace
from motion2video.motion import Motion, channel_index
from motion2video.portrait.mouth import Mouth
from tests.motion2video.canonical import SIDE, canonical_face


@pytest.fixture(scope="module")
def face() -> PortraitFace:
    return canonical_face()


def marks(face: PortraitFace, jaw: float) -> np.ndarray:
    motion = Motion.neutral(1)
    motion.values[0, channel_index("jawOpen")] = jaw
    return face.keypoints(motion)[0][0]


def known(colour: tuple[int, int, int]) -> Described:
    """A hole with teeth of that colour, dark lines between them."""
    drawn, hole = np.zeros((160, 160, 3), np.uint8), np.zeros((160, 160), np.uint8)
    hole[60:100, 30:130] = 1
    drawn[60:100, 30:130] = colour
    drawn[60:100, 30:130:12] = 40
    return Described(drawn, hole, np.zeros((160, 160, 4), np.uint8))


def test_teeth_that_a_network_painted_get_the_drawn_edges() -> None:
    teeth = known((210, 205, 190))
    painted = np.full((160, 160, 3), (190, 185, 175), np.uint8)
    out = finished(painted, teeth, 0.5).astype(int)
    assert out[80, 30 + 48].mean() < out[80, 30 + 54].mean() - 25
    assert abs(out[65:95, 40:120].mean() - painted.mean()) < 8, "in the light of the painting"
    assert np.array_equal(out[:50], painted[:50]), "outside the mouth nothing is drawn"
    assert np.array_equal(finished(painted, teeth, 0.0), painted)


def test_lips_that_a_network_painted_get_no_lines_of_teeth() -> None:
    painted = np.full((160, 160, 3), (180, 90, 95), np.uint8)
    out = finished(painted, known((210, 205, 190)), 0.5)
    assert np.abs(out.astype(int) - painted).max() <= 2


def test_lips_that_are_the_photos_keep_what_the_photo_shows(face) -> None:
    landmarks = marks(face, 0.6)
    rng = np.random.default_rng(0)
    photo = rng.integers(60, 200, (SIDE, SIDE, 3), dtype=np.uint8)
    mouth = Mouth.fit(photo, landmarks, face.neutral)
    inside, place = Inside.of(mouth, photo, landmarks), Place.of("mouth", landmarks)
    same = describe(inside, landmarks, "mouth", place)
    assert same.alike == 1
    assert np.array_equal(condition_of(place.cut(photo), same)[..., :3], place.cut(photo))
    black = np.zeros((160, 160, 3), np.uint8)
    out = finished(black, same, 0.0)
    middle = np.s_[76:84, 70:90]
    assert np.abs(out[middle].astype(int) - place.cut(photo)[middle]).max() <= 1
    assert painted_area(np.full((160, 160), 255, np.uint8), same)[:20].max() == 0


def test_other_lips_do_not(face) -> None:
    photo = np.full((SIDE, SIDE, 3), 150, np.uint8)
    inside = Inside.of(Mouth.fit(photo, marks(face, 0.6), face.neutral), photo, marks(face, 0.6))
    other = marks(face, 0.2)
    found = describe(inside, other, "mouth", Place.of("mouth", other))
    assert found.alike == 0
    lips = marks(face, 0)
    lips[14] = lips[13]
    shut = Inside.of(Mouth.fit(photo, lips, face.neutral), photo, lips)
    assert shut.lips is None and shut.seen is None


def test_slits_are_calm_and_open_mouths_are_not() -> None:
    """What a network paints in a gap of a few pixels is crumbs."""
    rng = np.random.default_rng(0)
    painted = rng.integers(60, 120, (160, 160, 3)).astype(np.uint8)
    left = []
    for height in (4, 40):
        hole = np.zeros((160, 160), np.uint8)
        hole[60 : 60 + height, 30:130] = 1
        drawn = painted * hole[..., None]
        plain = Described(drawn, hole, np.zeros((160, 160, 4), np.uint8))
        middle = np.s_[60 + height // 2, 50:110]
        left.append(finished(painted, plain, 0.1)[middle].std() / painted[middle].std())
    assert left[0] < 0.8 and left[1] > 0.95
