"""A contact sheet of a video: every n-th frame, and the mouths enlarged below each.

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
    """One tile [2 * TILE, W, 3] for every n-th frame: the frame above the mouth of each face."""
    tracker, out = FaceTracker.load(), []
    for number, frame in enumerate(frames_at(video, 25.0)):
        if number % every:
            continue
        height, width = frame.shape[:2]
        wide = max(TILE, round(width * TILE / height))
        scale = min(TILE / height, wide / width)
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tile = np.zeros((2 * TILE, wide, 3), np.uint8)
        tile[: small.shape[0], : small.shape[1]] = small
        for face in tracker.detect(frame):
            place = int(face.landmarks[13, 0] / width * (wide // TILE))
            left = int(np.clip(place * TILE, 0, wide - TILE))
            tile[TILE:, left : left + TILE] = _mouth(frame, face.landmarks)
        cv2.putText(tile, f"{number / 25:.2f}s", (4, 14), 0, 0.45, (255, 255, 255), 1)
        out.append(tile)
    return out


def _mouth(frame: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """The mouth, TILE pixels square."""
    half = int(0.55 * float(interocular(marks)))
    x, y = np.round(marks[[13, 14], :2].mean(0)).astype(int)
    mouth = frame[max(y - half, 0) : y + half, max(x - half, 0) : x + half]
    return cv2.resize(mouth, (TILE, TILE), interpolation=cv2.INTER_CUBIC)


def sheet(video: Path, every: int, columns: int) -> np.ndarray:
    """All tiles of a video as one picture [H, W, 3]."""
    found = tiles(video, every)
    found += [np.zeros_like(found[0])] * (-len(found) % columns)
    rows = [np.hstack(found[i : i + columns]) for i in range(0, len(found), columns)]
    return np.vstack(rows)


def main() -> None:
    """Parse the command line, write the sheet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--columns", type=int, default=8)
    arguments = parser.parse_args()
    picture = sheet(arguments.video, arguments.every, arguments.columns)
    cv2.imwrite(str(arguments.out), picture[..., ::-1])


if __name__ == "__main__":
    main()
