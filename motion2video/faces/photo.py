"""The faces of a photo: which way up it is, and what is wrong with one of them."""

from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from motion2video.faces.tracker import MIN_FACE_WIDTH, Face, FaceTracker
from weights.errors import FaceError

MAX_YAW = 45.0
_TURNED_YAW = 32.0
_MIN_INSIDE = 0.8
_OPEN = 0.06  # between the lips, of the distance of the outer corners of the eyes
_SURER = 1.5
"""By how much more, as a logit, a face is seen in the turned photo. MediaPipe sees upright faces in
reversed ones too: of 964 photos of LFW, the London set and rendered faces as they are, none would
have been turned, and of the same on their heads 6 are not.
"""


def find_faces(tracker: FaceTracker, image: UInt8[np.ndarray, "H W 3"]) -> list[Face]:
    """The faces of a photo, as FaceTracker.detect gives them; those of one that stands on its head
    do so too.
    """
    faces = tracker.detect(image)
    turned = np.ascontiguousarray(image[::-1, ::-1])
    seen = 0.0
    if faces:
        seen = tracker.sureness(image, faces[0].box)
        if tracker.sureness(turned, _reversed(faces[0]).box) < seen + _SURER:
            return faces
    found = tracker.detect(turned)
    if not found or tracker.sureness(turned, found[0].box) < seen + _SURER:
        return faces
    return [_reversed(face) for face in found]


def _reversed(face: Face) -> Face:
    """The same face where its picture is turned by half."""
    width, height = face.image_size
    turn, corner = np.array([-1, -1, 1]), np.array([width - 1, height - 1, 0])
    landmarks = (face.landmarks * turn + corner).astype(np.float32)
    x0, y0, x1, y1 = face.box
    box = (width - 1 - x1, height - 1 - y1, width - 1 - x0, height - 1 - y0)
    return replace(face, landmarks=landmarks, box=box)


def require_usable(face: Face) -> None:
    """Raise FaceError when a face is too small, turned too far away, or cut off."""
    if face.width < MIN_FACE_WIDTH:
        raise FaceError(
            f"the face is {face.width:.0f} pixels wide; at least {MIN_FACE_WIDTH} are needed: "
            "use a larger picture or a closer crop"
        )
    if face.lies == 2:
        raise FaceError("the face is upside down: turn the picture by half")
    if face.lies > 0:
        raise FaceError("the face lies on its side: turn the picture a quarter to the left")
    if face.lies < 0:
        raise FaceError("the face lies on its side: turn the picture a quarter to the right")
    if abs(face.yaw) > MAX_YAW:
        raise FaceError(
            f"the face is turned away by {abs(face.yaw):.0f} degrees; at most {MAX_YAW:.0f} are "
            "possible: use a picture that shows both eyes"
        )
    x, y = face.landmarks[:, 0], face.landmarks[:, 1]
    width, height = face.image_size
    inside = float(np.mean((x >= 0) & (x < width) & (y >= 0) & (y < height)))
    if inside < _MIN_INSIDE:
        raise FaceError(
            f"only {100 * inside:.0f}% of the face is inside the picture; use one that shows the "
            "whole face"
        )


def turned_notice(face: Face) -> str | None:
    """A sentence about a face that is so far turned that its hidden cheek has to be made up."""
    if abs(face.yaw) <= _TURNED_YAW:
        return None
    return (
        f"the face is turned by {abs(face.yaw):.0f} degrees: its far side may look distorted when "
        "it moves; a picture from the front looks better"
    )


def open_notice(face: Face) -> str | None:
    """A sentence about a mouth that the photo does not show closed."""
    upper, lower, right, left = face.landmarks[[13, 14, 33, 263]]
    if np.linalg.norm(lower - upper) < _OPEN * np.linalg.norm(left - right):
        return None
    return (
        "the mouth is open in the photo, so its lips may not close as well; one with a closed "
        "mouth looks better"
    )
