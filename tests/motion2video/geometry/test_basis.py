"""Head pose, the face basis and retargeting."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motion2video.geometry.basis import (
    CAMERA_DISTANCE,
    FaceBasis,
    HeadPose,
    axis_angle,
    estimate_neutral,
    fit_pose,
    interocular,
    motion_from_landmarks,
    rotation_matrix,
)
from motion2video.geometry.retarget import PortraitFace
from motion2video.motion import DETAIL, MOTION_DIM, Motion, channel_index
from weights.errors import MotionError


@pytest.fixture(scope="module")
def basis() -> FaceBasis:
    return FaceBasis.load()


def pose_of(rotation: list[list[float]], scale: float = 80.0) -> HeadPose:
    count = len(rotation)
    return HeadPose(
        rotation_matrix(np.array(rotation, np.float32)),
        np.tile(np.array([200.0, -180.0, 5.0], np.float32), (count, 1)),
        np.full(count, scale, np.float32),
    )


def face_of(basis: FaceBasis) -> PortraitFace:
    landmarks = pose_of([[0.05, -0.1, 0.02]]).project(basis.canonical[None])[0]
    return PortraitFace.fit(landmarks, basis.rest_expression, basis)


def moving(frames: int, **channels: float) -> Motion:
    motion = Motion.neutral(frames)
    for name, value in channels.items():
        motion.values[:, channel_index(name)] = value
    return motion


def test_rotations_round_trip() -> None:
    rng = np.random.default_rng(0)
    rotation = rng.uniform(-1.2, 1.2, (50, 3)).astype(np.float32)
    matrix = rotation_matrix(rotation)
    assert np.allclose(matrix @ matrix.transpose(0, 2, 1), np.eye(3), atol=1e-5)
    assert np.allclose(axis_angle(matrix), rotation, atol=1e-4)
    assert np.allclose(axis_angle(np.eye(3, dtype=np.float32)[None]), 0)


def test_rotations_are_those_of_scipy() -> None:
    rotation = np.random.default_rng(0).uniform(-1.2, 1.2, (50, 3)).astype(np.float32)
    matrix = rotation_matrix(rotation)
    assert np.allclose(matrix, Rotation.from_rotvec(rotation).as_matrix(), atol=1e-6)
    assert np.allclose(axis_angle(matrix), Rotation.from_matrix(matrix).as_rotvec(), atol=1e-6)


def test_quarter_turn_about_y_takes_forward_to_the_right() -> None:
    turn = rotation_matrix(np.array([[0, np.pi / 2, 0]], np.float32))[0]
    assert np.allclose(turn @ np.array([0, 0, 1]), [1, 0, 0], atol=1e-6)


def test_pose_is_found_again(basis: FaceBasis) -> None:
    pose = pose_of([[0.2, -0.3, 0.1], [0, 0, 0], [-0.2, 0.4, -0.15]])
    landmarks = pose.project(np.repeat(basis.canonical[None], 3, 0))
    found = fit_pose(landmarks, basis.canonical)
    assert np.allclose(found.rotation, pose.rotation, atol=1e-4)
    assert np.allclose(found.scale, 80, atol=1e-2) and np.allclose(
        found.offset, pose.offset, atol=0.05
    )
    assert np.allclose(found.unproject(landmarks), basis.canonical, atol=1e-4)


def test_canonical_face_is_frontal_and_one_unit_wide(basis: FaceBasis) -> None:
    assert interocular(basis.canonical) == pytest.approx(1, abs=0.02)
    assert abs(basis.canonical[1, 0]) < 0.05, "the nose tip is in the middle"
    assert basis.canonical[1, 2] > basis.canonical[234, 2] + 0.5, "and in front of the ears"
    assert basis.canonical[10, 1] > basis.canonical[152, 1] + 1.5, "forehead above chin"


def test_tracked_motion_comes_back(basis: FaceBasis) -> None:
    """Synthesise landmarks from known motion, track them, get the motion again."""
    rng = np.random.default_rng(1)
    frames = 120
    truth = Motion.neutral(frames)
    wave = (0.5 - 0.5 * np.cos(np.arange(frames) / 6)).astype(np.float32)
    truth.values[:, channel_index("jawOpen")] = 0.5 * wave
    truth.values[:, DETAIL] = rng.normal(0, 0.5, (frames, 32)).astype(np.float32) * wave[:, None]
    truth.values[:, 53] = 0.2 * np.sin(np.arange(frames) / 9)
    truth.values[:, 56] = 0.1 * np.sin(np.arange(frames) / 7)
    face = face_of(basis)
    from motion2video.geometry.basis import moved_pose

    points = face.neutral + basis.offsets(truth.values)
    landmarks = moved_pose(face.pose, truth.values).project(points.astype(np.float32))
    scores = basis.rest_expression + truth.expression
    got = motion_from_landmarks(landmarks, scores, np.ones(frames, bool), 25.0, basis)
    assert np.corrcoef(got.channel("jawOpen"), truth.channel("jawOpen"))[0, 1] > 0.999
    turn = got.rotation[:, 1] - truth.rotation[:, 1]
    assert np.ptp(turn) < 0.03
    slide = got.translation[:, 0] - truth.translation[:, 0]
    assert np.ptp(slide) < 0.03
    again = np.corrcoef(got.detail[:, 0], truth.detail[:, 0])[0, 1]
    assert again > 0.95


def test_neutral_needs_a_face(basis: FaceBasis) -> None:
    landmarks = np.zeros((3, 478, 3), np.float32)
    with pytest.raises(MotionError, match="valid frame"):
        estimate_neutral(landmarks, np.zeros((3, 52), np.float32), np.zeros(3, bool), basis)


def test_zero_motion_is_the_photo(basis: FaceBasis) -> None:
    shut = face_of(basis).neutral  # the canonical lips are a hair apart
    landmarks = pose_of([[0.05, -0.1, 0.02]]).project(shut[None])[0]
    face = PortraitFace.fit(landmarks, basis.rest_expression, basis)
    marks, open_eyes = face.keypoints(Motion.neutral(2))
    assert np.abs(marks[0] - landmarks).max() < 1.0
    assert np.allclose(marks[0], marks[1]) and np.allclose(
        open_eyes[0, 33], marks[0, 33], atol=1e-3
    )


def test_full_blink_closes_the_lids_and_leaves_the_eyeball(basis: FaceBasis) -> None:
    face = face_of(basis)
    shut, eyeball = face.keypoints(moving(1, eyeBlinkLeft=0.6, eyeBlinkRight=0.6))
    rest, _ = face.keypoints(Motion.neutral(1))
    for top, bottom in ((159, 145), (386, 374)):
        assert np.linalg.norm(rest[0, top] - rest[0, bottom]) > 8
        assert -0.2 < shut[0, top, 1] - shut[0, bottom, 1] < 2.5, "the upper lid laps over"
        assert np.allclose(eyeball[0, top], rest[0, top], atol=0.5)


def test_lips_never_cross(basis: FaceBasis) -> None:
    face = face_of(basis)
    rng = np.random.default_rng(2)
    motion = Motion.neutral(200)
    motion.values[:, :52] = rng.uniform(0, 0.4, (200, 52))
    motion.values[:, DETAIL] = rng.normal(0, 1.5, (200, 32))
    points = face.pose.unproject(np.repeat(face.keypoints(Motion.neutral(1))[0], 1, 0))
    assert points.shape == (1, 478, 3)
    marks, _ = face.keypoints(motion)
    rest = HeadPose(
        np.repeat(face.pose.rotation, 200, 0),
        np.repeat(face.pose.offset, 200, 0),
        np.repeat(face.pose.scale, 200),
    )
    head = rest.unproject(marks)
    assert (head[:, 13, 1] - head[:, 14, 1]).min() > -1e-3


@pytest.mark.parametrize("opening", [0.05, 0.3, 0.6])
def test_an_open_mouth_in_the_photo_is_closed_at_rest(basis: FaceBasis, opening: float) -> None:
    """The photo's gap is not what the tracker's scores say: it is closed all the same."""
    face = basis.canonical.copy()
    low, *_ = lips = [14, 87, 178, 88, 95, 317, 402, 318, 324]
    chin = face[:, 1] < face[[78, 308], 1].mean()
    away = np.linalg.norm(face[:, None, :2] - face[lips, :2], axis=-1).min(1)
    face[:, 1] -= np.where(chin, opening * np.exp(-((away / 0.3) ** 2)), 0)
    photo = pose_of([[0.0, 0.0, 0.0]]).project(face[None])[0]
    fitted = PortraitFace.fit(photo, basis.rest_expression, basis)
    before, at_rest = face[13, 1] - face[low, 1], fitted.neutral[13, 1] - fitted.neutral[low, 1]
    assert before > opening * 0.9
    assert abs(at_rest) < 0.1 * before
    moved = np.linalg.norm(fitted.neutral - face, axis=1)
    assert moved[[33, 133, 362, 263, 10, 1]].max() < 0.02, "eyes, forehead and nose stay"


def test_keypoints_do_not_depend_on_the_length_of_a_piece(basis: FaceBasis) -> None:
    face = face_of(basis)
    values = np.random.default_rng(0).normal(0, 0.2, (7, MOTION_DIM)).astype(np.float32)
    whole = np.stack(face.keypoints(Motion(values)))
    parts = [np.stack(face.keypoints(Motion(values[k]))) for k in np.s_[:1, 1:4, 4:]]
    assert np.array_equal(whole, np.concatenate(parts, 1))


def test_jaw_opens_the_mouth_in_proportion(basis: FaceBasis) -> None:
    face = face_of(basis)
    gaps = []
    for amount in (0.1, 0.3, 0.6):
        marks, _ = face.keypoints(moving(1, jawOpen=amount))
        gaps.append(float(np.linalg.norm(marks[0, 13] - marks[0, 14])) / 80)
    assert gaps[0] < gaps[1] < gaps[2] and 0.2 < gaps[2] < 0.5


def test_translation_is_in_interocular_distances(basis: FaceBasis) -> None:
    face = face_of(basis)
    motion = Motion.neutral(2)
    motion.values[1, 55] = 0.25
    marks, _ = face.keypoints(motion)
    assert np.allclose((marks[1] - marks[0])[:, 0], 0.25 * float(face.pose.scale[0]), atol=0.05)
    nearer = Motion.neutral(1)
    nearer.values[0, 57] = CAMERA_DISTANCE / 2
    grown, _ = face.keypoints(nearer)
    assert interocular(grown[0]) / interocular(marks[0]) == pytest.approx(2, rel=0.02)


def test_motion_width_is_the_basis_width(basis: FaceBasis) -> None:
    assert basis.expression.shape[0] + 6 + basis.detail.shape[0] == MOTION_DIM
    assert basis.triangles.max() < 468 and basis.triangles.shape[1] == 3


def test_a_blink_leaves_the_mouth_alone_and_the_jaw_the_brows(basis: FaceBasis) -> None:
    face = face_of(basis)
    rest, _ = face.keypoints(Motion.neutral(1))
    blink, _ = face.keypoints(moving(1, eyeBlinkLeft=0.7, eyeBlinkRight=0.7))
    jaw, _ = face.keypoints(moving(1, jawOpen=0.7))
    lips = [13, 14, 61, 291, 0, 17]
    assert np.abs(blink[0, lips] - rest[0, lips]).max() < 0.1
    brows = [105, 334, 10]
    assert np.abs(jaw[0, brows] - rest[0, brows]).max() < 0.1


def test_the_gap_of_the_lips_is_that_of_the_keypoints():
    basis = FaceBasis.load()
    values = np.random.default_rng(0).uniform(0, 0.5, (4, MOTION_DIM)).astype(np.float32)
    points = basis.offsets(values)[:, :, 1]
    np.testing.assert_allclose(basis.lip_gap(values), points[:, 13] - points[:, 14], atol=1e-5)
    open_mouth = np.zeros((1, MOTION_DIM), np.float32)
    open_mouth[0, channel_index("jawOpen")] = 0.5
    assert basis.lip_gap(open_mouth)[0] > 0.05
