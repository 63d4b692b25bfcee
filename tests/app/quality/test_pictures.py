"""Flicker, sharpness and seams of pictures with known faults."""

import cv2
import numpy as np
import pytest

from app.quality.pictures import flicker, landmark_error, outline, seam, sharpness
from motion2video.geometry.basis import EYE_CORNERS, FACE_OVAL, interocular


@pytest.fixture(scope="module")
def face() -> tuple[np.ndarray, np.ndarray]:
    """A grey picture with texture, and landmarks whose outline is a circle."""
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.uniform(0, 255, (256, 256, 3)).astype(np.float32), (0, 0), 3)
    image = np.clip(128 + 3 * (image - 127), 0, 255).astype(np.uint8)
    marks = np.zeros((478, 3), np.float32)
    marks[:, :2] = rng.uniform(100, 156, (478, 2))
    angle = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    marks[FACE_OVAL, :2] = 128 + 70 * np.stack([np.sin(angle), -np.cos(angle)], 1)
    for pair, x in zip(EYE_CORNERS, (98, 158), strict=True):
        marks[list(pair), :2] = x, 110
    return image, marks


def test_flicker_is_the_amplitude_of_what_alternates():
    calm = np.full((8, 8), 100, np.uint8)
    assert flicker(calm - 3, calm + 3, calm - 3) == pytest.approx(3)
    assert flicker(calm, calm + 5, calm + 10) == 0  # it becomes brighter evenly


def test_a_blurred_mouth_is_less_sharp_and_a_smaller_one_is_not(face):
    image, marks = face
    whole = sharpness(image, marks, "mouth")
    assert sharpness(cv2.GaussianBlur(image, (0, 0), 4), marks, "mouth") < 0.8 * whole
    small = cv2.resize(image, (192, 192), interpolation=cv2.INTER_AREA)
    assert sharpness(small, marks * 0.75, "mouth") == pytest.approx(whole, rel=0.15)
    assert sharpness(np.full_like(image, 7), marks, "eyes") == 0


def test_a_pasted_face_has_a_seam(face):
    image, marks = face
    assert seam(image, marks, image, marks) == 0
    pasted, plane = image.copy(), np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(plane, [np.rint(marks[FACE_OVAL, :2]).astype(np.int32)], 1)
    pasted[plane > 0] = np.clip(pasted[plane > 0].astype(int) + 60, 0, 255)
    assert seam(pasted, marks, image, marks) > 0.1
    band, beside = outline(marks, image.shape)
    assert band.any() and not (band & beside).any()


def test_landmark_error_is_in_percent_of_the_eye_distance(face):
    _, marks = face
    moved = marks[None] + np.array([0.03 * float(interocular(marks[None])[0]), 0, 0], np.float32)
    assert landmark_error(moved, marks[None], "mouth") == pytest.approx(3, rel=1e-4)
