"""Finding, choosing, judging and following faces, on portraits that ship with the project."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from motion2video.faces.photo import find_faces, open_notice, require_usable, turned_notice
from motion2video.faces.tracker import (
    Face,
    FaceTracker,
    filled,
    pick_face,
)
from motion2video.motion import EXPRESSION_NAMES
from weights.errors import FaceError, InputError, MediaError

ROOT = Path(__file__).resolve().parents[3]
PORTRAITS = ROOT / "app/assets/portraits"
pytestmark = pytest.mark.weights("face_landmarker")


@pytest.fixture(scope="module")
def tracker() -> FaceTracker:
    return FaceTracker.load()


@pytest.fixture(scope="module")
def woman() -> np.ndarray:
    return np.asarray(Image.open(PORTRAITS / "default.jpg"))


@pytest.fixture(scope="module")
def man() -> np.ndarray:
    return np.asarray(Image.open(PORTRAITS / "man_1.jpg"))


@pytest.fixture(scope="module")
def face(tracker: FaceTracker, woman: np.ndarray) -> Face:
    """The settled face of `woman`: the reference for every other position and size."""
    return tracker.settle(woman, tracker.detect(woman)[0])


def scaled(image: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def placed(image: np.ndarray, width: int, height: int, x: int, y: int) -> np.ndarray:
    """A picture on a plain wall."""
    wall = np.full((height, width, 3), 205, np.uint8)
    wall[y : y + image.shape[0], x : x + image.shape[1]] = image
    return wall


def turned(face: Face, degrees: float) -> Face:
    """The face with its landmarks turned about the vertical axis."""
    centre = face.landmarks.mean(0)
    axes = np.array([1, -1, -1])  # x right, y up, z to the camera
    turn = Rotation.from_euler("y", degrees, degrees=True).as_matrix()
    points = ((face.landmarks - centre) * axes @ turn.T * axes + centre).astype(np.float32)
    return Face(points, face.expression, face.box, face.image_size)


def test_portrait_has_one_neutral_face_in_the_right_place(face: Face) -> None:
    eyes, mouth = face.landmarks[[468, 473]], face.landmarks[[13, 14]]
    assert face.image_size == (512, 512)
    assert 190 < face.width < 220
    assert eyes[0, 0] < face.landmarks[4, 0] < eyes[1, 0]  # nose between the irises
    assert eyes[:, 1].max() < face.landmarks[4, 1] < mouth[:, 1].min()
    assert abs(face.yaw) < 5
    assert face.expression[EXPRESSION_NAMES.index("jawOpen")] < 0.1
    assert face.expression[EXPRESSION_NAMES.index("eyeBlinkLeft")] < 0.2


@pytest.mark.parametrize(
    ("size", "canvas", "x", "y"),
    [(512, (1500, 900), 900, 300), (200, (1600, 1200), 1300, 900), (128, (1000, 1400), 30, 1100)],
)
def test_small_faces_are_found_where_they_are(
    tracker: FaceTracker,
    woman: np.ndarray,
    face: Face,
    size: int,
    canvas: tuple[int, int],
    x: int,
    y: int,
) -> None:
    """Down to a face of 3% of the picture, which the detector alone does not see."""
    faces = tracker.detect(placed(scaled(woman, size), *canvas, x, y))
    assert len(faces) == 1
    back = (faces[0].landmarks[:, :2] - [x, y]) * 512 / size
    assert np.abs(back - face.landmarks[:, :2]).mean() < 2.0
    assert faces[0].image_size == canvas


def test_face_that_fills_the_picture_is_found(
    tracker: FaceTracker, woman: np.ndarray, face: Face
) -> None:
    close = cv2.resize(woman[140:360, 146:366], (880, 880), interpolation=cv2.INTER_CUBIC)
    found = tracker.detect(close)[0]
    back = found.landmarks[:, :2] / 4 + [146, 140]
    assert np.abs(back - face.landmarks[:, :2]).mean() < 3.0


@pytest.mark.parametrize(
    "shape", [(1, 1), (2, 300), (900, 40), (512, 512), (700, 1300), (40, 40_000)]
)
def test_no_face_is_an_empty_list(tracker: FaceTracker, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3)).astype(np.uint8)
    assert tracker.detect(noise) == []


def test_two_faces_come_largest_first_and_are_picked_by_rule(
    tracker: FaceTracker, woman: np.ndarray, man: np.ndarray
) -> None:
    pair = np.concatenate([scaled(man, 400), scaled(woman, 512)[:400]], axis=1)
    faces = tracker.detect(pair)
    assert [round(f.centre[0] / 100) for f in faces] == [7, 2]
    largest, notice = pick_face(faces, "largest")
    assert largest is faces[0]
    assert notice == (
        "2 faces found, using the largest at the right; choose with --face 1..2 "
        "(from left to right)"
    )
    assert pick_face(faces, "leftmost")[0] is faces[1]
    assert pick_face(faces, "1")[0] is faces[1]
    assert pick_face(faces, "2")[0] is faces[0]
    assert "using face 2 at the right" in str(pick_face(faces, "2")[1])
    for number in ("0", "3"):
        with pytest.raises(
            FaceError, match=rf"no face {number}: 2 faces were found; choose 1\.\.2"
        ):
            pick_face(faces, number)
    with pytest.raises(InputError, match="got face='biggest'"):
        pick_face(faces, "biggest")
    assert pick_face(faces[:1], "largest") == (faces[0], None)
    with pytest.raises(FaceError, match="no face found"):
        pick_face([], "largest")


def test_yaw_is_the_turn_of_the_landmarks(face: Face) -> None:
    for degrees in (-30, 20):
        assert turned(face, degrees).yaw - face.yaw == pytest.approx(0.926 * degrees, abs=0.5)


def test_a_face_that_is_far_turned_gets_a_notice(face: Face) -> None:
    assert turned_notice(turned(face, 25)) is None
    told = turned_notice(turned(face, -42))
    assert told is not None and "from the front" in told


def test_a_mouth_that_is_not_closed_gets_a_notice(face: Face) -> None:
    assert open_notice(face) is None
    lowered = face.landmarks.copy()
    lowered[14, 1] += 0.1 * abs(lowered[263, 0] - lowered[33, 0])
    assert "closed mouth" in str(open_notice(replace(face, landmarks=lowered)))


@pytest.mark.parametrize("quarters", [1, -1])
def test_a_photo_that_lies_on_its_side_is_told_how_to_turn(
    tracker: FaceTracker, woman: np.ndarray, quarters: int
) -> None:
    sideways = np.rot90(woman, -quarters)
    (lying,) = tracker.detect(np.ascontiguousarray(sideways))
    assert lying.lies == quarters
    with pytest.raises(FaceError, match=f"to the {'left' if quarters > 0 else 'right'}"):
        require_usable(lying)
    (upright,) = tracker.detect(np.ascontiguousarray(np.rot90(sideways, lying.lies)))
    assert upright.lies == 0 and abs(upright.roll) < 5
    require_usable(upright)


def test_a_photo_that_stands_on_its_head_is_told_how_to_turn(
    tracker: FaceTracker, woman: np.ndarray
) -> None:
    """The landmarker sees a face that is upright there, at the chin: it is surer of the other."""
    reversed_ = np.ascontiguousarray(np.rot90(woman, 2))
    (fooled,) = tracker.detect(reversed_)
    assert fooled.lies == 0
    (face,) = find_faces(tracker, reversed_)
    assert face.lies == 2 and abs(abs(face.roll) - 180) < 5
    with pytest.raises(FaceError, match="upside down: turn the picture by half"):
        require_usable(face)
    (upright,) = find_faces(tracker, woman)
    assert upright.lies == 0
    height, width = woman.shape[:2]
    there = np.array([width - 1, height - 1], np.float32) - upright.landmarks[:, :2]
    assert np.abs(face.landmarks[:, :2] - there).max() < 1.5
    assert np.linalg.norm(fooled.landmarks[:, :2] - there, axis=1).mean() > 20
    assert find_faces(tracker, np.full((300, 300, 3), 180, np.uint8)) == []


def test_unusable_faces_are_refused_with_the_reason(face: Face) -> None:
    require_usable(face)
    require_usable(turned(face, 40))
    with pytest.raises(FaceError, match="turned away by 5"):
        require_usable(turned(face, 60))
    small = Face(face.landmarks, face.expression, (10.0, 10.0, 60.0, 80.0), (512, 512))
    with pytest.raises(FaceError, match="50 pixels wide; at least 64"):
        require_usable(small)
    cut = Face(face.landmarks - np.array([256, 0, 0], "f4"), face.expression, face.box, (512, 512))
    with pytest.raises(FaceError, match=r"only [45]\d% of the face"):
        require_usable(cut)


def moving(image: np.ndarray, frames: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The picture shifted and scaled, with the [2, 3] map of every frame. One buffer for all
    frames: whoever keeps a frame sees it change."""
    buffer = np.empty_like(image)
    for t in range(frames):
        zoom = 1 + 0.08 * np.sin(t / 5)
        shift = [25 * np.sin(t / 4), 1.2 * t - 15]
        middle = 256 * (1 - zoom)
        matrix = np.array([[zoom, 0, shift[0] + middle], [0, zoom, shift[1] + middle]])
        buffer[:] = cv2.warpAffine(
            image, matrix, (512, 512), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        yield buffer, matrix


def test_track_follows_a_moving_face_over_a_gap(
    tracker: FaceTracker, woman: np.ndarray, face: Face
) -> None:
    count, gap = 24, range(10, 15)
    maps: list[np.ndarray] = []

    def frames() -> Iterator[np.ndarray]:
        for t, (frame, matrix) in enumerate(moving(woman, count)):
            maps.append(matrix)
            if t in gap:
                frame[:] = 90
            yield frame

    track = tracker.track(frames(), fps=25.0)
    assert len(track) == count and track.fps == 25 and track.image_size == (512, 512)
    assert np.flatnonzero(~track.valid).tolist() == list(gap)
    assert track.notices == ("no face in 5 of 24 frames; filled in from the others",)
    for t in np.flatnonzero(track.valid):
        wanted = face.landmarks[:, :2] @ maps[t][:, :2].T + maps[t][:, 2]
        assert np.abs(track.landmarks[t, :, :2] - wanted).mean() < 1.0
    before, after = track.landmarks[9], track.landmarks[15]
    np.testing.assert_allclose(track.landmarks[12], (before + after) / 2, atol=1e-3)
    assert track.landmarks.dtype == track.expression.dtype == np.float32


def test_still_picture_gives_a_still_track(tracker: FaceTracker, man: np.ndarray) -> None:
    track = tracker.track((man for _ in range(6)), fps=25.0)
    assert np.abs(np.diff(track.landmarks[..., :2], axis=0)).max() < 0.3
    settled = tracker.settle(man, tracker.detect(man)[0])
    assert np.abs(track.landmarks[0] - settled.landmarks)[:, :2].mean() < 0.1


def test_landmarks_are_not_smoothed(tracker: FaceTracker, woman: np.ndarray) -> None:
    """A step of two pixels arrives at once; a filter would show one at first."""
    frames = (np.roll(woman, 0 if t < 6 else 2, axis=1) for t in range(10))
    x = tracker.track(frames, fps=25.0).landmarks[..., 0].mean(axis=1)
    np.testing.assert_allclose(x - x[0], [0] * 6 + [2] * 4, atol=0.25)


def test_small_face_in_a_large_video_is_followed(
    tracker: FaceTracker, woman: np.ndarray, face: Face
) -> None:
    places = [(600 + 15 * t, 300 - 10 * t) for t in range(12)]
    frames = (placed(scaled(woman, 180), 1920, 1080, x, y) for x, y in places)
    track = tracker.track(frames, fps=30.0)
    assert track.valid.all()
    for points, place in zip(track.landmarks, places, strict=True):
        wanted = face.landmarks[:, :2] * 180 / 512 + place
        assert np.abs(points[:, :2] - wanted).mean() < 1.0


@pytest.mark.parametrize(("rule", "start", "step"), [("leftmost", 0, 12), ("largest", 420, -6)])
def test_track_keeps_to_the_chosen_person(
    tracker: FaceTracker, woman: np.ndarray, man: np.ndarray, rule: str, start: int, step: int
) -> None:
    frames = []
    for t in range(8):
        wall = placed(scaled(woman, 300), 820, 400, 12 * t, 0)
        wall[:, 420 - 6 * t : 820 - 6 * t] = scaled(man, 400)
        frames.append(wall)
    track = tracker.track(frames, fps=25.0, face=rule)
    assert track.valid.all()
    assert len(track.notices) == 1 and f"using the {rule}" in track.notices[0]
    nose = track.landmarks[:, 4, 0] - (start + step * np.arange(8))
    assert np.ptp(nose) < 3


def test_track_refuses_what_it_cannot_use(tracker: FaceTracker, woman: np.ndarray) -> None:
    with pytest.raises(MediaError, match="no frames"):
        tracker.track([], fps=25.0)
    with pytest.raises(FaceError, match="none of the 3 frames"):
        tracker.track([np.zeros((64, 64, 3), np.uint8)] * 3, fps=25.0)
    with pytest.raises(MediaError, match="frame 1 is 512x256 pixels, the first was 512x512"):
        tracker.track(iter([woman, woman[:256]]), fps=25.0)
    with pytest.raises(InputError, match=r"got 0\.0 fps"):
        tracker.track([woman], fps=0.0)
    with pytest.raises(InputError, match="detector='yolo'"):
        FaceTracker.load(detector="yolo")


def test_fill_is_linear_inside_and_held_outside() -> None:
    valid = np.array([0, 1, 0, 0, 1, 1, 0], bool)
    seen = np.array([[1.0], [4.0], [6.0]], np.float32)
    np.testing.assert_allclose(filled(seen, valid)[:, 0], [1, 1, 2, 3, 4, 6, 6])


def test_nothing_is_printed_from_load_to_exit() -> None:
    """Nor is MediaPipe loaded, where it happens to be installed."""
    program = (
        "import numpy as np\n"
        "from motion2video.faces.tracker import FaceTracker\n"
        "tracker = FaceTracker.load()\n"
        "print(len(tracker.detect(np.zeros((64, 64, 3), np.uint8))))\n"
        "import sys; assert 'mediapipe' not in sys.modules\n"
        "print('still heard', file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "still heard\n")
