"""Several people in one picture are followed apart, on portraits that ship with the project."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from motion2video.faces.crowd import SEARCH_EVERY, Crowd
from motion2video.faces.tracker import FaceTracker

PORTRAITS = Path(__file__).resolve().parents[3] / "app/assets/portraits"
pytestmark = pytest.mark.weights("face_landmarker")


@pytest.fixture(scope="module")
def faces() -> list[np.ndarray]:
    paths = sorted(PORTRAITS.glob("*.jpg"))[:2]
    found = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    return [cv2.resize(f, (240, 240), interpolation=cv2.INTER_AREA).astype(np.uint8) for f in found]


def scene(faces: list[np.ndarray], left: int | None, right: int | None) -> np.ndarray:
    """A wall with the first face `left` pixels from the left, the second at `right`."""
    wall = np.full((260, 640, 3), 128, np.uint8)
    for face, at in zip(faces, (left, right), strict=True):
        if at is not None:
            wall[10:250, at : at + 240] = face
    return wall


def test_two_people_are_followed_apart_and_end_at_a_cut(faces: list[np.ndarray]) -> None:
    crowd = Crowd(FaceTracker.load())
    seen = [crowd.step(scene(faces, 20 + 2 * n, 380)) for n in range(6)]
    assert seen == [2] * 6 and crowd.ended() == []
    crowd.step(scene(faces, None, 200), cut=True)
    left, right = sorted(crowd.ended(), key=lambda p: p.track(25.0).landmarks[0, :, 0].mean())
    a, b = left.track(25.0), right.track(25.0)
    assert len(a) == len(b) == 6 and a.valid.all() and b.valid.all()
    moved = a.landmarks[-1, :, 0].mean() - a.landmarks[0, :, 0].mean()
    assert moved == pytest.approx(10, abs=2)
    assert abs(b.landmarks[-1, :, 0].mean() - b.landmarks[0, :, 0].mean()) < 1.5
    assert left.face is not None and left.around is not None
    inside = left.face.landmarks[:, :2]
    assert inside.min() > 0 and (inside < left.around.shape[1::-1]).all()
    (new,) = crowd.end()
    assert new.first == 6 and len(new.track(25.0)) == 1


def test_who_comes_in_later_is_found_and_who_leaves_ends(faces: list[np.ndarray]) -> None:
    crowd = Crowd(FaceTracker.load())
    for n in range(SEARCH_EVERY + 4):
        crowd.step(scene(faces, 20 if n < 20 else None, 380 if n >= 3 else None))
    first, second = sorted(crowd.end(), key=lambda p: p.first)
    assert first.first == 0 and 18 <= first.end <= 20
    assert second.first <= SEARCH_EVERY and second.end == SEARCH_EVERY + 4
