"""MediaPipe's Face Landmarker on an array: 478 points in pixels and 52 expression scores.

The only place that knows MediaPipe. It is loaded in the constructor, never at import.
"""

import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from motion2video.motion import EXPRESSION_NAMES

LANDMARKS = 478

# Between two frames of a video. MediaPipe smooths by time stamps: with true ones it damps the lip
# aperture to 85% and delays it by 0.4 frame; this far apart it leaves the landmarks alone.
_STEP_MS = 1_000_000
_STDERR = 2
_stderr_lock = threading.Lock()

Mesh = tuple[Float[np.ndarray, "478 3"], Float[np.ndarray, "52"]]
"""Landmarks in pixels of the picture, and expression scores."""


class Landmarker:
    """One MediaPipe graph. `video` follows faces from picture to picture (it keeps a state:
    one Landmarker a video, pictures in order); otherwise every picture stands alone.
    """

    def __init__(self, model: Path, faces: int, video: bool) -> None:
        with _quiet_stderr():
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision

            self._make_image = lambda array: mediapipe.Image(
                image_format=mediapipe.ImageFormat.SRGB, data=array
            )
            mode = vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE
            options = vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(model)),
                running_mode=mode,
                num_faces=faces,
                output_face_blendshapes=True,
            )
            self._graph = vision.FaceLandmarker.create_from_options(options)
            self._close = weakref.finalize(self, _close, self._graph)
            self._video = video
            self._time_ms = 0
            self(np.zeros((64, 64, 3), np.uint8))  # what is built lazily also logs

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> list[Mesh]:
        """The faces of one picture, in MediaPipe's order."""
        picture = self._make_image(np.ascontiguousarray(image))
        if self._video:
            result = self._graph.detect_for_video(picture, self._time_ms)
            self._time_ms += _STEP_MS
        else:
            result = self._graph.detect(picture)
        height, width = image.shape[:2]
        scale = np.array([width, height, width], np.float32)
        meshes: list[Mesh] = []
        for points, scores in zip(result.face_landmarks, result.face_blendshapes, strict=True):
            landmarks = np.array([(p.x, p.y, p.z) for p in points], np.float32) * scale
            by_name = {score.category_name: score.score for score in scores}
            expression = np.array([by_name[name] for name in EXPRESSION_NAMES], np.float32)
            meshes.append((landmarks, expression))
        return meshes

    def close(self) -> None:
        """Free the graph and its threads; also done when the object or the program ends."""
        self._close()


def _close(graph: Any) -> None:
    """Close a MediaPipe graph, or forget it at the end of the program: then the thread pool that
    MediaPipe closes it with has already stopped, and its __del__ would print a traceback."""
    try:
        graph.close()
    except RuntimeError:
        graph._handle = None


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """MediaPipe's C++ logs to file descriptor 2 whatever Python or the environment says; send
    that nowhere for the moment. Python exceptions are raised as usual. One thread at a time: two
    that saved and restored the descriptor in turns would lose it."""
    with _stderr_lock:
        if sys.stderr is not None:
            sys.stderr.flush()
        try:
            saved = os.dup(_STDERR)
        except OSError:  # no standard error at all, as in a daemon: nothing to silence
            yield
            return
        try:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), _STDERR)
            yield
        finally:
            os.dup2(saved, _STDERR)
            os.close(saved)
