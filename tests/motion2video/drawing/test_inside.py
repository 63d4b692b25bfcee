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


def with_lines(colour: tuple[int, int, int]) -> np.ndarray:
    """A painted window whose teeth have dark lines elsewhere than the drawn ones."""
    painted = np.full((160, 160, 3), colour, np.uint8)
    painted[60:100, 36:130:12] = 0
    return painted


def test_teeth_that_a_network_painted_get_the_drawn_edges() -> None:
    teeth, painted = known((210, 205, 190)), with_lines((190, 185, 175))
    out = finished(painted, teeth, 0.3).astype(int)
    without = finished(painted, teeth, 0.0).astype(int)
    assert out[80, 30 + 48].mean() < without[80, 30 + 48].mean() - 15
    lights = [x[65:95, 40:120].mean() for x in (painted, teeth.drawn, out)]
    assert min(lights[:2]) < lights[2] < max(lights[:2]) + 4, "half-way as light as painted"
    assert np.array_equal(out[:50], painted[:50]), "outside the mouth nothing is drawn"
    middle = np.s_[68:92, 45:115]
    assert np.abs(without - painted)[middle].max() <= 1, "of a coarse photo it is the network's"


def test_where_a_network_paints_the_mean_of_teeth_and_gaps_the_drawing_is_laid_over() -> None:
    flat, teeth = np.full((160, 160, 3), (180, 90, 95), np.uint8), known((210, 205, 190))
    out = finished(flat, teeth, 0.3).astype(int)
    tooth, line = out[80, 30 + 54], out[80, 30 + 48]
    assert tooth[1] > 90 + 30 and line.mean() < tooth.mean() - 30
    assert tooth[1] < 205 - 20, "not the drawing alone"
    assert np.array_equal(out[:50], flat[:50])
    assert np.abs(finished(flat, teeth, 0.0) - flat.astype(int)).max() <= 1, "of a coarse photo"


def test_a_network_that_paints_the_teeth_that_are_drawn_is_believed() -> None:
    teeth = known((210, 205, 190))
    painted = teeth.drawn.copy()
    painted[painted[..., 0] > 100] = (170, 160, 140)
    out, crumbs = (
        finished(x, teeth, 0.3).astype(int) for x in (painted, with_lines((170, 160, 140)))
    )
    middle = np.s_[68:92, 45:115]
    assert np.abs(out - painted)[middle].mean() < 12 < np.abs(crumbs - painted)[middle].mean()


def test_in_a_slit_nothing_is_laid_over() -> None:
    teeth = known((210, 205, 190))
    hole = np.zeros_like(teeth.hole)
    hole[79:81, 30:130] = 1
    flat = np.full((160, 160, 3), (180, 90, 95), np.uint8)
    out = finished(flat, Described(teeth.drawn, hole, teeth.features), 0.3).astype(int)
    assert np.abs(out - flat).max() <= 4


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
