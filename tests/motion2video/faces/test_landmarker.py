"""Our landmarks are MediaPipe's: its numbers were stored by scripts/evaluate/landmarker.py."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from motion2video.faces.landmarker import Landmarker
from weights import find

ROOT = Path(__file__).parents[3]
PORTRAITS = sorted((ROOT / "app/assets/portraits").glob("*.jpg"))
THEIRS = np.load(Path(__file__).with_name("mediapipe.npz"))
pytestmark = pytest.mark.weights("face_landmarker")


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def landmarker(faces: int = 1, video: bool = False) -> Landmarker:
    return Landmarker(find("face_landmarker"), faces, video)


def apart(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """How far the points lie apart, in hundredths of the distance of the eyes."""
    eyes = np.linalg.norm(theirs[468, :2] - theirs[473, :2])
    return 100 * np.linalg.norm(ours - theirs, axis=1) / eyes


@pytest.mark.parametrize("path", PORTRAITS, ids=lambda path: path.stem)
def test_landmarks_and_expression_of_a_picture_are_mediapipes(path: Path):
    ((landmarks, expression),) = landmarker(5)(picture(path))
    points = apart(landmarks, THEIRS[f"{path.stem} landmarks"])
    assert np.median(points) < 0.05 and points.max() < 0.3
    np.testing.assert_allclose(expression, THEIRS[f"{path.stem} expression"], atol=0.003)
    assert landmarks.dtype == expression.dtype == np.float32


def test_landmarks_of_a_video_are_mediapipes_without_its_smoothing():
    follow, still = landmarker(video=True), picture(PORTRAITS[0])
    for step, theirs in zip(THEIRS["steps"], THEIRS["moved landmarks"], strict=True):
        ((landmarks, _),) = follow(np.roll(still, step, axis=1))
        points = apart(landmarks, theirs)
        assert np.median(points) < 0.1 and points.max() < 0.5


def test_a_followed_face_is_looked_for_where_it_was_and_detected_anew_once_lost():
    follow, still = landmarker(video=True), picture(PORTRAITS[0])
    ((first, _),) = follow(still)
    assert follow(np.zeros_like(still)) == []
    ((again, _),) = follow(still)
    np.testing.assert_array_equal(first, again)
    ((settled, _),) = follow(still)
    assert np.abs(settled - first).max() > 1e-3  # from its own landmarks, not from the detector


@pytest.mark.parametrize("video", [False, True])
def test_as_many_faces_are_found_as_asked_for(video: bool):
    row = np.concatenate([picture(path) for path in PORTRAITS[:3]], axis=1)
    for faces in (1, 2, 3, 5):
        find_all = landmarker(faces, video)
        middles = [sorted(p[:, 0].mean() // 512 for p, _ in find_all(row)) for _ in range(2)]
        assert middles[0] == middles[1], "each is followed, none is found twice"
        assert len(middles[0]) == min(faces, 3) == len(set(middles[0]))


def test_turning_a_picture_turns_its_landmarks():
    still = picture(PORTRAITS[0])
    ((upright, _),) = landmarker()(still)
    ((turned, _),) = landmarker()(np.rot90(still).copy())
    back = np.stack([511 - turned[:, 1], turned[:, 0]], axis=1)
    assert np.abs(back - upright[:, :2]).mean() < 2.0
