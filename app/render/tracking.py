"""From a video to the motion of the face in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from app.render.driving import longest_gap, shaped
from app.render.reading import HERE, Reader
from app.render.request import MotionRequest, Notify, Progress
from motion2video.motion import FPS, Motion

if TYPE_CHECKING:
    from motion2video.faces.tracker import FaceTracker

_USUAL_FPS, _SLOWEST, _FASTEST = 30.0, 8.0, 240.0
_TOLD_GAP_S = 0.7


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


def track_driver(
    request: MotionRequest,
    tracker: "FaceTracker",
    notify: Notify,
    progress: Progress | None = None,
    reader: Reader = HERE,
) -> Motion:
    """What a request's driving video makes of a face, at 25 fps. Raises as `track_video` does."""
    path = Path(request.driving_video or "")
    fps = _own_rate(reader.info(path).fps)

    def counted(what: str, done: int, total: int) -> None:
        if progress is not None:
            progress(what, round(done * FPS / fps), round(total * FPS / fps))

    seen = track_video(path, tracker, fps, "largest", notify, counted, reader)
    if longest_gap(seen) > _TOLD_GAP_S:
        notify(f"{path}: the portrait is at rest where no face is seen for long")
    return shaped(seen, request.driving_amount, request.driving_smoothing).resample(FPS)


def _own_rate(fps: float | None) -> float:
    """The rate at which a video's faces are looked at: its own, or a whole part of it, so that
    what moves evenly in it does so at 25 fps too.
    """
    if fps is None or not _SLOWEST <= fps <= _FASTEST:
        return _USUAL_FPS  # browsers write no rate, or a thousand
    return fps / max(1, round(fps / _USUAL_FPS))
