"""The warp: exact at rest, still in the background, open in the mouth."""

import cv2
import numpy as np
import pytest

from motion2video.drawing.places import INNER_LIPS, LEFT_EYE, RIGHT_EYE, fill_polygon
from motion2video.drawing.warp import CROP_SCALE, CROP_SIZE, Crop, FaceWarp
from motion2video.geometry.basis import (
    FACE_OVAL,
    FaceBasis,
    HeadPose,
    interocular,
    rotation_matrix,
)
from motion2video.geometry.retarget import PortraitFace
from motion2video.motion import Motion, channel_index

SIDE = 400


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray, PortraitFace, FaceWarp]:
    """A smooth made-up picture with the canonical face laid in its middle."""
    basis = FaceBasis.load()
    pose = HeadPose(
        rotation_matrix(np.zeros((1, 3), np.float32)),
        np.array([[SIDE / 2, -SIDE / 2, 0]], np.float32),
        np.array([60.0], np.float32),
    )
    landmarks = pose.project(basis.canonical[None])[0].astype(np.float32)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    planes = [0.5 + 0.4 * np.sin(7 * x + 2 * y), 0.5 + 0.4 * np.cos(5 * y - x), 0.3 + 0.4 * x * y]
    image = (np.stack(planes, -1) * 255).astype(np.uint8)
    face = PortraitFace.fit(landmarks, basis.rest_expression, basis)
    return image, landmarks, face, FaceWarp(image, landmarks, basis.triangles)


def frame(face: PortraitFace, warp: FaceWarp, motion: Motion) -> np.ndarray:
    marks, eyes = face.keypoints(motion)
    return warp.warp(marks[0], eyes[0])


def test_the_photos_own_landmarks_give_the_photo(scene) -> None:
    image, landmarks, _, warp = scene
    out = warp.warp(landmarks)
    assert np.abs(out.astype(int) - image).max() <= 4
    assert np.abs(out.astype(int) - image).mean() < 0.3


def test_a_turned_head_leaves_the_background_alone(scene) -> None:
    image, landmarks, face, warp = scene
    motion = Motion.neutral(1)
    motion.values[0, 52:55] = [0.15, 0.3, 0.2]
    out = frame(face, warp, motion)
    moved = np.abs(out.astype(int) - image).max(-1) > 0
    y, x = np.mgrid[:SIDE, :SIDE]
    centre = landmarks[:, :2].mean(0)
    far = np.hypot(x - centre[0], y - centre[1]) > 2.4 * np.ptp(landmarks[:, 1]) / 2
    assert far.any() and not moved[far].any()
    assert moved.mean() > 0.05, "while the head does move"


def test_a_shifted_face_moves_its_pixels(scene) -> None:
    image, landmarks, face, warp = scene
    motion = Motion.neutral(1)
    motion.values[0, 55] = 0.2  # interocular distances to the right
    out = frame(face, warp, motion)
    x, y = np.round(landmarks[4, :2]).astype(int)  # the nose tip
    shift = round(0.2 * float(face.pose.scale[0]))
    assert np.abs(out[y, x + shift].astype(int) - image[y, x]).max() <= 3


def test_network_square_is_four_eye_distances(scene) -> None:
    _, landmarks, _, warp = scene
    assert warp.crop.side == pytest.approx(CROP_SCALE * float(interocular(landmarks)))
    corner = np.array([[warp.crop.x - 0.5, warp.crop.y - 0.5]])
    assert np.allclose(warp.crop.to_crop(corner), -0.5, atol=1e-3)


def test_cut_matches_to_crop() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[80:83, 120:123] = 255
    crop = Crop(50.0, 20.0, 128.0)
    cut = crop.cut(image)
    peak = np.unravel_index(cut[..., 0].argmax(), cut.shape[:2])
    x, y = crop.to_crop(np.array([[121.0, 81.0]]))[0]
    assert abs(peak[1] - x) <= 2 and abs(peak[0] - y) <= 2


def test_a_face_at_the_edge_of_the_picture_can_be_warped(scene) -> None:
    _, landmarks, _, _ = scene
    basis = FaceBasis.load()
    image = np.full((220, 200, 3), 90, np.uint8)
    shifted = landmarks - np.array([120, 110, 0], np.float32)
    warp = FaceWarp(image, shifted, basis.triangles)
    out = warp.warp(shifted)
    assert out.shape == image.shape and np.abs(out.astype(int) - 90).max() <= 1


def test_there_is_no_seam_at_the_edge_of_the_network_square(scene) -> None:
    _, landmarks, face, _ = scene
    basis = FaceBasis.load()
    flat = np.full((SIDE, SIDE, 3), 120, np.uint8)
    flat[:, ::8] = 124  # a faint texture that a wrong lookup would break
    warp = FaceWarp(flat, landmarks, basis.triangles)
    motion = Motion.neutral(1)
    motion.values[0, 52:55] = [0.1, -0.25, 0.1]
    out = frame(face, warp, motion)
    assert out.min() >= 119 and out.max() <= 125


def test_lids_that_have_met_leave_nothing_of_the_eyeball(scene) -> None:
    """Also not along the lash line, where the pixels of a mesh are coarse."""
    image, landmarks, face, _ = scene
    coloured, balls = image.copy(), np.zeros((SIDE, SIDE), np.uint8)
    for eye in (RIGHT_EYE, LEFT_EYE):
        cv2.fillPoly(balls, [landmarks[eye, :2].round().astype(np.int32)], 1)
    coloured[cv2.erode(balls, np.ones((3, 3), np.uint8)) > 0] = (0, 255, 0)  # lids have an edge
    warp = FaceWarp(coloured, landmarks, FaceBasis.load().triangles)
    motion = Motion.neutral(1)
    open_green = int((frame(face, warp, motion) == (0, 255, 0)).all(-1).sum())
    for side in ("Left", "Right"):
        motion.values[:, channel_index(f"eyeBlink{side}")] = 1.0
    out = frame(face, warp, motion)
    assert open_green > 100
    assert int((out == (0, 255, 0)).all(-1).sum()) <= 0.02 * open_green


def test_no_triangle_shows_what_is_not_its_own(scene) -> None:
    """A sliver of the mesh once fetched its pixels from across the picture."""
    _, landmarks, _, warp = scene
    marks = landmarks.copy()
    for a, b, c in FaceBasis.load().triangles[::9]:
        marks[b, :2] = (marks[a, :2] + marks[c, :2]) / 2 + 0.02
    grid, _ = warp.maps(marks)
    size = (CROP_SIZE, CROP_SIZE)
    inside = fill_polygon(warp.crop.to_crop(marks[FACE_OVAL, :2]), size) == 255
    inside &= fill_polygon(warp.crop.to_crop(marks[INNER_LIPS, :2]), size) == 0
    source = warp.crop.to_crop(landmarks[:, :2])
    places = grid[inside]
    assert (places >= source.min(0) - 2).all() and (places <= source.max(0) + 2).all()
