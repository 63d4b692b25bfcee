"""Bake the teeth, gums and tongue of the ICT head into strips that are quick to draw (role mouth).

    python -m scripts.data.mouth_model --pack PACK [--out weights/mouth.safetensors]

PACK/models has ict_full.npz and ict_landmarks.npz (ICT-FaceKit, MIT). Each row of teeth becomes a
strip along its arch: points in the head frame of `FaceBasis`, and one panel of an atlas that says
of every place how light it is, how much of it is tooth, and whether anything is there. The tongue
is a patch seen from above the lower teeth. Run scripts/update_manifest.py afterwards.
"""

import argparse
import itertools
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree  # pyrefly: ignore[missing-module-attribute] # its stubs lack it

from motion2video.geometry.basis import RIGID_POINTS, FaceBasis, fit_pose
from weights.tensors import save_safetensors

GRIDS = {"upper": (3, 19), "lower": (3, 19), "tongue": (5, 7)}  # points: rows, columns
TEXTURE = {"upper": (64, 256), "lower": (64, 256), "tongue": (48, 64)}  # (height, width)
LIGHT = np.array([0.0, 0.45, 0.9])  # from above and before the face
_MOVES = 0.05  # cm at a wide open jaw: what moves by more is the lower row's
_REACH = 0.5  # cm of gum beyond the teeth
_INSIDE = 0.3  # cm behind the middle of the teeth, where the tongue begins
_TOOTH = 15  # texels: the width of one
_SIDES = 0.4  # of how much darker a tooth's side is than its face is left
_SEAM = 1.2  # of the light is gone between two teeth, before it is blurred
_DIM = {"upper": 2.2, "lower": 2.2, "tongue": 4.0}
"""Centimetres into the mouth over which light falls to a third."""


@dataclass(frozen=True)
class Surface:
    """Triangles `corners` [n, 3, 3] (cm), the `normals` of their corners, how a wide open jaw
    moves them (`jaw`), and which `tooth` they are of, 0 if of none.
    """

    corners: Float[np.ndarray, "n 3 3"]
    normals: Float[np.ndarray, "n 3 3"]
    jaw: Float[np.ndarray, "n 3 3"]
    tooth: np.ndarray

    def of(self, chosen: np.ndarray) -> "Surface":
        """Some of the triangles."""
        return Surface(
            self.corners[chosen], self.normals[chosen], self.jaw[chosen], self.tooth[chosen]
        )


def surfaces(pack: Path) -> dict[str, Surface]:
    """The rows of teeth with their gums, and the tongue."""
    model = np.load(pack / "models/ict_full.npz")
    points, triangles = model["neutral"].astype(np.float64), model["tri"]
    jaw = model["delta"][list(model["names"]).index("jawOpen")].astype(np.float64)
    parts = {str(name): (int(first), int(last)) for name, first, last in model["parts"]}
    first, last = parts["gums_tongue"][0], parts["teeth"][1]
    triangles = triangles[((triangles >= first) & (triangles <= last)).all(1)]
    edge = points[triangles]
    flat = np.cross(edge[:, 1] - edge[:, 0], edge[:, 2] - edge[:, 0])
    normals = np.zeros_like(points)
    for k in range(3):
        np.add.at(normals, triangles[:, k], flat)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    tooth = numbered(triangles, parts["teeth"][0])
    whole = Surface(points[triangles], normals[triangles], jaw[triangles], tooth)
    lower = np.abs(whole.jaw[..., 1]).max(1) > _MOVES
    rows = whole.of(lower)
    inside = unrolled(whole.corners.mean(1), arch(rows))[:, 2] < -_INSIDE
    return {
        "upper": whole.of(~lower),
        "lower": whole.of(lower & ((tooth > 0) | ~inside)),
        "tongue": whole.of(lower & inside & (tooth == 0) & (whole.normals[..., 1].mean(1) > -0.2)),
    }


def numbered(triangles: Int[np.ndarray, "n 3"], first: int) -> Int[np.ndarray, "n"]:
    """Which tooth a triangle is of, from 1: teeth are the pieces of the points from `first`."""
    tooth = triangles[triangles[:, 0] >= first]
    ends = np.concatenate([tooth[:, :2], tooth[:, 1:]])
    count = int(triangles.max()) + 1
    table = coo_matrix((np.ones(len(ends)), ends.T), (count, count))
    _, piece = connected_components(table, directed=False)
    return np.where(triangles[:, 0] >= first, 1 + piece[triangles[:, 0]], 0)


def arch(surface: Surface) -> Float[np.ndarray, "m 2"]:
    """The middle line of a row's teeth, from left to right in (x, z), evenly spaced."""
    teeth = surface.corners[surface.tooth > 0].reshape(-1, 3)
    angle = np.arctan2(teeth[:, 0], teeth[:, 2] - teeth[:, 2].min())
    nodes = []
    for a, b in itertools.pairwise(np.linspace(-1.35, 1.35, 29)):
        here = teeth[(angle >= a) & (angle < b)]
        if len(here):
            nodes.append(here[:, [0, 2]].mean(0))
    line = np.array(nodes)
    line = 0.5 * (line + line[::-1] * np.array([-1, 1]))  # both sides alike
    for _ in range(3):
        line[1:-1] = 0.25 * line[:-2] + 0.5 * line[1:-1] + 0.25 * line[2:]
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    even = np.linspace(0, along[-1], 400)
    return np.stack([np.interp(even, along, line[:, k]) for k in range(2)], 1)


def unrolled(
    points: Float[np.ndarray, "*n 3"], line: Float[np.ndarray, "m 2"]
) -> Float[np.ndarray, "*n 3"]:
    """(place along the arch 0..1, height, distance outwards) of points."""
    flat = points.reshape(-1, 3)
    _, near = cKDTree(line).query(flat[:, [0, 2]])
    step = np.gradient(line, axis=0)
    outwards = np.stack([-step[:, 1], step[:, 0]], 1)
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    if outwards[len(line) // 2, 1] < 0:
        outwards = -outwards
    away = ((flat[:, [0, 2]] - line[near]) * outwards[near]).sum(1)
    along = near / (len(line) - 1)
    return np.stack([along, flat[:, 1], away], 1).reshape(points.shape)


def panel(
    surface: Surface, places: Float[np.ndarray, "n 3 3"], size: tuple[int, int]
) -> Float[np.ndarray, "h w 8"]:
    """The outermost triangles at every place: light, tooth, there, point (3), jaw (3).

    `places` are texture pixels and height above the texture.
    """
    height, width = size
    deep = np.full(size, -np.inf)
    out = np.zeros((*size, 9))
    for corners, points, normals, jaw, tooth in zip(
        places, surface.corners, surface.normals, surface.jaw, surface.tooth, strict=True
    ):
        low = np.floor(corners[:, :2].min(0)).astype(int)
        high = np.ceil(corners[:, :2].max(0)).astype(int) + 1
        (x0, y0), (x1, y1) = np.maximum(low, 0), np.minimum(high, [width, height])
        if x1 <= x0 or y1 <= y0 or high[0] - low[0] > width / 3:
            continue
        x, y = np.meshgrid(np.arange(x0, x1), np.arange(y0, y1))
        (ax, ay), (bx, by), (cx, cy) = corners[:, :2]
        det = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy)
        if abs(det) < 1e-9:
            continue
        u = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) / det
        v = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) / det
        share = np.stack([u, v, 1 - u - v], -1)
        z = share @ corners[:, 2]
        part = deep[y0:y1, x0:x1]
        hit = (share > -1e-6).all(-1) & (z > part)
        part[hit] = z[hit]
        normal = share @ normals
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
        light = np.clip(normal @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
        values = np.concatenate(
            [
                light[..., None],
                np.full((*light.shape, 1), float(tooth)),
                np.ones((*light.shape, 1)),
                share @ points,
                share @ jaw,
            ],
            -1,
        )
        out[y0:y1, x0:x1][hit] = values[hit]
    return out


def without_gaps(baked: Float[np.ndarray, "h w 9"]) -> Float[np.ndarray, "h w 9"]:
    """Narrow gaps between teeth are dim places of the teeth beside them, not holes."""
    there = (baked[..., 2] > 0).astype(np.uint8)
    closed = cv2.morphologyEx(there, cv2.MORPH_CLOSE, np.ones((1, 7), np.uint8))
    ys, xs = np.nonzero((closed > 0) & (there == 0))
    known = np.stack(np.nonzero(there), 1)
    _, near = cKDTree(known).query(np.stack([ys, xs], 1))
    out = baked.copy()
    out[ys, xs] = baked[known[near, 0], known[near, 1]]
    out[ys, xs, 0] *= 0.6
    return out


def rounded(baked: Float[np.ndarray, "h w 9"]) -> Float[np.ndarray, "h w 9"]:
    """The model's teeth are bars with deep sides, which would be a fence of dark gaps: people's
    touch, and a thin line is between them. Their light is that of their faces, and only a part of
    what the sides lack of it.
    """
    tooth = baked[..., 1] > 0
    light, there = np.where(tooth, baked[..., 0], 0), tooth.astype(float)
    soft = partial(cv2.GaussianBlur, ksize=(0, 0), sigmaX=_TOOTH / 4, sigmaY=0.5)
    face = soft(cv2.dilate(light, np.ones((1, _TOOTH))) * there) / np.maximum(soft(there), 1e-3)
    lack = 1 - np.clip(light / np.maximum(face, 1e-3), 0, 1)
    seam = np.zeros_like(light)
    seam[:, 1:] = (baked[:, 1:, 1] != baked[:, :-1, 1]) & tooth[:, 1:] & tooth[:, :-1]
    line = cv2.GaussianBlur(seam, (0, 0), 0.8, sigmaY=0.8)
    out = baked.copy()
    out[tooth, 0] = (face * (1 - _SIDES * lack) * np.maximum(1 - _SEAM * line, 0.2))[tooth]
    return out


def mesh_of(
    baked: Float[np.ndarray, "h w 9"], rows: int, columns: int
) -> tuple[Float[np.ndarray, "r c 3"], Float[np.ndarray, "r c 3"]]:
    """Points and jaw offsets of a grid over a panel."""
    height, width = baked.shape[:2]
    ys, xs = np.nonzero(baked[..., 2] > 0)
    values = baked[ys, xs, 3:9]
    tree = cKDTree(np.stack([xs, ys], 1))
    at = np.stack(
        np.meshgrid(np.linspace(0, width - 1, columns), np.linspace(0, height - 1, rows)), -1
    )
    _, near = tree.query(at.reshape(-1, 2), k=12)
    mean = values[near].mean(1).reshape(rows, columns, 6)
    return mean[..., :3], mean[..., 3:]


def laid_out(name: str, surface: Surface) -> Float[np.ndarray, "n 3 3"]:
    """Where a part's triangles lie in its panel (pixels), and how far out."""
    h, w = TEXTURE[name]
    if name == "tongue":
        x, y, z = np.moveaxis(surface.corners, -1, 0)
        # Seen from before and above, the throat's end first.
        seen = np.stack([x, 0.85 * z - 0.55 * y, 0.85 * y + 0.55 * z], -1)
        low, high = seen.reshape(-1, 3).min(0), seen.reshape(-1, 3).max(0)
        return (seen - low) / (high - low) * np.array([w - 1, h - 1, 1])
    places = unrolled(surface.corners, arch(surface))
    teeth = places[surface.tooth > 0][..., 1]
    low, high = teeth.min(), teeth.max()
    if name == "upper":
        high = low + min(high - low, 1.0) + _REACH
    else:
        low = high - min(high - low, 0.9) - _REACH
    # y runs down the picture: from the gum to the edge above, and from the edge to the gum below.
    down = (high - places[..., 1]) / (high - low) * (h - 1)
    return np.stack([places[..., 0] * (w - 1), down, places[..., 2]], -1)


def bake(pack: Path) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """All tensors of the role, lengths in interocular distances of the head frame."""
    parts, basis = surfaces(pack), FaceBasis.load()
    known = np.load(pack / "models/ict_landmarks.npz")
    marks = known["neutral468"].astype(np.float64)
    opened = known["delta468"][list(known["expression"]).index("jawOpen")].astype(np.float64)
    ten = np.zeros((478, 3), np.float32)
    ten[:468] = marks
    # The pose of the canonical face "seen" in the ICT frame, undone, is the head frame.
    pose = fit_pose(ten[None] * np.array([1, -1, -1], np.float32), basis.canonical)
    scale, rotation, offset = float(pose.scale[0]), pose.rotation[0], pose.offset[0]

    def head(points: np.ndarray) -> np.ndarray:
        return ((points - offset) / scale) @ rotation

    def turn(offsets: np.ndarray) -> np.ndarray:
        return (offsets / scale) @ rotation

    left = RIGID_POINTS[RIGID_POINTS < 468]
    error = np.linalg.norm(head(marks[left]) - basis.canonical[left], axis=1)
    print(f"{scale:.2f} cm an eye distance; rigid points off by {error.mean():.3f} of it")
    tensors: dict[str, np.ndarray] = {
        "lips": head(marks).astype(np.float32),
        "jaw_468": turn(opened).astype(np.float32),
    }
    for name, surface in parts.items():
        places = laid_out(name, surface)
        baked = panel(surface, places, TEXTURE[name])
        if name != "tongue":
            baked = rounded(without_gaps(baked))
        front = surface.corners[..., 2].max()
        baked[..., 0] = np.where(baked[..., 2] > 0, 0.35 + 0.65 * baked[..., 0], 0)
        baked[..., 0] *= np.exp(-(front - baked[..., 5]).clip(0) / _DIM[name])
        points, jaw = mesh_of(baked, *GRIDS[name])
        baked[..., 1] = baked[..., 1] > 0
        tensors[f"{name}_points"] = head(points).astype(np.float32)
        tensors[f"{name}_jaw"] = turn(jaw).astype(np.float32)
        tensors[f"{name}_texture"] = np.clip(baked[..., :3] * 255, 0, 255).round().astype(np.uint8)
        print(f"{name}: {len(surface.corners)} triangles")
    return tensors, {"source": "ICT-FaceKit (USC Institute for Creative Technologies), MIT"}


def main() -> None:
    """Parse the command line, bake."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("weights/mouth.safetensors"))
    options = parser.parse_args()
    tensors, header = bake(options.pack)
    save_safetensors(options.out, tensors, header)
    print(f"{options.out}: {options.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
