"""From a video to the motion of the face in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from app.render.reading import HERE, Reader
from app.render.request import Notify, Progress
from motion2video.motion import Motion

if TYPE_CHECKING:
    from motion2video.faces.tracker import FaceTracker


def track_video(
    path: Path,
    tracker: "FaceTracker",
    fps: float,
    face: str,
    notify: Notify,
    progress: Progress | None = None,
    reader: Reader = HERE,
) -> Motion:
    """Track one face of a video (`face` as in pick_face) at `fps`; lost frames are filled in.

    Raises MediaError for a file that is not a video, FaceError when no frame shows a face.
    """
    from motion2video.geometry.basis import FaceBasis, motion_from_landmarks

    total = round(reader.info(path).seconds * fps)

    def counted() -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        for done, frame in enumerate(reader.frames(path, fps), 1):
            yield frame
            if progress is not None:
                progress("tracking", done, max(done, total))

    track = tracker.track(counted(), fps, face)
    for notice in track.notices:
        notify(f"{path}: {notice}")
    return motion_from_landmarks(
        track.landmarks, track.expression, track.valid, track.fps, FaceBasis.load()
    )
