"""A contact sheet of a video: every n-th frame, and the mouth enlarged below each.

python -m scripts.evaluate.contact_sheet demo.mp4 sheet.png [--every 5] [--columns 8]
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from motion2video.faces.tracker import FaceTracker
from motion2video.geometry.basis import interocular
from motion2video.media.video import frames_at

TILE = 224


def tiles(video: Path, every: int) -> list[np.ndarray]:
    """One tile [2 * TILE, TILE, 3] for every n-th frame: the frame above its mouth."""
    tracker, out = FaceTracker.load(), []
    for number, frame in enumerate(frames_at(video, 25.0)):
        if number % every:
            continue
        scale = TILE / max(frame.shape[:2])
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tile = np.zeros((2 * TILE, TILE, 3), np.uint8)
        tile[: small.shape[0], : small.shape[1]] = small
        faces = tracker.detect(frame)
        if faces:
            marks = faces[0].landmarks
            half = int(0.55 * float(interocular(marks)))
            x, y = np.round(marks[[13, 14], :2].mean(0)).astype(int)
            mouth = frame[max(y - half, 0) : y + half, max(x - half, 0) : x + half]
            tile[TILE:] = cv2.resize(mouth, (TILE, TILE), interpolation=cv2.INTER_CUBIC)
        cv2.putText(tile, f"{number / 25:.2f}s", (4, 14), 0, 0.45, (255, 255, 255), 1)
        out.append(tile)
    return out


def main() -> None:
    """Parse the command line, write the sheet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--columns", type=int, default=8)
    arguments = parser.parse_args()
    found = tiles(arguments.video, arguments.every)
    found += [np.zeros_like(found[0])] * (-len(found) % arguments.columns)
    step = arguments.columns
    rows = [np.hstack(found[i : i + step]) for i in range(0, len(found), step)]
    cv2.imwrite(str(arguments.out), np.vstack(rows)[..., ::-1])


if __name__ == "__main__":
    main()
