"""The head of `.glb` files (role head): ICT-FaceKit's, with fewer triangles and ARKit's names.

    python -m scripts.train.head --pack PACK --out DIR      (needs: pip install fast-simplification)

PACK/models holds ict_full.npz and ict_landmarks.npz (MIT; Li et al. 2020, "Learning formation of
physically-based face attributes"). Every part is simplified by itself, by quadric errors, the skin
most around the mouth and eyes last; a left and a right shape whose ARKit name is one become one.
Lengths are interocular distances in the head frame of the face basis. Prints what is left of each
part.
"""

import argparse
import importlib
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

from motion2video.formats.head_mesh import normals
from motion2video.geometry.basis import FLIP, RIGID_POINTS, FaceBasis, fit_pose
from motion2video.motion import EXPRESSION_NAMES
from weights.tensors import save_safetensors

# What is simplified together, its vertices in the file, and how many triangles it keeps.
PIECES = (
    ("skin", (0, 14061), 15000),
    ("gums", (14062, 17038), 2400),
    ("teeth", (17039, 21450), 4400),
)
# Of the first piece, which vertices are the bag of the mouth and those of the eyes.
POCKETS = {"mouth": (11248, 13293), "sockets": (13294, 14061)}
MIDDLE = np.array([0.0, 0.1, -0.9])  # of the head, between the ears
EYEBALLS = {"Left": (21451, 22220), "Right": (23021, 23790)}


def shapes(names: list[str], delta: np.ndarray) -> np.ndarray:
    """ICT's shapes [57, n, 3] as MediaPipe's 52: what has no counterpart moves nothing."""
    out = np.zeros((len(EXPRESSION_NAMES), *delta.shape[1:]), np.float32)
    for k, name in enumerate(EXPRESSION_NAMES):
        side = "Left" if name.endswith("Left") and name not in ("jawLeft", "mouthLeft") else ""
        if name.endswith("Right") and name not in ("jawRight", "mouthRight"):
            side = "Right"
        stem = name.removesuffix(side) if side else name
        wanted = [f"{stem}_{side[0]}"] if side else [stem, f"{stem}_L", f"{stem}_R"]
        for one in wanted:
            if one in names:
                out[k] += delta[names.index(one)]
    return out


def counterparts(
    points: np.ndarray, triangles: np.ndarray, small: np.ndarray, corners: np.ndarray
) -> np.ndarray:
    """For every point of a simplified surface the vertex that was there, with its shapes. Lips
    touch: the nearest one counts only if it faces the same way.
    """
    tree = KDTree(np.concatenate([points, 0.5 * normals(points, triangles)], 1))
    return np.asarray(tree.query(np.concatenate([small, 0.5 * normals(small, corners)], 1))[1])


def unwrapped(points: np.ndarray) -> np.ndarray:
    """Where skin lies in a texture, u around the head (0 at the back) and v from the top: degrees
    of height above the middle of the head, below it the way down along the surface.
    """
    x, y, z = (points - MIDDLE).T
    around = np.hypot(x, z)
    low = np.clip(-y / 0.6, 0, 1)
    below = y + 0.6 * (around - 1.4) * low * low * (3 - 2 * low)
    height = np.where(y > 0, 1.5 * np.arctan2(y, around), below)
    top, bottom = 1.5 * np.pi / 2, -3.9
    v = (top - height) / (top - bottom)
    return np.stack([np.arctan2(x, z) / (2 * np.pi) + 0.5, np.clip(v, 0, 1)], 1)


def described(
    part: str, points: np.ndarray, triangles: np.ndarray, moves: np.ndarray
) -> dict[str, np.ndarray]:
    """The tensors of a part; along the seam at the back of the head, skin is there twice."""
    tensors = {}
    if part == "skin":
        uv = unwrapped(points)
        across = np.ptp(uv[triangles, 0], axis=1) > 0.5
        twice, new = np.unique(
            triangles[across][uv[triangles[across], 0] < 0.5], return_inverse=True
        )
        seam = triangles[across]
        seam[uv[seam, 0] < 0.5] = len(points) + new
        triangles = np.concatenate([triangles[~across], seam])
        uv = np.concatenate([uv, uv[twice] + np.array([1, 0])])
        points = np.concatenate([points, points[twice]])
        moves = np.concatenate([moves, moves[:, twice]], 1)
        tensors["skin.uv"] = uv.astype(np.float32)
    step = np.maximum(np.abs(moves).max((1, 2)), 1e-6) / 127
    return tensors | {
        f"{part}.points": points.astype(np.float32),
        f"{part}.triangles": triangles.astype(np.uint16),
        f"{part}.moves": np.round(moves / step[:, None, None]).astype(np.int8),
        f"{part}.steps": step.astype(np.float32),
    }


def main() -> None:
    """Parse the command line, simplify, write, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    simplify = importlib.import_module("fast_simplification")
    full = np.load(arguments.pack / "models" / "ict_full.npz")
    marks = np.load(arguments.pack / "models" / "ict_landmarks.npz")
    basis, anchors = FaceBasis.load(), np.zeros((478, 3), np.float32)
    anchors[:468] = marks["neutral468"]
    pose = fit_pose((anchors * FLIP)[None], basis.canonical)

    def placed(points: np.ndarray) -> np.ndarray:
        return pose.unproject((points.astype(np.float32) * FLIP)[None])[0]

    scale = float(pose.scale[0])
    moves = shapes(full["names"].tolist(), full["delta"].astype(np.float32)) / scale
    moves = moves @ pose.rotation[0]
    everything, tensors = placed(full["neutral"]), {}
    for name, (first, last), wanted in PIECES:
        inside = ((full["tri"] >= first) & (full["tri"] <= last)).all(1)
        points, triangles = full["neutral"][first : last + 1], full["tri"][inside] - first
        small, corners = simplify.simplify(points, triangles, target_count=wanted, agg=3.0)
        kept = first + counterparts(points, triangles, small, corners)
        whose = np.full(len(corners), name, object)
        if name == "skin":
            for pocket, (low, high) in POCKETS.items():
                of_it = (kept[corners] >= low) & (kept[corners] <= high)
                whose[of_it.sum(1) >= 2] = pocket
        for part in dict.fromkeys([name, *whose.tolist()]):
            used, ours = np.unique(corners[whose == part], return_inverse=True)
            made = everything[kept[used]], ours.reshape(-1, 3), moves[:, kept[used]]
            tensors |= described(part, *made)
            print(f"{part}: {len(used)} vertices, {ours.size // 3} triangles")
    tensors["anchors"] = placed(anchors)[:468].astype(np.float32)
    balls = [placed(full["neutral"][a : z + 1]) for a, z in EYEBALLS.values()]
    tensors["eyes"] = np.array([(b.min(0) + b.max(0)) / 2 for b in balls], np.float32)
    tensors["eye_radius"] = np.array([np.ptp(b[:, 1]) / 2 for b in balls], np.float32)
    off = np.linalg.norm((tensors["anchors"] - basis.canonical[:468])[RIGID_POINTS % 468], axis=1)
    print(f"rigid points are {off.mean():.3f} interocular distances off those of the face basis")
    print("eyes", tensors["eyes"], tensors["eye_radius"])
    arguments.out.mkdir(parents=True, exist_ok=True)
    config = {"unit": "interocular distance", "axes": "x right, y up, z to the camera"}
    save_safetensors(arguments.out / "head.safetensors", tensors, config)


if __name__ == "__main__":
    main()
