"""Self-reenactment on held-out identities: how near the painted frames come to the true ones.

    python -m scripts.evaluate_renderer --data DATA [--split test] [--steps 0 1 2 4] [--json]

For every clip one calm frame is the photo and others, mostly with an open mouth, are to be
painted from their keypoints alone. Per number of diffusion steps (0: warp only): PSNR and SSIM
of the face and of the mouth (in the network's 256 px square), and the error of re-tracked mouth
and eye landmarks in percent of the interocular distance, beside that of the true frame.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.metrics import structural_similarity

from motion2video.face import Face, FaceTracker
from motion2video.geometry import interocular
from motion2video.portrait import Portrait
from motion2video.renderer import RenderConfig, Renderer
from motion2video.warp import LEFT_EYE, OUTER_LIPS, RIGHT_EYE, Crop
from scripts.dataset import clips
from scripts.perceptual import Lpips
from scripts.renderer_pairs import calm_frame, lively_frames
from weights.errors import DependencyError

MOUTH_BOX = np.s_[136:216, 64:192]  # of the square, with the face centred in it
FEATURES = {"mouth": OUTER_LIPS, "eyes": RIGHT_EYE + LEFT_EYE}


@dataclass(frozen=True)
class Case:
    """A photo, and the frames (with their landmarks) that it shall become."""

    portrait: Portrait
    frames: list[np.ndarray]
    landmarks: np.ndarray
    below: np.ndarray


def cases(data: Path, split: str, clips_each: int, targets: int) -> Iterator[Case]:
    """At most `clips_each` clips an identity of the split, `targets` frames each."""
    seen: dict[str, int] = {}
    rng = np.random.default_rng(0)
    for clip in clips(data, split):
        seen[clip.identity] = seen.get(clip.identity, 0) + 1
        if clip.video is None or seen[clip.identity] > clips_each:
            continue
        pictures, marks, motion = clip.pictures(), clip.track()["landmarks"], clip.motion()
        if abs(len(pictures) - len(marks)) > 1 or len(marks) < 10:
            continue
        source = calm_frame(marks, motion, rng)
        picks = lively_frames(marks, motion, source, targets, rng)
        height, width = (side // 2 * 2 for side in pictures[source].shape[:2])
        photo = np.ascontiguousarray(pictures[source][:height, :width])
        face = Face(marks[source], np.zeros(52, np.float32), (0.0, 0.0, 0.0, 0.0), (width, height))
        below = marks[picks].copy()
        below[:, FEATURES["eyes"]] = marks[source][FEATURES["eyes"]]
        frames = [pictures[k][:height, :width] for k in picks]
        yield Case(Portrait(photo, face), frames, marks[picks], below)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures."""
    return float(-10 * np.log10(max(((a / 255.0 - b / 255.0) ** 2).mean(), 1e-9)))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two uint8 pictures."""
    similarity: Any = structural_similarity(a, b, channel_axis=-1)  # its return type is untyped
    return float(similarity)


def landmark_error(frame: np.ndarray, wanted: np.ndarray, tracker: FaceTracker) -> dict[str, float]:
    """Mean distance of re-tracked landmarks, percent of the interocular distance.

    `found` is 0, and there are no distances, when no face is where it should be (others may be
    in the picture).
    """
    unit = float(interocular(wanted))
    all_away = [
        np.linalg.norm(face.landmarks[:, :2] - wanted[:, :2], axis=1) / unit
        for face in tracker.detect(frame)
    ]
    away = min(all_away, key=np.mean, default=None)
    if away is None or away.mean() > 0.5:
        return {"found": 0.0}
    return {"found": 1.0, **{k: float(away[v].mean() * 100) for k, v in FEATURES.items()}}


def seen(a: np.ndarray, b: np.ndarray, lpips: Lpips) -> dict[str, float]:
    """LPIPS of the face square and of the mouth (smaller is nearer)."""
    one, two = (torch.from_numpy(x).permute(2, 0, 1)[None].float() / 255 for x in (a, b))
    box = np.s_[:, :, MOUTH_BOX[0], MOUTH_BOX[1]]
    with torch.inference_mode():
        return {
            "face LPIPS": float(lpips(one, two)),
            "mouth LPIPS": float(lpips(one[box], two[box])),
        }


def _lpips() -> Lpips | None:
    try:
        return Lpips()
    except DependencyError as error:
        print(f"no LPIPS: {error}")
        return None


def evaluate(data: Path, split: str, steps: list[int], clips_each: int, targets: int) -> list[dict]:
    """One row of mean figures for each number of steps, and one for the true frames."""
    renderers = {n: Renderer.load(RenderConfig(steps=n), device="cpu") for n in steps}
    tracker, lpips = FaceTracker.load(), _lpips()
    figures: dict[str, list[dict[str, float]]] = {str(n): [] for n in steps}
    figures["true frame"] = []
    for case in cases(data, split, clips_each, targets):
        crop = Crop.around(case.portrait.face.landmarks)
        states = {n: r.init_state(case.portrait) for n, r in renderers.items()}
        for frame, marks, below in zip(case.frames, case.landmarks, case.below, strict=True):
            truth = crop.cut(np.ascontiguousarray(frame))
            for n, renderer in renderers.items():
                painted = renderer.paint(states[n].prepared, marks, below)
                square = crop.cut(painted)
                row = {
                    "face PSNR": psnr(square, truth),
                    "face SSIM": ssim(square, truth),
                    "mouth PSNR": psnr(square[MOUTH_BOX], truth[MOUTH_BOX]),
                    "mouth SSIM": ssim(square[MOUTH_BOX], truth[MOUTH_BOX]),
                    **landmark_error(painted, marks, tracker),
                    **(seen(square, truth, lpips) if lpips else {}),
                }
                figures[str(n)].append(row)
            figures["true frame"].append(landmark_error(frame, marks, tracker))
    return [{"steps": name, **_means(rows)} for name, rows in figures.items()]


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    keys = sorted({k for row in rows for k in row})
    means = {k: round(float(np.mean([row[k] for row in rows if k in row])), 3) for k in keys}
    return {"frames": float(len(rows)), **means}


def main() -> None:
    """Parse the command line, evaluate, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test", choices=["val", "test"])
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--clips-each", type=int, default=6)
    parser.add_argument("--targets", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    a = arguments
    rows = evaluate(a.data, a.split, a.steps, a.clips_each, a.targets)
    if a.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{k} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
