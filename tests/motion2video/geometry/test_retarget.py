"""Whose face a motion moves, and from where: a photo's own expression, a clip's own frames."""

from pathlib import Path

import numpy as np
import pytest

from motion2video.geometry.basis import (
    FLIP,
    FaceBasis,
    HeadPose,
    find_nearness,
    fit_pose,
    from_afar,
    from_near,
    motion_from_landmarks,
    moved_pose,
    rotation_matrix,
    unmoved_pose,
)
from motion2video.geometry.likeness import expression_between, one_person
from motion2video.geometry.retarget import LIP_ROWS, PortraitFace
from motion2video.motion import (
    DETAIL,
    MOTION_DIM,
    ROTATION,
    TRANSLATION,
    Motion,
    Rest,
    channel_index,
)
from weights.errors import MotionError

PERSON = 7


def f32(values: list) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.fixture(scope="module")
def basis() -> FaceBasis:
    return FaceBasis.load()


def filmed(basis: FaceBasis, frames: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks [T, 478, 3] and scores [T, 52] of somebody who turns, talks and smiles."""
    rng = np.random.default_rng(PERSON)
    at = np.linspace(0, 4 * np.pi, frames)
    scores = np.tile(basis.rest_expression, (frames, 1))
    for name, most, pace in (
        ("jawOpen", 0.5, 3),
        ("mouthSmileLeft", 0.6, 1),
        ("browInnerUp", 0.4, 2),
    ):
        scores[:, channel_index(name)] += most * (0.5 + 0.5 * np.sin(pace * at))
    turn = np.stack([0.2 * np.sin(at), 0.4 * np.sin(0.5 * at), 0.1 * np.cos(at)], 1)
    offset = np.stack([300 + 20 * np.sin(at), -260 + 10 * np.cos(at), 0 * at], 1)
    pose = HeadPose(
        rotation_matrix(turn.astype(np.float32)),
        offset.astype(np.float32),
        (100 + 5 * np.sin(at)).astype(np.float32),
    )
    person = basis.canonical + 0.02 * rng.standard_normal(basis.canonical.shape)
    relative = scores - basis.rest_expression
    points = person + np.tensordot(relative, basis.expression, 1)
    return pose.project(points.astype(np.float32)), scores.astype(np.float32)


def apart(a: np.ndarray, b: np.ndarray, scale: float) -> float:
    """Mean distance in pixels where the eyes are 107 pixels apart."""
    return float(np.linalg.norm((a - b)[..., :2], axis=-1).mean() / scale * 107)


@pytest.mark.parametrize("frame", [0, 17, 41])
def test_own_motion_on_any_frame_gives_the_clip_again(basis: FaceBasis, frame: int):
    marks, scores = filmed(basis)
    motion = motion_from_landmarks(marks, scores, np.ones(len(marks), bool), 25.0, basis)
    face = PortraitFace.fit(marks[frame], scores[frame], basis)
    scale = float(face.pose.scale[0])
    assert apart(face.driven_by(motion).keypoints(motion)[0], marks, scale) < 1.5
    assert apart(face.keypoints(motion)[0], marks, scale) > 4, "the frame is not the clip's rest"


def photographed(basis: FaceBasis, seed: int) -> np.ndarray:
    """Somebody's neutral face in the head frame: an own shape, and points where a tracker errs."""
    rng = np.random.default_rng(seed)
    stretch = 1 + 0.05 * rng.standard_normal(3)
    points = basis.canonical * stretch + 0.004 * rng.standard_normal((478, 3))
    marks = (points * 107 * FLIP)[None].astype(np.float32)
    return fit_pose(marks, basis.canonical).unproject(marks)[0].astype(np.float32)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_smile_reaches_where_it_reached_in_life_on_another_photo_of_the_person(
    basis: FaceBasis, seed: int
):
    """Neither is a photo with weak expressions of its own a frame of the clip, nor do these count
    twice."""
    rng = np.random.default_rng(10 + seed)
    person = photographed(basis, seed)
    clip = np.zeros((2, MOTION_DIM), np.float32)
    for side in ("Left", "Right"):
        clip[1, channel_index(f"mouthSmile{side}")] = 0.8
        clip[1, channel_index(f"mouthUpperUp{side}")] = 0.4
    clip[1, DETAIL] = rng.standard_normal(32)
    pose = HeadPose(np.eye(3, dtype=np.float32)[None], f32([[300, -260, 0]]), f32([107]))
    rest = Rest(person, f32([0, 0, 0]), f32([300, -260, 0]), 107.0)
    weak = np.zeros((1, MOTION_DIM), np.float32)
    weak[0, channel_index("mouthPucker")] = weak[0, channel_index("mouthFrownLeft")] = 0.3
    weak[0, DETAIL] = 0.5 * rng.standard_normal(32)
    photo = person + basis.offsets(weak)[0] + 0.002 * rng.standard_normal((478, 3))
    face = PortraitFace.fit(
        pose.project(photo[None].astype(np.float32))[0], basis.rest_expression, basis
    )
    true = pose.project(person + basis.offsets(clip))[1]
    motion = Motion(clip, rest=rest)
    lips = [61, 291, 0, 17, 13, 14]
    shown, twice = (f.keypoints(motion)[0][1] for f in (face.driven_by(motion), face))
    assert apart(shown[lips], true[lips], 107) < 0.8
    assert apart(twice[lips], true[lips], 107) > 1.6


def test_strangers_are_told_apart_and_one_person_is_known(basis: FaceBasis):
    one, two = photographed(basis, 0), photographed(basis, 1)
    smile = np.zeros((1, MOTION_DIM), np.float32)
    smile[0, channel_index("mouthSmileLeft")] = smile[0, channel_index("jawOpen")] = 0.4
    found, near = expression_between(one, one + basis.offsets(smile)[0], basis)
    assert one_person(near) == 1 and one_person(expression_between(one, two, basis)[1]) == 0
    assert 0 < one_person(0.62) < 1, "and between them nothing jumps"
    assert np.abs(basis.offsets(found) - basis.offsets(smile)).max() < 0.02


def test_a_frame_is_not_taken_for_one_with_the_head_elsewhere(basis: FaceBasis):
    """A calm photo is like many frames: whose pose it shall have must be its own."""
    marks, scores = filmed(basis)
    motion = motion_from_landmarks(marks, scores, np.ones(len(marks), bool), 25.0, basis)
    assert motion.rest is not None
    pose = fit_pose(marks[20:21], basis.canonical)
    elsewhere = HeadPose(
        rotation_matrix(f32([[0.0, -0.3, 0.0]])) @ pose.rotation, pose.offset, pose.scale
    )
    seen = elsewhere.project(pose.unproject(marks[20:21]))[0]
    face = PortraitFace.fit(seen, scores[20], basis)
    moved = face.driven_by(motion)
    assert np.allclose(moved.pose.rotation, face.pose.rotation)


def test_a_photo_of_another_size_is_the_same_frame(basis: FaceBasis):
    marks, scores = filmed(basis)
    motion = motion_from_landmarks(marks, scores, np.ones(len(marks), bool), 25.0, basis)
    face = PortraitFace.fit(marks[20] * 3, scores[20], basis).driven_by(motion)
    assert apart(face.keypoints(motion)[0] / 3, marks, float(face.pose.scale[0]) / 3) < 1.5


def test_a_stranger_is_moved_from_their_own_pose(basis: FaceBasis):
    marks, scores = filmed(basis)
    motion = motion_from_landmarks(marks, scores, np.ones(len(marks), bool), 25.0, basis)
    wide = basis.canonical * f32([1.15, 0.9, 1.0])
    pose = HeadPose(
        np.eye(3, dtype=np.float32)[None], np.zeros((1, 3), np.float32), np.ones(1, np.float32)
    )
    face = PortraitFace.fit(pose.project(wide[None])[0] * 80, basis.rest_expression, basis)
    assert face.driven_by(motion) is face


def test_motion_that_is_nobodys_stays_as_it_is(basis: FaceBasis):
    marks, scores = filmed(basis)
    face = PortraitFace.fit(marks[0], scores[0], basis)
    assert face.driven_by(Motion.neutral(5)) is face


def test_zero_motion_shows_the_photo_with_its_smile(basis: FaceBasis):
    marks, scores = filmed(basis)
    widest = int(scores[:, channel_index("mouthSmileLeft")].argmax())
    face = PortraitFace.fit(marks[widest], scores[widest], basis)
    shown = face.keypoints(Motion.neutral(1))[0][0]
    assert apart(shown, marks[widest], float(face.pose.scale[0])) < 0.05


def test_the_photos_smile_goes_when_the_mouth_is_used(basis: FaceBasis):
    marks, scores = filmed(basis)
    channel = channel_index("mouthSmileLeft")
    widest = int(scores[:, channel].argmax())
    face = PortraitFace.fit(marks[widest], scores[widest], basis)
    motion = Motion.neutral(1)
    motion.values[0, channel] = 0.5
    asked = face.neutral + basis.offsets(motion.values)[0]
    shown = face.pose.unproject(face.keypoints(motion)[0])[0]
    corner = 291
    assert np.abs(shown[corner] - asked[corner]).max() < 0.01


def test_the_photos_expression_goes_without_a_jump(basis: FaceBasis):
    marks, scores = filmed(basis)
    face = PortraitFace.fit(marks[30], scores[30], basis)
    values = np.zeros((100, MOTION_DIM), np.float32)
    values[:, channel_index("jawOpen")] = np.linspace(0, 0.5, 100)
    shown = face.keypoints(Motion(values))[0] / face.pose.scale[0]
    assert np.linalg.norm(np.diff(shown, axis=0), axis=-1).max() < 0.02


def test_a_rest_is_undone_by_its_motion():
    pose = HeadPose(
        rotation_matrix(f32([[0.1, -0.3, 0.05]])),
        f32([[10, -20, 3]]),
        f32([90]),
    )
    row = np.zeros((1, MOTION_DIM), np.float32)
    row[:, ROTATION], row[:, TRANSLATION] = [0.2, 0.4, -0.1], [0.3, -0.2, 0.8]
    again = moved_pose(unmoved_pose(pose, row), row)
    assert np.allclose(again.rotation, pose.rotation, atol=1e-6)
    assert np.allclose(again.offset, pose.offset, atol=1e-4)
    assert np.allclose(again.scale, pose.scale, rtol=1e-6)


@pytest.mark.parametrize("yaw", [-0.6, -0.3, 0.3, 0.6])
def test_turning_changes_neither_expression_nor_detail(basis: FaceBasis, yaw: float):
    """One face seen from many sides."""
    marks, scores = filmed(basis, 8)
    front = fit_pose(marks, basis.canonical)
    turned = HeadPose(
        rotation_matrix(f32([[0, yaw, 0]])) @ front.rotation, front.offset, front.scale
    )
    seen = turned.project(front.unproject(marks))
    valid = np.ones(len(marks), bool)
    a = motion_from_landmarks(marks, scores, valid, 25.0, basis)
    b = motion_from_landmarks(seen, scores, valid, 25.0, basis)
    assert np.allclose(a.expression, b.expression)
    assert np.abs(a.detail - b.detail).max() < 0.01


def from_many_sides(basis: FaceBasis, distance: float) -> np.ndarray:
    """One still face as a camera at a distance (interocular distances) sees it turn by up to 25
    degrees, with a tracker's noise; its depths are those of a camera far away, as MediaPipe's are.
    """
    rng = np.random.default_rng(0)
    turns = np.radians([(p, y, 0) for y in (-25, -12, 0, 12, 25) for p in (-10, 0, 10)])
    rotation = rotation_matrix(turns.astype(np.float32))
    points = photographed(basis, 3) @ rotation.transpose(0, 2, 1)
    points[..., :2] *= distance / (distance - points[..., 2:])
    marks = points * 107 * FLIP + 0.2 * rng.standard_normal((len(turns), 478, 3))
    return (marks + np.array([256, 256, 0])).astype(np.float32)


@pytest.mark.parametrize(("distance", "most"), [(9.0, 0.4), (12.0, 0.2), (20.0, 0.2), (1e6, 0.2)])
def test_a_near_camera_changes_neither_expression_nor_detail_when_the_face_turns(
    basis: FaceBasis, distance: float, most: float
):
    """Taken for one far away it would: by 1.6 deviations of the detail at 9, by .7 at 20."""
    marks = from_many_sides(basis, distance)
    scores = np.tile(basis.rest_expression, (len(marks), 1))
    motion = motion_from_landmarks(marks, scores, np.ones(len(marks), bool), 25.0, basis)
    assert motion.rest is not None
    assert np.sqrt((motion.detail**2).mean()) < most
    assert abs(motion.rest.nearness - 1 / distance) < 0.025


def test_own_motion_before_a_near_camera_gives_the_clip_again(basis: FaceBasis):
    marks = from_many_sides(basis, 9.0)
    scores = np.tile(basis.rest_expression, (len(marks), 1))
    motion = motion_from_landmarks(marks, scores, np.ones(len(marks), bool), 25.0, basis)
    face = PortraitFace.fit(marks[3], scores[3], basis).driven_by(motion)
    assert face.nearness > 0
    assert apart(face.keypoints(motion)[0], marks, 107) < 0.6


def test_perspective_is_undone_by_its_inverse(basis: FaceBasis):
    marks = from_many_sides(basis, 9.0)
    again = from_near(from_afar(marks, 0.11), 0.11)
    assert np.abs(again - marks).max() < 0.01
    assert from_afar(marks, 0.0) is marks


def test_a_still_head_says_nothing_of_its_camera(basis: FaceBasis):
    marks, _ = filmed(basis, 8)
    assert find_nearness(np.repeat(marks[:1], 8, 0), basis.canonical) == 0


def test_a_rest_survives_its_file(basis: FaceBasis, tmp_path: Path):
    marks, scores = filmed(basis, 8)
    motion = motion_from_landmarks(marks, scores, np.ones(8, bool), 25.0, basis)
    back = Motion.load(motion.save(tmp_path / "m.npz"))
    assert motion.rest is not None and back.rest is not None
    assert np.array_equal(back.rest.points, motion.rest.points)
    assert np.array_equal(back.rest.rotation, motion.rest.rotation)
    assert back.rest.scale == pytest.approx(motion.rest.scale)
    assert Motion.load(Motion.neutral(3).save(tmp_path / "n.npz")).rest is None


def test_a_rest_of_before_has_a_far_camera_and_an_impossible_one_is_refused(basis: FaceBasis):
    pose = f32([0.1, 0, 0, 300, -200, 0, 107])
    assert Rest.of_arrays(basis.canonical, pose).nearness == 0
    near = Rest.of_arrays(basis.canonical, np.append(pose, np.float32(0.125)))
    assert near.nearness == 0.125
    with pytest.raises(MotionError, match="nearness"):
        Rest.of_arrays(basis.canonical, np.append(pose, np.float32(3)))
    with pytest.raises(MotionError, match="8 numbers"):
        Rest.of_arrays(basis.canonical, pose[:6])


def lips_of(marks: np.ndarray) -> np.ndarray:
    """[2, 4, 9] how high the rows of both lips are over their inner edge (the lower below it)."""
    rows = np.stack([[marks[row, 1] for row in lip] for lip in LIP_ROWS])
    return np.abs(rows - rows[:, -1:])


@pytest.mark.parametrize("amount", [0.2, 0.5, 1.0])
def test_pressed_lips_stay_lips(basis: FaceBasis, amount: float):
    """Of every column a part is seen; lips at rest are the photo's."""
    points = photographed(basis, 0)
    face = PortraitFace(points, fit_pose(points[None] * FLIP * 107, basis.canonical), basis)
    motion = Motion.neutral(2)
    for name in ("mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthRollUpper"):
        motion.values[1, channel_index(name)] = amount
    rest, pressed = (lips_of(marks) for marks in face.keypoints(motion)[0])
    assert (pressed[:, 0] / rest[:, 0]).min() > 0.3
    shown = face.pose.project(points[None])[0]
    assert np.abs(lips_of(shown) - rest).max() < 0.3, "and what is not pressed is not moved"
