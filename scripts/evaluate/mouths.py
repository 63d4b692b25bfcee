#!/usr/bin/env python3
"""What is between the lips: photos with shut lips become frames with open ones.

    python -m scripts.evaluate.mouths --pack PACK [--each 6] [--sheet FILE]

Of every clip of PACK/hires that is held out (scripts.data.hires) the frame with the calmest
mouth is the photo, and becomes frames with open lips by their tracked landmarks. Inside the true
inner lips: edge energy as a share of the true frame's (1 = as crisp; mean, and median), distance of
the mean colours (Lab); LPIPS of the lips and a quarter of their width more. Rows: what is drawn
without a network, and the default.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from app.quality.perceptual import Lpips
from motion2video.drawing.stage import draw
from motion2video.faces.tracker import Face
from motion2video.geometry.basis import interocular
from motion2video.network.compute import ComputeConfig
from motion2video.portrait.portrait import Portrait
from motion2video.renderer import RenderConfig, Renderer
from scripts.evaluate.turning import Frame, clips, degrees, fitted

_LIPS = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146]
_INNER = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]
_OPEN = 0.06  # eye distances between lips
_SHARP = 60.0  # pixels between the eyes at least
_MOST_DEGREES = 20.0
_TILE = (200, 150)


def gap(frame: Frame) -> float:
    """Between the lips, in eye distances."""
    marks = frame.landmarks
    return float(np.linalg.norm(marks[13] - marks[14]) / interocular(marks))


def inside(
    image: UInt8[np.ndarray, "h w 3"], marks: Float[np.ndarray, "478 3"]
) -> tuple[float, Float[np.ndarray, "3"]] | None:
    """Edge energy and mean colour (Lab) between the lips, None where there is too little."""
    plane = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(plane, [marks[_INNER, :2].astype(np.int32)], 1)
    where = cv2.erode(plane, np.ones((5, 5))) > 0
    if where.sum() < 50:
        return None
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    x, y = (cv2.Sobel(lab[..., 0], -1, *axis) for axis in ((1, 0), (0, 1)))
    return float(np.hypot(x, y)[where].mean()), lab[where].mean(0)


def box(marks: Float[np.ndarray, "478 3"]) -> tuple[slice, slice]:
    """The lips and a quarter of their width more."""
    low, high = marks[_LIPS, :2].min(0), marks[_LIPS, :2].max(0)
    more = 0.25 * (high - low)[0]
    x0, y0 = np.maximum(low - more, 0).astype(int)
    x1, y1 = np.maximum(high + more, [x0 + 40, y0 + 40]).astype(int)
    return slice(y0, y1), slice(x0, x1)


def portrait_of(photo: Frame) -> Portrait:
    """A frame as the photo that is to move."""
    height, width = photo.image.shape[:2]
    face = Face(photo.landmarks, photo.scores, (0.0, 0.0, 0.0, 0.0), (width, height))
    return Portrait(photo.image, face)


def perceived(
    lpips: Lpips, one: UInt8[np.ndarray, "h w 3"], other: UInt8[np.ndarray, "h w 3"]
) -> float:
    """LPIPS of two pictures."""
    pair = [torch.from_numpy(x.copy()).permute(2, 0, 1)[None] / 255 for x in (one, other)]
    with torch.inference_mode():
        return float(lpips(*pair))


def write_sheet(path: Path, tiles: list[np.ndarray], count: int) -> None:
    """At most so many of the tiles [h, w, 3] side by side, evenly picked."""
    picked = tiles[:: max(1, len(tiles) // count)][:count]
    cv2.imwrite(str(path), np.concatenate(picked, 1)[..., ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--each", type=int, default=4, help="frames of a clip at most")
    parser.add_argument("--sheet", type=Path, help="photo, rows and true frame, as a picture")
    options = parser.parse_args()
    lpips, compute = Lpips(), ComputeConfig(device="cpu")
    rows = {
        "drawn": Renderer.load(RenderConfig(steps=0, head="warp"), compute),
        "default": Renderer.load(RenderConfig(head="warp"), compute),
    }
    figures: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    tiles = []
    for frames in clips(options.pack).values():
        photo = min(frames, key=lambda f: gap(f) + float(np.abs(f.rotation).max()) / 2)
        if interocular(photo.landmarks) < _SHARP or gap(photo) > 0.04:
            continue
        wide = sorted(
            (f for f in frames if gap(f) > _OPEN and degrees(photo, f) < _MOST_DEGREES), key=gap
        )
        prepared = {name: engine.init_state(portrait_of(photo)) for name, engine in rows.items()}
        for true in wide[:: max(1, len(wide) // options.each)][: options.each]:
            laid = fitted(true, photo)
            real, place = inside(laid.image, laid.landmarks), box(laid.landmarks)
            if real is None:
                continue
            marks = laid.landmarks[None]
            shown = {
                name: draw(state.prepared.stage, marks, marks)[0]
                for name, state in prepared.items()
            }
            for name, frame in shown.items():
                found = inside(frame, laid.landmarks)
                assert found is not None
                away = perceived(lpips, frame[place], laid.image[place])
                colour = float(np.linalg.norm(found[1] - real[1]))
                figures[name].append((found[0] / max(real[0], 1e-3), colour, away))
            pictures = (photo.image[box(photo.landmarks)], *(f[place] for f in shown.values()))
            tiles.append(
                np.concatenate([cv2.resize(p, _TILE) for p in (*pictures, laid.image[place])], 0)
            )
    print(f"{len(tiles)} frames with open mouths, of clips held out")
    for name, values in figures.items():
        edges, colour, away = np.array(values).T
        print(
            f"{name:10} edges {edges.mean():.2f} (median {np.median(edges):.2f})  "
            f"colour {colour.mean():.1f} Lab  mouth LPIPS {away.mean():.4f}"
        )
    if options.sheet:
        write_sheet(options.sheet, tiles, 16)


if __name__ == "__main__":
    main()
