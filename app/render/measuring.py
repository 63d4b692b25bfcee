"""What is measured of a video while it is made: how its lips go with the voice, and whether the
face stays that of the photo.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from app.render.sync import sync_offset_ms
from audio2motion.hearing.audio import Sound

if TYPE_CHECKING:
    from motion2video.faces.identity import FaceEmbedder
    from motion2video.faces.tracker import FaceTracker
    from motion2video.geometry.basis import FaceBasis
    from motion2video.portrait.portrait import Portrait

LOOKS = 4
"""Frames of a video in which the face is compared with the photo."""


@dataclass(eq=False)
class Measuring:
    """Follows a video of about `count` frames; keeps one number a frame, and LOOKS frames."""

    basis: "FaceBasis"
    count: int
    gap: list[float] = field(default_factory=list)
    frames: list[UInt8[np.ndarray, "H W 3"]] = field(default_factory=list)

    def see(self, row: Float[np.ndarray, "90"], frame: UInt8[np.ndarray, "H W 3"]) -> None:
        """The next frame, and the motion that it shows."""
        if len(self.gap) in {int((k + 0.5) * self.count / LOOKS) for k in range(LOOKS)}:
            self.frames.append(frame.copy())
        self.gap.append(float(self.basis.lip_gap(row[None])[0]))

    def sync_offset_ms(self, voice: Sound | None, fps: float) -> float | None:
        """As app.render.sync.sync_offset_ms; None without a voice."""
        return None if voice is None else sync_offset_ms(np.array(self.gap), voice, fps)


def identity(
    portrait: "Portrait",
    frames: Sequence[UInt8[np.ndarray, "H W 3"]],
    tracker: "FaceTracker",
    embedder: "FaceEmbedder",
) -> float | None:
    """Mean cosine of the embeddings of the portrait's face and of that face in each frame; 1 for
    the same picture, near 0 for strangers. None where no frame shows a face.
    """
    wanted = embedder.embed(portrait.image, portrait.face.landmarks)
    found = []
    for frame in frames:
        faces = tracker.detect(frame)
        if faces:
            middle = np.array(portrait.face.centre)
            face = min(faces, key=lambda f: float(np.linalg.norm(middle - f.centre)))
            found.append(float(wanted @ embedder.embed(frame, face.landmarks)))
    return sum(found) / len(found) if found else None
