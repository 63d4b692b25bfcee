#!/usr/bin/env python3
"""Make the portraits in app/assets/portraits: photographs of people who do not exist.

Up to a dozen neutral photographs of the Face Research Lab London Set are warped to the mean of
their face shapes and averaged inside the face. Hair, ears, neck and shoulders come from one more
photograph, the frame, warped to the same mean shape; the finest skin texture comes from one of
the dozen, because an average of many skins looks like wax.

Nobody is recognised in them: by MobileFaceNet (cosine of embeddings) no portrait is nearer than
0.56 to anyone who went into it. Different people of the set reach 0.58 among themselves; one
person's neutral and smiling pictures never fall below 0.75.

    python scripts/data/portraits.py --data PACK/london --out app/assets/portraits

PACK is the research data pack (images.zip, london_tracks.npz and its reader facepack.py).
"""

import argparse
import importlib.util
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.interpolate import RBFInterpolator

SIZE = 512
FACE_WIDTH = 0.40  # of the picture
FACE_CENTRE = (0.5, 0.49)  # middle of the face oval's box, in the picture
BANDS = 6
MAX_BYTES = 120_000
CRISP = (1.0, 1.4, 1.35, 1.15)  # gain of the average's four finest bands: averaging blurs
# The outline of the face in MediaPipe's mesh, from the top of the forehead clockwise.
OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377]
OVAL += [152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
# Skin without eyes, brows, nostrils or lips: what a colour can be measured on.
CHEEKS = [117, 118, 101, 36, 205, 187, 123, 346, 347, 330, 266, 425, 411, 352]


@dataclass(frozen=True)
class Recipe:
    """Who goes into one portrait: `people` are averaged; `frame` gives hair, ears, neck and
    clothes; `texture` the finest skin detail, with its share of the four finest bands.
    """

    name: str
    people: str
    frame: str
    texture: str
    detail: tuple[float, float, float, float] = (0.9, 0.7, 0.3, 0.0)


RECIPES = [
    Recipe("default", "007 086 134 124 019 011 113 139 144 039 135", "014", "124"),
    Recipe("woman_2", "025 129 099 062 006 064 094", "126", "129"),
    Recipe("woman_3", "127 087 135 007 094 134 064", "034", "087"),
    Recipe("woman_4", "136 020 113 003 038 144 019", "011", "113"),
    Recipe("man_1", "063 018 117 108 132 138 141 130 022 105 026 031", "121", "018"),
    Recipe("man_2", "043 082 044 114 042 008 005", "137", "114"),
    Recipe("man_3", "140 021 105 024 101 119 125 033", "172", "105"),
]


def read_pack(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Neutral photographs [H, W, 3] uint8 and their landmarks [478, 2] in pixels, by person."""
    spec = importlib.util.spec_from_file_location("facepack", folder.parent / "facepack.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"{folder.parent} holds no facepack.py; give --data PACK/london")
    facepack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(facepack)
    names, landmarks = facepack.still_landmarks(folder.name, "london", str(folder.parent))
    images, points = {}, {}
    with zipfile.ZipFile(folder / "images.zip") as archive:
        for name, mesh in zip(names, landmarks, strict=True):
            person, expression = Path(name).stem.split("_")
            if expression != "neutral":
                continue
            with Image.open(io.BytesIO(archive.read(name))) as image:
                images[person] = np.asarray(image.convert("RGB"))
            height, width = images[person].shape[:2]
            points[person] = mesh[:, :2].astype(np.float64) * (width, height)
    return images, points


def similarity(
    source: Float[np.ndarray, "P 2"], target: Float[np.ndarray, "P 2"]
) -> Float[np.ndarray, "2 3"]:
    """The rotation, scale and shift that bring `source` nearest to `target` (least squares)."""
    s, t = source - source.mean(0), target - target.mean(0)
    a = (s * t).sum() / (s**2).sum()
    b = (s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum() / (s**2).sum()
    matrix = np.array([[a, -b], [b, a]])
    return np.column_stack([matrix, target.mean(0) - matrix @ source.mean(0)])


def apply(matrix: Float[np.ndarray, "2 3"], points: Float[np.ndarray, "P 2"]) -> np.ndarray:
    """[P, 2] points under an affine map."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def mean_shape(shapes: list[np.ndarray]) -> Float[np.ndarray, "478 2"]:
    """Procrustes mean of the shapes, with level eyes, in pixels of the output."""
    mean = shapes[0]
    for _ in range(5):
        mean = np.mean([apply(similarity(s, mean), s) for s in shapes], axis=0)
    eyes = mean[473] - mean[468]
    angle = -np.arctan2(eyes[1], eyes[0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mean = mean @ turn.T
    low, high = mean[OVAL].min(0), mean[OVAL].max(0)
    mean = (mean - (low + high) / 2) * (FACE_WIDTH * SIZE / (high[0] - low[0]))
    return mean + np.array(FACE_CENTRE) * SIZE


def warp(
    image: UInt8[np.ndarray, "H W 3"],
    points: Float[np.ndarray, "478 2"],
    shape: Float[np.ndarray, "478 2"],
) -> Float[np.ndarray, "512 512 3"]:
    """`image` with its landmarks moved to `shape`: a thin plate inside and around the face that
    becomes the plain similarity at the border of the picture. Values 0..255."""
    back = similarity(shape, points)
    edge = np.linspace(-0.1, 1.1, 9) * SIZE
    ring = [(x, y) for x in edge for y in edge if min(x, y, SIZE - x, SIZE - y) < 0]
    anchors = np.array(ring)
    controls = np.concatenate([shape, anchors])
    offsets = np.concatenate([points - apply(back, shape), np.zeros_like(anchors)])
    plate = RBFInterpolator(controls, offsets, kernel="thin_plate_spline", smoothing=20.0)
    step = 4
    axis = np.arange(0, SIZE + step, step, dtype=np.float64)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    coarse = plate(grid.reshape(-1, 2)).reshape(grid.shape).astype(np.float32)
    pixel = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1).astype(np.float32)
    fine = cv2.remap(
        coarse,
        pixel[..., 0] / step,
        pixel[..., 1] / step,
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    at = (apply(back, pixel.reshape(-1, 2)).reshape(pixel.shape) + fine).astype(np.float32)
    warped = cv2.remap(
        image, at[..., 0], at[..., 1], cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE
    )
    return warped.astype(np.float32)


def oval_mask(
    shape: Float[np.ndarray, "478 2"], shrink: float, feather: float
) -> Float[np.ndarray, "512 512 1"]:
    """1 inside the face oval (scaled by `shrink`), 0 outside, blurred by `feather` pixels."""
    outline = shape[OVAL]
    middle = (outline.min(0) + outline.max(0)) / 2
    outline = middle + (outline - middle) * shrink
    mask = np.zeros((SIZE, SIZE), np.float32)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask, (0, 0), feather)[..., None]


def skin_colour(image: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """[3] median colour of the cheeks."""
    spots = np.round(shape[CHEEKS]).astype(int)
    return np.median([image[y - 4 : y + 5, x - 4 : x + 5].mean((0, 1)) for x, y in spots], axis=0)


def bands(image: np.ndarray) -> list[np.ndarray]:
    """Laplacian pyramid without subsampling: finest band first, the rest last."""
    result, low = [], image
    for level in range(BANDS):
        blurred = cv2.GaussianBlur(low, (0, 0), 0.8 * 2**level)
        result.append(low - blurred)
        low = blurred
    return [*result, low]


def trimmed_mean(stack: Float[np.ndarray, "N 512 512 3"]) -> Float[np.ndarray, "512 512 3"]:
    """Mean of the middle 60% in every pixel: one strand of hair or one highlight has no vote."""
    drop = int(len(stack) * 0.2)
    return np.sort(stack, axis=0)[drop : len(stack) - drop].mean(0)


def compose(
    recipe: Recipe, images: dict[str, np.ndarray], points: dict[str, np.ndarray]
) -> UInt8[np.ndarray, "512 512 3"]:
    """The portrait of a recipe."""
    people = recipe.people.split()
    shape = mean_shape([points[p] for p in people])
    warped = {p: warp(images[p], points[p], shape) for p in {*people, recipe.frame, recipe.texture}}
    frame = warped[recipe.frame]
    colour = np.median([skin_colour(warped[p], shape) for p in people], axis=0)
    colour = 0.15 * colour + 0.85 * skin_colour(frame, shape)  # the neck stays the frame's
    matched = {p: w * (colour / skin_colour(w, shape)) for p, w in warped.items()}
    average = trimmed_mean(np.stack([matched[p] for p in people]))

    parts, texture, outer = bands(average), bands(matched[recipe.texture]), bands(frame)
    for level, (share, gain) in enumerate(zip(recipe.detail, CRISP, strict=True)):
        parts[level] = parts[level] * gain * (1 - share) + texture[level] * share
    result = np.zeros_like(frame)
    for level in range(BANDS + 1):
        mask = oval_mask(shape, 0.95, 1.5 + 2.0 * 2 ** min(level, 3))
        result += parts[level] * mask + outer[level] * (1 - mask)
    return np.clip(np.round(result), 0, 255).astype(np.uint8)


def save(image: UInt8[np.ndarray, "512 512 3"], path: Path) -> int:
    """Write a JPEG of at most MAX_BYTES; returns the quality that was needed."""
    for quality in range(93, 70, -1):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
        if buffer.tell() <= MAX_BYTES:
            path.write_bytes(buffer.getvalue())
            return quality
    raise SystemExit(f"{path.name} does not fit into {MAX_BYTES} bytes")


def write_credit(data: Path, out: Path) -> None:
    """CREDIT.txt beside the portraits: the pack's credit line and what was done."""
    credit = (data / "CREDIT.txt").read_text(encoding="utf-8").strip()
    recipes = "\n".join(f"  {r.name}.jpg: {len(r.people.split())} people" for r in RECIPES)
    text = f"""The portraits in this folder show nobody: each is a composite, made by
scripts/data/portraits.py. The face is the average of several people's photographs in the mean of
their face shapes; hair, ears, neck and shoulders are one photograph's, warped to that mean shape;
the finest skin texture is another's.
Licence of the composites: CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/).

{recipes}

Source photographs: {credit}
Further changes: warped, averaged, blended, cropped to the face and resized to {SIZE} pixels.
"""
    (out / "CREDIT.txt").write_text(text, encoding="utf-8")


def main() -> None:
    """Make every portrait, or those named by --only."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="PACK/london")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[r.name for r in RECIPES])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    images, points = read_pack(options.data)
    for recipe in RECIPES:
        if recipe.name in options.only:
            path = options.out / f"{recipe.name}.jpg"
            quality = save(compose(recipe, images, points), path)
            print(f"{path}: quality {quality}, {path.stat().st_size / 1000:.0f} kB")
    write_credit(options.data, options.out)


if __name__ == "__main__":
    main()
