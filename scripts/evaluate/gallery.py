"""A page of many kinds of photos in many poses: what the renderer makes of each, with figures.

    python -m scripts.evaluate.gallery --out DIR [--photos FILE ...] [--data DATA --stills NAME ...]

Rows are photos: the embedded portraits, an altered one of them (painted, drawn, black and white,
low light, strong JPEG, coarse, small, large), your own `--photos`, and held-out stills of DATA
(layout of scripts/data/dataset.py; `--stills` names them). Columns are poses and expressions. Each
cell has the error of re-tracked mouth and eye landmarks in percent of the interocular distance; a
photo's own row begins with the photo. DIR gets index.html, a picture a row, and gallery.json;
photos that are refused are listed with the reason. Photos of people stay yours: DIR is not part
of the project.
"""

import argparse
import html
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app.render.demo import ASSETS
from motion2video.drawing.stage import draw as draw_frames
from motion2video.drawing.warp import Crop
from motion2video.faces.tracker import FaceTracker
from motion2video.motion import ROTATION, Motion, channel_index
from motion2video.network.compute import ComputeConfig
from motion2video.portrait.portrait import Portrait, load_image
from motion2video.renderer import Renderer
from scripts.data.dataset import stills
from scripts.evaluate.renderer import landmark_error
from weights.errors import VisavisError

_BOTH = ("Left", "Right")
# Name -> (yaw to the picture's right, pitch up, roll) in degrees, and expression channels; names
# without a side mean both.
COLUMNS: dict[str, tuple[tuple[float, float, float], dict[str, float]]] = {
    "neutral": ((0, 0, 0), {}),
    "yaw -20": ((-20, 0, 0), {}),
    "yaw +20": ((20, 0, 0), {}),
    "pitch -15": ((0, -15, 0), {}),
    "pitch +15": ((0, 15, 0), {}),
    "roll -15": ((0, 0, -15), {}),
    "roll +15": ((0, 0, 15), {}),
    "pressed": ((0, 0, 0), {"mouthPress": 0.5, "mouthRollLower": 0.3, "mouthRollUpper": 0.3}),
    "ajar": ((0, 0, 0), {"jawOpen": 0.15, "mouthLowerDown": 0.15}),
    "ah": ((0, 0, 0), {"jawOpen": 0.6}),
    "oo": ((0, 0, 0), {"jawOpen": 0.2, "mouthFunnel": 0.5, "mouthPucker": 0.4}),
    "grin": (
        (0, 0, 0),
        {"mouthSmile": 0.8, "jawOpen": 0.15, "mouthUpperUp": 0.5, "mouthLowerDown": 0.4},
    ),
    "eyes shut": ((0, 0, 0), {"eyeBlink": 1.0}),
    "brows up": ((0, 0, 0), {"browInnerUp": 0.8, "browOuterUp": 0.7, "eyeWide": 0.5}),
    "all": ((15, 5, 5), {"jawOpen": 0.35, "mouthSmile": 0.5, "mouthUpperUp": 0.3}),
}


@dataclass(frozen=True)
class Photo:
    """A row: its name and kind, and the picture (or its file)."""

    name: str
    kind: str
    source: Path | np.ndarray


def poses(names: list[str]) -> Motion:
    """Motion with one frame for each column."""
    motion = Motion.neutral(len(names))
    for frame, name in zip(motion.values, names, strict=True):
        (yaw, pitch, roll), channels = COLUMNS[name]
        frame[ROTATION] = np.radians([-pitch, yaw, roll])
        for channel, value in channels.items():
            for side in _BOTH:
                try:
                    frame[channel_index(channel + side)] = value
                except VisavisError:
                    frame[channel_index(channel)] = value
    return motion


def altered(picture: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Kinds of pictures that people bring, made from one photo."""
    rng = np.random.default_rng(0)
    yield "painted", cv2.stylization(picture, sigma_s=45, sigma_r=0.35)
    yield "drawn", cv2.pencilSketch(picture, sigma_s=40, sigma_r=0.08, shade_factor=0.04)[1]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    yield "black and white", cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    dark = 255 * 0.35 * (picture / 255.0) ** 1.4 + rng.normal(0, 5, picture.shape)
    yield "low light", dark.clip(0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 12])
    blocks = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    yield "strong JPEG", np.ascontiguousarray(blocks[..., ::-1])
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (width // 5, height // 5), interpolation=cv2.INTER_AREA)
    yield "coarse", cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    yield "small", cv2.resize(picture, (180, 180 * height // width), interpolation=cv2.INTER_AREA)
    yield "large", cv2.resize(picture, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)


def photos(own: list[Path], data: Path | None, names: list[str]) -> Iterator[Photo]:
    """All rows. `names` of stills of the held-out splits; none: sixteen spread over them."""
    embedded = sorted((ASSETS / "portraits").glob("*.jpg"))
    for file in embedded:
        yield Photo(file.stem, "embedded", file)
    for kind, picture in altered(load_image(embedded[0])[0]):
        yield Photo(f"{embedded[0].stem}, {kind}", kind, picture)
    for file in own:
        yield Photo(file.name, "yours", file)
    if data is None:
        return
    album = [still for split in ("test", "val") for still in stills(data, split)]
    chosen = [album[i] for i in np.linspace(0, len(album) - 1, 16).round().astype(int)]
    for still in [s for s in album if s.name in names] if names else chosen:
        yield Photo(still.name, "held out", still.image)


def draw(
    photo: Photo, columns: list[str], renderer: Renderer, tracker: FaceTracker, size: int, side: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """A row's picture [side, (1 + columns) * side, 3] and its figures, by column."""
    portrait = Portrait.load(photo.source, tracker=tracker, size=size)
    prepared = renderer.init_state(portrait).prepared
    marks, open_eyes = prepared.face.keypoints(poses(columns))
    crop = Crop.around(portrait.face.landmarks)
    cells, figures = [crop.cut(portrait.image)], {}
    for k, name in enumerate(columns):
        part = slice(k, k + 1)
        (frame,) = draw_frames(prepared.stage, marks[part], open_eyes[part])
        cells.append(crop.cut(frame))
        error = landmark_error(frame, marks[k], tracker)
        figures[name] = {key: round(value, 2) for key, value in error.items()}
    cells = [cv2.resize(cell, (side, side), interpolation=cv2.INTER_AREA) for cell in cells]
    return np.concatenate(cells, 1), figures


def make(
    out: Path, rows: Iterator[Photo], columns: list[str], size: int = 512, side: int = 256
) -> dict[str, Any]:
    """Write the page; returns what gallery.json holds: rows, refused photos, worst cells."""
    out.mkdir(parents=True, exist_ok=True)
    renderer, tracker = Renderer.load(compute=ComputeConfig(device="cpu")), FaceTracker.load()
    done: list[dict[str, Any]] = []
    refused: dict[str, str] = {}
    for n, photo in enumerate(rows):
        try:
            picture, figures = draw(photo, columns, renderer, tracker, size, side)
        except VisavisError as error:
            refused[photo.name] = str(error)
            continue
        file = f"{n:03d}.jpg"
        cv2.imwrite(str(out / file), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        done.append({"name": photo.name, "kind": photo.kind, "file": file, "figures": figures})
    worst = sorted(
        (
            (figures.get("mouth", 100.0), row["name"], column)
            for row in done
            for column, figures in row["figures"].items()
        ),
        reverse=True,
    )[:20]
    data = {
        "columns": columns,
        "rows": done,
        "refused": refused,
        "worst": worst,
        "means": _means(done, columns),
    }
    (out / "gallery.json").write_text(json.dumps(data, indent=1), encoding="utf8")
    (out / "index.html").write_text(_page(data, side), encoding="utf8")
    return data


def _means(rows: list[dict[str, Any]], columns: list[str]) -> dict[str, dict[str, float]]:
    means = {}
    for column in columns:
        found = [row["figures"][column] for row in rows]
        means[column] = {
            key: round(float(np.mean([f[key] for f in found if key in f] or [np.nan])), 2)
            for key in ("found", "mouth", "eyes")
        }
    return means


def _page(data: dict[str, Any], side: int) -> str:
    head = "".join(
        f'<th style="width:{side}px">{name}</th>' for name in ["photo", *data["columns"]]
    )
    body = []
    for row in data["rows"]:
        cells = "".join(
            f"<td>{f['mouth']:.1f} / {f['eyes']:.1f}</td>" if f["found"] else "<td>no face</td>"
            for f in row["figures"].values()
        )
        span = len(data["columns"]) + 1
        body.append(
            f"<tr><td colspan={span}><img src='{row['file']}' loading=lazy></td></tr>"
            f"<tr><td>{html.escape(row['name'])} ({row['kind']})</td>{cells}</tr>"
        )
    worst = "".join(f"<li>{html.escape(n)}, {c}: {e:.1f} %</li>" for e, n, c in data["worst"])
    refused = "".join(
        f"<li>{html.escape(name)}: {html.escape(why)}</li>" for name, why in data["refused"].items()
    )
    return (
        "<!doctype html><meta charset=utf8><title>Gallery</title>"
        "<style>body{font:14px sans-serif}table{border-collapse:collapse;table-layout:fixed}"
        "td,th{text-align:center;padding:2px 0}</style>"
        "<p>Below each picture: error of mouth / eye landmarks, percent of the interocular "
        f"distance.</p><h2>Worst mouths</h2><ol>{worst}</ol><h2>Refused</h2><ul>{refused}</ul>"
        f"<table><tr>{head}</tr>{''.join(body)}</table>"
    )


def main() -> None:
    """Parse the command line, make the page, print the means and the worst cells."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photos", type=Path, nargs="*", default=[])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--stills", nargs="*", default=[])
    parser.add_argument("--size", type=int, default=512)
    a = parser.parse_args()
    data = make(a.out, photos(a.photos, a.data, a.stills), list(COLUMNS), a.size)
    for column, means in data["means"].items():
        print(f"{column}: " + "  ".join(f"{k} {v}" for k, v in means.items()))
    for error, name, column in data["worst"]:
        print(f"worst: {name}, {column}: mouth {error:.1f} %")
    for name, why in data["refused"].items():
        print(f"refused: {name}: {why}")


if __name__ == "__main__":
    main()
