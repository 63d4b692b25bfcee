"""What a live agent sees of the visitor: the face in the latest picture, held for a chunk."""

import numpy as np
from jaxtyping import UInt8

from motion2video.faces.landmarker import Landmarker, Mesh
from motion2video.geometry.basis import FaceBasis, estimate_neutral, motion_from_landmarks
from motion2video.motion import FPS, Motion
from weights import find

_KNOWN = 25
"""Pictures with a face from which the visitor's resting face is taken."""


class VisitorFace:
    """Follows one visitor's face from picture to picture."""

    def __init__(self, basis: FaceBasis) -> None:
        self._basis = basis
        self._landmarker: Landmarker | None = None
        self._seen: list[Mesh] = []
        self._latest: Mesh | None = None

    def look(self, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """The visitor as they look now."""
        if self._landmarker is None:
            self._landmarker = Landmarker(find("face_landmarker"), 1, video=True)
        self._latest = next(iter(self._landmarker(picture)), None)
        if self._latest is not None and len(self._seen) < _KNOWN:
            self._seen.append(self._latest)

    def motion(self, frames: int) -> Motion:
        """The visitor's motion for so many frames; not valid when no face was seen since the last
        call.
        """
        latest, self._latest = self._latest, None
        if latest is None:
            return Motion(Motion.neutral(frames).values, FPS, np.zeros(frames, bool))
        landmarks = np.stack([mesh[0] for mesh in (*self._seen, latest)])
        expression = np.stack([mesh[1] for mesh in (*self._seen, latest)])
        known = np.ones(len(landmarks), bool)
        neutral = estimate_neutral(landmarks[:-1], expression[:-1], known[:-1], self._basis)
        last = slice(-1, None)
        motion = motion_from_landmarks(
            landmarks[last], expression[last], known[last], FPS, self._basis, neutral
        )
        return Motion(np.repeat(motion.values, frames, 0), FPS)
