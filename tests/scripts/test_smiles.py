"""The figures of driven smiles: what they call an error, and the inside of a mouth."""

import numpy as np
import pytest

from motion2video.drawing.warp import INNER_LIPS
from motion2video.geometry.basis import FLIP, FaceBasis, rotation_matrix
from scripts.evaluate.smiles import LIPS, inside, lips_off


@pytest.fixture
def marks() -> np.ndarray:
    return (FaceBasis.load().canonical * 100 * FLIP + 256).astype(np.float32)


def test_a_face_elsewhere_in_the_picture_is_no_error_and_moved_lips_are(marks: np.ndarray) -> None:
    turn = rotation_matrix(np.array([0, 0, 0.2], np.float32))
    elsewhere = (1.3 * marks @ turn.T + 20).astype(np.float32)
    assert lips_off(elsewhere, marks) < 0.01
    smiling = marks.copy()
    smiling[LIPS, 0] += 5
    assert lips_off(smiling, marks) == pytest.approx(5, abs=0.3), "percent of the eye distance"


def test_the_inside_of_a_mouth_is_looked_at_only_where_it_is_open(marks: np.ndarray) -> None:
    image = np.full((512, 512, 3), 90, np.uint8)
    shut = marks.copy()
    shut[INNER_LIPS, 1] = marks[13, 1]
    assert inside(image, shut[:, :2]) is None
    wide = shut.copy()
    wide[[87, 14, 317, 178, 402], 1] += 30
    calm = inside(image, wide[:, :2])
    image[:, ::6] = 200
    teeth = inside(image, wide[:, :2])
    assert calm is not None and teeth is not None
    assert calm[0] == 0 and teeth[0] > 50
    assert teeth[1][0] > calm[1][0], "and it is lighter"
