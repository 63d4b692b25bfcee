#!/usr/bin/env python3
"""How a photo holds up when the head turns: pairs of frames of one clip, many degrees apart.

    python -m scripts.evaluate.turning --pack PACK --identity FILE [--degrees 12] [--sheet FILE]

PACK/hires has sharp frames of expressive clips (index.csv, tracks.npz, images.zip). Of every clip
that is held out, the frame that looks most into the camera is the photo, and becomes the frames
that are turned from it by `--degrees` or more, by their tracked landmarks alone. Each is compared
with the true frame: cosine of MobileFaceNet's embeddings (mean, and the mean of the worst
twentieth) and LPIPS of the head. Rows: the photo bent, the photo in layers; `as
like as it gets` is two true frames of the clip that are nearest to each other in pose. The eyes
lie open as in the photo below the wanted lids, as the renderer has them. --chosen takes the clips
that settings are chosen on instead of those that are held out.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from app.quality.perceptual import Lpips
from motion2video.drawing.stage import draw
from motion2video.faces.tracker import Face
from motion2video.geometry.basis import fit_pose, interocular, rotation_matrix
from motion2video.network.compute import ComputeConfig
from motion2video.portrait.portrait import Portrait
from motion2video.renderer import RenderConfig, Renderer
from scripts.data.hires import Hires, Picture, chooses, held_out
from scripts.data.renderer_pairs import eyes_at_rest
from scripts.evaluate.identity import Identity

_HEAD = (1.3, 1.7, 1.5)
"""How far the head reaches from between the eyes: to the sides, up and down, in eye distances."""
_TILE = 160


@dataclass(frozen=True, eq=False)
class Frame(Picture):
    """One picture with what was tracked in it."""

    rotation: Float[np.ndarray, "3"]

    def head(self) -> tuple[slice, slice]:
        """Rows and columns of the head."""
        eyes, unit = self.landmarks[[33, 263], :2].mean(0), float(interocular(self.landmarks))
        side, up, down = (round(x * unit) for x in _HEAD)
        x, y = (round(float(v)) for v in eyes)
        return slice(max(0, y - up), y + down), slice(max(0, x - side), x + side)


def clips(pack: Path, judging: Callable[[str], bool] = held_out) -> dict[str, list[Frame]]:
    """The frames of the clips that are for judging."""
    hires, found = Hires(pack), defaultdict(list)
    for i, row in enumerate(hires.rows):
        if row["kind"] == "clip" and judging(row["group"]):
            frame = Frame(hires.image(i), *hires.tracked(i), hires.rotation(i))
            found[row["group"]].append(frame)
    return dict(found)


def degrees(a: Frame, b: Frame) -> float:
    """By how much the head turns from one to the other."""
    turn = rotation_matrix(a.rotation[None])[0].T @ rotation_matrix(b.rotation[None])[0]
    return float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))


def become(renderer: Renderer, photo: Frame, wanted: Frame) -> UInt8[np.ndarray, "h w 3"]:
    """The photo with the landmarks of another frame, which is of the photo's size here."""
    height, width = photo.image.shape[:2]
    least, most = photo.landmarks[:, :2].min(0), photo.landmarks[:, :2].max(0)
    box = (float(least[0]), float(least[1]), float(most[0]), float(most[1]))
    face = Face(photo.landmarks, photo.scores, box, (width, height))
    prepared = renderer.init_state(Portrait(photo.image, face)).prepared
    both = np.stack([photo.landmarks, wanted.landmarks])
    open_eyes = eyes_at_rest(both, fit_pose(both, renderer.basis.canonical), 0, np.array([1]))
    return draw(prepared.stage, both[1:], open_eyes)[0]


def fitted(frame: Frame, photo: Frame) -> Frame:
    """A frame laid over the photo: its eyes in the same place and as far apart."""
    scale = float(interocular(photo.landmarks) / interocular(frame.landmarks))
    middle = [f.landmarks[[33, 263], :2].mean(0) for f in (frame, photo)]
    matrix = np.array([[scale, 0, 0], [0, scale, 0]], np.float64)
    matrix[:, 2] = middle[1] - scale * middle[0]
    height, width = photo.image.shape[:2]
    image = cv2.warpAffine(frame.image, matrix, (width, height), flags=cv2.INTER_AREA)
    marks = frame.landmarks * scale
    marks[:, :2] += matrix[:, 2].astype(np.float32)
    return Frame(np.asarray(image, np.uint8), marks, frame.scores, frame.rotation)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--identity", type=Path, required=True, help="MobileFaceNet.tflite")
    parser.add_argument("--degrees", type=float, default=12.0)
    parser.add_argument("--chosen", action="store_true", help="the clips that choose")
    parser.add_argument("--each", type=int, default=3, help="frames of a clip at most")
    parser.add_argument("--sheet", type=Path, help="photo, true frame and rows, as a picture")
    options = parser.parse_args()
    judge, lpips = Identity(options.identity), Lpips()
    settings = {
        "warp": RenderConfig(head="warp"),
        "layers": RenderConfig(),
    }
    compute = ComputeConfig(device="cpu")
    rows = {name: Renderer.load(config, compute) for name, config in settings.items()}
    figures: dict[str, list[tuple[float, float]]] = defaultdict(list)
    tiles = []

    def compare(name: str, shown: np.ndarray, true: Frame) -> None:
        alike = judge.embed(shown, true.landmarks) @ judge.embed(true.image, true.landmarks)
        place = true.head()
        pair = [
            torch.from_numpy(x[place].copy()).permute(2, 0, 1)[None] / 255
            for x in (shown, true.image)
        ]
        with torch.inference_mode():
            figures[name].append((float(alike), float(lpips(*pair))))

    judging = chooses if options.chosen else held_out
    for frames in clips(options.pack, judging).values():
        photo = min(frames, key=lambda f: float(np.linalg.norm(f.rotation)))
        turned = [fitted(f, photo) for f in frames if degrees(photo, f) >= options.degrees]
        for true in turned[:: max(1, len(turned) // options.each)][: options.each]:
            shown = {name: become(engine, photo, true) for name, engine in rows.items()}
            for name, frame in shown.items():
                compare(name, frame, true)
            near = min(
                (f for f in frames if f.rotation is not true.rotation),
                key=lambda f: degrees(f, true),
            )
            twin = fitted(near, true)
            compare("as like as it gets", twin.image, true)
            pictures = (photo.image, true.image, *shown.values())
            tiles.append(np.concatenate([cv2.resize(p, (_TILE, _TILE)) for p in pictures], 0))
    print(f"{len(tiles)} frames turned by {options.degrees:g} degrees or more, of clips held out")
    for name, values in figures.items():
        alike, away = np.array(values).T
        worst = np.sort(alike)[: max(1, len(alike) // 20)].mean()
        print(f"{name:18} identity {alike.mean():.3f} worst {worst:.3f}  LPIPS {away.mean():.4f}")
    if options.sheet:
        picked = tiles[:: max(1, len(tiles) // 12)][:12]
        cv2.imwrite(str(options.sheet), np.concatenate(picked, 1)[..., ::-1])


if __name__ == "__main__":
    main()
