"""A whole head of the ICT FaceKit (role `head`), fitted to the 478 points of a face.

Skin from the crown to the collar, the bags behind lips and lids, gums with the tongue, and teeth,
each with ARKit's shapes; the head frame of the face basis, lengths in interocular distances. A
similarity lays the head under the face; then the skin is drawn to the points, the less the farther
from them it is. What is inside stays as it is made, in its place behind the lips.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.interpolate import RBFInterpolator
from scipy.spatial import KDTree

from motion2video.geometry.angles import EYES
from motion2video.geometry.retarget import LIPS
from motion2video.motion import channel_index
from weights.tensors import load_safetensors

SOFT_PARTS = ("skin", "mouth", "sockets")
HARD_PARTS = ("gums", "teeth")
_REACH = 0.55  # interocular distances, over which the skin follows the face's points
_STIFF = 0.03  # of the interpolation: what the two meshes take for one point differs by as much
_OVERLAP = 1.06  # of the way of the lids: else the eyeball shines through
_BEHIND_LIPS = 0.02  # interocular distances: lips keep off the teeth
_SHUT = 0.04  # interocular distances between lips that are meant to touch
# What holds the teeth: from below the nose to above the chin.
_JAWS = [*(2, 164, 0, 13, 14, 17, 18, 200, 61, 291, 37, 267, 84, 314, 212, 432, 43, 273)]
# Upper and lower lid of each eye, point against point.
_LIDS = {
    "Left": ([385, 386, 387], [380, 374, 373]),
    "Right": ([158, 159, 160], [153, 145, 144]),
}


@dataclass(frozen=True, eq=False)
class HeadPart:
    """`points` [n, 3], `triangles` counter-clockwise from outside, `moves` [52, n, 3] at 1."""

    points: Float[np.ndarray, "n 3"]
    triangles: Int[np.ndarray, "m 3"]
    moves: Float[np.ndarray, "52 n 3"]


@dataclass(frozen=True, eq=False)
class HeadModel:
    """The head as it is made: its parts, where the face's first 468 points lie on it, the texture
    coordinates of its skin (u from the back once around, a little more than 1 beyond the seam),
    and its eyeballs (left, right).
    """

    parts: dict[str, HeadPart]
    anchors: Float[np.ndarray, "468 3"]
    uv: Float[np.ndarray, "n 2"]
    eyes: Float[np.ndarray, "2 3"]
    radii: Float[np.ndarray, "2"]

    @staticmethod
    def load() -> "HeadModel":
        """The embedded head."""
        tensors, _ = load_safetensors("head")
        parts = {
            name: HeadPart(
                tensors[f"{name}.points"],
                tensors[f"{name}.triangles"].astype(np.int64),
                tensors[f"{name}.moves"] * tensors[f"{name}.steps"][:, None, None],
            )
            for name in (*SOFT_PARTS, *HARD_PARTS)
        }
        return HeadModel(
            parts, tensors["anchors"], tensors["skin.uv"], tensors["eyes"], tensors["eye_radius"]
        )

    def fitted(self, face: Float[np.ndarray, "478 3"]) -> "HeadModel":
        """The head of a person whose face is neutral."""
        target = face[:468]
        whole = _Similarity.between(self.anchors, target)
        away = target - whole(self.anchors)
        shift = away[_JAWS].mean(0)
        shift[2] = away[np.ravel(LIPS), 2].min() - _BEHIND_LIPS
        jaws = _Similarity(whole.scale, whole.rotation, whole.offset + shift)
        near = _Nearness.of(whole(self.anchors), target)
        parts = {}
        for name, part in self.parts.items():
            laid = _placed(part, jaws if name in HARD_PARTS else whole)
            if name in SOFT_PARTS:
                laid = HeadPart(near.drawn(laid.points), laid.triangles, laid.moves)
            parts[name] = laid
        anchors = near.drawn(whole(self.anchors))
        for eye, side in zip(EYES, (1, -1), strict=True):
            more = _to_meet(parts["skin"], anchors, eye)
            for name in SOFT_PARTS:
                own = side * parts[name].points[:, :1] > 0
                lids = parts[name].moves[channel_index(f"eyeBlink{eye}")]
                lids[...] = np.where(own, lids * more, lids)
        eyes = near.drawn(whole(self.eyes))
        return HeadModel(parts, anchors, self.uv, eyes, self.radii * whole.scale)


@dataclass(frozen=True, eq=False)
class _Similarity:
    scale: float
    rotation: Float[np.ndarray, "3 3"]
    offset: Float[np.ndarray, "3"]

    @staticmethod
    def between(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "n 3"]) -> "_Similarity":
        """What best takes points a to b (Umeyama 1991)."""
        a_mean, b_mean = a.mean(0), b.mean(0)
        u, s, vt = np.linalg.svd((b - b_mean).T.astype(np.float64) @ (a - a_mean))
        signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
        rotation = ((u * signs) @ vt).astype(np.float32)
        scale = float((s * signs).sum() / ((a - a_mean) ** 2).sum())
        return _Similarity(scale, rotation, b_mean - scale * rotation @ a_mean)

    def __call__(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        return (self.scale * points @ self.rotation.T + self.offset).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Nearness:
    """How skin is drawn to a face's points: smoothly, and not far from them."""

    field: RBFInterpolator
    tree: KDTree

    @staticmethod
    def of(laid: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"]) -> "_Nearness":
        away = target - laid
        upper, lower = LIPS
        shut = target[upper, 1] - target[lower, 1] < _SHUT  # the head's lips touch: so they stay
        both = (away[upper] + away[lower]) / 2
        for row in LIPS:
            away[row] = np.where(shut[:, None], both, away[row])
        field = RBFInterpolator(laid, away, kernel="linear", degree=0, smoothing=_STIFF)
        return _Nearness(field, KDTree(laid))

    def drawn(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        away = self.tree.query(points)[0]
        follows = np.exp(-((away / _REACH) ** 2))[:, None]
        return (points + follows * self.field(points)).astype(np.float32)


def _placed(part: HeadPart, where: _Similarity) -> HeadPart:
    moves = where.scale * part.moves @ where.rotation.T
    return HeadPart(where(part.points), part.triangles, moves.astype(np.float32))


def _to_meet(skin: HeadPart, anchors: Float[np.ndarray, "468 3"], eye: str) -> float:
    """How much farther lids must move than on the head as it is made, so that they meet."""
    upper, lower = (KDTree(skin.points).query(anchors[row])[1] for row in _LIDS[eye])
    gap = skin.points[upper, 1] - skin.points[lower, 1]
    moves = skin.moves[channel_index(f"eyeBlink{eye}"), :, 1]
    return _OVERLAP * float((gap / np.maximum(moves[lower] - moves[upper], 1e-3)).max())
