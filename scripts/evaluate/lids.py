#!/usr/bin/env python3
"""Lids that close: photos with open eyes become frames in which they are shut, or nearly.

    python -m scripts.evaluate.lids --pack PACK [--each 4] [--sheet FILE]

Of every clip of PACK/hires that is held out (scripts.data.hires) the frame with the widest
eyes that looks ahead is the photo, and becomes frames whose eyes are less than half as open by
their tracked landmarks. LPIPS of each eye and a quarter of its width more, and how much darker the
lid is drawn than it is (L of Lab). Rows: what is drawn without a network, and the default.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from app.quality.perceptual import Lpips
from motion2video.drawing.places import EYES
from motion2video.drawing.stage import draw
from motion2video.geometry.basis import interocular
from motion2video.network.compute import ComputeConfig
from motion2video.renderer import RenderConfig, Renderer
from scripts.evaluate.mouths import perceived, portrait_of, write_sheet
from scripts.evaluate.turning import Frame, clips, degrees, fitted

_LIDS = {"right eye": (159, 145), "left eye": (386, 374)}
_UPPER = {"right eye": [160, 159, 158, 28, 27, 29], "left eye": [387, 386, 385, 258, 257, 259]}
_CORNERS = {"right eye": (33, 133), "left eye": (263, 362)}
_SHUT = 0.5
_SHARP = 60.0  # pixels between the eyes at least
_MOST_DEGREES = 15.0
_SEEN = (128, 80)  # pixels at which eyes are compared
_TILE = (240, 120)


def openness(marks: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "2"]:
    """How far each eye is open, in eye distances."""
    gaps = [np.linalg.norm((marks[a] - marks[b])[:2]) for a, b in _LIDS.values()]
    return np.array(gaps) / interocular(marks)


def unblinked(
    marks: Float[np.ndarray, "478 3"], photo: Float[np.ndarray, "478 3"]
) -> Float[np.ndarray, "478 3"]:
    """A frame's landmarks with the photo's open eyes between its corners."""
    out = marks.copy()
    for name, (contour, iris) in EYES.items():
        before, now = (m[list(_CORNERS[name]), :2] @ [1, 1j] for m in (photo, marks))
        turn = (now[1] - now[0]) / (before[1] - before[0])
        moved = now[0] + turn * (photo[contour + iris, :2] @ [1, 1j] - before[0])
        out[contour + iris, :2] = np.stack([moved.real, moved.imag], 1)
    return out


def box(marks: Float[np.ndarray, "478 3"], name: str) -> tuple[slice, slice]:
    """An eye and a quarter of its width more."""
    points = marks[EYES[name][0], :2]
    low, high = points.min(0), points.max(0)
    more = 0.25 * (high - low)[0]
    x0, y0 = np.maximum(low - more, 0).astype(int)
    x1, y1 = np.maximum(high + more, [x0 + 8, y0 + 8]).astype(int)
    return slice(y0, y1), slice(x0, x1)


def light(image: UInt8[np.ndarray, "h w 3"], marks: Float[np.ndarray, "478 3"], name: str) -> float:
    """Mean L of the middle of an upper lid."""
    plane = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(plane, [marks[_UPPER[name], :2].astype(np.int32)], 1)
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., 0][plane > 0]
    return float(lab.mean()) * 100 / 255 if len(lab) else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--each", type=int, default=4, help="frames of a clip at most")
    parser.add_argument("--sheet", type=Path, help="photo, rows and true frame, as a picture")
    options = parser.parse_args()
    lpips, compute = Lpips(), ComputeConfig(device="cpu")
    rows = {
        "drawn": Renderer.load(RenderConfig(steps=0), compute),
        "default": Renderer.load(RenderConfig(), compute),
    }
    figures: dict[str, list[tuple[float, float]]] = defaultdict(list)
    tiles = []
    for frames in clips(options.pack).values():
        photo = max(
            frames, key=lambda f: openness(f.landmarks).min() - float(np.abs(f.rotation).max()) / 4
        )
        if interocular(photo.landmarks) < _SHARP:
            continue
        opened = openness(photo.landmarks)

        def shut(frame: Frame, opened: Float[np.ndarray, "2"] = opened) -> bool:
            return bool((openness(frame.landmarks) < _SHUT * opened).all())

        blinks = [f for f in frames if shut(f) and degrees(photo, f) < _MOST_DEGREES]
        prepared = {name: engine.init_state(portrait_of(photo)) for name, engine in rows.items()}
        for true in blinks[:: max(1, len(blinks) // options.each)][: options.each]:
            laid = fitted(true, photo)
            marks = laid.landmarks
            eyes = unblinked(marks, photo.landmarks)
            shown = {
                name: draw(state.prepared.stage, marks[None], eyes[None])[0]
                for name, state in prepared.items()
            }
            for eye in EYES:
                place = box(marks, eye)
                for name, frame in shown.items():
                    sized = [cv2.resize(x[place], _SEEN) for x in (frame, laid.image)]
                    away = perceived(lpips, *map(np.asarray, sized))
                    darker = light(laid.image, marks, eye) - light(frame, marks, eye)
                    figures[name].append((away, darker))
                pictures = (photo.image[box(photo.landmarks, eye)], *shown.values(), laid.image)
                cut = [pictures[0], *(p[place] for p in pictures[1:])]
                tiles.append(np.concatenate([cv2.resize(p, _TILE) for p in cut], 0))
    print(f"{len(tiles)} eyes that are shut or nearly, of clips held out")
    for name, values in figures.items():
        away, darker = np.array(values).T
        print(
            f"{name:10} LPIPS {away.mean():.4f}  lid darker than it is by "
            f"{np.nanmean(darker):.1f} L (spread {np.nanstd(darker):.1f})"
        )
    if options.sheet:
        write_sheet(options.sheet, tiles, 12)


if __name__ == "__main__":
    main()
