"""The embedded identity network: near for one face, far for another, of any size."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from motion2video.faces.identity import FaceIdentity, IdentityConfig
from motion2video.faces.tracker import FaceTracker
from motion2video.portrait.portrait import Portrait
from weights.errors import WeightsError

PORTRAITS = Path(__file__).parents[3] / "app" / "assets" / "portraits"

pytestmark = pytest.mark.weights("face_landmarker", "identity")


@pytest.fixture(scope="module")
def tracker() -> FaceTracker:
    return FaceTracker.load()


def test_a_face_is_near_itself_and_far_from_another(tracker: FaceTracker) -> None:
    identity = FaceIdentity.load()
    woman, man = (
        Portrait.load(PORTRAITS / name, tracker, size=384) for name in ("default.jpg", "man_1.jpg")
    )
    one = identity.embed(woman.image, woman.face.landmarks)
    other = identity.embed(man.image, man.face.landmarks)
    assert one.dtype == np.float32 and float(one @ one) == pytest.approx(1, abs=1e-4)
    half = cv2.resize(woman.image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    darker = (woman.image * 0.8).astype(np.uint8)
    for image, scale in ((half, 0.5), (darker, 1.0)):
        again = identity.embed(image, woman.face.landmarks * np.float32(scale))
        assert float(one @ again) > 0.85
    assert float(one @ other) < 0.6
    broken = woman.image.copy()
    x, y = woman.face.landmarks[[6, 152], :2].astype(int).mean(0).astype(int)
    broken[y - 40 : y + 40, x - 40 : x + 40] = broken[y - 40 : y + 40, x - 40 : x + 40][::-1]
    assert float(one @ identity.embed(broken, woman.face.landmarks)) < 0.8


def test_a_header_of_something_else_is_refused() -> None:
    with pytest.raises(WeightsError, match="does not fit"):
        IdentityConfig.from_header({"mels": 80})
