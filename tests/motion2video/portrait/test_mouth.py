"""The mouth behind the lips: teeth on the skull, teeth on the jaw, the photo's own teeth."""

import cv2
import numpy as np
import pytest

from motion2video.drawing.places import INNER_LIPS
from motion2video.geometry.retarget import PortraitFace
from motion2video.motion import Motion, channel_index
from motion2video.portrait.mouth import STRIPS, Mouth
from tests.motion2video.canonical import SIDE, canonical_face


@pytest.fixture(scope="module")
def face() -> PortraitFace:
    return canonical_face()


def marks(face: PortraitFace, jaw: float, yaw: float = 0.0) -> np.ndarray:
    """Landmarks in a picture; the jaw falls as ICT's and the project's basis agree that it does."""
    motion = Motion.neutral(1)
    motion.values[0, channel_index("jawOpen")] = jaw
    motion.values[0, 53] = yaw
    return face.keypoints(motion)[0][0]


def fitted(face: PortraitFace) -> Mouth:
    grey = np.full((SIDE, SIDE, 3), 150, np.uint8)
    return Mouth.fit(grey, marks(face, 0), face.neutral)


def test_upper_teeth_stay_with_the_skull_and_lower_ones_go_with_the_jaw(face) -> None:
    mouth = fitted(face)
    shut, opened = (
        dict(zip(STRIPS, mouth.posed(marks(face, jaw)).placed(), strict=True)) for jaw in (0.0, 0.8)
    )
    unit = float(face.pose.scale[0])
    assert np.abs(opened["upper"] - shut["upper"]).max() < 0.02 * unit
    for name in ("lower", "tongue"):
        assert (opened[name] - shut[name])[:, 1].mean() > 0.07 * unit, "downwards"


def test_teeth_turn_as_a_rigid_thing(face) -> None:
    mouth = fitted(face)
    front, side = (mouth.posed(marks(face, 0, yaw)).placed()[-1] for yaw in (0.0, 0.4))
    away = [np.linalg.norm(p[:, None] - p[None], axis=-1) for p in (front, side)]
    assert np.abs(away[0] - away[1]).max() < 0.02 * away[0].max()
    assert np.abs(front - side).max() > 0.1 * float(face.pose.scale[0]), "while they do turn"


def test_teeth_lie_behind_the_lips(face) -> None:
    mouth, landmarks = fitted(face), marks(face, 0)
    upper = mouth.posed(landmarks).placed()[-1]
    lips = landmarks[INNER_LIPS]
    unit = float(face.pose.scale[0])
    assert abs(upper[:, 0].mean() - lips[:, 0].mean()) < 0.05 * unit
    assert upper[:, 2].min() > lips[:, 2].min(), "z grows away from the camera"
    assert abs(upper[:, 1].max() - lips[:, 1].mean()) < 0.1 * unit, "their edge is where lips meet"


def test_a_photo_with_teeth_lends_its_own(face) -> None:
    landmarks = marks(face, 0.6)
    photo = np.full((SIDE, SIDE, 3), (170, 110, 100), np.uint8)
    inner = landmarks[INNER_LIPS, :2].astype(np.int32)
    cv2.fillPoly(photo, [inner], (30, 15, 15))
    upper = inner.copy()
    upper[10:, 1] = upper[:10, 1].max() + 8
    cv2.fillPoly(photo, [upper], (200, 235, 200))  # teeth nobody has
    own = Mouth.fit(photo, landmarks, face.neutral)
    plain = Mouth.fit(photo, landmarks, face.neutral, own_teeth=False)
    green = [
        float((s.texture[..., 1].astype(int) - s.texture[..., 0] > 15).mean())
        for s in (own.strips[-1], plain.strips[-1])
    ]
    assert green[0] > 0.1 and green[1] < 0.01


def test_a_dark_photo_has_darker_teeth(face) -> None:
    landmarks = marks(face, 0)
    bright, dark = (
        Mouth.fit(np.full((SIDE, SIDE, 3), v, np.uint8), landmarks, face.neutral).strips[-1]
        for v in (160, 70)
    )
    assert dark.texture[..., :3].mean() < 0.6 * bright.texture[..., :3].mean()


def test_teeth_are_lit_like_the_skin_about_them_and_paler(face) -> None:
    landmarks, skin = marks(face, 0), np.array([170, 110, 85], np.uint8)
    photo = np.full((SIDE, SIDE, 3), skin, np.uint8)
    for eye in (33, 133), (362, 263):
        middle = landmarks[list(eye), :2].mean(0).astype(int)
        cv2.circle(photo, (int(middle[0]), int(middle[1])), SIDE // 20, (190, 180, 170), -1)
    mouth = Mouth.fit(photo, landmarks, face.neutral)
    upper = mouth.strips[-1]
    red, green, blue = np.percentile(upper.texture[upper.tooth, :3], 90, axis=0)
    assert red > green > blue
    assert (red - blue) / red < 0.7 * (int(skin[0]) - int(skin[2])) / int(skin[0])


def test_light_falls_on_teeth_as_the_lips_let_it(face) -> None:
    """Those of a broad mouth, or behind a raised lip, are lighter than those of a pout."""
    mouth, landmarks = fitted(face), marks(face, 0.4)
    middle = landmarks[[13, 14], :2].mean(0)[None]

    def light(wide: float, raised: float) -> float:
        moved = landmarks.copy()
        centre = moved[[78, 308], 0].mean()
        moved[[78, 308], 0] = centre + wide * (moved[[78, 308], 0] - centre)
        moved[13, 1] -= raised * float(face.pose.scale[0])
        return float(mouth.posed(moved).lights(middle).mean())

    assert light(0.75, 0) < light(1.0, 0) < light(1.2, 0)
    assert light(0.75, 0) < light(0.75, 0.08)
    corner = landmarks[78:79, :2] + 0.1 * (middle - landmarks[78:79, :2])
    posed = mouth.posed(landmarks)
    assert posed.lights(corner).mean() < posed.lights(middle).mean()


def test_a_mouth_that_is_hardly_open_shows_the_edges_of_lower_teeth_alone(face) -> None:
    """The rest lies behind the lower lip."""
    landmarks = marks(face, 0.2)
    lower = dict(zip(STRIPS, fitted(face).posed(landmarks).placed(), strict=True))["lower"]
    middle = np.abs(lower[:, 0] - SIDE / 2) < 5
    shown = landmarks[14, 1] - lower[middle, 1].min()  # the picture's y goes down
    assert shown < 0.03 * float(face.pose.scale[0])
