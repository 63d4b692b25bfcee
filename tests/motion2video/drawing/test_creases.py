"""The folds of a photo's own smile: they go as the smile goes, and not before."""

import cv2
import numpy as np
import pytest

from motion2video.drawing.creases import FOLDS, creases_of
from motion2video.drawing.shading import Shading
from motion2video.geometry.retarget import PortraitFace
from motion2video.motion import Motion, channel_index
from tests.motion2video.canonical import SIDE, canonical_face

SMILES = [channel_index(f"mouthSmile{side}") for side in ("Left", "Right")]
FOLD = [206, 426]
WHOLE = (slice(0, SIDE), slice(0, SIDE))


@pytest.fixture(scope="module")
def glad() -> np.ndarray:
    """Landmarks of a smile."""
    motion = Motion.neutral(1)
    motion.values[0, SMILES] = 0.9
    return canonical_face().keypoints(motion)[0][0]


@pytest.fixture(scope="module")
def face(glad: np.ndarray) -> PortraitFace:
    """A photo of that smile."""
    basis = canonical_face().basis
    scores = basis.rest_expression.copy()
    scores[SMILES] = 0.9
    return PortraitFace.fit(glad, scores, basis)


def photo(landmarks: np.ndarray) -> np.ndarray:
    """Grey skin with a dark fold beside the nose."""
    image = np.full((SIDE, SIDE, 3), 150, np.uint8)
    for line in FOLDS["mouth"][0]:
        at = np.round(landmarks[line, :2]).astype(np.int32)
        cv2.polylines(image, [at], False, (110, 100, 100), 3, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (0, 0), 1.5)


def shown(face: PortraitFace, glad: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The photo's pixels where they are, in the light of a frame with the `wanted` landmarks."""
    image = photo(glad)
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    Shading.of(image.copy(), glad, face.basis, face.own).shade(
        image, np.stack([x, y], -1).astype(np.float32), wanted, WHOLE
    )
    return image


def depth(image: np.ndarray, glad: np.ndarray) -> float:
    """How much darker the folds are than the skin a little further out."""
    x, y = np.round(glad[FOLD, :2]).astype(int).T
    away = np.array([-14, 14])
    return float((image[y, x + away].mean(1) - image[y, x].mean(1)).mean())


def test_at_rest_the_photo_stays_as_it_is(face: PortraitFace, glad: np.ndarray) -> None:
    assert np.array_equal(shown(face, glad, glad), photo(glad))


def test_folds_go_with_the_smile(face: PortraitFace, glad: np.ndarray) -> None:
    calm = face.pose.project(face.neutral[None])[0].astype(np.float32)
    half = (glad + calm) / 2
    before, between, after = (depth(shown(face, glad, marks), glad) for marks in (glad, half, calm))
    assert before > between > after
    assert after < 0.5 * before


def test_a_wider_smile_keeps_them(face: PortraitFace, glad: np.ndarray) -> None:
    calm = face.pose.project(face.neutral[None])[0].astype(np.float32)
    wider = glad + 0.5 * (glad - calm)
    (crease,) = creases_of(photo(glad), glad, {"mouth": face.own["mouth"]}, WHOLE)
    moved = face.pose.unproject(wider[None])[0] - face.points
    assert crease.gone(moved) == 0


def test_a_calm_photo_has_none() -> None:
    """Whose lines beside the nose are the person's own."""
    face = canonical_face()
    landmarks = face.keypoints(Motion.neutral(1))[0][0]
    assert creases_of(photo(landmarks), landmarks, face.own, WHOLE) == ()


def test_beards_and_lips_are_not_lightened(face: PortraitFace, glad: np.ndarray) -> None:
    image = photo(glad)
    image[int(glad[2, 1]) :] //= 4  # a beard, from below the nose
    (crease,) = creases_of(image, glad, {"mouth": face.own["mouth"]}, WHOLE)
    x, y = np.round(glad[[216, 436, 13, 61], :2]).astype(int).T
    assert np.abs(crease.gain[y, x]).max() < 0.02
