"""How near our landmarks are to those of MediaPipe's package, by its own Face Landmarker.

    python -m scripts.evaluate.landmarker --task face_landmarker.task FILES ... [--golden OUT]

FILES are pictures, each by itself, and videos, followed with MediaPipe's smoothing off. `--golden`
writes MediaPipe's numbers of the shipped portraits for the tests. The package is not one of ours:
install mediapipe into another environment beside this project, and keep it from the network, to
which it reports each use.
"""

import argparse
import importlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from motion2video.faces.landmarker import Landmarker, Mesh
from motion2video.media import read_video
from motion2video.motion import EXPRESSION_NAMES
from weights import find

_FACES = 5
# Between two frames: so far apart MediaPipe smooths by 0.3% only. The first one must not be at 0,
# which it takes for no time.
_STEP_MS = 1_000_000
_IRISES = (468, 473)
_PORTRAITS = Path("app/assets/portraits")
_PICTURES = {".jpg", ".jpeg", ".png", ".webp"}
_STEPS = (0, 3, 7, 12)  # pixels to the right, of the golden video


class Theirs:
    """MediaPipe's Face Landmarker with the interface of ours."""

    def __init__(self, task: Path, faces: int, video: bool) -> None:
        self._package: Any = importlib.import_module("mediapipe")
        vision: Any = importlib.import_module("mediapipe.tasks.python.vision")
        base: Any = importlib.import_module("mediapipe.tasks.python").BaseOptions
        mode = vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE
        options = vision.FaceLandmarkerOptions(
            base_options=base(model_asset_path=str(task)),
            running_mode=mode,
            num_faces=faces,
            output_face_blendshapes=True,
        )
        self._graph = vision.FaceLandmarker.create_from_options(options)
        self._video = video
        self._time_ms = _STEP_MS

    def __call__(self, image: np.ndarray) -> list[Mesh]:
        kind = self._package.ImageFormat.SRGB
        picture = self._package.Image(image_format=kind, data=np.ascontiguousarray(image))
        if self._video:
            result = self._graph.detect_for_video(picture, self._time_ms)
            self._time_ms += _STEP_MS
        else:
            result = self._graph.detect(picture)
        size = np.array([image.shape[1], image.shape[0], image.shape[1]], np.float32)
        meshes = []
        for points, scores in zip(result.face_landmarks, result.face_blendshapes, strict=True):
            landmarks = np.array([(p.x, p.y, p.z) for p in points], np.float32) * size
            by_name = {score.category_name: score.score for score in scores}
            meshes.append((landmarks, np.array([by_name[n] for n in EXPRESSION_NAMES], "f4")))
        return meshes


class Difference:
    """Of all faces of one kind of files."""

    def __init__(self) -> None:
        self.pictures = self.other_counts = 0
        self.seconds = np.zeros(2)  # of the CPU: ours, theirs
        self._points: list[np.ndarray] = []
        self._scores: list[float] = []

    def add(self, image: np.ndarray, ours: Landmarker, theirs: Theirs) -> None:
        """One more picture."""
        found: list[list[Mesh]] = []
        for i, landmarker in enumerate((ours, theirs)):
            started = time.process_time()
            found.append(landmarker(image))
            self.seconds[i] += time.process_time() - started
        self.pictures += 1
        if len(found[0]) != len(found[1]):
            self.other_counts += 1
            return
        for (a, ours_scores), (b, their_scores) in zip(*found, strict=True):
            eyes = np.linalg.norm(b[_IRISES[0], :2] - b[_IRISES[1], :2])
            self._points.append(100 * np.linalg.norm((a - b)[:, :2], axis=1) / eyes)
            self._scores.append(float(np.abs(ours_scores - their_scores).mean()))

    def __str__(self) -> str:
        faces = f"{len(self._points)} faces, {self.other_counts} pictures with another number"
        if not self._points:
            return f"{self.pictures} pictures: {faces}"
        points = np.concatenate(self._points)
        ours, theirs = 1000 * self.seconds / self.pictures
        return (
            f"{self.pictures} pictures: {faces}; % of the eye distance: median "
            f"{np.median(points):.3f}, 99% below {np.percentile(points, 99):.3f}, most "
            f"{points.max():.3f}; scores {np.mean(self._scores):.5f} apart on average; "
            f"CPU {ours:.1f} ms, theirs {theirs:.1f} ms"
        )


def _picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def golden(task: Path) -> Iterator[tuple[str, np.ndarray]]:
    """MediaPipe's numbers of each portrait, and of the first one as it moves to the right."""
    theirs = Theirs(task, 1, video=False)
    portraits = sorted(_PORTRAITS.glob("*.jpg"))
    for path in portraits:
        ((landmarks, scores),) = theirs(_picture(path))
        yield f"{path.stem} landmarks", landmarks
        yield f"{path.stem} expression", scores
    followed = Theirs(task, 1, video=True)
    still = _picture(portraits[0])
    moved = [followed(np.roll(still, step, axis=1))[0][0] for step in _STEPS]
    yield "steps", np.array(_STEPS)
    yield "moved landmarks", np.stack(moved)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--task", type=Path, required=True)
    parser.add_argument("--golden", type=Path)
    parser.add_argument("files", type=Path, nargs="*")
    options = parser.parse_args()
    model = find("face_landmarker")
    if options.golden is not None:
        np.savez_compressed(options.golden, allow_pickle=False, **dict(golden(options.task)))
    stills, frames = Difference(), Difference()
    ours, theirs = Landmarker(model, _FACES, video=False), Theirs(options.task, _FACES, video=False)
    for path in options.files:
        if path.suffix.lower() in _PICTURES:
            stills.add(_picture(path), ours, theirs)
            continue
        followers = Landmarker(model, 1, video=True), Theirs(options.task, 1, video=True)
        with read_video(path) as video:
            for frame in video:
                frames.add(frame, *followers)
    print(f"by themselves: {stills}\nfollowed: {frames}")


if __name__ == "__main__":
    main()
